//! Where the channels of a sound belong, as far as manifests describe it.

/// The layout of a sound's channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Speakers {
    /// Only their number is known.
    Unknown,
    /// A ChannelConfiguration of ISO/IEC 23091-3: 2 is stereo, 6 is 5.1, 12 is 7.1.
    Cicp(u8),
    /// A channel map of ETSI TS 102 366 table E.1.4: the highest bit is left, 0xF801 is 5.1.
    Dolby {
        /// The map.
        map: u16,
        /// With Joint Object Coding the complexity index: how many objects it decodes to, 16 for
        /// Dolby Atmos.
        joc: Option<u8>,
    },
}

impl Speakers {
    /// The usual layout of so many channels in the order of Opus (RFC 7845 §5.1.1.2), FLAC
    /// (RFC 9639 §9.1.3) and MP3.
    pub(crate) fn usual(channels: u16) -> Self {
        match channels {
            1..=3 | 5 | 6 => Self::Cicp(channels as u8),
            4 => Self::Cicp(10),
            7 => Self::Cicp(11),
            8 => Self::Cicp(12),
            _ => Self::Unknown,
        }
    }

    /// How many objects Joint Object Coding gives, where there is any.
    pub fn joc(self) -> Option<u8> {
        match self {
            Self::Dolby { joc, .. } => joc,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_of_counts() {
        assert_eq!(Speakers::usual(6), Speakers::Cicp(6));
        assert_eq!(Speakers::usual(4), Speakers::Cicp(10), "two in front, two behind");
        assert_eq!(Speakers::usual(8), Speakers::Cicp(12));
        assert_eq!(Speakers::usual(0), Speakers::Unknown);
    }
}
