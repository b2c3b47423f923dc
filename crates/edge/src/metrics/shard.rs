//! One worker's share of the counters: arrays of atomics, indexed by small numbers.

use std::array::from_fn;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use headwater_net::Protocol;
use http::{Method, StatusCode};

use crate::cache_result::CacheResult;
use crate::refusals::RefusedBy;
use crate::watch::End;

pub(super) const PROTOCOLS: [&str; 4] = ["h1", "h2", "h3", "none"];
pub(super) const METHODS: [&str; 4] = ["get", "head", "options", "other"];
pub(super) const STATUSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
const CACHES: usize = CacheResult::ALL.len();

/// Upper bounds of the buckets of a histogram; one more takes what is slower.
pub(super) const BOUNDS_MICROS: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// What a request is counted under.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Labels {
    pub(crate) protocol: usize,
    pub(crate) method: usize,
    pub(crate) status: usize,
    pub(crate) cache: usize,
}

pub(crate) const fn protocol_index(protocol: Option<Protocol>) -> usize {
    match protocol {
        Some(Protocol::H1) => 0,
        Some(Protocol::H2) => 1,
        Some(Protocol::H3) => 2,
        None => 3,
    }
}

pub(crate) fn method_index(method: &Method) -> usize {
    match *method {
        Method::GET => 0,
        Method::HEAD => 1,
        Method::OPTIONS => 2,
        _ => 3,
    }
}

pub(crate) fn status_index(status: StatusCode) -> usize {
    usize::from(status.as_u16() / 100).clamp(1, STATUSES.len()) - 1
}

#[derive(Debug)]
pub(crate) struct Shard {
    requests: [[[[AtomicU64; CACHES]; STATUSES.len()]; METHODS.len()]; PROTOCOLS.len()],
    bytes: [[AtomicU64; CACHES]; PROTOCOLS.len()],
    first_byte: [[Histogram; CACHES]; PROTOCOLS.len()],
    refused: [AtomicU64; RefusedBy::ALL.len()],
    failed: AtomicU64,
    aborted: AtomicU64,
    in_flight: AtomicI64,
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            requests: from_fn(|_| from_fn(|_| from_fn(|_| from_fn(|_| AtomicU64::new(0))))),
            bytes: from_fn(|_| from_fn(|_| AtomicU64::new(0))),
            first_byte: from_fn(|_| from_fn(|_| Histogram::default())),
            refused: from_fn(|_| AtomicU64::new(0)),
            failed: AtomicU64::new(0),
            aborted: AtomicU64::new(0),
            in_flight: AtomicI64::new(0),
        }
    }
}

