//! A request's body over HTTP/1.1 and HTTP/2, and what becomes of one that nobody reads.
//!
//! A service may answer without reading the body, a refusal for one. The rest of it is read and thrown
//! away here then, up to [`DISCARD`] bytes and for at most [`PATIENCE`]; of what is longer, HTTP/2
//! resets the stream and HTTP/1.1 closes the connection. Without that,
//!
//! - HTTP/2 would reset the stream without an error at once (RFC 9113 §8.1), which some clients take
//!   for a failure and throw the answer away;
//! - HTTP/1.1 would close the connection with bytes of the client's still to come, and the network may
//!   take the answer with it (RFC 9112 §9.6). And a client that had sent all of it could not know that
//!   its next request on this connection comes too late.
//!
//! So an answer over HTTP/1.1 whose request has a longer rest than will be read says
//! `Connection: close` (§9.3), by [`Activity::is_last`]. A client that waits for `100 Continue` is not
//! sent one for nothing: its body is not asked for, and its connection closes, too.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use super::control::Activity;
use crate::BodyError;

/// The most bytes of an unread body that are read away.
const DISCARD: u64 = 256 << 10;
/// The longest time that takes. Each request takes part in it once, so the number of such tasks is
/// bounded by the streams that clients may open, and by their connections.
const PATIENCE: Duration = Duration::from_secs(2);

/// A request's body as it comes.
pub(super) struct Received {
    incoming: Option<Incoming>,
    /// Of the connection.
    activity: Arc<Activity>,
    /// Whether its client sends it only when asked to, by `100 Continue` (RFC 9110 §10.1.1).
    expects: bool,
}

impl Received {
    pub(super) fn new(incoming: Incoming, activity: Arc<Activity>, expects: bool) -> Self {
        Self { incoming: Some(incoming), activity, expects }
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
        // Nothing comes behind trailers.
        let goes_on = |polled: &Option<Result<Frame<Bytes>, _>>| {
            polled.as_ref().is_some_and(|frame| frame.as_ref().is_ok_and(Frame::is_data))
        };
        if matches!(&polled, Poll::Ready(polled) if !goes_on(polled)) {
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
        if incoming.is_end_stream() {
            return;
        }
        let is_short = incoming.size_hint().upper().is_some_and(|rest| rest <= DISCARD);
        if self.expects || !is_short {
            self.activity.end_with_this();
        }
        if self.expects {
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
