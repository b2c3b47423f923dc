//! What a track is for: the roles of ISO/IEC 23009-1 §5.8.5.5 (`urn:mpeg:dash:role:2011`), and how
//! HLS says the same (`CHARACTERISTICS`, RFC 8216bis §4.4.6.1).

use serde::{Deserialize, Serialize};

/// A role of a track, as an asset's descriptor names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Role {
    /// What plays where nobody chose.
    Main,
    /// In place of the main one.
    Alternate,
    /// Beside the main one.
    Supplementary,
    /// Remarks of those who made it.
    Commentary,
    /// Another language than the original's.
    Dub,
    /// Says what is to be seen, for people who do not see it.
    Description,
    /// Speech that is easier to understand.
    EnhancedAudioIntelligibility,
    /// An announcement in an emergency.
    Emergency,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Main,
        Self::Alternate,
        Self::Supplementary,
        Self::Commentary,
        Self::Dub,
        Self::Description,
        Self::EnhancedAudioIntelligibility,
        Self::Emergency,
    ];

    /// The role that a value of a scheme stands for, as `kind` boxes hold them
    /// (ISO/IEC 14496-12 §8.10.4): roles of DASH, and audio purposes of TV-Anytime.
    pub fn of_kind(scheme: &str, value: &str) -> Option<Self> {
        match scheme {
            "urn:mpeg:dash:role:2011" => Self::ALL.into_iter().find(|role| role.dash() == value),
            "urn:tva:metadata:cs:AudioPurposeCS:2007" => Self::ALL
                .into_iter()
                .find(|role| role.audio_purpose().is_some_and(|own| own.to_string() == value)),
            _ => None,
        }
    }

    /// Its value in the scheme `urn:mpeg:dash:role:2011`.
    pub const fn dash(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Alternate => "alternate",
            Self::Supplementary => "supplementary",
            Self::Commentary => "commentary",
            Self::Dub => "dub",
            Self::Description => "description",
            Self::EnhancedAudioIntelligibility => "enhanced-audio-intelligibility",
            Self::Emergency => "emergency",
        }
    }

    /// Its media characteristic tag in HLS, where there is one.
    pub const fn characteristic(self) -> Option<&'static str> {
        match self {
            Self::Description => Some("public.accessibility.describes-video"),
            Self::EnhancedAudioIntelligibility => {
                Some("public.accessibility.enhances-speech-intelligibility")
            }
            _ => None,
        }
    }

    /// Its value in the scheme `urn:tva:metadata:cs:AudioPurposeCS:2007`, by which DASH tells sound
    /// for people with an impairment (ISO/IEC 23009-1 §5.8.4.3).
    pub const fn audio_purpose(self) -> Option<u8> {
        match self {
            Self::Description => Some(1),
            Self::EnhancedAudioIntelligibility => Some(2),
            _ => None,
        }
    }

    /// What a sound of these roles is for in a transport stream (ISO/IEC 13818-1 Table 2-60): 2 for
    /// the hearing impaired, 3 commentary for the visually impaired, 0 nothing in particular.
    pub(crate) fn audio_type(roles: &[Self]) -> u8 {
        if roles.contains(&Self::EnhancedAudioIntelligibility) {
            2
        } else if roles.contains(&Self::Description) {
            3
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn kinds_are_roles() {
        let role = "urn:mpeg:dash:role:2011";
        assert_eq!(Role::of_kind(role, "commentary"), Some(Role::Commentary));
        assert_eq!(Role::of_kind(role, "caption"), None);
        let purpose = "urn:tva:metadata:cs:AudioPurposeCS:2007";
        assert_eq!(Role::of_kind(purpose, "1"), Some(Role::Description));
        assert_eq!(Role::of_kind("about:html-kind", "main"), None);
    }

    #[test]
    fn a_role_has_one_name() {
        for role in Role::ALL {
            assert_eq!(serde_json::to_value(role).unwrap(), role.dash());
        }
    }
}
