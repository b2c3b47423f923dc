//! The MPD of an asset (ISO/IEC 23009-1 §5.3; profiles isoff-live, §8.4, and isoff-on-demand, §8.3).

use super::date::date_time;
use super::descriptors::descriptor;
use super::set::{Kind, Set};
use super::xml::{Attribute, Xml};
use crate::rates;
use crate::track::Track;
use crate::track_file::FileKind;
use crate::units::{MediaTime, Timescale};
use crate::view::View;

/// How an MPD names segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Addressing {
    /// By `$Number$`, which counts from 1 as their URLs do.
    Number,
    /// By `$Time$`, and without a start number, together with which FFmpeg's reader would skip the
    /// first one.
    Time,
    /// As byte ranges of one file a track, found by its segment index.
    Ranges,
}

impl Addressing {
    const fn profile(self) -> &'static str {
        match self {
            Self::Number | Self::Time => "urn:mpeg:dash:profile:isoff-live:2011",
            Self::Ranges => "urn:mpeg:dash:profile:isoff-on-demand:2011",
        }
    }

    /// Where such an MPD is, below the asset.
    const fn path(self) -> &'static str {
        match self {
            Self::Number => "manifest.mpd",
            Self::Time => "time.mpd",
            Self::Ranges => "ondemand.mpd",
        }
    }
}

/// The MPD: one adaptation set for the pictures of each coding, one for each sound, and one for
/// trick play with each set of pictures.
pub(crate) fn manifest(view: &View<'_>, addressing: Addressing) -> String {
    let (media, target) = (view.media, view.target);
    let tricks = !view.selection.without_iframes;
    let mut xml = Xml::new();
    let mut attributes = vec![
        ("xmlns", "urn:mpeg:dash:schema:mpd:2011".to_owned()),
        ("profiles", addressing.profile().to_owned()),
    ];
    // Supplemental codecs are an extension of ANSI/SCTE 214-1 that ISO/IEC 23009-1 lacks.
    if view.pictures().filter_map(Track::video).any(|video| video.supplemental.is_some()) {
        attributes.insert(1, ("xmlns:scte214", "urn:scte:dash:scte214-extensions".to_owned()));
    }
    match media.growth() {
        None => {
            attributes.push(("type", "static".to_owned()));
            attributes.push(("mediaPresentationDuration", duration(media.duration())));
        }
        // §5.3.1.2: all segments stay, and more are looked for each time one may have been added.
        Some(growth) => {
            attributes.push(("type", "dynamic".to_owned()));
            attributes.push(("availabilityStartTime", date_time(growth.started)));
            attributes.push(("publishTime", date_time(growth.changed)));
            attributes.push(("minimumUpdatePeriod", duration(media.target_duration())));
        }
    }
    attributes.push(("maxSegmentDuration", duration(longest(view, tricks))));
    attributes.push(("minBufferTime", format!("PT{target}S")));
    let attributes: Vec<Attribute<'_>> =
        attributes.iter().map(|(name, value)| Attribute(name, value)).collect();
    xml.open("MPD", &attributes);
    xml.open("Period", &[Attribute("id", &"1"), Attribute("start", &"PT0S")]);
    let sets = adaptation_sets(view);
    for (number, tracks) in (1..).zip(&sets) {
        Set { view, number, tracks: tracks.clone(), kind: Kind::Whole, addressing }.write(&mut xml);
    }
    if tricks {
        let mut number = 1 + u32::try_from(sets.len()).unwrap_or(u32::MAX - 1);
        for (of, tracks) in (1..).zip(&sets) {
            let has_tricks = |track: &&Track| match addressing {
                Addressing::Ranges => media.file_map(track.id, FileKind::IFrames).is_some(),
                _ => media.iframe_count(track.id) > 0,
            };
            let tracks: Vec<&Track> = tracks.iter().copied().filter(has_tricks).collect();
            if !tracks.is_empty() {
                Set { view, number, tracks, kind: Kind::Trick { of }, addressing }.write(&mut xml);
                number = number.saturating_add(1);
            }
        }
    }
    if media.growth().is_some() {
        // §5.8.5.7: what players' clocks are set by. Every answer has a Date, so also this one.
        let scheme = "urn:mpeg:dash:utc:http-head:2014";
        xml.close();
        descriptor(&mut xml, "UTCTiming", scheme, addressing.path());
    }
    xml.finish()
}

/// The longest segment of all that are named, exactly.
fn longest(view: &View<'_>, tricks: bool) -> MediaTime {
    let media = view.media;
    let iframes = view.pictures().filter(|_| tricks).filter_map(|track| {
        let spans = media.iframe_spans(track.id);
        let longest = spans.iter().map(|span| span.duration).max()?;
        Some(MediaTime::new(i64::try_from(longest).unwrap_or(i64::MAX), track.timescale))
    });
    iframes.fold(rates::longest_segment(media), MediaTime::max)
}

/// Pictures by sample entry and dynamic range, so that players switch only within one; each sound
/// alone.
fn adaptation_sets<'a>(view: &View<'a>) -> Vec<Vec<&'a Track>> {
    let coding = |track: &Track| {
        let entry = track.codec.split('.').next().unwrap_or_default().to_owned();
        (entry, track.video().map(|video| video.range))
    };
    let mut sets: Vec<Vec<&Track>> = Vec::new();
    for track in view.tracks.iter().copied() {
        let of_same_coding = sets
            .iter_mut()
            .find(|set| track.is_video() && set[0].is_video() && coding(set[0]) == coding(track));
        match of_same_coding {
            Some(set) => set.push(track),
            None => sets.push(vec![track]),
        }
    }
    sets
}

/// An `xs:duration` in seconds, rounded up to the microsecond.
fn duration(time: MediaTime) -> String {
    const MICROS: u32 = 1_000_000;
    let micros = Timescale::new(MICROS).and_then(|micros| time.rescale_up(micros));
    format!("PT{}S", micros.unwrap_or(time).seconds(6))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn durations_never_cut_the_last_frame() {
        let third = MediaTime::new(1, Timescale::new(3).unwrap());
        assert_eq!(duration(third), "PT0.333334S");
        assert_eq!(duration(MediaTime::from_millis(30_022)), "PT30.022000S");
    }
}
