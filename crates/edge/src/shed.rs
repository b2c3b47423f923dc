//! Load shedding by queue delay: when a worker is too busy to look at requests in time, some are
//! answered 503 with `Retry-After` at once, so that the others are still answered in time. New sessions
//! are turned away before segments of those that run.
//!
//! What is measured is how long what is ready to run waits for its turn on the worker's runtime: the
//! least such delay in each interval, since a burst makes a long queue for a moment, and only a standing
//! one is too much (as CoDel tells them apart, RFC 8289 §3). At most once in [`PROBE_EVERY`], a request
//! leaves a task behind that says when its turn came; who is idle measures nothing.
//!
//! A whole interval above the target raises the level by one, one below it lowers it:
//!
//! | level | turned away |
//! |---|---|
//! | 1 | what begins a session: manifests and whatever is no segment, of clients without a session |
//! | 2 | all of clients without a session |
//! | 3 | and of those that have one, every fourth request |
//!
//! At no level who asks for a path that is [spared](ShedLayer::spare): where else to go, which players ask
//! without a word of their session, is what takes load away.
//!
//! A layer counts as one worker: make one of its services for each.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use headwater_cache::BoxError;
use headwater_net::{Body, Problem};
use http::{Request, Response, StatusCode};
use http_body::Body as HttpBody;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use crate::answer::Answer;
use crate::cmcd;
use crate::kind::Kind;
use crate::refusals::RefusedBy;
use crate::sessions::Sessions;

/// How often the delay is measured, at most.
pub const PROBE_EVERY: Duration = Duration::from_millis(5);

/// The highest level.
const LEVELS: u8 = 3;
const LEVEL_NAMES: [&str; LEVELS as usize] = ["1", "2", "3"];
/// At the highest level one of so many requests of sessions that run is turned away.
const ONE_OF: u32 = 4;

/// How busy an edge is, for who acts on it. Clones are of the same.
#[derive(Clone, Debug, Default)]
pub struct Pressure {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    workers: Mutex<Vec<Arc<Worker>>>,
    /// Zero only where every worker's level is.
    raised: Arc<AtomicU32>,
    shed: Family<[(&'static str, &'static str); 1], Counter>,
}

impl Inner {
    fn at(&self, level: &'static str) -> Counter {
        self.shed.get_or_create_owned(&[("level", level)])
    }

    /// The highest level of any worker that is still there.
    fn highest(&self) -> u8 {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.retain(|worker| Arc::strong_count(worker) > 1);
        workers.iter().map(|worker| worker.level()).max().unwrap_or(0)
    }
}

impl Pressure {
    /// The highest level of any worker: 0 where all are in time.
    pub fn level(&self) -> u8 {
        if self.inner.raised.swap(0, Ordering::Relaxed) == 0 {
            return 0;
        }
        let level = self.inner.highest();
        self.inner.raised.fetch_max(level.into(), Ordering::Relaxed);
        level
    }

    /// Requests turned away so far.
    pub fn shed(&self) -> u64 {
        LEVEL_NAMES.iter().map(|level| self.inner.at(level).get()).sum()
    }

    /// Adds `headwater_edge_shed_total`, by the level at which it was, and
    /// `headwater_edge_shed_level`, as it is when it is scraped, to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Requests turned away: a worker was too busy";
        registry.register("headwater_edge_shed", help, self.inner.shed.clone());
        registry.register_collector(Box::new(self.clone()));
    }
}

/// The level: where shedding is on alone, nobody but a scrape asks for that of all workers.
impl Collector for Pressure {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help = "The level at which requests are turned away";
        let name = "headwater_edge_shed_level";
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        metric.encode_gauge(&i64::from(self.inner.highest()))
    }
}

/// Turns requests away while a worker is too busy; by default none.
#[derive(Clone, Debug, Default)]
pub struct ShedLayer {
    on: Option<On>,
}

#[derive(Clone, Debug)]
struct On {
    target: Duration,
    interval: Duration,
    sessions: Option<Sessions>,
    pressure: Pressure,
    spared: Arc<[Box<str>]>,
}

impl ShedLayer {
    /// Turns requests away while what is ready waits for longer than `target`, in each `interval`.
    pub fn new(target: Duration, interval: Duration) -> Self {
        let (pressure, spared) = (Pressure::default(), Arc::default());
        Self { on: Some(On { target, interval, sessions: None, pressure, spared }) }
    }

    /// Knows by these which clients have a session. By default whoever asks for a segment has.
    #[must_use]
    pub fn sessions(mut self, sessions: Sessions) -> Self {
        if let Some(on) = &mut self.on {
            on.sessions = Some(sessions);
        }
        self
    }

