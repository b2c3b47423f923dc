//! What becomes of a body: told once, to whoever has to know.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::{Body, BodyError};

/// What became of a body.
#[derive(Clone, Debug)]
pub enum End {
    /// All of it came.
    Whole,
    /// It broke off.
    Failed(BodyError),
    /// Whoever read it let it go before its end.
    GivenUp,
}

impl Body {
    /// Has `told` called once with what became of this body: at once where all of it is in memory,
    /// else with its last byte, its error, or when it is dropped.
    #[must_use]
    pub fn on_end(self, told: impl FnOnce(End) + Send + 'static) -> Self {
        match self {
            body @ (Self::Empty | Self::Full(_)) => {
                told(End::Whole);
                body
            }
            inner @ Self::Stream(_) => Self::Stream(Box::pin(Told { inner, told: Some(told) })),
        }
    }
}

struct Told<F: FnOnce(End)> {
    inner: Body,
    told: Option<F>,
}

impl<F: FnOnce(End)> Told<F> {
    fn tell(&mut self, end: End) {
        if let Some(told) = self.told.take() {
            told(end);
        }
    }
}

impl<F: FnOnce(End)> Drop for Told<F> {
    fn drop(&mut self) {
        self.tell(End::GivenUp);
    }
}

// Nothing of it is pinned: the inner body is boxed.
impl<F: FnOnce(End)> Unpin for Told<F> {}

impl<F: FnOnce(End)> HttpBody for Told<F> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &polled {
            Some(Err(error)) => self.tell(End::Failed(error.clone())),
            None => self.tell(End::Whole),
            // Who knows the length never asks for the end, and may keep the body for long.
            Some(Ok(_)) if self.inner.is_end_stream() => self.tell(End::Whole),
            Some(Ok(_)) => {}
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
