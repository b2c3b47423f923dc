//! What can be asked of an asset, and how it is spelt in a URL.
//!
//! A path is relative to the asset's folder. Every resource has exactly one spelling. What is
//! below a folder of the version never changes; the rest are manifests.

use std::num::NonZeroU32;

use crate::identity::Version;
use crate::pair::Pair;
use crate::track::{TrackId, TrackMedia};
use crate::ts::Program;

/// One thing that a presentation can answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resource {
    /// The HLS multivariant playlist, `main.m3u8`.
    Multivariant,
    /// The same over byte ranges of one file a track, `single.m3u8`.
    SingleMultivariant,
    /// The DASH MPD with numbered segments, `manifest.mpd`.
    Mpd,
    /// The same with segments addressed by their times, `time.mpd`.
    TimeMpd,
    /// The MPD of the on-demand profile, over one file a track: `ondemand.mpd`.
    OnDemandMpd,
    /// What the asset holds and what was left out, for people: `report.json`.
    Report,
    /// The HLS media playlist of a track, `{track}.m3u8`.
    MediaPlaylist(TrackId),
    /// The same over byte ranges of one file, `{track}.single.m3u8`.
    SinglePlaylist(TrackId),
    /// The HLS playlist of a picture's I-frames, `{track}.iframes.m3u8`.
    IFramePlaylist(TrackId),
    /// The same over segments of MPEG-TS, `{track}.iframes.ts.m3u8`.
    IFrameTsPlaylist(TrackId),
    /// The HLS media playlist of a picture with a sound, `{pair}.m3u8`.
    MuxedPlaylist(Pair),
    /// The HLS media playlist of a transport stream, `{program}.ts.m3u8`.
    TsPlaylist(Program),
    /// The init segment of a track, `{version}/{track}/init.mp4`.
    Init(TrackId),
    /// A media segment of a track, counted from 1: `{version}/{track}/{n}.m4s`.
    Segment(TrackId, NonZeroU32),
    /// A media segment of a track by its start on the output's timeline, in ticks of the track:
    /// `{version}/{track}/t{time}.m4s`. Its bytes are those of the numbered one.
    SegmentAt(TrackId, u64),
    /// A whole track: init segment, segment index and all media segments,
    /// `{version}/{track}/track.mp4`.
    TrackFile(TrackId),
    /// The init segment of a picture's I-frames, `{version}/{track}.iframes/init.mp4`.
    IFrameInit(TrackId),
    /// All of a picture's I-frames with a segment index, `{version}/{track}.iframes/track.mp4`.
    IFrameFile(TrackId),
    /// One I-frame as a segment, counted from 1: `{version}/{track}.iframes/{n}.m4s`.
    IFrame(TrackId, NonZeroU32),
    /// One I-frame as a segment of MPEG-TS, counted from 1: `{version}/{track}.iframes/{n}.ts`.
    IFrameTs(TrackId, NonZeroU32),
    /// The init segment of a picture with a sound, `{version}/{pair}/init.mp4`.
    MuxedInit(Pair),
    /// A media segment of a picture with a sound, counted from 1: `{version}/{pair}/{n}.m4s`.
    MuxedSegment(Pair, NonZeroU32),
    /// A segment of a transport stream, counted from 1: `{version}/{program}/{n}.ts`.
    TsSegment(Program, NonZeroU32),
    /// The key of encrypted segments, `{version}/segments.key`.
    SegmentKey,
}

impl Resource {
    /// Reads a path; `None` where it names nothing. Init and media segments come with the version
    /// that the path holds, and only they.
    pub fn parse(path: &str) -> Option<(Self, Option<Version>)> {
        let mut pieces = path.splitn(4, '/');
        match (pieces.next()?, pieces.next(), pieces.next(), pieces.next()) {
            (file, None, ..) => Some((manifest(file)?, None)),
            (version, Some("segments.key"), None, _) => {
                Some((Self::SegmentKey, Some(version.parse().ok()?)))
            }
            (version, Some(folder), Some(file), None) => {
                let version = version.parse().ok()?;
                Some((media(folder, file)?, Some(version)))
            }
            _ => None,
        }
    }

