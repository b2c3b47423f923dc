//! Origins: where the shield gets what it has not.
//!
//! Several services stand behind one, by priority: of those with the least number that are not known
//! to be down one is asked, by what is asked for and their weights ([`OriginConfig`]). A `GET` or
//! `HEAD` that gets no answer, or one of the statuses that count as none (502, 503 and 504 unless
//! told otherwise), is asked again of each other origin, once, within a budget; never after a
//! response was begun, and never twice of one origin. A 404 is an answer. Where an origin takes unusually long another is asked the same
//! ([`HedgeConfig`]), and a body that breaks off is resumed where it says which representation it is
//! of: the rest is asked for by `Range` and `If-Range`, and whoever reads it sees a pause.
//!
//! What is fetched ahead of need is asked once: it is neither asked again nor hedged, and earns no retries or
//! hedges for others. What an origin holds until it has it (a playlist's next version) may take longer than
//! other answers, is not hedged either, and says nothing of the origin where it is too late.
//!
//! Each origin is given a bounded number of requests at one time; where all that may be asked are
//! full and enough wait, the answer is 503 with `Retry-After` (RFC 9110 §15.6.4), at once.
//!
//! What origins answer, and how their bodies end, decides on their health, which is the circuit
//! breaker ([`headwater_net::health`]); [`Origins::watch`] checks them besides. Where all are down,
//! the one that may be tried soonest is asked all the same, or nobody is ([`WhenDown`]).

mod budget;
mod builder;
mod check;
mod hedge;
pub(crate) mod held;
mod order;
mod origin;
pub(crate) mod peers;
mod places;
mod resume;
mod standing;
mod statuses;
mod told;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use headwater_cache::BoxError;
use headwater_net::balance::{BalanceConfig, Hot};
use headwater_net::body::End;
use headwater_net::health::Trial;
use headwater_net::{Body, BodyError, Clock};
use http::request::Parts;
use http::{Method, Request, Response};
use tower_service::Service;

use budget::Budget;
use origin::Origin;
use peers::Beside;
use resume::{Promise, Resuming};

pub use budget::RetryConfig;
pub use builder::OriginsBuilder;
pub use check::CheckConfig;
pub use headwater_net::health::HealthConfig;
pub use hedge::HedgeConfig;
pub use origin::OriginConfig;
pub use peers::{PEER, Peers};
pub use places::PlacesConfig;
pub use standing::Standing;
pub use statuses::{NoStatuses, Statuses};
pub use told::register_standing;

use crate::metrics::Metrics;
use crate::prefetch::Prefetched;

pub use crate::pressure::Pressure;

/// Why no origin gave an answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OriginError {
    /// There is no origin to ask.
    #[error("no origin is configured")]
    NoOrigin,
    /// All origins are down, and none is to be tried yet: nobody was asked ([`WhenDown::Refuse`]).
    #[error("all origins are down")]
    AllDown,
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

/// What becomes of a request while all origins are down and none is to be tried yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenDown {
    /// It is asked of the one that may be tried soonest: perhaps it is well again.
    #[default]
    Ask,
    /// It fails at once ([`OriginError::AllDown`]): a cache in front answers from what it has, for as
    /// long as that may be stale, without waiting for origins that do not answer.
    Refuse,
}

/// Several origins as one service. Clones share health and budget.
#[derive(Clone)]
#[expect(clippy::struct_field_names, reason = "they are what the struct is named after")]
pub struct Origins {
    /// By priority.
    origins: Arc<[Origin]>,
    /// The peers that are known to what is under way, which are counted behind the origins.
    beside: Arc<Beside>,
    shared: Arc<Shared>,
}

struct Shared {
    health: HealthConfig,
    retry: RetryConfig,
    hedge: HedgeConfig,
    first_byte: Duration,
    failover: Statuses,
    when_down: WhenDown,
    budget: Mutex<Budget>,
    hedges: Mutex<Budget>,
    places: PlacesConfig,
    /// The peers that requests to come will know.
    beside: Mutex<Arc<Beside>>,
    /// Segments of a path that name what belongs together.
    depth: usize,
    balance: Option<(BalanceConfig, Mutex<Hot>)>,
    clock: Clock,
    metrics: Metrics,
}

