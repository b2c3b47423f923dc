//! MPEG-2 transport streams (ISO/IEC 13818-1 §2.4), one segment at a time.

use std::collections::BTreeMap;

use super::nal::{self, Video};
use super::{Kind, Span};

/// The size of a packet, and how each begins.
pub(crate) const PACKET: usize = 188;
pub(crate) const SYNC: u8 = 0x47;

/// The lowest PID that may be a stream's or a PMT's.
const FIRST_STREAM: u16 = 0x20;

/// How much of the first unit is kept, to look for its slice.
const FIRST_UNIT: usize = 256 << 10;

/// Times are 33 bits wide.
const WRAP: u64 = 1 << 33;

/// What one segment holds.
#[derive(Debug, Default)]
pub(crate) struct Transport {
    pub(crate) packets: usize,
    /// Packets that do not begin with 0x47, and bytes after the last whole one.
    pub(crate) unsynced: usize,
    pub(crate) trailing: usize,
    /// The numbers of the packets that hold the first PAT and the first PMT.
    pub(crate) pat_at: Option<usize>,
    pub(crate) pmt_at: Option<usize>,
    /// The number of the first packet that is of neither.
    pub(crate) media_at: Option<usize>,
    pub(crate) programs: usize,
    pub(crate) pcr_pid: Option<u16>,
    pub(crate) pcrs: usize,
    /// The longest time between two PCRs, in ticks of 90 kHz.
    pub(crate) pcr_gap: u64,
    last_pcr: Option<u64>,
    pmt_pid: Option<u16>,
    elementary: BTreeMap<u16, Elementary>,
    counters: BTreeMap<u16, Counter>,
}

/// The continuity counter of a PID.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counter {
    pub(crate) first: u8,
    pub(crate) last: u8,
    pub(crate) breaks: usize,
}

/// An elementary stream.
#[derive(Debug, Default)]
pub(crate) struct Elementary {
    pub(crate) pid: u16,
    pub(crate) stream_type: u8,
    /// Decode times of its units, in order; presentation times where there is no other.
    pub(crate) decode: Vec<u64>,
    pub(crate) presented: Option<u64>,
    /// Units without a time.
    pub(crate) untimed: usize,
    first_unit: Vec<u8>,
}

impl Elementary {
    pub(crate) fn kind(&self) -> Kind {
        match self.stream_type {
            0x1b | 0x24 | 0x01 | 0x02 | 0xdb => Kind::Video,
            0x03 | 0x04 | 0x0f | 0x11 | 0x81 | 0x87 | 0xc1 | 0xc2 | 0xcf => Kind::Audio,
            _ => Kind::Other,
        }
    }

    /// Units whose decode time is not after that of the one before.
    pub(crate) fn backward(&self) -> usize {
        self.decode.windows(2).filter(|pair| matches!(pair, [a, b] if !after(*a, *b))).count()
    }

    fn random_access(&self) -> Option<bool> {
        match self.stream_type {
            0x1b | 0xdb => nal::in_stream(&self.first_unit, Video::H264),
            0x24 => nal::in_stream(&self.first_unit, Video::Hevc),
            _ => None,
        }
    }
}

/// Whether `b` is later than `a` on a clock of 33 bits.
pub(crate) fn after(a: u64, b: u64) -> bool {
    let ahead = b.wrapping_sub(a) % WRAP;
    ahead > 0 && ahead < WRAP / 2
}

