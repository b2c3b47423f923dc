//! Media header, ISO/IEC 14496-12 §8.4.2, with QuickTime's language codes.

use super::Cursor;
use crate::units::Timescale;

/// What of a media header is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mdhd {
    pub(crate) timescale: Timescale,
    /// As stored: three letters of five bits, or below 0x400 a Macintosh language code.
    pub(crate) language: u16,
}

impl Mdhd {
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let (version, _, mut cursor) = Cursor::full_box(payload)?;
        let wide = version == 1;
        cursor.skip(if wide { 16 } else { 8 })?;
        let timescale = Timescale::new(cursor.u32()?)?;
        cursor.skip(if wide { 8 } else { 4 })?;
        Some(Self { timescale, language: cursor.u16()? })
    }
}

/// The three letters of an ISO 639-2/T code packed as in `mdhd`; `None` for anything else.
pub(crate) fn unpack_language(packed: u16) -> Option<[u8; 3]> {
    let letters = [packed >> 10, packed >> 5, packed].map(|bits| (bits & 31) as u8);
    letters
        .iter()
        .all(|letter| (1..=26).contains(letter))
        .then(|| letters.map(|letter| letter + 0x60))
}

/// `und`, packed.
pub(crate) const UNDETERMINED: u16 = 0x55c4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_unpack() {
        assert_eq!(unpack_language(UNDETERMINED), Some(*b"und"));
        assert_eq!(unpack_language(0x15c7), Some(*b"eng"));
        assert_eq!(unpack_language(0x7fff), None);
        assert_eq!(unpack_language(0), None);
    }

    #[test]
    fn a_timescale_of_zero_is_refused() {
        assert_eq!(Mdhd::read(&[0; 24]), None);
    }
}
