//! The access log: one line of JSON for each answer, when its body has ended.
//!
//! A request pays for one record put into a bounded queue; a thread of its own formats and writes.
//! When the queue is full the record is dropped and counted: a slow disk never slows an answer.
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

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_cache::BoxError;
use headwater_net::{Body, Clock, ConnInfo, Protocol, Timestamp};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::Body as HttpBody;
use pin_project_lite::pin_project;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use crate::cache_result::CacheResult;
use crate::watch::{End, Witness, into_body, watch};
use record::{Record, Text};
use writer::Sender;

pub use writer::LogWriter;

/// The queue in front of the log. Clones feed the same one.
#[derive(Clone, Debug)]
pub struct AccessLog {
    queue: Sender,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    written: Counter,
    dropped: Counter,
    failed: Counter,
}

impl AccessLog {
    /// Starts a thread that writes lines to `sink`, from a queue of `capacity` records of about
    /// half a kilobyte each. The writer is to be kept: when it is dropped, the queue is written
    /// out and the log ends.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start<W>(sink: W, capacity: usize) -> io::Result<(Self, LogWriter)>
    where
        W: io::Write + Send + 'static,
    {
        let counters = Arc::new(Counters::default());
        let (written, failed) = (counters.written.clone(), counters.failed.clone());
        let (queue, writer) = writer::start(sink, capacity.max(1), written, failed)?;
        Ok((Self { queue, counters }, writer))
    }

    /// The layer that logs to here, with times from `clock`.
    pub fn layer(&self, clock: Clock) -> AccessLogLayer {
        AccessLogLayer { log: Some(Arc::new(Target { log: self.clone(), clock })) }
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

    fn push(&self, record: Record) {
        if !self.queue.try_send(record) {
            self.counters.dropped.inc();
        }
    }
}

/// Logs each answer of a service.
#[derive(Clone, Debug)]
pub struct AccessLogLayer {
    /// One for each layer, so that workers with layers of their own do not contend for its count.
    log: Option<Arc<Target>>,
}

/// Where a layer logs to, and by what time.
#[derive(Debug)]
struct Target {
    log: AccessLog,
    clock: Clock,
}

impl AccessLogLayer {
    /// A layer that logs nothing.
    pub const fn off() -> Self {
        Self { log: None }
    }
}

impl<S> Layer<S> for AccessLogLayer {
    type Service = AccessLogService<S>;

    fn layer(&self, inner: S) -> AccessLogService<S> {
        AccessLogService { inner, log: self.log.clone() }
    }
}

/// The service of [`AccessLogLayer`].
#[derive(Clone, Debug)]
pub struct AccessLogService<S> {
    inner: S,
    log: Option<Arc<Target>>,
}

impl<S, A, B> Service<Request<A>> for AccessLogService<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = AccessLogFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> AccessLogFuture<S::Future> {
        let entry = self.log.as_ref().map(|log| Entry::open(log, &request));
        AccessLogFuture { inner: self.inner.call(request), entry }
    }
}

pin_project! {
    /// The answer of [`AccessLogService`]. Dropping it before the answer came leaves a line with
    /// status 0.
    #[derive(Debug)]
    pub struct AccessLogFuture<F> {
        #[pin]
        inner: F,
        entry: Option<Entry>,
    }
}

impl<F, B, E> Future for AccessLogFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = std::task::ready!(this.inner.poll(cx));
        Poll::Ready(response.map(|response| {
            let (head, body) = response.into_parts();
            let mut body = into_body(body);
            if let Some(mut entry) = this.entry.take() {
                entry.answered(head.status, &head.headers);
                let sent = entry.method != Method::HEAD;
                body = watch(body, sent, entry);
            }
            Response::from_parts(head, body)
        }))
    }
}

/// What is kept of a request until its answer has ended: shares of what the request held anyway.
#[derive(Debug)]
struct Entry {
    log: Option<Arc<Target>>,
    started: Instant,
    time: Timestamp,
    peer: Option<(SocketAddr, Protocol)>,
    method: Method,
    uri: Uri,
    host: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    status: StatusCode,
    cache: CacheResult,
}

impl Entry {
    fn open<A>(log: &Arc<Target>, request: &Request<A>) -> Self {
        let value = |name| request.headers().get(name).cloned();
        let conn = request.extensions().get::<ConnInfo>();
        Self {
            log: Some(Arc::clone(log)),
            started: Instant::now(),
            time: log.clock.now(),
            peer: conn.map(|conn| (conn.peer, conn.protocol)),
            method: request.method().clone(),
            uri: request.uri().clone(),
            host: value(header::HOST),
            user_agent: value(header::USER_AGENT),
            status: StatusCode::CONTINUE,
            cache: CacheResult::None,
        }
    }

    fn answered(&mut self, status: StatusCode, headers: &HeaderMap) {
        self.status = status;
        self.cache = CacheResult::of(headers);
    }

    fn close(&mut self, status: u16, bytes: u64, end: End) {
        let Some(target) = self.log.take() else { return };
        let host = match self.uri.authority() {
            Some(authority) => authority.as_str().as_bytes(),
            None => self.host.as_ref().map_or(&b""[..], HeaderValue::as_bytes),
        };
        let duration = self.started.elapsed().as_micros();
        target.log.push(Record {
            time: self.time,
            peer: self.peer.map(|(peer, _)| peer),
            protocol: self.peer.map(|(_, protocol)| protocol),
            method: self.method.clone(),
            host: Text::new(host),
            path: Text::new(self.uri.path().as_bytes()),
            user_agent: Text::new(self.user_agent.as_ref().map_or(&b""[..], HeaderValue::as_bytes)),
            status,
            bytes,
            duration_us: u64::try_from(duration).unwrap_or(u64::MAX),
            cache: self.cache,
            end,
        });
    }
}

impl Witness for Entry {
    fn ended(mut self, bytes: u64, end: End) {
        self.close(self.status.as_u16(), bytes, end);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.close(0, 0, End::Aborted);
    }
}
