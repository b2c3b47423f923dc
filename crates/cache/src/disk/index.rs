//! Where each response lies, in memory: 32 bytes a response, and at most 40 with the room that the
//! tables keep free.
//!
//! An open-addressing table for each of 64 shards, each behind a lock of its own. A table is at
//! most nine tenths full and grows by an eighth, so that never more than a fifth of it is free; a
//! map that doubles would be half empty after it did. Responses of one key that vary lie under the
//! same hash, a bounded number of them. A hash is of a key, never the key: what lies at a place
//! says whose it is, and whoever reads it compares.

use std::sync::{Mutex, MutexGuard, PoisonError};

use smallvec::SmallVec;

use super::record::Place;
use crate::store::MAX_VARIANTS;

const SHARDS: usize = 64;

/// Heat of an entry: how often it was asked for since it was written, up to this.
pub(crate) const MAX_HEAT: u8 = 3;

/// A record may be this long.
pub(crate) const MAX_LEN: u32 = (1 << 30) - 1;

/// One response's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) hash: u128,
    pub(crate) variant: u32,
    pub(crate) at: Place,
    /// Bytes of its record, at most [`MAX_LEN`].
    pub(crate) len: u32,
    pub(crate) heat: u8,
}

/// An entry as it lies in a table; region zero is no region, and marks a free slot.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    hash: [u64; 2],
    variant: u32,
    region: u32,
    offset: u32,
    /// The length, and the heat in the upper two bits.
    len_heat: u32,
}

impl Slot {
    fn of(entry: &Entry) -> Self {
        Self {
            hash: [entry.hash as u64, (entry.hash >> 64) as u64],
            variant: entry.variant,
            region: entry.at.region,
            offset: entry.at.offset,
            len_heat: entry.len.min(MAX_LEN) | u32::from(entry.heat.min(MAX_HEAT)) << 30,
        }
    }

    fn entry(&self) -> Entry {
        Entry {
            hash: u128::from(self.hash[0]) | u128::from(self.hash[1]) << 64,
            variant: self.variant,
            at: self.place(),
            len: self.len_heat & MAX_LEN,
            heat: (self.len_heat >> 30) as u8,
        }
    }

    fn place(&self) -> Place {
        Place { region: self.region, offset: self.offset }
    }

    fn is_free(&self) -> bool {
        self.region == 0
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Index {
    shards: Box<[Mutex<Table>]>,
}

/// Whether a response that came takes the place of one that was there: of the same variant, or one of
/// both does not vary, so that a request might select either.
pub(crate) fn replaces(new: u32, old: u32) -> bool {
    new == old || new == 0 || old == 0
}

impl Index {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// What lies under a hash, the newest first.
    pub(crate) fn find(&self, hash: u128) -> SmallVec<[Entry; 2]> {
        self.shard(hash).find(hash)
    }

    /// Whether an entry still stands as it was found.
    pub(crate) fn holds(&self, hash: u128, at: Place) -> bool {
        self.shard(hash).find(hash).iter().any(|entry| entry.at == at)
    }

    /// Puts an entry in the place of those of the same variant, and of those that do not vary; one
    /// that does not vary itself, of all. Of more variants than there may be, the oldest goes.
    pub(crate) fn insert(&self, entry: &Entry) {
        let mut table = self.shard(entry.hash);
        table.remove(entry.hash, |old| replaces(entry.variant, old.variant));
        let stored = table.find(entry.hash);
        if stored.len() >= MAX_VARIANTS
            && let Some(oldest) = stored.last().map(|oldest| oldest.at)
        {
            table.remove(entry.hash, |old| old.at == oldest);
        }
        table.insert(Slot::of(entry));
    }

    /// Takes out the entries of a hash that `which` chooses; says whether there were any.
    pub(crate) fn remove(&self, hash: u128, which: impl Fn(&Entry) -> bool) -> bool {
        self.shard(hash).remove(hash, which)
    }

    /// It was asked for once more.
    pub(crate) fn warm(&self, hash: u128, at: Place) {
        self.shard(hash).warm(hash, at);
    }

    /// A record was moved: its entry follows, cold again, if it still stands as it was.
    pub(crate) fn follow(&self, entry: &Entry, to: Place) -> bool {
        let mut table = self.shard(entry.hash);
        let stands = table.remove(entry.hash, |old| old.at == entry.at);
        if stands {
            table.insert(Slot::of(&Entry { at: to, heat: 0, ..*entry }));
        }
        stands
    }

    /// The entries of a region.
    pub(crate) fn of_region(&self, region: u32) -> Vec<Entry> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let table = lock(shard);
            let slots = table.slots.iter().filter(|slot| slot.region == region);
            all.extend(slots.map(Slot::entry));
        }
        all
    }

