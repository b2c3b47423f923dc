//! Interim responses (RFC 9110 §15.2): what a client is told before the final answer, such as 103
//! with links to what it will need (RFC 8297).
//!
//! A service sends them by the [`Interim`] that it finds in the request's
//! [`ConnInfo`](crate::ConnInfo::interim); an upstream client of this crate passes on what its
//! upstream sends. Clients of HTTP/1.1 and HTTP/3 have one. Those of HTTP/2 have none: h2 can send
//! interim responses (0.4.20), but hyper, which has the stream, does not (1.12). And an HTTP/1.0
//! client would not know what to make of them.
//!
//! hyper's HTTP/1.1 server cannot send them either. So they go round it: what is to be sent lies in
//! a [`Line`] beside the connection until hyper flushes, which it does with nothing of its own left
//! to be written; and the final answer is held back until then. On HTTP/3, the task of the request
//! writes them on its stream. What is said too late, too much of, or to nobody is dropped.

mod many;
mod room;

use std::fmt;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use http::{HeaderMap, StatusCode, header};

pub use many::Interims;
#[cfg_attr(
    not(feature = "server"),
    allow(unused_imports, reason = "only listeners have streams")
)]
pub(crate) use room::{Room, Said};

/// The most that is sent in interim responses to one request, in bytes.
const MAX_BYTES: usize = 16 << 10;
/// Fields about one connection, and those that frame a body.
const LEFT_OUT: [http::HeaderName; 7] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    http::HeaderName::from_static("keep-alive"),
];

/// Sends interim responses to the client of one request. Clones are the same; none keeps anything
/// alive but itself.
#[derive(Clone)]
pub struct Interim(To);

#[derive(Clone)]
enum To {
    /// The connection of a client of HTTP/1.1, and the number of its request there.
    Line(Arc<Line>, u64),
    /// The room of a request of HTTP/3, and the number of the request there.
    Room(Arc<Room>, u64),
    /// All who wait for one answer.
    Many(Interims),
}

impl Interim {
    /// Sends one, and says whether it is on its way: the request has not been answered yet, the
    /// status is an interim one, and there is room. 100 and 101 are not sent: they speak of the
    /// connection to the client alone, and the server sends them itself. Fields of one connection
    /// and those that frame a body are left out. Waits for nothing.
    pub fn send(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        is_sent(status)
            && match &self.0 {
                To::Line(line, request) => line.take(*request, status, headers),
                To::Room(room, turn) => room.take(*turn, status, headers),
                To::Many(many) => many.take(status, headers),
            }
    }
}

impl fmt::Debug for Interim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interim").finish_non_exhaustive()
    }
}

/// The interim responses of one HTTP/1.1 connection: those of one request at a time.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// Whether there are bytes to be written: all that a flush without any looks at.
    waiting: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the request that is being answered.
    request: u64,
    /// Whether its final answer is still to come.
    open: bool,
    bytes: Vec<u8>,
    /// How many of `bytes` are written.
    written: usize,
    /// How many bytes this request has had.
    taken: usize,
    waker: Option<Waker>,
}

#[cfg_attr(not(feature = "server"), allow(dead_code, reason = "only listeners have lines"))]
impl Line {
    /// A request begins.
    pub(crate) fn begin(self: &Arc<Self>) -> Interim {
        let mut state = self.lock();
        state.request += 1;
        state.open = true;
        state.taken = 0;
        let request = state.request;
        drop(state);
        Interim(To::Line(Arc::clone(self), request))
    }

    fn take(&self, request: u64, status: StatusCode, headers: &HeaderMap) -> bool {
        let mut state = self.lock();
        if !state.open || state.request != request {
            return false;
        }
        let bytes = encode(status, headers);
        if state.taken + bytes.len() > MAX_BYTES {
            return false;
        }
        state.taken += bytes.len();
        state.bytes.extend_from_slice(&bytes);
        self.waiting.store(true, Ordering::Release);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
        true
    }

    /// Has the connection polled when something is sent: its answer is not there yet.
    pub(crate) fn wait(&self, cx: &Context<'_>) {
        let mut state = self.lock();
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
    }

