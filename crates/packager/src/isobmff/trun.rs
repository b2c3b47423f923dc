//! A run of samples in a fragment, ISO/IEC 14496-12 §8.8.8.

use super::Cursor;

const DATA_OFFSET: u32 = 0x001;
const FIRST_FLAGS: u32 = 0x004;
const DURATION: u32 = 0x100;
const SIZE: u32 = 0x200;
const FLAGS: u32 = 0x400;
const COMPOSITION_OFFSET: u32 = 0x800;

/// The box with its table as it is stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trun<'a> {
    flags: u32,
    pub(crate) count: u32,
    /// From the fragment's base to the first sample.
    pub(crate) data_offset: Option<i32>,
    pub(crate) first_flags: Option<u32>,
    entries: &'a [u8],
}

/// One row of it; what is absent is the fragment's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Row {
    pub(crate) duration: Option<u32>,
    pub(crate) size: Option<u32>,
    pub(crate) flags: Option<u32>,
    /// Version 0 is unsigned by the standard; as in `ctts`, both versions are read as signed.
    pub(crate) composition_offset: i32,
}

pub(crate) fn read(payload: &[u8]) -> Option<Trun<'_>> {
    let (_, flags, mut cursor) = Cursor::full_box(payload)?;
    let count = cursor.u32()?;
    let data_offset = if flags & DATA_OFFSET == 0 { None } else { Some(cursor.i32()?) };
    let first_flags = if flags & FIRST_FLAGS == 0 { None } else { Some(cursor.u32()?) };
    let len = usize::try_from(count).ok()?.checked_mul(row_len(flags))?;
    let entries = cursor.take(len)?;
    Some(Trun { flags, count, data_offset, first_flags, entries })
}

impl<'a> Trun<'a> {
    /// Whether each row states its size: then the box is as long as its count says.
    pub(crate) fn has_sizes(&self) -> bool {
        self.flags & SIZE != 0
    }

    /// Its rows in order; `count` of them.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row> + use<'a> {
        let (flags, mut cursor) = (self.flags, Cursor::new(self.entries));
        (0..self.count).map(move |_| {
            let mut field = |bit: u32| if flags & bit == 0 { None } else { cursor.u32() };
            Row {
                duration: field(DURATION),
                size: field(SIZE),
                flags: field(FLAGS),
                composition_offset: field(COMPOSITION_OFFSET).map_or(0, u32::cast_signed),
            }
        })
    }
}

fn row_len(flags: u32) -> usize {
    4 * (flags & (DURATION | SIZE | FLAGS | COMPOSITION_OFFSET)).count_ones() as usize
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn rows_hold_what_the_flags_say() {
        let bytes = b"\x01\0\x0a\x05\0\0\0\x02\0\0\0\x40\x02\0\0\0\0\0\0\x09\xff\xff\xff\xff\0\0\0\x08\0\0\0\x02";
        let run = read(bytes).unwrap();
        assert_eq!((run.count, run.data_offset), (2, Some(0x40)));
        assert_eq!(run.first_flags, Some(0x0200_0000));
        let row = |size, composition_offset| Row {
            size: Some(size),
            composition_offset,
            ..Row::default()
        };
        assert_eq!(run.rows().collect::<Vec<_>>(), [row(9, -1), row(8, 2)]);
        assert!(read(&bytes[..bytes.len() - 1]).is_none());
        let bare = read(b"\0\0\0\0\0\0\0\x03").unwrap();
        assert_eq!(bare.rows().count(), 3);
        assert!(!bare.has_sizes());
    }
}
