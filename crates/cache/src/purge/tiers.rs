//! Purges across two tiers: what an edge tells its shield of them, and nobody else.
//!
//! An edge's fetch names the newest purge that the edge has seen, in [`PURGE_SEQ`], where it goes to a
//! [`Tier`]. A shield that has seen it, too, answers as ever. One that has not — the purge is still
//! on its way, or was lost with the shield's state — does not answer from what it fetched before it
//! was told: it asks upstream, and what it gets counts as newer than that purge.
//!
//! Both tiers must number purges alike: the shield is purged first, and the edge is given the
//! number that the shield returned ([`Purge::after_shield`](super::Purge::after_shield)), one purge
//! at a time; or both are given the numbers of a control plane.

use std::task::{Context, Poll};

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use tower_layer::Layer;
use tower_service::Service;

use super::PurgeSeq;
use super::ledger::Ledger;

/// The request field that names the newest purge a cache has seen. Only caches that are told to
/// ([`Downstream::Caches`](crate::Downstream)) read it; no client's gets past any cache.
const PURGE_SEQ: HeaderName = HeaderName::from_static("headwater-purge-seq");

/// The newest purge that the last cache on the way has seen: in a request's extensions, which leave
/// no process.
#[derive(Clone, Copy, Debug)]
struct Seen {
    seq: PurgeSeq,
    /// The caller's number that says the same, where callers numbered all that it has seen.
    common: Option<PurgeSeq>,
}

/// What a request on its way upstream says of purges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurgeSeen {
    /// No cache before has seen any.
    None,
    /// The caches before have seen no others than those that somebody numbers for all caches
    /// ([`Purge::at`](super::Purge::at)), up to this number or one before it: who was given those, too
    /// ([`Cache::purges_followed`](crate::Cache::purges_followed)), may answer from what it has.
    Common(PurgeSeq),
    /// Some that a cache numbered for itself: what another one knows of them, its numbers do not tell.
    Own,
}

impl PurgeSeen {
    /// What this one says.
    pub fn of(request: &Parts) -> Self {
        match request.extensions.get::<Seen>() {
            Some(Seen { common: Some(common), .. }) => Self::Common(*common),
            None if !request.headers.contains_key(PURGE_SEQ) => Self::None,
            _ => Self::Own,
        }
    }
}

/// Names, in each request, the newest purge that the cache before it has seen: for upstreams that
/// are shields of the same operator. Others are told nothing of purges.
///
/// ```
/// use headwater_cache::{Cache, Downstream, TierLayer};
/// # use headwater_net::Body;
/// # use tower::{Layer as _, service_fn};
/// # let origin = service_fn(|_: http::Request<Body>| async {
/// #     Ok::<_, std::convert::Infallible>(http::Response::new(Body::empty()))
/// # });
/// let shield = Cache::builder().name("shield").downstream(Downstream::Caches).build();
/// let shield = shield.layer().layer(origin);
/// // Here in the same process; a client of one elsewhere is put in the same way.
/// let edge = Cache::builder().name("edge").build().layer().layer(TierLayer.layer(shield));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TierLayer;

impl<S> Layer<S> for TierLayer {
    type Service = Tier<S>;

    fn layer(&self, inner: S) -> Tier<S> {
        Tier(inner)
    }
}

/// An upstream that is told of purges: the service of [`TierLayer`].
#[derive(Clone, Debug)]
pub struct Tier<S>(S);

impl<S, B> Service<Request<B>> for Tier<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        if let Some(Seen { seq, .. }) = request.extensions_mut().remove() {
            request.headers_mut().insert(PURGE_SEQ, HeaderValue::from(seq.get()));
        }
        self.0.call(request)
    }
}

/// Has a request that goes upstream know the newest purge that was seen here, for a [`Tier`]; what
/// it said of purges before, whoever said it, is gone.
pub(crate) fn note(request: &mut Parts, seq: PurgeSeq, ledger: &Ledger) {
    request.headers.remove(PURGE_SEQ);
    if seq == PurgeSeq::default() {
        request.extensions.remove::<Seen>();
    } else {
        request.extensions.insert(Seen { seq, common: ledger.common(seq) });
    }
}

/// The number that a request names; zero where it names none that can be.
pub(crate) fn named(headers: &HeaderMap) -> PurgeSeq {
    let text = headers.get(PURGE_SEQ).and_then(|value| value.to_str().ok());
    let number = text.and_then(|text| text.parse().ok()).map(PurgeSeq::new);
    number.filter(|seq| seq.is_possible()).unwrap_or_default()
}
