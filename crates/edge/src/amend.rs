//! The future of a layer that passes the request on and adds to the fields of the answer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, Response};
use pin_project_lite::pin_project;

/// What a layer does to the fields of an answer once that is there.
pub trait Amend {
    /// Does it.
    fn amend(self, headers: &mut HeaderMap);
}

pin_project! {
    /// The answer of the inner service, with what a layer adds to its fields.
    #[derive(Debug)]
    pub struct Amended<F, A> {
        #[pin]
        inner: F,
        by: Option<A>,
    }
}

impl<F, A> Amended<F, A> {
    pub(crate) const fn new(inner: F, by: Option<A>) -> Self {
        Self { inner, by }
    }
}

impl<F, A, B, E> Future for Amended<F, A>
where
    F: Future<Output = Result<Response<B>, E>>,
    A: Amend,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut answer = ready!(this.inner.poll(cx));
        if let (Ok(response), Some(by)) = (&mut answer, this.by.take()) {
            by.amend(response.headers_mut());
        }
        Poll::Ready(answer)
    }
}
