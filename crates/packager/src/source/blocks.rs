//! A cache of blocks between a packager and a store across a network.
//!
//! Sound and pictures lie interleaved in a file, and a segment ends where the next one begins: so
//! what one request reads, its neighbours need too. Reads are made of whole aligned blocks, held
//! in memory by a bound in bytes. A block that several requests want at the same time is fetched
//! once, in a task of its own: a slow reader delays only itself, and a fetch that nobody waits for
//! any more ends.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::{Bytes, BytesMut};
use moka::sync::Cache;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::coalesce::joined;
use super::{AnySource, Coalescing, Gathered, Source, SourceError};
use crate::identity::SourceId;
use crate::units::ByteRange;

/// Blocks of any number of sources. Clones share them.
#[derive(Clone)]
pub struct BlockCache {
    shared: Arc<Shared>,
}

impl BlockCache {
    /// The length of a block in bytes. With at most [`MAX_FETCH_BLOCKS`](Self::MAX_FETCH_BLOCKS)
    /// of them in a fetch, a segment of up to 28 MiB takes at most 8 fetches.
    pub const BLOCK_BYTES: u64 = 1 << 20;

    /// The most neighbouring blocks that are fetched by one read of the source.
    pub const MAX_FETCH_BLOCKS: usize = 8;

    /// Room for `capacity` bytes of blocks, least recently used out first. Blocks that are being
    /// fetched or sent come on top.
    pub fn new(capacity: u64) -> Self {
        let blocks = Cache::builder()
            .max_capacity(capacity)
            .weigher(|_, bytes: &Bytes| u32::try_from(bytes.len()).unwrap_or(u32::MAX))
            .eviction_policy(moka::policy::EvictionPolicy::lru())
            .build();
        let shared = Shared { blocks, fetches: Mutex::default(), metrics: BlockMetrics::default() };
        Self { shared: Arc::new(shared) }
    }

    /// A source whose blocks are kept here. Sources of equal identity share them.
    pub fn wrap<S: Source>(&self, source: S) -> BlockSource<S> {
        let id = Arc::new(source.id().clone());
        BlockSource { id, source: Arc::new(source), shared: Arc::clone(&self.shared) }
    }

    /// Its counters.
    pub fn metrics(&self) -> &BlockMetrics {
        &self.shared.metrics
    }
}

impl fmt::Debug for BlockCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockCache").field("bytes", &self.shared.blocks.weighted_size()).finish()
    }
}

/// What a [`BlockCache`] counts. Cheap to clone; clones count together.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct BlockMetrics {
    /// Blocks that were there when they were asked for.
    pub hits: Counter,
    /// Blocks that were being fetched for another request already.
    pub joined: Counter,
    /// Blocks that had to be fetched.
    pub misses: Counter,
    /// Reads of sources, each of one or more neighbouring blocks.
    pub fetches: Counter,
    /// Reads that ended because nobody waited for them any more.
    pub abandoned: Counter,
}

impl BlockMetrics {
    /// Makes the counters visible as `headwater_packager_block_…`.
    pub fn register(&self, registry: &mut prometheus_client::registry::Registry) {
        for (name, help, counter) in [
            ("hits", "Blocks of remote sources found in memory", &self.hits),
            ("joined", "Blocks fetched for another request already", &self.joined),
            ("misses", "Blocks of remote sources fetched", &self.misses),
            ("fetches", "Reads of neighbouring blocks", &self.fetches),
            ("abandoned", "Reads of blocks that nobody waited for any more", &self.abandoned),
        ] {
            registry.register(format!("headwater_packager_block_{name}"), help, counter.clone());
        }
    }
}

/// A [`Source`] that is read by the blocks of a [`BlockCache`].
pub struct BlockSource<S> {
    id: Arc<SourceId>,
    source: Arc<S>,
    shared: Arc<Shared>,
}

impl<S: Source> fmt::Debug for BlockSource<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BlockSource").field(&self.id).finish()
    }
}

impl<S: Source> Source for BlockSource<S> {
    fn id(&self) -> &SourceId {
        &self.id
    }

    async fn renewed(&self) -> Result<Option<AnySource>, SourceError> {
        let cache = BlockCache { shared: Arc::clone(&self.shared) };
        Ok(self.source.renewed().await?.map(|now| AnySource::new(cache.wrap(now))))
    }

