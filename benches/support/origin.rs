//! An origin in the same process: it answers at once, and its bodies come chunk by chunk.
#![allow(dead_code, reason = "each bench takes what it needs")]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater::net::{Body, BodyError};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::{Frame, SizeHint};
use tower::Service;

/// What is measured: a manifest or a small audio segment, a part, a video segment.
pub const SIZES: [(u64, &str); 3] = [(1 << 10, "1_kib"), (64 << 10, "64_kib"), (1 << 20, "1_mib")];

/// What a chunk of a streamed body holds, in bytes.
pub const CHUNK_BYTES: u64 = 64 << 10;

/// Answers every request with a segment of one size, under the headers that a packager sends.
#[derive(Clone)]
pub struct Origin {
    len: u64,
    headers: HeaderMap,
    chunk: Bytes,
    asked: Arc<AtomicU64>,
}

impl Origin {
    /// Bodies are `len` bytes long: whole in memory up to a chunk, streamed beyond.
    pub fn new(len: u64) -> Self {
        let chunk = Bytes::from(vec![0x5a; CHUNK_BYTES.min(len) as usize]);
        let mut headers: HeaderMap = [
            ("content-type", "video/mp4"),
            ("etag", "\"00abcdef01234567-v1-42\""),
            ("cache-control", "public, max-age=31536000, immutable"),
            ("accept-ranges", "bytes"),
            ("access-control-allow-origin", "*"),
            ("access-control-expose-headers", "Content-Length, Content-Range, ETag, Age"),
            ("date", "Mon, 23 Nov 2026 12:00:00 GMT"),
        ]
        .into_iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
        headers.insert("content-length", HeaderValue::from(len));
        Self { len, headers, chunk, asked: Arc::default() }
    }

    /// With one more field in its answers.
    pub fn with(mut self, name: &'static str, value: &'static str) -> Self {
        let name = HeaderName::from_static(name);
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    /// How many requests came.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Service<Request<Body>> for Origin {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let body = if self.len <= CHUNK_BYTES {
            Body::from(self.chunk.clone())
        } else {
            Body::Stream(Box::pin(Trickle {
                left: self.len,
                chunk: self.chunk.clone(),
                yielded: false,
            }))
        };
        let mut response = Response::new(body);
        response.headers_mut().clone_from(&self.headers);
        ready(Ok(response))
    }
}

/// A body that lets others run before each chunk, as one from a network does.
struct Trickle {
    left: u64,
    chunk: Bytes,
    yielded: bool,
}

impl http_body::Body for Trickle {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.yielded = !self.yielded;
        if self.yielded {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let len = self.left.min(CHUNK_BYTES);
        self.left -= len;
        Poll::Ready(Some(Ok(Frame::data(self.chunk.slice(..len as usize)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// The length of a response's body, taken frame by frame.
pub async fn drain(response: Response<Body>) -> u64 {
    let mut body = response.into_body();
    let mut received = 0;
    while let Some(frame) = http_body_util::BodyExt::frame(&mut body).await {
        let data = frame.expect("a whole body").into_data();
        received += data.map_or(0, |data| std::hint::black_box(data).len() as u64);
    }
    received
}
