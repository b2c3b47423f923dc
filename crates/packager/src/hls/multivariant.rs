//! The multivariant playlist (RFC 8216bis §4.4.6).

use super::groups::{Group, groups};
use super::head::{Needs, head, playlist_query, start};
use super::tag::Tag;
use super::variant::{Variant, iframes};
use crate::choice::{SessionContent, SessionData};
use crate::media::Media;
use crate::pair::Pair;
use crate::rates::Rates;
use crate::segments::SegmentSpan;
use crate::selection::Container;
use crate::track::Track;
use crate::track_file::FileKind;
use crate::ts::Program;
use crate::view::View;

/// Which media playlists a multivariant playlist names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Of segments, in the container that the selection says.
    Segments,
    /// Of byte ranges of one file a track.
    Files,
}

/// The multivariant playlist: every picture rendition with every group of sounds; sounds alone
/// where there is no picture. `None` where the container can carry no track.
pub(crate) fn multivariant_playlist(view: &View<'_>, form: Form) -> Option<String> {
    let carried;
    let (view, container) = match (form, view.container()) {
        (Form::Segments, Container::Ts) => {
            carried = view.in_ts()?;
            (&carried, Container::Ts)
        }
        (Form::Segments, container) => (view, container),
        (Form::Files, _) => (view, Container::Cmaf),
    };
    let media = view.media;
    let mut out = String::new();
    let has_iframes = || view.pictures().any(|track| media.iframe_count(track.id) > 0);
    let tricks = !view.selection.without_iframes && has_iframes();
    let needs = match container {
        Container::Ts if tricks => Needs::IFrames,
        Container::Ts => Needs::Fractions,
        _ => Needs::Map,
    };
    head(&mut out, needs, view.selection);
    start(&mut out, view.selection, media.duration().as_millis());
    if media.independent_segments() {
        out.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    }
    for data in &media.choice().session_data {
        session_data(&mut out, data);
    }
    let query = playlist_query(view.selection);
    let scored = view.pictures().all(|track| track.score.is_some());
    let list = Writer { view, query: &query, form, container, scored };
    let groups = groups(view);
    match container {
        Container::Cmaf => list.demuxed(&mut out, &groups),
        Container::Muxed | Container::Ts => list.muxed(&mut out, &groups),
    }
    if tricks {
        for track in view.pictures() {
            iframes(&mut out, media, track, container, scored, &query);
        }
    }
    Some(out)
}

/// The transport streams that a multivariant playlist of MPEG-TS names.
pub(crate) fn programs(view: &View<'_>) -> Vec<Program> {
    let groups = groups(view);
    let mut programs = Vec::new();
    let mut pictures = view.pictures().peekable();
    if groups.is_empty() || pictures.peek().is_none() {
        return view.tracks.iter().map(|track| track.id.into()).collect();
    }
    for track in pictures {
        let pairs = groups.iter().filter_map(|g| Pair::new(track.id, g.default_member().id));
        programs.extend(pairs.map(Program::from));
    }
    programs.extend(groups.iter().flat_map(Group::others).map(|track| Program::from(track.id)));
    programs
}

/// One fact about the presentation (§4.4.6.4).
fn session_data(out: &mut String, data: &SessionData) {
    let mut tag = Tag::new("EXT-X-SESSION-DATA").quoted("DATA-ID", &data.id);
    tag = match &data.content {
        SessionContent::Value(value) => tag.quoted("VALUE", value),
        SessionContent::Uri(uri) => tag.quoted("URI", uri),
    };
    if let Some(language) = &data.language {
        tag = tag.quoted("LANGUAGE", language);
    }
    tag.end(out);
}

struct Writer<'a> {
    view: &'a View<'a>,
    query: &'a str,
    form: Form,
    container: Container,
    scored: bool,
}

