//! Response headers that every answer to a stranger should carry.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use tower_layer::Layer;
use tower_service::Service;

use crate::amend::{Amend, Amended};

/// Adds headers to answers that do not have them; by default `X-Content-Type-Options: nosniff`, so
/// that no browser takes a segment or a problem document for a page.
#[derive(Clone, Debug)]
pub struct HeadersLayer {
    headers: Fields,
}

#[derive(Clone, Debug)]
enum Fields {
    /// Known here: a request shares no count for them.
    Default,
    Given(Arc<[(HeaderName, HeaderValue)]>),
}

static DEFAULT: [(HeaderName, HeaderValue); 1] =
    [(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))];

impl HeadersLayer {
    /// Adds `headers` and no others.
    pub fn new(headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>) -> Self {
        Self { headers: Fields::Given(headers.into_iter().collect()) }
    }
}

impl Amend for HeadersLayer {
    fn amend(self, headers: &mut HeaderMap) {
        let fields = match &self.headers {
            Fields::Default => &DEFAULT[..],
            Fields::Given(fields) => fields,
        };
        add_missing(headers, fields);
    }
}

/// Adds fields that are not there, where they mostly are: asked first, since an entry would make room,
/// also where none is needed.
fn add_missing(headers: &mut HeaderMap, fields: &[(HeaderName, HeaderValue)]) {
    for (name, value) in fields {
        if !headers.contains_key(name) {
            headers.insert(name, value.clone());
        }
    }
}

impl Default for HeadersLayer {
    fn default() -> Self {
        Self { headers: Fields::Default }
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
    type Future = Amended<S::Future, HeadersLayer>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        Amended::new(self.inner.call(request), Some(self.layer.clone()))
    }
}
