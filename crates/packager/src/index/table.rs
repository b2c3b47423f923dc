//! The sample tables of a progressive file in compact form (ISO/IEC 14496-12 §8.6, §8.7).
//!
//! Everything is checked once when the table is made: counts agree, every sample lies within the
//! file, sizes add up to no more than the file. Iteration afterwards has nothing left to fail.
//! Finding a sample takes binary searches over runs and at most [`STRIDE`] additions.

use std::ops::Range;

use super::Sample;
use super::pack::{
    store_chunk_runs, store_chunks, store_offsets, store_sizes, store_sync, store_times,
};
use crate::error::{Error, Result};
use crate::isobmff::{Children, FourCc, ctts, stco, stsc, stss, stsz, stts};
use crate::units::ByteRange;

/// Samples between two stored sums of sizes.
pub(super) const STRIDE: u32 = 256;

/// Compact tables of one track.
#[derive(Debug)]
pub(super) struct SampleTable {
    count: u32,
    duration: u64,
    times: Box<[TimeRun]>,
    offsets: CompositionOffsets,
    sizes: StoredSizes,
    /// Sum of the sizes before every `STRIDE`th sample; empty for a constant size.
    sums: Box<[u64]>,
    chunks: ChunkOffsets,
    chunk_runs: Box<[StoredChunkRun]>,
    /// Sorted numbers from 0; `None` when all are sync samples.
    sync: Option<Box<[u32]>>,
}

/// Samples from `first` last `delta` each, until the next run.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeRun {
    pub(super) first: u32,
    pub(super) delta: u32,
    pub(super) dts: i64,
}

#[derive(Debug)]
pub(super) enum CompositionOffsets {
    None,
    /// From sample number on, this offset.
    Runs(Box<[(u32, i32)]>),
    Small(Box<[i16]>),
    Wide(Box<[i32]>),
}

#[derive(Debug)]
pub(super) enum StoredSizes {
    Constant(u32),
    Small(Box<[u16]>),
    Wide(Box<[u32]>),
}

#[derive(Debug)]
pub(super) enum ChunkOffsets {
    Narrow(Box<[u32]>),
    Wide(Box<[u64]>),
}

/// Chunks from `chunk` (from 0) hold `samples` each; the first sample in them is `first`.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoredChunkRun {
    pub(super) chunk: u32,
    pub(super) samples: u32,
    pub(super) first: u32,
}

/// What the tables are checked against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) track: u32,
    pub(super) file: u64,
    /// Where the movie box lies: no sample can be in it.
    pub(super) moov: ByteRange,
    pub(super) max_samples: u32,
}

/// A sample table, or why there is none.
#[derive(Debug)]
pub(super) enum Built {
    Table(SampleTable),
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
        let (sizes, sums, total) = store_sizes(&raw_sizes, count);
        if total > u128::from(bounds.file) {
            return Err(Error::Truncated {
                what: "its samples together are longer than the file",
                track,
            });
        }

        let stts = stbl.require(b"stts", b"stbl", track)?;
        let runs = stts::runs(stts).ok_or_else(|| short(b"stts"))?;
        let (times, duration) = store_times(runs, count).map_err(|why| bad(b"stts", why))?;

