//! Rules about the tags of media playlists (RFC 8216bis §4.4.3 to §4.4.5).

use crate::hls::playlist::{Playlist, Tag};
use crate::hls::{Presentation, Role};
use crate::rule::{Rule, rules};
use crate::rules::dash::is_date_time;
use crate::verdict::Findings;

pub(super) static RULES: &[Rule] = rules![
    "hls-target-duration" Must Hls "4.4.3.1" "EXT-X-TARGETDURATION is there, and no EXTINF rounded to the nearest second is more." Hls(target);
    "hls-target-same" Must Apple "8.2" "Audio and video playlists all have the same target duration." Hls(target_same);
    "hls-extinf" Must Hls "4.4.4.1" "Every segment has an EXTINF with a duration above zero and a comma." Hls(extinf);
    "hls-no-segments" Must Hls "4.4.4" "A media playlist has segments, and each tag of a segment has a URI after it." Hls(segments);
    "hls-media-sequence-first" Must Hls "4.4.3.2" "EXT-X-MEDIA-SEQUENCE and EXT-X-DISCONTINUITY-SEQUENCE come before the first segment and the first EXT-X-DISCONTINUITY." Hls(sequence_first);
    "hls-playlist-type" Must Hls "4.4.3.5" "A VOD playlist is complete: it has EXT-X-ENDLIST." Hls(vod_ends);
    "hls-byterange" Must Hls "4.4.4.2" "EXT-X-BYTERANGE has a length, and an offset unless the segment before is a range of the same resource." Hls(byte_range);
    "hls-map" Must Hls "4.4.4.5" "EXT-X-MAP has a URI, and a BYTERANGE with an offset where it has one." Hls(map);
    "hls-key" Must Hls "4.4.4.4" "EXT-X-KEY has a METHOD that exists, a URI unless it is NONE, and an IV of 128 bits." Hls(key);
    "hls-program-date-time" Must Hls "4.4.4.6" "EXT-X-PROGRAM-DATE-TIME is a date and time of ISO 8601 and applies to a segment." Hls(date_time);
    "hls-daterange" Must Hls "4.4.5.1" "EXT-X-DATERANGE has an ID and a START-DATE, durations that fit, and END-ON-NEXT with CLASS alone." Hls(date_range);
    "apple-vod-type" Must Apple "8.6" "A playlist that is complete says EXT-X-PLAYLIST-TYPE:VOD." Hls(vod_type);
    "apple-target-six" Should Apple "7.5" "The target duration is 6 seconds." Hls(target_six);
];

fn media(hls: &Presentation) -> impl Iterator<Item = &Playlist> {
    hls.media.iter().map(|media| &media.playlist)
}

fn target(hls: &Presentation, findings: &mut Findings) {
    for playlist in media(hls) {
        let Some(target) = playlist.number("EXT-X-TARGETDURATION") else {
            findings.broke(playlist.place(), "there is no EXT-X-TARGETDURATION");
            continue;
        };
        for segment in &playlist.segments {
            let Some(duration) = segment.duration else { continue };
            findings.expect(
                duration.round() <= target as f64,
                || playlist.at(segment.info.as_ref().map_or(segment.line, |(line, _)| *line)),
                || format!("{duration} s with a target of {target} s"),
            );
        }
    }
}

fn target_same(hls: &Presentation, findings: &mut Findings) {
    let mut first = None;
    for media in hls.played().filter(|media| media.role != Role::Subtitles) {
        let Some(target) = media.playlist.number("EXT-X-TARGETDURATION") else { continue };
        let first = *first.get_or_insert(target);
        let what = || format!("{target} s, and {first} s in another");
        findings.expect(target == first, || media.playlist.place(), what);
    }
}

