//! The store: a RAM tier of finished objects, by key, weighed by the bytes they take, and behind it
//! a disk tier, if there is one.
//!
//! A key holds a bounded list of variants, newest first. What goes from memory is chosen by
//! [`sieve`], so that a scan of objects nobody asks for twice does not drive out those that many ask
//! for; or, of what somebody knows more of, by what it is worth ([`keep`]).

pub(crate) mod keep;
mod sieve;

use std::hash::RandomState;
use std::sync::Arc;

use http::HeaderMap;
use smallvec::SmallVec;

use crate::disk::{Disk, Offers};
use crate::key::Key;
use crate::object::{Content, Object};
use crate::{Error, Metrics};
use keep::Worth;
use sieve::{Change, Out, Sieve};

/// The most variants of one key that are kept; the oldest goes first.
pub(crate) const MAX_VARIANTS: usize = 16;

/// What holds an entry in the RAM tier, roughly.
const ENTRY: u64 = 200;

/// The stored responses of one key, newest first; never empty.
#[derive(Debug)]
pub(crate) struct Variants {
    list: SmallVec<[Arc<Object>; 1]>,
    weight: u64,
}

impl Variants {
    fn new(key: &[u8], list: SmallVec<[Arc<Object>; 1]>) -> Self {
        let bytes: u64 = list.iter().map(|object| object.weight()).sum();
        Self { list, weight: bytes.saturating_add(ENTRY + key.len() as u64) }
    }

    /// The newest response that a request with these fields selects (RFC 9111 §4.1), one whose
    /// language it likes best where it is none's own.
    pub(crate) fn select(&self, request: &HeaderMap) -> Option<&Arc<Object>> {
        let own = self.list.iter().find(|object| object.head.vary.matches(request));
        own.or_else(|| {
            let head = |object: &&Arc<Object>| {
                object.head.vary.matches_by_language(request, &object.head.headers)
            };
            self.list.iter().find(head)
        })
    }

    /// All of them, newest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.list.iter()
    }

    /// What tells their worth: that of the newest.
    fn worth(&self) -> Option<&dyn Worth> {
        Some(self.list.first()?.head.keep.as_ref()?.worth())
    }

    /// Whether two requests select the same response, as far as the stored ones tell.
    pub(crate) fn agree(&self, one: &HeaderMap, other: &HeaderMap) -> bool {
        self.list.iter().all(|object| object.head.vary.agree(one, other))
    }
}

/// Both tiers. What is in both is the same; what is in one only may be in either.
pub(crate) struct Store {
    ram: Sieve<Key, Arc<Variants>, RandomState>,
    disk: Option<Disk>,
    /// For what leaves memory.
    offers: Option<Offers>,
    /// Bytes that the RAM tier may take, and the most that one key may weigh.
    capacity: u64,
    metrics: Metrics,
}

impl Store {
    pub(crate) fn new(bytes: u64, disk: Option<Disk>, metrics: Metrics) -> Self {
        let offers = disk.as_ref().map(Disk::offers);
        let ram =
            Sieve::new(bytes, RandomState::new(), |variants: &Arc<Variants>| variants.worth());
        Self { ram, disk, offers, capacity: bytes, metrics }
    }