    /// The path of this resource in the given version of an asset.
    pub fn path(self, version: Version) -> String {
        match self {
            Self::Multivariant => "main.m3u8".to_owned(),
            Self::SingleMultivariant => "single.m3u8".to_owned(),
            Self::Mpd => "manifest.mpd".to_owned(),
            Self::TimeMpd => "time.mpd".to_owned(),
            Self::OnDemandMpd => "ondemand.mpd".to_owned(),
            Self::Report => "report.json".to_owned(),
            Self::MediaPlaylist(track) => format!("{track}.m3u8"),
            Self::SinglePlaylist(track) => format!("{track}.single.m3u8"),
            Self::IFramePlaylist(track) => format!("{track}.iframes.m3u8"),
            Self::IFrameTsPlaylist(track) => format!("{track}.iframes.ts.m3u8"),
            Self::MuxedPlaylist(pair) => format!("{pair}.m3u8"),
            Self::TsPlaylist(program) => format!("{program}.ts.m3u8"),
            Self::Init(track) => format!("{version}/{track}/init.mp4"),
            Self::Segment(track, number) => format!("{version}/{track}/{number}.m4s"),
            Self::SegmentAt(track, time) => format!("{version}/{track}/t{time}.m4s"),
            Self::TrackFile(track) => format!("{version}/{track}/track.mp4"),
            Self::IFrameInit(track) => format!("{version}/{track}.iframes/init.mp4"),
            Self::IFrameFile(track) => format!("{version}/{track}.iframes/track.mp4"),
            Self::IFrame(track, number) => format!("{version}/{track}.iframes/{number}.m4s"),
            Self::IFrameTs(track, number) => format!("{version}/{track}.iframes/{number}.ts"),
            Self::MuxedInit(pair) => format!("{version}/{pair}/init.mp4"),
            Self::MuxedSegment(pair, number) => format!("{version}/{pair}/{number}.m4s"),
            Self::TsSegment(program, number) => format!("{version}/{program}/{number}.ts"),
            Self::SegmentKey => format!("{version}/segments.key"),
        }
    }

    /// Whether its URL holds the version, so that its bytes never change; but for what depends on
    /// where a recording ends, which [`Presentation::is_settled`](crate::Presentation::is_settled)
    /// tells apart.
    pub const fn is_immutable(self) -> bool {
        match self {
            Self::Multivariant
            | Self::SingleMultivariant
            | Self::Mpd
            | Self::TimeMpd
            | Self::OnDemandMpd
            | Self::Report
            | Self::MediaPlaylist(_)
            | Self::SinglePlaylist(_)
            | Self::IFramePlaylist(_)
            | Self::IFrameTsPlaylist(_)
            | Self::MuxedPlaylist(_)
            | Self::TsPlaylist(_) => false,
            Self::Init(_)
            | Self::Segment(..)
            | Self::SegmentAt(..)
            | Self::TrackFile(_)
            | Self::IFrameInit(_)
            | Self::IFrameFile(_)
            | Self::IFrame(..)
            | Self::IFrameTs(..)
            | Self::MuxedInit(_)
            | Self::MuxedSegment(..)
            | Self::TsSegment(..)
            | Self::SegmentKey => true,
        }
    }

    /// Whether it is MPEG-TS, or a playlist of that.
    #[cfg(feature = "http")]
    pub(crate) const fn is_in_ts(self) -> bool {
        matches!(
            self,
            Self::TsPlaylist(_)
                | Self::TsSegment(..)
                | Self::IFrameTsPlaylist(_)
                | Self::IFrameTs(..)
        )
    }

