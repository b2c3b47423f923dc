//! What fetching ahead must know of an origin's load: how many of its places are taken, and whether a real
//! request has to wait for one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The load of one origin, for what fetches ahead of it: while a real request waits for a place there, nothing
/// is begun, and what stands in its way is given up. What waits at another origin is none of its concern.
///
/// A handle: clones tell of the same origin. The default is that of one that has room for all.
#[derive(Clone, Debug, Default)]
pub struct Pressure(Arc<Load>);

#[derive(Debug, Default)]
struct Load {
    /// How many places there are; `None` where there is room for all.
    places: Option<usize>,
    /// Those that are taken.
    taken: AtomicUsize,
    /// Real requests that wait for a place.
    waiting: AtomicUsize,
    changed: Notify,
}

impl Pressure {
    /// That of an origin of so many places, none of which is taken.
    pub(crate) fn of(at_once: usize) -> Self {
        Self(Arc::new(Load { places: Some(at_once), ..Load::default() }))
    }

    /// One more is taken.
    pub(crate) fn take(&self) {
        self.0.taken.fetch_add(1, Ordering::AcqRel);
    }

    /// One that was is free.
    pub(crate) fn give_back(&self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }

    /// How many places are taken.
    pub(crate) fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Acquire)
    }

    /// Whether fewer than so many percent of the places are taken, and nobody waits for one.
    pub(crate) fn has_room(&self, percent: u8) -> bool {
        let Some(at_once) = self.0.places else { return true };
        !self.is_high() && self.taken() as u128 * 100 < at_once as u128 * u128::from(percent)
    }

    /// A real request waits for a place, until the guard is dropped.
    pub(crate) fn wait(&self) -> Waits<'_> {
        self.0.waiting.fetch_add(1, Ordering::AcqRel);
        self.0.changed.notify_waiters();
        Waits(&self.0)
    }

    /// Returns when a real request waits for a place.
    pub(crate) async fn high(&self) {
        loop {
            let changed = self.0.changed.notified();
            if self.is_high() {
                return;
            }
            changed.await;
        }
    }

    /// Whether one waits now.
    pub(crate) fn is_high(&self) -> bool {
        self.0.waiting.load(Ordering::Acquire) > 0
    }
}

/// One real request that waits.
pub(crate) struct Waits<'a>(&'a Load);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}
