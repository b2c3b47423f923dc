//! A picture and a sound that share segments.

use std::fmt;
use std::str::FromStr;

use crate::track::{ParseTrackIdError, TrackId, TrackMedia};

/// A picture and a sound in one stream, spelled `v1a1` in URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pair {
    video: TrackId,
    audio: TrackId,
}

impl Pair {
    /// The pair of a picture and a sound; `None` for any other two.
    pub const fn new(video: TrackId, audio: TrackId) -> Option<Self> {
        match (video.media(), audio.media()) {
            (TrackMedia::Video, TrackMedia::Audio) => Some(Self { video, audio }),
            _ => None,
        }
    }

    /// The picture.
    pub const fn video(self) -> TrackId {
        self.video
    }

    /// The sound.
    pub const fn audio(self) -> TrackId {
        self.audio
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.video, self.audio)
    }
}

impl FromStr for Pair {
    type Err = ParseTrackIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let at = text.find('a').ok_or(ParseTrackIdError)?;
        let (video, audio) = text.split_at(at);
        Self::new(video.parse()?, audio.parse()?).ok_or(ParseTrackIdError)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn pairs_have_one_spelling() {
        assert_eq!("v12a3".parse::<Pair>().unwrap().to_string(), "v12a3");
        for bad in ["", "v1", "a1", "a1v1", "v1a01", "v1 a1", "v1a1a1", "v1v1", "a1a1"] {
            assert_eq!(bad.parse::<Pair>(), Err(ParseTrackIdError), "{bad}");
        }
    }
}
