//! The service of a worker, which all of its connections call.
//!
//! A service may be large: an edge is a tower of layers, each with its rules. So one that is ready is
//! called where it is, and not cloned for the request. One that is not is what its request waits with,
//! and another takes its place. All calls are made by one thread: nobody waits for the lock. While a service is called
//! or polled, time [stands still](crate::clock::stand_still) for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_service::Service;

use crate::clock::stand_still;

/// A service that is called by many.
pub(super) struct Shared<S>(Arc<Mutex<Both<S>>>);

struct Both<S> {
    /// Was never called: others are clones of it.
    made: S,
    called: S,
}

impl<S> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Clone> Shared<S> {
    pub(super) fn new(made: S) -> Self {
        Self(Arc::new(Mutex::new(Both { called: made.clone(), made })))
    }

    /// Calls the service once it is polled.
    pub(super) fn call<R>(&self, request: R) -> Called<S, R>
    where
        S: Service<R>,
    {
        Called::Begins { shared: self.clone(), request: Some(request) }
    }

    fn lock(&self) -> MutexGuard<'_, Both<S>> {
        self.0.lock().unwrap_or_else(|poisoned| {
            // A call panicked, and who knows in which state it left the service.
            let mut both = poisoned.into_inner();
            both.called = both.made.clone();
            self.0.clear_poison();
            both
        })
    }
}

pin_project! {
    /// The answer of a service. Where that is not ready, it is boxed: that is rare.
    #[project = Projected]
    pub(super) enum Called<S, R>
    where
        S: Service<R>,
    {
        Begins { shared: Shared<S>, request: Option<R> },
        Begun { #[pin] answer: S::Future },
        Waits { waits: Pin<Box<Waits<S, R>>> },
    }
}

pin_project! {
    /// A request with the service that it waits for.
    pub(super) struct Waits<S, R>
    where
        S: Service<R>,
    {
        service: S,
        request: Option<R>,
        #[pin]
        answer: Option<S::Future>,
    }
}

impl<S: Service<R> + Clone, R> Future for Called<S, R> {
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        stand_still(|| self.look(cx))
    }
}

impl<S: Service<R> + Clone, R> Called<S, R> {
    fn look(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<S::Response, S::Error>> {
        loop {
            let next = match self.as_mut().project() {
                Projected::Begins { shared, request } => {
                    let mut both = shared.lock();
                    let is_ready = both.called.poll_ready(cx)?.is_ready();
                    let Some(request) = request.take() else { return Poll::Pending };
                    if is_ready {
                        Self::Begun { answer: both.called.call(request) }
                    } else {
                        let another = both.made.clone();
                        let service = std::mem::replace(&mut both.called, another);
                        let request = Some(request);
                        Self::Waits { waits: Box::pin(Waits { service, request, answer: None }) }
                    }
                }
                Projected::Begun { answer } => return answer.poll(cx),
                Projected::Waits { waits } => return waits.as_mut().poll(cx),
            };
            self.set(next);
        }
    }
}

impl<S: Service<R>, R> Future for Waits<S, R> {
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.request.is_some() {
            ready!(this.service.poll_ready(cx))?;
            if let Some(request) = this.request.take() {
                this.answer.set(Some(this.service.call(request)));
            }
        }
        match this.answer.as_pin_mut() {
            Some(answer) => answer.poll(cx),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]
    use super::*;
    use std::convert::Infallible;
    use std::future::{Ready, ready};
    use std::pin::pin;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::task::Waker;

    use crate::clock::{Clock, Timestamp};

    /// Counts its clones; is ready once it is told so, and panics when asked to.
    struct Odd {
        clones: Arc<AtomicUsize>,
        ready: Arc<AtomicBool>,
        broken: bool,
    }

    impl Clone for Odd {
        fn clone(&self) -> Self {
            self.clones.fetch_add(1, Ordering::Relaxed);
            Self { clones: Arc::clone(&self.clones), ready: Arc::clone(&self.ready), ..*self }
        }
    }

    impl Service<bool> for Odd {
        type Response = bool;
        type Error = Infallible;
        type Future = Ready<Result<bool, Infallible>>;

        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            if self.ready.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }

        fn call(&mut self, panics: bool) -> Self::Future {
            let is_whole = !self.broken;
            self.broken = true;
            assert!(!panics, "as asked for");
            self.broken = false;
            ready(Ok(is_whole))
        }
    }

    fn odd(is_ready: bool) -> Odd {
        let ready = Arc::new(AtomicBool::new(is_ready));
        Odd { clones: Arc::default(), ready, broken: false }
    }

    fn poll(called: &mut Pin<Box<Called<Odd, bool>>>) -> Poll<Result<bool, Infallible>> {
        called.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_service_that_is_ready_is_not_cloned_for_a_request() {
        let odd = odd(true);
        let clones = Arc::clone(&odd.clones);
        let shared = Shared::new(odd);
        let before = clones.load(Ordering::Relaxed);
        for _ in 0..3 {
            assert_eq!(poll(&mut Box::pin(shared.clone().call(false))), Poll::Ready(Ok(true)));
        }
        assert_eq!(clones.load(Ordering::Relaxed), before);
    }

    #[test]
    fn a_request_waits_until_its_service_is_ready() {
        let odd = odd(false);
        let ready = Arc::clone(&odd.ready);
        let shared = Shared::new(odd);
        let mut waits = Box::pin(shared.call(false));
        assert_eq!(poll(&mut waits), Poll::Pending);
        ready.store(true, Ordering::Relaxed);
        assert_eq!(poll(&mut Box::pin(shared.call(false))), Poll::Ready(Ok(true)));
        assert_eq!(poll(&mut waits), Poll::Ready(Ok(true)));
    }

    /// Asks for the time twice, with a wait between.
    #[derive(Clone)]
    struct Asks;

    impl Service<()> for Asks {
        type Response = [Timestamp; 2];
        type Error = Infallible;
        type Future = Ready<Result<[Timestamp; 2], Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, (): ()) -> Self::Future {
            let first = Clock::system().now();
            std::thread::sleep(std::time::Duration::from_millis(3));
            ready(Ok([first, Clock::system().now()]))
        }
    }

    #[test]
    fn a_service_hears_one_time_for_one_look_at_a_request() {
        let shared = Shared::new(Asks);
        let ask = || match pin!(shared.call(())).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok([first, second])) => {
                assert_eq!(first, second);
                first
            }
            Poll::Pending => panic!("it is ready"),
        };
        assert!(ask() < ask(), "and another for the next");
    }

    #[test]
    fn a_service_that_panicked_is_called_no_more() {
        let shared = Shared::new(odd(true));
        let panics = std::panic::AssertUnwindSafe(|| poll(&mut Box::pin(shared.call(true))));
        assert!(std::panic::catch_unwind(panics).is_err());
        assert_eq!(poll(&mut Box::pin(shared.call(false))), Poll::Ready(Ok(true)));
    }
}