fn extinf(hls: &Presentation, findings: &mut Findings) {
    for playlist in media(hls) {
        for segment in &playlist.segments {
            let Some((line, text)) = &segment.info else {
                findings.broke(playlist.at(segment.line), "there is none");
                continue;
            };
            let (number, comma) =
                text.split_once(',').map_or((text.as_str(), false), |(n, _)| (n, true));
            let digits =
                |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let form = match number.split_once('.') {
                Some((whole, part)) => digits(whole) && digits(part),
                None => digits(number),
            };
            let positive = segment.duration.is_some_and(|seconds| seconds > 0.0);
            findings.expect(
                form && comma && positive,
                || playlist.at(*line),
                || format!("`{text}`"),
            );
        }
    }
}

fn segments(hls: &Presentation, findings: &mut Findings) {
    for playlist in media(hls) {
        let last = playlist.segments.last().map(|segment| segment.line);
        let Some(last) = last else {
            findings.broke(playlist.place(), "there are none");
            continue;
        };
        let of_segment = ["EXTINF", "EXT-X-BYTERANGE"];
        let loose =
            playlist.tags.iter().find(|tag| tag.line > last && of_segment.contains(&&*tag.name));
        findings.expect(
            loose.is_none(),
            || playlist.at(loose.map_or(0, |tag| tag.line)),
            || "no URI follows",
        );
    }
}

fn sequence_first(hls: &Presentation, findings: &mut Findings) {
    for playlist in media(hls) {
        let first = playlist.segments.first().map_or(usize::MAX, |segment| segment.line);
        let cut = playlist.first("EXT-X-DISCONTINUITY").map_or(usize::MAX, |tag| tag.line);
        for (name, before) in
            [("EXT-X-MEDIA-SEQUENCE", first), ("EXT-X-DISCONTINUITY-SEQUENCE", first.min(cut))]
        {
            let Some(tag) = playlist.first(name) else { continue };
            findings.expect(
                tag.line < before,
                || playlist.at(tag.line),
                || format!("{name} is late"),
            );
        }
    }
}

fn vod_ends(hls: &Presentation, findings: &mut Findings) {
    for playlist in media(hls).filter(|playlist| playlist.playlist_type() == Some("VOD")) {
        let ends = playlist.has("EXT-X-ENDLIST");
        findings.expect(ends, || playlist.place(), || "it has none");
    }
}

fn byte_range(hls: &Presentation, findings: &mut Findings) {
    for playlist in media(hls) {
        for segment in &playlist.segments {
            let Some(range) = &segment.range else { continue };
            let empty = matches!(range, Ok(range) if range.start == range.end);
            findings.expect(
                range.is_ok() && !empty,
                || playlist.at(segment.range_line),
                || match range {
                    Err(text) => format!("`{text}` has no place"),
                    Ok(_) => "it is empty".to_owned(),
                },
            );
        }
    }
}

fn map(hls: &Presentation, findings: &mut Findings) {
    for playlist in media(hls) {
        for tag in playlist.all("EXT-X-MAP") {
            let range = tag.attributes.text("BYTERANGE");
            let good = range.is_none_or(|range| {
                let parts = range.split_once('@');
                parts.is_some_and(|(n, o)| n.parse::<u64>().is_ok() && o.parse::<u64>().is_ok())
            });
            findings.expect(
                tag.attributes.has("URI") && good,
                || playlist.at(tag.line),
                || match range {
                    Some(range) if !good => format!("BYTERANGE is `{range}`"),
                    _ => "there is no URI".to_owned(),
                },
            );
        }
    }
}

fn key(hls: &Presentation, findings: &mut Findings) {
    for playlist in hls.playlists() {
        let tags = playlist.all("EXT-X-KEY").chain(playlist.all("EXT-X-SESSION-KEY"));
        for tag in tags {
            let what = key_fault(tag);
            findings.expect(
                what.is_none(),
                || playlist.at(tag.line),
                || what.clone().unwrap_or_default(),
            );
        }
    }
}

