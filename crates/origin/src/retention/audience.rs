//! Who watches what, as far as it says what will be asked for: sessions of titles, and where they are.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use headwater_net::Timestamp;

/// Titles that are known at once; beyond it the longest unseen is forgotten.
const MAX_TITLES: usize = 4096;

/// Kinds of renditions of one title (pictures, sounds by language …) that are told apart.
const MAX_GROUPS: usize = 16;

/// Renditions of one kind that are told apart.
const MAX_RENDITIONS: usize = 32;

/// Sessions whose place is known, of one title and kind; beyond it the longest silent is forgotten.
const MAX_WATCHERS: usize = 64;

/// Seconds after which a session counts for a third (1/e) of one that begins.
const MEMORY: f64 = 3600.0;

/// Sessions that a title without any has, as nothing is known of it.
const UNKNOWN: f64 = 0.02;

/// A session is gone after so long, or after three segments.
const SILENCE: Duration = Duration::from_secs(20);

/// Of what a start waits for: how many times its requests it counts for, of what is small, and of the
/// first segments, those of a title or those that sessions of what is live begin with.
const START: f64 = 100.0;
const FIRST: f64 = 10.0;

/// So many segments of a title are its first.
const HEAD: u32 = 2;

/// Of sessions about to come to a segment, those that still will once they are so many segments nearer is
/// one in e; and in the same rendition, and another.
const STAYS: f64 = 60.0;
const SAME: f64 = 0.7;
const OTHER: f64 = 0.06;

/// Of the sessions of what is live, those that begin behind its newest segments, anywhere in what is listed;
/// the others begin with one of so many behind the newest (three target durations: RFC 8216 §6.3.3).
const BEHIND: f64 = 0.1;
const NEWEST: u64 = 3;

/// Requests and sessions that are counted for a rendition which nobody has been in.
const DOUBT: f64 = 2.0;

/// Stretches of a title whose requests are counted, over all titles; and after how many sessions the
/// counts are halved.
const STRETCHES: usize = 16;
const FADES: f64 = 65_536.0;

/// A rendition, and the renditions that players switch between with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Track {
    /// The kind: pictures, or sounds of one language.
    pub group: u32,
    /// Which of the renditions of its title.
    pub rendition: u32,
}

/// Where a segment is in its rendition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Along {
    /// A number that stays, and is one more for the next segment.
    pub number: u64,
    /// Its place among those that are listed, from 0.
    pub index: u32,
    /// How many are listed.
    pub of: u32,
    /// More are added.
    pub live: bool,
}

impl Along {
    fn stretch(self) -> usize {
        let at = u64::from(self.index) * STRETCHES as u64 / u64::from(self.of.max(1));
        (at as usize).min(STRETCHES - 1)
    }
}

/// An object of a title.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<T> {
    /// The title.
    pub title: T,
    /// What of it.
    pub part: Part,
}

/// What a title is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What names its renditions: a multivariant playlist, an MPD.
    Manifest,
    /// What a session of a rendition asks for once: its playlist, its init segment.
    Beginning(Track),
    /// A segment.
    Segment(Track, Along),
}

impl<T> Piece<T> {
    /// Whether a start waits for it.
    pub fn is_raised(&self) -> bool {
        match self.part {
            Part::Manifest | Part::Beginning(_) => true,
            Part::Segment(_, along) => !along.live && along.index < HEAD,
        }
    }
}

/// See [`retention`](super); titles go by what names them.
#[derive(Debug)]
pub struct Audience<T> {
    titles: HashMap<T, Title>,
    depth: Depth,
}

impl<T> Default for Audience<T> {
    fn default() -> Self {
        Self { titles: HashMap::new(), depth: Depth::default() }
    }
}

#[derive(Debug, Default)]
struct Title {
    groups: Vec<Group>,
    seen: Timestamp,
}

/// Sessions of one title, among renditions that players switch between. Numbers are those of `at`.
#[derive(Debug)]
struct Group {
    id: u32,
    at: Timestamp,
    sessions: f64,
    renditions: Vec<Rendition>,
    watchers: Vec<Watcher>,
    /// How long a segment lasts.
    lasts: Duration,
    /// Of what is live, the number of the last segment that is listed, and how many are.
    newest: u64,
    listed: u32,
}

#[derive(Clone, Copy, Debug)]
struct Rendition {
    id: u32,
    /// Sessions that began in it, and requests for its segments.
    begun: f64,
    requests: f64,
}

#[derive(Clone, Copy, Debug)]
struct Watcher {
    rendition: u32,
    number: u64,
    seen: Timestamp,
}

