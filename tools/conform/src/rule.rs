//! A rule: which standard says it, where, in one sentence, and the function that looks.

use crate::dash::Presentation as Dash;
use crate::hls::Presentation as Hls;
use crate::media::Stream;
use crate::verdict::Findings;

/// How binding a rule is (RFC 2119; ISO's "shall" counts as MUST).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A presentation that breaks it fails.
    Must,
    /// A presentation that breaks it is warned of; `--strict` makes it fail.
    Should,
}

impl Level {
    /// The word of RFC 2119.
    pub fn word(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
        }
    }
}

/// Where rules come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standard {
    /// HTTP Live Streaming 2nd Edition, draft-pantos-hls-rfc8216bis.
    Hls,
    /// HLS Authoring Specification for Apple Devices; sections are its item numbers.
    Apple,
    /// ISO/IEC 23009-1, MPEG-DASH.
    Dash,
    /// ISO/IEC 23000-19, CMAF.
    Cmaf,
    /// ISO/IEC 14496-12, the ISO base media file format.
    Bmff,
    /// ISO/IEC 13818-1, MPEG-2 systems.
    Ts,
}

impl Standard {
    /// A short name for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hls => "RFC 8216bis",
            Self::Apple => "Apple HLS authoring",
            Self::Dash => "ISO/IEC 23009-1",
            Self::Cmaf => "ISO/IEC 23000-19",
            Self::Bmff => "ISO/IEC 14496-12",
            Self::Ts => "ISO/IEC 13818-1",
        }
    }
}

/// What a rule looks at.
#[derive(Clone, Copy)]
pub(crate) enum Check {
    /// Playlists, with what was sampled of their media.
    Hls(fn(&Hls, &mut Findings)),
    /// An MPD, with what was sampled of its media.
    Dash(fn(&Dash, &mut Findings)),
    /// Media of either, one rendition at a time.
    Media(fn(&Stream, &mut Findings)),
}

/// One rule.
pub struct Rule {
    /// The name to ask for it by (`--only`); it never changes.
    pub id: &'static str,
    /// How binding it is.
    pub level: Level,
    /// Which standard says it.
    pub standard: Standard,
    /// Where in that standard.
    pub section: &'static str,
    /// What it asks for, in one sentence.
    pub says: &'static str,
    pub(crate) check: Check,
}

/// A table of rules: `id, level, standard, section, sentence, check;` each.
macro_rules! rules {
    ($($id:literal $level:ident $standard:ident $section:literal $says:literal $kind:ident($check:expr);)*) => {
        &[$($crate::rule::Rule {
            id: $id,
            level: $crate::rule::Level::$level,
            standard: $crate::rule::Standard::$standard,
            section: $section,
            says: $says,
            check: $crate::rule::Check::$kind($check),
        }),*]
    };
}
pub(crate) use rules;
