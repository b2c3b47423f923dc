//! How many packets each track takes in each segment, from the index alone: so every segment knows
//! the continuity counters that it begins with, and its length.
//!
//! Pictures whose NAL units have lengths of other than four bytes grow by an amount that only their
//! samples tell. The last of each segment is filled up with zero bytes, so that their packets are a
//! multiple of 16 and every segment begins at counter 0.

use std::sync::Arc;

use super::packet::PACKET;
use super::program::Program;
use super::stream::Stream;
use super::units::{Clocks, Unit, Units};
use crate::media::Media;
use crate::segments::SegmentSpan;
use crate::track::TrackId;
use crate::units::Timescale;

/// Of all tracks of an asset.
#[derive(Debug)]
pub(crate) struct Table {
    /// In the order of the asset's tracks; or why one has no place in MPEG-TS.
    lanes: Vec<Result<Lane, &'static str>>,
    /// How long before its decoding a picture or sound is sent by the clock, in ticks of 90 kHz:
    /// as long as there is before the first one, but no longer than needed.
    delay: u64,
}

/// The clock runs ahead of decoding by at most this, in ticks of 90 kHz.
const MAX_DELAY: u64 = 63_000;

/// Of one track.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) stream: Arc<Stream>,
    /// With the program's clock: pictures, and sound alone.
    clocked: Counts,
    /// Without: sound beside pictures.
    plain: Counts,
}

#[derive(Debug)]
struct Counts {
    segments: Vec<Count>,
    /// Nothing, with the counter after the last.
    past: Count,
}

/// In one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Count {
    /// With payload and without.
    packets: u32,
    /// PES packets.
    units: u32,
    /// When the last of those is decoded, and its end, in ticks of 90 kHz.
    last: u64,
    end: u64,
    /// Continuity counter of the first.
    pub(super) counter: u8,
}

impl Table {
    /// Looks at every sample once.
    pub(crate) fn of(media: &Media) -> Self {
        let lanes: Vec<_> = (0..media.tracks.len()).map(|position| lane(media, position)).collect();
        let starts = lanes.iter().enumerate().filter(|(_, lane)| lane.is_ok());
        let starts = starts.filter_map(|(position, _)| {
            let first = media.segments.spans(position).first()?;
            let timescale = media.tracks.get(position)?.timescale;
            Some(super::clock::Clock::new(timescale).stamp(first.decode_time))
        });
        let delay = starts.min().unwrap_or(0).min(MAX_DELAY);
        Self { lanes, delay }
    }

    pub(super) fn lane(&self, position: usize) -> Option<&Lane> {
        self.lanes.get(position)?.as_ref().ok()
    }

    pub(super) fn delay(&self) -> u64 {
        self.delay
    }
}

impl Lane {
    /// What it has in the segment at `index`; nothing past its end.
    pub(super) fn count(&self, index: usize, clocked: bool) -> Count {
        let counts = if clocked { &self.clocked } else { &self.plain };
        counts.segments.get(index).copied().unwrap_or(counts.past)
    }
}

fn lane(media: &Media, position: usize) -> Result<Lane, &'static str> {
    const UNKNOWN: &str = "there is no such track";
    let track = media.tracks.get(position).ok_or(UNKNOWN)?;
    let (index, place) = media.place(position).ok_or(UNKNOWN)?;
    let stream = Stream::of(index.codec.sample_entry())?;
    if stream.is_video() != track.is_video() {
        return Err(UNKNOWN);
    }
    let spans = media.segments.spans(position);
    let mut clocked = Tally::new(&stream, spans.len());
    let mut plain = Tally::new(&stream, if stream.is_video() { 0 } else { spans.len() });
    for span in spans {
        let range = span.first_sample..span.first_sample.saturating_add(span.samples);
        let samples = index.samples().range(range);
        if samples.clone().any(|sample| sample.size > stream.max_sample()) {
            return Err("one of its samples is too large for MPEG-TS");
        }
        let units = Units::new(&stream, track.timescale, samples, span.decode_time, place.lead);
        for unit in units {
            clocked.add(&unit, true);
            plain.add(&unit, false);
        }
        clocked.close();
        if !stream.is_video() {
            plain.close();
        }
    }
    let (clocked, plain) = (clocked.end(), plain.end());
    Ok(Lane { stream: Arc::new(stream), clocked, plain })
}

