//! Bodies that are being read and sent: how many there may be, and how they ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::metrics::Metrics;

/// How many bodies are open, and how many may be. Each holds at most two windows of its source.
#[derive(Debug, Clone)]
pub(super) struct OpenBodies {
    count: Arc<AtomicUsize>,
    bound: usize,
}

impl OpenBodies {
    pub(super) fn new(bound: usize) -> Self {
        Self { count: Arc::default(), bound }
    }

    /// One more, unless there are as many as may be.
    pub(super) fn enter(&self, metrics: &Metrics) -> Option<OpenBody> {
        let room = |count: usize| (count < self.bound).then_some(count + 1);
        if self.count.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).is_err() {
            metrics.refused_bodies.inc();
            return None;
        }
        metrics.open_bodies.inc();
        Some(OpenBody { count: Arc::clone(&self.count), metrics: metrics.clone(), finished: false })
    }
}

/// An open body, counted until it is dropped.
#[derive(Debug)]
pub(super) struct OpenBody {
    count: Arc<AtomicUsize>,
    metrics: Metrics,
    finished: bool,
}

impl OpenBody {
    /// All of it was handed on.
    pub(super) fn finish(&mut self) {
        self.finished = true;
    }
}

impl Drop for OpenBody {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
        self.metrics.open_bodies.dec();
        if !self.finished {
            self.metrics.abandoned_bodies.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn no_more_than_the_bound_are_open_and_each_end_is_counted() {
        let (open, metrics) = (OpenBodies::new(2), Metrics::default());
        let mut first = open.enter(&metrics).unwrap();
        let second = open.enter(&metrics).unwrap();
        assert!(open.clone().enter(&metrics).is_none());
        first.finish();
        drop(first);
        assert!(open.enter(&metrics).is_some());
        drop(second);
        assert_eq!(metrics.open_bodies.get(), 0);
        assert_eq!((metrics.abandoned_bodies.get(), metrics.refused_bodies.get()), (2, 1));
    }
}
