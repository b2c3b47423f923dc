//! Who is asked: in which order, and which of that order may be asked now.

use std::ops::Range;

use headwater_net::balance::{Candidate, choose};
use headwater_net::health::Trial;
use headwater_net::{Timestamp, rendezvous};
use http::Uri;
use http::request::Parts;

use super::{Origin, Origins, Pressure, WhenDown, lock, peers};
use crate::prefetch::Prefetched;

impl Origins {
    /// In which order those are asked for this that can be: a peer whose it is, if it may be asked
    /// of one, then origins.
    pub(super) fn order(&self, head: &Parts, idempotent: bool) -> Vec<usize> {
        let uri = rendezvous::asked_by(&head.uri, &head.extensions);
        let counts = head.extensions.get::<Prefetched>().is_none();
        let mut order = self.chosen(uri, counts);
        let now = self.shared.clock.now();
        let is_up = |peer: &Origin| lock(&peer.health).is_available(now);
        if idempotent
            && peers::may_be_asked(head)
            && let Some(owner) = self.beside.owner(self.key_of(uri), is_up)
        {
            order.insert(0, self.origins.len() + owner);
        }
        order
    }

    /// What belongs together is asked of one.
    fn key_of(&self, uri: &Uri) -> u64 {
        rendezvous::key(rendezvous::group(uri.path(), self.shared.depth).as_bytes())
    }

    /// In which order origins are asked. Of the first priority of which one is up, it is one that is not
    /// full, and of what is asked for very often the least loaded of several, where that is wanted.
    fn chosen(&self, uri: &Uri, counts: bool) -> Vec<usize> {
        let origins = &*self.origins;
        let key = self.key_of(uri);
        let (mut order, shared) = by_priority(origins, key);
        let Some((config, hot)) = self.shared.balance.as_ref().filter(|_| shared) else {
            return order;
        };
        let now = self.shared.clock.now();
        let mut hot = lock(hot);
        let count = if counts { hot.note(key, now) } else { hot.count(key) };
        drop(hot);
        let up: Vec<bool> =
            origins.iter().map(|origin| lock(&origin.health).is_available(now)).collect();
        let is_up = |at: usize| up.get(at).copied().unwrap_or_default();
        let Some(run) = first_up(origins, &order, is_up) else { return order };
        let candidate = |(at, origin): (usize, &Origin)| Candidate {
            weight: origin.contender.weight(),
            under_way: origin.places.pressure().taken() as u64,
            is_up: is_up(at) && order.get(run.clone()).is_some_and(|all| all.contains(&at)),
            is_tried: false,
        };
        let candidates: Vec<Candidate> = origins.iter().enumerate().map(candidate).collect();
        let is_hot = count >= config.hot.max(1);
        if let Some(run) = order.get_mut(run)
            && let Some(chosen) = choose(run, &candidates, is_hot, config)
            && let Some(place) = run.iter().position(|at| *at == chosen)
            && let Some(before) = run.get_mut(..=place)
        {
            before.rotate_right(1);
        }
        order
    }

    /// Whether the origin that would be asked for this now, as long as nothing keeps it, has fewer than so
    /// many percent of its places taken, and nobody waits for one; not where none is up.
    pub fn has_room(&self, uri: &Uri, percent: u8) -> bool {
        self.pressure(uri).is_some_and(|pressure| pressure.has_room(percent))
    }

    /// How loaded that origin is; `None` where none is up.
    pub fn pressure(&self, uri: &Uri) -> Option<Pressure> {
        let origins = &*self.origins;
        let now = self.shared.clock.now();
        let order = self.chosen(uri, false);
        let mut known = order.iter().filter_map(|at| origins.get(*at));
        let up = known.find(|origin| lock(&origin.health).is_available(now));
        up.map(|origin| origin.places.pressure().clone())
    }

    pub(super) fn is_peer(&self, at: usize) -> bool {
        at >= self.origins.len()
    }

    /// The name of the origin that is asked for this, as long as nothing keeps it: the first by
    /// priority and rendezvous that is up. What is known of a presentation beside its requests belongs
    /// there.
    pub fn home(&self, uri: &Uri) -> Option<String> {
        let origins = &*self.origins;
        let now = self.shared.clock.now();
        let order = by_priority(origins, self.key_of(uri)).0;
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
        untried.filter_map(|at| self.member(*at).map(|origin| (origin, *at)))
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
        let mut origins = tried.iter().take(self.origins.len());
        if self.shared.when_down == WhenDown::Refuse || origins.any(|tried| *tried) {
            return None;
        }
        soonest.map(|(_, at)| (at, None))
    }
}

/// In which order origins are asked: by priority, and those of one by rendezvous; and whether there are
/// two of one.
fn by_priority(origins: &[Origin], key: u64) -> (Vec<usize>, bool) {
    let mut order: Vec<usize> = (0..origins.len()).collect();
    let same = |one: &Origin, next: &Origin| one.priority == next.priority;
    let shared = origins.iter().zip(origins.iter().skip(1)).any(|(one, next)| same(one, next));
    if shared {
        order = rendezvous::order(key, origins.iter().map(|origin| &origin.contender));
        order.sort_by_key(|at| origins.get(*at).map(|origin| origin.priority));
    }
    (order, shared)
}

/// Where in `order` those of the first priority are of which one is up.
fn first_up(
    origins: &[Origin],
    order: &[usize],
    is_up: impl Fn(usize) -> bool,
) -> Option<Range<usize>> {
    let priority = |at: &usize| origins.get(*at).map(|origin| origin.priority);
    let first = order.iter().find(|at| is_up(**at)).and_then(priority);
    let start = order.iter().position(|at| priority(at) == first)?;
    let count = order.iter().skip(start).take_while(|at| priority(at) == first).count();
    Some(start..start + count)
}
