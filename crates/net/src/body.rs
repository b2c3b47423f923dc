//! The one body type of Headwater.
//!
//! A [`Body`] is empty, complete in memory (its exact size is known), or a stream that carries
//! backpressure. A body whose source failed ends in an error: it never looks complete.

mod chunks;
mod end;
mod meter;

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

pub use chunks::Chunks;
pub use end::End;
pub use meter::Meter;

/// A request's or a response's body.
#[derive(Default)]
pub enum Body {
    /// No bytes at all.
    #[default]
    Empty,
    /// All bytes are in memory.
    Full(Chunks),
    /// Bytes that arrive as they are polled for.
    Stream(BoxBody),
}

/// A boxed stream of frames: the third kind of [`Body`].
pub type BoxBody = Pin<Box<dyn HttpBody<Data = Bytes, Error = BodyError> + Send>>;

/// Why a body ended before its end.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The source ended early: fewer bytes came than its length promised.
    #[error("the body ended after {received} of {expected} bytes")]
    Truncated {
        /// Bytes promised.
        expected: u64,
        /// Bytes that came.
        received: u64,
    },
    /// The source failed or was reset.
    #[error("the body's source failed: {0}")]
    Source(std::sync::Arc<str>),
    /// The source sent nothing for too long.
    #[error("the body's source was silent for too long")]
    TimedOut,
    /// The source brought fewer bytes than this side waits for.
    #[error("the body came too slowly")]
    TooSlow,
    /// More bytes came than this side takes.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// Bytes allowed.
        limit: u64,
    },
    /// The body was given up on this side: shut down, or its reader was too slow.
    #[error("the body was aborted")]
    Aborted,
}

impl BodyError {
    /// A failure of the source, described by `cause`.
    pub fn source(cause: impl std::fmt::Display) -> Self {
        Self::Source(cause.to_string().into())
    }
}

impl Body {
    /// A body without bytes.
    pub const fn empty() -> Self {
        Self::Empty
    }

    /// A body that streams from `inner`, whose errors become [`BodyError::Source`] unless they are
    /// a [`BodyError`] already.
    pub fn stream<B>(inner: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Self::Stream(Box::pin(Adapted(Box::pin(inner))))
    }

    /// The number of data bytes still to come, where it is known.
    pub fn exact_len(&self) -> Option<u64> {
        self.size_hint().exact()
    }

    /// Reads the whole body into memory, at most `limit` bytes of it.
    ///
    /// # Errors
    /// [`CollectError::TooLarge`] as soon as more than `limit` bytes have come, or
    /// [`CollectError::Body`] when the body fails.
    pub async fn collect(mut self, limit: u64) -> Result<Chunks, CollectError> {
        match self {
            Self::Empty => Ok(Chunks::default()),
            Self::Full(chunks) if chunks.len() > limit => Err(CollectError::TooLarge),
            Self::Full(chunks) => Ok(chunks),
            Self::Stream(_) => {
                let mut all = Vec::new();
                let mut len = 0u64;
                while let Some(frame) =
                    std::future::poll_fn(|cx| Pin::new(&mut self).poll_frame(cx)).await
                {
                    if let Ok(data) = frame?.into_data()
                        && !data.is_empty()
                    {
                        len = len.saturating_add(data.len() as u64);
                        if len > limit {
                            return Err(CollectError::TooLarge);
                        }
                        all.push(data);
                    }
                }
                Ok(Chunks::from(all))
            }
        }
    }
}

/// Why [`Body::collect`] gave no bytes.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CollectError {
    /// The body is larger than the limit.
    #[error("the body is larger than allowed")]
    TooLarge,
    /// The body failed.
    #[error(transparent)]
    Body(#[from] BodyError),
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Full(chunks) => Poll::Ready(chunks.next().map(|data| Ok(Frame::data(data)))),
            Self::Stream(inner) => inner.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(chunks) => chunks.is_empty(),
            Self::Stream(inner) => inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(chunks) => SizeHint::with_exact(chunks.len()),
            Self::Stream(inner) => inner.size_hint(),
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("Body::Empty"),
            Self::Full(chunks) => write!(f, "Body::Full({} bytes)", chunks.len()),
            Self::Stream(inner) => write!(f, "Body::Stream({:?})", inner.size_hint()),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::from(Chunks::from(bytes))
    }
}

impl From<Chunks> for Body {
    fn from(chunks: Chunks) -> Self {
        if chunks.is_empty() { Self::Empty } else { Self::Full(chunks) }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(Bytes::from(bytes))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::from(Bytes::from(text))
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::from(Bytes::from_static(text.as_bytes()))
    }
}

/// Turns the error of any body into a [`BodyError`].
struct Adapted<B>(Pin<Box<B>>);

impl<B> HttpBody for Adapted<B>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.as_mut().poll_frame(cx).map_err(|error| {
            let error = error.into();
            match error.downcast::<BodyError>() {
                Ok(error) => *error,
                Err(other) => BodyError::source(other),
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    struct Failing(u8);

    impl HttpBody for Failing {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
            self.0 += 1;
            Poll::Ready(Some(match self.0 {
                1 => Ok(Frame::data(Bytes::from_static(b"half"))),
                _ => Err(std::io::Error::other("reset")),
            }))
        }
    }

    #[tokio::test]
    async fn what_becomes_of_a_body_is_told_once() {
        use std::sync::{Arc, Mutex};
        let ends = Arc::new(Mutex::new(Vec::new()));
        let watch = |body: Body| {
            let ends = Arc::clone(&ends);
            body.on_end(move |end| {
                ends.lock().unwrap().push(match end {
                    End::Whole => "whole",
                    End::Failed(_) => "failed",
                    End::GivenUp => "given up",
                });
            })
        };
        let ends = || std::mem::take(&mut *ends.lock().unwrap());
        drop(watch(Body::from("in memory")));
        assert_eq!(ends(), ["whole"]);
        let stream = || Body::stream(http_body_util::Full::new(Bytes::from_static(b"a stream")));
        assert!(watch(stream()).collect(100).await.is_ok());
        assert_eq!(ends(), ["whole"]);
        drop(watch(stream()));
        assert_eq!(ends(), ["given up"]);
        assert!(watch(Body::stream(Failing(0))).collect(100).await.is_err());
        assert_eq!(ends(), ["failed"]);
    }

    #[tokio::test]
    async fn a_failed_source_is_an_error_not_an_end() {
        let error = Body::stream(Failing(0)).collect(100).await.unwrap_err();
        assert!(matches!(error, CollectError::Body(BodyError::Source(_))), "{error:?}");
    }

    #[tokio::test]
    async fn collect_stops_at_its_limit() {
        assert!(matches!(Body::from("12345").collect(4).await, Err(CollectError::TooLarge)));
        assert_eq!(Body::from("1234").collect(4).await.unwrap().to_bytes(), "1234");
    }

    #[test]
    fn an_empty_chunk_list_is_the_empty_body() {
        assert!(matches!(Body::from(String::new()), Body::Empty));
        assert_eq!(Body::from("abc").exact_len(), Some(3));
    }
}
