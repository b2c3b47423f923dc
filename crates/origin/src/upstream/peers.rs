//! Peers: shields that share titles out among themselves, each asked for its own before an origin is.
//!
//! All of them know one another by the same names and weights, and so order themselves alike for a
//! title ([`headwater_net::rendezvous`]). A shield that has not what it is asked for asks the first of
//! that order that is up, and if that is itself, or gives no answer, an origin. So a title is fetched
//! from an origin by one shield for all, also where an edge asks another one: since it knows other
//! members, or since the title is hot and has replicas.
//!
//! # Loops
//! - A request passes one peer at most: it bears [`PEER`], and who is asked so asks origins.
//! - Every shield's cache signs `CDN-Loop` (RFC 8586) and answers 508 to what it signed before, and a
//!   peer's 508 is no answer. So caches of peers need names of their own.
//! - Shields that do not know the same members may each wait for the other within one fill, and do so
//!   for [`Peers::patience`] at most.
//! - Neither a 508 nor patience that ran out counts against a peer's health: a stranger can bring about
//!   both. One that is silent is left alone only once its client cannot connect, or gives up by itself.
//!
//! # Purges
//! What one shield has purged, another one may hold. Where a control plane numbers the purges of all
//! ([`headwater_cache::Purge::at`]), a request to a peer names the newest that was seen ([`PURGES`]), and
//! a peer that was not given that one yet says so (421, RFC 9110 §15.5.20) and answers nothing.
//! Numbers that a shield gave by itself say nothing to another: what names such a one
//! ([`PurgeSeen::Own`]) is never asked of a peer, but of an origin. So a shield that was purged without a
//! number, or is asked by an edge that was, asks no peer from then on.

use std::sync::Arc;
use std::time::Duration;

use headwater_cache::{BoxError, PurgeSeen, PurgeSeq};
use headwater_net::rendezvous::{self, Contender};
use headwater_net::{Body, Problem};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use tower_service::Service;

use super::origin::{Ask, Origin};
use super::{OriginConfig, PlacesConfig};
use crate::metrics::Metrics;
use crate::prefetch::Prefetched;

/// How long a peer may take, where nothing else is said.
const PATIENCE: Duration = Duration::from_secs(3);

/// The field by which a shield says to another who asks. `ahead` as its value says besides that no
/// client asked for it yet.
pub const PEER: HeaderName = HeaderName::from_static("headwater-peer");

const ASKED: HeaderValue = HeaderValue::from_static("asked");
const AHEAD: HeaderValue = HeaderValue::from_static("ahead");

/// The field by which a shield says to another which purges it has seen: the newest number of those that
/// all are given.
const PURGES: HeaderName = HeaderName::from_static("headwater-peer-purges");

/// An extension of a request that a peer asks, where the field that said so goes no further.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AskedByPeer;

/// The shields beside this one.
#[must_use = "they are given to a builder"]
pub struct Peers {
    own: Contender,
    members: Vec<(OriginConfig, Box<dyn Ask>)>,
    patience: Duration,
}

impl Peers {
    /// The peers of a shield that they all, and the edges before them, call by this name.
    pub fn of(name: &str) -> Self {
        let (own, members) = (Contender::new(name, 1), Vec::new());
        Self { own, members, patience: PATIENCE }
    }

    /// The weight that all know this shield by; 1 by default.
    pub fn weight(mut self, weight: u32) -> Self {
        self.own = self.own.weighing(weight);
        self
    }

