//! How many packets each track takes in each segment, from the index alone: so every segment knows
//! the continuity counters that it begins with, and its length.
//!
//! Pictures whose NAL units have lengths of other than four bytes grow by an amount that only their
//! samples tell. The last of each segment is filled up with zero bytes, so that their packets are a
//! multiple of 16 and every segment begins at counter 0.

use std::sync::Arc;

use super::clock::Clock;
use super::order::{MAX_CLOCKS, Order};
use super::packet::PACKET;
use super::program::Program;
use super::stream::Stream;
use super::units::{CLOCK_INTERVAL, Unit, Units};
use super::{line, streams};
use crate::aes128::encrypted_len;
use crate::media::Media;
use crate::pair::Pair;
use crate::segments::SegmentSpan;
use crate::track::TrackId;

/// Of all tracks of an asset.
#[derive(Debug)]
pub(crate) struct Table {
    /// In the order of the asset's tracks; or why one has no place in MPEG-TS.
    lanes: Vec<Result<Lane, &'static str>>,
    /// How long before its decoding a picture or sound is sent by the clock, in ticks of 90 kHz.
    delay: u64,
}

/// The clock runs ahead of decoding by at most this, in ticks of 90 kHz.
const MAX_DELAY: u64 = 63_000;

/// Nothing is sent longer before it is decoded, in ticks of 90 kHz (ISO/IEC 13818-1 §2.4.2.7).
const MAX_AHEAD: u64 = 90_000;

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
    /// With payload.
    packets: u32,
    /// PES packets.
    units: u32,
    /// How often the clock is told between each of them and its end, where nothing else tells it.
    waits: u32,
    /// When the last PES packet is decoded, in ticks of 90 kHz.
    last: u64,
    /// Continuity counter of the first.
    pub(super) counter: u8,
}

