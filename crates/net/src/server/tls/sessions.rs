//! The QUIC sessions that may be resumed (RFC 8446 §2.2): kept here, shared by all workers, and each
//! good once. What a client shows is only a name for its session: rustls takes early data in no
//! other way, and a flight that somebody has recorded finds its session gone (RFC 8446 §8.1).
//!
//! A process that takes over gets them, and they are gone here then: at any moment a session is in one
//! place, so that early data stays good once. They are good there under the same [`Terms`] only. When
//! clients here are to show something else, all are forgotten, and those are not kept that come of
//! handshakes that began before.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::server::StoresServerSessions;
use serde::{Deserialize, Serialize};

use super::clients::Asked;

/// Sessions kept; the oldest is forgotten first. Each connection gets two.
const KEPT: usize = 4096;
/// The largest session that another process is given, in bytes; those of clients that showed long
/// chains of certificates are larger. All that it is given together.
const LARGEST_GIVEN: usize = 12 << 10;
const MOST_GIVEN: usize = 4 << 20;

/// What clients rely on when they resume a session, and that may be another by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::server) struct Terms {
    /// What they have to show: who resumes a session shows nothing.
    pub(super) asked: Asked,
    /// What early data may use up (RFC 9000 §7.4.1, RFC 9114 §7.2.4.2): they remember it.
    pub(super) limits: [u32; 4],
}

