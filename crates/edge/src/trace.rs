//! Traces: which requests of different servers are one (W3C Trace Context), and how long each server
//! took, told to an OpenTelemetry collector.
//!
//! [`TraceLayer`] gives a request a span of its own: it goes on with the trace that the request says it
//! is a part of, or begins one, and what is behind it is asked with `traceparent` of the span. So an
//! edge, its shield and its packager that each have the layer make one trace. Of requests that say
//! nothing, one in so many begins a trace. Whoever is believed decides what is recorded, here and behind:
//! so a layer that faces strangers takes off what they say, and one behind an edge believes it.
//!
//! A span has the path as it comes to the layer, and no query. Where tokens stand in paths, they are to be
//! taken off before: put [`TokenLayer::take_paths`](crate::TokenLayer::take_paths) around this layer.
//!
//! A span ends with the head of the answer. Spans go into a bounded queue, which drops and counts when
//! it is full, and from there to a collector ([`Exporter`]). A request that is not recorded costs a draw
//! and the look for its field; one that is, an allocation for its span and one for its path. The layer and
//! its exporter are there with the feature `otel`; without, `traceparent` passes as it is.

mod context;
mod otlp;
mod queue;

use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::BuildHasher as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use headwater_net::{Clock, ConnInfo, Protocol, Timestamp};
use http::{HeaderMap, Method, Request, Response};
use pin_project_lite::pin_project;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use crate::cache_result::CacheResult;
pub use context::{TRACEPARENT, TRACESTATE, TraceContext};
pub use otlp::Exporter;
use queue::Queue;

/// The longest path of a span, in bytes.
const MAX_PATH: usize = 160;

/// Decides which requests are recorded, and has their spans. Clones are of the same one.
#[derive(Clone, Debug)]
pub struct Tracer {
    one_in: u32,
    believes: bool,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Where identifiers come from: keys that nobody outside knows, over numbers that never come twice.
    random: RandomState,
    /// Workers so far.
    workers: AtomicU64,
    queue: Arc<Queue>,
    service: Name,
    counters: Counters,
    clock: Clock,
}

/// What a collector knows this server as; it may change.
type Name = Arc<ArcSwap<String>>;

/// Nobody is left who records.
impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.close();
    }
}

#[derive(Clone, Debug, Default)]
struct Counters {
    dropped: Counter,
    exported: Counter,
    failed: Counter,
}

/// One server's part of a trace.
#[derive(Debug)]
struct Span {
    context: TraceContext,
    parent: Option<u64>,
    began: Timestamp,
    micros: u64,
    method: Method,
    path: String,
    protocol: Option<Protocol>,
    /// 0 where there was no answer.
    status: u16,
    cache: CacheResult,
}

impl Tracer {
    /// One that records one in `one_in` requests that say nothing of a trace, and none of them where it
    /// is 0; `capacity` spans may wait to be sent, as those of `service`. Where it `believes`, requests
    /// that say that their trace is recorded are, too.
    pub fn new(
        service: impl Into<String>,
        one_in: u32,
        believes: bool,
        capacity: usize,
        clock: Clock,
    ) -> (Self, Exporter) {
        let queue = Arc::new(Queue::new(capacity));
        let service = Name::new(ArcSwap::from_pointee(service.into()));
        let counters = Counters::default();
        let exporter = Exporter::new(Arc::clone(&queue), counters.clone(), Arc::clone(&service));
        let random = RandomState::new();
        let workers = AtomicU64::new(0);
        let inner = Arc::new(Inner { random, workers, queue, service, counters, clock });
        (Self { one_in, believes, inner }, exporter)
    }

    /// One that decides otherwise, and has its spans in the same queue.
    #[must_use]
    pub fn deciding(&self, one_in: u32, believes: bool) -> Self {
        Self { one_in, believes, inner: Arc::clone(&self.inner) }
    }

    /// Spans are those of this service from the next message on, those that wait among them; of all
    /// tracers of this queue.
    pub fn set_service(&self, service: impl Into<String>) {
        self.inner.service.store(Arc::new(service.into()));
    }

    /// So many spans may wait from now on; of all tracers of this queue. What waits is sent, also where it
    /// is more by then.
    pub fn set_capacity(&self, capacity: usize) {
        self.inner.queue.set_bound(capacity);
    }

    /// Adds what became of spans to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let counters = &self.inner.counters;
        for (name, help, counter) in [
            ("exported", "Spans that a collector took", &counters.exported),
            ("dropped", "Spans dropped: the queue was full", &counters.dropped),
            ("failed", "Spans that a collector did not take", &counters.failed),
        ] {
            registry.register(format!("headwater_edge_spans_{name}"), help, counter.clone());
        }
    }

    fn worker(&self) -> Worker {
        let number = self.inner.workers.fetch_add(1, Ordering::Relaxed);
        Worker { tracer: self.clone(), number, next: AtomicU64::new(0) }
    }
}

