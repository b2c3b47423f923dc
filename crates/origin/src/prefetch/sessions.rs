//! Who is watching where, as far as requests show it: nobody is named. Pure: time is given.
//!
//! A session asks for one segment after the other. So a request for a segment is that of the session
//! which asked for the one before, in the same rendition or in another of its kind; where there is
//! none, a new session begins. A rendition of sound has a session of its own beside that of the
//! pictures. That is enough to tell whether somebody will still want what is being fetched: nobody
//! does once the session has gone to another rendition, or is silent.
//!
//! A request that follows on none, in the middle of what one session alone watches, is that session's:
//! it has jumped, and what was fetched for it where it was is for nobody any more. Should somebody go
//! on there within the time that a session may be silent, they were two, and both go on.
//!
//! Many who watch at one place are one session, and edges tell how many they are: of those, one that
//! jumps or switches leaves the others where they are.
//!
//! How far ahead is fetched for a session is its *depth*: one segment at first. Whenever it comes to
//! a segment that is still being fetched, one would not have been enough, and it is one more; once it
//! asks for segments as slowly as they are played, and they were there several times in a row, it is
//! one less (after AMP: Gill and Bathen, FAST 2007). So a player that fills its buffer from a slow
//! origin is fetched for several at a time, and one that is about to leave leaves little behind.

use std::collections::HashMap;
use std::time::Duration;

use headwater_net::Timestamp;
use http::HeaderValue;

use crate::map::PresentationId;

/// Sessions that are told apart in one presentation; beyond it the longest silent is forgotten.
const MAX_SESSIONS: usize = 64;

/// Segments in a row that were there in time, after which a session's depth becomes less.
const IN_TIME: u8 = 4;

/// Presentations with sessions; beyond it the silent ones are forgotten, then any.
const MAX_PRESENTATIONS: usize = 4096;

/// Where a request was in its presentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The presentation.
    pub presentation: PresentationId,
    /// The rendition.
    pub rendition: u32,
    /// The renditions between which a player switches: those of one number.
    pub group: u32,
    /// The number of the segment.
    pub number: u64,
}

/// What a request showed of its session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// The session was known before.
    pub follows: bool,
    /// The rendition that it left with this request, or that it jumped within.
    pub left: Option<u32>,
    /// So many segments are to be fetched ahead for it.
    pub depth: usize,
}

/// How a request found its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// It was still being fetched ahead.
    pub late: bool,
    /// How long the segment plays.
    pub duration: Duration,
    /// Players begin with it: a request for it tells of one more session, and not of a jump.
    pub begins: bool,
    /// So many asked for it, as an edge tells; zero where a client asks the shield itself.
    pub viewers: u32,
}

/// What chooses a variant of what a client asks for: the values of its `Accept-Encoding` and `Origin`.
pub type Variant = [Option<HeaderValue>; 2];

/// The sessions of all presentations.
#[derive(Debug)]
pub struct Sessions {
    presentations: HashMap<PresentationId, Watchers>,
    silence: Duration,
}

#[derive(Debug, Default)]
struct Watchers {
    sessions: Vec<Session>,
    /// When the playlist of a rendition was last asked for.
    playlists: Vec<(u32, Timestamp)>,
    /// As the last client that asked the shield itself asked.
    variant: Variant,
    seen: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Session {
    rendition: u32,
    group: u32,
    number: u64,
    seen: Timestamp,
    depth: u8,
    /// Segments in a row that were there in time.
    in_time: u8,
    /// The neighbour that was fetched for it last, and the throughput that it was fetched for.
    guess: Option<(u32, u64)>,
    /// It seems to have jumped from here.
    jumped: bool,
    /// It asks for parts, and not for the segments that they are of.
    parts: bool,
    /// Viewers of the segment before this one, and of this one so far.
    viewers: (u32, u32),
}

impl Session {
    fn is_at(&self, place: Place) -> bool {
        (self.rendition, self.number) == (place.rendition, place.number)
    }

    /// How many they are, besides so many of them.
    fn others(&self, viewers: u32) -> u32 {
        let (before, here) = self.viewers;
        before.max(here).max(1).saturating_sub(viewers.max(1))
    }

