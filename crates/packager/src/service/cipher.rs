//! What is encrypted while it is sent: AES-128 in CBC mode with PKCS #7 padding.
//!
//! It is one chain from the first byte to the last, so it can only be sent whole. A body that fails
//! ends without its padding: what was sent of it never looks complete.
//!
//! Bytes are encrypted where they were made: a buffer is begun with those that were too few for a
//! block before.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::lanes::{Lanes, Piece, Ticket};
use crate::aes128::BLOCK;
use crate::source::{Buffer, BufferPool};

/// A chain under way.
#[derive(Debug)]
pub(super) struct Cipher {
    lanes: Arc<Lanes>,
    /// The last block encrypted, at first the initialization vector.
    last: [u8; BLOCK],
    /// The start of the next block: the first `begun` bytes of this.
    block: [u8; BLOCK],
    begun: usize,
}

impl Cipher {
    /// A chain that is not begun.
    pub(super) fn new(lanes: &Arc<Lanes>, vector: [u8; BLOCK]) -> Self {
        let lanes = Arc::clone(lanes);
        Self { lanes, last: vector, block: [0; BLOCK], begun: 0 }
    }

    /// A buffer for the next `len` bytes of the chain, padded where they are its last, and where in
    /// it they are to be written.
    pub(super) fn begin(
        &self,
        len: usize,
        ends: bool,
        buffers: &Arc<BufferPool>,
    ) -> (Buffer, Range<usize>) {
        let before = self.block.get(..self.begun).unwrap_or_default();
        let place = before.len()..before.len() + len;
        let padding = if ends { BLOCK - place.end % BLOCK } else { 0 };
        let mut buffer = buffers.take(place.end + padding);
        let bytes = buffer.as_mut();
        bytes[..place.start].copy_from_slice(before);
        bytes[place.end..].fill(padding as u8);
        (buffer, place)
    }

    /// Encrypts what was begun, up to its last whole block; the rest of it comes with the next
    /// bytes.
    pub(super) fn seal(mut self, mut buffer: Buffer) -> Sealing {
        let (blocks, rest) = buffer.as_ref().as_chunks::<BLOCK>();
        let whole = blocks.len() * BLOCK;
        self.begun = rest.len();
        self.block[..rest.len()].copy_from_slice(rest);
        buffer.truncate(whole);
        let ticket = self.lanes.bring(Piece::new(buffer, self.last));
        Sealing { cipher: Some(self), ticket }
    }
}

/// A piece of a chain that waits to be encrypted: asked for, it is, and gives the chain back.
#[derive(Debug)]
pub(super) struct Sealing {
    /// Until it has given it back.
    cipher: Option<Cipher>,
    ticket: Ticket,
}

impl Future for Sealing {
    type Output = (Cipher, Buffer);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Piece { blocks, last, .. } = ready!(Pin::new(&mut self.ticket).poll(cx));
        let Some(cipher) = self.cipher.take() else { return Poll::Pending };
        Poll::Ready((Cipher { last, ..cipher }, blocks))
    }
}
