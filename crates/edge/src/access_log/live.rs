//! Live views: lines of a log as they come, for who watches.
//!
//! While nobody does, a request pays for one look at a number. Who watches gets the lines that a
//! [`Filter`] takes, as JSON, whatever the log's format and sample: each has a queue of
//! [`CHUNKS`] chunks, and who reads slower than lines come loses lines and is told how many, by a line
//! `{"lost":17}`. Nobody else waits or loses anything by it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_net::BodyError;
use http_body::{Body as HttpBody, Frame};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::filter::Filter;
use super::json;
use super::record::Record;

/// The most that may watch one log at a time.
pub const MAX_WATCHERS: usize = 8;

/// Chunks that may wait for one watcher, each of [`CHUNK`] bytes and a line at most.
const CHUNKS: usize = 8;
const CHUNK: usize = 32 << 10;

/// How many watch: read by each request, written when one comes or goes.
#[derive(Clone, Debug, Default)]
pub(super) struct Count(Arc<AtomicUsize>);

impl Count {
    pub(super) fn is_watched(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    /// A place for one more, where there is one.
    pub(super) fn take(&self) -> bool {
        let one_more = |count| (count < MAX_WATCHERS).then_some(count + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }
}

/// Lines of a log as they come: a body of JSON lines, which ends with the log. Dropped, it is watched
/// no more.
#[derive(Debug)]
pub struct Watching {
    chunks: mpsc::Receiver<Bytes>,
}

impl HttpBody for Watching {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.chunks.poll_recv(cx).map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

/// One that watches, as the log's thread sees it.
#[derive(Debug)]
pub(super) struct Watcher {
    filter: Filter,
    chunks: mpsc::Sender<Bytes>,
    /// Lines that are not handed over, and how many.
    pending: Vec<u8>,
    lines: u64,
    lost: u64,
    count: Count,
}

impl Watcher {
    /// One whose place has been taken in `count`; it is given back when this is dropped.
    pub(super) fn new(filter: Filter, count: Count) -> (Self, Watching) {
        let (sender, chunks) = mpsc::channel(CHUNKS);
        let pending = Vec::new();
        (Self { filter, chunks: sender, pending, lines: 0, lost: 0, count }, Watching { chunks })
    }

    pub(super) fn offer(&mut self, record: &Record<'_>) {
        if !self.filter.takes(record) {
            return;
        }
        json::write(record, &mut self.pending);
        self.lines += 1;
        if self.pending.len() >= CHUNK {
            self.hand_over();
        }
    }

    /// Hands over what is pending, or loses it; says whether anybody watches still.
    pub(super) fn hand_over(&mut self) -> bool {
        if self.lines == 0 {
            return !self.chunks.is_closed();
        }
        let lines = std::mem::take(&mut self.lines);
        let mut chunk = std::mem::take(&mut self.pending);
        if self.lost > 0 {
            let told = format!("{{\"lost\":{}}}\n", self.lost);
            chunk.splice(..0, told.into_bytes());
        }
        match self.chunks.try_send(chunk.into()) {
            Ok(()) => self.lost = 0,
            Err(TrySendError::Full(_)) => self.lost += lines,
            Err(TrySendError::Closed(_)) => return false,
        }
        true
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.count.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::super::record::Page;
    use super::super::record::tests::{WORDS, facts};
    use super::*;

    /// Limit: what waits for one that reads slowly.
    #[test]
    fn who_reads_slowly_loses_lines_and_is_told_how_many() {
        let count = Count::default();
        assert!(count.take() && count.is_watched());
        let (mut watcher, mut watching) = Watcher::new(Filter::default(), count.clone());
        let mut page = Page::default();
        page.push(facts(), WORDS);
        let record = page.records().next().unwrap();
        for _ in 0..CHUNKS + 3 {
            watcher.offer(&record);
            assert!(watcher.hand_over());
        }
        for _ in 0..CHUNKS {
            assert!(watching.chunks.try_recv().unwrap().starts_with(b"{\"time\""));
        }
        watcher.offer(&record);
        assert!(watcher.hand_over());
        let chunk = watching.chunks.try_recv().unwrap();
        assert!(chunk.starts_with(b"{\"lost\":3}\n{\"time\""), "{chunk:?}");
        drop(watching);
        assert!(!watcher.hand_over(), "nobody watches any more");
        drop(watcher);
        assert!(!count.is_watched());
    }

    /// Limit: MAX_WATCHERS.
    #[test]
    fn so_many_may_watch() {
        let count = Count::default();
        let taken = (0..MAX_WATCHERS + 2).filter(|_| count.take()).count();
        assert_eq!(taken, MAX_WATCHERS);
    }
}
