//! Fetching ahead: when a segment of a rendition was asked for and the headers of its answer are
//! there, the next ones are fetched through the shield's own cache before anybody asks.
//!
//! A prefetch is an ordinary GET: it collapses with real requests, and what it fetches is stored by
//! the same rules. It is sent by a few background tasks from a bounded queue, never causes another
//! prefetch, and ends when the shield is dropped. A segment whose answer failed brings no other
//! along, and what is larger than a segment should be is given up.

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
    /// Bytes per second that may be spent, ten seconds of it at once; 64 MiB by default, `None` for
    /// no such bound. While it is spent, prefetches are dropped.
    pub bytes_per_second: Option<u64>,
    /// Bytes of one object; 64 MiB by default. A prefetch that turns out to be larger is given up:
    /// at its headers where they tell, else when so much has come.
    pub max_object: u64,
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
            bytes_per_second: Some(64 << 20),
            max_object: 64 << 20,
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

    /// Replaces [`PrefetchConfig::max_object`].
    #[must_use]
    pub const fn max_object(mut self, bytes: u64) -> Self {
        self.max_object = bytes;
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

/// A client's request for a segment whose answer is still to come.
#[derive(Debug)]
pub(crate) struct Asked {
    url: Url,
    /// The first byte that was asked for, where a range was.
    at: Option<u64>,
    /// Its target and the fields that choose a variant.
    like: Parts,
}

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

    /// A client asks for the segment at `url`. Returns what to ask ahead with when its answer is
    /// there; `None` where nothing may be fetched ahead for it.
    pub(crate) fn asked(
        &self,
        request: &Request<Body>,
        url: Url,
        at: Option<u64>,
    ) -> Option<Asked> {
        let shared = &self.shared;
        shared.metrics.segment_requests.inc();
        let now = shared.clock.now();
        let mut state = shared.lock();
        shared.metrics.prefetch_wasted.inc_by(state.recent.expire(now));
        if state.recent.asked(&url, now) {
            shared.metrics.prefetch_used.inc();
        }
        drop(state);
        // An answer to a request with credentials is for its sender (RFC 9111 §3.5).
        let none =
            shared.config.ahead == 0 || request.headers().contains_key(header::AUTHORIZATION);
        (!none).then(|| Asked { url, at, like: like(request) })
    }

    /// The answer to a segment has begun, and it is one: the next segments of `map` are queued.
    pub(crate) fn answered(&self, asked: &Asked, map: &mut SegmentMap) {
        // Looked up anew: the map may have learnt since.
        let Some(position) = map.lookup(&asked.url, asked.at) else { return };
        let shared = &self.shared;
        let now = shared.clock.now();
        let mut state = shared.lock();
        let authority = asked.url.authority();
        let wanted = choose(map, position, shared.config.ahead, authority, &state.recent);
        let mut workers = 0;
        for url in wanted {
            if state.jobs.len() >= shared.config.queue {
                shared.metrics.prefetch_dropped.inc();
                continue;
            }
            let Some(request) = ahead(&asked.like, &url) else { continue };
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
            Ok(Outcome::TooLarge) => {
                shared.metrics.prefetch_too_large.inc();
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
    /// It is larger than is fetched ahead.
    TooLarge,
    Failed,
}

/// Sends one prefetch and reads its answer to the end: a fill that nobody reads may be given up,
/// and that is what becomes of one that is too large.
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
    let most = shared.config.max_object;
    if declared_length(&response).is_some_and(|length| length > most) {
        return Outcome::TooLarge;
    }
    let mut body = response.into_body();
    let mut length = 0u64;
    loop {
        match std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            None => return Outcome::Fetched,
            Some(Err(_)) => return Outcome::Failed,
            Some(Ok(frame)) => {
                let len = frame.data_ref().map_or(0, |data| data.len() as u64);
                shared.metrics.prefetch_bytes.inc_by(len);
                shared.lock().spent.take(len);
                length = length.saturating_add(len);
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

/// What of a client's request is said again when the next segments are asked for: the same host,
/// encoding and script origin, so that they meet the same variant in the cache.
fn like(request: &Request<Body>) -> Parts {
    let mut head: Parts = Request::new(()).into_parts().0;
    head.uri = request.uri().clone();
    head.version = request.version();
    for name in [header::HOST, header::ACCEPT_ENCODING, header::ORIGIN] {
        if let Some(value) = request.headers().get(&name) {
            head.headers.insert(name, value.clone());
        }
    }
    head
}

/// The request for `url`, as `like` would ask for it.
fn ahead(like: &Parts, url: &Url) -> Option<Request<Body>> {
    let mut head = like.clone();
    let mut uri = like.uri.clone().into_parts();
    uri.path_and_query = url.to_uri()?.into_parts().path_and_query;
    head.uri = Uri::from_parts(uri).ok()?;
    head.method = Method::GET;
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
