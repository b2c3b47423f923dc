//! Balance: several members that can each answer everything, as one service that asks for what
//! belongs together of one of them.
//!
//! Which one is rendezvous hashing by weight ([`crate::rendezvous`]) of a key, by default the first
//! segment of the request's path ([`rendezvous::group`]): all edges that know the same members ask
//! the same shield for a presentation, which so sees the whole of it, and a member that leaves moves
//! its own share and no more. A member that is full, or down, is passed over for the next in the
//! key's order; a key that is asked for very often has several members ([`BalanceConfig`]).
//!
//! ```no_run
//! use headwater_net::Balance;
//! use headwater_net::client::Upstream;
//!
//! # fn run() -> Result<(), headwater_net::client::UpstreamError> {
//! let shield = |url: &str| Upstream::builder(url).build();
//! let shields = Balance::builder()
//!     .member("shield-1", 1, shield("http://shield-1.example:8444")?)
//!     .member("shield-2", 2, shield("http://shield-2.example:8444")?)
//!     .build();
//! # let _ = shields; Ok(()) }
//! ```
//!
//! # What is promised
//! - The order for a key is a function of the members' names and weights and of nothing else.
//! - Load is what this process has under way, each request until the last byte of its answer's body.
//! - A `GET` or `HEAD` without a body that gets no answer at all is asked of another member, once. An
//!   answer is an answer, whatever its status, and one that breaks off in its body ends in an error: nothing is
//!   resumed here.
//! - A member whose failures take it down is left alone as [`Health`] says, and tried again.
//!
//! Who asks in another way, and wants to choose alike, finds the choice by itself in [`choose`] and what
//! is asked for most in [`Hot`].

mod choice;
mod hot;

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use http::{Method, Request, Response, Uri};
use tower_service::Service;

use crate::body::End;
use crate::health::{Health, HealthConfig, Trial};
use crate::rendezvous::{self, Contender};
use crate::{Body, Clock, Timestamp};

pub use choice::{Candidate, choose};
pub use hot::Hot;

/// How requests are spread.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BalanceConfig {
    /// How much more than its share of the load a member may have, in percent of that; 125 by
    /// default, at least 100. Danger: near 100 it moves keys from where they are known.
    pub factor: u32,
    /// Requests that a member may have under way whatever its share; 32 by default. Danger: with few
    /// it moves keys while there is hardly any load.
    pub slack: u32,
    /// Members that a hot key has; 2 by default.
    pub replicas: usize,
    /// Requests for a key within ten seconds that make it hot; 2,000 by default.
    pub hot: u32,
    /// When a member counts as down.
    pub health: HealthConfig,
}

impl Default for BalanceConfig {
    fn default() -> Self {
        let health = HealthConfig::default();
        Self { factor: 125, slack: 32, replicas: 2, hot: 2000, health }
    }
}

impl BalanceConfig {
    /// Replaces [`BalanceConfig::factor`]; less than 100 is 100.
    #[must_use]
    pub fn factor(mut self, percent: u32) -> Self {
        self.factor = percent.max(100);
        self
    }

    /// Replaces [`BalanceConfig::slack`].
    #[must_use]
    pub const fn slack(mut self, requests: u32) -> Self {
        self.slack = requests;
        self
    }

    /// Replaces [`BalanceConfig::replicas`] and [`BalanceConfig::hot`].
    #[must_use]
    pub const fn replicas(mut self, members: usize, hot: u32) -> Self {
        self.replicas = members;
        self.hot = hot;
        self
    }

    /// Replaces [`BalanceConfig::health`].
    #[must_use]
    pub const fn health(mut self, health: HealthConfig) -> Self {
        self.health = health;
        self
    }
}

/// Why no member gave an answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BalanceError {
    /// There is no member.
    #[error("nobody is there to be asked")]
    NoMember,
    /// The last member that was asked failed.
    #[error("the one that was asked failed")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
}

/// What is known of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberState {
    /// Its name.
    pub name: String,
    /// Its weight.
    pub weight: u32,
    /// Requests that it has and did not finish.
    pub under_way: u64,
    /// Requests that it was given.
    pub asked: u64,
    /// Whether it is down.
    pub is_down: bool,
}

/// Several members as one service. Clones share members, load and health.
pub struct Balance<S> {
    shared: Arc<Shared<S>>,
}

impl<S> Clone for Balance<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

type Members<S> = Arc<[Arc<Member<S>>]>;
type KeyOf = dyn Fn(&Uri) -> &str + Send + Sync;

struct Shared<S> {
    members: Mutex<Members<S>>,
    key: Box<KeyOf>,
    hot: Mutex<Hot>,
    config: BalanceConfig,
    clock: Clock,
}

struct Member<S> {
    name: String,
    contender: Contender,
    service: S,
    known: Arc<Known>,
}