    /// So many of them are elsewhere.
    fn leave(&mut self, viewers: u32) {
        let (before, here) = self.viewers;
        let left = viewers.max(1);
        self.viewers = (before.saturating_sub(left), here.saturating_sub(left));
    }

    /// So many more are at `number`.
    fn count(&mut self, number: u64, viewers: u32) {
        let (before, here) = self.viewers;
        self.viewers = if number > self.number {
            (here, viewers)
        } else {
            (before, here.saturating_add(viewers))
        };
    }

    /// How far ahead is fetched from `pace` on, after `passed`; `most` at most.
    fn keep(&mut self, pace: Pace, passed: Duration, most: usize) {
        let most = u8::try_from(most).unwrap_or(u8::MAX).max(1);
        if pace.late {
            self.in_time = 0;
            self.depth = self.depth.saturating_add(1);
        } else if passed.saturating_mul(4) >= pace.duration.saturating_mul(3) {
            self.in_time += 1;
            if self.in_time >= IN_TIME {
                self.in_time = 0;
                self.depth = self.depth.saturating_sub(1);
            }
        }
        self.depth = self.depth.clamp(1, most);
    }
}

impl Sessions {
    /// No sessions yet; each counts as gone once it was silent for `silence`.
    pub fn new(silence: Duration) -> Self {
        Self { presentations: HashMap::new(), silence }
    }

    /// A client asks for the segment at `place`; at most `most` are fetched ahead for it.
    pub fn asked(&mut self, place: Place, pace: Pace, most: usize, now: Timestamp) -> Step {
        self.step((place, false), pace, most, now)
    }

    /// A client asks for a part of the segment at `place`: nothing is fetched ahead for it that is
    /// a whole segment.
    pub fn asked_part(&mut self, place: Place, viewers: u32, now: Timestamp) -> Step {
        let pace = Pace { late: false, duration: Duration::MAX, begins: true, viewers };
        Step { depth: 0, ..self.step((place, true), pace, 1, now) }
    }

    fn step(
        &mut self,
        (place, parts): (Place, bool),
        pace: Pace,
        most: usize,
        now: Timestamp,
    ) -> Step {
        let silence = self.silence;
        let is_here = |session: &Session| now.since(session.seen) < silence;
        let follows = |session: &Session| {
            let ahead = place.number.checked_sub(session.number);
            session.group == place.group
                && session.parts == parts
                && ahead.is_some_and(|ahead| ahead <= 2)
                && (!session.jumped || is_here(session))
        };
        let watchers = self.watchers(place.presentation, now);
        let latest = |same: bool| {
            let of = watchers.sessions.iter().enumerate().filter(|(_, session)| {
                follows(session) && (session.rendition == place.rendition) == same
            });
            of.max_by_key(|(_, session)| (session.number, session.seen)).map(|(at, _)| at)
        };
        let known = latest(true).or_else(|| latest(false));
        // Some of several went to another rendition, and the others did not.
        let mut apart = None;
        if let Some(session) = known.and_then(|at| watchers.sessions.get_mut(at))
            && session.rendition != place.rendition
            && session.others(pace.viewers) > 0
        {
            session.leave(pace.viewers);
            apart = Some(session.depth);
        }
        if let Some(session) = known.and_then(|at| watchers.sessions.get_mut(at))
            && apart.is_none()
        {
            let left = (session.rendition != place.rendition).then_some(session.rendition);
            if left.is_some() {
                session.guess = None;
            }
            let passed = now.since(session.seen);
            if place.number > session.number {
                session.keep(pace, passed, most);
            }
            session.count(place.number, pace.viewers);
            (session.rendition, session.number, session.seen) =
                (place.rendition, place.number, now);
            session.jumped = false;
            return Step { follows: true, left, depth: usize::from(session.depth) };
        }
        let (mut left, mut depth) = (None, apart.unwrap_or(1));
        let mut here = watchers.sessions.iter_mut().filter(|session| {
            let is_like = session.group == place.group && session.parts == parts;
            is_like && !session.jumped && is_here(session)
        });
        if let (Some(alone), None, false) =
            (here.next(), here.next(), pace.begins || apart.is_some())
        {
            depth = alone.depth;
            if alone.others(pace.viewers) > 0 {
                alone.leave(pace.viewers);
            } else {
                alone.jumped = true;
                left = Some(alone.rendition);
            }
        }
        if watchers.sessions.len() >= MAX_SESSIONS {
            let oldest = watchers.sessions.iter().enumerate().min_by_key(|(_, s)| s.seen);
            if let Some(at) = oldest.map(|(at, _)| at) {
                watchers.sessions.swap_remove(at);
            }
        }
        let Place { rendition, group, number, .. } = place;
        let (seen, in_time, guess, jumped) = (now, 0, None, false);
        let viewers = (0, pace.viewers);
        let new = Session {
            rendition,
            group,
            number,
            seen,
            depth,
            in_time,
            guess,
            jumped,
            parts,
            viewers,
        };
        watchers.sessions.push(new);
        Step { follows: apart.is_some(), left, depth: usize::from(depth) }
    }