        let offsets = match stbl.get(b"ctts") {
            Some(ctts) => {
                let runs = ctts::runs(ctts).ok_or_else(|| short(b"ctts"))?;
                store_offsets(runs, count).map_err(|why| bad(b"ctts", why))?
            }
            None => CompositionOffsets::None,
        };
        let sync = match stbl.get(b"stss") {
            Some(stss) => {
                let numbers = stss::numbers(stss).ok_or_else(|| short(b"stss"))?;
                store_sync(numbers, count).map_err(|why| bad(b"stss", why))?
            }
            None => None,
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
        let runs = stsc::runs(stsc).ok_or_else(|| short(b"stsc"))?;
        let Some(chunk_runs) =
            store_chunk_runs(runs, raw_chunks.len(), count).map_err(|why| bad(b"stsc", why))?
        else {
            return Ok(Built::ManyDescriptions);
        };

        let table = Self {
            count,
            duration,
            times,
            offsets,
            sizes,
            sums,
            chunks: store_chunks(&raw_chunks),
            chunk_runs,
            sync,
        };
        table.check_chunks(bounds)?;
        Ok(Built::Table(table))
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn duration(&self) -> u64 {
        self.duration
    }

    pub(super) fn constant_duration(&self) -> Option<u32> {
        match *self.times {
            [only] => Some(only.delta),
            [run, last] if last.first + 1 == self.count => Some(run.delta),
            _ => None,
        }
    }

    pub(super) fn duration_bounds(&self) -> Option<(u32, u32)> {
        let runs = match self.times.split_last() {
            Some((last, runs)) if last.first + 1 == self.count && !runs.is_empty() => runs,
            _ => &self.times,
        };
        let deltas = || runs.iter().map(|run| run.delta);
        Some((deltas().min()?, deltas().max()?))
    }

    pub(super) fn at_or_after(&self, dts: i64) -> u32 {
        let next = self.times.partition_point(|run| run.dts < dts);
        let Some(run) = next.checked_sub(1).and_then(|index| self.times.get(index)) else {
            return 0;
        };
        let end = self.times.get(next).map_or(self.count, |following| following.first);
        if run.delta == 0 {
            return end;
        }
        let steps = (dts - run.dts).cast_unsigned().div_ceil(u64::from(run.delta));
        u32::try_from(steps)
            .ok()
            .and_then(|steps| run.first.checked_add(steps))
            .map_or(end, |number| number.min(end))
    }

    pub(super) fn weight_bytes(&self) -> usize {
        size_of_val(&*self.times)
            + match &self.offsets {
                CompositionOffsets::None => 0,
                CompositionOffsets::Runs(runs) => size_of_val(&**runs),
                CompositionOffsets::Small(all) => size_of_val(&**all),
                CompositionOffsets::Wide(all) => size_of_val(&**all),
            }
            + match &self.sizes {
                StoredSizes::Constant(_) => 0,
                StoredSizes::Small(all) => size_of_val(&**all),
                StoredSizes::Wide(all) => size_of_val(&**all),
            }
            + size_of_val(&*self.sums)
            + match &self.chunks {
                ChunkOffsets::Narrow(all) => size_of_val(&**all),
                ChunkOffsets::Wide(all) => size_of_val(&**all),
            }
            + size_of_val(&*self.chunk_runs)
            + self.sync.as_deref().map_or(0, size_of_val)
    }

    pub(super) fn range(&self, range: Range<u32>) -> TableSamples<'_> {
        let end = range.end.min(self.count);
        let next = range.start.min(end);
        let time_run = last_at_or_before(&self.times, next, |run| run.first);
        let dts = self
            .times
            .get(time_run)
            .map_or(0, |run| run.dts + i64::from(next - run.first) * i64::from(run.delta));
        let offset_run = match &self.offsets {
            CompositionOffsets::Runs(runs) => last_at_or_before(runs, next, |run| run.0),
            _ => 0,
        };
        let chunk_run = last_at_or_before(&self.chunk_runs, next, |run| run.first);
        let (chunk, into) = self.chunk_runs.get(chunk_run).map_or((0, 0), |run| {
            let skipped = next - run.first;
            (run.chunk + skipped / run.samples, skipped % run.samples)
        });
        let in_chunk = self.chunk_runs.get(chunk_run).map_or(0, |run| run.samples - into);
        TableSamples {
            table: self,
            next,
            end,
            dts,
            time_run,
            offset_run,
            chunk_run,
            chunk,
            in_chunk,
            position: self.chunk_offset(chunk) + self.bytes_between(next - into, next),
            sync: self
                .sync
                .as_deref()
                .map_or(0, |sync| sync.partition_point(|number| *number < next)),
        }
    }

    /// Sum of the sizes of a few samples, one by one: all chunks together take one pass, where sums
    /// from the last stored one would take over a hundred.
    fn bytes_of(&self, samples: Range<u32>) -> u64 {
        if let StoredSizes::Constant(size) = self.sizes {
            return u64::from(size) * u64::from(samples.end - samples.start);
        }
        samples.map(|number| u64::from(self.size(number))).sum()
    }

    /// Sum of the sizes of samples `from..to`.
    fn bytes_between(&self, from: u32, to: u32) -> u64 {
        self.bytes_before(to) - self.bytes_before(from)
    }

    fn bytes_before(&self, number: u32) -> u64 {
        if let StoredSizes::Constant(size) = self.sizes {
            return u64::from(size) * u64::from(number);
        }
        let block = number / STRIDE;
        let sum = self.sums.get(block as usize).copied().unwrap_or(0);
        (block * STRIDE..number).fold(sum, |sum, number| sum + u64::from(self.size(number)))
    }

    fn size(&self, number: u32) -> u32 {
        let number = number as usize;
        match &self.sizes {
            StoredSizes::Constant(size) => *size,
            StoredSizes::Small(all) => all.get(number).map_or(0, |size| u32::from(*size)),
            StoredSizes::Wide(all) => all.get(number).copied().unwrap_or(0),
        }
    }

