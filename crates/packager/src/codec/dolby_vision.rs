//! Dolby Vision configuration boxes and what players are told of them: Dolby Vision Streams Within
//! the ISO Base Media File Format §3, Dolby Vision Profiles and Levels, Dolby Vision Streams Within
//! the HTTP Live Streaming Format §4, and RFC 8216bis §4.4.6.2 (`SUPPLEMENTAL-CODECS`).
//!
//! A stream that plain players can show (profile 8, or 10 over AV1) keeps its plain name and is
//! Dolby Vision by a supplemental codec. One that they cannot (profile 5) has a name of its own.
//! Profiles with an enhancement layer (4, 7) are presented as their base layer.

use crate::isobmff::{Children, Cursor, FourCc};

/// The boxes that hold a configuration: for profiles to 7, from 8 on, and from 11 on.
pub(super) const BOXES: [[u8; 4]; 3] = [*b"dvcC", *b"dvvC", *b"dvwC"];

/// A DOVIDecoderConfigurationRecord.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DolbyVision {
    profile: u8,
    level: u8,
    /// What its base layer looks like without Dolby Vision: 1 HDR10, 2 SDR, 4 HLG.
    compatibility: u8,
}

/// A codec that players may choose in place of the plain one, for the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Supplemental {
    /// The codec string: `dvh1.08.06`.
    pub codec: String,
    /// The brand of the media that says it conforms to it: `db1p`.
    pub brand: FourCc,
}

impl DolbyVision {
    pub(super) fn find(boxes: &Children<'_>) -> Option<Self> {
        BOXES.iter().find_map(|kind| boxes.get(kind)).and_then(Self::read)
    }

    fn read(payload: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(payload);
        cursor.skip(2)?;
        let (profile, compatibility) = (cursor.u16()?, cursor.u8()?);
        Some(Self {
            profile: (profile >> 9) as u8,
            level: (profile >> 3 & 63) as u8,
            compatibility: compatibility >> 4,
        })
    }

    /// Whether plain players cannot show it.
    pub(super) fn stands_alone(self) -> bool {
        matches!((self.profile, self.compatibility), (5, _) | (10, 0))
    }

    /// `dvh1.05.06`.
    pub(super) fn codec_string(self, name: FourCc) -> String {
        format!("{name}.{:02}.{:02}", self.profile, self.level)
    }

    /// What it is besides a plain stream; `by_message` tells HLG that only a message in the samples
    /// calls so.
    pub(super) fn supplemental(self, name: &str, by_message: bool) -> Option<Supplemental> {
        if !matches!(self.profile, 8 | 10) {
            return None;
        }
        let brand = match self.compatibility {
            1 => *b"db1p",
            2 => *b"db2g",
            4 if by_message => *b"db4g",
            4 => *b"db4h",
            _ => return None,
        };
        let codec = format!("{name}.{:02}.{:02}", self.profile, self.level);
        Some(Supplemental { codec, brand: FourCc(brand) })
    }

    pub(super) fn base_layer_warning(self) -> &'static str {
        match self.profile {
            4 | 7 => {
                "its Dolby Vision profile has a second layer, which no streaming player takes; its \
                 base layer is presented"
            }
            _ => "its Dolby Vision profile is not one for streaming; its base layer is presented",
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn read(profile: u8, level: u8, compatibility: u8) -> DolbyVision {
        let word = u16::from(profile) << 9 | u16::from(level) << 3 | 5;
        let mut bytes = vec![1, 0];
        bytes.extend(word.to_be_bytes());
        bytes.push(compatibility << 4);
        bytes.extend([0; 19]);
        DolbyVision::read(&bytes).unwrap()
    }

    fn beside(dolby: DolbyVision, by_message: bool) -> Option<String> {
        dolby
            .supplemental("dvh1", by_message)
            .map(|found| format!("{}/{}", found.codec, found.brand))
    }

    #[test]
    fn profiles() {
        let five = read(5, 6, 0);
        assert!(five.stands_alone());
        assert_eq!(five.codec_string(FourCc(*b"dvh1")), "dvh1.05.06");
        assert_eq!(beside(five, false), None);
        assert!(!read(8, 7, 1).stands_alone());
        assert_eq!(beside(read(8, 7, 1), false).as_deref(), Some("dvh1.08.07/db1p"));
        assert_eq!(beside(read(8, 13, 2), false).as_deref(), Some("dvh1.08.13/db2g"));
        assert_eq!(beside(read(8, 2, 4), false).as_deref(), Some("dvh1.08.02/db4h"));
        assert_eq!(beside(read(8, 2, 4), true).as_deref(), Some("dvh1.08.02/db4g"));
        assert_eq!(beside(read(7, 6, 6), false), None);
        assert!(read(10, 5, 0).stands_alone());
        assert_eq!(DolbyVision::read(&[1, 0, 0x10, 0x35]), None);
    }
}