    /// A client asks the shield itself for something of a presentation, in this variant.
    pub fn asks_for(&mut self, presentation: PresentationId, variant: Variant, now: Timestamp) {
        self.watchers(presentation, now).variant = variant;
    }

    /// The variant that was asked for last, of a presentation.
    pub fn variant(&self, presentation: PresentationId) -> Option<&Variant> {
        self.presentations.get(&presentation).map(|watchers| &watchers.variant)
    }

    /// How many segments are fetched ahead of the session at `place`, where there is one that asks for
    /// segments.
    pub fn depth(&self, place: Place) -> Option<usize> {
        let watchers = self.presentations.get(&place.presentation)?;
        let mut here =
            watchers.sessions.iter().filter(|session| !session.parts && session.is_at(place));
        here.next().map(|session| usize::from(session.depth))
    }

    /// Whether the session at `place`, whose throughput is `rate` bits per second, may be about to
    /// switch to rendition `to`. What was thought once and did not come true is not thought again
    /// before the throughput has changed by a tenth.
    pub fn guess(&mut self, place: Place, to: u32, rate: u64) -> bool {
        let Some(watchers) = self.presentations.get_mut(&place.presentation) else { return false };
        let mut here =
            watchers.sessions.iter_mut().filter(|session| !session.parts && session.is_at(place));
        let Some(session) = here.next() else { return false };
        if session
            .guess
            .is_some_and(|(to_then, then)| to_then == to && then.abs_diff(rate) <= then / 10)
        {
            return false;
        }
        session.guess = Some((to, rate));
        true
    }

    /// A client asks for the playlist of a rendition.
    pub fn watched(&mut self, presentation: PresentationId, rendition: u32, now: Timestamp) {
        let playlists = &mut self.watchers(presentation, now).playlists;
        playlists.retain(|(known, _)| *known != rendition);
        if playlists.len() >= MAX_SESSIONS {
            playlists.remove(0);
        }
        playlists.push((rendition, now));
    }

    /// Whether a session that asks for segments is in `rendition` at most `ahead` segments before `number`.
    pub fn wants(
        &self,
        presentation: PresentationId,
        rendition: u32,
        number: u64,
        ahead: usize,
        now: Timestamp,
    ) -> bool {
        let Some(watchers) = self.presentations.get(&presentation) else { return false };
        watchers.sessions.iter().any(|session| {
            let far = number.checked_sub(session.number);
            session.rendition == rendition
                && !session.jumped
                && !session.parts
                && far.is_some_and(|far| far <= ahead as u64)
                && now.since(session.seen) < self.silence
        })
    }

    /// Where the sessions of a presentation are that have not fallen silent, and how many segments are
    /// fetched ahead of each; 64 at most.
    pub fn places(&self, presentation: PresentationId, now: Timestamp) -> Vec<(Place, usize)> {
        let Some(watchers) = self.presentations.get(&presentation) else { return Vec::new() };
        let here = watchers
            .sessions
            .iter()
            .filter(|session| !session.jumped && !session.parts)
            .filter(|session| now.since(session.seen) < self.silence);
        let place = |session: &Session| {
            let Session { rendition, group, number, depth, .. } = *session;
            (Place { presentation, rendition, group, number }, usize::from(depth))
        };
        here.map(place).collect()
    }

