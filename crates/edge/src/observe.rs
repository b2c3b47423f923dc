//! One look at each request and its answer, for the log and the metrics alike: when it came, what
//! the cache made of it, how its body ended.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_cache::BoxError;
use headwater_net::clock::moment;
use headwater_net::{Body, ConnInfo};
use http::{Extensions, HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body as HttpBody;
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower_service::Service;

use crate::access_log::{Ended, Entry, Target};
use crate::cache_result::CacheResult;
use crate::metrics::shard::{self, Labels, Shard};
use crate::refusals::RefusedBy;
use crate::watch::{End, Witness, at_once, into_body, watch};

/// Who looks: metrics, a log, or both. One for each layer, so that workers with layers of their
/// own do not contend for its count.
#[derive(Debug)]
pub(crate) struct Observer {
    shard: Option<Arc<Shard>>,
    log: Option<Target>,
}

impl Observer {
    pub(crate) const fn new(shard: Option<Arc<Shard>>, log: Option<Target>) -> Self {
        Self { shard, log }
    }
}

/// A service whose answers are counted, logged, or both: that of
/// [`AccessLogLayer`](crate::AccessLogLayer) and of [`MetricsLayer`](crate::MetricsLayer).
#[derive(Clone, Debug)]
pub struct Observed<S> {
    inner: S,
    observer: Option<Arc<Observer>>,
}

impl<S> Observed<S> {
    pub(crate) const fn new(inner: S, observer: Option<Arc<Observer>>) -> Self {
        Self { inner, observer }
    }
}

impl<S, A, B> Service<Request<A>> for Observed<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = ObservedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> ObservedFuture<S::Future> {
        let seen = self.observer.as_ref().map(|observer| Observation::begin(observer, &request));
        ObservedFuture { inner: self.inner.call(request), seen }
    }
}

pin_project! {
    /// The answer of [`Observed`]. Dropped before the answer came, it counts as given up by the
    /// client, and leaves a line with status 0.
    #[derive(Debug)]
    pub struct ObservedFuture<F> {
        #[pin]
        inner: F,
        seen: Option<Observation>,
    }
}

impl<F, B, E> Future for ObservedFuture<F>
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
            let mut response = into_body(response);
            if let Some(seen) = this.seen {
                let now = seen.answered(response.status(), response.headers());
                seen.refused(response.extensions_mut());
                if let Some(bytes) = at_once(response.body(), !seen.head) {
                    // In place: a hit's observation is moved nowhere.
                    seen.end(bytes, End::Complete, Some(now));
                    *this.seen = None;
                } else if let Some(seen) = this.seen.take() {
                    response = response.map(|body| watch(body, seen));
                }
            }
            response
        }))
    }
}

/// One request on its way; in flight until it is dropped.
#[derive(Debug)]
struct Observation {
    observer: Arc<Observer>,
    started: Instant,
    protocol: usize,
    method: usize,
    head: bool,
    /// 0 until there is an answer.
    status: u16,
    cache: CacheResult,
    entry: Option<Entry>,
    ended: bool,
}

impl Observation {
    fn begin<A>(observer: &Arc<Observer>, request: &Request<A>) -> Self {
        if let Some(shard) = &observer.shard {
            shard.began();
        }
        let protocol = request.extensions().get::<ConnInfo>().map(|conn| conn.protocol);
        Self {
            observer: Arc::clone(observer),
            started: moment(),
            protocol: shard::protocol_index(protocol),
            method: shard::method_index(request.method()),
            head: request.method() == Method::HEAD,
            status: 0,
            cache: CacheResult::None,
            entry: observer
                .log
                .as_ref()
                .filter(|target| target.is_read())
                .map(|target| Entry::open(target, request)),
            ended: false,
        }
    }

    /// The head of the answer is there; says when.
    fn answered(&mut self, status: StatusCode, headers: &HeaderMap) -> Instant {
        let now = Instant::now();
        self.status = status.as_u16();
        self.cache = CacheResult::of(headers);
        if let Some(shard) = &self.observer.shard {
            let labels = Labels {
                protocol: self.protocol,
                method: self.method,
                status: shard::status_index(status),
                cache: self.cache.index(),
            };
            shard.answered(labels, self.micros(now));
        }
        now
    }

    /// Counts who refuses it, if somebody does: once, however many count around each other.
    fn refused(&self, extensions: &mut Extensions) {
        if let Some(shard) = &self.observer.shard
            && let Some(by) = extensions.remove::<RefusedBy>()
        {
            shard.refused(by);
        }
    }

    /// It is over, at `now` if the clock has been read.
    fn end(&mut self, bytes: u64, end: End, now: Option<Instant>) {
        self.ended = true;
        if let Some(shard) = &self.observer.shard {
            shard.sent(self.protocol, self.cache.index(), bytes);
            shard.cut(end);
            shard.finished();
        }
        if let (Some(target), Some(entry)) = (&self.observer.log, &self.entry) {
            let duration_us = self.micros(now.unwrap_or_else(Instant::now));
            let Self { status, cache, .. } = *self;
            target.log(entry, &Ended { status, bytes, duration_us, cache, end });
        }
    }

    fn micros(&self, now: Instant) -> u64 {
        u64::try_from((now - self.started).as_micros()).unwrap_or(u64::MAX)
    }
}

impl Witness for Observation {
    fn ended(mut self, bytes: u64, end: End) {
        self.end(bytes, end, None);
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        if !self.ended {
            self.end(0, End::Aborted, None);
        }
    }
}
