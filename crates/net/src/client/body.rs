//! A response's body from an upstream: what breaks off, falls silent, takes too long or grows too large is
//! an error.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::Bounds;
use super::allowed::Allowed;
use crate::{Body, BodyError};

/// The body as it arrives, which must have come at `until`.
pub(super) fn receive<B>(incoming: B, bounds: &Bounds, until: Option<Instant>) -> Body
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::fmt::Display,
{
    if incoming.is_end_stream() {
        return Body::Empty;
    }
    let expected = incoming.size_hint().exact();
    let (idle, max, trailers) = (bounds.idle, bounds.max, bounds.allowed.clone());
    let whole = until.map(|until| Box::pin(tokio::time::sleep_until(until)));
    let (received, silence) = (0, None);
    Body::Stream(Box::pin(Receiving {
        incoming,
        expected,
        received,
        max,
        trailers,
        idle,
        silence,
        whole,
    }))
}

struct Receiving<B> {
    incoming: B,
    expected: Option<u64>,
    received: u64,
    /// The most bytes that are taken.
    max: Option<u64>,
    /// The trailers that are taken, where not all are.
    trailers: Option<Allowed>,
    /// A silence of this while somebody waits is an error.
    idle: Duration,
    silence: Option<Silence>,
    whole: Option<Pin<Box<Sleep>>>,
}

/// The timer of the silence, running or at rest.
struct Silence {
    timer: Pin<Box<Sleep>>,
    running: bool,
}

impl<B: HttpBody<Data = Bytes>> Receiving<B>
where
    B::Error: std::fmt::Display,
{
    /// A piece that came.
    fn take(&mut self, frame: Result<Frame<Bytes>, B::Error>) -> Result<Frame<Bytes>, BodyError> {
        let mut frame = frame.map_err(|error| match self.expected {
            Some(expected) if self.received < expected => {
                BodyError::Truncated { expected, received: self.received }
            }
            _ => BodyError::source(error),
        })?;
        self.received += frame.data_ref().map_or(0, |data| data.len() as u64);
        if let Some(limit) = self.max.filter(|max| self.received > *max) {
            return Err(BodyError::TooLarge { limit });
        }
        if let (Some(allowed), Some(trailers)) = (&self.trailers, frame.trailers_mut()) {
            allowed.strip_trailers(trailers);
        }
        Ok(frame)
    }
}

impl<B> HttpBody for Receiving<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        // Also while bytes keep coming: a slow drip ends, too.
        if this.whole.as_mut().is_some_and(|whole| whole.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Some(Err(BodyError::TimedOut)));
        }
        if let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(cx) {
            if let Some(silence) = &mut this.silence {
                silence.running = false;
            }
            return Poll::Ready(frame.map(|frame| this.take(frame)));
        }
        let silence = this.silence.get_or_insert_with(|| Silence {
            timer: Box::pin(tokio::time::sleep(this.idle)),
            running: true,
        });
        if !silence.running {
            silence.running = true;
            silence.timer.as_mut().reset(Instant::now() + this.idle);
        }
        silence.timer.as_mut().poll(cx).map(|()| Some(Err(BodyError::TimedOut)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
