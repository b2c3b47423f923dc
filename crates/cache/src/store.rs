//! The RAM tier: finished objects, by key, weighed by the bytes they take.
//!
//! A key holds a bounded list of variants, newest first. moka admits by TinyLFU, so that a scan of
//! objects nobody asks for twice does not drive out those that many ask for.

use std::sync::Arc;

use http::HeaderMap;
use moka::notification::RemovalCause;
use moka::ops::compute::Op;
use smallvec::SmallVec;

use crate::Metrics;
use crate::key::Key;
use crate::object::Object;

/// The most variants of one key that are kept; the oldest goes first.
pub(crate) const MAX_VARIANTS: usize = 16;

/// What holds an entry in moka, roughly.
const ENTRY: u64 = 200;

/// The stored responses of one key, newest first; never empty.
#[derive(Debug)]
pub(crate) struct Variants {
    list: SmallVec<[Arc<Object>; 1]>,
    weight: u32,
}

impl Variants {
    fn new(key: &[u8], list: SmallVec<[Arc<Object>; 1]>) -> Self {
        let bytes: u64 = list.iter().map(|object| object.weight()).sum();
        let weight = bytes.saturating_add(ENTRY + key.len() as u64);
        Self { list, weight: u32::try_from(weight).unwrap_or(u32::MAX) }
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

    /// Whether two requests select the same response, as far as the stored ones tell.
    pub(crate) fn agree(&self, one: &HeaderMap, other: &HeaderMap) -> bool {
        self.list.iter().all(|object| object.head.vary.agree(one, other))
    }
}

/// The RAM tier.
pub(crate) struct Store {
    map: moka::sync::Cache<Key, Arc<Variants>>,
    /// The most that one key may weigh.
    capacity: u64,
    bytes: u64,
    metrics: Metrics,
}

impl Store {
    pub(crate) fn new(name: &str, bytes: u64, metrics: Metrics) -> Self {
        let counted = metrics.clone();
        let map = moka::sync::Cache::builder()
            .name(name)
            .max_capacity(bytes)
            .weigher(|_: &Key, variants: &Arc<Variants>| variants.weight)
            .eviction_listener(move |_, variants: Arc<Variants>, cause| {
                for object in &variants.list {
                    object.leave_store();
                }
                counted.stored_bytes.dec_by(i64::from(variants.weight));
                counted.stored_objects.dec();
                if cause == RemovalCause::Size {
                    counted.evictions.inc();
                }
            })
            .build();
        Self { map, capacity: bytes.min(u64::from(u32::MAX)), bytes, metrics }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Arc<Variants>> {
        self.map.get(key)
    }

    /// Stores a response to a request with the given fields, in the place of those that the same
    /// request would have selected; unless it would not fit even alone.
    pub(crate) fn insert(&self, key: &Key, object: Arc<Object>, request: &HeaderMap) {
        self.map.entry_by_ref(key).and_compute_with(|entry| {
            let stored = entry.iter().flat_map(|entry| &entry.value().list);
            let others = stored.filter(|other| !other.head.vary.matches(request)).cloned();
            let mut room = self.capacity.saturating_sub(ENTRY + key.len() as u64);
            let mut list: SmallVec<[Arc<Object>; 1]> = SmallVec::new();
            for object in std::iter::once(object).chain(others).take(MAX_VARIANTS) {
                if let Some(left) = room.checked_sub(object.weight()) {
                    room = left;
                    list.push(object);
                }
            }
            if list.is_empty() {
                return if entry.is_some() { Op::Remove } else { Op::Nop };
            }
            for object in &list {
                object.enter_store();
            }
            let variants = Variants::new(key, list);
            self.metrics.stored_bytes.inc_by(i64::from(variants.weight));
            self.metrics.stored_objects.inc();
            Op::Put(Arc::new(variants))
        });
        // moka lets go of entries some dozens of inserts later, if nobody asks: too late for ones
        // of many megabytes.
        if u64::try_from(self.metrics.stored_bytes.get()).is_ok_and(|all| all > self.bytes) {
            self.map.run_pending_tasks();
        }
    }

    /// Forgets all that is stored under the key.
    pub(crate) fn remove(&self, key: &[u8]) {
        self.map.invalidate(key);
    }
}
