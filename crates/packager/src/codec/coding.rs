//! The codings that are carried, by their everyday names.

use std::fmt;

/// A coding by its everyday name, whatever its profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Coding {
    /// H.264 (ISO/IEC 14496-10).
    Avc,
    /// H.265 (ISO/IEC 23008-2), Dolby Vision on it included.
    Hevc,
    /// AV1.
    Av1,
    /// VP9.
    Vp9,
    /// AAC of any kind (ISO/IEC 14496-3, 23003-3).
    Aac,
    /// AC-3.
    Ac3,
    /// Enhanced AC-3, also with Joint Object Coding.
    Eac3,
    /// Opus.
    Opus,
    /// FLAC.
    Flac,
    /// MPEG audio layer III.
    Mp3,
}

impl Coding {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Avc,
        Self::Hevc,
        Self::Av1,
        Self::Vp9,
        Self::Aac,
        Self::Ac3,
        Self::Eac3,
        Self::Opus,
        Self::Flac,
        Self::Mp3,
    ];

    /// Its name in queries.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Avc => "avc",
            Self::Hevc => "hevc",
            Self::Av1 => "av1",
            Self::Vp9 => "vp9",
            Self::Aac => "aac",
            Self::Ac3 => "ac3",
            Self::Eac3 => "eac3",
            Self::Opus => "opus",
            Self::Flac => "flac",
            Self::Mp3 => "mp3",
        }
    }

    pub(crate) const fn is_picture(self) -> bool {
        matches!(self, Self::Avc | Self::Hevc | Self::Av1 | Self::Vp9)
    }
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Avc => "H.264",
            Self::Hevc => "HEVC",
            Self::Av1 => "AV1",
            Self::Vp9 => "VP9",
            Self::Aac => "AAC",
            Self::Ac3 => "AC-3",
            Self::Eac3 => "E-AC-3",
            Self::Opus => "Opus",
            Self::Flac => "FLAC",
            Self::Mp3 => "MP3",
        })
    }
}
