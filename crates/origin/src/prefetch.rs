//! Fetching ahead: what sessions will ask for next is fetched through the shield's own cache before
//! they do.
//!
//! Fetched are, the most urgent first: the next segments of the rendition a session is in, as soon
//! as the headers of the answer to the last one are there; what a player said it will ask for; what
//! a live rendition will have next, where its origin answers when it has it; the beginnings of a
//! presentation whose manifest is asked for the first time; and the next segment of a neighbouring
//! rendition, where the throughput of its players says that a switch is near. What is chosen is
//! decided by pure functions ([`next`], [`switches`], [`heads`], [`live`], [`told`]).
//!
//! A prefetch is an ordinary GET: a real request for the same joins it and then it is one, and what
//! it fetches is stored by the same rules. It never delays a real request: a few background tasks
//! send prefetches from a bounded queue, and only while the origin's places are free; one that
//! stands in the way of a real request is given up. So is one whose session went to another
//! rendition or fell silent. Bytes, fetches and queue are bounded by [`PrefetchConfig`].

mod choose;
mod config;
mod queue;
mod recent;
mod sessions;
mod work;

use std::ops::Range;
use std::sync::Arc;

use headwater_cache::BoxError;
use headwater_net::{Body, Clock};
use headwater_proto::hints::Hint;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, Uri, header};
use tower_service::Service;

pub use choose::{Allowed, Switch, Want, Why, heads, live, next, switch, switches, told};
pub use config::PrefetchConfig;
pub use recent::{Found, Recent, Wasted};
pub use sessions::{Place, Sessions};

use crate::learn::{Listener, SharedMap};
use crate::map::{Learnt, Position, SegmentMap, Target, Url};
use crate::metrics::Metrics;
use crate::pressure::Pressure;
use work::Workers;

/// Marks a request as sent ahead of need: an extension of the request. A shield that meets it
/// answers, and counts it as nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefetched;

/// A client's request whose answer is still to come.
#[derive(Debug)]
pub(crate) struct Asked {
    url: Url,
    /// The first byte that was asked for, where a range was.
    at: Option<u64>,
    /// Its target and the fields that choose a variant.
    like: Parts,
}

/// The prefetcher of one shield. When it is dropped its tasks are aborted.
pub(crate) struct Prefetcher<S> {
    workers: Workers<S>,
    config: Arc<PrefetchConfig>,
    clock: Clock,
    metrics: Metrics,
    map: SharedMap,
}

impl<S> Prefetcher<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    pub(crate) fn new(
        service: S,
        config: PrefetchConfig,
        clock: Clock,
        map: SharedMap,
        metrics: Metrics,
        pressure: Arc<Pressure>,
    ) -> Self {
        let config = Arc::new(config);
        let workers =
            Workers::new(service, Arc::clone(&config), clock.clone(), metrics.clone(), pressure);
        Self { workers, config, clock, metrics, map }
    }

    /// A client asks for `url`. Returns what to ask ahead with when its answer is there; `None`
    /// where it is nothing the map knows, or nothing may be fetched ahead for it.
    pub(crate) fn asked(
        &self,
        request: &Request<Body>,
        url: Url,
        at: Option<u64>,
    ) -> Option<Asked> {
        let mut map = self.map.lock();
        let now = self.clock.now();
        let mut state = self.workers.lock();
        state.expire(now, &self.metrics);
        if let Some(position) = map.lookup(&url, at) {
            self.metrics.segment_requests.inc();
            if let Some(place) = place(&map, position) {
                state.sessions.asked(place, now);
            }
            let range = map.target(position).and_then(|target| target.range);
            state.asked(&Target { url: url.clone(), range }, now, &self.metrics);
            state.doubt();
        } else {
            if let Some((presentation, rendition)) = map.rendition(&url) {
                state.sessions.watched(presentation, rendition, now);
            }
            // Init segments, playlists and what players told of.
            state.asked(&Target { url: url.clone(), range: None }, now, &self.metrics);
            return None;
        }
        drop(state);
        (self.config.ahead > 0 && is_anyones(request)).then(|| Asked {
            url,
            at,
            like: like(request),
        })
    }

    /// The answer to a segment has begun, and it is one: the next segments are queued.
    pub(crate) fn answered(&self, asked: &Asked) {
        // Looked up anew: the map may have learnt since.
        let mut map = self.map.lock();
        if let Some(position) = map.lookup(&asked.url, asked.at) {
            self.goes_on(&map, position, &asked.url, &asked.like, None);
        }
    }

    /// An edge answered sessions from its own cache.
    pub(crate) fn hinted(&self, hints: &[Hint]) {
        if self.config.ahead == 0 {
            return;
        }
        for hint in hints {
            let location = hint.location.strip_prefix("//").and_then(|rest| {
                let slash = rest.find('/')?;
                Url::new(rest.get(..slash)?, rest.get(slash..)?)
            });
            let Some(url) = location else { continue };
            let Some(like) = like_of(&url) else { continue };
            let mut map = self.map.lock();
            let now = self.clock.now();
            if let Some(position) = map.lookup(&url, hint.first_byte) {
                if let Some(place) = place(&map, position) {
                    let mut state = self.workers.lock();
                    state.sessions.asked(place, now);
                    state.doubt();
                }
                self.goes_on(&map, position, &url, &like, hint.throughput);
            }
            drop(map);
            for next in &hint.next {
                let range = next.range.map(|range| {
                    range.first..range.last.map_or(u64::MAX, |last| last.saturating_add(1))
                });
                let state = self.workers.lock();
                let allowed = Allowed { authority: url.authority(), recent: &state.recent };
                let want = told(&url, &next.reference, range, allowed);
                drop(state);
                self.put(want, &like);
            }
        }
    }

    /// A session is at `position`: what comes next is queued. The throughput is in kbit/s.
    fn goes_on(
        &self,
        map: &SegmentMap,
        position: Position,
        url: &Url,
        like: &Parts,
        throughput: Option<(u64, u64)>,
    ) {
        let state = self.workers.lock();
        let allowed = Allowed { authority: url.authority(), recent: &state.recent };
        let mut wants = next(map, position, self.config.ahead, allowed);
        let bandwidth = map.bandwidth(position.presentation, position.rendition);
        if let Some((least, most)) = throughput
            && let Some(bandwidth) = bandwidth
            && self.config.neighbours
        {
            let beside = map.neighbours(position.presentation, position.rendition);
            let rates = (least.saturating_mul(1000), most.saturating_mul(1000));
            for (_, to) in switches(rates, bandwidth, &beside) {
                wants.extend(switch(map, position, to, allowed));
            }
        }
        drop(state);
        self.put(wants, like);
    }

    fn put(&self, wants: impl IntoIterator<Item = Want>, like: &Parts) {
        let jobs = wants.into_iter().filter_map(|want| {
            let request = ahead(like, &want.target)?;
            Some((want, request))
        });
        self.workers.put(jobs);
    }
}

