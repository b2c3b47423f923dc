//! What is being watched now: the sessions that this edge serves, and what happens to them.
//!
//! [`CmcdLayer`](crate::CmcdLayer) tells of requests and of what players say; [`Sessions`] keeps a
//! bounded table of it and makes three things of that: a view for the operator ([`Sessions::view`]),
//! events for a log ([`SessionsBuilder::events`]), and metrics ([`Sessions::register`]).
//!
//! A session is told by its player's `sid` (CMCD). One without is told by the client's network and by
//! where its presentation lies: the folder of the first manifest, and all below it. Clients behind one
//! address that watch the same are one session then, and so are titles whose manifests lie in one
//! folder.
//!
//! A session costs up to [`SESSION_BYTES`]; there are never more than the table was made for, and what
//! makes room for another is the one that was silent for longest, of eight. One that is silent for
//! longer than [`SessionsBuilder::idle`] is over.

mod counts;
mod events;
mod session;
mod tier;
mod view;

use std::cell::Cell;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use headwater_net::{Clock, Timestamp};
use headwater_proto::session::{SessionEvent, What};
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;

use crate::table::{Set, Table};
pub use counts::MAX_SERIES;
pub(crate) use counts::{By, Counts};
pub(crate) use session::{Session, Who};
pub use tier::Tier;
pub use view::{MAX_VIEW, Title, View, Watched};

/// What one session may take, in bytes: its place in the table and its texts.
pub const SESSION_BYTES: usize = 1536;

/// Folders above a segment that are looked at for its presentation.
const MAX_FOLDERS: usize = 8;
/// How long a session that has ended may still be sent what it asked for before.
const LINGER: Duration = Duration::from_secs(5);
/// The table is gone through once in so many steps, one at most in each [`STEP`].
const STEPS: usize = 16;
/// In milliseconds.
const STEP: u64 = 250;

/// The sessions of an edge. Clones are of the same.
#[derive(Clone, Debug)]
pub struct Sessions(Arc<Inner>);

/// Each is `Some`: a place is as small as a pointer, and none is left empty.
type Place = Option<Box<Session>>;

#[derive(Debug)]
struct Inner {
    table: ArcSwap<Table<Place>>,
    /// Who has another table take this one's place, or looks at all of it.
    whole: Mutex<()>,
    clock: Clock,
    edge: ArcSwap<String>,
    /// In nanoseconds.
    idle: AtomicU64,
    addresses: AtomicBool,
    on: AtomicBool,
    known: AtomicUsize,
    counts: Counts,
    events: OnceLock<mpsc::Sender<SessionEvent>>,
    /// When the table was last swept, and how far.
    swept: AtomicU64,
    step: AtomicUsize,
}

/// Describes [`Sessions`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until build is called"]
pub struct SessionsBuilder {
    on: bool,
    capacity: usize,
    idle: Duration,
    edge: String,
    addresses: bool,
    clock: Clock,
    events: Option<mpsc::Sender<SessionEvent>>,
}

impl SessionsBuilder {
    /// Whether sessions are noted; they are by default. Where they are not, none is known, metrics say
    /// nothing of any, and there is next to no table.
    pub fn on(mut self, on: bool) -> Self {
        self.on = on;
        self
    }

    /// The most sessions that are known at once; 10,000 by default. Each takes up to
    /// [`SESSION_BYTES`].
    pub fn capacity(mut self, sessions: usize) -> Self {
        self.capacity = sessions;
        self
    }

    /// For how long a session may be silent before it counts as over; 60 s by default. Shorter than a
    /// player's buffer is long, one that is paused for a moment counts twice.
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// The edge's name in events; `edge` by default.
    pub fn edge(mut self, name: impl Into<String>) -> Self {
        self.edge = name.into();
        self
    }

    /// Whether the view tells addresses whole; by default it tells networks of 24 bits, or of 48.
    pub fn addresses(mut self, whole: bool) -> Self {
        self.addresses = whole;
        self
    }

    /// The clock of its times.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Tells events to whoever receives from the channel that is made here. So many may wait; more are
    /// dropped and counted.
    pub fn events(mut self, capacity: usize) -> (Self, mpsc::Receiver<SessionEvent>) {
        let (sender, receiver) = mpsc::channel(capacity.max(1));
        self.events = Some(sender);
        (self, receiver)
    }

    /// Writes events to `sink`, a line of JSON each, by a thread of its own, which ends with the sessions.
    /// So many may wait; more are dropped and counted.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn events_to<W>(self, sink: W, capacity: usize) -> io::Result<Self>
    where
        W: io::Write + Send + 'static,
    {
        let (builder, events) = self.events(capacity);
        events::write(events, sink)?;
        Ok(builder)
    }

