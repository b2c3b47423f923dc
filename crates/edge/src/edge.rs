//! The whole edge as one service.

use std::sync::Arc;

use headwater_cache::{BoxError, Cache, CacheService};
use headwater_net::encoding::Coding;
use headwater_net::{Body, Clock};
use http::{Request, Response};
use tower_layer::Layer as _;
use tower_service::Service;

use crate::access_log::AccessLog;
use crate::addresses::AddressRules;
use crate::cmcd::{CmcdLayer, CmcdService};
use crate::cmsd::{Cmsd, CmsdLayer};
use crate::compress::{Compress, CompressLayer};
use crate::cors::{CorsLayer, CorsService};
use crate::early_data::{EarlyData, EarlyDataLayer};
use crate::fixed::{Fixed, FixedLayer};
use crate::geo::GeoRules;
use crate::guard::{Guard, GuardLayer};
use crate::headers::{Headers, HeadersLayer};
use crate::hints::{HintLayer, Hinted, Hints};
use crate::methods::{Methods, MethodsLayer};
use crate::metrics::Metrics;
use crate::normalise::{Normalise, NormaliseLayer};
use crate::observe::{Observed, Observer};
use crate::priority::{Prioritised, PriorityLayer};
use crate::rates::{RateLimitLayer, RateLimited};
use crate::referrers::ReferrerRules;
use crate::security::{Secured, SecurityLayer};
use crate::shed::{Shed, ShedLayer};
use crate::steering::{Steered, SteeringLayer};
use crate::stretch::{Inner, stretch};
use crate::tokens::{TakePaths, TokenLayer, Tokens};
use crate::upgrades::Upgrades;
use crate::witness::{Witness, WitnessLayer, Witnessed};

/// An edge in front of `S`, layer by layer, outermost first: traces, access log and metrics, whose pages
/// may read, load shedding, what is said of the path, what browsers are told, response headers, one way to
/// write each target, addresses and countries and pages that are let in, limits by address and route,
/// tokens, limits by token, answers of the route, steering, what players say, what goes first, allowed
/// methods, hints for the shield, fields that nobody behind needs, a witness, early data, cache. A concrete
/// type: a hit calls through no table of functions. Layers that ask who comes in stand between the
/// targets and the methods: they see paths in one form.
///
/// A token in the path is taken off before anything else, so that the log does not see it.
///
/// The response headers are there twice. Behind the cache they are added once for an object and
/// kept with it, so that a hit has them without being made larger; before it they are added to what
/// the edge says itself.
pub type EdgeService<S> =
    TakePaths<Recorded<Observed<CorsService<Shed<Cmsd<Secured<Headers<Guarded<S>>>>>>>>>;

/// What records spans, where that is a part of this build.
#[cfg(feature = "otel")]
type Recorded<S> = crate::trace::Traced<S>;
#[cfg(not(feature = "otel"))]
type Recorded<S> = S;

stretch! {
    /// What asks where a request comes from, by targets in one form, and decides who may come in, and how
    /// often. Who floods the tokens with bad ones meets limits first.
    Guarded, GuardedFuture, Normalise<
        Guard<RateLimited<Tokens<RateLimited<Answered<S>>>>, (AddressRules, GeoRules, ReferrerRules)>,
    >
}

stretch! {
    /// What answers who may come in.
    Answered, AnsweredFuture, Fixed<
        Steered<CmcdService<Prioritised<Upgrades<Cached<S>, Normalise<S>>>>>,
    >
}

/// The cache of an edge, and what its answers are made of behind it.
pub type Kept<S> = CacheService<Headers<Compress<S>>>;

stretch! {
    /// What answers all but WebSockets.
    Cached, CachedFuture, Methods<Hinted<Normalise<Witnessed<EarlyData<Kept<S>>>>>>
}

/// The entrance to [`EdgeBuilder`].
#[derive(Debug)]
pub struct Edge(());

impl Edge {
    /// Starts describing an edge.
    pub fn builder() -> EdgeBuilder {
        EdgeBuilder::default()
    }
}

