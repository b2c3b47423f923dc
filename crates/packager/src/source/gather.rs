//! Ranges of a file read into one buffer, so that they can be sent as one piece.
//!
//! Each run of neighbouring ranges is one vectored read: the ranges land one after the other in
//! front, the gaps between them in a scratch area behind. So the samples are copied once, by the
//! kernel, and no gap is ever sent.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;

use smallvec::SmallVec;

use super::coalesce::Run;
use super::page_cache::{read_cached, read_waiting, will_need};
use super::pool::Buffer;
use super::{Coalescing, SourceError};
use crate::units::ByteRange;

/// Which ranges are read by which runs, and the memory that takes.
#[derive(Debug)]
pub(super) struct Layout {
    ranges: Vec<ByteRange>,
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
        let runs = Coalescing::LOCAL.runs(ranges);
        let mut rest = ranges;
        let mut scratch = 0;
        for run in &runs {
            let (members, others) = rest.split_at(run.members);
            rest = others;
            scratch = scratch.max(run.range.len - total(members));
        }
        match (usize::try_from(total(ranges)), usize::try_from(scratch)) {
            (Ok(wanted), Ok(scratch)) => {
                Ok(Self { ranges: ranges.to_vec(), runs, wanted, scratch })
            }
            _ => Err(SourceError::Truncated),
        }
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
    done: Done,
    reads: u64,
}

/// How much of a gathering is read.
#[derive(Debug, Clone, Copy, Default)]
struct Done {
    runs: usize,
    ranges: usize,
    bytes: usize,
}

impl Gathering {
    /// Starts with a buffer of the length that the layout needs.
    pub(super) fn new(layout: Layout, buffer: Buffer) -> Self {
        Self { layout, buffer, done: Done::default(), reads: 0 }
    }

    /// Reads as much as needs no waiting for a disk. Whether that is everything.
    pub(super) fn read_cached(&mut self, file: &File) -> bool {
        while let Some((run, members)) = self.layout.next(self.done) {
            let mut parts =
                parts(self.buffer.as_mut(), self.done.bytes, self.layout.wanted, members);
            self.reads += 1;
            if read_cached(file, &mut parts, run.range.start) as u64 != run.range.len {
                return false;
            }
            self.done.advance(members);
        }
        true
    }

    /// Reads what is left, waiting for the disk.
    pub(super) fn read_rest(&mut self, file: &File) -> io::Result<()> {
        // All of it is asked for at once, so that a disk serves it in its own order.
        for run in self.layout.runs.get(self.done.runs..).unwrap_or_default() {
            will_need(file, run.range.start, run.range.len);
        }
        while let Some((run, members)) = self.layout.next(self.done) {
            let buffer = self.buffer.as_mut();
            let read = {
                let mut parts = parts(buffer, self.done.bytes, self.layout.wanted, members);
                read_waiting(file, &mut parts, run.range.start)?
            };
            self.reads += 1;
            if read as u64 != run.range.len {
                // Cut short by a signal, by the end of the file, or for want of vectored reads.
                let mut front = buffer.get_mut(self.done.bytes..).unwrap_or_default();
                for member in members {
                    let (part, rest) = cut(front, member.len);
                    file.read_exact_at(part, member.start)?;
                    front = rest;
                    self.reads += 1;
                }
            }
            self.done.advance(members);
        }
        Ok(())
    }

    /// The buffer with everything in it, how many bytes were read for it, and by how many reads.
    pub(super) fn finish(self) -> (Buffer, u64, u64) {
        let Self { layout, mut buffer, done: _, reads } = self;
        buffer.truncate(layout.wanted);
        (buffer, layout.runs.iter().map(|run| run.range.len).sum(), reads)
    }
}

impl Layout {
    /// The run after those that are done, with its ranges.
    fn next(&self, done: Done) -> Option<(Run, &[ByteRange])> {
        let run = *self.runs.get(done.runs)?;
        Some((run, self.ranges.get(done.ranges..done.ranges + run.members)?))
    }
}

impl Done {
    fn advance(&mut self, members: &[ByteRange]) {
        self.runs += 1;
        self.ranges += members.len();
        // No more than the layout's `wanted`, which is a `usize`.
        self.bytes += total(members) as usize;
    }
}

/// Where the bytes of a run go, in the order in which they come: ranges behind each other from
/// `front` on, gaps behind each other from `scratch` on.
fn parts<'a>(
    buffer: &'a mut [u8],
    front: usize,
    scratch: usize,
    members: &[ByteRange],
) -> SmallVec<[IoSliceMut<'a>; 1]> {
    let (wanted, mut spare) = buffer.split_at_mut(scratch.min(buffer.len()));
    let mut wanted = wanted.get_mut(front..).unwrap_or_default();
    let mut parts = SmallVec::with_capacity(members.len() * 2 - members.len().min(1));
    let mut end = members.first().map_or(0, |first| first.start);
    for member in members {
        if member.start > end {
            let (gap, rest) = cut(spare, member.start - end);
            parts.push(IoSliceMut::new(gap));
            spare = rest;
        }
        let (part, rest) = cut(wanted, member.len);
        parts.push(IoSliceMut::new(part));
        wanted = rest;
        end = member.end();
    }
    parts
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
                gathering.done = Done::default();
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