impl Table {
    /// Looks at every sample once.
    pub(crate) fn of(media: &Media) -> Self {
        let lanes: Vec<_> = (0..media.tracks.len()).map(|position| lane(media, position)).collect();
        let delay = delay(media, &lanes);
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

/// As long as there is before the first picture or sound, but no longer than needed; and so short
/// that sound which comes before pictures that are decoded earlier, as it does at the end of a
/// segment where they are reordered, is not too early.
///
/// Of a recording, settled or not, it follows from the end of the first segment alone, for nothing
/// that comes later may change it.
fn delay(media: &Media, lanes: &[Result<Lane, &'static str>]) -> u64 {
    let there = || {
        let lanes = lanes.iter().enumerate();
        lanes.filter_map(|(position, lane)| Some((position, lane.as_ref().ok()?)))
    };
    let starts = there().filter_map(|(position, _)| {
        let first = media.segments.spans(position).iter().find(|span| span.samples > 0)?;
        Some(Clock::new(media.tracks.get(position)?.timescale).stamp(first.decode_time))
    });
    let is_recording = media.sources().iter().any(|source| source.recording().is_some());
    let ends = if is_recording { 1 } else { media.segments.len() };
    let early = (0..ends).filter_map(|index| {
        let next = there()
            .filter(|(_, lane)| lane.stream.is_video())
            .filter_map(|(position, _)| media.ts_after(position, index))
            .min()?;
        let last = there()
            .filter(|(_, lane)| !lane.stream.is_video())
            .filter_map(|(_, lane)| lane.plain.segments.get(index))
            .map(|count| count.last)
            .max()?;
        last.checked_sub(next)
    });
    let room = MAX_AHEAD - CLOCK_INTERVAL;
    let room = room.saturating_sub(early.max().unwrap_or(0));
    // Sound in segments before the first picture may be decoded after it: its clock is a tick earlier.
    let comes_late = there().filter(|(_, lane)| lane.stream.is_video()).any(|(position, _)| {
        media.segments.spans(position).first().is_some_and(|span| span.samples == 0)
    });
    let start = starts.min().unwrap_or(0).saturating_sub(u64::from(comes_late));
    start.min(MAX_DELAY).min(room)
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
            if !stream.is_video() {
                plain.add(&unit, false);
            }
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
        let (open, counted) = (Count::default(), stream.is_counted());
        Self { counts, open, before: 0, now: 0, counted }
    }

    fn add(&mut self, unit: &Unit, clocked: bool) {
        let packets = u32::try_from(unit.packets(clocked)).unwrap_or(u32::MAX);
        self.now = self.now.wrapping_add(packets);
        let open = &mut self.open;
        open.packets = open.packets.saturating_add(packets);
        open.units += 1;
        open.waits = open.waits.saturating_add(u32::try_from(unit.waits()).unwrap_or(u32::MAX));
        open.last = unit.stamps.dts;
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

/// Memory of a table for each segment of each track, in bytes.
pub(crate) const SEGMENT_WEIGHT: usize = 2 * size_of::<Count>();

impl Media {
    /// The segments of a program in ticks of its picture, or of its sound where it has none: as
    /// long as the picture's, and as the sound's after the picture's end. Their `bytes` (encrypted,
    /// where they are) are exact unless NAL units of the pictures have lengths of other than four bytes: then they are an
    /// estimate, rather too large. `None` where a track has no place in MPEG-TS, or is none.
    pub(crate) fn ts_spans(&self, program: Program) -> Option<Vec<SegmentSpan>> {
        let lane = |track: TrackId| self.ts().lane(self.position(track)?);
        let (mut spans, video, audio) = match (program.video(), program.audio()) {
            (Some(video), Some(audio)) => {
                let pair = Pair::new(video, audio)?;
                (self.muxed_spans(pair)?, Some(lane(video)?), Some(lane(audio)?))
            }
            (Some(video), None) => (self.spans(video).to_vec(), Some(lane(video)?), None),
            (None, audio) => (self.spans(audio?).to_vec(), None, Some(lane(audio?)?)),
        };
        for (index, span) in spans.iter_mut().enumerate() {
            let picture = video.map(|lane| lane.count(index, true));
            let sound = audio.map(|lane| lane.count(index, video.is_none()));
            let counts = [picture, sound].into_iter().flatten();
            // The two tables at the start.
            let packets = 2 + counts.map(|count| u64::from(count.packets)).sum::<u64>();
            let clocked = picture.or(sound).unwrap_or_default();
            let packets = packets + self.ts_clocks(program, index, clocked)?;
            span.bytes = packets * PACKET as u64;
            if self.segment_key.is_some() {
                span.bytes = encrypted_len(span.bytes);
            }
        }
        Some(spans)
    }

    /// When the first of what the track at `position` has in segments after that at `index` is
    /// decoded, published or not, in ticks of 90 kHz; `None` where it has nothing more.
    pub(super) fn ts_after(&self, position: usize, index: usize) -> Option<u64> {
        let span = self.segments.spans(position).get(index)?;
        let (track, place) = self.place(position)?;
        let number = span.first_sample.checked_add(span.samples)?;
        if number >= place.count {
            return None;
        }
        let sample = track.samples().range(number..number.checked_add(1)?).next()?;
        let offset = i64::from(self.start_offset) * i64::from(track.timescale().get());
        let time = sample.dts + i64::from(place.lead) + place.shift + offset;
        Some(Clock::new(track.timescale()).stamp(u64::try_from(time).unwrap_or(0)))
    }

    /// How many packets of a segment hold the clock alone, where the stream that carries it comes to
    /// `clocked` there.
    fn ts_clocks(&self, program: Program, index: usize, clocked: Count) -> Option<u64> {
        // Where pictures are first and go on after it, it is told between them and nowhere else; and
        // so it is without anything beside them.
        let start = |track: TrackId| {
            let position = self.position(track)?;
            let span = self.segments.spans(position).get(index).filter(|span| span.samples > 0)?;
            Some(Clock::new(self.tracks.get(position)?.timescale).stamp(span.decode_time))
        };
        let after = |track: TrackId| self.ts_after(self.position(track)?, index);
        let between = match (program.video(), program.audio()) {
            (Some(video), Some(audio)) => {
                start(video).is_some_and(|first| start(audio).is_none_or(|at| first <= at))
                    && after(video).is_some_and(|next| after(audio).is_none_or(|at| next <= at))
            }
            _ => true,
        };
        if between {
            return Some(u64::from(clocked.waits).min(MAX_CLOCKS));
        }
        let lines = streams(program)
            .map(|(track, _, clocked)| Some(line(self, self.position(track)?, index, clocked)?.0));
        Some(Order::new(lines.collect::<Option<Vec<_>>>()?).clocks())
    }

    /// How many segments a program has; `None` where a track has no place in MPEG-TS, or is none.
    pub(crate) fn ts_count(&self, program: Program) -> Option<u32> {
        let tracks = program.video().into_iter().chain(program.audio());
        tracks
            .map(|track| self.is_in_ts(track).then(|| self.segment_count(track)))
            .try_fold(0, |most, count| Some(most.max(count?)))
    }

    /// Whether a track has a place in MPEG-TS.
    pub(crate) fn is_in_ts(&self, track: TrackId) -> bool {
        self.position(track).is_some_and(|position| self.ts().lane(position).is_some())
    }
}
