//! I-frames of a picture as MPEG-TS segments of their own, for trick play of players that know no
//! MP4 (RFC 8216bis §4.4.3.6): tables, one picture, nothing else.
//!
//! They are the same pictures at the same times as in fragmented MP4. Each stands alone, so that a
//! player may fetch any of them; their counters run on all the same, for whoever reads one after
//! the other.

use std::num::NonZeroU32;

use super::clock::Clock;
use super::layout::Counting;
use super::packet::PACKET;
use super::segment::{Cut, Draft};
use super::stream::Stream;
use super::units::Unit;
use super::{VIDEO_PID, table::Lane};
use crate::aes128::encrypted_len;
use crate::layout::{Layout, Planned};
use crate::media::Media;
use crate::segments::SegmentSpan;
use crate::track::TrackId;
use crate::trick::TrickPoint;

/// The tables before each picture, in packets.
const TABLES: u64 = 2;

impl Media {
    /// How many I-frames of a picture there are as MPEG-TS: all, or none.
    pub(crate) fn ts_iframe_count(&self, track: TrackId) -> u32 {
        if self.is_in_ts(track) { self.iframe_count(track) } else { 0 }
    }

    /// The I-frames of a picture as segments of MPEG-TS, number 1 first; none where it has no place
    /// there. Their `bytes` are exact or estimates as those of whole segments are.
    pub(crate) fn ts_iframe_spans(&self, track: TrackId) -> Vec<SegmentSpan> {
        let Some((lane, clock)) = self.lane_of(track) else { return Vec::new() };
        let mut spans = self.iframe_spans(track);
        for (span, point) in spans.iter_mut().zip(self.points(track)) {
            let mut packets = TABLES + unit(lane, clock, point).packets(true) as u64;
            if !lane.stream.is_counted() {
                // Start codes may be longer than lengths, and the last packets fill up to 16.
                packets += 16;
            }
            span.bytes = packets * PACKET as u64;
            if self.segment_key.is_some() {
                span.bytes = encrypted_len(span.bytes);
            }
        }
        spans
    }

    fn lane_of(&self, track: TrackId) -> Option<(&Lane, Clock)> {
        let position = self.position(track)?;
        Some((self.ts().lane(position)?, Clock::new(self.track(track)?.timescale)))
    }
}

/// I-frame `number` (from 1) of a picture; `None` where there is none of that number.
pub(crate) fn iframe(media: &Media, track: TrackId, number: NonZeroU32) -> Option<Planned> {
    let (lane, clock) = media.lane_of(track)?;
    let position = usize::try_from(number.get() - 1).ok()?;
    let points = media.points(track);
    let point = points.get(position)?;
    let (facts, index, _) = media.found(track)?;
    let samples = index.samples().range(point.sample..point.sample.checked_add(1)?);
    // Counted anew each time: a sum over a few thousand sizes.
    let before = points.iter().take(position).map(|point| unit(lane, clock, point).packets(true));
    let counter = if lane.stream.is_counted() { before.sum::<usize>() & 15 } else { 0 };
    let unit = unit(lane, clock, point);
    let cut = Cut {
        stream: &lane.stream,
        pid: VIDEO_PID,
        counter: counter as u8,
        clocked: true,
        source: facts.source,
        language: None,
        samples,
    };
    let draft = Draft::of_picture(number.get(), cut, &unit, media.ts().delay());
    Some(match &*lane.stream {
        Stream::Avc(avc) if !avc.keeps_lengths() => {
            Planned::Layout(Layout::new(Counting::new(avc.clone(), draft)))
        }
        _ => Planned::Ready(draft.plan()),
    })
}

fn unit(lane: &Lane, clock: Clock, point: &TrickPoint) -> Unit {
    Unit::still(&lane.stream, clock.stamp(point.time), point.size)
}