impl Origins {
    /// Starts describing origins.
    pub fn builder() -> OriginsBuilder {
        OriginsBuilder::default()
    }

    /// Replaces the peers, from the next request on; what is under way goes on with those that it knows. A peer
    /// of a name that is known stays, with its client, its connections and what is known of its health.
    pub fn put_peers(&self, peers: Option<Peers>) {
        let shared = &self.shared;
        let mut beside = lock(&shared.beside);
        let next = peers.map(|peers| peers.into_beside((&shared.places, &shared.metrics), &beside));
        let next = next.unwrap_or_default();
        beside.gone(&next).for_each(Origin::retire);
        *beside = Arc::new(next);
    }

    /// Says that these are asked no more, but by what is under way, as after others took their place: from now
    /// on none of them counts as down, nor do the peers that they know. What was dropped does not count either.
    pub fn retire(&self) {
        self.origins.iter().for_each(Origin::retire);
        lock(&self.shared.beside).gone(&Beside::default()).for_each(Origin::retire);
    }

    /// With the peers that there are now.
    fn now(&self) -> Self {
        let beside = Arc::clone(&lock(&self.shared.beside));
        Self { beside, ..self.clone() }
    }

    /// One of those that can be asked.
    fn member(&self, at: usize) -> Option<&Origin> {
        match at.checked_sub(self.origins.len()) {
            Some(peer) => self.beside.get(peer),
            None => self.origins.get(at),
        }
    }

    async fn fetch(self, request: Request<Body>) -> Result<Response<Body>, OriginError> {
        let (head, body) = request.into_parts();
        // What had a body cannot be asked for again.
        let repeatable = http_body::Body::is_end_stream(&body);
        let (answer, from) = self.answer(&head, body, None).await;
        if self.shared.is_failure(&answer) {
            return answer;
        }
        let answer = answer?;
        let promise = if repeatable { Promise::of(&head.method, &answer) } else { None };
        let Some(promise) = promise else {
            return Ok(answer.map(|body| {
                body.on_end(move |end| match end {
                    End::Whole => self.came_whole(from),
                    // It was this side that gave it up: the origin is not to blame.
                    End::Failed(BodyError::Aborted) | End::GivenUp => {}
                    End::Failed(_) => self.broke(from),
                })
            }));
        };
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
        let mut tried: Vec<bool> = vec![false; self.origins.len() + self.beside.len()];
        let shared = &self.shared;
        if !Prefetched::is_mark_of(head) {
            lock(&shared.budget).request(shared.clock.now());
        }
        let order = self.order(head, idempotent);
        let nobody = if order.is_empty() { OriginError::NoOrigin } else { OriginError::AllDown };
        let mut last = (Err(nobody), 0);
        if let Some(avoided) = avoid.and_then(|avoid| tried.get_mut(avoid)) {
            *avoided = true;
            if self.spare(&order, &tried, shared.clock.now()).is_none() {
                tried.fill(false);
            }
        }
        while let Some((at, trial)) = self.pick(&order, &tried, shared.clock.now()) {
            let Some(origin) = self.member(at) else { break };
            // Who turns from a peer to an origin asks no origin twice.
            let first = body.is_some() || self.is_peer(last.1);
            // Somebody may wait for it by now.
            if !first && (Prefetched::is_mark_of(head) || !self.may_retry()) {
                break;
            }
            if let Some(slot) = tried.get_mut(at) {
                *slot = true;
            }
            let body = body.take().unwrap_or_default();
            last = if idempotent {
                self.ask_hedged((at, trial), head, &order, &mut tried).await
            } else {
                (origin.ask(Request::from_parts(head.clone(), body), trial, shared).await, at)
            };
            // What was held in vain would be held by another, too.
            let in_vain = matches!(last.0, Err(OriginError::TimedOut(_))) && held::is_held(head);
            if !idempotent || in_vain || !shared.is_failure(&last.0) {
                return last;
            }
        }
        last
    }

