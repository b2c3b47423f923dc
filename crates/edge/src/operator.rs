//! What the operator asks: metrics and health, purges, explanations and sessions, on a listener of
//! their own.
//!
//! That listener is on loopback, or behind what lets only the operator in. All but metrics, health and
//! the page want the operator's token, where one was given; where none was, they are refused to pages of
//! others in browsers, and under any name but `localhost`, which pages can have, too. Metrics want the token
//! only there: where a page could be asking.

mod caches;
mod live;
mod order;

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use headwater_cache::PurgeError;
use headwater_net::{Body, Problem, Secret};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use prometheus_client::registry::Registry;
use serde::Serialize;
use tower_service::Service;

use crate::access_log::{AccessLog, Filter, MAX_WATCHERS};
use crate::sessions::Sessions;
pub use caches::{Caches, Site, below};
use order::Order;

/// The most bytes of a purge's JSON.
const MAX_BODY: u64 = 16 << 10;

/// Answers `/metrics` (OpenMetrics text), `/health` (200 while the process serves, 503 with `Retry-After`
/// from when it [leaves](Operator::leave)), `/purge`,
/// `/explain`, `/` with a page for a person, and where there is what they tell of, `/log` and `/sessions`
/// (a [`View`](crate::sessions::View) as JSON, of the 100 sessions that asked last, or of `most=N`).
#[derive(Clone)]
pub struct Operator {
    inner: Arc<Inner>,
    log: Option<AccessLog>,
    sessions: Option<Sessions>,
}

struct Inner {
    registry: Registry,
    caches: Caches,
    token: RwLock<Option<Secret>>,
    /// Seconds in which this process is gone; [`STAYS`] while it serves.
    leaves: AtomicU64,
}

/// A process that does not leave.
const STAYS: u64 = u64::MAX;

/// Sessions that are told of where nobody says how many.
const SESSIONS: usize = 100;

impl Operator {
    /// Over everything that was registered, and the caches of this process.
    pub fn new(registry: Registry, caches: Caches, token: Option<Secret>) -> Self {
        let (token, leaves) = (RwLock::new(token), AtomicU64::new(STAYS));
        let inner = Arc::new(Inner { registry, caches, token, leaves });
        Self { inner, log: None, sessions: None }
    }

    /// This process takes no new clients and is gone within this time: from now on `/health` says so, of
    /// all clones, so that who balances load among processes sends clients elsewhere. Not for one that
    /// another process took over from: the service goes on.
    pub fn leave(&self, within: Duration) {
        let seconds = within.as_secs().saturating_add(u64::from(within.subsec_nanos() > 0));
        self.inner.leaves.store(seconds.min(STAYS - 1), Ordering::Relaxed);
    }

    /// Wants another token from now on, or none; of all clones.
    pub fn put_token(&self, token: Option<Secret>) {
        *self.inner.token.write().unwrap_or_else(PoisonError::into_inner) = token;
    }

    /// Tells of these sessions, too, as long as they are on.
    #[must_use]
    pub fn with_sessions(mut self, sessions: Sessions) -> Self {
        self.sessions = Some(sessions);
        self
    }

    /// Lets this log be watched at `/log`, through a filter where one is given
    /// (`/log?filter=status+>=+500`, [`Filter`]).
    #[must_use]
    pub fn with_log(mut self, log: AccessLog) -> Self {
        self.log = Some(log);
        self
    }

