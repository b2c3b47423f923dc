//! The tasks that fetch ahead.

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use headwater_cache::BoxError;
use headwater_net::{Body, Clock, Timestamp};
use http::{HeaderMap, Request, Response, header};
use http_body::Body as _;
use tokio::task::JoinSet;
use tower_service::Service;

use super::choose::{Want, Why};
use super::config::PrefetchConfig;
use super::queue::{Flight, State};
use crate::metrics::Metrics;
use crate::sense::Load;
use crate::upstream::Pressure;

/// How often a prefetch looks whether its session is still there, where nothing tells it.
const LOOK: Duration = Duration::from_secs(1);

/// The tasks of one prefetcher and what they share.
pub(super) struct Workers<S> {
    service: S,
    shared: Arc<Shared>,
    tasks: Mutex<JoinSet<()>>,
}

struct Shared {
    config: Arc<PrefetchConfig>,
    clock: Clock,
    metrics: Metrics,
    load: Box<Load>,
    state: Mutex<State>,
}

impl<S> Workers<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    pub(super) fn new(
        service: S,
        config: Arc<PrefetchConfig>,
        clock: Clock,
        metrics: Metrics,
        load: Box<Load>,
    ) -> Self {
        let state = Mutex::new(State::new(&config));
        let shared = Arc::new(Shared { config, clock, metrics, load, state });
        Self { service, shared, tasks: Mutex::default() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }

    /// Queues what is to be fetched, and sees to it that somebody fetches it.
    pub(super) fn put(&self, jobs: impl Iterator<Item = (Want, Request<Body>)>) {
        let shared = &self.shared;
        let now = shared.clock.now();
        let mut state = shared.lock();
        // Where edges tell of all sessions, nothing else does.
        state.expire(now, &shared.metrics);
        let mut workers = 0;
        let mut waiting = Vec::new();
        for (want, request) in jobs {
            if matches!(want.why, Why::Live { .. }) {
                // What waits there takes nothing from anybody until it comes.
                let at = (shared.load)(&request).unwrap_or_default();
                waiting.extend(state.wait((want, request), at, now, &shared.config));
            } else if state.put(want, request, now, &shared.config, &shared.metrics)
                && state.running < shared.config.concurrency.max(1)
            {
                state.running += 1;
                workers += 1;
            }
        }
        drop(state);
        for _ in 0..workers {
            self.spawn(work(self.service.clone(), Slot(Some(Arc::clone(shared)), Kind::Worker)));
        }
        for flight in waiting {
            let slot = Slot(Some(Arc::clone(shared)), Kind::Waiting);
            self.spawn(wait(self.service.clone(), slot, flight));
        }
    }

    /// Has something fetched when its time comes, if that is soon.
    pub(super) fn later(&self, comes: Timestamp, want: Want, request: Request<Body>) {
        let shared = &self.shared;
        let is_soon = comes.since(shared.clock.now()) <= shared.config.timeout;
        if is_soon && shared.lock().defer(&want, shared.clock.now(), &shared.config) {
            let slot = Slot(Some(Arc::clone(shared)), Kind::Waiting);
            self.spawn(come(self.service.clone(), slot, comes, (want, request)));
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(task, &runtime);
    }
}

/// Takes jobs until there are none.
async fn work<S>(mut service: S, mut slot: Slot)
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    let Some(shared) = slot.0.clone() else { return };
    while let Some((id, flight, request)) = shared.next_job(&mut slot) {
        shared.fly(&mut service, id, &flight, request).await;
    }
}

/// Waits at the origin for one thing.
async fn wait<S>(mut service: S, slot: Slot, (id, flight, request): (u64, Flight, Request<Body>))
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    let Some(shared) = slot.0.clone() else { return };
    shared.fly(&mut service, id, &flight, request).await;
}

/// Waits until something is there by the clock, and fetches it.
async fn come<S>(mut service: S, slot: Slot, comes: Timestamp, job: (Want, Request<Body>))
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    let Some(shared) = slot.0.clone() else { return };
    tokio::time::sleep(comes.since(shared.clock.now())).await;
    let sent = {
        let room = |request: &Request<Body>| shared.room(request);
        shared.lock().come(job, shared.clock.now(), &shared.config, room, &shared.metrics)
    };
    if let Some((id, flight, request)) = sent {
        shared.fly(&mut service, id, &flight, request).await;
    }
}

enum Outcome {
    Fetched,
    /// It was in the cache.
    Stored,
    /// It is larger than is fetched ahead.
    TooLarge,
    /// Its session is gone, or a real request needs its place.
    GivenUp,
    Failed,
}

impl Shared {
    /// Sends one prefetch, and sees what comes of it.
    async fn fly<S>(&self, service: &mut S, id: u64, flight: &Flight, request: Request<Body>)
    where
        S: Service<Request<Body>, Response = Response<Body>>,
    {
        self.metrics.prefetch_issued.inc();
        let landing = Landing { shared: self, id };
        let fetch =
            tokio::time::timeout(self.config.timeout, fetch(service, request, self, flight));
        let outcome = tokio::select! {
            biased;
            outcome = fetch => outcome.unwrap_or(Outcome::Failed),
            () = self.is_given_up(flight) => Outcome::GivenUp,
        };
        drop(landing);
        let target = &flight.want.target;
        let bytes = flight.came();
        let mut state = self.lock();
        let promoted = state.recent.is_promoted(target);
        match outcome {
            Outcome::Fetched => {
                if promoted {
                    self.metrics.prefetch_used_bytes.inc_by(bytes);
                }
                state.recent.fetched(target, bytes);
                return;
            }
            Outcome::GivenUp => {
                self.metrics.prefetch_cancelled.inc();
                state.recent.forget(target);
            }
            Outcome::Stored => {
                self.metrics.prefetch_redundant.inc();
                state.recent.settle(target);
                return;
            }
            Outcome::TooLarge => {
                self.metrics.prefetch_too_large.inc();
                state.recent.settle(target);
            }
            Outcome::Failed => {
                self.metrics.prefetch_failed.inc();
                state.recent.settle(target);
            }
        }
        if !promoted {
            self.metrics.prefetch_wasted_bytes.inc_by(bytes);
        }
    }