    /// Whether it is one media segment.
    pub const fn is_segment(self) -> bool {
        matches!(
            self,
            Self::Segment(..)
                | Self::SegmentAt(..)
                | Self::IFrame(..)
                | Self::IFrameTs(..)
                | Self::MuxedSegment(..)
                | Self::TsSegment(..)
        )
    }
}

fn manifest(file: &str) -> Option<Resource> {
    match file {
        "main.m3u8" => return Some(Resource::Multivariant),
        "single.m3u8" => return Some(Resource::SingleMultivariant),
        "manifest.mpd" => return Some(Resource::Mpd),
        "time.mpd" => return Some(Resource::TimeMpd),
        "ondemand.mpd" => return Some(Resource::OnDemandMpd),
        "report.json" => return Some(Resource::Report),
        _ => {}
    }
    let name = file.strip_suffix(".m3u8")?;
    if let Some(track) = name.strip_suffix(".single") {
        return Some(Resource::SinglePlaylist(track.parse().ok()?));
    }
    if let Some(track) = name.strip_suffix(".iframes") {
        return Some(Resource::IFramePlaylist(picture(track)?));
    }
    if let Some(track) = name.strip_suffix(".iframes.ts") {
        return Some(Resource::IFrameTsPlaylist(picture(track)?));
    }
    if let Some(program) = name.strip_suffix(".ts") {
        return Some(Resource::TsPlaylist(program.parse().ok()?));
    }
    match name.parse() {
        Ok(track) => Some(Resource::MediaPlaylist(track)),
        Err(_) => Some(Resource::MuxedPlaylist(name.parse().ok()?)),
    }
}

fn media(folder: &str, file: &str) -> Option<Resource> {
    let numbered = || number(file.strip_suffix(".m4s")?);
    if let Some(name) = file.strip_suffix(".ts") {
        let number = number(name)?;
        return Some(match folder.strip_suffix(".iframes") {
            Some(track) => Resource::IFrameTs(picture(track)?, number),
            None => Resource::TsSegment(folder.parse().ok()?, number),
        });
    }
    if let Some(track) = folder.strip_suffix(".iframes") {
        let track = picture(track)?;
        return Some(match file {
            "init.mp4" => Resource::IFrameInit(track),
            "track.mp4" => Resource::IFrameFile(track),
            _ => Resource::IFrame(track, numbered()?),
        });
    }
    let Ok(track) = folder.parse() else {
        let pair = folder.parse().ok()?;
        return Some(match file {
            "init.mp4" => Resource::MuxedInit(pair),
            _ => Resource::MuxedSegment(pair, numbered()?),
        });
    };
    Some(match file {
        "init.mp4" => Resource::Init(track),
        "track.mp4" => Resource::TrackFile(track),
        _ => match file.strip_prefix('t') {
            Some(time) => Resource::SegmentAt(track, ticks(time.strip_suffix(".m4s")?)?),
            None => Resource::Segment(track, numbered()?),
        },
    })
}

/// A picture track.
fn picture(text: &str) -> Option<TrackId> {
    text.parse().ok().filter(|track: &TrackId| track.media() == TrackMedia::Video)
}

/// A number from 1 in its one spelling: neither `+1` nor `01`.
fn number(text: &str) -> Option<NonZeroU32> {
    if !text.starts_with(|first| matches!(first, '1'..='9')) {
        return None;
    }
    text.parse().ok()
}

