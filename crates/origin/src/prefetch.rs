//! Fetching ahead: when a segment of a rendition is asked for, the next ones are fetched through
//! the shield's own cache before anybody asks.
//!
//! A prefetch is an ordinary GET: it collapses with real requests, and what it fetches is stored by
//! the same rules. It is sent by a few background tasks from a bounded queue, never causes another
//! prefetch, and ends when the shield is dropped.

mod choose;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use headwater_net::{Body, Clock, Timestamp};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, Uri, header};
use http_body::Body as _;
use tokio::task::JoinSet;
use tower_service::Service;

pub use choose::{Recent, choose};

use crate::map::{SegmentMap, Url};
use crate::metrics::Metrics;

/// How much is fetched ahead.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PrefetchConfig {
    /// Segments fetched ahead of the one asked for; 2 by default, 0 turns prefetch off.
    pub ahead: usize,
    /// Prefetches in flight at one time; 4 by default.
    pub concurrency: usize,
    /// Prefetches waiting; 256 by default. Beyond it they are dropped, never made to wait.
    pub queue: usize,
    /// Bytes per second that may be spent, ten seconds of it at once; `None`, the default, for no
    /// such bound. While it is spent, prefetches are dropped.
    pub bytes_per_second: Option<u64>,
    /// How long a segment counts as recent; 60 s by default. What was fetched ahead and is not
    /// asked for within it counts as wasted.
    pub window: Duration,
    /// How long one prefetch may take; 30 s by default.
    pub timeout: Duration,
}

impl Default for PrefetchConfig {
    fn default() -> Self {
        Self {
            ahead: 2,
            concurrency: 4,
            queue: 256,
            bytes_per_second: None,
            window: Duration::from_secs(60),
            timeout: Duration::from_secs(30),
        }
    }
}

impl PrefetchConfig {
    /// No prefetch at all.
    pub fn off() -> Self {
        Self::default().ahead(0)
    }

    /// Replaces [`PrefetchConfig::ahead`].
    #[must_use]
    pub const fn ahead(mut self, segments: usize) -> Self {
        self.ahead = segments;
        self
    }

    /// Replaces [`PrefetchConfig::concurrency`].
    #[must_use]
    pub const fn concurrency(mut self, fetches: usize) -> Self {
        self.concurrency = fetches;
        self
    }

    /// Replaces [`PrefetchConfig::queue`].
    #[must_use]
    pub const fn queue(mut self, fetches: usize) -> Self {
        self.queue = fetches;
        self
    }

    /// Replaces [`PrefetchConfig::bytes_per_second`].
    #[must_use]
    pub const fn bytes_per_second(mut self, bytes: u64) -> Self {
        self.bytes_per_second = Some(bytes);
        self
    }

    /// Replaces [`PrefetchConfig::window`].
    #[must_use]
    pub const fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }
}

/// Marks a request as sent ahead of need: an extension of the request. A shield that meets it
/// answers and fetches nothing ahead for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefetched;

/// URLs remembered as recent.
const RECENT: usize = 16_384;

/// The prefetcher of one shield. When it is dropped its tasks are aborted.
pub(crate) struct Prefetcher<S> {
    service: S,
    shared: Arc<Shared>,
    tasks: Mutex<JoinSet<()>>,
}

struct Shared {
    config: PrefetchConfig,
    clock: Clock,
    metrics: Metrics,
    state: Mutex<State>,
}

struct State {
    recent: Recent,
    jobs: VecDeque<Job>,
    running: usize,
    spent: Spent,
}

struct Job {
    url: Url,
    request: Request<Body>,
}

impl<S> Prefetcher<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    pub(crate) fn new(service: S, config: PrefetchConfig, clock: Clock, metrics: Metrics) -> Self {
        let recent = Recent::new(config.window, RECENT);
        let spent = Spent { left: 0, at: Timestamp::default() };
        let state = State { recent, jobs: VecDeque::new(), running: 0, spent };
        let shared = Arc::new(Shared { config, clock, metrics, state: Mutex::new(state) });
        Self { service, shared, tasks: Mutex::default() }
    }

    /// A client asks for the segment at `url`, whose place in the map was just found.
    pub(crate) fn asked(
        &self,
        request: &Request<Body>,
        url: &Url,
        map: &SegmentMap,
        position: crate::map::Position,
    ) {
        let shared = &self.shared;
        shared.metrics.segment_requests.inc();
        let now = shared.clock.now();
        let mut state = shared.lock();
        shared.metrics.prefetch_wasted.inc_by(state.recent.expire(now));
        if state.recent.asked(url, now) {
            shared.metrics.prefetch_used.inc();
        }
        // An answer to a request with credentials is for its sender (RFC 9111 §3.5).
        if shared.config.ahead == 0 || request.headers().contains_key(header::AUTHORIZATION) {
            return;
        }
        let wanted = choose(map, position, shared.config.ahead, url.authority(), &state.recent);
        let mut workers = 0;
        for url in wanted {
            if state.jobs.len() >= shared.config.queue {
                shared.metrics.prefetch_dropped.inc();
                continue;
            }
            let Some(request) = ahead(request, &url) else { continue };
            state.recent.queued(&url, now);
            state.jobs.push_back(Job { url, request });
            if state.running < shared.config.concurrency.max(1) {
                state.running += 1;
                workers += 1;
            }
        }
        drop(state);
        for _ in 0..workers {
            self.spawn();
        }
    }

    fn spawn(&self) {
        let slot = Slot(Some(Arc::clone(&self.shared)));
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(work(self.service.clone(), slot), &runtime);
    }
}

