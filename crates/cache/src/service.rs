//! The shell: a tower layer and the service it makes.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use headwater_net::Body;
use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use crate::Cache;
use crate::upstream::{self, BoxError};

/// Puts a [`Cache`] before a service.
#[derive(Clone, Debug)]
pub struct CacheLayer {
    cache: Cache,
}

impl CacheLayer {
    pub(crate) fn new(cache: Cache) -> Self {
        Self { cache }
    }
}

impl<S> Layer<S> for CacheLayer {
    type Service = CacheService<S>;

    fn layer(&self, inner: S) -> CacheService<S> {
        CacheService { cache: self.cache.clone(), inner }
    }
}

/// A service that answers from a [`Cache`], and asks `S` for what is not in it.
#[derive(Clone, Debug)]
pub struct CacheService<S> {
    #[allow(dead_code, reason = "the engine uses it")]
    cache: Cache,
    inner: S,
}

impl<S> Service<Request<Body>> for CacheService<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = CacheFuture;

    /// Always ready: what cannot be done is answered as a problem.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> CacheFuture {
        let mut inner = self.inner.clone();
        CacheFuture::waiting(async move {
            match upstream::ask(&mut inner, request).await {
                Ok(response) => response,
                Err(error) => upstream::problem(upstream::status_of(&error)).into_response(),
            }
        })
    }
}

/// The answer of a [`CacheService`]: at once for a hit, boxed for anything else.
pub struct CacheFuture(State);

enum State {
    Ready(Option<Response<Body>>),
    Waiting(Pin<Box<dyn Future<Output = Response<Body>> + Send>>),
}

impl CacheFuture {
    #[allow(dead_code, reason = "hits use it")]
    pub(crate) fn ready(response: Response<Body>) -> Self {
        Self(State::Ready(Some(response)))
    }

    pub(crate) fn waiting(answer: impl Future<Output = Response<Body>> + Send + 'static) -> Self {
        Self(State::Waiting(Box::pin(answer)))
    }
}

impl Future for CacheFuture {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(response) => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                None => Poll::Pending,
            },
            State::Waiting(answer) => answer.as_mut().poll(cx).map(Ok),
        }
    }
}

impl std::fmt::Debug for CacheFuture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CacheFuture").finish_non_exhaustive()
    }
}
