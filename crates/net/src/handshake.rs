//! Waiting for a handshake that is still under way while requests are answered already (RFC 8446
//! §2.3, 0-RTT).

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// The requests of one connection that may wait at a time; more than it may have streams.
const MAX_WAITING: usize = 16_384;

/// A handshake that is under way, as its requests see it. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handshake(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Whether it was done, once it has ended.
    ended: Option<bool>,
    waiting: Vec<Waker>,
}

impl Handshake {
    /// Waits for its end: `true` when it was done, `false` when it failed.
    pub(crate) async fn done(self) -> bool {
        let mut told: Option<Waker> = None;
        poll_fn(|cx| {
            let mut state = self.lock();
            if let Some(done) = state.ended {
                return Poll::Ready(done);
            }
            if !told.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                if state.waiting.len() >= MAX_WAITING {
                    return Poll::Ready(false);
                }
                state.waiting.push(cx.waker().clone());
                told = Some(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}

impl Handshake {
    /// Whether it was done.
    #[cfg_attr(
        not(any(feature = "server", feature = "client")),
        allow(dead_code, reason = "listeners and clients ask")
    )]
    pub(crate) fn is_done(&self) -> bool {
        self.lock().ended == Some(true)
    }

    /// Ends it; what is said first counts.
    #[cfg_attr(not(feature = "server"), allow(dead_code, reason = "only listeners shake hands"))]
    pub(crate) fn end(&self, done: bool) {
        let mut state = self.lock();
        state.ended.get_or_insert(done);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_who_wait_are_told_once_and_for_good() {
        for outcome in [true, false] {
            let handshake = Handshake::default();
            let waiting = [handshake.clone().done(), handshake.clone().done()];
            let ending = async { handshake.end(outcome) };
            let (both, ()) = tokio::join!(futures_util::future::join_all(waiting), ending);
            assert_eq!(both, [outcome, outcome]);
            handshake.end(!outcome);
            assert_eq!(handshake.clone().done().await, outcome);
            assert_eq!(handshake.is_done(), outcome);
        }
    }
}
