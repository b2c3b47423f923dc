//! Rules about EXT-X-MEDIA and rendition groups (RFC 8216bis §4.4.6.1).

use crate::hls::Presentation;
use crate::hls::playlist::Tag;
use crate::rule::{Rule, rules};
use crate::verdict::Findings;

pub(super) static RULES: &[Rule] = rules![
    "hls-media-attributes" Must Hls "4.4.6.1" "EXT-X-MEDIA has TYPE, GROUP-ID and NAME, and URI, INSTREAM-ID and FORCED where its type asks for them and nowhere else." Hls(attributes);
    "hls-media-name" Must Hls "4.4.6.1.1" "Each member of a group has a NAME of its own." Hls(names);
    "hls-media-default" Must Hls "4.4.6.1.1" "At most one member of a group is DEFAULT." Hls(one_default);
    "hls-media-autoselect" Must Hls "4.4.6.1" "What is DEFAULT has no AUTOSELECT=NO." Hls(autoselect);
    "hls-media-distinct" Should Hls "4.4.6.1.1" "AUTOSELECT members of a group differ in LANGUAGE, ASSOC-LANGUAGE, FORCED or CHARACTERISTICS." Hls(distinct);
    "hls-media-channels" Should Hls "4.4.6.1" "Audio has CHANNELS, which begins with a count." Hls(channels);
    "hls-media-language" Must Hls "4.4.6.1" "LANGUAGE and ASSOC-LANGUAGE are language tags (RFC 5646)." Hls(language_form);
    "hls-media-groups-alike" Must Hls "4.4.6.1.1" "Groups of one type have the same members, which differ in URI, CHANNELS and what their codec decides only." Hls(alike);
    "hls-media-used" Should Hls "4.4.6.2" "Every group is named by a variant." Hls(used);
    "apple-language" Must Apple "8.10" "Every EXT-X-MEDIA but of video has LANGUAGE." Hls(language);
    "apple-described-video" Must Apple "2.13" "Audio that describes video is AUTOSELECT." Hls(described);
];

fn all(hls: &Presentation) -> impl Iterator<Item = &Tag> {
    hls.root.all("EXT-X-MEDIA")
}

fn attributes(hls: &Presentation, findings: &mut Findings) {
    for tag in all(hls) {
        let has = |name| tag.attributes.has(name);
        let kind = tag.attributes.text("TYPE").unwrap_or("");
        let captions = kind == "CLOSED-CAPTIONS";
        let missing = ["TYPE", "GROUP-ID", "NAME"].into_iter().find(|name| !has(name));
        let what = if let Some(name) = missing {
            Some(format!("there is no {name}"))
        } else if captions && has("URI") {
            Some("captions have a URI".to_owned())
        } else if kind == "SUBTITLES" && !has("URI") {
            Some("subtitles have no URI".to_owned())
        } else if captions != has("INSTREAM-ID") {
            Some("INSTREAM-ID is for captions, and captions have one".to_owned())
        } else if has("FORCED") && kind != "SUBTITLES" {
            Some("FORCED is for subtitles".to_owned())
        } else {
            None
        };
        findings.expect(
            what.is_none(),
            || hls.root.at(tag.line),
            || what.clone().unwrap_or_default(),
        );
    }
}

/// Whether two tags are of one group.
fn together(a: &Tag, b: &Tag) -> bool {
    let key = |tag: &Tag| {
        let text = |name| tag.attributes.text(name).map(str::to_owned);
        (text("TYPE"), text("GROUP-ID"))
    };
    key(a) == key(b)
}

/// Looks for a member of a tag's group that came before it and is `like` it.
fn unlike(
    hls: &Presentation,
    findings: &mut Findings,
    applies: impl Fn(&Tag) -> bool,
    like: impl Fn(&Tag, &Tag) -> bool,
) {
    let tags: Vec<&Tag> = all(hls).filter(|tag| applies(tag)).collect();
    for (index, tag) in tags.iter().enumerate() {
        let before = tags.iter().take(index).find(|other| together(other, tag) && like(other, tag));
        findings.expect(
            before.is_none(),
            || hls.root.at(tag.line),
            || format!("as in line {}", before.map_or(0, |other| other.line)),
        );
    }
}

fn same(name: &'static str) -> impl Fn(&Tag, &Tag) -> bool {
    move |a, b| a.attributes.text(name) == b.attributes.text(name)
}

fn names(hls: &Presentation, findings: &mut Findings) {
    unlike(hls, findings, |_| true, same("NAME"));
}

fn one_default(hls: &Presentation, findings: &mut Findings) {
    unlike(hls, findings, |tag| tag.attributes.is_yes("DEFAULT"), |_, _| true);
}

