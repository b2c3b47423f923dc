//! When samples are decoded and presented: `stts` and `ctts` (ISO/IEC 14496-12 §8.6.1).

use fearless_simd::{Level, dispatch};

use super::packed::{BLOCK, Span};
use super::runs::{Cursor, Refused, Runs, RunsBuilder};

/// An entry of either box: a number of samples and a duration or offset, as stored.
type Entry = [u8; 8];

/// How long each sample lasts.
#[derive(Debug)]
pub(super) struct Durations {
    pub(super) runs: Runs,
    /// The sum of all, in ticks.
    pub(super) total: u64,
    /// The shortest and the longest, without the last run where that is one sample and not alone.
    pub(super) bounds: (u32, u32),
}

impl Durations {
    /// Reads the entries of `stts`, for `count` samples.
    pub(super) fn build(entries: &[Entry], count: u32) -> Result<Self, &'static str> {
        let list = without_empty_runs(
            entries,
            |entries| dispatch!(Level::new(), _simd => pack::<true>(entries, 1)),
        );
        let List { runs, count: held, weight, bounds } =
            list.map_err(|_| "the durations add up to more than 64 bits")?;
        if held > u64::from(count) {
            return Err("it has times for more samples than there are");
        }
        if held < u64::from(count) {
            return Err("it has times for fewer samples than there are");
        }
        if i64::try_from(weight).is_err() {
            return Err("the durations add up to more than 64 bits");
        }
        Ok(Self { runs, total: weight, bounds: (bounds.low, bounds.high) })
    }

    /// The first sample that is decoded at `dts` or later; `count` where none is.
    pub(super) fn at_or_after(&self, dts: i64, count: u32) -> u32 {
        let Some(before) = u64::try_from(dts).ok().and_then(|dts| dts.checked_sub(1)) else {
            return 0;
        };
        let run = self.runs.at_weight(before);
        if run.value == 0 || run.end().weight <= before {
            return count;
        }
        let steps = (before + 1 - run.start.weight).div_ceil(u64::from(run.value));
        u32::try_from(run.start.count + steps).map_or(count, |number| number.min(count))
    }

    /// The run that holds sample `number`, which is passed to it.
    pub(super) fn at(&self, number: u32) -> Cursor {
        self.runs.at_count(u64::from(number))
    }
}

/// Composition time minus decode time of each sample.
#[derive(Debug)]
pub(super) struct CompositionOffsets {
    pub(super) runs: Runs,
}

/// Offsets are stored with this bit changed, so that their order is that of unsigned numbers.
const SIGN: u32 = 1 << 31;

impl CompositionOffsets {
    /// Reads the entries of `ctts`, for `count` samples that often last `duration` ticks. `None`
    /// where all offsets are 0.
    pub(super) fn build(
        entries: &[Entry],
        count: u32,
        duration: u32,
    ) -> Result<Option<Self>, &'static str> {
        let list = without_empty_runs(
            entries,
            |entries| dispatch!(Level::new(), _simd => pack::<false>(entries, duration)),
        );
        // Nothing is summed that could be too much.
        let List { runs, count: held, bounds, .. } = list.map_err(|_| "it is not usable")?;
        if held > u64::from(count) {
            return Err("it has offsets for more samples than there are");
        }
        if held < u64::from(count) {
            return Err("it has offsets for fewer samples than there are");
        }
        let zero = bounds == Span { low: SIGN, high: SIGN };
        Ok((!zero).then_some(Self { runs }))
    }

    /// The offset that a run of the list stands for.
    #[inline]
    pub(super) fn offset(run: &Cursor) -> i32 {
        (run.value ^ SIGN).cast_signed()
    }
}

/// Packed entries and what they come to.
struct List {
    runs: Runs,
    count: u64,
    weight: u64,
    bounds: Span,
}

/// Packs entries; where there are some for no samples at all, once more without these.
fn without_empty_runs(
    entries: &[Entry],
    pack: impl Fn(&[Entry]) -> Result<List, Refused>,
) -> Result<List, Refused> {
    match pack(entries) {
        Err(Refused::EmptyRun) => {
            let some = |entry: &&Entry| entry.first_chunk() != Some(&[0; 4]);
            pack(&entries.iter().filter(some).copied().collect::<Vec<_>>())
        }
        done => done,
    }
}

