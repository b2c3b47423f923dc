//! Interim responses on the streams of one HTTP/3 connection (RFC 9114 §4.1): its requests are
//! answered side by side, and each has its own.
//!
//! They wait here until the task of their request takes them and writes them before its answer. What
//! is held is bounded for each stream as for each request of HTTP/1.1, and by the streams that are
//! unanswered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use http::{HeaderMap, StatusCode};

use super::{Interim, LEFT_OUT, MAX_BYTES, To, encoded_len};

/// Interim responses as they were sent.
pub(crate) type Said = Vec<(StatusCode, HeaderMap)>;

/// See the module. A list, since there are few at a time, and none is looked for but by who has one.
#[derive(Debug, Default)]
pub(crate) struct Streams(Mutex<Vec<Open>>);

/// A stream whose answer is still to come.
#[derive(Debug)]
struct Open {
    stream: u64,
    said: Said,
    /// How many bytes it has had.
    taken: usize,
    waker: Option<Waker>,
}

#[cfg_attr(not(feature = "server"), allow(dead_code, reason = "only listeners have streams"))]
impl Streams {
    /// A request begins on a stream, and is unanswered until the guard ends.
    pub(crate) fn begin(self: &Arc<Self>, stream: u64) -> Unanswered<'_> {
        self.lock().push(Open { stream, said: Said::new(), taken: 0, waker: None });
        Unanswered { streams: self, stream }
    }

    pub(super) fn take(&self, stream: u64, status: StatusCode, headers: &HeaderMap) -> bool {
        let mut streams = self.lock();
        let Some(open) = streams.iter_mut().find(|open| open.stream == stream) else {
            return false;
        };
        let bytes = encoded_len(status, headers);
        if open.taken + bytes > MAX_BYTES {
            return false;
        }
        open.taken += bytes;
        let mut headers = headers.clone();
        for name in LEFT_OUT {
            headers.remove(name);
        }
        open.said.push((status, headers));
        let waker = open.waker.take();
        drop(streams);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request whose answer is still to come; dropped, it takes nothing more.
#[derive(Debug)]
pub(crate) struct Unanswered<'a> {
    streams: &'a Arc<Streams>,
    stream: u64,
}

#[cfg_attr(not(feature = "server"), allow(dead_code, reason = "only listeners have streams"))]
impl Unanswered<'_> {
    /// The way to say something before the answer.
    pub(crate) fn interim(&self) -> Interim {
        Interim(To::Stream(Arc::clone(self.streams), self.stream))
    }

    /// Ready with what was said and is to be written.
    pub(crate) fn poll_said(&self, cx: &Context<'_>) -> Poll<Said> {
        let mut streams = self.streams.lock();
        let Some(open) = streams.iter_mut().find(|open| open.stream == self.stream) else {
            return Poll::Pending;
        };
        if open.said.is_empty() {
            open.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(std::mem::take(&mut open.said))
    }

    /// The answer is there: gives what is to be written before it, and nothing more is taken.
    pub(crate) fn end(self) -> Said {
        self.remove()
    }

    fn remove(&self) -> Said {
        let mut streams = self.streams.lock();
        let at = streams.iter().position(|open| open.stream == self.stream);
        at.map(|at| streams.swap_remove(at).said).unwrap_or_default()
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        self.remove();
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
    fn rfc_9110_15_2_each_stream_has_its_own_until_it_is_answered() {
        let streams = Arc::<Streams>::default();
        let cx = Context::from_waker(Waker::noop());
        let (one, two) = (streams.begin(0), streams.begin(4));
        let (to_one, to_two) = (one.interim(), two.interim());
        assert!(one.poll_said(&cx).is_pending());
        assert!(to_one.send(StatusCode::EARLY_HINTS, &link("a")));
        assert!(to_two.send(StatusCode::EARLY_HINTS, &link("b")));
        assert!(!to_two.send(StatusCode::CONTINUE, &link("c")));
        let Poll::Ready(said) = one.poll_said(&cx) else { unreachable!() };
        assert_eq!(links(&said), ["a"]);
        assert!(one.poll_said(&cx).is_pending());
        assert!(one.end().is_empty());
        assert!(!to_one.send(StatusCode::EARLY_HINTS, &link("d")), "too late");
        assert!(to_two.send(StatusCode::EARLY_HINTS, &link("e")));
        assert_eq!(links(&two.end()), ["b", "e"]);
        assert!(streams.lock().is_empty());
    }

    #[test]
    fn what_is_held_is_bounded_and_goes_with_its_request() {
        let streams = Arc::<Streams>::default();
        let stream = streams.begin(0);
        let sent = (0..9999).filter(|_| stream.interim().send(StatusCode::PROCESSING, &link("a")));
        let sent = sent.count();
        assert!(sent > 10 && streams.lock()[0].taken <= MAX_BYTES);
        let gone = stream.interim();
        drop(stream);
        assert!(!gone.send(StatusCode::PROCESSING, &link("a")));
        assert!(streams.lock().is_empty());
    }
}
