//! Taking hints of sessions from edges ([`headwater_proto::hints`]).
//!
//! Whoever is believed can have a shield fetch from its own origins, within its budget, what it
//! would fetch for any request; and nothing else. Still strangers are not believed: a shield takes
//! hints from the edge in its own process, and from others as its operator says ([`HintTrust`]).

use headwater_net::{Body, ConnInfo, Problem, Proxies, Secret};
use headwater_proto::hints::{self, Hint, MAX_MESSAGE, SameProcess};
use http::{HeaderName, Method, Request, Response, StatusCode};

use crate::metrics::Metrics;

/// The field in which an edge shows the secret of its link.
pub const LINK: HeaderName = HeaderName::from_static("headwater-link");

/// Whose hints are taken, besides those of an edge in the same process.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum HintTrust {
    /// Nobody's.
    #[default]
    Nobody,
    /// Of those who show this secret in [`LINK`].
    Secret(Secret),
    /// Of those who connect from these networks.
    Networks(Proxies),
    /// Everybody's: for a shield that none but edges can reach.
    Everyone,
}

impl HintTrust {
    pub(crate) fn believes(&self, request: &Request<Body>) -> bool {
        request.extensions().get::<SameProcess>().is_some()
            || match self {
                Self::Nobody => false,
                Self::Everyone => true,
                Self::Networks(networks) => {
                    let conn = request.extensions().get::<ConnInfo>();
                    conn.is_some_and(|conn| networks.trust(conn.peer.ip()))
                }
                Self::Secret(secret) => {
                    request.headers().get(LINK).is_some_and(|guess| secret.is(guess.as_bytes()))
                }
            }
    }
}

/// Whether a request brings hints.
pub(crate) fn is_message(request: &Request<Body>) -> bool {
    request.method() == Method::POST && request.uri().path() == hints::PATH
}

/// Takes a message: hands its hints to `told` and answers 204, or says what is wrong with it.
pub(crate) async fn take(
    request: Request<Body>,
    trust: &HintTrust,
    metrics: &Metrics,
    told: impl FnOnce(&[Hint]),
) -> Response<Body> {
    let refused = |status: StatusCode, why: &'static str| {
        metrics.hints_refused.inc();
        Problem::new(status).detail(why).into_response()
    };
    if !trust.believes(&request) {
        return refused(StatusCode::FORBIDDEN, "hints are taken from known edges only");
    }
    let Ok(body) = request.into_body().collect(MAX_MESSAGE as u64).await else {
        return refused(StatusCode::PAYLOAD_TOO_LARGE, "the message is too long or broke off");
    };
    let bytes = body.to_bytes();
    let Some(list) = std::str::from_utf8(&bytes).ok().and_then(|text| hints::read(text).ok())
    else {
        return refused(StatusCode::BAD_REQUEST, "the hints cannot be read");
    };
    metrics.hint_messages.inc();
    metrics.hints_taken.inc_by(list.len() as u64);
    told(&list);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
