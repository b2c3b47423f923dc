//! What the map is asked: what comes next, what begins, what lies beside, what is live.

use std::cmp::Reverse;
use std::time::Duration;

use headwater_net::Timestamp;

use super::live::Live;
use super::track::Target;
use super::url::Url;
use super::{Name, Position, PresentationId, Rendition, SegmentMap};

/// The renditions a player may switch to from one: those of the next lower and the next higher bit
/// rate among its kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Neighbours {
    /// The next lower.
    pub lower: Option<Neighbour>,
    /// The next higher.
    pub higher: Option<Neighbour>,
}

/// A rendition beside another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Neighbour {
    /// The rendition.
    pub rendition: u32,
    /// Its bit rate in bits per second.
    pub bandwidth: u64,
}

/// What the map knows of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known<'a> {
    /// Nothing: it was not read yet, or is none.
    Nothing,
    /// That it stays as it is.
    Settled,
    /// That it changes.
    Live(&'a Live),
}

impl SegmentMap {
    /// The `k` segments after `position` in its rendition; fewer at the end, and without those that
    /// are gaps.
    pub fn next(&self, position: Position, k: usize) -> Vec<Target> {
        let Some(track) = self.track(position.presentation, position.rendition) else {
            return Vec::new();
        };
        let after = position.index.saturating_add(1)..track.len();
        let after = after.take(k).filter(|index| !track.is_gap(*index));
        after.filter_map(|index| track.get(index)).collect()
    }

    /// The segment at `position`.
    pub fn target(&self, position: Position) -> Option<Target> {
        self.track(position.presentation, position.rendition)?.get(position.index)
    }

    /// The number of the segment at `position` within its rendition: unlike its index it stays while
    /// a live window moves.
    pub fn number(&self, position: Position) -> Option<u64> {
        Some(self.track(position.presentation, position.rendition)?.number(position.index))
    }

    /// Where the segment of this number is now, where it is listed.
    pub fn numbered(
        &self,
        presentation: PresentationId,
        rendition: u32,
        number: u64,
    ) -> Option<Position> {
        let index = self.track(presentation, rendition)?.index(number)?;
        Some(Position { presentation, rendition, index })
    }

    /// Start and duration of the segment at `position`, from the start of what its manifest lists.
    pub fn time(&self, position: Position) -> Option<(Duration, Duration)> {
        let track = self.track(position.presentation, position.rendition)?;
        let (start, duration) = track.timing.of(position.index)?;
        Some((Duration::from_micros(start), Duration::from_micros(duration)))
    }

    /// Whether the segment at `position` is listed, and is not there to be had (`EXT-X-GAP`).
    pub fn is_gap(&self, position: Position) -> bool {
        let track = self.track(position.presentation, position.rendition);
        track.is_some_and(|track| track.is_gap(position.index))
    }

    /// Whether the segment at `position` is encoded otherwise than the one before it.
    pub fn is_discontinuity(&self, position: Position) -> bool {
        let track = self.track(position.presentation, position.rendition);
        track.is_some_and(|track| track.timing.is_break(position.index))
    }

    /// The init segment that the segment at `position` needs, where the manifest named one.
    pub fn init(&self, position: Position) -> Option<Target> {
        self.track(position.presentation, position.rendition)?.init(position.index)
    }

    /// What a player that begins in a rendition asks for first: its init segment, and the segment it
    /// begins with or the index that tells it.
    pub fn head(
        &self,
        presentation: PresentationId,
        rendition: u32,
        now: Timestamp,
    ) -> (Option<Target>, Option<Target>) {
        let Some(track) = self.track(presentation, rendition) else { return (None, None) };
        let head = track.head(now);
        let there = head < track.available(now) && !track.is_gap(head);
        let first = track.get(head).filter(|_| there);
        (track.init(head), first.or_else(|| track.unread().cloned()))
    }

    /// Whether a player that begins in its rendition begins with the segment at `position`.
    pub fn is_head(&self, position: Position, now: Timestamp) -> bool {
        let track = self.track(position.presentation, position.rendition);
        track.is_some_and(|track| track.head(now) == position.index)
    }

    /// Whether the segment at `position` is there, as far as its manifest tells: those that come by the
    /// clock are not, before their time.
    pub fn is_available(&self, position: Position, now: Timestamp) -> bool {
        let track = self.track(position.presentation, position.rendition);
        track.is_some_and(|track| position.index < track.available(now))
    }