/// What is learnt of a member, and outlives a change of its weight.
#[derive(Default)]
struct Known {
    under_way: AtomicU64,
    asked: AtomicU64,
    health: Mutex<Health>,
}

/// Describes a [`Balance`].
#[must_use = "a builder does nothing until build is called"]
pub struct BalanceBuilder<S> {
    members: Vec<(String, u32, S)>,
    key: Box<KeyOf>,
    config: BalanceConfig,
    clock: Clock,
}

impl<S> BalanceBuilder<S> {
    /// Adds a member. Its name is what decides which keys are at home there, so all nodes must call
    /// it the same; its weight is its share beside those of others, and with 0 it is asked only when
    /// no other can be.
    pub fn member(mut self, name: impl Into<String>, weight: u32, service: S) -> Self {
        self.members.push((name.into(), weight, service));
        self
    }

    /// What of a request's URI belongs together; by default the first segment of its path. Whatever
    /// host it was asked of is no part of it unless this says so.
    pub fn key(mut self, key: impl Fn(&Uri) -> &str + Send + Sync + 'static) -> Self {
        self.key = Box::new(key);
        self
    }

    /// How requests are spread.
    pub fn config(mut self, config: BalanceConfig) -> Self {
        self.config = config;
        self
    }

    /// The clock that cool-offs and counts run by.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The service. Without any member every request fails with [`BalanceError::NoMember`].
    pub fn build(self) -> Balance<S> {
        let shared = Shared {
            members: Mutex::new(Arc::from([])),
            key: self.key,
            hot: Mutex::default(),
            config: self.config,
            clock: self.clock,
        };
        let balance = Balance { shared: Arc::new(shared) };
        balance.replace(self.members);
        balance
    }
}

impl<S> Balance<S> {
    /// Starts describing a balance.
    pub fn builder() -> BalanceBuilder<S> {
        BalanceBuilder {
            members: Vec::new(),
            key: Box::new(|uri| rendezvous::group(uri.path(), 1)),
            config: BalanceConfig::default(),
            clock: Clock::default(),
        }
    }

    /// Replaces the members, each with its name, its weight and its service; of those that come
    /// twice the first counts. What is known of a member of the same name stays known, and requests
    /// under way go on.
    pub fn replace(&self, members: impl IntoIterator<Item = (String, u32, S)>) {
        let mut held = lock(&self.shared.members);
        let mut all: Vec<Arc<Member<S>>> = Vec::new();
        for (name, weight, service) in members {
            if all.iter().any(|member| member.name == name) {
                continue;
            }
            let before = held.iter().find(|member| member.name == name);
            let known = before.map_or_else(Arc::default, |member| Arc::clone(&member.known));
            let contender = Contender::new(&name, weight);
            all.push(Arc::new(Member { name, contender, service, known }));
        }
        *held = all.into();
    }

    /// The members as they are now, in the order in which they were given.
    pub fn members(&self) -> Vec<MemberState> {
        let members = Arc::clone(&lock(&self.shared.members));
        let state = |member: &Arc<Member<S>>| MemberState {
            name: member.name.clone(),
            weight: member.contender.weight(),
            under_way: member.known.under_way.load(Ordering::Relaxed),
            asked: member.known.asked.load(Ordering::Relaxed),
            is_down: lock(&member.known.health).is_down(),
        };
        members.iter().map(state).collect()
    }
}

impl<S> Balance<S> {
    /// The name of the member that is asked for this, as long as it is not full: the first of the
    /// key's order that is up. What is known of a presentation beside its requests belongs there.
    pub fn home(&self, uri: &Uri) -> Option<String> {
        let members = Arc::clone(&lock(&self.shared.members));
        let order = rendezvous::order(
            self.shared.key_of(uri),
            members.iter().map(|member| &member.contender),
        );
        let now = self.shared.clock.now();
        let mut known = order.iter().filter_map(|at| members.get(*at));
        let first = known.clone().next();
        let up = known.find(|member| lock(&member.known.health).is_available(now));
        up.or(first).map(|member| member.name.clone())
    }
}

impl<S> Shared<S> {
    fn key_of(&self, uri: &Uri) -> u64 {
        rendezvous::key((self.key)(uri).as_bytes())
    }

    /// Chooses a member and gives it the request.
    fn take(
        &self,
        members: &Members<S>,
        order: &[usize],
        tried: &[usize],
        is_hot: bool,
    ) -> Option<(usize, Taken)> {
        let now = self.clock.now();
        let state = |(at, member): (usize, &Arc<Member<S>>)| Candidate {
            weight: member.contender.weight(),
            under_way: member.known.under_way.load(Ordering::Relaxed),
            is_up: lock(&member.known.health).is_available(now),
            is_tried: tried.contains(&at),
        };
        let states: Vec<Candidate> = members.iter().enumerate().map(state).collect();
        let at = choose(order, &states, is_hot, &self.config)?;
        let known = Arc::clone(&members.get(at)?.known);
        known.under_way.fetch_add(1, Ordering::Relaxed);
        known.asked.fetch_add(1, Ordering::Relaxed);
        let trial = lock(&known.health).sent(now);
        Some((at, Taken { known, trial, is_told: false, broke: None }))
    }
}

