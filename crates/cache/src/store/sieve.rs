//! A map of bounded weight, whose entries go by SIEVE (Zhang et al., NSDI 2024): they queue by age,
//! one that is asked for is marked, and a hand goes from old to new, wipes marks as it passes, and
//! takes the first entry that has none.
//!
//! What is asked for once goes soon, and drives little out; what is asked for by many at once, as a
//! live segment is, is kept from its first request on. `cargo xtask bench traces` shows that no
//! other policy does both as well on video (`docs/results/traces.md`).
//!
//! A hit is a look into one of many tables, behind a lock that readers share, and a mark: nothing
//! moves. What changes the map takes one lock after the other, first that of the order, then that of
//! a table. Between two changes the weight is never above its bound.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use smallvec::SmallVec;

/// Tables, each behind a lock of its own.
const TABLES: usize = 64;

/// No place in the order.
const NONE: u32 = u32::MAX;

/// See the module.
#[derive(Debug)]
pub(crate) struct Sieve<K, V, S> {
    hasher: S,
    tables: Box<[RwLock<Table<K, V>>]>,
    order: Mutex<Order<K, V>>,
    capacity: u64,
}

/// Entries by the hash of their key. Two keys of one hash, of 64 bits, are not held together.
type Table<K, V> = HashMap<u64, Arc<Entry<K, V>>, BuildHasherDefault<AsItIs>>;

#[derive(Debug)]
struct Entry<K, V> {
    key: K,
    value: V,
    hash: u64,
    weight: u64,
    /// Its place in the order.
    place: u32,
    asked: AtomicBool,
}

/// What is to become of a key.
#[derive(Debug)]
pub(crate) enum Change<V> {
    /// What is.
    Keep,
    /// This value, which weighs so much.
    Put(V, u64),
    /// Nothing.
    Remove,
}

/// What a change took out of the map.
#[derive(Debug)]
pub(crate) struct Out<K, V> {
    /// The value that the key had.
    pub(crate) former: Option<V>,
    /// What made room.
    pub(crate) evicted: SmallVec<[(K, V); 2]>,
}

impl<K, V, S> Sieve<K, V, S>
where
    K: Hash + Eq + Clone,
    V: Clone,
    S: BuildHasher,
{
    pub(crate) fn new(capacity: u64, hasher: S) -> Self {
        let tables = (0..TABLES).map(|_| RwLock::default()).collect();
        Self { hasher, tables, order: Mutex::new(Order::new()), capacity }
    }

    /// The value of a key, which is marked as asked for.
    pub(crate) fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.find(key, |entry| {
            // Most are marked: what all processors read is not to be written each time.
            if !entry.asked.load(Ordering::Relaxed) {
                entry.asked.store(true, Ordering::Relaxed);
            }
        })
    }

    /// The value of a key, by who does not ask for it.
    pub(crate) fn peek<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.find(key, |_| ())
    }

    fn find<Q>(&self, key: &Q, seen: impl FnOnce(&Entry<K, V>)) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let table = self.table(hash).read().unwrap_or_else(PoisonError::into_inner);
        let entry = table.get(&hash).filter(|entry| entry.key.borrow() == key)?;
        seen(entry);
        Some(entry.value.clone())
    }

    /// Changes what a key has, given what it has: nobody else changes anything meanwhile. What is
    /// put counts as asked for only if the key had something before; heavier than the whole map, it
    /// is not kept.
    pub(crate) fn change(
        &self,
        key: &K,
        decide: impl FnOnce(Option<&V>) -> Change<V>,
    ) -> Out<K, V> {
        let hash = self.hasher.hash_one(key);
        let mut order = self.order();
        let stored = self.stored(hash);
        let known = stored.as_ref().filter(|entry| entry.key == *key);
        let (value, weight) = match decide(known.map(|entry| &entry.value)) {
            Change::Keep => return Out::nothing(),
            Change::Put(value, weight) if weight <= self.capacity => (value, weight),
            Change::Put(..) | Change::Remove => {
                let former = known.map(|entry| self.take(&mut order, entry));
                return Out { former, evicted: SmallVec::new() };
            }
        };
        let mut out = Out { former: known.map(|entry| entry.value.clone()), ..Out::nothing() };
        let place = if let Some(entry) = known {
            entry.place
        } else {
            if let Some(other) = &stored {
                out.evicted.push((other.key.clone(), self.take(&mut order, other)));
            }
            self.make_room(&mut order, weight, &mut out);
            order.reserve()
        };
        let asked = AtomicBool::new(known.is_some());
        let entry = Arc::new(Entry { key: key.clone(), value, hash, weight, place, asked });
        order.fill(&entry);
        self.write(hash, |table| table.insert(hash, Arc::clone(&entry)));
        // What took a former one's place may be heavier.
        self.make_room(&mut order, 0, &mut out);
        out
    }

    fn make_room(&self, order: &mut Order<K, V>, weight: u64, out: &mut Out<K, V>) {
        while order.weight.saturating_add(weight) > self.capacity {
            let Some(victim) = order.next_victim() else { break };
            out.evicted.push((victim.key.clone(), self.take(order, &victim)));
        }
    }

    /// Takes out what a key has.
    pub(crate) fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let mut order = self.order();
        let entry = self.stored(hash).filter(|entry| entry.key.borrow() == key)?;
        Some(self.take(&mut order, &entry))
    }

    fn take(&self, order: &mut Order<K, V>, entry: &Entry<K, V>) -> V {
        order.remove(entry.place);
        self.write(entry.hash, |table| table.remove(&entry.hash));
        entry.value.clone()
    }

    fn stored(&self, hash: u64) -> Option<Arc<Entry<K, V>>> {
        self.table(hash).read().unwrap_or_else(PoisonError::into_inner).get(&hash).cloned()
    }

    /// What falls out of a table is dropped once its lock is free.
    fn write<T>(&self, hash: u64, change: impl FnOnce(&mut Table<K, V>) -> T) -> T {
        change(&mut self.table(hash).write().unwrap_or_else(PoisonError::into_inner))
    }

    fn table(&self, hash: u64) -> &RwLock<Table<K, V>> {
        // Bits that the table itself does not go by.
        &self.tables[(hash >> 40) as usize % TABLES]
    }

    fn order(&self) -> MutexGuard<'_, Order<K, V>> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> Out<K, V> {
    fn nothing() -> Self {
        Self { former: None, evicted: SmallVec::new() }
    }
}

