//! The disk tier: what survives a restart, and what does not fit into memory.
//!
//! Responses are appended to regions, files of some megabytes that are never changed and go as a
//! whole, the oldest first; an index in memory says where each lies. What was asked for again is
//! written again when its region goes, and once the disk is full only what is asked for more often
//! than that is written at all.
//!
//! # What it promises
//! - No byte is served that is not what was written: every block has a checksum, and a bad one is
//!   a miss, or breaks an answer off that has begun.
//! - A process that is killed loses at most what waited to be written. What was replaced or taken
//!   back before an answer said so does not come back.
//! - Neither reads nor writes block a task, or delay a fetch: they wait in bounded queues for
//!   threads of this tier, and what finds its queue full is not read or written.
//! - A disk that is full or fails costs hits, and nothing else: the tier goes on without writes,
//!   tells so ([`DiskMetrics::alarm`]), and tries again.
//! - Index memory is at most 40 bytes a response, two for the memory of what was asked for, and eight
//!   for the memory of what was taken back, of a million responses at most.
//!
//! # How it is built
//! Pure: [`record`] and [`region`] (layouts), [`meta`] (a head as bytes), [`index`], [`admission`]
//! and [`evict`] (decisions), [`queue`] (what still counts). The shell: [`folder`] (files),
//! [`recover`] (a restart), [`writer`] and [`reads`] (threads), [`load`] (a record), [`blocks`] (a body
//! as a stream).

mod admission;
mod blocks;
mod builder;
mod cursor;
mod evict;
#[cfg(test)]
mod faults;
mod folder;
mod index;
mod load;
mod meta;
mod metrics;
mod queue;
mod reads;
mod record;
mod recover;
mod region;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use http::HeaderMap;
use tokio::sync::{Semaphore, watch};
use twox_hash::XxHash3_128;

pub(crate) use blocks::DiskBody;
pub use builder::DiskBuilder;
pub use metrics::DiskMetrics;
pub(crate) use record::Place;

use crate::Error;
use crate::key::Key;
use crate::object::Object;
use crate::purge::ledger::Ledger;
use crate::purge::{PurgeLog, PurgeSeq};
use folder::Region;
use index::Index;
use load::Loaded;
use queue::{Queue, Reason, Taken};
use reads::Reads;

/// What a tier may take and do.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Bytes that all regions take.
    bytes: u64,
    region_bytes: u64,
    /// The largest record that is read in one piece, and then may go into memory.
    whole: u64,
    /// The longest pause of a failing disk.
    rest: Duration,
}

impl Limits {
    /// The largest record.
    fn record(&self) -> u64 {
        self.region_bytes - (region::HEADER + region::ITEM + region::TRAILER) as u64
    }
}

/// A disk tier, opened and read in, for [`Builder::disk`](crate::Builder::disk).
///
/// ```
/// use headwater_cache::{Cache, Disk};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), headwater_cache::Error> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let folder = folder.path();
/// let disk = Disk::open(folder, 1 << 30)?;
/// let cache = Cache::builder().name("edge").ram(64 << 20).disk(disk).build();
/// // … serve, and before the process ends:
/// cache.close().await;
/// # Ok(())
/// # }
/// ```
///
/// The folder belongs to one tier at a time. When a tier is dropped without
/// [`Cache::close`](crate::Cache::close), its threads write what waits and then let go of it.
#[derive(Debug)]
pub struct Disk {
    shared: Arc<Shared>,
    /// As which it was opened, for the next time.
    described: DiskBuilder,
    /// What was purged, until a cache has it.
    purges: Option<PurgeLog>,
}

impl Disk {
    /// Opens a tier of at most `bytes`, at least 1 MiB, in a folder of its own, which is made where
    /// there is none. As [`builder`](Self::builder) with its defaults.
    ///
    /// # Errors
    /// As [`DiskBuilder::open`].
    pub fn open(dir: impl AsRef<Path>, bytes: u64) -> Result<Self, Error> {
        Self::builder(dir, bytes).open()
    }

