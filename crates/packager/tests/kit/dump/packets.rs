//! Text of a transport stream (ISO/IEC 13818-1 §2.4): its tables, and each packet's header.

use super::{Coded, Rows, hash, hex};

/// Bytes of a packet.
const PACKET: usize = 188;

/// Every packet of a segment: a line each, cut in the middle. Where coded bytes are masked, only
/// the packets with which something starts, without counters and clocks.
pub fn text(segment: &[u8], coded: Coded) -> String {
    let mut rows = Rows::default();
    for packet in segment.chunks(PACKET) {
        let packet = Packet::of(packet);
        if coded == Coded::Shown || packet.starts {
            rows.0.push(packet.line(coded));
        }
    }
    let mut out = String::new();
    if coded == Coded::Shown {
        out = format!("{} bytes #{:016x}\n", segment.len(), hash(segment));
    }
    rows.write(0, &mut out);
    out
}

struct Packet<'a> {
    pid: u16,
    starts: bool,
    counter: u8,
    field: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Packet<'a> {
    fn of(packet: &'a [u8]) -> Self {
        let (head, rest) = packet.split_at(4);
        let (field, payload) = match head[3] >> 4 & 3 {
            1 => (&rest[..0], rest),
            _ => rest[1..].split_at(usize::from(rest[0])),
        };
        Self {
            pid: u16::from(head[1] & 0x1f) << 8 | u16::from(head[2]),
            starts: head[1] & 0x40 != 0,
            counter: head[3] & 15,
            field,
            payload,
        }
    }

    fn line(&self, coded: Coded) -> String {
        let all = coded == Coded::Shown;
        let mut facts = vec![format!("{:04x}", self.pid)];
        if all {
            facts.push(format!("counter {:x}", self.counter));
        }
        let flags = self.field.first().copied().unwrap_or(0);
        if flags & 0x40 != 0 {
            facts.push("random access".to_owned());
        }
        if flags & 0x10 != 0 && all {
            let base = self.field[1..5].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
            facts.push(format!("clock {}", base << 1 | u64::from(self.field[5] >> 7)));
        }
        if all {
            facts.push(format!("payload {}", self.payload.len()));
        }
        match self.payload {
            _ if !self.starts => {}
            [0, 0, 1, stream, len @ ..] => {
                facts.push(format!("stream {stream:02x}"));
                if all {
                    facts.push(format!("length {}", u16::from(len[0]) << 8 | u16::from(len[1])));
                }
                facts.push(format!("shown {}", stamp(&self.payload[9..14])));
                if self.payload[7] >> 6 == 3 {
                    facts.push(format!("decoded {}", stamp(&self.payload[14..19])));
                }
            }
            [pointer, section @ ..] => {
                let section = &section[usize::from(*pointer)..];
                let len = usize::from(section[1] & 15) << 8 | usize::from(section[2]);
                facts.push(format!("table {}", hex(&section[..3 + len])));
            }
            [] => {}
        }
        facts.join(" ")
    }
}

/// A time stamp in ticks of 90 kHz (§2.4.3.6).
fn stamp(bytes: &[u8]) -> u64 {
    u64::from(bytes[0] & 0x0e) << 29
        | u64::from(bytes[1]) << 22
        | u64::from(bytes[2] & 0xfe) << 14
        | u64::from(bytes[3]) << 7
        | u64::from(bytes[4]) >> 1
}
