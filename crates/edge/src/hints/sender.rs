//! The task that sends hints.

use std::collections::BTreeMap;
use std::sync::Weak;
use std::time::Duration;

use futures_util::future::join_all;
use headwater_net::Body;
use headwater_net::rendezvous::Like;
use headwater_proto::hints::{self, Hint, MAX_HINTS, SameProcess};
use http::{HeaderName, HeaderValue, Request, Response, Uri, header};
use tower_service::Service;

use super::Inner;

const LINK: HeaderName = HeaderName::from_static("headwater-link");

/// Messages sent to one shield at a time; what is more is dropped. A busy edge of many workers fills
/// one or two.
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
            let shares = shares(&inner, inner.take());
            let mut under_way = Vec::new();
            for (like, noted) in &shares {
                let mut left = &noted[..];
                for _ in 0..MAX_MESSAGES {
                    if left.is_empty() {
                        break;
                    }
                    let (request, held) = message(&inner, like.as_ref(), left);
                    let ready = std::future::poll_fn(|cx| self.shield.poll_ready(cx));
                    let answer = match tokio::time::timeout(inner.timeout, ready).await {
                        Ok(Ok(())) => Some(self.shield.call(request)),
                        Ok(Err(_)) | Err(_) => None,
                    };
                    under_way.push(told(&inner, answer, held));
                    left = left.get(held..).unwrap_or_default();
                }
                inner.metrics.dropped.inc_by(left.len() as u64);
            }
            // One that does not answer keeps nothing from the others.
            join_all(under_way).await;
        }
    }
}

/// What each shield is told, with what it is found by.
fn shares(inner: &Inner, noted: Vec<Hint>) -> Vec<(Option<Like>, Vec<Hint>)> {
    let Some(home) = &inner.home else { return vec![(None, noted)] };
    let mut shares = BTreeMap::<_, (Option<Like>, Vec<Hint>)>::new();
    for hint in noted {
        let uri = target(&hint.location);
        let name = uri.as_ref().and_then(home);
        let (_, share) = shares.entry(name).or_insert_with(|| (uri.map(Like), Vec::new()));
        share.push(hint);
    }
    shares.into_values().collect()
}

/// What a location asks for, without its authority.
fn target(location: &str) -> Option<Uri> {
    let at = location.get(2..)?.find('/')? + 2;
    location.get(at..)?.parse().ok()
}

/// One message, and how many of the hints are in it.
fn message(inner: &Inner, like: Option<&Like>, hints: &[Hint]) -> (Request<Body>, usize) {
    let (text, held) = hints::write(&hints[..hints.len().min(MAX_HINTS)]);
    let mut request = Request::new(Body::from(text));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = Uri::from_static(hints::PATH);
    let fields = request.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(hints::MEDIA_TYPE));
    if let Some(link) = &inner.link {
        fields.insert(LINK, link.clone());
    }
    request.extensions_mut().insert(SameProcess);
    if let Some(like) = like {
        request.extensions_mut().insert(like.clone());
    }
    // One hint always fits a message.
    (request, held.max(1))
}

/// Counts what becomes of a message.
async fn told<E>(
    inner: &Inner,
    answer: Option<impl Future<Output = Result<Response<Body>, E>>>,
    held: usize,
) {
    let taken = match answer {
        Some(answer) => match tokio::time::timeout(inner.timeout, answer).await {
            Ok(Ok(response)) => response.status().is_success(),
            Ok(Err(_)) | Err(_) => false,
        },
        None => false,
    };
    let counter = if taken { &inner.metrics.sent } else { &inner.metrics.failed };
    counter.inc_by(held as u64);
}

impl<S> std::fmt::Debug for HintSender<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HintSender").finish_non_exhaustive()
    }
}
