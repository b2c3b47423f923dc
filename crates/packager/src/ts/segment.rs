//! One segment as a plan: tables, then the PES packets of both tracks in the order of their decode
//! times, each made of its samples in one pass while it is sent.

use std::sync::Arc;

use bytes::Bytes;

use super::order::{Event, Order};
use super::packet::{Adaptation, PACKET, Packets, clock_packet, packets};
use super::pes::{self, Stamps};
use super::psi::{Entry, Language, tables};
use super::stream::Stream;
use super::units::{CLOCK_INTERVAL, Unit};
use crate::index::Samples;
use crate::plan::{Map, Plan, SourceRange, Transform};
use crate::units::ByteRange;

/// The media type of a segment.
pub(super) const CONTENT_TYPE: &str = "video/mp2t";

/// The most clocks that are made at once: 94 KiB.
const CLOCKS_AT_ONCE: u64 = 512;

/// One track in a segment.
#[derive(Debug)]
pub(super) struct Cut<'a> {
    pub(super) stream: &'a Arc<Stream>,
    pub(super) pid: u16,
    /// Continuity counter of its first packet.
    pub(super) counter: u8,
    /// Whether it carries the program's clock.
    pub(super) clocked: bool,
    pub(super) source: usize,
    pub(super) language: Option<Language>,
    pub(super) samples: Samples<'a>,
}

impl Cut<'_> {
    fn entry(&self) -> Entry<'_> {
        Entry { pid: self.pid, stream: self.stream, language: self.language }
    }
}

/// A segment that is laid out but for the growth of pictures whose NAL units must be counted.
#[derive(Debug)]
pub(super) struct Draft {
    tables: Bytes,
    items: Vec<Item>,
    /// PID and next counter of each stream.
    counters: Vec<(u16, u8)>,
}

#[derive(Debug)]
enum Item {
    Pes(Pes),
    Clocks(Clocks),
}

impl Draft {
    /// Segment `number` (from 1) of the streams in `cuts`, of which one is clocked; `order` counts
    /// them as they come here.
    pub(super) fn new(number: u32, mut cuts: Vec<Cut<'_>>, order: Order<'_>, delay: u64) -> Self {
        let clock_pid = cuts.iter().find(|cut| cut.clocked).map_or(0x1fff, |cut| cut.pid);
        let streams: Vec<_> = cuts.iter().map(Cut::entry).collect();
        let tables = Bytes::from(tables(number, clock_pid, &streams));
        let counters = cuts.iter().map(|cut| (cut.pid, cut.counter)).collect();
        let items = order.filter_map(|event| {
            Some(match event {
                Event::Clocks(first, count) => {
                    Item::Clocks(Clocks { pid: clock_pid, counter: 0, first, count, delay })
                }
                Event::Unit(cut, unit) => Item::Pes(Pes::new(cuts.get_mut(cut)?, &unit, delay)),
            })
        });
        let items = items.collect();
        Self { tables, items, counters }
    }

    /// One picture alone, as segment `number` of its stream.
    pub(super) fn of_picture(number: u32, mut cut: Cut<'_>, unit: &Unit, delay: u64) -> Self {
        let tables = Bytes::from(tables(number, cut.pid, &[cut.entry()]));
        let counters = vec![(cut.pid, cut.counter)];
        Self { tables, items: vec![Item::Pes(Pes::new(&mut cut, unit, delay))], counters }
    }

    /// The pictures whose byte streams are longer than their samples, by an unknown amount.
    pub(super) fn unknown(&self) -> impl Iterator<Item = SourceRange> {
        let pes = self.items.iter().filter_map(|item| match item {
            Item::Pes(pes) if !pes.stream.is_counted() => Some(pes),
            _ => None,
        });
        pes.flat_map(|pes| pes.inputs.iter().copied())
    }

    /// Takes the growth of each of [`unknown`](Self::unknown), in their order.
    pub(super) fn grow(&mut self, growth: impl IntoIterator<Item = usize>) {
        let mut growth = growth.into_iter();
        let mut packets_of_pid = 0;
        let mut last = None;
        for (number, item) in self.items.iter_mut().enumerate() {
            if let Item::Pes(pes) = item
                && !pes.stream.is_counted()
            {
                if !pes.inputs.is_empty() {
                    pes.payload += growth.next().unwrap_or(0);
                }
                packets_of_pid += pes.packets();
                last = Some(number);
            }
        }
        // Zero bytes after the last NAL unit, so that the next segment begins at counter 0 again.
        if let Some(Item::Pes(pes)) = last.and_then(|number| self.items.get_mut(number)) {
            let missing = packets_of_pid.next_multiple_of(16) - packets_of_pid;
            pes.payload += missing * (PACKET - 4);
        }
    }

    /// The plan, once all lengths are known.
    pub(super) fn plan(mut self) -> Plan {
        let mut plan = Plan::new(CONTENT_TYPE);
        plan.push_bytes(self.tables);
        for item in self.items {
            match item {
                Item::Clocks(clocks) => {
                    let next = counter(&mut self.counters, clocks.pid).copied().unwrap_or(0);
                    for piece in clocks.pieces(next.wrapping_sub(1)) {
                        plan.push_map(Map::new(Arc::new(piece)));
                    }
                }
                Item::Pes(mut pes) => {
                    if let Some(counter) = counter(&mut self.counters, pes.pid) {
                        pes.counter = *counter & 15;
                        *counter = counter.wrapping_add(pes.packets() as u8);
                    }
                    plan.push_map(Map::new(Arc::new(pes)));
                }
            }
        }
        plan
    }
}