    /// When the segment at `position` is there, where its manifest says that it comes by the clock.
    pub fn comes(&self, position: Position) -> Option<Timestamp> {
        self.track(position.presentation, position.rendition)?.comes(position.index)
    }

    /// Whether segments are still added to a rendition.
    pub fn is_live(&self, presentation: PresentationId, rendition: u32) -> bool {
        let track = self.track(presentation, rendition);
        track.is_some_and(super::Track::is_live)
    }

    /// Whose frame `url` is: a presentation's manifest, or (with the rendition) the playlist, init segment
    /// or index of one; `at` is the byte of the file that is asked for.
    pub fn frame(&self, url: &Url, at: Option<u64>) -> Option<(PresentationId, Option<u32>)> {
        let of = |(id, rendition)| (id, Some(rendition));
        if let Some(found) = self.rendition(url).or_else(|| self.inits.get(url).copied()) {
            return Some(of(found));
        }
        if let Some(id) = self.by_manifest.get(&url.without_directives()) {
            return Some((*id, None));
        }
        let (id, rendition) = self.holder(url)?;
        self.track(id, rendition)?.beginning(url, at?)?;
        Some(of((id, rendition)))
    }

    /// How many segments of a rendition are listed.
    pub fn segments(&self, presentation: PresentationId, rendition: u32) -> u32 {
        self.track(presentation, rendition).map_or(0, super::Track::len)
    }

    /// What of the file at `url` holds byte `at` and is no segment: its init segment, or its index.
    pub fn beginning(&self, url: &Url, at: u64) -> Option<Target> {
        let (presentation, rendition) = self.holder(url)?;
        self.track(presentation, rendition)?.beginning(url, at)
    }

    /// The rendition whose segments lie in the file at `url`, or whose index.
    fn holder(&self, url: &Url) -> Option<(PresentationId, u32)> {
        let listed = self.listed.get(&super::hash(url.as_str().as_bytes()));
        let listed = listed.map(|position| (position.presentation, position.rendition));
        listed.or_else(|| self.indexes.get(url).copied())
    }

    /// The index of a rendition's file, where it was not read yet.
    pub fn unread_index(&self, presentation: PresentationId, rendition: u32) -> Option<&Target> {
        self.track(presentation, rendition)?.unread()
    }

    /// The renditions that a player switches between with this one, as they are listed, and their
    /// bit rates.
    pub fn ladder(&self, presentation: PresentationId, rendition: u32) -> Vec<(u32, Option<u64>)> {
        let renditions = self.renditions(presentation);
        let Some(own) = renditions.get(rendition as usize) else { return Vec::new() };
        let all = renditions.iter().enumerate().filter(|(_, other)| other.group == own.group);
        all.map(|(at, other)| (at as u32, other.bandwidth)).collect()
    }

    /// The media playlists of a presentation that were named and not read yet.
    pub fn unread(&self, presentation: PresentationId) -> Vec<Url> {
        let renditions = self.renditions(presentation).iter();
        let unread = renditions.filter(|rendition| rendition.track.len() == 0);
        unread
            .filter_map(|rendition| match &rendition.name {
                Name::Playlist(url) => Some(url.clone()),
                Name::Id(_) => None,
            })
            .collect()
    }

    /// The bit rate the manifest gave a rendition, in bits per second.
    pub fn bandwidth(&self, presentation: PresentationId, rendition: u32) -> Option<u64> {
        self.renditions(presentation).get(rendition as usize)?.bandwidth
    }

    /// What tells which renditions a player switches between: one number for all of them.
    pub fn group(&self, presentation: PresentationId, rendition: u32) -> Option<u32> {
        Some(self.renditions(presentation).get(rendition as usize)?.group)
    }

    /// The renditions beside one. None where its bit rate is not known.
    pub fn neighbours(&self, presentation: PresentationId, rendition: u32) -> Neighbours {
        let renditions = self.renditions(presentation);
        let own = renditions.get(rendition as usize);
        let Some((own, rate)) = own.and_then(|own| Some((own, own.bandwidth?))) else {
            return Neighbours::default();
        };
        let others = renditions.iter().enumerate().filter(|(_, other)| other.group == own.group);
        let others = others.filter_map(|(at, other)| {
            Some(Neighbour { rendition: at as u32, bandwidth: other.bandwidth? })
        });
        let lower = others.clone().filter(|other| other.bandwidth < rate);
        let higher = others.filter(|other| other.bandwidth > rate);
        Neighbours {
            lower: lower.max_by_key(|other| (other.bandwidth, Reverse(other.rendition))),
            higher: higher.min_by_key(|other| (other.bandwidth, other.rendition)),
        }
    }

