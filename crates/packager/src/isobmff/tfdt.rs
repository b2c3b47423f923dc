//! When a fragment's first sample is decoded, ISO/IEC 14496-12 §8.8.12.

use super::Cursor;

/// The decode time in ticks of the track; version 0 has 32 bits.
pub(crate) fn decode_time(payload: &[u8]) -> Option<u64> {
    let (version, _, mut cursor) = Cursor::full_box(payload)?;
    if version == 0 { cursor.u32().map(u64::from) } else { cursor.u64() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions() {
        assert_eq!(decode_time(b"\0\0\0\0\0\0\0\x09"), Some(9));
        assert_eq!(decode_time(b"\x01\0\0\0\0\0\0\x01\0\0\0\0"), Some(1 << 32));
        assert_eq!(decode_time(b"\x01\0\0\0\0\0\0\x01"), None);
    }
}
