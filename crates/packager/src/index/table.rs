//! The sample tables of a progressive file in compact form (ISO/IEC 14496-12 §8.6, §8.7).
//!
//! Everything is checked once when the table is made: counts agree, every sample lies within the
//! file, sizes add up to no more than the file. Iteration afterwards has nothing left to fail.
//! Finding a sample takes binary searches over blocks and a walk through one block of each list.

use std::ops::Range;

use super::chunks::{Chunks, Groups, Known, Place, Placed};
use super::packed::{BLOCK, Reader};
use super::runs;
use super::samples::{Sample, TableBytes};
use super::sizes::SampleSizes;
use super::summary::{Pieces, Summary};
use super::sync::SyncSamples;
use super::times::{CompositionOffsets, Durations};
use crate::error::{Error, Result};
use crate::isobmff::stco::Offsets;
use crate::isobmff::stsz::Sizes;
use crate::isobmff::{Children, FourCc, ctts, stco, stsc, stss, stsz, stts};
use crate::units::ByteRange;

/// Compact tables of one track.
#[derive(Debug)]
pub(super) struct SampleTable {
    count: u32,
    durations: Durations,
    /// `None` where all are 0.
    offsets: Option<CompositionOffsets>,
    sizes: SampleSizes,
    chunks: Chunks,
    sync: SyncSamples,
}

/// What the tables are checked against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) track: u32,
    pub(super) file: u64,
    /// Where the movie box lies: no sample can be in it.
    pub(super) moov: ByteRange,
    pub(super) max_samples: u32,
    /// What all samples together may come to: the file's length, unless some are in it twice.
    pub(super) max_bytes: u64,
}

/// A sample table, or why there is none.
#[derive(Debug)]
pub(super) enum Built {
    Table(Box<SampleTable>),
    Empty,
    /// Several sample descriptions are in use, which is not carried.
    ManyDescriptions,
}

