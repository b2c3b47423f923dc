//! Pictures for trick play: the sync samples of a picture track as a track of their own, one
//! segment each.
//!
//! A byte range of an ordinary segment can show at most its first sample, and leaves an `mdat` cut
//! short that players which append to a buffer trip over. So I-frames are segments of their own:
//! HLS lists them in a playlist of I-frames (RFC 8216bis §4.4.3.6), DASH in an adaptation set for
//! trick modes, and players that know neither never see them. Each is shown until the next, so
//! decode and presentation times are the same.

use crate::cmaf::{self, Cut, Shape};
use crate::index::Sample;
use crate::media::Media;
use crate::plan::Plan;
use crate::segments::{Lane, SegmentSpan};
use crate::track::TrackId;

/// One I-frame of a picture track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TrickPoint {
    /// When it is shown, on the output's timeline, in ticks of the track.
    pub(crate) time: u64,
    /// Its number in the source track.
    pub(crate) sample: u32,
    /// In bytes.
    pub(crate) size: u32,
}

/// I-frames nearer than this to the one before are passed over: nobody sees more than two a second
/// when all of them are shown faster than they were made.
const LEAST_MILLIS: u64 = 500;

/// The I-frames of a picture; none where there are fewer than two, which would be no trick.
pub(crate) fn points(lane: Lane<'_>, start_offset: u32) -> Box<[TrickPoint]> {
    let hertz = u64::from(lane.track.timescale().get());
    let offset = i64::from(start_offset).saturating_mul(i64::try_from(hertz).unwrap_or(i64::MAX));
    let mut points: Vec<TrickPoint> = Vec::new();
    for sync in &lane.placement.sync {
        let Ok(time) = u64::try_from(sync.time.saturating_add(offset)) else { continue };
        let far = points.last().is_none_or(|last| {
            let apart = u128::from(time.saturating_sub(last.time)) * 1_000;
            apart >= u128::from(LEAST_MILLIS * hertz) && time > last.time
        });
        if !far {
            continue;
        }
        let size = lane.track.samples().size(sync.number);
        points.push(TrickPoint { time, sample: sync.number, size });
    }
    if points.len() < 2 { Box::default() } else { points.into() }
}

impl Media {
    /// How many I-frames the track has for trick play; 0 for a sound.
    pub fn iframe_count(&self, track: TrackId) -> u32 {
        u32::try_from(self.points(track).len()).unwrap_or(u32::MAX)
    }

    /// The I-frames of a track as segments, number 1 first.
    pub(crate) fn iframe_spans(&self, track: TrackId) -> Vec<SegmentSpan> {
        let points = self.points(track);
        let end = self.spans(track).last().map_or(0, |span| span.start + span.duration);
        let ends = points.iter().skip(1).map(|point| point.time).chain([end]);
        points
            .iter()
            .zip(ends)
            .map(|(point, end)| SegmentSpan {
                start: point.time,
                duration: end.saturating_sub(point.time),
                bytes: cmaf::segment_len(&Shape::of(std::iter::once(point.shown(end)), 0)),
                first_sample: point.sample,
                samples: 1,
                decode_time: point.time,
            })
            .collect()
    }

    /// I-frame `number` (from 1) of a track as a segment.
    pub(crate) fn iframe(&self, track: TrackId, number: u32) -> Option<Plan> {
        let points = self.points(track);
        let position = usize::try_from(number.checked_sub(1)?).ok()?;
        let point = points.get(position)?;
        let end = match points.get(position + 1) {
            Some(next) => next.time,
            None => self.spans(track).last().map_or(0, |span| span.start + span.duration),
        };
        let (track, index, _) = self.found(track)?;
        let sample = index.samples().range(point.sample..point.sample.checked_add(1)?).next()?;
        let shown = Sample { offset: sample.offset, ..point.shown(end) };
        let cut = Cut {
            number,
            source: track.source,
            samples: std::iter::once(shown),
            decode_time: point.time,
            lead: 0,
        };
        Some(cmaf::segment(track.content_type(), &cut))
    }

    pub(crate) fn points(&self, track: TrackId) -> &[TrickPoint] {
        let position = self.position(track);
        position.and_then(|position| self.trick.get(position)).map_or(&[], |points| points)
    }
}

impl TrickPoint {
    /// The sample as it is shown up to `end`, wherever its bytes are.
    fn shown(self, end: u64) -> Sample {
        let duration = u32::try_from(end.saturating_sub(self.time)).unwrap_or(u32::MAX);
        Sample { offset: 0, size: self.size, dts: 0, duration, composition_offset: 0, sync: true }
    }
}
