//! How a disk tier is described and opened: its bounds, its folder, its threads.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use super::admission::Admission;
use super::folder::Folder;
use super::load::FIRST;
use super::queue::Queue;
use super::reads::Reads;
use super::recover::Recovered;
use super::{Disk, DiskMetrics, Limits, Shared, recover, writer};
use crate::Error;
use crate::purge::PurgeLog;

/// Where, in a tier's folder, lies what was purged: its responses outlive a restart, and so do
/// purges of them.
const PURGES: &str = "purges.log";

/// Describes a [`Disk`].
#[must_use = "a builder does nothing until open is called"]
#[derive(Clone, Debug)]
pub struct DiskBuilder {
    dir: PathBuf,
    bytes: u64,
    region: Option<u64>,
    whole: u64,
    write_queue: u64,
    read_memory: u64,
    read_threads: usize,
    selective: bool,
    pub(super) rest: Duration,
    #[cfg(test)]
    pub(super) faults: super::faults::Faults,
}

impl DiskBuilder {
    pub(super) fn new(dir: &Path, bytes: u64) -> Self {
        Self {
            dir: dir.to_owned(),
            bytes,
            region: None,
            whole: 4 << 20,
            write_queue: 64 << 20,
            read_memory: 64 << 20,
            read_threads: 4,
            selective: true,
            rest: Duration::from_secs(30),
            #[cfg(test)]
            faults: super::faults::Faults::default(),
        }
    }

    /// Bytes of a region, the unit that is let go: as a power of two between 64 KiB and 1 GiB, at
    /// most a quarter of the disk. By default 64 MiB, less on disks below 1 GiB and more on those
    /// above 64 GiB. No response larger than this is kept on disk.
    pub fn region(mut self, bytes: u64) -> Self {
        self.region = Some(bytes);
        self
    }

    /// The largest response that is read in one piece, all of it proved before its first byte is
    /// sent, and put into memory; default 4 MiB. Larger ones stream from disk, block by block.
    pub fn promote(mut self, bytes: u64) -> Self {
        self.whole = bytes;
        self
    }

    /// Bytes of bodies that may wait to be written; default 64 MiB. Past it, responses are not
    /// written.
    pub fn write_queue(mut self, bytes: u64) -> Self {
        self.write_queue = bytes;
        self
    }

    /// Bytes that may be read into at a time before an answer begins; default 64 MiB, and not less
    /// than [`promote`](Self::promote). Requests wait for it; past 1,024 that wait, they go
    /// upstream.
    pub fn read_memory(mut self, bytes: u64) -> Self {
        self.read_memory = bytes;
        self
    }

    /// Threads that read; default 4, at least one.
    pub fn read_threads(mut self, threads: usize) -> Self {
        self.read_threads = threads.clamp(1, 256);
        self
    }

    /// Whether a full disk takes only what is asked for more often than what it would replace;
    /// default true. Without, everything is written.
    pub fn selective(mut self, selective: bool) -> Self {
        self.selective = selective;
        self
    }

    /// Takes the folder, reads what is in it, and starts the tier's threads. Blocks: about a second
    /// for two million responses.
    ///
    /// # Errors
    /// [`Error::InUse`] when another process has the folder, [`Error::Folder`] when it cannot be
    /// used.
    pub fn open(self) -> Result<Disk, Error> {
        let failed = |source| self.failed(source);
        let (folder, found) = self.take()?;
        let purges = PurgeLog::open(self.dir.join(PURGES)).map_err(failed)?;
        let bytes = self.bytes.max(1 << 20);
        let standard = (bytes / 1024).max(bytes.min(1 << 30) / 16).max(64 << 10);
        let region = self.region.unwrap_or(standard).min(bytes / 4);
        let limits = Limits {
            bytes,
            // Rounded down to a power of two.
            region_bytes: 1 << region.clamp(64 << 10, 1 << 30).ilog2(),
            whole: self.whole,
            rest: self.rest,
        };
        // Of 16 KiB each, roughly.
        let responses = bytes >> 14;
        let memory = self.read_memory.max(self.whole).max(FIRST as u64) >> 10;
        let shared = Arc::new(Shared {
            seed: folder.seed,
            index: found.index,
            regions: RwLock::new(found.regions),
            queue: Queue::new(self.write_queue, responses),
            reads: Arc::new(Reads::default()),
            memory: Semaphore::new(usize::try_from(memory + 1).unwrap_or(usize::MAX).min(1 << 30)),
            waiting: AtomicUsize::new(0),
            metrics: DiskMetrics::default(),
            limits,
            ledger: OnceLock::new(),
            ended: Mutex::new(None),
        });
        for _ in 0..self.read_threads {
            let reads = Arc::clone(&shared.reads);
            thread("cache-read", move || reads.work()).map_err(failed)?;
        }
        self.write(&shared, folder, found.closed)?;
        Ok(Disk { shared, described: self, purges: Some(purges) })
    }

    /// Opens again what was closed. Blocks as [`open`](Self::open) does.
    pub(super) fn reopen(&self, shared: &Arc<Shared>) -> Result<(), Error> {
        let (folder, found) = self.take()?;
        if folder.seed != shared.seed {
            return Err(self.failed(io::Error::other("another cache has begun it anew")));
        }
        *shared.regions_mut() = found.regions;
        shared.queue.reopen(&shared.index, found.index);
        self.write(shared, folder, found.closed).inspect_err(|_| shared.queue.close())
    }

    /// Takes the folder and reads what is in it.
    fn take(&self) -> Result<(Folder, Recovered), Error> {
        #[cfg_attr(not(test), expect(unused_mut, reason = "tests put faults in"))]
        let mut folder = Folder::open(&self.dir)?;
        #[cfg(test)]
        folder.faults.clone_from(&self.faults);
        let found = recover::recover(&folder).map_err(|source| self.failed(source))?;
        Ok((folder, found))
    }

    /// Starts the thread that writes, after the regions that there are.
    fn write(
        &self,
        shared: &Arc<Shared>,
        folder: Folder,
        closed: VecDeque<(u32, u64)>,
    ) -> Result<(), Error> {
        let mut admission = Admission::new(shared.limits.bytes >> 14);
        admission.set_selective(self.selective);
        let writer = writer::Writer::new(Arc::clone(shared), folder, admission, closed);
        let (running, ended) = watch::channel(());
        let work = move || {
            writer.run();
            drop(running);
        };
        thread("cache-write", work).map_err(|source| self.failed(source))?;
        *shared.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
        Ok(())
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Folder { path: self.dir.clone(), source }
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}
