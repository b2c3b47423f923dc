//! Indexes of assets: each is built once however many ask, cached, and bounded.
//!
//! The build of an asset runs in a task of its own, so that a client who leaves neither stops it
//! for others nor makes them start again. A failure is remembered for a second.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use headwater_net::Timestamp;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::ServiceLimits;
use super::fault::Fault;
use super::lanes::Lanes;
use super::metrics::Metrics;
use crate::assets::{Assets, Found};
use crate::error::Error;
use crate::growth::Growth;
use crate::identity::Version;
use crate::index::MediaIndex;
use crate::media::{Media, Options};
use crate::presentation::Presentation;
use crate::source::{
    AnySource, IndexError, Patience, Scans, Source, SourceError, Written, read_index_of,
};

/// An asset that can answer: its index and its open sources, which belong together.
#[derive(Debug)]
pub(super) struct Ready {
    /// Of which state of the files; see [`Found::key`].
    key: u64,
    pub(super) presentation: Presentation,
    /// As plans count them.
    pub(super) sources: Vec<AnySource>,
    /// Where its segments are encrypted, if they are.
    pub(super) lanes: Option<Arc<Lanes>>,
    weight: u64,
    /// When a recording that is not written to any more is taken for finished, or for settled.
    expires: Option<Timestamp>,
    /// The same under its [other version](Media::under_other_version).
    other: Option<Arc<Ready>>,
}

impl Ready {
    /// The one whose version a path names, where it is this or the other one.
    pub(super) fn addressed(self: Arc<Self>, version: Option<Version>) -> Arc<Self> {
        let other = self.other.as_ref();
        let named = other.filter(|it| version == Some(it.presentation.version())).cloned();
        named.unwrap_or(self)
    }

    /// The names and identities of its recordings that are not settled, and when they are said to
    /// have been begun while they grow.
    fn recordings(&self) -> HashMap<(String, u64), Option<u64>> {
        let media = self.presentation.media();
        let started = media.growth().map(|growth| growth.started);
        let open = media.sources().iter().filter_map(|index| {
            index.recording().filter(|recording| !recording.settled)?;
            Some((recording_key(index)?, started))
        });
        open.collect()
    }

    /// Of which state of the files it is: other files, another key.
    pub(super) fn key(&self) -> u64 {
        self.key
    }
}

/// The cache of indexes and the builds that fill it.
#[derive(Debug)]
pub(super) struct Builds {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    assets: Assets,
    options: Options,
    limits: ServiceLimits,
    metrics: Metrics,
    /// By the asset's name: what was of the same name but other files is let go.
    ready: Cache<Arc<str>, Arc<Ready>>,
    /// By [`Found::key`].
    failures: Cache<u64, (Timestamp, Fault)>,
    running: Mutex<Running>,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    scans: Scans,
}

#[derive(Debug, Default)]
struct Running {
    builds: HashMap<u64, watch::Receiver<Option<Outcome>>>,
    /// Aborted when the packager is dropped.
    tasks: JoinSet<()>,
}

type Outcome = Result<Arc<Ready>, Fault>;

impl Builds {
    pub(super) fn new(
        assets: Assets,
        options: Options,
        limits: ServiceLimits,
        metrics: Metrics,
        scans: Scans,
    ) -> Self {
        let capacity = limits.index_cache_bytes;
        // Each source weighs at least its share, so that the weight also bounds open files.
        let share = capacity / u64::from(limits.max_open_sources.max(1));
        let (bytes, open) = (metrics.index_cache_bytes.clone(), metrics.open_sources.clone());
        let ready = Cache::builder()
            .max_capacity(capacity)
            .weigher(move |_, ready: &Arc<Ready>| {
                let open = share.saturating_mul(ready.sources.len() as u64);
                // One that is larger than the whole cache stays in it, alone.
                u32::try_from(ready.weight.max(open).min(capacity)).unwrap_or(u32::MAX)
            })
            // What is asked for now is what will be asked for next, segment by segment.
            .eviction_policy(EvictionPolicy::lru())
            .eviction_listener(move |_, ready, _| {
                bytes.dec_by(i64::try_from(ready.weight).unwrap_or(i64::MAX));
                open.dec_by(ready.sources.len() as i64);
            })
            .build();
        let permits = Arc::new(Semaphore::new(limits.concurrent_builds.max(1)));
        let shared = Shared {
            assets,
            options,
            limits,
            metrics,
            ready,
            failures: Cache::builder().max_capacity(REMEMBERED_FAILURES).build(),
            running: Mutex::default(),
            permits,
            waiting: AtomicUsize::new(0),
            scans,
        };
        Self { shared: Arc::new(shared) }
    }

