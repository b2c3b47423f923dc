//! Bodies of any kind as [`Body`], and a witness to how they end.

use std::any::Any;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_cache::BoxError;
use headwater_net::{Body, BodyError};
use http::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};

/// Complete bodies up to this size are taken as sent when they are handed over: they fit into one
/// write, and watching them would cost a hit more than they tell.
const AT_ONCE: u64 = 64 << 10;

/// How a response's body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// All of it was handed to the connection.
    Complete,
    /// It failed on our side of the connection: the upstream broke off.
    Failed,
    /// The client went away.
    Aborted,
}

impl End {
    /// The word for it in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
        }
    }
}

/// Somebody who is told, once, how many bytes of a body passed and how it ended.
pub(crate) trait Witness: Send + Unpin + 'static {
    fn ended(self, bytes: u64, end: End);
}

/// A response of any body as one of [`Body`]; what is one already stays as it is.
pub(crate) fn into_body<B>(response: Response<B>) -> Response<Body>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    // The body alone is looked at: a whole response would be moved there and back.
    response.map(|body| {
        let mut body = Some(body);
        let same = (&mut body as &mut dyn Any).downcast_mut::<Option<Body>>();
        match same.and_then(Option::take) {
            Some(same) => same,
            None => body.map(Body::stream).unwrap_or_default(),
        }
    })
}

/// How many bytes of `body` count as handed over at once; `None` where its end is to be watched.
/// `sent` says whether the body will be sent at all: that of an answer to HEAD is not.
pub(crate) fn at_once(body: &Body, sent: bool) -> Option<u64> {
    match body {
        _ if !sent => Some(0),
        Body::Full(chunks) if chunks.len() <= AT_ONCE => Some(chunks.len()),
        Body::Empty => Some(0),
        _ => None,
    }
}

/// Lets `witness` see `body` end.
pub(crate) fn watch(body: Body, witness: impl Witness) -> Body {
    Body::Stream(Box::pin(Watched { inner: body, bytes: 0, witness: Some(witness) }))
}

struct Watched<W: Witness> {
    inner: Body,
    bytes: u64,
    witness: Option<W>,
}

impl<W: Witness> Watched<W> {
    fn ended(&mut self, end: End) {
        if let Some(witness) = self.witness.take() {
            witness.ended(self.bytes, end);
        }
    }
}

impl<W: Witness> HttpBody for Watched<W> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &polled {
            Some(Ok(frame)) => {
                self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                // A writer that knows the length does not ask for the end.
                if self.inner.is_end_stream() {
                    self.ended(End::Complete);
                }
            }
            Some(Err(_)) => self.ended(End::Failed),
            None => self.ended(End::Complete),
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<W: Witness> Drop for Watched<W> {
    fn drop(&mut self) {
        // A writer may stop at the length it was promised without asking for the end.
        let end = match self.inner.size_hint().exact() {
            Some(0) => End::Complete,
            _ => End::Aborted,
        };
        self.ended(end);
    }
}
