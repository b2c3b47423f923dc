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

    /// The offsets of as many chunks from `first` on, less what is returned; `None` where one is
    /// too far from the first for that, or not behind it.
    #[expect(clippy::inline_always, reason = "compiled for the vectors of each dispatch")]
    #[inline(always)]
    pub(crate) fn fill(&self, first: usize, offsets: &mut [u32]) -> Option<u64> {
        match self {
            Self::Narrow(entries) => {
                for (offset, entry) in offsets.iter_mut().zip(entries.get(first..)?) {
                    *offset = u32::from_be_bytes(*entry);
                }
                Some(0)
            }
            Self::Wide(entries) => {
                let origin = self.get(first)?;
                let mut high = 0;
                for (offset, entry) in offsets.iter_mut().zip(entries.get(first..)?) {
                    let after = u64::from_be_bytes(*entry).wrapping_sub(origin);
                    high |= after >> 32;
                    *offset = after as u32;
                }
                (high == 0).then_some(origin)
            }
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
