//! What every connection listens to: the server's phase, and its own idleness.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use super::ConnLimits;
use super::pace::Pace;

/// Where a server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Accepts.
    Running,
    /// Accepts nothing for a moment, while another process takes over from this one, or this one
    /// from another. Connections go on.
    Paused,
    /// Accepts nothing, finishes what it has.
    Draining(Drain),
    /// Cuts everything.
    Stopped,
}

/// How a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Drain {
    /// What is not finished then is cut.
    pub(super) within: Duration,
    /// Another process accepts in its place. So there is time: handshakes come to their end, and
    /// who is about to send a request may do so.
    pub(super) succeeded: bool,
}

/// How long an ending server that was succeeded waits for a client's next request.
const LINGER: Duration = Duration::from_secs(2);

impl Drain {
    /// How long connections that are idle may wait for one more request.
    pub(super) fn linger(self) -> Duration {
        if self.succeeded { LINGER.min(self.within / 2) } else { Duration::ZERO }
    }
}

impl Phase {
    pub(super) fn is_ending(self) -> bool {
        matches!(self, Self::Draining(_) | Self::Stopped)
    }

    /// How the server ends; at once, unless it drains.
    pub(super) fn drain(self) -> Drain {
        match self {
            Self::Draining(drain) => drain,
            _ => Drain { within: Duration::ZERO, succeeded: false },
        }
    }
}

/// Waits for the server's end to begin.
pub(super) async fn ending(phase: &mut watch::Receiver<Phase>) -> Phase {
    // An error says that the handle is gone, which stops the server.
    phase.wait_for(|phase| phase.is_ending()).await.map_or(Phase::Stopped, |phase| *phase)
}

/// Waits for what ends handshakes: an end that nobody else accepts in place of.
pub(super) async fn turned_away(phase: &mut watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| phase.is_ending() && !phase.drain().succeeded).await;
}

/// Waits for [`Phase::Stopped`].
pub(super) async fn stopped(phase: &mut watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase == Phase::Stopped).await;
}

/// The loops of a server that accept, and how many of them stand still.
#[derive(Debug)]
pub(super) struct Loops(watch::Sender<Standing>);

#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    all: usize,
    still: usize,
}

impl Loops {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(watch::Sender::default()))
    }

    /// One more, which accepts in its server's running phase.
    pub(super) fn begin(self: &Arc<Self>, phase: &watch::Receiver<Phase>) -> Accepting {
        self.0.send_modify(|standing| standing.all += 1);
        Accepting { loops: Arc::clone(self), phase: phase.clone(), still: false }
    }

    /// Waits until all of them stand still.
    pub(super) async fn all_paused(&self) {
        let mut standing = self.0.subscribe();
        let _ = standing.wait_for(|standing| standing.still >= standing.all).await;
    }
}

/// A loop that accepts.
pub(super) struct Accepting {
    loops: Arc<Loops>,
    phase: watch::Receiver<Phase>,
    still: bool,
}

impl Accepting {
    /// The phase now.
    pub(super) fn look(&mut self) -> Phase {
        *self.phase.borrow_and_update()
    }

    /// Says that this loop does by now what the phase it has seen asks for.
    pub(super) fn settled_in(&mut self, phase: Phase) {
        self.stand_still(phase != Phase::Running);
    }

    /// Waits for another phase than [`Accepting::look`] has seen.
    pub(super) async fn changed(&mut self) {
        // An error says that the handle is gone, which said so before.
        let _ = self.phase.changed().await;
    }

    fn stand_still(&mut self, still: bool) {
        if self.still == still {
            return;
        }
        self.still = still;
        self.loops.0.send_modify(|standing| {
            standing.still = if still { standing.still + 1 } else { standing.still - 1 };
        });
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.stand_still(false);
        self.loops.0.send_modify(|standing| standing.all -= 1);
    }
}

/// A connection's view of the phase that costs one atomic load a poll, not a lock.
pub(super) struct DrainSignal {
    seen: watch::Receiver<Phase>,
    wait: Option<Pin<Box<dyn Future<Output = Phase> + Send>>>,
    polled: bool,
}

impl DrainSignal {
    pub(super) fn new(phase: &watch::Receiver<Phase>) -> Self {
        let mut waiting = phase.clone();
        Self {
            seen: phase.clone(),
            wait: Some(Box::pin(async move { ending(&mut waiting).await })),
            polled: false,
        }
    }