/// A request that a member has, until it is dropped.
struct Taken {
    known: Arc<Known>,
    trial: Option<Trial>,
    is_told: bool,
    /// Whether the request's body broke off, where it has one that may.
    broke: Option<Arc<AtomicBool>>,
}

impl Taken {
    /// The request, whose body is watched: where it breaks off, its client failed, and not the member.
    fn watch(&mut self, request: Request<Body>) -> Request<Body> {
        if matches!(request.body(), Body::Empty | Body::Full(_)) {
            return request;
        }
        let broke = Arc::clone(self.broke.insert(Arc::default()));
        request.map(|body| {
            body.on_end(move |end| broke.store(matches!(end, End::Failed(_)), Ordering::Relaxed))
        })
    }

    fn failed(&mut self, now: Timestamp, config: &HealthConfig) {
        if self.broke.as_ref().is_some_and(|broke| broke.load(Ordering::Relaxed)) {
            return;
        }
        self.is_told = true;
        lock(&self.known.health).failed(now, self.trial, config);
    }

    fn began(&mut self, config: &HealthConfig) {
        self.is_told = true;
        lock(&self.known.health).began(config);
    }

    fn ended(mut self, end: &End, now: Timestamp, config: &HealthConfig) {
        match end {
            End::Whole => lock(&self.known.health).succeeded(),
            End::Failed(crate::BodyError::Aborted) | End::GivenUp => {}
            End::Failed(_) => self.failed(now, config),
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.known.under_way.fetch_sub(1, Ordering::Relaxed);
        if !self.is_told {
            lock(&self.known.health).forgotten(self.trial);
        }
    }
}

impl<S> Balance<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    S::Future: Send,
{
    async fn fetch(self, request: Request<Body>) -> Result<Response<Body>, BalanceError> {
        let shared = &self.shared;
        let members = Arc::clone(&lock(&shared.members));
        let key = shared.key_of(rendezvous::asked_by(request.uri(), request.extensions()));
        let is_hot = lock(&shared.hot).note(key, shared.clock.now()) >= shared.config.hot.max(1);
        let order = rendezvous::order(key, members.iter().map(|member| &member.contender));
        let again = again(&request);
        let Some((first, taken)) = shared.take(&members, &order, &[], is_hot) else {
            return Err(BalanceError::NoMember);
        };
        let failed = match self.ask(&members, first, taken, request).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let Some(request) = again else { return Err(failed) };
        let Some((second, taken)) = shared.take(&members, &order, &[first], is_hot) else {
            return Err(failed);
        };
        tracing::debug!(error = %failed, "another member is asked");
        self.ask(&members, second, taken, request).await
    }

    async fn ask(
        &self,
        members: &Members<S>,
        at: usize,
        mut taken: Taken,
        request: Request<Body>,
    ) -> Result<Response<Body>, BalanceError> {
        let Some(member) = members.get(at) else { return Err(BalanceError::NoMember) };
        let mut service = member.service.clone();
        let request = taken.watch(request);
        let answer = async {
            std::future::poll_fn(|cx| service.poll_ready(cx)).await?;
            service.call(request).await
        };
        let shared = &self.shared;
        match answer.await {
            Err(error) => {
                taken.failed(shared.clock.now(), &shared.config.health);
                Err(BalanceError::Failed(error.into()))
            }
            Ok(answer) => {
                taken.began(&shared.config.health);
                let (clock, health) = (shared.clock.clone(), shared.config.health.clone());
                Ok(answer
                    .map(|body| body.on_end(move |end| taken.ended(&end, clock.now(), &health))))
            }
        }
    }
}

/// The same request once more, where it may be asked twice.
fn again(request: &Request<Body>) -> Option<Request<Body>> {
    let has_body = !http_body::Body::is_end_stream(request.body());
    if has_body || !matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    let mut again = Request::new(Body::Empty);
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.version_mut() = request.version();
    *again.headers_mut() = request.headers().clone();
    *again.extensions_mut() = request.extensions().clone();
    Some(again)
}

/// No lock here is held across anything that may panic, and what it guards is valid at every step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S> Service<Request<Body>> for Balance<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = BalanceError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BalanceError>> + Send>>;

    /// Always ready: each request waits for the member that it is given to.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BalanceError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().fetch(request))
    }
}

impl<S> std::fmt::Debug for Balance<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Balance").field("members", &self.members()).finish_non_exhaustive()
    }
}

impl<S> std::fmt::Debug for BalanceBuilder<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.members.iter().map(|(name, ..)| name).collect();
        f.debug_struct("BalanceBuilder").field("members", &names).finish_non_exhaustive()
    }
}
