//! Few big reads instead of many small ones: neighbouring ranges are read together and cut apart.
//!
//! What a read costs beside its bytes differs by store: a system call takes as long as copying a
//! few kilobytes, a GET as long as sending a few hundred. So each source says when joining pays.

use bytes::{Bytes, BytesMut};

use super::{Gathered, Source, SourceError};
use crate::units::ByteRange;

/// How ranges of a source are best read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Coalescing {
    /// Ranges with more bytes than this between them are read by themselves.
    pub max_gap_bytes: u64,
    /// The most that all gaps of one call may add, in hundredths of what was asked for: it bounds
    /// read amplification where the ranges are smaller than the gaps between them.
    pub max_waste_percent: u32,
    /// Joining stops where a read would become larger than this. One range alone may be larger.
    pub max_run_bytes: u64,
    /// How much of an answer is read at a time, in bytes. A body is at most one of these ahead of
    /// the one that it sends.
    pub window_bytes: u64,
    /// How much of a window is read at a time where it is encrypted on its way, in bytes, as long as
    /// nothing must be waited for.
    pub step_bytes: u64,
}

impl Coalescing {
    /// Files of this machine: a call costs about what copying 4 KiB does, and at most 4 bytes in
    /// 100 are read in vain. A window is as large as stays within a core's own cache: each is a
    /// write to the connection and a turn of its task, which cost as much as copying a hundred
    /// kilobytes. A step stays there while it is copied.
    pub const LOCAL: Self = Self {
        max_gap_bytes: 4 << 10,
        max_waste_percent: 4,
        max_run_bytes: 1 << 20,
        window_bytes: 512 << 10,
        step_bytes: 128 << 10,
    };

    /// Stores across a network: a request costs a round trip, so that a quarter of a megabyte that
    /// nobody asked for is cheaper than another one.
    pub const REMOTE: Self = Self {
        max_gap_bytes: 256 << 10,
        max_waste_percent: u32::MAX,
        max_run_bytes: 8 << 20,
        window_bytes: 4 << 20,
        step_bytes: u64::MAX,
    };

    /// Joins ranges in their order; one that lies before its predecessor's end starts a new run.
    pub(super) fn runs(&self, ranges: &[ByteRange]) -> Vec<Run> {
        let wanted: u64 = ranges.iter().fold(0, |sum, range| sum.saturating_add(range.len));
        let mut spare = wanted.saturating_mul(u64::from(self.max_waste_percent)) / 100;
        let mut runs: Vec<Run> = Vec::with_capacity(ranges.len());
        for &range in ranges {
            if let Some(run) = runs.last_mut()
                && let Some(gap) = range.start.checked_sub(run.range.end())
                && gap <= self.max_gap_bytes.min(spare)
                && range.end() - run.range.start <= self.max_run_bytes
                && run.members < MAX_MEMBERS
            {
                spare -= gap;
                run.range.len = range.end() - run.range.start;
                run.members += 1;
            } else {
                runs.push(Run { range, members: 1 });
            }
        }
        runs
    }
}

/// The most ranges in one run: with the gaps between them they fit into one vectored read.
const MAX_MEMBERS: usize = 500;

/// A read that serves the next `members` ranges.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) range: ByteRange,
    pub(super) members: usize,
}

impl Run {
    /// Whether it is worth it to have it in large folios: a quarter of a window and more.
    pub(super) fn is_long(&self) -> bool {
        self.range.len >= Coalescing::LOCAL.window_bytes / 4
    }
}

/// Ranges of a source, each with its own bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coalesced {
    /// The bytes of each range, in order.
    pub bytes: Vec<Bytes>,
    /// How many bytes were read for that in all.
    pub read_bytes: u64,
    /// How many reads it took.
    pub reads: u64,
}

/// Reads ranges of a source, joining neighbours as the source has it. While that lasts at most
/// [`HELD_BYTES`] of what was read is in memory, more only where one range alone is longer; after
/// it, what was asked for and at most as much again.
///
/// # Errors
/// Those of the source; also [`SourceError::Truncated`] where it gave fewer bytes than promised.
pub async fn read_coalesced(
    source: &impl Source,
    ranges: &[ByteRange],
) -> Result<Coalesced, SourceError> {
    let runs = source.coalescing().runs(ranges);
    let mut left = runs.as_slice();
    let mut rest = ranges;
    let mut cut = Vec::with_capacity(ranges.len());
    while !left.is_empty() {
        let (group, others) = left.split_at(group_len(left));
        left = others;
        let asked: Vec<ByteRange> = group.iter().map(|run| run.range).collect();
        let read = source.read(&asked).await?;
        if read.len() != group.len() {
            return Err(SourceError::Truncated);
        }
        for (run, bytes) in group.iter().zip(read) {
            if bytes.len() as u64 != run.range.len {
                return Err(SourceError::Truncated);
            }
            let (members, others) = rest.split_at(run.members);
            rest = others;
            take_members(run, &bytes, members, &mut cut);
        }
    }
    let read_bytes = runs.iter().map(|run| run.range.len).sum();
    Ok(Coalesced { bytes: cut, read_bytes, reads: runs.len() as u64 })
}