    fn chunk_offset(&self, chunk: u32) -> u64 {
        let chunk = chunk as usize;
        match &self.chunks {
            ChunkOffsets::Narrow(all) => all.get(chunk).map_or(0, |offset| u64::from(*offset)),
            ChunkOffsets::Wide(all) => all.get(chunk).copied().unwrap_or(0),
        }
    }

    fn chunk_count(&self) -> u32 {
        match &self.chunks {
            ChunkOffsets::Narrow(all) => all.len() as u32,
            ChunkOffsets::Wide(all) => all.len() as u32,
        }
    }

    /// Every chunk lies within the file and outside the movie box.
    fn check_chunks(&self, bounds: &Bounds) -> Result<()> {
        let mut first = 0_u32;
        for (index, run) in self.chunk_runs.iter().enumerate() {
            let until = self
                .chunk_runs
                .get(index + 1)
                .map_or_else(|| self.chunk_count(), |next| next.chunk);
            for chunk in run.chunk..until {
                let after = first.saturating_add(run.samples).min(self.count);
                let len = self.bytes_of(first..after);
                first = after;
                let range = ByteRange::new(self.chunk_offset(chunk), len)
                    .filter(|range| range.end() <= bounds.file)
                    .ok_or(Error::Truncated {
                        what: "a chunk of samples lies past the end of the file",
                        track: Some(bounds.track),
                    })?;
                if len > 0 && range.overlaps(bounds.moov) {
                    return Err(Error::BadBox {
                        kind: FourCc(*b"stco"),
                        track: Some(bounds.track),
                        why: "a chunk of samples lies within the movie box",
                    });
                }
            }
        }
        Ok(())
    }
}

/// The last element whose number is at most `number`; the first where there is none.
fn last_at_or_before<T>(runs: &[T], number: u32, of: impl Fn(&T) -> u32) -> usize {
    runs.partition_point(|run| of(run) <= number).saturating_sub(1)
}

/// Samples of a table in decode order.
#[derive(Debug, Clone)]
pub(super) struct TableSamples<'a> {
    table: &'a SampleTable,
    next: u32,
    end: u32,
    dts: i64,
    time_run: usize,
    offset_run: usize,
    chunk_run: usize,
    chunk: u32,
    /// Samples left in the current chunk.
    in_chunk: u32,
    /// Where the next sample lies.
    position: u64,
    /// Index of the next sync sample.
    sync: usize,
}

impl Iterator for TableSamples<'_> {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        if self.next >= self.end {
            return None;
        }
        let table = self.table;
        let number = self.next;
        if self.in_chunk == 0 {
            self.next_chunk();
        }
        if let Some(run) = table.times.get(self.time_run + 1)
            && run.first <= number
        {
            self.time_run += 1;
        }
        let duration = table.times.get(self.time_run).map_or(0, |run| run.delta);
        let sample = Sample {
            offset: self.position,
            size: table.size(number),
            dts: self.dts,
            duration,
            composition_offset: self.composition_offset(number),
            sync: self.is_sync(number),
        };
        self.next += 1;
        self.in_chunk -= 1;
        self.position += u64::from(sample.size);
        self.dts += i64::from(duration);
        Some(sample)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.end - self.next) as usize;
        (left, Some(left))
    }
}

impl TableSamples<'_> {
    fn next_chunk(&mut self) {
        self.chunk += 1;
        if let Some(run) = self.table.chunk_runs.get(self.chunk_run + 1)
            && run.chunk <= self.chunk
        {
            self.chunk_run += 1;
        }
        self.in_chunk = self.table.chunk_runs.get(self.chunk_run).map_or(1, |run| run.samples);
        self.position = self.table.chunk_offset(self.chunk);
    }

    fn composition_offset(&mut self, number: u32) -> i32 {
        match &self.table.offsets {
            CompositionOffsets::None => 0,
            CompositionOffsets::Small(all) => {
                all.get(number as usize).map_or(0, |offset| i32::from(*offset))
            }
            CompositionOffsets::Wide(all) => all.get(number as usize).copied().unwrap_or(0),
            CompositionOffsets::Runs(runs) => {
                if let Some(run) = runs.get(self.offset_run + 1)
                    && run.0 <= number
                {
                    self.offset_run += 1;
                }
                runs.get(self.offset_run).map_or(0, |run| run.1)
            }
        }
    }

    fn is_sync(&mut self, number: u32) -> bool {
        let Some(sync) = &self.table.sync else {
            return true;
        };
        let found = sync.get(self.sync) == Some(&number);
        self.sync += usize::from(found);
        found
    }
}
