//! From the tables of a `stbl` as they are stored (ISO/IEC 14496-12 §8.6, §8.7) to their compact
//! form, with what can be checked in each alone: counts, order, and sums within 64 bits.

use super::table::{
    ChunkOffsets, CompositionOffsets, STRIDE, StoredChunkRun, StoredSizes, TimeRun,
};
use crate::isobmff::stco::Offsets;
use crate::isobmff::stsc::ChunkRun;
use crate::isobmff::stsz::Sizes;

pub(super) fn store_sizes(raw: &Sizes<'_>, count: u32) -> (StoredSizes, Box<[u64]>, u128) {
    let all = || (0..count as usize).map(|index| raw.get(index));
    if let Sizes::Constant { size, .. } = raw {
        let total = u128::from(*size) * u128::from(count);
        return (StoredSizes::Constant(*size), Box::default(), total);
    }
    let mut sums = Vec::with_capacity(count as usize / STRIDE as usize + 1);
    let mut total = 0_u64;
    let mut largest = 0;
    for (index, size) in all().enumerate() {
        if index % STRIDE as usize == 0 {
            sums.push(total);
        }
        // 2^32 samples of 2^32 bytes still fit.
        total = total.saturating_add(u64::from(size));
        largest = largest.max(size);
    }
    // The end of the last block may be asked for too.
    if count.is_multiple_of(STRIDE) {
        sums.push(total);
    }
    let sizes = if u16::try_from(largest).is_ok() {
        StoredSizes::Small(all().map(|size| size as u16).collect())
    } else {
        StoredSizes::Wide(all().collect())
    };
    (sizes, sums.into(), u128::from(total))
}

pub(super) fn store_times(
    raw: impl ExactSizeIterator<Item = (u32, u32)>,
    count: u32,
) -> Result<(Box<[TimeRun]>, u64), &'static str> {
    let mut runs: Vec<TimeRun> = Vec::new();
    let (mut first, mut dts) = (0_u32, 0_i64);
    for (samples, delta) in raw {
        if samples == 0 {
            continue;
        }
        if runs.last().is_none_or(|last| last.delta != delta) {
            runs.push(TimeRun { first, delta, dts });
        }
        first = first
            .checked_add(samples)
            .filter(|first| *first <= count)
            .ok_or("it has times for more samples than there are")?;
        // At most 2^32 samples of 2^32 ticks in all, checked against i64 none the less.
        dts = i64::from(samples)
            .checked_mul(i64::from(delta))
            .and_then(|ticks| dts.checked_add(ticks))
            .ok_or("the durations add up to more than 64 bits")?;
    }
    if first != count {
        return Err("it has times for fewer samples than there are");
    }
    Ok((runs.into(), dts.cast_unsigned()))
}

pub(super) fn store_offsets(
    raw: impl ExactSizeIterator<Item = (u32, i32)>,
    count: u32,
) -> Result<CompositionOffsets, &'static str> {
    let mut runs: Vec<(u32, i32)> = Vec::new();
    let mut first = 0_u32;
    for (samples, offset) in raw {
        if samples == 0 {
            continue;
        }
        if runs.last().is_none_or(|last| last.1 != offset) {
            runs.push((first, offset));
        }
        first = first
            .checked_add(samples)
            .filter(|first| *first <= count)
            .ok_or("it has offsets for more samples than there are")?;
    }
    if first != count {
        return Err("it has offsets for fewer samples than there are");
    }
    if runs.iter().all(|run| run.1 == 0) {
        return Ok(CompositionOffsets::None);
    }
    let small = runs.iter().all(|run| i16::try_from(run.1).is_ok());
    let as_runs = runs.len() * size_of::<(u32, i32)>();
    let as_list = count as usize * if small { 2 } else { 4 };
    if as_runs <= as_list {
        return Ok(CompositionOffsets::Runs(runs.into()));
    }
    let ends = runs.iter().skip(1).map(|run| run.0).chain(std::iter::once(count));
    let expanded = runs
        .iter()
        .zip(ends)
        .flat_map(|((first, offset), end)| std::iter::repeat_n(*offset, (end - first) as usize));
    Ok(if small {
        CompositionOffsets::Small(expanded.map(|offset| offset as i16).collect())
    } else {
        CompositionOffsets::Wide(expanded.collect())
    })
}

pub(super) fn store_sync(
    raw: impl ExactSizeIterator<Item = u32>,
    count: u32,
) -> Result<Option<Box<[u32]>>, &'static str> {
    let mut numbers = Vec::with_capacity(raw.len());
    let mut last = 0;
    for number in raw {
        if number <= last {
            return Err("its numbers do not increase");
        }
        if number > count {
            return Err("it names a sample that does not exist");
        }
        last = number;
        numbers.push(number - 1);
    }
    let all = numbers.len() == count as usize;
    Ok((!all).then(|| numbers.into()))
}

