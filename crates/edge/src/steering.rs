//! Where players should fetch from: content steering of HLS (RFC 8216bis §7) and of DASH (ETSI TS 103
//! 998), which ask alike and are answered alike.
//!
//! A manifest names pathways and a URL at which a player asks, again whenever the TTL is over, in which
//! order to try them. [`SteeringLayer`] answers there: with the order that was configured, or, where it
//! knows which pathway is this edge's and is told to, with that one last for some of its players while
//! this edge has too much to do. How many it sends away grows by a quarter of them in each TTL that is
//! too much, and falls by a tenth in each that is well below: they leave step by step, and do not all
//! come back at once. Which ones is drawn by client, so that one that left stays away.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use headwater_cache::BoxError;
use headwater_net::{Body, Clock, ConnInfo, Timestamp};
use http::{HeaderValue, Method, Request, Response, header};
use http_body::Body as HttpBody;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use serde::Serialize;
use tower_layer::Layer;
use tower_service::Service;

use crate::answer::{Answer, wrong_method};
use crate::sessions::Sessions;
use crate::shed::Pressure;
use crate::whom::network;

/// The most pathways.
pub const MAX_PATHWAYS: usize = 16;

/// Sent away in each TTL that is too much, and taken back in each that is not, in percent of players.
const AWAY: u8 = 25;
const BACK: u8 = 10;

/// Describes a [`SteeringLayer`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until build is called"]
pub struct Steering {
    path: String,
    pathways: Vec<String>,
    ttl: Duration,
    here: Option<String>,
    sessions: Option<(Sessions, usize)>,
    pressure: Option<Pressure>,
    clock: Clock,
    metrics: SteeringMetrics,
}

/// How many players were steered. Clones are of the same: one that is given to a layer
/// ([`Steering::metrics`]) and to the one that takes its place counts on.
#[derive(Clone, Debug, Default)]
pub struct SteeringMetrics {
    asked: Family<[(&'static str, &'static str); 1], Counter>,
}

impl SteeringMetrics {
    /// Adds `headwater_edge_steered_total`, by whether it was as `usual` or `away`, to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Players told where to fetch from";
        registry.register("headwater_edge_steered", help, self.asked.clone());
    }
}

/// Steering cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SteeringError {
    /// A pathway's id is empty, is there twice, or holds something else than letters, digits, `.`, `-`
    /// and `_`; or there is none, or more than [`MAX_PATHWAYS`].
    #[error(
        "the pathways are not 1 to {MAX_PATHWAYS} different ids of letters, digits, ., - and _"
    )]
    Pathways,
    /// This edge's pathway is none of them.
    #[error("the pathway `{0}` is not among the pathways")]
    Here(String),
    /// Less than a second.
    #[error("the TTL is less than a second")]
    Ttl,
}

impl Steering {
    /// Answers at `path` with these pathways, the best first.
    pub fn at(path: impl Into<String>, pathways: impl IntoIterator<Item = String>) -> Self {
        Self {
            path: path.into(),
            pathways: pathways.into_iter().collect(),
            ttl: Duration::from_secs(30),
            here: None,
            sessions: None,
            pressure: None,
            clock: Clock::system(),
            metrics: SteeringMetrics::default(),
        }
    }

    /// When players are to ask again; 30 s by default.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// The pathway that leads to this edge.
    pub fn here(mut self, pathway: impl Into<String>) -> Self {
        self.here = Some(pathway.into());
        self
    }

    /// Sends players away while more than `most` sessions are known.
    pub fn most_sessions(mut self, sessions: Sessions, most: usize) -> Self {
        self.sessions = Some((sessions, most));
        self
    }

    /// Sends players away while this is above zero.
    pub fn pressure(mut self, pressure: Pressure) -> Self {
        self.pressure = Some(pressure);
        self
    }

    /// The clock of its steps.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Counts here; by default by itself.
    pub fn metrics(mut self, metrics: SteeringMetrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// The layer.
    ///
    /// # Errors
    /// [`SteeringError`].
    pub fn build(self) -> Result<SteeringLayer, SteeringError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let fits = |id: &String| !id.is_empty() && id.len() <= 64 && id.bytes().all(plain);
        let mut sorted: Vec<&String> = self.pathways.iter().collect();
        sorted.sort();
        sorted.dedup();
        if sorted.len() != self.pathways.len()
            || !(1..=MAX_PATHWAYS).contains(&sorted.len())
            || !self.pathways.iter().all(fits)
        {
            return Err(SteeringError::Pathways);
        }
        let ttl = self.ttl.as_secs();
        if ttl == 0 {
            return Err(SteeringError::Ttl);
        }
        let here = match &self.here {
            None => None,
            Some(here) => match self.pathways.iter().position(|pathway| pathway == here) {
                None => return Err(SteeringError::Here(here.clone())),
                at => at,
            },
        };
        let usual = document(ttl, &self.pathways);
        let away = here.map(|at| {
            let mut last = self.pathways.clone();
            last[at..].rotate_left(1);
            document(ttl, &last)
        });
        Ok(SteeringLayer {
            on: Some(Arc::new(On {
                path: self.path.into(),
                usual,
                away,
                ttl: self.ttl,
                sessions: self.sessions,
                pressure: self.pressure,
                clock: self.clock,
                share: Mutex::default(),
                seed: RandomState::new(),
                metrics: self.metrics,
            })),
        })
    }
}

/// What a player is answered.
fn document(ttl: u64, pathways: &[String]) -> Bytes {
    #[derive(Serialize)]
    #[serde(rename_all = "SCREAMING-KEBAB-CASE")]
    struct Document<'a> {
        version: u8,
        ttl: u64,
        pathway_priority: &'a [String],
    }
    let document = Document { version: 1, ttl, pathway_priority: pathways };
    // Numbers and texts can always be written.
    serde_json::to_vec(&document).unwrap_or_default().into()
}

