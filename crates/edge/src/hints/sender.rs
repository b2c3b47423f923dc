//! The task that sends hints.

use std::sync::{Arc, Weak};
use std::time::Duration;

use headwater_net::Body;
use headwater_proto::hints::{self, Hint, MAX_HINTS, SameProcess};
use http::{HeaderName, HeaderValue, Request, Response, header};
use tower_service::Service;

use super::Inner;

const LINK: HeaderName = HeaderName::from_static("headwater-link");

/// Messages sent at a time; what is more is dropped. A busy edge of many workers fills one or two.
const MAX_MESSAGES: usize = 4;

/// Sends what [`Hints`](super::Hints) noted to the shield.
#[must_use = "nothing is sent until it runs"]
pub struct HintSender<S> {
    inner: Weak<Inner>,
    shield: S,
}

impl<S> HintSender<S> {
    pub(super) const fn new(inner: Weak<Inner>, shield: S) -> Self {
        Self { inner, shield }
    }
}

impl<S> HintSender<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    /// Sends until nobody notes any more. Cancel safe: what was under way is lost.
    pub async fn run(mut self) {
        while let Some(interval) = self.inner.upgrade().map(|inner| inner.interval) {
            tokio::time::sleep(interval.max(Duration::from_millis(1))).await;
            let Some(inner) = self.inner.upgrade() else { return };
            let noted = inner.take();
            let mut left = &noted[..];
            for _ in 0..MAX_MESSAGES {
                if left.is_empty() {
                    break;
                }
                let sent = self.send(&inner, left).await;
                left = left.get(sent..).unwrap_or_default();
            }
            inner.metrics.dropped.inc_by(left.len() as u64);
        }
    }

    /// Sends one message; returns how many of the hints were in it.
    async fn send(&mut self, inner: &Arc<Inner>, hints: &[Hint]) -> usize {
        let (text, held) = hints::write(&hints[..hints.len().min(MAX_HINTS)]);
        let mut request = Request::new(Body::from(text));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = http::Uri::from_static(hints::PATH);
        let fields = request.headers_mut();
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(hints::MEDIA_TYPE));
        if let Some(link) = &inner.link {
            fields.insert(LINK, link.clone());
        }
        request.extensions_mut().insert(SameProcess);
        let answer = async {
            std::future::poll_fn(|cx| self.shield.poll_ready(cx)).await?;
            self.shield.call(request).await
        };
        let taken = match tokio::time::timeout(inner.timeout, answer).await {
            Ok(Ok(response)) => response.status().is_success(),
            Ok(Err(_)) | Err(_) => false,
        };
        let counter = if taken { &inner.metrics.sent } else { &inner.metrics.failed };
        counter.inc_by(held as u64);
        // One hint always fits a message.
        held.max(1)
    }
}

impl<S> std::fmt::Debug for HintSender<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HintSender").finish_non_exhaustive()
    }
}
