//! The tags of variant streams (RFC 8216bis §4.4.6.2 and §4.4.6.3).

use std::fmt::Write as _;

use super::tag::Tag;
use crate::codec::VideoRange;
use crate::media::Media;
use crate::rates::{self, Rates};
use crate::selection::Container;
use crate::track::Track;
use crate::units::{MediaTime, Timescale};

/// A variant stream.
#[derive(Debug)]
pub(super) struct Variant<'a> {
    pub(super) media: &'a Media,
    /// Its picture; its sound where it has none.
    pub(super) track: &'a Track,
    /// The sounds that go with a picture.
    pub(super) sounds: &'a [&'a Track],
    pub(super) rates: Rates,
    /// Whether all variants of the playlist have a score, so that it is said (§4.4.6.2).
    pub(super) scored: bool,
    /// The group of those sounds, where they are one.
    pub(super) group: Option<&'a str>,
    pub(super) uri: String,
}

impl Variant<'_> {
    /// Its `EXT-X-STREAM-INF` and URI.
    pub(super) fn write(&self, out: &mut String) {
        let mut codecs = vec![self.track.hls_codec.as_str()];
        for sound in self.sounds {
            if !codecs.contains(&sound.hls_codec.as_str()) {
                codecs.push(&sound.hls_codec);
            }
        }
        let tag = Tag::new("EXT-X-STREAM-INF");
        let mut tag = stream(tag, self.media, self.track, self.rates, self.scored, &codecs);
        if let Some((frames, seconds)) = self.track.video().and_then(|video| video.frame_rate)
            && let Some(seconds) = Timescale::new(seconds)
        {
            let rate = MediaTime::new(i64::from(frames), seconds);
            tag = tag.bare("FRAME-RATE", rate.seconds(3));
        }
        if let Some(id) = self.group {
            tag = tag.quoted("AUDIO", id);
        }
        tag.bare("CLOSED-CAPTIONS", "NONE").end(out);
        // Writing into a String never fails.
        let _ = writeln!(out, "{}", self.uri);
    }
}

/// The `EXT-X-I-FRAME-STREAM-INF` of a picture, where it has I-frames for trick play.
pub(super) fn iframes(
    out: &mut String,
    media: &Media,
    track: &Track,
    container: Container,
    scored: bool,
    query: &str,
) {
    let (spans, form) = match container {
        Container::Ts => (media.ts_iframe_spans(track.id), ".ts"),
        _ => (media.iframe_spans(track.id), ""),
    };
    if spans.is_empty() {
        return;
    }
    let target = rates::target_of(&spans, track.timescale);
    let rates = Rates::over(&spans, track.timescale, target);
    let tag = Tag::new("EXT-X-I-FRAME-STREAM-INF");
    stream(tag, media, track, rates, scored, &[&track.hls_codec])
        .quoted("URI", &format!("{}.iframes{form}.m3u8{query}", track.id))
        .end(out);
}

/// The attributes that both tags have.
fn stream(
    tag: Tag,
    media: &Media,
    track: &Track,
    rates: Rates,
    scored: bool,
    codecs: &[&str],
) -> Tag {
    let mut tag =
        tag.bare("BANDWIDTH", rates.peak.max(1)).bare("AVERAGE-BANDWIDTH", rates.average.max(1));
    if let Some(score) = track.score.filter(|_| scored) {
        tag = tag.bare("SCORE", score);
    }
    tag = tag.quoted("CODECS", &codecs.join(","));
    if let Some(video) = track.video() {
        if let Some(supplemental) = &video.supplemental {
            let value = format!("{}/{}", supplemental.codec, supplemental.brand);
            tag = tag.quoted("SUPPLEMENTAL-CODECS", &value);
        }
        let size = format!("{}x{}", video.display_width, video.display_height);
        tag = tag.bare("RESOLUTION", size);
        // Where it is absent everywhere, all is SDR.
        let videos = media.tracks().iter().filter_map(Track::video);
        if videos.into_iter().any(|video| video.range != VideoRange::Sdr) {
            tag = tag.bare("VIDEO-RANGE", video.range.as_str());
        }
    }
    tag
}
