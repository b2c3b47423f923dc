//! What answers without waiting, asked as if it could.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// What comes of a future that is ready when it is first polled.
///
/// # Panics
/// Where it waits for something.
pub(crate) fn at_once<F: Future>(future: F) -> F::Output {
    let Poll::Ready(output) = pin!(future).poll(&mut Context::from_waker(Waker::noop())) else {
        unreachable!("it has nothing to wait for");
    };
    output
}