    /// The sessions: none yet.
    pub fn build(self) -> Sessions {
        Sessions(Arc::new(Inner {
            table: ArcSwap::from_pointee(Table::new(self.places())),
            whole: Mutex::new(()),
            clock: self.clock,
            edge: ArcSwap::from_pointee(self.edge),
            idle: AtomicU64::new(nanos(self.idle)),
            addresses: AtomicBool::new(self.addresses),
            on: AtomicBool::new(self.on),
            known: AtomicUsize::new(0),
            counts: Counts::default(),
            events: self.events.map(OnceLock::from).unwrap_or_default(),
            swept: AtomicU64::new(0),
            step: AtomicUsize::new(0),
        }))
    }

    const fn places(&self) -> usize {
        if self.on { self.capacity } else { 0 }
    }
}

/// A time for an atomic; the longest is six centuries.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Which session something belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(u64);

impl Key {
    /// What may stand for it where people look.
    pub(crate) const fn short(self) -> u64 {
        self.0 >> 16
    }
}

impl Sessions {
    /// Starts describing sessions.
    pub fn builder() -> SessionsBuilder {
        SessionsBuilder {
            on: true,
            capacity: 10_000,
            idle: Duration::from_secs(60),
            edge: "edge".to_owned(),
            addresses: false,
            clock: Clock::system(),
            events: None,
        }
    }

    /// Goes by what another builder says from now on, its clock and its events left out: sessions that are
    /// known go on, in the name and with the addresses that it says. Where there is less room than before,
    /// those that were silent for longest are forgotten; where they are not noted any more
    /// ([`SessionsBuilder::on`]), all of them end. Metrics that have the edge's name go on under the new one.
    /// Whoever notes something waits while what is known moves to a table of another size.
    pub fn put(&self, described: SessionsBuilder) {
        let inner = &*self.0;
        let _whole = self.whole();
        let places = described.places();
        inner.idle.store(nanos(described.idle), Ordering::Relaxed);
        inner.addresses.store(described.addresses, Ordering::Relaxed);
        inner.on.store(described.on, Ordering::Relaxed);
        inner.edge.store(Arc::new(described.edge));
        let (table, now) = (inner.table.load_full(), inner.clock.now());
        if !described.on {
            // None begins any more: whoever has a set after us sees that they are off.
            for set in 0..table.sets() {
                table.sweep(set, |place| {
                    if let Some(session) = place {
                        self.ended(session, now);
                    }
                    false
                });
            }
        }
        if Table::<Place>::sets_of(places) != table.sets() {
            let gone = |place: Place| {
                if let Some(session) = place {
                    inner.counts.pushed_out.inc();
                    self.ended(&session, now);
                }
            };
            table.replace(places, gone, |other| inner.table.store(Arc::new(other)));
        }
    }

    /// Writes events to `sink` from now on, as [`SessionsBuilder::events_to`] does; where they are told to
    /// somebody already, nothing changes.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn events_to<W>(&self, sink: W, capacity: usize) -> io::Result<()>
    where
        W: io::Write + Send + 'static,
    {
        if self.0.events.get().is_some() {
            return Ok(());
        }
        let (sender, receiver) = mpsc::channel(capacity.max(1));
        events::write(receiver, sink)?;
        // Of two who do so at once one is in vain: its thread ends with its sender.
        let _ = self.0.events.set(sender);
        Ok(())
    }

    /// Whether sessions are noted.
    pub fn is_on(&self) -> bool {
        self.0.on.load(Ordering::Relaxed)
    }

    /// How many are known now, those included that are silent but not over.
    pub fn known(&self) -> usize {
        self.0.known.load(Ordering::Relaxed)
    }

