//! A request's body as it arrives on its stream, held to its `Content-Length` (RFC 9114 §4.1.2), and
//! its trailers.

use std::pin::Pin;
use std::sync::Arc;
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

/// See the module.
pub(super) struct Received {
    incoming: Incoming,
    conn: Arc<Conn>,
    length: Length,
    trailers: Option<HeaderMap>,
    /// What was seen beforehand.
    first: Option<Polled>,
    ended: bool,
}

impl Received {
    /// The body of the request on the stream, [`Body::Empty`] where that has ended already. Closes
    /// the connection for what is wrong with what came so far.
    pub(super) fn body(incoming: Incoming, conn: &Arc<Conn>, promised: Option<u64>) -> Body {
        let mut body = Self {
            incoming,
            conn: Arc::clone(conn),
            length: Length::new(promised),
            trailers: None,
            first: None,
            ended: false,
        };
        // Look once, without waiting: the end mostly comes in the packet of the headers. Whoever
        // reads the body polls again.
        match body.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(None) => return Body::Empty,
            Poll::Ready(seen) => body.first = Some(seen),
            Poll::Pending => {}
        }
        let limits = &conn.worker.limits;
        Body::Stream(Box::pin(Limited::new(body, limits)))
    }

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
                Ok(Some(Event::Data(data))) => return Poll::Ready(Ok(Some(data))),
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
                Ok(None) => return Poll::Ready(self.length.end().map(|()| None)),
                Err(Trouble::Wrong(wrong)) => wrong,
                Err(Trouble::Lost(error)) => return Poll::Ready(Err(BodyError::source(error))),
            };
            match wrong {
                Wrong::Connection(code) => self.conn.close(code),
                Wrong::Stream(code) => self.incoming.stop(code),
            }
            return Poll::Ready(Err(BodyError::source("the client broke a rule of HTTP/3")));
        }
    }
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Polled> {
        let polled = match self.first.take() {
            Some(first) => first,
            None => ready!(self.poll(cx)),
        };
        if let Some(Ok(frame)) = &polled
            && let Some(data) = frame.data_ref()
            && let Err(error) = self.length.add(data.len())
        {
            self.ended = true;
            self.incoming.stop(Code::Message);
            return Poll::Ready(Some(Err(error)));
        }
        Poll::Ready(polled)
    }

    fn size_hint(&self) -> SizeHint {
        self.length.left().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
