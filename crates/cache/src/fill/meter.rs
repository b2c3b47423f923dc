//! Holding a body to the length it promised (RFC 9112 §6.3, RFC 9110 §8.6): one that ends early or
//! goes on too long is an error, whoever carried it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_net::{Body, BodyError};
use http::{HeaderMap, StatusCode, header};
use http_body::{Frame, SizeHint};

/// Counts a body against its promised length.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    expected: Option<u64>,
    received: u64,
}

impl Meter {
    pub(crate) fn new(expected: Option<u64>) -> Self {
        Self { expected, received: 0 }
    }

    /// Takes note of more bytes.
    pub(crate) fn add(&mut self, bytes: u64) -> Result<(), BodyError> {
        self.received = self.received.saturating_add(bytes);
        match self.expected {
            Some(expected) if self.received > expected => {
                Err(BodyError::TooLarge { limit: expected })
            }
            _ => Ok(()),
        }
    }

    /// Takes note of the end.
    pub(crate) fn end(&self) -> Result<(), BodyError> {
        match self.expected {
            Some(expected) if self.received < expected => {
                Err(BodyError::Truncated { expected, received: self.received })
            }
            _ => Ok(()),
        }
    }

    /// Whether a fill that nobody waits for is to be finished: at least `percent` of its promised
    /// bytes have come.
    pub(crate) fn is_worth_finishing(&self, percent: u8) -> bool {
        self.expected.is_some_and(|expected| {
            u128::from(self.received) * 100 >= u128::from(expected) * u128::from(percent)
        })
    }
}

/// The length that a response to a GET promises: its `Content-Length`, else what its body knows.
pub(crate) fn promised(status: StatusCode, headers: &HeaderMap, body: &Body) -> Option<u64> {
    if status.is_informational() || matches!(status.as_u16(), 204 | 304) {
        return Some(0);
    }
    let mut lines = headers.get_all(header::CONTENT_LENGTH).iter();
    let line = lines.next().and_then(|line| line.to_str().ok()).map(str::trim);
    match line {
        Some(text) if lines.next().is_none() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.parse().ok().or_else(|| body.exact_len())
        }
        _ => body.exact_len(),
    }
}

/// A body that ends in an error unless it has the promised length.
pub(crate) fn metered(body: Body, expected: Option<u64>) -> Body {
    match (&body, expected) {
        (_, None) => body,
        (Body::Empty | Body::Full(_), Some(expected)) if body.exact_len() == Some(expected) => body,
        (_, expected) => Body::Stream(Box::pin(Metered { body, meter: Meter::new(expected) })),
    }
}

/// The first `len` bytes of a body, which is let go of then; it ends in an error where it has fewer.
pub(crate) fn cut(body: Body, len: u64) -> Body {
    match body {
        Body::Full(chunks) if chunks.len() >= len => Body::from(chunks.slice(0..len)),
        body => Body::Stream(Box::pin(Cut { body, left: len })),
    }
}

struct Cut {
    body: Body,
    left: u64,
}

impl http_body::Body for Cut {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.left == 0 {
            self.body = Body::Empty;
            return Poll::Ready(None);
        }
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            let mut data = frame?.into_data().unwrap_or_default();
            data.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.left -= data.len() as u64;
            Ok(Frame::data(data))
        }))
    }
}

struct Metered {
    body: Body,
    meter: Meter,
}

impl http_body::Body for Metered {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                Some(self.meter.add(bytes).map(|()| frame))
            }
            Some(Err(error)) => Some(Err(error)),
            None => self.meter.end().err().map(Err),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && self.meter.end().is_ok()
    }

    fn size_hint(&self) -> SizeHint {
        match self.meter.expected {
            Some(expected) => SizeHint::with_exact(expected.saturating_sub(self.meter.received)),
            None => self.body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[tokio::test]
    async fn too_short_and_too_long_are_errors() {
        for expected in [2, 4] {
            assert!(metered(Body::from("abc"), Some(expected)).collect(9).await.is_err());
        }
        assert_eq!(metered(Body::from("abc"), Some(3)).collect(9).await.unwrap().len(), 3);
    }

    #[test]
    fn a_fill_is_worth_finishing_from_its_share_on() {
        let mut meter = Meter::new(Some(100));
        meter.add(49).unwrap();
        assert!(!meter.is_worth_finishing(50));
        meter.add(1).unwrap();
        assert!(meter.is_worth_finishing(50));
        assert!(!Meter::new(None).is_worth_finishing(0));
    }
}