    /// Takes out all entries of a region; says how many.
    pub(crate) fn remove_region(&self, region: u32) -> usize {
        self.shards.iter().map(|shard| lock(shard).remove_region(region)).sum()
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            *lock(shard) = Table::default();
        }
    }

    /// Has another's entries in the place of its own, shard by shard.
    pub(crate) fn replace(&self, other: Self) {
        for (shard, other) in self.shards.iter().zip(other.shards) {
            *lock(shard) = other.into_inner().unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Entries.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).used).sum()
    }

    /// Bytes that the tables take.
    pub(crate) fn memory(&self) -> u64 {
        let slots: usize = self.shards.iter().map(|shard| lock(shard).slots.len()).sum();
        (slots * size_of::<Slot>() + SHARDS * size_of::<Mutex<Table>>()) as u64
    }

    fn shard(&self, hash: u128) -> MutexGuard<'_, Table> {
        // The lower half of the hash chooses the shard, the upper the slot in it.
        lock(&self.shards[hash as usize % SHARDS])
    }
}

fn lock(shard: &Mutex<Table>) -> MutexGuard<'_, Table> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One shard: linear probing, and no gaps between a slot's home and the slot.
#[derive(Debug, Default)]
struct Table {
    slots: Vec<Slot>,
    used: usize,
}

impl Table {
    fn home(&self, hash: [u64; 2]) -> usize {
        ((u128::from(hash[1]) * self.slots.len() as u128) >> 64) as usize
    }

