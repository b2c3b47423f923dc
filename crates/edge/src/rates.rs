//! Limits by policy: so many requests, so many bytes a second, for each client, each network, each holder
//! of a token, or for all who come by a route.
//!
//! A [`Limit`] says whom it counts together, how much they may, and on which hosts and paths, or that it is
//! for routes that name it ([`RoutePolicy::limits`]). All limits that take
//! a request count, in their order; in an [`Edge`](crate::Edge) those by token come behind the tokens, and
//! so after all others ([`RateLimitLayer::split`]). Who asks too often is answered 429 (RFC 6585 §4) with `Retry-After`
//! and the fields `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers); who takes
//! bytes too fast is sent them more slowly. What is counted is a moment in time for each client (GCRA, ITU-T
//! I.371): no timer runs for who asks, and a body waits on one only while it is too fast.
//!
//! Memory is bounded: [`Limit::clients`] of [`CLIENT_BYTES`] each. Where there is no place, the client of
//! eight that was not seen for longest is forgotten, and with it what it had used: who has very many
//! addresses is not held by a limit for each. Each process counts for itself.

mod bucket;
mod paced;

use std::cell::OnceCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use headwater_cache::key::{Seen, host_of, name_of};
use headwater_cache::{BoxError, Route, RuleError, Rules};
use headwater_net::clock::moment;
use headwater_net::{Body, ConnInfo, Problem};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as HttpBody;
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use crate::answer::Answer;
use crate::hosts::Hosts;
use crate::normalise::{self, DotSegments};
use crate::refusals::RefusedBy;
use crate::route_policy::RoutePolicy;
use crate::table::Table;
use crate::whom::{anonymous, network};
use bucket::{Bucket, Verdict};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// What one client takes in a limit's table, in bytes.
pub const CLIENT_BYTES: usize = 40;

/// The most limits of one layer: a request is compared with each.
pub const MAX_LIMITS: usize = 64;

/// Whom a limit counts together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Per {
    /// Each address of IPv4, each network of 64 bits of IPv6.
    #[default]
    Address,
    /// Each network of 24 bits of IPv4, of 48 bits of IPv6: what one customer of a provider is often given,
    /// and who goes through its addresses is still one client.
    Network,
    /// Each holder of a token: requests with the same [`Holder`]. Requests without count for nothing.
    Token,
    /// All together.
    Route,
}

/// In a request's extensions: whom its token was given to, as far as limits need to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Holder(pub u64);

/// How much is too much. See the module.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a limit does nothing until a layer has it"]
pub struct Limit {
    name: String,
    on: String,
    hosts: Option<Hosts>,
    where_named: bool,
    per: Per,
    requests: Option<(u32, Duration)>,
    burst: Option<u32>,
    bytes: Option<u64>,
    byte_burst: Option<u64>,
    clients: usize,
}

impl Limit {
    /// A limit of this name, of letters, digits, `-` and `_`: clients are told it.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            on: "/**".to_owned(),
            hosts: None,
            where_named: false,
            per: Per::Address,
            requests: None,
            burst: None,
            bytes: None,
            byte_burst: None,
            clients: 65_536,
        }
    }

    /// The requests it is for: a pattern as that of [`Route::on`]; all by default. A path that an origin
    /// might read as one of these ([`normalise::other_reading`]) is one of them.
    pub fn on(mut self, pattern: impl Into<String>) -> Self {
        self.on = pattern.into();
        self
    }

    /// The hosts it is for, on whatever port: `video.example`, or `*.video.example` for all below it; all
    /// by default.
    pub fn hosts<H: AsRef<str>>(mut self, hosts: impl IntoIterator<Item = H>) -> Self {
        self.hosts = Some(Hosts::new(hosts));
        self
    }

    /// Whether it is for those requests alone whose [`RoutePolicy`] names it. Default false.
    pub fn where_named(mut self, where_named: bool) -> Self {
        self.where_named = where_named;
        self
    }

    /// Whom it counts together; each address by default.
    pub fn per(mut self, per: Per) -> Self {
        self.per = per;
        self
    }

    /// So many requests in such a time, which are given back evenly: 100 in 10 s are one each 100 ms.
    pub fn requests(mut self, requests: u32, window: Duration) -> Self {
        self.requests = Some((requests, window));
        self
    }

    /// So many of them may come at once; by default all of a window.
    pub fn burst(mut self, requests: u32) -> Self {
        self.burst = Some(requests);
        self
    }

    /// So many bytes of bodies a second.
    pub fn bytes_per_second(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// So many of them go out at once; by default those of two seconds.
    pub fn byte_burst(mut self, bytes: u64) -> Self {
        self.byte_burst = Some(bytes);
        self
    }

    /// So many clients are known at once, of [`CLIENT_BYTES`] each; 65,536 by default.
    pub fn clients(mut self, clients: usize) -> Self {
        self.clients = clients;
        self
    }
}

