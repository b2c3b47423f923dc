//! Rules about EXT-X-STREAM-INF and what else is in a multivariant playlist (RFC 8216bis §4.4.6;
//! Apple, section 9).

use crate::hls::Presentation;
use crate::hls::playlist::Tag;
use crate::media::{Kind, codec};
use crate::rule::{Rule, rules};
use crate::verdict::Findings;

pub(super) static RULES: &[Rule] = rules![
    "hls-bandwidth" Must Hls "4.4.6.2" "Every EXT-X-STREAM-INF has a BANDWIDTH." Hls(bandwidth);
    "hls-stream-uri" Must Hls "4.4.6.2" "A URI line follows every EXT-X-STREAM-INF." Hls(stream_uri);
    "hls-average-below-peak" Must Hls "4.4.6.2" "AVERAGE-BANDWIDTH is at most BANDWIDTH." Hls(average_below_peak);
    "hls-groups-exist" Must Hls "4.4.6.2" "AUDIO, VIDEO, SUBTITLES and CLOSED-CAPTIONS name groups that exist, of their type." Hls(groups_exist);
    "hls-captions-none" Must Hls "4.4.6.2" "If one EXT-X-STREAM-INF has CLOSED-CAPTIONS=NONE, all have." Hls(captions_none);
    "hls-video-range" Must Hls "4.4.6.2" "VIDEO-RANGE is SDR, HLG or PQ." Hls(video_range);
    "hls-supplemental-codecs" Must Hls "4.4.6.2" "SUPPLEMENTAL-CODECS is a list of codecs, each with brands after a slash." Hls(supplemental);
    "hls-session-data" Must Hls "4.4.6.4" "EXT-X-SESSION-DATA has a DATA-ID and either VALUE or URI, and each DATA-ID is there once a language." Hls(session_data);
    "hls-steering" Must Hls "4.4.6.6" "EXT-X-CONTENT-STEERING has a SERVER-URI." Hls(steering);
    "apple-codecs" Must Apple "9.1" "Every EXT-X-STREAM-INF has CODECS." Hls(codecs);
    "apple-resolution" Must Apple "9.2" "Every EXT-X-STREAM-INF with video has RESOLUTION." Hls(resolution);
    "apple-frame-rate" Must Apple "9.15" "Every EXT-X-STREAM-INF with video has FRAME-RATE." Hls(frame_rate);
    "apple-frame-rate-limit" Must Apple "1.19" "No frame rate is above 60 a second." Hls(rate_limit);
    "apple-average-bandwidth" Must Apple "9.14" "Every EXT-X-STREAM-INF has AVERAGE-BANDWIDTH." Hls(average);
    "apple-video-range" Must Apple "9.16" "VIDEO-RANGE is stated unless everything is SDR." Hls(range_stated);
    "apple-score" Must Apple "9.19" "SCORE is on every variant, or on none." Hls(score);
    "apple-several-rates" Must Apple "9.9" "There are several bit rates of video." Hls(several_rates);
    "apple-parameter-sets" Should Apple "1.10" "Parameter sets are in sample descriptions: avc1, hvc1 and dvh1 rather than avc3, hev1 and dvhe." Hls(parameter_sets);
];

fn variants(hls: &Presentation) -> impl Iterator<Item = &Tag> {
    hls.root.all("EXT-X-STREAM-INF")
}

/// Whether a variant has video, by what it says or, where it says nothing, by its media.
pub(super) fn has_video(hls: &Presentation, tag: &Tag) -> bool {
    let codecs = tag.attributes.list("CODECS");
    if codecs.is_empty() {
        let media = hls.streams_of(tag);
        return media.is_empty() || media.iter().any(|media| media.stream.has(Kind::Video));
    }
    codecs.iter().any(|name| codec::kind(name) == Kind::Video)
}

fn bandwidth(hls: &Presentation, findings: &mut Findings) {
    for tag in variants(hls) {
        let has = tag.attributes.number("BANDWIDTH").is_some_and(|rate| rate > 0);
        findings.expect(has, || hls.root.at(tag.line), || "there is none");
    }
}

fn stream_uri(hls: &Presentation, findings: &mut Findings) {
    for tag in variants(hls) {
        let has = hls.root.uri_after(tag.line).is_some();
        findings.expect(has, || hls.root.at(tag.line), || "another tag follows, or nothing");
    }
}

fn average_below_peak(hls: &Presentation, findings: &mut Findings) {
    for tag in variants(hls) {
        let number = |name| tag.attributes.number(name);
        if let (Some(average), Some(peak)) = (number("AVERAGE-BANDWIDTH"), number("BANDWIDTH")) {
            let what = || format!("{average} is more than {peak}");
            findings.expect(average <= peak, || hls.root.at(tag.line), what);
        }
    }
}

fn groups_exist(hls: &Presentation, findings: &mut Findings) {
    for tag in variants(hls) {
        for kind in ["AUDIO", "VIDEO", "SUBTITLES", "CLOSED-CAPTIONS"] {
            let Some(value) = tag.attributes.get(kind) else { continue };
            if kind == "CLOSED-CAPTIONS" && !value.is_quoted() {
                continue;
            }
            let exists = hls.group(kind, value.text()).next().is_some();
            let what = || format!("there is no group `{}` of TYPE={kind}", value.text());
            findings.expect(exists, || hls.root.at(tag.line), what);
        }
    }
}

