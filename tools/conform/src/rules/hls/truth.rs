//! Rules that compare what a multivariant playlist says with the media (RFC 8216bis §4.4.6).

use super::multivariant::has_video;
use crate::hls::playlist::Tag;
use crate::hls::{MediaPlaylist, Presentation};
use crate::media::entry::Entry;
use crate::media::{Kind, codec};
use crate::rule::{Rule, rules};
use crate::verdict::Findings;

pub(super) static RULES: &[Rule] = rules![
    "hls-codecs-true" Must Hls "4.4.6.2" "CODECS names every format in the variant's media, as its configuration says." Hls(codecs);
    "hls-codecs-nothing-else" Should Hls "4.4.6.2" "CODECS names nothing that the variant's media does not have." Hls(nothing_else);
    "hls-resolution-true" Should Hls "4.4.6.2" "RESOLUTION is the size at which the video is shown." Hls(resolution);
    "hls-frame-rate-true" Should Hls "4.4.6.2" "FRAME-RATE is the highest frame rate of the video." Hls(frame_rate);
    "hls-video-range-true" Must Hls "4.4.6.2" "VIDEO-RANGE is that of the video's transfer characteristics." Hls(video_range);
    "hls-channels-true" Must Hls "4.4.6.1" "CHANNELS begins with the count of channels that the audio has." Hls(channels);
];

/// Every sample entry of a variant's media.
fn entries<'a>(media: &[&'a MediaPlaylist]) -> Vec<(&'a str, Kind, &'a Entry)> {
    let movies = media.iter().flat_map(|media| media.stream.movies());
    movies
        .flat_map(|(place, movie)| {
            movie.entries().map(move |(track, entry)| (place, track.kind(), entry))
        })
        .collect()
}