impl SampleTable {
    /// Reads the children of a `stbl`.
    pub(super) fn build(stbl: &Children<'_>, bounds: &Bounds) -> Result<Built> {
        let track = Some(bounds.track);
        let bad = |kind: &[u8; 4], why| Error::BadBox { kind: FourCc(*kind), track, why };
        let short = |kind: &'static [u8; 4]| bad(kind, "it is shorter than its table");

        let raw_sizes = match (stbl.get(b"stsz"), stbl.get(b"stz2")) {
            (Some(payload), _) => stsz::read(payload).ok_or_else(|| short(b"stsz"))?,
            (None, Some(payload)) => stsz::read_compact(payload).ok_or_else(|| short(b"stz2"))?,
            (None, None) => {
                stbl.require(b"stsz", b"stbl", track)?;
                return Ok(Built::Empty);
            }
        };
        if raw_sizes.count() == 0 {
            return Ok(Built::Empty);
        }
        let count = u32::try_from(raw_sizes.count())
            .ok()
            .filter(|count| *count <= bounds.max_samples)
            .ok_or(Error::Limit {
                what: "samples in one track",
                limit: u64::from(bounds.max_samples),
            })?;
        let (sizes, totals) = SampleSizes::build(&raw_sizes, count);
        if totals.bytes > u128::from(bounds.max_bytes) {
            return Err(Error::Truncated {
                what: "its samples together are longer than the file",
                track,
            });
        }

        let stts = stbl.require(b"stts", b"stbl", track)?;
        let entries = stts::entries(stts).ok_or_else(|| short(b"stts"))?;
        let durations = Durations::build(entries, count).map_err(|why| bad(b"stts", why))?;

        let offsets = match stbl.get(b"ctts") {
            Some(ctts) => {
                let entries = ctts::entries(ctts).ok_or_else(|| short(b"ctts"))?;
                CompositionOffsets::build(entries, count, durations.bounds.0)
                    .map_err(|why| bad(b"ctts", why))?
            }
            None => None,
        };
        let sync = match stbl.get(b"stss") {
            Some(stss) => {
                let numbers = stss::entries(stss).ok_or_else(|| short(b"stss"))?;
                SyncSamples::build(numbers, count).map_err(|why| bad(b"stss", why))?
            }
            None => SyncSamples::All,
        };

        let raw_chunks = match (stbl.get(b"stco"), stbl.get(b"co64")) {
            (Some(payload), _) => stco::read(payload).ok_or_else(|| short(b"stco"))?,
            (None, Some(payload)) => stco::read_wide(payload).ok_or_else(|| short(b"co64"))?,
            (None, None) => {
                stbl.require(b"stco", b"stbl", track)?;
                return Ok(Built::Empty);
            }
        };
        let stsc = stbl.require(b"stsc", b"stbl", track)?;
        let entries = stsc::entries(stsc).ok_or_else(|| short(b"stsc"))?;
        let groups =
            Groups::build(entries, raw_chunks.len(), count).map_err(|why| bad(b"stsc", why))?;
        if !groups.one_description {
            return Ok(Built::ManyDescriptions);
        }
        let chunks = place(&raw_chunks, &raw_sizes, groups, count, totals.largest, bounds)?;
        let table = Self { count, durations, offsets, sizes, chunks, sync };
        Ok(Built::Table(Box::new(table)))
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn duration(&self) -> u64 {
        self.durations.total
    }

    pub(super) fn constant_duration(&self) -> Option<u32> {
        let (least, most) = self.durations.bounds;
        (least == most).then_some(least)
    }

    pub(super) fn duration_bounds(&self) -> (u32, u32) {
        self.durations.bounds
    }

    pub(super) fn at_or_after(&self, dts: i64) -> u32 {
        self.durations.at_or_after(dts, self.count)
    }

    pub(super) fn bytes(&self) -> TableBytes {
        TableBytes {
            sizes: self.sizes.weight_bytes(),
            durations: self.durations.runs.weight_bytes(),
            composition_offsets: self.offsets.as_ref().map_or(0, |o| o.runs.weight_bytes()),
            chunks: self.chunks.weight_bytes(),
            sync_samples: self.sync.weight_bytes(),
        }
    }

    pub(super) fn size(&self, number: u32) -> u32 {
        if number < self.count { self.sizes.get(&mut Reader::new(), number) } else { 0 }
    }

    pub(super) fn summary(&self, range: Range<u32>) -> Option<Summary> {
        let range = range.start..range.end.min(self.count);
        let mut pieces = self.pieces(range.clone());
        let first = pieces.next()?;
        let mut summary = Summary {
            samples: range.end - range.start,
            bytes: self.sizes.before(range.end) - self.sizes.before(range.start),
            size: self.sizes.same(range.clone()),
            duration: Some(first.duration),
            dts: first.dts,
            cts: first.cts(first.number),
            earliest: i64::MAX,
            latest: i64::MIN,
            end: i64::MIN,
            least_offset: first.composition_offset,
            most_offset: first.composition_offset,
            first_sync: self.sync.count_within(range.start..range.start + 1) > 0,
            later_sync: self.sync.count_within(range.start + 1..range.end),
        };
        for piece in std::iter::once(first).chain(pieces) {
            let last = piece.last_cts();
            summary.earliest = summary.earliest.min(piece.cts(piece.number));
            summary.latest = summary.latest.max(last);
            summary.end = summary.end.max(last + i64::from(piece.duration));
            summary.least_offset = summary.least_offset.min(piece.composition_offset);
            summary.most_offset = summary.most_offset.max(piece.composition_offset);
            summary.duration = summary.duration.filter(|duration| *duration == piece.duration);
        }
        Some(summary)
    }

    pub(super) fn sync_times(&self, range: Range<u32>) -> Vec<(u32, i64)> {
        let range = range.start..range.end.min(self.count);
        let mut pieces = self.pieces(range.clone());
        let mut piece = pieces.next();
        let mut times = Vec::new();
        for number in self.sync.within(range) {
            while piece.is_some_and(|piece| number - piece.number >= piece.count) {
                piece = pieces.next();
            }
            let Some(piece) = piece else { break };
            times.push((number, piece.cts(number)));
        }
        times
    }

    fn pieces(&self, range: Range<u32>) -> Pieces<'_> {
        Pieces::new(&self.durations, self.offsets.as_ref(), range.start, range.end)
    }

    pub(super) fn range(&self, range: Range<u32>) -> TableSamples<'_> {
        let end = range.end.min(self.count);
        let next = range.start.min(end);
        // A range that is empty starts somewhere too.
        let number = next.min(self.count - 1);
        let time = self.durations.at(number);
        let into = u64::from(number) - time.start.count;
        let ticks = time.start.weight + into * u64::from(time.value);
        let offset = self.offsets.as_ref().map(|offsets| offsets.runs.at_count(u64::from(number)));
        TableSamples {
            table: self,
            next,
            end,
            dts: ticks.cast_signed(),
            offset: offset.map(|run| Current::new(run, number)),
            time: Current::new(time, number),
            place: self.chunks.at(number, &self.sizes),
            sizes: Reader::new(),
            sync: self.sync.place(number),
        }
    }
}