    /// Whether the playlist of `rendition` was asked for lately.
    pub fn watches(&self, presentation: PresentationId, rendition: u32, now: Timestamp) -> bool {
        let Some(watchers) = self.presentations.get(&presentation) else { return false };
        let mut seen = watchers.playlists.iter().filter(|(known, _)| *known == rendition);
        seen.any(|(_, seen)| now.since(*seen) < self.silence)
    }

    fn watchers(&mut self, presentation: PresentationId, now: Timestamp) -> &mut Watchers {
        if self.presentations.len() >= MAX_PRESENTATIONS
            && !self.presentations.contains_key(&presentation)
        {
            let silence = self.silence;
            self.presentations.retain(|_, watchers| now.since(watchers.seen) < silence);
            if self.presentations.len() >= MAX_PRESENTATIONS {
                self.presentations.clear();
            }
        }
        let watchers = self.presentations.entry(presentation).or_default();
        watchers.seen = now;
        watchers
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use crate::map::{Limits, SegmentMap, Url};

    const NOW: Timestamp = Timestamp::from_secs(1000);

    fn presentation() -> PresentationId {
        let mut map = SegmentMap::new(Limits::default());
        let url = Url::new("h", "/l.m3u8").unwrap();
        map.learn(&url, None, b"#EXTM3U\n#EXTINF:4,\na\n").unwrap().unwrap().presentation
    }

    const IN_PACE: Pace =
        Pace { late: false, duration: Duration::from_secs(4), begins: false, viewers: 0 };
    const LATE: Pace = Pace { late: true, ..IN_PACE };

    fn at(rendition: u32, number: u64) -> Place {
        let group = u32::from(rendition >= 10);
        Place { presentation: presentation(), rendition, group, number }
    }

    fn sessions(asked: &[(u32, u64)]) -> Sessions {
        let mut sessions = Sessions::new(Duration::from_secs(20));
        for (rendition, number) in asked {
            sessions.asked(at(*rendition, *number), IN_PACE, 2, NOW);
        }
        sessions
    }

    fn wants(sessions: &Sessions, rendition: u32, number: u64) -> bool {
        sessions.wants(presentation(), rendition, number, 2, NOW)
    }

    #[test]
    fn a_session_wants_what_is_just_ahead_of_it() {
        let sessions = sessions(&[(1, 5), (1, 6)]);
        assert!(wants(&sessions, 1, 6) && wants(&sessions, 1, 8));
        for (rendition, number) in [(1, 5), (1, 9), (2, 7)] {
            assert!(!wants(&sessions, rendition, number), "{rendition} {number}");
        }
    }

    #[test]
    fn one_that_switches_leaves_its_rendition_and_sound_is_apart() {
        let switched = sessions(&[(1, 5), (10, 5), (2, 6)]);
        assert!(!wants(&switched, 1, 6), "it went to 2");
        assert!(wants(&switched, 2, 7) && wants(&switched, 10, 6));
        let two = sessions(&[(1, 5), (1, 60), (2, 6)]);
        assert!(!wants(&two, 1, 6) && wants(&two, 1, 61), "another watches on");
    }

    #[test]
    fn depth_grows_where_prefetch_was_late_and_shrinks_once_the_buffer_is_full() {
        let mut sessions = sessions(&[]);
        let mut now = NOW;
        let mut number = 0;
        let mut step = |pace, millis| {
            now = now.plus(Duration::from_millis(millis));
            number += 1;
            sessions.asked(at(1, number), pace, 3, now).depth
        };
        assert_eq!([step(LATE, 0), step(IN_PACE, 900)], [1, 1], "the first says nothing");
        assert_eq!([step(LATE, 900), step(LATE, 900), step(LATE, 900)], [2, 3, 3]);
        let filling: Vec<_> = (0..8).map(|_| step(IN_PACE, 2_900)).collect();
        assert_eq!(filling, [3; 8], "it still fills its buffer");
        let playing: Vec<_> = (0..10).map(|_| step(IN_PACE, 4_000)).collect();
        assert_eq!(playing, [3, 3, 3, 2, 2, 2, 2, 1, 1, 1]);
        assert_eq!(step(LATE, 4_000), 2);
    }

    #[test]
    fn a_request_tells_what_its_session_left() {
        let mut sessions = sessions(&[(1, 5)]);
        let mut asks = |rendition, number| sessions.asked(at(rendition, number), IN_PACE, 2, NOW);
        assert_eq!(asks(1, 6), Step { follows: true, left: None, depth: 1 });
        assert_eq!(asks(2, 7), Step { follows: true, left: Some(1), depth: 1 });
        assert_eq!(asks(2, 40), Step { follows: false, left: Some(2), depth: 1 }, "a seek");
    }

    #[test]
    fn who_jumps_wants_nothing_where_it_was_and_is_fetched_for_as_far_ahead_as_before() {
        let mut sessions = sessions(&[(1, 5), (10, 5)]);
        assert_eq!(sessions.asked(at(1, 6), LATE, 3, NOW).depth, 2);
        let jump = sessions.asked(at(1, 60), IN_PACE, 3, NOW);
        assert_eq!(jump, Step { follows: false, left: Some(1), depth: 2 });
        assert!(!wants(&sessions, 1, 7) && wants(&sessions, 1, 61));
        assert!(wants(&sessions, 10, 6), "its sound has not jumped yet");
    }

    #[test]
    fn who_begins_has_not_jumped_and_two_are_not_taken_for_one_for_long() {
        let mut two = sessions(&[(1, 50)]);
        let first = Pace { begins: true, ..IN_PACE };
        assert_eq!(two.asked(at(1, 0), first, 2, NOW).left, None);
        assert!(wants(&two, 1, 51) && wants(&two, 1, 1));

        let mut two = sessions(&[(1, 50), (1, 20)]);
        assert!(!wants(&two, 1, 51), "it seems to have jumped");
        let again = two.asked(at(1, 51), IN_PACE, 2, NOW);
        assert_eq!(again, Step { follows: true, left: None, depth: 1 });
        assert!(wants(&two, 1, 52) && wants(&two, 1, 21));
        assert_eq!(two.asked(at(1, 90), IN_PACE, 2, NOW).left, None, "of two it may be either");
        let later = NOW.plus(Duration::from_secs(20));
        let mut gone = self::sessions(&[(1, 50), (1, 20)]);
        assert!(!gone.asked(at(1, 51), IN_PACE, 2, later).follows, "it was silent for too long");
    }

    /// Seven watch at one place, as an edge tells, and one of them goes elsewhere.
    #[test]
    fn of_many_at_one_place_one_that_leaves_takes_nothing_from_the_others() {
        let told = |viewers| Pace { viewers, ..IN_PACE };
        let crowd = || {
            let mut sessions = sessions(&[]);
            sessions.asked(at(1, 5), told(4), 2, NOW);
            sessions.asked(at(1, 5), told(3), 2, NOW);
            sessions
        };
        let mut jumps = crowd();
        assert_eq!(jumps.asked(at(1, 60), told(1), 2, NOW).left, None);
        assert!(wants(&jumps, 1, 6) && wants(&jumps, 1, 61));
        let mut switches = crowd();
        let step = switches.asked(at(2, 6), told(2), 2, NOW);
        assert_eq!(step, Step { follows: true, left: None, depth: 1 });
        assert!(wants(&switches, 1, 6) && wants(&switches, 2, 7));
        assert_eq!(switches.asked(at(2, 6), told(5), 2, NOW).left, None, "they follow on those");
        let mut all = crowd();
        assert_eq!(all.asked(at(2, 6), told(7), 2, NOW).left, Some(1), "all of them went");
        let mut gone = crowd();
        assert_eq!(gone.asked(at(1, 60), told(7), 2, NOW).left, Some(1));
    }

    #[test]
    fn a_guess_that_does_not_come_true_is_made_once() {
        let mut sessions = sessions(&[(1, 5)]);
        assert!(sessions.guess(at(1, 5), 2, 1000));
        assert!(!sessions.guess(at(1, 5), 2, 1100) && !sessions.guess(at(1, 5), 2, 900));
        assert!(sessions.guess(at(1, 5), 2, 1101), "the throughput is another");
        sessions.asked(at(2, 6), IN_PACE, 2, NOW);
        assert!(sessions.guess(at(2, 6), 1, 1101), "it came true");
        assert!(!sessions.guess(at(1, 5), 2, 1), "nobody is there");
    }

    #[test]
    fn who_is_silent_is_gone() {
        let mut sessions = sessions(&[(1, 5)]);
        sessions.watched(presentation(), 3, NOW);
        let later = |secs| NOW.plus(Duration::from_secs(secs));
        assert!(sessions.wants(presentation(), 1, 6, 2, later(19)));
        assert!(!sessions.wants(presentation(), 1, 6, 2, later(20)));
        assert!(sessions.watches(presentation(), 3, later(19)));
        assert!(!sessions.watches(presentation(), 3, later(20)));
        assert!(!sessions.watches(presentation(), 1, NOW));
    }

    #[test]
    fn the_places_are_those_of_who_is_there_still() {
        let mut sessions = Sessions::new(Duration::from_secs(20));
        let later = NOW.plus(Duration::from_secs(10));
        let begins = Pace { begins: true, ..IN_PACE };
        sessions.asked(at(1, 5), begins, 4, NOW);
        sessions.asked(at(1, 50), begins, 4, later);
        sessions.asked(at(1, 51), LATE, 4, later);
        sessions.asked(at(10, 7), begins, 4, later);
        let places = |secs| sessions.places(presentation(), NOW.plus(Duration::from_secs(secs)));
        assert_eq!(places(19), [(at(1, 5), 1), (at(1, 51), 2), (at(10, 7), 1)]);
        assert_eq!(places(20), [(at(1, 51), 2), (at(10, 7), 1)], "one is silent");
        assert_eq!(places(30), []);
        assert_eq!(
            self::sessions(&[(1, 5), (1, 60)]).places(presentation(), NOW),
            [(at(1, 60), 1)]
        );
    }

    #[test]
    fn memory_is_bounded() {
        let mut sessions = Sessions::new(Duration::from_secs(20));
        for number in 0..1000 {
            sessions.asked(at(1, number * 10), IN_PACE, 2, NOW);
            sessions.watched(presentation(), number as u32, NOW);
        }
        let watchers = &sessions.presentations[&presentation()];
        assert_eq!((watchers.sessions.len(), watchers.playlists.len()), (64, 64));
    }

    /// Who asks for parts is on their segment, and is no other's player of whole segments.
    #[test]
    fn a_session_on_parts_is_apart_from_those_on_segments() {
        let mut sessions = sessions(&[(0, 9)]);
        assert!(!sessions.asked_part(at(0, 10), 0, NOW).follows);
        let again = sessions.asked_part(at(0, 10), 0, NOW);
        assert_eq!(again, Step { follows: true, left: None, depth: 0 });
        let elsewhere = sessions.asked_part(at(1, 11), 0, NOW);
        assert_eq!(elsewhere, Step { follows: true, left: Some(0), depth: 0 });
        let places = sessions.places(presentation(), NOW);
        assert_eq!(places, [(at(0, 9), 1)], "nothing whole is fetched for who asks for parts");
        assert!(sessions.asked(at(0, 10), IN_PACE, 4, NOW).follows);
    }

    #[test]
    fn of_who_asks_for_parts_no_segment_is_expected() {
        let mut sessions = sessions(&[]);
        sessions.asked_part(at(0, 10), 0, NOW);
        assert_eq!(sessions.depth(at(0, 10)), None);
        assert!(!sessions.guess(at(0, 10), 1, 1_000_000) && !wants(&sessions, 0, 11));
        sessions.asked(at(0, 10), IN_PACE, 4, NOW);
        assert_eq!(sessions.depth(at(0, 10)), Some(1), "another is there for segments");
        assert!(sessions.guess(at(0, 10), 1, 1_000_000) && wants(&sessions, 0, 11));
    }
}
