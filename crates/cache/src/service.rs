//! The shell: a tower layer and the service it makes.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use headwater_net::Body;
use http::request::Parts;
use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use crate::Cache;
use crate::engine::{self, Forward, Lookup};
use crate::explain::EXPLAIN;
use crate::found::Found;
use crate::status::Fwd;
use crate::upstream::BoxError;

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
        let inner = self.cache.inner();
        let (mut parts, body) = request.into_parts();
        let mut found = Found::of(&parts.headers);
        if found.any(Found::LOOP)
            && let Err(looped) = inner.node.check(&parts.headers)
        {
            let response = self.forward(parts).looped(looped);
            return CacheFuture(State::Ready(Some(response)));
        }
        let has_content = engine::has_content(&parts, &body, found);
        if found.any(Found::CONNECTION) {
            found = engine::drop_what_goes_no_further(&mut parts);
        }
        if !engine::is_answered_from_store(&parts) {
            return self.pass(parts, body, Fwd::Method);
        }
        if inner.policy.bypass(&parts) || has_content {
            return self.pass(parts, body, Fwd::Bypass);
        }
        if inner.policy.debug(&parts) {
            return self.explained(parts, found);
        }
        self.answer(parts, found)
    }
}

impl<S> CacheService<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    /// Answers a GET or HEAD from store, or by a fill.
    fn answer(&self, parts: Parts, found: Found) -> CacheFuture {
        match engine::lookup(self.cache.inner(), &parts, found) {
            Lookup::Hit(response, stale) => {
                if let Some(stale) = stale {
                    engine::revalidate(&self.cache, &self.inner, &parts, stale);
                }
                CacheFuture(State::Ready(Some(response)))
            }
            Lookup::Sliced(object, behind, miss) => {
                if behind {
                    let stale = std::sync::Arc::clone(&object);
                    engine::revalidate(&self.cache, &self.inner, &parts, stale);
                }
                let miss = miss.of_whom(&parts);
                let answer = self.forward(parts).sliced_hit(object, miss);
                CacheFuture(State::Waiting(Box::pin(answer)))
            }
            Lookup::Miss(miss) => {
                let miss = miss.of_whom(&parts);
                CacheFuture(State::Waiting(Box::pin(self.forward(parts).miss(miss))))
            }
        }
    }

    /// Answers, and says what it made of the request.
    fn explained(&self, parts: Parts, found: Found) -> CacheFuture {
        let this = self.clone();
        CacheFuture(State::Waiting(Box::pin(async move {
            let explanation = this.cache.explain(&parts).await.field();
            let Ok(mut response) = this.answer(parts, found).await;
            response.headers_mut().insert(EXPLAIN, explanation);
            response
        })))
    }

    fn pass(&self, parts: Parts, body: Body, fwd: Fwd) -> CacheFuture {
        if parts.extensions.get::<StoredOnly>().is_some() {
            return CacheFuture(State::Ready(Some(self.forward(parts).nothing_stored())));
        }
        CacheFuture(State::Waiting(Box::pin(self.forward(parts).pass(fwd, body))))
    }

    fn forward(&self, parts: Parts) -> Forward<S> {
        Forward { cache: self.cache.clone(), service: self.inner.clone(), parts }
    }
}

/// In a request's extensions: who sits before the cache takes stored responses only, as a client
/// does by `only-if-cached` (RFC 9111 §5.2.1.7), but whether or not clients are listened to. Nothing
/// goes upstream for such a request, except what revalidates a response that was served stale. Where
/// nothing is stored that would do, the answer is 504 and has this in its extensions too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredOnly;

/// The answer of a [`CacheService`]: at once for a hit, boxed for anything else.
pub struct CacheFuture(State);

enum State {
    Ready(Option<Response<Body>>),
    Waiting(Pin<Box<dyn Future<Output = Response<Body>> + Send>>),
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
