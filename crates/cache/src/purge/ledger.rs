//! What was purged and when: all that lookups compare objects with.
//!
//! For each key, prefix and tag the ledger keeps its newest hard and its newest soft purge, so that
//! a repeated purge takes no more room, and an object is judged by one lookup for its key, one for
//! each tag, and a few steps for prefixes, however many records there are.
//!
//! It holds at most [`MAX_RECORDS`] records of [`MAX_BYTES`] together, and none older than
//! [`RETENTION`]: older ones become part of the one that says *all that was fetched before*. What
//! that takes in beyond the records it stands for is fetched once more than was needed; a purge is
//! never forgotten.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use headwater_net::Timestamp;

use super::record::{Mark, Record};
use super::{Number, PurgeSeq, Scope, Tags};

/// The most records; the oldest quarter is joined into one when there are more.
const MAX_RECORDS: usize = 65_536;
/// The most bytes that their keys and prefixes take.
const MAX_BYTES: usize = 16 << 20;
/// How long a record is kept by itself.
const RETENTION: Duration = Duration::from_secs(30 * 24 * 3600);
/// What an entry of a map takes beside its bytes, roughly.
const ENTRY: usize = 80;
/// So many records more than at the last look before their ages are looked at again.
const LOOK_EVERY: usize = 1024;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The number of the newest record: the one thing that a lookup loads where none came since
    /// the object was last judged.
    newest: AtomicU64,
    /// The highest number that a cache downstream named.
    named: AtomicU64,
    state: RwLock<State>,
}

/// What the records say of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No purge since it was fetched is about it.
    Untouched,
    /// It is stale since then.
    Stale(Mark),
    /// It is not to be used.
    Gone(Mark),
}

/// What to do with a purge that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbered {
    /// It was done before.
    Already(PurgeSeq),
    /// It is this one in the row.
    Next(Mark),
}

#[derive(Debug, Default)]
struct State {
    /// The newest number that a caller gave.
    order: PurgeSeq,
    /// Whether there was a purge that no caller numbered since the last from which on all caches agree.
    own: bool,
    all: Newest,
    keys: HashMap<Box<[u8]>, Newest>,
    prefixes: BTreeMap<Box<[u8]>, Newest>,
    tags: HashMap<u64, Newest>,
    bytes: usize,
    /// When so many are held, their ages are looked at.
    look_at: usize,
}

/// The newest purges of one scope.
#[derive(Clone, Copy, Debug, Default)]
struct Newest {
    hard: Mark,
    soft: Mark,
}

impl Newest {
    fn take(&mut self, mark: Mark, soft: bool) {
        let place = if soft { &mut self.soft } else { &mut self.hard };
        *place = mark.max(*place);
    }

    fn join(&mut self, other: Self) {
        self.take(other.hard, false);
        self.take(other.soft, true);
    }

    fn mark(&self) -> Mark {
        self.hard.max(self.soft)
    }

    fn verdict(&self, since: PurgeSeq) -> Verdict {
        if self.hard.seq > since {
            Verdict::Gone(self.hard)
        } else if self.soft.seq > since {
            Verdict::Stale(self.soft)
        } else {
            Verdict::Untouched
        }
    }
}

impl Ledger {
    /// The number of the newest purge: what a fetch that begins now is newer than.
    pub(crate) fn newest(&self) -> PurgeSeq {
        PurgeSeq::new(self.newest.load(Ordering::Acquire))
    }

    /// Judges what was fetched when `since` was the newest purge.
    pub(crate) fn judge(&self, key: &[u8], tags: &Tags, since: PurgeSeq) -> Verdict {
        if self.newest() <= since {
            return Verdict::Untouched;
        }
        self.read(|state| state.newest_of(key, Some(tags)).verdict(since))
    }

    /// Judges what was asked for when `since` was the newest purge, and whose tags are not known
    /// yet: any tag that was purged since may be one of them.
    pub(crate) fn judge_untagged(&self, key: &[u8], since: PurgeSeq) -> Verdict {
        if self.newest() <= since {
            return Verdict::Untouched;
        }
        self.read(|state| {
            let mut newest = state.newest_of(key, None);
            state.tags.values().for_each(|tag| newest.join(*tag));
            newest.verdict(since)
        })
    }

