//! The cache's tier in memory: moka, described as `crates/cache/src/store.rs` describes it. Two
//! things are for the figures' sake, and change little: the hash is the same in every run, and what
//! moka puts off is done after each request. `real.rs` compares with the cache itself.

use std::hash::{BuildHasherDefault, DefaultHasher};

use moka::sync::Cache;

use super::Policy;

pub(super) struct Ram {
    cache: Cache<u32, u32, BuildHasherDefault<DefaultHasher>>,
    written: u64,
}

impl Ram {
    pub(super) fn new(capacity: u64) -> Self {
        let cache = Cache::builder().max_capacity(capacity).weigher(|_: &u32, bytes: &u32| *bytes);
        Self { cache: cache.build_with_hasher(BuildHasherDefault::default()), written: 0 }
    }
}

impl Policy for Ram {
    fn request(&mut self, object: u32, bytes: u32) -> bool {
        let hit = self.cache.get(&object).is_some();
        if !hit {
            self.cache.insert(object, bytes);
            self.written += u64::from(bytes);
        }
        self.cache.run_pending_tasks();
        hit
    }

    fn written(&self) -> u64 {
        self.written
    }
}
