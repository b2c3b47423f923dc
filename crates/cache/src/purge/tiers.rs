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

/// The request field that names the newest purge a cache has seen. Only caches that are told to
/// ([`Downstream::Caches`](crate::Downstream)) read it; no client's gets past any cache.
const PURGE_SEQ: HeaderName = HeaderName::from_static("headwater-purge-seq");

/// The newest purge that the last cache on the way has seen: in a request's extensions, which leave
/// no process.
#[derive(Clone, Copy, Debug)]
struct Seen(PurgeSeq);

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
        if let Some(Seen(seq)) = request.extensions_mut().remove() {
            request.headers_mut().insert(PURGE_SEQ, HeaderValue::from(seq.get()));
        }
        self.0.call(request)
    }
}

/// Has a request that goes upstream know the newest purge that was seen here, for a [`Tier`]; what
/// it said of purges before, whoever said it, is gone.
pub(crate) fn note(request: &mut Parts, seq: PurgeSeq) {
    request.headers.remove(PURGE_SEQ);
    if seq == PurgeSeq::default() {
        request.extensions.remove::<Seen>();
    } else {
        request.extensions.insert(Seen(seq));
    }
}

/// Whether a request on its way upstream names a purge: only an upstream that numbers purges as the
/// caches before it do may answer it from what it has ([`TierLayer`]).
pub fn names_purge(request: &Parts) -> bool {
    request.extensions.get::<Seen>().is_some() || request.headers.contains_key(PURGE_SEQ)
}

/// The number that a request names; zero where it names none that can be.
pub(crate) fn named(headers: &HeaderMap) -> PurgeSeq {
    let text = headers.get(PURGE_SEQ).and_then(|value| value.to_str().ok());
    let number = text.and_then(|text| text.parse().ok()).map(PurgeSeq::new);
    number.filter(|seq| seq.is_possible()).unwrap_or_default()
}