/// A limit cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError {
    /// There are more than [`MAX_LIMITS`].
    #[error("there are more than {MAX_LIMITS} limits")]
    TooMany,
    /// A name is empty, or has something else than letters, digits, `-` and `_`.
    #[error("the limit `{0}` has no name of letters, digits, - and _")]
    Name(String),
    /// It limits nothing, or to nothing.
    #[error("the limit `{0}` allows nothing, or limits nothing")]
    Nothing(String),
    /// Its paths cannot be read.
    #[error(transparent)]
    Pattern(#[from] RuleError),
}

#[derive(Debug)]
struct Rule {
    /// What it was made of.
    limit: Limit,
    /// `None` where it is for all.
    on: Option<Rules>,
    requests: Option<Bucket>,
    bytes: Option<Bucket>,
    used: Table<Used>,
    detail: String,
    policy: HeaderValue,
}

/// The ways to read a path, found when a limit first asks.
struct Readings<'p> {
    path: &'p str,
    other: OnceCell<Result<Option<String>, DotSegments>>,
}

impl<'p> Readings<'p> {
    const fn new(path: &'p str) -> Self {
        Self { path, other: OnceCell::new() }
    }

    /// Whether one of them is for these rules; one that leads out of where it seems to be is for all.
    fn any_is_of(&self, rules: &Rules, request: Seen<'_>) -> bool {
        rules.position_of(request, self.path).is_some()
            || match self.other.get_or_init(|| normalise::other_reading(self.path)) {
                Ok(other) => {
                    other.as_ref().is_some_and(|path| rules.position_of(request, path).is_some())
                }
                Err(DotSegments) => true,
            }
    }
}

/// What a client has used: until when it is in debt, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    requests: u64,
    bytes: u64,
}

