//! The cache itself: built once, shared by every service that its layer makes.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use headwater_net::{Clock, Problem};
use http::StatusCode;
use http::request::Parts;
use tokio::sync::Semaphore;

use crate::disk::Disk;
use crate::engine;
use crate::fill::budget::Budget;
use crate::fill::table::Fills;
use crate::loops::Node;
use crate::policy::{Choices, DefaultPolicy, Policy};
use crate::purge::{Purge, PurgeError, PurgeLog, PurgeSeq, Purges};
use crate::remembered::Remembered;
use crate::service::CacheLayer;
use crate::slices::{Grid, Joints};
use crate::status::Signature;
use crate::store::Store;
use crate::sync::Tasks;
use crate::{Error, Metrics};

/// The least a window may be.
pub(crate) const MIN_WINDOW: u64 = 128 << 10;

/// A shared HTTP cache (RFC 9111): clones are handles of one store.
///
/// Its fetches in flight run in tasks of their own. When the last handle is gone (services and
/// bodies still being read hold one each), they are aborted.
#[derive(Clone)]
pub struct Cache {
    owner: Arc<Owner>,
}

impl Cache {
    /// Starts describing a cache.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The layer that puts this cache before a service. Layers of one cache share its store, so
    /// the services behind them must give the same answers.
    pub fn layer(&self) -> CacheLayer {
        CacheLayer::new(self.clone())
    }

    /// Purges: once this is done, no request is answered by what was fetched before, and no fetch
    /// that is under way brings it back; nor does a restart, where the cache has a
    /// disk tier, or a [`Builder::purge_log`].
    ///
    /// Gives the number of the purge; of one that was done before
    /// ([`Purge::at`]), a number at or after its own. Cancel safe: it is done whole or not at all.
    ///
    /// # Errors
    /// [`PurgeError::Invalid`] where the purge names nothing, [`PurgeError::Log`] where it could
    /// not be written down: it was not done then.
    pub async fn purge(&self, purge: Purge) -> Result<PurgeSeq, PurgeError> {
        let inner = self.inner();
        let seq = inner.purges.purge(&purge, inner.policy.as_ref(), inner.clock.now()).await?;
        inner.metrics.purges.inc();
        inner.metrics.purge_records.set(inner.purges.ledger().len() as i64);
        Ok(seq)
    }

    /// Makes a request ready that goes upstream past this cache, such as one for a WebSocket, as those
    /// are that it sends on itself: what caches say to each other no client says, and this one has
    /// signed it.
    ///
    /// # Errors
    /// The answer to one that comes round again (RFC 8586 §3): it is not to be sent on.
    pub fn pass_by(&self, request: &mut Parts) -> Result<(), Problem> {
        let inner = self.inner();
        if inner.node.check(&request.headers).is_err() {
            let problem = Problem::new(StatusCode::LOOP_DETECTED);
            return Err(problem.detail("this request goes round in circles"));
        }
        engine::mark(inner, request, inner.purges.ledger().newest());
        Ok(())
    }

    /// Has slices of what comes from now on end where that is said to be well, and none be longer than
    /// [`Builder::slice`]; what is stored already keeps its slices. One says so for a cache: the first that
    /// is given.
    pub fn align(&self, to: impl Joints) {
        let _ = self.inner().joints.set(Box::new(to));
    }

    /// The number of the newest purge; zero before the first.
    pub fn purge_seq(&self) -> PurgeSeq {
        self.inner().purges.ledger().newest()
    }

    /// The newest number of those purges that somebody numbers for all caches ([`Purge::at`]); zero
    /// before the first.
    pub fn purges_followed(&self) -> PurgeSeq {
        self.inner().purges.ledger().order()
    }

    /// What this cache counts.
    pub fn metrics(&self) -> Metrics {
        self.inner().metrics.clone()
    }

    /// The clock this cache lives by.
    pub fn clock(&self) -> &Clock {
        &self.inner().clock
    }

    /// Waits until all that the disk tier took is on disk, and lasts through a loss of power. At
    /// once without a disk tier.
    pub async fn flush(&self) {
        self.inner().store.flush().await;
    }

    /// Ends the disk tier: what it took is written, and its folder is free for another. To be
    /// called when the last request is done; requests after that are answered from RAM and
    /// upstream, and purges of what is in RAM are not written down any more.
    pub async fn close(&self) {
        self.inner().store.close().await;
        self.inner().purges.close().await;
    }