/// Codecs of transport streams, as far as stream types tell: the family only.
fn families(media: &[&MediaPlaylist]) -> Vec<&'static str> {
    let segments = media.iter().flat_map(|media| &media.stream.segments);
    let streams = segments
        .filter_map(|segment| segment.transport())
        .flat_map(crate::media::transport::Transport::streams);
    let mut found: Vec<&'static str> = streams
        .filter_map(|stream| match stream.stream_type {
            0x1b | 0xdb => Some("avc1"),
            0x24 => Some("hvc1"),
            0x0f | 0x03 | 0x04 | 0xcf => Some("mp4a"),
            0x81 | 0xc1 => Some("ac-3"),
            0x87 | 0xc2 => Some("ec-3"),
            _ => None,
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn codecs(hls: &Presentation, findings: &mut Findings) {
    for (tag, _) in hls.variants().filter(|(tag, _)| tag.attributes.has("CODECS")) {
        let stated = tag.attributes.list("CODECS");
        let media = hls.streams_of(tag);
        for (place, kind, entry) in entries(&media) {
            let Some(real) = entry.codec.as_ref().filter(|_| kind != Kind::Other) else { continue };
            findings.expect(
                stated.iter().any(|stated| codec::same(stated, real)),
                || hls.root.at(tag.line),
                || format!("{place} has {real}, CODECS is `{}`", stated.join(",")),
            );
        }
        for family in families(&media) {
            let named = stated.iter().any(|stated| stated.starts_with(family));
            findings.expect(
                named,
                || hls.root.at(tag.line),
                || format!("the segments have {family}, CODECS is `{}`", stated.join(",")),
            );
        }
    }
}

fn nothing_else(hls: &Presentation, findings: &mut Findings) {
    for (tag, own) in hls.variants() {
        let media = hls.streams_of(tag);
        let real = entries(&media);
        let families = families(&media);
        // Where a part of the media could not be read, nothing can be said.
        if own.is_none() || (real.is_empty() && families.is_empty()) {
            continue;
        }
        for stated in tag.attributes.list("CODECS") {
            if codec::kind(stated) == Kind::Other {
                continue;
            }
            let has = real
                .iter()
                .filter_map(|(.., entry)| entry.codec.as_ref())
                .any(|real| codec::same(stated, real))
                || families.iter().any(|family| stated.starts_with(family));
            findings.expect(has, || hls.root.at(tag.line), || format!("nothing is {stated}"));
        }
    }
}

fn resolution(hls: &Presentation, findings: &mut Findings) {
    for (tag, own) in hls.variants() {
        let (Some(stated), Some(own)) = (tag.attributes.resolution("RESOLUTION"), own) else {
            continue;
        };
        for (place, movie) in own.stream.movies() {
            let video = movie.tracks.iter().filter(|track| track.kind() == Kind::Video);
            for track in video.filter(|track| track.shown != (0, 0)) {
                let shown = (u64::from(track.shown.0), u64::from(track.shown.1));
                let near = shown.0.abs_diff(stated.0) <= 1 && shown.1.abs_diff(stated.1) <= 1;
                findings.expect(
                    near,
                    || hls.root.at(tag.line),
                    || {
                        format!(
                            "{}x{}, and {place} is shown at {}x{}",
                            stated.0, stated.1, shown.0, shown.1
                        )
                    },
                );
            }
        }
    }
}

fn frame_rate(hls: &Presentation, findings: &mut Findings) {
    for (tag, own) in hls.variants() {
        let (Some(stated), Some(own)) = (tag.attributes.decimal("FRAME-RATE"), own) else {
            continue;
        };
        let spans = own.stream.segments.iter().flat_map(|segment| segment.spans(&own.stream));
        let video = spans.filter(|span| span.kind == Kind::Video && span.duration > 0);
        // The mean over a segment: it is at most the highest rate, and at constant rate equal.
        let rates = video.map(|span| span.samples as f64 / span.duration_seconds());
        let highest = rates.fold(0.0, f64::max);
        if highest > 0.0 {
            findings.expect(
                highest <= stated * 1.02 + 0.01,
                || hls.root.at(tag.line),
                || format!("{stated} stated, {highest:.3} frames a second in the media"),
            );
        }
    }
}

/// The range of a variant's video, where its media says one.
pub(super) fn range_of(hls: &Presentation, tag: &Tag) -> Option<&'static str> {
    let media = hls.streams_of(tag);
    let entries = entries(&media);
    let video = entries.iter().filter(|(_, kind, _)| *kind == Kind::Video);
    let mut found = None;
    for (.., entry) in video {
        let profile_five = entry.codec.as_ref().is_some_and(|codec| codec.starts_with("dvh1.05"));
        let range = match entry.transfer {
            Some(16) => "PQ",
            Some(18) => "HLG",
            Some(1 | 6 | 13 | 14 | 15) => "SDR",
            _ if profile_five => "PQ",
            _ => continue,
        };
        found = Some(range);
    }
    found
}

fn video_range(hls: &Presentation, findings: &mut Findings) {
    for (tag, _) in hls.variants().filter(|(tag, _)| has_video(hls, tag)) {
        let Some(real) = range_of(hls, tag) else { continue };
        let stated = tag.attributes.text("VIDEO-RANGE").unwrap_or("SDR");
        let what = || format!("{stated} stated, {real} in the media");
        findings.expect(stated == real, || hls.root.at(tag.line), what);
    }
}

fn channels(hls: &Presentation, findings: &mut Findings) {
    for tag in hls.root.all("EXT-X-MEDIA") {
        let stated = tag.attributes.text("CHANNELS");
        let count = stated.and_then(|text| text.split('/').next()?.parse::<u32>().ok());
        let named = tag.attributes.text("URI").and_then(|uri| hls.named(uri));
        let (Some(count), Some(media)) = (count, named) else { continue };
        for (place, kind, entry) in entries(&[media]) {
            let Some(real) = entry.channels().filter(|_| kind == Kind::Audio) else { continue };
            let what = || format!("{count} stated, {real} in {place}");
            findings.expect(count == real, || hls.root.at(tag.line), what);
        }
    }
}