/// All entries by age, and where the hand stands.
#[derive(Debug)]
struct Order<K, V> {
    places: Vec<Place<K, V>>,
    free: Vec<u32>,
    newest: u32,
    oldest: u32,
    /// What the hand comes to next.
    hand: u32,
    weight: u64,
}

#[derive(Debug)]
struct Place<K, V> {
    entry: Option<Arc<Entry<K, V>>>,
    newer: u32,
    older: u32,
}

impl<K, V> Order<K, V> {
    fn new() -> Self {
        let (newest, oldest, hand) = (NONE, NONE, NONE);
        Self { places: Vec::new(), free: Vec::new(), newest, oldest, hand, weight: 0 }
    }

    /// A place at the new end, to be filled.
    fn reserve(&mut self) -> u32 {
        let place = Place { entry: None, newer: NONE, older: self.newest };
        let at = if let Some(at) = self.free.pop() {
            self.places[at as usize] = place;
            at
        } else {
            self.places.push(place);
            self.places.len() as u32 - 1
        };
        match self.newest {
            NONE => self.oldest = at,
            newest => self.places[newest as usize].newer = at,
        }
        self.newest = at;
        at
    }

    /// Puts an entry into its place; what was there is weighed no more.
    fn fill(&mut self, entry: &Arc<Entry<K, V>>) {
        let former = self.places[entry.place as usize].entry.replace(Arc::clone(entry));
        self.weight -= former.map_or(0, |former| former.weight);
        self.weight += entry.weight;
    }

    fn remove(&mut self, at: u32) {
        let place = &mut self.places[at as usize];
        self.weight -= place.entry.take().map_or(0, |entry| entry.weight);
        let (newer, older) = (place.newer, place.older);
        match newer {
            NONE => self.newest = older,
            newer => self.places[newer as usize].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.places[older as usize].newer = newer,
        }
        if self.hand == at {
            self.hand = newer;
        }
        self.free.push(at);
    }

