//! A table of bounded size for what strangers make up keys for: clients, tokens, sessions.
//!
//! It is divided into sets of [`WAYS`] places, each behind a lock of its own; a key has its set. In a
//! set that is full the one that was not touched for longest gives way. So whatever is asked for, the
//! table holds no more than it was made for, and a look-up costs the same: who makes up keys can push
//! others out, and cannot make anything grow or slow.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Places of a set.
const WAYS: usize = 8;

/// See the module. Time is a number that grows, in whatever unit.
#[derive(Debug)]
pub(crate) struct Table<V> {
    sets: Box<[Mutex<Vec<Slot<V>>>]>,
    /// Nobody outside knows which keys share a set.
    seed: RandomState,
    /// What was in it is in another by now; set while all sets are locked.
    moved: AtomicBool,
}

/// The places that a key may have, locked.
#[derive(Debug)]
pub(crate) struct Set<'t, V>(MutexGuard<'t, Vec<Slot<V>>>);

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
        let sets = (0..Self::sets_of(capacity)).map(|_| Mutex::new(Vec::new())).collect();
        Self { sets, seed: RandomState::new(), moved: AtomicBool::new(false) }
    }

    /// How many sets a table of `capacity` places has.
    pub(crate) fn sets_of(capacity: usize) -> usize {
        capacity.div_ceil(WAYS).max(1)
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
        self.set(key).with(key, now, make, gone, look)
    }

    /// Looks at what has `key`, if that is there; it does not count as touched.
    pub(crate) fn get<R>(&self, key: u64, look: impl FnOnce(&mut V) -> R) -> Option<R> {
        self.set(key).get(key, look)
    }

    /// The set of a key, for whom the table may be replaced under: `None` where it has been.
    pub(crate) fn open(&self, key: u64) -> Option<Set<'_, V>> {
        let set = self.set(key);
        (!self.moved.load(Ordering::Relaxed)).then_some(set)
    }

    /// Moves all into a table of `capacity` places, in which everything has the key that it had, and gives
    /// it to `put`; what has no room there, the longest untouched first, goes to `gone`. Nobody who comes
    /// by [`Table::open`] sees one half moved. Locks all sets meanwhile.
    pub(crate) fn replace(&self, capacity: usize, mut gone: impl FnMut(V), put: impl FnOnce(Self)) {
        let mut sets: Vec<_> = self.sets.iter().map(lock).collect();
        let other = Self { seed: self.seed.clone(), ..Self::new(capacity) };
        for slot in sets.iter_mut().flat_map(|set| std::mem::take(&mut **set)) {
            if let Some(out) = other.set(slot.key).put(slot) {
                gone(out);
            }
        }
        self.moved.store(true, Ordering::Relaxed);
        put(other);
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

    fn set(&self, key: u64) -> Set<'_, V> {
        let at = key as usize % self.sets.len().max(1);
        // There is one set at least.
        Set(lock(&self.sets[at]))
    }
}

impl<V> Set<'_, V> {
    /// As [`Table::with`]; the key is of this set.
    pub(crate) fn with<R>(
        &mut self,
        key: u64,
        now: u64,
        make: impl FnOnce() -> V,
        gone: impl FnOnce(V),
        look: impl FnOnce(&mut V) -> R,
    ) -> R {
        let set = &mut *self.0;
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
                let at = oldest(set);
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

    /// As [`Table::get`]; the key is of this set.
    pub(crate) fn get<R>(&mut self, key: u64, look: impl FnOnce(&mut V) -> R) -> Option<R> {
        self.0.iter_mut().find(|slot| slot.key == key).map(|slot| look(&mut slot.value))
    }

    /// Puts in what was in another table, and says what had to give way, which may be the same.
    fn put(&mut self, slot: Slot<V>) -> Option<V> {
        let set = &mut *self.0;
        if set.len() < WAYS {
            set.push(slot);
            return None;
        }
        let at = oldest(set);
        let out = match set.get_mut(at) {
            Some(there) if there.touched <= slot.touched => std::mem::replace(there, slot),
            _ => slot,
        };
        Some(out.value)
    }
}

/// Where the one is that was not touched for longest.
fn oldest<V>(set: &[Slot<V>]) -> usize {
    let oldest = set.iter().enumerate().min_by_key(|(_, slot)| slot.touched);
    oldest.map_or(0, |(at, _)| at)
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

    fn held(table: &Table<u64>) -> Vec<u64> {
        let mut held = Vec::new();
        for set in 0..table.sets() {
            table.sweep(set, |value| {
                held.push(*value);
                true
            });
        }
        held.sort_unstable();
        held
    }

    #[test]
    fn what_is_moved_keeps_its_key_and_the_longest_untouched_stays_behind() {
        let table = Table::new(64);
        for key in 0..64u64 {
            table.with(table.key(key), key, || key, drop, |_| ());
        }
        let before = held(&table);
        let (mut larger, mut gone) = (None, Vec::new());
        table.replace(10_000, |value| gone.push(value), |other| larger = Some(other));
        let larger = larger.unwrap_or_else(|| Table::new(0));
        assert_eq!((held(&larger), gone.len(), larger.sets()), (before.clone(), 0, 1_250));
        assert!(held(&table).is_empty() && table.open(0).is_none() && larger.open(0).is_some());
        for key in &before {
            assert_eq!(larger.get(table.key(*key), |value| *value), Some(*key), "found by its key");
        }
        let mut smaller = None;
        larger.replace(1, |value| gone.push(value), |other| smaller = Some(other));
        let mut before = before;
        let kept = before.split_off(before.len() - WAYS);
        gone.sort_unstable();
        assert_eq!((smaller.map(|table| held(&table)), gone), (Some(kept), before));
    }

    #[test]
    fn nothing_is_lost_or_made_twice_while_a_table_is_replaced() {
        use std::sync::atomic::AtomicUsize;

        use arc_swap::ArcSwap;

        const KEYS: u64 = 64;
        let current = ArcSwap::from_pointee(Table::new(10_000));
        let made = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for number in 0..100_000 {
                        let key = current.load().key(number % KEYS);
                        let make = || {
                            made.fetch_add(1, Ordering::Relaxed);
                            0
                        };
                        loop {
                            let table = current.load();
                            if let Some(mut set) = table.open(key) {
                                set.with(
                                    key,
                                    number,
                                    make,
                                    |_| unreachable!(),
                                    |value| *value += 1,
                                );
                                break;
                            }
                        }
                    }
                });
            }
            for turn in 0..50 {
                let capacity = if turn % 2 == 0 { 20_000 } else { 10_000 };
                let table = current.load_full();
                let put = |other| current.store(std::sync::Arc::new(other));
                table.replace(capacity, |_| unreachable!(), put);
            }
        });
        let table = current.load();
        assert_eq!(made.into_inner() as u64, KEYS);
        assert_eq!(held(&table).iter().sum::<u64>(), 200_000, "each look was counted");
    }

    #[test]
    fn whatever_keys_are_made_up_it_holds_no_more_than_it_was_made_for() {
        let table = Table::new(64);
        for key in 0..10_000u64 {
            table.with(table.key(key), key, || key, drop, |_| ());
        }
        assert_eq!((table.sets(), held(&table).len()), (8, 64));
    }
}
