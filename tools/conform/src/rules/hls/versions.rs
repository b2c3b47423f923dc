//! Rules about protocol versions (RFC 8216bis §8).

use crate::hls::Presentation;
use crate::hls::playlist::{Playlist, Tag};
use crate::rule::{Rule, rules};
use crate::verdict::Findings;

pub(super) static RULES: &[Rule] = rules![
    "hls-version" Must Hls "8" "EXT-X-VERSION is at least what the playlist's tags and attributes need." Hls(version);
    "hls-version-known" Should Hls "4.4.1.2" "EXT-X-VERSION is a version that exists: 1 to 13." Hls(known);
    "hls-removed" Must Hls "8" "Tags and attributes that a version has removed are not used: PROGRAM-ID from 6 on, EXT-X-ALLOW-CACHE from 7 on." Hls(removed);
];

fn version(hls: &Presentation, findings: &mut Findings) {
    for playlist in hls.playlists() {
        let stated = playlist.version();
        let mut worst: Option<(u64, usize, String)> = None;
        for tag in &playlist.tags {
            for (needed, what) in needs(playlist, tag) {
                if needed > stated && worst.as_ref().is_none_or(|(most, ..)| needed > *most) {
                    worst = Some((needed, tag.line, what));
                }
            }
        }
        match worst {
            Some((needed, line, what)) => findings.broke(
                playlist.at(line),
                format!("{what} needs version {needed}, stated is {stated}"),
            ),
            None => findings.seen(),
        }
    }
}

/// The versions that a tag needs.
fn needs(playlist: &Playlist, tag: &Tag) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    let mut need = |version: u64, what: &str| found.push((version, what.to_owned()));
    let has = |name| tag.attributes.has(name);
    let value = tag.value.as_deref().unwrap_or("");
    match &*tag.name {
        "EXT-X-KEY" | "EXT-X-SESSION-KEY" => {
            if has("IV") {
                need(2, "IV");
            }
            if tag.attributes.text("METHOD").is_some_and(|method| method.starts_with("SAMPLE-AES"))
            {
                need(5, "METHOD=SAMPLE-AES");
            }
            if has("KEYFORMAT") || has("KEYFORMATVERSIONS") {
                need(5, "KEYFORMAT");
            }
        }
        "EXTINF" if value.split(',').next().is_some_and(|number| number.contains('.')) => {
            need(3, "a decimal EXTINF");
        }
        "EXT-X-BYTERANGE" => need(4, "EXT-X-BYTERANGE"),
        "EXT-X-I-FRAMES-ONLY" => need(4, "EXT-X-I-FRAMES-ONLY"),
        "EXT-X-MAP" if playlist.has("EXT-X-I-FRAMES-ONLY") => need(5, "EXT-X-MAP"),
        "EXT-X-MAP" => need(6, "EXT-X-MAP without EXT-X-I-FRAMES-ONLY"),
        "EXT-X-MEDIA"
            if tag.attributes.text("INSTREAM-ID").is_some_and(|id| id.starts_with("SERVICE")) =>
        {
            need(7, "INSTREAM-ID=\"SERVICE…\"");
        }
        "EXT-X-DEFINE" if has("QUERYPARAM") => need(11, "QUERYPARAM"),
        "EXT-X-DEFINE" => need(8, "variable substitution"),
        "EXT-X-SKIP" if has("RECENTLY-REMOVED-DATERANGES") => {
            need(10, "RECENTLY-REMOVED-DATERANGES");
        }
        "EXT-X-SKIP" => need(9, "EXT-X-SKIP"),
        _ => {}
    }
    if tag.attributes.list.iter().any(|(name, _)| name.starts_with("REQ-")) {
        need(12, "an attribute REQ-…");
    }
    found
}

fn known(hls: &Presentation, findings: &mut Findings) {
    for playlist in hls.playlists() {
        let Some(tag) = playlist.first("EXT-X-VERSION") else { continue };
        let stated = playlist.number("EXT-X-VERSION");
        findings.expect(
            stated.is_some_and(|version| (1..=13).contains(&version)),
            || playlist.at(tag.line),
            || format!("it is `{}`", tag.value.as_deref().unwrap_or("")),
        );
    }
}

fn removed(hls: &Presentation, findings: &mut Findings) {
    for playlist in hls.playlists() {
        let version = playlist.version();
        for tag in &playlist.tags {
            let program = tag.attributes.has("PROGRAM-ID") && version >= 6;
            let cache = tag.name == "EXT-X-ALLOW-CACHE" && version >= 7;
            if program || cache {
                let what = if cache { "EXT-X-ALLOW-CACHE" } else { "PROGRAM-ID" };
                findings.broke(playlist.at(tag.line), format!("{what} in version {version}"));
            }
        }
        findings.seen();
    }
}
