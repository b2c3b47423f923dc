//! WebSockets past the cache: a request for one goes to the upstream itself.
//!
//! Off unless [`EdgeBuilder::websockets`](crate::EdgeBuilder::websockets) lets them in, since whoever
//! asks for one is not answered from the cache. Its target and host are checked as any request's are, and
//! the upstream can tell that it passed the cache ([`Cache::pass_by`]).

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use headwater_cache::{BoxError, Cache};
use headwater_net::client::is_websocket;
use headwater_net::{Body, Problem};
use http::{Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tower_service::Service;

/// Sends requests for WebSockets to `direct`, and all others to `inner`.
#[derive(Clone, Debug)]
pub struct Upgrades<S, D> {
    inner: S,
    direct: Option<(Cache, D)>,
}

impl<S, D> Upgrades<S, D> {
    pub(crate) const fn new(inner: S, direct: Option<(Cache, D)>) -> Self {
        Self { inner, direct }
    }
}

impl<S, D> Service<Request<Body>> for Upgrades<S, D>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    D: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    D::Error: Into<BoxError>,
    D::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = UpgradesFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> UpgradesFuture<S::Future> {
        let state = match &self.direct {
            Some((cache, direct)) if is_websocket(&request) => {
                let (mut parts, body) = request.into_parts();
                let passed = cache.pass_by(&mut parts);
                let (direct, request) = (direct.clone(), Request::from_parts(parts, body));
                let answer = async move {
                    match passed {
                        Ok(()) => ask(direct, request).await,
                        Err(looped) => Ok(looped.into_response()),
                    }
                };
                State::Direct { answer: Box::pin(answer) }
            }
            _ => State::Inner { answer: self.inner.call(request) },
        };
        UpgradesFuture { state }
    }
}

async fn ask<D>(mut direct: D, request: Request<Body>) -> Result<Response<Body>, Infallible>
where
    D: Service<Request<Body>, Response = Response<Body>>,
    D::Error: Into<BoxError>,
    D::Future: Send,
{
    let answer = async {
        std::future::poll_fn(|cx| direct.poll_ready(cx).map_err(Into::into)).await?;
        let answer = direct.call(request);
        answer.await.map_err(Into::into)
    };
    let answer: Result<_, BoxError> = answer.await;
    Ok(answer.unwrap_or_else(|error| {
        tracing::warn!(%error, "upstream gave no WebSocket");
        let problem = Problem::new(StatusCode::BAD_GATEWAY);
        problem.detail("the upstream could not be reached or broke off").into_response()
    }))
}

pin_project! {
    /// The answer of [`Upgrades`].
    pub struct UpgradesFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = Projected]
    enum State<F> {
        Inner { #[pin] answer: F },
        Direct { answer: Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>> },
    }
}

impl<F> Future for UpgradesFuture<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            Projected::Inner { answer } => answer.poll(cx),
            Projected::Direct { answer } => answer.as_mut().poll(cx),
        }
    }
}
