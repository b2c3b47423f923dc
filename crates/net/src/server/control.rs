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

/// What happens on one connection: requests under way, requests ever, reads.
#[derive(Debug, Default)]
pub(super) struct Activity {
    now: AtomicU32,
    ever: AtomicU64,
    reads: AtomicU64,
    reads_at_end: AtomicU64,
}

impl Activity {
    /// Counts a request as under way until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.now.fetch_add(1, Ordering::Relaxed);
        self.ever.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// Notes that bytes arrived.
    pub(super) fn read(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether bytes arrived that no request has been made of, or nothing was ever asked.
    fn owes_a_request(&self) -> bool {
        self.ever.load(Ordering::Relaxed) == 0
            || self.reads.load(Ordering::Relaxed) != self.reads_at_end.load(Ordering::Relaxed)
    }
}

/// A request under way.
pub(super) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.reads_at_end.store(self.0.reads.load(Ordering::Relaxed), Ordering::Relaxed);
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Notices idle connections and slow request headers with one timer a period, and neither a timer
/// nor a clock reading a request (hyper's own header timer costs both, and also ends idle
/// connections). What it notices is therefore noticed after one to two times its limit.
pub(super) struct IdleCheck {
    activity: Arc<Activity>,
    period: Duration,
    /// Quiet periods after which a connection is idle.
    idle_after: u32,
    quiet: u32,
    tick: Pin<Box<Sleep>>,
    ever: u64,
}

impl IdleCheck {
    /// `headers`: the time for a request's headers; `idle`: that without any request.
    pub(super) fn new(activity: Arc<Activity>, headers: Duration, idle: Duration) -> Self {
        let period = headers.min(idle).max(Duration::from_millis(1));
        let idle_after = idle.as_nanos().div_ceil(period.as_nanos());
        Self {
            activity,
            period,
            idle_after: u32::try_from(idle_after).unwrap_or(u32::MAX),
            quiet: 0,
            tick: Box::pin(tokio::time::sleep(period)),
            ever: 0,
        }
    }

    /// Ready at the end of each period that found the connection idle or its headers slow.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut over = false;
        while self.tick.as_mut().poll(cx).is_ready() {
            self.tick.as_mut().reset(Instant::now() + self.period);
            let ever = self.activity.ever.load(Ordering::Relaxed);
            if self.activity.now.load(Ordering::Relaxed) == 0 && ever == self.ever {
                self.quiet = self.quiet.saturating_add(1);
                over |= self.quiet >= self.idle_after || self.activity.owes_a_request();
            } else {
                self.quiet = 0;
            }
            self.ever = ever;
        }
        if over { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    /// Seconds until the check says so, with headers 10 s and idle 60 s.
    async fn noticed(activity: &Arc<Activity>) -> u64 {
        let (headers, idle) = (Duration::from_secs(10), Duration::from_secs(60));
        let mut check = IdleCheck::new(Arc::clone(activity), headers, idle);
        let start = Instant::now();
        poll_fn(|cx| check.poll(cx)).await;
        start.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_some_time_after_its_last_request() {
        let activity = Arc::<Activity>::default();
        let busy = activity.begin();
        let ends = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(95)).await;
            drop(busy);
        });
        // The period that ends at 100 s is the first quiet one, the sixth ends at 150 s.
        assert_eq!(noticed(&activity).await, 150);
        assert!(ends.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_request_and_none_at_all_are_noticed_sooner() {
        let activity = Arc::<Activity>::default();
        assert_eq!(noticed(&activity).await, 10);
        activity.read();
        drop(activity.begin());
        activity.read();
        // The first period saw a request.
        assert_eq!(noticed(&activity).await, 20);
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