    /// Has the disk tier again after [`close`](Self::close), as its folder is now: where the process
    /// that was to have it did not come to serve. What was replaced, purged or taken back meanwhile
    /// does not come back. Nothing is done without a disk tier, or with one that was not closed.
    ///
    /// # Errors
    /// [`Error::InUse`] while another process has the folder, [`Error::Folder`] when it cannot be
    /// used. The cache goes on as before.
    pub async fn reopen(&self) -> Result<(), Error> {
        let inner = Arc::clone(self.inner());
        let runtime = tokio::runtime::Handle::current();
        let open = move || {
            // The folder's lock is that of what was purged, too.
            inner.store.reopen()?;
            inner.purges.reopen(inner.clock.now()).inspect_err(|_| {
                // What would be purged from now on would come back with the next process.
                runtime.block_on(inner.store.close());
            })
        };
        match tokio::task::spawn_blocking(open)
            .await
            .map_err(tokio::task::JoinError::try_into_panic)
        {
            Ok(done) => done,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            // The runtime ends, and this with it.
            Err(Err(_)) => std::future::pending().await,
        }
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.owner.inner
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

/// Tasks hold the inside of a cache, handles hold its owner: so its end is noticed.
struct Owner {
    inner: Arc<Inner>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.inner.tasks.abort_all();
    }
}

/// Who asks a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Downstream {
    /// Strangers, such as browsers and players: what they say of purges is not believed, and
    /// `Surrogate-Key` and `Cache-Tag` are taken off what they get.
    #[default]
    Clients,
    /// Caches of the same operator, and nobody else: what they say of the purges they have seen is
    /// believed, and they are told surrogate keys.
    Caches,
}

pub(crate) struct Inner {
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    pub(crate) policy: Box<dyn Policy>,
    pub(crate) choices: Choices,
    pub(crate) node: Node,
    pub(crate) signature: Signature,
    pub(crate) honour_request_directives: bool,
    pub(crate) store: Store,
    pub(crate) purges: Purges,
    pub(crate) downstream: Downstream,
    pub(crate) fills: Fills,
    pub(crate) remembered: Remembered,
    pub(crate) passes: Arc<Semaphore>,
    pub(crate) pass_wait: Duration,
    pub(crate) grid: Option<Grid>,
    /// Who knows where slices had better end.
    pub(crate) joints: OnceLock<Box<dyn Joints>>,
    pub(crate) max_object: u64,
    pub(crate) window: u64,
    pub(crate) budget: Arc<Budget>,
    pub(crate) finish_percent: u8,
    tasks: Tasks,
}

impl Inner {
    /// Runs a fill's task until it ends or the cache does.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }
}

/// Describes a [`Cache`].
#[must_use = "a builder does nothing until build is called"]
pub struct Builder {
    name: String,
    ram: u64,
    max_object: u64,
    slice: u64,
    uncollapsed: Duration,
    window: u64,
    fill_memory: u64,
    max_fills: usize,
    max_passes: usize,
    pass_wait: Duration,
    finish_percent: u8,
    honour_request_directives: bool,
    clock: Clock,
    policy: Box<dyn Policy>,
    purge_log: Option<PurgeLog>,
    downstream: Downstream,
    choices: Choices,
    disk: Option<Disk>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            name: "headwater".to_owned(),
            ram: 256 << 20,
            max_object: 64 << 20,
            slice: 4 << 20,
            uncollapsed: Duration::from_secs(10),
            window: 4 << 20,
            fill_memory: 256 << 20,
            max_fills: 4096,
            max_passes: 1024,
            pass_wait: Duration::from_secs(10),
            finish_percent: 50,
            honour_request_directives: true,
            clock: Clock::system(),
            policy: Box::new(DefaultPolicy),
            purge_log: None,
            downstream: Downstream::Clients,
            choices: Choices::default(),
            disk: None,
        }
    }
}

impl Builder {
    /// The name by which this cache signs `Cache-Status` (RFC 9211 §2); default `headwater`.
    /// Caches in a row need different names to be told apart.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Bytes that finished objects may take in memory, their headers and keys counted; default
    /// 256 MiB. Past it, the least useful objects go; what is just being sent of one that goes
    /// lives on until it is sent.
    pub fn ram(mut self, bytes: u64) -> Self {
        self.ram = bytes;
        self
    }