    /// The segment of another rendition that is shown at the time of the one at `position`: by its
    /// number where both are live (their lists begin at different times), else by its time.
    pub fn beside(&self, position: Position, rendition: u32) -> Option<Position> {
        let own = self.track(position.presentation, position.rendition)?;
        let other = self.track(position.presentation, rendition)?;
        let index = if own.live().is_some() && other.live().is_some() {
            other.index(own.number(position.index))
        } else {
            // Each counts from where it begins: of what is in a later period alone, that is there.
            let (start, len) = own.timing.of(position.index)?;
            let middle = start.saturating_add(len / 2).saturating_add(own.origin());
            let middle = middle.checked_sub(other.origin())?;
            other.timing.at(middle).filter(|at| *at < other.len())
        }?;
        Some(Position { rendition, index, ..position })
    }

    /// The media playlist of a rendition, where it has one of its own.
    pub fn playlist(&self, presentation: PresentationId, rendition: u32) -> Option<&Url> {
        match &self.renditions(presentation).get(rendition as usize)?.name {
            Name::Playlist(url) => Some(url),
            Name::Id(_) => None,
        }
    }

    /// The rendition whose media playlist `url` is, in any of its versions.
    pub fn rendition(&self, url: &Url) -> Option<(PresentationId, u32)> {
        let url = url.without_directives();
        if let Some(found) = self.by_playlist.get(&url) {
            return Some(*found);
        }
        let id = *self.by_manifest.get(&url)?;
        let alone = self.playlist(id, 0).is_some_and(|playlist| *playlist == url);
        alone.then_some((id, 0))
    }

    /// How a rendition moves on, where it is live.
    pub fn live(&self, presentation: PresentationId, rendition: u32) -> Option<&Live> {
        self.track(presentation, rendition)?.live()
    }

    /// What is known of `url` as a manifest, in any of its versions.
    pub fn manifest(&self, url: &Url) -> Known<'_> {
        let known = |live: Option<_>| live.map_or(Known::Settled, Known::Live);
        if let Some((id, at)) = self.rendition(url) {
            return match self.track(id, at) {
                Some(track) if track.len() > 0 => known(track.live()),
                _ => Known::Nothing,
            };
        }
        let Some(id) = self.by_manifest.get(&url.without_directives()) else {
            return Known::Nothing;
        };
        // A multivariant playlist stays as it is; an MPD has the times of all.
        let own = self.renditions(*id).iter().find(|one| matches!(one.name, Name::Id(_)));
        known(own.and_then(|one| one.track.live()))
    }

    /// The request that waits at the origin until a live rendition has more, where that offers it.
    pub fn blocking(&self, presentation: PresentationId, rendition: u32) -> Option<Url> {
        let playlist = self.playlist(presentation, rendition)?;
        self.live(presentation, rendition)?.blocking(playlist)
    }

    /// Whether `url` is at the live edge: a segment that comes after those which are listed, a part
    /// that was announced, or a playlist that moves on.
    pub fn is_at_live_edge(&self, url: &Url, now: Timestamp) -> bool {
        if matches!(self.manifest(url), Known::Live(_)) {
            return true;
        }
        let text = url.as_str();
        let mut sharers = super::track::spots(text)
            .filter_map(|(before, after)| self.framed.get(&super::hash_frame(before, after)));
        let comes = |(id, at): &(PresentationId, u32)| {
            self.track(*id, *at).is_some_and(|track| track.comes_next(text, now))
        };
        sharers.any(|sharers| sharers.iter().any(comes)) || self.preloads.contains_key(url)
    }

    /// The target duration of the live rendition that announced `url` (`EXT-X-PRELOAD-HINT`): it is not there
    /// yet, and an origin may hold who asks for it.
    pub fn announced(&self, url: &Url) -> Option<Duration> {
        let (presentation, rendition) = self.preloads.get(url)?;
        Some(self.live(*presentation, *rendition)?.target)
    }

    fn renditions(&self, presentation: PresentationId) -> &[Rendition] {
        self.presentations.get(&presentation).map_or(&[], |found| found.renditions.as_slice())
    }
}
