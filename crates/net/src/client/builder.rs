//! An upstream before it is made: where it is, what it is told, whom it must be, and its bounds.

use std::sync::Arc;
use std::time::Duration;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;

use super::connector::{Connector, Way};
use super::http3::{Http3, Target};
use super::resolve::{Names, Resolve, System, bare};
use super::trust::{Own, Trust};
use super::{Bounds, Inner, Redirects, SigV4, Upstream, UpstreamError};
use crate::Clock;

/// Describes an [`Upstream`]; made by [`Upstream::builder`].
#[derive(Debug)]
#[must_use = "an upstream does nothing until `build`"]
pub struct UpstreamBuilder {
    uri: Result<Uri, String>,
    host: Option<String>,
    tls_name: Option<String>,
    resolver: Arc<dyn Resolve>,
    dns_ttl: Duration,
    clock: Clock,
    trust: Result<Trust, String>,
    own: Result<Option<Own>, String>,
    keep_host: bool,
    http2_prior_knowledge: bool,
    http3: bool,
    connect_timeout: Duration,
    first_byte_timeout: Duration,
    bounds: Bounds,
    pool_idle_timeout: Duration,
    pool_max_idle: usize,
    max_websockets: usize,
    websocket_idle_timeout: Duration,
    redirects: Redirects,
    others: Vec<Upstream>,
    fields: HeaderMap,
    signer: Option<SigV4>,
}

impl UpstreamBuilder {
    pub(super) fn new(uri: Result<Uri, String>) -> Self {
        Self {
            uri,
            host: None,
            tls_name: None,
            resolver: Arc::new(System),
            dns_ttl: Duration::from_secs(30),
            clock: Clock::system(),
            trust: Ok(Trust::Native),
            own: Ok(None),
            keep_host: false,
            http2_prior_knowledge: false,
            http3: false,
            connect_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_secs(30),
            bounds: Bounds::default(),
            pool_idle_timeout: Duration::from_secs(60),
            pool_max_idle: 64,
            max_websockets: 1024,
            websocket_idle_timeout: Duration::from_secs(120),
            redirects: Redirects::Pass,
            others: Vec::new(),
            fields: HeaderMap::new(),
            signer: None,
        }
    }

    /// Tells the upstream that its host is this, `host` or `host:port`, and not that of its URL; in
    /// HTTP/2, too. The URL still says where it is, and whose certificate it shows.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// Asks in TLS for the certificate of this name (SNI), and takes no other, in the place of the host of
    /// the URL.
    pub fn tls_name(mut self, name: impl Into<String>) -> Self {
        self.tls_name = Some(name.into());
        self
    }

    /// Who turns its name into addresses; by default the system.
    pub fn resolver(mut self, resolver: Arc<dyn Resolve>) -> Self {
        self.resolver = resolver;
        self
    }

    /// Time for which the addresses of its name count where the resolver does not say; then it is asked
    /// again, and connections to addresses that are gone are used no more. Default 30 s. Bound: from 1 s
    /// to 1 h, as what a resolver says is, too. Danger: too long asks who has moved away.
    pub const fn dns_ttl(mut self, time: Duration) -> Self {
        self.dns_ttl = time;
        self
    }

    /// The clock that addresses age by.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

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

    /// Asks by HTTP/3 first, on the same port, for what has no body and changes nothing (GET, HEAD, OPTIONS),
    /// and by TCP for what else there is, and for all while HTTP/3 fails. By default it is not spoken.
    pub const fn http3(mut self, on: bool) -> Self {
        self.http3 = on;
        self
    }

    /// Time for a connection, TLS included; then it fails ([`UpstreamError::Connect`]), and another
    /// upstream may be tried. Default 5 s. Bound: more than zero. Danger: too short fails far
    /// upstreams, too long holds up the turn to another one.
    pub const fn connect_timeout(mut self, time: Duration) -> Self {
        self.connect_timeout = time;
        self
    }

    /// Time from sending a request, a connection included, to the response's headers; then it fails
    /// ([`UpstreamError::Timeout`]). As long as its body goes out, the time begins anew with each part of it
    /// that is taken. Default 30 s. Bound: more than zero. Danger: too short cuts off slow packagers, and
    /// uploads that pause.
    pub const fn first_byte_timeout(mut self, time: Duration) -> Self {
        self.first_byte_timeout = time;
        self
    }