fn key_fault(tag: &Tag) -> Option<String> {
    let text = |name| tag.attributes.text(name);
    match text("METHOD") {
        None => Some("there is no METHOD".to_owned()),
        Some("NONE") if tag.name == "EXT-X-SESSION-KEY" => Some("METHOD=NONE".to_owned()),
        Some("NONE") if tag.attributes.list.len() > 1 => {
            Some("METHOD=NONE with other attributes".to_owned())
        }
        Some("NONE") => None,
        Some("AES-128" | "SAMPLE-AES" | "SAMPLE-AES-CTR") => {
            let iv = text("IV").is_some_and(|iv| iv.len() != 34);
            let versions = text("KEYFORMATVERSIONS").is_some_and(|list| {
                !list.split('/').all(|version| version.parse::<u64>().is_ok_and(|v| v > 0))
            });
            if text("URI").is_none() {
                Some("there is no URI".to_owned())
            } else if iv {
                Some(format!("IV is `{}`", text("IV").unwrap_or("")))
            } else {
                versions.then(|| "KEYFORMATVERSIONS is no list of numbers".to_owned())
            }
        }
        Some(other) => Some(format!("METHOD is `{other}`")),
    }
}

fn date_time(hls: &Presentation, findings: &mut Findings) {
    for playlist in media(hls) {
        let last = playlist.segments.last().map_or(0, |segment| segment.line);
        for tag in playlist.all("EXT-X-PROGRAM-DATE-TIME") {
            let value = tag.value.as_deref().unwrap_or("");
            let good = is_date_time(value) && tag.line < last;
            findings.expect(good, || playlist.at(tag.line), || format!("`{value}`"));
        }
    }
}

fn date_range(hls: &Presentation, findings: &mut Findings) {
    for playlist in media(hls) {
        let timed = playlist.has("EXT-X-PROGRAM-DATE-TIME");
        let mut known: Vec<(&str, &str)> = Vec::new();
        for tag in playlist.all("EXT-X-DATERANGE") {
            let text = |name| tag.attributes.text(name);
            let id = text("ID").unwrap_or("");
            let start = text("START-DATE").unwrap_or("");
            let negative = |name| {
                text(name)
                    .is_some_and(|text| text.parse::<f64>().map_or(true, |seconds| seconds < 0.0))
            };
            let end = text("END-DATE");
            let on_next = tag.attributes.has("END-ON-NEXT");
            let other = known.iter().find(|(known, _)| *known == id).map(|(_, start)| *start);
            let what = if id.is_empty() {
                Some("there is no ID")
            } else if !is_date_time(start) && other.is_none() {
                Some("there is no START-DATE")
            } else if !start.is_empty() && other.is_some_and(|other| other != start) {
                Some("another START-DATE under the same ID")
            } else if end.is_some_and(|end| !is_date_time(end) || end < start) {
                Some("END-DATE is before START-DATE")
            } else if negative("DURATION") || negative("PLANNED-DURATION") {
                Some("a negative duration")
            } else if on_next
                && (!tag.attributes.has("CLASS") || end.is_some() || tag.attributes.has("DURATION"))
            {
                Some("END-ON-NEXT without CLASS, or with an end")
            } else {
                (!timed).then_some("there is no EXT-X-PROGRAM-DATE-TIME to place it")
            };
            if !id.is_empty() && !start.is_empty() {
                known.push((id, start));
            }
            findings.expect(what.is_none(), || playlist.at(tag.line), || what.unwrap_or(""));
        }
    }
}

fn vod_type(hls: &Presentation, findings: &mut Findings) {
    for playlist in media(hls).filter(|playlist| playlist.has("EXT-X-ENDLIST")) {
        // An event that has ended keeps its type.
        let kind = playlist.playlist_type();
        findings.expect(kind.is_some(), || playlist.place(), || "it has none");
    }
}

fn target_six(hls: &Presentation, findings: &mut Findings) {
    for media in hls.played() {
        let Some(target) = media.playlist.number("EXT-X-TARGETDURATION") else { continue };
        findings.expect(target == 6, || media.playlist.place(), || format!("it is {target}"));
    }
}
