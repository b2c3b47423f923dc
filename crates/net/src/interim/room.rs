//! Interim responses on the streams of HTTP/3 (RFC 9114 §4.1): the requests of a connection are
//! answered side by side, and each has room of its own for what is said before its answer.
//!
//! It waits here until the task of the request takes it and writes it. What is held is bounded for each
//! stream as for each request of HTTP/1.1. Most requests are answered at once and have nothing said
//! before: those use one room after the other, lock nothing and allocate nothing. Whose turn it is in
//! a room is counted, so that what is said to a request that has been answered reaches no other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use http::{HeaderMap, StatusCode};

use super::{Interim, LEFT_OUT, MAX_BYTES, To, encoded_len};

/// Interim responses as they were sent.
pub(crate) type Said = Vec<(StatusCode, HeaderMap)>;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// The number of the request that is unanswered, or will be next.
    turn: AtomicU64,
    /// Whether something was said. Whoever says something stores this and then looks whose turn it is;
    /// whoever ends a turn counts it and then looks at this: so one of the two sees the other, and
    /// nothing that was taken is left.
    spoken: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    said: Said,
    /// How many bytes the request has had.
    taken: usize,
    waker: Option<Waker>,
}

#[cfg_attr(not(feature = "server"), allow(dead_code, reason = "only listeners have streams"))]
impl Room {
    /// A request begins, and is unanswered until the guard ends. Only where none other is.
    pub(crate) fn begin(self: Arc<Self>) -> Unanswered {
        let turn = self.turn.load(Ordering::Relaxed);
        Unanswered { room: self, turn, waited: false, ended: false }
    }

    pub(super) fn take(&self, turn: u64, status: StatusCode, headers: &HeaderMap) -> bool {
        let mut state = self.lock();
        let before = self.spoken.swap(true, Ordering::SeqCst);
        let is_open = self.turn.load(Ordering::SeqCst) == turn;
        let bytes = encoded_len(status, headers);
        if !is_open || state.taken + bytes > MAX_BYTES {
            self.spoken.store(before, Ordering::SeqCst);
            return false;
        }
        state.taken += bytes;
        let mut headers = headers.clone();
        for name in LEFT_OUT {
            headers.remove(name);
        }
        state.said.push((status, headers));
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request whose answer is still to come; dropped, it takes nothing more.
#[derive(Debug)]
pub(crate) struct Unanswered {
    room: Arc<Room>,
    turn: u64,
    /// Whether its task may be waiting for what is said.
    waited: bool,
    ended: bool,
}

#[cfg_attr(not(feature = "server"), allow(dead_code, reason = "only listeners have streams"))]
impl Unanswered {
    /// The way to say something before the answer.
    pub(crate) fn interim(&self) -> Interim {
        Interim(To::Room(Arc::clone(&self.room), self.turn))
    }

    /// Ready with what was said and is to be written.
    pub(crate) fn poll_said(&mut self, cx: &Context<'_>) -> Poll<Said> {
        self.waited = true;
        let mut state = self.room.lock();
        if state.said.is_empty() {
            state.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(std::mem::take(&mut state.said))
    }

    /// The answer is there: gives what is to be written before it, and nothing more is taken.
    pub(crate) fn end(mut self) -> Said {
        self.leave()
    }

    /// Leaves the room as it was found, for the next.
    fn leave(&mut self) -> Said {
        if std::mem::replace(&mut self.ended, true) {
            return Said::new();
        }
        self.room.turn.store(self.turn + 1, Ordering::SeqCst);
        if !self.room.spoken.load(Ordering::SeqCst) && !self.waited {
            return Said::new();
        }
        let mut state = self.room.lock();
        self.room.spoken.store(false, Ordering::SeqCst);
        std::mem::take(&mut *state).said
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use http::{HeaderValue, header};

    fn link(text: &'static str) -> HeaderMap {
        let length = HeaderValue::from_static("5");
        let link = HeaderValue::from_static(text);
        [(header::LINK, link), (header::CONTENT_LENGTH, length)].into_iter().collect()
    }

    fn links(said: &Said) -> Vec<&str> {
        assert!(said.iter().all(|(_, all)| all.len() == 1), "a length is left out");
        said.iter().map(|(_, all)| all["link"].to_str().unwrap()).collect()
    }

    #[test]
    fn rfc_9110_15_2_a_request_has_what_is_said_until_it_is_answered() {
        let room = Arc::<Room>::default();
        let cx = Context::from_waker(Waker::noop());
        let mut one = Arc::clone(&room).begin();
        let to_one = one.interim();
        assert!(one.poll_said(&cx).is_pending());
        assert!(to_one.send(StatusCode::EARLY_HINTS, &link("a")));
        assert!(!to_one.send(StatusCode::CONTINUE, &link("b")));
        let Poll::Ready(said) = one.poll_said(&cx) else { unreachable!() };
        assert_eq!(links(&said), ["a"]);
        assert!(one.poll_said(&cx).is_pending());
        assert!(one.end().is_empty());
        assert!(!to_one.send(StatusCode::EARLY_HINTS, &link("c")), "too late");

        // The next in the same room hears what is said to it alone.
        let two = Arc::clone(&room).begin();
        assert!(!to_one.send(StatusCode::EARLY_HINTS, &link("d")), "another's turn");
        assert!(two.interim().send(StatusCode::EARLY_HINTS, &link("e")));
        assert!(!to_one.send(StatusCode::EARLY_HINTS, &link("f")), "another's turn");
        assert_eq!(links(&two.end()), ["e"]);
        assert!(room.lock().waker.is_none() && !room.spoken.load(Ordering::Relaxed));
    }

    #[test]
    fn what_is_held_is_bounded_and_goes_with_its_request() {
        let room = Arc::<Room>::default();
        for _ in 0..2 {
            let stream = Arc::clone(&room).begin();
            let to = stream.interim();
            let sent = (0..9999).filter(|_| to.send(StatusCode::PROCESSING, &link("a"))).count();
            assert!(sent > 10 && room.lock().taken <= MAX_BYTES);
            drop(stream);
            assert!(!to.send(StatusCode::PROCESSING, &link("a")));
            assert!(room.lock().said.is_empty() && room.lock().taken == 0);
        }
    }

    #[test]
    fn what_is_said_while_an_answer_comes_is_heard_or_refused_and_never_anothers() {
        let room = Arc::<Room>::default();
        let (say, said) = std::sync::mpsc::channel::<Interim>();
        let speaker = std::thread::spawn(move || {
            let ways = said.into_iter();
            ways.filter(|to| to.send(StatusCode::EARLY_HINTS, &HeaderMap::new())).count()
        });
        let mut heard = 0;
        for _ in 0..20_000 {
            let stream = Arc::clone(&room).begin();
            say.send(stream.interim()).unwrap();
            heard += stream.end().len();
        }
        drop(say);
        assert_eq!(speaker.join().unwrap(), heard);
        assert!(room.lock().said.is_empty());
    }
}
