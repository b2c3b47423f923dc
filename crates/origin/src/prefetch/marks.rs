//! What is said of a request that is fetched ahead of need, as extensions of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::request::Parts;
use tokio::sync::Notify;

/// Marks a request as sent ahead of need: an extension of the request. A shield that meets it
/// answers, and counts it as nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefetched;

impl Prefetched {
    /// Whether nobody waits for the answer to a request.
    pub(crate) fn is_mark_of(request: &Parts) -> bool {
        let wanted = request.extensions.get::<Wanted>();
        request.extensions.get::<Self>().is_some() && !wanted.is_some_and(Wanted::is_set)
    }

    /// Whether a request yields to others on its way to the origin: nobody waits for its answer, and
    /// nobody is about to.
    pub(crate) fn yields(request: &Parts) -> bool {
        Self::is_mark_of(request) && request.extensions.get::<Urgent>().is_none()
    }
}

/// Beside [`Prefetched`]: whoever it is for has little left to play.
#[derive(Clone, Copy, Debug)]
pub(super) struct Urgent;

/// Beside [`Prefetched`]: whether somebody waits for it by now. Clones tell of the same request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted(Arc<(AtomicBool, Notify)>);

impl Wanted {
    /// That of a request that is sent ahead; `None` where somebody waits for its answer.
    pub(crate) fn of(request: &Parts) -> Option<Self> {
        let own = || request.extensions.get::<Self>().cloned().unwrap_or_default();
        Prefetched::is_mark_of(request).then(own)
    }

    /// Somebody does.
    pub(super) fn set(&self) {
        let (set, told) = &*self.0;
        set.store(true, Ordering::Release);
        told.notify_waiters();
    }

    /// Whether somebody does.
    fn is_set(&self) -> bool {
        self.0.0.load(Ordering::Acquire)
    }

    /// Returns when somebody does.
    pub(crate) async fn comes(&self) {
        loop {
            let told = self.0.1.notified();
            if self.is_set() {
                return;
            }
            told.await;
        }
    }
}
