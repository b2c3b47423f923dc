//! What a presentation tells players about one track.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use crate::codec::{Carriage, Coding, Colour, Protocol, Speakers, Supplemental, VideoRange};
use crate::isobmff::FourCc;
use crate::role::Role;
use crate::units::Timescale;

/// A track of an asset as players see it: one rendition of the picture, or one sound.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Track {
    /// Its name in URLs.
    pub id: TrackId,
    /// Picture or sound, with what belongs to each.
    pub kind: TrackKind,
    /// RFC 6381 codec string, such as `avc1.640028` or `mp4a.40.2`.
    pub codec: String,
    /// The string that HLS uses: another one for MP3 alone.
    pub hls_codec: String,
    /// The codec by its everyday name.
    pub coding: Coding,
    /// Which protocols leave it out.
    pub(crate) carriage: Carriage,
    /// BCP 47 language tag; `None` where the source says nothing or `und`.
    pub language: Option<String>,
    /// The name that the source gives the track, where it is worth showing.
    pub name: Option<String>,
    /// What it is for, where an operator or the source says so.
    pub roles: Vec<Role>,
    /// How much it is preferred to others of its kind, where an operator says so: more is better
    /// (HLS `SCORE`).
    pub score: Option<NonZeroU16>,
    /// Ticks per second of the track's times in its output.
    pub timescale: Timescale,
    /// Which source file it comes from, as counted by [`Media::sources`](crate::Media::sources).
    pub source: usize,
    /// The track's number (track_ID) in that file.
    pub source_track: u32,
    /// Whether players should start with it: the one picked, or the first of its kind that the
    /// source enables.
    pub default: bool,
    /// Whether its source would play it.
    pub standing: Standing,
}

/// Whether the source of a track would play it (ISO/IEC 14496-12 §8.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Standing {
    /// It is enabled, or an operator picked it.
    Enabled,
    /// It is not enabled, but an alternative to others (`alternate_group`): players may choose it.
    Alternative,
    /// It is not enabled and no alternative, so players treat it as if it were not there: it is for
    /// people who ask for it.
    Disabled,
}

impl Track {
    /// Whether it is picture.
    pub fn is_video(&self) -> bool {
        matches!(self.kind, TrackKind::Video(_))
    }

    /// Whether it is sound.
    pub fn is_audio(&self) -> bool {
        matches!(self.kind, TrackKind::Audio(_))
    }

    /// The facts of a picture track.
    pub fn video(&self) -> Option<&Video> {
        match &self.kind {
            TrackKind::Video(video) => Some(video),
            TrackKind::Audio(_) => None,
        }
    }

    /// The facts of a sound track.
    pub fn audio(&self) -> Option<&Audio> {
        match &self.kind {
            TrackKind::Audio(audio) => Some(audio),
            TrackKind::Video(_) => None,
        }
    }

    /// Why a protocol leaves the track out; `None` where it carries it.
    pub fn obstacle(&self, protocol: Protocol) -> Option<&'static str> {
        self.carriage.obstacle(protocol)
    }

    /// Whether a protocol carries the track: manifests name no other.
    pub fn is_carried_by(&self, protocol: Protocol) -> bool {
        self.obstacle(protocol).is_none()
    }

    /// The media type of its init and media segments.
    pub fn content_type(&self) -> &'static str {
        match self.kind {
            TrackKind::Video(_) => "video/mp4",
            TrackKind::Audio(_) => "audio/mp4",
        }
    }
}

/// Picture or sound.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrackKind {
    /// Picture.
    Video(Video),
    /// Sound.
    Audio(Audio),
}

