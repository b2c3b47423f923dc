//! A body that is encrypted while it is sent: AES-128 in CBC mode with PKCS #7 padding.
//!
//! It is one chain from the first byte to the last, so it can only be sent whole. A body that fails
//! ends without its padding: what was sent of it never looks complete.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aws_lc_rs::cipher::{AES_128, EncryptionContext, StreamingEncryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use bytes::Bytes;
use headwater_net::BodyError;
use http_body::{Body as _, Frame, SizeHint};

use super::body::PlanBody;
use crate::aes128::{BLOCK, encrypted_len};
use crate::source::BufferPool;

/// What goes wrong in the cipher: a fault of the program.
#[derive(Debug, thiserror::Error)]
#[error("a segment could not be encrypted")]
pub(super) struct CipherError;

/// A [`PlanBody`] on its way through the cipher.
pub(super) struct EncryptedBody {
    inner: PlanBody,
    /// `None` at the end.
    cipher: Option<StreamingEncryptingKey>,
    /// Bytes still to be handed on.
    left: u64,
    buffers: Arc<BufferPool>,
}

impl EncryptedBody {
    pub(super) fn new(
        inner: PlanBody,
        key: &[u8; BLOCK],
        vector: [u8; BLOCK],
        buffers: Arc<BufferPool>,
    ) -> Result<Self, CipherError> {
        let key = UnboundCipherKey::new(&AES_128, key).map_err(|_| CipherError)?;
        let vector = EncryptionContext::Iv128(FixedLength::from(&vector));
        let cipher =
            StreamingEncryptingKey::less_safe_cbc_pkcs7(key, vector).map_err(|_| CipherError)?;
        let left = encrypted_len(inner.size_hint().exact().unwrap_or(0));
        Ok(Self { inner, cipher: Some(cipher), left, buffers })
    }

    /// The whole blocks that these bytes complete.
    fn update(&mut self, bytes: &[u8]) -> Result<Bytes, CipherError> {
        let cipher = self.cipher.as_mut().ok_or(CipherError)?;
        let mut buffer = self.buffers.take(bytes.len() + BLOCK);
        let update = cipher.update(bytes, buffer.as_mut()).map_err(|_| CipherError)?;
        let written = update.written().len();
        buffer.truncate(written);
        Ok(Bytes::from_owner(buffer))
    }

    /// The last block, with padding.
    fn finish(&mut self) -> Result<Bytes, CipherError> {
        let cipher = self.cipher.take().ok_or(CipherError)?;
        let mut block = [0; BLOCK];
        let (_, update) = cipher.finish(&mut block).map_err(|_| CipherError)?;
        Ok(Bytes::copy_from_slice(update.written()))
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
        while this.cipher.is_some() {
            let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) else {
                return Poll::Pending;
            };
            let sealed = match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => this.update(&bytes),
                    Err(_) => continue,
                },
                Some(Err(error)) => {
                    this.cipher = None;
                    return Poll::Ready(Some(Err(error)));
                }
                None => this.finish(),
            };
            match sealed {
                // Fewer bytes than a block.
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => {
                    this.left = this.left.saturating_sub(bytes.len() as u64);
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Err(error) => {
                    this.cipher = None;
                    return Poll::Ready(Some(Err(BodyError::source(error))));
                }
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.cipher.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