/// Describes an edge; each part has a default. [`EdgeBuilder::build`] is to be called once for
/// each worker, not for each connection: what it makes shares cache, log and metrics with the
/// others, and has a queue and counters of its own.
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until build is called"]
pub struct EdgeBuilder {
    cache: Option<Cache>,
    access_log: Option<AccessLog>,
    metrics: Metrics,
    cors: CorsLayer,
    security: SecurityLayer,
    headers: HeadersLayer,
    addresses: AddressRules,
    geo: GeoRules,
    referrers: ReferrerRules,
    tokens: TokenLayer,
    methods: MethodsLayer,
    normalise: NormaliseLayer,
    early_data: EarlyDataLayer,
    compress: Option<CompressLayer>,
    hints: HintLayer,
    cmcd: CmcdLayer,
    cmsd: CmsdLayer,
    priority: PriorityLayer,
    rates: RateLimitLayer,
    shed: ShedLayer,
    steering: SteeringLayer,
    witness: WitnessLayer,
    websockets: bool,
    #[cfg(feature = "otel")]
    trace: crate::trace::TraceLayer,
    clock: Clock,
}

impl EdgeBuilder {
    /// The cache; by default one of its own with the cache's defaults, except that it does not
    /// listen to clients' `Cache-Control` (`honour_request_directives(false)`).
    pub fn cache(mut self, cache: Cache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Where accesses are logged; by default nowhere.
    pub fn access_log(mut self, log: AccessLog) -> Self {
        self.access_log = Some(log);
        self
    }

    /// The counters; by default ones that nobody sees.
    pub fn metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// Headers added to answers; by default `X-Content-Type-Options: nosniff`. What is cached is
    /// kept with them: edges that share a cache should add the same.
    pub fn headers(mut self, headers: HeadersLayer) -> Self {
        self.headers = headers;
        self
    }

    /// Whose pages may read answers; by default that is not said. Preflights are answered before anything
    /// else is asked of them.
    pub fn cors(mut self, cors: CorsLayer) -> Self {
        self.cors = cors;
        self
    }

    /// What browsers are told to be careful with; by default nothing.
    pub fn security(mut self, security: SecurityLayer) -> Self {
        self.security = security;
        self
    }

    /// Which addresses are let in; by default all.
    pub fn addresses(mut self, addresses: AddressRules) -> Self {
        self.addresses = addresses;
        self
    }

    /// Where clients are found to be, and which countries are served; by default nobody asks, and all.
    pub fn geo(mut self, geo: GeoRules) -> Self {
        self.geo = geo;
        self
    }

    /// Whose pages may show what is served; by default anybody's.
    pub fn referrers(mut self, referrers: ReferrerRules) -> Self {
        self.referrers = referrers;
        self
    }

    /// Which tokens let requests in, WebSockets among them; by default none is asked for, unless a
    /// request's route says so ([`RoutePolicy::tokens`](crate::RoutePolicy::tokens)).
    pub fn tokens(mut self, tokens: TokenLayer) -> Self {
        self.tokens = tokens;
        self
    }

    /// Methods let in; by default GET, HEAD and OPTIONS.
    pub fn methods(mut self, methods: MethodsLayer) -> Self {
        self.methods = methods;
        self
    }

    /// Which targets and hosts are refused, and what of a request goes further.
    pub fn normalise(mut self, normalise: NormaliseLayer) -> Self {
        self.normalise = normalise;
        self
    }

    /// What becomes of requests in early data that are not in the cache, where the server takes any.
    pub fn early_data(mut self, early_data: EarlyDataLayer) -> Self {
        self.early_data = early_data;
        self
    }

    /// Text is compressed on its way into the cache, with the coding that the client likes best of
    /// brotli, zstd and gzip; by default it is not. The cache then holds up to four variants of it.
    pub fn compress(mut self, compress: CompressLayer) -> Self {
        self.compress = Some(compress);
        self
    }

    /// Where the shield is told what was answered from the cache; by default it is not. Each one
    /// that is given is told.
    pub fn hints(mut self, hints: &Hints) -> Self {
        self.hints = self.hints.and(hints);
        self
    }

    /// What players say, as sessions; by default it is not listened to.
    pub fn cmcd(mut self, cmcd: CmcdLayer) -> Self {
        self.cmcd = cmcd;
        self
    }

    /// What players are told of the path and of this edge; by default nothing.
    pub fn cmsd(mut self, cmsd: CmsdLayer) -> Self {
        self.cmsd = cmsd;
        self
    }

    /// What goes first where clients do not say; by default that is not told.
    pub fn priority(mut self, priority: PriorityLayer) -> Self {
        self.priority = priority;
        self
    }

    /// How much clients may ask for; by default as much as they want. Limits by token count what the
    /// tokens have let in, all others what comes.
    pub fn rates(mut self, rates: RateLimitLayer) -> Self {
        self.rates = rates;
        self
    }

    /// What is turned away while a worker is too busy; by default nothing.
    pub fn shed(mut self, shed: ShedLayer) -> Self {
        self.shed = shed;
        self
    }

    /// Where players are told to fetch from; by default they are not.
    pub fn steering(mut self, steering: SteeringLayer) -> Self {
        self.steering = steering;
        self
    }

    /// Who sees what reaches the cache; by default nobody.
    pub fn witness(mut self, witness: Arc<dyn Witness>) -> Self {
        self.witness = WitnessLayer::new(witness);
        self
    }

    /// Whether WebSockets pass through to the upstream, past the cache; by default they do not, and
    /// a request for one is a GET like any.
    pub fn websockets(mut self, on: bool) -> Self {
        self.websockets = on;
        self
    }

    /// Which requests are recorded for an OpenTelemetry collector; by default none.
    #[cfg(feature = "otel")]
    pub fn trace(mut self, trace: crate::trace::TraceLayer) -> Self {
        self.trace = trace;
        self
    }

    /// The clock of the log's times; the cache has its own.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The edge in front of `upstream`: a shield in this process, a client of one elsewhere, or
    /// any service. Its failures are answered 502, or 504 where it was too slow.
    pub fn build<S>(&self, upstream: S) -> EdgeService<S>
    where
        S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
    {
        let cache = self.own_cache();
        let direct = self.normalise.clone().keep_origin().fields(upstream.clone());
        let direct = self.websockets.then(|| (cache.clone(), direct));
        let kept = self.kept_in(&cache, upstream);
        let normalise = match self.compress {
            Some(_) => self.normalise.clone().codings(&Coding::ALL),
            None => self.normalise.clone(),
        };
        let lean = normalise.fields(self.witness.layer(self.early_data.layer(kept)));
        let let_in = Cached(self.methods.layer(self.hints.layer(lean)));
        let ordered = self.priority.layer(Upgrades::new(let_in, direct));
        let answered = self.cmcd.layer(ordered);
        let (by_client, by_token) = self.rates.split();
        let answered = Answered(FixedLayer.layer(self.steering.layer(answered)));
        let limited = by_token.layer(answered);
        let admitted = by_client.layer(self.tokens.layer(limited));
        let rules = (self.addresses.clone(), self.geo.clone(), self.referrers.clone());
        let guarded = Guarded(normalise.targets(GuardLayer::new(rules).layer(admitted)));
        let told = self.security.layer(self.headers.layer(guarded));
        let spared = [self.steering.path(), self.cmcd.reports_path()];
        let shed = self.shed.clone().spare(spared.into_iter().flatten());
        let answered = self.cors.layer(shed.layer(self.cmsd.layer(told)));
        let log = self
            .access_log
            .as_ref()
            .map(|log| log.target(self.clock.clone()).with_tokens(self.tokens.rules().cloned()));
        let observer = Observer::new(Some(self.metrics.shard()), log);
        let observed = Observed::new(answered, Some(Arc::new(observer)));
        #[cfg(feature = "otel")]
        let observed = self.trace.layer(observed);
        self.tokens.take_paths(observed)
    }

    /// The cache alone in front of `upstream`, as [`build`](Self::build) puts it there, without what
    /// requests meet before it: for what this process asks itself, such as what it fetches ahead. It is
    /// that of the edge where [`cache`](Self::cache) gave one.
    pub fn kept<S>(&self, upstream: S) -> Kept<S>
    where
        S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
    {
        self.kept_in(&self.own_cache(), upstream)
    }

    fn own_cache(&self) -> Cache {
        self.cache.clone().unwrap_or_else(|| {
            Cache::builder().clock(self.clock.clone()).honour_request_directives(false).build()
        })
    }

    fn kept_in<S>(&self, cache: &Cache, upstream: S) -> Kept<S>
    where
        S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
    {
        let compressed = Compress::new(upstream, self.compress.as_ref());
        cache.layer().layer(self.headers.layer(compressed))
    }
}
