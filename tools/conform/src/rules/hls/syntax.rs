//! Rules about the text of playlists (RFC 8216bis §4.1 to §4.3).

use super::types::{Type, expected};
use crate::hls::Presentation;
use crate::rule::{Rule, rules};
use crate::verdict::Findings;

pub(super) static RULES: &[Rule] = rules![
    "hls-utf8" Must Hls "4.1" "A playlist is UTF-8 without a byte order mark and without control characters." Hls(utf8);
    "hls-first-line" Must Hls "4.4.1.1" "The first line is #EXTM3U." Hls(first_line);
    "hls-one-kind" Must Hls "4.1" "A playlist has tags of media playlists or of multivariant playlists, not of both, and URIs of what it is." Hls(one_kind);
    "hls-tag-once" Must Hls "4.4.3" "Tags that apply to a whole playlist are there at most once." Hls(tag_once);
    "hls-attribute-grammar" Must Hls "4.2" "Attribute lists keep to their grammar." Hls(grammar);
    "hls-attribute-once" Must Hls "4.2" "No attribute is twice in a list." Hls(attribute_once);
    "hls-attribute-type" Must Hls "4.2" "Attributes have values of their type: quoted strings, enumerated strings, integers, decimals, hexadecimals, resolutions." Hls(attribute_type);
    "hls-uri-lines" Must Hls "4.1" "URI lines are URIs: without white space, and they resolve." Hls(uri_lines);
    "hls-variables" Must Hls "4.3" "Variables are defined before they are used." Hls(variables);
    "hls-define" Must Hls "4.4.2.3" "EXT-X-DEFINE has exactly one of NAME, IMPORT and QUERYPARAM, and VALUE with NAME alone." Hls(define);
    "hls-start" Must Hls "4.4.2.2" "EXT-X-START has a TIME-OFFSET." Hls(start);
];

fn utf8(hls: &Presentation, findings: &mut Findings) {
    for playlist in hls.playlists() {
        let bytes = &playlist.answer.bytes;
        let control =
            bytes.iter().any(|byte| (*byte < 0x20 && !b"\r\n\t".contains(byte)) || *byte == 0x7f);
        let what = if bytes.starts_with(b"\xef\xbb\xbf") {
            Some("it begins with a byte order mark")
        } else if !playlist.is_utf8 {
            Some("it is not UTF-8")
        } else {
            control.then_some("it has control characters")
        };
        findings.expect(what.is_none(), || playlist.place(), || what.unwrap_or(""));
    }
}

fn first_line(hls: &Presentation, findings: &mut Findings) {
    for playlist in hls.playlists() {
        let first = playlist.answer.bytes.split(|byte| *byte == b'\n').next().unwrap_or(b"");
        let first = String::from_utf8_lossy(first);
        let first = first.trim_start_matches('\u{feff}').trim_end_matches('\r');
        findings.expect(first == "#EXTM3U", || playlist.at(1), || format!("it is `{first}`"));
    }
}

/// Tags that only a media playlist may have (§4.4.3, §4.4.4, §4.4.5).
const OF_MEDIA: [&str; 20] = [
    "EXT-X-TARGETDURATION",
    "EXT-X-MEDIA-SEQUENCE",
    "EXT-X-DISCONTINUITY-SEQUENCE",
    "EXT-X-ENDLIST",
    "EXT-X-PLAYLIST-TYPE",
    "EXT-X-I-FRAMES-ONLY",
    "EXT-X-PART-INF",
    "EXT-X-SERVER-CONTROL",
    "EXTINF",
    "EXT-X-BYTERANGE",
    "EXT-X-DISCONTINUITY",
    "EXT-X-KEY",
    "EXT-X-MAP",
    "EXT-X-PROGRAM-DATE-TIME",
    "EXT-X-GAP",
    "EXT-X-BITRATE",
    "EXT-X-PART",
    "EXT-X-DATERANGE",
    "EXT-X-SKIP",
    "EXT-X-PRELOAD-HINT",
];

/// Tags that only a multivariant playlist may have (§4.4.6).
const OF_MULTIVARIANT: [&str; 6] = [
    "EXT-X-MEDIA",
    "EXT-X-STREAM-INF",
    "EXT-X-I-FRAME-STREAM-INF",
    "EXT-X-SESSION-DATA",
    "EXT-X-SESSION-KEY",
    "EXT-X-CONTENT-STEERING",
];

fn one_kind(hls: &Presentation, findings: &mut Findings) {
    for playlist in hls.playlists() {
        let of = |names: &[&str]| playlist.tags.iter().find(|tag| names.contains(&&*tag.name));
        match (of(&OF_MEDIA), of(&OF_MULTIVARIANT)) {
            (Some(media), Some(multivariant)) => {
                let later = media.line.max(multivariant.line);
                findings
                    .broke(playlist.at(later), format!("{} and {}", media.name, multivariant.name));
            }
            (None, None) => findings.broke(playlist.place(), "it has tags of neither"),
            _ => findings.seen(),
        }
    }
}