    /// Returns when the flight is in nobody's interest any more, or in the way of a real request. One
    /// that a real request has joined is in somebody's, for good.
    async fn is_given_up(&self, flight: &Flight) {
        loop {
            let pressed = tokio::select! {
                biased;
                () = flight.at.high() => true,
                () = flight.doubt.notified() => false,
                () = tokio::time::sleep(LOOK) => false,
            };
            let state = self.lock();
            if state.recent.is_promoted(&flight.want.target) {
                break;
            }
            if pressed || !state.goes_on(flight, self.clock.now(), &self.config) {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    /// The origin that a request would be sent to, where its load lets something be fetched ahead.
    fn room(&self, request: &Request<Body>) -> Option<Pressure> {
        (self.load)(request).filter(|at| at.has_room(self.config.share))
    }

    /// The next job worth doing; when there is none the slot is given back, with the queue still
    /// locked, so that no job slips in unseen.
    fn next_job(&self, slot: &mut Slot) -> Option<(u64, Flight, Request<Body>)> {
        let mut state = self.lock();
        let room = |request: &Request<Body>| self.room(request);
        let job = state.take(self.clock.now(), &self.config, room, &self.metrics);
        if job.is_none() {
            slot.0 = None;
            state.running = state.running.saturating_sub(1);
        }
        job
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing within panics between two states that matter.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends one prefetch and reads its answer to the end: a fill that nobody reads may be given up,
/// and that is what becomes of one that is too large, or that this future is dropped for.
async fn fetch<S>(
    service: &mut S,
    request: Request<Body>,
    shared: &Shared,
    flight: &Flight,
) -> Outcome
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    if std::future::poll_fn(|cx| service.poll_ready(cx)).await.is_err() {
        return Outcome::Failed;
    }
    let Ok(response) = service.call(request).await else { return Outcome::Failed };
    if !response.status().is_success() {
        return Outcome::Failed;
    }
    // Of a range that is stored in slices, a hit says that the first bytes are there.
    let hit = was_hit(response.headers());
    if hit && flight.want.target.range.is_none() {
        return Outcome::Stored;
    }
    let most = shared.config.max_object;
    if declared_length(&response).is_some_and(|length| length > most) {
        return Outcome::TooLarge;
    }
    let mut body = response.into_body();
    // What is stored is there at once.
    let mut fetched = !hit;
    loop {
        let polled = std::future::poll_fn(|cx| {
            let polled = Pin::new(&mut body).poll_frame(cx);
            fetched |= polled.is_pending();
            polled
        });
        match polled.await {
            None if fetched => return Outcome::Fetched,
            None => return Outcome::Stored,
            Some(Err(_)) => return Outcome::Failed,
            Some(Ok(_)) if !fetched => {}
            Some(Ok(frame)) => {
                let len = frame.data_ref().map_or(0, |data| data.len() as u64);
                shared.metrics.prefetch_bytes.inc_by(len);
                shared.lock().spent.take(len);
                let length = flight.bytes.fetch_add(len, Ordering::Relaxed).saturating_add(len);
                if length > most {
                    return Outcome::TooLarge;
                }
            }
        }
    }
}

/// The length of a body by itself or by its `Content-Length` (RFC 9110 §8.6).
fn declared_length(response: &Response<Body>) -> Option<u64> {
    let field = response.headers().get(header::CONTENT_LENGTH);
    let field = field.and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    response.body().exact_len().or(field)
}

/// Whether the cache just before us, the last to sign, answered from store (RFC 9211 §2).
fn was_hit(headers: &HeaderMap) -> bool {
    let last = headers.get_all("cache-status").iter().next_back();
    let member = last.and_then(|value| value.to_str().ok()).and_then(|v| v.rsplit(',').next());
    member.is_some_and(|member| member.split(';').skip(1).any(|part| part.trim() == "hit"))
}

/// Takes a flight off the list when it is over, also when its task is aborted.
struct Landing<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        self.shared.lock().end(self.id);
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Worker,
    Waiting,
}

/// A task's place among those that may run; given back also when it is aborted.
struct Slot(Option<Arc<Shared>>, Kind);

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            let mut state = shared.lock();
            let count = match self.1 {
                Kind::Worker => &mut state.running,
                Kind::Waiting => &mut state.waiting,
            };
            *count = count.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_9211_the_last_member_is_the_nearest_cache() {
        let mut headers = HeaderMap::new();
        assert!(!was_hit(&headers));
        headers.append("cache-status", "far; hit".parse().unwrap_or_else(|_| unreachable!()));
        assert!(was_hit(&headers));
        let near = "a; hit; ttl=5, near; fwd=uri-miss; stored";
        headers.append("cache-status", near.parse().unwrap_or_else(|_| unreachable!()));
        assert!(!was_hit(&headers));
    }
}
