//! What fetching ahead must know of the origins' load: whether a real request has to wait for a place.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Real requests that wait for a place at an origin. Shared by the origins, of several groups where there
/// are some, and by what fetches ahead of them: while one waits, nothing is begun, and what stands in its
/// way is given up.
#[derive(Debug, Default)]
pub struct Pressure {
    waiting: AtomicUsize,
    changed: Notify,
}

impl Pressure {
    /// A real request waits for a place, until the guard is dropped.
    pub(crate) fn wait(&self) -> Waits<'_> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_waiters();
        Waits(self)
    }

    /// Returns when a real request waits for a place.
    pub(crate) async fn high(&self) {
        loop {
            let changed = self.changed.notified();
            if self.is_high() {
                return;
            }
            changed.await;
        }
    }

    /// Whether one waits now.
    pub(crate) fn is_high(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }
}

/// One real request that waits.
pub(crate) struct Waits<'a>(&'a Pressure);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}
