//! Transport stream packets (ISO/IEC 13818-1 §2.4.3.2 and §2.4.3.4): 4 bytes of header, perhaps an
//! adaptation field, and payload.

/// Bytes of a packet.
pub(crate) const PACKET: usize = 188;

/// Bytes of a packet after its header.
const ROOM: usize = PACKET - 4;

/// Time stamps of the system layer have this many bits.
const STAMP_BITS: u32 = 33;

/// A time in ticks of 90 kHz as the system layer writes it: it wraps every 26.5 hours.
pub(crate) const fn wrapped(ticks: u64) -> u64 {
    ticks & ((1 << STAMP_BITS) - 1)
}

/// What the adaptation field of a first packet says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Adaptation {
    /// program_clock_reference, in ticks of 90 kHz.
    pub(crate) clock: Option<u64>,
    /// random_access_indicator: decoding can start here.
    pub(crate) random_access: bool,
}

impl Adaptation {
    /// Its bytes, the length byte included, without stuffing.
    const fn len(self) -> usize {
        match self {
            Self { clock: Some(_), .. } => 8,
            Self { random_access: true, .. } => 2,
            _ => 0,
        }
    }

    /// Writes it `len` bytes long; what it does not need is stuffing.
    fn write(self, out: &mut [u8]) {
        let Some((length, rest)) = out.split_first_mut() else { return };
        *length = rest.len() as u8;
        let Some((flags, rest)) = rest.split_first_mut() else { return };
        *flags = u8::from(self.random_access) << 6 | u8::from(self.clock.is_some()) << 4;
        rest.fill(0xff);
        if let Some(clock) = self.clock
            && let Some(out) = rest.first_chunk_mut::<6>()
        {
            // 33 bits of 90 kHz, 6 reserved bits, 9 bits of 27 MHz which stay 0.
            let bits = wrapped(clock) << 15 | 0x7e00;
            out.copy_from_slice(&bits.to_be_bytes()[2..]);
        }
    }
}

/// How many packets `payload` bytes take of which the first has that adaptation field.
pub(crate) const fn packets(payload: usize, first: Adaptation) -> usize {
    let room = ROOM - first.len();
    if payload <= room { 1 } else { 1 + (payload - room).div_ceil(ROOM) }
}

/// A packet that says the time and nothing else. It has no payload, so `counter` is that of the
/// packet before it (§2.4.3.3).
pub(crate) fn clock_packet(pid: u16, counter: u8, clock: u64) -> [u8; PACKET] {
    let mut packet = [0; PACKET];
    packet[..4].copy_from_slice(&header(pid, false, Field::Adaptation, counter));
    Adaptation { clock: Some(clock), random_access: false }.write(&mut packet[4..]);
    packet
}

/// One section in a packet of its own (§2.4.4.1); cut where it is longer than that, which none is.
pub(crate) fn section_packet(pid: u16, counter: u8, section: &[u8]) -> [u8; PACKET] {
    let mut packet = [0xff; PACKET];
    packet[..4].copy_from_slice(&header(pid, true, Field::Payload, counter));
    // pointer_field: the section starts at once.
    packet[4] = 0;
    for (to, byte) in packet[5..].iter_mut().zip(section) {
        *to = *byte;
    }
    packet
}

#[derive(Clone, Copy)]
enum Field {
    Payload = 0x10,
    Adaptation = 0x20,
    Both = 0x30,
}

const fn header(pid: u16, starts: bool, field: Field, counter: u8) -> [u8; 4] {
    let start = if starts { 0x40 } else { 0 };
    [0x47, start | (pid >> 8) as u8 & 0x1f, pid as u8, field as u8 | counter & 15]
}

/// Payload on its way into the packets of one PID, which fill `out`.
///
/// The payload's length is promised first; stuffing goes into the last packet. What is pushed past
/// the promise is dropped.
#[derive(Debug)]
pub(crate) struct Packets<'a> {
    /// What is not written yet; packets begin where `room` is 0.
    out: &'a mut [u8],
    /// Payload bytes that still fit into the packet begun.
    room: usize,
    /// Payload bytes still to come.
    left: usize,
    pid: u16,
    counter: u8,
    first: Option<Adaptation>,
}

impl<'a> Packets<'a> {
    /// Packets of `payload` bytes in `out`, which is [`packets`] times [`PACKET`] long.
    pub(crate) fn new(
        out: &'a mut [u8],
        pid: u16,
        counter: u8,
        first: Adaptation,
        payload: usize,
    ) -> Self {
        Self { out, room: 0, left: payload, pid, counter, first: Some(first) }
    }