    fn coalescing(&self) -> Coalescing {
        Coalescing::REMOTE
    }

    /// Ranges of more than a few blocks, such as a large `moov`, go past the cache: they are needed
    /// once, and would push everything else out.
    async fn read(&self, ranges: &[ByteRange]) -> Result<Vec<Bytes>, SourceError> {
        let most = BlockCache::BLOCK_BYTES * BlockCache::MAX_FETCH_BLOCKS as u64 / 2;
        if ranges.iter().any(|range| range.len > most) {
            return self.source.read(ranges).await;
        }
        let (pieces, _) = self.by_groups(ranges).await?;
        Ok(pieces.into_iter().map(joined).collect())
    }

    async fn gather(&self, ranges: &[ByteRange]) -> Result<Gathered, SourceError> {
        let (pieces, fetched) = self.by_groups(ranges).await?;
        let pieces = pieces.into_iter().flatten().collect();
        Ok(Gathered { pieces, read_bytes: fetched.bytes, reads: fetched.reads })
    }
}

impl<S: Source> BlockSource<S> {
    /// The bytes of each range. Small ranges far apart need a block each: so they are taken by
    /// groups of few blocks, and where there are more groups than one, copied, so that what is in
    /// memory beside the cache is what was asked for and the blocks of one group.
    async fn by_groups(
        &self,
        ranges: &[ByteRange],
    ) -> Result<(Vec<Vec<Bytes>>, Fetched), SourceError> {
        let mut pieces = Vec::with_capacity(ranges.len());
        let mut fetched = Fetched::default();
        let mut rest = ranges;
        while !rest.is_empty() {
            let (group, others) = rest.split_at(group_len(rest));
            let (blocks, read) = self.blocks(group).await?;
            fetched.reads += read.reads;
            fetched.bytes += read.bytes;
            let is_all = group.len() == ranges.len();
            for range in group {
                let mut slices = blocks.slices(*range).ok_or(SourceError::Truncated)?;
                if !is_all {
                    for slice in &mut slices {
                        *slice = Bytes::copy_from_slice(slice);
                    }
                }
                pieces.push(slices);
            }
            rest = others;
        }
        Ok((pieces, fetched))
    }

    /// The blocks that hold some ranges, and what had to be read for them by this call.
    async fn blocks(&self, ranges: &[ByteRange]) -> Result<(Blocks, Fetched), SourceError> {
        let mut needed: Vec<u64> = Vec::new();
        for range in ranges.iter().filter(|range| range.len > 0) {
            if range.end() > self.id.size {
                return Err(SourceError::Truncated);
            }
            let last = (range.end() - 1) / BlockCache::BLOCK_BYTES;
            needed.extend(range.start / BlockCache::BLOCK_BYTES..=last);
        }
        needed.sort_unstable();
        needed.dedup();
        let mut blocks = Blocks::default();
        let mut fetched = Fetched::default();
        // Once around, or again where a fetch that was joined ended without a result.
        while let Some(waiting) = self.look(&needed, &mut blocks, &mut fetched) {
            for mut fetch in waiting {
                // An error is that of the channel: the task was aborted with the cache.
                let Ok(outcome) = fetch.outcome.wait_for(Option::is_some).await else { continue };
                match &*outcome {
                    Some(Ok(read)) => {
                        blocks.0.extend((fetch.first..).zip(read.iter().cloned()));
                    }
                    Some(Err(error)) => return Err(*error),
                    None => {}
                }
            }
        }
        Ok((blocks, fetched))
    }

    /// Takes what is in memory, and joins or starts the fetches of the rest; `None` when nothing
    /// is missing.
    fn look(
        &self,
        needed: &[u64],
        blocks: &mut Blocks,
        fetched: &mut Fetched,
    ) -> Option<Vec<Waiting>> {
        let metrics = &self.shared.metrics;
        let mut fetches = self.shared.lock();
        let mut waiting: Vec<Waiting> = Vec::new();
        let mut mine: Vec<u64> = Vec::new();
        for &block in needed {
            if blocks.0.contains_key(&block) || waiting.iter().any(|fetch| fetch.has(block)) {
                continue;
            }
            let key = (Arc::clone(&self.id), block);
            if let Some(bytes) = self.shared.blocks.get(&key) {
                metrics.hits.inc();
                blocks.0.insert(block, bytes);
            } else if let Some(fetch) = fetches.under_way.get(&key) {
                metrics.joined.inc();
                waiting.push(fetch.join());
            } else {
                metrics.misses.inc();
                mine.push(block);
            }
        }
        for run in runs(&mine) {
            let fetch = self.start(&mut fetches, run);
            metrics.fetches.inc();
            fetched.reads += 1;
            fetched.bytes += self.range(run).len;
            waiting.push(fetch);
        }
        (!waiting.is_empty()).then_some(waiting)
    }

