//! Rules about playlists that still grow (Apple, section 8).

use crate::hls::{MediaPlaylist, Presentation};
use crate::rule::{Rule, rules};
use crate::verdict::Findings;

pub(super) static RULES: &[Rule] = rules![
    "apple-live-date" Must Apple "8.4" "A live playlist has EXT-X-PROGRAM-DATE-TIME." Hls(date);
    "apple-live-six" Must Apple "8.11" "A live playlist has at least six segments." Hls(six);
    "apple-live-discontinuity" Must Apple "8.17" "A live playlist with EXT-X-DISCONTINUITY has EXT-X-DISCONTINUITY-SEQUENCE." Hls(discontinuity);
    "hls-live-steady" Must Hls "4.4.3.2" "A playlist from which segments were removed says with EXT-X-MEDIA-SEQUENCE how many, and is of no type." Hls(steady);
];

fn live(hls: &Presentation) -> impl Iterator<Item = &MediaPlaylist> {
    hls.played().filter(|media| media.playlist.is_live())
}

fn date(hls: &Presentation, findings: &mut Findings) {
    for media in live(hls) {
        let has = media.playlist.has("EXT-X-PROGRAM-DATE-TIME");
        findings.expect(has, || media.playlist.place(), || "there is none");
    }
}

fn six(hls: &Presentation, findings: &mut Findings) {
    for media in live(hls).filter(|media| media.playlist.playlist_type() != Some("EVENT")) {
        let count = media.playlist.segments.len();
        findings.expect(count >= 6, || media.playlist.place(), || format!("{count} segments"));
    }
}

fn discontinuity(hls: &Presentation, findings: &mut Findings) {
    for media in live(hls).filter(|media| media.playlist.has("EXT-X-DISCONTINUITY")) {
        let has = media.playlist.has("EXT-X-DISCONTINUITY-SEQUENCE");
        findings.expect(has, || media.playlist.place(), || "it has none");
    }
}

/// §6.2.2: only a playlist without a type may lose segments at its start; those that have begun to
/// are known by a sequence number that is no first one.
fn steady(hls: &Presentation, findings: &mut Findings) {
    for media in live(hls) {
        let first = media.playlist.number("EXT-X-MEDIA-SEQUENCE").unwrap_or(0);
        let typed = media.playlist.playlist_type().is_some();
        findings.expect(
            !(typed && first > 1),
            || media.playlist.place(),
            || format!("an EVENT playlist begins with segment {first}"),
        );
    }
}
