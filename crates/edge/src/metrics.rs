//! What the edge counts: requests, bytes, time to the first byte, requests in flight.
//!
//! Each layer made by [`Metrics::layer`] counts into memory of its own, so that workers do not
//! contend for a cache line; a scrape adds them up. Counting is a handful of relaxed additions,
//! without a look-up, a lock or an allocation.
//!
//! | name | labels |
//! |---|---|
//! | `headwater_edge_requests_total` | `protocol`, `method`, `status` (`2xx`), `cache` |
//! | `headwater_edge_response_bytes_total` | `protocol`, `cache` |
//! | `headwater_edge_first_byte_seconds` | `protocol`, `cache` |
//! | `headwater_edge_responses_cut_total` | `end` (`failed`, `aborted`) |
//! | `headwater_edge_refused_total` | `by`, as [`RefusedBy`] names them |
//! | `headwater_edge_requests_in_flight` | |
//!
//! What the listeners counted, requests or not, [`register_server`] adds, and how long certificates last,
//! [`register_certificates`].

mod certificates;
mod exposition;
mod scrape;
mod server;
pub(crate) mod shard;

use std::sync::{Arc, Mutex, PoisonError};

use headwater_net::Protocol;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Registry;
use tower_layer::Layer;

use crate::cache_result::CacheResult;
use crate::observe::{Observed, Observer};
use crate::refusals::RefusedBy;
use crate::watch::End;
use shard::{BOUNDS_MICROS, METHODS, PROTOCOLS, STATUSES, Shard};

pub use certificates::{MAX_NAMES, register_certificates};
pub use scrape::{Scrape, scrape};
pub use server::register_server;

/// The edge's counters. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    shards: Arc<Mutex<Vec<Arc<Shard>>>>,
}

impl Metrics {
    /// A layer that counts what passes. Each call makes room of its own: call it once for each
    /// worker and not for each connection.
    pub fn layer(&self) -> MetricsLayer {
        MetricsLayer { observer: Arc::new(Observer::new(Some(self.shard()), None)) }
    }

    pub(crate) fn shard(&self) -> Arc<Shard> {
        let shard = Arc::new(Shard::default());
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        // What layers that are gone have counted stays, in one: edges may be built again for ever.
        let gone = Shard::default();
        shards.retain(|shard| {
            let is_gone = Arc::strong_count(shard) == 1;
            if is_gone {
                gone.add(shard);
            }
            !is_gone
        });
        shards.extend([Arc::new(gone), Arc::clone(&shard)]);
        shard
    }

    /// Adds the counters to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(self.clone()));
    }

    /// Requests answered so far, over `protocol` if given, that ended as `cache` says if given.
    pub fn requests(&self, protocol: Option<Protocol>, cache: Option<CacheResult>) -> u64 {
        let protocols = protocol.map(|p| shard::protocol_index(Some(p)));
        let mut sum = 0;
        for shard in self.all() {
            for (labels, counter) in shard.requests() {
                if protocols.is_none_or(|p| p == labels.protocol)
                    && cache.is_none_or(|c| c.index() == labels.cache)
                {
                    sum += counter;
                }
            }
        }
        sum
    }

    /// Bytes of bodies handed to connections so far.
    pub fn bytes(&self) -> u64 {
        self.all().iter().flat_map(|shard| shard.bytes()).map(|(_, bytes)| bytes).sum()
    }

    /// Requests that this one refused so far.
    pub fn refused(&self, by: RefusedBy) -> u64 {
        let all = self.all();
        let counts = all.iter().flat_map(|shard| shard.refusals());
        counts.filter(|(one, _)| *one == by).map(|(_, count)| count).sum()
    }

    /// Requests whose answer has not ended.
    pub fn in_flight(&self) -> i64 {
        self.all().iter().map(|shard| shard.in_flight()).sum()
    }

    fn all(&self) -> Vec<Arc<Shard>> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let total = Shard::default();
        for shard in self.all() {
            total.add(&shard);
        }
        let mut family = encoder.encode_descriptor(
            "headwater_edge_requests",
            "Requests answered",
            None,
            MetricType::Counter,
        )?;
        for (labels, count) in total.requests() {
            if count > 0 {
                let set = [
                    ("protocol", PROTOCOLS[labels.protocol]),
                    ("method", METHODS[labels.method]),
                    ("status", STATUSES[labels.status]),
                    ("cache", CacheResult::ALL[labels.cache].as_str()),
                ];
                ConstCounter::new(count).encode(family.encode_family(&set)?)?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "headwater_edge_response_bytes",
            "Bytes of bodies handed to connections",
            None,
            MetricType::Counter,
        )?;
        for (labels, count) in total.bytes() {
            if count > 0 {
                let set = [
                    ("protocol", PROTOCOLS[labels.protocol]),
                    ("cache", CacheResult::ALL[labels.cache].as_str()),
                ];
                ConstCounter::new(count).encode(family.encode_family(&set)?)?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "headwater_edge_first_byte_seconds",
            "Time from a request to the head of its answer",
            None,
            MetricType::Histogram,
        )?;
        for (labels, histogram) in total.histograms() {
            let counts = histogram.counts();
            let count: u64 = counts.iter().sum();
            if count > 0 {
                let bounds = BOUNDS_MICROS.iter().map(|micros| *micros as f64 / 1e6);
                let bounds = bounds.chain([f64::INFINITY]);
                let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
                let set = [
                    ("protocol", PROTOCOLS[labels.protocol]),
                    ("cache", CacheResult::ALL[labels.cache].as_str()),
                ];
                let mut metric = family.encode_family(&set)?;
                let sum = histogram.sum_micros() as f64 / 1e6;
                metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "headwater_edge_responses_cut",
            "Answers that did not reach their end",
            None,
            MetricType::Counter,
        )?;
        for (end, count) in [(End::Failed, total.failed()), (End::Aborted, total.aborted())] {
            let set = [("end", end.as_str())];
            ConstCounter::new(count).encode(family.encode_family(&set)?)?;
        }
        let mut family = encoder.encode_descriptor(
            "headwater_edge_refused",
            "Requests that the edge refused by itself",
            None,
            MetricType::Counter,
        )?;
        for (by, count) in total.refusals() {
            ConstCounter::new(count).encode(family.encode_family(&[("by", by.as_str())])?)?;
        }
        let mut metric = encoder.encode_descriptor(
            "headwater_edge_requests_in_flight",
            "Requests whose answer has not ended",
            None,
            MetricType::Gauge,
        )?;
        metric.encode_gauge(&total.in_flight())
    }
}

/// Counts what passes.
#[derive(Clone, Debug)]
pub struct MetricsLayer {
    observer: Arc<Observer>,
}

impl<S> Layer<S> for MetricsLayer {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed::new(inner, Some(Arc::clone(&self.observer)))
    }
}
