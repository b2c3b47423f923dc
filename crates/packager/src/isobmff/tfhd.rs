//! The head of one track's fragment, ISO/IEC 14496-12 §8.8.7.

use super::Cursor;

/// Which track, where its data lies, and what its samples have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tfhd {
    pub(crate) track: u32,
    /// Where offsets count from, if it is said as a number.
    pub(crate) base: Option<u64>,
    /// Offsets count from the start of the `moof`.
    pub(crate) base_is_moof: bool,
    /// From 1.
    pub(crate) description: Option<u32>,
    pub(crate) duration: Option<u32>,
    pub(crate) size: Option<u32>,
    pub(crate) flags: Option<u32>,
}

pub(crate) fn read(payload: &[u8]) -> Option<Tfhd> {
    let (_, flags, mut cursor) = Cursor::full_box(payload)?;
    let track = cursor.u32()?;
    let base = if flags & 0x01 == 0 { None } else { Some(cursor.u64()?) };
    let mut field = |bit: u32| {
        if flags & bit == 0 { Some(None) } else { cursor.u32().map(Some) }
    };
    Some(Tfhd {
        track,
        base,
        base_is_moof: flags & 0x02_0000 != 0,
        description: field(0x02)?,
        duration: field(0x08)?,
        size: field(0x10)?,
        flags: field(0x20)?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn fields_are_there_as_the_flags_say() {
        let plain = read(b"\0\x02\0\0\0\0\0\x03").unwrap();
        assert!(plain.base_is_moof);
        assert_eq!((plain.track, plain.base, plain.duration), (3, None, None));
        let full = read(b"\0\0\0\x39\0\0\0\x01\0\0\0\0\0\0\0\x09\0\0\0\x05\0\0\0\x06\0\0\0\x07");
        let full = full.unwrap();
        assert_eq!((full.base, full.description), (Some(9), None));
        assert_eq!((full.duration, full.size, full.flags), (Some(5), Some(6), Some(7)));
        assert_eq!(read(b"\0\0\0\x08\0\0\0\x01"), None);
    }
}
