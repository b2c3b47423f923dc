//! Which objects to fetch ahead: pure choices from the map and the recent past.
//!
//! Left out of every choice is what was asked for or fetched lately, and what another authority
//! serves: a shield asks only whom it was told to stand before.

use headwater_net::Timestamp;

use super::recent::Recent;
use super::sessions::Place;
use super::starts::Starts;
use crate::map::{
    Learnt, Neighbour, Neighbours, Position, PresentationId, SegmentMap, Target, Url,
};

/// One object to fetch ahead.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Want {
    /// What.
    pub target: Target,
    /// For whom.
    pub why: Why,
    /// Whoever it is for has little left to play: it goes before everything else.
    pub urgent: bool,
}

impl Want {
    fn new(target: Target, why: Why) -> Self {
        Self { target, why, urgent: false }
    }

    /// The queue it waits in: the first is emptied before the others.
    pub(super) const fn lane(&self) -> usize {
        if self.urgent { 0 } else { self.why.lane() }
    }
}

/// Why an object is fetched ahead, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// A session in this rendition comes to segment `number` next.
    Next {
        /// The presentation.
        presentation: PresentationId,
        /// The rendition it is in.
        rendition: u32,
        /// The number of the segment.
        number: u64,
    },
    /// A player said that it will ask for it.
    Told,
    /// A live rendition will have it, and the origin answers when it does.
    Live {
        /// The presentation.
        presentation: PresentationId,
        /// The rendition.
        rendition: u32,
    },
    /// A presentation begins with it.
    Head,
    /// A session may be about to switch to the rendition it is of.
    Switch {
        /// The presentation.
        presentation: PresentationId,
        /// The rendition the session is in.
        rendition: u32,
        /// The number that the segment has there.
        number: u64,
    },
}

impl Why {
    const fn lane(self) -> usize {
        match self {
            Self::Next { .. } | Self::Told | Self::Live { .. } => 1,
            Self::Head => 2,
            Self::Switch { .. } => 3,
        }
    }

    /// Presentation and rendition of the session it is for, where it is for one.
    pub(super) const fn session(self) -> Option<(PresentationId, u32)> {
        match self {
            Self::Next { presentation, rendition, .. }
            | Self::Switch { presentation, rendition, .. } => Some((presentation, rendition)),
            Self::Told | Self::Live { .. } | Self::Head => None,
        }
    }
}

/// Where a player is about to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// To the next lower rendition.
    Down,
    /// To the next higher rendition.
    Up,
}

/// Of the throughput a player measures, the share that it needs to hold a rendition: below it,
/// players go down (1.15 of the bit rate covers the safety factors of hls.js, dash.js and Shaka,
/// between 0.85 and 0.95).
const HOLD_PERCENT: u64 = 115;
/// That it needs to go up: those factors again, from 0.7 on, less what makes it near.
const RISE_PERCENT: u64 = 120;

/// Whether a player with this throughput is about to switch from a rendition of this bit rate, all
/// in bits per second. `least` and `most` are the throughputs of the slowest and the fastest of
/// several.
pub fn switches(
    (least, most): (u64, u64),
    bandwidth: u64,
    beside: &Neighbours,
) -> Vec<(Switch, Neighbour)> {
    let percent = |rate: u64, percent: u64| u128::from(rate) * u128::from(percent) / 100;
    let down = beside.lower.filter(|_| u128::from(least) < percent(bandwidth, HOLD_PERCENT));
    let up =
        beside.higher.filter(|higher| u128::from(most) >= percent(higher.bandwidth, RISE_PERCENT));
    let down = down.map(|to| (Switch::Down, to));
    down.into_iter().chain(up.map(|to| (Switch::Up, to))).collect()
}

/// What may be fetched at all.
#[derive(Clone, Copy, Debug)]
pub struct Allowed<'a> {
    /// The authority that was asked.
    pub authority: &'a str,
    /// What needs no fetch.
    pub recent: &'a Recent,
    /// What comes by the clock is not asked for before its time.
    pub now: Timestamp,
}

impl Allowed<'_> {
    /// Whether `target` is worth a fetch.
    pub fn allows(&self, target: &Target) -> bool {
        target.url.authority() == self.authority && !self.recent.contains(target)
    }
}

/// The `ahead` segments after `position`, the nearest first, each after its init segment where that
/// is another.
pub fn next(map: &SegmentMap, position: Position, ahead: usize, allowed: Allowed<'_>) -> Vec<Want> {
    let mut init = map.init(position);
    let mut wants = Vec::new();
    for index in (position.index.saturating_add(1)..).take(ahead) {
        let at = Position { index, ..position };
        // No player asks for it, nor for what would be before it.
        if map.is_gap(at) {
            continue;
        }
        let there = map.is_available(at, allowed.now);
        let target = map.target(at).filter(|_| there);
        let (Some(target), Some(number)) = (target, map.number(at)) else { break };
        let why = Why::Next { presentation: at.presentation, rendition: at.rendition, number };
        let other = map.init(at).filter(|other| init.as_ref() != Some(other));
        if let Some(other) = other {
            init = Some(other.clone());
            wants.push(Want::new(other, why));
        }
        wants.push(Want::new(target, why));
    }
    wants.retain(|want| allowed.allows(&want.target));
    wants
}

