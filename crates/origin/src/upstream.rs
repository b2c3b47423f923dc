//! Origins: where the shield gets what it has not.
//!
//! Several services stand behind one, in the order they were given: the first that is not known to
//! be down is asked. A `GET` or `HEAD` that gets no answer, or 502, 503 or 504, is asked again of
//! each other origin, once, within a budget; never after a response was begun, and never twice of
//! one origin. A 404 is an answer. Where an origin takes unusually long another is asked the same
//! ([`HedgeConfig`]), and a body that breaks off is resumed where it says which representation it is
//! of: the rest is asked for by `Range` and `If-Range`, and whoever reads it sees a pause.
//!
//! Each origin is given a bounded number of requests at one time; where all that may be asked are
//! full and enough wait, the answer is 503 with `Retry-After` (RFC 9110 §15.6.4), at once.

mod budget;
mod health;
mod hedge;
mod origin;
mod places;
mod resume;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use headwater_cache::BoxError;
use headwater_net::{Body, Clock, Timestamp};
use http::request::Parts;
use http::{Method, Request, Response};
use tower_service::Service;

use budget::Budget;
use origin::{Ask, Origin, is_failure};
use resume::{Promise, Resuming};

pub use budget::RetryConfig;
pub use health::{Health, HealthConfig};
pub use hedge::HedgeConfig;
pub use places::PlacesConfig;

use crate::metrics::Metrics;
use crate::pressure::Pressure;

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

struct Shared {
    health: HealthConfig,
    retry: RetryConfig,
    hedge: HedgeConfig,
    first_byte: Duration,
    budget: Mutex<Budget>,
    hedges: Mutex<Budget>,
    clock: Clock,
    metrics: Metrics,
    pressure: Arc<Pressure>,
}

/// Describes [`Origins`].
#[must_use = "a builder does nothing until build is called"]
#[derive(Default)]
pub struct OriginsBuilder {
    origins: Vec<Box<dyn Ask>>,
    health: HealthConfig,
    retry: RetryConfig,
    hedge: HedgeConfig,
    places: PlacesConfig,
    first_byte: Option<Duration>,
    clock: Clock,
    metrics: Metrics,
    pressure: Arc<Pressure>,
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

    /// When another origin is asked the same because one is slow.
    pub fn hedge(mut self, hedge: HedgeConfig) -> Self {
        self.hedge = hedge;
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

    /// Whom to tell how loaded the origins are.
    pub(crate) fn pressure(mut self, pressure: Arc<Pressure>) -> Self {
        self.pressure = pressure;
        self
    }

    /// The service. Without any origin every request fails with [`OriginError::NoOrigin`].
    pub fn build(self) -> Origins {
        let origins = self.origins.into_iter();
        let origins: Arc<[Origin]> =
            origins.map(|service| Origin::new(service, &self.places)).collect();
        let seen = Arc::downgrade(&origins);
        self.pressure.ask(move |percent| seen.upgrade().is_some_and(|o| has_room(&o, percent)));
        Origins {
            origins,
            shared: Arc::new(Shared {
                health: self.health,
                retry: self.retry,
                hedge: self.hedge,
                first_byte: self.first_byte.unwrap_or(Duration::from_secs(10)),
                budget: Mutex::default(),
                hedges: Mutex::default(),
                clock: self.clock,
                metrics: self.metrics,
                pressure: self.pressure,
            }),
        }
    }
}

/// Whether the first origin that is up is filled to less than so many percent.
fn has_room(origins: &[Origin], percent: u8) -> bool {
    let up = origins.iter().find(|origin| !lock(&origin.health).is_down());
    up.is_some_and(|origin| origin.places.has_room(percent))
}

impl Origins {
    /// Starts describing origins.
    pub fn builder() -> OriginsBuilder {
        OriginsBuilder::default()
    }

    async fn fetch(self, request: Request<Body>) -> Result<Response<Body>, OriginError> {
        let (head, body) = request.into_parts();
        // What had a body cannot be asked for again.
        let repeatable = http_body::Body::is_end_stream(&body);
        let (answer, from) = self.answer(&head, body, None).await;
        let answer = answer?;
        let promise = if repeatable { Promise::of(&head.method, &answer) } else { None };
        let Some(promise) = promise else { return Ok(answer) };
        Ok(answer
            .map(|body| Body::Stream(Box::pin(Resuming::new(self, head, promise, from, body)))))
    }