    /// The asset as its files are now.
    pub(super) async fn ready(&self, name: &str, now: Timestamp) -> Outcome {
        let first = self.ready_once(name, now).await;
        if first.as_ref().err() != Some(&Fault::Source(SourceError::Changed)) {
            return first;
        }
        // Replaced just then: look at the files again, once.
        self.shared.assets.doubt(name).await;
        self.ready_once(name, now).await
    }

    async fn ready_once(&self, name: &str, now: Timestamp) -> Outcome {
        let shared = &self.shared;
        let found = shared.assets.find(name, now).await?.ok_or(Fault::UnknownAsset)?;
        if let Some(ready) = shared.cached(name, &found, now) {
            return Ok(ready);
        }
        let mut outcome = match self.join(name, &found, now)? {
            Joined::Done(ready) => return Ok(ready),
            Joined::Running(outcome) => outcome,
        };
        let _waiting = Waiting::enter(shared)?;
        let patience = shared.limits.longest_wait;
        match tokio::time::timeout(patience, outcome.wait_for(Option::is_some)).await {
            Ok(Ok(outcome)) => outcome.clone().unwrap_or(Err(Fault::Busy)),
            // The build was aborted: the packager is going away.
            Ok(Err(_)) => Err(Fault::Busy),
            // It goes on without this request.
            Err(_) => Err(Fault::Preparing),
        }
    }

    /// Joins the build of these files, or starts it.
    fn join(&self, name: &str, found: &Arc<Found>, now: Timestamp) -> Result<Joined, Fault> {
        let shared = &self.shared;
        let mut running = shared.running();
        // A build that ended since is in the cache before it leaves the list.
        if let Some(ready) = shared.cached(name, found, now) {
            return Ok(Joined::Done(ready));
        }
        if let Some((at, fault)) = shared.failures.get(&found.key)
            && now.since(at) < REMEMBER_FAILURE
        {
            return Err(fault);
        }
        if let Some(outcome) = running.builds.get(&found.key) {
            return Ok(Joined::Running(outcome.clone()));
        }
        let bound = shared.limits.concurrent_builds.saturating_add(shared.limits.queued_builds);
        if running.builds.len() >= bound {
            shared.metrics.refused_builds.inc();
            return Err(Fault::Busy);
        }
        let (sender, outcome) = watch::channel(None);
        running.builds.insert(found.key, outcome.clone());
        shared.metrics.index_builds_open.set(running.builds.len() as i64);
        while running.tasks.try_join_next().is_some() {}
        let build = Build {
            name: name.into(),
            found: Arc::clone(found),
            now,
            home: Arc::downgrade(shared),
            sender,
        };
        running.tasks.spawn(build.run());
        Ok(Joined::Running(outcome))
    }
}

enum Joined {
    Done(Arc<Ready>),
    Running(watch::Receiver<Option<Outcome>>),
}

