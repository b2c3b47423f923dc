//! The cache's tier in memory: its own code ([`Sieve`] is the cache's source), with a hash that is
//! the same in every run. `real.rs` compares with the cache as a whole.

use std::hash::{BuildHasherDefault, DefaultHasher};

use super::Policy;
use crate::tier::sieve::{Change, Sieve};

pub(super) struct Ram {
    cache: Sieve<u32, (), BuildHasherDefault<DefaultHasher>>,
    capacity: u64,
    written: u64,
}

impl Ram {
    pub(super) fn new(capacity: u64) -> Self {
        let cache = Sieve::new(capacity, BuildHasherDefault::default());
        Self { cache, capacity, written: 0 }
    }
}

impl Policy for Ram {
    fn request(&mut self, object: u32, bytes: u32) -> bool {
        let hit = self.cache.get(&object).is_some();
        if !hit && u64::from(bytes) <= self.capacity {
            self.cache.change(&object, |_| Change::Put((), u64::from(bytes)));
            self.written += u64::from(bytes);
        }
        hit
    }

    fn written(&self) -> u64 {
        self.written
    }
}
