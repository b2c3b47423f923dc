//! Which tracks a transport stream carries.

use std::fmt;
use std::str::FromStr;

use crate::pair::Pair;
use crate::track::{ParseTrackIdError, TrackId, TrackMedia};

/// A picture, a sound or both in one transport stream (a program, ISO/IEC 13818-1 §2.1.55);
/// spelled `v1`, `a1` or `v1a1` in URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Program {
    /// One track.
    Alone(TrackId),
    /// A picture with its sound.
    Pair(Pair),
}

impl Program {
    /// The picture.
    pub fn video(self) -> Option<TrackId> {
        self.of(TrackMedia::Video)
    }

    /// The sound.
    pub fn audio(self) -> Option<TrackId> {
        self.of(TrackMedia::Audio)
    }

    fn of(self, media: TrackMedia) -> Option<TrackId> {
        let tracks = match self {
            Self::Alone(track) => [Some(track), None],
            Self::Pair(pair) => [Some(pair.video()), Some(pair.audio())],
        };
        tracks.into_iter().flatten().find(|track| track.media() == media)
    }
}

impl From<Pair> for Program {
    fn from(pair: Pair) -> Self {
        Self::Pair(pair)
    }
}

impl From<TrackId> for Program {
    fn from(track: TrackId) -> Self {
        Self::Alone(track)
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alone(track) => track.fmt(f),
            Self::Pair(pair) => pair.fmt(f),
        }
    }
}

impl FromStr for Program {
    type Err = ParseTrackIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self::Alone).or_else(|_| text.parse().map(Self::Pair))
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
