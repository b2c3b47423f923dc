//! Counters of the server: plain atomics, one set a worker, summed when read.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::Protocol;

/// The server's counters. Clones share them; reading sums over the workers.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    workers: Mutex<Vec<Arc<Counters>>>,
    open: Arc<AtomicUsize>,
    tickets_refused: Arc<AtomicU64>,
    passed_on: Arc<AtomicU64>,
}

/// Why a connection was turned away before its first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// `max_connections` were open.
    Connections,
    /// `max_per_address` were open from its address.
    Address,
    /// As many handshakes were under way as may be, over TCP or over QUIC, and it came last, or was the
    /// oldest and gave way.
    Handshakes,
}

impl Refused {
    /// Every reason there is.
    pub const ALL: [Self; 3] = [Self::Connections, Self::Address, Self::Handshakes];
}

/// Why this server ended a connection by itself, without a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// Nothing happened on it for its idle time, or a request's headers were slow.
    Idle,
    /// Its client took nothing of what there was to send.
    Stalled,
    /// Its client flooded it: with resets or errors of streams over HTTP/2, or with streams of
    /// HTTP/3 that brought no request.
    Flood,
}

impl Ended {
    /// Every reason there is.
    pub const ALL: [Self; 3] = [Self::Idle, Self::Stalled, Self::Flood];
}

/// One worker's counters, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Counters {
    by_protocol: [ByProtocol; 3],
    refused: [AtomicU64; Refused::ALL.len()],
    ended: [AtomicU64; Ended::ALL.len()],
    retries: AtomicU64,
    early: AtomicU64,
    early_held: AtomicU64,
}

#[derive(Debug, Default)]
struct ByProtocol {
    accepted: AtomicU64,
    closed: AtomicU64,
    requests: AtomicU64,
    handshakes_failed: AtomicU64,
}

impl Metrics {
    /// Counters that stand at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requests handed to the service.
    pub fn requests(&self, protocol: Protocol) -> u64 {
        self.sum(protocol, |counters| &counters.requests)
    }

    /// Connections that finished their handshake. A plain connection counts as [`Protocol::H1`],
    /// even when it goes on to speak HTTP/2 with prior knowledge.
    pub fn connections_accepted(&self, protocol: Protocol) -> u64 {
        self.sum(protocol, |counters| &counters.accepted)
    }

    /// Connections open now.
    pub fn connections_open(&self, protocol: Protocol) -> u64 {
        let closed = self.sum(protocol, |counters| &counters.closed);
        self.sum(protocol, |counters| &counters.accepted).saturating_sub(closed)
    }

    /// TLS handshakes over TCP ([`Protocol::H1`], the version not being known yet) and QUIC
    /// handshakes ([`Protocol::H3`]) that failed or took too long.
    pub fn handshakes_failed(&self, protocol: Protocol) -> u64 {
        self.sum(protocol, |counters| &counters.handshakes_failed)
    }

    /// Connections turned away, for whatever reason.
    pub fn connections_refused(&self) -> u64 {
        Refused::ALL.into_iter().map(|why| self.connections_refused_for(why)).sum()
    }

    /// Connections turned away for this reason.
    pub fn connections_refused_for(&self, why: Refused) -> u64 {
        self.total(|counters| &counters.refused[why as usize])
    }

    /// Connections that this server ended by itself for this reason.
    pub fn connections_ended(&self, why: Ended) -> u64 {
        self.total(|counters| &counters.ended[why as usize])
    }

    /// QUIC clients that were told to show first that they are where they say (Retry, RFC 9000
    /// §8.1.2).
    pub fn retries(&self) -> u64 {
        self.total(|counters| &counters.retries)
    }

    /// QUIC datagrams that came here and were passed on to the process that this one took over
    /// from, whose connections they are.
    pub fn datagrams_passed_on(&self) -> u64 {
        self.0.passed_on.load(Ordering::Relaxed)
    }

    /// Requests that were handed to the service as early data, before their handshake was done.
    pub fn early_requests(&self) -> u64 {
        self.total(|counters| &counters.early)
    }

