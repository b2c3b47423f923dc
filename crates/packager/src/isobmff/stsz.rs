//! Sample sizes, ISO/IEC 14496-12 §8.7.3: `stsz` and the compact `stz2`.

use super::Cursor;
use super::cursor::word;

/// Sizes as the box holds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sizes<'a> {
    /// `count` samples of `size` bytes each.
    Constant { size: u32, count: u32 },
    /// 32 bits each.
    Words(&'a [[u8; 4]]),
    /// `field` (4, 8 or 16) bits each.
    Compact { field: u8, count: u32, bytes: &'a [u8] },
}

pub(crate) fn read(payload: &[u8]) -> Option<Sizes<'_>> {
    let (_, _, mut cursor) = Cursor::full_box(payload)?;
    match cursor.u32()? {
        0 => Some(Sizes::Words(cursor.table::<4>()?)),
        size => Some(Sizes::Constant { size, count: cursor.u32()? }),
    }
}

pub(crate) fn read_compact(payload: &[u8]) -> Option<Sizes<'_>> {
    let (_, _, mut cursor) = Cursor::full_box(payload)?;
    let field = (cursor.u32()? & 0xff) as u8;
    let count = cursor.u32()?;
    let bits = match field {
        4 | 8 | 16 => u64::from(count) * u64::from(field),
        _ => return None,
    };
    let bytes = cursor.take(usize::try_from(bits.div_ceil(8)).ok()?)?;
    Some(Sizes::Compact { field, count, bytes })
}

impl Sizes<'_> {
    pub(crate) fn count(&self) -> u64 {
        match self {
            Self::Constant { count, .. } | Self::Compact { count, .. } => u64::from(*count),
            Self::Words(words) => words.len() as u64,
        }
    }

    /// The sizes of samples from `first` on; those past the end are left as they are.
    #[expect(clippy::inline_always, reason = "compiled for the vectors of each dispatch")]
    #[inline(always)]
    pub(crate) fn fill(&self, first: usize, sizes: &mut [u32]) {
        match self {
            Self::Constant { size, .. } => sizes.fill(*size),
            Self::Words(words) => {
                for (size, word) in sizes.iter_mut().zip(words.get(first..).unwrap_or_default()) {
                    *size = u32::from_be_bytes(*word);
                }
            }
            Self::Compact { .. } => {
                for (index, size) in (first..).zip(sizes) {
                    *size = self.get(index);
                }
            }
        }
    }

    /// The sums of the sizes of each `each` samples from `first` on; false where one is more than
    /// 32 bits.
    #[expect(clippy::inline_always, reason = "compiled for the vectors of each dispatch")]
    #[inline(always)]
    pub(crate) fn fill_sums(&self, first: usize, each: usize, sums: &mut [u32]) -> bool {
        let mut large = 0;
        if let Self::Words(words) = self {
            let words = words.get(first..).unwrap_or_default();
            for (sum, words) in sums.iter_mut().zip(words.chunks(each.max(1))) {
                let bytes: u64 =
                    words.iter().map(|word| u64::from(u32::from_be_bytes(*word))).sum();
                large |= bytes >> 32;
                *sum = bytes as u32;
            }
        } else {
            for (sum, nth) in sums.iter_mut().zip(0..) {
                let first = first + nth * each;
                let bytes: u64 =
                    (first..first + each).map(|index| u64::from(self.get(index))).sum();
                large |= bytes >> 32;
                *sum = bytes as u32;
            }
        }
        large == 0
    }

    /// The size of sample `index`; 0 past the end.
    pub(crate) fn get(&self, index: usize) -> u32 {
        match self {
            Self::Constant { size, .. } => *size,
            Self::Words(words) => words.get(index).map_or(0, |entry| word(entry, 0)),
            Self::Compact { field, bytes, .. } => {
                let byte = |at: usize| u32::from(bytes.get(at).copied().unwrap_or(0));
                match field {
                    4 if index.is_multiple_of(2) => byte(index / 2) >> 4,
                    4 => byte(index / 2) & 15,
                    8 => byte(index),
                    _ => byte(index * 2) << 8 | byte(index * 2 + 1),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn every_form() {
        let constant = read(b"\0\0\0\0\0\0\0\x07\0\0\0\x03").unwrap();
        assert_eq!((constant.count(), constant.get(2)), (3, 7));
        let words = read(b"\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\x01\0").unwrap();
        assert_eq!((words.count(), words.get(0)), (1, 256));
        let nibbles = read_compact(b"\0\0\0\0\0\0\0\x04\0\0\0\x03\x12\x30").unwrap();
        assert_eq!([0, 1, 2].map(|index| nibbles.get(index)), [1, 2, 3]);
        let bytes = read_compact(b"\0\0\0\0\0\0\0\x08\0\0\0\x02\x12\x30").unwrap();
        assert_eq!([0, 1].map(|index| bytes.get(index)), [0x12, 0x30]);
        let shorts = read_compact(b"\0\0\0\0\0\0\0\x10\0\0\0\x01\x12\x30").unwrap();
        assert_eq!(shorts.get(0), 0x1230);
        assert!(read_compact(b"\0\0\0\0\0\0\0\x10\0\0\0\x02\x12\x30").is_none());
        assert!(read_compact(b"\0\0\0\0\0\0\0\x05\0\0\0\0").is_none());
    }
}
