//! Rules about delivery over HTTP (RFC 8216bis §4; Apple, items 8.18 and 10).

use crate::hls::Presentation;
use crate::media::{Container, Kind};
use crate::rule::{Rule, rules};
use crate::verdict::Findings;

pub(super) static RULES: &[Rule] = rules![
    "hls-playlist-type-known" Must Hls "4" "A playlist is known by its Content-Type, application/vnd.apple.mpegurl or audio/mpegurl, or by a name that ends in .m3u8 or .m3u." Hls(identifiable);
    "apple-playlist-mime" Should Apple "10.4" "Playlists have the Content-Type application/vnd.apple.mpegurl or audio/mpegurl." Hls(playlist_mime);
    "apple-media-mime" Should Apple "10.4" "Segments have the Content-Type of what they are." Hls(media_mime);
    "apple-gzip" Must Apple "10.1" "Playlists are delivered with gzip content encoding." Hls(gzip);
    "apple-no-redirects" Must Apple "8.18" "Nothing is delivered by way of redirects." Hls(redirects);
];

/// A `Content-Type` without parameters, in lower case.
fn bare(mime: &str) -> String {
    mime.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

fn is_playlist(mime: &str) -> bool {
    matches!(
        &*bare(mime),
        "application/vnd.apple.mpegurl" | "audio/mpegurl" | "application/x-mpegurl"
    )
}

fn identifiable(hls: &Presentation, findings: &mut Findings) {
    for playlist in hls.playlists() {
        let mime = playlist.answer.content_type.as_deref();
        let end = playlist.url.path().rsplit('.').next().unwrap_or("");
        let named = ["m3u8", "m3u"].iter().any(|known| end.eq_ignore_ascii_case(known));
        let typed =
            mime.is_some_and(|mime| is_playlist(mime) && bare(mime) != "application/x-mpegurl");
        findings.expect(named || typed, || playlist.place(), || format!("it is {mime:?}"));
    }
}

fn playlist_mime(hls: &Presentation, findings: &mut Findings) {
    for playlist in hls.playlists().filter(|playlist| playlist.answer.gzipped.is_some()) {
        let mime = playlist.answer.content_type.as_deref().unwrap_or("");
        findings.expect(is_playlist(mime), || playlist.place(), || format!("it is `{mime}`"));
    }
}

fn media_mime(hls: &Presentation, findings: &mut Findings) {
    for media in &hls.media {
        if media.playlist.answer.gzipped.is_none() {
            continue;
        }
        for segment in &media.stream.segments {
            let mime = bare(segment.content_type.as_deref().unwrap_or(""));
            let good = match &segment.container {
                Container::Transport(_) => mime == "video/mp2t",
                Container::Fragments(_) => {
                    let audio = !media.stream.has(Kind::Video);
                    matches!(&*mime, "video/mp4" | "video/iso.segment" | "application/mp4")
                        || (audio && matches!(&*mime, "audio/mp4" | "audio/iso.segment"))
                }
                Container::Text { .. } => matches!(&*mime, "text/vtt" | "text/plain"),
                Container::Plain => mime.starts_with("audio/"),
                Container::Sealed | Container::Unknown(_) => continue,
            };
            findings.expect(good, || &segment.place, || format!("it is `{mime}`"));
        }
    }
}

fn gzip(hls: &Presentation, findings: &mut Findings) {
    for playlist in hls.playlists() {
        let Some(gzipped) = playlist.answer.gzipped else { continue };
        findings.expect(gzipped, || playlist.place(), || "it is not");
    }
}

fn redirects(hls: &Presentation, findings: &mut Findings) {
    for place in &hls.redirected {
        findings.broke(place, "it was redirected");
    }
    if hls.root.answer.gzipped.is_some() {
        findings.seen();
    }
}
