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
mod order;
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

use crate::index::Samples;
use crate::layout::{Layout, Planned};
use crate::media::Media;
use crate::track::TrackId;
use layout::Counting;
use order::{Line, Order};
use psi::Language;
use segment::{Cut, Draft};
use stream::Stream;
use units::Units;

const VIDEO_PID: u16 = 0x100;
const AUDIO_PID: u16 = 0x101;

/// Segment `number` of a program; `None` where one of its tracks has no place in MPEG-TS or is no
/// track, or none has so many segments.
pub(crate) fn segment(media: &Media, program: Program, number: NonZeroU32) -> Option<Planned> {
    let index = usize::try_from(number.get() - 1).ok()?;
    let table = media.ts();
    let mut cuts = Vec::with_capacity(2);
    let mut lines = Vec::with_capacity(2);
    let mut reading = None;
    let mut exists = false;
    for (track, pid, clocked) in streams(program) {
        let position = media.position(track)?;
        let lane = table.lane(position)?;
        let facts = media.tracks.get(position)?;
        exists |= media.segments.spans(position).get(index).is_some();
        if let Stream::Avc(avc) = &*lane.stream
            && !avc.keeps_lengths()
        {
            reading = Some(avc.clone());
        }
        let (line, samples) = line(media, position, index, clocked)?;
        lines.push(line);
        cuts.push(Cut {
            stream: &lane.stream,
            pid,
            counter: lane.count(index, clocked).counter,
            clocked,
            source: facts.source,
            language: Language::of(facts),
            samples,
        });
    }
    if !exists {
        return None;
    }
    let draft = Draft::new(number.get(), cuts, Order::new(lines), table.delay());
    Some(match reading {
        Some(avc) => Planned::Layout(Layout::new(Counting::new(avc, draft))),
        None => Planned::Ready(draft.plan()),
    })
}

/// The tracks of a program with their PIDs, and whether they carry its clock: the picture, or the
/// sound where there is none.
fn streams(program: Program) -> impl Iterator<Item = (TrackId, u16, bool)> {
    let (video, audio) = (program.video(), program.audio());
    let video_too = video.is_some();
    let pictures = video.map(|track| (track, VIDEO_PID, true));
    pictures.into_iter().chain(audio.map(move |track| (track, AUDIO_PID, !video_too)))
}

/// What the track at `position` has in the segment at `index`, nothing past its end; and its
/// samples there.
fn line(
    media: &Media,
    position: usize,
    index: usize,
    clocked: bool,
) -> Option<(Line<'_>, Samples<'_>)> {
    let lane = media.ts().lane(position)?;
    let timescale = media.tracks.get(position)?.timescale;
    let (source, place) = media.place(position)?;
    let span = media.segments.spans(position).get(index);
    let (range, decode_time) = span.map_or((0..0, 0), |span| {
        (span.first_sample..span.first_sample.saturating_add(span.samples), span.decode_time)
    });
    let samples = source.samples().range(range);
    let units = Units::new(&lane.stream, timescale, samples.clone(), decode_time, place.lead);
    Some((Line { units, clocked, after: media.ts_after(position, index) }, samples))
}
