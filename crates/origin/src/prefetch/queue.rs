//! What waits to be fetched ahead, what is under way, and what that may cost. Pure: time is given.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use headwater_net::{Body, Timestamp};
use http::Request;
use tokio::sync::Notify;

use super::choose::{Want, Why};
use super::config::PrefetchConfig;
use super::marks::{Urgent, Wanted};
use super::recent::{Found, Recent};
use super::sessions::Sessions;
use super::starts::Starts;
use crate::map::{PresentationId, Target};
use crate::metrics::Metrics;
use crate::upstream::Pressure;

/// URLs remembered as recent.
const RECENT: usize = 16_384;

/// Lanes of the queue: those of [`Want`].
const LANES: usize = 4;

/// Something to fetch ahead.
pub(super) struct Job {
    pub(super) want: Want,
    pub(super) request: Request<Body>,
    since: Timestamp,
}

/// A prefetch under way, as seen by who may end it.
#[derive(Clone)]
pub(super) struct Flight {
    pub(super) want: Want,
    since: Timestamp,
    pub(super) bytes: Arc<AtomicU64>,
    /// Called when it may not be wanted any more.
    pub(super) doubt: Arc<Notify>,
    /// The load of the origin that it is asked of.
    pub(super) at: Pressure,
    wanted: Wanted,
}

/// The state of one prefetcher.
pub(super) struct State {
    pub(super) recent: Recent,
    pub(super) sessions: Sessions,
    pub(super) starts: Starts,
    lanes: [VecDeque<Job>; LANES],
    /// In the order in which they began: so they are told to look again.
    flights: BTreeMap<u64, Flight>,
    next_flight: u64,
    /// Workers that take jobs from the queue.
    pub(super) running: usize,
    /// Requests that wait at origins for what is not there yet.
    pub(super) waiting: usize,
    pub(super) spent: Spent,
}

impl State {
    pub(super) fn new(config: &PrefetchConfig) -> Self {
        Self {
            recent: Recent::new(config.window, RECENT),
            sessions: Sessions::new(config.silence),
            starts: Starts::default(),
            lanes: Default::default(),
            flights: BTreeMap::new(),
            next_flight: 0,
            running: 0,
            waiting: 0,
            spent: Spent::default(),
        }
    }

    /// Forgets what is too long ago.
    pub(super) fn expire(&mut self, now: Timestamp, metrics: &Metrics) {
        let wasted = self.recent.expire(now);
        metrics.prefetch_wasted.inc_by(wasted.objects);
        metrics.prefetch_wasted_bytes.inc_by(wasted.bytes);
    }

    /// A client asks for `target`.
    pub(super) fn asked(&mut self, target: &Target, now: Timestamp, metrics: &Metrics) -> Found {
        let found = self.recent.asked(target, now);
        match found {
            Found::Nothing => {}
            Found::Coming => {
                let coming = self.flights.values().filter(|flight| flight.want.target == *target);
                coming.for_each(|flight| flight.wanted.set());
                metrics.prefetch_used.inc();
                metrics.prefetch_promoted.inc();
            }
            Found::Here(bytes) => {
                metrics.prefetch_used.inc();
                metrics.prefetch_used_bytes.inc_by(bytes);
            }
        }
        found
    }

    /// A session left a rendition: those who fetch what it wanted there look again. Whom nobody
    /// tells looks of itself from time to time.
    pub(super) fn doubt(&self, left: (PresentationId, u32)) {
        for flight in self.flights.values() {
            if flight.want.why.session() == Some(left) {
                flight.doubt.notify_one();
            }
        }
    }