/// A tracer as one worker has it: what it counts is its own.
#[derive(Debug)]
struct Worker {
    tracer: Tracer,
    number: u64,
    next: AtomicU64,
}

impl Worker {
    fn random(&self) -> u64 {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        self.tracer.inner.random.hash_one((self.number, next)).max(1)
    }

    /// The context of a span for this request, and its parent; `None` where it is not recorded.
    fn begin(&self, headers: &mut HeaderMap) -> Option<(TraceContext, Option<u64>)> {
        let Tracer { one_in, believes, .. } = self.tracer;
        let said = if believes { TraceContext::of(headers) } else { None };
        if said.is_none() {
            headers.remove(TRACEPARENT);
            headers.remove(TRACESTATE);
        }
        let recorded = match said {
            Some(said) => said.sampled,
            None => one_in > 0 && self.random().is_multiple_of(one_in.into()),
        };
        if !recorded {
            return None;
        }
        let trace = said.map_or_else(
            || u128::from(self.random()) << 64 | u128::from(self.random()),
            |said| said.trace,
        );
        let context = TraceContext { trace, span: self.random(), sampled: true };
        Some((context, said.map(|said| said.span)))
    }
}

/// Records spans of a service; by default none. [`Layer::layer`] is to be called once for each worker: what
/// it makes has counters of its own.
#[derive(Clone, Debug, Default)]
pub struct TraceLayer(Option<Tracer>);

impl TraceLayer {
    /// Records what `tracer` decides to.
    pub const fn new(tracer: Tracer) -> Self {
        Self(Some(tracer))
    }

    /// Records nothing, and leaves requests as they are.
    pub const fn off() -> Self {
        Self(None)
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = Traced<S>;

    fn layer(&self, inner: S) -> Traced<S> {
        let worker = self.0.as_ref().map(|tracer| Arc::new(tracer.worker()));
        Traced { inner, worker }
    }
}

/// A service some of whose answers are recorded.
#[derive(Clone, Debug)]
pub struct Traced<S> {
    inner: S,
    worker: Option<Arc<Worker>>,
}

impl<S, A, B> Service<Request<A>> for Traced<S>
where
    S: Service<Request<A>, Response = Response<B>>,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = TracedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        let open = self.worker.as_ref().and_then(|worker| Open::begin(worker, &mut request));
        TracedFuture { inner: self.inner.call(request), open: open.map(Box::new) }
    }
}

pin_project! {
    /// The answer of [`Traced`]. Dropped before the answer came, its span has none.
    #[derive(Debug)]
    pub struct TracedFuture<F> {
        #[pin]
        inner: F,
        open: Option<Box<Open>>,
    }
}

impl<F, B, E> Future for TracedFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let answer = std::task::ready!(this.inner.poll(cx));
        if let (Some(mut open), Ok(response)) = (this.open.take(), &answer) {
            open.status = response.status().as_u16();
            open.cache = CacheResult::of(response.headers());
        }
        Poll::Ready(answer)
    }
}

/// A span that has begun; it ends when it is dropped.
#[derive(Debug)]
struct Open {
    tracer: Tracer,
    context: TraceContext,
    parent: Option<u64>,
    began: Timestamp,
    started: Instant,
    method: Method,
    path: String,
    protocol: Option<Protocol>,
    status: u16,
    cache: CacheResult,
}

impl Open {
    fn begin<A>(worker: &Worker, request: &mut Request<A>) -> Option<Self> {
        let (context, parent) = worker.begin(request.headers_mut())?;
        let tracer = &worker.tracer;
        let path = request.uri().path();
        let mut end = path.len().min(MAX_PATH);
        while !path.is_char_boundary(end) {
            end -= 1;
        }
        let open = Self {
            tracer: tracer.clone(),
            context,
            parent,
            began: tracer.inner.clock.now(),
            started: Instant::now(),
            method: request.method().clone(),
            path: path.get(..end).unwrap_or_default().to_owned(),
            protocol: request.extensions().get::<ConnInfo>().map(|conn| conn.protocol),
            status: 0,
            cache: CacheResult::None,
        };
        if let Some(value) = context.to_value() {
            request.headers_mut().insert(TRACEPARENT, value);
        }
        Some(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let micros = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let span = Span {
            context: self.context,
            parent: self.parent,
            began: self.began,
            micros,
            method: self.method.clone(),
            path: std::mem::take(&mut self.path),
            protocol: self.protocol,
            status: self.status,
            cache: self.cache,
        };
        let Inner { queue, counters, .. } = &*self.tracer.inner;
        if !queue.put(span) {
            counters.dropped.inc();
        }
    }
}
