//! What fetching ahead must know of an origin's load: how many of its places are taken, and whether a real
//! request has to wait for one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, Semaphore};

/// The load of one origin, for what fetches ahead of it: while a real request waits for a place there, nothing
/// is begun, and what stands in its way is given up. What waits at another origin is none of its concern.
///
/// A handle: clones tell of the same origin. The default is that of one that has room for all.
#[derive(Clone, Debug, Default)]
pub struct Pressure(Arc<Load>);

#[derive(Debug, Default)]
struct Load {
    /// Those that are free, and how many there are.
    places: Option<(Arc<Semaphore>, usize)>,
    /// Real requests that wait for a place.
    waiting: AtomicUsize,
    changed: Notify,
}

impl Pressure {
    /// That of an origin of so many places.
    pub(crate) fn of(free: &Arc<Semaphore>, at_once: usize) -> Self {
        let places = Some((Arc::clone(free), at_once));
        Self(Arc::new(Load { places, ..Load::default() }))
    }

    /// How many places are taken.
    pub(crate) fn taken(&self) -> usize {
        let places = self.0.places.as_ref();
        places.map_or(0, |(free, at_once)| at_once.saturating_sub(free.available_permits()))
    }

    /// Whether fewer than so many percent of the places are taken, and nobody waits for one.
    pub(crate) fn has_room(&self, percent: u8) -> bool {
        let Some((_, at_once)) = self.0.places else { return true };
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
