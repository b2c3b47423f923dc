//! Where the samples of one track are, when they are decoded, and how to find them.
//!
//! There are two levels on purpose: a track's samples are a table now, and will also be a list of
//! fragments that are expanded one at a time. Whoever uses them sees only [`TrackSamples`].

use std::ops::Range;

use super::summary::Summary;
use super::table::{SampleTable, TableSamples};

/// One sample: an access unit of picture, a frame of sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Its offset in the source, in bytes.
    pub offset: u64,
    /// Its size in bytes.
    pub size: u32,
    /// Its decode time in ticks of the track, from 0 at the first sample.
    pub dts: i64,
    /// Its duration in ticks.
    pub duration: u32,
    /// Composition time minus decode time, in ticks.
    pub composition_offset: i32,
    /// Whether decoding can start here.
    pub sync: bool,
}

impl Sample {
    /// Its composition time in ticks, on the timeline of the media (before edits).
    pub fn cts(&self) -> i64 {
        self.dts + i64::from(self.composition_offset)
    }
}

/// The samples of one track, numbered from 0 in decode order.
#[derive(Debug)]
pub struct TrackSamples {
    level: Level,
}

#[derive(Debug)]
enum Level {
    Table(Box<SampleTable>),
}

impl TrackSamples {
    pub(super) fn from_table(table: Box<SampleTable>) -> Self {
        Self { level: Level::Table(table) }
    }

    /// How many there are; at least one.
    pub fn count(&self) -> u32 {
        match &self.level {
            Level::Table(table) => table.count(),
        }
    }

    /// The sum of their durations in ticks.
    pub fn duration(&self) -> u64 {
        match &self.level {
            Level::Table(table) => table.duration(),
        }
    }

    /// All of them in decode order.
    pub fn iter(&self) -> Samples<'_> {
        self.range(0..self.count())
    }

    /// Those with numbers in `range` (cut to what there is), found in O(log n).
    pub fn range(&self, range: Range<u32>) -> Samples<'_> {
        match &self.level {
            Level::Table(table) => Samples { level: SamplesLevel::Table(table.range(range)) },
        }
    }

    /// The first sample that is decoded at `dts` or later; [`count`](Self::count) where none is.
    pub fn at_or_after(&self, dts: i64) -> u32 {
        match &self.level {
            Level::Table(table) => table.at_or_after(dts),
        }
    }

    /// What the samples with numbers in `range` (cut to what there is) come to, without a look at
    /// each; `None` where there is none.
    pub(crate) fn summary(&self, range: Range<u32>) -> Option<Summary> {
        match &self.level {
            Level::Table(table) => table.summary(range),
        }
    }

    /// The numbers and composition times of the sync samples in `range`.
    pub(crate) fn sync_times(&self, range: Range<u32>) -> Vec<(u32, i64)> {
        match &self.level {
            Level::Table(table) => table.sync_times(range),
        }
    }

    /// The size in bytes of sample `number`; 0 where there is none.
    pub(crate) fn size(&self, number: u32) -> u32 {
        match &self.level {
            Level::Table(table) => table.size(number),
        }
    }

    /// The one duration that all samples but perhaps the last have.
    pub(crate) fn constant_duration(&self) -> Option<u32> {
        match &self.level {
            Level::Table(table) => table.constant_duration(),
        }
    }

    /// The shortest and longest duration among all samples but the last.
    pub(crate) fn duration_bounds(&self) -> (u32, u32) {
        match &self.level {
            Level::Table(table) => table.duration_bounds(),
        }
    }

    /// Memory held, in bytes, table by table.
    pub fn table_bytes(&self) -> TableBytes {
        match &self.level {
            Level::Table(table) => table.bytes(),
        }
    }

    /// Memory held, in bytes.
    pub fn weight_bytes(&self) -> usize {
        let Level::Table(table) = &self.level;
        size_of_val(&**table) + self.table_bytes().total()
    }
}

/// What the tables of a track take in memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TableBytes {
    /// Sizes of samples and their sums.
    pub sizes: usize,
    /// Durations, from which decode times follow.
    pub durations: usize,
    /// Composition offsets.
    pub composition_offsets: usize,
    /// Offsets of chunks, and how many samples are in each.
    pub chunks: usize,
    /// Which samples are sync samples.
    pub sync_samples: usize,
}

impl TableBytes {
    /// All together.
    pub fn total(&self) -> usize {
        self.sizes + self.durations + self.composition_offsets + self.chunks + self.sync_samples
    }
}

impl<'a> IntoIterator for &'a TrackSamples {
    type Item = Sample;
    type IntoIter = Samples<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Samples in decode order.
#[derive(Debug, Clone)]
pub struct Samples<'a> {
    level: SamplesLevel<'a>,
}

#[derive(Debug, Clone)]
enum SamplesLevel<'a> {
    Table(TableSamples<'a>),
}

impl Iterator for Samples<'_> {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        match &mut self.level {
            SamplesLevel::Table(samples) => samples.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.level {
            SamplesLevel::Table(samples) => samples.size_hint(),
        }
    }
}

impl ExactSizeIterator for Samples<'_> {}