    /// Answers one request.
    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let reads = request.method() == Method::GET || request.method() == Method::HEAD;
        let answered = match request.uri().path() {
            "/metrics" if reads => self.metrics(request.headers()),
            "/health" if reads => self.health(),
            "/explain" if reads => self.explain(&request.into_parts().0).await,
            "/sessions" if reads => self.sessions(&request.into_parts().0),
            "/log" if request.method() == Method::GET => self.watch(&request.into_parts().0),
            "/purge" if request.method() == Method::POST => self.purge(request).await,
            "/metrics" | "/health" | "/explain" | "/sessions" => Err(wrong_method("GET, HEAD")),
            "/purge" => Err(wrong_method("POST")),
            "/log" => Err(wrong_method("GET")),
            path => match live::file(path) {
                Some(file) if reads => Ok(file),
                Some(_) => Err(wrong_method("GET, HEAD")),
                None => Err(Problem::new(StatusCode::NOT_FOUND).into()),
            },
        };
        answered.unwrap_or_else(Refusal::into_response)
    }

    fn metrics(&self, headers: &HeaderMap) -> Result<Response<Body>, Refusal> {
        if !is_asked_nearby(headers) {
            self.admit(headers)?;
        }
        Ok(crate::metrics::scrape(&self.inner.registry, headers))
    }

    fn health(&self) -> Result<Response<Body>, Refusal> {
        match self.inner.leaves.load(Ordering::Relaxed) {
            STAYS => Ok(Response::new(Body::from("ok\n"))),
            seconds => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE)
                .detail("this process takes no new clients, and ends")
                .retry_after(seconds)
                .into()),
        }
    }

    async fn purge(&self, request: Request<Body>) -> Result<Response<Body>, Refusal> {
        #[derive(Serialize)]
        struct Purged {
            sequence: u64,
            caches: Vec<&'static str>,
        }
        self.admit(request.headers())?;
        let (parts, body) = request.into_parts();
        let body = body.collect(MAX_BODY).await.map_err(|_| {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE).detail("a purge has at most 16 KiB")
        })?;
        let order = Order::read(&parts, &body.to_bytes()).map_err(bad_request)?;
        let purged = self.inner.caches.purge(&order).await.map_err(|error| match error {
            PurgeError::Invalid { field, detail } => bad_request(format!("{field}: {detail}")),
            error => {
                tracing::error!(error = %error, "a purge was not done");
                Problem::new(StatusCode::SERVICE_UNAVAILABLE)
                    .detail("the purge could not be written down everywhere: send it again")
                    .into()
            }
        })?;
        let Some((seq, caches)) = purged else {
            let detail = "a hand-over is not done, and the purge would be lost: send it again then";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE).detail(detail).into());
        };
        Ok(json(&Purged { sequence: seq.get(), caches }))
    }

    async fn explain(&self, request: &Parts) -> Result<Response<Body>, Refusal> {
        self.admit(&request.headers)?;
        let query = request.uri.query().unwrap_or_default();
        let asked = order::explained(query).map_err(bad_request)?;
        Ok(json(&self.inner.caches.explain(&asked).await))
    }

    fn watch(&self, request: &Parts) -> Result<Response<Body>, Refusal> {
        self.admit(&request.headers)?;
        let log = self.log.as_ref().ok_or_else(|| Problem::new(StatusCode::NOT_FOUND))?;
        let mut filter = Filter::default();
        for (name, value) in
            form_urlencoded::parse(request.uri.query().unwrap_or_default().as_bytes())
        {
            if name != "filter" {
                return Err(bad_request(format!("{name}: there is no such parameter")));
            }
            filter = value.parse().map_err(|error| bad_request(format!("filter: {error}")))?;
        }
        let Some(watching) = log.watch(filter) else {
            let detail = format!("{MAX_WATCHERS} watch already: end one of them");
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE).detail(detail).into());
        };
        let mut response = Response::new(Body::stream(watching));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }

    fn sessions(&self, request: &Parts) -> Result<Response<Body>, Refusal> {
        self.admit(&request.headers)?;
        let Some(sessions) = self.sessions.as_ref().filter(|sessions| sessions.is_on()) else {
            let detail = "no sessions are noted here";
            return Err(Problem::new(StatusCode::NOT_FOUND).detail(detail).into());
        };
        let most = match request.uri.query().map(|query| query.strip_prefix("most=")) {
            None => Ok(SESSIONS),
            Some(most) => most.and_then(|most| most.parse().ok()).ok_or("most: it is a number"),
        };
        Ok(json(&sessions.view(most.map_err(bad_request)?)))
    }

    /// Whether a request may change or look into caches, and at sessions.
    fn admit(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let token = self.inner.token.read().unwrap_or_else(PoisonError::into_inner);
        let Some(token) = &*token else {
            return if is_asked_nearby(headers) {
                Ok(())
            } else {
                let detail = "pages may not ask this: give the operator a token";
                Err(Problem::new(StatusCode::FORBIDDEN).detail(detail).into())
            };
        };
        let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let given = given.and_then(|value| {
            let (scheme, token) = value.split_at_checked(7)?;
            scheme.eq_ignore_ascii_case(b"bearer ").then_some(token.trim_ascii())
        });
        if given.is_some_and(|given| token.is(given)) {
            return Ok(());
        }
        let problem = Problem::new(StatusCode::UNAUTHORIZED)
            .detail("this wants the operator's token: Authorization: Bearer …");
        let field = (header::WWW_AUTHENTICATE, "Bearer");
        Err(Refusal { problem, field: Some(field) })
    }
}

impl Service<Request<Body>> for Operator {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let operator = self.clone();
        Box::pin(async move { Ok(operator.answer(request).await) })
    }
}

impl std::fmt::Debug for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operator").finish_non_exhaustive()
    }
}

/// Whether no page can have asked that is not this listener's own.
fn is_asked_nearby(headers: &HeaderMap) -> bool {
    !is_page_of_others(headers) && headers.get(header::HOST).is_none_or(is_near)
}

/// Whether a browser asks for a page that is not this listener's own. What no browser sends says
/// neither where it comes from nor how.
fn is_page_of_others(headers: &HeaderMap) -> bool {
    let own_origin = |origin: &HeaderValue| {
        let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
        host.is_some_and(|host| origin.as_bytes().strip_prefix(b"http://") == Some(host))
    };
    headers.get_all(header::ORIGIN).iter().any(|origin| !own_origin(origin))
        || headers.get_all("sec-fetch-site").iter().any(|site| site != "same-origin")
}

