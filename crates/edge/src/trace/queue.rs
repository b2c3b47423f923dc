//! Spans that wait for a collector: no more than a bound, which may change while they wait.
//!
//! What comes when it is full is not taken. One that is made smaller lets go of nothing: what waits is
//! sent, and nothing is taken before there is room.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Span;

/// See the module. Many put in; one takes out.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    more: Notify,
}

#[derive(Debug)]
struct Waiting {
    spans: VecDeque<Span>,
    bound: usize,
    closed: bool,
}

impl Queue {
    pub(super) fn new(bound: usize) -> Self {
        let waiting = Waiting { spans: VecDeque::new(), bound: bound.max(1), closed: false };
        Self { waiting: Mutex::new(waiting), more: Notify::new() }
    }

    /// So many may wait from now on.
    pub(super) fn set_bound(&self, bound: usize) {
        self.lock().bound = bound.max(1);
    }

    /// Whether there was room, and somebody who takes it.
    pub(super) fn put(&self, span: Span) -> bool {
        let mut waiting = self.lock();
        if waiting.closed || waiting.spans.len() >= waiting.bound {
            return false;
        }
        waiting.spans.push_back(span);
        drop(waiting);
        self.more.notify_one();
        true
    }

    /// Nothing more is put in.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.more.notify_one();
    }

    /// Takes what waits now, until `batch` holds `most`.
    pub(super) fn take(&self, batch: &mut Vec<Span>, most: usize) {
        let mut waiting = self.lock();
        let count = most.saturating_sub(batch.len()).min(waiting.spans.len());
        batch.extend(waiting.spans.drain(..count));
    }

    /// As [`Queue::take`], when there is something; nothing is taken once it is closed and empty. Dropped
    /// before it is done, it has taken nothing.
    pub(super) async fn wait(&self, batch: &mut Vec<Span>, most: usize) {
        loop {
            {
                let waiting = self.lock();
                if waiting.closed || !waiting.spans.is_empty() {
                    break;
                }
            }
            self.more.notified().await;
        }
        self.take(batch, most);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // What is guarded is valid at every step.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use headwater_net::Timestamp;
    use http::Method;

    use super::*;
    use crate::cache_result::CacheResult;
    use crate::trace::TraceContext;

    fn span(number: u64) -> Span {
        Span {
            context: TraceContext { trace: 1, span: number, sampled: true },
            parent: None,
            began: Timestamp::from_millis(0),
            micros: 0,
            method: Method::GET,
            path: String::new(),
            protocol: None,
            status: 200,
            cache: CacheResult::None,
        }
    }

    fn taken(queue: &Queue, most: usize) -> Vec<u64> {
        let mut batch = Vec::new();
        queue.take(&mut batch, most);
        batch.iter().map(|span| span.context.span).collect()
    }

    #[test]
    fn no_more_wait_than_the_bound_of_the_moment() {
        let queue = Queue::new(2);
        assert_eq!([1, 2, 3].map(|number| queue.put(span(number))), [true, true, false]);
        queue.set_bound(4);
        assert_eq!([4, 5, 6].map(|number| queue.put(span(number))), [true, true, false]);
        queue.set_bound(2);
        assert!(!queue.put(span(7)));
        assert_eq!(taken(&queue, 2), [1, 2], "what waited is there, the first first");
        assert!(!queue.put(span(8)), "two wait");
        assert_eq!(taken(&queue, 9), [4, 5]);
        assert!(queue.put(span(9)));
    }

    #[tokio::test]
    async fn who_waits_has_what_comes_and_the_end() {
        let queue = std::sync::Arc::new(Queue::new(8));
        let mut batch = Vec::new();
        let puts = std::sync::Arc::clone(&queue);
        let put = tokio::spawn(async move { puts.put(span(1)) });
        queue.wait(&mut batch, 8).await;
        assert!(put.await.is_ok_and(|put| put));
        assert_eq!(batch.len(), 1);
        assert!(queue.put(span(2)));
        queue.close();
        assert!(!queue.put(span(3)), "nobody will take it");
        queue.wait(&mut batch, 8).await;
        assert_eq!(batch.len(), 2);
        queue.wait(&mut batch, 8).await;
        assert_eq!(batch.len(), 2, "that is the end");
    }
}