    /// Turns nobody away who asks for one of these paths, too, as they stand in a request: where players are
    /// told where to go, or report what happened to them. Those of its steering and reports
    /// [`EdgeBuilder`](crate::EdgeBuilder) adds by itself.
    #[must_use]
    pub fn spare<'a>(mut self, paths: impl IntoIterator<Item = &'a str>) -> Self {
        if let Some(on) = &mut self.on {
            let before = on.spared.iter().cloned();
            on.spared = before.chain(paths.into_iter().map(Box::from)).collect();
        }
        self
    }

    /// Tells others how busy it is.
    #[must_use]
    pub fn pressure(mut self, pressure: Pressure) -> Self {
        if let Some(on) = &mut self.on {
            on.pressure = pressure;
        }
        self
    }
}

impl<S> Layer<S> for ShedLayer {
    type Service = Shed<S>;

    fn layer(&self, inner: S) -> Shed<S> {
        let worker = self.on.as_ref().map(|on| {
            let worker = Arc::new(Worker::new(on.target, on.interval, &on.pressure.inner.raised));
            let mut workers =
                on.pressure.inner.workers.lock().unwrap_or_else(PoisonError::into_inner);
            workers.retain(|worker| Arc::strong_count(worker) > 1);
            workers.push(Arc::clone(&worker));
            (on.clone(), worker)
        });
        Shed { inner, worker: worker.map(Arc::new) }
    }
}

/// The service of [`ShedLayer`].
#[derive(Clone, Debug)]
pub struct Shed<S> {
    inner: S,
    worker: Option<Arc<(On, Arc<Worker>)>>,
}

impl<S, A, B> Service<Request<A>> for Shed<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Answer<S::Future> {
        let Some(worker) = &self.worker else { return Answer::of(self.inner.call(request)) };
        let (on, worker) = &**worker;
        Worker::probe(worker);
        let level = worker.level();
        if level > 0 && worker.turns_away(level, || on.standing(&request)) {
            if let Some(level) = LEVEL_NAMES.get(usize::from(level) - 1) {
                on.pressure.inner.at(level).inc();
            }
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE)
                .detail("too much is asked for at once: try again in a moment")
                .retry_after(u64::from(level) * 2);
            return Answer::refused(RefusedBy::Shed, problem.into_response());
        }
        Answer::of(self.inner.call(request))
    }
}

/// What a request is to whoever sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Part of a session that runs.
    Running,
    /// A segment, of a session that is not known.
    Segment,
    /// The beginning of something.
    New,
    /// For a path that is spared.
    Spared,
}

impl On {
    fn standing<A>(&self, request: &Request<A>) -> Standing {
        let path = request.uri().path();
        if self.spared.iter().any(|spared| **spared == *path) {
            return Standing::Spared;
        }
        let segment = Kind::of_path(path).is_segment();
        let running = match &self.sessions {
            Some(sessions) => cmcd::has_session(sessions, request),
            None => segment,
        };
        match (running, segment) {
            (true, _) => Standing::Running,
            (false, true) => Standing::Segment,
            (false, false) => Standing::New,
        }
    }
}

/// One worker's delay.
#[derive(Debug)]
struct Worker {
    from: Instant,
    probing: AtomicBool,
    probed: AtomicU64,
    turn: AtomicU32,
    level: AtomicU32,
    raised: Arc<AtomicU32>,
    delay: Mutex<Delay>,
}

impl Worker {
    fn new(target: Duration, interval: Duration, raised: &Arc<AtomicU32>) -> Self {
        Self {
            from: Instant::now(),
            probing: AtomicBool::new(false),
            probed: AtomicU64::new(0),
            turn: AtomicU32::new(0),
            level: AtomicU32::new(0),
            raised: Arc::clone(raised),
            delay: Mutex::new(Delay::new(micros(target), micros(interval))),
        }
    }

    /// As it is now: a worker that has nothing to do any more is not busy.
    fn level(&self) -> u8 {
        if self.level.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        self.with_delay(Delay::pass)
    }

    fn turns_away(&self, level: u8, standing: impl FnOnce() -> Standing) -> bool {
        match standing() {
            Standing::Spared => false,
            Standing::New => true,
            Standing::Segment => level > 1,
            Standing::Running => {
                level >= LEVELS && self.turn.fetch_add(1, Ordering::Relaxed).is_multiple_of(ONE_OF)
            }
        }
    }

    /// Leaves a task behind that says when its turn came.
    fn probe(this: &Arc<Self>) {
        let now = micros(this.from.elapsed());
        let since = now.saturating_sub(this.probed.load(Ordering::Relaxed));
        if since < micros(PROBE_EVERY) || this.probing.swap(true, Ordering::Relaxed) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        this.probed.store(now, Ordering::Relaxed);
        this.with_delay(|delay, _| delay.waits(now));
        let worker = Arc::clone(this);
        runtime.spawn(async move {
            worker.with_delay(|delay, then| delay.measured(then.saturating_sub(now), then));
            worker.probing.store(false, Ordering::Relaxed);
        });
    }

