//! Threads that read from disk for tasks that wait without blocking.
//!
//! The queue is bounded for those who have not begun an answer: past the bound they are refused,
//! and ask upstream. Who has begun one always gets in line; each such reader has at most two reads
//! there.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::folder::Region;

/// A read under way.
pub(crate) type Reading = oneshot::Receiver<io::Result<Bytes>>;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    line: Mutex<Line>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Line {
    reads: VecDeque<Read>,
    closed: bool,
}

#[derive(Debug)]
struct Read {
    region: Arc<Region>,
    offset: u64,
    len: usize,
    done: oneshot::Sender<io::Result<Bytes>>,
}

impl Reads {
    /// How many reads may wait before others are refused.
    const MOST: usize = 1024;

    /// Reads for someone who can still do without; `None` where too many wait.
    pub(crate) fn try_read(
        &self,
        region: &Arc<Region>,
        offset: u64,
        len: usize,
    ) -> Option<Reading> {
        let line = self.line();
        (line.reads.len() < Self::MOST).then(|| self.enter(line, region, offset, len))
    }

    /// Reads for someone who has begun.
    pub(crate) fn read(&self, region: &Arc<Region>, offset: u64, len: usize) -> Reading {
        self.enter(self.line(), region, offset, len)
    }

    fn enter(
        &self,
        mut line: MutexGuard<'_, Line>,
        region: &Arc<Region>,
        offset: u64,
        len: usize,
    ) -> Reading {
        let (done, reading) = oneshot::channel();
        // Dropped at once where no thread would take it: the reader is told.
        if !line.closed {
            line.reads.push_back(Read { region: Arc::clone(region), offset, len, done });
        }
        drop(line);
        self.changed.notify_one();
        reading
    }

    /// The work of one thread, until [`close`](Self::close).
    pub(crate) fn work(&self) {
        while let Some(read) = self.next() {
            // Nobody waits for it any more.
            if read.done.is_closed() {
                continue;
            }
            let bytes = read.region.read(read.offset, read.len).map(Bytes::from);
            let _ = read.done.send(bytes);
        }
    }

    fn next(&self) -> Option<Read> {
        let mut line = self.line();
        loop {
            if line.closed {
                line.reads.clear();
                return None;
            }
            if let Some(read) = line.reads.pop_front() {
                return Some(read);
            }
            line = self.changed.wait(line).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(crate) fn close(&self) {
        self.line().closed = true;
        self.changed.notify_all();
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
