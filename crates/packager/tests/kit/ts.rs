//! A reader of transport streams that refuses what the standard forbids (ISO/IEC 13818-1), for
//! tests alone.

use std::collections::BTreeMap;

const WRAP: u64 = 1 << 33;

/// A stream, taken apart.
#[derive(Debug, Default)]
pub struct Stream {
    /// stream_type by PID, from the last map.
    pub kinds: BTreeMap<u16, u8>,
    /// Descriptors by PID.
    pub descriptors: BTreeMap<u16, Vec<u8>>,
    /// PES packets by PID, in their order.
    pub pes: BTreeMap<u16, Vec<Pes>>,
    /// How often the tables came.
    pub tables: usize,
}

/// A PES packet.
#[derive(Debug)]
pub struct Pes {
    pub pts: u64,
    pub dts: u64,
    pub random_access: bool,
    pub payload: Vec<u8>,
    length: usize,
}

#[derive(Default)]
struct State {
    rules: Option<ClockRules>,
    counters: BTreeMap<u16, u8>,
    map: Option<u16>,
    clock_pid: Option<u16>,
    clock: Option<u64>,
}

/// Which rules of the clock are held against a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockRules {
    /// All: it comes first, at least each tenth of a second, and never a second before decoding.
    All,
    /// Those that samples of any duration can keep: none.
    None,
}

/// Reads segments that follow each other; panics where they break a rule.
pub fn read(segments: &[Vec<u8>], rules: ClockRules) -> Stream {
    let mut out = Stream::default();
    let mut state = State { rules: Some(rules), ..State::default() };
    for (number, segment) in segments.iter().enumerate() {
        assert_eq!(segment.len() % 188, 0, "whole packets");
        for (place, packet) in segment.chunks(188).enumerate() {
            let pid = u16::from(packet[1] & 0x1f) << 8 | u16::from(packet[2]);
            match place {
                0 => assert_eq!(pid, 0, "segment {number} starts with the association table"),
                1 => assert_eq!(Some(pid), state.map, "then the map"),
                _ => {}
            }
            self::packet(&mut out, &mut state, pid, packet);
        }
        for (pid, list) in &out.pes {
            let last = list.last().unwrap();
            let whole = last.length == 0 || last.length == last.payload.len();
            assert!(whole, "a PES packet of {pid} is cut at the end of segment {number}");
        }
    }
    out
}

impl State {
    fn is_strict(&self) -> bool {
        self.rules == Some(ClockRules::All)
    }
}

fn packet(out: &mut Stream, state: &mut State, pid: u16, packet: &[u8]) {
    assert_eq!(packet[0], 0x47);
    assert_eq!(packet[1] & 0x80, 0, "transport_error_indicator");
    assert_eq!(packet[3] & 0xc0, 0, "not scrambled");
    let starts = packet[1] & 0x40 != 0;
    let (has_field, has_payload) = (packet[3] & 0x20 != 0, packet[3] & 0x10 != 0);
    assert!(has_field || has_payload, "adaptation_field_control is not 0");
    let counter = packet[3] & 15;
    if let Some(before) = state.counters.insert(pid, counter) {
        let expected = if has_payload { (before + 1) & 15 } else { before };
        assert_eq!(counter, expected, "continuity of PID {pid:#x}");
    }
    let mut rest = &packet[4..];
    let mut random_access = false;
    if has_field {
        let len = usize::from(rest[0]);
        assert!(len <= if has_payload { 182 } else { 183 });
        let field = &rest[1..=len];
        rest = &rest[1 + len..];
        if let Some(flags) = field.first() {
            assert_eq!(flags & 0x80, 0, "no discontinuity");
            random_access = flags & 0x40 != 0;
            let used = if flags & 0x10 != 0 { 7 } else { 1 };
            if used == 7 {
                let base = field[1..5].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
                let clock = base << 1 | u64::from(field[5] >> 7);
                assert_eq!(Some(pid), state.clock_pid, "the clock's PID");
                if let Some(before) = state.clock.replace(clock) {
                    let since = (clock + WRAP - before) % WRAP;
                    let regular = (1..=9_000).contains(&since) || !state.is_strict();
                    assert!(regular, "{since} ticks between clocks");
                }
            }
            assert!(field[used..].iter().all(|byte| *byte == 0xff), "stuffing");
        }
    }
    if !has_payload {
        return;
    }
    if pid == 0 || Some(pid) == state.map {
        assert!(starts && rest[0] == 0);
        table(out, state, pid, &rest[1..]);
        return;
    }
    assert!(out.kinds.contains_key(&pid), "PID {pid:#x} is in the map");
    let list = out.pes.entry(pid).or_default();
    if starts {
        let before = list.last().map(|pes| pes.dts);
        list.push(pes(rest, random_access));
        let Pes { pts, dts, .. } = *list.last().unwrap();
        if state.is_strict() {
            let later = |time: u64, than: u64| (time + WRAP - than) % WRAP < WRAP / 2;
            assert!(later(pts, dts), "presented at {pts}, and decoded at {dts}");
            assert!(before.is_none_or(|before| later(dts, before)), "decode times go back");
        }
        if state.is_strict() {
            let clock = state.clock.expect("a clock before the first packet");
            let ahead = (dts + WRAP - clock) % WRAP;
            assert!(ahead <= 90_000, "the clock is {ahead} ticks before a decode time");
        }
    } else {
        assert!(!random_access);
        list.last_mut().expect("a start").payload.extend(rest);
    }
}

