//! MPEG-2 transport streams (ISO/IEC 13818-1) as HLS wants its segments (RFC 8216bis §3.1.1): H.264
//! as a byte stream, AAC in ADTS, AC-3, E-AC-3 and MP3, for players that know no MP4.
//!
//! ```text
//! PAT | PMT | PES packets by decode time: a picture each, or up to 100 ms of sound
//! ```
//!
//! A segment is planned from the index alone, so that its length is known before a sample is read,
//! and every sample is read once and copied once, straight into packets. What depends on the bytes
//! of a sample is made so that it does not change lengths (`avc`). Only where NAL units have
//! lengths of other than four bytes is a segment laid out by reading it first (`layout`).
//!
//! Continuity counters run on from segment to segment: the table of packets (`table`) says where
//! each begins, and is made from the index when the first transport stream of an asset is asked
//! for.
//!
//! Times are those of all other outputs: 90 kHz ticks of the one timeline, start offset included,
//! each rounded by itself. The clock runs before them by as much as there is before the first.

mod adts;
mod avc;
mod clock;
mod iframes;
mod layout;
mod packet;
mod pes;
mod program;
mod psi;
mod segment;
mod sound;
mod stream;
mod table;
mod units;

pub use program::Program;

pub(crate) use iframes::iframe;
pub(crate) use table::SEGMENT_WEIGHT;
pub(crate) use table::Table;

use std::num::NonZeroU32;

use crate::layout::{Layout, Planned};
use crate::media::Media;
use layout::Counting;
use psi::Language;
use segment::{Cut, Draft};
use stream::Stream;
use units::Units;

const VIDEO_PID: u16 = 0x100;
const AUDIO_PID: u16 = 0x101;

/// Segment `number` of a program; `None` where one of its tracks has no place in MPEG-TS or is no
/// track, or none has so many segments.
pub(crate) fn segment(media: &Media, program: Program, number: NonZeroU32) -> Option<Planned> {
    let (video, audio) = (program.video(), program.audio());
    let table = media.ts();
    let index = usize::try_from(number.get() - 1).ok()?;
    let mut cuts = Vec::with_capacity(2);
    let mut reading = None;
    let mut exists = false;
    for (track, pid, clocked) in [(video, VIDEO_PID, true), (audio, AUDIO_PID, video.is_none())] {
        let Some(track) = track else { continue };
        let position = media.position(track)?;
        let lane = table.lane(position)?;
        let facts = media.tracks.get(position)?;
        let (samples, place) = media.place(position)?;
        let spans = media.segments.spans(position);
        let span = spans.get(index);
        exists |= span.is_some();
        let (range, decode_time) = span.map_or((0..0, 0), |span| {
            (span.first_sample..span.first_sample.saturating_add(span.samples), span.decode_time)
        });
        let samples = samples.samples().range(range);
        if let Stream::Avc(avc) = &*lane.stream
            && !avc.keeps_lengths()
        {
            reading = Some(avc.clone());
        }
        cuts.push(Cut {
            stream: &lane.stream,
            pid,
            counter: lane.count(index, clocked).counter,
            clocked,
            starts: span.is_some_and(|span| span.first_sample == 0),
            // While it grows, more follows than is published.
            ends: media.growth().is_none() && index + 1 >= spans.len(),
            source: facts.source,
            language: Language::of(facts),
            units: Units::new(
                &lane.stream,
                facts.timescale,
                samples.clone(),
                decode_time,
                place.lead,
            ),
            samples,
        });
    }
    if !exists {
        return None;
    }
    let draft = Draft::new(number.get(), cuts, table.delay());
    Some(match reading {
        Some(avc) => Planned::Layout(Layout::new(Counting::new(avc, draft))),
        None => Planned::Ready(draft.plan()),
    })
}