/// Facts of a picture track.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Video {
    /// Width of the coded picture after cropping, in samples.
    pub width: u32,
    /// Height of the coded picture after cropping, in samples.
    pub height: u32,
    /// Width as displayed: after the sample aspect ratio and rotation, in square pixels.
    pub display_width: u32,
    /// Height as displayed.
    pub display_height: u32,
    /// Width to height of one sample, in lowest terms; (1, 1) where the source says nothing.
    pub sample_aspect: (u32, u32),
    /// Clockwise rotation for display: 0, 90, 180 or 270 degrees.
    pub rotation: u16,
    /// Frames per second as a fraction in lowest terms: exact for a constant rate (snapped to the
    /// usual rates where a coarse timescale blurs it), the average for a variable one.
    pub frame_rate: Option<(u32, u32)>,
    /// Its colour, where sample entry or bitstream state it.
    pub colour: Option<Colour>,
    /// Its dynamic range.
    pub range: VideoRange,
    /// What it is for players that know more than [`Track::codec`]: Dolby Vision.
    pub supplemental: Option<Supplemental>,
}

/// Facts of a sound track.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Audio {
    /// Number of channels.
    pub channels: u16,
    /// Samples per second after decoding.
    pub sample_rate: u32,
    /// Where the channels belong.
    pub speakers: Speakers,
}

impl Audio {
    /// `CHANNELS` of RFC 8216bis §4.4.6.1: the number of channels; with Joint Object Coding the
    /// number of objects instead, and `JOC`.
    pub fn hls_channels(&self) -> String {
        match self.speakers.joc() {
            Some(objects) => format!("{objects}/JOC"),
            None => self.channels.to_string(),
        }
    }
}

/// A track's name in URLs: `v1`, `v2`, … for pictures, `a1`, `a2`, … for sounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId {
    media: TrackMedia,
    number: NonZeroU16,
}

/// The letter of a [`TrackId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TrackMedia {
    /// Picture.
    Video,
    /// Sound.
    Audio,
}

impl TrackMedia {
    /// What a track of that handler holds (ISO/IEC 14496-12 §8.4.3), where it is one of these.
    pub(crate) fn of_handler(handler: FourCc) -> Option<Self> {
        match &handler.0 {
            b"vide" => Some(Self::Video),
            b"soun" => Some(Self::Audio),
            _ => None,
        }
    }
}

impl TrackId {
    /// The `number`th (from 1) track of its kind.
    pub const fn new(media: TrackMedia, number: NonZeroU16) -> Self {
        Self { media, number }
    }

    /// Picture or sound.
    pub const fn media(self) -> TrackMedia {
        self.media
    }

    /// Its number among the tracks of its kind, from 1.
    pub const fn number(self) -> NonZeroU16 {
        self.number
    }
}

impl fmt::Display for TrackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.media {
            TrackMedia::Video => 'v',
            TrackMedia::Audio => 'a',
        };
        write!(f, "{letter}{}", self.number)
    }
}

impl fmt::Display for TrackMedia {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Video => "video",
            Self::Audio => "audio",
        })
    }
}

/// A text that names no track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a track is v or a and a number from 1 without leading zeros")]
pub struct ParseTrackIdError;

impl FromStr for TrackId {
    type Err = ParseTrackIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (media, number) = if let Some(number) = text.strip_prefix('v') {
            (TrackMedia::Video, number)
        } else if let Some(number) = text.strip_prefix('a') {
            (TrackMedia::Audio, number)
        } else {
            return Err(ParseTrackIdError);
        };
        // One spelling for one resource: neither "+1" nor "01".
        if !number.starts_with(|first| matches!(first, '1'..='9')) {
            return Err(ParseTrackIdError);
        }
        let number = number.parse().map_err(|_| ParseTrackIdError)?;
        Ok(Self { media, number })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn track_ids_have_one_spelling() {
        for good in ["v1", "a12", "v65535"] {
            assert_eq!(good.parse::<TrackId>().unwrap().to_string(), good);
        }
        for bad in ["", "v", "v0", "v01", "v+1", "x1", "1", "v65536", "v1 "] {
            assert_eq!(bad.parse::<TrackId>(), Err(ParseTrackIdError), "{bad}");
        }
    }
}
