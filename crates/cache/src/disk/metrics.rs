//! What a disk tier counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The counters of a disk tier; clones share them. Bytes written for each byte of responses
/// admitted, [`written_bytes`](Self::written_bytes) by [`admitted_bytes`](Self::admitted_bytes), is
/// its write amplification.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct DiskMetrics {
    /// Responses found on disk: those answered from there, and stale ones that upstream was asked
    /// to confirm.
    pub hits: Counter,
    /// Bytes of bodies read from disk.
    pub hit_bytes: Counter,
    /// Bytes of all regions.
    pub stored_bytes: Gauge,
    /// Responses in the index.
    pub stored_objects: Gauge,
    /// Bytes of memory that the index takes.
    pub index_bytes: Gauge,
    /// Responses that went with their region.
    pub evictions: Counter,
    /// Responses that were asked for since they were written, and written again when their region
    /// went.
    pub readmitted: Counter,
    /// Responses written because they were asked for often enough.
    pub admitted: Counter,
    /// Bytes of the records of [`admitted`](Self::admitted) responses.
    pub admitted_bytes: Counter,
    /// Bytes written, all of them.
    pub written_bytes: Counter,
    /// Responses not written because they were not asked for often enough.
    pub not_admitted: Counter,
    /// Responses not written because too much waited to be, or the disk failed.
    pub dropped_writes: Counter,
    /// Responses that left memory or were asked for again, and were not written because a newer one
    /// had come, or may have.
    pub outdated: Counter,
    /// Reads given up for want of memory or threads: upstream was asked instead.
    pub refused_reads: Counter,
    /// Records and blocks that were not what was written; none was served.
    pub bad_blocks: Counter,
    /// Reads that failed.
    pub read_errors: Counter,
    /// Writes that failed.
    pub write_errors: Counter,
    /// One while the disk takes no writes: it is full, or fails. Requests are answered from RAM and
    /// upstream, and from what can still be read.
    pub alarm: Gauge,
}

impl DiskMetrics {
    /// Adds the counters to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let counters = [
            ("hits", "Responses found on disk", &self.hits),
            ("hit_bytes", "Bytes of bodies read from disk", &self.hit_bytes),
            ("evictions", "Responses that went with their region", &self.evictions),
            ("readmitted", "Responses written again when their region went", &self.readmitted),
            ("admitted", "Responses written", &self.admitted),
            ("admitted_bytes", "Bytes of the records of responses written", &self.admitted_bytes),
            ("written_bytes", "Bytes written", &self.written_bytes),
            ("not_admitted", "Responses asked for too seldom to be written", &self.not_admitted),
            (
                "dropped_writes",
                "Responses the disk was too slow or broken for",
                &self.dropped_writes,
            ),
            ("outdated", "Responses not written as a newer one may have come", &self.outdated),
            ("refused_reads", "Reads given up for want of memory or threads", &self.refused_reads),
            ("bad_blocks", "Records and blocks that were not what was written", &self.bad_blocks),
            ("read_errors", "Reads that failed", &self.read_errors),
            ("write_errors", "Writes that failed", &self.write_errors),
        ];
        for (name, help, counter) in counters {
            registry.register(format!("headwater_cache_disk_{name}"), help, counter.clone());
        }
        let gauges = [
            ("stored_bytes", "Bytes of all regions", &self.stored_bytes),
            ("stored_objects", "Responses on disk", &self.stored_objects),
            ("index_bytes", "Bytes of memory that the index takes", &self.index_bytes),
            ("alarm", "One while the disk takes no writes", &self.alarm),
        ];
        for (name, help, gauge) in gauges {
            registry.register(format!("headwater_cache_disk_{name}"), help, gauge.clone());
        }
    }
}
