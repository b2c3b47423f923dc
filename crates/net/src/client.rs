//! Upstreams: one HTTP authority each, as a tower service over pooled HTTP/1.1 and HTTP/2
//! connections.
//!
//! ```no_run
//! use headwater_net::{Body, client::Upstream};
//! use tower_service::Service;
//!
//! # async fn run() -> Result<(), headwater_net::client::UpstreamError> {
//! let mut shield = Upstream::builder("https://shield.example:8443/media").build()?;
//! // Asks for https://shield.example:8443/media/film/main.m3u8.
//! let request = http::Request::get("/film/main.m3u8").body(Body::empty()).unwrap();
//! let response = shield.call(request).await?;
//! # let _ = response; Ok(()) }
//! ```
//!
//! # What is promised
//! - The authority never comes from the request: only the path and query do.
//! - A redirect is followed to the upstream itself and to those named for it, if at all ([`Redirects`]).
//! - Hop-by-hop fields are taken from requests and from responses (RFC 9110 §7.6.1); no field is
//!   added but `Host` and those that were asked for ([`UpstreamBuilder::field`]).
//! - A response's body that breaks off, or is silent for too long, ends in a
//!   [`BodyError`](crate::BodyError).
//! - A request for a WebSocket that came by a listener of this crate is passed on as one (RFC 6455),
//!   up to [`UpstreamBuilder::max_websockets`] at a time.
//! - Nothing is sent twice, except a request that never left on a pooled connection that had died.

mod body;
mod connector;
mod error;
mod redirect;
mod trust;
mod tunnel;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Request, Response, Uri, Version, header};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;
use tower_service::Service;

use crate::hop::strip_hop_by_hop;
use crate::{Body, ConnInfo};
use connector::Connector;
use trust::{Own, Trust};

pub use error::{Unconnected, UpstreamError};
pub use redirect::Redirects;
pub use tunnel::is_websocket;

/// A client of one HTTP or HTTPS authority. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Upstream {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: legacy::Client<Connector, Body>,
    /// For connections that change their protocol: HTTP/1.1, each used once.
    upgrading: legacy::Client<Connector, Body>,
    /// Places for WebSockets.
    tunnels: Arc<Semaphore>,
    tunnel_idle_timeout: Duration,
    scheme: Scheme,
    authority: Authority,
    /// What paths are appended to: empty, or `/…` without a slash at its end.
    prefix: String,
    keep_host: bool,
    first_byte_timeout: Duration,
    idle_timeout: Duration,
    redirects: Redirects,
    /// Others that redirects may lead to.
    others: Vec<Upstream>,
    fields: HeaderMap,
}

/// Describes an [`Upstream`]; made by [`Upstream::builder`].
#[derive(Debug)]
#[must_use = "an upstream does nothing until `build`"]
pub struct UpstreamBuilder {
    uri: Result<Uri, String>,
    trust: Result<Trust, String>,
    own: Result<Option<Own>, String>,
    keep_host: bool,
    http2_prior_knowledge: bool,
    connect_timeout: Duration,
    first_byte_timeout: Duration,
    idle_timeout: Duration,
    pool_idle_timeout: Duration,
    pool_max_idle: usize,
    max_websockets: usize,
    websocket_idle_timeout: Duration,
    redirects: Redirects,
    others: Vec<Upstream>,
    fields: HeaderMap,
}

impl Upstream {
    /// Starts to describe the upstream at `uri`, such as `https://origin.example/base`: scheme and
    /// authority are used as they are, a path is put before every request's path.
    pub fn builder<U>(uri: U) -> UpstreamBuilder
    where
        U: TryInto<Uri>,
        U::Error: std::fmt::Display,
    {
        UpstreamBuilder {
            uri: uri.try_into().map_err(|error| error.to_string()),
            trust: Ok(Trust::Native),
            own: Ok(None),
            keep_host: false,
            http2_prior_knowledge: false,
            connect_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(30),
            pool_idle_timeout: Duration::from_secs(60),
            pool_max_idle: 64,
            max_websockets: 1024,
            websocket_idle_timeout: Duration::from_secs(120),
            redirects: Redirects::Pass,
            others: Vec::new(),
            fields: HeaderMap::new(),
        }
    }