    /// The bytes of a run of blocks; the last block of a source is shorter.
    fn range(&self, run: Run) -> ByteRange {
        let start = run.first * BlockCache::BLOCK_BYTES;
        let end = (run.first + run.blocks).saturating_mul(BlockCache::BLOCK_BYTES);
        ByteRange { start, len: end.min(self.id.size).saturating_sub(start) }
    }

    fn start(&self, fetches: &mut Fetches, run: Run) -> Waiting {
        let (sender, outcome) = watch::channel(None);
        let fetch = Fetch { run, sender };
        for key in fetch.keys(&self.id) {
            fetches.under_way.insert(key, fetch.clone());
        }
        while fetches.tasks.try_join_next().is_some() {}
        let (source, id, range) = (Arc::clone(&self.source), Arc::clone(&self.id), self.range(run));
        let (ranges, home) = ([range], Arc::downgrade(&self.shared));
        fetches.tasks.spawn(async move {
            // Made within the task: one that never runs may be dropped under the lock.
            let task = FetchTask { home, fetch, id };
            let FetchTask { home, fetch, id } = &task;
            tokio::select! {
                read = source.gather(&ranges) => fetch.end(home, id, read, range.len),
                () = left_by_all(home, fetch, id) => {}
            }
        });
        Waiting { first: run.first, blocks: run.blocks, outcome }
    }
}

/// How many of the first ranges are taken together: at least one, and as many as lie in
/// [`GROUP_BLOCKS`] blocks. Blocks that ranges out of order share are counted more than once.
fn group_len(ranges: &[ByteRange]) -> usize {
    let mut blocks = 0_u64;
    let mut last = None;
    for (position, range) in ranges.iter().enumerate().filter(|(_, range)| range.len > 0) {
        let first = range.start / BlockCache::BLOCK_BYTES;
        let end = range.end().div_ceil(BlockCache::BLOCK_BYTES);
        let shared = u64::from(last == Some(first));
        blocks = blocks.saturating_add(end.saturating_sub(first) - shared);
        if blocks > GROUP_BLOCKS && position > 0 {
            return position;
        }
        last = end.checked_sub(1);
    }
    ranges.len()
}

/// The most blocks that one group of ranges needs. A window of a body needs fewer, unless what it
/// sends lies far apart.
const GROUP_BLOCKS: u64 = 64;

/// What had to be read.
#[derive(Debug, Clone, Copy, Default)]
struct Fetched {
    reads: u64,
    bytes: u64,
}

/// Blocks by their number.
#[derive(Debug, Default)]
struct Blocks(BTreeMap<u64, Bytes>);

impl Blocks {
    /// The bytes of a range; `None` where a block is missing.
    fn slices(&self, range: ByteRange) -> Option<Vec<Bytes>> {
        let mut slices = Vec::with_capacity(1);
        let (mut at, end) = (range.start, range.end());
        if at == end {
            return Some(vec![Bytes::new()]);
        }
        while at < end {
            let (block, from) = (at / BlockCache::BLOCK_BYTES, at % BlockCache::BLOCK_BYTES);
            let bytes = self.0.get(&block)?;
            let to = (from + (end - at)).min(bytes.len() as u64);
            if to <= from {
                return None;
            }
            slices.push(bytes.slice(from as usize..to as usize));
            at += to - from;
        }
        Some(slices)
    }
}

struct Shared {
    blocks: Cache<Key, Bytes>,
    fetches: Mutex<Fetches>,
    metrics: BlockMetrics,
}

type Key = (Arc<SourceId>, u64);

