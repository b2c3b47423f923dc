//! Segment sense by itself: what a shield knows of segments and fetches ahead, for whoever has a cache
//! and origins already. [`Shield`](crate::Shield) is this around a cache of its own.
//!
//! Three places of a server meet it: before its cache, requests are noted ([`Sense::note`]) and hints of
//! edges taken ([`Sense::take_hints`]); behind it, manifests are learnt from
//! ([`LearnLayer`](crate::learn::LearnLayer), with the same [`SharedMap`]); and what is fetched ahead goes
//! through the cache by the service that [`SenseBuilder::build`] is given.

use std::sync::{Arc, Weak};

use headwater_cache::{BoxError, PurgeSeq};
use headwater_net::{Body, Clock, range};
use http::{Method, Request, Response, StatusCode, header};
use tower_service::Service;

use crate::hints::{self, HintTrust};
use crate::learn::{Listener, SharedMap};
use crate::map::Url;
use crate::metrics::Metrics;
use crate::prefetch::{Asked, PrefetchConfig, Prefetched, Prefetcher};
use crate::retention::Retention;
use crate::upstream::peers::{self, AskedByPeer};
use crate::upstream::{PEER, Pressure};

/// How loaded the origin is that a request would be sent to; `None` where there is none to ask.
pub(crate) type Load = dyn Fn(&Request<Body>) -> Option<Pressure> + Send + Sync;

/// See the module. Clones are handles of one; its background fetches end when the last of them is dropped.
pub struct Sense<S>(Arc<Inner<S>>);

struct Inner<S> {
    map: SharedMap,
    prefetcher: Arc<Prefetcher<S>>,
    metrics: Metrics,
    trust: HintTrust,
}

impl<S> Clone for Sense<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl Sense<()> {
    /// Starts describing one.
    pub fn builder() -> SenseBuilder {
        SenseBuilder::default()
    }
}

impl<S> Sense<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// What it knows of presentations.
    pub fn map(&self) -> &SharedMap {
        &self.0.map
    }

    /// Notes what a client asks for, where it is one that asks and nothing fetched ahead. What is returned
    /// wants to be told of the answer.
    pub fn note(&self, request: &Request<Body>) -> Option<Noted<S>> {
        self.note_at(request, None)
    }

    /// As [`note`](Self::note), where manifests are learnt under another authority than that which the request
    /// names: of a site with several names, the one that its cache asks upstream by.
    pub fn note_at(&self, request: &Request<Body>, authority: Option<&str>) -> Option<Noted<S>> {
        if request.method() != Method::GET || request.extensions().get::<Prefetched>().is_some() {
            return None;
        }
        let mut url = Url::of_request(request.uri(), request.headers())?;
        if let Some(authority) = authority
            && !url.authority().eq_ignore_ascii_case(authority)
        {
            url = Url::new(authority, url.path_and_query())?;
        }
        let asked = self.0.prefetcher.asked(request, url, first_byte(request))?;
        Some(Noted(Box::new((asked, Arc::downgrade(&self.0)))))
    }

    /// Whether a request brings hints of edges.
    pub fn is_hints(request: &Request<Body>) -> bool {
        hints::is_message(request)
    }

    /// Takes hints, and answers who sent them.
    pub async fn take_hints(self, request: Request<Body>) -> Response<Body> {
        let Inner { prefetcher, metrics, trust, .. } = &*self.0;
        hints::take(request, trust, metrics, |hints| prefetcher.hinted(hints, false)).await
    }

    /// Takes hints of requests that were [noted](Self::note) here, for what players told with them, and
    /// answers who sent them: an edge around the same cache. They are not counted as requests once more, and
    /// of a session that has gone on since, only what it named is fetched ahead.
    pub async fn take_told(self, request: Request<Body>) -> Response<Body> {
        let Inner { prefetcher, metrics, trust, .. } = &*self.0;
        hints::take(request, trust, metrics, |hints| prefetcher.hinted(hints, true)).await
    }

    /// Takes what a peer says of itself ([`Peers`](crate::upstream::Peers)), where whoever asks is one of
    /// those whose hints are taken; for a server whose own layers take such fields off. Returns the answer
    /// to a peer that has seen a purge which is not among those that are `followed` here yet.
    pub fn meet_peer(
        &self,
        request: &mut Request<Body>,
        followed: impl FnOnce() -> PurgeSeq,
    ) -> Option<Response<Body>> {
        if !request.headers().contains_key(PEER) || !self.0.trust.believes(request) {
            return None;
        }
        if let Some(behind) = peers::behind(request.headers_mut(), followed) {
            return Some(behind);
        }
        if peers::is_ahead(request.headers()) {
            request.extensions_mut().insert(Prefetched);
        }
        request.extensions_mut().insert(AskedByPeer);
        None
    }
}