    /// Describes a tier of at most `bytes` in a folder of its own.
    pub fn builder(dir: impl AsRef<Path>, bytes: u64) -> DiskBuilder {
        DiskBuilder::new(dir.as_ref(), bytes)
    }

    /// What this tier counts; also in the metrics of its cache.
    pub fn metrics(&self) -> DiskMetrics {
        self.shared.metrics.clone()
    }

    /// The log of purges in its folder; once.
    pub(crate) fn take_purges(&mut self) -> Option<PurgeLog> {
        self.purges.take()
    }

    /// Has what is written bear the numbers of purges in this ledger, and none above them.
    pub(crate) fn heed(&self, ledger: Arc<Ledger>) {
        let _ = self.shared.ledger.set(ledger);
    }

    /// For whoever offers without owning.
    pub(crate) fn offers(&self) -> Offers {
        Offers(Arc::clone(&self.shared))
    }

    /// Offers a response that came from upstream; what it replaces on disk is not found any more.
    pub(crate) fn fetched(&self, key: &Key, object: &Arc<Object>) {
        let shared = &self.shared;
        if !shared.queue.fetched(&shared.index, shared.hash(key), key, object) {
            shared.metrics.dropped_writes.inc();
        }
    }

    /// Offers a response in memory that was asked for again.
    pub(crate) fn seen(&self, key: &Key, object: &Arc<Object>) {
        self.shared.offer(key, object, Reason::Seen);
    }

    /// Offers a response that upstream confirmed.
    pub(crate) fn confirmed(&self, key: &Key, object: &Arc<Object>) {
        self.shared.offer(key, object, Reason::Confirmed);
    }

    /// Takes back all that is stored under a key: it is not found any more, and
    /// [`settled`](Self::settled) tells when no restart finds it either.
    pub(crate) fn forget(&self, key: &[u8]) {
        self.shared.queue.forget(&self.shared.index, self.shared.hash(key));
    }

    /// Waits until all that was taken back is so for good: a second at most, on a disk that is
    /// slower than that.
    pub(crate) async fn settled(&self) {
        if let Some(done) = self.shared.queue.barrier(false) {
            let _ = tokio::time::timeout(Duration::from_secs(1), done).await;
        }
    }

    /// Waits until all that was offered is written and lasts.
    pub(crate) async fn flush(&self) {
        if let Some(done) = self.shared.queue.barrier(true) {
            let _ = done.await;
        }
    }

    /// Writes what waits, and lets go of the folder. What is offered later is dropped.
    pub(crate) async fn close(&self) {
        self.shared.queue.close();
        let ended = self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(mut ended) = ended {
            while ended.changed().await.is_ok() {}
        }
    }

    /// Takes the folder again, as it is now: another may have had it since
    /// [`close`](Self::close). What was replaced or taken back meanwhile stays so. Blocks.
    pub(crate) fn reopen(&self) -> Result<(), Error> {
        if !self.shared.queue.is_closed() {
            return Ok(());
        }
        self.described.reopen(&self.shared)
    }

    /// Whether what a response was read from is still what counts for its key.
    pub(crate) fn holds(&self, key: &[u8], object: &Object) -> bool {
        let hash = self.shared.hash(key);
        object.on_disk.is_some_and(|(of, at)| of == hash && self.shared.index.holds(hash, at))
    }

    /// Whether anything may be stored under a key.
    pub(crate) fn may_have(&self, key: &[u8]) -> bool {
        !self.shared.index.find(self.shared.hash(key)).is_empty()
    }

    /// Reads the newest response that a request selects, and takes down that it was asked for.
    pub(crate) async fn find(&self, key: &[u8], request: &HeaderMap) -> Option<Arc<Object>> {
        let object = self.look(key, request).await?;
        if let Some((hash, at)) = object.on_disk {
            self.shared.index.warm(hash, at);
        }
        self.shared.metrics.hits.inc();
        Some(object)
    }

