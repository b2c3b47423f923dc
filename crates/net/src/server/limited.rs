//! A request's body, held to its limits: so many bytes, no silence longer than this, and no drip.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};

use super::ConnLimits;
use super::pace::Pace;
use crate::{BodyError, Problem};

pin_project! {
    /// See the module.
    pub(super) struct Limited<B> {
        #[pin]
        inner: B,
        limit: u64,
        left: u64,
        patience: Duration,
        // Made at the first wait: most bodies never wait.
        silence: Option<Pin<Box<Sleep>>>,
        // Since when the service waits.
        waits: Option<Instant>,
        pace: Pace,
    }
}

impl<B> Limited<B> {
    pub(super) fn new(inner: B, limits: &ConnLimits) -> Self {
        Self {
            inner,
            limit: limits.max_body,
            left: limits.max_body,
            patience: limits.body_timeout,
            silence: None,
            waits: None,
            pace: Pace::new(limits.min_rate, limits.body_timeout),
        }
    }
}

/// Whether a request has more fields than it may. Of `Cookie`, which a browser sends crumb by crumb over
/// HTTP/2 and HTTP/3 (RFC 9113 §8.2.3), all lines count as one.
pub(super) fn has_too_many(headers: &HeaderMap, limits: &ConnLimits) -> bool {
    let crumbs = || headers.get_all(header::COOKIE).iter().count().saturating_sub(1);
    headers.len() > limits.max_headers && headers.len() - crumbs() > limits.max_headers
}

/// The answer to such a request.
pub(super) fn too_many(limits: &ConnLimits) -> Problem {
    let detail = format!("a request may have at most {} fields", limits.max_headers);
    Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE).detail(detail)
}

/// The answer to a request that says its body is larger than it may be.
pub(super) fn too_large(limits: &ConnLimits) -> Problem {
    let detail = format!("a request's body may be at most {} bytes", limits.max_body);
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE).detail(detail)
}

impl<B: HttpBody<Data = Bytes, Error = BodyError>> HttpBody for Limited<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.project();
        match this.inner.poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                this.pace.moved(bytes);
                let waited = this.waits.take().map(|since| since.elapsed());
                Poll::Ready(Some(match this.left.checked_sub(bytes) {
                    Some(_) if waited.is_some_and(|waited| this.pace.is_too_slow(waited)) => {
                        Err(BodyError::TooSlow)
                    }
                    Some(left) => {
                        *this.left = left;
                        Ok(frame)
                    }
                    None => Err(BodyError::TooLarge { limit: *this.limit }),
                }))
            }
            Poll::Pending => {
                let begins = this.waits.is_none();
                let until = *this.waits.get_or_insert_with(Instant::now) + *this.patience;
                let silence =
                    this.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
                if begins {
                    silence.as_mut().reset(until);
                }
                silence.as_mut().poll(cx).map(|()| Some(Err(BodyError::TimedOut)))
            }
            ended @ Poll::Ready(_) => ended,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use crate::Body;

    fn limits(max_body: u64) -> ConnLimits {
        let body_timeout = Duration::from_secs(30);
        ConnLimits { max_body, body_timeout, min_rate: 1, ..ConnLimits::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_drip_ends_a_body_and_its_pace_does_not() {
        for (piece, whole) in [(vec![0; 5], true), (vec![0; 4], false)] {
            let dripped = futures_util::stream::unfold(0, move |at| {
                let piece = Bytes::from(piece.clone());
                async move {
                    tokio::time::sleep(Duration::from_secs(5)).await;
                    (at < 20).then(|| (Ok::<_, BodyError>(Frame::data(piece)), at + 1))
                }
            });
            let inner = http_body_util::StreamBody::new(dripped);
            let body = Body::Stream(Box::pin(Limited::new(inner, &limits(1000))));
            let start = Instant::now();
            let read = body.collect(1000).await;
            assert_eq!(read.is_ok(), whole);
            if let Err(error) = read {
                assert!(error.to_string().contains("too slowly"), "{error}");
                assert_eq!(start.elapsed().as_secs(), 30);
            }
        }
    }

    #[test]
    fn a_cookie_in_crumbs_is_one_field() {
        let limits = ConnLimits { max_headers: 3, ..ConnLimits::default() };
        let mut headers = HeaderMap::new();
        for name in ["a", "b", "cookie", "cookie", "cookie"] {
            headers.append(name, http::HeaderValue::from_static("x"));
        }
        assert!(!has_too_many(&headers, &limits));
        headers.append("b", http::HeaderValue::from_static("y"));
        assert!(has_too_many(&headers, &limits));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_body() {
        let (send, receive) = tokio::sync::mpsc::channel::<Bytes>(1);
        let dripped = futures_util::stream::unfold(receive, |mut receive| async {
            let next = receive.recv().await?;
            Some((Ok::<_, BodyError>(Frame::data(next)), receive))
        });
        let inner = http_body_util::StreamBody::new(dripped);
        let limits = ConnLimits { min_rate: 0, ..limits(1000) };
        let body = Body::Stream(Box::pin(Limited::new(inner, &limits)));
        let reading = tokio::spawn(body.collect(1000));
        let start = Instant::now();
        for _ in 0..5 {
            send.send(Bytes::from_static(b"x")).await.unwrap();
            tokio::time::sleep(Duration::from_secs(29)).await;
        }
        assert!(!reading.is_finished());
        let said = reading.await.unwrap().unwrap_err().to_string();
        assert!(said.contains("silent for too long"), "{said}");
        assert_eq!(start.elapsed().as_secs(), 4 * 29 + 30);
    }

    #[tokio::test]
    async fn a_body_may_be_as_large_as_the_limit_and_no_larger() {
        for (limit, whole) in [(5, true), (4, false)] {
            let inner = Body::from("12345");
            let body = Body::Stream(Box::pin(Limited::new(inner, &limits(limit))));
            let read = body.collect(100).await;
            assert_eq!(read.is_ok(), whole);
            if let Err(error) = read {
                assert!(error.to_string().contains("larger than 4 bytes"), "{error}");
            }
        }
    }
}