    /// The upstream's authority, `host` or `host:port`.
    pub fn authority(&self) -> &str {
        self.inner.authority.as_str()
    }
}

impl UpstreamBuilder {
    /// Trusts the certificate authorities in `pem` instead of the system's.
    pub fn ca_pem(mut self, pem: &[u8]) -> Self {
        self.trust = Trust::from_pem(pem);
        self
    }

    /// Trusts exactly the certificate whose public key has this SHA-256 (base64, as
    /// `Tls::spki_sha256_base64` gives it), whoever signed it, whatever its names and dates.
    pub fn pin_spki_sha256(mut self, base64: impl Into<String>) -> Self {
        self.trust = Ok(Trust::Pin(base64.into()));
        self
    }

    /// Shows this certificate (a chain, leaf first) to an upstream that asks for one (mutual TLS):
    /// how an edge proves itself to its shield.
    pub fn certificate_pem(mut self, certificate: &[u8], key: &[u8]) -> Self {
        self.own = Own::from_pem(certificate, key).map(Some);
        self
    }

    /// Sends the request's own `Host` (or authority) on instead of the upstream's. Requests then
    /// go by HTTP/1.1 only, because HTTP/2 has no field for it beside the authority.
    pub const fn keep_host(mut self, keep: bool) -> Self {
        self.keep_host = keep;
        self
    }

    /// Speaks HTTP/2 without asking, also in the clear. Otherwise plain connections speak HTTP/1.1
    /// and TLS ones what ALPN settles.
    pub const fn http2_prior_knowledge(mut self, on: bool) -> Self {
        self.http2_prior_knowledge = on;
        self
    }

    /// Time for a connection, TLS included; then it fails ([`UpstreamError::Connect`]), and another
    /// upstream may be tried. Default 5 s. Bound: more than zero. Danger: too short fails far
    /// upstreams, too long holds up the turn to another one.
    pub const fn connect_timeout(mut self, time: Duration) -> Self {
        self.connect_timeout = time;
        self
    }

    /// Time from sending a request, its body and a connection included, to the response's headers;
    /// then it fails ([`UpstreamError::Timeout`]). Default 30 s. Bound: more than zero. Danger: too
    /// short cuts off uploads and slow packagers.
    pub const fn first_byte_timeout(mut self, time: Duration) -> Self {
        self.first_byte_timeout = time;
        self
    }

    /// Longest silence inside a response's body while somebody waits for it; then the body ends in
    /// [`BodyError::TimedOut`](crate::BodyError::TimedOut). Default 30 s. Bound: more than zero.
    /// Danger: too short cuts off live answers that come by and by, too long keeps those who wait
    /// from another upstream.
    pub const fn idle_timeout(mut self, time: Duration) -> Self {
        self.idle_timeout = time;
        self
    }

    /// Time for which an unused connection is kept; then it is closed. Default 60 s. Bound: none; 0
    /// keeps none. Danger: longer than the upstream's own makes requests meet dead connections.
    pub const fn pool_idle_timeout(mut self, time: Duration) -> Self {
        self.pool_idle_timeout = time;
        self
    }

    /// Unused HTTP/1.1 connections kept; one more is closed. Unit: connections. Default 64. Bound:
    /// none; 0 keeps none. Danger: too few make a new connection for many a request, each kept one
    /// holds a file and a place at the upstream.
    pub const fn pool_max_idle(mut self, connections: usize) -> Self {
        self.pool_max_idle = connections;
        self
    }

    /// WebSockets open at once; one more is answered 503. Unit: connections. Default 1,024. Bound:
    /// none; 0 allows none. Danger: each is a connection to the upstream, which nobody shares, and
    /// holds 32 KiB here.
    pub const fn max_websockets(mut self, count: usize) -> Self {
        self.max_websockets = count;
        self
    }