/// Whether a host is an address or `localhost`. A page of any other name that has this address for a
/// moment could read what it asks (DNS rebinding), and says nothing of itself with a GET.
fn is_near(host: &HeaderValue) -> bool {
    let Ok(host) = host.to_str() else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

/// A problem, and the field that its status goes with.
struct Refusal {
    problem: Problem,
    field: Option<(HeaderName, &'static str)>,
}

impl Refusal {
    fn into_response(self) -> Response<Body> {
        let mut response = self.problem.into_response();
        if let Some((name, value)) = self.field {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { problem, field: None }
    }
}

fn bad_request(detail: impl Into<String>) -> Refusal {
    Problem::new(StatusCode::BAD_REQUEST).detail(detail).into()
}

fn wrong_method(allowed: &'static str) -> Refusal {
    let field = (header::ALLOW, allowed);
    Refusal { problem: Problem::new(StatusCode::METHOD_NOT_ALLOWED), field: Some(field) }
}

fn json(value: &impl Serialize) -> Response<Body> {
    let Ok(mut text) = serde_json::to_vec(value) else {
        return Problem::new(StatusCode::INTERNAL_SERVER_ERROR).into_response();
    };
    text.push(b'\n');
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[tokio::test]
    async fn without_a_token_no_page_asks_under_a_name_of_its_own() {
        let operator = Operator::new(Registry::default(), Caches::default(), None);
        for (host, status) in [
            ("127.0.0.1:9900", StatusCode::OK),
            ("localhost", StatusCode::OK),
            ("[::1]:9900", StatusCode::OK),
            ("[::1]", StatusCode::OK),
            ("page.example:9900", StatusCode::FORBIDDEN),
            ("localhost.page.example", StatusCode::FORBIDDEN),
            ("", StatusCode::FORBIDDEN),
        ] {
            for path in ["/explain?url=/a", "/metrics"] {
                let request = Request::get(path).header(header::HOST, host);
                let answer = operator.answer(request.body(Body::empty()).unwrap()).await;
                assert_eq!(answer.status(), status, "{path} {host}");
            }
        }
    }

    #[tokio::test]
    async fn a_process_that_leaves_is_not_well() {
        let operator = Operator::new(Registry::default(), Caches::default(), None);
        let ask = async |operator: &Operator| {
            let request = Request::get("/health").body(Body::empty()).unwrap();
            let answer = operator.answer(request).await;
            let after = answer.headers().get(header::RETRY_AFTER);
            (answer.status().as_u16(), after.map(|after| after.to_str().unwrap().to_owned()))
        };
        let clone = operator.clone();
        assert_eq!(ask(&clone).await, (200, None));
        for (within, after) in [(Duration::ZERO, "0"), (Duration::from_millis(1500), "2")] {
            operator.leave(within);
            assert_eq!(ask(&clone).await, (503, Some(after.to_owned())));
        }
        operator.leave(Duration::MAX);
        assert_eq!(ask(&clone).await.0, 503);
    }

    #[tokio::test]
    async fn metrics_want_the_token_where_a_page_may_be_asking() {
        let token = Secret::new(&b"secret"[..]);
        let operator = Operator::new(Registry::default(), Caches::default(), Some(token));
        for (fields, status) in [
            (&[("host", "127.0.0.1:9900")][..], StatusCode::OK),
            (&[("host", "edge.example:9900")], StatusCode::UNAUTHORIZED),
            (&[("host", "localhost"), ("origin", "http://a.example")], StatusCode::UNAUTHORIZED),
            (&[("host", "edge.example"), ("authorization", "Bearer secret")], StatusCode::OK),
        ] {
            let mut request = Request::get("/metrics");
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            let answer = operator.answer(request.body(Body::empty()).unwrap()).await;
            assert_eq!(answer.status(), status, "{fields:?}");
        }
    }

    #[tokio::test]
    async fn without_a_token_the_listeners_own_page_asks_and_no_other() {
        let operator = Operator::new(Registry::default(), Caches::default(), None);
        for (fields, status) in [
            (&[("sec-fetch-site", "same-origin")][..], StatusCode::OK),
            (
                &[("sec-fetch-site", "same-origin"), ("origin", "http://localhost:9900")],
                StatusCode::OK,
            ),
            (
                &[("sec-fetch-site", "same-site"), ("origin", "http://localhost:1")],
                StatusCode::FORBIDDEN,
            ),
            (&[("origin", "http://localhost:1")], StatusCode::FORBIDDEN),
            (&[("origin", "https://localhost:9900")], StatusCode::FORBIDDEN),
            (&[("origin", "null")], StatusCode::FORBIDDEN),
            (&[("sec-fetch-site", "cross-site")], StatusCode::FORBIDDEN),
            (&[("sec-fetch-site", "none")], StatusCode::FORBIDDEN),
        ] {
            let mut request =
                Request::get("/explain?url=/a").header(header::HOST, "localhost:9900");
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            let answer = operator.answer(request.body(Body::empty()).unwrap()).await;
            assert_eq!(answer.status(), status, "{fields:?}");
        }
    }
}
