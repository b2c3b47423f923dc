//! Response headers that every answer to a stranger should carry.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::Entry;
use http::{HeaderName, HeaderValue, Request, Response, header};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

/// Adds headers to answers that do not have them; by default `X-Content-Type-Options: nosniff`, so
/// that no browser takes a segment or a problem document for a page.
#[derive(Clone, Debug)]
pub struct HeadersLayer {
    headers: std::sync::Arc<[(HeaderName, HeaderValue)]>,
}

impl HeadersLayer {
    /// Adds `headers` and no others.
    pub fn new(headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>) -> Self {
        Self { headers: headers.into_iter().collect() }
    }
}

impl Default for HeadersLayer {
    fn default() -> Self {
        Self::new([(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))])
    }
}

impl<S> Layer<S> for HeadersLayer {
    type Service = Headers<S>;

    fn layer(&self, inner: S) -> Headers<S> {
        Headers { inner, layer: self.clone() }
    }
}

/// The service of [`HeadersLayer`].
#[derive(Clone, Debug)]
pub struct Headers<S> {
    inner: S,
    layer: HeadersLayer,
}

impl<S, A, B> Service<Request<A>> for Headers<S>
where
    S: Service<Request<A>, Response = Response<B>>,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = HeadersFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> HeadersFuture<S::Future> {
        HeadersFuture { inner: self.inner.call(request), layer: self.layer.clone() }
    }
}

pin_project! {
    /// The answer of [`Headers`].
    #[derive(Debug)]
    pub struct HeadersFuture<F> {
        #[pin]
        inner: F,
        layer: HeadersLayer,
    }
}

impl<F, B, E> Future for HeadersFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut answer = std::task::ready!(this.inner.poll(cx));
        if let Ok(response) = &mut answer {
            for (name, value) in this.layer.headers.iter() {
                if let Entry::Vacant(place) = response.headers_mut().entry(name) {
                    place.insert(value.clone());
                }
            }
        }
        Poll::Ready(answer)
    }
}
