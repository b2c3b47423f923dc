//! Decoding times, ISO/IEC 14496-12 §8.6.1.2.

use super::Cursor;
use super::cursor::word;

/// Runs of (number of samples, duration of each).
pub(crate) fn runs(payload: &[u8]) -> Option<impl ExactSizeIterator<Item = (u32, u32)>> {
    let entries = entries(payload)?;
    Some(entries.iter().map(|entry| (word(entry, 0), word(entry, 4))))
}

/// The same runs as they are stored.
pub(crate) fn entries(payload: &[u8]) -> Option<&[[u8; 8]]> {
    let (_, _, mut cursor) = Cursor::full_box(payload)?;
    cursor.table::<8>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_read() {
        let bytes = b"\0\0\0\0\0\0\0\x01\0\0\0\x05\0\0\x04\0";
        assert_eq!(runs(bytes).map(Iterator::collect::<Vec<_>>), Some(vec![(5, 1024)]));
        assert!(runs(&bytes[..15]).is_none());
    }
}
