//! The future of a layer that either answers itself or passes the request on.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_cache::BoxError;
use headwater_net::{Body, Problem};
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Body as HttpBody;
use pin_project_lite::pin_project;

use crate::refusals::RefusedBy;
use crate::watch::into_body;

/// Refuses a method, and names those that are taken (RFC 9110 §15.5.6).
pub(crate) fn wrong_method(allowed: HeaderValue) -> Response<Body> {
    let mut response = Problem::new(StatusCode::METHOD_NOT_ALLOWED).into_response();
    response.headers_mut().insert(header::ALLOW, allowed);
    RefusedBy::Methods.mark(&mut response);
    response
}

pin_project! {
    /// An answer that is there, or that of the inner service.
    #[derive(Debug)]
    pub struct Answer<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = Projected]
    #[derive(Debug)]
    enum State<F> {
        Inner { #[pin] inner: F },
        Ready { response: Option<Box<Response<Body>>> },
    }
}

impl<F> Answer<F> {
    pub(crate) const fn of(inner: F) -> Self {
        Self { state: State::Inner { inner } }
    }

    /// Refusals are rare: boxed, they do not make the future of every other request larger.
    pub(crate) fn ready(response: Response<Body>) -> Self {
        Self { state: State::Ready { response: Some(Box::new(response)) } }
    }

    /// An answer that says who refuses.
    pub(crate) fn refused(by: RefusedBy, mut response: Response<Body>) -> Self {
        by.mark(&mut response);
        Self::ready(response)
    }
}

impl<F, B, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            Projected::Inner { inner } => inner.poll(cx).map_ok(into_body),
            Projected::Ready { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(*response)),
                // Polled after its end, which a future may answer by waiting for ever.
                None => Poll::Pending,
            },
        }
    }
}