/// The segment after `position`, where it is not there yet and its manifest says when it will be.
pub fn later(
    map: &SegmentMap,
    position: Position,
    allowed: Allowed<'_>,
) -> Option<(Timestamp, Want)> {
    let next = Position { index: position.index.checked_add(1)?, ..position };
    let comes = map.comes(next).filter(|_| !map.is_available(next, allowed.now))?;
    let Position { presentation, rendition, .. } = next;
    let why = Why::Next { presentation, rendition, number: map.number(next)? };
    let target = map.target(next).filter(|target| allowed.allows(target))?;
    Some((comes, Want::new(target, why)))
}

/// What sessions come to next in live renditions of which a new list was learnt: at each of `places` as
/// many segments as are fetched ahead of it, `most` at the most. Who had come to the end of what was
/// listed is not there to ask for what is listed since.
pub fn listed(
    map: &SegmentMap,
    learnt: &Learnt,
    places: &[(Place, usize)],
    most: usize,
    allowed: Allowed<'_>,
) -> Vec<Want> {
    let is_new = |place: &Place| {
        learnt.rendition.is_none_or(|rendition| rendition == place.rendition)
            && map.live(place.presentation, place.rendition).is_some()
    };
    let mut wants: Vec<Want> = Vec::new();
    for (place, depth) in places.iter().filter(|(place, _)| is_new(place)) {
        let at = map.numbered(place.presentation, place.rendition, place.number);
        let coming = at.map_or_else(Vec::new, |at| next(map, at, (*depth).min(most), allowed));
        for want in coming {
            if !wants.iter().any(|known| known.target == want.target) {
                wants.push(want);
            }
        }
    }
    wants
}

/// What a session at `position` needs next if it switches to `to`: its playlist or its file's index
/// where the map has not seen it, else the init segment and the next segment.
pub fn switch(
    map: &SegmentMap,
    position: Position,
    to: Neighbour,
    allowed: Allowed<'_>,
) -> Vec<Want> {
    let next = Position { index: position.index.saturating_add(1), ..position };
    let Some(number) = map.number(next) else { return Vec::new() };
    let Position { presentation, rendition, .. } = position;
    let why = Why::Switch { presentation, rendition, number };
    let targets: Vec<_> = if let Some(other) = map.beside(next, to.rendition) {
        let there = map.is_available(other, allowed.now) && !map.is_gap(other);
        map.init(other).into_iter().chain(map.target(other).filter(|_| there)).collect()
    } else {
        let unread = map.unread(presentation);
        let playlist = map.playlist(presentation, to.rendition);
        let playlist = playlist.filter(|playlist| unread.contains(playlist));
        let playlist = playlist.map(|url| Target { url: url.clone(), range: None });
        let index = map.unread_index(presentation, to.rendition).cloned();
        playlist.or(index).into_iter().collect()
    };
    let wanted = targets.into_iter().filter(|target| allowed.allows(target));
    wanted.map(|target| Want::new(target, why)).collect()
}

/// What players ask for first of what was learnt for the first time, `most` renditions of it: of a
/// multivariant playlist the media playlists that it names, else init segments, and of the renditions
/// that players are likely to begin in the segments that they begin with, or the indexes that tell them.
pub fn heads(
    map: &SegmentMap,
    learnt: &Learnt,
    most: usize,
    starts: &Starts,
    allowed: Allowed<'_>,
) -> Vec<Want> {
    if !learnt.first || most == 0 {
        return Vec::new();
    }
    let presentation = learnt.presentation;
    let whole = |url| Target { url, range: None };
    let head = |rendition| {
        let likely = starts.is_likely(&map.ladder(presentation, rendition), rendition);
        let (init, first) = map.head(presentation, rendition, allowed.now);
        init.into_iter().chain(first.filter(|_| likely))
    };
    let targets: Vec<_> = if let Some(rendition) = learnt.rendition {
        head(rendition).collect()
    } else {
        let unread = map.unread(presentation).into_iter().take(most).map(whole);
        let renditions = 0..u32::try_from(learnt.renditions.min(most)).unwrap_or(u32::MAX);
        unread.chain(renditions.flat_map(head)).collect()
    };
    let wanted = targets.into_iter().filter(|target| allowed.allows(target));
    wanted.map(|target| Want::new(target, Why::Head)).collect()
}

/// What a live rendition will have next, where its origin answers a request for it when it has it:
/// the next version of the playlist, and what the playlist announces. Left out is what grows in a file of
/// several segments: it could only be had with all that is before it.
pub fn live(
    map: &SegmentMap,
    presentation: PresentationId,
    rendition: u32,
    allowed: Allowed<'_>,
) -> Vec<Want> {
    let Some(url) = map.blocking(presentation, rendition) else { return Vec::new() };
    let preloads = map.live(presentation, rendition).into_iter().flat_map(|live| &live.preloads);
    let preloads = preloads.filter(|target| !target.is_open()).cloned();
    let targets = preloads.chain([Target { url, range: None }]);
    let why = Why::Live { presentation, rendition };
    targets.filter(|target| allowed.allows(target)).map(|target| Want::new(target, why)).collect()
}

/// What a player said it will ask for next: `reference` is relative to `asked`, what it asked for,
/// and is followed on the authority that was asked, and nowhere else.
pub fn told(
    asked: &Url,
    reference: &str,
    range: Option<std::ops::Range<u64>>,
    allowed: Allowed<'_>,
) -> Option<Want> {
    let target = Target { url: asked.resolve(reference)?, range };
    // Nothing of its own is asked of what stands before the origins.
    let reserved = target.url.path().starts_with("/.well-known/");
    (!reserved && allowed.allows(&target)).then(|| Want::new(target, Why::Told))
}

#[cfg(test)]
mod tests;