impl Rule {
    fn new(limit: Limit) -> Result<Self, LimitError> {
        let name = &limit.name;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(LimitError::Name(name.clone()));
        }
        let nothing = || LimitError::Nothing(name.clone());
        let mut requests = None;
        let mut policy = format!("\"{name}\"");
        if let Some((number, window)) = limit.requests {
            let burst = limit.burst.unwrap_or(number);
            requests = Some(Bucket::new(number.into(), window, burst.into()).ok_or_else(nothing)?);
            policy = format!("\"{name}\";q={number};w={}", window.as_secs().max(1));
        }
        let mut bytes = None;
        if let Some(rate) = limit.bytes {
            let burst = limit.byte_burst.unwrap_or(rate.saturating_mul(2));
            bytes = Some(Bucket::new(rate, Duration::from_secs(1), burst).ok_or_else(nothing)?);
        }
        if requests.is_none() && bytes.is_none() {
            return Err(nothing());
        }
        let on = match limit.on.as_str() {
            "/**" => None,
            on => Some(Rules::builder().route(Route::on(on)).build()?),
        };
        // The name is of plain letters.
        let policy = HeaderValue::try_from(policy).map_err(|_| nothing())?;
        let detail = format!("more was asked for than the limit '{name}' allows");
        let used = Table::new(if limit.per == Per::Route { 1 } else { limit.clients });
        Ok(Self { limit, on, requests, bytes, used, detail, policy })
    }

    /// Whether the limit is for a request.
    fn takes(&self, request: Seen<'_>, read: &Readings<'_>) -> bool {
        let is_named = || {
            let policy = RoutePolicy::of(request.extensions).map(|policy| &policy.limits);
            policy.is_some_and(|limits| limits.iter().any(|one| **one == *self.limit.name))
        };
        let is_host = |hosts: &Hosts| {
            let host = name_of(host_of(request.uri, request.headers));
            hosts.has(host.strip_suffix(b".").unwrap_or(host))
        };
        (!self.limit.where_named || is_named())
            && self.limit.hosts.as_ref().is_none_or(is_host)
            && self.on.as_ref().is_none_or(|rules| read.any_is_of(rules, request))
    }

    /// Whose request it is; `None` where the limit is not for it.
    fn client(&self, request: Seen<'_>, read: &Readings<'_>) -> Option<u64> {
        if !self.takes(request, read) {
            return None;
        }
        let extensions = request.extensions;
        match self.limit.per {
            Per::Address => {
                let address = extensions.get::<ConnInfo>()?.peer.ip();
                Some(self.used.key(network(address)))
            }
            Per::Network => {
                let address = extensions.get::<ConnInfo>()?.peer.ip();
                Some(self.used.key(anonymous(address)))
            }
            Per::Token => Some(self.used.key(extensions.get::<Holder>()?)),
            Per::Route => Some(self.used.key(())),
        }
    }

    fn with<R>(&self, client: u64, now: u64, look: impl FnOnce(&mut Used) -> R) -> R {
        self.used.with(client, now, Used::default, drop, look)
    }

    fn refusal(&self, verdict: Verdict) -> Response<Body> {
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS).detail(self.detail.as_str());
        let mut response = problem.retry_after(verdict.wait).into_response();
        let headers = response.headers_mut();
        headers.insert(RATE_LIMIT_POLICY, self.policy.clone());
        let left = format!("\"{}\";r={};t={}", self.limit.name, verdict.left, verdict.full_in);
        if let Ok(left) = HeaderValue::try_from(left) {
            headers.insert(RATE_LIMIT, left);
        }
        response
    }
}

/// Holds clients to limits; by default to none.
#[derive(Clone, Debug, Default)]
pub struct RateLimitLayer {
    on: Option<Arc<On>>,
}

#[derive(Debug)]
struct On {
    rules: Vec<Arc<Rule>>,
    from: Instant,
}

impl On {
    /// Microseconds since the layer was made.
    fn now(&self) -> u64 {
        u64::try_from((moment() - self.from).as_micros()).unwrap_or(u64::MAX)
    }
}

impl RateLimitLayer {
    /// Holds to these limits. Clones, and all services made of them, count together.
    ///
    /// # Errors
    /// [`LimitError`] where one of them cannot be.
    pub fn new(limits: impl IntoIterator<Item = Limit>) -> Result<Self, LimitError> {
        Self::default().changed(limits)
    }

    /// One that holds to these limits instead. Those that this layer has just so, in whatever order, count on; all
    /// others begin anew.
    ///
    /// # Errors
    /// As [`RateLimitLayer::new`].
    pub fn changed(&self, limits: impl IntoIterator<Item = Limit>) -> Result<Self, LimitError> {
        let (mut known, from) = match &self.on {
            Some(on) => (on.rules.clone(), on.from),
            None => (Vec::new(), Instant::now()),
        };
        let rules = limits.into_iter().map(|limit| {
            match known.iter().position(|rule| rule.limit == limit) {
                Some(at) => Ok(known.swap_remove(at)),
                None => Rule::new(limit).map(Arc::new),
            }
        });
        let rules = rules.collect::<Result<Vec<_>, _>>()?;
        if rules.len() > MAX_LIMITS {
            return Err(LimitError::TooMany);
        }
        Ok(Self::of(rules, from))
    }

