//! Requests in TLS early data (0-RTT), which may be replays (RFC 8470).
//!
//! What is stored answers at once: a replay of it changes nothing, and tells whoever replays it
//! nothing. What is not waits until the handshake has shown that the client is there, and only then
//! asks upstream; or, where every upstream is known to understand it, goes there at once marked
//! `Early-Data: 1` ([`EarlyDataLayer::forward`]), and once more after the handshake if upstream says
//! 425 (Too Early).
//!
//! A handshake that never ends holds up nobody else: nothing is fetched for its sake, so that
//! nobody waits for its fetch.
//!
//! To be put right before a [`Cache`](headwater_cache::Cache), as [`Edge`](crate::Edge) does. A
//! layer further out that must not be asked twice looks at
//! [`ConnInfo::early_data`](headwater_net::ConnInfo::early_data) itself, and says 425.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use headwater_cache::StoredOnly;
use headwater_net::{Body, ConnInfo, Problem};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::refusals::RefusedBy;

const EARLY_DATA: HeaderName = HeaderName::from_static("early-data");

/// Has requests in early data answered from store, and others only after the handshake.
#[derive(Clone, Copy, Debug, Default)]
pub struct EarlyDataLayer {
    forward: bool,
}

impl EarlyDataLayer {
    /// Everything that is not stored waits for the handshake.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends upstream at once, with `Early-Data: 1`, what is not stored; by default it waits for the
    /// handshake. Danger: an upstream that does not know RFC 8470 may do twice what was asked once
    /// (§5.1 forbids to forward to one).
    #[must_use]
    pub const fn forward(mut self, forward: bool) -> Self {
        self.forward = forward;
        self
    }
}

impl<S> Layer<S> for EarlyDataLayer {
    type Service = EarlyData<S>;

    fn layer(&self, inner: S) -> EarlyData<S> {
        EarlyData { inner, forward: self.forward }
    }
}

/// The service of [`EarlyDataLayer`].
#[derive(Clone, Debug)]
pub struct EarlyData<S> {
    inner: S,
    forward: bool,
}

impl<S> Service<Request<Body>> for EarlyData<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = EarlyDataFuture<S::Future, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let conn = request.extensions().get::<ConnInfo>();
        let Some(conn) = conn.filter(|conn| conn.early_data).cloned() else {
            return EarlyDataFuture { state: State::Inner { inner: self.inner.call(request) } };
        };
        let (parts, _) = request.into_parts();
        let early = Box::pin(answer(self.inner.clone(), parts, conn, self.forward));
        EarlyDataFuture { state: State::Early { early } }
    }
}

/// Answers a request that came early, which has no body.
async fn answer<S>(
    service: S,
    mut parts: Parts,
    mut conn: ConnInfo,
    forward: bool,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone,
{
    let mut stored = parts.clone();
    stored.extensions.insert(StoredOnly);
    let response = call(service.clone(), stored).await?;
    if response.extensions().get::<StoredOnly>().is_none() {
        return Ok(response);
    }
    if forward {
        let mut marked = parts.clone();
        marked.headers.insert(EARLY_DATA, HeaderValue::from_static("1"));
        let response = call(service.clone(), marked).await?;
        if response.status() != StatusCode::TOO_EARLY {
            return Ok(response);
        }
    }
    if !conn.established().await {
        // Nobody is there to read it; RFC 8470 §5.2 all the same.
        let mut response = Problem::new(StatusCode::TOO_EARLY).into_response();
        RefusedBy::EarlyData.mark(&mut response);
        return Ok(response);
    }
    conn.early_data = false;
    parts.extensions.insert(conn);
    call(service, parts).await
}

async fn call<S>(mut service: S, parts: Parts) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    poll_fn(|cx| service.poll_ready(cx)).await?;
    service.call(Request::from_parts(parts, Body::Empty)).await
}

type Early<E> = Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>;

pin_project! {
    /// The answer of [`EarlyData`]: boxed for a request in early data only.
    pub struct EarlyDataFuture<F, E> {
        #[pin]
        state: State<F, E>,
    }
}

pin_project! {
    #[project = Projected]
    enum State<F, E> {
        Inner { #[pin] inner: F },
        Early { early: Early<E> },
    }
}

impl<F, E> std::fmt::Debug for EarlyDataFuture<F, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EarlyDataFuture").finish_non_exhaustive()
    }
}

impl<F, E> Future for EarlyDataFuture<F, E>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            Projected::Inner { inner } => inner.poll(cx),
            Projected::Early { early } => early.as_mut().poll(cx),
        }
    }
}
