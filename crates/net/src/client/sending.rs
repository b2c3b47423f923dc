//! How long an answer is waited for while a request's body goes out: from the last that was taken of it.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout};

use crate::{Body, BodyError};

/// Waits so long for what `ask` makes of a request. As long as its body goes out, the time begins anew with
/// each part of it that is taken: a large upload is not late because it is large.
///
/// # Errors
/// [`Elapsed`] where there was nothing to take, or nobody took it, for that time.
pub async fn answered_within<F: Future>(
    time: Duration,
    request: Request<Body>,
    ask: impl FnOnce(Request<Body>) -> F,
) -> Result<F::Output, Elapsed> {
    if !matches!(request.body(), Body::Stream(_)) {
        return timeout(time, ask(request)).await;
    }
    let taken = Taken::default();
    let request = request.map(|inner| {
        let taken = taken.clone();
        Body::Stream(Box::pin(Sent { inner, taken }))
    });
    let mut answer = pin!(ask(request));
    let mut left = time;
    loop {
        let waited = timeout(left, &mut answer).await;
        left = time.saturating_sub(taken.ago());
        if waited.is_ok() || left.is_zero() {
            return waited;
        }
    }
}

/// When the last of a body was taken.
#[derive(Clone, Debug)]
struct Taken(Arc<Mutex<Instant>>);

impl Default for Taken {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Taken {
    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn ago(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// A body of which is noted when it is taken.
struct Sent {
    inner: Body,
    taken: Taken,
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        self.taken.now();
        Poll::Ready(polled)
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
    use http_body_util::StreamBody;

    const TIME: Duration = Duration::from_secs(30);

    /// A body of `parts` parts, one each `every`.
    fn slow(parts: u32, every: Duration) -> Request<Body> {
        let parts = futures_util::stream::unfold(parts, move |left| async move {
            let left = left.checked_sub(1)?;
            tokio::time::sleep(every).await;
            Some((Ok::<_, BodyError>(Frame::data(Bytes::from_static(b"part"))), left))
        });
        Request::new(Body::stream(StreamBody::new(parts)))
    }

    /// Who takes all of a body, and answers so much later.
    async fn taker(request: Request<Body>, later: Duration) -> u64 {
        let body = request.into_body().collect(1 << 20).await.unwrap();
        tokio::time::sleep(later).await;
        body.len()
    }

    #[tokio::test(start_paused = true)]
    async fn an_upload_may_take_longer_than_its_answer() {
        let asked = |request| taker(request, Duration::from_secs(29));
        let all = answered_within(TIME, slow(20, Duration::from_secs(20)), asked).await;
        assert_eq!(all.unwrap(), 80);
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_counts_from_the_last_that_was_taken() {
        let began = Instant::now();
        let asked = |request| taker(request, Duration::from_secs(31));
        answered_within(TIME, slow(2, Duration::from_secs(20)), asked).await.unwrap_err();
        assert_eq!(began.elapsed(), Duration::from_secs(70));
        // Nobody takes anything, or nothing comes.
        let began = Instant::now();
        let deaf = |request| async {
            std::future::pending::<()>().await;
            drop::<Request<Body>>(request);
        };
        answered_within(TIME, slow(2, Duration::from_secs(1)), deaf).await.unwrap_err();
        let asked = |request| taker(request, Duration::ZERO);
        answered_within(TIME, slow(2, Duration::from_secs(31)), asked).await.unwrap_err();
        answered_within(TIME, Request::new(Body::empty()), |request| taker(request, 2 * TIME))
            .await
            .unwrap_err();
        assert_eq!(began.elapsed(), 3 * TIME);
    }
}
