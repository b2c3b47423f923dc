//! A table of bounded size for what strangers make up keys for: clients, tokens, sessions.
//!
//! It is divided into sets of [`WAYS`] places, each behind a lock of its own; a key has its set. In a
//! set that is full the one that was not touched for longest gives way. So whatever is asked for, the
//! table holds no more than it was made for, and a look-up costs the same: who makes up keys can push
//! others out, and cannot make anything grow or slow.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Places of a set.
const WAYS: usize = 8;

/// See the module. Time is a number that grows, in whatever unit.
#[derive(Debug)]
pub(crate) struct Table<V> {
    sets: Box<[Mutex<Vec<Slot<V>>>]>,
    /// Nobody outside knows which keys share a set.
    seed: RandomState,
}

#[derive(Debug)]
struct Slot<V> {
    key: u64,
    touched: u64,
    value: V,
}

impl<V> Table<V> {
    /// A table of `capacity` places, rounded up to whole sets. What is not used takes no memory but
    /// that of its set's lock.
    pub(crate) fn new(capacity: usize) -> Self {
        let sets = capacity.div_ceil(WAYS).max(1);
        let sets = (0..sets).map(|_| Mutex::new(Vec::new())).collect();
        Self { sets, seed: RandomState::new() }
    }

    /// The key of something.
    pub(crate) fn key(&self, of: impl Hash) -> u64 {
        self.seed.hash_one(of)
    }

    /// Looks at what has `key`, or is made for it now. What had to give way goes to `gone`.
    pub(crate) fn with<R>(
        &self,
        key: u64,
        now: u64,
        make: impl FnOnce() -> V,
        gone: impl FnOnce(V),
        look: impl FnOnce(&mut V) -> R,
    ) -> R {
        let mut set = self.set(key);
        let at = match set.iter().position(|slot| slot.key == key) {
            Some(at) => at,
            None if set.len() < WAYS => {
                if set.capacity() == 0 {
                    set.reserve_exact(1);
                }
                set.push(Slot { key, touched: now, value: make() });
                set.len() - 1
            }
            None => {
                let oldest = set.iter().enumerate().min_by_key(|(_, slot)| slot.touched);
                let at = oldest.map_or(0, |(at, _)| at);
                if let Some(slot) = set.get_mut(at) {
                    let before = std::mem::replace(slot, Slot { key, touched: now, value: make() });
                    gone(before.value);
                }
                at
            }
        };
        // The set holds a slot at `at` in each of the three cases.
        let slot = &mut set[at];
        slot.touched = now;
        look(&mut slot.value)
    }

    /// Looks at what has `key`, if that is there; it does not count as touched.
    pub(crate) fn get<R>(&self, key: u64, look: impl FnOnce(&mut V) -> R) -> Option<R> {
        let mut set = self.set(key);
        set.iter_mut().find(|slot| slot.key == key).map(|slot| look(&mut slot.value))
    }

    /// Looks at all of set number `set` (modulo their number), and drops what `keep` does not want.
    pub(crate) fn sweep(&self, set: usize, mut keep: impl FnMut(&mut V) -> bool) {
        let Some(set) = self.sets.get(set % self.sets.len().max(1)) else { return };
        lock(set).retain_mut(|slot| keep(&mut slot.value));
    }

    /// The number of sets.
    pub(crate) fn sets(&self) -> usize {
        self.sets.len()
    }

    fn set(&self, key: u64) -> MutexGuard<'_, Vec<Slot<V>>> {
        let at = key as usize % self.sets.len().max(1);
        // There is one set at least.
        lock(&self.sets[at])
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded is valid at every step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_set_lets_go_of_the_one_that_is_longest_untouched() {
        let table = Table::new(1);
        let mut gone = Vec::new();
        for key in 0..WAYS as u64 {
            table.with(key, key, || key, |_| unreachable!(), |_| ());
        }
        table.with(0, 100, || 77, |_| unreachable!(), |value| assert_eq!(*value, 0));
        table.with(50, 101, || 50, |value| gone.push(value), |_| ());
        assert_eq!(gone, [1], "0 was touched since");
        assert_eq!(table.get(1, |_| ()), None);
        assert_eq!(table.get(50, |value| *value), Some(50));
    }

    #[test]
    fn whatever_keys_are_made_up_it_holds_no_more_than_it_was_made_for() {
        let table = Table::new(64);
        for key in 0..10_000u64 {
            table.with(table.key(key), key, || key, drop, |_| ());
        }
        let mut held = 0;
        for set in 0..table.sets() {
            table.sweep(set, |_| {
                held += 1;
                true
            });
        }
        assert_eq!((table.sets(), held), (8, 64));
    }
}
