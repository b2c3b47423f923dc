//! The body of an answer by HTTP/3, as it comes (RFC 9114 §4.1): no longer and no shorter than its head said.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use h3::client::RequestStream;
use http::response::Parts;
use http::{StatusCode, header};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::connect::Live;
use super::transport::BothHalves;
use crate::BodyError;

/// The body of an answer, as it comes.
pub(in crate::client) struct Answered {
    stream: RequestStream<BothHalves, Bytes>,
    /// Bytes that are to come, where it was said.
    left: Option<u64>,
    end: End,
    /// Without it the connection would end.
    _live: Live,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Data,
    Trailers,
    Over,
}

impl Answered {
    /// What comes behind this head.
    pub(super) fn new(
        head: &Parts,
        is_head: bool,
        stream: RequestStream<BothHalves, Bytes>,
        live: Live,
    ) -> Self {
        let length = head.headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok());
        let bare =
            is_head || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let (left, end) = match length.and_then(|length| length.parse().ok()) {
            _ if bare => (Some(0), End::Over),
            left => (left, End::Data),
        };
        Self { stream, left, end, _live: live }
    }
}

impl HttpBody for Answered {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if this.end == End::Data {
            match ready!(this.stream.poll_recv_data(cx)) {
                Err(error) => {
                    this.end = End::Over;
                    return Poll::Ready(Some(Err(BodyError::source(error))));
                }
                Ok(Some(mut data)) => {
                    let data = data.copy_to_bytes(data.remaining());
                    if let Some(left) = &mut this.left {
                        let Some(rest) = left.checked_sub(data.len() as u64) else {
                            this.end = End::Over;
                            let said = BodyError::source("more came than was promised");
                            return Poll::Ready(Some(Err(said)));
                        };
                        *left = rest;
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Ok(None) if this.left.is_some_and(|left| left > 0) => {
                    this.end = End::Over;
                    let said = BodyError::source("less came than was promised");
                    return Poll::Ready(Some(Err(said)));
                }
                Ok(None) => this.end = End::Trailers,
            }
        }
        if this.end == End::Trailers {
            let trailers = ready!(this.stream.poll_recv_trailers(cx));
            this.end = End::Over;
            match trailers {
                Ok(None) => {}
                Ok(Some(trailers)) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Err(error) => return Poll::Ready(Some(Err(BodyError::source(error)))),
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.end == End::Over
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
