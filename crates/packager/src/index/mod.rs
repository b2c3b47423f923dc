//! The index of one source: what its `moov` says, in compact tables.

mod builder;
mod checkpoint;
mod chunks;
mod cuts;
mod fragment;
mod joined;
mod movie;
mod packed;
mod peek;
mod runs;
mod samples;
mod scan;
mod sizes;
mod summary;
mod sync;
mod table;
mod times;

pub use builder::IndexBuilder;
pub use samples::{Sample, Samples, TableBytes, TrackSamples};
pub(crate) use summary::Summary;

pub use crate::isobmff::elst::Edit;

use std::fmt;

use self::peek::Pending;
use crate::codec::Codec;
use crate::growth::Growth;
use crate::identity::SourceId;
use crate::report::Report;
use crate::role::Role;
use crate::units::{ByteRange, Timescale};

/// What a state machine wants next.
#[derive(Debug)]
#[must_use]
pub enum Step<T> {
    /// Read these ranges, feed each, then step again.
    Need(Vec<ByteRange>),
    /// Finished.
    Done(T),
}

/// The index of one source: the tracks that can be carried, and what was left out.
#[derive(Debug)]
pub struct MediaIndex {
    source: SourceId,
    movie_timescale: Timescale,
    tracks: Vec<TrackIndex>,
    report: Report,
    recording: Option<Recording>,
    growth: Option<Growth>,
}

/// A source that is written fragment by fragment, and may be growing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recording {
    /// What names its bytes, however far it has grown: a hash of its movie box and first fragment.
    pub(crate) identity: u64,
    /// It says that it is finished.
    pub(crate) closed: bool,
    /// Whoever read it says that it is not added to any more.
    pub(crate) settled: bool,
}

impl MediaIndex {
    /// The index of a source that has none: in its place among the renditions of an asset it
    /// carries nothing, and the report says why.
    pub fn unusable(source: SourceId, why: &impl fmt::Display) -> Self {
        let mut report = Report::new();
        report.skip_source(format!("it is left out: {why}"));
        Self {
            source,
            movie_timescale: Timescale::MILLIS,
            tracks: Vec::new(),
            report,
            recording: None,
            growth: None,
        }
    }

    /// The source it was made from.
    pub fn source(&self) -> &SourceId {
        &self.source
    }

    /// What edit lists count their durations in.
    pub fn movie_timescale(&self) -> Timescale {
        self.movie_timescale
    }

    /// The tracks that can be carried, in the file's order; at least one, unless the index is that
    /// of an [`unusable`](Self::unusable) source.
    pub fn tracks(&self) -> &[TrackIndex] {
        &self.tracks
    }

    /// Whether it may be a recording that is still being written: it has fragments, no index of
    /// them, and nothing at its end that says that it is finished.
    pub fn may_grow(&self) -> bool {
        self.recording.is_some_and(|recording| !recording.closed)
    }

    /// Says that it is still being written; without effect where it cannot grow.
    pub fn set_growth(&mut self, growth: Growth) {
        self.growth = Some(growth).filter(|_| self.may_grow());
    }

    /// Says that nothing will be added to it, should it be a recording: then its state is named as
    /// that of other files is, and what depends on its end is as lasting as the rest.
    pub fn set_settled(&mut self) {
        if let Some(recording) = &mut self.recording {
            recording.settled = true;
            self.growth = None;
        }
    }

    /// That it is still being written.
    pub(crate) fn growth(&self) -> Option<Growth> {
        self.growth
    }

    pub(crate) fn recording(&self) -> Option<Recording> {
        self.recording
    }

    /// What was left out of this source and why.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Memory that it holds, in bytes: what a cache weighs it by.
    pub fn weight_bytes(&self) -> usize {
        size_of::<Self>()
            + self.source.name.len()
            + self.source.etag.len()
            + self.tracks.iter().map(TrackIndex::weight_bytes).sum::<usize>()
    }
}

/// One track of a source.
#[derive(Debug)]
pub struct TrackIndex {
    pub(crate) number: u32,
    pub(crate) timescale: Timescale,
    pub(crate) packed_language: u16,
    pub(crate) language: Option<String>,
    pub(crate) name: Option<String>,
    /// What its `kind` boxes say.
    pub(crate) roles: Vec<Role>,
    pub(crate) enabled: bool,
    /// The alternatives to it are those of the same number; 0 where it has none.
    pub(crate) alternate_group: u16,
    pub(crate) rotation: u16,
    pub(crate) matrix: [i32; 9],
    /// What presents its samples as they are listed here: a delay, and one edit.
    pub(crate) edits: Box<[Edit]>,
    /// What the source says, where the samples are listed so that it holds.
    pub(crate) stated_edits: Option<Box<[Edit]>>,
    pub(crate) codec: Codec,
    /// Where the codec is not known before samples were looked at.
    pub(crate) pending: Option<Box<Pending>>,
    /// When its first sample is decoded, on the timeline that its edit list speaks of; in ticks.
    pub(crate) start: i64,
    pub(crate) samples: TrackSamples,
}

impl TrackIndex {
    /// Its number in the file (track_ID).
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Ticks per second of its times.
    pub fn timescale(&self) -> Timescale {
        self.timescale
    }

    /// RFC 6381 codec string.
    pub fn codec(&self) -> &str {
        self.codec.rfc6381()
    }

    /// Whether it is picture; otherwise it is sound.
    pub fn is_video(&self) -> bool {
        self.codec.is_video()
    }

    /// The source's edit list; empty where there is none.
    pub fn edits(&self) -> &[Edit] {
        self.stated_edits.as_ref().unwrap_or(&self.edits)
    }

    /// Its samples; where its edit list jumps, those that it presents, as often as it does.
    pub fn samples(&self) -> &TrackSamples {
        &self.samples
    }

    fn weight_bytes(&self) -> usize {
        size_of::<Self>()
            + self.samples.weight_bytes()
            + size_of_val(&*self.edits)
            + self.stated_edits.as_deref().map_or(0, size_of_val)
            + self.codec.sample_entry().len()
            + self.codec.rfc6381().len()
            + self.language.as_deref().map_or(0, str::len)
            + self.name.as_deref().map_or(0, str::len)
    }
}