/// Takes jobs until there are none.
async fn work<S>(mut service: S, mut slot: Slot)
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    let Some(shared) = slot.0.clone() else { return };
    while let Some(job) = shared.next_job(&mut slot) {
        shared.metrics.prefetch_issued.inc();
        let fetch = fetch(&mut service, job.request, &shared);
        let outcome = tokio::time::timeout(shared.config.timeout, fetch).await;
        match outcome {
            Ok(Outcome::Fetched) => {}
            Ok(Outcome::Stored) => {
                shared.metrics.prefetch_redundant.inc();
                shared.lock().recent.settle(&job.url);
            }
            Ok(Outcome::Failed) | Err(_) => {
                shared.metrics.prefetch_failed.inc();
                shared.lock().recent.settle(&job.url);
            }
        }
    }
}

enum Outcome {
    Fetched,
    /// It was in the cache.
    Stored,
    Failed,
}

/// Sends one prefetch and reads its answer to the end: a fill that nobody reads may be given up.
async fn fetch<S>(service: &mut S, request: Request<Body>, shared: &Shared) -> Outcome
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
    if was_hit(response.headers()) {
        return Outcome::Stored;
    }
    let mut body = response.into_body();
    loop {
        match std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            None => return Outcome::Fetched,
            Some(Err(_)) => return Outcome::Failed,
            Some(Ok(frame)) => {
                let len = frame.data_ref().map_or(0, |data| data.len() as u64);
                shared.metrics.prefetch_bytes.inc_by(len);
                shared.lock().spent.take(len);
            }
        }
    }
}

/// Whether the cache just before us, the last to sign, answered from store (RFC 9211 §2).
fn was_hit(headers: &HeaderMap) -> bool {
    let last = headers.get_all("cache-status").iter().next_back();
    let member = last.and_then(|value| value.to_str().ok()).and_then(|v| v.rsplit(',').next());
    member.is_some_and(|member| member.split(';').skip(1).any(|part| part.trim() == "hit"))
}

/// The request for `url` on behalf of the client that sent `like`: to the same host, for the same
/// encoding and script origin, so that it meets the same variant in the cache.
fn ahead(like: &Request<Body>, url: &Url) -> Option<Request<Body>> {
    let mut head: Parts = Request::new(()).into_parts().0;
    let mut uri = like.uri().clone().into_parts();
    uri.path_and_query = url.to_uri()?.into_parts().path_and_query;
    head.uri = Uri::from_parts(uri).ok()?;
    head.method = Method::GET;
    head.version = like.version();
    for name in [header::HOST, header::ACCEPT_ENCODING, header::ORIGIN] {
        if let Some(value) = like.headers().get(&name) {
            head.headers.insert(name, value.clone());
        }
    }
    head.extensions.insert(Prefetched);
    Some(Request::from_parts(head, Body::empty()))
}

impl Shared {
    /// The next job worth doing; when there is none the slot is given back, with the queue still
    /// locked, so that no job slips in unseen.
    fn next_job(&self, slot: &mut Slot) -> Option<Job> {
        let mut state = self.lock();
        while let Some(job) = state.jobs.pop_front() {
            if !state.recent.begins(&job.url) {
                continue;
            }
            if state.spent.may(self.config.bytes_per_second, self.clock.now()) {
                return Some(job);
            }
            state.recent.settle(&job.url);
            self.metrics.prefetch_dropped.inc();
        }
        slot.0 = None;
        state.running = state.running.saturating_sub(1);
        None
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing within panics between two states that matter.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A worker's place among [`PrefetchConfig::concurrency`]; given back also when it is aborted.
struct Slot(Option<Arc<Shared>>);

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            let mut state = shared.lock();
            state.running = state.running.saturating_sub(1);
        }
    }
}

/// Bytes that may still be spent, refilled by time.
#[derive(Debug)]
struct Spent {
    left: i64,
    at: Timestamp,
}

impl Spent {
    fn may(&mut self, rate: Option<u64>, now: Timestamp) -> bool {
        let Some(rate) = rate else { return true };
        let most = i64::try_from(rate.saturating_mul(10)).unwrap_or(i64::MAX);
        let millis = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        let earned = i64::try_from(rate.saturating_mul(millis) / 1000).unwrap_or(i64::MAX);
        self.left = self.left.saturating_add(earned).min(most);
        self.at = now;
        self.left > 0
    }

    fn take(&mut self, bytes: u64) {
        self.left = self.left.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spent_budget_comes_back_with_time() {
        let mut spent = Spent { left: 0, at: Timestamp::default() };
        let now = Timestamp::from_secs(1000);
        assert!(spent.may(Some(100), now));
        spent.take(1200);
        assert!(!spent.may(Some(100), now));
        assert!(!spent.may(Some(100), now.plus(Duration::from_secs(2))));
        assert!(spent.may(Some(100), now.plus(Duration::from_secs(3))));
        assert!(spent.may(None, now));
    }

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
