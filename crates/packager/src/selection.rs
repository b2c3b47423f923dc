//! What of an asset a manifest shows, and how: which tracks, in which container, from where on.
//!
//! A selection comes from a URL's query (see `query`) or from a program. It never changes a
//! segment's bytes, only which of them a manifest names; so all selections share their segments.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use crate::codec::Coding;
use crate::media::Media;
use crate::presentation::Absent;
use crate::rates::{self, Rates};
use crate::track::Track;

/// What of an asset a manifest shows. The default is all of it, as CMAF with one track a segment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Selection {
    /// The least peak bit rate of a picture in bits per second, its sound not counted; of a sound
    /// where the asset has no picture.
    pub min_bitrate: Option<u64>,
    /// The greatest, likewise.
    pub max_bitrate: Option<u64>,
    /// The least height of a picture as displayed, in pixels.
    pub min_height: Option<u32>,
    /// The greatest, likewise.
    pub max_height: Option<u32>,
    /// The codings to keep. A kind (picture, sound) of which none is named is kept whole.
    pub codecs: BTreeSet<Coding>,
    /// How tracks are put into segments (HLS).
    pub container: Container,
    /// Where players start, in milliseconds from the beginning or, below zero, from the end (HLS).
    pub start_millis: Option<i64>,
    /// Whether tracks for trick play are left out.
    pub without_iframes: bool,
    /// Names of query parameters that a player copies from a playlist's URL into those it names
    /// (HLS), in order, each once.
    pub define: Vec<String>,
}

/// How tracks are put into segments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Container {
    /// Each track alone, as CMAF.
    #[default]
    Cmaf,
    /// Picture and sound together in fragmented MP4.
    Muxed,
    /// Picture and sound together in MPEG-TS, for players that know no MP4. Tracks that have no
    /// place in it are left out.
    Ts,
}

impl Container {
    /// Its name in queries.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cmaf => "cmaf",
            Self::Muxed => "muxed",
            Self::Ts => "ts",
        }
    }
}

impl Selection {
    /// Whether it is all of an asset, shown in the default way.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The tracks of an asset that it keeps, in their order.
    ///
    /// # Errors
    /// Where the asset has pictures or sounds and none of them is kept.
    pub(crate) fn tracks<'a>(&self, media: &'a Media) -> Result<Vec<&'a Track>, Absent> {
        let has = |picture: bool| media.tracks().iter().any(|track| track.is_video() == picture);
        let target = rates::target_duration(media);
        let (pictures, kept) = (has(true), |track: &&Track| {
            let bounded = track.is_video() || !has(true);
            self.fits_coding(track)
                && self.fits_height(track)
                && (!bounded || self.fits_bitrate(media, track, target))
        });
        let tracks: Vec<&Track> = media.tracks().iter().filter(kept).collect();
        if pictures && !tracks.iter().any(|track| track.is_video()) {
            return Err(Absent::NoPictureFits);
        }
        if has(false) && !tracks.iter().any(|track| track.is_audio()) {
            return Err(Absent::NoSoundFits);
        }
        Ok(tracks)
    }

    fn fits_coding(&self, track: &Track) -> bool {
        let mut named = self.codecs.iter().filter(|coding| coding.is_picture() == track.is_video());
        named.clone().next().is_none() || named.any(|named| *named == track.coding)
    }

    fn fits_height(&self, track: &Track) -> bool {
        track.video().is_none_or(|video| {
            let height = video.display_height;
            self.min_height.is_none_or(|least| height >= least)
                && self.max_height.is_none_or(|most| height <= most)
        })
    }

    fn fits_bitrate(&self, media: &Media, track: &Track, target: u64) -> bool {
        if self.min_bitrate.is_none() && self.max_bitrate.is_none() {
            return true;
        }
        let peak = Rates::of(media, track.id, target).peak;
        self.min_bitrate.is_none_or(|least| peak >= least)
            && self.max_bitrate.is_none_or(|most| peak <= most)
    }
}

/// Its one spelling as a query; empty for the default. The values of the parameters that
/// [`define`](Selection::define) names are no part of it.
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pairs: Vec<(&str, String)> = Vec::new();
        if !self.codecs.is_empty() {
            let names: Vec<_> = self.codecs.iter().map(|coding| coding.name()).collect();
            pairs.push(("codecs", names.join(",")));
        }
        if self.container != Container::default() {
            pairs.push(("container", self.container.name().to_owned()));
        }
        if !self.define.is_empty() {
            pairs.push(("define", self.define.join(",")));
        }
        if self.without_iframes {
            pairs.push(("iframes", "0".to_owned()));
        }
        let number = |value: Option<u64>| value.map(|value| value.to_string());
        for (name, value) in [
            ("max_bitrate", number(self.max_bitrate)),
            ("max_height", number(self.max_height.map(u64::from))),
            ("min_bitrate", number(self.min_bitrate)),
            ("min_height", number(self.min_height.map(u64::from))),
            ("start", self.start_millis.map(seconds)),
        ] {
            pairs.extend(value.map(|value| (name, value)));
        }
        for (position, (name, value)) in pairs.iter().enumerate() {
            if position > 0 {
                f.write_char('&')?;
            }
            write!(f, "{name}={value}")?;
        }
        Ok(())
    }
}

/// Milliseconds as decimal seconds without trailing zeros.
pub(crate) fn seconds(millis: i64) -> String {
    let sign = if millis < 0 { "-" } else { "" };
    let (whole, fraction) = (millis.unsigned_abs() / 1_000, millis.unsigned_abs() % 1_000);
    let text = format!("{sign}{whole}.{fraction:03}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_as_short_as_they_can_be() {
        for (millis, text) in [(0, "0"), (1_500, "1.5"), (-30_000, "-30"), (7, "0.007")] {
            assert_eq!(seconds(millis), text);
        }
    }
}
