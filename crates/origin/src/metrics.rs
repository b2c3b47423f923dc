//! What a shield counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The counters of one shield; clones share them.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Metrics {
    /// Manifests that taught the map something.
    pub manifests_learnt: Counter,
    /// Manifests that could not be read and were passed on all the same.
    pub manifests_malformed: Counter,
    /// Manifests larger than is read, passed on all the same.
    pub manifests_too_large: Counter,
    /// Manifests passed on unread because several large ones were being read.
    pub manifests_skipped: Counter,
    /// Presentations the map holds.
    pub map_presentations: Gauge,
    /// Bytes the map holds.
    pub map_bytes: Gauge,
    /// Requests for segments the map knows.
    pub segment_requests: Counter,
    /// Prefetches sent into the cache.
    pub prefetch_issued: Counter,
    /// Those that found the object stored already.
    pub prefetch_redundant: Counter,
    /// Prefetched objects that were then asked for.
    pub prefetch_used: Counter,
    /// Their bytes.
    pub prefetch_used_bytes: Counter,
    /// Those that were asked for while they were being fetched, so that the request joined in.
    pub prefetch_promoted: Counter,
    /// Prefetched objects that nobody asked for within the window.
    pub prefetch_wasted: Counter,
    /// Their bytes, and those of prefetches that came to nothing.
    pub prefetch_wasted_bytes: Counter,
    /// Prefetches given up: their session went elsewhere or fell silent, or a real request needed
    /// the place at the origin.
    pub prefetch_cancelled: Counter,
    /// Prefetches that failed: no answer, no success, or a body cut short.
    pub prefetch_failed: Counter,
    /// Prefetches given up because the object is larger than is fetched ahead.
    pub prefetch_too_large: Counter,
    /// Prefetches not sent because the queue was full.
    pub prefetch_dropped: Counter,
    /// Prefetches not sent because the budget was spent, or the origin filled to its share.
    pub prefetch_refused: Counter,
    /// Bytes prefetched.
    pub prefetch_bytes: Counter,
    /// Messages of hints taken from edges.
    pub hint_messages: Counter,
    /// Hints taken from edges.
    pub hints_taken: Counter,
    /// Messages of hints refused: from strangers, or malformed.
    pub hints_refused: Counter,
    /// Manifests and errors at the live edge whose lifetime was shortened.
    pub live_shortened: Counter,
    /// Requests sent to origins, retries among them.
    pub origin_requests: Counter,
    /// Requests sent again to another origin.
    pub origin_retries: Counter,
    /// Retries that the budget forbade.
    pub origin_retries_refused: Counter,
    /// Requests not sent because the origin had too many already.
    pub origin_busy: Counter,
    /// Answers that never came, came too late, or were 502, 503 or 504.
    pub origin_failures: Counter,
    /// Bodies of origins that broke off, whether they could be resumed or not; those of resumed parts that
    /// broke off again among them.
    pub origin_broken: Counter,
    /// Bodies that broke off and were resumed.
    pub bodies_resumed: Counter,
    /// Those of [`origin_broken`](Self::origin_broken) that had a length and a strong validator, and could
    /// not be resumed after all, or no more. One without is lost when it breaks off, and not counted here.
    pub bodies_lost: Counter,
    /// Requests sent to peers.
    pub peer_requests: Counter,
    /// Those that a peer did not answer, or not in time, and that went to an origin.
    pub peer_failures: Counter,
    /// Peers that are down.
    pub peers_down: Gauge,
    /// Requests sent to another origin because one was slow.
    pub origin_hedges: Counter,
    /// Those whose answer began first.
    pub origin_hedges_won: Counter,
    /// Origins that are down.
    pub origins_down: Gauge,
}

impl Metrics {
    /// Adds the counters to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let counters = [
            ("manifests_learnt", "Manifests that taught the map", &self.manifests_learnt),
            ("manifests_malformed", "Manifests that could not be read", &self.manifests_malformed),
            ("manifests_too_large", "Manifests too large to read", &self.manifests_too_large),
            ("manifests_skipped", "Manifests passed on unread", &self.manifests_skipped),
            ("segment_requests", "Requests for known segments", &self.segment_requests),
            ("prefetch_issued", "Prefetches sent into the cache", &self.prefetch_issued),
            ("prefetch_redundant", "Prefetches of what was stored", &self.prefetch_redundant),
            ("prefetch_used", "Prefetched objects asked for later", &self.prefetch_used),
            ("prefetch_used_bytes", "Bytes of objects asked for later", &self.prefetch_used_bytes),
            ("prefetch_promoted", "Prefetches joined by a request", &self.prefetch_promoted),
            ("prefetch_wasted", "Prefetched objects nobody asked for", &self.prefetch_wasted),
            ("prefetch_wasted_bytes", "Bytes prefetched for nobody", &self.prefetch_wasted_bytes),
            ("prefetch_cancelled", "Prefetches given up", &self.prefetch_cancelled),
            ("prefetch_failed", "Prefetches that failed", &self.prefetch_failed),
            ("prefetch_too_large", "Prefetches of what is too large", &self.prefetch_too_large),
            ("prefetch_dropped", "Prefetches the queue had no place for", &self.prefetch_dropped),
            ("prefetch_refused", "Prefetches refused by the budget", &self.prefetch_refused),
            ("prefetch_bytes", "Bytes prefetched", &self.prefetch_bytes),
            ("hint_messages", "Messages of hints from edges", &self.hint_messages),
            ("hints_taken", "Hints taken from edges", &self.hints_taken),
            ("hints_refused", "Messages of hints refused", &self.hints_refused),
            ("live_shortened", "Lifetimes cut short at the live edge", &self.live_shortened),
            ("requests", "Requests sent to origins", &self.origin_requests),
            ("retries", "Requests sent again to another origin", &self.origin_retries),
            ("retries_refused", "Retries the budget forbade", &self.origin_retries_refused),
            ("busy", "Requests not sent: the origin had too many", &self.origin_busy),
            ("failures", "Requests that an origin failed", &self.origin_failures),
            ("bodies_broken", "Bodies of origins that broke off", &self.origin_broken),
            ("bodies_resumed", "Bodies that were resumed", &self.bodies_resumed),
            (
                "bodies_lost",
                "Bodies with a strong validator that broke off and were not resumed",
                &self.bodies_lost,
            ),
            ("peer_requests", "Requests sent to peers", &self.peer_requests),
            ("peer_failures", "Requests that a peer failed", &self.peer_failures),
            ("hedges", "Requests sent twice: an origin was slow", &self.origin_hedges),
            ("hedges_won", "Hedges whose answer began first", &self.origin_hedges_won),
        ];
        for (name, help, counter) in counters {
            registry.register(format!("headwater_origin_{name}"), help, counter.clone());
        }
        let gauges = [
            ("map_presentations", "Presentations in the segment map", &self.map_presentations),
            ("map_bytes", "Bytes of the segment map", &self.map_bytes),
            ("peers_down", "Peers that are down", &self.peers_down),
            ("down", "Origins that are down", &self.origins_down),
        ];
        for (name, help, gauge) in gauges {
            registry.register(format!("headwater_origin_{name}"), help, gauge.clone());
        }
    }
}
