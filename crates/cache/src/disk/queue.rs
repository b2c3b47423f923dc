//! What waits to be written, and what of it still counts when its turn comes.
//!
//! Bounded twice: offers by their bytes and number (one more is dropped, and whatever it was to
//! replace on disk is taken back instead), and removals by their number, past which the tier
//! forgets everything: a removal is never dropped.
//!
//! A response in memory may be offered after it was replaced or taken back, by a request that still
//! has it in hand. So every response knows the ticket it was stored with, and a small table knows the
//! newest ticket that took something of a hash back: an older response is not written.
//!
//! The index is changed under this lock wherever the order of changes counts: a response that was
//! replaced or taken back while it waited does not enter the index when it has been written.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smallvec::SmallVec;
use tokio::sync::oneshot;

use super::index::{self, Entry, Index};
use super::meta;
use super::record::Place;
use crate::key::Key;
use crate::object::Object;

/// The most removals that may wait.
pub(super) const MOST_REMOVALS: usize = 1 << 16;

/// The most offers that may wait.
const MOST_OFFERS: usize = 4096;

/// How many jobs are handed out at a time.
const BATCH: usize = 256;

/// Something to be done.
#[derive(Debug)]
pub(crate) struct Job {
    ticket: u64,
    pub(crate) hash: u128,
    /// Which response of the hash it is about; all of them, or none, without.
    pub(crate) variant: Option<u32>,
    pub(crate) work: Work,
}

#[derive(Debug)]
pub(crate) enum Work {
    /// A response to be written.
    Offer(Offer),
    /// Earlier records of the hash count no more.
    Remove,
    /// Tell when all before this was done; and make it last through a loss of power, if so asked.
    Barrier { sync: bool, done: oneshot::Sender<()> },
}

#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) key: Key,
    pub(crate) object: Arc<Object>,
    pub(crate) reason: Reason,
}

/// Why a response is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It came from upstream; `replaces` something that is or may be on disk.
    Fetched { replaces: bool },
    /// Upstream confirmed it: its fields are new.
    Confirmed,
    /// It was asked for again.
    Seen,
    /// It leaves the RAM tier, which is no request.
    Left,
}

/// What became of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It waits.
    Yes,
    /// Too much waits, or the disk fails.
    NoRoom,
    /// Something of its hash, or of another in the same slot, was taken back since it was stored.
    Outdated,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    most_bytes: u64,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    bytes: u64,
    offers: usize,
    removals: usize,
    /// The newest job for each response of a hash, and for all of them, that is not done.
    newest: HashMap<u128, Tickets>,
    tickets: u64,
    taken_back: TakenBack,
    /// No offers are taken: the disk fails.
    resting: bool,
    /// Too many removals waited: everything is to be forgotten.
    overflown: bool,
    closed: bool,
}

/// The newest job for each response of a hash, and for all of them.
type Tickets = SmallVec<[(Option<u32>, u64); 2]>;

/// What the writer has before it.
pub(crate) enum Next {
    Jobs(Vec<Job>),
    /// Forget everything first.
    ForgetAll,
    /// There is nothing more, and there will not be.
    Closed,
}

impl Queue {
    /// For a tier that holds about so many responses.
    pub(crate) fn new(most_bytes: u64, responses: u64) -> Self {
        let state = State { taken_back: TakenBack::new(responses), ..State::default() };
        Self { state: Mutex::new(state), changed: Condvar::new(), most_bytes }
    }

    /// Offers a response that came from upstream. What it replaces is out of the index at once;
    /// says whether the offer was taken.
    pub(crate) fn fetched(
        &self,
        index: &Index,
        hash: u128,
        key: &Key,
        object: &Arc<Object>,
    ) -> bool {
        let variant = meta::variant(&object.head.vary);
        let mut state = self.state();
        object.stored_with(state.take_back(hash));
        let stored = index.remove(hash, |old| index::replaces(variant, old.variant));
        let replaces = stored || state.waits(hash, |waiting| index::replaces(variant, waiting));
        let taken = state.has_room(object.body.len(), self.most_bytes);
        if taken {
            let offer = Offer {
                key: Arc::clone(key),
                object: Arc::clone(object),
                reason: Reason::Fetched { replaces },
            };
            state.push(hash, Some(variant), Work::Offer(offer));
        } else if replaces {
            index.remove(hash, |_| true);
            state.push(hash, None, Work::Remove);
        }
        drop(state);
        self.changed.notify_one();
        taken
    }

