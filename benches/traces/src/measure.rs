//! One policy of one size before one trace: what it found.

use serde::Serialize;

use crate::policy::Kind;
use crate::traffic::Trace;

/// Requests and bytes, and how many of them were hits.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Counted {
    pub requests: u64,
    pub hits: u64,
    pub bytes: u64,
    pub hit_bytes: u64,
    /// Of the requests, those that a viewer waits for before the first picture.
    pub starts: u64,
    pub start_hits: u64,
    /// Bytes that were stored meanwhile.
    pub written: u64,
}

impl Counted {
    /// One more request.
    pub fn add(&mut self, bytes: u32, starts: bool, hit: bool) {
        self.requests += 1;
        self.bytes += u64::from(bytes);
        self.starts += u64::from(starts);
        self.start_hits += u64::from(starts && hit);
        if hit {
            self.hits += 1;
            self.hit_bytes += u64::from(bytes);
        }
    }

    /// Hits of all requests, in per cent.
    pub fn hit_ratio(&self) -> f64 {
        100.0 * self.hits as f64 / self.requests.max(1) as f64
    }

    /// Hits of the requests that a viewer waits for before the first picture, in per cent.
    pub fn start_hit_ratio(&self) -> f64 {
        100.0 * self.start_hits as f64 / self.starts.max(1) as f64
    }

    /// Bytes of hits of all bytes, in per cent.
    pub fn byte_hit_ratio(&self) -> f64 {
        100.0 * self.hit_bytes as f64 / self.bytes.max(1) as f64
    }

    /// Bytes stored of all bytes that were asked for, in per cent.
    pub fn written_ratio(&self) -> f64 {
        100.0 * self.written as f64 / self.bytes.max(1) as f64
    }
}

/// So many requests fill the cache and are not counted: a third.
pub fn warmed_up(trace: &Trace) -> usize {
    trace.requests.len() / 3
}

/// What a policy of so many bytes finds.
pub fn measure(kind: Kind, capacity: u64, trace: &Trace) -> Counted {
    let mut policy = kind.build(capacity, trace);
    let mut counted = Counted::default();
    let mut before = 0;
    for (nth, request) in trace.requests.iter().enumerate() {
        let bytes = trace.objects.get(request.object as usize).map_or(0, |object| object.bytes);
        if nth == warmed_up(trace) {
            before = policy.written();
        }
        policy.passes(request.at_ms);
        let hit = policy.request(request.object, bytes);
        if nth >= warmed_up(trace) {
            counted.add(bytes, request.starts, hit);
        }
    }
    counted.written = policy.written() - before;
    counted
}