    fn of(rules: Vec<Arc<Rule>>, from: Instant) -> Self {
        Self { on: (!rules.is_empty()).then(|| Arc::new(On { rules, from })) }
    }

    /// The limits that know a client before its token is verified, and those [`Per::Token`]: the first
    /// belong before what verifies tokens, so that it is not kept busy with bad ones, the others behind
    /// it. Both count on as this layer does.
    #[must_use]
    pub fn split(&self) -> (Self, Self) {
        let Some(on) = &self.on else { return Default::default() };
        let (inner, outer) =
            on.rules.iter().cloned().partition(|rule: &Arc<Rule>| rule.limit.per == Per::Token);
        (Self::of(outer, on.from), Self::of(inner, on.from))
    }
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = RateLimited<S>;

    fn layer(&self, inner: S) -> RateLimited<S> {
        RateLimited { inner, on: self.on.clone() }
    }
}

/// The service of [`RateLimitLayer`].
#[derive(Clone, Debug)]
pub struct RateLimited<S> {
    inner: S,
    on: Option<Arc<On>>,
}

impl<S, A, B> Service<Request<A>> for RateLimited<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = RateLimitedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> RateLimitedFuture<S::Future> {
        let Some(on) = &self.on else {
            let answer = Answer::of(self.inner.call(request));
            return RateLimitedFuture { answer, paces: None };
        };
        let seen = Seen::from(&request);
        // Read once, and only where a limit is for the request.
        let now = std::cell::LazyCell::new(|| on.now());
        let mut paces = None;
        let read = Readings::new(seen.uri.path());
        for rule in &on.rules {
            let Some(client) = rule.client(seen, &read) else { continue };
            if let Some(bucket) = &rule.requests {
                let taken = rule.with(client, *now, |used| bucket.take(&mut used.requests, *now));
                if let Err(verdict) = taken {
                    let by = RefusedBy::Limit(rule.limit.per);
                    let answer = Answer::refused(by, rule.refusal(verdict));
                    return RateLimitedFuture { answer, paces: None };
                }
            }
            if rule.bytes.is_some() && request.method() != Method::HEAD {
                let counted = Counted { rule: Arc::clone(rule), client };
                match &mut paces {
                    None => paces = Some(Paces::new(on, counted)),
                    Some(Paces { others, .. }) => others.push(counted),
                }
            }
        }
        let answer = Answer::of(self.inner.call(request));
        RateLimitedFuture { answer, paces }
    }
}

/// Whose bytes are counted by which limits. Most bodies meet one of these, which takes no room of its own.
#[derive(Debug)]
struct Paces {
    on: Arc<On>,
    first: Counted,
    others: Vec<Counted>,
}

/// Who is counted by a limit.
#[derive(Debug)]
struct Counted {
    rule: Arc<Rule>,
    client: u64,
}

impl Paces {
    fn new(on: &Arc<On>, first: Counted) -> Self {
        Self { on: Arc::clone(on), first, others: Vec::new() }
    }

    /// A body as fast as all of them allow.
    fn hold(self, body: Body) -> Body {
        let Self { on, first, others } = self;
        let body = paced::paced(body, &on, first);
        others.into_iter().fold(body, |body, counted| paced::paced(body, &on, counted))
    }
}

pin_project! {
    /// The answer of [`RateLimited`].
    #[derive(Debug)]
    pub struct RateLimitedFuture<F> {
        #[pin]
        answer: Answer<F>,
        paces: Option<Paces>,
    }
}

impl<F, B, E> Future for RateLimitedFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = std::task::ready!(this.answer.poll(cx));
        Poll::Ready(answer.map(|response| match this.paces.take() {
            Some(paces) => response.map(|body| paces.hold(body)),
            None => response,
        }))
    }
}
