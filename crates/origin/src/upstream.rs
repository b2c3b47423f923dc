//! Origins: where the shield gets what it has not.
//!
//! Several services stand behind one, in the order they were given: the first that is not known to
//! be down is asked. A `GET` or `HEAD` that gets no answer, or 502, 503 or 504, is asked again of
//! each other origin, once, within a budget; never after a response was begun, and never twice of
//! one origin. A 404 is an answer.
//!
//! Each origin is given a bounded number of requests at one time; where all that may be asked are
//! full and enough wait, the answer is 503 with `Retry-After` (RFC 9110 §15.6.4), at once.

mod budget;
mod health;
mod places;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use headwater_cache::BoxError;
use headwater_net::client::UpstreamError;
use headwater_net::{Body, Clock, Problem, Timestamp};
use http::{Method, Request, Response, StatusCode};
use tower_service::Service;

use budget::Budget;
use places::Places;

pub use budget::RetryConfig;
pub use health::{Health, HealthConfig};
pub use places::PlacesConfig;

use crate::metrics::Metrics;

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

/// Why no origin gave an answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OriginError {
    /// There is no origin to ask.
    #[error("no origin is configured")]
    NoOrigin,
    /// The last origin that was asked gave no answer in time.
    #[error("the origin did not answer in time")]
    TimedOut(#[source] std::io::Error),
    /// The last origin that was asked failed.
    #[error("the origin failed")]
    Failed(#[source] BoxError),
    /// The request could not be sent to an origin, and to no other either.
    #[error("the request cannot be sent to an origin")]
    Refused(#[source] BoxError),
}

/// Several origins as one service. Clones share health and budget.
#[derive(Clone)]
pub struct Origins {
    origins: Arc<[Origin]>,
    shared: Arc<Shared>,
}

struct Origin {
    service: Box<dyn Ask>,
    health: Mutex<Health>,
    places: Places,
}

struct Shared {
    health: HealthConfig,
    retry: RetryConfig,
    first_byte: Duration,
    budget: Mutex<Budget>,
    clock: Clock,
    metrics: Metrics,
}

/// A service whose type is forgotten.
trait Ask: Send + Sync {
    fn ask(&self, request: Request<Body>) -> Answer;
}

impl<S> Ask for S
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    fn ask(&self, request: Request<Body>) -> Answer {
        let mut service = self.clone();
        Box::pin(async move {
            std::future::poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
            service.call(request).await.map_err(Into::into)
        })
    }
}

/// Describes [`Origins`].
#[must_use = "a builder does nothing until build is called"]
#[derive(Default)]
pub struct OriginsBuilder {
    origins: Vec<Box<dyn Ask>>,
    health: HealthConfig,
    retry: RetryConfig,
    places: PlacesConfig,
    first_byte: Option<Duration>,
    clock: Clock,
    metrics: Metrics,
}

impl OriginsBuilder {
    /// Adds an origin after those already there: any service, in this process or a client.
    pub fn origin<S>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
    {
        self.origins.push(Box::new(service));
        self
    }

    /// When an origin counts as down.
    pub fn health(mut self, health: HealthConfig) -> Self {
        self.health = health;
        self
    }

    /// How many retries are allowed.
    pub fn retry(mut self, retry: RetryConfig) -> Self {
        self.retry = retry;
        self
    }

    /// How many requests each origin is given at one time, and how many may wait for a place.
    pub fn places(mut self, places: PlacesConfig) -> Self {
        self.places = places;
        self
    }

    /// How long an origin may take until its response begins; 10 s by default.
    pub fn first_byte_timeout(mut self, timeout: Duration) -> Self {
        self.first_byte = Some(timeout);
        self
    }

    /// The clock that cool-offs and budgets run by.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The counters to use; by default new ones.
    pub fn metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// The service. Without any origin every request fails with [`OriginError::NoOrigin`].
    pub fn build(self) -> Origins {
        let places = self.places;
        let origin =
            |service| Origin { service, health: Mutex::default(), places: Places::new(&places) };
        Origins {
            origins: self.origins.into_iter().map(origin).collect(),
            shared: Arc::new(Shared {
                health: self.health,
                retry: self.retry,
                first_byte: self.first_byte.unwrap_or(Duration::from_secs(10)),
                budget: Mutex::default(),
                clock: self.clock,
                metrics: self.metrics,
            }),
        }
    }
}

impl Origins {
    /// Starts describing origins.
    pub fn builder() -> OriginsBuilder {
        OriginsBuilder::default()
    }

    async fn fetch(self, request: Request<Body>) -> Result<Response<Body>, OriginError> {
        let (head, body) = request.into_parts();
        let idempotent = matches!(head.method, Method::GET | Method::HEAD)
            && http_body::Body::is_end_stream(&body);
        let mut body = Some(body);
        let mut tried: Vec<bool> = vec![false; self.origins.len()];
        let shared = &self.shared;
        lock(&shared.budget).request(shared.clock.now());
        let mut last = Err(OriginError::NoOrigin);
        while let Some(at) = self.pick(&tried, shared.clock.now()) {
            let Some(origin) = self.origins.get(at) else { break };
            let first = body.is_some();
            if !first {
                if !lock(&shared.budget).retry(shared.clock.now(), &shared.retry) {
                    shared.metrics.origin_retries_refused.inc();
                    break;
                }
                shared.metrics.origin_retries.inc();
            }
            if let Some(slot) = tried.get_mut(at) {
                *slot = true;
            }
            let request = Request::from_parts(head.clone(), body.take().unwrap_or_default());
            last = origin.ask(request, shared).await;
            if !idempotent || !is_failure(&last) {
                return last;
            }
        }
        last
    }

    /// The first origin that may be asked; when all are down, the one that may be asked soonest:
    /// trying is better than refusing.
    fn pick(&self, tried: &[bool], now: Timestamp) -> Option<usize> {
        let mut soonest: Option<(Timestamp, usize)> = None;
        let untried = self.origins.iter().zip(tried).enumerate().filter(|(_, (_, tried))| !**tried);
        for (at, (origin, _)) in untried {
            let mut health = lock(&origin.health);
            if health.is_available(now) {
                health.sent(now);
                return Some(at);
            }
            let retry = health.retry_at();
            if soonest.is_none_or(|(best, _)| retry < best) {
                soonest = Some((retry, at));
            }
        }
        // A second choice that is known to be down is no help.
        if tried.iter().any(|tried| *tried) {
            return None;
        }
        soonest.map(|(_, at)| at)
    }
}

impl Origin {
    async fn ask(
        &self,
        request: Request<Body>,
        shared: &Shared,
    ) -> Result<Response<Body>, OriginError> {
        let verdict = Verdict { origin: self, given: false };
        let Some(place) = self.places.take().await else {
            // It says nothing about the origin's health: it was not asked.
            shared.metrics.origin_busy.inc();
            return Ok(busy());
        };
        shared.metrics.origin_requests.inc();
        let answer = tokio::time::timeout(shared.first_byte, self.service.ask(request)).await;
        let answer = match answer {
            Err(elapsed) => Err(OriginError::TimedOut(elapsed.into())),
            Ok(Err(error)) => Err(OriginError::of(error)),
            Ok(Ok(response)) => Ok(response.map(|body| place.hold(body))),
        };
        let failed = is_failure(&answer);
        if failed {
            shared.metrics.origin_failures.inc();
        }
        if let Err(error) = &answer {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::warn!(%error, cause, "origin failed");
        }
        verdict.give(failed, shared);
        answer
    }
}

/// Tells an origin's health what became of a request, also when the request is dropped.
struct Verdict<'a> {
    origin: &'a Origin,
    given: bool,
}

