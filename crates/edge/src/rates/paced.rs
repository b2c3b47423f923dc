//! A body that is sent no faster than a limit allows: its chunks go on as they are, and it waits, on one
//! timer, only when its client is ahead of its rate.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use headwater_net::{Body, BodyError};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::{Counted, On};

/// The shortest wait: a body that is held back wakes no more often than this.
const SHORTEST: Duration = Duration::from_millis(10);

/// `body` at the rate of a limit; as it is, where all of it may go at once.
pub(super) fn paced(body: Body, on: &Arc<On>, counted: Counted) -> Body {
    let Counted { rule, client } = &counted;
    let Some(bucket) = &rule.bytes else { return body };
    if let Some(length) = body.exact_len() {
        let now = on.now();
        let take = |used: &mut super::Used| bucket.take_all(&mut used.bytes, length, now);
        if rule.with(*client, now, take) {
            return body;
        }
    }
    let on = Arc::clone(on);
    Body::Stream(Box::pin(Paced { inner: body, on, counted, sleep: None, waits: false }))
}

struct Paced {
    inner: Body,
    on: Arc<On>,
    counted: Counted,
    /// Made when it is first needed, and kept.
    sleep: Option<Pin<Box<Sleep>>>,
    waits: bool,
}

impl Paced {
    /// Waits until something may be sent.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Counted { rule, client } = &self.counted;
        let Some(bucket) = &rule.bytes else { return Poll::Ready(()) };
        loop {
            if self.waits
                && let Some(sleep) = &mut self.sleep
            {
                ready!(sleep.as_mut().poll(cx));
                self.waits = false;
            }
            let now = self.on.now();
            let wait = rule.with(*client, now, |used| bucket.wait(used.bytes, now));
            if wait == 0 {
                return Poll::Ready(());
            }
            let until = Instant::now() + Duration::from_micros(wait).max(SHORTEST);
            match &mut self.sleep {
                Some(sleep) => sleep.as_mut().reset(until),
                None => self.sleep = Some(Box::pin(tokio::time::sleep_until(until))),
            }
            self.waits = true;
        }
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        // The end is no byte, and nobody waits for it.
        if !self.inner.is_end_stream() {
            ready!(self.poll_turn(cx));
        }
        let polled = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(Ok(frame)) = &polled
            && let Some(data) = frame.data_ref().filter(|data| !data.is_empty())
        {
            let Counted { rule, client } = &self.counted;
            let (now, length) = (self.on.now(), data.len() as u64);
            if let Some(bucket) = &rule.bytes {
                rule.with(*client, now, |used| bucket.charge(&mut used.bytes, length, now));
            }
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