/// The most bytes of runs that are in memory at a time while ranges are cut out of them: two of the
/// longest, asked for at the same time.
pub const HELD_BYTES: u64 = 2 * Coalescing::REMOTE.max_run_bytes;

/// How many of the first runs are read together: at least one.
fn group_len(runs: &[Run]) -> usize {
    let mut held = 0_u64;
    let fits = |run: &&Run| {
        held = held.saturating_add(run.range.len);
        held <= HELD_BYTES
    };
    runs.iter().take_while(fits).count().max(1)
}

/// Cuts the members of a run out of its bytes. Where most of these are between members, they are
/// copied, so that what nobody asked for is not kept for as long as they are.
fn take_members(run: &Run, bytes: &Bytes, members: &[ByteRange], cut: &mut Vec<Bytes>) {
    // Within the run by construction, and the run's bytes are in memory.
    let place = |member: &ByteRange| {
        let from = (member.start - run.range.start) as usize;
        from..from + member.len as usize
    };
    let wanted: u64 = members.iter().map(|member| member.len).sum();
    if run.range.len <= wanted.saturating_mul(2) {
        cut.extend(members.iter().map(|member| bytes.slice(place(member))));
        return;
    }
    let mut copy = BytesMut::with_capacity(wanted as usize);
    for member in members {
        copy.extend_from_slice(bytes.get(place(member)).unwrap_or_default());
        cut.push(copy.split().freeze());
    }
}

/// [`Source::gather`] for sources that have no better way.
pub(super) async fn gather(
    source: &impl Source,
    ranges: &[ByteRange],
) -> Result<Gathered, SourceError> {
    let Coalesced { bytes, read_bytes, reads } = read_coalesced(source, ranges).await?;
    Ok(Gathered { pieces: bytes, read_bytes, reads })
}

