//! The thread that formats and writes, and the queues it reads from: one for each layer, so that
//! workers share none.
//!
//! The thread looks at the queues every few milliseconds instead of sleeping on them: waking a
//! thread is a system call, and it would be paid by a request.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;

use super::builder::Format;
use super::filter::Filter;
use super::live::{Count, Watcher, Watching};
use super::record::{Facts, Page, Words};
use super::{combined, json};

/// How long the thread rests when the queues are empty: at first, and at most.
const REST: Duration = Duration::from_millis(5);
const LONG_REST: Duration = Duration::from_millis(40);
/// Bytes that are formatted before they are written.
const BATCH: usize = 64 << 10;
/// How long the end of a log may take when its sink blocks.
const PATIENCE: Duration = Duration::from_secs(2);
/// Records that a queue has room for from the beginning.
const ROOM: usize = 256;

/// Where layers get their queues from.
#[derive(Debug, Default)]
pub(super) struct Hub {
    watchers: Count,
    joining: Mutex<Joining>,
}

/// Queues and watchers that the thread has yet to take up.
#[derive(Debug, Default)]
struct Joining {
    queues: Vec<Arc<Queue>>,
    watchers: Vec<Watcher>,
    ended: bool,
}

impl Hub {
    /// A queue of its own for a layer, for so many records.
    pub(super) fn queue(&self, capacity: usize) -> Arc<Queue> {
        let mut joining = self.joining();
        let queue = Arc::new(Queue::new(capacity, joining.ended));
        if !joining.ended {
            joining.queues.push(Arc::clone(&queue));
        }
        queue
    }

    /// How many watch.
    pub(super) fn watchers(&self) -> Count {
        self.watchers.clone()
    }

    /// One more that watches; `None` where as many do as may.
    pub(super) fn watch(&self, filter: Filter) -> Option<Watching> {
        if !self.watchers.take() {
            return None;
        }
        let (watcher, watching) = Watcher::new(filter, self.watchers.clone());
        let mut joining = self.joining();
        if !joining.ended {
            joining.watchers.push(watcher);
        }
        Some(watching)
    }

    fn joining(&self) -> MutexGuard<'_, Joining> {
        self.joining.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the requests of one layer put their records into.
///
/// There are two pages. The thread holds each, in turn, for as long as it takes to put an empty
/// one in its place; a request that comes then writes on the other one. So a request waits for no
/// one but for requests on other threads, where these share its layer.
#[derive(Debug)]
pub(super) struct Queue {
    capacity: usize,
    pages: [Mutex<Open>; 2],
}

#[derive(Debug)]
struct Open {
    page: Page,
    ended: bool,
}

impl Queue {
    fn new(capacity: usize, ended: bool) -> Self {
        let open = |room| Mutex::new(Open { page: Page::with_room_for(room), ended });
        Self { capacity, pages: [open(ROOM.min(capacity)), open(0)] }
    }

    /// Copies a record into the queue, or says that it is full.
    pub(super) fn push(&self, facts: Facts, words: Words<'_>) -> bool {
        let mut open = self.free_page();
        let fits = !open.ended && open.page.len() < self.capacity;
        if fits {
            open.page.push(facts, words);
        }
        fits
    }