fn autoselect(hls: &Presentation, findings: &mut Findings) {
    for tag in all(hls).filter(|tag| tag.attributes.is_yes("DEFAULT")) {
        let wrong = tag.attributes.text("AUTOSELECT").is_some_and(|value| value != "YES");
        findings.expect(!wrong, || hls.root.at(tag.line), || "DEFAULT=YES with AUTOSELECT=NO");
    }
}

fn distinct(hls: &Presentation, findings: &mut Findings) {
    let keys = ["LANGUAGE", "ASSOC-LANGUAGE", "FORCED", "CHARACTERISTICS"];
    unlike(
        hls,
        findings,
        |tag| tag.attributes.is_yes("AUTOSELECT"),
        |a, b| keys.iter().all(|key| a.attributes.text(key) == b.attributes.text(key)),
    );
}

fn channels(hls: &Presentation, findings: &mut Findings) {
    for tag in all(hls).filter(|tag| tag.attributes.text("TYPE") == Some("AUDIO")) {
        let stated = tag.attributes.text("CHANNELS");
        let count = stated.and_then(|text| text.split('/').next()?.parse::<u32>().ok());
        findings.expect(
            count.is_some_and(|count| count > 0),
            || hls.root.at(tag.line),
            || stated.map_or("there is none".to_owned(), |stated| format!("it is `{stated}`")),
        );
    }
}

fn language_form(hls: &Presentation, findings: &mut Findings) {
    for tag in all(hls) {
        for name in ["LANGUAGE", "ASSOC-LANGUAGE"] {
            let Some(language) = tag.attributes.text(name) else { continue };
            let good = crate::rules::dash::is_language(language);
            findings.expect(good, || hls.root.at(tag.line), || format!("it is `{language}`"));
        }
    }
}

fn alike(hls: &Presentation, findings: &mut Findings) {
    for kind in ["AUDIO", "VIDEO", "SUBTITLES"] {
        let mut ids: Vec<&str> = all(hls)
            .filter(|tag| tag.attributes.text("TYPE") == Some(kind))
            .filter_map(|tag| tag.attributes.text("GROUP-ID"))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        let [first, others @ ..] = ids.as_slice() else { continue };
        for other in others {
            let what = difference(hls, kind, first, other);
            let line = hls.group(kind, other).next().map_or(0, |tag| tag.line);
            findings.expect(
                what.is_none(),
                || hls.root.at(line),
                || what.clone().unwrap_or_default(),
            );
        }
    }
}

fn difference(hls: &Presentation, kind: &str, first: &str, second: &str) -> Option<String> {
    let names = |id| {
        let tags = hls.group(kind, id).filter_map(|tag| tag.attributes.text("NAME"));
        let mut names: Vec<String> = tags.map(str::to_owned).collect();
        names.sort_unstable();
        names
    };
    let (a, b) = (names(first), names(second));
    if a != b {
        return Some(format!("`{first}` has {a:?}, `{second}` has {b:?}"));
    }
    for tag in hls.group(kind, first) {
        let twin = hls
            .group(kind, second)
            .find(|other| other.attributes.text("NAME") == tag.attributes.text("NAME"))?;
        for name in ["LANGUAGE", "ASSOC-LANGUAGE", "DEFAULT", "AUTOSELECT", "FORCED"] {
            if tag.attributes.text(name) != twin.attributes.text(name) {
                return Some(format!("{name} is not that of line {}", tag.line));
            }
        }
    }
    None
}

fn used(hls: &Presentation, findings: &mut Findings) {
    for tag in all(hls) {
        let (Some(kind), Some(id)) = (tag.attributes.text("TYPE"), tag.attributes.text("GROUP-ID"))
        else {
            continue;
        };
        let mut variants = hls.root.all("EXT-X-STREAM-INF");
        let named = variants.any(|variant| variant.attributes.text(kind) == Some(id));
        findings.expect(named, || hls.root.at(tag.line), || format!("nothing names `{id}`"));
    }
}

fn language(hls: &Presentation, findings: &mut Findings) {
    for tag in all(hls).filter(|tag| tag.attributes.text("TYPE") != Some("VIDEO")) {
        let has = tag.attributes.has("LANGUAGE");
        findings.expect(has, || hls.root.at(tag.line), || "there is none");
    }
}

fn described(hls: &Presentation, findings: &mut Findings) {
    for tag in all(hls) {
        if tag.attributes.list("CHARACTERISTICS").contains(&"public.accessibility.describes-video")
        {
            let yes = tag.attributes.is_yes("AUTOSELECT");
            findings.expect(yes, || hls.root.at(tag.line), || "it is not");
        }
    }
}