#[derive(Default)]
struct Fetches {
    under_way: HashMap<Key, Fetch>,
    /// Aborted when the cache is dropped.
    tasks: JoinSet<()>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Fetches> {
        self.fetches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Neighbouring blocks that are read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    first: u64,
    blocks: u64,
}

/// Joins neighbours among blocks in order.
fn runs(blocks: &[u64]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for &block in blocks {
        match runs.last_mut() {
            Some(run)
                if run.first + run.blocks == block
                    && run.blocks < BlockCache::MAX_FETCH_BLOCKS as u64 =>
            {
                run.blocks += 1;
            }
            _ => runs.push(Run { first: block, blocks: 1 }),
        }
    }
    runs
}

type Outcome = Result<Vec<Bytes>, SourceError>;

/// A fetch under way, as those who look for its blocks find it.
#[derive(Debug, Clone)]
struct Fetch {
    run: Run,
    sender: watch::Sender<Option<Outcome>>,
}

/// One who waits for a fetch. When the last of them leaves, it ends.
#[derive(Debug)]
struct Waiting {
    first: u64,
    blocks: u64,
    outcome: watch::Receiver<Option<Outcome>>,
}

impl Waiting {
    fn has(&self, block: u64) -> bool {
        (self.first..self.first + self.blocks).contains(&block)
    }
}

impl Fetch {
    fn keys(&self, id: &Arc<SourceId>) -> impl Iterator<Item = Key> {
        (self.run.first..self.run.first + self.run.blocks).map(|block| (Arc::clone(id), block))
    }

    fn join(&self) -> Waiting {
        let Run { first, blocks } = self.run;
        Waiting { first, blocks, outcome: self.sender.subscribe() }
    }

