//! One origin: a service whose type is forgotten, its health, its places, and how long it takes.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use headwater_cache::BoxError;
use headwater_net::client::{FirstByte, Unasked, UpstreamError, answered_within};
use headwater_net::health::{Health, Trial};
use headwater_net::rendezvous::Contender;
use headwater_net::{Body, Problem, Protocol};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tower_service::Service;

use super::hedge::Latency;
use super::held::longest_hold;
use super::places::{Places, PlacesConfig};
use super::{OriginError, Shared, lock, peers};
use crate::metrics::Metrics;
use crate::prefetch::{Prefetched, Wanted};
#[cfg(feature = "object-store")]
use crate::store::StoreError;

/// What is fetched ahead yields to what somebody waits for (RFC 9218 §4.1).
const PRIORITY: HeaderName = HeaderName::from_static("priority");
const AHEAD: HeaderValue = HeaderValue::from_static("u=6");

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

/// A service whose type is forgotten.
pub(super) trait Ask: Send + Sync {
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

/// How one origin stands beside the others.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OriginConfig {
    /// Which are asked first: those with the least number, and others only when none of those is up.
    pub priority: u32,
    /// Its share among those of the same priority, by their weights; 1 by default. Which of them is
    /// asked goes by what is asked for, so that an origin sees the whole of a presentation.
    pub weight: u32,
    /// What decides that; shields that call it the same ask it for the same.
    pub name: String,
}

impl OriginConfig {
    /// An origin of this name and priority.
    pub fn new(name: impl Into<String>, priority: u32) -> Self {
        Self { priority, weight: 1, name: name.into() }
    }

    /// Replaces [`OriginConfig::weight`].
    #[must_use]
    pub const fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }
}

pub(super) struct Origin {
    service: Box<dyn Ask>,
    is_peer: bool,
    /// Whether it is asked no more; written while its health is locked.
    is_retired: AtomicBool,
    pub(super) name: String,
    pub(super) priority: u32,
    pub(super) contender: Contender,
    pub(super) health: Mutex<Health>,
    pub(super) places: Places,
    pub(super) latency: Mutex<Latency>,
    /// What counts those of its kind that are down; this one as long as it is asked.
    down: Gauge,
    /// Requests that were sent to it, and those of them that it failed.
    pub(super) asked: AtomicU64,
    pub(super) failed: AtomicU64,
    /// Answers that began, in the order of [`Protocol::ALL`].
    pub(super) answered: [AtomicU64; Protocol::ALL.len()],
}

impl Origin {
    pub(super) fn new(
        service: Box<dyn Ask>,
        config: &OriginConfig,
        places: &PlacesConfig,
        metrics: &Metrics,
    ) -> Self {
        let OriginConfig { priority, weight, name } = config;
        Self {
            service,
            is_peer: false,
            is_retired: AtomicBool::default(),
            name: name.clone(),
            priority: *priority,
            contender: Contender::new(name, *weight),
            health: Mutex::default(),
            places: Places::new(places),
            latency: Mutex::default(),
            down: metrics.origins_down.clone(),
            asked: AtomicU64::default(),
            failed: AtomicU64::default(),
            answered: Default::default(),
        }
    }

    /// One that is no origin but another shield ([`super::Peers`]).
    pub(super) fn peer(
        service: Box<dyn Ask>,
        config: &OriginConfig,
        places: &PlacesConfig,
        metrics: &Metrics,
    ) -> Self {
        let mut peer = Self::new(service, config, places, metrics);
        peer.is_peer = true;
        peer.down = metrics.peers_down.clone();
        peer
    }

    /// One request, counted by nobody.
    pub(super) fn ask_once(&self, request: Request<Body>) -> Answer {
        self.service.ask(request)
    }

    pub(super) async fn ask(
        &self,
        request: Request<Body>,
        trial: Option<Trial>,
        shared: &Shared,
    ) -> Result<Response<Body>, OriginError> {
        let verdict = Verdict { origin: self, trial, given: false };
        let (mut head, body) = request.into_parts();
        let Some(place) = self.places.take(Wanted::of(&head).as_ref()).await else {
            // It says nothing about the origin's health: it was not asked.
            shared.metrics.origin_busy.inc();
            return Ok(busy());
        };
        let (requests, failures) = self.counted(shared);
        requests.inc();
        self.asked.fetch_add(1, Ordering::Relaxed);
        peers::sign(&mut head, self.is_peer);
        // Somebody may wait for it by now.
        if Prefetched::yields(&head) {
            head.headers.insert(PRIORITY, AHEAD);
        }
        let hold = longest_hold(&head);
        let held = hold.is_some();
        let within = if self.is_peer {
            lock(&shared.beside).patience()
        } else {
            shared.first_byte.max(hold.unwrap_or_default())
        };
        if held {
            head.extensions.insert(FirstByte(within));
        }
        let request = Request::from_parts(head, body);
        let sent = shared.clock.now();
        let asked = |request| self.service.ask(request);
        let answer = answered_within(within, request, asked).await;
        // What a stranger can bring about at a peer says nothing of its health.
        let (answer, is_verdict) = match answer {
            Err(elapsed) => (Err(OriginError::TimedOut(elapsed.into())), !self.is_peer && !held),
            Ok(Err(error)) => {
                let error = OriginError::of(error);
                let late = matches!(error, OriginError::TimedOut(_));
                (Err(error), !(late && held))
            }
            // An origin that has held a request in vain says so by 503 (RFC 8216bis §6.2.5.2).
            Ok(Ok(response)) if held && response.status() == StatusCode::SERVICE_UNAVAILABLE => {
                (Ok(response.map(|body| place.hold(body))), false)
            }
            Ok(Ok(response)) if self.is_peer && peers::is_no_answer(response.status()) => {
                (Err(OriginError::Failed("the peer is not the one to ask".into())), false)
            }
            Ok(Ok(response)) => {
                let asked = response.extensions().get::<Unasked>().is_none();
                (Ok(response.map(|body| place.hold(body))), asked)
            }
        };
        if let Ok(response) = &answer
            && let Some(count) = self.answered.get(protocol(response.version()) as usize)
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let failed = shared.is_failure(&answer);
        if failed {
            failures.inc();
            self.failed.fetch_add(1, Ordering::Relaxed);
        } else if !held {
            lock(&self.latency).note(shared.clock.now().since(sent));
        }
        if let Err(error) = &answer {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::warn!(%error, cause, "origin failed");
        }
        if is_verdict {
            verdict.give(failed, shared);
        }
        answer
    }