    /// Longest silence inside a response's body while somebody waits for it; then the body ends in
    /// [`BodyError::TimedOut`](crate::BodyError::TimedOut). Default 30 s. Bound: more than zero.
    /// Danger: too short cuts off live answers that come by and by, too long keeps those who wait
    /// from another upstream.
    pub const fn idle_timeout(mut self, time: Duration) -> Self {
        self.bounds.idle = time;
        self
    }

    /// Time from sending a request to the last byte of its answer; then the body ends in
    /// [`BodyError::TimedOut`](crate::BodyError::TimedOut), or the request fails where nothing has
    /// come yet. Default none. Bound: more than zero. Danger: it ends answers that are long, and live
    /// ones that have no end.
    pub const fn whole_timeout(mut self, time: Duration) -> Self {
        self.bounds.whole = Some(time);
        self
    }

    /// The largest body of an answer that is taken. One that says it is larger fails
    /// ([`UpstreamError::TooLarge`]); one that turns out to be ends in
    /// [`BodyError::TooLarge`](crate::BodyError::TooLarge). Unit: bytes. Default none. Bound: none. Danger:
    /// a range counts by its own length.
    pub const fn max_body(mut self, bytes: u64) -> Self {
        self.bounds.max = Some(bytes);
        self
    }

    /// Takes no fields of answers but these, and those without which an answer cannot be read, kept or
    /// asked for again ([`ALWAYS`](super::ALWAYS)); of trailers, these alone. By default all are taken.
    pub fn response_fields(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.bounds = self.bounds.response_fields(names);
        self
    }

    /// All four of these at once, in the place of what was said of them.
    pub fn bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
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
    pub fn field(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.fields.insert(name, value);
        self
    }

    /// Signs every request (AWS Signature Version 4), in the place of what a client says in
    /// `Authorization`. Requests are of one host then: it does not go with [`keep_host`](Self::keep_host).
    pub fn sign(mut self, signer: SigV4) -> Self {
        self.signer = Some(signer);
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
        if self.keep_host && (self.host.is_some() || self.signer.is_some()) {
            return Err(config("its host is both the request's and another".to_owned()));
        }
        let told: Authority = match self.host {
            Some(host) => host.parse().map_err(|_| config("its host is no host".to_owned()))?,
            None => authority.clone(),
        };
        let only_http1 = self.keep_host && !self.http2_prior_knowledge;
        let tls = if scheme == Scheme::HTTPS {
            let own = self.own.map_err(config)?;
            self.trust.map_err(config)?.client_config(own)?
        } else {
            Trust::none()?
        };
        let names = Names::of(authority.host(), self.resolver, self.dns_ttl, self.clock.clone());
        if self.http3 && (scheme != Scheme::HTTPS || self.keep_host) {
            let said = "HTTP/3 needs https, and a host that is not the request's";
            return Err(config(said.to_owned()));
        }
        let http3 = self.http3.then(|| {
            Http3::new(Target {
                tls: tls.clone(),
                name: bare(self.tls_name.as_deref().unwrap_or(authority.host())).to_owned(),
                host: bare(authority.host()).to_owned(),
                port: authority.port_u16().unwrap_or(443),
                names: names.clone(),
                connect_timeout: self.connect_timeout,
                first_byte_timeout: self.first_byte_timeout,
                idle: self.pool_idle_timeout,
                clock: self.clock.clone(),
            })
        });
        let http3 = http3.transpose()?.map(Arc::new);
        let way = Way::new(&scheme, &authority, self.tls_name.as_deref(), names.clone())?;
        let http1 = Connector::new(tls.clone(), true, self.connect_timeout, way.clone());
        let upgrading =
            legacy::Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(http1);
        let connector = Connector::new(tls, only_http1, self.connect_timeout, way);
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
                http3,
                upgrading,
                tunnels: Arc::new(Semaphore::new(self.max_websockets.min(Semaphore::MAX_PERMITS))),
                tunnel_idle_timeout: self.websocket_idle_timeout,
                names,
                scheme,
                authority,
                told,
                prefix,
                keep_host: self.keep_host,
                first_byte_timeout: self.first_byte_timeout,
                bounds: self.bounds,
                redirects: self.redirects,
                others: self.others,
                fields: self.fields,
                signer: self.signer,
                clock: self.clock,
            }),
        })
    }
}