impl Shard {
    pub(crate) fn began(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    pub(crate) fn finished(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    pub(crate) fn answered(&self, labels: Labels, micros: u64) {
        let Labels { protocol, method, status, cache } = labels;
        self.requests[protocol][method][status][cache].fetch_add(1, Relaxed);
        self.first_byte[protocol][cache].observe(micros);
    }

    pub(crate) fn sent(&self, protocol: usize, cache: usize, bytes: u64) {
        self.bytes[protocol][cache].fetch_add(bytes, Relaxed);
    }

    pub(crate) fn refused(&self, by: RefusedBy) {
        self.refused[by.index()].fetch_add(1, Relaxed);
    }

    pub(crate) fn cut(&self, end: End) {
        match end {
            End::Complete => {}
            End::Failed => drop(self.failed.fetch_add(1, Relaxed)),
            End::Aborted => drop(self.aborted.fetch_add(1, Relaxed)),
        }
    }

    /// Every counter of requests with its labels.
    pub(super) fn requests(&self) -> impl Iterator<Item = (Labels, u64)> {
        self.requests.iter().enumerate().flat_map(|(protocol, methods)| {
            methods.iter().enumerate().flat_map(move |(method, statuses)| {
                statuses.iter().enumerate().flat_map(move |(status, caches)| {
                    caches.iter().enumerate().map(move |(cache, count)| {
                        (Labels { protocol, method, status, cache }, count.load(Relaxed))
                    })
                })
            })
        })
    }

    /// Every counter of bytes; of the labels only protocol and cache mean something.
    pub(super) fn bytes(&self) -> impl Iterator<Item = (Labels, u64)> {
        self.bytes.iter().enumerate().flat_map(|(protocol, caches)| {
            caches.iter().enumerate().map(move |(cache, bytes)| {
                (Labels { protocol, method: 0, status: 0, cache }, bytes.load(Relaxed))
            })
        })
    }

    /// Every histogram; of the labels only protocol and cache mean something.
    pub(super) fn histograms(&self) -> impl Iterator<Item = (Labels, &Histogram)> {
        self.first_byte.iter().enumerate().flat_map(|(protocol, caches)| {
            caches.iter().enumerate().map(move |(cache, histogram)| {
                (Labels { protocol, method: 0, status: 0, cache }, histogram)
            })
        })
    }

    /// Every counter of refusals.
    pub(super) fn refusals(&self) -> impl Iterator<Item = (RefusedBy, u64)> {
        let counts = self.refused.iter().map(|count| count.load(Relaxed));
        RefusedBy::ALL.into_iter().zip(counts)
    }

    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    pub(super) fn aborted(&self) -> u64 {
        self.aborted.load(Relaxed)
    }

    pub(super) fn in_flight(&self) -> i64 {
        self.in_flight.load(Relaxed)
    }

    /// Adds what `other` counted.
    pub(super) fn add(&self, other: &Self) {
        for (labels, count) in other.requests() {
            let Labels { protocol, method, status, cache } = labels;
            self.requests[protocol][method][status][cache].fetch_add(count, Relaxed);
        }
        for (labels, bytes) in other.bytes() {
            self.bytes[labels.protocol][labels.cache].fetch_add(bytes, Relaxed);
        }
        for ((_, mine), (_, theirs)) in self.histograms().zip(other.histograms()) {
            mine.add(theirs);
        }
        for (mine, (_, theirs)) in self.refused.iter().zip(other.refusals()) {
            mine.fetch_add(theirs, Relaxed);
        }
        self.failed.fetch_add(other.failed(), Relaxed);
        self.aborted.fetch_add(other.aborted(), Relaxed);
        self.in_flight.fetch_add(other.in_flight(), Relaxed);
    }
}

#[derive(Debug)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BOUNDS_MICROS.len() + 1],
    sum: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: from_fn(|_| AtomicU64::new(0)), sum: AtomicU64::new(0) }
    }
}

impl Histogram {
    fn observe(&self, micros: u64) {
        let at = BOUNDS_MICROS.iter().take_while(|bound| micros > **bound).count();
        self.buckets[at].fetch_add(1, Relaxed);
        self.sum.fetch_add(micros, Relaxed);
    }

    pub(super) fn counts(&self) -> [u64; BOUNDS_MICROS.len() + 1] {
        from_fn(|at| self.buckets[at].load(Relaxed))
    }

    pub(super) fn sum_micros(&self) -> u64 {
        self.sum.load(Relaxed)
    }

    fn add(&self, other: &Self) {
        for (mine, theirs) in self.buckets.iter().zip(&other.buckets) {
            mine.fetch_add(theirs.load(Relaxed), Relaxed);
        }
        self.sum.fetch_add(other.sum_micros(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let histogram = Histogram::default();
        for micros in [0, 100, 101, 10_000_000, 10_000_001] {
            histogram.observe(micros);
        }
        let counts = histogram.counts();
        assert_eq!((counts[0], counts[1], counts[15], counts[16]), (2, 1, 1, 1));
        assert_eq!(histogram.sum_micros(), 20_000_202);
    }

    #[test]
    fn every_status_has_a_class() {
        for (status, class) in [(100, 0), (206, 1), (304, 2), (418, 3), (503, 4), (999, 4)] {
            assert_eq!(StatusCode::from_u16(status).map(status_index).ok(), Some(class));
        }
    }
}
