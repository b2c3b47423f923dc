//! An HLS presentation, fetched: its playlists, and samples of their media.

pub(crate) mod attributes;
pub(crate) mod lex;
pub(crate) mod playlist;
pub(crate) mod rates;

use std::collections::BTreeMap;

use crate::fetch::{Answer, Fetch, Url};
use crate::limits::{MAX_INIT, MAX_MANIFEST, MAX_PLAYLISTS, MAX_SEGMENT};
use crate::media::movie::Movie;
use crate::media::{self, Container, Init, Stream};
use crate::sample::Sampling;
use playlist::{Playlist, Tag};

/// A presentation.
#[derive(Debug)]
pub(crate) struct Presentation {
    /// The playlist that was asked for: multivariant, or the only media playlist.
    pub(crate) root: Playlist,
    /// The media playlists; where the root is one itself, it is the only one here too.
    pub(crate) media: Vec<MediaPlaylist>,
    /// What could not be fetched, and why.
    pub(crate) missing: Vec<(String, String)>,
    /// How many resources were fetched.
    pub(crate) fetched: usize,
    /// Resources that came by way of redirects.
    pub(crate) redirected: Vec<String>,
}

/// What a media playlist is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Variant,
    Video,
    Audio,
    Subtitles,
    IFrames,
}

/// A media playlist with its media.
#[derive(Debug)]
pub(crate) struct MediaPlaylist {
    pub(crate) role: Role,
    pub(crate) playlist: Playlist,
    pub(crate) stream: Stream,
}

impl Presentation {
    /// Fetches everything that the playlist at `url` leads to, and as much media as was asked for.
    pub(crate) fn fetch(
        url: Url,
        answer: Answer,
        fetch: &mut dyn Fetch,
        sampling: Sampling,
    ) -> Self {
        let redirected = if answer.redirects > 0 { vec![url.to_string()] } else { Vec::new() };
        let root = Playlist::read(url, answer, &BTreeMap::new());
        let mut found =
            Self { root, media: Vec::new(), missing: Vec::new(), fetched: 1, redirected };
        if found.root.is_multivariant() {
            for (role, url) in found.references() {
                if let Some(answer) = found.get(fetch, &url, None, MAX_MANIFEST) {
                    let playlist = Playlist::read(url, answer, &found.root.variables);
                    let stream = found.stream(&playlist, role, fetch, sampling);
                    found.media.push(MediaPlaylist { role, playlist, stream });
                }
            }
        } else {
            let again =
                Playlist::read(found.root.url.clone(), found.root.answer.clone(), &BTreeMap::new());
            let role = if again.has("EXT-X-I-FRAMES-ONLY") { Role::IFrames } else { Role::Variant };
            let stream = found.stream(&again, role, fetch, sampling);
            found.media.push(MediaPlaylist { role, playlist: again, stream });
        }
        found
    }

    /// Every playlist, the multivariant one first.
    pub(crate) fn playlists(&self) -> impl Iterator<Item = &Playlist> {
        let root = self.root.is_multivariant().then_some(&self.root);
        root.into_iter().chain(self.media.iter().map(|media| &media.playlist))
    }

    /// Those that are played: all but lists of I-frames.
    pub(crate) fn played(&self) -> impl Iterator<Item = &MediaPlaylist> {
        self.media.iter().filter(|media| media.role != Role::IFrames)
    }

    /// The media playlist that a URI of the multivariant playlist means.
    pub(crate) fn named(&self, uri: &str) -> Option<&MediaPlaylist> {
        let url = self.root.resolve(uri)?;
        self.media.iter().find(|media| media.playlist.url == url)
    }

    /// `EXT-X-STREAM-INF` tags with the media playlist of each.
    pub(crate) fn variants(&self) -> impl Iterator<Item = (&Tag, Option<&MediaPlaylist>)> {
        self.root.all("EXT-X-STREAM-INF").map(|tag| {
            let uri = self.root.uri_after(tag.line);
            (tag, uri.and_then(|(_, uri)| self.named(&uri)))
        })
    }

