//! Elementary stream descriptor, ISO/IEC 14496-14 §5.6 and ISO/IEC 14496-1 §7.2.6.

use super::Cursor;

/// What of an elementary stream descriptor is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Esds<'a> {
    /// The objectTypeIndication: 0x40 is MPEG-4 audio.
    pub(crate) object_type: u8,
    /// The DecoderSpecificInfo; empty where there is none.
    pub(crate) specific: &'a [u8],
}

impl<'a> Esds<'a> {
    pub(crate) fn read(payload: &'a [u8]) -> Option<Self> {
        let (_, _, cursor) = Cursor::full_box(payload)?;
        let mut stream = Cursor::new(descriptor(cursor, 0x03)?);
        stream.skip(2)?;
        let flags = stream.u8()?;
        if flags & 0x80 != 0 {
            stream.skip(2)?;
        }
        if flags & 0x40 != 0 {
            let len = stream.u8()?;
            stream.skip(usize::from(len))?;
        }
        if flags & 0x20 != 0 {
            stream.skip(2)?;
        }
        let mut config = Cursor::new(descriptor(stream, 0x04)?);
        let object_type = config.u8()?;
        config.skip(12)?;
        Some(Self { object_type, specific: descriptor(config, 0x05).unwrap_or_default() })
    }
}

/// The payload of the first descriptor with that tag. Every round consumes at least two bytes.
fn descriptor(mut cursor: Cursor<'_>, wanted: u8) -> Option<&[u8]> {
    loop {
        let tag = cursor.u8()?;
        let mut len = 0_usize;
        for _ in 0..4 {
            let byte = cursor.u8()?;
            len = len << 7 | usize::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                break;
            }
        }
        // A length past the end is a known fault of some writers; what is there is what counts.
        let body = cursor.take(len.min(cursor.rest().len()))?;
        if tag == wanted {
            return Some(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_short_lengths() {
        let mut bytes = b"\0\0\0\0\x03\x80\x80\x80\x19\0\x01\0\x04\x11\x40\x15".to_vec();
        bytes.extend([0; 11]);
        bytes.extend(b"\x05\x02\x12\x10\x06\x01\x02");
        let expected = Esds { object_type: 0x40, specific: b"\x12\x10" };
        assert_eq!(Esds::read(&bytes), Some(expected));
        assert_eq!(Esds::read(&bytes[..20]), None);
        assert_eq!(Esds::read(&[0; 12]), None);
    }
}
