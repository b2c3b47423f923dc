//! Rules about adaptation sets and representations (ISO/IEC 23009-1 §5.3.3, §5.3.5, §5.3.7, §5.8).

use std::collections::BTreeMap;

use crate::dash::{Presentation, Representation};
use crate::media::codec;
use crate::rule::{Rule, rules};
use crate::verdict::Findings;

pub(super) static RULES: &[Rule] = rules![
    "dash-representation-required" Must Dash "5.3.5.2" "A Representation has an id, a bandwidth above zero, and it or its set a mimeType." Dash(required);
    "dash-representation-ids" Must Dash "5.3.5.2" "Representation ids are unique within a Period, but for representations that are the same." Dash(representation_ids);
    "dash-set-ids" Must Dash "5.3.3.2" "AdaptationSet ids are unique within a Period." Dash(set_ids);
    "dash-content-type" Must Dash "5.3.3.2" "contentType, mimeType and codecs speak of the same." Dash(content_type);
    "dash-codecs" Should Dash "5.3.7.2" "Audio and video have codecs." Dash(codecs);
    "dash-language" Must Dash "5.3.3.2" "lang is a language tag (RFC 5646)." Dash(language);
    "dash-roles" Must Dash "5.8.5.5" "Roles of the scheme urn:mpeg:dash:role:2011 have values that it defines." Dash(roles);
    "dash-one-main" Should Dash "5.8.5.5" "At most one set of a type and a language has the role main." Dash(one_main);
    "dash-audio-channels" Should Dash "5.8.5.4" "Audio has an AudioChannelConfiguration." Dash(audio_channels);
    "dash-video-size" Should Dash "5.3.7.2" "Video has width, height and, unless it is single pictures, frameRate." Dash(video_size);
    "dash-trick-mode" Must Dash "5.8.5" "A trick mode descriptor names adaptation sets of the Period." Dash(trick_mode);
    "dash-one-addressing" Must Dash "5.3.9.1" "A level has one of SegmentBase, SegmentTemplate and SegmentList." Dash(one_addressing);
];

fn required(dash: &Presentation, findings: &mut Findings) {
    for found in &dash.representations {
        let what = if found.id.is_empty() {
            Some("there is no id")
        } else if found.bandwidth().is_none_or(|rate| rate == 0) {
            Some("there is no bandwidth")
        } else {
            found.element.get("mimeType").is_none().then_some("there is no mimeType")
        };
        findings.expect(what.is_none(), || dash.representation(found), || what.unwrap_or(""));
    }
}

fn representation_ids(dash: &Presentation, findings: &mut Findings) {
    let mut known: Vec<&Representation> = Vec::new();
    for found in &dash.representations {
        let twin =
            known.iter().find(|other| (other.period, &other.id) == (found.period, &found.id));
        // Functionally identical ones may share an id.
        let same = twin.is_none_or(|twin| twin.element.attributes == found.element.attributes);
        known.push(found);
        findings.expect(same, || dash.representation(found), || "it is that of another");
    }
}

fn set_ids(dash: &Presentation, findings: &mut Findings) {
    let Some(mpd) = dash.mpd() else { return };
    for period in mpd.all("Period") {
        let mut known: Vec<&str> = Vec::new();
        for set in period.all("AdaptationSet") {
            let Some(id) = set.get("id") else { continue };
            let again = known.contains(&id);
            known.push(id);
            findings.expect(!again, || dash.at(set.line), || format!("{id} again"));
        }
    }
}

fn content_type(dash: &Presentation, findings: &mut Findings) {
    use crate::media::Kind;
    for found in &dash.representations {
        let mime = found.element.get("mimeType").unwrap_or("");
        let main = mime.split('/').next().unwrap_or("");
        let stated = found.set_element.get("contentType");
        let codec_kinds: Vec<_> = found.codecs().into_iter().map(codec::kind).collect();
        let what = if stated.is_some_and(|stated| main != stated && main != "application") {
            Some(format!("contentType {}, mimeType {mime}", stated.unwrap_or("")))
        } else if (main == "audio" && codec_kinds.contains(&Kind::Video))
            || (main == "video"
                && !codec_kinds.is_empty()
                && codec_kinds.iter().all(|kind| *kind == Kind::Audio))
        {
            Some(format!("mimeType {mime}, codecs {}", found.codecs().join(",")))
        } else {
            None
        };
        findings.expect(
            what.is_none(),
            || dash.representation(found),
            || what.clone().unwrap_or_default(),
        );
    }
}

fn is_audiovisual(found: &Representation) -> bool {
    matches!(found.content_type(), "audio" | "video")
}

fn codecs(dash: &Presentation, findings: &mut Findings) {
    for found in dash.representations.iter().filter(|found| is_audiovisual(found)) {
        let has = !found.codecs().is_empty();
        findings.expect(has, || dash.representation(found), || "there is none");
    }
}

