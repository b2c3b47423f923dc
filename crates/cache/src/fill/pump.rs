//! Takes bytes off a body in batches: all that is there, up to a chunk, so that readers wake once
//! for many small frames. Trailers are left behind.

use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use headwater_net::{Body, BodyError};
use http_body::Body as _;
use smallvec::SmallVec;

use super::buffer::CHUNK;

/// See the module.
pub(super) struct Pump {
    body: Body,
    /// What is left of a frame that was larger than a batch may be.
    rest: Bytes,
    ended: Option<Result<(), BodyError>>,
}

/// What a body gave.
pub(super) enum Next {
    Bytes(SmallVec<[Bytes; 4]>),
    End,
    Failed(BodyError),
}

impl Pump {
    pub(super) fn new(body: Body) -> Self {
        Self { body, rest: Bytes::new(), ended: None }
    }

    /// Cancel safe: bytes that were taken are always returned by the same poll.
    pub(super) async fn next(&mut self) -> Next {
        std::future::poll_fn(|cx| {
            let mut batch: SmallVec<[Bytes; 4]> = SmallVec::new();
            let mut bytes = 0;
            while bytes < CHUNK {
                if !self.rest.is_empty() {
                    let piece = self.rest.split_to(self.rest.len().min(CHUNK - bytes));
                    bytes += piece.len();
                    batch.push(piece);
                    continue;
                }
                if self.ended.is_some() {
                    break;
                }
                match Pin::new(&mut self.body).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => {
                        self.rest = frame.into_data().unwrap_or_default();
                    }
                    Poll::Ready(Some(Err(error))) => self.ended = Some(Err(error)),
                    Poll::Ready(None) => self.ended = Some(Ok(())),
                    Poll::Pending if batch.is_empty() => return Poll::Pending,
                    Poll::Pending => break,
                }
            }
            if !batch.is_empty() {
                return Poll::Ready(Next::Bytes(batch));
            }
            Poll::Ready(match self.ended.take() {
                Some(Err(error)) => Next::Failed(error),
                _ => Next::End,
            })
        })
        .await
    }
}
