//! The thread that formats and writes, and the queue it reads from.
//!
//! The thread looks at the queue every few milliseconds instead of sleeping on it: waking a thread
//! is a system call, and it would be paid by a request.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;

use super::record::Record;

/// How long the thread rests when the queue is empty: at first, and at most.
const REST: Duration = Duration::from_millis(5);
const LONG_REST: Duration = Duration::from_millis(40);
/// Bytes that are formatted before they are written.
const BATCH: usize = 64 << 10;
/// How long the end of a log may take when its sink blocks.
const PATIENCE: Duration = Duration::from_secs(2);

/// The side of the queue that requests see.
#[derive(Clone, Debug)]
pub(super) struct Sender(SyncSender<Record>);

impl Sender {
    /// Puts a record into the queue, or says that it is full. Never waits.
    pub(super) fn try_send(&self, record: Record) -> bool {
        self.0.try_send(record).is_ok()
    }
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
    capacity: usize,
    written: Counter,
    failed: Counter,
) -> io::Result<(Sender, LogWriter)>
where
    W: io::Write + Send + 'static,
{
    let (sender, receiver) = sync_channel(capacity);
    let stop = Arc::new(AtomicBool::new(false));
    let writer = Writer { sink, receiver, stop: Arc::clone(&stop), written, failed };
    let thread = thread::Builder::new().name("access-log".to_owned()).spawn(|| writer.run())?;
    Ok((Sender(sender), LogWriter { stop, thread: Some(thread) }))
}

struct Writer<W> {
    sink: W,
    receiver: Receiver<Record>,
    stop: Arc<AtomicBool>,
    written: Counter,
    failed: Counter,
}

impl<W: io::Write> Writer<W> {
    fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH + 4096);
        let mut rest = REST;
        loop {
            // Read before the queue is: what was queued before the stop is written.
            let stopping = self.stop.load(Ordering::Acquire);
            let mut lines = 0;
            let ended = loop {
                if batch.len() >= BATCH {
                    break false;
                }
                match self.receiver.try_recv() {
                    Ok(record) => {
                        record.write(&mut batch);
                        lines += 1;
                    }
                    Err(TryRecvError::Empty) => break stopping,
                    Err(TryRecvError::Disconnected) => break true,
                }
            };
            if lines > 0 {
                self.write(&batch, lines);
                batch.clear();
                rest = REST;
            } else if !ended {
                thread::park_timeout(rest);
                rest = (rest * 2).min(LONG_REST);
            }
            if ended {
                return;
            }
        }
    }

    /// A line that cannot be written is lost and counted; the next may fare better.
    fn write(&mut self, batch: &[u8], lines: u64) {
        match self.sink.write_all(batch).and_then(|()| self.sink.flush()) {
            Ok(()) => drop(self.written.inc_by(lines)),
            Err(_) => drop(self.failed.inc_by(lines)),
        }
    }
}
