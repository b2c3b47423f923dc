//! One fetch from upstream that many requests may wait for and read from while it grows.
//!
//! A fill belongs to no request: it runs in a task of its own ([`task`]), lives in the table of
//! fetches in flight ([`table`]), and every request that waits for it or reads from it holds an
//! [`Interest`]. The bytes lie in a [`Buffer`](buffer::Buffer); its end is published by one atomic
//! length, and readers wake once per batch of bytes. The locks here guard a few instructions and
//! are never held across an await.
//!
//! States: *asking* → *settled* ([`Outcome`]) → for [`Outcome::Shared`], *growing* →
//! *complete* or *failed* ([`End`]). A fill that fails never looks complete, and one that was
//! dropped for any reason has failed.

pub(crate) mod budget;
pub(crate) mod buffer;
pub(crate) mod length;
mod pump;
pub(crate) mod reader;
pub(crate) mod table;
pub(crate) mod task;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use headwater_net::range::RangeSpec;
use headwater_net::{Body, BodyError, ConnInfo, Interims};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::Cache;
use crate::Metrics;
use crate::key::Key;
use crate::object::{Head, Object};
use crate::proxy_status::ProxyError;
use crate::purge::PurgeSeq;
use crate::purge::ledger::{Ledger, Verdict};
use crate::sync::{
    AtomicBool, AtomicU64, AtomicUsize, Mutex, Notify, OwnedNotified, RwLock, RwLockReadGuard,
    RwLockWriteGuard, lock,
};
use budget::Charge;
use buffer::{Buffer, Read};

/// What came of asking upstream.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// A response whose body is in the fill. Whoever its `Vary` matches may read it; unless it is
    /// `open`, only the leader.
    Shared {
        /// Everything but the body.
        head: Arc<Head>,
        /// Followers may have it too.
        open: bool,
        /// It is going to be stored if its body comes whole.
        stored: bool,
    },
    /// The stored response may answer: upstream confirmed it, or failed and it may be stale.
    Stored {
        /// The response.
        object: Arc<Object>,
        /// What upstream answered, if it did.
        fwd_status: Option<StatusCode>,
        /// Followers may have it too.
        open: bool,
    },
    /// Of a slice: upstream has another representation than the one it is a slice of.
    Changed,
    /// Of a slice: upstream does not give parts.
    NoParts,
    /// The response is for the leader alone ([`Fill::take_alone`]; of a slice, it asks again past
    /// the store); others fetch for themselves.
    Alone,
    /// Upstream failed: the leader has its response if there was one; others get this status.
    Failed {
        /// The status to answer with.
        status: StatusCode,
        /// Upstream's `Retry-After`.
        retry_after: Option<HeaderValue>,
        /// Why there is no answer; none where upstream gave one.
        error: Option<ProxyError>,
    },
}

/// Where a fill's body stands.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// More may come.
    Growing,
    /// All of it is there.
    Complete,
    /// It broke off.
    Failed(BodyError),
}

