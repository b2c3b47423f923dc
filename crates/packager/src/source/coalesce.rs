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
    /// How much of an answer is read at a time, in bytes. A body holds at most two of these.
    pub window_bytes: u64,
}

impl Coalescing {
    /// Files of this machine: a call costs about what copying 4 KiB does, and at most 4 bytes in
    /// 100 are read in vain. A window stays within a core's own cache.
    pub const LOCAL: Self = Self {
        max_gap_bytes: 4 << 10,
        max_waste_percent: 4,
        max_run_bytes: 1 << 20,
        window_bytes: 128 << 10,
    };

    /// Stores across a network: a request costs a round trip, so that a quarter of a megabyte that
    /// nobody asked for is cheaper than another one.
    pub const REMOTE: Self = Self {
        max_gap_bytes: 256 << 10,
        max_waste_percent: u32::MAX,
        max_run_bytes: 8 << 20,
        window_bytes: 4 << 20,
    };

    /// Joins ranges in their order; one that lies before its predecessor's end starts a new run.
    pub(super) fn runs(&self, ranges: &[ByteRange]) -> Vec<Run> {
        let wanted: u64 = ranges.iter().fold(0, |sum, range| sum.saturating_add(range.len));
        let mut spare = wanted.saturating_mul(u64::from(self.max_waste_percent)) / 100;
        let mut runs: Vec<Run> = Vec::new();
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

/// Reads ranges of a source, joining neighbours as the source has it.
///
/// # Errors
/// Those of the source; also [`SourceError::Truncated`] where it gave fewer bytes than promised.
pub async fn read_coalesced(
    source: &impl Source,
    ranges: &[ByteRange],
) -> Result<Coalesced, SourceError> {
    let runs = source.coalescing().runs(ranges);
    let asked: Vec<ByteRange> = runs.iter().map(|run| run.range).collect();
    let read = source.read(&asked).await?;
    if read.len() != runs.len() {
        return Err(SourceError::Truncated);
    }
    let mut rest = ranges;
    let mut cut = Vec::with_capacity(ranges.len());
    for (run, bytes) in runs.iter().zip(read) {
        if bytes.len() as u64 != run.range.len {
            return Err(SourceError::Truncated);
        }
        let (members, others) = rest.split_at(run.members);
        rest = others;
        for member in members {
            // Within the run by construction, and the run's bytes are in memory.
            let from = (member.start - run.range.start) as usize;
            cut.push(bytes.slice(from..from + member.len as usize));
        }
    }
    let read_bytes = asked.iter().map(|range| range.len).sum();
    Ok(Coalesced { bytes: cut, read_bytes, reads: asked.len() as u64 })
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
    use super::super::MemorySource;
    use super::*;
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
}