impl Shared {
    fn cached(&self, name: &str, found: &Found, now: Timestamp) -> Option<Arc<Ready>> {
        self.ready.get(name).filter(|ready| {
            ready.key == found.key && ready.expires.is_none_or(|expires| now < expires)
        })
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One build, in its own task.
struct Build {
    name: Arc<str>,
    found: Arc<Found>,
    now: Timestamp,
    /// Weak: a packager that is dropped aborts its builds rather than waiting for them.
    home: Weak<Shared>,
    sender: watch::Sender<Option<Outcome>>,
}

impl Build {
    async fn run(self) {
        // Made within the task: one that never runs may be dropped under the lock.
        let _listed = Listed(&self);
        let Some(outcome) = self.outcome().await else { return };
        let Some(home) = self.home.upgrade() else { return };
        match &outcome {
            Ok(ready) => {
                home.metrics.index_builds.inc();
                let weight = i64::try_from(ready.weight).unwrap_or(i64::MAX);
                home.metrics.index_cache_bytes.inc_by(weight);
                home.metrics.open_sources.inc_by(ready.sources.len() as i64);
                home.ready.insert(Arc::clone(&self.name), Arc::clone(ready));
                // Evictions happen now rather than with some later access.
                home.ready.run_pending_tasks();
            }
            Err(fault) => {
                home.metrics.index_build_failures.inc();
                tracing::debug!(asset = &*self.name, ?fault, "asset is not packaged");
                home.failures.insert(self.found.key, (self.now, fault.clone()));
            }
        }
        let mut running = home.running();
        running.builds.remove(&self.found.key);
        home.metrics.index_builds_open.set(running.builds.len() as i64);
        drop(running);
        self.sender.send_replace(Some(outcome));
    }

    /// `None` when the packager was dropped meanwhile.
    async fn outcome(&self) -> Option<Outcome> {
        let permits = Arc::clone(&self.home.upgrade()?.permits);
        let _permit = permits.acquire_owned().await.ok()?;
        let home = self.home.upgrade()?;
        let before = home.ready.get(&self.name);
        let work = Work {
            watched: before.map(|ready| ready.recordings()).unwrap_or_default(),
            assets: home.assets.clone(),
            options: home.options.clone(),
            limits: home.limits.clone(),
            scans: home.scans.clone(),
            now: self.now,
        };
        drop(home);
        Some(make(&self.name, &self.found, work).await)
    }
}

/// A build on the list. Where it ends without an outcome, as by a panic of a source, it is taken
/// off, and those who wait are told; the next to ask builds anew.
struct Listed<'a>(&'a Build);

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        let Build { found, home, sender, .. } = self.0;
        if sender.borrow().is_some() {
            return;
        }
        if let Some(home) = home.upgrade() {
            let mut running = home.running();
            running.builds.remove(&found.key);
            home.metrics.index_builds_open.set(running.builds.len() as i64);
        }
        sender.send_replace(Some(Err(Fault::Busy)));
    }
}

/// What a build needs of its packager.
struct Work {
    assets: Assets,
    /// The recordings that are played under the version they have until they are settled, and when
    /// they are said to have been begun.
    watched: HashMap<(String, u64), Option<u64>>,
    options: Options,
    limits: ServiceLimits,
    scans: Scans,
    now: Timestamp,
}

async fn make(name: &Arc<str>, found: &Found, work: Work) -> Outcome {
    let opening = tokio::time::timeout(work.limits.build_timeout, work.assets.open(found));
    let sources = opening.await.map_err(|_| Fault::TimedOut)??;
    let indexes = index_all(name, &sources, &work).await?;
    let expires = indexes.iter().filter_map(|index| {
        let pause = match index.recording() {
            Some(_) if index.growth().is_some() => work.limits.recording_pause,
            Some(recording) if !recording.settled => settling(&work.limits),
            _ => return None,
        };
        let source = sources.iter().find(|source| source.id() == index.source())?;
        Some(source.written()?.changed.plus(pause))
    });
    let expires = expires.min();
    let options = found.options(work.options);
    let media = tokio::task::spawn_blocking(move || Media::new(indexes, &options))
        .await
        .map_err(|_| Fault::Busy)?
        .map_err(|error| match found.explain(&error) {
            Some(error) => Fault::Described(error),
            None => Fault::Unusable(None, error),
        })?;
    let mut weight = weigh(&media);
    let lanes = media.segment_key().map(|key| Arc::new(Lanes::new(key.bytes())));
    let other = media.under_other_version();
    weight += other.as_ref().map_or(0, |media| media.weight_bytes() as u64);
    let ready = |media, weight, expires, other| {
        let presentation = Presentation::new(Arc::clone(name), Arc::new(media));
        let (sources, lanes) = (sources.clone(), lanes.clone());
        Arc::new(Ready { key: found.key, presentation, sources, lanes, weight, expires, other })
    };
    let other = other.map(|media| ready(media, 0, None, None));
    Ok(ready(media, weight, expires, other))
}

