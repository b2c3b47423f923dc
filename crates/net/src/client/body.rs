//! A response's body from an upstream: what breaks off or falls silent is an error.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::{Body, BodyError};

/// The body as it arrives; a silence of `idle` while somebody waits is an error.
pub(super) fn receive(incoming: Incoming, idle: Duration) -> Body {
    if incoming.is_end_stream() {
        return Body::Empty;
    }
    let expected = incoming.size_hint().exact();
    Body::Stream(Box::pin(Receiving { incoming, expected, received: 0, idle, silence: None }))
}

struct Receiving {
    incoming: Incoming,
    expected: Option<u64>,
    received: u64,
    idle: Duration,
    silence: Option<Silence>,
}

/// The timer of the silence, running or at rest.
struct Silence {
    timer: Pin<Box<Sleep>>,
    running: bool,
}

impl HttpBody for Receiving {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(cx) {
            if let Some(silence) = &mut this.silence {
                silence.running = false;
            }
            return Poll::Ready(match frame {
                Some(Ok(frame)) => {
                    this.received += frame.data_ref().map_or(0, |data| data.len() as u64);
                    Some(Ok(frame))
                }
                Some(Err(error)) => Some(Err(match this.expected {
                    Some(expected) if this.received < expected => {
                        BodyError::Truncated { expected, received: this.received }
                    }
                    _ => BodyError::source(error),
                })),
                None => None,
            });
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