/// `None` where several sample descriptions are used.
pub(super) fn store_chunk_runs(
    raw: impl ExactSizeIterator<Item = ChunkRun>,
    chunks: usize,
    count: u32,
) -> Result<Option<Box<[StoredChunkRun]>>, &'static str> {
    let chunks = u32::try_from(chunks).map_err(|_| "there are too many chunks")?;
    let mut runs: Vec<StoredChunkRun> = Vec::new();
    let mut description = None;
    let mut first = 0_u64;
    let mut many = false;
    for run in raw {
        let chunk = run
            .first_chunk
            .checked_sub(1)
            .filter(|chunk| *chunk < chunks)
            .ok_or("it names a chunk that does not exist")?;
        if run.samples_per_chunk == 0 {
            return Err("a chunk is said to hold no samples");
        }
        match runs.last() {
            None if chunk != 0 => return Err("it does not start at the first chunk"),
            Some(last) if chunk <= last.chunk => return Err("its chunks do not increase"),
            Some(last) => first += u64::from(chunk - last.chunk) * u64::from(last.samples),
            None => {}
        }
        many |= *description.get_or_insert(run.description) != run.description;
        let first = u32::try_from(first)
            .ok()
            .filter(|first| *first < count)
            .ok_or("its chunks hold more samples than there are")?;
        runs.push(StoredChunkRun { chunk, samples: run.samples_per_chunk, first });
    }
    let Some(last) = runs.last() else {
        return Err("it is empty");
    };
    let in_last = u64::from(count - last.first);
    let last_chunks = u64::from(chunks - last.chunk);
    // The last chunk may hold fewer than its run says; some writers leave out the run of its own.
    let needed = in_last.div_ceil(u64::from(last.samples));
    if needed > last_chunks {
        return Err("its chunks hold fewer samples than there are");
    }
    if needed < last_chunks {
        return Err("its chunks hold more samples than there are");
    }
    Ok((!many).then(|| runs.into()))
}

pub(super) fn store_chunks(raw: &Offsets<'_>) -> ChunkOffsets {
    let all = || (0..raw.len()).map(|index| raw.get(index).unwrap_or(u64::MAX));
    if all().all(|offset| u32::try_from(offset).is_ok()) {
        ChunkOffsets::Narrow(all().map(|offset| offset as u32).collect())
    } else {
        ChunkOffsets::Wide(all().collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]
    use super::*;

    fn chunk_runs(list: &[(u32, u32, u32)], chunks: usize, count: u32) -> Result<bool, &str> {
        let runs = list.iter().map(|run| ChunkRun {
            first_chunk: run.0,
            samples_per_chunk: run.1,
            description: run.2,
        });
        store_chunk_runs(runs, chunks, count).map(|runs| runs.is_some())
    }

    #[test]
    fn chunks_must_hold_the_samples() {
        assert_eq!(chunk_runs(&[(1, 10, 1), (3, 5, 1)], 3, 25), Ok(true));
        assert_eq!(chunk_runs(&[(1, 10, 1)], 3, 25), Ok(true), "a short last chunk");
        assert_eq!(chunk_runs(&[(1, 10, 1), (2, 10, 2)], 2, 20), Ok(false));
        assert!(chunk_runs(&[(1, 10, 1)], 2, 25).unwrap_err().contains("fewer"));
        assert!(chunk_runs(&[(1, 10, 1)], 4, 25).unwrap_err().contains("more"));
        assert!(chunk_runs(&[(1, 9, 1), (1, 9, 1)], 2, 18).unwrap_err().contains("increase"));
        assert!(chunk_runs(&[(2, 9, 1)], 2, 9).unwrap_err().contains("first chunk"));
        assert!(chunk_runs(&[(0, 9, 1)], 2, 9).unwrap_err().contains("exist"));
        assert!(chunk_runs(&[(1, 0, 1)], 2, 9).unwrap_err().contains("no samples"));
        assert!(chunk_runs(&[], 2, 9).unwrap_err().contains("empty"));
    }

    #[test]
    fn offsets_take_the_smallest_form() {
        let stored = |runs: &[(u32, i32)]| {
            let count = runs.iter().map(|run| run.0).sum();
            store_offsets(runs.iter().copied(), count).unwrap()
        };
        assert!(matches!(stored(&[(9, 0)]), CompositionOffsets::None));
        assert!(matches!(stored(&[(900, 5), (900, 6)]), CompositionOffsets::Runs(_)));
        let alternating: Vec<_> = (0..100).map(|n| (1, n % 2)).collect();
        assert!(matches!(stored(&alternating), CompositionOffsets::Small(_)));
        let large: Vec<_> = (0..100).map(|n| (1, n % 2 * 100_000)).collect();
        assert!(matches!(stored(&large), CompositionOffsets::Wide(_)));
    }

    #[test]
    fn times_join_and_add_up() {
        let (runs, duration) = store_times([(2, 5), (3, 5), (0, 9)].into_iter(), 5).unwrap();
        assert_eq!((runs.len(), duration), (1, 25));
        let huge = [(u32::MAX, u32::MAX)];
        assert!(store_times(huge.into_iter(), u32::MAX).unwrap_err().contains("64 bits"));
    }
}
