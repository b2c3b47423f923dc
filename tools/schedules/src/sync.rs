//! Stand-ins for what the cache's fills lock, count and wait with: each step is a choice of
//! shuttle's scheduler. Part of `headwater-cache`'s source under `cfg(shuttle)`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

pub(crate) use shuttle::future::yield_now;
pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
pub(crate) use shuttle::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::lock;

/// Time stands still here: what is waited for comes, or the test does not end.
pub(crate) async fn timeout<F: Future>(
    _: Duration,
    waited: F,
) -> Result<F::Output, std::convert::Infallible> {
    Ok(waited.await)
}

/// Tokio's `Notify`, as far as fills use it: whoever was created before `notify_waiters` is woken
/// by it, polled or not; `notify_one` leaves a permit for the next.
#[derive(Debug)]
pub(crate) struct Notify(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// How often all were notified.
    rounds: u64,
    permit: bool,
    waiting: Vec<Waker>,
}

impl Notify {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    pub(crate) fn notify_waiters(&self) {
        let waiting = {
            let mut state = lock(&self.0);
            state.rounds += 1;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn notify_one(&self) {
        let waiting = {
            let mut state = lock(&self.0);
            state.permit = true;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn notified(&self) -> OwnedNotified {
        let since = lock(&self.0).rounds;
        OwnedNotified { state: Arc::clone(&self.0), since }
    }

    pub(crate) fn notified_owned(self: Arc<Self>) -> OwnedNotified {
        self.notified()
    }
}

/// Waits for a notification after its creation.
#[derive(Debug)]
pub(crate) struct OwnedNotified {
    state: Arc<Mutex<State>>,
    since: u64,
}

impl OwnedNotified {
    /// It hears of all that comes from its creation on anyway.
    pub(crate) fn enable(self: Pin<&mut Self>) -> bool {
        lock(&self.state).rounds > self.since
    }
}

impl Future for OwnedNotified {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.rounds > self.since {
            return Poll::Ready(());
        }
        if state.permit {
            state.permit = false;
            return Poll::Ready(());
        }
        state.waiting.push(cx.waker().clone());
        Poll::Pending
    }
}

/// Tasks that end with their owner.
#[derive(Debug, Default)]
pub(crate) struct Tasks(Mutex<Vec<shuttle::future::JoinHandle<()>>>);

impl Tasks {
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let task = shuttle::future::spawn(task);
        lock(&self.0).push(task);
    }

    pub(crate) fn abort_all(&self) {
        lock(&self.0).drain(..).for_each(|task| task.abort());
    }
}
