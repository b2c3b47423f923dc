//! An asset ready to be presented: its tracks on one timeline, cut by one segment table.
//!
//! This is the seam between the core and everything that writes playlists or answers requests.
//! All of it is settled in [`Media::new`]; the rest only looks things up.

use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::aes128::SegmentKey;
use crate::assemble;
use crate::choice::Choice;
use crate::cmaf::{self, Cut};
use crate::error::Result;
use crate::growth::Growth;
use crate::identity::{Fnv, Version};
use crate::index::{MediaIndex, TrackIndex};
use crate::layout::Planned;
use crate::plan::Plan;
use crate::report::Report;
use crate::segments::{SegmentSpan, SegmentTable};
use crate::track::{Track, TrackId};
use crate::trick::TrickPoint;
use crate::ts::{self, Program};
use crate::units::MediaTime;

/// How an asset is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The duration that segments aim at; they end at sync samples, so real ones differ. Default
    /// 4 s; clamped to 0.1 s to 1 h, in whole milliseconds. Part of the asset's version.
    pub target_duration: Duration,
    /// Which tracks are carried and what is said of them; by default what the sources say.
    pub choice: Choice,
    /// The key that segments are encrypted with by AES-128 of HLS; by default none. An asset with
    /// one is presented as HLS with MPEG-TS alone: what this cannot encrypt is not served. Part of
    /// the asset's version.
    pub segment_key: Option<SegmentKey>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            target_duration: Duration::from_secs(4),
            choice: Choice::default(),
            segment_key: None,
        }
    }
}

impl Options {
    /// The target as it is used.
    pub(crate) fn target(&self) -> MediaTime {
        let millis = self.target_duration.as_millis().clamp(100, 3_600_000);
        MediaTime::from_millis(i64::try_from(millis).unwrap_or(4_000))
    }
}

/// An asset on one timeline, cut by one segment table.
///
/// Times of the output: presentation time zero of the source lies at
/// [`start_offset_seconds`](Self::start_offset_seconds) in every track, a whole number of seconds
/// so that it is exact in every timescale (DASH `@presentationTimeOffset`).
#[derive(Debug, Clone)]
pub struct Media {
    pub(crate) version: Version,
    /// Of recordings that end: what named it before they were settled, or will when they are.
    pub(crate) other_version: Option<Version>,
    pub(crate) sources: Vec<Arc<MediaIndex>>,
    pub(crate) tracks: Vec<Track>,
    /// For each track where it is in its source, and the lead of its decode times.
    pub(crate) places: Vec<Place>,
    pub(crate) segments: SegmentTable,
    /// The I-frames of each picture, by its position; none for sounds, which come after them.
    pub(crate) trick: Vec<Box<[TrickPoint]>>,
    pub(crate) start_offset: u32,
    pub(crate) duration: MediaTime,
    /// Whether a source is a recording, growing or taken for finished, that may go on.
    pub(crate) recorded: bool,
    pub(crate) growth: Option<Growth>,
    pub(crate) target: MediaTime,
    pub(crate) choice: Choice,
    pub(crate) segment_key: Option<SegmentKey>,
    pub(crate) report: Report,
    /// Of transport streams, made when the first is asked for.
    pub(crate) ts: OnceLock<Arc<ts::Table>>,
}

/// Where a track's samples come from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Index in the source's list of tracks.
    pub(crate) position: usize,
    /// What its composition offsets are lessened by.
    pub(crate) lead: i32,
    /// Presentation time minus composition time as its samples have it, in ticks of the track.
    pub(crate) shift: i64,
    /// How many of its samples are presented: the first so many.
    pub(crate) count: u32,
    /// The latest end of a sample's presentation, in ticks.
    pub(crate) end: i64,
}

impl Media {
    /// Puts the sources of one asset together. Unless [`Options::choice`] picks tracks, the first
    /// picture track of each source becomes a rendition of one ladder; sound is taken once per
    /// codec, language, channel count and name: where several sources have it, the first of equal
    /// ones and the best of different bit rates. Sources that are [`unusable`](MediaIndex::unusable) keep their
    /// place among them, but are no part of the version.
    pub fn new(sources: Vec<Arc<MediaIndex>>, options: &Options) -> Result<Self> {
        assemble::assemble(sources, options)
    }