/// Counts segment by segment.
struct Tally {
    counts: Vec<Count>,
    open: Count,
    /// Packets with payload so far.
    before: u32,
    now: u32,
    counted: bool,
}

impl Tally {
    fn new(stream: &Stream, segments: usize) -> Self {
        let counts = Vec::with_capacity(segments);
        Self { counts, open: Count::default(), before: 0, now: 0, counted: stream.is_counted() }
    }

    fn add(&mut self, unit: &Unit, clocked: bool) {
        let packets = u32::try_from(unit.packets(clocked)).unwrap_or(u32::MAX);
        self.now = self.now.wrapping_add(packets);
        let (last, end) = (unit.stamps.dts, unit.end);
        let clocks = if clocked { Clocks::before(last, end) as u32 } else { 0 };
        let open = &mut self.open;
        open.packets = open.packets.saturating_add(packets).saturating_add(clocks);
        open.units += 1;
        (open.last, open.end) = (last, end);
    }

    fn counter(&self) -> u8 {
        if self.counted { (self.before & 15) as u8 } else { 0 }
    }

    fn end(self) -> Counts {
        let past = Count { counter: self.counter(), ..Count::default() };
        Counts { segments: self.counts, past }
    }

    fn close(&mut self) {
        let mut count = std::mem::take(&mut self.open);
        count.counter = self.counter();
        if !self.counted {
            // One packet more for each picture and the filling are a guess on the safe side.
            count.packets = count.packets.saturating_add(count.units).saturating_add(15);
        }
        self.before = self.before.wrapping_add(std::mem::take(&mut self.now));
        self.counts.push(count);
    }
}

impl Media {
    /// The segments of a program: the picture's, and the sound's after the picture's end; with the
    /// timescale of each. Their `bytes` are exact unless NAL units of the pictures have lengths of
    /// other than four bytes: then they are an estimate, rather too large. `None` where a track has
    /// no place in MPEG-TS, or is none.
    pub(crate) fn ts_spans(&self, program: Program) -> Option<Vec<(SegmentSpan, Timescale)>> {
        let table = self.ts();
        let part = |track: TrackId, clocked: bool| {
            let position = self.position(track)?;
            let lane = table.lane(position)?;
            let timescale = self.tracks.get(position)?.timescale;
            let spans = self.segments.spans(position).iter().enumerate();
            Some(spans.map(move |(index, span)| (*span, timescale, lane.count(index, clocked))))
        };
        let (mut pictures, mut sounds) = (None, None);
        if let Some(track) = program.video() {
            pictures = Some(part(track, true)?);
        }
        if let Some(track) = program.audio() {
            sounds = Some(part(track, program.video().is_none())?);
        }
        let mut all = Vec::new();
        let pictures_end = program.video().map_or(0, |track| self.spans(track).len());
        loop {
            let picture = pictures.as_mut().and_then(Iterator::next);
            let sound = sounds.as_mut().and_then(Iterator::next);
            let Some((mut span, timescale, _)) = picture.or(sound) else { return Some(all) };
            let counts = [&picture, &sound].into_iter().flatten().map(|(_, _, count)| count);
            let mut packets = 2 + counts.map(|count| u64::from(count.packets)).sum::<u64>();
            if let Some((_, _, sound)) = sound
                && program.video().is_some()
            {
                packets += match picture {
                    // The clock goes on after the very last picture, as long as there is sound.
                    Some((_, _, last)) if last.units > 0 && all.len() + 1 == pictures_end => {
                        let there = Clocks::before(last.last, last.end.max(sound.last));
                        there - Clocks::before(last.last, last.end)
                    }
                    Some((_, _, last)) if last.units > 0 => 0,
                    // The clock of pictures that are not there goes before each packet of sound.
                    _ => u64::from(sound.units),
                };
            }
            span.bytes = packets * PACKET as u64;
            all.push((span, timescale));
        }
    }
}
