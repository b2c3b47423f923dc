//! What a cache counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::disk::DiskMetrics;

/// The counters of one cache; clones share them.
///
/// The hit ratio of a tier is its hits by all requests: `hits - hits_from_disk` of RAM and
/// `hits_from_disk` of the disk tier, by `hits + misses + passed`.
///
/// Register each cache under a label of its own where one process holds several:
/// `metrics.register(registry.sub_registry_with_label(("cache".into(), "edge".into())))`.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Metrics {
    /// Requests answered from a stored response without asking upstream.
    pub hits: Counter,
    /// Those of [`hits`](Self::hits) that were answered by a stale response.
    pub stale: Counter,
    /// Those of [`hits`](Self::hits) that read the response, or what they sent first of it, from the
    /// disk tier; the others were answered from RAM.
    pub hits_from_disk: Counter,
    /// Requests that had to wait for upstream, their own fetch or one in flight.
    pub misses: Counter,
    /// Those of [`misses`](Self::misses) that joined a fill started by another request.
    pub collapsed: Counter,
    /// Stored responses that upstream confirmed by a 304.
    pub revalidated: Counter,
    /// Requests that went past the cache: other methods, bypasses, answers nobody may share.
    pub passed: Counter,
    /// Fills started.
    pub fills: Counter,
    /// Fills that failed: no answer, or a body cut short.
    pub fills_failed: Counter,
    /// Fills given up because nobody waited for them any more.
    pub fills_abandoned: Counter,
    /// Requests refused because there were as many fills as there may be.
    pub fills_refused: Counter,
    /// Requests past the cache that had to wait in line for upstream.
    pub passes_queued: Counter,
    /// Those of [`passes_queued`](Self::passes_queued) that were refused because the wait was too
    /// long.
    pub passes_refused: Counter,
    /// Followers reset because they lagged past the window of a fill that is not kept.
    pub followers_reset: Counter,
    /// Purges done, repetitions counted.
    pub purges: Counter,
    /// Records of purges that lookups are compared with.
    pub purge_records: Gauge,
    /// Keys that left the RAM tier for want of room.
    pub evictions: Counter,
    /// Bytes in the RAM tier.
    pub stored_bytes: Gauge,
    /// Keys in the RAM tier.
    pub stored_objects: Gauge,
    /// Bytes held by fills beside the RAM tier: those in flight, and finished ones that are not
    /// stored (any more) but still read.
    pub fill_bytes: Gauge,
    /// What its disk tier counts, if it has one.
    pub disk: Option<DiskMetrics>,
}

impl Metrics {
    /// Adds the counters to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let counters = [
            ("hits", "Requests answered from store", &self.hits),
            ("stale", "Hits answered by a stale response", &self.stale),
            ("hits_from_disk", "Hits answered from the disk tier", &self.hits_from_disk),
            ("misses", "Requests that waited for upstream", &self.misses),
            ("collapsed", "Misses that joined a fill in flight", &self.collapsed),
            ("revalidated", "Stored responses confirmed by a 304", &self.revalidated),
            ("passed", "Requests that went past the cache", &self.passed),
            ("fills", "Fills started", &self.fills),
            ("fills_failed", "Fills that failed", &self.fills_failed),
            ("fills_abandoned", "Fills given up because nobody waited", &self.fills_abandoned),
            ("fills_refused", "Requests refused for too many fills", &self.fills_refused),
            ("passes_queued", "Requests that waited in line for upstream", &self.passes_queued),
            ("passes_refused", "Requests refused after too long a wait", &self.passes_refused),
            ("followers_reset", "Followers that lagged past the window", &self.followers_reset),
            ("purges", "Purges done", &self.purges),
            ("evictions", "Keys that left the RAM tier for want of room", &self.evictions),
        ];
        for (name, help, counter) in counters {
            registry.register(format!("headwater_cache_{name}"), help, counter.clone());
        }
        let gauges = [
            ("purge_records", "Records of purges", &self.purge_records),
            ("stored_bytes", "Bytes in the RAM tier", &self.stored_bytes),
            ("stored_objects", "Keys in the RAM tier", &self.stored_objects),
            ("fill_bytes", "Bytes held by fills beside the RAM tier", &self.fill_bytes),
        ];
        for (name, help, gauge) in gauges {
            registry.register(format!("headwater_cache_{name}"), help, gauge.clone());
        }
        if let Some(disk) = &self.disk {
            disk.register(registry);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn two_caches_share_a_registry_under_labels() {
        let mut registry = Registry::default();
        for name in ["edge", "shield"] {
            let metrics = Metrics::default();
            metrics.hits.inc();
            let label = ("cache".into(), name.into());
            metrics.register(registry.sub_registry_with_label(label));
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "headwater_cache_hits_total{cache=\"edge\"} 1",
            "headwater_cache_stored_bytes{cache=\"shield\"} 0",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