    /// Asks one origin after the other; `avoid` only where no other is up. Returns which one
    /// answered.
    async fn answer(
        &self,
        head: &Parts,
        body: Body,
        avoid: Option<usize>,
    ) -> (Result<Response<Body>, OriginError>, usize) {
        let idempotent = matches!(head.method, Method::GET | Method::HEAD)
            && http_body::Body::is_end_stream(&body);
        let mut body = Some(body);
        let mut tried: Vec<bool> = vec![false; self.origins.len()];
        let shared = &self.shared;
        lock(&shared.budget).request(shared.clock.now());
        let mut last = (Err(OriginError::NoOrigin), 0);
        if let Some(avoided) = avoid.and_then(|avoid| tried.get_mut(avoid)) {
            *avoided = true;
            if self.spare(&tried, shared.clock.now()).is_none() {
                tried.fill(false);
            }
        }
        while let Some(at) = self.pick(&tried, shared.clock.now()) {
            let Some(origin) = self.origins.get(at) else { break };
            let first = body.is_some();
            if !first && !self.may_retry() {
                break;
            }
            if let Some(slot) = tried.get_mut(at) {
                *slot = true;
            }
            let body = body.take().unwrap_or_default();
            last = if idempotent {
                self.ask_hedged(at, head, &mut tried).await
            } else {
                (origin.ask(Request::from_parts(head.clone(), body), shared).await, at)
            };
            if !idempotent || !is_failure(&last.0) {
                return last;
            }
        }
        last
    }

    /// Asks an origin, and another one too if it is slow; the answer that begins first counts.
    async fn ask_hedged(
        &self,
        at: usize,
        head: &Parts,
        tried: &mut [bool],
    ) -> (Result<Response<Body>, OriginError>, usize) {
        let shared = &self.shared;
        let Some(origin) = self.origins.get(at) else { return (Err(OriginError::NoOrigin), at) };
        let request = || Request::from_parts(head.clone(), Body::Empty);
        let mut first = std::pin::pin!(origin.ask(request(), shared));
        let now = shared.clock.now();
        lock(&shared.hedges).request(now);
        let usual = (shared.hedge.percent > 0 && tried.contains(&false))
            .then(|| lock(&origin.latency).p95())
            .flatten();
        let Some(usual) = usual else { return (first.await, at) };
        let wait = usual.max(shared.hedge.shortest_wait);
        if let Ok(answer) = tokio::time::timeout(wait, &mut first).await {
            return (answer, at);
        }
        let now = shared.clock.now();
        let Some((other, hedge)) = self.spare(tried, now) else { return (first.await, at) };
        if !lock(&shared.hedges).retry(now, &shared.hedge.budget()) {
            return (first.await, at);
        }
        shared.metrics.origin_hedges.inc();
        lock(&other.health).sent(now);
        if let Some(slot) = tried.get_mut(hedge) {
            *slot = true;
        }
        let mut second = std::pin::pin!(other.ask(request(), shared));
        tokio::select! {
            answer = &mut first => {
                if is_failure(&answer) { (second.await, hedge) } else { (answer, at) }
            }
            answer = &mut second => {
                if is_failure(&answer) {
                    (first.await, at)
                } else {
                    shared.metrics.origin_hedges_won.inc();
                    (answer, hedge)
                }
            }
        }
    }

    /// Another origin that is up.
    fn spare(&self, tried: &[bool], now: Timestamp) -> Option<(&Origin, usize)> {
        let untried = self.origins.iter().zip(tried).enumerate().filter(|(_, (_, tried))| !**tried);
        let mut up = untried.filter(|(_, (origin, _))| {
            let health = lock(&origin.health);
            !health.is_down() && health.is_available(now)
        });
        up.next().map(|(at, (origin, _))| (origin, at))
    }

    /// Takes a retry from the budget, if it has one.
    fn may_retry(&self) -> bool {
        let shared = &self.shared;
        let may = lock(&shared.budget).retry(shared.clock.now(), &shared.retry);
        let counter = if may {
            &shared.metrics.origin_retries
        } else {
            &shared.metrics.origin_retries_refused
        };
        counter.inc();
        may
    }

    /// A body of the origin at `from` broke off.
    fn broke(&self, from: usize) {
        if let Some(origin) = self.origins.get(from) {
            origin.broke(&self.shared);
        }
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