    /// Adds a peer: a client of it.
    pub fn peer<S>(mut self, name: impl Into<String>, weight: u32, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
    {
        let config = OriginConfig::new(name, 0).weight(weight);
        self.members.push((config, Box::new(service)));
        self
    }

    /// How long a peer may take until its answer begins, before an origin is asked; 3 s by default.
    /// Danger: too short asks origins for what a peer is about to have, too long keeps clients waiting
    /// where a peer is silent.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Its members as those who can be asked; those that are known by their names stay who they are.
    pub(super) fn into_beside(
        self,
        (places, metrics): (&PlacesConfig, &Metrics),
        known: &Beside,
    ) -> Beside {
        let Self { own, members, patience } = self;
        let peer = |(config, service): (OriginConfig, _)| {
            let contender = Contender::new(&config.name, config.weight);
            let peer = known.named(&config.name).cloned();
            let new = || Arc::new(Origin::peer(service, &config, places, metrics));
            (contender, peer.unwrap_or_else(new))
        };
        Beside { own: Some((own, patience)), peers: members.into_iter().map(peer).collect() }
    }
}

/// A shield among its peers, as they are at one time.
#[derive(Default)]
pub(super) struct Beside {
    /// What it knows of itself, and how long a peer may take.
    own: Option<(Contender, Duration)>,
    peers: Vec<(Contender, Arc<Origin>)>,
}

impl Beside {
    /// Which peer is to be asked for a key: the first of those before this shield that is up.
    pub(super) fn owner(&self, key: u64, is_up: impl Fn(&Origin) -> bool) -> Option<usize> {
        let own = self.own.iter().map(|(own, _)| own);
        let all = own.chain(self.peers.iter().map(|(contender, _)| contender));
        let before = rendezvous::order(key, all).into_iter().map_while(|at| at.checked_sub(1));
        before.into_iter().find(|at| self.get(*at).is_some_and(&is_up))
    }

    pub(super) fn get(&self, at: usize) -> Option<&Origin> {
        self.peers.get(at).map(|(_, peer)| &**peer)
    }

    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }

    pub(super) fn patience(&self) -> Duration {
        self.own.map_or(PATIENCE, |(_, patience)| patience)
    }

    fn named(&self, name: &str) -> Option<&Arc<Origin>> {
        self.peers.iter().map(|(_, peer)| peer).find(|peer| peer.name == name)
    }

    /// Those of these that are not among others any more.
    pub(super) fn gone<'b>(&'b self, others: &'b Self) -> impl Iterator<Item = &'b Origin> {
        let peers = self.peers.iter().map(|(_, peer)| &**peer);
        peers.filter(|peer| others.named(&peer.name).is_none())
    }
}

/// Whether a request may be asked of a peer: no peer has asked it, and no purge could be undone.
pub(super) fn may_be_asked(head: &Parts) -> bool {
    let by_peer = head.headers.contains_key(PEER) || head.extensions.get::<AskedByPeer>().is_some();
    !by_peer && PurgeSeen::of(head) != PurgeSeen::Own
}

/// The answer to a peer that has seen a purge which is not done here yet.
pub(crate) fn behind(
    headers: &mut HeaderMap,
    followed: impl FnOnce() -> PurgeSeq,
) -> Option<Response<Body>> {
    let named = headers.remove(PURGES)?;
    let named = named.to_str().ok().and_then(|text| text.parse().ok());
    // What cannot be read may be any.
    if named.is_some_and(|named: u64| named <= followed().get()) {
        return None;
    }
    let problem = Problem::new(StatusCode::MISDIRECTED_REQUEST);
    Some(problem.detail("a purge that was named is not done here yet").into_response())
}

/// Whether another shield asks for what no client asked it for yet.
pub(crate) fn is_ahead(headers: &HeaderMap) -> bool {
    headers.get(PEER).is_some_and(|value| value == AHEAD)
}

/// Says to a peer that it is asked by one; others are not told.
pub(super) fn sign(head: &mut Parts, for_peer: bool) {
    head.headers.remove(PURGES);
    if !for_peer {
        head.headers.remove(PEER);
        return;
    }
    if let PurgeSeen::Common(seq) = PurgeSeen::of(head) {
        head.headers.insert(PURGES, HeaderValue::from(seq.get()));
    }
    let ahead = head.extensions.get::<Prefetched>().is_some();
    head.headers.insert(PEER, if ahead { AHEAD } else { ASKED });
}

/// Whether a peer says by its status that it is not the one to ask: it took the request for a loop (RFC
/// 5842 §7.2), or has not done a purge that was named.
pub(super) fn is_no_answer(status: StatusCode) -> bool {
    matches!(status, StatusCode::LOOP_DETECTED | StatusCode::MISDIRECTED_REQUEST)
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.members.iter().map(|(config, _)| &config.name).collect();
        f.debug_struct("Peers").field("members", &names).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Beside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.peers.iter().map(|(_, peer)| &peer.name).collect();
        f.debug_struct("Beside")
            .field("members", &names)
            .field("peer_patience", &self.patience())
            .finish_non_exhaustive()
    }
}