/// Packs the chunks, and sees to it that each lies within the file and outside the movie box.
fn place(
    raw: &Offsets<'_>,
    sizes: &Sizes<'_>,
    groups: Groups,
    count: u32,
    largest: u32,
    bounds: &Bounds,
) -> Result<Chunks> {
    let Bounds { file, moov, track, .. } = *bounds;
    let allowed = |from: u64, to: u64| to <= file && (to <= moov.start || from >= moov.end());
    let longest = u64::from(groups.most.min(count)) * u64::from(largest);
    let known = Known { sizes, longest, allowed: &allowed };
    let Placed { chunks, doubtful } = Placed::build(raw, groups, &known);
    for block in doubtful {
        let first = block as usize * BLOCK;
        let mut run = chunks.runs.at_count(first as u64);
        let mut sample = run.start.weight + (first as u64 - run.start.count) * u64::from(run.value);
        for chunk in first..(first + BLOCK).min(raw.len()) {
            if chunk as u64 >= run.end().count {
                run.next(&chunks.runs);
            }
            let after = (sample + u64::from(run.value)).min(u64::from(count));
            let len = (sample..after).map(|number| u64::from(sizes.get(number as usize))).sum();
            sample = after;
            let range = ByteRange::new(raw.get(chunk).unwrap_or(u64::MAX), len)
                .filter(|range| range.end() <= file)
                .ok_or(Error::Truncated {
                    what: "a chunk of samples lies past the end of the file",
                    track: Some(track),
                })?;
            if len > 0 && range.overlaps(moov) {
                return Err(Error::BadBox {
                    kind: FourCc(*b"stco"),
                    track: Some(track),
                    why: "a chunk of samples lies within the movie box",
                });
            }
        }
    }
    Ok(chunks)
}

/// Samples of a table in decode order.
#[derive(Debug, Clone)]
pub(super) struct TableSamples<'a> {
    table: &'a SampleTable,
    next: u32,
    end: u32,
    dts: i64,
    time: Current,
    offset: Option<Current>,
    place: Place,
    sizes: Reader,
    /// Where the list of sync samples goes on.
    sync: usize,
}

/// The run that the next sample is in.
#[derive(Debug, Clone)]
struct Current {
    run: runs::Cursor,
    left: u32,
}

impl Current {
    fn new(run: runs::Cursor, number: u32) -> Self {
        let left = run.end().count.saturating_sub(u64::from(number)) as u32;
        Self { run, left }
    }

    #[inline]
    fn pass(&mut self, runs: &runs::Runs) {
        if self.left == 0 {
            self.run.next(runs);
            self.left = self.run.count;
        }
        self.left -= 1;
    }
}

