//! Asking the inner service, and what becomes of its errors.

use headwater_net::{Body, BodyError, Problem};
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

/// The status that tells a client of an upstream's failure: 504 where it took too long, else 502
/// (RFC 9110 §15.6.3 and §15.6.5).
pub(crate) fn status_of(error: &BoxError) -> StatusCode {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error.as_ref());
    // A chain of causes is short; the bound is against one that bites its tail.
    for _ in 0..16 {
        let Some(this) = cause else { break };
        let timed_out = this.is::<tokio::time::error::Elapsed>()
            || this
                .downcast_ref::<std::io::Error>()
                .is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut)
            || matches!(this.downcast_ref(), Some(BodyError::TimedOut));
        #[cfg(feature = "client")]
        let timed_out = {
            use headwater_net::client::UpstreamError;
            timed_out || matches!(this.downcast_ref(), Some(UpstreamError::Timeout))
        };
        if timed_out {
            return StatusCode::GATEWAY_TIMEOUT;
        }
        cause = this.source();
    }
    StatusCode::BAD_GATEWAY
}

/// The problem for a gateway's status. What the upstream's error says stays in the log: it may
/// hold addresses.
pub(crate) fn problem(status: StatusCode) -> Problem {
    Problem::new(status).detail(match status {
        StatusCode::GATEWAY_TIMEOUT => "the upstream did not answer in time",
        StatusCode::BAD_GATEWAY => "the upstream could not be reached or broke off",
        _ => "the upstream refused the request",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_anywhere_in_the_chain_is_504() {
        let slow = std::io::Error::from(std::io::ErrorKind::TimedOut);
        assert_eq!(status_of(&slow.into()), StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(status_of(&BodyError::TimedOut.into()), StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(status_of(&"refused".into()), StatusCode::BAD_GATEWAY);
    }
}
