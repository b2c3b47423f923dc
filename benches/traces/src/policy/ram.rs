//! The cache's tier in memory: its own code ([`Sieve`] is the cache's source), with a hash that is
//! the same in every run; by itself, and told by the shield what is worth keeping. `real.rs` compares
//! with the cache as a whole.

use std::hash::{BuildHasherDefault, DefaultHasher};

use super::Policy;
use crate::tier::keep::Keep;
use crate::tier::sieve::{Change, Sieve};
use crate::traffic::Trace;
use crate::watched::Watched;

pub(super) struct Ram {
    cache: Sieve<u32, (), BuildHasherDefault<DefaultHasher>>,
    capacity: u64,
    written: u64,
}

impl Ram {
    pub(super) fn new(capacity: u64) -> Self {
        let cache = Sieve::new(capacity, BuildHasherDefault::default(), |()| None);
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

/// The tier, where each object comes with what tells its worth.
pub(super) struct Told {
    cache: Sieve<u32, Keep, BuildHasherDefault<DefaultHasher>>,
    watched: Watched,
    at_ms: u64,
    capacity: u64,
    written: u64,
}

impl Told {
    pub(super) fn new(capacity: u64, trace: &Trace) -> Self {
        let hasher = BuildHasherDefault::default();
        let cache = Sieve::new(capacity, hasher, |keep: &Keep| Some(keep.worth()));
        Self { cache, watched: Watched::new(trace), at_ms: 0, capacity, written: 0 }
    }
}

impl Policy for Told {
    fn passes(&mut self, at_ms: u64) {
        self.at_ms = at_ms;
    }

    fn request(&mut self, object: u32, bytes: u32) -> bool {
        self.watched.asked(object, self.at_ms);
        let hit = self.cache.get(&object).is_some();
        if !hit && u64::from(bytes) <= self.capacity {
            let keep = Keep::by(self.watched.of(object));
            self.cache.change(&object, |_| Change::Put(keep, u64::from(bytes)));
            self.written += u64::from(bytes);
        }
        hit
    }

    fn written(&self) -> u64 {
        self.written
    }
}