    /// Ready once, when the drain begins. Must always be polled by the same task.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Drain> {
        let Some(wait) = &mut self.wait else { return Poll::Pending };
        if self.polled && matches!(self.seen.has_changed(), Ok(false)) {
            return Poll::Pending;
        }
        self.polled = true;
        match wait.as_mut().poll(cx) {
            Poll::Ready(phase) => {
                self.wait = None;
                Poll::Ready(phase.drain())
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// What happens on one connection: requests under way, requests ever, reads, bytes.
#[derive(Debug, Default)]
pub(super) struct Activity {
    now: AtomicU32,
    ever: AtomicU64,
    reads: AtomicU64,
    reads_at_end: AtomicU64,
    /// Bodies that wait until the client has room for more.
    held: AtomicU32,
    /// Whether the socket took nothing when it was last written to.
    full: AtomicBool,
    received: AtomicU64,
    written: AtomicU64,
    cut: AtomicBool,
    /// Bytes that bodies may give ahead of what is written; `None` for any number.
    budget: Option<u64>,
    /// Bytes that they gave since all was written, less those that were written.
    unsent: AtomicU64,
    /// Whether a request's body is left unread, after which there is no next request.
    last: AtomicBool,
    /// Whether bodies wait for more to be written, and which.
    has_waiting: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
}

impl Activity {
    /// For a connection under these limits.
    pub(super) fn under(limits: &ConnLimits) -> Arc<Self> {
        Arc::new(Self { budget: Some(limits.send_budget as u64), ..Self::default() })
    }

    /// Counts a request as under way until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.now.fetch_add(1, Ordering::Relaxed);
        self.ever.fetch_add(1, Ordering::Relaxed);
        Busy { activity: Arc::clone(self), held: false }
    }

    /// Notes that bytes of requests arrived.
    pub(super) fn read(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that no other request can follow the one under way: where it ends is not read.
    pub(super) fn end_with_this(&self) {
        self.last.store(true, Ordering::Relaxed);
    }

    /// Whether the request under way is the last, over HTTP/1.1.
    pub(super) fn is_last(&self) -> bool {
        self.last.load(Ordering::Relaxed)
    }

    /// Notes that the socket gave bytes.
    pub(super) fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Notes what the socket did with bytes it was given.
    pub(super) fn wrote(&self, result: &Poll<std::io::Result<usize>>) {
        self.full.store(result.is_pending(), Ordering::Relaxed);
        if let Poll::Ready(Ok(bytes)) = result {
            let bytes = *bytes as u64;
            self.written.fetch_add(bytes, Ordering::Relaxed);
            let unsent = self.unsent.load(Ordering::Relaxed);
            if unsent > 0 {
                self.unsent.store(unsent.saturating_sub(bytes), Ordering::Relaxed);
            }
            if self.has_waiting.load(Ordering::Acquire) {
                self.wake();
            }
        }
    }

    fn wake(&self) {
        let waiting = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            self.has_waiting.store(false, Ordering::Release);
            std::mem::take(&mut *waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Whether a body may give more; if not, its task is woken when more is written. No more tasks
    /// wait than the connection has requests.
    fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let unsent = || self.unsent.load(Ordering::Relaxed);
        let spent = || self.budget.is_some_and(|budget| unsent() > budget);
        if !spent() {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.iter().any(|one| one.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        self.has_waiting.store(true, Ordering::Release);
        // Some may have been written meanwhile.
        if spent() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Counts bytes that a body gave.
    fn made(&self, bytes: usize) {
        self.unsent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// After each poll of the connection: what it could write is written, unless the socket is full.
    /// What was made for a stream that is gone is forgotten then.
    pub(super) fn flushed(&self) {
        if self.unsent.load(Ordering::Relaxed) > 0 && !self.full.load(Ordering::Relaxed) {
            self.unsent.store(0, Ordering::Relaxed);
            if self.has_waiting.load(Ordering::Acquire) {
                self.wake();
            }
        }
    }

    /// Whether the connection was given up: what is unsent is to be thrown away.
    pub(super) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    /// Whether bytes arrived that no request has been made of yet.
    fn has_begun_a_request(&self) -> bool {
        self.now.load(Ordering::Relaxed) == 0
            && self.reads.load(Ordering::Relaxed) != self.reads_at_end.load(Ordering::Relaxed)
    }

    /// Whether there is something to write that the client has no room for.
    fn waits_for_room(&self) -> bool {
        self.full.load(Ordering::Relaxed) || self.held.load(Ordering::Relaxed) > 0
    }
}

/// A request under way.
pub(super) struct Busy {
    activity: Arc<Activity>,
    held: bool,
}

impl Busy {
    /// Notes whether the answer's body has more to give and waits to be asked for it.
    pub(super) fn hold(&mut self, held: bool) {
        if held != self.held {
            self.held = held;
            if held {
                self.activity.held.fetch_add(1, Ordering::Relaxed);
            } else {
                self.activity.held.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// See [`Activity`]: whether the answer's body may be asked for more.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        self.activity.poll_room(cx)
    }

    /// Counts what it gave.
    pub(super) fn made(&self, bytes: usize) {
        self.activity.made(bytes);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.hold(false);
        let activity = &self.activity;
        activity.reads_at_end.store(activity.reads.load(Ordering::Relaxed), Ordering::Relaxed);
        activity.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why a connection should end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// Nothing happens on it, or a request's headers are slow.
    Idle,
    /// The client takes nothing of what there is to write, or next to nothing.
    Stalled,
}

/// Notices idle connections, slow request headers and clients that do not read with one timer a
/// period, and neither a timer nor a clock reading a request (hyper's own header timer costs both,
/// and also ends idle connections). What it notices is therefore noticed some periods after its
/// limit, a period being the shortest of the limits.
///
/// A request's end is when its last byte was handed on, which may be long before it was sent: a
/// connection that wrote more than it received (an answer to a PING is as long as the PING) is not
/// idle.
pub(super) struct IdleCheck {
    activity: Arc<Activity>,
    period: Duration,
    /// Quiet periods after which a connection is idle, and those after which it is stalled.
    idle_after: u32,
    stalled_after: u32,
    quiet: u32,
    stalled: u32,
    tick: Pin<Box<Sleep>>,
    ever: u64,
    received: u64,
    written: u64,
    /// Whether the last period ended with something to write, and at what pace that goes.
    waited: bool,
    pace: Pace,
    /// Whether the last period ended in the middle of a request's headers.
    begun: bool,
}

impl IdleCheck {
    pub(super) fn new(activity: Arc<Activity>, limits: &ConnLimits) -> Self {
        let (idle, write) = (limits.idle_timeout, limits.write_timeout);
        let period = limits.header_timeout.min(idle).min(write).max(Duration::from_millis(1));
        let periods = |of: Duration| {
            u32::try_from(of.as_nanos().div_ceil(period.as_nanos())).unwrap_or(u32::MAX)
        };
        Self {
            activity,
            period,
            idle_after: periods(idle),
            // The first may have begun in the middle of a period.
            stalled_after: periods(write).saturating_add(1),
            quiet: 0,
            stalled: 0,
            tick: Box::pin(tokio::time::sleep(period)),
            ever: 0,
            received: 0,
            written: 0,
            waited: false,
            pace: Pace::new(limits.min_rate, write),
            begun: false,
        }
    }

    /// Whether a request is on its way, of which there is less than its headers.
    pub(super) fn has_begun_a_request(&self) -> bool {
        self.activity.has_begun_a_request()
    }

    /// See [`Activity::flushed`].
    pub(super) fn flushed(&self) {
        self.activity.flushed();
    }

    /// Ready at the end of each period that found the connection over.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Over> {
        let mut over = None;
        while self.tick.as_mut().poll(cx).is_ready() {
            self.tick.as_mut().reset(Instant::now() + self.period);
            over = self.end_of_period().or(over);
        }
        over.map_or(Poll::Pending, Poll::Ready)
    }

    fn end_of_period(&mut self) -> Option<Over> {
        let activity = &self.activity;
        let ever = activity.ever.load(Ordering::Relaxed);
        let received = activity.received.load(Ordering::Relaxed);
        let written = activity.written.load(Ordering::Relaxed);
        let waits = activity.waits_for_room();
        let busy = activity.now.load(Ordering::Relaxed) > 0 || ever != self.ever;
        let sent = written - self.written;
        let moves = sent > received - self.received;
        (self.ever, self.received, self.written) = (ever, received, written);
        // Headers that began in this period have the next one, too.
        let begins = activity.has_begun_a_request();
        let is_slow = std::mem::replace(&mut self.begun, begins) && begins;

        // A period counts that began with something to write, too.
        let drips = if std::mem::replace(&mut self.waited, waits) && waits {
            self.pace.moved(sent);
            self.pace.is_too_slow(self.period)
        } else {
            self.pace.begin();
            false
        };
        self.stalled = if waits && sent == 0 { self.stalled.saturating_add(1) } else { 0 };
        if drips || self.stalled >= self.stalled_after {
            activity.cut.store(true, Ordering::Relaxed);
            return Some(Over::Stalled);
        }
        if busy || waits || moves {
            self.quiet = 0;
            return None;
        }
        self.quiet = self.quiet.saturating_add(1);
        let is_idle = self.quiet >= self.idle_after && !begins;
        // Who never asked for anything had this period from its beginning.
        (is_idle || is_slow || ever == 0).then_some(Over::Idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    /// What the check says, and after how many seconds, with headers 10 s, idle 60 s and write 60 s.
    async fn notices(activity: &Arc<Activity>) -> (Over, u64) {
        let mut check = IdleCheck::new(Arc::clone(activity), &ConnLimits::default());
        let start = Instant::now();
        let over = poll_fn(|cx| check.poll(cx)).await;
        (over, start.elapsed().as_secs())
    }

    async fn noticed(activity: &Arc<Activity>) -> u64 {
        let (over, after) = notices(activity).await;
        assert_eq!(over, Over::Idle);
        after
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

    #[tokio::test(start_paused = true)]
    async fn a_request_that_begins_at_a_quiet_period_s_end_has_another() {
        for (quiet, over) in [(9, 20), (29, 40), (59, 70)] {
            let activity = Arc::<Activity>::default();
            drop(activity.begin());
            let sends = tokio::spawn({
                let activity = Arc::clone(&activity);
                async move {
                    tokio::time::sleep(Duration::from_secs(quiet)).await;
                    // One byte of its headers a second.
                    loop {
                        activity.read();
                        activity.received(1);
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
            });
            assert_eq!(noticed(&activity).await, over, "after {quiet} s");
            sends.abort();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_on_their_way_are_no_idleness() {
        let activity = Arc::<Activity>::default();
        drop(activity.begin());
        let sends = tokio::spawn({
            let activity = Arc::clone(&activity);
            async move {
                for _ in 0..19 {
                    tokio::time::sleep(Duration::from_secs(9)).await;
                    activity.wrote(&Poll::Ready(Ok(1)));
                }
                // A client's PINGs are not its life.
                for _ in 0..20 {
                    tokio::time::sleep(Duration::from_secs(9)).await;
                    activity.received(17);
                    activity.wrote(&Poll::Ready(Ok(17)));
                }
            }
        });
        assert_eq!(noticed(&activity).await, 240);
        sends.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_stalled() {
        let full = Arc::<Activity>::default();
        drop(full.begin());
        full.wrote(&Poll::Pending);
        assert_eq!(notices(&full).await, (Over::Stalled, 70));
        assert!(full.is_cut());
        let held = Arc::<Activity>::default();
        let mut busy = held.begin();
        busy.hold(true);
        assert_eq!(notices(&held).await, (Over::Stalled, 70));
        drop(busy);
        assert!(!held.waits_for_room());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_next_to_nothing_is_stalled() {
        for (bytes, period, over) in [(4_999, 10, true), (5_001, 10, false), (1, 30, true)] {
            let activity = Arc::<Activity>::default();
            let busy = activity.begin();
            let takes = tokio::spawn({
                let activity = Arc::clone(&activity);
                async move {
                    // Between the looks at it.
                    tokio::time::sleep(Duration::from_secs(5)).await;
                    loop {
                        activity.wrote(&Poll::Ready(Ok(bytes)));
                        activity.wrote(&Poll::Pending);
                        tokio::time::sleep(Duration::from_secs(period)).await;
                    }
                }
            });
            let noticed = tokio::time::timeout(Duration::from_secs(300), notices(&activity)).await;
            assert_eq!(noticed.is_ok_and(|(what, _)| what == Over::Stalled), over, "{bytes} bytes");
            takes.abort();
            drop(busy);
        }
    }

    #[tokio::test]
    async fn the_drain_signal_fires_once() {
        let (tx, rx) = watch::channel(Phase::Running);
        let mut signal = DrainSignal::new(&rx);
        poll_fn(|cx| {
            assert!(signal.poll(cx).is_pending());
            tx.send_replace(Phase::Paused);
            assert!(signal.poll(cx).is_pending(), "connections go on");
            tx.send_replace(Phase::Draining(Drain { within: LINGER, succeeded: true }));
            assert!(signal.poll(cx).is_ready());
            assert!(signal.poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
    }
}
