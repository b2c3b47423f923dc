//! What every connection listens to: the server's phase, and its own idleness.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

/// Where a server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Accepts.
    Running,
    /// Accepts nothing, finishes what it has within this time.
    Draining(Duration),
    /// Cuts everything.
    Stopped,
}

/// Waits for the phase to leave [`Phase::Running`].
pub(super) async fn left_running(phase: &mut watch::Receiver<Phase>) -> Phase {
    // An error says that the handle is gone, which stops the server.
    phase.wait_for(|phase| *phase != Phase::Running).await.map_or(Phase::Stopped, |phase| *phase)
}

/// Waits for [`Phase::Stopped`].
pub(super) async fn stopped(phase: &mut watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase == Phase::Stopped).await;
}

/// A connection's view of the phase that costs one atomic load a poll, not a lock.
pub(super) struct DrainSignal {
    seen: watch::Receiver<Phase>,
    wait: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    polled: bool,
}

impl DrainSignal {
    pub(super) fn new(phase: &watch::Receiver<Phase>) -> Self {
        let mut waiting = phase.clone();
        Self {
            seen: phase.clone(),
            wait: Some(Box::pin(async move {
                left_running(&mut waiting).await;
            })),
            polled: false,
        }
    }

    /// Ready once, when the drain begins. Must always be polled by the same task.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(wait) = &mut self.wait else { return Poll::Pending };
        if self.polled && matches!(self.seen.has_changed(), Ok(false)) {
            return Poll::Pending;
        }
        self.polled = true;
        match wait.as_mut().poll(cx) {
            Poll::Ready(()) => {
                self.wait = None;
                Poll::Ready(())
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Requests on one connection: how many now, how many ever.
#[derive(Debug, Default)]
pub(super) struct Activity {
    now: AtomicU32,
    ever: AtomicU64,
}

impl Activity {
    /// Counts a request as under way until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.now.fetch_add(1, Ordering::Relaxed);
        self.ever.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }
}

/// A request under way.
pub(super) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Notices that a connection had no request for one to two periods, with one timer a period and
/// no clock reading a request.
pub(super) struct IdleCheck {
    activity: Arc<Activity>,
    period: Duration,
    tick: Pin<Box<Sleep>>,
    ever: u64,
}

impl IdleCheck {
    pub(super) fn new(activity: Arc<Activity>, period: Duration) -> Self {
        Self { activity, period, tick: Box::pin(tokio::time::sleep(period)), ever: 0 }
    }

    /// Ready at the end of each period in which no request was under way.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.tick.as_mut().poll(cx).is_ready() {
            self.tick.as_mut().reset(Instant::now() + self.period);
            let ever = self.activity.ever.load(Ordering::Relaxed);
            let idle = self.activity.now.load(Ordering::Relaxed) == 0 && ever == self.ever;
            self.ever = ever;
            if idle {
                // The timer was moved on: have it registered before returning.
                let _ = self.tick.as_mut().poll(cx);
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_after_a_period_without_a_request() {
        let activity = Arc::<Activity>::default();
        let mut check = IdleCheck::new(Arc::clone(&activity), Duration::from_secs(60));
        let start = Instant::now();
        let busy = activity.begin();
        let ends = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(90)).await;
            drop(busy);
        });
        poll_fn(|cx| check.poll(cx)).await;
        // Busy at 60 s; idle in all of the period that ends at 120 s? The request ended at 90 s, no
        // other came, so the check at 120 s finds it idle.
        assert_eq!(start.elapsed().as_secs(), 120);
        assert!(ends.is_finished());
    }

    #[tokio::test]
    async fn the_drain_signal_fires_once() {
        let (tx, rx) = watch::channel(Phase::Running);
        let mut signal = DrainSignal::new(&rx);
        poll_fn(|cx| {
            assert!(signal.poll(cx).is_pending());
            tx.send_replace(Phase::Draining(Duration::ZERO));
            assert!(signal.poll(cx).is_ready());
            assert!(signal.poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
    }
}
