//! What the packager counts.

use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use prometheus_client::registry::Registry;

/// Counters of a [`Packager`](super::Packager) and its clones. Cheap to clone; clones count
/// together.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Indexes of assets that were built.
    pub index_builds: Counter,
    /// Indexes of assets that could not be built.
    pub index_build_failures: Counter,
    /// Memory that cached indexes hold, in bytes.
    pub index_cache_bytes: Gauge,
    /// Layouts that were made: resources whose source was read before their length was known.
    pub layouts: Counter,
    /// Requests for media segments that were answered, wholly or in part.
    pub segments: Counter,
    /// Bytes read from sources for media, with those between joined ranges.
    pub source_read_bytes: Counter,
    /// Reads of sources for media: system calls for local files, requests to stores. Those that a
    /// cache of blocks answered are not among them.
    pub source_reads: Counter,
    /// Bytes of media that were copied in memory on their way from source to client.
    pub copied_bytes: Counter,
    /// Bytes of bodies handed on.
    pub sent_bytes: Counter,
}

impl Metrics {
    /// Makes the counters visible as `headwater_packager_…`.
    pub fn register(&self, registry: &mut Registry) {
        let mut counter = |name: &str, help: &str, counter: &Counter| {
            registry.register(format!("headwater_packager_{name}"), help, counter.clone());
        };
        counter("index_builds", "Indexes of assets built", &self.index_builds);
        counter(
            "index_build_failures",
            "Indexes of assets that could not be built",
            &self.index_build_failures,
        );
        counter("layouts", "Layouts of resources made by reading their source", &self.layouts);
        counter("segments", "Requests for media segments answered", &self.segments);
        counter("source_read_bytes", "Bytes read from sources for media", &self.source_read_bytes);
        counter("source_reads", "Reads of sources for media", &self.source_reads);
        counter("copied_bytes", "Bytes of media copied in memory", &self.copied_bytes);
        counter("sent_bytes", "Bytes of bodies handed on", &self.sent_bytes);
        registry.register(
            "headwater_packager_index_cache_bytes",
            "Memory that cached indexes hold",
            self.index_cache_bytes.clone(),
        );
    }
}
