//! The access log: one line for each answer, when its body has ended, as JSON or in the combined
//! format.
//!
//! A request pays for one record copied into a bounded queue of its worker; a thread of its own
//! formats and writes. When the queue is full the record is dropped and counted: a slow disk never
//! slows an answer.
//!
//! Lines hold no secrets: queries are left out, or told with the values of [`Masked`] names as
//! `***`; no header is told but `User-Agent`, and in the combined format `Referer` without its
//! query. What a client said cannot end a line or steer a terminal. [`AccessLogBuilder`] says which
//! answers have a line, and whether it names their client.
//!
//! ```
//! use headwater_edge::AccessLog;
//!
//! let (log, writer) = AccessLog::start(std::io::sink(), 8192)?;
//! let layer = log.layer(headwater_net::Clock::system());
//! # drop(layer);
//! writer.finish(); // writes what is queued
//! # Ok::<_, std::io::Error>(())
//! ```

mod address;
mod builder;
mod combined;
mod entry;
mod file;
pub mod filter;
mod json;
mod live;
pub(crate) mod numbers;
mod query;
mod record;
mod sample;
mod writer;

use std::io;
use std::sync::Arc;

use headwater_net::Clock;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tower_layer::Layer;

use crate::observe::{Observed, Observer};
use writer::Hub;

pub use builder::{AccessLogBuilder, Format};
pub(crate) use entry::{Ended, Entry, Target};
pub use file::{LogFile, Reopened};
pub use filter::Filter;
pub use live::{MAX_WATCHERS, Watching};
pub use query::Masked;
pub use writer::LogWriter;

/// The log as layers see it. Clones are of the same one.
#[derive(Clone, Debug)]
pub struct AccessLog {
    hub: Arc<Hub>,
    counters: Arc<Counters>,
    told: Arc<builder::Told>,
    /// Records that may wait, for each layer.
    capacity: usize,
}

#[derive(Debug, Default)]
struct Counters {
    written: Counter,
    dropped: Counter,
    failed: Counter,
}

impl AccessLog {
    /// Begins to describe a log.
    pub fn builder() -> AccessLogBuilder {
        AccessLogBuilder::default()
    }

    /// Starts a log of all answers as JSON; see [`AccessLogBuilder::start`].
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start<W>(sink: W, capacity: usize) -> io::Result<(Self, LogWriter)>
    where
        W: io::Write + Send + 'static,
    {
        Self::builder().start(sink, capacity)
    }

    /// The same log, of which layers that are made by this tell what `described` says, from queues of
    /// `capacity` records. Those of before go on as they are: the lines of both are whole, and come as
    /// their answers end.
    #[must_use]
    pub fn again(&self, described: AccessLogBuilder, capacity: usize) -> Self {
        Self { told: described.told(), capacity: capacity.max(1), ..self.clone() }
    }

    /// The layer that logs to here, with times from `clock`. Each call makes a queue of its own:
    /// call it once for each worker and not for each connection.
    pub fn layer(&self, clock: Clock) -> AccessLogLayer {
        AccessLogLayer { observer: Some(Arc::new(Observer::new(None, Some(self.target(clock))))) }
    }

    pub(crate) fn target(&self, clock: Clock) -> Target {
        let (told, dropped) = (Arc::clone(&self.told), self.counters.dropped.clone());
        Target::new(self.hub.queue(self.capacity), dropped, told, self.hub.watchers(), clock)
    }

    /// Lines from now on, of those that `filter` takes: all answers are looked at, also where the log
    /// is a sample or written nowhere. `None` where [`MAX_WATCHERS`] do already. Who reads slowly loses
    /// lines, and is told how many by a line `{"lost":17}`.
    pub fn watch(&self, filter: Filter) -> Option<Watching> {
        self.hub.watch(filter)
    }

    /// Records that found the queue full.
    pub fn dropped(&self) -> u64 {
        self.counters.dropped.get()
    }

    /// Lines written.
    pub fn written(&self) -> u64 {
        self.counters.written.get()
    }

    /// Adds the log's counters to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let counters = [
            ("written", "Access log lines written", &self.counters.written),
            ("dropped", "Access log records dropped: the queue was full", &self.counters.dropped),
            ("failed", "Access log lines that could not be written", &self.counters.failed),
        ];
        for (name, help, counter) in counters {
            registry.register(format!("headwater_edge_access_log_{name}"), help, counter.clone());
        }
    }
}

/// Logs each answer of a service.
#[derive(Clone, Debug)]
pub struct AccessLogLayer {
    observer: Option<Arc<Observer>>,
}

impl AccessLogLayer {
    /// A layer that logs nothing.
    pub const fn off() -> Self {
        Self { observer: None }
    }
}

impl<S> Layer<S> for AccessLogLayer {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed::new(inner, self.observer.clone())
    }
}