    fn free_page(&self) -> MutexGuard<'_, Open> {
        let [first, second] = &self.pages;
        // The thread may go on from the first to the second while they are tried.
        for page in [first, second, first] {
            match page.try_lock() {
                Ok(open) => return open,
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        held(first)
    }
}

fn held(page: &Mutex<Open>) -> MutexGuard<'_, Open> {
    page.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps the log's thread. When it is dropped, what is queued is written, and the log ends; a sink
/// that blocks is waited for two seconds.
#[derive(Debug)]
#[must_use = "the log ends when its writer is dropped"]
pub struct LogWriter {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl LogWriter {
    /// Writes what is queued and ends the log.
    pub fn finish(self) {
        drop(self);
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let Some(thread) = self.thread.take() else { return };
        thread.thread().unpark();
        let step = Duration::from_millis(1);
        let mut waited = Duration::ZERO;
        while !thread.is_finished() && waited < PATIENCE {
            thread::sleep(step);
            waited += step;
        }
    }
}

pub(super) fn start<W>(
    sink: W,
    (written, failed): (Counter, Counter),
) -> io::Result<(Arc<Hub>, LogWriter)>
where
    W: io::Write + Send + 'static,
{
    let hub = Arc::<Hub>::default();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = Writer {
        batch: Vec::with_capacity(BATCH + 4096),
        out: Out { sink, lines: 0, written, failed },
        hub: Arc::clone(&hub),
        queues: Vec::new(),
        watchers: Vec::new(),
        spare: Page::default(),
        stop: Arc::clone(&stop),
    };
    let thread = thread::Builder::new().name("access-log".to_owned()).spawn(|| writer.run())?;
    Ok((hub, LogWriter { stop, thread: Some(thread) }))
}

struct Writer<W> {
    hub: Arc<Hub>,
    queues: Vec<Arc<Queue>>,
    watchers: Vec<Watcher>,
    /// The empty page that is put in the place of the next one.
    spare: Page,
    stop: Arc<AtomicBool>,
    /// Lines that are formatted and not written.
    batch: Vec<u8>,
    out: Out<W>,
}

struct Out<W> {
    sink: W,
    /// Lines in the batch.
    lines: u64,
    written: Counter,
    failed: Counter,
}

impl<W: io::Write> Out<W> {
    /// A line that cannot be written is lost and counted; the next may fare better.
    fn write(&mut self, batch: &mut Vec<u8>) {
        let lines = std::mem::take(&mut self.lines);
        if lines == 0 {
            return;
        }
        match self.sink.write_all(batch).and_then(|()| self.sink.flush()) {
            Ok(()) => drop(self.written.inc_by(lines)),
            Err(_) => drop(self.failed.inc_by(lines)),
        }
        batch.clear();
    }
}

impl<W: io::Write> Writer<W> {
    fn run(mut self) {
        let mut rest = REST;
        loop {
            // Read before the queues are: what was queued before the stop is written.
            let stopping = self.stop.load(Ordering::Acquire);
            let mut joining = self.hub.joining();
            joining.ended = stopping;
            self.queues.append(&mut joining.queues);
            self.watchers.append(&mut joining.watchers);
            drop(joining);
            let found = self.empty_queues(stopping);
            if stopping {
                return;
            }
            match found {
                Found::Nothing => {}
                Found::Little => rest = REST,
                Found::Much => {
                    rest = REST;
                    continue;
                }
            }
            thread::park_timeout(rest);
            rest = (rest * 2).min(LONG_REST);
        }
    }

    /// Writes what is in the queues, and says how full the fullest was.
    fn empty_queues(&mut self, stopping: bool) -> Found {
        let Self { queues, watchers, spare, batch, out, .. } = self;
        let mut found = Found::Nothing;
        queues.retain(|queue| {
            // Looked at before the queue is emptied: nobody will fill it again.
            let left = Arc::strong_count(queue) == 1;
            for page in &queue.pages {
                let mut open = held(page);
                open.ended = stopping;
                if open.page.len() == 0 {
                    continue;
                }
                std::mem::swap(&mut open.page, spare);
                drop(open);
                found = found.max(Found::of(spare.len(), queue.capacity));
                for record in spare.records() {
                    for watcher in watchers.iter_mut() {
                        watcher.offer(&record);
                    }
                    match record.facts.logged {
                        None => continue,
                        Some(Format::Json) => json::write(&record, batch),
                        Some(Format::Combined) => combined::write(&record, batch),
                    }
                    out.lines += 1;
                    if batch.len() >= BATCH {
                        out.write(batch);
                    }
                }
                spare.clear();
            }
            !left
        });
        // Those who watch do not wait for a disk that is slow.
        watchers.retain_mut(Watcher::hand_over);
        out.write(batch);
        found
    }
}

/// How full the fullest queue was.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    Nothing,
    Little,
    /// So much that the next look is due at once.
    Much,
}

impl Found {
    fn of(records: usize, capacity: usize) -> Self {
        if records > capacity / 4 { Self::Much } else { Self::Little }
    }
}
