//! Assets of sources that were opened elsewhere: looked at again from time to time, as files are.
//!
//! A look takes as long as the slowest source takes to answer, and changes nothing where that is
//! too long. What is known is answered while one request looks, unless a read has shown that it may
//! be wrong. What a look is to find out is forgotten only when it has: a client that leaves while
//! its request looks loses nothing for others.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use headwater_net::Timestamp;
use tokio::task::JoinSet;

use super::Found;
use crate::source::{AnySource, Source, SourceError};

/// How long what was seen of sources across a network is believed.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// How long no look is made out of doubt after one that was.
const DOUBT_AGAIN: Duration = Duration::from_secs(1);

/// How long a look may take. A store that does not answer in time changes nothing: what is known is
/// served on.
const PATIENCE: Duration = Duration::from_secs(2);

/// Sources of one asset that are looked at at the same time.
const LOOKS_AT_ONCE: usize = 16;

/// The sources of one asset.
pub(super) struct Sources {
    name: String,
    known: Mutex<Known>,
    /// Held by the request that looks.
    turn: tokio::sync::Mutex<()>,
}

struct Known {
    sources: Vec<AnySource>,
    /// `None` while one of them is not there.
    found: Option<Arc<Found>>,
    /// `None` before the first use: they were opened just before.
    looked: Option<Timestamp>,
    /// When a look out of doubt was last made.
    doubt_looked: Option<Timestamp>,
    /// How often there was doubt, and of those how often before a look that found out.
    doubts: u64,
    settled_doubts: u64,
}

/// Why to look.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// What is known is old.
    Age,
    /// What is known was doubted.
    Doubt,
}