    /// What is in RAM: the one look-up of a hit.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Arc<Variants>> {
        self.ram.get(key)
    }

    /// What is in RAM, for who looks without using it.
    pub(crate) fn peek(&self, key: &[u8]) -> Option<Arc<Variants>> {
        self.ram.peek(key)
    }

    /// What a request selects on disk, for who asks without using it.
    pub(crate) async fn look_on_disk(
        &self,
        key: &[u8],
        request: &HeaderMap,
    ) -> Option<Arc<Object>> {
        self.disk.as_ref()?.look(key, request).await
    }

    /// Reads what a request selects from disk, if it is there, and puts it into RAM if it is small.
    pub(crate) async fn find_on_disk(&self, key: &Key, request: &HeaderMap) -> Option<Arc<Object>> {
        let disk = self.disk.as_ref()?;
        let object = disk.find(key, request).await?;
        if matches!(object.body, Content::Memory(_)) {
            self.promote(key, &object, request);
            if !disk.holds(key, &object) {
                // It was replaced or taken back since it was read. Those who do so take it from
                // disk first: either they find it in RAM after that, or it is seen here.
                self.take_back(key, &object);
                return None;
            }
        }
        Some(object)
    }

    /// Stores a response to a request with the given fields, in the place of those that the same
    /// request would have selected; in RAM unless it would not fit even alone, on disk if that
    /// finds it worth it.
    pub(crate) fn insert(&self, key: &Key, object: Arc<Object>, request: &HeaderMap) {
        if let Some(disk) = &self.disk {
            disk.fetched(key, &object);
        }
        self.insert_in_ram(key, object, request);
    }

    /// Stores a response that upstream confirmed: the body is as it was.
    pub(crate) fn update(&self, key: &Key, object: Arc<Object>, request: &HeaderMap) {
        if let Some(disk) = &self.disk {
            disk.confirmed(key, &object);
        }
        if matches!(object.body, Content::Memory(_)) {
            self.insert_in_ram(key, object, request);
        }
    }

    /// Takes down that a response in RAM was asked for, so that it is on disk when it is wanted
    /// there. Whoever calls this for every request calls it too often.
    pub(crate) fn seen(&self, key: impl FnOnce() -> Key, object: &Arc<Object>) {
        if let Some(disk) = &self.disk {
            disk.seen(&key(), object);
        }
    }

    /// Whether what was read from disk is still what counts there.
    pub(crate) fn still_on_disk(&self, key: &[u8], object: &Object) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.holds(key, object))
    }

    /// Whether something may be on disk under a key: it looks no further than the index.
    pub(crate) fn may_be_on_disk(&self, key: &[u8]) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.may_have(key))
    }

    fn insert_in_ram(&self, key: &Key, object: Arc<Object>, request: &HeaderMap) {
        self.put(key, object, request, false);
    }

    fn promote(&self, key: &Key, object: &Arc<Object>, request: &HeaderMap) {
        self.put(key, Arc::clone(object), request, true);
    }

    /// Puts a response into RAM; if it may not replace anything, only where the request selects
    /// nothing.
    fn put(&self, key: &Key, object: Arc<Object>, request: &HeaderMap, only_new: bool) {
        let out = self.ram.change(key, |stored| {
            let stored = stored.into_iter().flat_map(|variants| &variants.list);
            if only_new && stored.clone().any(|other| other.head.vary.matches(request)) {
                return Change::Keep;
            }
            // One that does not vary is what every request selects from now on.
            let stays = |other: &&Arc<Object>| {
                (only_new || object.head.vary.varies()) && !other.head.vary.matches(request)
            };
            let others: SmallVec<[_; 2]> = stored.filter(stays).cloned().collect();
            let mut room = self.capacity.saturating_sub(ENTRY + key.len() as u64);
            let mut list: SmallVec<[Arc<Object>; 1]> = SmallVec::new();
            for object in std::iter::once(object).chain(others).take(MAX_VARIANTS) {
                if let Some(left) = room.checked_sub(object.weight()) {
                    room = left;
                    list.push(object);
                }
            }
            if list.is_empty() {
                return Change::Remove;
            }
            for object in &list {
                object.enter_store();
            }
            let variants = Variants::new(key, list);
            let weight = variants.weight;
            self.metrics.stored_bytes.inc_by(weight as i64);
            self.metrics.stored_objects.inc();
            Change::Put(Arc::new(variants), weight)
        });
        self.let_go(out);
    }

    /// Takes one response out of RAM.
    fn take_back(&self, key: &Key, object: &Arc<Object>) {
        self.let_go(self.ram.change(key, |stored| {
            let ours = stored.is_some_and(|all| all.iter().any(|other| Arc::ptr_eq(other, object)));
            if ours { Change::Remove } else { Change::Keep }
        }));
    }

    /// What is out of RAM is not counted there any more; what made room may be wanted on disk.
    fn let_go(&self, out: Out<Key, Arc<Variants>>) {
        if let Some(former) = out.former {
            self.uncount(&former);
        }
        for (key, variants) in out.evicted {
            self.uncount(&variants);
            self.metrics.evictions.inc();
            if let Some(offers) = &self.offers {
                let new = variants.iter().filter(|object| object.on_disk.is_none());
                new.for_each(|object| offers.left(&key, object));
            }
        }
    }

    fn uncount(&self, variants: &Variants) {
        variants.iter().for_each(|object| object.leave_store());
        self.metrics.stored_bytes.dec_by(variants.weight as i64);
        self.metrics.stored_objects.dec();
    }

    /// Forgets all that is stored under the key. [`settled`](Self::settled) tells when that holds
    /// for a restart, too.
    pub(crate) fn remove(&self, key: &[u8]) {
        if let Some(disk) = &self.disk {
            disk.forget(key);
        }
        if let Some(former) = self.ram.remove(key) {
            self.uncount(&former);
        }
    }

    /// Waits until what was removed does not come back by a restart.
    pub(crate) async fn settled(&self) {
        if let Some(disk) = &self.disk {
            disk.settled().await;
        }
    }

    /// Waits until what the disk took is on it for good.
    pub(crate) async fn flush(&self) {
        if let Some(disk) = &self.disk {
            disk.flush().await;
        }
    }

    /// Ends the disk tier: all is written, and its folder is free.
    pub(crate) async fn close(&self) {
        if let Some(disk) = &self.disk {
            disk.close().await;
        }
    }

    /// Has the disk tier again after [`close`](Self::close). Blocks.
    pub(crate) fn reopen(&self) -> Result<(), Error> {
        self.disk.as_ref().map_or(Ok(()), Disk::reopen)
    }
}
