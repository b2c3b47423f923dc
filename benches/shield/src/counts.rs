//! What is counted on the way between players, edges, shield and origin.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use headwater_bench_traces::traffic::{Object, Part};
use http::HeaderMap;
use serde::Serialize;

/// Where a segment stands in what its viewer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The first of a session.
    First,
    /// The first after a seek.
    Sought,
    /// It follows on the segment before: in the session.
    Following,
}

/// How a cache answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It was there.
    Here,
    /// It was on its way: the request joined a fetch.
    Coming,
    /// It was fetched.
    Not,
}

impl Found {
    /// What the member of `Cache-Status` says that was added last (RFC 9211 §2).
    pub fn of(headers: &HeaderMap) -> Self {
        let last = headers.get_all("cache-status").iter().next_back();
        let member = last.and_then(|value| value.to_str().ok()).unwrap_or("");
        let member = member.rsplit(',').next().unwrap_or("");
        let says = |what: &str| member.split(';').any(|part| part.trim() == what);
        if says("hit") {
            Self::Here
        } else if says("collapsed") {
            Self::Coming
        } else {
            Self::Not
        }
    }
}

/// Requests, and how they were answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub requests: u64,
    pub here: u64,
    pub coming: u64,
}

impl Tally {
    pub fn add(&mut self, found: Found) {
        self.requests += 1;
        self.here += u64::from(found == Found::Here);
        self.coming += u64::from(found == Found::Coming);
    }

    /// Hits, in per cent.
    pub fn hits(&self) -> f64 {
        share(self.here, self.requests)
    }

    /// Requests that joined a fetch, in per cent.
    pub fn joined(&self) -> f64 {
        share(self.coming, self.requests)
    }
}

/// In per cent.
pub fn share(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

/// The counts of one scene. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<Mutex<Inner>>);

/// See [`Counts`].
#[derive(Debug, Default)]
pub struct Inner {
    /// Segments of which some viewer was the first, and where the viewer was.
    steps: HashMap<Object, Step>,
    /// Segments that somebody asked the shield for, and each edge.
    at_shield: HashSet<Object>,
    at_edge: HashSet<(usize, Object)>,
    /// All segment requests at the shield.
    pub shield: Tally,
    /// The first for each segment there: of sessions that go on, and of those that begin or seek.
    pub following: Tally,
    pub starting: Tally,
    /// All segment requests at the edges, and the first for each at each edge.
    pub edge: Tally,
    pub edge_first: Tally,
    /// Bytes that players read.
    pub read: u64,
    /// Answers that were no segment, or were cut short.
    pub failed: u64,
}

impl Counts {
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A viewer is about to ask for a segment.
    pub fn asks(&self, object: Object, step: Step) {
        self.lock().steps.entry(object).or_insert(step);
    }

    /// The shield answered an edge.
    pub fn shield_answered(&self, object: Object, found: Found) {
        if !matches!(object.part, Part::Segment(_)) {
            return;
        }
        let mut inner = self.lock();
        inner.shield.add(found);
        if inner.at_shield.insert(object) {
            match inner.steps.get(&object) {
                Some(Step::Following) => inner.following.add(found),
                Some(Step::First | Step::Sought) | None => inner.starting.add(found),
            }
        }
    }

    /// An edge answered a player.
    pub fn edge_answered(&self, edge: usize, object: Object, found: Found) {
        if !matches!(object.part, Part::Segment(_)) {
            return;
        }
        let mut inner = self.lock();
        inner.edge.add(found);
        if inner.at_edge.insert((edge, object)) {
            inner.edge_first.add(found);
        }
    }
}