impl Writer<'_> {
    /// Each track in a playlist of its own.
    fn demuxed(&self, out: &mut String, groups: &[Group<'_>]) {
        let pictures: Vec<&Track> = self.view.pictures().collect();
        // A single sound without picture needs no group: it is the variant itself.
        let grouped = match groups {
            [] => false,
            [only] => !pictures.is_empty() || only.members.len() > 1,
            _ => true,
        };
        if grouped {
            for group in groups {
                group.write(out, |track| Some(self.uri(track)));
            }
        }
        if pictures.is_empty() {
            for group in groups {
                let track = group.default_member();
                let rates = self.costliest(group.members.iter().copied());
                let id = grouped.then_some(group.id.as_str());
                Variant {
                    media: self.media(),
                    track,
                    scored: self.scored,
                    sounds: &group.members,
                    rates,
                    group: id,
                    uri: self.uri(track),
                }
                .write(out);
            }
        }
        for track in pictures {
            let rates = self.rates(track);
            if groups.is_empty() {
                Variant {
                    media: self.media(),
                    track,
                    scored: self.scored,
                    sounds: &[],
                    rates,
                    group: None,
                    uri: self.uri(track),
                }
                .write(out);
            }
            for group in groups {
                let rates = rates.plus(self.costliest(group.members.iter().copied()));
                Variant {
                    media: self.media(),
                    track,
                    scored: self.scored,
                    sounds: &group.members,
                    rates,
                    group: Some(&group.id),
                    uri: self.uri(track),
                }
                .write(out);
            }
        }
    }

    /// Each picture with the default sound of each group; other sounds in playlists of their own.
    fn muxed(&self, out: &mut String, groups: &[Group<'_>]) {
        let mut pictures = self.view.pictures().peekable();
        if groups.is_empty() || pictures.peek().is_none() {
            return self.demuxed(out, groups);
        }
        for group in groups.iter().filter(|group| group.members.len() > 1) {
            let within = group.default_member().id;
            group.write(out, |track| (track.id != within).then(|| self.uri(track)));
        }
        for track in pictures {
            for group in groups {
                let Some(pair) = Pair::new(track.id, group.default_member().id) else { continue };
                let rates = self.pair_rates(track, pair).plus(self.costliest(group.others()));
                let id = (group.members.len() > 1).then_some(group.id.as_str());
                let uri = match self.container {
                    Container::Ts => format!("{pair}.ts.m3u8{}", self.query),
                    _ => format!("{pair}.m3u8{}", self.query),
                };
                Variant {
                    media: self.media(),
                    track,
                    scored: self.scored,
                    sounds: &group.members,
                    rates,
                    group: id,
                    uri,
                }
                .write(out);
            }
        }
    }

    /// The media playlist of one track.
    fn uri(&self, track: &Track) -> String {
        let id = track.id;
        match self.form {
            Form::Files if self.view.media.file_map(id, FileKind::Segments).is_some() => {
                format!("{id}.single.m3u8{}", self.query)
            }
            _ if self.container == Container::Ts => format!("{id}.ts.m3u8{}", self.query),
            _ => format!("{id}.m3u8{}", self.query),
        }
    }

    fn rates(&self, track: &Track) -> Rates {
        match self.container {
            Container::Ts => self.over(track, self.media().ts_spans(track.id.into())),
            _ => Rates::of(self.media(), track.id, self.view.target),
        }
    }

    /// Of a picture with a sound.
    fn pair_rates(&self, track: &Track, pair: Pair) -> Rates {
        match self.container {
            Container::Ts => self.over(track, self.media().ts_spans(pair.into())),
            _ => self.over(track, self.media().muxed_spans(pair)),
        }
    }

    fn over(&self, track: &Track, spans: Option<Vec<SegmentSpan>>) -> Rates {
        Rates::over(&spans.unwrap_or_default(), track.timescale, self.view.target)
    }

    /// What the costliest of some sounds costs.
    fn costliest<'t>(&self, tracks: impl Iterator<Item = &'t Track>) -> Rates {
        tracks.map(|track| self.rates(track)).fold(Rates::default(), Rates::max)
    }

    fn media(&self) -> &Media {
        self.view.media
    }
}
