//! Origins before they are made: which there are, and how they are asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater_cache::BoxError;
use headwater_net::balance::BalanceConfig;
use headwater_net::{Body, Clock};
use http::{Request, Response};
use tower_service::Service;

use super::origin::{Ask, Origin};
use super::peers::Beside;
use super::{
    HealthConfig, HedgeConfig, OriginConfig, Origins, Peers, PlacesConfig, RetryConfig, Shared,
    Statuses, WhenDown,
};
use crate::metrics::Metrics;

/// Describes [`Origins`].
#[must_use = "a builder does nothing until build is called"]
#[derive(Default)]
pub struct OriginsBuilder {
    origins: Vec<(Box<dyn Ask>, OriginConfig)>,
    health: HealthConfig,
    retry: RetryConfig,
    hedge: HedgeConfig,
    places: PlacesConfig,
    first_byte: Option<Duration>,
    failover: Option<Statuses>,
    when_down: WhenDown,
    peers: Option<Peers>,
    depth: Option<usize>,
    balance: Option<BalanceConfig>,
    clock: Clock,
    metrics: Metrics,
}

impl OriginsBuilder {
    /// Adds an origin after those already there: any service, in this process or a client. It is
    /// asked when none of those is up.
    pub fn origin<S>(self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
    {
        let last = self.origins.iter().map(|(_, config)| config.priority).max();
        let priority = last.map_or(0, |last| last.saturating_add(1));
        let name = format!("origin-{}", self.origins.len());
        self.origin_with(service, OriginConfig::new(name, priority))
    }

    /// Adds an origin of this priority and weight.
    pub fn origin_with<S>(mut self, service: S, config: OriginConfig) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
    {
        self.origins.push((Box::new(service), config));
        self
    }

    /// The statuses that say that an origin cannot answer: another is asked, and they count against
    /// its health. By default 502, 503 and 504.
    pub fn failover_on(mut self, statuses: Statuses) -> Self {
        self.failover = Some(statuses);
        self
    }

    /// What becomes of requests while all origins are down.
    pub fn when_down(mut self, when_down: WhenDown) -> Self {
        self.when_down = when_down;
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

    /// How long an origin may take until its response begins; 10 s by default, which begin anew with each part
    /// of the request's body that is taken. What it holds until it has it (`_HLS_msn`) may take three target durations in any case, or a minute where none are known.
    pub fn first_byte_timeout(mut self, timeout: Duration) -> Self {
        self.first_byte = Some(timeout);
        self
    }

    /// The shields that share titles with the one that asks these origins: each is asked for what is its
    /// own first.
    pub fn peers(mut self, peers: Peers) -> Self {
        self.peers = Some(peers);
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

    /// How many segments of a path name what belongs together, such as a title: what it is that one
    /// member of a priority, and one peer, is asked for the whole of. 1 by default
    /// ([`headwater_net::rendezvous::group`]). Danger: with fewer than there are folders before a
    /// title, one member gets all titles; whoever chooses among the same must say the same.
    pub fn title_depth(mut self, segments: usize) -> Self {
        self.depth = Some(segments);
        self
    }

    /// Has a member of a priority that is full passed over for the next, and what is asked for very often
    /// asked of several, as [`Balance`](headwater_net::Balance) does; by default what belongs together is
    /// always asked of the same one that is up. Health is as [`health`](Self::health) says.
    pub fn balance(mut self, balance: BalanceConfig) -> Self {
        self.balance = Some(balance);
        self
    }

    /// The service. Without any origin every request fails with [`OriginError::NoOrigin`](super::OriginError::NoOrigin).
    pub fn build(self) -> Origins {
        let origins = self.origins.into_iter();
        let origin = |(service, config)| Origin::new(service, &config, &self.places, &self.metrics);
        let mut origins: Vec<_> = origins.map(origin).collect();
        origins.sort_by_key(|origin| origin.priority);
        let common = (&self.places, &self.metrics);
        let peers = self.peers.map(|peers| peers.into_beside(common, &Beside::default()));
        let beside = Arc::new(peers.unwrap_or_default());
        Origins {
            origins: origins.into(),
            beside: Arc::clone(&beside),
            shared: Arc::new(Shared {
                health: self.health,
                retry: self.retry,
                hedge: self.hedge,
                first_byte: self.first_byte.unwrap_or(Duration::from_secs(10)),
                failover: self.failover.unwrap_or_else(|| Statuses::range(502..=504)),
                when_down: self.when_down,
                budget: Mutex::default(),
                hedges: Mutex::default(),
                places: self.places,
                beside: Mutex::new(beside),
                depth: self.depth.unwrap_or(1),
                balance: self.balance.map(|config| (config, Mutex::default())),
                clock: self.clock,
                metrics: self.metrics,
            }),
        }
    }
}

impl std::fmt::Debug for OriginsBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OriginsBuilder")
            .field("origins", &self.origins.len())
            .finish_non_exhaustive()
    }
}
