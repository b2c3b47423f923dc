//! Chunk offsets, ISO/IEC 14496-12 §8.7.5: `stco` and `co64`.

use super::Cursor;

/// Offsets as the box holds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offsets<'a> {
    Narrow(&'a [[u8; 4]]),
    Wide(&'a [[u8; 8]]),
}

pub(crate) fn read(payload: &[u8]) -> Option<Offsets<'_>> {
    let (_, _, mut cursor) = Cursor::full_box(payload)?;
    Some(Offsets::Narrow(cursor.table::<4>()?))
}

pub(crate) fn read_wide(payload: &[u8]) -> Option<Offsets<'_>> {
    let (_, _, mut cursor) = Cursor::full_box(payload)?;
    Some(Offsets::Wide(cursor.table::<8>()?))
}

impl Offsets<'_> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Narrow(entries) => entries.len(),
            Self::Wide(entries) => entries.len(),
        }
    }

    /// The offset of chunk `index` (from 0).
    pub(crate) fn get(&self, index: usize) -> Option<u64> {
        match self {
            Self::Narrow(entries) => {
                entries.get(index).map(|entry| u64::from(u32::from_be_bytes(*entry)))
            }
            Self::Wide(entries) => entries.get(index).map(|entry| u64::from_be_bytes(*entry)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn both_widths() {
        let narrow = read(b"\0\0\0\0\0\0\0\x01\0\0\x01\0").unwrap();
        assert_eq!((narrow.len(), narrow.get(0), narrow.get(1)), (1, Some(256), None));
        let wide = read_wide(b"\0\0\0\0\0\0\0\x01\0\0\0\x01\0\0\0\0").unwrap();
        assert_eq!(wide.get(0), Some(1 << 32));
        assert!(read_wide(b"\0\0\0\0\0\0\0\x01\0\0\0\x01").is_none());
    }
}