    /// A disk tier behind the RAM; default none.
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disk = Some(disk);
        self
    }

    /// The largest body that is stored in one piece, in bytes; default 64 MiB, at most 2 GiB. A
    /// larger one is stored in [slices](Self::slice); where that cannot be, it streams through a
    /// [window](Self::window) and is fetched anew for the next request.
    pub fn max_object(mut self, bytes: u64) -> Self {
        self.max_object = bytes.min(2 << 30);
        self
    }

    /// The bytes of a slice; default 4 MiB, never more than [`max_object`](Self::max_object), and
    /// zero for no slices.
    ///
    /// A 200 that is larger than `max_object`, what a policy [says so of](Policy::in_slices), and
    /// what nothing is known of where a client wants a range beyond its first slice, is fetched by
    /// slices with `Range` and `If-Range`, at multiples of this unless the cache is
    /// [told better](Cache::align), and each is stored for itself. So is what came of
    /// a body that broke off or was given up (RFC 9111 §3.3), and the rest is fetched when it is
    /// wanted (§3.4). That takes a strong validator, an upstream that gives parts, and at most
    /// 16,384 slices.
    pub fn slice(mut self, bytes: u64) -> Self {
        self.slice = bytes;
        self
    }

    /// How long requests for a key do not wait for one another after its answer turned out to be
    /// its asker's alone; default ten seconds. It ends sooner when an answer comes that could be
    /// shared.
    pub fn uncollapsed(mut self, time: Duration) -> Self {
        self.uncollapsed = time;
        self
    }

    /// Bytes kept, behind its fastest reader, of a body that is not stored, for those who read it
    /// together; default 4 MiB, at least 128 KiB. The fetch is at most half of it ahead of that
    /// reader; one that falls further behind than this is reset, alone.
    pub fn window(mut self, bytes: u64) -> Self {
        self.window = bytes.max(MIN_WINDOW);
        self
    }

    /// Bytes that all fetches may hold together beside the store, in flight or finished and still
    /// being read; default 256 MiB. Past it, fetches go on by the least [window](Self::window)
    /// each, 128 KiB, and are not stored.
    pub fn fill_memory(mut self, bytes: u64) -> Self {
        self.fill_memory = bytes;
        self
    }

    /// The most fetches at a time, finished ones that are read but not stored counted; default
    /// 4096, at least one. Past it, a request that would begin another is answered 503, to come
    /// again after a second. With [`fill_memory`](Self::fill_memory) this bounds what fetches hold.
    pub fn max_fills(mut self, fills: usize) -> Self {
        self.max_fills = fills.max(1);
        self
    }

    /// The most requests at a time that wait for upstream by themselves though a fetch might have
    /// answered them: those let go when its answer turned out to be for its asker alone, and those
    /// after them; default 1024, at least one. One counts until upstream answers, whoever reads its
    /// body and however slowly; the others wait in line, [not for long](Self::pass_wait). Other
    /// methods, and what a policy bypasses, are not counted.
    pub fn max_passes(mut self, passes: usize) -> Self {
        self.max_passes = passes;
        self
    }

    /// How long a request waits in line for upstream where there are as many as
    /// [may ask it](Self::max_passes) by themselves; default ten seconds. Then it is answered 503, to
    /// come again after a second.
    pub fn pass_wait(mut self, time: Duration) -> Self {
        self.pass_wait = time;
        self
    }

    /// The share of a body, in percent, from which on a fetch is finished though nobody waits for
    /// it any more; default 50. Below it, or where the length is not known, the fetch is given up.
    pub fn finish_percent(mut self, percent: u8) -> Self {
        self.finish_percent = percent.min(100);
        self
    }

    /// Whether clients' `Cache-Control` and `Pragma` are listened to (RFC 9111 §5.2.1); default
    /// true, as the standard has it. Every client can then make the cache ask upstream: an edge
    /// that faces strangers may say false.
    pub fn honour_request_directives(mut self, honour: bool) -> Self {
        self.honour_request_directives = honour;
        self
    }

    /// The clock that ages are measured by; default the system's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// How requests are told apart and origins overridden; default [`DefaultPolicy`].
    pub fn policy(mut self, policy: impl Policy) -> Self {
        self.policy = Box::new(policy);
        self
    }

    /// Where purges are written down, so that they outlive the process; default in the folder of
    /// the disk tier, or nowhere where there is none, as nothing else outlives the process then.
    pub fn purge_log(mut self, log: PurgeLog) -> Self {
        self.purge_log = Some(log);
        self
    }

    /// Who asks this cache; default [`Downstream::Clients`].
    pub fn downstream(mut self, downstream: Downstream) -> Self {
        self.downstream = downstream;
        self
    }

    /// What is chosen where the standards leave a choice; default [`Choices::default`].
    pub fn choices(mut self, choices: Choices) -> Self {
        self.choices = choices;
        self
    }

    /// The cache. It needs no runtime until a request misses.
    pub fn build(self) -> Cache {
        let mut disk_tier = self.disk;
        let disk = disk_tier.as_ref().map(Disk::metrics);
        let in_folder = disk_tier.as_mut().and_then(Disk::take_purges);
        let purges = Purges::new(self.purge_log.or(in_folder), self.clock.now());
        if let Some(disk) = &disk_tier {
            disk.heed(Arc::clone(purges.ledger()));
        }
        let metrics = Metrics { disk, ..Metrics::default() };
        let inner = Inner {
            signature: Signature::new(&self.name),
            store: Store::new(self.ram, disk_tier, metrics.clone()),
            fills: Fills::new(),
            purges,
            downstream: self.downstream,
            clock: self.clock,
            policy: self.policy,
            node: self.choices.node_of(&self.name),
            choices: self.choices,
            honour_request_directives: self.honour_request_directives,
            remembered: Remembered::new(self.uncollapsed),
            passes: Arc::new(Semaphore::new(self.max_passes.clamp(1, Semaphore::MAX_PERMITS))),
            pass_wait: self.pass_wait,
            grid: Grid::new(self.slice.min(self.max_object)),
            joints: OnceLock::new(),
            max_object: self.max_object,
            window: self.window,
            budget: Budget::new(self.fill_memory, self.max_fills, metrics.clone()),
            finish_percent: self.finish_percent,
            tasks: Tasks::default(),
            metrics,
        };
        Cache { owner: Arc::new(Owner { inner: Arc::new(inner) }) }
    }
}
