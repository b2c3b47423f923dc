//! The length that a response promises, to which its body is held ([`Meter`](headwater_net::body::Meter)), whoever
//! carried it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_net::{Body, BodyError};
use http::{HeaderMap, StatusCode, header};
use http_body::Frame;

/// The length that a response to a GET promises: its `Content-Length`, else what its body knows.
pub(crate) fn promised(status: StatusCode, headers: &HeaderMap, body: &Body) -> Option<u64> {
    if status.is_informational() || matches!(status.as_u16(), 204 | 304) {
        return Some(0);
    }
    let mut lines = headers.get_all(header::CONTENT_LENGTH).iter();
    let line = lines.next().and_then(|line| line.to_str().ok()).map(str::trim);
    match line {
        Some(text) if lines.next().is_none() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.parse().ok().or_else(|| body.exact_len())
        }
        _ => body.exact_len(),
    }
}

/// The first `len` bytes of a body, which is let go of then; it ends in an error where it has fewer.
pub(crate) fn cut(body: Body, len: u64) -> Body {
    match body {
        Body::Full(chunks) if chunks.len() >= len => Body::from(chunks.slice(0..len)),
        body => Body::Stream(Box::pin(Cut { body, left: len })),
    }
}

struct Cut {
    body: Body,
    left: u64,
}

impl http_body::Body for Cut {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.left == 0 {
            self.body = Body::Empty;
            return Poll::Ready(None);
        }
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            let mut data = frame?.into_data().unwrap_or_default();
            data.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.left -= data.len() as u64;
            Ok(Frame::data(data))
        }))
    }
}
