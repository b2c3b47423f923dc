//! Who is asked: in which order, and which of that order may be asked now.

use headwater_net::health::Trial;
use headwater_net::{Timestamp, rendezvous};
use http::Uri;
use http::request::Parts;

use super::{Origin, Origins, WhenDown, lock, peers};

impl Origins {
    /// In which order those are asked for this that can be: a peer whose it is, if it may be asked
    /// of one, then origins.
    pub(super) fn order(&self, head: &Parts, idempotent: bool) -> Vec<usize> {
        let uri = rendezvous::asked_by(&head.uri, &head.extensions);
        let (origins, peers) = self.split();
        let mut order = by_priority(origins, uri);
        let ring = self.shared.ring.filter(|_| idempotent && peers::may_be_asked(head));
        let now = self.shared.clock.now();
        let is_up = |peer: &Origin| lock(&peer.health).is_available(now);
        if let Some(owner) = ring.and_then(|ring| ring.owner(key_of(uri), peers, is_up)) {
            order.insert(0, origins.len() + owner);
        }
        order
    }

    /// The origins, and the peers.
    pub(super) fn split(&self) -> (&[Origin], &[Origin]) {
        self.origins.split_at_checked(self.shared.count).unwrap_or_default()
    }

    pub(super) fn is_peer(&self, at: usize) -> bool {
        at >= self.shared.count
    }

    /// The name of the origin that is asked for this, as long as nothing keeps it: the first by
    /// priority and rendezvous that is up. What is known of a presentation beside its requests belongs
    /// there.
    pub fn home(&self, uri: &Uri) -> Option<String> {
        let (origins, _) = self.split();
        let now = self.shared.clock.now();
        let order = by_priority(origins, uri);
        let mut known = order.iter().filter_map(|at| origins.get(*at));
        let first = known.clone().next();
        let up = known.find(|origin| lock(&origin.health).is_available(now));
        up.or(first).map(|origin| origin.name.clone())
    }

    /// Another origin that is up.
    pub(super) fn spare(
        &self,
        order: &[usize],
        tried: &[bool],
        now: Timestamp,
    ) -> Option<(&Origin, usize)> {
        self.untried(order, tried).find(|(origin, _)| {
            let health = lock(&origin.health);
            !health.is_down() && health.is_available(now)
        })
    }

    /// The origins that were not asked yet, in order.
    fn untried<'o, 'a>(
        &'o self,
        order: &'a [usize],
        tried: &'a [bool],
    ) -> impl Iterator<Item = (&'o Origin, usize)> + use<'o, 'a> {
        let untried = order.iter().filter(|at| !tried.get(**at).copied().unwrap_or(true));
        untried.filter_map(|at| self.origins.get(*at).map(|origin| (origin, *at)))
    }

    /// The first origin that may be asked, and whether that tries it; when all are down, the one that
    /// may be asked soonest, unless nobody is to be asked then.
    pub(super) fn pick(
        &self,
        order: &[usize],
        tried: &[bool],
        now: Timestamp,
    ) -> Option<(usize, Option<Trial>)> {
        let mut soonest: Option<(Timestamp, usize)> = None;
        for (origin, at) in self.untried(order, tried) {
            let mut health = lock(&origin.health);
            if health.is_available(now) {
                return Some((at, health.sent(now)));
            }
            let retry = health.retry_at();
            if soonest.is_none_or(|(best, _)| retry < best) {
                soonest = Some((retry, at));
            }
        }
        // A second origin that is known to be down is no help.
        let mut origins = tried.iter().take(self.shared.count);
        if self.shared.when_down == WhenDown::Refuse || origins.any(|tried| *tried) {
            return None;
        }
        soonest.map(|(_, at)| (at, None))
    }
}

/// What belongs together is asked of one.
fn key_of(uri: &Uri) -> u64 {
    rendezvous::key(rendezvous::group(uri.path(), 1).as_bytes())
}

/// In which order origins are asked: by priority, and those of one by rendezvous.
fn by_priority(origins: &[Origin], uri: &Uri) -> Vec<usize> {
    let mut order: Vec<usize> = (0..origins.len()).collect();
    let same = |one: &Origin, next: &Origin| one.priority == next.priority;
    if origins.iter().zip(origins.iter().skip(1)).any(|(one, next)| same(one, next)) {
        order = rendezvous::order(key_of(uri), origins.iter().map(|origin| &origin.contender));
        order.sort_by_key(|at| origins.get(*at).map(|origin| origin.priority));
    }
    order
}