    /// Requests that came in early data and were held until their handshake was done: not GET or
    /// HEAD, or with a body.
    pub fn early_requests_held(&self) -> u64 {
        self.total(|counters| &counters.early_held)
    }

    /// QUIC session tickets that were shown and not taken: used before, forgotten or of another
    /// server. What came with them as early data was refused, and its sender asks again.
    pub fn tickets_refused(&self) -> u64 {
        self.0.tickets_refused.load(Ordering::Relaxed)
    }

    /// The counter of [`Metrics::tickets_refused`].
    pub(super) fn count_tickets_refused(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.0.tickets_refused)
    }

    /// The counter of [`Metrics::datagrams_passed_on`].
    pub(super) fn count_passed_on(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.0.passed_on)
    }

    /// A new worker's counters.
    pub(super) fn worker(&self) -> Arc<Counters> {
        let counters = Arc::<Counters>::default();
        self.workers().push(Arc::clone(&counters));
        counters
    }

    /// The number of connections open now in all workers, handshakes over TCP included.
    pub(super) fn open_sockets(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.0.open)
    }

    fn workers(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Counters>>> {
        self.0.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sum(&self, protocol: Protocol, field: impl Fn(&ByProtocol) -> &AtomicU64) -> u64 {
        self.total(|counters| field(counters.of(protocol)))
    }

    fn total(&self, field: impl Fn(&Counters) -> &AtomicU64) -> u64 {
        self.workers().iter().map(|counters| field(counters).load(Ordering::Relaxed)).sum()
    }
}

impl Counters {
    const fn of(&self, protocol: Protocol) -> &ByProtocol {
        match protocol {
            Protocol::H1 => &self.by_protocol[0],
            Protocol::H2 => &self.by_protocol[1],
            Protocol::H3 => &self.by_protocol[2],
        }
    }

    pub(super) fn request(&self, protocol: Protocol) {
        self.of(protocol).requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn handshake_failed(&self, protocol: Protocol) {
        self.of(protocol).handshakes_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request in early data, handed on at once or held.
    pub(super) fn early(&self, held: bool) {
        let counter = if held { &self.early_held } else { &self.early };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, why: Refused) {
        self.refused[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn ended(&self, why: Ended) {
        self.ended[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection as open until the guard is dropped.
    pub(super) fn open(self: &Arc<Self>, protocol: Protocol) -> OpenConnection {
        self.of(protocol).accepted.fetch_add(1, Ordering::Relaxed);
        OpenConnection { counters: Arc::clone(self), protocol }
    }
}

/// A connection that counts as open.
pub(super) struct OpenConnection {
    counters: Arc<Counters>,
    protocol: Protocol,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.counters.of(self.protocol).closed.fetch_add(1, Ordering::Relaxed);
    }
}

/// A place among the `max_connections`, given back when dropped.
pub(super) struct Place(Arc<AtomicUsize>);

impl Place {
    /// Takes a place, or `None` when `max` are taken.
    pub(super) fn take(open: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        let before = open.fetch_add(1, Ordering::Relaxed);
        let place = Self(Arc::clone(open));
        (before < max).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_place_is_given_back() {
        let open = Arc::new(AtomicUsize::new(0));
        let first = Place::take(&open, 1);
        assert!(first.is_some());
        assert!(Place::take(&open, 1).is_none());
        drop(first);
        assert!(Place::take(&open, 1).is_some());
    }

    #[test]
    fn reading_sums_over_workers() {
        let metrics = Metrics::new();
        let (a, b) = (metrics.worker(), metrics.worker());
        a.request(Protocol::H2);
        b.request(Protocol::H2);
        let open = b.open(Protocol::H3);
        assert_eq!(metrics.requests(Protocol::H2), 2);
        assert_eq!(metrics.connections_open(Protocol::H3), 1);
        drop(open);
        assert_eq!(metrics.connections_open(Protocol::H3), 0);
        assert_eq!(metrics.connections_accepted(Protocol::H3), 1);
    }
}