impl Iterator for TableSamples<'_> {
    type Item = Sample;

    #[inline]
    fn next(&mut self) -> Option<Sample> {
        if self.next >= self.end {
            return None;
        }
        let table = self.table;
        let number = self.next;
        self.next += 1;
        self.time.pass(&table.durations.runs);
        let duration = self.time.run.value;
        let composition_offset = match (&mut self.offset, &table.offsets) {
            (Some(offset), Some(offsets)) => {
                offset.pass(&offsets.runs);
                CompositionOffsets::offset(&offset.run)
            }
            _ => 0,
        };
        let size = table.sizes.get(&mut self.sizes, number);
        let dts = self.dts;
        self.dts += i64::from(duration);
        Some(Sample {
            offset: self.place.pass(&table.chunks, size),
            size,
            dts,
            duration,
            composition_offset,
            sync: table.sync.is_sync(&mut self.sync, number),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.end - self.next) as usize;
        (left, Some(left))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]
    use super::*;
    use crate::isobmff::{Budget, children};
    use proptest::prelude::*;

    /// Tables as a naive reader has them: one entry a sample, one a chunk.
    #[derive(Debug, Clone)]
    struct Lists {
        sizes: Vec<u32>,
        /// 0 for `stsz`, else the bits of `stz2`.
        compact: u8,
        durations: Vec<u32>,
        composition_offsets: Option<Vec<i32>>,
        sync: Option<Vec<bool>>,
        /// Samples and offset.
        chunks: Vec<(u32, u64)>,
        wide: bool,
        /// Whether neighbours that are alike share a run.
        joined: bool,
    }

    fn boxed(kind: [u8; 4], words: &[u32]) -> Vec<u8> {
        let mut out = (words.len() as u32 * 4 + 12).to_be_bytes().to_vec();
        out.extend(kind);
        out.extend([0; 4]);
        out.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        out
    }

    impl Lists {
        fn runs<T: Copy + PartialEq>(&self, values: &[T]) -> Vec<(u32, T)> {
            let joined = self.joined;
            values.chunk_by(|a, b| joined && a == b).map(|run| (run.len() as u32, run[0])).collect()
        }

        fn stbl(&self) -> Vec<u8> {
            let table = |runs: Vec<(u32, u32)>| {
                let mut words = vec![runs.len() as u32 + 1];
                words.extend(runs.iter().flat_map(|run| [run.0, run.1]));
                // A run of nothing says nothing.
                words.extend([0, 7]);
                words
            };
            let count = self.sizes.len() as u32;
            let mut out = boxed(*b"stts", &table(self.runs(&self.durations)));
            if let Some(offsets) = &self.composition_offsets {
                let offsets: Vec<_> = offsets.iter().map(|offset| offset.cast_unsigned()).collect();
                out.extend(boxed(*b"ctts", &table(self.runs(&offsets))));
            }
            if let Some(sync) = &self.sync {
                let numbers = (1..).zip(sync).filter(|(_, sync)| **sync).map(|(number, _)| number);
                let numbers: Vec<u32> = numbers.collect();
                out.extend(boxed(*b"stss", &[vec![numbers.len() as u32], numbers].concat()));
            }
            let samples: Vec<u32> = self.chunks.iter().map(|chunk| chunk.0).collect();
            let (mut stsc, mut first) = (Vec::new(), 1);
            for (chunks, samples) in self.runs(&samples) {
                stsc.push([first, samples, 1]);
                first += chunks;
            }
            out.extend(boxed(*b"stsc", &[vec![stsc.len() as u32], stsc.concat()].concat()));
            if self.compact > 0 {
                let mut stz2 = boxed(*b"stz2", &[u32::from(self.compact), count]);
                for pair in self.sizes.chunks(2) {
                    let second = pair.get(1).copied().unwrap_or(0);
                    match self.compact {
                        4 => stz2.push((pair[0] << 4 | second) as u8),
                        8 => stz2.extend(pair.iter().map(|size| *size as u8)),
                        _ => stz2.extend(pair.iter().flat_map(|size| (*size as u16).to_be_bytes())),
                    }
                }
                let len = stz2.len() as u32;
                stz2[..4].copy_from_slice(&len.to_be_bytes());
                out.extend(stz2);
            } else if self.joined
                && self.sizes.iter().all(|size| *size == self.sizes[0] && *size > 0)
            {
                out.extend(boxed(*b"stsz", &[self.sizes[0], count]));
            } else {
                out.extend(boxed(*b"stsz", &[vec![0, count], self.sizes.clone()].concat()));
            }
            let offsets = self.chunks.iter().map(|chunk| chunk.1);
            let mut words = vec![self.chunks.len() as u32];
            if self.wide {
                words.extend(offsets.flat_map(|offset| [(offset >> 32) as u32, offset as u32]));
                out.extend(boxed(*b"co64", &words));
            } else {
                words.extend(offsets.map(|offset| offset as u32));
                out.extend(boxed(*b"stco", &words));
            }
            out
        }

        fn samples(&self) -> Vec<Sample> {
            let mut samples = Vec::new();
            let mut dts = 0;
            for (samples_in_chunk, start) in &self.chunks {
                let mut offset = *start;
                for _ in 0..*samples_in_chunk {
                    let number = samples.len();
                    let sample = Sample {
                        offset,
                        size: self.sizes[number],
                        dts,
                        duration: self.durations[number],
                        composition_offset: self
                            .composition_offsets
                            .as_ref()
                            .map_or(0, |offsets| offsets[number]),
                        sync: self.sync.as_ref().is_none_or(|sync| sync[number]),
                    };
                    offset += u64::from(sample.size);
                    dts += i64::from(sample.duration);
                    samples.push(sample);
                }
            }
            samples
        }
    }

    fn build(lists: &Lists, bounds: &Bounds) -> Result<Built> {
        let stbl = lists.stbl();
        SampleTable::build(&children(&stbl, &mut Budget::new(20)).unwrap(), bounds)
    }

    const ANYWHERE: Bounds = Bounds {
        track: 1,
        file: 1 << 50,
        moov: ByteRange { start: 0, len: 0 },
        max_samples: u32::MAX,
        max_bytes: 1 << 50,
    };

    fn built(lists: &Lists) -> SampleTable {
        match build(lists, &ANYWHERE).unwrap() {
            Built::Table(table) => *table,
            other => panic!("{other:?}"),
        }
    }

    fn summary(samples: &[Sample]) -> Option<Summary> {
        let (first, others) = samples.split_first()?;
        let offsets = || samples.iter().map(|sample| sample.composition_offset);
        let same = |of: fn(&Sample) -> u32| {
            Some(of(first)).filter(|one| others.iter().all(|sample| of(sample) == *one))
        };
        Some(Summary {
            samples: samples.len() as u32,
            bytes: samples.iter().map(|sample| u64::from(sample.size)).sum(),
            size: same(|sample| sample.size),
            duration: same(|sample| sample.duration),
            dts: first.dts,
            cts: first.cts(),
            earliest: samples.iter().map(Sample::cts).min()?,
            latest: samples.iter().map(Sample::cts).max()?,
            end: samples.iter().map(|it| it.cts() + i64::from(it.duration)).max()?,
            least_offset: offsets().min()?,
            most_offset: offsets().max()?,
            first_sync: first.sync,
            later_sync: others.iter().filter(|sample| sample.sync).count() as u32,
        })
    }

    fn sizes(most: u32) -> impl Strategy<Value = u32> {
        prop_oneof![8 => 0..=most, 1 => Just(0), 1 => Just(most)]
    }

    fn durations() -> impl Strategy<Value = Vec<u32>> {
        prop_oneof![
            Just(vec![512]),
            prop::collection::vec(0_u32..5, 1..40),
            prop::collection::vec(prop_oneof![Just(0), Just(1_001), any::<u32>()], 1..900),
        ]
    }

    fn composition_offsets() -> impl Strategy<Value = Option<Vec<i32>>> {
        prop_oneof![
            Just(None),
            Just(Some(vec![0])),
            Just(Some(vec![1_024, 2_048, 512, 512])),
            prop::collection::vec(-3_i32..9, 1..50)
                .prop_map(|all| Some(all.iter().map(|offset| offset * 1_001).collect())),
            prop::collection::vec(
                prop_oneof![Just(i32::MIN), Just(i32::MAX), any::<i32>()],
                1..900
            )
            .prop_map(Some),
        ]
    }

    /// Samples in each chunk and bytes before it; some lie before the chunk before them.
    fn gaps() -> impl Strategy<Value = Vec<(u32, i64)>> {
        prop_oneof![
            prop::collection::vec((Just(1), 0_i64..900), 1..50),
            prop::collection::vec((1_u32..3, 0_i64..90_000), 1..900),
            prop::collection::vec((1_u32..40, 0_i64..900), 1..9),
            prop::collection::vec(
                (1_u32..3, prop_oneof![9 => 0_i64..9, 1 => -5_000_i64..0]),
                1..900
            ),
            prop::collection::vec(
                (Just(1), prop_oneof![50 => 0_i64..9, 1 => 0_i64..(1 << 34)]),
                1..900
            ),
        ]
    }

    prop_compose! {
        fn lists()(
            count in prop_oneof![1_usize..20, 1_usize..1_500],
            compact in prop_oneof![6 => Just(0), 1 => Just(4), 1 => Just(8), 1 => Just(16)],
            most in prop_oneof![Just(15), Just(379), Just(70_000), Just(u32::MAX)],
        )(
            sizes in prop::collection::vec(
                sizes(if compact == 0 { most } else { most.min((1 << compact) - 1) }), count),
            count in Just(count),
            compact in Just(compact),
            durations in durations(),
            composition_offsets in composition_offsets(),
            sync in prop::option::of(prop::collection::vec(any::<bool>(), 1..300)),
            gaps in gaps(),
            wide in any::<bool>(),
            joined in any::<bool>(),
        ) -> Lists {
            let cycled = |list: Vec<u32>| list.into_iter().cycle().take(count).collect::<Vec<_>>();
            let offsets = composition_offsets;
            let mut chunks = Vec::new();
            let (mut first, mut end) = (0, 10_000_i64);
            for (samples, gap) in gaps.into_iter().cycle() {
                if first == count {
                    break;
                }
                let after = (first + samples as usize).min(count);
                let start = (end + gap).max(0);
                let len: i64 = sizes[first..after].iter().map(|size| i64::from(*size)).sum();
                chunks.push(((after - first) as u32, start as u64));
                (first, end) = (after, start + len);
            }
            let wide = wide || chunks.iter().any(|chunk| chunk.1 > u64::from(u32::MAX));
            Lists {
                sizes,
                compact,
                durations: cycled(durations),
                composition_offsets: offsets
                    .map(|offsets| offsets.into_iter().cycle().take(count).collect()),
                sync: sync.map(|sync| sync.into_iter().cycle().take(count).collect()),
                chunks,
                wide,
                joined,
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn packed_tables_say_what_the_boxes_say(
            lists in lists(),
            starts in prop::collection::vec(any::<prop::sample::Index>(), 1..20),
            times in prop::collection::vec(any::<prop::sample::Index>(), 1..20),
        ) {
            let table = built(&lists);
            let expected = lists.samples();
            prop_assert_eq!(table.count() as usize, expected.len());
            prop_assert_eq!(
                table.duration(),
                expected.iter().map(|sample| u64::from(sample.duration)).sum::<u64>()
            );
            let all: Vec<_> = table.range(0..u32::MAX).collect();
            prop_assert_eq!(&all, &expected);
            for start in &starts {
                let start = start.index(expected.len() + 1);
                let end = (start + 300).min(expected.len());
                let some: Vec<_> = table.range(start as u32..end as u32).collect();
                prop_assert_eq!(&some, &expected[start..end]);
                let some = &expected[start..end];
                prop_assert_eq!(table.summary(start as u32..end as u32), summary(some));
                let sync = (start as u32..).zip(some).filter(|(_, sample)| sample.sync);
                let sync: Vec<_> = sync.map(|(number, sample)| (number, sample.cts())).collect();
                prop_assert_eq!(table.sync_times(start as u32..end as u32), sync);
            }
            prop_assert_eq!(table.summary(0..u32::MAX), summary(&expected));
            for time in times {
                let time = expected[time.index(expected.len())].dts;
                for time in [time - 1, time, time + 1] {
                    let first = expected.iter().position(|sample| sample.dts >= time);
                    let first = first.unwrap_or(expected.len()) as u32;
                    prop_assert_eq!(table.at_or_after(time), first, "{}", time);
                }
            }
        }

        #[test]
        fn a_chunk_that_does_not_fit_is_found(lists in lists(), at in any::<prop::sample::Index>()) {
            let samples = lists.samples();
            let ends = samples.iter().map(|sample| sample.offset + u64::from(sample.size));
            let ends = ends.chain(lists.chunks.iter().map(|chunk| chunk.1));
            let file = ends.max().unwrap_or(0);
            let total: u64 = lists.sizes.iter().map(|size| u64::from(*size)).sum();
            // Just long enough, and one byte too short.
            let exact = Bounds { file, max_bytes: file, ..ANYWHERE };
            prop_assume!(file > total);
            let whole = matches!(build(&lists, &exact), Ok(Built::Table(_)));
            prop_assert!(whole);
            let short = Bounds { file: file - 1, max_bytes: file - 1, ..ANYWHERE };
            let cut = matches!(build(&lists, &short), Err(Error::Truncated { .. }));
            prop_assert!(cut);
            // A movie box of one byte is hit wherever a sample is.
            let sample = samples[at.index(samples.len())];
            let moov = ByteRange { start: sample.offset, len: 1 };
            let hit = lists.chunks.iter().scan(0, |first, (count, start)| {
                let sizes = &lists.sizes[*first..*first + *count as usize];
                *first += *count as usize;
                Some(ByteRange { start: *start, len: sizes.iter().map(|s| u64::from(*s)).sum() })
            }).any(|chunk| chunk.len > 0 && chunk.overlaps(moov));
            let refused = build(&lists, &Bounds { moov, ..exact }).is_err();
            prop_assert_eq!(refused, hit);
        }
    }
}