    /// Offers a response for another reason, unless it waits already.
    pub(crate) fn offer(
        &self,
        hash: u128,
        key: &Key,
        object: &Arc<Object>,
        reason: Reason,
    ) -> Taken {
        let variant = meta::variant(&object.head.vary);
        let mut state = self.state();
        if reason == Reason::Confirmed {
            object.stored_with(state.tickets);
        } else if state.taken_back.since(hash) > object.stored() {
            return Taken::Outdated;
        } else if state.waits(hash, |waiting| waiting == variant) {
            return Taken::Yes;
        }
        if !state.has_room(object.body.len(), self.most_bytes) {
            return Taken::NoRoom;
        }
        let offer = Offer { key: Arc::clone(key), object: Arc::clone(object), reason };
        state.push(hash, Some(variant), Work::Offer(offer));
        drop(state);
        self.changed.notify_one();
        Taken::Yes
    }

    /// Takes back all that is on disk or waits under a hash.
    pub(crate) fn forget(&self, index: &Index, hash: u128) {
        let mut state = self.state();
        state.take_back(hash);
        let stored = index.remove(hash, |_| true);
        if stored || state.newest.contains_key(&hash) {
            state.push(hash, None, Work::Remove);
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Takes back all under a hash because what lies there turned out bad, if that still stands.
    pub(crate) fn discard(&self, index: &Index, hash: u128, at: Place) {
        let mut state = self.state();
        if index.holds(hash, at) {
            index.remove(hash, |_| true);
            state.push(hash, None, Work::Remove);
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Tells when all that waits now is done: at once where nothing does.
    pub(crate) fn barrier(&self, sync: bool) -> Option<oneshot::Receiver<()>> {
        let mut state = self.state();
        if state.closed || (!sync && state.removals == 0) {
            return None;
        }
        let (done, waiting) = oneshot::channel();
        state.tickets += 1;
        let ticket = state.tickets;
        let work = Work::Barrier { sync, done };
        state.jobs.push_back(Job { ticket, hash: 0, variant: None, work });
        drop(state);
        self.changed.notify_one();
        Some(waiting)
    }

    /// The next jobs, in the order they came; waits for them.
    pub(crate) fn next(&self) -> Next {
        let mut state = self.state();
        loop {
            if std::mem::take(&mut state.overflown) {
                return Next::ForgetAll;
            }
            if !state.jobs.is_empty() {
                let count = state.jobs.len().min(BATCH);
                return Next::Jobs(state.jobs.drain(..count).collect());
            }
            if state.closed {
                return Next::Closed;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits that long, whatever comes; says whether the queue is still open.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.state(), time, |state| !state.closed);
        !waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    /// A job is done. `entry`, where its record lies now, enters the index unless another job for
    /// the same response came meanwhile.
    pub(crate) fn done(&self, index: &Index, job: &Done, entry: Option<&Entry>) {
        let mut state = self.state();
        if let Some(entry) = entry
            && !state.is_superseded(job)
        {
            index.insert(entry);
        }
        state.settle(job);
    }

    /// The newest ticket: what is read from disk from here on is no older.
    pub(crate) fn now(&self) -> u64 {
        self.state().tickets
    }

    /// Whether offers are refused because the disk fails.
    pub(crate) fn rest(&self, resting: bool) {
        self.state().resting = resting;
    }

    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Takes offers again, after [`close`](Self::close). `found` takes the index's place, without
    /// what was replaced or taken back meanwhile: that waits to be written down here.
    pub(crate) fn reopen(&self, index: &Index, found: Index) {
        let mut state = self.state();
        if state.overflown {
            found.clear();
        }
        for job in &state.jobs {
            found.remove(job.hash, |_| true);
        }
        index.replace(found);
        state.closed = false;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is left of a job once its work was taken over.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    ticket: u64,
    hash: u128,
    variant: Option<u32>,
    /// Bytes of what was offered; none of a removal.
    offered: Option<u64>,
    /// What was offered takes the place of something.
    pub(crate) replaces: bool,
}

impl Job {
    /// What [`Queue::done`] is to be told.
    pub(crate) fn done(&self) -> Done {
        let (offered, replaces) = match &self.work {
            Work::Offer(offer) => {
                let replaces = offer.reason == Reason::Fetched { replaces: true };
                (Some(offer.object.body.len()), replaces)
            }
            Work::Remove | Work::Barrier { .. } => (None, false),
        };
        let Self { ticket, hash, variant, .. } = *self;
        Done { ticket, hash, variant, offered, replaces }
    }
}

/// The newest ticket that took back a response of a hash, or of another that shares its slot: then a
/// response is not written that might have been, and no more is lost. With a slot for each response
/// on disk that is seldom, up to 8 MiB of slots.
#[derive(Debug)]
struct TakenBack(Box<[u64]>);

impl Default for TakenBack {
    fn default() -> Self {
        Self::new(0)
    }
}

impl TakenBack {
    fn new(responses: u64) -> Self {
        Self(vec![0; responses.clamp(1 << 10, 1 << 20) as usize].into_boxed_slice())
    }

    fn since(&self, hash: u128) -> u64 {
        self.0[hash as usize % self.0.len()]
    }

    fn set(&mut self, hash: u128, ticket: u64) {
        let slot = hash as usize % self.0.len();
        self.0[slot] = ticket;
    }
}

impl State {
    /// What was stored under a hash counts no more; gives the ticket from which on something does.
    fn take_back(&mut self, hash: u128) -> u64 {
        self.tickets += 1;
        self.taken_back.set(hash, self.tickets);
        self.tickets
    }

    fn has_room(&self, bytes: u64, most: u64) -> bool {
        let fits = self.bytes == 0 || self.bytes.saturating_add(bytes) <= most;
        !self.closed && !self.resting && self.offers < MOST_OFFERS && fits
    }

    fn waits(&self, hash: u128, which: impl Fn(u32) -> bool) -> bool {
        let jobs = self.newest.get(&hash);
        jobs.is_some_and(|jobs| jobs.iter().any(|(of, _)| of.is_some_and(&which)))
    }

    fn push(&mut self, hash: u128, variant: Option<u32>, work: Work) {
        if let Work::Offer(offer) = &work {
            self.bytes += offer.object.body.len();
            self.offers += 1;
        } else {
            self.removals += 1;
            self.overflown |= self.removals > MOST_REMOVALS;
        }
        self.tickets += 1;
        let ticket = self.tickets;
        let jobs = self.newest.entry(hash).or_default();
        jobs.retain(|(of, _)| *of != variant);
        jobs.push((variant, ticket));
        self.jobs.push_back(Job { ticket, hash, variant, work });
    }

    /// Whether what a job wrote is not what counts any more.
    fn is_superseded(&self, job: &Done) -> bool {
        let newer = |(of, ticket): &(Option<u32>, u64)| {
            let replaced = || match (*of, job.variant) {
                (Some(new), Some(old)) => index::replaces(new, old),
                (of, old) => of.is_none() || of == old,
            };
            *ticket > job.ticket && replaced()
        };
        self.newest.get(&job.hash).is_some_and(|jobs| jobs.iter().any(newer))
    }

    fn settle(&mut self, job: &Done) {
        if let Some(jobs) = self.newest.get_mut(&job.hash) {
            jobs.retain(|(_, ticket)| *ticket != job.ticket);
            if jobs.is_empty() {
                self.newest.remove(&job.hash);
            }
        }
        match job.offered {
            // Nobody's: a removal that is made up for.
            _ if job.ticket == 0 => {}
            Some(bytes) => {
                self.bytes = self.bytes.saturating_sub(bytes);
                self.offers = self.offers.saturating_sub(1);
            }
            None => self.removals = self.removals.saturating_sub(1),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]
    use super::super::tests::object;
    use super::*;

    fn entry(hash: u128, offset: u32) -> Entry {
        Entry { hash, variant: 0, at: Place { region: 1, offset }, len: 100, heat: 0 }
    }

    fn jobs(queue: &Queue) -> Vec<Job> {
        match queue.next() {
            Next::Jobs(jobs) => jobs,
            Next::ForgetAll | Next::Closed => panic!("neither was asked for"),
        }
    }

    #[test]
    fn what_was_taken_back_while_it_waited_never_enters_the_index() {
        let (queue, index) = (Queue::new(1 << 20, 0), Index::new());
        let key: Key = b"k".as_slice().into();
        assert!(queue.fetched(&index, 5, &key, &object(b"body")));
        let offer = jobs(&queue).pop().unwrap();
        queue.forget(&index, 5);
        queue.done(&index, &offer.done(), Some(&entry(5, 8)));
        assert!(index.find(5).is_empty());
        let removal = jobs(&queue).pop().unwrap();
        assert!(matches!(removal.work, Work::Remove));
        queue.done(&index, &removal.done(), None);
        assert!(queue.barrier(false).is_none() && queue.state().newest.is_empty());
    }

    #[test]
    fn what_a_dropped_offer_was_to_replace_is_taken_back() {
        let (queue, index) = (Queue::new(8, 0), Index::new());
        let key: Key = b"k".as_slice().into();
        index.insert(&entry(5, 8));
        index.insert(&entry(6, 16));
        assert!(queue.fetched(&index, 6, &key, &object(b"12345")));
        assert!(!queue.fetched(&index, 5, &key, &object(b"12345")));
        assert!(!queue.fetched(&index, 7, &key, &object(b"12345")), "nothing to take back");
        assert!(index.find(5).is_empty() && index.find(6).is_empty());
        let all = jobs(&queue);
        let replaces = Reason::Fetched { replaces: true };
        assert!(matches!(&all[0].work, Work::Offer(offer) if offer.reason == replaces));
        assert!(matches!(all[1].work, Work::Remove) && all[1].hash == 5 && all.len() == 2);
        for job in &all {
            queue.done(&index, &job.done(), None);
        }
        assert!(queue.fetched(&index, 7, &key, &object(b"12345")), "there is room again");
    }

    #[test]
    fn who_still_has_what_was_taken_back_cannot_bring_it_back() {
        let (queue, index) = (Queue::new(1 << 20, 0), Index::new());
        let key: Key = b"k".as_slice().into();
        let (old, new) = (object(b"old"), object(b"new"));
        queue.fetched(&index, 5, &key, &old);
        assert_eq!(jobs(&queue).iter().map(|job| queue.done(&index, &job.done(), None)).count(), 1);
        queue.offer(5, &key, &old, Reason::Seen);
        assert_eq!(jobs(&queue).iter().map(|job| queue.done(&index, &job.done(), None)).count(), 1);
        queue.forget(&index, 5);
        for reason in [Reason::Seen, Reason::Left] {
            assert_eq!(queue.offer(5, &key, &old, reason), Taken::Outdated);
        }
        assert!(queue.state().jobs.is_empty());
        queue.fetched(&index, 5, &key, &new);
        assert_eq!(jobs(&queue).iter().map(|job| queue.done(&index, &job.done(), None)).count(), 1);
        queue.offer(5, &key, &old, Reason::Left);
        assert!(queue.state().jobs.is_empty());
        queue.offer(5, &key, &new, Reason::Left);
        assert_eq!(jobs(&queue).len(), 1);
    }

    #[test]
    fn too_many_removals_are_no_removal_lost() {
        let (queue, index) = (Queue::new(8, 0), Index::new());
        for hash in 0..=MOST_REMOVALS as u128 {
            index.insert(&entry(hash, 8));
            queue.forget(&index, hash);
        }
        assert!(matches!(queue.next(), Next::ForgetAll));
        assert!(!jobs(&queue).is_empty());
    }
}
