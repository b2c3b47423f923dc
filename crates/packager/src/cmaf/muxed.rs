//! Segments of a picture and a sound together: one `moof` with a `traf` for each, and one `mdat` in
//! which sound and picture alternate at least every half second, so that players need not wait for
//! the one to play the other, and every few pictures where those are large: about as they lie in
//! the source, so that one read serves both.
//!
//! CMAF wants one track a segment; these are fragmented MP4 for players that cannot put two
//! streams together (RFC 8216bis §3.1.2).

use bytes::{BufMut, BytesMut};

use super::moof::{MOOF_LEN, Run, Shape, TRUN_LEN, Traf, moof};
use super::segment::{Cut, STYP_LEN, copy, mdat_header, mdat_header_len};
use crate::index::{Sample, Samples};
use crate::isobmff::write::boxed;
use crate::plan::Plan;
use crate::segments::SegmentSpan;
use crate::units::{MediaTime, Timescale};

/// One track's part in a muxed segment: its span, its timescale, and what it is cut from.
#[derive(Debug, Clone)]
pub(crate) struct Lane<'a> {
    /// The track's number in the init segment.
    pub(crate) track: u32,
    pub(crate) timescale: Timescale,
    pub(crate) span: SegmentSpan,
    pub(crate) cut: Cut<Samples<'a>>,
}

/// The plan of a segment of these tracks. In each turn the `mdat` holds some samples of every
/// track, those of the last track first: the sound, which is small.
pub(crate) fn muxed_segment(number: u32, lanes: &[Lane<'_>]) -> Plan {
    let turns = turns(lanes.iter().map(|lane| (&lane.span, lane.timescale)));
    let samples: Vec<Vec<Sample>> =
        lanes.iter().map(|lane| lane.cut.samples.clone().collect()).collect();
    let shapes: Vec<Shape> = lanes
        .iter()
        .zip(&samples)
        .map(|(lane, samples)| Shape::of(samples.iter().copied(), lane.cut.lead))
        .collect();
    let payload: u64 = shapes.iter().map(|shape| shape.payload).sum();
    let trafs_len: u64 =
        shapes.iter().map(|shape| shape.traf_len(runs(shape.samples, turns))).sum();
    let moof_len = MOOF_LEN + trafs_len;
    let mut data_offset = moof_len + mdat_header_len(payload);

    let mut data = Plan::new("video/mp4");
    let mut trafs: Vec<Traf<'_, _>> = lanes
        .iter()
        .zip(&shapes)
        .map(|(lane, shape)| Traf {
            track: lane.track,
            shape,
            decode_time: lane.cut.decode_time,
            lead: lane.cut.lead,
            runs: Vec::new(),
        })
        .collect();
    for turn in 0..turns {
        for ((lane, samples), traf) in lanes.iter().zip(&samples).zip(&mut trafs).rev() {
            let runs = runs(traf.shape.samples, turns);
            if turn >= runs {
                continue;
            }
            // Evenly by their number, so that how many runs there are follows from that alone.
            let at = |turn: u32| {
                let share = u64::from(traf.shape.samples) * u64::from(turn) / u64::from(runs);
                usize::try_from(share).unwrap_or(usize::MAX)
            };
            let (from, to) = (at(turn), at(turn + 1));
            let samples = samples.get(from..to).unwrap_or_default().iter().copied();
            let before = data.len;
            copy(&mut data, lane.cut.source, samples.clone());
            let count = u32::try_from(samples.len()).unwrap_or(0);
            traf.runs.push(Run { samples, count, data_offset });
            data_offset += data.len - before;
        }
    }

    let mut head = BytesMut::new();
    boxed(&mut head, *b"styp", |out| {
        out.put_slice(b"msdh\0\0\0\0msdhiso6");
    });
    moof(&mut head, number, &trafs);
    mdat_header(&mut head, payload);
    let mut plan = Plan::new("video/mp4");
    plan.push_bytes(head.freeze());
    plan.len += data.len;
    plan.parts.append(&mut data.parts);
    plan
}

/// The length in bytes of the muxed segment of these spans: what they need alone, less the boxes
/// that they share, and a `trun` for every further run.
pub(crate) fn muxed_len(spans: &[(SegmentSpan, Timescale)]) -> u64 {
    let turns = turns(spans.iter().map(|(span, timescale)| (span, *timescale)));
    let mut len = STYP_LEN + MOOF_LEN;
    let mut payload = 0;
    for (span, _) in spans {
        // A segment of more than 4 GiB has the long form of `mdat`.
        let mdat = if u32::try_from(span.bytes).is_ok() { 8 } else { 16 };
        let own = span.bytes.saturating_sub(STYP_LEN + MOOF_LEN + mdat);
        let further = runs(span.samples, turns).saturating_sub(1);
        payload += own;
        len += own + TRUN_LEN * u64::from(further);
    }
    len + mdat_header_len(payload)
}

/// How often the tracks take turns: twice a second or after so many bytes, whichever is more often.
/// Where the offsets of a `trun` (31 bits) might not reach, once.
fn turns<'a>(spans: impl Iterator<Item = (&'a SegmentSpan, Timescale)>) -> u32 {
    let (mut bytes, mut longest) = (0_u64, MediaTime::from_millis(0));
    for (span, timescale) in spans {
        bytes = bytes.saturating_add(span.bytes);
        let ticks = i64::try_from(span.duration).unwrap_or(i64::MAX);
        longest = longest.max(MediaTime::new(ticks, timescale));
    }
    if bytes > 1 << 30 {
        return 1;
    }
    let by_time = u32::try_from(longest.as_millis().div_euclid(TURN_MILLIS)).unwrap_or(1);
    let by_bytes = u32::try_from(bytes / TURN_BYTES).unwrap_or(MAX_TURNS);
    by_time.max(by_bytes).clamp(1, MAX_TURNS)
}

/// In how many runs so many samples lie.
fn runs(samples: u32, turns: u32) -> u32 {
    samples.min(turns)
}

const TURN_MILLIS: i64 = 500;

/// A part of what a body reads at a time, so that it reads several whole turns.
const TURN_BYTES: u64 = 48 << 10;

/// Each takes 40 bytes of headers.
const MAX_TURNS: u32 = 256;