impl Sources {
    pub(super) fn new(name: &str, sources: Vec<AnySource>) -> Self {
        let found = Some(Arc::new(Found::sources(name, sources.clone())));
        let known = Known {
            sources,
            found,
            looked: None,
            doubt_looked: None,
            doubts: 0,
            settled_doubts: 0,
        };
        Self {
            name: name.to_owned(),
            known: Mutex::new(known),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// The asset as it is now; `None` where a source of it is gone. One request looks; those that
    /// come meanwhile are answered from what is known, or where that was doubted wait.
    pub(super) async fn find(&self, now: Timestamp) -> Option<Arc<Found>> {
        let reason = self.known().reason_to_look(now);
        let turn = match reason {
            None => None,
            Some(Reason::Age) => self.turn.try_lock().ok(),
            Some(Reason::Doubt) => Some(self.turn.lock().await),
        };
        if let Some(_turn) = turn {
            self.look(now).await;
        }
        self.known().found.clone()
    }

    /// Makes the next [`find`](Self::find) look, unless one did out of doubt within a second.
    pub(super) fn doubt(&self) {
        self.known().doubts += 1;
    }

    /// Looks, unless whoever had the turn before has done it.
    async fn look(&self, now: Timestamp) {
        let (reason, sources, doubts) = {
            let mut known = self.known();
            let Some(reason) = known.reason_to_look(now) else { return };
            (reason, known.sources.clone(), known.doubts)
        };
        let seen = tokio::time::timeout(PATIENCE, renewed(&sources)).await;
        let mut known = self.known();
        known.looked = Some(now);
        if reason == Reason::Doubt {
            known.doubt_looked = Some(now);
        }
        match seen {
            Ok(Ok(Some(sources))) => {
                known.found = Some(Arc::new(Found::sources(&self.name, sources.clone())));
                known.sources = sources;
            }
            Ok(Ok(None)) if known.found.is_none() => {
                let again = Found::sources(&self.name, known.sources.clone());
                known.found = Some(Arc::new(again));
            }
            Ok(Ok(None)) => {}
            Ok(Err(SourceError::NotFound)) => known.found = None,
            Ok(Err(error)) => {
                tracing::warn!(asset = self.name, %error, "sources were not looked at again");
                return;
            }
            Err(_) => {
                tracing::warn!(asset = self.name, "looking at sources again took too long");
                return;
            }
        }
        known.settled_doubts = doubts;
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn reason_to_look(&mut self, now: Timestamp) -> Option<Reason> {
        let looked = *self.looked.get_or_insert(now);
        let may_doubt = self.doubt_looked.is_none_or(|at| now.since(at) >= DOUBT_AGAIN);
        if self.doubts != self.settled_doubts && may_doubt {
            return Some(Reason::Doubt);
        }
        (now.since(looked) >= LOOK_AGAIN).then_some(Reason::Age)
    }
}

/// The sources as they are now; `None` where all are as they were.
async fn renewed(sources: &[AnySource]) -> Result<Option<Vec<AnySource>>, SourceError> {
    let mut all = sources.to_vec();
    let mut waiting = sources.iter().cloned().enumerate();
    let mut looks = JoinSet::new();
    let (mut changed, mut failed) = (false, None);
    loop {
        while looks.len() < LOOKS_AT_ONCE
            && let Some((position, source)) = waiting.next()
        {
            looks.spawn(async move { (position, source.renewed().await) });
        }
        let Some(look) = looks.join_next().await else { break };
        let (position, seen) =
            look.map_err(|_| SourceError::Io(std::io::ErrorKind::Interrupted))?;
        match (seen, all.get_mut(position)) {
            (Ok(Some(now)), Some(source)) => {
                *source = now;
                changed = true;
            }
            (Ok(_), _) => {}
            // Whatever else there is to say, the asset is not whole.
            (Err(SourceError::NotFound), _) => return Err(SourceError::NotFound),
            (Err(error), _) => failed = Some(error),
        }
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(changed.then_some(all)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use std::sync::atomic::{AtomicU64, Ordering};

    use bytes::Bytes;

    use super::*;
    use crate::identity::SourceId;
    use crate::units::ByteRange;

    /// A store that takes its time to say which state its files are in.
    #[derive(Clone, Default)]
    struct Store(Arc<Shelf>);

    #[derive(Default)]
    struct Shelf {
        state: AtomicU64,
        looks: AtomicU64,
        millis: AtomicU64,
    }

    struct Slow(Store, SourceId);

    impl Store {
        fn with(files: usize, millis: u64) -> (Self, Sources) {
            let store = Self::default();
            store.0.millis.store(millis, Ordering::SeqCst);
            let file = |n| AnySource::new(store.open(&format!("{n}.mp4")));
            let sources = Sources::new("film", (0..files).map(file).collect());
            (store, sources)
        }

        fn open(&self, name: &str) -> Slow {
            let state = self.0.state.load(Ordering::SeqCst).to_string();
            Slow(self.clone(), SourceId::new(name, 1, state))
        }

        fn replace(&self) {
            self.0.state.fetch_add(1, Ordering::SeqCst);
        }

        fn looks(&self) -> u64 {
            self.0.looks.load(Ordering::SeqCst)
        }
    }

    impl Source for Slow {
        fn id(&self) -> &SourceId {
            &self.1
        }

        async fn read(&self, _: &[ByteRange]) -> Result<Vec<Bytes>, SourceError> {
            Err(SourceError::Changed)
        }

        async fn renewed(&self) -> Result<Option<AnySource>, SourceError> {
            let Self(store, id) = self;
            store.0.looks.fetch_add(1, Ordering::SeqCst);
            let millis = store.0.millis.load(Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(millis)).await;
            let now = store.open(&id.name);
            Ok((now.id() != id).then(|| AnySource::new(now)))
        }
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(2_000_000_000_000 + millis)
    }

    async fn key(sources: &Sources, millis: u64) -> u64 {
        sources.find(at(millis)).await.unwrap().key
    }

    #[tokio::test(start_paused = true)]
    async fn a_ladder_is_looked_at_at_once() {
        let (store, sources) = Store::with(40, 600);
        let first = key(&sources, 0).await;
        store.replace();
        assert_eq!(key(&sources, 4_999).await, first);
        assert_eq!(store.looks(), 0);
        // Three rounds; one after the other they would take 24 s.
        assert_ne!(key(&sources, 5_000).await, first);
        assert_eq!(store.looks(), 40);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_known_is_answered_while_one_looks() {
        let (store, sources) = Store::with(2, 1_000);
        let first = key(&sources, 0).await;
        store.replace();
        let soon = Duration::from_millis(10);
        let mut looking = Box::pin(key(&sources, 5_000));
        assert!(tokio::time::timeout(soon, &mut looking).await.is_err());
        let other = tokio::time::timeout(soon, key(&sources, 5_000)).await;
        assert_eq!(other, Ok(first));
        assert_ne!(looking.await, first);
        assert_eq!(store.looks(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_leaves_takes_no_doubt_along() {
        let (store, sources) = Store::with(2, 1_000);
        let first = key(&sources, 0).await;
        store.replace();
        sources.doubt();
        let soon = Duration::from_millis(10);
        let left = tokio::time::timeout(soon, key(&sources, 1)).await;
        assert!(left.is_err(), "who doubts waits");
        assert_ne!(key(&sources, 2).await, first);
    }

    #[tokio::test(start_paused = true)]
    async fn doubt_looks_once_a_second_and_stays_until_it_is_settled() {
        let (store, sources) = Store::with(1, 1);
        let first = key(&sources, 0).await;
        for millis in 0..1_000 {
            sources.doubt();
            assert_eq!(key(&sources, millis).await, first);
        }
        assert_eq!(store.looks(), 1);
        store.replace();
        let second = key(&sources, 1_000).await;
        assert_ne!(second, first, "the doubt of a moment ago");
        assert_eq!(key(&sources, 3_000).await, second);
        assert_eq!(store.looks(), 2, "no doubt is left");

        // A look that finds nothing out settles nothing.
        store.replace();
        store.0.millis.store(60_000, Ordering::SeqCst);
        sources.doubt();
        assert_eq!(key(&sources, 3_001).await, second);
        store.0.millis.store(1, Ordering::SeqCst);
        assert_eq!(key(&sources, 4_000).await, second);
        assert_ne!(key(&sources, 4_001).await, second);
    }
}
