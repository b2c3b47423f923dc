//! A small writer of transport streams, for segments that break one rule each.

use std::collections::BTreeMap;

const PMT: u16 = 0x1000;
const VIDEO: u16 = 0x100;
const AUDIO: u16 = 0x101;

/// 6 s of video at 25 frames a second with audio, as it should be.
#[derive(Clone)]
pub struct Segment {
    pub index: u32,
    pub pat: bool,
    pub pmt: bool,
    pub tables_first: bool,
    pub programs: u16,
    /// Packets after which the video's counter jumps, and how far the first is off.
    pub jump: bool,
    pub counter_shift: u8,
    pub pcr: bool,
    pub backward: bool,
    pub nal: u8,
    pub stream_type: u8,
    pub junk: usize,
    /// Ticks by which all times are off.
    pub shift: u64,
    pub audios: u16,
}

impl Segment {
    pub fn new(index: u32) -> Self {
        Self {
            index,
            pat: true,
            pmt: true,
            tables_first: true,
            programs: 1,
            jump: false,
            counter_shift: 0,
            pcr: true,
            backward: false,
            nal: 0x65,
            stream_type: 0x1b,
            junk: 0,
            shift: 0,
            audios: 1,
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        // Each segment has as many packets of each PID as the one before: counters go on from it.
        let mut counters = BTreeMap::new();
        if self.index > 0 {
            let mut before = Writer { counters: &mut counters, out: Vec::new() };
            for index in 0..self.index {
                Self::new(index).write(&mut before);
            }
        }
        for counter in counters.values_mut() {
            *counter = (*counter + self.counter_shift) & 0xf;
        }
        let mut writer = Writer { counters: &mut counters, out: Vec::new() };
        self.write(&mut writer);
        let mut out = writer.out;
        out.extend(vec![0; self.junk]);
        out
    }

    fn write(&self, writer: &mut Writer<'_>) {
        if self.tables_first {
            self.tables(writer);
        }
        for frame in 0..150u64 {
            let time = 90_000 + (u64::from(self.index) * 150 + frame) * 3600 + self.shift;
            let decode = if self.backward && frame == 50 { time - 36_000 } else { time };
            let nal = if frame == 0 { self.nal } else { 0x41 };
            let unit = [&[0, 0, 0, 1, nal][..], &[0x55; 60]].concat();
            let clock = self.pcr.then_some(time - 9000);
            writer.pes(VIDEO, 0xe0, time + 3600, Some(decode), &unit, clock);
            for audio in 0..self.audios {
                writer.pes(AUDIO + audio, 0xc0, time, None, &[0x55; 40], None);
            }
            if self.jump && frame == 20 {
                *writer.counters.get_mut(&VIDEO).unwrap() += 3;
            }
            if frame == 0 && !self.tables_first {
                self.tables(writer);
            }
        }
    }

    fn tables(&self, writer: &mut Writer<'_>) {
        if self.pat {
            let mut programs = Vec::new();
            for program in 0..self.programs {
                programs.extend((program + 1).to_be_bytes());
                programs.extend((0xe000 | PMT).to_be_bytes());
            }
            writer.section(0, 0, &programs);
        }
        if self.pmt {
            let mut map = (0xe000 | VIDEO).to_be_bytes().to_vec();
            map.extend([0xf0, 0, self.stream_type]);
            map.extend((0xe000 | VIDEO).to_be_bytes());
            map.extend([0xf0, 0]);
            for audio in 0..self.audios {
                map.push(0x0f);
                map.extend((0xe000 | (AUDIO + audio)).to_be_bytes());
                map.extend([0xf0, 0]);
            }
            writer.section(PMT, 2, &map);
        }
    }
}

struct Writer<'c> {
    counters: &'c mut BTreeMap<u16, u8>,
    out: Vec<u8>,
}

impl Writer<'_> {
    fn section(&mut self, pid: u16, table: u8, body: &[u8]) {
        let length = u16::try_from(body.len() + 9).unwrap();
        let mut payload = vec![0, table];
        payload.extend((0xb000 | length).to_be_bytes());
        payload.extend([0, 1, 0xc1, 0, 0]);
        payload.extend(body);
        // Nothing here computes the checksum, and the checker does not ask for it.
        payload.extend([0; 4]);
        payload.resize(184, 0xff);
        self.packet(pid, true, &[], &payload);
    }

    fn pes(&mut self, pid: u16, id: u8, pts: u64, dts: Option<u64>, data: &[u8], pcr: Option<u64>) {
        let stamp = |mark: u8, time: u64| {
            let byte = |shift: u32| ((time >> shift) & 0xff) as u8;
            [
                mark << 4 | (byte(30) & 7) << 1 | 1,
                byte(22),
                (byte(15) << 1) | 1,
                byte(7),
                (byte(0) << 1) | 1,
            ]
        };
        let mut times = stamp(if dts.is_some() { 3 } else { 2 }, pts).to_vec();
        if let Some(dts) = dts {
            times.extend(stamp(1, dts));
        }
        let flags = if dts.is_some() { 0xc0 } else { 0x80 };
        let mut payload = vec![0, 0, 1, id, 0, 0, 0x80, flags, u8::try_from(times.len()).unwrap()];
        payload.extend(times);
        payload.extend(data);
        let mut field = Vec::new();
        if let Some(pcr) = pcr {
            field.push(0x10);
            field.extend([
                (pcr >> 25) as u8,
                (pcr >> 17) as u8,
                (pcr >> 9) as u8,
                (pcr >> 1) as u8,
                ((pcr & 1) as u8) << 7 | 0x7e,
                0,
            ]);
        }
        self.packet(pid, true, &field, &payload);
    }

    fn packet(&mut self, pid: u16, starts: bool, field: &[u8], payload: &[u8]) {
        let counter = self.counters.entry(pid).or_insert(15);
        *counter = (*counter + 1) & 0xf;
        let stuffing = 184 - payload.len();
        let control = if stuffing > 0 { 0x30 } else { 0x10 };
        let [high, low] = pid.to_be_bytes();
        self.out.extend([0x47, u8::from(starts) << 6 | high, low, control | *counter]);
        if stuffing > 0 {
            let mut adaptation = vec![u8::try_from(stuffing - 1).unwrap()];
            if stuffing > 1 {
                adaptation.extend(if field.is_empty() { &[0][..] } else { field });
            }
            adaptation.resize(stuffing, 0xff);
            self.out.extend(adaptation);
        }
        self.out.extend(payload);
    }
}
