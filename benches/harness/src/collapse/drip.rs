//! An origin in the process of the cache: it hands a body out over a time, and counts how often it
//! was asked.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use headwater_net::{Body, BodyError};
use http::{Request, Response, header};
use http_body::{Frame, SizeHint};
use tokio::time::{Interval, MissedTickBehavior};
use tower_service::Service;

use super::OBJECT_BYTES;

/// Pieces that a body comes in.
const PIECES: u32 = 20;

/// See the module. What lies under `/finished/` is handed out at once.
#[derive(Clone, Default)]
pub(super) struct Drip {
    over: Duration,
    asked: Arc<AtomicU64>,
}

impl Drip {
    /// Bodies take this long.
    pub(super) fn over(over: Duration) -> Self {
        Self { over, asked: Arc::default() }
    }

    /// How often it was asked.
    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Service<Request<Body>> for Drip {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let body = if request.uri().path().starts_with("/finished/") {
            Body::from(vec![0; OBJECT_BYTES as usize])
        } else {
            let mut ticks = tokio::time::interval(self.over / PIECES);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            Body::Stream(Box::pin(Dripping { ticks, left: OBJECT_BYTES }))
        };
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, OBJECT_BYTES.into());
        headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("max-age=600"));
        ready(Ok(response))
    }
}

struct Dripping {
    ticks: Interval,
    left: u64,
}

impl http_body::Body for Dripping {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        std::task::ready!(self.ticks.poll_tick(cx));
        let piece = self.left.min(OBJECT_BYTES.div_ceil(u64::from(PIECES)));
        self.left -= piece;
        Poll::Ready(Some(Ok(Frame::data(vec![0; piece as usize].into()))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