    /// The version of the sources and of how they are cut, for URLs.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The same under its other version, where it is a recording that is taken for finished: once
    /// it is [settled](MediaIndex::set_settled) the one that it had before, so that who began to
    /// watch it then goes on under those URLs; before that the one that it will have, so that
    /// packagers whose clocks differ answer to each other's URLs. Segments have the same numbers
    /// and bytes. It is a recording that may go on.
    #[must_use]
    pub fn under_other_version(&self) -> Option<Self> {
        let version = self.other_version?;
        Some(Self { version, other_version: None, recorded: true, ..self.clone() })
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

    /// What was decided about it beyond what the sources say.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// Whether it is still being recorded: then it has the segments that are settled, and later
    /// more of them, in the same version.
    pub fn growth(&self) -> Option<Growth> {
        self.growth
    }

    /// The duration that segments were aimed at.
    pub fn target_duration(&self) -> MediaTime {
        self.target
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
        self.position(track).map_or(&[], |position| self.segments.spans(position))
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

    /// Whether every segment of every track can be decoded without another one (RFC 8216bis
    /// §4.4.2.1): not where GOPs are open, so that pictures before a sync sample in presentation
    /// need the GOP before it.
    pub fn independent_segments(&self) -> bool {
        self.segments.is_independent()
    }

    /// The number of the segment that starts at `time`, in ticks of the track on the output's
    /// timeline; `None` where none does, or several do.
    pub(crate) fn number_at(&self, track: TrackId, time: u64) -> Option<u32> {
        let spans = self.spans(track);
        let position = spans.binary_search_by_key(&time, |span| span.start).ok()?;
        let next = position.saturating_add(1);
        let others = [position.checked_sub(1), Some(next)];
        let others = others.into_iter().flatten().filter_map(|other| spans.get(other));
        if others.into_iter().any(|other| other.start == time) {
            return None;
        }
        u32::try_from(next).ok()
    }

    /// Whether the start of a segment tells it from all others of its track: not where composition
    /// offsets are damaged so that segments would overlap.
    pub(crate) fn is_told_by_time(&self, track: TrackId) -> bool {
        self.spans(track).is_sorted_by(|before, after| before.start < after.start)
    }

    /// The init segment of a track; `None` for an unknown track.
    ///
    /// An asset with a [segment key](Options::segment_key) has none: it would be in clear. So it is
    /// with [`segment`](Self::segment) and [`ts_segment`](Self::ts_segment).
    pub fn init(&self, track: TrackId) -> Option<Plan> {
        if self.segment_key.is_some() {
            return None;
        }
        let position = self.position(track)?;
        let track = self.tracks.get(position)?;
        let (index, _) = self.place(position)?;
        Some(cmaf::init(track, index))
    }

    /// Segment `number` (from 1) of a track; `None` where there is no such track or number.
    pub fn segment(&self, track: TrackId, number: u32) -> Option<Plan> {
        if self.segment_key.is_some() {
            return None;
        }
        let position = self.position(track)?;
        let span = self.span(track, number)?;
        let track = self.tracks.get(position)?;
        let (index, place) = self.place(position)?;
        let cut = Cut {
            number,
            source: track.source,
            samples: index.samples().range(span.first_sample..span.first_sample + span.samples),
            decode_time: span.decode_time,
            lead: place.lead,
        };
        Some(cmaf::segment(track.content_type(), &cut))
    }

    /// Segment `number` (from 1) of a program as MPEG-TS; `None` where one of its tracks has no
    /// place in MPEG-TS or is none, and where there is no such number.
    pub fn ts_segment(&self, program: Program, number: NonZeroU32) -> Option<Planned> {
        if self.segment_key.is_some() {
            return None;
        }
        ts::segment(self, program, number)
    }

    /// The lengths of all segments of a program in bytes, encrypted where they are. Where NAL units of the picture have
    /// lengths of other than four bytes, they are estimates, rather too large; all others are
    /// exact. `None` where one of its tracks has no place in MPEG-TS or is none.
    pub fn ts_segment_bytes(&self, program: Program) -> Option<Vec<u64>> {
        Some(self.ts_spans(program)?.iter().map(|span| span.bytes).collect())
    }

    /// A hash over what is said of it in manifests alone; 0 where nothing is.
    pub(crate) fn labels(&self) -> u64 {
        let labels = self.choice.labels();
        let Some(uri) = self.segment_key.as_ref().and_then(SegmentKey::uri) else { return labels };
        let mut hash = Fnv::new();
        hash.field(&labels.to_be_bytes());
        hash.field(uri.as_bytes());
        hash.finish()
    }

    /// The key that segments are encrypted with, where they are.
    pub fn segment_key(&self) -> Option<&SegmentKey> {
        self.segment_key.as_ref()
    }

    /// Whether [`ts`](Self::ts) has counted.
    #[cfg(feature = "http")]
    pub(crate) fn ts_is_counted(&self) -> bool {
        self.ts.get().is_some()
    }

    /// The packets of transport streams. Counting them looks at every sample, once.
    pub(crate) fn ts(&self) -> &ts::Table {
        self.ts.get_or_init(|| Arc::new(ts::Table::of(self)))
    }

    /// Memory that it holds without its sources, in bytes; what is counted for transport streams
    /// later is in it from the start.
    pub fn weight_bytes(&self) -> usize {
        let spans: usize = self.tracks.iter().map(|track| self.spans(track.id).len()).sum();
        size_of::<Self>()
            + spans * ts::SEGMENT_WEIGHT
            + self.tracks.len() * (size_of::<Track>() + size_of::<Place>() + 64)
            + self.segments.weight_bytes()
            + self.trick.iter().map(|points| size_of_val::<[TrickPoint]>(points)).sum::<usize>()
    }

    pub(crate) fn position(&self, track: TrackId) -> Option<usize> {
        self.tracks.iter().position(|candidate| candidate.id == track)
    }

    pub(crate) fn span(&self, track: TrackId, number: u32) -> Option<&SegmentSpan> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        self.spans(track).get(index)
    }

    /// A track with where its samples are.
    pub(crate) fn found(&self, track: TrackId) -> Option<(&Track, &TrackIndex, Place)> {
        let position = self.position(track)?;
        let (index, place) = self.place(position)?;
        Some((self.tracks.get(position)?, index, place))
    }

    pub(crate) fn place(&self, position: usize) -> Option<(&TrackIndex, Place)> {
        let track = self.tracks.get(position)?;
        let place = *self.places.get(position)?;
        let index = self.sources.get(track.source)?;
        Some((index.tracks().get(place.position)?, place))
    }
}