fn table(out: &mut Stream, state: &mut State, pid: u16, bytes: &[u8]) {
    let len = usize::from(bytes[1] & 0x0f) << 8 | usize::from(bytes[2]);
    let (section, stuffing) = bytes.split_at(3 + len);
    assert!(stuffing.iter().all(|byte| *byte == 0xff));
    let crc = section.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            if crc & 1 << 31 == 0 { crc << 1 } else { crc << 1 ^ 0x04c1_1db7 }
        })
    });
    assert_eq!(crc, 0, "the checksum of a table");
    let number = |at: usize| u16::from(section[at] & 0x1f) << 8 | u16::from(section[at + 1]);
    if pid == 0 {
        assert_eq!((section[0], section.len()), (0, 16));
        state.map = Some(number(10));
        out.tables += 1;
        return;
    }
    assert_eq!(section[0], 2);
    state.clock_pid = Some(number(8));
    let mut at = 12 + usize::from(section[10] & 15) * 256 + usize::from(section[11]);
    out.kinds.clear();
    while at < section.len() - 4 {
        let len = usize::from(section[at + 3] & 15) << 8 | usize::from(section[at + 4]);
        out.kinds.insert(number(at + 1), section[at]);
        out.descriptors.insert(number(at + 1), section[at + 5..at + 5 + len].to_vec());
        at += 5 + len;
    }
}

fn pes(bytes: &[u8], random_access: bool) -> Pes {
    assert_eq!(bytes[..3], [0, 0, 1]);
    let length = usize::from(bytes[4]) << 8 | usize::from(bytes[5]);
    assert_eq!(bytes[6] & 0xc0, 0x80);
    let header = 9 + usize::from(bytes[8]);
    let stamp = |at: usize| {
        assert!(bytes[at] & 1 == 1 && bytes[at + 2] & 1 == 1 && bytes[at + 4] & 1 == 1);
        u64::from(bytes[at] & 0x0e) << 29
            | u64::from(bytes[at + 1]) << 22
            | u64::from(bytes[at + 2] & 0xfe) << 14
            | u64::from(bytes[at + 3]) << 7
            | u64::from(bytes[at + 4]) >> 1
    };
    let pts = stamp(9);
    let dts = match bytes[7] >> 6 {
        2 => pts,
        3 => stamp(14),
        other => panic!("PTS_DTS_flags {other}"),
    };
    let length = if length == 0 { 0 } else { length + 6 - header };
    Pes { pts, dts, random_access, payload: bytes[header..].to_vec(), length }
}

/// The NAL units of a byte stream, without zero bytes after them.
pub fn units(stream: &[u8]) -> Vec<&[u8]> {
    let mut starts: Vec<usize> = Vec::new();
    let mut at = 0;
    while at + 3 <= stream.len() {
        if stream[at..at + 3] == [0, 0, 1] {
            starts.push(at);
            at += 3;
        } else {
            at += 1;
        }
    }
    let starts_well = starts.first() == Some(&1) || stream.is_empty();
    assert!(starts_well, "a byte stream starts with a start code");
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    let units = starts.iter().zip(ends).map(|(start, end)| {
        let unit = &stream[start + 3..end];
        let len = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        &unit[..len]
    });
    units.collect()
}

/// The frames of an ADTS stream, without headers.
pub fn frames(mut stream: &[u8]) -> Vec<&[u8]> {
    let mut out = Vec::new();
    while !stream.is_empty() {
        assert_eq!((stream[0], stream[1]), (0xff, 0xf1), "an ADTS header");
        let len = usize::from(stream[3] & 3) << 11
            | usize::from(stream[4]) << 3
            | usize::from(stream[5]) >> 5;
        out.push(&stream[7..len]);
        stream = &stream[len..];
    }
    out
}