/// Answers players that ask where to fetch from; by default none.
#[derive(Clone, Debug, Default)]
pub struct SteeringLayer {
    on: Option<Arc<On>>,
}

#[derive(Debug)]
struct On {
    path: Box<str>,
    usual: Bytes,
    away: Option<Bytes>,
    ttl: Duration,
    sessions: Option<(Sessions, usize)>,
    pressure: Option<Pressure>,
    clock: Clock,
    share: Mutex<Share>,
    seed: RandomState,
    metrics: SteeringMetrics,
}

impl SteeringLayer {
    /// Where it answers.
    pub(crate) fn path(&self) -> Option<&str> {
        self.on.as_ref().map(|on| &*on.path)
    }

    /// Adds its [`SteeringMetrics`] to `registry`, where it steers.
    pub fn register(&self, registry: &mut Registry) {
        if let Some(on) = &self.on {
            on.metrics.register(registry);
        }
    }
}

impl On {
    /// Whether there is too much to do, and whether there is clearly not.
    fn load(&self) -> Load {
        let pressed = self.pressure.as_ref().is_some_and(|pressure| pressure.level() > 0);
        let (known, most) = match &self.sessions {
            Some((sessions, most)) => (sessions.known(), *most),
            None => (0, usize::MAX),
        };
        if pressed || known > most {
            Load::TooMuch
        } else if known <= most - most / 5 {
            Load::Little
        } else {
            Load::Enough
        }
    }

    fn answer<A>(&self, request: &Request<A>) -> Response<Body> {
        let away = self.away.as_ref().filter(|_| {
            let now = self.clock.now();
            let mut share = self.share.lock().unwrap_or_else(PoisonError::into_inner);
            let percent = share.step(now, self.ttl, self.load());
            let client = request.extensions().get::<ConnInfo>().map(|conn| network(conn.peer.ip()));
            self.seed.hash_one(client) % 100 < u64::from(percent)
        });
        let sent = if away.is_some() { "away" } else { "usual" };
        self.metrics.asked.get_or_create(&[("sent", sent)]).inc();
        let mut response = Response::new(match request.method() {
            &Method::HEAD => Body::empty(),
            _ => Body::from(away.unwrap_or(&self.usual).clone()),
        });
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "no-store"),
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    Little,
    Enough,
    TooMuch,
}

/// How many of a hundred players are sent away; pure.
#[derive(Debug, Default)]
struct Share {
    percent: u8,
    since: Option<Timestamp>,
}

impl Share {
    /// Once in a TTL a step in the direction of the load.
    fn step(&mut self, now: Timestamp, ttl: Duration, load: Load) -> u8 {
        if self.since.is_none_or(|since| now.since(since) >= ttl) {
            self.since = Some(now);
            self.percent = match load {
                Load::TooMuch => (self.percent + AWAY).min(100),
                Load::Enough => self.percent,
                Load::Little => self.percent.saturating_sub(BACK),
            };
        }
        self.percent
    }
}

impl<S> Layer<S> for SteeringLayer {
    type Service = Steered<S>;

    fn layer(&self, inner: S) -> Steered<S> {
        Steered { inner, on: self.on.clone() }
    }
}

/// The service of [`SteeringLayer`].
#[derive(Clone, Debug)]
pub struct Steered<S> {
    inner: S,
    on: Option<Arc<On>>,
}

impl<S, A, B> Service<Request<A>> for Steered<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Answer<S::Future> {
        match &self.on {
            Some(on) if request.uri().path() == &*on.path => {
                if [Method::GET, Method::HEAD].contains(request.method()) {
                    return Answer::ready(on.answer(&request));
                }
                Answer::ready(wrong_method(HeaderValue::from_static("GET, HEAD")))
            }
            _ => Answer::of(self.inner.call(request)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn players_leave_step_by_step_and_come_back_more_slowly() {
        let (mut share, ttl) = (Share::default(), Duration::from_secs(10));
        let mut at = 0;
        let mut step = |load| {
            at += 10;
            share.step(Timestamp::from_secs(at), ttl, load)
        };
        let grown: Vec<u8> = (0..5).map(|_| step(Load::TooMuch)).collect();
        assert_eq!(grown, [25, 50, 75, 100, 100]);
        assert_eq!((step(Load::Enough), step(Load::Little), step(Load::Little)), (100, 90, 80));
        let before = share.percent;
        assert_eq!(
            share.step(Timestamp::from_secs(at + 9), ttl, Load::TooMuch),
            before,
            "once a TTL"
        );
    }

    #[test]
    fn what_cannot_be_steered_by_is_refused() {
        let steer =
            |pathways: &[&str]| Steering::at("/s", pathways.iter().map(|one| (*one).to_owned()));
        for pathways in [&[][..], &["a", "a"], &["a b"], &[""], &["x"; 17]] {
            assert_eq!(
                steer(pathways).build().unwrap_err(),
                SteeringError::Pathways,
                "{pathways:?}"
            );
        }
        let here = steer(&["a"]).here("b").build().unwrap_err();
        assert_eq!(here, SteeringError::Here("b".to_owned()));
        assert_eq!(steer(&["a"]).ttl(Duration::ZERO).build().unwrap_err(), SteeringError::Ttl);
        assert_eq!(
            document(30, &["a".to_owned(), "b".to_owned()]),
            r#"{"VERSION":1,"TTL":30,"PATHWAY-PRIORITY":["a","b"]}"#
        );
    }
}