/// Packs the entries of `stts`, which are weighted, or of `ctts`, whose values are signed.
#[expect(clippy::inline_always, reason = "compiled for the vectors of each dispatch")]
#[inline(always)]
fn pack<const STTS: bool>(entries: &[Entry], unit: u32) -> Result<List, Refused> {
    let flip = if STTS { 0 } else { SIGN };
    let mut builder = RunsBuilder::new(entries.len(), unit);
    let (mut counts, mut values) = ([0; BLOCK], [0; BLOCK]);
    let mut bounds = Span { low: u32::MAX, high: 0 };
    for (nth, block) in entries.chunks(BLOCK).enumerate() {
        for ((entry, count), value) in block.iter().zip(&mut counts).zip(&mut values) {
            let (first, second) = (entry.first_chunk(), entry.last_chunk());
            *count = first.map_or(0, |word| u32::from_be_bytes(*word));
            *value = second.map_or(0, |word| u32::from_be_bytes(*word)) ^ flip;
        }
        let used = block.len();
        let last_is_one = nth * BLOCK + used == entries.len()
            && entries.len() > 1
            && counts.get(used - 1) == Some(&1);
        let others = values.get(..used - 1).filter(|_| STTS && last_is_one).map(Span::of);
        let all = builder.push::<STTS>(&mut counts, &mut values, used)?;
        let Span { low, high } = others.unwrap_or(all);
        bounds = Span { low: bounds.low.min(low), high: bounds.high.max(high) };
    }
    let total = builder.total();
    Ok(List { runs: builder.finish(), count: total.count, weight: total.weight, bounds })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]
    use super::*;

    fn entries(list: &[(u32, u32)]) -> Vec<Entry> {
        list.iter()
            .map(|(count, value)| {
                let (count, value) = (count.to_be_bytes(), value.to_be_bytes());
                [count, value].concat().try_into().unwrap()
            })
            .collect()
    }

    fn durations(list: &[(u32, u32)], count: u32) -> Result<Durations, &'static str> {
        Durations::build(&entries(list), count)
    }

    #[test]
    fn durations_add_up() {
        let built = durations(&[(2, 5), (3, 5), (0, 9)], 5).unwrap();
        assert_eq!((built.total, built.bounds), (25, (5, 5)));
        assert!(durations(&[(2, 5)], 3).unwrap_err().contains("fewer"));
        assert!(durations(&[(4, 5)], 3).unwrap_err().contains("more"));
        assert!(durations(&[], 3).unwrap_err().contains("fewer"));
        let most = u32::MAX;
        assert!(durations(&[(most, most)], most).unwrap_err().contains("64 bits"));
        let twice = durations(&[(most, most), (most, most)], most);
        assert!(twice.unwrap_err().contains("64 bits"));
    }

    #[test]
    fn a_last_sample_alone_is_no_change_of_duration() {
        assert_eq!(durations(&[(9, 5), (1, 3)], 10).unwrap().bounds, (5, 5));
        assert_eq!(durations(&[(8, 5), (2, 3)], 10).unwrap().bounds, (3, 5));
        assert_eq!(durations(&[(1, 3)], 1).unwrap().bounds, (3, 3));
        let mut many = vec![(1, 5); BLOCK];
        many.push((1, 3));
        assert_eq!(durations(&many, 257).unwrap().bounds, (5, 5));
    }

    #[test]
    fn a_time_is_found() {
        let built = durations(&[(2, 10), (2, 0), (2, 5)], 6).unwrap();
        let found = |dts| built.at_or_after(dts, 6);
        assert_eq!([-5, 0, 1, 10, 11, 20].map(found), [0, 0, 1, 1, 2, 2]);
        assert_eq!([21, 25, 26, 30, 31, i64::MAX].map(found), [5, 5, 6, 6, 6, 6]);
    }

    #[test]
    fn offsets_are_signed_and_zero_is_none() {
        let build = |list: &[(u32, i32)]| {
            let list: Vec<_> = list.iter().map(|run| (run.0, run.1.cast_unsigned())).collect();
            let count = list.iter().map(|run| run.0).sum();
            CompositionOffsets::build(&entries(&list), count, 512).unwrap()
        };
        assert!(build(&[(9, 0), (1, 0)]).is_none());
        let built = build(&[(1, i32::MIN), (0, 7), (1, i32::MAX), (1, -512), (1, 0)]).unwrap();
        let mut run = built.runs.start();
        let mut offsets = vec![CompositionOffsets::offset(&run)];
        while run.next(&built.runs) {
            offsets.push(CompositionOffsets::offset(&run));
        }
        assert_eq!(offsets, [i32::MIN, i32::MAX, -512, 0]);
    }
}
