//! Groups of sounds, and the tags of their members (RFC 8216bis §4.4.6.1 and §4.4.6.2.1).

use std::collections::BTreeSet;

use super::tag::{Tag, quotable};
use crate::role::Role;
use crate::track::{Audio, Standing, Track, TrackId};
use crate::view::View;

/// Sounds among which a player chooses: one codec, and one channel count where every channel
/// count offers the same languages.
pub(super) struct Group<'a> {
    pub(super) id: String,
    pub(super) members: Vec<&'a Track>,
}

impl<'a> Group<'a> {
    /// The member to start with: the asset's where it is one of them, else the first that its source
    /// would play, and of those the first that is not for people alone.
    pub(super) fn default_member(&self) -> &'a Track {
        let rank = |track: &&&Track| (!track.default, asked_for(track), track.standing);
        // Of equal ones it is the first.
        self.members.iter().min_by_key(rank).unwrap_or(&self.members[0])
    }

    /// The members beside that one.
    pub(super) fn others(&self) -> impl Iterator<Item = &'a Track> {
        let default = self.default_member().id;
        self.members.iter().copied().filter(move |track| track.id != default)
    }

    /// Its `EXT-X-MEDIA` tags (§4.4.6.1). `uri` gives the media playlist of a member; `None` for
    /// one that is in the variants themselves (§4.4.6.2.1).
    pub(super) fn write(&self, out: &mut String, uri: impl Fn(&Track) -> Option<String>) {
        let default = self.default_member();
        let mut names = BTreeSet::new();
        // The default claims its place first: members that may be chosen automatically differ in
        // language or characteristics (§4.4.6.1.1).
        let mut claimed = BTreeSet::from([claim(default)]);
        for track in &self.members {
            let is_default = track.id == default.id;
            let automatic = is_default || (!asked_for(track) && claimed.insert(claim(track)));
            let mut tag = Tag::new("EXT-X-MEDIA")
                .bare("TYPE", "AUDIO")
                .quoted("GROUP-ID", &self.id)
                .quoted("NAME", &unique_name(track, &mut names));
            if let Some(language) = &track.language {
                tag = tag.quoted("LANGUAGE", language);
            }
            tag = tag.flag("DEFAULT", is_default).flag("AUTOSELECT", automatic);
            let characteristics = characteristics(track);
            if !characteristics.is_empty() {
                tag = tag.quoted("CHARACTERISTICS", &characteristics);
            }
            if let Some(audio) = track.audio() {
                tag = tag.quoted("CHANNELS", &audio.hls_channels());
            }
            if let Some(uri) = uri(track) {
                tag = tag.quoted("URI", &uri);
            }
            tag.end(out);
        }
    }
}

/// What automatic choice goes by.
fn claim(track: &Track) -> (Option<&str>, String) {
    (track.language.as_deref(), characteristics(track))
}

/// Whether only people choose it, never a player by itself: remarks on the film are not the film,
/// and HLS has no characteristic by which a player could know them; and what its source would not
/// play is not played unasked.
fn asked_for(track: &Track) -> bool {
    let aside = |role: &Role| matches!(role, Role::Commentary | Role::Supplementary);
    track.standing == Standing::Disabled || track.roles.iter().any(aside)
}

/// The media characteristic tags of a track, in alphabetical order with commas.
fn characteristics(track: &Track) -> String {
    let tags: BTreeSet<_> = track.roles.iter().filter_map(|role| role.characteristic()).collect();
    tags.into_iter().collect::<Vec<_>>().join(",")
}

/// The sounds that muxed variants hold: the default of each group.
pub(crate) fn default_sounds(view: &View<'_>) -> Vec<TrackId> {
    groups(view).iter().map(|group| group.default_member().id).collect()
}

/// The groups of an asset's sounds; none is empty.
pub(super) fn groups<'a>(view: &View<'a>) -> Vec<Group<'a>> {
    grouped(view.sounds())
}

fn grouped<'a>(sounds: impl Iterator<Item = &'a Track>) -> Vec<Group<'a>> {
    let mut by_codec: Vec<Vec<&Track>> = Vec::new();
    for track in sounds {
        match by_codec.iter_mut().find(|list| list[0].codec == track.codec) {
            Some(list) => list.push(track),
            None => by_codec.push(vec![track]),
        }
    }
    let lists: Vec<Vec<&Track>> = by_codec.into_iter().flat_map(by_channels).collect();
    let several = lists.len() > 1;
    (1..)
        .zip(lists)
        .map(|(number, members)| Group {
            id: if several { format!("audio{number}") } else { "audio".to_owned() },
            members,
        })
        .collect()
}

/// Parts sounds by channel count, unless that would hide a language from some variant (§4.4.6.2.1).
fn by_channels(tracks: Vec<&Track>) -> Vec<Vec<&Track>> {
    let channels = |track: &Track| track.audio().map(Audio::hls_channels);
    let mut parts: Vec<Vec<&Track>> = Vec::new();
    for track in &tracks {
        match parts.iter_mut().find(|part| channels(part[0]) == channels(track)) {
            Some(part) => part.push(track),
            None => parts.push(vec![track]),
        }
    }
    let languages =
        |part: &[&Track]| part.iter().map(|t| t.language.clone()).collect::<BTreeSet<_>>();
    let alike = parts.windows(2).all(|pair| languages(&pair[0]) == languages(&pair[1]));
    if alike { parts } else { vec![tracks] }
}

