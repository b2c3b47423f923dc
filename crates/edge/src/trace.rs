//! Traces: which requests of different servers are one (W3C Trace Context), and how long each server
//! took, told to an OpenTelemetry collector.
//!
//! [`TraceLayer`] gives a request a span of its own: it goes on with the trace that the request says it
//! is a part of, or begins one, and what is behind it is asked with `traceparent` of the span. So an
//! edge, its shield and its packager that each have the layer make one trace. Of requests that say
//! nothing, one in so many begins a trace. Whoever is believed decides what is recorded, here and behind:
//! so a layer that faces strangers takes off what they say, and one behind an edge believes it.
//!
//! A span ends with the head of the answer. Spans go into a bounded queue, which drops and counts when
//! it is full, and from there to a collector ([`Exporter`]). The layer and its exporter are there with the feature
//! `otel`; without, `traceparent` passes as it is.

mod context;
mod otlp;

use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::BuildHasher as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use headwater_net::{Clock, ConnInfo, Protocol, Timestamp};
use http::{HeaderMap, Method, Request, Response};
use pin_project_lite::pin_project;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use crate::cache_result::CacheResult;
pub use context::{TRACEPARENT, TRACESTATE, TraceContext};
pub use otlp::Exporter;

/// The longest path of a span, in bytes.
const MAX_PATH: usize = 160;

/// Decides which requests are recorded, and has their spans. Clones are of the same one.
#[derive(Clone, Debug)]
pub struct Tracer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    one_in: u32,
    believes: bool,
    /// Where identifiers come from: keys that nobody outside knows, over a number that never comes twice.
    random: RandomState,
    next: AtomicU64,
    spans: mpsc::Sender<Span>,
    counters: Counters,
    clock: Clock,
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
        let (spans, received) = mpsc::channel(capacity.max(1));
        let counters = Counters::default();
        let exporter = Exporter::new(received, counters.clone(), service.into());
        let random = RandomState::new();
        let next = AtomicU64::new(0);
        let inner = Inner { one_in, believes, random, next, spans, counters, clock };
        (Self(Arc::new(inner)), exporter)
    }

    /// Adds what became of spans to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let counters = &self.0.counters;
        for (name, help, counter) in [
            ("exported", "Spans that a collector took", &counters.exported),
            ("dropped", "Spans dropped: the queue was full", &counters.dropped),
            ("failed", "Spans that a collector did not take", &counters.failed),
        ] {
            registry.register(format!("headwater_edge_spans_{name}"), help, counter.clone());
        }
    }

    fn random(&self) -> u64 {
        self.0.random.hash_one(self.0.next.fetch_add(1, Ordering::Relaxed)).max(1)
    }

    /// The context of a span for this request, and its parent; `None` where it is not recorded.
    fn begin(&self, headers: &mut HeaderMap) -> Option<(TraceContext, Option<u64>)> {
        let inner = &*self.0;
        let said = if inner.believes { TraceContext::of(headers) } else { None };
        if said.is_none() {
            headers.remove(TRACEPARENT);
            headers.remove(TRACESTATE);
        }
        let recorded = match said {
            Some(said) => said.sampled,
            None => inner.one_in > 0 && self.random().is_multiple_of(inner.one_in.into()),
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

/// Records spans of a service.
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
        Traced { inner, tracer: self.0.clone() }
    }
}

/// A service some of whose answers are recorded.
#[derive(Clone, Debug)]
pub struct Traced<S> {
    inner: S,
    tracer: Option<Tracer>,
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
        let open = self.tracer.as_ref().and_then(|tracer| Open::begin(tracer, &mut request));
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
    fn begin<A>(tracer: &Tracer, request: &mut Request<A>) -> Option<Self> {
        let (context, parent) = tracer.begin(request.headers_mut())?;
        let path = request.uri().path();
        let mut end = path.len().min(MAX_PATH);
        while !path.is_char_boundary(end) {
            end -= 1;
        }
        let open = Self {
            tracer: tracer.clone(),
            context,
            parent,
            began: tracer.0.clock.now(),
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
        if self.tracer.0.spans.try_send(span).is_err() {
            self.tracer.0.counters.dropped.inc();
        }
    }
}
