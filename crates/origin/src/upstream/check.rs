//! Active checks: each origin is asked for one path by and by, and what it answers takes it down and
//! brings it up, whether or not anybody asks for anything.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use headwater_net::Body;
use headwater_net::rendezvous;
use http::uri::PathAndQuery;
use http::{Request, Uri};

use super::statuses::Statuses;
use super::{Origin, Origins, Shared};

/// The most of a check's answer that is read; a longer one is let go, and counts by its status.
const MAX_BODY: u64 = 64 << 10;

/// How origins are checked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CheckConfig {
    /// What is asked for.
    pub path: PathAndQuery,
    /// The time between two checks of one origin; 5 s by default.
    pub interval: Duration,
    /// By how much of itself that is longer or shorter each time, in percent, so that many nodes do
    /// not ask at once; 20 by default, at most 100.
    pub jitter: u8,
    /// How long an answer may take, body and all; 2 s by default.
    pub timeout: Duration,
    /// The statuses of an origin that is not well; 400 to 599 by default.
    pub failed_by: Statuses,
    /// Checks in a row that fail and take it down; 2 by default, at least 1.
    pub failures: u32,
    /// Checks in a row that succeed and bring it up; 3 by default, at least 1.
    pub successes: u32,
}

impl CheckConfig {
    /// Asks for this path, such as `/health`.
    pub fn new(path: PathAndQuery) -> Self {
        Self {
            path,
            interval: Duration::from_secs(5),
            jitter: 20,
            timeout: Duration::from_secs(2),
            failed_by: Statuses::range(400..=599),
            failures: 2,
            successes: 3,
        }
    }

    /// Replaces [`CheckConfig::interval`] and [`CheckConfig::timeout`].
    #[must_use]
    pub const fn every(mut self, interval: Duration, timeout: Duration) -> Self {
        self.interval = interval;
        self.timeout = timeout;
        self
    }

    /// Replaces [`CheckConfig::failed_by`].
    #[must_use]
    pub fn failed_by(mut self, statuses: Statuses) -> Self {
        self.failed_by = statuses;
        self
    }

    /// Replaces [`CheckConfig::failures`] and [`CheckConfig::successes`].
    #[must_use]
    pub const fn hysteresis(mut self, failures: u32, successes: u32) -> Self {
        self.failures = failures;
        self.successes = successes;
        self
    }

    /// The wait before a check: other nodes, origins and rounds draw other ones.
    fn wait(&self, seed: &str) -> Duration {
        let spread = self.interval * u32::from(self.jitter.min(100)) / 100;
        let drawn = u32::try_from(rendezvous::key(seed.as_bytes()) >> 32).unwrap_or(u32::MAX);
        let ahead = (spread.as_nanos() * 2 * u128::from(drawn)) >> 32;
        let ahead = Duration::from_nanos(u64::try_from(ahead).unwrap_or(u64::MAX));
        (self.interval + ahead).saturating_sub(spread)
    }
}

impl Origins {
    /// Checks all origins until the last handle of these origins is gone; for its owner to spawn, and
    /// to abort. The first checks are sent at once.
    pub fn watch(&self, config: CheckConfig) -> impl Future<Output = ()> + Send + use<> {
        let config = Arc::new(config);
        let one = |at| {
            let origins = (Arc::downgrade(&self.origins), Arc::downgrade(&self.shared));
            Some(Box::pin(watch(origins, at, Arc::clone(&config))))
        };
        let mut all: Vec<_> = (0..self.origins.len()).map(one).collect();
        std::future::poll_fn(move |cx| {
            for slot in &mut all {
                if slot.as_mut().is_some_and(|one| Pin::new(one).poll(cx).is_ready()) {
                    *slot = None;
                }
            }
            if all.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
        })
    }
}

async fn watch(origins: (Weak<[Origin]>, Weak<Shared>), at: usize, config: Arc<CheckConfig>) {
    let mut uri = Uri::default().into_parts();
    uri.path_and_query = Some(config.path.clone());
    let Ok(uri) = Uri::from_parts(uri) else { return };
    loop {
        let wait = {
            let (Some(all), Some(shared)) = (origins.0.upgrade(), origins.1.upgrade()) else {
                return;
            };
            let Some(origin) = all.get(at) else { return };
            let mut request = Request::new(Body::Empty);
            *request.uri_mut() = uri.clone();
            let is_well = tokio::time::timeout(config.timeout, ask(origin, request, &config)).await;
            let is_well = is_well.unwrap_or(false);
            origin.tell(|health| {
                health.checked(is_well, config.failures, config.successes);
            });
            config.wait(&format!("{at} {}", shared.clock.now().as_millis()))
        };
        tokio::time::sleep(wait).await;
    }
}

async fn ask(origin: &Origin, request: Request<Body>, config: &CheckConfig) -> bool {
    let Ok(answer) = origin.ask_once(request).await else { return false };
    let is_well = !config.failed_by.has(answer.status());
    match answer.into_body().collect(MAX_BODY).await {
        Err(headwater_net::body::CollectError::Body(_)) => false,
        _ => is_well,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_spread_within_the_jitter() {
        let config = CheckConfig::new(PathAndQuery::from_static("/health"));
        let waits: Vec<_> = (0..200).map(|n| config.wait(&format!("0 {n}"))).collect();
        assert!(waits.iter().all(|wait| (4.0..=6.0).contains(&wait.as_secs_f64())), "{waits:?}");
        let (least, most) = (waits.iter().min(), waits.iter().max());
        assert!(least < Some(&Duration::from_millis(4200)), "{least:?}");
        assert!(most > Some(&Duration::from_millis(5800)), "{most:?}");
    }
}
