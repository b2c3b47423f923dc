//! Asking the inner service, and what becomes of its errors.

use headwater_net::{Body, Problem};
use http::{Request, Response, StatusCode};
use tower_service::Service;

/// The error of an inner service, boxed.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// One request to the inner service, once that says it is ready.
pub(crate) async fn ask<S>(
    inner: &mut S,
    request: Request<Body>,
) -> Result<Response<Body>, BoxError>
where
    S: Service<Request<Body>, Response = Response<Body>> + Send,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    std::future::poll_fn(|cx| inner.poll_ready(cx).map_err(Into::into)).await?;
    let answer = inner.call(request);
    answer.await.map_err(Into::into)
}

/// The problem for a gateway's status. What the upstream's error says stays in the log: it may
/// hold addresses.
pub(crate) fn problem(status: StatusCode) -> Problem {
    Problem::new(status).detail(match status {
        StatusCode::GATEWAY_TIMEOUT => "the upstream did not answer in time",
        StatusCode::BAD_REQUEST => "the request is malformed, or its body broke off",
        StatusCode::BAD_GATEWAY => "the upstream could not be reached or broke off",
        _ => "the upstream refused the request",
    })
}
