//! Somebody who sees what reaches the cache, and how each answer begins: a shield in this process that
//! fetches ahead of what it sees ([`EdgeBuilder::witness`](crate::EdgeBuilder::witness)).
//!
//! It stands behind everything that refuses requests, and sees them as the cache does. Without one it costs
//! a look; with one, a call through a pointer for each request, and an allocation where the witness wants to
//! hear of the answer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use headwater_net::Body;
use http::{Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

/// What a witness wants to be told when the answer begins.
pub type Hears = Box<dyn FnOnce(StatusCode) + Send>;

/// See the module.
pub trait Witness: Send + Sync {
    /// A request is about to be put to the cache. Must not block: it is asked on the way of every request.
    fn sees(&self, request: &Request<Body>) -> Option<Hears>;
}

/// Has a [`Witness`] see what passes; by default there is none.
#[derive(Clone, Default)]
pub struct WitnessLayer {
    witness: Option<Arc<dyn Witness>>,
}

impl WitnessLayer {
    /// Shows everything to `witness`.
    pub fn new(witness: Arc<dyn Witness>) -> Self {
        Self { witness: Some(witness) }
    }
}

impl<S> Layer<S> for WitnessLayer {
    type Service = Witnessed<S>;

    fn layer(&self, inner: S) -> Witnessed<S> {
        Witnessed { inner, layer: self.clone() }
    }
}

/// The service of [`WitnessLayer`].
#[derive(Clone, Debug)]
pub struct Witnessed<S> {
    inner: S,
    layer: WitnessLayer,
}

impl<S, B> Service<Request<Body>> for Witnessed<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = WitnessedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let hears = self.layer.witness.as_ref().and_then(|witness| witness.sees(&request));
        WitnessedFuture { inner: self.inner.call(request), hears }
    }
}

pin_project! {
    /// The answer of [`Witnessed`].
    pub struct WitnessedFuture<F> {
        #[pin]
        inner: F,
        hears: Option<Hears>,
    }
}

impl<F, E, B> Future for WitnessedFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.inner.poll(cx));
        if let Some(hears) = this.hears.take()
            && let Ok(answer) = &answer
        {
            hears(answer.status());
        }
        Poll::Ready(answer)
    }
}

impl std::fmt::Debug for WitnessLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WitnessLayer").field("is_there", &self.witness.is_some()).finish()
    }
}

impl<F> std::fmt::Debug for WitnessedFuture<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WitnessedFuture").finish_non_exhaustive()
    }
}
