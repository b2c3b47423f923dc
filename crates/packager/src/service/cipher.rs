//! A body that is encrypted while it is sent: AES-128 in CBC mode with PKCS #7 padding.
//!
//! It is one chain from the first byte to the last, so it can only be sent whole. A body that fails
//! ends without its padding: what was sent of it never looks complete.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use headwater_net::BodyError;
use http_body::{Body as _, Frame, SizeHint};

use super::body::{Outlet, PlanBody};
use super::lanes::{Lanes, Piece, Ticket};
use crate::aes128::{BLOCK, encrypted_len};

/// A [`PlanBody`] on its way through the cipher.
pub(super) struct EncryptedBody {
    inner: PlanBody,
    lanes: Arc<Lanes>,
    /// The last block encrypted, at first the initialization vector.
    last: [u8; BLOCK],
    /// The start of the next block: the first `begun` bytes of this.
    block: [u8; BLOCK],
    begun: usize,
    stage: Stage,
    /// Bytes still to be handed on.
    left: u64,
    outlet: Outlet,
}

enum Stage {
    Reading,
    Sealing(Ticket),
    Ended,
}

impl EncryptedBody {
    pub(super) fn new(
        inner: PlanBody,
        lanes: Arc<Lanes>,
        vector: [u8; BLOCK],
        outlet: Outlet,
    ) -> Self {
        let left = encrypted_len(inner.size_hint().exact().unwrap_or(0));
        let (block, begun, stage) = ([0; BLOCK], 0, Stage::Reading);
        let inner = inner.halved();
        Self { inner, lanes, last: vector, block, begun, stage, left, outlet }
    }

    /// Brings the whole blocks that these bytes complete to the lanes; `None` where there is none.
    fn bring(&mut self, mut bytes: Bytes) -> Option<Ticket> {
        let whole = (self.begun + bytes.len()) / BLOCK * BLOCK;
        if whole == 0 {
            self.begin(&bytes);
            return None;
        }
        self.outlet.metrics.copied_bytes.inc_by(whole as u64);
        let mut sealed = self.outlet.buffers.take(whole);
        if self.begun > 0 {
            let missing = bytes.split_to(BLOCK - self.begun);
            self.begin(&missing);
            self.begun = 0;
            self.last = self.lanes.block(self.block, self.last);
            sealed.as_mut()[..BLOCK].copy_from_slice(&self.last);
        }
        let clear = bytes.split_to(bytes.len() / BLOCK * BLOCK);
        self.begin(&bytes);
        Some(self.lanes.bring(Piece { clear, sealed, last: self.last }))
    }

    /// Adds to the block begun, which has room for it.
    fn begin(&mut self, bytes: &[u8]) {
        let room = self.block.iter_mut().skip(self.begun);
        room.zip(bytes).for_each(|(to, byte)| *to = *byte);
        self.begun += bytes.len();
    }

    /// The last block, with padding.
    fn padded(&self) -> [u8; BLOCK] {
        let mut block = [(BLOCK - self.begun) as u8; BLOCK];
        block[..self.begun].copy_from_slice(&self.block[..self.begun]);
        self.lanes.block(block, self.last)
    }

    fn hand_on(&mut self, bytes: Bytes) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.left = self.left.saturating_sub(bytes.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}

impl http_body::Body for EncryptedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            match &mut this.stage {
                Stage::Ended => return Poll::Ready(None),
                Stage::Sealing(ticket) => {
                    let piece = ready!(Pin::new(ticket).poll(cx));
                    this.stage = Stage::Reading;
                    this.last = piece.last;
                    return this.hand_on(Bytes::from_owner(piece.sealed));
                }
                Stage::Reading => {}
            }
            match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Some(ticket) = frame.into_data().ok().and_then(|data| this.bring(data)) {
                        this.stage = Stage::Sealing(ticket);
                    }
                }
                Some(Err(error)) => {
                    this.stage = Stage::Ended;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    this.stage = Stage::Ended;
                    let padded = this.padded();
                    return this.hand_on(Bytes::copy_from_slice(&padded));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.stage, Stage::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