impl Transport {
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let mut found = Self { trailing: bytes.len() % PACKET, ..Self::default() };
        for packet in bytes.chunks_exact(PACKET) {
            if packet.first() == Some(&SYNC) {
                let _ = found.packet(packet);
            } else {
                found.unsynced += 1;
            }
            found.packets += 1;
        }
        found
    }

    /// Each elementary stream that the PMT lists.
    pub(crate) fn streams(&self) -> impl Iterator<Item = &Elementary> {
        self.elementary.values()
    }

    pub(crate) fn counters(&self) -> impl Iterator<Item = (u16, Counter)> {
        self.counters.iter().map(|(pid, counter)| (*pid, *counter))
    }

    pub(crate) fn counter(&self, pid: u16) -> Option<Counter> {
        self.counters.get(&pid).copied()
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        let timed = self.elementary.values().filter(|stream| !stream.decode.is_empty());
        timed.map(span).collect()
    }

    /// §2.4.3.2. `None` where the packet is cut off inside.
    fn packet(&mut self, packet: &[u8]) -> Option<()> {
        let [_, second, third, fourth, rest @ ..] = packet else { return None };
        let pid = u16::from(second & 0x1f) << 8 | u16::from(*third);
        let starts = second & 0x40 != 0;
        let (has_field, has_payload) = (fourth & 0x20 != 0, fourth & 0x10 != 0);
        let mut payload = rest;
        let mut discontinuity = false;
        if has_field {
            let length = usize::from(*rest.first()?);
            let field = rest.get(1..1 + length)?;
            if let Some(flags) = field.first() {
                discontinuity = flags & 0x80 != 0;
                if flags & 0x10 != 0 {
                    self.clock_reference(pid, field.get(1..7)?);
                }
            }
            payload = rest.get(1 + length..)?;
        }
        if pid == 0x1fff {
            return Some(());
        }
        self.count(pid, fourth & 0xf, has_payload, discontinuity);
        if !has_payload {
            return Some(());
        }
        if pid == 0 {
            self.pat_at.get_or_insert(self.packets);
            return self.programs(section(payload, starts)?);
        }
        if Some(pid) == self.pmt_pid {
            self.pmt_at.get_or_insert(self.packets);
            return self.map(section(payload, starts)?);
        }
        // PIDs below are tables' (§2.4.3.3).
        if pid >= FIRST_STREAM {
            self.media_at.get_or_insert(self.packets);
        }
        self.elementary.get_mut(&pid)?.payload(payload, starts)
    }

    /// §2.4.3.3: it goes up by one with each packet that has a payload; one repetition is allowed.
    fn count(&mut self, pid: u16, counter: u8, has_payload: bool, discontinuity: bool) {
        let Some(known) = self.counters.get_mut(&pid) else {
            self.counters.insert(pid, Counter { first: counter, last: counter, breaks: 0 });
            return;
        };
        let expected = if has_payload { (known.last + 1) & 0xf } else { known.last };
        if counter != expected && !discontinuity && !(has_payload && counter == known.last) {
            known.breaks += 1;
        }
        known.last = counter;
    }

    fn clock_reference(&mut self, pid: u16, field: &[u8]) {
        if self.pcr_pid.is_some_and(|known| known != pid) {
            return;
        }
        let base = field.iter().take(5).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte)) >> 7;
        if let Some(last) = self.last_pcr {
            self.pcr_gap = self.pcr_gap.max(base.wrapping_sub(last) % WRAP);
        }
        self.last_pcr = Some(base);
        self.pcrs += 1;
    }

    /// §2.4.4.3, the program association section.
    fn programs(&mut self, section: &[u8]) -> Option<()> {
        let entries = section.get(8..section.len().checked_sub(4)?)?;
        self.programs = 0;
        for entry in entries.chunks_exact(4) {
            let [a, b, c, d] = entry else { continue };
            if (*a, *b) == (0, 0) {
                continue;
            }
            self.programs += 1;
            self.pmt_pid = Some(u16::from(c & 0x1f) << 8 | u16::from(*d));
        }
        Some(())
    }

    /// §2.4.4.8, the program map section.
    fn map(&mut self, section: &[u8]) -> Option<()> {
        let word = |at: usize, mask: u8| {
            let pair = section.get(at..at + 2)?;
            Some(u16::from(pair.first()? & mask) << 8 | u16::from(*pair.get(1)?))
        };
        self.pcr_pid = word(8, 0x1f);
        let mut at = 12 + usize::from(word(10, 0xf)?);
        let end = section.len().checked_sub(4)?;
        while at + 5 <= end {
            let stream_type = *section.get(at)?;
            let pid = word(at + 1, 0x1f)?;
            at += 5 + usize::from(word(at + 3, 0xf)?);
            let fresh = || Elementary { pid, stream_type, ..Elementary::default() };
            self.elementary.entry(pid).or_insert_with(fresh);
        }
        Some(())
    }
}

impl Elementary {
    /// §2.4.3.6: the times of a PES packet.
    fn payload(&mut self, payload: &[u8], starts: bool) -> Option<()> {
        let units = self.decode.len() + self.untimed;
        if !starts {
            if units == 1 && self.first_unit.len() < FIRST_UNIT {
                self.first_unit.extend_from_slice(payload);
            }
            return Some(());
        }
        let flags = *payload.get(7)?;
        let data = payload.get(9 + usize::from(*payload.get(8)?)..).unwrap_or(&[]);
        if units == 0 {
            self.first_unit.extend_from_slice(data);
        }
        let Some(presented) = (flags & 0x80 != 0).then(|| time(payload.get(9..14)?)).flatten()
        else {
            self.untimed += 1;
            return Some(());
        };
        let decode = if flags & 0x40 == 0 { presented } else { time(payload.get(14..19)?)? };
        let earlier = |known| if after(presented, known) { presented } else { known };
        self.presented = Some(self.presented.map_or(presented, earlier));
        self.decode.push(decode);
        Some(())
    }
}

fn time(bytes: &[u8]) -> Option<u64> {
    let bytes: [u8; 5] = bytes.try_into().ok()?;
    let bits = bytes.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    // 4 bits, then 3, 15 and 15 bits of the time with a marker bit after each.
    Some((bits >> 33 & 7) << 30 | (bits >> 17 & 0x7fff) << 15 | bits >> 1 & 0x7fff)
}

/// A section that begins in this packet (§2.4.4.1); those that go on in a second are not read.
fn section(payload: &[u8], starts: bool) -> Option<&[u8]> {
    if !starts {
        return None;
    }
    let section = payload.get(1 + usize::from(*payload.first()?)..)?;
    let length = usize::from(section.get(1)? & 0xf) << 8 | usize::from(*section.get(2)?);
    section.get(..3 + length)
}

fn span(stream: &Elementary) -> Span {
    let first = stream.decode.first().copied().unwrap_or(0);
    let last = stream.decode.last().copied().unwrap_or(first);
    let between = last.wrapping_sub(first) % WRAP;
    let count = stream.decode.len() as u64;
    // The last unit lasts as long as the mean of those before.
    let duration = if count > 1 { between + between / (count - 1) } else { 0 };
    Span {
        track: u32::from(stream.pid),
        kind: stream.kind(),
        timescale: 90_000,
        start: first,
        duration,
        presented: stream.presented.unwrap_or(first) as i64,
        shown: duration,
        samples: stream.decode.len(),
        sync: None,
        random_access: stream.random_access(),
        exact: false,
    }
}