    /// `EXT-X-MEDIA` tags of a group.
    pub(crate) fn group<'a>(&'a self, kind: &'a str, id: &'a str) -> impl Iterator<Item = &'a Tag> {
        self.root.all("EXT-X-MEDIA").filter(move |tag| {
            tag.attributes.text("TYPE") == Some(kind) && tag.attributes.text("GROUP-ID") == Some(id)
        })
    }

    /// The media of a variant: its own, and that of each rendition it can be played with.
    pub(crate) fn streams_of(&self, variant: &Tag) -> Vec<&MediaPlaylist> {
        let own = self.root.uri_after(variant.line).and_then(|(_, uri)| self.named(&uri));
        let mut found: Vec<&MediaPlaylist> = own.into_iter().collect();
        for kind in ["AUDIO", "VIDEO", "SUBTITLES"] {
            let Some(id) = variant.attributes.text(kind) else { continue };
            let uris = self.group(kind, id).filter_map(|tag| tag.attributes.text("URI"));
            found.extend(uris.filter_map(|uri| self.named(uri)));
        }
        found
    }

    /// The URLs of all media playlists, once each.
    fn references(&self) -> Vec<(Role, Url)> {
        let mut found: Vec<(Role, Url)> = Vec::new();
        let mut add = |role, uri: Option<&str>| {
            let url = uri.and_then(|uri| self.root.resolve(uri));
            if let Some(url) = url
                && found.len() < MAX_PLAYLISTS
                && !found.iter().any(|(_, known)| *known == url)
            {
                found.push((role, url));
            }
        };
        for tag in self.root.all("EXT-X-STREAM-INF") {
            add(Role::Variant, self.root.uri_after(tag.line).as_ref().map(|(_, uri)| uri.as_str()));
        }
        for tag in self.root.all("EXT-X-MEDIA") {
            let role = match tag.attributes.text("TYPE") {
                Some("AUDIO") => Role::Audio,
                Some("VIDEO") => Role::Video,
                Some("SUBTITLES") => Role::Subtitles,
                _ => continue,
            };
            add(role, tag.attributes.text("URI"));
        }
        for tag in self.root.all("EXT-X-I-FRAME-STREAM-INF") {
            add(Role::IFrames, tag.attributes.text("URI"));
        }
        found
    }

    fn get(
        &mut self,
        fetch: &mut dyn Fetch,
        url: &Url,
        range: Option<std::ops::Range<u64>>,
        limit: usize,
    ) -> Option<Answer> {
        match fetch.get(url, range, limit) {
            Ok(answer) => {
                self.fetched += 1;
                if answer.redirects > 0 {
                    self.redirected.push(url.to_string());
                }
                Some(answer)
            }
            Err(error) => {
                self.missing.push((url.to_string(), error.to_string()));
                None
            }
        }
    }

    /// Fetches a playlist's maps and the sampled segments.
    fn stream(
        &mut self,
        playlist: &Playlist,
        role: Role,
        fetch: &mut dyn Fetch,
        sampling: Sampling,
    ) -> Stream {
        let chosen = sampling.choose(playlist.segments.len());
        let mut stream = Stream {
            complete: chosen.len() == playlist.segments.len(),
            pictures: role == Role::IFrames,
            ..Stream::default()
        };
        let mut inits: BTreeMap<usize, usize> = BTreeMap::new();
        for index in chosen {
            let Some(segment) = playlist.segments.get(index) else { continue };
            let Some(url) = segment.url.as_ref().filter(|_| !segment.gap) else { continue };
            let map = segment.map.and_then(|map| Some((map, playlist.maps.get(map)?)));
            if let Some((number, map)) = map
                && !inits.contains_key(&number)
                && let Some(url) = &map.url
                && let Some(answer) = self.get(fetch, url, map.range.clone(), MAX_INIT)
            {
                inits.insert(number, stream.inits.len());
                let movie = Movie::read(&answer.bytes);
                stream.inits.push(Init { place: url.to_string(), movie });
            }
            let range = match &segment.range {
                Some(Ok(range)) => Some(range.clone()),
                Some(Err(_)) => continue,
                None => None,
            };
            let place = match &range {
                Some(range) => format!("{url} {}-{}", range.start, range.end.saturating_sub(1)),
                None => url.to_string(),
            };
            let Some(answer) = self.get(fetch, url, range, MAX_SEGMENT) else { continue };
            let init = map.and_then(|(number, _)| inits.get(&number).copied());
            let movie = init
                .and_then(|init| stream.inits.get(init))
                .and_then(|init| init.movie.as_ref().ok());
            let container =
                if segment.sealed { Container::Sealed } else { media::look(&answer.bytes, movie) };
            stream.segments.push(media::Segment {
                place,
                index,
                init,
                stated: segment.duration,
                discontinuity: segment.discontinuity,
                bytes: answer.bytes.len() as u64,
                content_type: answer.content_type,
                container,
            });
        }
        stream
    }
}