/// Pieces in one; copies only where there is more than one.
pub(super) fn joined(mut pieces: Vec<Bytes>) -> Bytes {
    if pieces.len() <= 1 {
        return pieces.pop().unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    for piece in pieces {
        whole.extend_from_slice(&piece);
    }
    whole.freeze()
}

/// A range in steps of at most `step` bytes, where `step` is not 0.
#[cfg(any(feature = "http-source", feature = "object-store"))]
pub(super) fn steps(range: ByteRange, step: u64) -> impl Iterator<Item = ByteRange> {
    (0..range.len.div_ceil(step)).map(move |number| {
        let start = range.start + number * step;
        ByteRange { start, len: step.min(range.end() - start) }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::MemorySource;
    use super::*;
    use crate::identity::SourceId;
    use proptest::prelude::*;

    fn range(start: u64, len: u64) -> ByteRange {
        ByteRange { start, len }
    }

    const REMOTE: Coalescing = Coalescing::REMOTE;

    #[test]
    fn gaps_up_to_the_limit_are_read_along() {
        let at = |start| REMOTE.runs(&[range(0, 10), range(start, 10)]).len();
        assert_eq!(at(10), 1);
        assert_eq!(at(10 + REMOTE.max_gap_bytes), 1);
        assert_eq!(at(11 + REMOTE.max_gap_bytes), 2);
        assert_eq!(at(5), 2, "an overlap is read twice, not negatively");
    }

    #[test]
    fn a_run_stays_bounded_and_a_big_range_stays_whole() {
        let step = 200 << 10;
        let many: Vec<_> = (0..100).map(|i| range(i * step, 100)).collect();
        let joined = REMOTE.runs(&many);
        assert!(joined.len() > 1);
        assert!(joined.iter().all(|run| run.range.len <= REMOTE.max_run_bytes));
        assert_eq!(joined.iter().map(|run| run.members).sum::<usize>(), 100);
        let big = REMOTE.max_run_bytes * 5;
        assert_eq!(REMOTE.runs(&[range(0, big)])[0].range.len, big);
    }

    #[test]
    fn what_is_read_in_vain_stays_within_its_share() {
        // Sound of 200 bytes between pictures of 1,000: joined, it would be read six times over.
        let sound: Vec<_> = (0..100).map(|i| range(i * 1_200, 200)).collect();
        assert_eq!(Coalescing::LOCAL.runs(&sound).len(), 100);
        // Pictures of 20,000 bytes between which lie sounds of 700.
        let pictures: Vec<_> = (0..100).map(|i| range(i * 20_700, 20_000)).collect();
        let runs = Coalescing::LOCAL.runs(&pictures);
        assert_eq!(runs.len(), 2, "{runs:?}");
    }

    proptest! {
        #[test]
        fn local_amplification_is_at_most_1_04(
            list in proptest::collection::vec((0u64..10_000, 0u64..30_000), 1..200),
        ) {
            let mut at = 0;
            let ranges: Vec<_> = list.iter().map(|&(gap, len)| {
                let next = range(at + gap, len);
                at = next.end();
                next
            }).collect();
            let wanted: u64 = ranges.iter().map(|r| r.len).sum();
            let read: u64 = Coalescing::LOCAL.runs(&ranges).iter().map(|run| run.range.len).sum();
            prop_assert!(read * 100 <= wanted * 104, "{read} for {wanted}");
        }

        #[test]
        fn every_range_gets_its_own_bytes(
            list in proptest::collection::vec((0u64..200_000, 0u64..5_000), 0..40),
        ) {
            let data: Vec<u8> = (0..205_000_u32).map(|i| (i % 251) as u8).collect();
            let source = MemorySource::new("x", data.clone());
            let ranges: Vec<_> = list.iter().map(|&(start, len)| range(start, len)).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let read = runtime.block_on(read_coalesced(&source, &ranges)).unwrap();
            prop_assert_eq!(read.bytes.len(), ranges.len());
            for (bytes, range) in read.bytes.iter().zip(&ranges) {
                prop_assert_eq!(&bytes[..], &data[range.start as usize..range.end() as usize]);
            }
            let longest = ranges.iter().map(|r| r.len).max().unwrap_or(0);
            prop_assert!(read.read_bytes >= longest);
        }
    }

    /// A source of zeros that counts what of its answers is in memory.
    struct Weighed {
        id: SourceId,
        live: Arc<AtomicU64>,
        most: Arc<AtomicU64>,
        reads: AtomicU64,
    }

    struct Counted(Vec<u8>, Arc<AtomicU64>);

    impl AsRef<[u8]> for Counted {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    impl Drop for Counted {
        fn drop(&mut self) {
            self.1.fetch_sub(self.0.len() as u64, Ordering::SeqCst);
        }
    }

    impl Source for Weighed {
        fn id(&self) -> &SourceId {
            &self.id
        }

        fn coalescing(&self) -> Coalescing {
            Coalescing::REMOTE
        }

        async fn read(&self, ranges: &[ByteRange]) -> Result<Vec<Bytes>, SourceError> {
            let give = |range: &ByteRange| {
                self.reads.fetch_add(1, Ordering::SeqCst);
                let live = self.live.fetch_add(range.len, Ordering::SeqCst) + range.len;
                self.most.fetch_max(live, Ordering::SeqCst);
                let bytes = vec![0; range.len as usize];
                Bytes::from_owner(Counted(bytes, Arc::clone(&self.live)))
            };
            Ok(ranges.iter().map(give).collect())
        }
    }

    fn weigh(ranges: &[ByteRange]) -> (Coalesced, u64, u64) {
        let source = Weighed {
            id: SourceId::new("x", 1 << 40, ""),
            live: Arc::default(),
            most: Arc::default(),
            reads: AtomicU64::new(0),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let read = runtime.block_on(read_coalesced(&source, ranges)).unwrap();
        assert_eq!(read.reads, source.reads.load(Ordering::SeqCst));
        (read, source.most.load(Ordering::SeqCst), source.live.load(Ordering::SeqCst))
    }

    #[test]
    fn what_one_read_holds_is_bounded() {
        // A window of sound, a frame each 100 KB of a file: 400 MB are read for a megabyte.
        let frames: Vec<_> = (0..4_000).map(|i| range(i * 100_000, 300)).collect();
        let (read, most, kept) = weigh(&frames);
        assert_eq!(read.bytes.iter().map(Bytes::len).sum::<usize>(), 4_000 * 300);
        assert!(read.read_bytes > 300 << 20, "{}", read.read_bytes);
        assert!(most <= HELD_BYTES, "{most} bytes at a time");
        assert_eq!(kept, 0, "what lies between is not kept");
        // An ordinary segment's sound is one request, and its pictures are not copied.
        let sound: Vec<_> = (0..190).map(|i| range(i * 16_000, 340)).collect();
        assert_eq!(weigh(&sound).0.reads, 1);
        let pictures: Vec<_> = (0..100).map(|i| range(i * 20_700, 20_000)).collect();
        let (read, _, kept) = weigh(&pictures);
        assert_eq!((read.reads, kept), (1, read.read_bytes));
    }
}