    /// The slots that a hash may lie in, from its home to the first free one.
    fn probe(&self, hash: u128) -> impl Iterator<Item = usize> + '_ {
        let home = self.home([0, (hash >> 64) as u64]);
        let len = self.slots.len();
        (home..len).chain(0..home).take_while(|&at| !self.slots[at].is_free())
    }

    fn find(&self, hash: u128) -> SmallVec<[Entry; 2]> {
        let all = self.probe(hash).map(|at| self.slots[at].entry());
        let mut found: SmallVec<[Entry; 2]> = all.filter(|entry| entry.hash == hash).collect();
        found.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.at));
        found
    }

    fn insert(&mut self, slot: Slot) {
        if (self.used + 1) * 10 > self.slots.len() * 9 {
            self.resize(self.slots.len() + self.slots.len() / 8 + 8);
        }
        self.place(slot);
        self.used += 1;
    }

    fn place(&mut self, slot: Slot) {
        let home = self.home(slot.hash);
        let len = self.slots.len();
        let free = (home..len).chain(0..home).find(|&at| self.slots[at].is_free());
        if let Some(at) = free {
            self.slots[at] = slot;
        }
    }

    fn resize(&mut self, len: usize) {
        let mut slots = Vec::new();
        slots.reserve_exact(len);
        slots.resize(len, Slot::default());
        let old = std::mem::replace(&mut self.slots, slots);
        for slot in old.into_iter().filter(|slot| !slot.is_free()) {
            self.place(slot);
        }
    }

    fn remove(&mut self, hash: u128, which: impl Fn(&Entry) -> bool) -> bool {
        let mut removed = false;
        loop {
            let chosen = self.probe(hash).find(|&at| {
                let entry = self.slots[at].entry();
                entry.hash == hash && which(&entry)
            });
            let Some(at) = chosen else { return removed };
            // What follows moves up, so the next turn looks anew.
            self.free(at);
            removed = true;
        }
    }

    /// Frees a slot, and moves up what would not be found across the gap.
    fn free(&mut self, mut gap: usize) {
        let len = self.slots.len();
        let mut next = gap;
        loop {
            next = (next + 1) % len;
            let slot = self.slots[next];
            if slot.is_free() || next == gap {
                break;
            }
            let home = self.home(slot.hash);
            // Whether the gap lies between the slot's home and the slot, around the end.
            if (next + len - home) % len >= (next + len - gap) % len {
                self.slots[gap] = slot;
                gap = next;
            }
        }
        self.slots[gap] = Slot::default();
        self.used -= 1;
    }

    fn warm(&mut self, hash: u128, at: Place) {
        let found = self
            .probe(hash)
            .find(|&slot| self.slots[slot].entry().hash == hash && self.slots[slot].place() == at);
        if let Some(slot) = found {
            let mut entry = self.slots[slot].entry();
            entry.heat = (entry.heat + 1).min(MAX_HEAT);
            self.slots[slot] = Slot::of(&entry);
        }
    }

    fn remove_region(&mut self, region: u32) -> usize {
        let gone = self.slots.iter().filter(|slot| slot.region == region).count();
        if gone == 0 {
            return 0;
        }
        self.used -= gone;
        let old = std::mem::take(&mut self.slots);
        // No more than three tenths stay free.
        let len =
            if self.used * 10 < old.len() * 7 { self.used + self.used / 4 + 8 } else { old.len() };
        self.slots = vec![Slot::default(); len];
        for slot in old.into_iter().filter(|slot| !slot.is_free() && slot.region != region) {
            self.place(slot);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use proptest::prelude::*;

    fn mix(n: u64) -> u128 {
        let mut z = u128::from(n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        z ^= z >> 61;
        z.wrapping_mul(0xbf58_476d_1ce4_e5b9_94d0_49bb_1331_11eb)
    }

    fn entry(hash: u128, variant: u32, region: u32, offset: u32) -> Entry {
        Entry { hash, variant, at: Place { region, offset }, len: 100, heat: 0 }
    }

    #[test]
    fn entries_take_at_most_forty_bytes_each() {
        let index = Index::new();
        for (n, every) in (0..100_000).zip(1u64..) {
            index.insert(&entry(mix(n), 0, 1, n as u32));
            if every >= 30_000 && every.is_power_of_two() {
                assert!(index.memory() <= 41 * every, "{} for {every}", index.memory());
            }
        }
        assert_eq!(index.len(), 100_000);
        assert!(index.memory() <= 40 * 100_000, "{}", index.memory());
        for n in (0..100_000).step_by(997) {
            assert_eq!(index.find(mix(n))[0].at.offset, n as u32);
            assert!(index.find(mix(n + 5_000_000)).is_empty());
        }
    }

    #[test]
    fn variants_lie_side_by_side_newest_first_and_bounded() {
        let index = Index::new();
        index.insert(&entry(5, 0, 1, 0));
        for variant in 1..=MAX_VARIANTS as u32 + 2 {
            index.insert(&entry(5, variant, 1, variant * 8));
        }
        let found = index.find(5);
        assert_eq!(found.len(), MAX_VARIANTS);
        assert_eq!((found[0].variant, found.last().unwrap().variant), (18, 3));
        index.insert(&entry(5, 9, 2, 0));
        assert_eq!((index.find(5).len(), index.find(5)[0].variant), (MAX_VARIANTS, 9));
        assert!(index.remove(5, |entry| entry.variant == 9) && !index.remove(6, |_| true));
        assert!(index.remove(5, |_| true) && index.find(5).is_empty());
    }

    proptest! {
        #[test]
        fn a_table_is_a_map(ops in prop::collection::vec((0u8..10, 0u64..40, 1u32..4), 0..400)) {
            let index = Index::new();
            let mut model = std::collections::HashMap::new();
            // All in one shard, and in few homes.
            let key = |n: u64| (mix(n) & !0x3f) | u128::from(n % 5) << 120;
            for (nth, (op, n, region)) in (0u32..).zip(ops) {
                match op {
                    0..6 => {
                        index.insert(&entry(key(n), 0, region, nth));
                        model.insert(key(n), (region, nth));
                    }
                    6..9 => {
                        let had = model.remove(&key(n)).is_some();
                        prop_assert_eq!(index.remove(key(n), |_| true), had);
                    }
                    _ => {
                        let listed = index.of_region(region).len();
                        let gone = index.remove_region(region);
                        prop_assert_eq!(gone, listed);
                        let before = model.len();
                        model.retain(|_, at| at.0 != region);
                        prop_assert_eq!(gone, before - model.len());
                    }
                }
                prop_assert_eq!(index.len(), model.len());
                for n in 0..40 {
                    let found = index.find(key(n)).first().map(|e| (e.at.region, e.at.offset));
                    prop_assert_eq!(found, model.get(&key(n)).copied());
                }
            }
        }
    }

    #[test]
    fn heat_grows_to_its_bound() {
        let index = Index::new();
        index.insert(&entry(1, 0, 1, 8));
        for _ in 0..9 {
            index.warm(1, Place { region: 1, offset: 8 });
        }
        assert_eq!((index.find(1)[0].heat, index.find(1)[0].len), (MAX_HEAT, 100));
    }
}