    /// Appends payload.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        loop {
            if self.room == 0 {
                bytes = self.push_full(bytes);
            }
            if bytes.is_empty() || (self.room == 0 && self.begin().is_none()) {
                return;
            }
            let len = bytes.len().min(self.room);
            let (now, later) = bytes.split_at(len);
            bytes = later;
            self.piece(len).copy_from_slice(now);
        }
    }

    /// Appends zero bytes.
    pub(crate) fn push_zeros(&mut self, mut count: usize) {
        while count > 0 {
            if self.room == 0 && self.begin().is_none() {
                return;
            }
            let len = count.min(self.room);
            count -= len;
            self.piece(len).fill(0);
        }
    }

    /// Makes up for payload that did not come.
    pub(crate) fn finish(mut self) {
        self.push_zeros(self.left);
    }

    /// The next `len` bytes of the packet begun.
    fn piece(&mut self, len: usize) -> &mut [u8] {
        let (piece, rest) = std::mem::take(&mut self.out).split_at_mut(len);
        self.out = rest;
        self.room -= len;
        self.left -= len;
        piece
    }

    /// Writes whole packets without adaptation field: nearly all of a picture.
    fn push_full<'b>(&mut self, mut bytes: &'b [u8]) -> &'b [u8] {
        if self.first.is_some() {
            return bytes;
        }
        while self.left >= ROOM
            && let Some((now, later)) = bytes.split_first_chunk::<ROOM>()
            && let Some((packet, rest)) = std::mem::take(&mut self.out).split_first_chunk_mut()
        {
            let packet: &mut [u8; PACKET] = packet;
            packet[..4].copy_from_slice(&header(self.pid, false, Field::Payload, self.counter));
            packet[4..].copy_from_slice(now);
            self.counter = self.counter.wrapping_add(1);
            self.left -= ROOM;
            self.out = rest;
            bytes = later;
        }
        bytes
    }

    /// Begins a packet; `None` where nothing is to come or there is no space.
    fn begin(&mut self) -> Option<()> {
        if self.left == 0 || self.out.len() < PACKET {
            return None;
        }
        let first = self.first.take();
        let adaptation = first.unwrap_or_default();
        self.room = self.left.min(ROOM - adaptation.len());
        let field = ROOM - self.room;
        let kind = if field == 0 { Field::Payload } else { Field::Both };
        let (head, rest) = std::mem::take(&mut self.out).split_at_mut(4 + field);
        head[..4].copy_from_slice(&header(self.pid, first.is_some(), kind, self.counter));
        adaptation.write(&mut head[4..]);
        self.counter = self.counter.wrapping_add(1);
        self.out = rest;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use proptest::prelude::*;

    /// Payload, adaptation field with its length byte, counter and start flag of a packet.
    fn read(packet: &[u8]) -> (&[u8], &[u8], u8, bool) {
        assert_eq!((packet.len(), packet[0]), (PACKET, 0x47));
        let field = if packet[3] & 0x20 == 0 { 0 } else { 1 + usize::from(packet[4]) };
        let payload = if packet[3] & 0x10 == 0 { &[][..] } else { &packet[4 + field..] };
        (payload, &packet[4..4 + field], packet[3] & 15, packet[1] & 0x40 != 0)
    }

    proptest! {
        #[test]
        fn payload_comes_back_in_counted_packets(
            lens in proptest::collection::vec(prop_oneof![0usize..8, 0usize..1_000], 1..8),
            clock in proptest::option::of(0u64..1 << 34),
            random_access: bool, counter in 0u8..16, zeros in 0usize..400,
        ) {
            let pieces: Vec<Vec<u8>> =
                lens.iter().enumerate().map(|(i, len)| vec![i as u8 + 1; *len]).collect();
            let mut expected = pieces.concat();
            expected.extend(vec![0; zeros]);
            prop_assume!(!expected.is_empty());
            let first = Adaptation { clock, random_access };
            let count = packets(expected.len(), first);
            let mut out = vec![0xaa; count * PACKET];
            let mut writer = Packets::new(&mut out, 0x100, counter, first, expected.len());
            for piece in &pieces {
                writer.push(piece);
            }
            writer.push_zeros(zeros);
            writer.push(b"too much");
            writer.finish();

            let mut payload = Vec::new();
            for (number, packet) in out.chunks(PACKET).enumerate() {
                let (bytes, field, packet_counter, starts) = read(packet);
                prop_assert_eq!(packet_counter, (counter + number as u8 % 16) % 16);
                prop_assert_eq!(starts, number == 0);
                if number == 0 && first.len() > 0 {
                    prop_assert_eq!(field[1] & 0x40 != 0, random_access);
                    prop_assert_eq!(field[1] & 0x10 != 0, clock.is_some());
                }
                payload.extend_from_slice(bytes);
            }
            prop_assert_eq!(payload, expected);
        }
    }

    #[test]
    fn payload_that_does_not_come_is_zeros() {
        let mut out = vec![0xaa; 2 * PACKET];
        let mut writer = Packets::new(&mut out, 1, 0, Adaptation::default(), 200);
        writer.push(b"x");
        writer.finish();
        let all: Vec<u8> = out.chunks(PACKET).flat_map(|packet| read(packet).0.to_vec()).collect();
        assert_eq!(all, [&b"x"[..], &[0; 199]].concat());
    }

    #[test]
    fn a_clock_packet_has_no_payload() {
        let packet = clock_packet(0x100, 7, (1 << 33) + 0x1_2345_6789);
        let (payload, field, counter, _) = read(&packet);
        assert!(payload.is_empty());
        assert_eq!((field.len(), counter), (184, 7));
        let base = field[2..6].iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte)) << 1
            | u64::from(field[6] >> 7);
        assert_eq!(base, 0x1_2345_6789);
        assert_eq!((field[6] & 0x7f, field[7]), (0x7e, 0));
    }
}
