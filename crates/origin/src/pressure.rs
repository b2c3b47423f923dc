//! What fetching ahead must know of the origins' load: whether they have room, and whether a real
//! request has to wait for a place.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

type Room = Box<dyn Fn(u8) -> bool + Send + Sync>;

/// Shared by the origins and by what fetches ahead of them.
#[derive(Default)]
pub(crate) struct Pressure {
    waiting: AtomicUsize,
    changed: Notify,
    room: OnceLock<Room>,
}

impl Pressure {
    /// How to find out whether the origin that would be asked is filled to less than so many
    /// percent. Until it is told, there is room.
    pub(crate) fn ask(&self, room: impl Fn(u8) -> bool + Send + Sync + 'static) {
        // Set once, where origins are built.
        let _ = self.room.set(Box::new(room));
    }

    /// A real request waits for a place, until the guard is dropped.
    pub(crate) fn wait(&self) -> Waits<'_> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_waiters();
        Waits(self)
    }

    /// Whether there is room to fetch ahead.
    pub(crate) fn has_room(&self, percent: u8) -> bool {
        !self.is_high() && self.room.get().is_none_or(|room| room(percent))
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

    fn is_high(&self) -> bool {
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