/// The indexes of all sources of an asset, in their order. One that cannot be packaged, or is being
/// written just now, is left out while another remains; it is looked at again when its file is
/// another.
async fn index_all(
    name: &str,
    sources: &[AnySource],
    work: &Work,
) -> Result<Vec<Arc<MediaIndex>>, Fault> {
    let limits = work.limits.source;
    let patience =
        Patience { movie: work.limits.build_timeout, fragments: work.limits.scan_timeout };
    let mut waiting = sources.iter().cloned().enumerate();
    let mut running = JoinSet::new();
    let mut indexes = BTreeMap::new();
    let mut failed = BTreeMap::new();
    loop {
        while running.len() < INDEXED_AT_ONCE
            && let Some((position, source)) = waiting.next()
        {
            let scans = work.scans.clone();
            running.spawn(async move {
                (position, read_index_of(&source, limits, &scans, patience).await)
            });
        }
        let Some(done) = running.join_next().await else { break };
        let (position, outcome) = done.map_err(|_| Fault::Busy)?;
        let id = sources.get(position).map(Source::id);
        match (outcome, id) {
            (Ok(mut index), _) => {
                let written = sources.get(position).and_then(Source::written);
                let at_once = !index.may_grow() && !is_watched(&index, work);
                if at_once || written.is_none_or(|written| is_settled(written, work)) {
                    index.set_settled();
                } else if let Some(growth) =
                    written.and_then(|written| growth(&index, written, work))
                {
                    index.set_growth(growth);
                }
                indexes.insert(position, Arc::new(index))
            }
            (Err(error), Some(id)) if is_its_own_fault(&error) => {
                let stand_in = MediaIndex::unusable(id.clone(), &error);
                failed.insert(position, error);
                indexes.insert(position, Arc::new(stand_in))
            }
            (Err(error), _) => return Err(Fault::indexing(error, position, sources.len())),
        };
    }
    if failed.len() == sources.len()
        && let Some((position, error)) = failed.pop_first()
    {
        return Err(Fault::indexing(error, position, sources.len()));
    }
    for (position, error) in failed {
        tracing::warn!(asset = name, source = position + 1, %error, "a rendition is left out");
    }
    Ok(indexes.into_values().collect())
}

/// That of a source which was written to within the last while; one from the future is not. Where
/// nobody knows when it was begun, that is when it was first seen here to have been, as long as it is
/// watched: what players were told must not move.
fn growth(index: &MediaIndex, written: Written, work: &Work) -> Option<Growth> {
    let Written { started, changed } = written;
    let pause = work.limits.recording_pause;
    let lately = work.now.since(changed) < pause && changed.since(work.now) < pause;
    let said = || *work.watched.get(&recording_key(index)?)?;
    let started = started.map(Timestamp::as_secs).or_else(said).unwrap_or(u64::MAX);
    let changed = changed.as_secs();
    lately.then(|| Growth { started: started.min(changed), changed })
}

/// By what a recording is known again when it has grown.
fn recording_key(index: &MediaIndex) -> Option<(String, u64)> {
    Some((index.source().name.clone(), index.recording()?.identity))
}

/// Whether a recording was played before it said that it is finished. Its playlist is one to which
/// things are only added (RFC 8216bis §6.2.1), so it says that it ends under the same version.
fn is_watched(index: &MediaIndex, work: &Work) -> bool {
    recording_key(index).is_some_and(|key| work.watched.contains_key(&key))
}

/// Whether a source that may be a recording was not written to for so long that it is no more than
/// a file; one from the future is a recording. States of a source that has no such time do not
/// change: what is added to it makes another source.
fn is_settled(written: Written, work: &Work) -> bool {
    work.now.since(written.changed) >= settling(&work.limits)
}

fn settling(limits: &ServiceLimits) -> Duration {
    limits.recording_settles.max(limits.recording_pause)
}

/// Whether an error is settled by the file being another: then the asset can do without it. What
/// the operating system refuses may work a moment later with the same file.
fn is_its_own_fault(error: &IndexError) -> bool {
    match error {
        IndexError::Unusable(error) => *error != Error::UnexpectedBytes,
        IndexError::Source(error) => *error == SourceError::Changed,
        IndexError::Unfinished { .. } => false,
    }
}

/// Memory that an asset holds, in bytes.
fn weigh(media: &Media) -> u64 {
    let indexes: usize = media.sources().iter().map(|index| index.weight_bytes()).sum();
    (indexes + media.weight_bytes() + size_of::<Ready>()) as u64
}

/// A request that waits, counted.
struct Waiting<'a>(&'a Shared);

impl<'a> Waiting<'a> {
    fn enter(shared: &'a Shared) -> Result<Self, Fault> {
        let before = shared.waiting.fetch_add(1, Ordering::AcqRel);
        shared.metrics.waiting_requests.inc();
        let waiting = Self(shared);
        if before < shared.limits.waiting_requests {
            return Ok(waiting);
        }
        shared.metrics.refused_requests.inc();
        Err(Fault::Busy)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
        self.0.metrics.waiting_requests.dec();
    }
}

/// How many sources of one asset are indexed at the same time.
const INDEXED_AT_ONCE: usize = 4;

/// How long a failed build is not tried again.
const REMEMBER_FAILURE: Duration = Duration::from_secs(1);

/// How many failures are remembered.
const REMEMBERED_FAILURES: u64 = 1_024;
