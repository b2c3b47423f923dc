//! The shield as a service: segment sense around a cache around origins.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use headwater_cache::{BoxError, Cache, CacheFuture, CacheService, Downstream};
use headwater_net::balance::BalanceConfig;
use headwater_net::{Body, Clock, encoding};
use http::{Request, Response};
use tower_layer::Layer as _;
use tower_service::Service;

use crate::hints::HintTrust;
use crate::learn::{Learn, LearnLayer, SharedMap};
use crate::map::Limits;
use crate::metrics::Metrics;
use crate::prefetch::{PrefetchConfig, Prefetched};
use crate::sense::{Noted, Sense};
use crate::upstream::{
    CheckConfig, HealthConfig, HedgeConfig, OriginConfig, Origins, OriginsBuilder, Peers,
    PlacesConfig, RetryConfig, Statuses, WhenDown, peers,
};

type Cached = CacheService<Learn<Origins>>;

/// An origin shield: collapses, learns, fetches ahead, fails over. A `tower` service that never
/// fails: what no origin can answer is a problem document, 504 where one was too slow, else 502.
///
/// Clones are handles of one shield and may live on different runtimes; its background fetches end
/// when the last of them is dropped.
#[derive(Clone)]
pub struct Shield {
    cached: Cached,
    cache: Cache,
    origins: Origins,
    sense: Sense<Cached>,
}

impl Shield {
    /// Starts describing a shield.
    pub fn builder() -> ShieldBuilder {
        ShieldBuilder::default()
    }

    /// What this shield counts. Its cache counts for itself: [`Cache::metrics`].
    pub fn metrics(&self) -> &Metrics {
        self.sense.metrics()
    }

    /// Its origins, and what is known of them.
    #[must_use]
    pub const fn origins(&self) -> &Origins {
        &self.origins
    }

    /// Checks the origins until the shield is gone; for its owner to spawn, and to abort.
    pub fn watch(&self, checks: CheckConfig) -> impl Future<Output = ()> + Send + use<> {
        self.origins.watch(checks)
    }

    /// What this shield knows of presentations.
    pub fn map(&self) -> &SharedMap {
        self.sense.map()
    }
}

impl Service<Request<Body>> for Shield {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ShieldFuture;

    /// Always ready: what cannot be done is answered as a problem.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> ShieldFuture {
        if Sense::<Cached>::is_hints(&request) {
            return ShieldFuture(State::Told(Box::pin(self.sense.clone().take_hints(request))));
        }
        // What the shield can unpack to learn from, or what every client takes.
        encoding::simplify(request.headers_mut());
        let cache = &self.cache;
        if let Some(behind) = peers::behind(request.headers_mut(), || cache.purges_followed()) {
            return ShieldFuture(State::Told(Box::pin(std::future::ready(behind))));
        }
        // What a peer fetches ahead is fetched ahead here, too: it is no session.
        if peers::is_ahead(request.headers()) {
            request.extensions_mut().insert(Prefetched);
        }
        let noted = self.sense.note(&request);
        ShieldFuture(State::Cached(self.cached.call(request), noted))
    }
}

/// The answer of a [`Shield`]. Where it is a segment, fetching ahead begins with its headers.
pub struct ShieldFuture(State);

enum State {
    Cached(CacheFuture, Option<Noted<Cached>>),
    Told(Pin<Box<dyn Future<Output = Response<Body>> + Send>>),
}

impl Future for ShieldFuture {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (inner, noted) = match &mut self.0 {
            State::Cached(inner, noted) => (inner, noted),
            State::Told(answer) => return answer.as_mut().poll(cx).map(Ok),
        };
        let polled = Pin::new(inner).poll(cx);
        if let Poll::Ready(Ok(response)) = &polled
            && let Some(noted) = noted.take()
        {
            noted.answered(response.status());
        }
        polled
    }
}

impl std::fmt::Debug for ShieldFuture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShieldFuture").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Shield {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shield").finish_non_exhaustive()
    }
}

/// Describes a [`Shield`].
#[must_use = "a builder does nothing until build is called"]
#[derive(Debug, Default)]
pub struct ShieldBuilder {
    origins: OriginsBuilder,
    cache: Option<Cache>,
    prefetch: PrefetchConfig,
    limits: Limits,
    trust: HintTrust,
    clock: Clock,
    retention: bool,
}

impl ShieldBuilder {
    /// Adds an origin after those already there: any service, in this process or a client. The
    /// first that is not known to be down is asked. Without any, every miss is answered 502.
    pub fn origin<S>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
    {
        self.origins = self.origins.origin(service);
        self
    }

