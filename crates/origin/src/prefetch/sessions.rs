//! Who is watching where, as far as requests show it: nobody is named. Pure: time is given.
//!
//! A session asks for one segment after the other. So a request for a segment is that of the session
//! which asked for the one before, in the same rendition or in another of its kind; where there is
//! none, a new session begins. A rendition of sound has a session of its own beside that of the
//! pictures. That is enough to tell whether somebody will still want what is being fetched: nobody
//! does once the session has gone to another rendition, or is silent.

use std::collections::HashMap;
use std::time::Duration;

use headwater_net::Timestamp;

use crate::map::PresentationId;

/// Sessions that are told apart in one presentation; beyond it the longest silent is forgotten.
const MAX_SESSIONS: usize = 64;

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
    seen: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Session {
    rendition: u32,
    group: u32,
    number: u64,
    seen: Timestamp,
}

impl Sessions {
    /// No sessions yet; each counts as gone once it was silent for `silence`.
    pub fn new(silence: Duration) -> Self {
        Self { presentations: HashMap::new(), silence }
    }

    /// A client asks for the segment at `place`.
    pub fn asked(&mut self, place: Place, now: Timestamp) {
        let watchers = self.watchers(place.presentation, now);
        let follows = |session: &Session| {
            let ahead = place.number.checked_sub(session.number);
            session.group == place.group && ahead.is_some_and(|ahead| ahead <= 2)
        };
        let latest = |same: bool| {
            let of = watchers.sessions.iter().enumerate().filter(|(_, session)| {
                follows(session) && (session.rendition == place.rendition) == same
            });
            of.max_by_key(|(_, session)| (session.number, session.seen)).map(|(at, _)| at)
        };
        let new = Session {
            rendition: place.rendition,
            group: place.group,
            number: place.number,
            seen: now,
        };
        let known = latest(true).or_else(|| latest(false));
        if let Some(session) = known.and_then(|at| watchers.sessions.get_mut(at)) {
            *session = new;
            return;
        }
        if watchers.sessions.len() >= MAX_SESSIONS {
            let oldest = watchers.sessions.iter().enumerate().min_by_key(|(_, s)| s.seen);
            if let Some(at) = oldest.map(|(at, _)| at) {
                watchers.sessions.swap_remove(at);
            }
        }
        watchers.sessions.push(new);
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

    /// Whether a session is in `rendition` at most `ahead` segments before `number`.
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
                && far.is_some_and(|far| far <= ahead as u64)
                && now.since(session.seen) < self.silence
        })
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

    fn at(rendition: u32, number: u64) -> Place {
        let group = u32::from(rendition >= 10);
        Place { presentation: presentation(), rendition, group, number }
    }

    fn sessions(asked: &[(u32, u64)]) -> Sessions {
        let mut sessions = Sessions::new(Duration::from_secs(20));
        for (rendition, number) in asked {
            sessions.asked(at(*rendition, *number), NOW);
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
    fn memory_is_bounded() {
        let mut sessions = Sessions::new(Duration::from_secs(20));
        for number in 0..1000 {
            sessions.asked(at(1, number * 10), NOW);
            sessions.watched(presentation(), number as u32, NOW);
        }
        let watchers = &sessions.presentations[&presentation()];
        assert_eq!((watchers.sessions.len(), watchers.playlists.len()), (64, 64));
    }
}
