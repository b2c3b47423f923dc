//! The answer to a scrape: what a registry holds, as text, for an operator's listener.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use headwater_net::{Body, Problem};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use tower_service::Service;

use super::exposition::Format;

/// Everything in `registry`, for a request with these headers: as OpenMetrics where they accept that, and
/// else in the older text format of Prometheus.
pub fn scrape(registry: &Registry, asked: &HeaderMap) -> Response<Body> {
    let mut text = String::with_capacity(16 << 10);
    if text::encode(&mut text, registry).is_err() {
        return Problem::new(StatusCode::INTERNAL_SERVER_ERROR).into_response();
    }
    let format = Format::asked(asked);
    let mut response = Response::new(Body::from(format.write(&text)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A service that answers `GET /metrics` with [`scrape`]. It is for operators: let no stranger
/// reach it.
#[derive(Clone, Debug)]
pub struct Scrape {
    registry: Arc<Registry>,
}

impl Scrape {
    /// A service for `registry`, to which everything has been added.
    pub fn new(registry: impl Into<Arc<Registry>>) -> Self {
        Self { registry: registry.into() }
    }
}

impl<A> Service<Request<A>> for Scrape {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        ready(Ok(match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/metrics") => scrape(&self.registry, request.headers()),
            (_, "/metrics") => Problem::new(StatusCode::METHOD_NOT_ALLOWED).into_response(),
            _ => Problem::new(StatusCode::NOT_FOUND).into_response(),
        }))
    }
}