    /// What the purge with this mark was about, of those that are about an object: `all` (also where
    /// older ones were joined into one), `url`, `prefix` (also of a host) or `tag`. It looks at all.
    pub(crate) fn scope_of(&self, key: &[u8], tags: &Tags, mark: Mark) -> &'static str {
        let is = |newest: &Newest| newest.hard == mark || newest.soft == mark;
        self.read(|state| {
            let mut prefixes = state.prefixes.iter();
            let tagged = |tag: &u64| state.tags.get(tag).is_some_and(is);
            if state.keys.get(crate::key::url_of(key)).is_some_and(is) {
                "url"
            } else if prefixes.any(|(prefix, newest)| key.starts_with(prefix) && is(newest)) {
                "prefix"
            } else if tags.hashes().iter().any(tagged)
                || tags.is_any() && state.tags.values().any(is)
            {
                "tag"
            } else {
                "all"
            }
        })
    }

    /// Takes down that a cache downstream has seen a purge of this number: numbers given here are
    /// above it from now on.
    pub(crate) fn heard_of(&self, seq: PurgeSeq) {
        // Each request of a cache downstream names one, and hardly any a new one: what all
        // processors read is not to be written each time.
        if seq.get() > self.named.load(Ordering::Acquire) {
            self.named.fetch_max(seq.get(), Ordering::AcqRel);
        }
    }

    /// The newest number that a caller gave.
    pub(crate) fn order(&self) -> PurgeSeq {
        self.read(|state| state.order)
    }

    /// The caller's number that says as much as `seq` does: whoever was given the purges of that caller
    /// up to it knows of each that `seq` is not before. `None` where callers did not number them all.
    pub(crate) fn common(&self, seq: PurgeSeq) -> Option<PurgeSeq> {
        if seq > self.newest() {
            return None;
        }
        self.read(|state| (!state.own).then_some(state.order))
    }

    /// The place in the row of a purge that comes now. Numbers that are not the caller's are at
    /// least the clock's milliseconds: a cache that lost its records does not begin anew.
    ///
    /// To be called, with the [`apply`](Self::apply) that follows, for one purge at a time.
    pub(super) fn number(&self, number: Number, now: Timestamp) -> Numbered {
        let newest = self.newest();
        let seq = match number {
            Number::Callers(order) if order <= self.order() => {
                return Numbered::Already(newest);
            }
            Number::Callers(given) | Number::Shields(given) => newest.next().max(given),
            Number::Own => {
                let named = PurgeSeq::new(self.named.load(Ordering::Acquire));
                newest.max(named).next().max(PurgeSeq::new(now.as_millis()))
            }
        };
        Numbered::Next(Mark { seq, at: now })
    }

    /// From here on, older objects that the record is about are not what they were.
    pub(super) fn apply(&self, record: &Record, now: Timestamp) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.take(record);
        if state.len() > state.look_at || state.bytes > MAX_BYTES {
            state.fold(now);
        }
        self.newest.fetch_max(record.mark.seq.get(), Ordering::AcqRel);
    }

    /// All there is, oldest first, in as few records as say it.
    pub(super) fn records(&self) -> Vec<Record> {
        self.read(State::records)
    }

    /// The bytes of a log that says no more than is needed, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.read(|state| state.bytes + ENTRY)
    }

    /// How many records are held.
    pub(crate) fn len(&self) -> usize {
        self.read(State::len)
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn len(&self) -> usize {
        self.keys.len() + self.prefixes.len() + self.tags.len()
    }

    fn take(&mut self, record: &Record) {
        self.order = self.order.max(record.order.unwrap_or_default());
        self.own = (self.own || record.order.is_none()) && !record.agreed;
        let (mark, soft) = (record.mark, record.soft);
        let before = self.len();
        let bytes = match &record.scope {
            Scope::All => {
                self.all.take(mark, soft);
                if !soft {
                    self.drop_up_to(mark);
                }
                return;
            }
            Scope::Key(key) => {
                self.keys.entry(key.clone()).or_default().take(mark, soft);
                key.len()
            }
            Scope::Prefix(prefix) => {
                self.prefixes.entry(prefix.clone()).or_default().take(mark, soft);
                prefix.len()
            }
            Scope::Tag(tag) => {
                self.tags.entry(*tag).or_default().take(mark, soft);
                0
            }
        };
        if self.len() > before {
            self.bytes += bytes + ENTRY;
        }
    }

    fn newest_of(&self, key: &[u8], tags: Option<&Tags>) -> Newest {
        let mut newest = self.all;
        if let Some(found) = self.keys.get(crate::key::url_of(key)) {
            newest.join(*found);
        }
        // The greatest prefix not above the key either begins it, or what both have in common
        // bounds those that may.
        let mut bound = Bound::Included(key);
        while let Some((prefix, found)) =
            self.prefixes.range::<[u8], _>((Bound::Unbounded, bound)).next_back()
        {
            if key.starts_with(prefix) {
                newest.join(*found);
                bound = Bound::Excluded(prefix);
            } else {
                let same = key.iter().zip(prefix).take_while(|(one, other)| one == other).count();
                bound = Bound::Included(key.get(..same).unwrap_or_default());
            }
        }
        match tags {
            Some(tags) if tags.is_any() => self.tags.values().for_each(|tag| newest.join(*tag)),
            Some(tags) if !self.tags.is_empty() => {
                let found = tags.hashes().iter().filter_map(|tag| self.tags.get(tag));
                found.for_each(|tag| newest.join(*tag));
            }
            _ => {}
        }
        newest
    }

    /// Joins what is too old, or too much, into the record about all.
    fn fold(&mut self, now: Timestamp) {
        let oldest = now.minus(RETENTION);
        let mut marks: Vec<(Mark, usize)> = Vec::with_capacity(self.len());
        marks.extend(self.keys.iter().map(|(key, one)| (one.mark(), key.len() + ENTRY)));
        marks.extend(self.prefixes.iter().map(|(key, one)| (one.mark(), key.len() + ENTRY)));
        marks.extend(self.tags.values().map(|one| (one.mark(), ENTRY)));
        marks.sort_unstable();
        let (mut records, mut bytes) = (marks.len(), self.bytes);
        let too_many = records > MAX_RECORDS || bytes > MAX_BYTES;
        let mut last = None;
        for (mark, size) in marks {
            let crowded = too_many && (records > MAX_RECORDS / 4 * 3 || bytes > MAX_BYTES / 4 * 3);
            if mark.at >= oldest && !crowded {
                break;
            }
            last = Some(mark);
            records -= 1;
            bytes -= size;
        }
        if let Some(last) = last {
            let folded = |one: &Newest| one.mark() <= last;
            let soft_only = (self.keys.values())
                .chain(self.prefixes.values())
                .chain(self.tags.values())
                .filter(|one| folded(one))
                .all(|one| one.hard == Mark::default());
            self.all.take(last, soft_only);
            self.drop_up_to(last);
        }
        self.look_at = (self.len() * 2).clamp(LOOK_EVERY, MAX_RECORDS);
    }

    /// Drops records that the one about all has in it.
    fn drop_up_to(&mut self, last: Mark) {
        let stays = |one: &Newest| one.mark() > last;
        self.keys.retain(|_, one| stays(one));
        self.prefixes.retain(|_, one| stays(one));
        self.tags.retain(|_, one| stays(one));
        let bytes = |key: &[u8]| key.len() + ENTRY;
        self.bytes = self.keys.keys().map(|key| bytes(key)).sum::<usize>()
            + self.prefixes.keys().map(|key| bytes(key)).sum::<usize>()
            + self.tags.len() * ENTRY;
    }

    fn records(&self) -> Vec<Record> {
        let mut all = Vec::new();
        let order = Some(self.order).filter(|order| *order != PurgeSeq::default());
        let mut add = |newest: &Newest, scope: Scope| {
            let Newest { hard, soft } = *newest;
            for (mark, soft) in [(hard, false), (soft, true)] {
                // A soft purge before a hard one says nothing.
                if mark != Mark::default() && (!soft || mark > hard) {
                    // Which of them callers numbered is not kept, only whether they did all.
                    let order = order.filter(|_| !self.own);
                    all.push(Record { mark, order, soft, agreed: false, scope: scope.clone() });
                }
            }
        };
        add(&self.all, Scope::All);
        self.keys.iter().for_each(|(key, one)| add(one, Scope::Key(key.clone())));
        self.prefixes.iter().for_each(|(key, one)| add(one, Scope::Prefix(key.clone())));
        self.tags.iter().for_each(|(tag, one)| add(one, Scope::Tag(*tag)));
        all.sort_unstable_by_key(|record| record.mark);
        if let Some(last) = all.last_mut() {
            last.order = order;
        }
        all
    }
}

#[cfg(test)]
mod tests;