#[derive(Debug)]
struct State {
    outcome: Option<Outcome>,
    buffer: Buffer,
    end: End,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Fill {
    key: Key,
    /// The leader's fields, for what `Vary` will name.
    request: HeaderMap,
    /// The newest purge when it began: what it brings is newer than that.
    purge_seq: PurgeSeq,
    state: RwLock<State>,
    /// What its bytes count for, as long as anyone can reach them.
    charge: Arc<Charge>,
    /// Bytes that came: what a reader looks at first.
    published: AtomicU64,
    /// Where readers wait that came before their first byte did, with their number at each place.
    early: Mutex<BTreeMap<u64, usize>>,
    /// The furthest any reader got: what the pace of a fill that is not kept goes by.
    furthest: AtomicU64,
    /// Not kept: old bytes are let go.
    windowed: AtomicBool,
    /// Its key was invalidated since it began: it is not to be stored.
    outdated: AtomicBool,
    interested: AtomicUsize,
    /// Those of the interested that read; the others may never do.
    reading: AtomicUsize,
    alone: Mutex<Option<Response<Body>>>,
    /// Fields that are for the leader alone.
    withheld: Mutex<HeaderMap>,
    /// What upstream says before it answers (RFC 9110 §15.2), for all who wait.
    interims: Interims,
    changed: Arc<Notify>,
    /// Wakes the task: a reader came, advanced or left.
    attention: Notify,
    metrics: Metrics,
}

impl Fill {
    pub(crate) fn new(
        key: Key,
        request: HeaderMap,
        purge_seq: PurgeSeq,
        charge: Arc<Charge>,
        metrics: Metrics,
    ) -> Self {
        Self {
            key,
            request,
            purge_seq,
            state: RwLock::new(State {
                outcome: None,
                buffer: Buffer::default(),
                end: End::Growing,
            }),
            charge,
            published: AtomicU64::new(0),
            early: Mutex::default(),
            furthest: AtomicU64::new(0),
            windowed: AtomicBool::new(false),
            outdated: AtomicBool::new(false),
            interested: AtomicUsize::new(0),
            reading: AtomicUsize::new(0),
            alone: Mutex::new(None),
            withheld: Mutex::default(),
            interims: Interims::default(),
            changed: Arc::new(Notify::new()),
            attention: Notify::new(),
            metrics,
        }
    }

    /// Waits until upstream answered or failed. Cancel safe.
    pub(crate) async fn settled(&self) -> Outcome {
        loop {
            let changed = self.changed();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let state = self.state();
                if let Some(outcome) = &state.outcome {
                    return outcome.clone();
                }
                if let End::Failed(_) = state.end {
                    // Given up before upstream answered: shut down, or its task panicked.
                    return Outcome::Failed {
                        status: StatusCode::BAD_GATEWAY,
                        retry_after: None,
                        error: Some(ProxyError::ConnectionTerminated),
                    };
                }
            }
            changed.await;
        }
    }

    /// Has the client of a request told what upstream says before it answers, where there is a way.
    pub(crate) fn tell(&self, request: &Parts) {
        if let Some(client) = request.extensions.get().and_then(ConnInfo::interim) {
            self.interims.join(client);
        }
    }

    /// Has upstream, where `request` goes, tell all who wait in the place of the leader alone.
    pub(crate) fn tell_all(&self, request: &mut Parts) {
        if let Some(conn) = request.extensions.remove::<ConnInfo>() {
            request.extensions.insert(conn.with_interim(self.interims.interim()));
        }
    }

    /// The newest purge when it began.
    pub(crate) fn purge_seq(&self) -> PurgeSeq {
        self.purge_seq
    }

    /// Whether a request that comes now may wait for it, and had seen the purge `since`.
    fn is_new_enough(&self, ledger: &Ledger, since: PurgeSeq) -> bool {
        let newest = ledger.newest();
        if newest.max(since) <= self.purge_seq {
            return true;
        }
        let verdict = match &self.state().outcome {
            Some(Outcome::Shared { head, .. }) => {
                ledger.judge(&self.key, &head.tags, self.purge_seq)
            }
            _ => ledger.judge_untagged(&self.key, self.purge_seq),
        };
        since <= newest && verdict == Verdict::Untouched
    }