    /// The next entry without a mark: once round at most, as marks are wiped.
    fn next_victim(&mut self) -> Option<Arc<Entry<K, V>>> {
        for _ in 0..=2 * self.places.len() {
            if self.hand == NONE {
                self.hand = self.oldest;
            }
            let place = self.places.get(self.hand as usize)?;
            let entry = place.entry.as_ref()?;
            if !entry.asked.swap(false, Ordering::Relaxed) {
                return Some(Arc::clone(entry));
            }
            self.hand = place.newer;
        }
        // They are asked for faster than the hand goes: then one is as good as another.
        self.places.get(self.oldest as usize)?.entry.clone()
    }
}

/// A hash of a hash: itself.
#[derive(Debug, Default)]
pub(crate) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use super::*;

    type Map = Sieve<u32, u64, RandomState>;

    fn map(capacity: u64) -> Map {
        Sieve::new(capacity, RandomState::new())
    }

    /// Asks for each, and puts it in where it is not there; says which were.
    fn ask(map: &Map, keys: &[u32]) -> String {
        let mut hits = String::new();
        for key in keys {
            let hit = map.get(key).is_some();
            if !hit {
                map.change(key, |_| Change::Put(u64::from(*key), 10));
            }
            hits.push(if hit { '1' } else { '0' });
        }
        hits
    }

    #[test]
    fn the_hand_goes_on_where_it_stopped() {
        // The first is marked: the hand passes it and takes the second, then the third.
        let map = map(30);
        assert_eq!(ask(&map, &[0, 1, 2, 0, 3, 4, 0]), "0001001");
        assert_eq!((map.peek(&3), map.peek(&2)), (Some(3), None));
    }

    #[test]
    fn what_is_asked_for_outlives_a_scan() {
        let map = map(100);
        ask(&map, &[0, 0]);
        assert_eq!(ask(&map, &(1..15).collect::<Vec<_>>()).matches('1').count(), 0);
        assert!(map.peek(&0).is_some());
    }

    #[test]
    fn what_was_there_is_told_and_so_is_what_made_room() {
        let map = map(30);
        ask(&map, &[0, 1, 2]);
        let out = map.change(&0, |old| Change::Put(old.copied().unwrap_or(9) + 7, 20));
        assert_eq!((out.former, out.evicted.as_slice()), (Some(0), &[(1, 1)][..]));
        assert_eq!(map.get(&0), Some(7));
        assert!(matches!(map.change(&0, |_| Change::Keep), Out { former: None, .. }));
        let out = map.change(&2, |_| Change::Put(5, 31));
        assert_eq!((out.former, map.get(&2)), (Some(2), None), "too heavy for the map");
        assert_eq!(map.change(&0, |_| Change::Remove).former, Some(7));
        assert_eq!((map.remove(&0), map.order().weight), (None, 0));
    }

    #[test]
    fn whatever_is_done_the_weight_is_what_is_in_it_and_never_too_much() {
        let map = map(1000);
        let (mut random, mut held) = (1u64, std::collections::HashMap::new());
        for _ in 0..50_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (key, weight) = ((random >> 33) as u32 % 200, 1 + (random >> 50) % 60);
            let out = match random >> 62 {
                0 => {
                    let (former, evicted) = (map.remove(&key), SmallVec::new());
                    assert_eq!(former, held.remove(&key));
                    Out { former, evicted }
                }
                1 => {
                    assert_eq!(map.get(&key), held.get(&key).copied());
                    continue;
                }
                _ => {
                    let out = map.change(&key, |_| Change::Put(weight, weight));
                    assert_eq!(out.former, held.insert(key, weight));
                    out
                }
            };
            for (key, weight) in out.evicted {
                assert_eq!(held.remove(&key), Some(weight));
            }
            let weight: u64 = held.values().sum();
            assert!(weight == map.order().weight && weight <= 1000);
        }
    }

    #[test]
    fn many_threads_agree_on_what_there_is() {
        let map = map(500);
        std::thread::scope(|scope| {
            for thread in 0..4u64 {
                let map = &map;
                scope.spawn(move || {
                    for nth in 0..5000u64 {
                        let key = ((nth * (thread + 3)) % 97) as u32;
                        if let Some(value) = map.get(&key) {
                            assert_eq!(value, u64::from(key));
                        } else if nth % 5 == 0 {
                            map.remove(&key);
                        } else {
                            map.change(&key, |_| Change::Put(u64::from(key), 10));
                        }
                    }
                });
            }
        });
        let held = (0..97).filter(|key| map.peek(key).is_some()).count() as u64;
        assert_eq!(held * 10, map.order().weight);
    }
}