/// How far sessions come, over all titles.
#[derive(Debug, Default)]
struct Depth {
    sessions: f64,
    stretches: [f64; STRETCHES],
}

impl Depth {
    /// The share of sessions that ask for a segment.
    fn share(&self, along: Along) -> f64 {
        let requests = self.stretches.get(along.stretch()).copied().unwrap_or(0.0);
        ((requests + 1.0) / (self.sessions + 2.0)).min(1.0)
    }

    fn count(&mut self, along: Along, viewers: f64, begins: bool) {
        if along.live {
            return;
        }
        self.sessions += if begins { viewers } else { 0.0 };
        if let Some(stretch) = self.stretches.get_mut(along.stretch()) {
            // One that sees all of a stretch counts for one.
            *stretch += viewers * STRETCHES as f64 / f64::from(along.of.max(1));
        }
        if self.sessions > FADES {
            self.sessions /= 2.0;
            self.stretches.iter_mut().for_each(|stretch| *stretch /= 2.0);
        }
    }
}

impl<T: Copy + Eq + Hash> Audience<T> {
    /// Nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// So many viewers ask for a segment, which lasts so long.
    pub fn asked(
        &mut self,
        title: T,
        track: Track,
        along: Along,
        (viewers, lasts): (u32, Duration),
        now: Timestamp,
    ) {
        if self.titles.len() >= MAX_TITLES && !self.titles.contains_key(&title) {
            let oldest = self.titles.iter().min_by_key(|(_, known)| known.seen);
            if let Some(oldest) = oldest.map(|(oldest, _)| *oldest) {
                self.titles.remove(&oldest);
            }
        }
        let known = self.titles.entry(title).or_default();
        known.seen = now;
        let Some(group) = known.group(track.group, now) else { return };
        group.lasts = lasts;
        if along.live {
            group.lists(along);
        }
        let begins = group.goes_on(track.rendition, along.number, now);
        let viewers = f64::from(viewers);
        group.count(track.rendition, viewers, begins, now);
        self.depth.count(along, viewers, begins);
    }

    /// The requests that are expected for a piece in a second, about; those of what a start waits for
    /// count for more if it is `raised`. Zero for a title of which nothing is known.
    pub fn worth(&self, piece: &Piece<T>, raised: bool, now: Timestamp) -> f32 {
        let Some(title) = self.titles.get(&piece.title) else { return 0.0 };
        let find = |track: Track| title.groups.iter().find(|group| group.id == track.group);
        let worth = match piece.part {
            Part::Manifest => {
                let sessions = title.groups.iter().map(|group| group.sessions(now));
                sessions.fold(0.0, f64::max) * if raised { START } else { 1.0 }
            }
            Part::Beginning(track) => find(track).map_or(0.0, |group| {
                let (begin, asks) = group.shares(track.rendition);
                group.sessions(now) * if raised { asks.max(begin * START) } else { asks }
            }),
            Part::Segment(track, along) => find(track).map_or(0.0, |group| {
                let (begin, asks) = group.shares(track.rendition);
                let expected = if along.live {
                    let (begun, come) = group.live(along.number);
                    begin * begun * FIRST + asks * come
                } else {
                    asks * self.depth.share(along)
                };
                let mut worth = group.sessions(now) * expected;
                if raised && piece.is_raised() {
                    worth = worth.max(group.sessions(now) * begin * FIRST);
                }
                worth + group.awaited(track.rendition, along.number, now)
            }),
        };
        worth as f32
    }

    /// Titles that are known.
    pub fn len(&self) -> usize {
        self.titles.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.titles.is_empty()
    }
}

impl Title {
    fn group(&mut self, group: u32, now: Timestamp) -> Option<&mut Group> {
        let at = self.groups.iter().position(|known| known.id == group);
        let at = at.or_else(|| {
            (self.groups.len() < MAX_GROUPS).then(|| {
                self.groups.push(Group::new(group, now));
                self.groups.len() - 1
            })
        })?;
        self.groups.get_mut(at)
    }
}

impl Group {
    fn new(group: u32, at: Timestamp) -> Self {
        let (renditions, watchers, lasts) = (Vec::new(), Vec::new(), Duration::ZERO);
        let (newest, listed) = (0, 0);
        Self { id: group, at, sessions: 0.0, renditions, watchers, lasts, newest, listed }
    }

    /// Somebody asks for a segment of what is live, which was listed with so many others.
    fn lists(&mut self, along: Along) {
        let after = along.of.saturating_sub(along.index).saturating_sub(1);
        let newest = along.number.saturating_add(after.into());
        self.listed = along.of;
        // Numbers that are so far back have begun anew.
        let anew = newest.saturating_add(2 * u64::from(self.listed)) < self.newest;
        self.newest = if anew { newest } else { self.newest.max(newest) };
    }