    /// Reads the newest response that a request selects (RFC 9111 §4): what was written again lies
    /// after newer ones, so that of the others the heads are looked at.
    pub(crate) async fn look(&self, key: &[u8], request: &HeaderMap) -> Option<Arc<Object>> {
        let hash = self.shared.hash(key);
        let now = self.shared.queue.now();
        let (mut newest, mut near) = (None::<Arc<Object>>, None);
        for entry in self.shared.index.find(hash) {
            let after = newest.as_ref().map(|newest| newest.head.freshness.received);
            match Shared::load(&self.shared, &entry, key, request, after).await {
                Loaded::Object(object) => {
                    object.stored_with(now);
                    if object.head.vary.matches(request) {
                        newest = Some(object);
                    } else {
                        near = near.or(Some(object));
                    }
                }
                Loaded::Another | Loaded::Gone => {}
                Loaded::Bad => self.shared.found_bad(hash, entry.at),
                Loaded::Failed(error) => self.shared.read_failed(&error, hash, entry.at),
                Loaded::Refused => {
                    self.shared.metrics.refused_reads.inc();
                    break;
                }
            }
        }
        newest.or(near)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

/// A handle to offer responses by, which keeps no tier open.
#[derive(Clone, Debug)]
pub(crate) struct Offers(Arc<Shared>);

impl Offers {
    /// Offers a response that leaves memory.
    pub(crate) fn left(&self, key: &Key, object: &Arc<Object>) {
        self.0.offer(key, object, Reason::Left);
    }
}

/// What the tier's threads and those who read share.
#[derive(Debug)]
struct Shared {
    seed: u64,
    index: Index,
    regions: RwLock<BTreeMap<u32, Arc<Region>>>,
    queue: Queue,
    reads: Arc<Reads>,
    /// KiB to read into.
    memory: Semaphore,
    waiting: AtomicUsize,
    metrics: DiskMetrics,
    limits: Limits,
    ledger: OnceLock<Arc<Ledger>>,
    /// Of the thread that writes.
    ended: Mutex<Option<watch::Receiver<()>>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.reads.close();
    }
}

impl Shared {
    fn hash(&self, key: &[u8]) -> u128 {
        XxHash3_128::oneshot_with_seed(self.seed, key)
    }

    /// The newest purge that is written down. A response may bear the number of one that another
    /// cache has told of: after a restart that number is not known, and one below it may be given.
    fn known_purges(&self) -> PurgeSeq {
        self.ledger.get().map_or(PurgeSeq::default(), |ledger| ledger.newest())
    }

    fn region(&self, number: u32) -> Option<Arc<Region>> {
        self.regions.read().unwrap_or_else(PoisonError::into_inner).get(&number).cloned()
    }

    fn regions_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<u32, Arc<Region>>> {
        self.regions.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn offer(&self, key: &Key, object: &Arc<Object>, reason: Reason) {
        let hash = self.hash(key);
        // What is on disk needs no place in the queue.
        if matches!(reason, Reason::Seen | Reason::Left) {
            let variant = meta::variant(&object.head.vary);
            let mut found = self.index.find(hash).into_iter();
            if let Some(entry) = found.find(|entry| entry.variant == variant) {
                if reason == Reason::Seen {
                    self.index.warm(hash, entry.at);
                }
                return;
            }
        }
        match self.queue.offer(hash, key, object, reason) {
            Taken::Yes => {}
            Taken::NoRoom => {
                self.metrics.dropped_writes.inc();
            }
            Taken::Outdated => {
                self.metrics.outdated.inc();
            }
        }
    }

    fn found_bad(&self, hash: u128, at: Place) {
        self.metrics.bad_blocks.inc();
        tracing::warn!(region = at.region, offset = at.offset, "a record of the cache is damaged");
        self.queue.discard(&self.index, hash, at);
    }

    fn read_failed(&self, error: &io::Error, hash: u128, at: Place) {
        self.metrics.read_errors.inc();
        tracing::warn!(%error, region = at.region, "the cache's disk cannot be read");
        self.queue.discard(&self.index, hash, at);
    }
}
