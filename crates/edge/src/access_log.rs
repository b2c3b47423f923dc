//! The access log: one line of JSON for each answer, when its body has ended.
//!
//! A request pays for one record copied into a bounded queue of its worker; a thread of its own
//! formats and writes. When the queue is full the record is dropped and counted: a slow disk never
//! slows an answer.
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

mod record;
mod writer;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use headwater_net::{Clock, ConnInfo, Protocol, Timestamp};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Method, Request, header};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tower_layer::Layer;

use crate::cache_result::CacheResult;
use crate::observe::{Observed, Observer};
use crate::watch::End;
use record::{Facts, Words};
use writer::{Hub, Queue};

pub use writer::LogWriter;

/// The log as layers see it. Clones are of the same one.
#[derive(Clone, Debug)]
pub struct AccessLog {
    hub: Arc<Hub>,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    written: Counter,
    dropped: Counter,
    failed: Counter,
}

impl AccessLog {
    /// Starts a thread that writes lines to `sink`, from queues of `capacity` records of at most
    /// half a kilobyte each. The writer is to be kept: when it is dropped, what is queued is
    /// written out and the log ends.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start<W>(sink: W, capacity: usize) -> io::Result<(Self, LogWriter)>
    where
        W: io::Write + Send + 'static,
    {
        let counters = Arc::new(Counters::default());
        let (written, failed) = (counters.written.clone(), counters.failed.clone());
        let (hub, writer) = writer::start(sink, capacity.max(1), written, failed)?;
        Ok((Self { hub, counters }, writer))
    }

    /// The layer that logs to here, with times from `clock`. Each call makes a queue of its own:
    /// call it once for each worker and not for each connection.
    pub fn layer(&self, clock: Clock) -> AccessLogLayer {
        AccessLogLayer { observer: Some(Arc::new(Observer::new(None, Some(self.target(clock))))) }
    }

    pub(crate) fn target(&self, clock: Clock) -> Target {
        Target { queue: self.hub.queue(), counters: Arc::clone(&self.counters), clock }
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

/// Where a layer logs to, and by what time.
#[derive(Debug)]
pub(crate) struct Target {
    queue: Arc<Queue>,
    counters: Arc<Counters>,
    clock: Clock,
}

impl Target {
    /// Logs a request that has ended.
    pub(crate) fn log(&self, entry: &Entry, ended: &Ended) {
        let Ended { status, bytes, duration_us, cache, end } = *ended;
        let (peer, protocol) = match entry.peer {
            Some((peer, protocol)) => (Some(peer), Some(protocol)),
            None => (None, None),
        };
        let time = entry.time;
        let facts = Facts { time, peer, protocol, status, bytes, duration_us, cache, end };
        let words = Words {
            method: entry.method.as_str().as_bytes(),
            host: match &entry.host {
                Host::Target(authority) => authority.as_str().as_bytes(),
                Host::Field(field) => field.as_bytes(),
                Host::None => b"",
            },
            path: entry.path.as_ref().map_or(&b""[..], |path| path.path().as_bytes()),
            user_agent: entry.user_agent.as_ref().map_or(&b""[..], HeaderValue::as_bytes),
        };
        if !self.queue.push(facts, words) {
            self.counters.dropped.inc();
        }
    }
}

/// How a request ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// 0 where there was no answer.
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    pub(crate) duration_us: u64,
    pub(crate) cache: CacheResult,
    pub(crate) end: End,
}

/// What is kept of a request until its answer has ended: shares of what the request held anyway.
#[derive(Debug)]
pub(crate) struct Entry {
    time: Timestamp,
    peer: Option<(SocketAddr, Protocol)>,
    method: Method,
    host: Host,
    path: Option<PathAndQuery>,
    user_agent: Option<HeaderValue>,
}

#[derive(Debug)]
enum Host {
    Target(Authority),
    Field(HeaderValue),
    None,
}

impl Entry {
    pub(crate) fn open<A>(target: &Target, request: &Request<A>) -> Self {
        let (uri, headers) = (request.uri(), request.headers());
        let conn = request.extensions().get::<ConnInfo>();
        Self {
            time: target.clock.now(),
            peer: conn.map(|conn| (conn.peer, conn.protocol)),
            method: request.method().clone(),
            host: match (uri.authority(), headers.get(header::HOST)) {
                (Some(authority), _) => Host::Target(authority.clone()),
                (None, Some(field)) => Host::Field(field.clone()),
                (None, None) => Host::None,
            },
            path: uri.path_and_query().cloned(),
            user_agent: headers.get(header::USER_AGENT).cloned(),
        }
    }
}