    /// Asks an origin, and another one too if it is slow; the answer that begins first counts.
    async fn ask_hedged(
        &self,
        (at, trial): (usize, Option<Trial>),
        head: &Parts,
        order: &[usize],
        tried: &mut [bool],
    ) -> (Result<Response<Body>, OriginError>, usize) {
        let shared = &self.shared;
        let Some(origin) = self.member(at) else { return (Err(OriginError::NoOrigin), at) };
        let request = || Request::from_parts(head.clone(), Body::Empty);
        let mut first = std::pin::pin!(origin.ask(request(), trial, shared));
        if Prefetched::is_mark_of(head) || held::is_held(head) {
            return (first.await, at);
        }
        let now = shared.clock.now();
        let sent = now;
        lock(&shared.hedges).request(now);
        // How long a peer may take is for its ring's patience to say.
        let may_hedge = shared.hedge.percent > 0 && !self.is_peer(at);
        let usual =
            (may_hedge && tried.contains(&false)).then(|| lock(&origin.latency).p95()).flatten();
        let Some(usual) = usual else { return (first.await, at) };
        let wait = usual.max(shared.hedge.shortest_wait);
        if let Ok(answer) = tokio::time::timeout(wait, &mut first).await {
            return (answer, at);
        }
        let now = shared.clock.now();
        let Some((other, hedge)) = self.spare(order, tried, now) else { return (first.await, at) };
        if !lock(&shared.hedges).retry(now, &shared.hedge.budget()) {
            return (first.await, at);
        }
        shared.metrics.origin_hedges.inc();
        let trial = lock(&other.health).sent(now);
        let hedged = now;
        if let Some(slot) = tried.get_mut(hedge) {
            *slot = true;
        }
        let mut second = std::pin::pin!(other.ask(request(), trial, shared));
        tokio::select! {
            // Of two that are there at once the first counts: what was asked again was for nothing.
            biased;
            answer = &mut first => {
                if shared.is_failure(&answer) {
                    (second.await, hedge)
                } else {
                    lock(&other.latency).note_loser(shared.clock.now().since(hedged));
                    (answer, at)
                }
            }
            answer = &mut second => {
                if shared.is_failure(&answer) {
                    (first.await, at)
                } else {
                    shared.metrics.origin_hedges_won.inc();
                    lock(&origin.latency).note_loser(shared.clock.now().since(sent));
                    (answer, hedge)
                }
            }
        }
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

    /// An answer of the origin at `from` came whole.
    fn came_whole(&self, from: usize) {
        if let Some(origin) = self.member(from) {
            origin.came_whole();
        }
    }

    /// A body of the origin at `from` broke off.
    fn broke(&self, from: usize) {
        if let Some(origin) = self.member(from) {
            origin.broke(&self.shared);
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
        OriginsFuture(Box::pin(self.now().fetch(request)))
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

/// Who is asked, and how: all but what is told to nobody.
impl std::fmt::Debug for Origins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shared = &self.shared;
        let names: Vec<_> = self.origins.iter().map(|origin| &origin.name).collect();
        f.debug_struct("Origins")
            .field("origins", &names)
            .field("health", &shared.health)
            .field("retry", &shared.retry)
            .field("hedge", &shared.hedge)
            .field("first_byte", &shared.first_byte)
            .field("failover", &shared.failover)
            .field("when_down", &shared.when_down)
            .field("places", &shared.places)
            .field("depth", &shared.depth)
            .field("balance", &shared.balance.as_ref().map(|(config, _)| config))
            .field("peers", &**lock(&shared.beside))
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for OriginsFuture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OriginsFuture").finish_non_exhaustive()
    }
}
