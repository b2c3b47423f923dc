//! Holding a manifest back until it was read, so that how long it may be kept is known when its fields
//! leave: nobody downstream keeps a live one for as long as its origin says, not even the first time.
//!
//! Held are [`Limits::manifest_bytes`](crate::map::Limits::manifest_bytes) at most, in memory once and
//! never copied. What is longer goes on as it comes and teaches nothing; what breaks off goes on with
//! its error.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_net::{Body, BodyError};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::{Lesson, SharedMap};

/// Pieces of one manifest: many tiny ones would cost more than their bytes.
const MAX_PIECES: usize = 65_536;

/// Reads `body` to its end, teaches `map` what it says, and gives it on.
pub(super) async fn hold(mut body: Body, lesson: Lesson, map: &SharedMap) -> Body {
    if let Body::Full(chunks) = &body {
        map.take(lesson, chunks.clone().collect()).await;
        return body;
    }
    let (mut held, mut len) = (Vec::new(), 0usize);
    loop {
        match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else { continue };
                len = len.saturating_add(data.len());
                if !data.is_empty() {
                    held.push(data);
                }
                if len > map.limits.manifest_bytes || held.len() > MAX_PIECES {
                    map.metrics.manifests_too_large.inc();
                    return Body::stream(Released::new(held, Ok(body)));
                }
            }
            Some(Err(error)) => return Body::stream(Released::new(held, Err(error))),
            None => {
                map.take(lesson, held.clone()).await;
                return Body::Full(held.into());
            }
        }
    }
}

/// What was held, and what comes after it.
pub(super) struct Released {
    held: std::vec::IntoIter<Bytes>,
    rest: Result<Body, Option<BodyError>>,
}

impl Released {
    pub(super) fn new(held: Vec<Bytes>, rest: Result<Body, BodyError>) -> Self {
        Self { held: held.into_iter(), rest: rest.map_err(Some) }
    }
}

impl HttpBody for Released {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(data) = self.held.next() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match &mut self.rest {
            Ok(rest) => Pin::new(rest).poll_frame(cx),
            Err(error) => Poll::Ready(error.take().map(Err)),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.held.as_slice().iter().map(|piece| piece.len() as u64).sum::<u64>();
        let rest = self.rest.as_ref().ok().and_then(|rest| rest.size_hint().exact());
        match rest.and_then(|rest| rest.checked_add(held)) {
            Some(exact) => SizeHint::with_exact(exact),
            None => SizeHint::default(),
        }
    }
}
