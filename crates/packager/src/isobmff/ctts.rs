//! Composition offsets, ISO/IEC 14496-12 §8.6.1.3.

use super::Cursor;
use super::cursor::word;

/// Runs of (number of samples, composition time minus decode time). Version 0 is unsigned by the
/// standard, but QuickTime writes negative offsets in it, and offsets of 2^31 ticks do not exist:
/// both versions are read as signed.
pub(crate) fn runs(payload: &[u8]) -> Option<impl ExactSizeIterator<Item = (u32, i32)>> {
    let entries = entries(payload)?;
    Some(entries.iter().map(|entry| (word(entry, 0), word(entry, 4).cast_signed())))
}

/// The same runs as they are stored: a count and an offset.
pub(crate) fn entries(payload: &[u8]) -> Option<&[[u8; 8]]> {
    let (_, _, mut cursor) = Cursor::full_box(payload)?;
    cursor.table::<8>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_signed() {
        let bytes = b"\x01\0\0\0\0\0\0\x01\0\0\0\x05\xff\xff\xff\xff";
        assert_eq!(runs(bytes).map(Iterator::collect::<Vec<_>>), Some(vec![(5, -1)]));
        assert!(runs(b"\0\0\0\0\xff\xff\xff\xff").is_none());
    }
}