    /// Silence of both sides after which a WebSocket is ended, at most twice as late. Unit: time.
    /// Default 120 s. Bound: more than zero. Danger: shorter than the pings of clients and upstream
    /// (often 20 to 60 s) it ends what is only quiet; too long keeps places for clients that left.
    pub const fn websocket_idle_timeout(mut self, time: Duration) -> Self {
        self.websocket_idle_timeout = time;
        self
    }

    /// What becomes of redirects; by default they are passed on.
    pub const fn redirects(mut self, redirects: Redirects) -> Self {
        self.redirects = redirects;
        self
    }

    /// Another upstream that redirects may lead to, such as the host of a storage behind a front.
    /// Requests go there by its own connections and with its own fields, without `Authorization` and
    /// `Cookie`.
    pub fn redirects_to(mut self, other: Upstream) -> Self {
        self.others.push(other);
        self
    }

    /// Sends this field with every request, in the place of the client's: such as a secret by which
    /// the upstream knows who asks. The value is never told of in logs.
    pub fn field(mut self, name: header::HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.fields.insert(name, value);
        self
    }

    /// Makes the upstream; no connection is opened yet.
    ///
    /// # Errors
    /// [`UpstreamError::Config`] when the URI is not an absolute `http` or `https` one, or
    /// certificates given cannot be read.
    pub fn build(self) -> Result<Upstream, UpstreamError> {
        let config = |what: String| UpstreamError::Config(what.into());
        let parts = self.uri.map_err(config)?.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(config("its URI has no scheme or no authority".to_owned()));
        };
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(config(format!("its scheme is {scheme}, neither http nor https")));
        }
        let path = parts.path_and_query.as_ref().map_or("", PathAndQuery::path);
        let prefix = path.trim_end_matches('/').to_owned();
        let only_http1 = self.keep_host && !self.http2_prior_knowledge;
        let tls = if scheme == Scheme::HTTPS {
            let own = self.own.map_err(config)?;
            self.trust.map_err(config)?.client_config(own)?
        } else {
            Trust::none()?
        };
        let http1 = Connector::new(tls.clone(), true, self.connect_timeout);
        let upgrading =
            legacy::Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(http1);
        let connector = Connector::new(tls, only_http1, self.connect_timeout);
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(self.pool_idle_timeout)
            .pool_max_idle_per_host(self.pool_max_idle)
            .http2_only(self.http2_prior_knowledge)
            .http2_initial_stream_window_size(2 << 20)
            .http2_initial_connection_window_size(16 << 20)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .build(connector);
        Ok(Upstream {
            inner: Arc::new(Inner {
                client,
                upgrading,
                tunnels: Arc::new(Semaphore::new(self.max_websockets.min(Semaphore::MAX_PERMITS))),
                tunnel_idle_timeout: self.websocket_idle_timeout,
                scheme,
                authority,
                prefix,
                keep_host: self.keep_host,
                first_byte_timeout: self.first_byte_timeout,
                idle_timeout: self.idle_timeout,
                redirects: self.redirects,
                others: self.others,
                fields: self.fields,
            }),
        })
    }
}

impl Service<Request<Body>> for Upstream {
    type Response = Response<Body>;
    type Error = UpstreamError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, UpstreamError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let inner = Arc::clone(&self.inner);
        if is_websocket(&request) {
            return Box::pin(inner.tunnel(request));
        }
        Box::pin(async move {
            let answered = tokio::time::timeout(inner.first_byte_timeout, inner.answer(request));
            answered.await.map_err(|_| UpstreamError::Timeout)?
        })
    }
}

/// Has the upstream's interim responses sent to the client whose request this is, where there is a
/// way to both (RFC 9110 §15.2). Only HTTP/1.1 upstreams are heard.
fn pass_interim_on(request: &mut Request<Body>) {
    let conn = request.extensions().get::<ConnInfo>();
    let Some(interim) = conn.and_then(ConnInfo::interim).cloned() else { return };
    hyper::ext::on_informational(request, move |response| {
        interim.send(response.status(), response.headers());
    });
}