    /// What upstream's answer came to, if it is there already.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.state().outcome.clone()
    }

    /// The response that is for the leader alone; the first call gets it.
    pub(crate) fn take_alone(&self) -> Option<Response<Body>> {
        lock(&self.alone).take()
    }

    /// The fields that `private` or `no-cache` keep from all but the leader (RFC 9111 §5.2.2.4 and
    /// §5.2.2.7); the first call gets them.
    pub(crate) fn take_withheld(&self) -> HeaderMap {
        std::mem::take(&mut *lock(&self.withheld))
    }

    /// Waits until it is known where a range lies in a body of unknown length. Cancel safe.
    pub(crate) async fn locate(&self, spec: RangeSpec) -> Located {
        loop {
            let changed = self.changed();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let state = self.state();
                let end = state.buffer.end();
                match &state.end {
                    End::Complete => return Located::Complete(end),
                    End::Failed(_) => return Located::Failed,
                    End::Growing if self.is_windowed() => return Located::NotHere,
                    End::Growing => {
                        if let RangeSpec::FromTo(first, last) = spec
                            && last < end
                        {
                            return Located::Part(first, last + 1);
                        }
                    }
                }
            }
            changed.await;
        }
    }

    /// Whether it lets go of bytes that its readers are past.
    pub(crate) fn is_windowed(&self) -> bool {
        self.windowed.load(Ordering::Acquire)
    }

    /// Whether a reader that begins at the first byte would find it.
    pub(crate) fn has_beginning(&self) -> bool {
        !self.is_windowed() || self.state().buffer.base() == 0
    }

    /// The bytes at `offset`, and how the fill stands if there are none.
    fn read(&self, offset: u64, most: u64) -> (Read, End) {
        if offset < self.published.load(Ordering::Acquire) {
            return (self.state().buffer.read(offset, most), End::Growing);
        }
        let state = self.state();
        (state.buffer.read(offset, most), state.end.clone())
    }

    fn changed(&self) -> OwnedNotified {
        Arc::clone(&self.changed).notified_owned()
    }

    fn advanced(&self, offset: u64) {
        self.furthest.fetch_max(offset, Ordering::AcqRel);
        if self.is_windowed() {
            self.attention.notify_one();
        }
    }

    /// How far the pace of a fill that is not kept has got: to where its furthest reader is. One
    /// that waits for what has not come yet has read nothing, and drives nobody on; but where all
    /// readers do, they have nobody to wait for, and the nearest of them leads.
    fn pace(&self) -> u64 {
        let nearest = {
            let early = lock(&self.early);
            let waiting: usize = early.values().sum();
            let all = waiting >= self.reading.load(Ordering::Acquire);
            early.first_key_value().map(|(start, _)| *start).filter(|_| all)
        };
        if let Some(nearest) = nearest {
            let came = self.published.load(Ordering::Acquire);
            self.furthest.fetch_max(nearest.min(came), Ordering::AcqRel);
        }
        self.furthest.load(Ordering::Acquire)
    }

    fn count_reset(&self) {
        self.metrics.followers_reset.inc();
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, outcome: Outcome) {
        self.interims.end();
        self.state_mut().outcome = Some(outcome);
        self.changed.notify_waiters();
    }

    /// Ends the body; the first end counts.
    fn finish(&self, end: End) {
        {
            let mut state = self.state_mut();
            if matches!(state.end, End::Growing) {
                state.end = end;
            }
        }
        self.changed.notify_waiters();
    }
}

/// Where a range of a growing body lies.
#[derive(Debug)]
pub(crate) enum Located {
    /// These bytes are there, end exclusive; the complete length is not known yet.
    Part(u64, u64),
    /// The body is complete and this long.
    Complete(u64),
    /// The bytes are not kept here.
    NotHere,
    /// The body broke off.
    Failed,
}

/// The place of a reader whose first byte has not come yet, until it has read it.
#[derive(Debug)]
struct Early {
    fill: Arc<Fill>,
    start: u64,
}

impl Early {
    /// Looks for `start` and takes it down under the lock that bytes come and go under. `None`
    /// where it is gone, nothing to hold where it is there.
    #[expect(clippy::option_option, reason = "no place, no need for one, a place")]
    fn register(fill: &Arc<Fill>, start: u64) -> Option<Option<Self>> {
        let state = fill.state();
        if start < state.buffer.base() {
            return None;
        }
        if start == 0 || start < state.buffer.end() {
            return Some(None);
        }
        *lock(&fill.early).entry(start).or_default() += 1;
        fill.attention.notify_one();
        Some(Some(Self { fill: Arc::clone(fill), start }))
    }
}

