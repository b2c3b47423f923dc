//! Rules about I-frame playlists (RFC 8216bis §4.4.3.6, §4.4.6.3; Apple, section 6).

use super::multivariant::has_video;
use crate::hls::{MediaPlaylist, Presentation, Role};
use crate::media::{Container, Kind};
use crate::rule::{Rule, rules};
use crate::verdict::Findings;

pub(super) static RULES: &[Rule] = rules![
    "hls-iframe-attributes" Must Hls "4.4.6.3" "EXT-X-I-FRAME-STREAM-INF has BANDWIDTH and URI, and none of FRAME-RATE, AUDIO, SUBTITLES and CLOSED-CAPTIONS." Hls(attributes);
    "hls-iframes-only" Must Apple "6.8" "Playlists of EXT-X-I-FRAME-STREAM-INF have EXT-X-I-FRAMES-ONLY." Hls(only);
    "hls-iframe-decodable" Must Hls "4.4.3.6" "Each segment of an I-frame playlist holds one I-frame, with its moof in fragmented MP4." Hls(decodable);
    "apple-iframes" Must Apple "6.1" "Video has I-frame playlists." Hls(provided);
    "apple-iframe-codecs" Must Apple "9.3" "EXT-X-I-FRAME-STREAM-INF has CODECS." Hls(codecs);
    "apple-iframe-resolution" Must Apple "9.4" "EXT-X-I-FRAME-STREAM-INF has RESOLUTION." Hls(resolution);
];

fn frames(hls: &Presentation) -> impl Iterator<Item = &MediaPlaylist> {
    hls.media.iter().filter(|media| media.role == Role::IFrames)
}

fn attributes(hls: &Presentation, findings: &mut Findings) {
    for tag in hls.root.all("EXT-X-I-FRAME-STREAM-INF") {
        let has = |name: &&str| tag.attributes.has(name);
        let missing = ["BANDWIDTH", "URI"].into_iter().find(|name| !has(name));
        let strange = ["FRAME-RATE", "AUDIO", "SUBTITLES", "CLOSED-CAPTIONS"].into_iter().find(has);
        findings.expect(
            missing.is_none() && strange.is_none(),
            || hls.root.at(tag.line),
            || match (missing, strange) {
                (Some(name), _) => format!("there is no {name}"),
                (_, strange) => format!("there is {}", strange.unwrap_or("")),
            },
        );
    }
}

fn only(hls: &Presentation, findings: &mut Findings) {
    if !hls.root.is_multivariant() {
        return;
    }
    for media in frames(hls) {
        let has = media.playlist.has("EXT-X-I-FRAMES-ONLY");
        findings.expect(has, || media.playlist.place(), || "it has none");
    }
}

fn decodable(hls: &Presentation, findings: &mut Findings) {
    for media in frames(hls) {
        for segment in &media.stream.segments {
            let what = match &segment.container {
                Container::Sealed | Container::Plain | Container::Text { .. } => continue,
                Container::Unknown(error) => Some(error.clone()),
                Container::Fragments(_) | Container::Transport(_) => {
                    let spans = segment.spans(&media.stream);
                    let video: Vec<_> =
                        spans.iter().filter(|span| span.kind == Kind::Video).collect();
                    match video.as_slice() {
                        [] => Some("there is no picture".to_owned()),
                        [span, ..] if span.starts_independent() == Some(false) => {
                            Some("its picture depends on others".to_owned())
                        }
                        _ => fragment_fault(segment),
                    }
                }
            };
            findings.expect(what.is_none(), || &segment.place, || what.clone().unwrap_or_default());
        }
    }
}

/// In fragmented MP4 the range may end after the I-frame, before the samples that follow it.
fn fragment_fault(segment: &crate::media::Segment) -> Option<String> {
    let fragments = segment.fragments()?;
    let syncs = fragments.moofs.iter().flat_map(|moof| &moof.trafs).flat_map(|traf| &traf.samples);
    let count = syncs.filter(|sample| sample.sync).count();
    (count != 1).then(|| format!("{count} sync samples"))
}

fn provided(hls: &Presentation, findings: &mut Findings) {
    if hls.root.all("EXT-X-STREAM-INF").any(|tag| has_video(hls, tag)) {
        let has = hls.root.has("EXT-X-I-FRAME-STREAM-INF");
        findings.expect(has, || hls.root.place(), || "there are none");
    }
}

fn required(hls: &Presentation, findings: &mut Findings, name: &str) {
    for tag in hls.root.all("EXT-X-I-FRAME-STREAM-INF") {
        let has = tag.attributes.has(name);
        findings.expect(has, || hls.root.at(tag.line), || "there is none");
    }
}

fn codecs(hls: &Presentation, findings: &mut Findings) {
    required(hls, findings, "CODECS");
}

fn resolution(hls: &Presentation, findings: &mut Findings) {
    required(hls, findings, "RESOLUTION");
}
