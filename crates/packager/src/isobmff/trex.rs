//! Defaults for the samples of all fragments of a track, ISO/IEC 14496-12 §8.8.3.

use super::Cursor;

/// What a fragment's samples are where neither it nor its runs say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Trex {
    pub(crate) track: u32,
    /// From 1.
    pub(crate) description: u32,
    pub(crate) duration: u32,
    pub(crate) size: u32,
    pub(crate) flags: u32,
}

pub(crate) fn read(payload: &[u8]) -> Option<Trex> {
    let (_, _, mut cursor) = Cursor::full_box(payload)?;
    Some(Trex {
        track: cursor.u32()?,
        description: cursor.u32()?,
        duration: cursor.u32()?,
        size: cursor.u32()?,
        flags: cursor.u32()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_read() {
        let bytes = b"\0\0\0\0\0\0\0\x02\0\0\0\x01\0\0\x04\0\0\0\0\x07\x01\x01\0\0";
        let expected =
            Trex { track: 2, description: 1, duration: 1_024, size: 7, flags: 0x0101_0000 };
        assert_eq!(read(bytes), Some(expected));
        assert_eq!(read(&bytes[..23]), None);
    }
}
