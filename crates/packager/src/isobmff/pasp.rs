//! Pixel aspect ratio, ISO/IEC 14496-12 §12.1.4.

use super::Cursor;

/// Horizontal and vertical spacing, both at least 1.
pub(crate) fn read(payload: &[u8]) -> Option<(u32, u32)> {
    let mut cursor = Cursor::new(payload);
    let ratio = (cursor.u32()?, cursor.u32()?);
    (ratio.0 > 0 && ratio.1 > 0).then_some(ratio)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_no_ratio() {
        assert_eq!(read(b"\0\0\0\x04\0\0\0\x03"), Some((4, 3)));
        assert_eq!(read(b"\0\0\0\0\0\0\0\x03"), None);
    }
}