/// The source's name for the track, or its language, or `Audio`; numbered where taken.
fn unique_name(track: &Track, taken: &mut BTreeSet<String>) -> String {
    let base = track.name.as_deref().or(track.language.as_deref()).unwrap_or("Audio");
    // It must not look like a reference to a variable (§4.3). What is written is what must differ.
    let base = quotable(&base.replace("{$", "{ $"));
    let mut name = base.clone();
    let mut number = 2_u32;
    while !taken.insert(name.clone()) {
        name = format!("{base} {number}");
        number += 1;
    }
    name
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use std::collections::BTreeMap;
    use std::num::NonZeroU16;

    use proptest::prelude::*;

    use super::*;
    use crate::codec::{Carriage, Coding, Speakers};
    use crate::track::{TrackKind, TrackMedia};
    use crate::units::Timescale;

    prop_compose! {
        fn sound()(
            codec in prop::sample::select(vec!["mp4a.40.2", "ec-3"]),
            language in prop::sample::select(vec![None, Some("en"), Some("de"), Some("pt-BR")]),
            name in prop::sample::select(vec![None, Some("A"), Some("A 2"), Some("\""), Some("'"), Some("{$a}"), Some("\n")]),
            roles in prop::sample::subsequence(Role::ALL.to_vec(), 0..3),
            channels in prop::sample::select(vec![1_u16, 2, 6]),
            default: bool,
            standing in prop::sample::select(vec![Standing::Enabled, Standing::Alternative, Standing::Disabled]),
        ) -> Track {
            Track {
                id: TrackId::new(TrackMedia::Audio, NonZeroU16::MIN),
                kind: TrackKind::Audio(Audio {
                    channels,
                    sample_rate: 48_000,
                    speakers: Speakers::usual(channels),
                }),
                codec: codec.to_owned(),
                hls_codec: codec.to_owned(),
                coding: Coding::Aac,
                carriage: Carriage::of(Coding::Aac),
                language: language.map(str::to_owned),
                name: name.map(str::to_owned),
                roles,
                score: None,
                timescale: Timescale::MILLIS,
                source: 0,
                source_track: 1,
                default,
                standing,
            }
        }
    }

    /// The attributes of each tag; no value of ours holds a comma before a name.
    fn attributes(text: &str) -> Vec<BTreeMap<String, String>> {
        let tag = |line: &str| {
            let list = line.strip_prefix("#EXT-X-MEDIA:").unwrap();
            let mut quoted = false;
            let pieces = list.split(|c: char| {
                quoted ^= c == '"';
                c == ',' && !quoted
            });
            pieces
                .map(|piece| piece.split_once('=').unwrap())
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect()
        };
        text.lines().map(tag).collect()
    }

    proptest! {
        /// RFC 8216bis §4.4.6.1 and §4.4.6.1.1, of whatever sounds.
        #[test]
        fn groups_keep_the_rules(mut sounds in prop::collection::vec(sound(), 1..12)) {
            for (number, track) in (1..).zip(&mut sounds) {
                track.id = TrackId::new(TrackMedia::Audio, NonZeroU16::new(number).unwrap());
            }
            let groups = grouped(sounds.iter());
            let ids: BTreeSet<_> = groups.iter().map(|group| group.id.clone()).collect();
            prop_assert_eq!(ids.len(), groups.len(), "each has its own GROUP-ID");
            let members: usize = groups.iter().map(|group| group.members.len()).sum();
            prop_assert_eq!(members, sounds.len(), "each sound is in one group");
            for group in &groups {
                let mut text = String::new();
                group.write(&mut text, |track| Some(format!("{}.m3u8", track.id)));
                let tags = attributes(&text);
                prop_assert_eq!(tags.len(), group.members.len());
                let is = |tag: &BTreeMap<String, String>, name: &str| tag[name] == "YES";
                let default: Vec<_> = tags.iter().filter(|tag| is(tag, "DEFAULT")).collect();
                prop_assert_eq!(default.len(), 1, "one member plays where nobody chose");
                prop_assert!(default.iter().all(|tag| is(tag, "AUTOSELECT")));
                let picked = group.members.iter().any(|track| track.default);
                let uri = format!("\"{}.m3u8\"", group.default_member().id);
                prop_assert_eq!(&default[0]["URI"], &uri);
                prop_assert_eq!(group.default_member().default, picked);
                let is_asked_for = asked_for(group.default_member());
                let plays = group.members.iter().any(|track| !asked_for(track));
                prop_assert!(picked || !(plays && is_asked_for), "one that its source plays");
                let names: BTreeSet<_> = tags.iter().map(|tag| &tag["NAME"]).collect();
                prop_assert_eq!(names.len(), tags.len(), "names differ: {}", text);
                let automatic = || tags.iter().filter(|tag| is(tag, "AUTOSELECT"));
                let claims: BTreeSet<_> = automatic()
                    .map(|tag| (tag.get("LANGUAGE"), tag.get("CHARACTERISTICS")))
                    .collect();
                prop_assert_eq!(claims.len(), automatic().count(), "told apart: {}", text);
                for (tag, track) in tags.iter().zip(&group.members) {
                    if asked_for(track) && !is(tag, "DEFAULT") {
                        prop_assert!(!is(tag, "AUTOSELECT"), "only people choose it");
                    }
                }
            }
        }
    }
}