    /// The final answer is there: nothing more is taken. Pending until what was taken is written.
    pub(crate) fn end(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        state.open = false;
        if state.bytes.is_empty() {
            state.waker = None;
            return Poll::Ready(());
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Writes what waits. Only to be called where nothing else is half written.
    pub(crate) fn poll_write(
        &self,
        mut write: impl FnMut(&[u8]) -> Poll<std::io::Result<usize>>,
    ) -> Poll<std::io::Result<()>> {
        if !self.waiting.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        let mut state = self.lock();
        while state.written < state.bytes.len() {
            match std::task::ready!(write(&state.bytes[state.written..]))? {
                0 => return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into())),
                written => state.written += written,
            }
        }
        state.bytes = Vec::new();
        state.written = 0;
        self.waiting.store(false, Ordering::Release);
        if !state.open
            && let Some(waker) = state.waker.take()
        {
            waker.wake();
        }
        Poll::Ready(Ok(()))
    }

    /// Whether an interim response is half written: nothing else may be written now.
    pub(crate) fn is_under_way(&self) -> bool {
        self.waiting.load(Ordering::Acquire) && self.lock().written > 0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a status is one that a service may send before its answer.
fn is_sent(status: StatusCode) -> bool {
    status.is_informational() && status.as_u16() >= 102
}

/// What an interim response takes on the wire, roughly and at least.
fn encoded_len(status: StatusCode, headers: &HeaderMap) -> usize {
    let reason = status.canonical_reason().unwrap_or_default();
    let fields = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    "HTTP/1.1 103 \r\n\r\n".len() + reason.len() + fields.sum::<usize>()
}

/// The head of a response, which is all of an interim one (RFC 9112 §2.1). Header values hold no
/// line breaks.
fn encode(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let mut head = Vec::with_capacity(256);
    let reason = status.canonical_reason().unwrap_or_default();
    // Writing to a vector does not fail.
    let _ = write!(head, "HTTP/1.1 {} {reason}\r\n", status.as_str());
    for (name, value) in headers.iter().filter(|(name, _)| !LEFT_OUT.contains(name)) {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use http::HeaderValue;

    fn early_hints() -> HeaderMap {
        let link = HeaderValue::from_static("</a.m4s>; rel=preload");
        let length = HeaderValue::from_static("5");
        [(header::LINK, link), (header::CONTENT_LENGTH, length)].into_iter().collect()
    }

    fn written(line: &Line, most: usize) -> (String, bool) {
        let mut all = Vec::new();
        let done = line.poll_write(|bytes| {
            if all.len() >= most {
                return Poll::Pending;
            }
            let len = bytes.len().min(most - all.len());
            all.extend_from_slice(&bytes[..len]);
            Poll::Ready(Ok(len))
        });
        (String::from_utf8(all).unwrap(), done.is_ready())
    }

    #[test]
    fn rfc_9110_15_2_interim_responses_leave_before_the_answer_and_never_after() {
        let line = Arc::<Line>::default();
        let cx = Context::from_waker(Waker::noop());
        let interim = line.begin();
        assert!(interim.send(StatusCode::EARLY_HINTS, &early_hints()));
        assert!(line.end(&cx).is_pending(), "the answer waits");
        assert!(!interim.send(StatusCode::EARLY_HINTS, &early_hints()), "too late");
        let head = "HTTP/1.1 103 Early Hints\r\nlink: </a.m4s>; rel=preload\r\n\r\n";
        assert_eq!(written(&line, 9), ("HTTP/1.1 ".to_owned(), false));
        assert!(line.is_under_way());
        assert_eq!(written(&line, 999), (head[9..].to_owned(), true));
        assert!(!line.is_under_way() && line.end(&cx).is_ready());
        let next = line.begin();
        assert!(!interim.send(StatusCode::EARLY_HINTS, &early_hints()), "another's turn");
        assert!(next.send(StatusCode::PROCESSING, &HeaderMap::new()));
        assert_eq!(written(&line, 999).0, "HTTP/1.1 102 Processing\r\n\r\n");
    }

    #[test]
    fn what_is_no_interim_response_or_too_much_is_dropped() {
        let line = Arc::<Line>::default();
        let interim = line.begin();
        for status in [100, 101, 200, 404] {
            assert!(!interim.send(StatusCode::from_u16(status).unwrap(), &HeaderMap::new()));
        }
        let sent = (0..9999).filter(|_| interim.send(StatusCode::PROCESSING, &early_hints()));
        let sent = sent.count();
        assert!(sent > 10 && line.lock().bytes.len() <= MAX_BYTES);
        written(&line, 1 << 20);
        assert!(!interim.send(StatusCode::PROCESSING, &early_hints()), "written or not");
    }
}
