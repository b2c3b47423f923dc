//! A whole track as one file: init segment, segment index, all media segments; and all of its
//! I-frames for trick play as another. Players take byte ranges of them (DASH on-demand profile,
//! ISO/IEC 23009-1 §8.3, where a representation is one file; HLS `EXT-X-BYTERANGE`).
//!
//! The file of a long film is large and its plan would be, too; so a plan is made for a range, and
//! only the segments that it touches are planned.

use std::borrow::Cow;
use std::ops::Range;

use bytes::BytesMut;

use crate::cmaf::{Reference, sidx, sidx_len};
use crate::media::Media;
use crate::plan::Plan;
use crate::segments::SegmentSpan;
use crate::track::TrackId;

/// Where things are in a track's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileMap {
    /// The init segment, from 0.
    pub(crate) init: Range<u64>,
    /// The segment index right after it.
    pub(crate) index: Range<u64>,
    /// The length of all.
    pub(crate) len: u64,
}

/// What is in a file of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// All of its segments.
    Segments,
    /// Its I-frames for trick play, each a subsegment.
    IFrames,
}

impl Media {
    /// The map of a track's file; `None` for an unknown track and for one that an index cannot
    /// hold: with more than 65,535 segments, or one of 2 GiB or of more than 2^32 ticks. A recording
    /// that grows has none, and of I-frames there is none where there is no trick play.
    pub(crate) fn file_map(&self, track: TrackId, kind: FileKind) -> Option<FileMap> {
        self.map_over(track, &self.file_spans(track, kind))
    }

    /// The plan of the bytes `range` of a track's file; `None` where there is no such file, or
    /// `range` is not within it.
    pub(crate) fn file_part(
        &self,
        track: TrackId,
        kind: FileKind,
        range: Range<u64>,
    ) -> Option<Plan> {
        let spans = self.file_spans(track, kind);
        let map = self.map_over(track, &spans)?;
        if range.start > range.end || range.end > map.len {
            return None;
        }
        let mut plan = Plan::new(self.track(track)?.content_type());
        if range.start < map.index.end {
            let mut head = self.init(track)?;
            head.push_bytes(self.segment_index(track, kind, &spans)?.freeze());
            plan.append(head.cut(&(range.start..range.end.min(map.index.end))));
        }
        let mut at = map.index.end;
        for (number, span) in (1..).zip(&*spans) {
            let (from, to) = (range.start.max(at), range.end.min(at + span.bytes));
            if from < to {
                let segment = match kind {
                    FileKind::Segments => self.segment(track, number)?,
                    FileKind::IFrames => self.iframe(track, number)?,
                };
                plan.append(segment.cut(&(from - at..to - at)));
            } else if at >= range.end {
                break;
            }
            at += span.bytes;
        }
        Some(plan)
    }

    fn file_spans(&self, track: TrackId, kind: FileKind) -> Cow<'_, [SegmentSpan]> {
        match kind {
            FileKind::Segments => Cow::Borrowed(self.spans(track)),
            FileKind::IFrames => Cow::Owned(self.iframe_spans(track)),
        }
    }

    fn map_over(&self, track: TrackId, spans: &[SegmentSpan]) -> Option<FileMap> {
        if self.growth().is_some() || spans.is_empty() {
            return None;
        }
        let init = self.init(track)?.len;
        let fits = |span: &SegmentSpan| {
            span.bytes <= Reference::MAX_BYTES && u32::try_from(span.duration).is_ok()
        };
        if spans.len() > Reference::MAX_COUNT || !spans.iter().all(fits) {
            return None;
        }
        let data = init + sidx_len(spans.len());
        let len = spans.iter().map(|span| span.bytes).sum::<u64>() + data;
        Some(FileMap { init: 0..init, index: init..data, len })
    }

    fn segment_index(
        &self,
        track: TrackId,
        kind: FileKind,
        spans: &[SegmentSpan],
    ) -> Option<BytesMut> {
        let described = self.track(track)?;
        // Every frame of sound is an access point.
        let starts_with_sap =
            described.is_audio() || kind == FileKind::IFrames || self.independent_segments();
        let references: Vec<Reference> = spans
            .iter()
            .map(|span| Reference {
                bytes: u32::try_from(span.bytes).unwrap_or(u32::MAX),
                duration: u32::try_from(span.duration).unwrap_or(u32::MAX),
                starts_with_sap: starts_with_sap && span.samples > 0,
            })
            .collect();
        let mut out = BytesMut::new();
        let earliest = spans.first().map_or(0, |span| span.start);
        sidx(&mut out, described.timescale, earliest, &references);
        Some(out)
    }
}
