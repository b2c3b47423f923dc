//! A request's body over HTTP/1.1 and HTTP/2, and what becomes of one that nobody reads.
//!
//! A service may answer without reading the body, a refusal for one. HTTP/2 then lets the server
//! reset the stream without an error (RFC 9113 §8.1), but some clients take that for a failure and
//! throw the answer away. So the rest of a short body is read and thrown away here instead, up to
//! [`DISCARD`] bytes and for at most [`PATIENCE`]; what is longer is reset. HTTP/1.1 needs none of
//! it: hyper reads on, or closes.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use crate::{BodyError, Protocol};

/// The most bytes of an unread body that are read away.
const DISCARD: u64 = 256 << 10;
/// The longest time that takes. Each stream takes part in it once, so the number of such tasks is
/// bounded by the streams that clients may open.
const PATIENCE: Duration = Duration::from_secs(2);

/// A request's body as it comes.
pub(super) struct Received {
    incoming: Option<Incoming>,
    protocol: Protocol,
}

impl Received {
    pub(super) fn new(incoming: Incoming, protocol: Protocol) -> Self {
        Self { incoming: Some(incoming), protocol }
    }
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let polled = Pin::new(incoming).poll_frame(cx).map_err(BodyError::source);
        if !matches!(polled, Poll::Pending | Poll::Ready(Some(Ok(_)))) {
            self.incoming = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        let Some(incoming) = self.incoming.take() else { return };
        if self.protocol != Protocol::H2 || incoming.is_end_stream() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(PATIENCE, discard(incoming)));
        }
    }
}

async fn discard(mut incoming: Incoming) {
    let mut seen = 0;
    while let Some(Ok(frame)) =
        std::future::poll_fn(|cx| Pin::new(&mut incoming).poll_frame(cx)).await
    {
        seen += frame.data_ref().map_or(0, |data| data.len() as u64);
        if seen > DISCARD {
            return;
        }
    }
}