    /// Adds an origin of this priority and weight.
    pub fn origin_with<S>(mut self, service: S, config: OriginConfig) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
    {
        self.origins = self.origins.origin_with(service, config);
        self
    }

    /// The statuses that say that an origin cannot answer; by default 502, 503 and 504.
    pub fn failover_on(mut self, statuses: Statuses) -> Self {
        self.origins = self.origins.failover_on(statuses);
        self
    }

    /// What becomes of requests while all origins are down. With [`WhenDown::Refuse`] the cache
    /// answers at once from what it has, for as long as it says that may be stale
    /// ([`headwater_cache::Choices::stale_if_unreachable`]).
    pub fn when_down(mut self, when_down: WhenDown) -> Self {
        self.origins = self.origins.when_down(when_down);
        self
    }

    /// The cache; by default one of its own, named `headwater-shield`. Edges get surrogate keys, and are
    /// believed what they say of purges, where it says so ([`Downstream::Caches`]), as that does.
    pub fn cache(mut self, cache: Cache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// How much is fetched ahead.
    pub fn prefetch(mut self, prefetch: PrefetchConfig) -> Self {
        self.prefetch = prefetch;
        self
    }

    /// Whether the cache makes room in memory by who watches what
    /// ([`SenseBuilder::retention`](crate::SenseBuilder::retention)); it does not by default.
    pub fn retention(mut self, retention: bool) -> Self {
        self.retention = retention;
        self
    }

    /// Whose hints of sessions are taken, besides those of an edge in the same process; by default
    /// nobody's.
    pub fn hints(mut self, trust: HintTrust) -> Self {
        self.trust = trust;
        self
    }

    /// Bounds of what is learnt from manifests.
    pub fn map_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// When an origin counts as down.
    pub fn health(mut self, health: HealthConfig) -> Self {
        self.origins = self.origins.health(health);
        self
    }

    /// How many retries on other origins are allowed.
    pub fn retry(mut self, retry: RetryConfig) -> Self {
        self.origins = self.origins.retry(retry);
        self
    }

    /// When another origin is asked the same because one is slow.
    pub fn hedge(mut self, hedge: HedgeConfig) -> Self {
        self.origins = self.origins.hedge(hedge);
        self
    }

    /// How many requests each origin is given at one time, and how many may wait for a place.
    pub fn places(mut self, places: PlacesConfig) -> Self {
        self.origins = self.origins.places(places);
        self
    }

    /// How long an origin may take until its response begins; 10 s by default. What it holds until it has it
    /// (`_HLS_msn`) may take three target durations in any case, or a minute where none are known.
    pub fn first_byte_timeout(mut self, timeout: Duration) -> Self {
        self.origins = self.origins.first_byte_timeout(timeout);
        self
    }

    /// The shields that share titles with this one: what is another's is asked of that before it is asked
    /// of an origin. Each needs a [`cache`](Self::cache) with a name of its own.
    pub fn peers(mut self, peers: Peers) -> Self {
        self.origins = self.origins.peers(peers);
        self
    }

    /// How many segments of a path name what belongs together, for origins of one priority and for peers; 1
    /// by default ([`OriginsBuilder::title_depth`]).
    pub fn title_depth(mut self, segments: usize) -> Self {
        self.origins = self.origins.title_depth(segments);
        self
    }

    /// Bounds the load of origins of one priority, and gives several to what is asked for very often
    /// ([`OriginsBuilder::balance`]).
    pub fn balance(mut self, balance: BalanceConfig) -> Self {
        self.origins = self.origins.balance(balance);
        self
    }

    /// The clock that health, budgets and windows run by; the cache has its own.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The shield.
    pub fn build(self) -> Shield {
        let metrics = Metrics::default();
        let map = SharedMap::new(self.limits, metrics.clone());
        let origins = self.origins.clock(self.clock.clone()).metrics(metrics).build();
        let cache = self.cache.unwrap_or_else(|| {
            Cache::builder()
                .name("headwater-shield")
                .clock(self.clock.clone())
                .downstream(Downstream::Caches)
                .build()
        });
        cache.align(map.clone());
        let learn = LearnLayer::new(map.clone()).clock(self.clock.clone());
        let cached = cache.layer().layer(learn.layer(origins.clone()));
        let seen = origins.clone();
        let sense = Sense::builder()
            .prefetch(self.prefetch)
            .hints(self.trust)
            .pressure(move |request| seen.pressure(request.uri()))
            .retention(self.retention)
            .clock(self.clock)
            .build(map, cached.clone());
        Shield { cached, cache, origins, sense }
    }
}