/// One session on its way to another process of the same user.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::server) struct Session {
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Session {
    /// Its size in bytes.
    pub(in crate::server) fn len(&self) -> usize {
        self.name.len() + self.value.len()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// See the module.
#[derive(Debug)]
pub(in crate::server) struct Sessions {
    kept: Mutex<Kept>,
    refused: Arc<AtomicU64>,
}

struct Kept {
    /// What all of them were made under.
    terms: Terms,
    by_name: HashMap<Vec<u8>, Vec<u8>>,
    /// As they came; some are taken by now.
    order: VecDeque<Vec<u8>>,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("sessions", &self.by_name.len()).finish_non_exhaustive()
    }
}

impl Sessions {
    /// None yet. Counts in `refused` what is asked for and not there.
    pub(in crate::server) fn new(terms: Terms, refused: Arc<AtomicU64>) -> Arc<Self> {
        Arc::new(Self { kept: Mutex::new(Kept::new(terms)), refused })
    }

    /// Those of handshakes in which clients are asked for this. Where it is something else than before,
    /// there are none yet.
    pub(super) fn under(sessions: &Arc<Self>, asked: Asked) -> Arc<Under> {
        let mut kept = sessions.lock();
        if kept.terms.asked != asked {
            *kept = Kept::new(Terms { asked, ..kept.terms });
        }
        drop(kept);
        Arc::new(Under { sessions: Arc::clone(sessions), asked })
    }

    /// Gives all away, the newest first, but for what would be too much; and what they were made under.
    pub(in crate::server) fn give(&self) -> (Terms, Vec<Session>) {
        let mut kept = self.lock();
        let empty = Kept::new(kept.terms);
        let Kept { terms, mut by_name, order } = std::mem::replace(&mut *kept, empty);
        drop(kept);
        let mut bytes = 0;
        let newest = order.into_iter().rev();
        let given = newest
            .filter_map(|name| by_name.remove(&name).map(|value| Session { name, value }))
            .filter(|session| session.len() <= LARGEST_GIVEN)
            .take_while(|session| {
                bytes += session.len();
                bytes <= MOST_GIVEN
            })
            .collect();
        (terms, given)
    }

    /// Takes what another process gave away, in the order that it did, if it was made under the same.
    pub(in crate::server) fn add(&self, terms: Terms, given: Vec<Session>) {
        let mut kept = self.lock();
        if kept.terms != terms {
            return;
        }
        for Session { name, value } in given {
            if kept.order.len() < KEPT && kept.by_name.insert(name.clone(), value).is_none() {
                kept.order.push_front(name);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn new(terms: Terms) -> Self {
        Self { terms, by_name: HashMap::new(), order: VecDeque::new() }
    }
}

/// The sessions of handshakes in which clients are asked for one thing.
#[derive(Debug)]
pub(super) struct Under {
    sessions: Arc<Sessions>,
    asked: Asked,
}

impl Under {
    /// All of them, while that is what clients are asked for.
    fn kept(&self) -> Option<MutexGuard<'_, Kept>> {
        Some(self.sessions.lock()).filter(|kept| kept.terms.asked == self.asked)
    }
}

impl StoresServerSessions for Under {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let Some(mut kept) = self.kept() else { return false };
        if kept.by_name.insert(key.clone(), value).is_none() {
            kept.order.push_back(key);
        }
        while kept.order.len() > KEPT
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.by_name.remove(&oldest);
        }
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.kept()?.by_name.get(key).cloned()
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let taken = self.kept().and_then(|mut kept| kept.by_name.remove(key));
        if taken.is_none() {
            self.sessions.refused.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::clients::ASKED;
    use super::*;

    const TERMS: Terms = Terms { asked: [0; ASKED], limits: [0; 4] };

    /// Of handshakes in which clients are asked for nothing.
    fn sessions() -> Arc<Under> {
        Sessions::under(&Sessions::new(TERMS, Arc::default()), TERMS.asked)
    }

    fn name(number: usize) -> Vec<u8> {
        number.to_be_bytes().to_vec()
    }

    #[test]
    fn a_session_is_good_once() {
        let sessions = sessions();
        assert!(sessions.put(vec![1], vec![2]));
        assert_eq!(sessions.take(&[1]), Some(vec![2]));
        assert_eq!(sessions.take(&[1]), None);
        assert_eq!(sessions.sessions.refused.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_clients_showed_before_is_good_for_nothing_when_they_are_asked_for_something_else() {
        let before = sessions();
        assert!(before.put(vec![1], vec![2]) && before.put(vec![3], vec![4]));
        let now = Sessions::under(&before.sessions, [1; ASKED]);
        assert_eq!((now.take(&[1]), before.take(&[1])), (None, None));
        // A handshake that was under way.
        assert!(!before.put(vec![5], vec![6]));
        assert!(now.put(vec![7], vec![8]));
        assert_eq!(before.get(&[7]), None);
        // Settings made anew for the same forget nothing.
        let again = Sessions::under(&before.sessions, [1; ASKED]);
        assert_eq!(again.take(&[7]), Some(vec![8]));
        let (terms, given) = before.sessions.give();
        assert_eq!((terms.asked, given.len()), ([1; ASKED], 0));
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        let sessions = sessions();
        for number in 0..=KEPT {
            assert!(sessions.put(name(number), vec![0; 9]));
        }
        assert_eq!(sessions.get(&name(0)), None);
        assert!(sessions.get(&name(1)).is_some());
        let kept = sessions.sessions.lock();
        assert_eq!((kept.by_name.len(), kept.order.len()), (KEPT, KEPT));
    }

    #[test]
    fn a_session_that_was_given_away_is_good_there_alone_and_once() {
        let (here, there) = (sessions(), sessions());
        for number in 0..10 {
            here.put(name(number), name(number + 1));
        }
        here.take(&name(3));
        here.put(vec![1], vec![0; LARGEST_GIVEN]);
        let (terms, given) = here.sessions.give();
        assert_eq!(given.len(), 9, "neither what was used nor what is too large");
        assert!(given.windows(2).all(|two| two[0].name > two[1].name), "the newest first");
        there.sessions.add(Terms { limits: [1; 4], ..terms }, given.clone());
        assert_eq!(there.get(&name(1)), None, "made under other terms");
        there.sessions.add(terms, given.clone());
        there.sessions.add(terms, given);
        for number in 0..10 {
            assert_eq!(here.take(&name(number)), None);
            assert_eq!(there.take(&name(number)).is_some(), number != 3);
            assert_eq!(there.take(&name(number)), None);
        }
        for number in 0..KEPT {
            here.put(name(number), vec![0; 2 << 10]);
        }
        let (_, given) = here.sessions.give();
        assert!(given.iter().map(Session::len).sum::<usize>() <= MOST_GIVEN);
        assert!(given.len() > 1000);
    }
}
