//! What the operator asks: metrics and health, on a listener of their own.

use std::sync::Arc;

use headwater_net::{Body, Problem};
use http::{Method, Request, Response, StatusCode};
use prometheus_client::registry::Registry;

/// Answers `/metrics` (OpenMetrics text) and `/health` (200 while the process serves).
#[derive(Clone)]
pub struct Operator(Arc<Registry>);

impl Operator {
    /// Over everything that was registered.
    pub fn new(registry: Registry) -> Self {
        Self(Arc::new(registry))
    }

    /// Answers one request.
    pub fn answer(&self, request: &Request<Body>) -> Response<Body> {
        let reads = request.method() == Method::GET || request.method() == Method::HEAD;
        match request.uri().path() {
            _ if !reads => Problem::new(StatusCode::METHOD_NOT_ALLOWED).into_response(),
            "/metrics" => headwater_edge::metrics::scrape(&self.0),
            "/health" => Response::new(Body::from("ok\n")),
            _ => Problem::new(StatusCode::NOT_FOUND).into_response(),
        }
    }
}