    /// Puts a job into the queue; where that is full, in the place of the least urgent. Whether
    /// there is one more to do than before.
    pub(super) fn put(
        &mut self,
        want: Want,
        request: Request<Body>,
        now: Timestamp,
        config: &PrefetchConfig,
        metrics: &Metrics,
    ) -> bool {
        // Another may have queued it since it was chosen.
        if self.recent.contains(&want.target) {
            return false;
        }
        let mut grown = true;
        let lane = want.lane();
        if self.lanes.iter().map(VecDeque::len).sum::<usize>() >= config.queue {
            metrics.prefetch_dropped.inc();
            let less = self.lanes.iter_mut().skip(lane + 1).rev().find(|lane| !lane.is_empty());
            let Some(gone) = less.and_then(VecDeque::pop_front) else { return false };
            self.recent.forget(&gone.want.target);
            grown = false;
        }
        self.recent.queued(&want.target, now);
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.push_back(Job { want, request, since: now });
        }
        grown
    }

    /// Has what waits to be fetched go before everything else.
    pub(super) fn hurry(&mut self, target: &Target) {
        let [urgent, others @ ..] = &mut self.lanes;
        let found = others.iter_mut().find_map(|lane| {
            let at = lane.iter().position(|job| job.want.target == *target)?;
            lane.remove(at)
        });
        urgent.extend(found.map(|mut job| {
            job.want.urgent = true;
            job
        }));
    }

    /// The most urgent job that is worth doing.
    pub(super) fn take(
        &mut self,
        now: Timestamp,
        config: &PrefetchConfig,
        room: impl Fn(&Request<Body>) -> Option<Pressure>,
        metrics: &Metrics,
    ) -> Option<(u64, Flight, Request<Body>)> {
        while let Some(job) = self.lanes.iter_mut().find_map(VecDeque::pop_front) {
            let sent = self.send(job, now, config, &room, metrics);
            if sent.is_some() {
                return sent;
            }
        }
        None
    }

    /// A job, where it is worth doing.
    fn send(
        &mut self,
        job: Job,
        now: Timestamp,
        config: &PrefetchConfig,
        room: impl Fn(&Request<Body>) -> Option<Pressure>,
        metrics: &Metrics,
    ) -> Option<(u64, Flight, Request<Body>)> {
        let target = &job.want.target;
        if !self.is_wanted(&job.want.why, job.since, now, config) {
            self.recent.forget(target);
            metrics.prefetch_cancelled.inc();
            return None;
        }
        let may = self.spent.may(config.bytes_per_second, now);
        let Some(at) = may.then(|| room(&job.request)).flatten() else {
            self.recent.forget(target);
            metrics.prefetch_refused.inc();
            return None;
        };
        self.recent.begins(target).then(|| self.begin(job, at, now))
    }

    /// Has something wait for its time, past the queue; whether it may: there are not enough yet.
    pub(super) fn defer(&mut self, want: &Want, now: Timestamp, config: &PrefetchConfig) -> bool {
        if self.waiting >= config.waiting_live || self.recent.contains(&want.target) {
            return false;
        }
        self.recent.queued(&want.target, now);
        self.waiting += 1;
        true
    }

    /// What was deferred, when its time has come, where it is still worth doing.
    pub(super) fn come(
        &mut self,
        (want, request): (Want, Request<Body>),
        now: Timestamp,
        config: &PrefetchConfig,
        room: impl Fn(&Request<Body>) -> Option<Pressure>,
        metrics: &Metrics,
    ) -> Option<(u64, Flight, Request<Body>)> {
        self.send(Job { want, request, since: now }, now, config, room, metrics)
    }

    fn begin(
        &mut self,
        mut job: Job,
        at: Pressure,
        now: Timestamp,
    ) -> (u64, Flight, Request<Body>) {
        let wanted = Wanted::default();
        job.request.extensions_mut().insert(wanted.clone());
        if job.want.urgent {
            job.request.extensions_mut().insert(Urgent);
        }
        let flight = Flight {
            want: job.want,
            since: now,
            bytes: Arc::default(),
            doubt: Arc::new(Notify::new()),
            at,
            wanted,
        };
        self.next_flight += 1;
        self.flights.insert(self.next_flight, flight.clone());
        (self.next_flight, flight, job.request)
    }

    /// Begins one that waits at its origin, past the queue; `None` where there are enough.
    pub(super) fn wait(
        &mut self,
        (want, request): (Want, Request<Body>),
        at: Pressure,
        now: Timestamp,
        config: &PrefetchConfig,
    ) -> Option<(u64, Flight, Request<Body>)> {
        if self.waiting >= config.waiting_live || self.recent.contains(&want.target) {
            return None;
        }
        self.recent.queued(&want.target, now);
        self.recent.begins(&want.target);
        self.waiting += 1;
        Some(self.begin(Job { want, request, since: now }, at, now))
    }

    /// The flight is over.
    pub(super) fn end(&mut self, flight: u64) {
        self.flights.remove(&flight);
    }

    /// Whether a flight may go on.
    pub(super) fn goes_on(&self, flight: &Flight, now: Timestamp, config: &PrefetchConfig) -> bool {
        self.recent.is_promoted(&flight.want.target)
            || self.is_wanted(&flight.want.why, flight.since, now, config)
    }

    fn is_wanted(
        &self,
        why: &Why,
        since: Timestamp,
        now: Timestamp,
        config: &PrefetchConfig,
    ) -> bool {
        match *why {
            Why::Next { presentation, rendition, number }
            | Why::Switch { presentation, rendition, number } => {
                self.sessions.wants(presentation, rendition, number, config.ahead.max(1), now)
            }
            Why::Live { presentation, rendition } => {
                self.sessions.watches(presentation, rendition, now)
            }
            Why::Head | Why::Told => now.since(since) < config.silence,
        }
    }
}

impl Flight {
    pub(super) fn came(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// Bytes that may still be spent, refilled by time.
#[derive(Debug, Default)]
pub(super) struct Spent {
    left: i64,
    at: Timestamp,
}

impl Spent {
    pub(super) fn may(&mut self, rate: Option<u64>, now: Timestamp) -> bool {
        let Some(rate) = rate else { return true };
        let most = i64::try_from(rate.saturating_mul(10)).unwrap_or(i64::MAX);
        let millis = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        let earned = i64::try_from(rate.saturating_mul(millis) / 1000).unwrap_or(i64::MAX);
        self.left = self.left.saturating_add(earned).min(most);
        self.at = now;
        self.left > 0
    }

    pub(super) fn take(&mut self, bytes: u64) {
        self.left = self.left.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_spent_budget_comes_back_with_time() {
        let mut spent = Spent::default();
        let now = Timestamp::from_secs(1000);
        assert!(spent.may(Some(100), now));
        spent.take(1200);
        assert!(!spent.may(Some(100), now));
        assert!(!spent.may(Some(100), now.plus(Duration::from_secs(2))));
        assert!(spent.may(Some(100), now.plus(Duration::from_secs(3))));
        assert!(spent.may(None, now));
    }
}