/// A time in its one spelling.
fn ticks(text: &str) -> Option<u64> {
    let canonical = text == "0" || text.starts_with(|first| matches!(first, '1'..='9'));
    text.parse().ok().filter(|_| canonical)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use proptest::prelude::*;
    use std::num::NonZeroU16;

    fn resources() -> impl Strategy<Value = Resource> {
        let number = (1..=u32::MAX).prop_map(|number| NonZeroU32::new(number).unwrap());
        let place = (1..=u16::MAX).prop_map(|number| NonZeroU16::new(number).unwrap());
        (0..24, place.clone(), place, number, any::<(u64, bool)>()).prop_map(
            |(kind, a, b, number, (time, is_video))| {
                let video = TrackId::new(TrackMedia::Video, a);
                let audio = TrackId::new(TrackMedia::Audio, b);
                let track = if is_video { video } else { audio };
                let pair = Pair::new(video, audio).unwrap();
                match kind {
                    0 => Resource::Multivariant,
                    1 => Resource::SingleMultivariant,
                    2 => Resource::Mpd,
                    3 => Resource::TimeMpd,
                    4 => Resource::OnDemandMpd,
                    5 => Resource::Report,
                    6 => Resource::MediaPlaylist(track),
                    7 => Resource::SinglePlaylist(track),
                    8 => Resource::IFramePlaylist(video),
                    9 => Resource::MuxedPlaylist(pair),
                    10 => Resource::Init(track),
                    11 => Resource::Segment(track, number),
                    12 => Resource::SegmentAt(track, time),
                    13 => Resource::TrackFile(track),
                    14 => Resource::IFrameInit(video),
                    15 => Resource::IFrame(video, number),
                    16 => Resource::MuxedInit(pair),
                    17 => {
                        Resource::TsPlaylist(if time % 2 == 0 { track.into() } else { pair.into() })
                    }
                    18 => Resource::TsSegment(
                        if time % 2 == 0 { track.into() } else { pair.into() },
                        number,
                    ),
                    19 => Resource::IFrameTsPlaylist(video),
                    20 => Resource::IFrameTs(video, number),
                    21 => Resource::SegmentKey,
                    22 => Resource::IFrameFile(video),
                    _ => Resource::MuxedSegment(pair, number),
                }
            },
        )
    }

    proptest! {
        #[test]
        fn every_resource_has_one_spelling(resource in resources(), version in any::<u64>()) {
            let version = Version(version);
            let path = resource.path(version);
            let held = resource.is_immutable().then_some(version);
            prop_assert_eq!(Resource::parse(&path), Some((resource, held)), "{}", path);
        }

        #[test]
        fn whatever_parses_is_spelt_that_way(
            path in "(00000000000000ab/)?(v|a|t|i)?[0-9a.]{0,4}(/(t|track|init)?[0-9]{0,3})?\\.(m3u8|m4s|mp4|mpd|ts)",
        ) {
            if let Some((resource, version)) = Resource::parse(&path) {
                prop_assert_eq!(resource.path(version.unwrap_or(Version(0))), path);
            }
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
            "a1.iframes.m3u8",
            "a1.iframes.ts.m3u8",
            "v1a1.iframes.ts.m3u8",
            "v1.ts.iframes.m3u8",
            "v1a1.single.m3u8",
            "a1v1.m3u8",
            "00000000000000ab/v1",
            "00000000000000ab/v1/",
            "00000000000000AB/v1/1.m4s",
            "ab/v1/1.m4s",
            "00000000000000ab/v1/0.m4s",
            "00000000000000ab/v1/01.m4s",
            "00000000000000ab/v1/+1.m4s",
            "00000000000000ab/v1/4294967296.m4s",
            "00000000000000ab/v1/1.m4s/",
            "00000000000000ab/v1/t01.m4s",
            "00000000000000ab/v1/t.m4s",
            "00000000000000ab/v1a1/track.mp4",
            "00000000000000ab/v1a1/t1.m4s",
            "00000000000000ab/a1.iframes/1.m4s",
            "00000000000000ab/a1.iframes/1.ts",
            "00000000000000ab/v1.iframes/01.ts",
            "00000000000000ab/v1.iframes/t1.m4s",
            "00000000000000ab//v1/1.m4s",
            "../v1.m3u8",
        ] {
            assert_eq!(Resource::parse(path), None, "{path}");
        }
    }
}
