//! A request's body, held to its limits: so many bytes, and no silence longer than this.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};

use super::ConnLimits;
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
        is_waiting: bool,
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
            is_waiting: false,
        }
    }
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
                *this.is_waiting = false;
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                Poll::Ready(Some(match this.left.checked_sub(bytes) {
                    Some(left) => {
                        *this.left = left;
                        Ok(frame)
                    }
                    None => Err(BodyError::TooLarge { limit: *this.limit }),
                }))
            }
            Poll::Pending => {
                let until = || Instant::now() + *this.patience;
                let silence =
                    this.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until())));
                if !std::mem::replace(this.is_waiting, true) {
                    silence.as_mut().reset(until());
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
        ConnLimits { max_body, body_timeout: Duration::from_secs(30), ..ConnLimits::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_body_and_a_slow_drip_does_not() {
        let (send, receive) = tokio::sync::mpsc::channel::<Bytes>(1);
        let dripped = futures_util::stream::unfold(receive, |mut receive| async {
            let next = receive.recv().await?;
            Some((Ok::<_, BodyError>(Frame::data(next)), receive))
        });
        let inner = http_body_util::StreamBody::new(dripped);
        let body = Body::Stream(Box::pin(Limited::new(inner, &limits(1000))));
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