fn captions_none(hls: &Presentation, findings: &mut Findings) {
    let none = |tag: &Tag| {
        tag.attributes
            .get("CLOSED-CAPTIONS")
            .is_some_and(|value| !value.is_quoted() && value.text() == "NONE")
    };
    if variants(hls).any(none) {
        for tag in variants(hls) {
            findings.expect(
                none(tag),
                || hls.root.at(tag.line),
                || "it has another value, or none",
            );
        }
    }
}

fn video_range(hls: &Presentation, findings: &mut Findings) {
    let frames = hls.root.all("EXT-X-I-FRAME-STREAM-INF");
    for tag in variants(hls).chain(frames) {
        let Some(range) = tag.attributes.text("VIDEO-RANGE") else { continue };
        let known = ["SDR", "HLG", "PQ"].contains(&range);
        findings.expect(known, || hls.root.at(tag.line), || format!("it is `{range}`"));
    }
}

fn supplemental(hls: &Presentation, findings: &mut Findings) {
    let frames = hls.root.all("EXT-X-I-FRAME-STREAM-INF");
    for tag in variants(hls).chain(frames) {
        if !tag.attributes.has("SUPPLEMENTAL-CODECS") {
            continue;
        }
        for item in tag.attributes.list("SUPPLEMENTAL-CODECS") {
            let mut parts = item.split('/');
            let codec = parts.next().unwrap_or("");
            let brands: Vec<&str> = parts.collect();
            let good = codec.contains('.')
                && !brands.is_empty()
                && brands.iter().all(|brand| brand.len() == 4 && brand.is_ascii());
            findings.expect(good, || hls.root.at(tag.line), || format!("`{item}`"));
        }
    }
}

fn session_data(hls: &Presentation, findings: &mut Findings) {
    let mut known: Vec<(&str, &str)> = Vec::new();
    for tag in hls.root.all("EXT-X-SESSION-DATA") {
        let text = |name| tag.attributes.text(name);
        let key = (text("DATA-ID").unwrap_or(""), text("LANGUAGE").unwrap_or(""));
        let what = if key.0.is_empty() {
            Some("there is no DATA-ID")
        } else if text("VALUE").is_some() == text("URI").is_some() {
            Some("it has both VALUE and URI, or neither")
        } else {
            known.contains(&key).then_some("its DATA-ID is there already in this language")
        };
        known.push(key);
        findings.expect(what.is_none(), || hls.root.at(tag.line), || what.unwrap_or(""));
    }
}

fn steering(hls: &Presentation, findings: &mut Findings) {
    for tag in hls.root.all("EXT-X-CONTENT-STEERING") {
        let has = tag.attributes.has("SERVER-URI");
        findings.expect(has, || hls.root.at(tag.line), || "there is none");
    }
}

/// An attribute that every variant must have, or every one with video.
fn required(hls: &Presentation, findings: &mut Findings, name: &str, only_video: bool) {
    for tag in variants(hls).filter(|tag| !only_video || has_video(hls, tag)) {
        let has = tag.attributes.has(name);
        findings.expect(has, || hls.root.at(tag.line), || "there is none");
    }
}

fn codecs(hls: &Presentation, findings: &mut Findings) {
    required(hls, findings, "CODECS", false);
}

fn resolution(hls: &Presentation, findings: &mut Findings) {
    required(hls, findings, "RESOLUTION", true);
}

fn frame_rate(hls: &Presentation, findings: &mut Findings) {
    required(hls, findings, "FRAME-RATE", true);
}

fn rate_limit(hls: &Presentation, findings: &mut Findings) {
    for tag in variants(hls) {
        let Some(rate) = tag.attributes.decimal("FRAME-RATE") else { continue };
        findings.expect(rate <= 60.0, || hls.root.at(tag.line), || format!("it is {rate}"));
    }
}

fn average(hls: &Presentation, findings: &mut Findings) {
    required(hls, findings, "AVERAGE-BANDWIDTH", false);
}

fn range_stated(hls: &Presentation, findings: &mut Findings) {
    let ranges: Vec<_> = variants(hls).map(|tag| (tag, super::truth::range_of(hls, tag))).collect();
    if ranges.iter().any(|(_, range)| range.is_some_and(|range| range != "SDR")) {
        for (tag, _) in ranges {
            let has = tag.attributes.has("VIDEO-RANGE") || !has_video(hls, tag);
            findings.expect(has, || hls.root.at(tag.line), || "there is none");
        }
    }
}

fn score(hls: &Presentation, findings: &mut Findings) {
    if variants(hls).any(|tag| tag.attributes.has("SCORE")) {
        for tag in variants(hls) {
            let has = tag.attributes.has("SCORE");
            findings.expect(has, || hls.root.at(tag.line), || "this one has none");
        }
    }
}

fn several_rates(hls: &Presentation, findings: &mut Findings) {
    let rates: Vec<u64> = variants(hls)
        .filter(|tag| has_video(hls, tag))
        .filter_map(|tag| tag.attributes.number("BANDWIDTH"))
        .collect();
    if let Some(first) = rates.first() {
        let several = rates.iter().any(|rate| rate != first);
        findings.expect(several, || hls.root.place(), || format!("only {first}"));
    }
}

fn parameter_sets(hls: &Presentation, findings: &mut Findings) {
    for tag in variants(hls) {
        for name in tag.attributes.list("CODECS") {
            let first = name.split('.').next().unwrap_or("");
            match first {
                "avc3" | "hev1" | "dvhe" => findings.broke(hls.root.at(tag.line), name),
                "avc1" | "hvc1" | "dvh1" => findings.seen(),
                _ => {}
            }
        }
    }
}
