//! The multivariant playlist (RFC 8216bis §4.4.6).

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::head::{Needs, head, playlist_query, start};
use super::tag::Tag;
use crate::media::Media;
use crate::rates::Rates;
use crate::track::Track;
use crate::units::{MediaTime, Timescale};
use crate::view::View;

/// The multivariant playlist: every picture rendition with every group of sounds; sounds alone
/// where there is no picture.
pub(crate) fn multivariant_playlist(view: &View<'_>) -> String {
    let (media, target) = (view.media, view.target);
    let groups = groups(view);
    let videos: Vec<&Track> = view.pictures().collect();
    // A single sound without picture needs no group: it is the variant itself.
    let grouped = match groups.as_slice() {
        [] => false,
        [only] => !videos.is_empty() || only.members.len() > 1,
        _ => true,
    };
    let mut out = String::new();
    head(&mut out, Needs::Map, view.selection);
    start(&mut out, view.selection, media.duration().as_millis());
    if media.independent_segments() {
        out.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    }
    let query = playlist_query(view.selection);
    if grouped {
        for group in &groups {
            group.write(&mut out, &query);
        }
    }
    if videos.is_empty() {
        for group in &groups {
            let id = grouped.then_some(group.id.as_str());
            let rates = group.rates(media, target);
            variant(&mut out, group.default_member(), rates, Some(group), id, &query);
        }
        return out;
    }
    for video in videos {
        let rates = Rates::of(media, video.id, target);
        if groups.is_empty() {
            variant(&mut out, video, rates, None, None, &query);
        }
        for group in &groups {
            let rates = rates.plus(group.rates(media, target));
            variant(&mut out, video, rates, Some(group), Some(&group.id), &query);
        }
    }
    out
}

/// One `EXT-X-STREAM-INF` (§4.4.6.2) and its URI.
fn variant(
    out: &mut String,
    track: &Track,
    rates: Rates,
    audio: Option<&Group<'_>>,
    group_id: Option<&str>,
    query: &str,
) {
    let mut codecs = vec![track.codec.as_str()];
    for member in audio.iter().flat_map(|group| &group.members) {
        if !codecs.contains(&member.codec.as_str()) {
            codecs.push(&member.codec);
        }
    }
    let mut tag = Tag::new("EXT-X-STREAM-INF")
        .bare("BANDWIDTH", rates.peak.max(1))
        .bare("AVERAGE-BANDWIDTH", rates.average.max(1))
        .quoted("CODECS", &codecs.join(","));
    if let Some(video) = track.video() {
        let size = format!("{}x{}", video.display_width, video.display_height);
        tag = tag.bare("RESOLUTION", size);
        if let Some((frames, seconds)) = video.frame_rate
            && let Some(seconds) = Timescale::new(seconds)
        {
            let rate = MediaTime::new(i64::from(frames), seconds);
            tag = tag.bare("FRAME-RATE", rate.seconds(3));
        }
    }
    if let Some(id) = group_id {
        tag = tag.quoted("AUDIO", id);
    }
    tag.bare("CLOSED-CAPTIONS", "NONE").end(out);
    // Writing into a String never fails.
    let _ = writeln!(out, "{}.m3u8{query}", track.id);
}

/// Sounds among which a player chooses: one codec, and one channel count where every channel
/// count offers the same languages.
struct Group<'a> {
    id: String,
    members: Vec<&'a Track>,
}

impl Group<'_> {
    /// The member to start with.
    fn default_member(&self) -> &Track {
        let chosen = self.members.iter().find(|track| track.default);
        chosen.unwrap_or(&self.members[0])
    }

    /// What the costliest member costs.
    fn rates(&self, media: &Media, target: u64) -> Rates {
        self.members
            .iter()
            .map(|track| Rates::of(media, track.id, target))
            .fold(Rates::default(), Rates::max)
    }

    /// Its `EXT-X-MEDIA` tags (§4.4.6.1).
    fn write(&self, out: &mut String, query: &str) {
        let default = self.default_member().id;
        let mut names = BTreeSet::new();
        let mut languages = BTreeSet::new();
        // The default claims its language first: within a group, members that may be chosen
        // automatically differ in language (§4.4.6.1.1).
        languages.insert(self.default_member().language.as_deref());
        for track in &self.members {
            let is_default = track.id == default;
            let first_of_language = languages.insert(track.language.as_deref());
            let mut tag = Tag::new("EXT-X-MEDIA")
                .bare("TYPE", "AUDIO")
                .quoted("GROUP-ID", &self.id)
                .quoted("NAME", &unique_name(track, &mut names));
            if let Some(language) = &track.language {
                tag = tag.quoted("LANGUAGE", language);
            }
            tag =
                tag.flag("DEFAULT", is_default).flag("AUTOSELECT", is_default || first_of_language);
            if let Some(audio) = track.audio() {
                tag = tag.quoted("CHANNELS", &audio.channels.to_string());
            }
            tag.quoted("URI", &format!("{}.m3u8{query}", track.id)).end(out);
        }
    }
}

/// The groups of an asset's sounds; none is empty.
fn groups<'a>(view: &View<'a>) -> Vec<Group<'a>> {
    let mut by_codec: Vec<Vec<&Track>> = Vec::new();
    for track in view.sounds() {
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
    let channels = |track: &Track| track.audio().map_or(0, |audio| audio.channels);
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
    // It must not look like a reference to a variable (§4.3).
    let base = base.replace("{$", "{ $");
    let mut name = base.clone();
    let mut number = 2_u32;
    while !taken.insert(name.clone()) {
        name = format!("{base} {number}");
        number += 1;
    }
    name
}
