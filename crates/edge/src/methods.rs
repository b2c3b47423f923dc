//! The methods that are let in (RFC 9110 §9).

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_cache::BoxError;
use headwater_net::Body;
use http::{HeaderValue, Method, Request, Response};
use http_body::Body as HttpBody;
use tower_layer::Layer;
use tower_service::Service;

use crate::answer::{Answer, wrong_method};
use crate::route_policy::RoutePolicy;

/// Lets only some methods in, or those of a request's [`RoutePolicy`]; others are answered 405 with
/// `Allow` (RFC 9110 §15.5.6).
#[derive(Clone, Debug)]
pub struct MethodsLayer {
    allowed: Arc<Allowed>,
}

#[derive(Debug)]
struct Allowed {
    methods: Vec<Method>,
    allow: HeaderValue,
}

impl MethodsLayer {
    /// Lets in `methods` and no others.
    pub fn new(methods: impl IntoIterator<Item = Method>) -> Self {
        let methods: Vec<Method> = methods.into_iter().collect();
        let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
        // Method names are tokens, and tokens are header values.
        let allow = HeaderValue::from_str(&names.join(", "));
        let allow = allow.unwrap_or(HeaderValue::from_static(""));
        Self { allowed: Arc::new(Allowed { methods, allow }) }
    }
}

impl Default for MethodsLayer {
    /// GET, HEAD and OPTIONS: what a player needs.
    fn default() -> Self {
        Self::new([Method::GET, Method::HEAD, Method::OPTIONS])
    }
}

impl<S> Layer<S> for MethodsLayer {
    type Service = Methods<S>;

    fn layer(&self, inner: S) -> Methods<S> {
        Methods { inner, allowed: Arc::clone(&self.allowed) }
    }
}

/// The service of [`MethodsLayer`].
#[derive(Clone, Debug)]
pub struct Methods<S> {
    inner: S,
    allowed: Arc<Allowed>,
}

impl<S, A, B> Service<Request<A>> for Methods<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Answer<S::Future> {
        let here = RoutePolicy::of(request.extensions()).and_then(|policy| policy.methods.as_ref());
        let allowed = here.map_or(&self.allowed, |layer| &layer.allowed);
        if allowed.methods.contains(request.method()) {
            return Answer::of(self.inner.call(request));
        }
        Answer::ready(wrong_method(allowed.allow.clone()))
    }
}