/// The first byte that a request asks for, where it asks for a range (RFC 9110 §14.2).
pub(crate) fn first_byte(request: &Request<Body>) -> Option<u64> {
    request.headers().get(header::RANGE).and_then(range::first_byte)
}

/// A request that was noted, for when its answer is there.
pub struct Noted<S>(Box<(Asked, Weak<Inner<S>>)>);

impl<S> Noted<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    /// The answer has begun: where it is a segment, what comes next is fetched ahead.
    pub fn answered(self, status: StatusCode) {
        let (asked, sense) = *self.0;
        // Weak: what is in flight does not keep fetches of what was dropped alive.
        if (status.is_success() || status == StatusCode::NOT_MODIFIED)
            && let Some(sense) = sense.upgrade()
        {
            sense.prefetcher.answered(&asked);
        }
    }
}

/// Describes a [`Sense`].
#[must_use = "a builder does nothing until build is called"]
#[derive(Default)]
pub struct SenseBuilder {
    prefetch: PrefetchConfig,
    trust: HintTrust,
    load: Option<Box<Load>>,
    clock: Clock,
    retention: bool,
}

impl SenseBuilder {
    /// How much is fetched ahead.
    pub fn prefetch(mut self, prefetch: PrefetchConfig) -> Self {
        self.prefetch = prefetch;
        self
    }

    /// Whose hints of sessions are taken, besides those of an edge in the same process; by default
    /// nobody's.
    pub fn hints(mut self, trust: HintTrust) -> Self {
        self.trust = trust;
        self
    }

    /// What tells how loaded the origin is that a request would be sent to
    /// ([`Origins::pressure`](crate::upstream::Origins::pressure)): beyond
    /// [`PrefetchConfig::share`] of its places, and while a real request waits for one there, nothing is
    /// fetched ahead of it. Where there is none to ask nothing is, either. By default each has room for all.
    pub fn pressure(
        mut self,
        load: impl Fn(&Request<Body>) -> Option<Pressure> + Send + Sync + 'static,
    ) -> Self {
        self.load = Some(Box::new(load));
        self
    }

    /// Whether the cache is told of each object how many requests are expected for it, and makes room in
    /// memory by that ([`retention`](crate::retention)); it is not by default. That takes some memory for
    /// each object, and some for each of up to 4096 titles.
    pub fn retention(mut self, retention: bool) -> Self {
        self.retention = retention;
        self
    }

    /// The clock that windows and budgets run by.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The sense that knows `map`, and has it listened to; a map has one. What it fetches ahead it asks
    /// of `through`: the cache, without what stands before it. It counts where the map does.
    pub fn build<S>(self, map: SharedMap, through: S) -> Sense<S>
    where
        S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
    {
        let metrics = map.metrics().clone();
        let retention = self.retention.then(|| Retention::new(self.clock.clone()));
        if let Some(retention) = &retention {
            map.retain(retention.clone());
        }
        let prefetcher = Prefetcher::new(
            through,
            self.prefetch,
            self.clock,
            map.clone(),
            metrics.clone(),
            self.load.unwrap_or_else(|| Box::new(|_| Some(Pressure::default()))),
        );
        let prefetcher = Arc::new(prefetcher.retaining(retention));
        let listener: Arc<dyn Listener> = Arc::clone(&prefetcher) as _;
        map.tell(Arc::downgrade(&listener));
        Sense(Arc::new(Inner { map, prefetcher, metrics, trust: self.trust }))
    }
}

impl std::fmt::Debug for SenseBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SenseBuilder").field("prefetch", &self.prefetch).finish_non_exhaustive()
    }
}

impl<S> std::fmt::Debug for Sense<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sense").finish_non_exhaustive()
    }
}

impl<S> std::fmt::Debug for Noted<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Noted").finish_non_exhaustive()
    }
}
