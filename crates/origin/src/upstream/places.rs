//! Places at an origin: how many requests it is given at one time, and how many may wait for one.
//!
//! A cache collapses equal requests; what may not be stored passes uncollapsed, as often as it is
//! asked for. Here is the end of that: beyond the places requests wait, a bounded number for a
//! bounded time, and beyond those they are refused.

use std::sync::Arc;
use std::time::Duration;

use headwater_net::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::prefetch::Wanted;
use crate::pressure::Pressure;

/// How many requests one origin is given.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlacesConfig {
    /// Requests that one origin answers at one time, until the last byte of each; 1,024 by default.
    pub at_once: usize,
    /// Requests that may wait for a place at one origin; 1,024 by default. Beyond them the answer
    /// is 503 with `Retry-After`, unless another origin has a place.
    pub waiting: usize,
    /// How long one may wait; 5 s by default.
    pub patience: Duration,
}

impl Default for PlacesConfig {
    fn default() -> Self {
        Self { at_once: 1024, waiting: 1024, patience: Duration::from_secs(5) }
    }
}

impl PlacesConfig {
    /// Gives each origin `at_once` requests and lets `waiting` more wait; at least one place there
    /// is.
    pub fn new(at_once: usize, waiting: usize) -> Self {
        Self { at_once, waiting, ..Self::default() }
    }

    /// Replaces [`PlacesConfig::patience`].
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }
}

/// The places at one origin.
#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    waiting: Semaphore,
    patience: Duration,
    /// What those are told that fetch ahead.
    pressure: Pressure,
}

/// A place, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Places {
    pub(super) fn new(config: &PlacesConfig) -> Self {
        let semaphore = |permits: usize| Semaphore::new(permits.min(Semaphore::MAX_PERMITS));
        let at_once = config.at_once.clamp(1, Semaphore::MAX_PERMITS);
        let free = Arc::new(semaphore(at_once));
        let pressure = Pressure::of(&free, at_once);
        Self { free, waiting: semaphore(config.waiting), patience: config.patience, pressure }
    }

    /// How loaded they are.
    pub(super) const fn pressure(&self) -> &Pressure {
        &self.pressure
    }

    /// A place, at once or after a wait in turn; `None` where too many wait, or too long. That a request
    /// waits is told under [`pressure`](Self::pressure); of one that is sent ahead, once somebody waits for it.
    pub(super) async fn take(&self, ahead: Option<&Wanted>) -> Option<Place> {
        let places = || Arc::clone(&self.free);
        if let Ok(place) = places().try_acquire_owned() {
            return Some(Place(place));
        }
        let _waiting = self.waiting.try_acquire().ok()?;
        let place = async {
            // The semaphore is never closed.
            let place = tokio::time::timeout(self.patience, places().acquire_owned()).await;
            place.ok()?.ok().map(Place)
        };
        let mut place = std::pin::pin!(place);
        if let Some(wanted) = ahead {
            tokio::select! {
                biased;
                place = &mut place => return place,
                () = wanted.comes() => {}
            }
        }
        let _told = self.pressure.wait();
        place.await
    }
}

impl Place {
    /// Keeps the place until `body` has come or was given up. A body that is there needs none.
    pub(super) fn hold(self, body: Body) -> Body {
        body.on_end(move |_| drop(self))
    }
}
