//! Purges across two tiers: what an edge tells its shield of them.
//!
//! An edge's fetch names the newest purge that the edge has seen, in [`PURGE_SEQ`]. A shield that
//! has seen it, too, answers as ever. One that has not — the purge is still on its way, or was lost
//! with the shield's state — does not answer from what it fetched before it was told: it asks
//! upstream, and what it gets counts as newer than that purge.
//!
//! Both tiers must number purges alike: the shield is purged first, and the edge is given the
//! number that the shield returned ([`Purge::after_shield`](super::Purge::after_shield)), one purge
//! at a time; or both are given the numbers of a control plane.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::PurgeSeq;

/// The request field that names the newest purge a cache has seen. Only caches that are told to
/// ([`Downstream::Caches`](crate::Downstream)) read it; no client's gets past any cache.
const PURGE_SEQ: HeaderName = HeaderName::from_static("headwater-purge-seq");

/// Puts the number into a request, in the place of what a client may have said.
pub(crate) fn name(headers: &mut HeaderMap, seq: PurgeSeq) {
    if seq == PurgeSeq::default() {
        headers.remove(PURGE_SEQ);
    } else {
        headers.insert(PURGE_SEQ, HeaderValue::from(seq.get()));
    }
}

/// The number that a request names; zero where it names none that can be.
pub(crate) fn named(headers: &HeaderMap) -> PurgeSeq {
    let text = headers.get(PURGE_SEQ).and_then(|value| value.to_str().ok());
    let number = text.and_then(|text| text.parse().ok()).map(PurgeSeq::new);
    number.filter(|seq| seq.is_possible()).unwrap_or_default()
}
