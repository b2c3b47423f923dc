//! Fetching ahead: what sessions will ask for next is fetched through the shield's own cache before
//! they do.
//!
//! Fetched are, the most urgent first: the next segments of the rendition a session is in, when a
//! known session asks for the last one, and as soon as the headers of the answer are there where
//! the session is new, and what a live rendition lists anew after the segment a session is at; what a
//! player said it will ask for; what a live rendition will have next, where its origin answers when it has it; the beginnings of a
//! presentation whose manifest is asked for the first time; and the next segment of a neighbouring
//! rendition, where the throughput of its players says that a switch is near. What is chosen is
//! decided by pure functions ([`next`], [`listed`], [`later`], [`switches`], [`heads`], [`live`], [`told`]).
//!
//! A prefetch is an ordinary GET: a real request for the same joins it and then it is one, and what
//! it fetches is stored by the same rules. It never delays a real request: a few background tasks
//! send prefetches from a bounded queue, and only while the origin's places are free; one that
//! stands in the way of a real request is given up. So is one whose session went to another
//! rendition or fell silent. Bytes, fetches and queue are bounded by [`PrefetchConfig`].

mod choose;
mod config;
mod marks;
mod queue;
mod recent;
mod sessions;
mod starts;
mod work;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use headwater_cache::BoxError;
use headwater_net::{Body, Clock, Timestamp};
use headwater_proto::hints::Hint;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use tower_service::Service;

pub use choose::{
    Allowed, Switch, Want, Why, heads, later, listed, live, next, switch, switches, told,
};
pub use config::PrefetchConfig;
pub use marks::Prefetched;
pub use recent::{Found, Recent, Wasted};
pub use sessions::{Pace, Place, Sessions, Step, Variant};
pub use starts::Starts;

use crate::learn::{Listener, SharedMap};
use crate::map::{Learnt, Neighbour, Position, PresentationId, SegmentMap, Target, Url};
use crate::metrics::Metrics;
use crate::retention::Retention;
use crate::sense::Load;
use crate::upstream::held::Awaited;
pub(crate) use marks::Wanted;
use queue::State;
use work::Workers;

/// What a session's player told.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    /// The least and the most that its clients measured, in kbit/s.
    throughput: Option<(u64, u64)>,
    /// What the slowest of their paths lets through at most, in kbit/s.
    path: Option<u64>,
    /// In how many milliseconds it has nothing to play.
    dry: Option<u64>,
}