impl Drop for Early {
    fn drop(&mut self) {
        let mut early = lock(&self.fill.early);
        if let Some(count) = early.get_mut(&self.start) {
            *count -= 1;
            if *count == 0 {
                early.remove(&self.start);
            }
        }
        drop(early);
        self.fill.attention.notify_one();
    }
}

/// A request's stake in a fill: while one is held, the fill is not given up. It keeps the cache,
/// and with it the fill's task, alive.
#[derive(Debug)]
pub(crate) struct Interest {
    fill: Arc<Fill>,
    cache: Option<Cache>,
    reads: bool,
}

impl Interest {
    /// To be called under the lock of the fill's table, so that no fill is joined while it is
    /// given up. The task's own interest names no cache.
    fn new(fill: Arc<Fill>, cache: Option<Cache>) -> Self {
        fill.interested.fetch_add(1, Ordering::AcqRel);
        Self { fill, cache, reads: false }
    }

    /// One more of the same; this one being held, the fill is not given up meanwhile.
    pub(crate) fn another(&self) -> Self {
        Self::new(Arc::clone(&self.fill), self.cache.clone())
    }

    pub(crate) fn fill(&self) -> &Arc<Fill> {
        &self.fill
    }

    /// From here on it is a reader's.
    fn reads(&mut self) {
        if !std::mem::replace(&mut self.reads, true) {
            self.fill.reading.fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        if self.reads {
            self.fill.reading.fetch_sub(1, Ordering::AcqRel);
        }
        self.fill.interested.fetch_sub(1, Ordering::AcqRel);
        // Not the last alone: those who are left may wait for what this one did not read.
        self.fill.attention.notify_one();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use std::task::{Context, Waker};

    #[test]
    fn a_reader_finds_its_first_byte_or_a_place_to_wait_or_is_told_that_it_is_late() {
        let metrics = Metrics::default();
        let charge = budget::Budget::new(0, 1, metrics.clone()).open().unwrap();
        let key = b"k".as_slice().into();
        let seq = PurgeSeq::default();
        let fill = Arc::new(Fill::new(key, HeaderMap::new(), seq, charge, metrics));
        fill.windowed.store(true, Ordering::Release);
        let chunk = buffer::CHUNK as u64;
        for _ in 0..2 {
            fill.state_mut().buffer.push(vec![0; buffer::CHUNK].into());
        }
        assert!(Early::register(&fill, 0).unwrap().is_none());
        // Trimmed after the fill was looked at, before its reader was there.
        assert!(fill.has_beginning());
        fill.state_mut().buffer.trim(chunk);
        assert!(Early::register(&fill, 0).is_none());
        assert!(Early::register(&fill, chunk).unwrap().is_none());
        let places = [9, 7, 9].map(|nth| Early::register(&fill, nth * chunk).unwrap().unwrap());
        // None has read: the nearest leads once nobody else is there, and not further than came.
        // Who is interested and reads nothing is no reader.
        let idle = Interest::new(Arc::clone(&fill), None);
        let mut readers = [(); 4].map(|()| Interest::new(Arc::clone(&fill), None));
        readers.iter_mut().for_each(Interest::reads);
        assert_eq!(fill.pace(), 0);
        let [gone, ..] = readers;
        let woken = |fill: &Fill| {
            let mut notified = std::pin::pin!(fill.attention.notified());
            notified.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
        };
        assert!(woken(&fill) && !woken(&fill));
        drop(gone);
        assert!(woken(&fill), "by one who left the others");
        fill.published.store(2 * chunk, Ordering::Release);
        assert_eq!(fill.pace(), 2 * chunk);
        fill.published.store(8 * chunk, Ordering::Release);
        assert_eq!(fill.pace(), 7 * chunk);
        drop((places, idle));
        assert!(lock(&fill.early).is_empty());
    }
}
