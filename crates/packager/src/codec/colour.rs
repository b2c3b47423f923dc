//! Colour by the code points of ISO/IEC 23091-2 (ITU-T H.273), as sample entries and bitstreams
//! state it, and the dynamic range that follows.

use crate::isobmff::Cursor;

/// How the samples of a picture become light: code points of ISO/IEC 23091-2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Colour {
    /// ColourPrimaries: 1 is BT.709, 9 is BT.2020.
    pub primaries: u8,
    /// TransferCharacteristics: 1 is BT.709, 16 is PQ, 18 is HLG.
    pub transfer: u8,
    /// MatrixCoefficients: 1 is BT.709, 9 is BT.2020.
    pub matrix: u8,
    /// Whether samples use all of their range.
    pub full_range: bool,
}

/// `VIDEO-RANGE` of RFC 8216bis §4.4.6.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum VideoRange {
    /// Standard dynamic range, or nothing said.
    #[default]
    Sdr,
    /// Hybrid log-gamma.
    Hlg,
    /// Perceptual quantisation: HDR10 and most of Dolby Vision.
    Pq,
}

impl VideoRange {
    /// As it is written in playlists.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sdr => "SDR",
            Self::Hlg => "HLG",
            Self::Pq => "PQ",
        }
    }
}

impl Colour {
    /// BT.709 in limited range: what players take for granted.
    pub(crate) const BT709: Self = Self { primaries: 1, transfer: 1, matrix: 1, full_range: false };

    /// Code points as they stand in a bitstream; `None` where all are "unspecified".
    pub(crate) fn stated(
        primaries: u8,
        transfer: u8,
        matrix: u8,
        full_range: bool,
    ) -> Option<Self> {
        (primaries != 2 || transfer != 2 || matrix != 2).then_some(Self {
            primaries,
            transfer,
            matrix,
            full_range,
        })
    }

    /// A `colr` box with code points (ISO/IEC 14496-12 §12.1.5), or QuickTime's, which lacks the
    /// range.
    pub(crate) fn read(colr: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(colr);
        let kind = cursor.take(4)?;
        let (primaries, transfer, matrix) = (cursor.u16()?, cursor.u16()?, cursor.u16()?);
        let full_range = match kind {
            b"nclx" => cursor.u8()? & 0x80 != 0,
            b"nclc" => false,
            _ => return None,
        };
        let byte = |point: u16| u8::try_from(point).unwrap_or(2);
        Self::stated(byte(primaries), byte(transfer), byte(matrix), full_range)
    }

    /// The dynamic range that the transfer characteristics mean.
    pub fn range(self) -> VideoRange {
        match self.transfer {
            16 => VideoRange::Pq,
            18 => VideoRange::Hlg,
            _ => VideoRange::Sdr,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_of_both_families() {
        let pq = Colour { primaries: 9, transfer: 16, matrix: 9, full_range: true };
        assert_eq!(Colour::read(b"nclx\0\x09\0\x10\0\x09\x80"), Some(pq));
        assert_eq!(pq.range(), VideoRange::Pq);
        assert_eq!(Colour::read(b"nclc\0\x01\0\x01\0\x01"), Some(Colour::BT709));
        assert_eq!(Colour::read(b"nclx\0\x02\0\x02\0\x02\0"), None, "unspecified");
        assert_eq!(Colour::read(b"nclx\0\x02\0\x02"), None);
        assert_eq!(Colour::read(b"rICCxxxxxxxxxx"), None);
        let hlg = Colour::read(b"nclc\0\x09\0\x12\0\x09").map(Colour::range);
        assert_eq!(hlg, Some(VideoRange::Hlg));
    }
}