    /// Adds gauges and counters to `registry`; how many series there can be is told with
    /// [`MAX_SERIES`].
    pub fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(counts::Told(self.clone())));
    }

    /// The key of a session that has an id.
    pub(crate) fn key_of_id(&self, id: &str) -> Key {
        Key(self.0.table.load().key(("sid", id)))
    }

    /// The key of a session that has none, and the folder of its presentation: one that is known
    /// already, or else that of `path`.
    pub(crate) fn key_of_place<'p>(
        &self,
        network: Option<IpAddr>,
        host: &str,
        path: &'p str,
        manifest: bool,
    ) -> (Key, &'p str) {
        let folder = folder(path);
        // Every table has the keys of the first.
        let table = self.0.table.load();
        let key = |folder: &str| Key(table.key((network, host, folder)));
        let mut above = folder;
        for _ in 0..MAX_FOLDERS {
            let known = key(above);
            if self.is_known(known) {
                return (known, above);
            }
            let Some((parent, _)) = above.rsplit_once('/') else { break };
            // A manifest at the root is one title, and not all titles below.
            if parent.is_empty() && manifest {
                break;
            }
            above = parent;
        }
        (key(folder), folder)
    }

    /// Whether a session is there and not over.
    pub(crate) fn is_known(&self, key: Key) -> bool {
        let now = self.0.clock.now();
        let alive = |session: &mut Option<Box<Session>>| {
            session.as_ref().is_some_and(|session| !self.is_over(session, now))
        };
        self.at(key, |mut set| set.get(key.0, alive)).unwrap_or(false)
    }

    /// Does something where a session has its place, in the table of the moment.
    fn at<R>(&self, key: Key, look: impl FnOnce(Set<'_, Place>) -> R) -> R {
        loop {
            let table = self.0.table.load();
            // Who has moved all has put the other table there before it let go of the set.
            if let Some(set) = table.open(key.0) {
                return look(set);
            }
        }
    }

    fn whole(&self) -> MutexGuard<'_, ()> {
        self.0.whole.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was said or answered: `look` sees the session, which begins now if it is not there, and
    /// says what happened to it.
    pub(crate) fn note(
        &self,
        key: Key,
        who: impl FnOnce() -> Who,
        look: impl FnOnce(&mut Session, Timestamp, &mut Vec<What>),
    ) {
        let inner = &*self.0;
        let now = inner.clock.now();
        let who = Cell::new(Some(who));
        let begin = || who.take().map(|who| Session::new(who(), now));
        let mut gone = None;
        let note = |place: &mut Place| {
            if place.as_ref().is_some_and(|session| self.is_over(session, now))
                && let Some(again) = begin()
                && let Some(before) = place.replace(Box::new(again))
            {
                self.ended(&before, now);
            }
            let Some(session) = place else { return };
            if who.take().is_none() {
                inner.known.fetch_add(1, Ordering::Relaxed);
                self.happened(session, now, What::Begun);
            }
            let mut happened = Vec::new();
            look(session, now, &mut happened);
            for what in happened {
                self.happened(session, now, what);
            }
        };
        self.at(key, |mut set| {
            // Asked with the set in hand: what ends all comes by here after it said so.
            if self.is_on() {
                let make = || begin().map(Box::new);
                set.with(key.0, now.as_millis(), make, |before| gone = before, note);
            }
        });
        if let Some(before) = gone {
            inner.counts.pushed_out.inc();
            self.ended(&before, now);
        }
        self.sweep_a_little(now);
    }

    /// Looks at a session that is there.
    pub(crate) fn look(
        &self,
        key: Key,
        look: impl FnOnce(&mut Session, Timestamp, &mut Vec<What>),
    ) -> bool {
        let now = self.0.clock.now();
        let look = |place: &mut Place| {
            let Some(session) = place else { return false };
            if self.is_over(session, now) {
                return false;
            }
            let mut happened = Vec::new();
            look(session, now, &mut happened);
            for what in happened {
                self.happened(session, now, what);
            }
            true
        };
        self.at(key, |mut set| set.get(key.0, look)).unwrap_or(false)
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.0.counts
    }

    fn is_over(&self, session: &Session, now: Timestamp) -> bool {
        let idle = || Duration::from_nanos(self.0.idle.load(Ordering::Relaxed));
        now.since(session.last) > if session.over { LINGER } else { idle() }
    }

    fn ended(&self, session: &Session, now: Timestamp) {
        self.0.known.fetch_sub(1, Ordering::Relaxed);
        self.happened(session, now, session.end());
    }

    fn happened(&self, session: &Session, now: Timestamp, what: What) {
        let inner = &*self.0;
        inner.counts.happened(session, &what);
        let Some(events) = inner.events.get() else { return };
        // The channel is asked for a place first: what nobody takes is not written either.
        match events.try_reserve() {
            Ok(place) => place.send(SessionEvent {
                at: now.as_millis(),
                edge: inner.edge.load().to_string(),
                session: session.id.to_string(),
                title: session.title.to_string(),
                content: session.content.as_deref().map(ToOwned::to_owned),
                country: session.country.map(|country| country.as_str().to_owned()),
                what,
            }),
            Err(_) => drop(inner.counts.events_dropped.inc()),
        }
    }

    /// Sees to a part of the table, if that was not done a moment ago.
    fn sweep_a_little(&self, now: Timestamp) {
        let inner = &*self.0;
        let (before, now_millis) = (inner.swept.load(Ordering::Relaxed), now.as_millis());
        if now_millis.saturating_sub(before) < STEP {
            return;
        }
        let mine =
            inner.swept.compare_exchange(before, now_millis, Ordering::Relaxed, Ordering::Relaxed);
        if mine.is_ok() {
            let table = inner.table.load();
            let part = table.sets().div_ceil(STEPS);
            let step = inner.step.fetch_add(1, Ordering::Relaxed) % STEPS;
            self.sweep(&table, step * part..(step + 1) * part, now);
        }
    }

    /// Ends what is over in some sets.
    fn sweep(&self, table: &Table<Place>, sets: std::ops::Range<usize>, now: Timestamp) {
        for set in sets.start..sets.end.min(table.sets()) {
            table.sweep(set, |place| {
                let over = place.as_ref().is_none_or(|session| self.is_over(session, now));
                if let Some(session) = place.as_ref().filter(|_| over) {
                    self.ended(session, now);
                }
                !over
            });
        }
    }
}

/// The folder of a path, without a slash at its end; empty for the root.
fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[cfg(test)]
mod tests;
