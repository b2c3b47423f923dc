//! The body of an answer that is still being fetched: reads the fill at its own pace.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_net::BodyError;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::buffer::Read;
use super::{Early, End, Interest};
use crate::sync::OwnedNotified;

pin_project! {
    /// Reads a fill from `offset` to `end`, or to wherever it ends.
    pub(crate) struct Reader {
        early: Option<Early>,
        interest: Interest,
        offset: u64,
        end: Option<u64>,
        ended: bool,
        #[pin]
        waiting: Option<OwnedNotified>,
    }
}

impl Reader {
    /// `None` where the bytes at `offset` are gone already.
    pub(crate) fn new(mut interest: Interest, offset: u64, end: Option<u64>) -> Option<Self> {
        interest.reads();
        let early = Early::register(interest.fill(), offset)?;
        Some(Self { early, interest, offset, end, ended: false, waiting: None })
    }
}

impl Body for Reader {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut this = self.project();
        let fill = this.interest.fill();
        let mut registered = false;
        // Looks, registers for the next change, and looks again: no change is missed. Each turn
        // either returns or consumes one notification.
        loop {
            let most = this.end.map_or(u64::MAX, |end| end.saturating_sub(*this.offset));
            if *this.ended || most == 0 {
                return Poll::Ready(None);
            }
            let (read, end) = fill.read(*this.offset, most);
            match (read, end) {
                (Read::Bytes(bytes), _) => {
                    *this.offset += bytes.len() as u64;
                    fill.advanced(*this.offset);
                    *this.early = None;
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                (Read::Lagged, _) => {
                    *this.ended = true;
                    fill.count_reset();
                    return Poll::Ready(Some(Err(BodyError::Aborted)));
                }
                (Read::Nothing, End::Failed(error)) => {
                    *this.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
                (Read::Nothing, End::Complete) => {
                    *this.ended = true;
                    let received = *this.offset;
                    return Poll::Ready(
                        this.end.map(|expected| Err(BodyError::Truncated { expected, received })),
                    );
                }
                (Read::Nothing, End::Growing) => {}
            }
            if registered {
                return Poll::Pending;
            }
            if this.waiting.is_none() {
                this.waiting.set(Some(fill.changed()));
            }
            if let Some(waiting) = this.waiting.as_mut().as_pin_mut() {
                match waiting.poll(cx) {
                    Poll::Ready(()) => this.waiting.set(None),
                    Poll::Pending => registered = true,
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.end == Some(self.offset)
    }

    fn size_hint(&self) -> SizeHint {
        match self.end {
            Some(end) => SizeHint::with_exact(end.saturating_sub(self.offset)),
            None => SizeHint::default(),
        }
    }
}