/// Makes one field of the several that HTTP/2 and HTTP/3 clients may spread their cookies over (RFC
/// 9113 §8.2.3): an HTTP/1.1 upstream might read only one.
fn join_cookies(headers: &mut HeaderMap) {
    let cookies = headers.get_all(header::COOKIE);
    if cookies.iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = cookies.iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}

/// Marks a request whose client has not shown yet that it is there (RFC 8470 §5.1).
fn tell_of_early_data(request: &mut Request<Body>) {
    if request.extensions().get::<ConnInfo>().is_some_and(ConnInfo::may_be_replay) {
        let name = header::HeaderName::from_static("early-data");
        request.headers_mut().insert(name, HeaderValue::from_static("1"));
    }
}

impl Inner {
    /// The answer to a request, where redirects led to it.
    async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, UpstreamError> {
        if !self.redirects.may_follow(&request) {
            let (answer, _) = self.send(request).await?;
            let elsewhere = redirect::location(answer.status(), answer.headers()).is_some();
            let is_refused = elsewhere && self.redirects != Redirects::Pass;
            return if is_refused { Err(UpstreamError::Redirect) } else { Ok(answer) };
        }
        let (head, body) = request.into_parts();
        let mut at = self;
        let mut next = Request::from_parts(head.clone(), body);
        for _ in 0..=self.redirects.most() {
            let (answer, from) = at.send(next).await?;
            let Some(location) = redirect::location(answer.status(), answer.headers()) else {
                return Ok(answer);
            };
            let to = redirect::resolve(&from, location).ok_or(UpstreamError::Redirect)?;
            let others = self.others.iter().map(|other| &*other.inner);
            let known = std::iter::once(self).chain(others).find(|known| known.is_at(&to));
            at = known.ok_or(UpstreamError::Redirect)?;
            next = at.follow(&head, &to, std::ptr::eq(at, self));
        }
        Err(UpstreamError::Redirect)
    }

    /// Sends one request. Returns what it was for, besides.
    async fn send(&self, request: Request<Body>) -> Result<(Response<Body>, Uri), UpstreamError> {
        let mut request = self.aim(request)?;
        pass_interim_on(&mut request);
        tell_of_early_data(&mut request);
        let uri = request.uri().clone();
        let (mut parts, incoming) = self.client.request(request).await?.into_parts();
        strip_hop_by_hop(&mut parts.headers);
        Ok((Response::from_parts(parts, body::receive(incoming, self.idle_timeout)), uri))
    }

    /// Turns a request that came to us into one to the upstream.
    fn aim(&self, request: Request<Body>) -> Result<Request<Body>, UpstreamError> {
        let (mut parts, body) = request.into_parts();
        let asked = parts.uri.path_and_query();
        let path = match asked {
            Some(path) if self.prefix.is_empty() => path.clone(),
            Some(path) => PathAndQuery::try_from(format!("{}{path}", self.prefix))
                .map_err(|error| UpstreamError::Request(error.to_string().into()))?,
            None => PathAndQuery::from_static("/"),
        };
        if self.keep_host {
            if !parts.headers.contains_key(header::HOST)
                && let Some(authority) = parts.uri.authority()
                && let Ok(host) = HeaderValue::try_from(authority.as_str())
            {
                parts.headers.insert(header::HOST, host);
            }
        } else {
            // hyper writes the one of the URI, or :authority.
            parts.headers.remove(header::HOST);
        }
        parts.uri = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
            .map_err(|error| UpstreamError::Request(error.to_string().into()))?;
        parts.version = Version::HTTP_11;
        strip_hop_by_hop(&mut parts.headers);
        join_cookies(&mut parts.headers);
        for (name, value) in &self.fields {
            parts.headers.insert(name, value.clone());
        }
        Ok(Request::from_parts(parts, body))
    }
}