    /// What counts the requests that are sent to it, and those that it fails.
    const fn counted<'s>(&self, shared: &'s Shared) -> (&'s Counter, &'s Counter) {
        let all = &shared.metrics;
        if self.is_peer {
            (&all.peer_requests, &all.peer_failures)
        } else {
            (&all.origin_requests, &all.origin_failures)
        }
    }

    /// A body of this origin broke off: it counts as an answer that never came.
    pub(super) fn broke(&self, shared: &Shared) {
        shared.metrics.origin_broken.inc();
        self.tell(|health| health.failed(shared.clock.now(), None, &shared.health));
    }

    /// An answer of this origin came whole.
    pub(super) fn came_whole(&self) {
        self.tell(Health::succeeded);
    }

    /// It is asked no more, but by what is under way: it counts as one that is down no longer.
    pub(super) fn retire(&self) {
        let health = lock(&self.health);
        let was_retired = self.is_retired.swap(true, Ordering::Relaxed);
        if health.is_down() && !was_retired {
            self.down.dec();
        }
    }

    /// Tells its health something, and who counts those that are down what became of it.
    pub(super) fn tell(&self, what: impl FnOnce(&mut Health)) {
        let mut health = lock(&self.health);
        let was_down = health.is_down();
        what(&mut health);
        if self.is_retired.load(Ordering::Relaxed) {
            return;
        }
        match (was_down, health.is_down()) {
            (false, true) => drop(self.down.inc()),
            (true, false) => drop(self.down.dec()),
            _ => {}
        }
    }
}

impl Drop for Origin {
    /// Who is gone is not down.
    fn drop(&mut self) {
        self.retire();
    }
}

/// Tells an origin's health what became of a request, also when the request is dropped.
struct Verdict<'a> {
    origin: &'a Origin,
    trial: Option<Trial>,
    given: bool,
}

impl Verdict<'_> {
    fn give(mut self, failed: bool, shared: &Shared) {
        self.given = true;
        self.origin.tell(|health| {
            if failed {
                health.failed(shared.clock.now(), self.trial, &shared.health);
            } else {
                health.began(&shared.health);
            }
        });
    }
}

impl Drop for Verdict<'_> {
    fn drop(&mut self) {
        if !self.given {
            lock(&self.origin.health).forgotten(self.trial);
        }
    }
}

/// The protocol by which an answer of this version came.
const fn protocol(version: Version) -> Protocol {
    match version {
        Version::HTTP_3 => Protocol::H3,
        Version::HTTP_2 => Protocol::H2,
        _ => Protocol::H1,
    }
}

/// The answer where there is no place at an origin and none to wait in.
fn busy() -> Response<Body> {
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE);
    problem.detail("too many requests are under way").retry_after(1).into_response()
}

impl Shared {
    /// Whether an answer says that the origin cannot answer, so that another is asked.
    /// By default those of RFC 9110 §15.6.3 to §15.6.5 do.
    pub(super) fn is_failure(&self, answer: &Result<Response<Body>, OriginError>) -> bool {
        match answer {
            Ok(response) => self.failover.has(response.status()),
            Err(error) => !matches!(error, OriginError::Refused(_)),
        }
    }
}

impl OriginError {
    /// Tells the errors of [`headwater_net::client::Upstream`] and of stores apart; any other service's error
    /// is a failure.
    fn of(error: BoxError) -> Self {
        let is_late =
            |error: BoxError| Self::TimedOut(io::Error::new(io::ErrorKind::TimedOut, error));
        #[cfg(feature = "object-store")]
        match error.downcast_ref::<StoreError>() {
            Some(StoreError::TimedOut) => return is_late(error),
            Some(StoreError::TooLarge { .. }) => return Self::Refused(error),
            _ => {}
        }
        match error.downcast_ref::<UpstreamError>() {
            Some(UpstreamError::Timeout) => is_late(error),
            Some(upstream) if !upstream.is_retryable() => Self::Refused(error),
            _ => Self::Failed(error),
        }
    }
}