    fn with_delay(&self, look: impl FnOnce(&mut Delay, u64) -> u8) -> u8 {
        let mut delay = self.delay.lock().unwrap_or_else(PoisonError::into_inner);
        let level = look(&mut delay, micros(self.from.elapsed()));
        self.level.store(level.into(), Ordering::Relaxed);
        self.raised.fetch_max(level.into(), Ordering::Relaxed);
        level
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// From delays to a level; pure, in microseconds.
#[derive(Debug)]
struct Delay {
    target: u64,
    interval: u64,
    began: u64,
    least: Option<u64>,
    level: u8,
    /// Since when a task waits for its turn.
    waiting: Option<u64>,
}

impl Delay {
    fn new(target: u64, interval: u64) -> Self {
        Self { target, interval: interval.max(1), began: 0, least: None, level: 0, waiting: None }
    }

    /// A task waits for its turn from now on.
    fn waits(&mut self, now: u64) -> u8 {
        let level = self.pass(now);
        self.waiting = Some(now);
        level
    }

    /// A turn came after so long. Each interval that ended meanwhile was no better than that.
    fn measured(&mut self, delay: u64, now: u64) -> u8 {
        self.waiting = None;
        self.pass(now.saturating_sub(delay));
        self.least = Some(self.least.map_or(delay, |least| least.min(delay)));
        let ended = now.saturating_sub(self.began) / self.interval;
        if ended > 0 {
            self.judge();
            let more = u8::try_from(ended - 1).unwrap_or(u8::MAX);
            self.level = if delay > self.target {
                self.level.saturating_add(more).min(LEVELS)
            } else {
                self.level.saturating_sub(more)
            };
            self.began += ended * self.interval;
            self.least = Some(delay);
        }
        self.level
    }

    /// Intervals that are over are judged, but for those that end while a task waits: of them nobody knows yet.
    /// One without a measurement was idle.
    fn pass(&mut self, now: u64) -> u8 {
        let until = self.waiting.map_or(now, |since| since.min(now));
        let passed = until.saturating_sub(self.began) / self.interval;
        if passed > 0 {
            self.judge();
            let idle = u8::try_from(passed - 1).unwrap_or(u8::MAX);
            self.level = self.level.saturating_sub(idle);
            self.began += passed * self.interval;
        }
        self.level
    }

    /// Judges an interval by the least delay in it.
    fn judge(&mut self) {
        self.level = match self.least.take() {
            Some(least) if least > self.target => (self.level + 1).min(LEVELS),
            _ => self.level.saturating_sub(1),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standing_queue_raises_the_level_and_a_burst_does_not() {
        let mut delay = Delay::new(20, 100);
        for (at, measured, level) in [
            (10, 500, 0),
            (90, 5, 0),
            (110, 500, 0),
            (190, 21, 0),
            (210, 50, 1),
            (310, 50, 2),
            (410, 50, 3),
            (510, 50, 3),
            (590, 20, 3),
            (610, 1, 2),
            (710, 1, 1),
            (810, 1, 0),
        ] {
            assert_eq!(delay.measured(measured, at), level, "at {at}");
        }
    }

    /// A queue that is longer than an interval is no idle one, however rarely a turn comes.
    #[test]
    fn a_delay_of_several_intervals_is_too_much_in_each() {
        let mut delay = Delay::new(20, 100);
        for at in [0, 350, 700] {
            assert_eq!(delay.waits(at), if at == 0 { 0 } else { LEVELS }, "at {at}");
            assert_eq!(delay.pass(at + 340), delay.level, "nobody knows yet");
            assert_eq!(delay.measured(345, at + 345), LEVELS, "at {at}");
        }
        // One that is in time lowers it, and so does silence.
        delay.waits(1_100);
        delay.measured(1, 1_101);
        assert_eq!(delay.pass(1_200), 2);
        assert_eq!(delay.pass(2_000), 0);
    }

    #[test]
    fn who_has_nothing_to_do_is_not_busy() {
        let mut delay = Delay::new(20, 100);
        for at in 0..5 {
            delay.measured(50, at * 100);
        }
        assert_eq!(delay.pass(499), 3);
        assert_eq!(delay.pass(900), 0);
    }

    #[test]
    fn new_sessions_go_before_those_that_run() {
        let worker = Worker::new(Duration::ZERO, Duration::from_secs(1), &Arc::default());
        let away = |level| {
            let one = |standing| worker.turns_away(level, || standing);
            (one(Standing::New), one(Standing::Segment))
        };
        assert_eq!((away(1), away(2)), ((true, false), (true, true)));
        let running =
            |level| (0..8).filter(|_| worker.turns_away(level, || Standing::Running)).count();
        assert_eq!((running(1), running(2), running(3)), (0, 0, 2));
    }
}
