//! One origin: a service whose type is forgotten, its health, its places, and how long it takes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;

use headwater_cache::BoxError;
use headwater_net::client::UpstreamError;
use headwater_net::{Body, Problem};
use http::{Request, Response, StatusCode};
use tower_service::Service;

use super::hedge::Latency;
use super::places::{Places, PlacesConfig};
use super::{Health, OriginError, Shared, lock};
use crate::prefetch::Prefetched;

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

/// A service whose type is forgotten.
pub(super) trait Ask: Send + Sync {
    fn ask(&self, request: Request<Body>) -> Answer;
}

impl<S> Ask for S
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    fn ask(&self, request: Request<Body>) -> Answer {
        let mut service = self.clone();
        Box::pin(async move {
            std::future::poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
            service.call(request).await.map_err(Into::into)
        })
    }
}

pub(super) struct Origin {
    service: Box<dyn Ask>,
    pub(super) health: Mutex<Health>,
    pub(super) places: Places,
    pub(super) latency: Mutex<Latency>,
}

impl Origin {
    pub(super) fn new(service: Box<dyn Ask>, places: &PlacesConfig) -> Self {
        let (health, latency) = (Mutex::default(), Mutex::default());
        Self { service, health, places: Places::new(places), latency }
    }

    pub(super) async fn ask(
        &self,
        request: Request<Body>,
        shared: &Shared,
    ) -> Result<Response<Body>, OriginError> {
        let verdict = Verdict { origin: self, given: false };
        let real = request.extensions().get::<Prefetched>().is_none();
        let pressure = real.then_some(&*shared.pressure);
        let Some(place) = self.places.take(pressure).await else {
            // It says nothing about the origin's health: it was not asked.
            shared.metrics.origin_busy.inc();
            return Ok(busy());
        };
        shared.metrics.origin_requests.inc();
        let sent = shared.clock.now();
        let answer = tokio::time::timeout(shared.first_byte, self.service.ask(request)).await;
        let answer = match answer {
            Err(elapsed) => Err(OriginError::TimedOut(elapsed.into())),
            Ok(Err(error)) => Err(OriginError::of(error)),
            Ok(Ok(response)) => Ok(response.map(|body| place.hold(body))),
        };
        let failed = is_failure(&answer);
        if failed {
            shared.metrics.origin_failures.inc();
        } else {
            lock(&self.latency).note(shared.clock.now().since(sent));
        }
        if let Err(error) = &answer {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::warn!(%error, cause, "origin failed");
        }
        verdict.give(failed, shared);
        answer
    }

    /// A body of this origin broke off: it counts as an answer that never came.
    pub(super) fn broke(&self, shared: &Shared) {
        shared.metrics.origin_broken.inc();
        Verdict { origin: self, given: false }.give(true, shared);
    }
}

/// Tells an origin's health what became of a request, also when the request is dropped.
struct Verdict<'a> {
    origin: &'a Origin,
    given: bool,
}

impl Verdict<'_> {
    fn give(mut self, failed: bool, shared: &Shared) {
        self.given = true;
        let mut health = lock(&self.origin.health);
        let was_down = health.is_down();
        if failed {
            health.failed(shared.clock.now(), &shared.health);
        } else {
            health.succeeded();
        }
        match (was_down, health.is_down()) {
            (false, true) => drop(shared.metrics.origins_down.inc()),
            (true, false) => drop(shared.metrics.origins_down.dec()),
            _ => {}
        }
    }
}

impl Drop for Verdict<'_> {
    fn drop(&mut self) {
        if !self.given {
            lock(&self.origin.health).forgotten();
        }
    }
}

/// The answer where there is no place at an origin and none to wait in.
fn busy() -> Response<Body> {
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE);
    problem.detail("too many requests are under way").retry_after(1).into_response()
}

/// Whether an answer says that the origin cannot answer (RFC 9110 §15.6.3 to §15.6.5).
pub(super) fn is_failure(answer: &Result<Response<Body>, OriginError>) -> bool {
    match answer {
        Ok(response) => matches!(response.status().as_u16(), 502..=504),
        Err(error) => !matches!(error, OriginError::Refused(_)),
    }
}

impl OriginError {
    /// Tells the errors of [`headwater_net::client::Upstream`] apart; any other service's error is
    /// a failure.
    fn of(error: BoxError) -> Self {
        match error.downcast_ref::<UpstreamError>() {
            Some(UpstreamError::Timeout) => {
                Self::TimedOut(std::io::Error::new(std::io::ErrorKind::TimedOut, error))
            }
            Some(upstream) if !upstream.is_retryable() => Self::Refused(error),
            _ => Self::Failed(error),
        }
    }
}
