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
    /// Indexes that are being built, or wait for their turn.
    pub index_builds_open: Gauge,
    /// Requests that were answered 503 because too many indexes were being built.
    pub refused_builds: Counter,
    /// Requests that wait for an index.
    pub waiting_requests: Gauge,
    /// Requests that were answered 503 because too many waited.
    pub refused_requests: Counter,
    /// Memory that cached indexes hold, in bytes.
    pub index_cache_bytes: Gauge,
    /// Sources that cached indexes hold open.
    pub open_sources: Gauge,
    /// Bodies that are being read from sources and sent.
    pub open_bodies: Gauge,
    /// Requests that were answered 503 because too many bodies were open.
    pub refused_bodies: Counter,
    /// Bodies that ended early: their client left, or their source failed.
    pub abandoned_bodies: Counter,
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
        for (name, help, counter) in [
            ("index_builds", "Indexes of assets built", &self.index_builds),
            (
                "index_build_failures",
                "Indexes of assets that could not be built",
                &self.index_build_failures,
            ),
            ("refused_builds", "Requests refused for want of builds", &self.refused_builds),
            ("refused_requests", "Requests refused for want of room", &self.refused_requests),
            ("refused_bodies", "Segments refused for want of room", &self.refused_bodies),
            ("abandoned_bodies", "Segments that ended early", &self.abandoned_bodies),
            ("layouts", "Layouts of resources made by reading their source", &self.layouts),
            ("segments", "Requests for media segments answered", &self.segments),
            ("source_read_bytes", "Bytes read from sources for media", &self.source_read_bytes),
            ("source_reads", "Reads of sources for media", &self.source_reads),
            ("copied_bytes", "Bytes of media copied in memory", &self.copied_bytes),
            ("sent_bytes", "Bytes of bodies handed on", &self.sent_bytes),
        ] {
            registry.register(format!("headwater_packager_{name}"), help, counter.clone());
        }
        for (name, help, gauge) in [
            ("index_builds_open", "Indexes being built or waiting for it", &self.index_builds_open),
            ("waiting_requests", "Requests that wait for an index", &self.waiting_requests),
            ("index_cache_bytes", "Memory that cached indexes hold", &self.index_cache_bytes),
            ("open_sources", "Sources that cached indexes hold open", &self.open_sources),
            ("open_bodies", "Segments being sent", &self.open_bodies),
        ] {
            registry.register(format!("headwater_packager_{name}"), help, gauge.clone());
        }
    }
}