    /// Keeps what was read, and tells those who wait.
    fn end(
        &self,
        home: &Weak<Shared>,
        id: &Arc<SourceId>,
        read: Result<Gathered, SourceError>,
        len: u64,
    ) {
        let outcome = read.and_then(|read| {
            let came: u64 = read.pieces.iter().map(|piece| piece.len() as u64).sum();
            if came == len { Ok(cut_up(read.pieces)) } else { Err(SourceError::Truncated) }
        });
        if let Some(home) = home.upgrade() {
            // In the cache before it leaves the list: nobody may find it in neither.
            let mut fetches = home.lock();
            for (number, key) in self.keys(id).enumerate() {
                if let Ok(blocks) = &outcome
                    && let Some(bytes) = blocks.get(number)
                {
                    home.blocks.insert(key.clone(), bytes.clone());
                }
                fetches.under_way.remove(&key);
            }
        }
        self.sender.send_replace(Some(outcome));
    }
}

/// A fetch in its task. Where the task ends without an outcome, as by a panic of the source, those
/// who wait are told, and the next to ask fetches anew.
struct FetchTask {
    home: Weak<Shared>,
    fetch: Fetch,
    id: Arc<SourceId>,
}

impl Drop for FetchTask {
    fn drop(&mut self) {
        let sender = &self.fetch.sender;
        if sender.borrow().is_some() {
            return;
        }
        if let Some(home) = self.home.upgrade() {
            let mut fetches = home.lock();
            for key in self.fetch.keys(&self.id) {
                // One that everybody left is off the list, and may have a successor on it.
                if fetches.under_way.get(&key).is_some_and(|it| it.sender.same_channel(sender)) {
                    fetches.under_way.remove(&key);
                }
            }
        }
        sender.send_replace(Some(Err(SourceError::Io(std::io::ErrorKind::Interrupted))));
    }
}

/// The blocks of a run. Each is memory of its own, so that one block in the cache does not hold its
/// neighbours: this is the one time that its bytes are copied.
fn cut_up(pieces: Vec<Bytes>) -> Vec<Bytes> {
    const BLOCK: usize = BlockCache::BLOCK_BYTES as usize;
    let total: usize = pieces.iter().map(Bytes::len).sum();
    if let [one] = pieces.as_slice()
        && total <= BLOCK
    {
        return vec![one.clone()];
    }
    let mut blocks = Vec::with_capacity(total.div_ceil(BLOCK));
    let mut left = total;
    let mut block = BytesMut::with_capacity(left.min(BLOCK));
    for mut piece in pieces {
        while !piece.is_empty() {
            let part = piece.split_to(piece.len().min(BLOCK - block.len()));
            block.extend_from_slice(&part);
            left -= part.len();
            if block.len() == BLOCK || left == 0 {
                let next = BytesMut::with_capacity(left.min(BLOCK));
                blocks.push(std::mem::replace(&mut block, next).freeze());
            }
        }
    }
    blocks
}

/// Ends when nobody waits for a fetch any more; it is off the list then.
async fn left_by_all(home: &Weak<Shared>, fetch: &Fetch, id: &Arc<SourceId>) {
    loop {
        fetch.sender.closed().await;
        let Some(home) = home.upgrade() else { return };
        let mut fetches = home.lock();
        // Who looks holds the lock: nobody can join between the look and the end.
        if fetch.sender.receiver_count() == 0 {
            for key in fetch.keys(id) {
                fetches.under_way.remove(&key);
            }
            home.metrics.abandoned.inc();
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::super::MemorySource;
    use super::*;

    const BLOCK: u64 = BlockCache::BLOCK_BYTES;

    /// A store whose reads are counted and held up until they are let through.
    #[derive(Clone)]
    struct Store {
        inner: MemorySource,
        reads: Arc<AtomicUsize>,
        gate: Arc<Semaphore>,
        /// So many reads panic.
        panics: Arc<AtomicUsize>,
    }

    impl Store {
        fn new(len: u64, open: bool) -> Self {
            let bytes: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
            let permits = if open { 1_000 } else { 0 };
            Self {
                inner: MemorySource::new("x", bytes),
                reads: Arc::default(),
                gate: Arc::new(Semaphore::new(permits)),
                panics: Arc::default(),
            }
        }

        fn reads(&self) -> usize {
            self.reads.load(Ordering::SeqCst)
        }
    }

    impl Source for Store {
        fn id(&self) -> &SourceId {
            self.inner.id()
        }

        async fn read(&self, ranges: &[ByteRange]) -> Result<Vec<Bytes>, SourceError> {
            self.reads.fetch_add(1, Ordering::SeqCst);
            self.gate.acquire().await.unwrap().forget();
            let panics = &self.panics;
            let left = panics.load(Ordering::SeqCst);
            panics.store(left.saturating_sub(1), Ordering::SeqCst);
            assert_eq!(left, 0, "a read that shall panic");
            self.inner.read(ranges).await
        }
    }

    fn range(start: u64, len: u64) -> ByteRange {
        ByteRange { start, len }
    }

    async fn settle(condition: impl Fn() -> bool) {
        while !condition() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn neighbours_share_blocks_and_get_the_right_bytes() {
        let store = Store::new(5 * BLOCK + 100, true);
        let source = BlockCache::new(64 << 20).wrap(store.clone());
        for ranges in [
            vec![range(10, 100), range(BLOCK - 5, 10)],
            vec![range(0, 2 * BLOCK)],
            vec![range(3 * BLOCK, 10), range(5 * BLOCK + 99, 1), range(7, 0)],
            vec![range(0, 5 * BLOCK + 100)],
        ] {
            let expected = store.inner.read(&ranges).await.unwrap();
            let gathered = source.gather(&ranges).await.unwrap();
            assert_eq!(gathered.pieces.concat(), expected.concat());
            assert_eq!(source.read(&ranges[..1]).await.unwrap()[0], expected[0]);
        }
        // Blocks 0 and 1; 3 and 5; 2 and 4; and the whole file, which goes past the cache.
        assert_eq!(store.reads(), 1 + 2 + 2 + 1);
        assert_eq!(source.read(&[range(5 * BLOCK, 101)]).await, Err(SourceError::Truncated));
    }

    #[tokio::test]
    async fn a_long_range_takes_few_reads() {
        let store = Store::new(20 * BLOCK, true);
        let source = BlockCache::new(64 << 20).wrap(store.clone());
        // Sound of one segment in a file of 40 Mbit/s.
        let sound: Vec<_> = (0..100).map(|n| range(n * BLOCK / 5, 700)).collect();
        let gathered = source.gather(&sound).await.unwrap();
        assert_eq!((gathered.reads, gathered.read_bytes), (3, 20 * BLOCK));
        // The pictures between them are there now.
        let gathered = source.gather(&[range(700, 3 * BLOCK)]).await.unwrap();
        assert_eq!((gathered.reads, gathered.read_bytes), (0, 0));
    }

    #[tokio::test]
    async fn small_ranges_far_apart_do_not_hold_their_blocks() {
        let store = Store::new(150 * BLOCK, true);
        let source = BlockCache::new(0).wrap(store.clone());
        let far: Vec<_> = (0..150).map(|n| range(n * BLOCK + 7, 10)).collect();
        let expected = store.inner.read(&far).await.unwrap();
        let gathered = source.gather(&far).await.unwrap();
        assert_eq!(gathered.pieces, expected);
        assert_eq!(gathered.read_bytes, 150 * BLOCK);
        assert_eq!(source.read(&far).await.unwrap(), expected);
        for piece in gathered.pieces {
            assert!(piece.try_into_mut().unwrap().capacity() < 1_000, "of a whole block");
        }
    }

    #[test]
    fn groups_are_of_few_blocks_and_never_empty() {
        let far: Vec<_> = (0..150).map(|n| range(n * BLOCK, 10)).collect();
        assert_eq!(group_len(&far), 64);
        assert_eq!(group_len(&far[100..]), 50);
        let near: Vec<_> = (0..1_000).map(|n| range(n * 700, 700)).collect();
        assert_eq!(group_len(&near), 1_000);
        assert_eq!(group_len(&[range(0, 100 * BLOCK), range(0, 1)]), 1);
        assert_eq!(group_len(&[range(0, 0), range(u64::MAX, 0), range(5, 1)]), 3);
    }

    #[tokio::test]
    async fn one_fetch_serves_all_who_wait_and_outlives_who_began_it() {
        let store = Store::new(2 * BLOCK, false);
        let cache = BlockCache::new(64 << 20);
        let source = Arc::new(cache.wrap(store.clone()));
        let ask = || {
            let source = Arc::clone(&source);
            tokio::spawn(
                async move { source.gather(&[range(5, 10)]).await.unwrap().pieces.concat() },
            )
        };
        let first = ask();
        settle(|| store.reads() == 1).await;
        let others = [ask(), ask()];
        settle(|| cache.metrics().joined.get() == 2).await;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        store.gate.add_permits(1);
        for other in others {
            assert_eq!(other.await.unwrap(), [5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
        }
        assert_eq!(store.reads(), 1);
    }

    #[tokio::test]
    async fn a_fetch_that_nobody_waits_for_ends_and_can_begin_again() {
        let store = Store::new(BLOCK, false);
        let cache = BlockCache::new(64 << 20);
        let source = Arc::new(cache.wrap(store.clone()));
        let asking = tokio::spawn({
            let source = Arc::clone(&source);
            async move { source.gather(&[range(0, 1)]).await }
        });
        settle(|| store.reads() == 1).await;
        asking.abort();
        settle(|| cache.metrics().abandoned.get() == 1).await;
        assert!(cache.shared.lock().under_way.is_empty());
        store.gate.add_permits(1);
        assert_eq!(source.gather(&[range(0, 1)]).await.unwrap().pieces.concat(), [0]);
        assert_eq!(store.reads(), 2);
    }

    #[tokio::test]
    async fn a_fetch_that_panics_is_an_error_and_can_begin_again() {
        let store = Store::new(BLOCK, true);
        store.panics.store(1, Ordering::SeqCst);
        let source = BlockCache::new(64 << 20).wrap(store);
        let wanted = [range(0, 1)];
        let reading = source.gather(&wanted);
        let read = tokio::time::timeout(std::time::Duration::from_secs(10), reading).await.unwrap();
        assert_eq!(read.unwrap_err(), SourceError::Io(std::io::ErrorKind::Interrupted));
        assert_eq!(source.gather(&wanted).await.unwrap().pieces.concat(), [0]);
    }

    #[tokio::test]
    async fn what_is_held_is_bounded() {
        let store = Store::new(8 * BLOCK, true);
        let cache = BlockCache::new(3 * BLOCK);
        let source = cache.wrap(store);
        source.gather(&[range(0, 8 * BLOCK)]).await.unwrap();
        cache.shared.blocks.run_pending_tasks();
        assert!(cache.shared.blocks.weighted_size() <= 3 * BLOCK);
    }
}
