//! The fetches in flight, by key: one per response that can be told apart.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::HeaderMap;
use smallvec::SmallVec;

use super::budget::Budget;
use super::{Fill, Interest, Outcome};
use crate::Cache;
use crate::Metrics;
use crate::key::Key;
use crate::purge::PurgeSeq;
use crate::purge::ledger::Ledger;
use crate::store::{Store, Variants};
use crate::sync::{Mutex, MutexGuard, lock};

const SHARDS: usize = 64;

type Shard = HashMap<Key, SmallVec<[Arc<Fill>; 1]>>;

/// See the module. Its bound is that of the [`Budget`]: every fill here has a charge there.
pub(crate) struct Fills {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
}

/// What a request that needs upstream is to do.
pub(crate) enum Joined {
    /// Wait for a fetch that is in flight.
    Follower(Interest),
    /// Start this one.
    Leader(Interest),
    /// Come again later: there are as many fetches as there may be.
    Refused,
}

/// A request that wants to join.
pub(crate) struct Joining<'a> {
    pub(crate) key: &'a Key,
    pub(crate) headers: &'a HeaderMap,
    /// What is stored under the key: what its `Vary` fields tell apart does not wait together.
    pub(crate) variants: Option<&'a Variants>,
    /// The request wants an answer newer than those that upstream has given.
    pub(crate) only_unsettled: bool,
    /// What was purged.
    pub(crate) ledger: &'a Ledger,
    /// The newest purge that who asks has seen.
    pub(crate) since: PurgeSeq,
}

impl Fills {
    pub(crate) fn new() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, hasher: RandomState::new() }
    }

    /// Joins a fetch in flight that may answer this request, or begins one; unless `ready`, asked
    /// once no fetch is found and none can end meanwhile, gives the answer.
    pub(crate) fn join<T>(
        &self,
        joining: &Joining<'_>,
        cache: Option<&Cache>,
        budget: &Arc<Budget>,
        metrics: &Metrics,
        ready: impl FnOnce() -> Option<T>,
    ) -> Result<Joined, T> {
        let mut shard = self.shard(joining.key);
        let found = shard
            .get(joining.key)
            .and_then(|fills| fills.iter().find(|fill| may_join(fill, joining)));
        if let Some(fill) = found {
            return Ok(Joined::Follower(Interest::new(Arc::clone(fill), cache.cloned())));
        }
        // Taken before `ready` looks at what was purged: what comes meanwhile is newer.
        let seq = joining.ledger.newest().max(joining.since);
        if let Some(ready) = ready() {
            return Err(ready);
        }
        let Some(charge) = budget.open() else {
            metrics.fills_refused.inc();
            return Ok(Joined::Refused);
        };
        let (key, request) = (Arc::clone(joining.key), joining.headers.clone());
        let fill = Arc::new(Fill::new(key, request, seq, charge, metrics.clone()));
        shard.entry(Arc::clone(joining.key)).or_default().push(Arc::clone(&fill));
        Ok(Joined::Leader(Interest::new(fill, cache.cloned())))
    }

    /// Takes a fill out, doing `last` under the lock if it was there and its key was not
    /// invalidated meanwhile.
    pub(super) fn retire(&self, fill: &Arc<Fill>, last: impl FnOnce()) {
        let mut shard = self.shard(&fill.key);
        if remove(&mut shard, fill) && !fill.outdated.load(Ordering::Acquire) {
            last();
        }
    }

    /// Takes a fill out if nobody is interested in it, as [`retire`](Self::retire) does; says
    /// whether it did.
    pub(super) fn retire_if_idle(&self, fill: &Arc<Fill>, last: impl FnOnce()) -> bool {
        let mut shard = self.shard(&fill.key);
        let idle = fill.interested.load(Ordering::Acquire) == 0;
        if idle && remove(&mut shard, fill) && !fill.outdated.load(Ordering::Acquire) {
            last();
        }
        idle
    }

    /// How many fetches of a key are in flight.
    pub(crate) fn under_way(&self, key: &[u8]) -> usize {
        self.shard(key).get(key).map_or(0, SmallVec::len)
    }

    /// Forgets what is stored under a key, and keeps fetches in flight from being stored or
    /// joined: they may be older than what made the key invalid (RFC 9111 §4.4).
    pub(crate) fn invalidate(&self, key: &[u8], store: &Store) {
        let mut shard = self.shard(key);
        for fill in shard.remove(key).into_iter().flatten() {
            fill.outdated.store(true, Ordering::Release);
        }
        store.remove(key);
    }

    /// Does something to what is stored under a key while it is not invalidated.
    pub(crate) fn guarded(&self, key: &[u8], change: impl FnOnce()) {
        let _shard = self.shard(key);
        change();
    }

    fn shard(&self, key: &[u8]) -> MutexGuard<'_, Shard> {
        let index = self.hasher.hash_one(key) as usize % self.shards.len();
        lock(&self.shards[index])
    }
}

/// Whether a fetch in flight may turn out to answer the request.
fn may_join(fill: &Fill, joining: &Joining<'_>) -> bool {
    if !fill.is_new_enough(joining.ledger, joining.since) {
        return false;
    }
    match fill.outcome() {
        None => joining.variants.is_none_or(|all| all.agree(joining.headers, &fill.request)),
        Some(_) if joining.only_unsettled => false,
        Some(Outcome::Shared { head, open, .. }) => {
            open && head.vary.matches(joining.headers) && fill.has_beginning()
        }
        Some(_) => false,
    }
}

fn remove(shard: &mut Shard, fill: &Arc<Fill>) -> bool {
    let Some(fills) = shard.get_mut(&fill.key) else { return false };
    let before = fills.len();
    fills.retain(|other| !Arc::ptr_eq(other, fill));
    let removed = fills.len() < before;
    if fills.is_empty() {
        shard.remove(&fill.key);
    }
    removed
}
