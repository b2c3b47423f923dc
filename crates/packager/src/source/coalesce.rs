//! Few big reads instead of many small ones: neighbouring ranges are read together and cut apart.

use bytes::Bytes;

use super::{Source, SourceError};
use crate::units::ByteRange;

/// Ranges with at most this many bytes between them are read together: reading 32 KiB that nobody
/// asked for costs less than another call.
pub const MAX_GAP_BYTES: u64 = 32 << 10;

/// Joining stops where a read would become larger than this. One range alone may be larger.
pub const MAX_RUN_BYTES: u64 = 1 << 20;

/// Reads ranges of a source, joining neighbours. Gives the bytes of each range, and how many bytes
/// were read for that in all.
///
/// # Errors
/// Those of the source; also [`SourceError::Truncated`] where it gave fewer bytes than promised.
pub async fn read_coalesced(
    source: &impl Source,
    ranges: &[ByteRange],
) -> Result<(Vec<Bytes>, u64), SourceError> {
    let runs = runs(ranges);
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
    Ok((cut, asked.iter().map(|range| range.len).sum()))
}

/// A read that serves the next `members` ranges.
struct Run {
    range: ByteRange,
    members: usize,
}

/// Joins ranges in their order; one that lies before its predecessor's end starts a new run.
fn runs(ranges: &[ByteRange]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for &range in ranges {
        if let Some(run) = runs.last_mut()
            && range.start >= run.range.end()
            && range.start - run.range.end() <= MAX_GAP_BYTES
            && range.end() - run.range.start <= MAX_RUN_BYTES
        {
            run.range.len = range.end() - run.range.start;
            run.members += 1;
        } else {
            runs.push(Run { range, members: 1 });
        }
    }
    runs
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

    #[test]
    fn gaps_up_to_the_limit_are_read_along() {
        let at = |start| runs(&[range(0, 10), range(start, 10)]).len();
        assert_eq!(at(10), 1);
        assert_eq!(at(10 + MAX_GAP_BYTES), 1);
        assert_eq!(at(11 + MAX_GAP_BYTES), 2);
        assert_eq!(at(5), 2, "an overlap is read twice, not negatively");
    }

    #[test]
    fn a_run_stays_bounded_and_a_big_range_stays_whole() {
        let step = 30 << 10;
        let many: Vec<_> = (0..100).map(|i| range(i * step, 100)).collect();
        let joined = runs(&many);
        assert!(joined.len() > 1);
        assert!(joined.iter().all(|run| run.range.len <= MAX_RUN_BYTES));
        assert_eq!(joined.iter().map(|run| run.members).sum::<usize>(), 100);
        assert_eq!(runs(&[range(0, MAX_RUN_BYTES * 5)])[0].range.len, MAX_RUN_BYTES * 5);
    }

    proptest! {
        #[test]
        fn every_range_gets_its_own_bytes(
            list in proptest::collection::vec((0u64..200_000, 0u64..5_000), 0..40),
        ) {
            let data: Vec<u8> = (0..205_000_u32).map(|i| (i % 251) as u8).collect();
            let source = MemorySource::new("x", data.clone());
            let ranges: Vec<_> = list.iter().map(|&(start, len)| range(start, len)).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (cut, read) = runtime.block_on(read_coalesced(&source, &ranges)).unwrap();
            prop_assert_eq!(cut.len(), ranges.len());
            for (bytes, range) in cut.iter().zip(&ranges) {
                prop_assert_eq!(&bytes[..], &data[range.start as usize..range.end() as usize]);
            }
            prop_assert!(ranges.is_empty() || read >= ranges.iter().map(|r| r.len).max().unwrap());
        }
    }
}
