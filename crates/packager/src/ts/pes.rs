//! PES packet headers (ISO/IEC 13818-1 §2.4.3.6 and §2.4.3.7).

use super::packet::wrapped;

/// When an access unit is presented and decoded, in ticks of 90 kHz.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamps {
    pub(super) pts: u64,
    pub(super) dts: u64,
}

impl Stamps {
    /// Bytes of a header with these.
    pub(super) const fn header_len(self) -> usize {
        if self.has_dts() { 19 } else { 14 }
    }

    /// A DTS that equals the PTS is left out (§2.4.3.7).
    const fn has_dts(self) -> bool {
        self.pts != self.dts
    }
}

/// A header before `payload` bytes; the first [`Stamps::header_len`] bytes count. `bounded` says
/// that the length is stated, which only pictures may do without.
pub(super) fn header(stream_id: u8, stamps: Stamps, payload: usize, bounded: bool) -> [u8; 19] {
    let mut out = [0; 19];
    let fields = stamps.header_len() - 9;
    let length = if bounded { 3 + fields + payload } else { 0 };
    let [high, low] = u16::try_from(length).unwrap_or(0).to_be_bytes();
    // '10', data_alignment_indicator; PTS_DTS_flags; PES_header_data_length.
    let flags = if stamps.has_dts() { 0xc0 } else { 0x80 };
    out[..9].copy_from_slice(&[0, 0, 1, stream_id, high, low, 0x84, flags, fields as u8]);
    if stamps.has_dts() {
        out[9..14].copy_from_slice(&stamp(0x30, stamps.pts));
        out[14..].copy_from_slice(&stamp(0x10, stamps.dts));
    } else {
        out[9..14].copy_from_slice(&stamp(0x20, stamps.pts));
    }
    out
}

/// 33 bits between marker bits.
const fn stamp(prefix: u8, ticks: u64) -> [u8; 5] {
    let ticks = wrapped(ticks);
    [
        prefix | (ticks >> 29) as u8 & 0x0e | 1,
        (ticks >> 22) as u8,
        (ticks >> 14) as u8 | 1,
        (ticks >> 7) as u8,
        (ticks << 1) as u8 | 1,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> u64 {
        u64::from(bytes[0] & 0x0e) << 29
            | u64::from(bytes[1]) << 22
            | u64::from(bytes[2] & 0xfe) << 14
            | u64::from(bytes[3]) << 7
            | u64::from(bytes[4]) >> 1
    }

    #[test]
    fn stamps_come_back() {
        for dts in [0, 1, 0x1_5555_5555, (1 << 33) - 1, 1 << 33, u64::MAX >> 2] {
            let stamps = Stamps { pts: dts + 3_003, dts };
            let bytes = header(0xe0, stamps, 100, false);
            assert_eq!(bytes[..9], [0, 0, 1, 0xe0, 0, 0, 0x84, 0xc0, 10]);
            assert_eq!(read(&bytes[9..]), wrapped(stamps.pts));
            assert_eq!(read(&bytes[14..]), wrapped(stamps.dts));
            assert_eq!((bytes[9] >> 4, bytes[14] >> 4), (3, 1));
        }
        let same = Stamps { pts: 90_000, dts: 90_000 };
        let bytes = header(0xc0, same, 1_000, true);
        assert_eq!(same.header_len(), 14);
        assert_eq!(bytes[..9], [0, 0, 1, 0xc0, 3, 0xf0, 0x84, 0x80, 5]);
        assert_eq!(read(&bytes[9..]), 90_000);
    }
}