impl Verdict<'_> {
    fn give(mut self, failed: bool, shared: &Shared) {
        self.given = true;
        let mut health = lock(&self.origin.health);
        let was_down = health.is_down();
        if failed {
            health.failed(shared.clock.now(), &shared.health);
        } else {
            health.succeeded();
        }
        match (was_down, health.is_down()) {
            (false, true) => drop(shared.metrics.origins_down.inc()),
            (true, false) => drop(shared.metrics.origins_down.dec()),
            _ => {}
        }
    }
}

impl Drop for Verdict<'_> {
    fn drop(&mut self) {
        if !self.given {
            lock(&self.origin.health).forgotten();
        }
    }
}

/// The answer where there is no place at an origin and none to wait in.
fn busy() -> Response<Body> {
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE);
    problem.detail("too many requests are under way").retry_after(1).into_response()
}

/// Whether an answer says that the origin cannot answer (RFC 9110 §15.6.3 to §15.6.5).
fn is_failure(answer: &Result<Response<Body>, OriginError>) -> bool {
    match answer {
        Ok(response) => matches!(response.status().as_u16(), 502..=504),
        Err(error) => !matches!(error, OriginError::Refused(_)),
    }
}

impl OriginError {
    /// Tells the errors of [`headwater_net::client::Upstream`] apart; any other service's error is
    /// a failure.
    fn of(error: BoxError) -> Self {
        match error.downcast_ref::<UpstreamError>() {
            Some(UpstreamError::Timeout) => {
                Self::TimedOut(std::io::Error::new(std::io::ErrorKind::TimedOut, error))
            }
            Some(upstream) if !upstream.is_retryable() => Self::Refused(error),
            _ => Self::Failed(error),
        }
    }
}

/// No lock here is held across anything that may panic, and what it guards is valid at every step.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Service<Request<Body>> for Origins {
    type Response = Response<Body>;
    type Error = OriginError;
    type Future = OriginsFuture;

    /// Always ready: each request waits for the origin it is sent to.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OriginError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> OriginsFuture {
        OriginsFuture(Box::pin(self.clone().fetch(request)))
    }
}

/// The answer of [`Origins`]. Dropping it drops the request in flight.
pub struct OriginsFuture(Pin<Box<dyn Future<Output = Result<Response<Body>, OriginError>> + Send>>);

impl Future for OriginsFuture {
    type Output = Result<Response<Body>, OriginError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl std::fmt::Debug for Origins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Origins").field("origins", &self.origins.len()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for OriginsBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OriginsBuilder")
            .field("origins", &self.origins.len())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for OriginsFuture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OriginsFuture").finish_non_exhaustive()
    }
}