/// §4.4.1.2, §4.4.2 and §4.4.3.
const ONCE: [&str; 12] = [
    "EXT-X-VERSION",
    "EXT-X-INDEPENDENT-SEGMENTS",
    "EXT-X-START",
    "EXT-X-TARGETDURATION",
    "EXT-X-MEDIA-SEQUENCE",
    "EXT-X-DISCONTINUITY-SEQUENCE",
    "EXT-X-ENDLIST",
    "EXT-X-PLAYLIST-TYPE",
    "EXT-X-I-FRAMES-ONLY",
    "EXT-X-PART-INF",
    "EXT-X-SERVER-CONTROL",
    "EXT-X-CONTENT-STEERING",
];

fn tag_once(hls: &Presentation, findings: &mut Findings) {
    for playlist in hls.playlists() {
        for name in ONCE {
            let mut tags = playlist.all(name);
            if tags.next().is_some() {
                let second = tags.next();
                let line = second.map_or(0, |tag| tag.line);
                findings.expect(second.is_none(), || playlist.at(line), || format!("{name} again"));
            }
        }
    }
}

fn grammar(hls: &Presentation, findings: &mut Findings) {
    for playlist in hls.playlists() {
        for tag in playlist
            .tags
            .iter()
            .filter(|tag| !tag.attributes.list.is_empty() || !tag.attributes.errors.is_empty())
        {
            for error in &tag.attributes.errors {
                findings.broke(playlist.at(tag.line), error);
            }
            findings.seen();
        }
    }
}

fn attribute_once(hls: &Presentation, findings: &mut Findings) {
    for playlist in hls.playlists() {
        for tag in playlist.tags.iter().filter(|tag| !tag.attributes.list.is_empty()) {
            let list = &tag.attributes.list;
            let twice = list.iter().enumerate().find(|(index, (name, _))| {
                list.iter().take(*index).any(|(before, _)| before == name)
            });
            findings.expect(
                twice.is_none(),
                || playlist.at(tag.line),
                || format!("{} again", twice.map_or("", |(_, (name, _))| name)),
            );
        }
    }
}

fn attribute_type(hls: &Presentation, findings: &mut Findings) {
    for playlist in hls.playlists() {
        for tag in &playlist.tags {
            for (name, value) in &tag.attributes.list {
                let Some(wanted) = expected(&tag.name, name) else { continue };
                findings.expect(
                    wanted.fits(value),
                    || playlist.at(tag.line),
                    || {
                        let quoted = if value.is_quoted() { "quoted " } else { "" };
                        format!("{name} is {quoted}`{}` and should be {wanted}", value.text())
                    },
                );
            }
            if let Some(wanted) = bare(&tag.name) {
                let value = tag.value.as_deref().unwrap_or("");
                let fits = wanted.fits_bare(value);
                findings.expect(
                    fits,
                    || playlist.at(tag.line),
                    || format!("{} is `{value}` and should be {wanted}", tag.name),
                );
            }
        }
    }
}

/// Tags with one value.
fn bare(tag: &str) -> Option<Type> {
    Some(match tag {
        "EXT-X-VERSION"
        | "EXT-X-TARGETDURATION"
        | "EXT-X-MEDIA-SEQUENCE"
        | "EXT-X-DISCONTINUITY-SEQUENCE"
        | "EXT-X-BITRATE" => Type::Integer,
        "EXT-X-PLAYLIST-TYPE" => Type::Enumerated(&["EVENT", "VOD"]),
        _ => return None,
    })
}

fn uri_lines(hls: &Presentation, findings: &mut Findings) {
    for playlist in hls.playlists() {
        for line in &playlist.lines {
            let crate::hls::lex::Kind::Uri(uri) = &line.kind else { continue };
            let strange = uri.chars().any(|c| c.is_whitespace() || c.is_control());
            findings.expect(
                !strange && playlist.resolve(uri).is_some(),
                || playlist.at(line.number),
                || format!("`{uri}`"),
            );
        }
    }
}

fn variables(hls: &Presentation, findings: &mut Findings) {
    for playlist in hls.playlists() {
        for (line, name) in &playlist.undefined {
            findings.broke(playlist.at(*line), format!("`{name}` is not defined"));
        }
        if playlist.has("EXT-X-DEFINE") {
            findings.seen();
        }
    }
}

fn define(hls: &Presentation, findings: &mut Findings) {
    for playlist in hls.playlists() {
        let mut names: Vec<&str> = Vec::new();
        for tag in playlist.all("EXT-X-DEFINE") {
            let has = |name| tag.attributes.has(name);
            let found: Vec<&str> = ["NAME", "IMPORT", "QUERYPARAM"]
                .into_iter()
                .filter_map(|name| tag.attributes.text(name))
                .collect();
            let what = match found.as_slice() {
                [name] if names.contains(name) => Some(format!("`{name}` is defined again")),
                [_] if has("NAME") != has("VALUE") => Some("NAME and VALUE go together".to_owned()),
                [_] if has("IMPORT") && playlist.is_multivariant() => {
                    Some("IMPORT in a multivariant playlist".to_owned())
                }
                [_] => None,
                found => Some(format!("{} of the three", found.len())),
            };
            names.extend(found);
            findings.expect(
                what.is_none(),
                || playlist.at(tag.line),
                || what.clone().unwrap_or_default(),
            );
        }
    }
}

fn start(hls: &Presentation, findings: &mut Findings) {
    for playlist in hls.playlists() {
        for tag in playlist.all("EXT-X-START") {
            let has = tag.attributes.has("TIME-OFFSET");
            findings.expect(has, || playlist.at(tag.line), || "there is none");
        }
    }
}
