//! Calling a tower service once: wait until it is ready, then call it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_service::Service;

pin_project! {
    /// A call of a service that is owned by the call.
    pub(super) struct Oneshot<S, R>
    where
        S: Service<R>,
    {
        service: S,
        request: Option<R>,
        #[pin]
        called: Option<S::Future>,
    }
}

impl<S: Service<R>, R> Oneshot<S, R> {
    pub(super) const fn new(service: S, request: R) -> Self {
        Self { service, request: Some(request), called: None }
    }
}

impl<S: Service<R>, R> Future for Oneshot<S, R> {
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.request.is_some() {
            ready!(this.service.poll_ready(cx))?;
            if let Some(request) = this.request.take() {
                this.called.set(Some(this.service.call(request)));
            }
        }
        match this.called.as_pin_mut() {
            Some(called) => called.poll(cx),
            None => Poll::Pending,
        }
    }
}
