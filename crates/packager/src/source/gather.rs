//! Ranges of a file read into one buffer, so that they can be sent as one piece.
//!
//! Each run of neighbouring ranges is one vectored read: each range lands where it is wanted, the
//! gaps between them in a scratch area behind. So the samples are copied once, by the kernel, and
//! no gap is ever sent.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem;
use std::os::unix::fs::FileExt;

use smallvec::SmallVec;

use super::coalesce::Run;
use super::page_cache::{enter_slowly, is_cached, read_cached, read_waiting, will_need};
use super::pool::Buffer;
use super::{Coalescing, SourceError};
use crate::units::ByteRange;

/// Which ranges are read by which runs, and the memory that takes.
#[derive(Debug)]
pub(super) struct Layout {
    /// In the order in which their bytes are wanted.
    ranges: Vec<ByteRange>,
    /// Their places in `ranges`, in the order of the file, where that is another: sound and pictures
    /// that are wanted in turns lie side by side there.
    order: Option<Vec<usize>>,
    runs: Vec<Run>,
    /// Bytes of all ranges.
    wanted: usize,
    /// Bytes of the gaps of the run that has most of them.
    scratch: usize,
}

impl Layout {
    /// Of ranges of a file of `size` bytes.
    ///
    /// # Errors
    /// [`SourceError::Truncated`] where a range ends after the file.
    pub(super) fn of(ranges: &[ByteRange], size: u64) -> Result<Self, SourceError> {
        if ranges.iter().any(|range| range.end() > size) {
            return Err(SourceError::Truncated);
        }
        let (order, sorted) = if ranges.is_sorted_by_key(|range| range.start) {
            (None, Cow::Borrowed(ranges))
        } else {
            let mut placed: Vec<(usize, ByteRange)> = ranges.iter().copied().enumerate().collect();
            placed.sort_by_key(|(_, range)| range.start);
            let (order, sorted): (Vec<usize>, Vec<ByteRange>) = placed.into_iter().unzip();
            (Some(order), Cow::Owned(sorted))
        };
        let runs = Coalescing::LOCAL.runs(&sorted);
        let mut rest = &*sorted;
        let mut scratch = 0;
        for run in &runs {
            let (members, others) = rest.split_at(run.members);
            rest = others;
            scratch = scratch.max(run.range.len - total(members));
        }
        match (usize::try_from(total(ranges)), usize::try_from(scratch)) {
            (Ok(wanted), Ok(scratch)) => {
                Ok(Self { ranges: ranges.to_vec(), order, runs, wanted, scratch })
            }
            _ => Err(SourceError::Truncated),
        }
    }

    /// Which of the ranges comes at that place in the file.
    fn nth(&self, number: usize) -> Option<usize> {
        self.order.as_ref().map_or(Some(number), |order| order.get(number).copied())
    }

    /// The length of the buffer that it needs.
    pub(super) fn buffer_len(&self) -> usize {
        self.wanted.saturating_add(self.scratch)
    }
}

fn total(ranges: &[ByteRange]) -> u64 {
    ranges.iter().fold(0, |sum, range| sum.saturating_add(range.len))
}

/// A gathering under way.
#[derive(Debug)]
pub(super) struct Gathering {
    layout: Layout,
    buffer: Buffer,
    /// How many runs are read.
    done: usize,
    /// How many ranges those are.
    members: usize,
    reads: u64,
}

impl Gathering {
    /// Starts with a buffer of the length that the layout needs.
    pub(super) fn new(layout: Layout, buffer: Buffer) -> Self {
        Self { layout, buffer, done: 0, members: 0, reads: 0 }
    }

    /// Reads as much as needs no waiting for a disk. Whether that is everything.
    pub(super) fn read_cached(&mut self, file: &File) -> bool {
        let Self { layout, buffer, done, members, reads } = self;
        let mut places = Places::new(layout, buffer);
        while let Some(run) = layout.runs.get(*done) {
            // Even a read that refuses to wait makes the kernel fetch all that it asked for.
            if run.is_long() && !is_cached(file, run.range.start) {
                return false;
            }
            let mut parts = places.of(layout, *members, run);
            *reads += 1;
            if read_cached(file, &mut parts, run.range.start) as u64 != run.range.len {
                return false;
            }
            *done += 1;
            *members += run.members;
        }
        true
    }

    /// Reads what is left, waiting for the disk.
    pub(super) fn read_rest(&mut self, file: &File) -> io::Result<()> {
        let Self { layout, buffer, done, members, reads } = self;
        // What is short is asked for at once, so that a disk serves it in its own order.
        for run in layout.runs.get(*done..).unwrap_or_default().iter().filter(|r| !r.is_long()) {
            will_need(file, run.range.start, run.range.len);
        }
        let mut places = Places::new(layout, buffer);
        while let Some(run) = layout.runs.get(*done) {
            let mut parts = places.of(layout, *members, run);
            let mut at = run.range.start;
            if run.is_long() && !is_cached(file, at) {
                enter_slowly(file, at);
            }
            *reads += 1;
            if read_waiting(file, &mut parts, at)? as u64 != run.range.len {
                // Cut short by a signal, by the end of the file, or for want of vectored reads.
                for part in &mut parts {
                    file.read_exact_at(part, at)?;
                    at += part.len() as u64;
                    *reads += 1;
                }
            }
            *done += 1;
            *members += run.members;
        }
        Ok(())
    }