/// The next counter of a PID.
fn counter(counters: &mut [(u16, u8)], pid: u16) -> Option<&mut u8> {
    counters.iter_mut().find(|(of, _)| *of == pid).map(|(_, counter)| counter)
}

/// Packets that tell the time and nothing else, on the PID that carries the clock. They are made
/// while they are sent: a short source may be silent for long.
#[derive(Debug)]
struct Clocks {
    pid: u16,
    counter: u8,
    /// The first time, before `delay` is taken off; the others follow each [`CLOCK_INTERVAL`].
    first: u64,
    count: u64,
    delay: u64,
}

impl Clocks {
    /// In pieces that are short enough to be made whole, with the counter of the packet before.
    fn pieces(self, counter: u8) -> impl Iterator<Item = Self> {
        let starts = (0..self.count).step_by(CLOCKS_AT_ONCE as usize);
        starts.map(move |start| Self {
            counter,
            first: self.first + start * CLOCK_INTERVAL,
            count: (self.count - start).min(CLOCKS_AT_ONCE),
            ..self
        })
    }
}

impl Transform for Clocks {
    fn len(&self) -> u64 {
        self.count * PACKET as u64
    }

    fn inputs(&self) -> &[SourceRange] {
        &[]
    }

    fn write(&self, _: &[Bytes], out: &mut [u8]) {
        let times = (0..).map(|number: u64| self.first + number * CLOCK_INTERVAL);
        for (packet, time) in out.chunks_exact_mut(PACKET).zip(times) {
            let clock = time.saturating_sub(self.delay);
            packet.copy_from_slice(&clock_packet(self.pid, self.counter, clock));
        }
    }

    fn weight_bytes(&self) -> usize {
        size_of::<Self>()
    }
}

/// One PES packet in its transport packets.
#[derive(Debug)]
struct Pes {
    stream: Arc<Stream>,
    pid: u16,
    counter: u8,
    first: Adaptation,
    stamps: Stamps,
    sync: bool,
    /// Bytes after the PES header.
    payload: usize,
    /// Lengths of the frames that get headers; empty where none do.
    frames: Vec<u32>,
    inputs: Vec<SourceRange>,
}

impl Pes {
    fn new(cut: &mut Cut<'_>, unit: &Unit, delay: u64) -> Self {
        let count = unit.samples as usize;
        let framed = cut.stream.frame_header() > 0;
        // Most are one picture or a few frames of sound, each in a place of its own.
        let mut inputs: Vec<SourceRange> = Vec::with_capacity(count.min(4));
        let mut frames = Vec::with_capacity(if framed { count } else { 0 });
        for sample in cut.samples.by_ref().take(count) {
            if framed {
                frames.push(sample.size);
            }
            if sample.size == 0 {
                continue;
            }
            let range = ByteRange { start: sample.offset, len: u64::from(sample.size) };
            match inputs.last_mut() {
                Some(last) if last.range.end() == range.start => last.range.len += range.len,
                _ => inputs.push(SourceRange { source: cut.source, range }),
            }
        }
        let clock = cut.clocked.then(|| unit.stamps.dts.saturating_sub(delay));
        Self {
            stream: Arc::clone(cut.stream),
            pid: cut.pid,
            counter: 0,
            first: Adaptation { clock, random_access: cut.clocked && unit.sync },
            stamps: unit.stamps,
            sync: unit.sync,
            payload: unit.payload,
            frames,
            inputs,
        }
    }

    fn packets(&self) -> usize {
        packets(self.stamps.header_len() + self.payload, self.first)
    }
}

impl Transform for Pes {
    fn len(&self) -> u64 {
        (self.packets() * PACKET) as u64
    }

    fn inputs(&self) -> &[SourceRange] {
        &self.inputs
    }

    fn write(&self, inputs: &[Bytes], out: &mut [u8]) {
        let head = self.stamps.header_len();
        let mut packets =
            Packets::new(out, self.pid, self.counter, self.first, head + self.payload);
        let id = self.stream.stream_id();
        let header = pes::header(id, self.stamps, self.payload, !self.stream.is_video());
        packets.push(header.get(..head).unwrap_or_default());
        match &*self.stream {
            Stream::Avc(avc) => {
                let sample = inputs.first().map_or(&[][..], |sample| sample);
                avc.write(sample, self.sync, &mut packets);
            }
            Stream::Aac(adts) => {
                let mut inputs = inputs.iter().map(|input| &input[..]);
                let mut rest = inputs.next().unwrap_or_default();
                for frame in &self.frames {
                    let len = *frame as usize;
                    if rest.is_empty() && len > 0 {
                        rest = inputs.next().unwrap_or_default();
                    }
                    let bytes;
                    (bytes, rest) = rest.split_at(len.min(rest.len()));
                    packets.push(&adts.header(len));
                    packets.push(bytes);
                }
            }
            Stream::Ac3 { .. } | Stream::Eac3 { .. } | Stream::Mp3 { .. } => {
                for input in inputs {
                    packets.push(input);
                }
            }
        }
        packets.finish();
    }

    fn weight_bytes(&self) -> usize {
        size_of::<Self>()
            + self.frames.capacity() * size_of::<u32>()
            + self.inputs.capacity() * size_of::<SourceRange>()
    }
}
