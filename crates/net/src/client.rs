//! Upstreams: one HTTP authority each, as a tower service over pooled HTTP/1.1 and HTTP/2
//! connections, and over HTTP/3 where it is asked for.
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
//! - Nothing is sent twice, except a request that never left on a pooled connection that had died, and a GET,
//!   HEAD or OPTIONS whose connection by HTTP/3 broke or fell silent, which TCP is asked then.

mod allowed;
mod body;
mod bounds;
mod builder;
mod connector;
#[cfg(feature = "dns")]
mod dns;
mod error;
mod http3;
mod redirect;
mod resolve;
mod sending;
mod sigv4;
mod trust;
mod tunnel;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{
    Extensions, HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header, response,
};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::capture_connection;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tower_service::Service;

use crate::hop::strip_hop_by_hop;
use crate::interim::Interim;
use crate::{Body, Clock, ConnInfo, Problem};
use connector::Connector;
use http3::Http3;
use resolve::Names;

pub use allowed::ALWAYS;
pub use bounds::Bounds;
pub use builder::UpstreamBuilder;
#[cfg(feature = "dns")]
pub use dns::NameServers;
pub use error::{Unconnected, UpstreamError};
pub use http3::{BothHalves, Opener, RecvHalf, SendHalf, Transport};
pub use redirect::Redirects;
pub use resolve::{Answer, Resolve, Resolving, System};
pub use sending::answered_within;
pub use sigv4::SigV4;
pub use tunnel::{Unasked, is_websocket};

/// Time until the answer to this one request begins, in the place of the upstream's
/// ([`UpstreamBuilder::first_byte_timeout`]): an extension of the request, for what an upstream holds until it
/// has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstByte(pub Duration);

/// A client of one HTTP or HTTPS authority. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Upstream {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: legacy::Client<Connector, Body>,
    /// Asked first, where it is spoken.
    http3: Option<Arc<Http3>>,
    /// For connections that change their protocol: HTTP/1.1, each used once.
    upgrading: legacy::Client<Connector, Body>,
    /// Places for WebSockets.
    tunnels: Arc<Semaphore>,
    tunnel_idle_timeout: Duration,
    /// Its addresses, where it has a name.
    names: Option<Arc<Names>>,
    scheme: Scheme,
    /// Where it is.
    authority: Authority,
    /// What it is told its host is.
    told: Authority,
    /// What paths are appended to: empty, or `/…` without a slash at its end.
    prefix: String,
    keep_host: bool,
    first_byte_timeout: Duration,
    bounds: Bounds,
    redirects: Redirects,
    /// Others that redirects may lead to.
    others: Vec<Upstream>,
    fields: HeaderMap,
    signer: Option<SigV4>,
    clock: Clock,
}

impl Upstream {
    /// Starts to describe the upstream at `uri`, such as `https://origin.example/base`: scheme and
    /// authority are used as they are, a path is put before every request's path.
    pub fn builder<U>(uri: U) -> UpstreamBuilder
    where
        U: TryInto<Uri>,
        U::Error: std::fmt::Display,
    {
        UpstreamBuilder::new(uri.try_into().map_err(|error| error.to_string()))
    }

    /// The upstream's authority, `host` or `host:port`.
    pub fn authority(&self) -> &str {
        self.inner.authority.as_str()
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
            let until = inner.bounds.until();
            let first_byte = request.extensions().get::<FirstByte>();
            let first_byte = first_byte.map_or(inner.first_byte_timeout, |time| time.0);
            let asked = |request| inner.answer(request, until);
            let answered = answered_within(first_byte, request, asked);
            let whole = inner.bounds.whole.unwrap_or(Duration::MAX);
            let answered = tokio::time::timeout(whole, answered).await;
            answered.and_then(|answered| answered).map_err(|_| UpstreamError::Timeout)?
        })
    }
}

/// The way for interim responses to the client whose request this is (RFC 9110 §15.2).
fn interim(extensions: &Extensions) -> Option<&Interim> {
    extensions.get::<ConnInfo>().and_then(ConnInfo::interim)
}