    /// Of the sessions that begin, those that begin with a live segment, and those that come to it behind the
    /// newest; none once it is listed no more.
    fn live(&self, number: u64) -> (f64, f64) {
        let listed = self.listed.max(1);
        let behind = self.newest.saturating_sub(number);
        if self.newest.abs_diff(number) >= listed.into() {
            return (0.0, 0.0);
        }
        let each = BEHIND / f64::from(listed);
        let newest = if behind <= NEWEST { 1.0 - BEHIND } else { 0.0 };
        (newest + each * f64::from(HEAD), each)
    }

    /// What is left by now of what was counted.
    fn faded(&self, now: Timestamp) -> f64 {
        (-now.since(self.at).as_secs_f64() / MEMORY).exp()
    }

    /// Sessions that begin in a second.
    fn sessions(&self, now: Timestamp) -> f64 {
        (self.sessions * self.faded(now) + UNKNOWN) / MEMORY
    }

    /// Of its sessions, those that begin in a rendition, and of its requests, those for it.
    fn shares(&self, rendition: u32) -> (f64, f64) {
        let known = self.renditions.iter().find(|known| known.id == rendition);
        let (begun, requests) = known.map_or((0.0, 0.0), |known| (known.begun, known.requests));
        let all = self.renditions.iter();
        let (sessions, asked) =
            all.fold((0.0, 0.0), |(s, r), one| (s + one.begun, r + one.requests));
        let count = self.renditions.len() + usize::from(known.is_none());
        let each = DOUBT / count as f64;
        ((begun + each) / (sessions + DOUBT), (requests + DOUBT) / (asked + DOUBT * count as f64))
    }

    fn silence(&self) -> Duration {
        SILENCE.max(self.lasts.saturating_mul(3))
    }

    /// Somebody asks for a segment; says whether a session begins with it.
    fn goes_on(&mut self, rendition: u32, number: u64, now: Timestamp) -> bool {
        let silence = self.silence();
        let follows = |watcher: &&mut Watcher| {
            let ahead = number.checked_sub(watcher.number);
            matches!(ahead, Some(1 | 2)) && now.since(watcher.seen) < silence
        };
        let known = self.watchers.iter_mut().filter(follows);
        let known = known.max_by_key(|watcher| (watcher.rendition == rendition, watcher.seen));
        let new = Watcher { rendition, number, seen: now };
        if let Some(watcher) = known {
            *watcher = new;
            return false;
        }
        if self.watchers.len() >= MAX_WATCHERS {
            let oldest = self.watchers.iter().enumerate().min_by_key(|(_, watcher)| watcher.seen);
            if let Some(oldest) = oldest.map(|(at, _)| at) {
                self.watchers.swap_remove(oldest);
            }
        }
        self.watchers.push(new);
        true
    }

    fn count(&mut self, rendition: u32, viewers: f64, begins: bool, now: Timestamp) {
        let left = self.faded(now);
        self.at = self.at.max(now);
        self.sessions *= left;
        for known in &mut self.renditions {
            known.begun *= left;
            known.requests *= left;
        }
        let begun = if begins { viewers } else { 0.0 };
        self.sessions += begun;
        if let Some(known) = self.renditions.iter_mut().find(|known| known.id == rendition) {
            known.begun += begun;
            known.requests += viewers;
        } else if self.renditions.len() < MAX_RENDITIONS {
            self.renditions.push(Rendition { id: rendition, begun, requests: viewers });
        }
    }

    /// How soon the nearest session comes to a segment, as requests in a second: one over the seconds
    /// until then, by how likely it does.
    fn awaited(&self, rendition: u32, number: u64, now: Timestamp) -> f64 {
        let silence = self.silence();
        let nearest = |same: bool| {
            let behind = self.watchers.iter().filter(|watcher| {
                (watcher.rendition == rendition) == same
                    && watcher.number < number
                    && now.since(watcher.seen) < silence
            });
            behind.max_by_key(|watcher| (watcher.number, std::cmp::Reverse(watcher.seen)))
        };
        let soon = |watcher: &Watcher, likely: f64| {
            let away = number.saturating_sub(watcher.number) as f64;
            let seconds = away * self.lasts.as_secs_f64() - now.since(watcher.seen).as_secs_f64();
            likely * (-away / STAYS).exp() / seconds.max(1.0)
        };
        let same = nearest(true).map_or(0.0, |watcher| soon(watcher, SAME));
        let other = nearest(false).map_or(0.0, |watcher| soon(watcher, OTHER));
        same.max(other)
    }
}

#[cfg(test)]
mod tests;
