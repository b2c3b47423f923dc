//! Sync samples, ISO/IEC 14496-12 §8.6.2.

use super::Cursor;

/// Numbers of sync samples, from 1, as stored.
pub(crate) fn numbers(payload: &[u8]) -> Option<impl ExactSizeIterator<Item = u32>> {
    let entries = entries(payload)?;
    Some(entries.iter().map(|entry| u32::from_be_bytes(*entry)))
}

/// The same numbers as they are stored.
pub(crate) fn entries(payload: &[u8]) -> Option<&[[u8; 4]]> {
    let (_, _, mut cursor) = Cursor::full_box(payload)?;
    cursor.table::<4>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read() {
        let bytes = b"\0\0\0\0\0\0\0\x02\0\0\0\x01\0\0\0\x31";
        assert_eq!(numbers(bytes).map(Iterator::collect::<Vec<_>>), Some(vec![1, 49]));
        assert!(numbers(&bytes[..12]).is_none());
    }
}