    /// The buffer with everything in it, how many bytes were read for it, and by how many reads.
    pub(super) fn finish(self) -> (Buffer, u64, u64) {
        let Self { layout, mut buffer, reads, .. } = self;
        buffer.truncate(layout.wanted);
        (buffer, layout.runs.iter().map(|run| run.range.len).sum(), reads)
    }
}

/// Where bytes go: each range to its own place, gaps one after the other behind all ranges.
struct Places<'a> {
    /// The place of each range, in the order of [`Layout::ranges`]; taken once.
    ranges: Vec<&'a mut [u8]>,
    scratch: &'a mut [u8],
}

impl<'a> Places<'a> {
    fn new(layout: &Layout, buffer: &'a mut Buffer) -> Self {
        let mut rest = buffer.as_mut();
        let mut ranges = Vec::with_capacity(layout.ranges.len());
        for range in &layout.ranges {
            let place;
            (place, rest) = cut(rest, range.len);
            ranges.push(place);
        }
        Self { ranges, scratch: rest }
    }

    /// The parts of a run in the order of the file; `members` ranges come before it there.
    fn of<'b>(
        &'b mut self,
        layout: &Layout,
        members: usize,
        run: &Run,
    ) -> SmallVec<[IoSliceMut<'b>; 1]> {
        let mut spare = &mut *self.scratch;
        let mut parts = SmallVec::with_capacity(run.members * 2 - 1);
        let mut end = run.range.start;
        for place in (members..members + run.members).filter_map(|number| layout.nth(number)) {
            let (Some(range), Some(bytes)) =
                (layout.ranges.get(place), self.ranges.get_mut(place).map(mem::take))
            else {
                continue;
            };
            if range.start > end {
                let gap;
                (gap, spare) = cut(spare, range.start - end);
                parts.push(IoSliceMut::new(gap));
            }
            parts.push(IoSliceMut::new(bytes));
            end = range.end();
        }
        parts
    }
}

/// The first `len` bytes, or all if there are fewer, and the rest.
fn cut(bytes: &mut [u8], len: u64) -> (&mut [u8], &mut [u8]) {
    let len = usize::try_from(len).unwrap_or(usize::MAX).min(bytes.len());
    bytes.split_at_mut(len)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use std::io::Write;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::BufferPool;
    use super::*;

    proptest! {
        /// Ranges in any order, with gaps and overlaps; by the way that waits, by the one that
        /// does not, and by what is left of the one for the other.
        #[test]
        fn what_is_gathered_is_the_ranges_one_after_the_other(
            list in proptest::collection::vec(
                prop_oneof![(0u64..60_000, 0u64..4_000), (0u64..60_000, 20_000u64..30_000)], 0..30),
            sorted: bool,
            by_cache in 0usize..3,
        ) {
            let data: Vec<u8> = (0..90_000_u32).map(|i| (i * 7 % 251) as u8).collect();
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&data).unwrap();
            let mut ranges: Vec<_> =
                list.iter().map(|&(start, len)| ByteRange { start, len }).collect();
            if sorted {
                ranges.sort_by_key(|range| range.start);
            }
            let layout = Layout::of(&ranges, data.len() as u64).unwrap();
            let buffer = Arc::new(BufferPool::default()).take(layout.buffer_len());
            let mut gathering = Gathering::new(layout, buffer);
            if by_cache > 0 {
                gathering.read_cached(&file);
            }
            if by_cache == 2 {
                // As if nothing had been in memory after all.
                (gathering.done, gathering.members) = (0, 0);
            }
            gathering.read_rest(&file).unwrap();
            let (buffer, read, _) = gathering.finish();
            let expected: Vec<u8> = ranges
                .iter()
                .flat_map(|range| data[range.start as usize..range.end() as usize].iter().copied())
                .collect();
            prop_assert!(read * 100 <= expected.len() as u64 * 104);
            prop_assert_eq!(buffer.as_ref(), expected);
        }
    }

    #[test]
    fn ranges_wanted_in_turns_are_read_together() {
        let at = |start, len| ByteRange { start, len };
        let turns = [at(0, 10), at(100, 10), at(10, 90), at(110, 10)];
        let layout = Layout::of(&turns, 1_000).unwrap();
        assert_eq!((layout.runs.len(), layout.scratch), (1, 0));
    }

    #[test]
    fn a_range_past_the_end_takes_no_memory() {
        let beyond = ByteRange { start: 10, len: u64::MAX - 10 };
        assert_eq!(Layout::of(&[beyond], 11).err(), Some(SourceError::Truncated));
        let many = [ByteRange { start: 0, len: 11 }; 3];
        assert_eq!(Layout::of(&many, 11).unwrap().buffer_len(), 33);
    }

    #[test]
    fn a_file_that_ends_early_is_an_error() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 100]).unwrap();
        let layout = Layout::of(&[ByteRange { start: 50, len: 100 }], 150).unwrap();
        let buffer = Arc::new(BufferPool::default()).take(layout.buffer_len());
        let mut gathering = Gathering::new(layout, buffer);
        assert!(!gathering.read_cached(&file));
        let error = gathering.read_rest(&file).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
