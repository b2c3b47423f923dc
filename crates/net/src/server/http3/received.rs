//! A request's body as it arrives on its stream, held to its `Content-Length` (RFC 9114 §4.1.2), and
//! its trailers.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::connection::Conn;
use super::framing::code::{Code, Wrong};
use super::framing::frames::Event;
use super::framing::head::{self, Refused};
use super::stream::{Incoming, Trouble};
use crate::server::limited::Limited;
use crate::server::respond::Length;
use crate::{Body, BodyError};

type Polled = Option<Result<Frame<Bytes>, BodyError>>;

/// The error of its stream that a request's body turns out to be (RFC 9114 §4.1.2), if it does.
pub(super) type Broken = Arc<OnceLock<Code>>;

/// The body of the request on a stream, [`Body::Empty`] where that has ended already; and else what is wrong with
/// it, as soon as that is known. Closes the connection for what breaks its rules.
///
/// # Errors
/// What is wrong with what came so far.
pub(super) fn body(
    incoming: Incoming,
    conn: &Arc<Conn>,
    promised: Option<u64>,
) -> Result<(Body, Option<Broken>), Code> {
    let mut reader = Reader {
        incoming,
        conn: Arc::clone(conn),
        length: Length::new(promised),
        trailers: None,
        wrong: None,
        ended: false,
    };
    // Look once, without waiting: the end mostly comes in the packet of the headers. Whoever
    // reads the body polls again.
    let first = match reader.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(None) => return Ok((Body::Empty, None)),
        Poll::Ready(first) => Some(first),
        Poll::Pending => None,
    };
    if let Some(code) = reader.wrong {
        return Err(code);
    }
    let broken = Broken::default();
    let received = Received { reader, first, broken: Arc::clone(&broken) };
    let body = Body::Stream(Box::pin(Limited::new(received, &conn.worker.limits)));
    Ok((body, Some(broken)))
}

/// Reads a body from its stream.
struct Reader {
    incoming: Incoming,
    conn: Arc<Conn>,
    length: Length,
    trailers: Option<HeaderMap>,
    wrong: Option<Code>,
    ended: bool,
}

impl Reader {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Polled> {
        if self.ended {
            return Poll::Ready(None);
        }
        let polled = match ready!(self.poll_next(cx)) {
            Ok(Some(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
            Ok(None) => self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))),
            Err(error) => Some(Err(error)),
        };
        self.ended = true;
        Poll::Ready(polled)
    }

    /// The next data, `None` at the end. Trailers are kept until then: what may still be wrong
    /// comes first.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        loop {
            let wrong = match ready!(self.incoming.poll_next(cx)) {
                Ok(Some(Event::Data(data))) => {
                    let counted = self.length.add(data.len());
                    return Poll::Ready(self.unless_malformed(counted).map(|()| Some(data)));
                }
                Ok(Some(Event::Section(section))) => {
                    let largest = self.conn.worker.limits.max_header_bytes as usize;
                    match head::trailers(&section, largest) {
                        Ok(trailers) => {
                            self.trailers = Some(trailers);
                            continue;
                        }
                        Err(Refused::Wrong(wrong)) => wrong,
                        // No status says so: the answer may be under way.
                        Err(Refused::TooLarge) => Wrong::Stream(Code::ExcessiveLoad),
                    }
                }
                Ok(None) => {
                    let whole = self.length.end();
                    return Poll::Ready(self.unless_malformed(whole).map(|()| None));
                }
                Err(Trouble::Wrong(wrong)) => wrong,
                Err(Trouble::Lost(error)) => return Poll::Ready(Err(BodyError::source(error))),
            };
            match wrong {
                Wrong::Connection(code) => self.conn.close(code),
                Wrong::Stream(code) => self.stop(code),
            }
            return Poll::Ready(Err(BodyError::source("the client broke a rule of HTTP/3")));
        }
    }

    /// A body that is not as long as it was said to be makes its request malformed.
    fn unless_malformed(&mut self, as_promised: Result<(), BodyError>) -> Result<(), BodyError> {
        as_promised.inspect_err(|_| self.stop(Code::Message))
    }

    fn stop(&mut self, code: Code) {
        self.wrong = Some(code);
        self.incoming.stop(code);
    }
}

/// A body that has more to come than was there with its request.
struct Received {
    reader: Reader,
    /// What was seen beforehand.
    first: Option<Polled>,
    broken: Broken,
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Polled> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(first);
        }
        let polled = ready!(self.reader.poll(cx));
        if let Some(code) = self.reader.wrong {
            let _ = self.broken.set(code);
        }
        Poll::Ready(polled)
    }

    fn size_hint(&self) -> SizeHint {
        let Some(left) = self.reader.length.left() else { return SizeHint::default() };
        // What was counted, but not given yet.
        let seen =
            self.first.iter().flatten().flatten().filter_map(Frame::data_ref).map(Bytes::len);
        SizeHint::with_exact(left + seen.sum::<usize>() as u64)
    }
}