/// A client's request whose answer is still to come.
#[derive(Debug)]
pub(crate) struct Asked {
    url: Url,
    /// The first byte that was asked for, where a range was.
    at: Option<u64>,
    /// So many segments are to be fetched ahead.
    depth: usize,
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
    retention: Option<Retention>,
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
        load: Box<Load>,
    ) -> Self {
        let config = Arc::new(config);
        let workers =
            Workers::new(service, Arc::clone(&config), clock.clone(), metrics.clone(), load);
        Self { workers, config, clock, metrics, map, retention: None }
    }

    /// Has `retention` told what sessions ask for.
    pub(crate) fn retaining(mut self, retention: Option<Retention>) -> Self {
        self.retention = retention;
        self
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
        let may_fetch = self.config.ahead > 0 && is_anyones(request);
        if let Some(position) = map.lookup(&url, at) {
            self.metrics.segment_requests.inc();
            let range = map.target(position).and_then(|target| target.range);
            let target = Target { url: url.clone(), range };
            let late = state.asked(&target, now, &self.metrics) == Found::Coming;
            let place = place(&map, position)?;
            let step = self.steps(&mut state, &map, position, place, (late, 0));
            let like = may_fetch.then(|| like(request))?;
            state.sessions.asks_for(position.presentation, variant(&like), now);
            drop(state);
            if step.follows {
                self.goes_on(&map, position, &url, &like, step.depth, Told::default());
                return None;
            }
            // Nobody has been answered yet in this session: its origin has the first word.
            return Some(Asked { url, at, depth: step.depth, like });
        }
        let part = self.asked_part(&mut state, &mut map, &url, at, 0);
        if let Some((presentation, _)) = part
            && may_fetch
        {
            state.sessions.asks_for(presentation, variant(&like(request)), now);
        }
        if let Some((presentation, rendition)) = map.rendition(&url) {
            state.sessions.watched(presentation, rendition, now);
        }
        // Init segments, indexes, playlists and what players told of.
        let beginning = at.and_then(|at| map.beginning(&url, at));
        // One that was announced with its length was fetched as that range, any other with its file.
        let ranged = part.map(|(_, target)| target);
        let ranged = ranged.filter(|target| at.is_some() && state.recent.contains(target));
        let target = ranged.or(beginning).unwrap_or(Target { url, range: None });
        state.asked(&target, now, &self.metrics);
        None
    }

    /// Where `url` is a part of a live segment, a session is on that. Returns of which presentation, and
    /// where the part is.
    fn asked_part(
        &self,
        state: &mut State,
        map: &mut SegmentMap,
        url: &Url,
        at: Option<u64>,
        viewers: u32,
    ) -> Option<(PresentationId, Target)> {
        let (position, _, target) = map.part(url, at)?;
        let place = place(map, position)?;
        let step = state.sessions.asked_part(place, viewers, self.clock.now());
        if let Some(left) = step.left {
            state.doubt((place.presentation, left));
        }
        Some((place.presentation, target))
    }

    /// A session asks for the segment at `position`.
    fn steps(
        &self,
        state: &mut State,
        map: &SegmentMap,
        position: Position,
        place: Place,
        (late, viewers): (bool, u32),
    ) -> Step {
        if let Some(retention) = &self.retention {
            retention.asked(map, position, viewers);
        }
        let duration = map.time(position).map_or(Duration::ZERO, |(_, duration)| duration);
        let now = self.clock.now();
        let is_head = map.is_head(position, now);
        // Who comes to what is live begins about there.
        let begins = is_head || map.is_live(position.presentation, position.rendition);
        let pace = Pace { late, duration, begins, viewers };
        let step = state.sessions.asked(place, pace, self.config.ahead, now);
        if let Some(left) = step.left {
            state.doubt((place.presentation, left));
        }
        if !step.follows
            && is_head
            && let Some(rate) = map.bandwidth(position.presentation, position.rendition)
        {
            state.starts.began(rate);
        }
        step
    }

    /// The answer to a segment has begun, and it is one: the next segments are queued.
    pub(crate) fn answered(&self, asked: &Asked) {
        // Looked up anew: the map may have learnt since.
        let mut map = self.map.lock();
        if let Some(position) = map.lookup(&asked.url, asked.at) {
            self.goes_on(&map, position, &asked.url, &asked.like, asked.depth, Told::default());
        }
    }

    /// An edge answered sessions from its own cache.
    pub(crate) fn hinted(&self, hints: &[Hint], noted: bool) {
        if self.config.ahead == 0 && (noted || self.retention.is_none()) {
            return;
        }
        for hint in hints {
            let location = hint.location.strip_prefix("//").and_then(|rest| {
                let slash = rest.find('/')?;
                Url::new(rest.get(..slash)?, rest.get(slash..)?)
            });
            let Some(url) = location else { continue };
            let Some(mut like) = like_of(&url) else { continue };
            let mut map = self.map.lock();
            if let Some(position) = map.lookup(&url, hint.first_byte) {
                let depth = place(&map, position).map_or(Some(1), |place| {
                    let state = &mut self.workers.lock();
                    if let Some(variant) = state.sessions.variant(position.presentation) {
                        ask_for(&mut like, variant);
                    }
                    if noted {
                        return state.sessions.depth(place);
                    }
                    Some(self.steps(state, &map, position, place, (false, hint.requests)).depth)
                });
                let told = Told { throughput: hint.throughput, path: hint.path, dry: hint.dry };
                if let Some(depth) = depth
                    && self.config.ahead > 0
                {
                    self.goes_on(&map, position, &url, &like, depth, told);
                }
            } else if !noted {
                let state = &mut self.workers.lock();
                self.asked_part(state, &mut map, &url, hint.first_byte, hint.requests);
            }
            drop(map);
            if self.config.ahead == 0 {
                continue;
            }
            for next in &hint.next {
                let range = next.range.map(|range| {
                    range.first..range.last.map_or(u64::MAX, |last| last.saturating_add(1))
                });
                let state = self.workers.lock();
                let now = self.clock.now();
                let want = told(&url, &next.reference, range, allowed(&url, &state, now));
                drop(state);
                self.put(want, &like);
            }
        }
    }

    /// A session is at `position`: of what comes next, `depth` segments are queued, before all others
    /// where it has less to play than the segment that it has just asked for.
    fn goes_on(
        &self,
        map: &SegmentMap,
        position: Position,
        url: &Url,
        like: &Parts,
        depth: usize,
        told: Told,
    ) {
        let mut state = self.workers.lock();
        // A path that lets through less than its player needs has it go down. One that lets through more
        // says nothing: what the player gets of it nobody has measured.
        let throughput = told.throughput.or(told.path.map(|most| (most, 0)));
        let likely = throughput.map_or_else(Vec::new, |throughput| {
            self.switches(&mut state, map, position, throughput)
        });
        let now = self.clock.now();
        let mut wants =
            next(map, position, depth.min(self.config.ahead), allowed(url, &state, now));
        let lasts = map.time(position).map(|(_, duration)| duration.as_millis());
        if told.dry.zip(lasts).is_some_and(|(dry, lasts)| u128::from(dry) < lasts) {
            for want in &mut wants {
                want.urgent = true;
            }
            for target in map.next(position, depth) {
                state.hurry(&target);
            }
        }
        for to in likely {
            wants.extend(switch(map, position, to, allowed(url, &state, now)));
        }
        let coming = later(map, position, allowed(url, &state, now));
        drop(state);
        self.put(wants, like);
        if let Some((comes, want)) = coming
            && let Some(request) = ahead(like, &want.target)
        {
            self.workers.later(comes, want, request);
        }
    }

    /// Where the session at `position` may be about to switch to, by its throughput in kbit/s.
    fn switches(
        &self,
        state: &mut State,
        map: &SegmentMap,
        position: Position,
        (least, most): (u64, u64),
    ) -> Vec<Neighbour> {
        let place = place(map, position);
        let bandwidth = map.bandwidth(position.presentation, position.rendition);
        let (Some(place), Some(bandwidth), true) = (place, bandwidth, self.config.neighbours)
        else {
            return Vec::new();
        };
        let beside = map.neighbours(position.presentation, position.rendition);
        let (least, most) = (least.saturating_mul(1000), most.saturating_mul(1000));
        let near = switches((least, most), bandwidth, &beside).into_iter();
        let near = near.filter(|(way, to)| {
            let rate = if *way == Switch::Down { least } else { most };
            state.sessions.guess(place, to.rendition, rate)
        });
        near.map(|(_, to)| to).collect()
    }

    fn put(&self, wants: impl IntoIterator<Item = Want>, like: &Parts) {
        let jobs = wants.into_iter().filter_map(|want| {
            let mut request = ahead(like, &want.target)?;
            if matches!(want.why, Why::Live { .. }) {
                request.extensions_mut().insert(Awaited::default());
            }
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
        let places = state.sessions.places(learnt.presentation, now);
        let may = allowed(url, &state, now);
        let mut wants = listed(&map, learnt, &places, self.config.ahead, may);
        wants.extend(heads(&map, learnt, self.config.heads, &state.starts, may));
        if let Some(rendition) = learnt.rendition
            && let presentation = learnt.presentation
            && map.live(presentation, rendition).is_some()
        {
            if request.extensions.get::<Prefetched>().is_none() {
                state.sessions.watched(presentation, rendition, now);
            }
            if state.sessions.watches(presentation, rendition, now) {
                wants.extend(live(&map, presentation, rendition, allowed(url, &state, now)));
            }
        }
        drop(state);
        drop(map);
        self.put(wants, request);
    }
}

fn allowed<'a>(url: &'a Url, state: &'a State, now: Timestamp) -> Allowed<'a> {
    Allowed { authority: url.authority(), recent: &state.recent, now }
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
    for name in [header::HOST].iter().chain(&VARIANT) {
        if let Some(value) = request.headers().get(name) {
            head.headers.insert(name, value.clone());
        }
    }
    if let Some(prefetched) = request.extensions().get::<Prefetched>() {
        head.extensions.insert(*prefetched);
    }
    head
}

/// The fields that choose a variant ([`Variant`]).
const VARIANT: [HeaderName; 2] = [header::ACCEPT_ENCODING, header::ORIGIN];

/// The variant that a request asks for.
fn variant(like: &Parts) -> Variant {
    VARIANT.map(|name| like.headers.get(name).cloned())
}

/// Has a request ask for a variant.
fn ask_for(like: &mut Parts, variant: &Variant) {
    for (name, value) in VARIANT.into_iter().zip(variant) {
        if let Some(value) = value {
            like.headers.insert(name, value.clone());
        }
    }
}

/// As [`like`], of a request that only a hint tells of. Which variant its clients ask for, the edge
/// does not tell: it is that of who asked the shield last.
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
