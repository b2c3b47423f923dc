//! moka, which many take, as they take it: TinyLFU without a window. A request is counted once here;
//! a cache that looks more than once for what it does not have counts it as often.

use std::hash::{BuildHasherDefault, DefaultHasher};

use moka::sync::Cache;

use super::Policy;

pub(super) struct Moka {
    cache: Cache<u32, u32, BuildHasherDefault<DefaultHasher>>,
    looks: u32,
    written: u64,
}

impl Moka {
    /// One that looks so often for what it does not have.
    pub(super) fn new(capacity: u64, looks: u32) -> Self {
        let cache = Cache::builder().max_capacity(capacity).weigher(|_: &u32, bytes: &u32| *bytes);
        let cache = cache.build_with_hasher(BuildHasherDefault::default());
        Self { cache, looks, written: 0 }
    }
}

impl Policy for Moka {
    fn request(&mut self, object: u32, bytes: u32) -> bool {
        let hit = self.cache.get(&object).is_some();
        if !hit {
            for _ in 1..self.looks {
                let _ = self.cache.get(&object);
            }
            self.cache.insert(object, bytes);
            self.written += u64::from(bytes);
        }
        // What moka puts off is done at once, so that runs are alike.
        self.cache.run_pending_tasks();
        hit
    }

    fn written(&self) -> u64 {
        self.written
    }
}