/// Whether a text has the form of a language tag: a language of two to eight letters, then parts
/// of up to eight letters and digits.
pub(crate) fn is_language(text: &str) -> bool {
    let mut parts = text.split('-');
    let first = parts.next().unwrap_or("");
    let private = first == "x" || first == "i";
    let language =
        (2..=8).contains(&first.len()) && first.bytes().all(|byte| byte.is_ascii_alphabetic());
    (language || private)
        && parts.all(|part| {
            (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
}

fn language(dash: &Presentation, findings: &mut Findings) {
    for element in dash.elements() {
        let Some(language) = element.get("lang") else { continue };
        let good = is_language(language);
        findings.expect(good, || dash.at(element.line), || format!("it is `{language}`"));
    }
}

const ROLE: &str = "urn:mpeg:dash:role:2011";

/// Values of [`ROLE`].
const ROLES: [&str; 19] = [
    "caption",
    "subtitle",
    "main",
    "alternate",
    "supplementary",
    "commentary",
    "dub",
    "description",
    "sign",
    "metadata",
    "enhanced-audio-intelligibility",
    "emergency",
    "forced-subtitle",
    "forced_subtitle",
    "easyreader",
    "karaoke",
    "caption-asr",
    "ad",
    "thumbnail",
];

fn roles(dash: &Presentation, findings: &mut Findings) {
    for element in dash.elements() {
        if matches!(&*element.name, "Role" | "Accessibility")
            && element.get("schemeIdUri") == Some(ROLE)
        {
            let value = element.get("value").unwrap_or("");
            let known = ROLES.contains(&value);
            findings.expect(known, || dash.at(element.line), || format!("it is `{value}`"));
        }
    }
}

fn one_main(dash: &Presentation, findings: &mut Findings) {
    let Some(mpd) = dash.mpd() else { return };
    for period in mpd.all("Period") {
        let mut mains: BTreeMap<(String, String), usize> = BTreeMap::new();
        for set in period.all("AdaptationSet") {
            let main = set.all("Role").any(|role| {
                role.get("schemeIdUri") == Some(ROLE) && role.get("value") == Some("main")
            });
            // Other codecs and trick modes of the main content are main too.
            let codec = set.get("codecs").or_else(|| set.child("Representation")?.get("codecs"));
            let family = codec.unwrap_or("").split('.').next().unwrap_or("");
            let trick = set.child("EssentialProperty").is_some();
            if !main || trick {
                continue;
            }
            let mime = set.get("mimeType").or_else(|| set.child("Representation")?.get("mimeType"));
            let kind = set.get("contentType").or(mime).unwrap_or("");
            let key = (format!("{kind} {family}"), set.get("lang").unwrap_or("").to_owned());
            let first = *mains.entry(key).or_insert(set.line);
            findings.expect(
                first == set.line,
                || dash.at(set.line),
                || format!("as the set in line {first}"),
            );
        }
    }
}

fn audio_channels(dash: &Presentation, findings: &mut Findings) {
    for found in dash.representations.iter().filter(|found| found.content_type() == "audio") {
        let has = found.element.child("AudioChannelConfiguration").is_some()
            || found.set_element.child("AudioChannelConfiguration").is_some();
        findings.expect(has, || dash.representation(found), || "there is none");
    }
}

fn video_size(dash: &Presentation, findings: &mut Findings) {
    for found in dash.representations.iter().filter(|found| found.content_type() == "video") {
        // Single pictures have no frame rate.
        let wanted = if found.stream.pictures { 2 } else { 3 };
        let missing = ["width", "height", "frameRate"]
            .into_iter()
            .take(wanted)
            .find(|name| found.element.get(name).is_none());
        let what = || format!("there is no {}", missing.unwrap_or(""));
        findings.expect(missing.is_none(), || dash.representation(found), what);
    }
}

fn trick_mode(dash: &Presentation, findings: &mut Findings) {
    let Some(mpd) = dash.mpd() else { return };
    for period in mpd.all("Period") {
        let ids: Vec<&str> = period.all("AdaptationSet").filter_map(|set| set.get("id")).collect();
        for set in period.all("AdaptationSet") {
            for property in set.all("EssentialProperty") {
                if property.get("schemeIdUri") != Some("http://dashif.org/guidelines/trickmode") {
                    continue;
                }
                let value = property.get("value").unwrap_or("");
                let mut named = value.split_whitespace().peekable();
                let good = named.peek().is_some()
                    && named.all(|id| ids.contains(&id) && Some(id) != set.get("id"));
                findings.expect(good, || dash.at(property.line), || format!("it names `{value}`"));
            }
        }
    }
}

fn one_addressing(dash: &Presentation, findings: &mut Findings) {
    for element in dash.elements() {
        if !matches!(&*element.name, "Period" | "AdaptationSet" | "Representation") {
            continue;
        }
        let kinds = ["SegmentBase", "SegmentTemplate", "SegmentList"];
        let count = element.children.iter().filter(|child| kinds.contains(&&*child.name)).count();
        if count > 0 {
            findings.expect(count == 1, || dash.at(element.line), || format!("{count} of them"));
        }
    }
}