/// The map has learnt: from what a client asked for, or from what was fetched ahead.
impl<S> Listener for Prefetcher<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    fn learnt(&self, learnt: &Learnt, url: &Url, request: &Parts) {
        if self.config.ahead == 0 {
            return;
        }
        let map = self.map.lock();
        let now = self.clock.now();
        let mut state = self.workers.lock();
        let allowed = Allowed { authority: url.authority(), recent: &state.recent };
        let mut wants = heads(&map, learnt, self.config.heads, allowed);
        if let Some(rendition) = learnt.rendition
            && let presentation = learnt.presentation
            && map.live(presentation, rendition).is_some()
        {
            if request.extensions.get::<Prefetched>().is_none() {
                state.sessions.watched(presentation, rendition, now);
            }
            if state.sessions.watches(presentation, rendition, now) {
                let allowed = Allowed { authority: url.authority(), recent: &state.recent };
                wants.extend(live(&map, presentation, rendition, allowed));
            }
        }
        drop(state);
        drop(map);
        self.put(wants, request);
    }
}

fn place(map: &SegmentMap, position: Position) -> Option<Place> {
    let Position { presentation, rendition, .. } = position;
    let group = map.group(presentation, rendition)?;
    Some(Place { presentation, rendition, group, number: map.number(position)? })
}

/// Whether the answer to a request may be for anyone: one with credentials is for its sender
/// (RFC 9111 §3.5).
pub(crate) fn is_anyones(request: &Request<Body>) -> bool {
    !request.headers().contains_key(header::AUTHORIZATION)
}

/// What of a client's request is said again when something is asked ahead: the same host, encoding
/// and script origin, so that it meets the same variant in the cache.
pub(crate) fn like(request: &Request<Body>) -> Parts {
    let mut head: Parts = Request::new(()).into_parts().0;
    head.uri = request.uri().clone();
    head.version = request.version();
    for name in [header::HOST, header::ACCEPT_ENCODING, header::ORIGIN] {
        if let Some(value) = request.headers().get(&name) {
            head.headers.insert(name, value.clone());
        }
    }
    if let Some(prefetched) = request.extensions().get::<Prefetched>() {
        head.extensions.insert(*prefetched);
    }
    head
}

/// As [`like`], of a request that only a hint tells of.
fn like_of(url: &Url) -> Option<Parts> {
    let mut head: Parts = Request::new(()).into_parts().0;
    head.uri = url.to_uri()?;
    if !url.authority().is_empty() {
        head.headers.insert(header::HOST, HeaderValue::from_str(url.authority()).ok()?);
    }
    Some(head)
}

/// The request for `target`, as `like` would ask for it.
fn ahead(like: &Parts, target: &Target) -> Option<Request<Body>> {
    let mut head = like.clone();
    let mut uri = like.uri.clone().into_parts();
    uri.path_and_query = target.url.to_uri()?.into_parts().path_and_query;
    head.uri = Uri::from_parts(uri).ok()?;
    head.method = Method::GET;
    if let Some(range) = &target.range {
        head.headers.insert(header::RANGE, range_field(range)?);
    }
    head.extensions.insert(Prefetched);
    Some(Request::from_parts(head, Body::empty()))
}

/// RFC 9110 §14.1.2; a range without an end goes on to the last byte.
fn range_field(range: &Range<u64>) -> Option<HeaderValue> {
    let last = range.end.checked_sub(1).filter(|last| *last >= range.start)?;
    let text = match range.end {
        u64::MAX => format!("bytes={}-", range.start),
        _ => format!("bytes={}-{last}", range.start),
    };
    HeaderValue::from_str(&text).ok()
}
