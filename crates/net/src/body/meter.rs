//! Holding a body to the length it promised (RFC 9112 §6.3, RFC 9110 §8.6): one that ends early or
//! goes on too long is an error, whoever carried it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::{Body, BodyError};

/// Counts a body's bytes against the length that it promised, where it did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meter {
    expected: Option<u64>,
    received: u64,
}

impl Meter {
    /// Of a body that promised so many bytes.
    pub const fn new(expected: Option<u64>) -> Self {
        Self { expected, received: 0 }
    }

    /// Takes note of more bytes.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`] where they are more than were promised.
    pub fn add(&mut self, bytes: u64) -> Result<(), BodyError> {
        self.received = self.received.saturating_add(bytes);
        match self.expected {
            Some(expected) if self.received > expected => {
                Err(BodyError::TooLarge { limit: expected })
            }
            _ => Ok(()),
        }
    }

    /// Takes note of the end.
    ///
    /// # Errors
    /// [`BodyError::Truncated`] where less came than was promised.
    pub fn end(&self) -> Result<(), BodyError> {
        match self.expected {
            Some(expected) if self.received < expected => {
                Err(BodyError::Truncated { expected, received: self.received })
            }
            _ => Ok(()),
        }
    }

    /// Whether so many percent of the promised bytes have come, or more; never where nothing was promised.
    pub fn has_come(&self, percent: u8) -> bool {
        self.expected.is_some_and(|expected| {
            u128::from(self.received) * 100 >= u128::from(expected) * u128::from(percent)
        })
    }
}

impl Body {
    /// This body, which ends in an error unless it has so many bytes; as it is where none are promised.
    #[must_use]
    pub fn metered(self, expected: Option<u64>) -> Self {
        match (&self, expected) {
            (_, None) => self,
            (Self::Empty | Self::Full(_), Some(expected)) if self.exact_len() == Some(expected) => {
                self
            }
            (_, expected) => {
                Self::Stream(Box::pin(Metered { body: self, meter: Meter::new(expected) }))
            }
        }
    }
}

struct Metered {
    body: Body,
    meter: Meter,
}

impl HttpBody for Metered {
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
            assert!(Body::from("abc").metered(Some(expected)).collect(9).await.is_err());
        }
        for expected in [None, Some(3)] {
            assert_eq!(Body::from("abc").metered(expected).collect(9).await.unwrap().len(), 3);
        }
    }

    #[test]
    fn what_has_come_is_told_in_percent_of_what_was_promised() {
        let mut meter = Meter::new(Some(100));
        meter.add(49).unwrap();
        assert!(!meter.has_come(50));
        meter.add(1).unwrap();
        assert!(meter.has_come(50));
        assert!(!Meter::new(None).has_come(0));
    }
}