/// Has the upstream's interim responses sent to the client, where there is a way to both. Of upstreams by
/// TCP, only those of HTTP/1.1 are heard.
fn pass_interim_on(request: &mut Request<Body>) {
    let Some(interim) = interim(request.extensions()).cloned() else { return };
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
    async fn answer(
        &self,
        request: Request<Body>,
        until: Option<Instant>,
    ) -> Result<Response<Body>, UpstreamError> {
        let asked = request.uri().path_and_query();
        if self.signer.is_some() && asked.and_then(sigv4::bare).is_none() {
            let problem = Problem::new(StatusCode::NOT_FOUND);
            return Ok(problem.detail("a store has no object without a name").into_response());
        }
        if !self.redirects.may_follow(&request) {
            let (answer, _) = self.send(request, until).await?;
            let elsewhere = redirect::location(answer.status(), answer.headers()).is_some();
            let is_refused = elsewhere && self.redirects != Redirects::Pass;
            return if is_refused { Err(UpstreamError::Redirect) } else { Ok(answer) };
        }
        let (head, body) = request.into_parts();
        let mut at = self;
        let mut next = Request::from_parts(head.clone(), body);
        for _ in 0..=self.redirects.most() {
            let (answer, from) = at.send(next, until).await?;
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
    async fn send(
        &self,
        request: Request<Body>,
        until: Option<Instant>,
    ) -> Result<(Response<Body>, Uri), UpstreamError> {
        let mut request = self.aim(request)?;
        tell_of_early_data(&mut request);
        let uri = request.uri().clone();
        let is_head = request.method() == Method::HEAD;
        if let Some(names) = &self.names {
            names.refresh();
        }
        let bodiless = http_body::Body::is_end_stream(request.body());
        if let Some(http3) = &self.http3
            && bodiless
            && http3::may_ask(request.method())
        {
            let (asked, body) = request.into_parts();
            if let Some((answer, incoming)) = http3.ask(&asked, interim(&asked.extensions)).await? {
                return Ok((self.take(answer, incoming, is_head, until)?, uri));
            }
            request = Request::from_parts(asked, body);
        }
        pass_interim_on(&mut request);
        let used = self.names.as_ref().map(|names| (names, capture_connection(&mut request)));
        let answered = self.client.request(request).await;
        if let Some((names, used)) = used
            && let Some(connection) = used.connection_metadata().as_ref()
            && names.has_moved(connection)
        {
            // What is under way there goes on; nothing more is sent by it.
            connection.poison();
        }
        let (parts, incoming) = answered?.into_parts();
        let answer = self.take(parts, incoming, is_head, until)?;
        Ok((answer, uri))
    }

    /// An answer as it is handed on.
    fn take<B>(
        &self,
        mut parts: response::Parts,
        incoming: B,
        is_head: bool,
        until: Option<Instant>,
    ) -> Result<Response<Body>, UpstreamError>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::fmt::Display,
    {
        strip_hop_by_hop(&mut parts.headers);
        self.bounds.hold(Response::from_parts(parts, incoming), is_head, until)
    }

    /// Turns a request that came to us into one to the upstream.
    fn aim(&self, request: Request<Body>) -> Result<Request<Body>, UpstreamError> {
        let (mut parts, body) = request.into_parts();
        let signed = parts.uri.path_and_query().filter(|_| self.signer.is_some());
        let signed = signed.and_then(sigv4::bare);
        let asked = signed.as_ref().or(parts.uri.path_and_query());
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
            .authority(self.told.clone())
            .path_and_query(path)
            .build()
            .map_err(|error| UpstreamError::Request(error.to_string().into()))?;
        parts.version = Version::HTTP_11;
        strip_hop_by_hop(&mut parts.headers);
        join_cookies(&mut parts.headers);
        for (name, value) in &self.fields {
            parts.headers.insert(name, value.clone());
        }
        if let Some(signer) = &self.signer {
            signer.sign(&mut parts, http_body::Body::is_end_stream(&body), &self.clock);
        }
        Ok(Request::from_parts(parts, body))
    }
}
