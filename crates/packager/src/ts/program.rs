//! Which tracks a transport stream carries.

use std::fmt;
use std::str::FromStr;

use crate::pair::Pair;
use crate::track::{ParseTrackIdError, TrackId, TrackMedia};

/// A picture, a sound or both in one transport stream (a program, ISO/IEC 13818-1 §2.1.55);
/// spelled `v1`, `a1` or `v1a1` in URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Program {
    first: TrackId,
    /// The sound beside a picture.
    second: Option<TrackId>,
}

impl Program {
    /// The picture.
    pub fn video(self) -> Option<TrackId> {
        Some(self.first).filter(|track| track.media() == TrackMedia::Video)
    }

    /// The sound.
    pub fn audio(self) -> Option<TrackId> {
        self.second.or(Some(self.first).filter(|track| track.media() == TrackMedia::Audio))
    }
}

/// A picture with its sound.
impl From<Pair> for Program {
    fn from(pair: Pair) -> Self {
        Self { first: pair.video(), second: Some(pair.audio()) }
    }
}

/// One track alone.
impl From<TrackId> for Program {
    fn from(track: TrackId) -> Self {
        Self { first: track, second: None }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        self.second.map_or(Ok(()), |second| write!(f, "{second}"))
    }
}

impl FromStr for Program {
    type Err = ParseTrackIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<TrackId>() {
            Ok(track) => Ok(track.into()),
            Err(_) => text.parse::<Pair>().map(Self::from),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn programs_have_one_spelling() {
        let (video, audio) = ("v12".parse().unwrap(), "a3".parse().unwrap());
        let both: Program = "v12a3".parse().unwrap();
        assert_eq!((both.video(), both.audio()), (Some(video), Some(audio)));
        let alone: Program = "a3".parse().unwrap();
        assert_eq!((alone.video(), alone.audio()), (None, Some(audio)));
        for good in ["v1", "a1", "v1a65535"] {
            assert_eq!(good.parse::<Program>().unwrap().to_string(), good);
        }
        for bad in ["", "a", "a1v1", "v1a01", "v1 a1", "v1a1a1", "v1v1", "a1a1", "v1a"] {
            assert_eq!(bad.parse::<Program>(), Err(ParseTrackIdError), "{bad}");
        }
    }
}
