//! What can be asked of an asset, and how it is spelt in a URL.
//!
//! A path is relative to the asset's folder. Every resource has exactly one spelling.

use std::num::NonZeroU32;

use crate::identity::Version;
use crate::track::TrackId;

/// One thing that a presentation can answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resource {
    /// The HLS multivariant playlist, `main.m3u8`.
    Multivariant,
    /// The DASH MPD, `manifest.mpd`.
    Mpd,
    /// What the asset holds and what was left out, for people: `report.json`.
    Report,
    /// The HLS media playlist of a track, `{track}.m3u8`.
    MediaPlaylist(TrackId),
    /// The init segment of a track, `{version}/{track}/init.mp4`.
    Init(TrackId),
    /// A media segment of a track, counted from 1: `{version}/{track}/{n}.m4s`.
    Segment(TrackId, NonZeroU32),
}

impl Resource {
    /// Reads a path; `None` where it names nothing. Init and media segments come with the version
    /// that the path holds, and only they.
    pub fn parse(path: &str) -> Option<(Self, Option<Version>)> {
        let mut pieces = path.splitn(4, '/');
        match (pieces.next()?, pieces.next(), pieces.next(), pieces.next()) {
            ("main.m3u8", None, ..) => Some((Self::Multivariant, None)),
            ("manifest.mpd", None, ..) => Some((Self::Mpd, None)),
            ("report.json", None, ..) => Some((Self::Report, None)),
            (file, None, ..) => {
                let track = file.strip_suffix(".m3u8")?.parse().ok()?;
                Some((Self::MediaPlaylist(track), None))
            }
            (version, Some(track), Some(file), None) => {
                let version = version.parse().ok()?;
                let track = track.parse().ok()?;
                let resource = if file == "init.mp4" {
                    Self::Init(track)
                } else {
                    Self::Segment(track, number(file.strip_suffix(".m4s")?)?)
                };
                Some((resource, Some(version)))
            }
            _ => None,
        }
    }

    /// The path of this resource in the given version of an asset.
    pub fn path(self, version: Version) -> String {
        match self {
            Self::Multivariant => "main.m3u8".to_owned(),
            Self::Mpd => "manifest.mpd".to_owned(),
            Self::Report => "report.json".to_owned(),
            Self::MediaPlaylist(track) => format!("{track}.m3u8"),
            Self::Init(track) => format!("{version}/{track}/init.mp4"),
            Self::Segment(track, number) => format!("{version}/{track}/{number}.m4s"),
        }
    }

    /// Whether its URL holds the version, so that its bytes never change.
    pub const fn is_immutable(self) -> bool {
        matches!(self, Self::Init(_) | Self::Segment(..))
    }
}

/// A number from 1 in its one spelling: neither `+1` nor `01`.
fn number(text: &str) -> Option<NonZeroU32> {
    if !text.starts_with(|first| matches!(first, '1'..='9')) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn every_resource_has_one_spelling() {
        let version = Version(0xab);
        let (video, audio) = ("v1".parse().unwrap(), "a12".parse().unwrap());
        for resource in [
            Resource::Multivariant,
            Resource::Mpd,
            Resource::Report,
            Resource::MediaPlaylist(video),
            Resource::Init(audio),
            Resource::Segment(video, NonZeroU32::MAX),
        ] {
            let path = resource.path(version);
            let held = resource.is_immutable().then_some(version);
            assert_eq!(Resource::parse(&path), Some((resource, held)), "{path}");
        }
    }

    #[test]
    fn other_paths_name_nothing() {
        for path in [
            "",
            "/",
            "main.m3u8/",
            "Main.m3u8",
            "x1.m3u8",
            "v01.m3u8",
            "00000000000000ab/v1",
            "00000000000000ab/v1/",
            "00000000000000AB/v1/1.m4s",
            "ab/v1/1.m4s",
            "00000000000000ab/v1/0.m4s",
            "00000000000000ab/v1/01.m4s",
            "00000000000000ab/v1/+1.m4s",
            "00000000000000ab/v1/4294967296.m4s",
            "00000000000000ab/v1/1.m4s/",
            "00000000000000ab//v1/1.m4s",
            "../v1.m3u8",
        ] {
            assert_eq!(Resource::parse(path), None, "{path}");
        }
    }
}
