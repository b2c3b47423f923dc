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
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use headwater_net::{Clock, Timestamp};
use headwater_proto::session::{SessionEvent, What};
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;

use crate::table::Table;
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

#[derive(Debug)]
struct Inner {
    /// Each is `Some`: a place is as small as a pointer, and none is left empty.
    table: Table<Option<Box<Session>>>,
    clock: Clock,
    edge: Box<str>,
    idle: Duration,
    addresses: bool,
    known: AtomicUsize,
    counts: Counts,
    events: Option<mpsc::Sender<SessionEvent>>,
    /// When the table was last swept, and how far.
    swept: AtomicU64,
    step: AtomicUsize,
}

/// Describes [`Sessions`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until build is called"]
pub struct SessionsBuilder {
    capacity: usize,
    idle: Duration,
    edge: String,
    addresses: bool,
    clock: Clock,
    events: Option<mpsc::Sender<SessionEvent>>,
}

impl SessionsBuilder {
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
            table: Table::new(self.capacity),
            clock: self.clock,
            edge: self.edge.into(),
            idle: self.idle,
            addresses: self.addresses,
            known: AtomicUsize::new(0),
            counts: Counts::default(),
            events: self.events,
            swept: AtomicU64::new(0),
            step: AtomicUsize::new(0),
        }))
    }
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
            capacity: 10_000,
            idle: Duration::from_secs(60),
            edge: "edge".to_owned(),
            addresses: false,
            clock: Clock::system(),
            events: None,
        }
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
        Key(self.0.table.key(("sid", id)))
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
        let key = |folder: &str| Key(self.0.table.key((network, host, folder)));
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
        self.0.table.get(key.0, alive).unwrap_or(false)
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
        inner.table.with(
            key.0,
            now.as_millis(),
            || begin().map(Box::new),
            |before| gone = before,
            |place| {
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
            },
        );
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
        let found = self.0.table.get(key.0, |place| {
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
        });
        found.unwrap_or(false)
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.0.counts
    }

    fn is_over(&self, session: &Session, now: Timestamp) -> bool {
        now.since(session.last) > if session.over { LINGER } else { self.0.idle }
    }

    fn ended(&self, session: &Session, now: Timestamp) {
        self.0.known.fetch_sub(1, Ordering::Relaxed);
        self.happened(session, now, session.end());
    }

    fn happened(&self, session: &Session, now: Timestamp, what: What) {
        let inner = &*self.0;
        inner.counts.happened(session, &what);
        let Some(events) = &inner.events else { return };
        // The channel is asked for a place first: what nobody takes is not written either.
        match events.try_reserve() {
            Ok(place) => place.send(SessionEvent {
                at: now.as_millis(),
                edge: inner.edge.to_string(),
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
            let part = inner.table.sets().div_ceil(STEPS);
            let step = inner.step.fetch_add(1, Ordering::Relaxed) % STEPS;
            self.sweep(step * part..(step + 1) * part, now);
        }
    }

    /// Ends what is over in some sets.
    fn sweep(&self, sets: std::ops::Range<usize>, now: Timestamp) {
        for set in sets.start..sets.end.min(self.0.table.sets()) {
            self.0.table.sweep(set, |place| {
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
