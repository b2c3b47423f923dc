//! The far origin: a time until the first byte, and a bandwidth for each request and for all.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use headwater_bench_traces::traffic::{self, Object, Part};
use headwater_net::Body;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use tower_service::Service;

use crate::time::Time;
use crate::titles;

/// How far away it is.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Distance {
    /// Milliseconds until the first byte of an answer.
    pub latency_ms: u64,
    /// Bits a second of one answer.
    pub each: u64,
    /// Bits a second of all answers together.
    pub all: u64,
}

impl Distance {
    /// None: all is there at once.
    pub const NONE: Self = Self { latency_ms: 0, each: u64::MAX, all: u64::MAX };
}

/// Bytes that come at once.
const FRAME: u32 = 512 << 10;

/// What segments consist of: nothing is made, and nothing is stored twice.
static BYTES: [u8; FRAME as usize] = [0; FRAME as usize];

/// Clones are the same origin.
#[derive(Clone)]
pub struct Origin(Arc<Inner>);

struct Inner {
    seed: u64,
    distance: Distance,
    time: Time,
    /// Answers under way.
    active: AtomicU64,
    requests: AtomicU64,
    bytes: AtomicU64,
    /// How often each object was asked for.
    asked: Mutex<HashMap<Object, u32>>,
}

impl Origin {
    pub fn new(seed: u64, distance: Distance, time: Time) -> Self {
        let (active, requests, bytes) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let asked = Mutex::default();
        Self(Arc::new(Inner { seed, distance, time, active, requests, bytes, asked }))
    }

    /// Requests, bytes sent, and objects of which there were any.
    pub fn counted(&self) -> (u64, u64, u64) {
        let Inner { requests, bytes, asked, .. } = &*self.0;
        let objects = asked.lock().unwrap_or_else(PoisonError::into_inner).len() as u64;
        (requests.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed), objects)
    }
}

impl Service<Request<Body>> for Origin {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let inner = Arc::clone(&self.0);
        let object = titles::object(request.uri().path());
        Box::pin(async move {
            inner.requests.fetch_add(1, Ordering::Relaxed);
            inner.time.sleep(Duration::from_millis(inner.distance.latency_ms)).await;
            Ok(object.map_or_else(unknown, |object| answer(&inner, object)))
        })
    }
}

fn unknown() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

fn answer(inner: &Arc<Inner>, object: Object) -> Response<Body> {
    *inner.asked.lock().unwrap_or_else(PoisonError::into_inner).entry(object).or_default() += 1;
    let (body, kind) = if object.part == Part::Playlist {
        let (text, kind) = titles::manifest(inner.seed, object.title, object.rung);
        inner.bytes.fetch_add(text.len() as u64, Ordering::Relaxed);
        (Body::from(text), kind)
    } else {
        let left = traffic::bytes(inner.seed, object);
        inner.active.fetch_add(1, Ordering::Relaxed);
        (Body::stream(Segment { inner: Arc::clone(inner), left, next: None }), "video/mp4")
    };
    let length = body.exact_len();
    let mut response = Response::new(body);
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=86400"));
    if let Some(length) = length {
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

/// A body that comes at the speed of its origin.
struct Segment {
    inner: Arc<Inner>,
    left: u32,
    next: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl http_body::Body for Segment {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let length = self.left.min(FRAME);
        let inner = Arc::clone(&self.inner);
        let next = self.next.get_or_insert_with(|| {
            let others = inner.active.load(Ordering::Relaxed).max(1);
            let rate = inner.distance.each.min(inner.distance.all / others).max(1);
            let time = Duration::from_micros(u64::from(length) * 8 * 1_000_000 / rate);
            let clock = inner.time.clone();
            Box::pin(async move { clock.sleep(time).await })
        });
        std::task::ready!(next.as_mut().poll(cx));
        self.next = None;
        self.left -= length;
        inner.bytes.fetch_add(u64::from(length), Ordering::Relaxed);
        let bytes = Bytes::from_static(&BYTES).slice(..length as usize);
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::from(self.left))
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.inner.active.fetch_sub(1, Ordering::Relaxed);
    }
}
