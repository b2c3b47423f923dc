//! Small writes gathered into one, for HTTP/2 (RFC 9113).
//!
//! h2 flushes each DATA frame of more than a few hundred bytes on its own: every small answer would
//! be a TLS record, a system call and a packet to itself. Here what was written in one poll of the
//! connection leaves together at its end, by [`Gather::poll_send`]. Large writes are not held back.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most that is held back: what one TLS record takes (RFC 8446 §5.1).
const HELD: usize = 16 << 10;

/// A stream whose owner shares it with who polls that owner. Both are one task, so that the lock
/// is never waited for.
pub(super) struct Gather<I>(Arc<Mutex<Held<I>>>);

struct Held<I> {
    stream: I,
    bytes: Vec<u8>,
    /// How many of `bytes` are sent.
    sent: usize,
}

impl<I> Clone for Gather<I> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<I: AsyncWrite + Unpin> Gather<I> {
    pub(super) fn new(stream: I) -> Self {
        Self(Arc::new(Mutex::new(Held { stream, bytes: Vec::new(), sent: 0 })))
    }

    /// Sends what is held back. To be called after each poll of the owner, by the same task.
    ///
    /// # Errors
    /// When the stream is broken.
    pub(super) fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut held = self.lock();
        if held.bytes.is_empty() {
            return Poll::Ready(Ok(()));
        }
        ready!(held.poll_send(cx))?;
        Pin::new(&mut held.stream).poll_flush(cx)
    }

    fn lock(&self) -> MutexGuard<'_, Held<I>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<I: AsyncWrite + Unpin> Held<I> {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.bytes.len() {
            let left = &self.bytes[self.sent..];
            match ready!(Pin::new(&mut self.stream).poll_write(cx, left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.sent += written,
            }
        }
        self.bytes.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Gather<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut held.stream).poll_read(cx, buf)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Gather<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut held = self.lock();
        let len = bufs.iter().map(|buf| buf.len()).sum::<usize>();
        if held.bytes.len() + len > HELD {
            ready!(held.poll_send(cx))?;
            if len > HELD / 2 {
                return Pin::new(&mut held.stream).poll_write_vectored(cx, bufs);
            }
        }
        for buf in bufs {
            held.bytes.extend_from_slice(buf);
        }
        Poll::Ready(Ok(len))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What is held back waits for [`Gather::poll_send`].
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut held = self.lock();
        if held.bytes.is_empty() {
            return Pin::new(&mut held.stream).poll_flush(cx);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut held = self.lock();
        ready!(held.poll_send(cx))?;
        Pin::new(&mut held.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use std::future::poll_fn;
    use std::task::Waker;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn small_writes_leave_together_when_they_are_sent() {
        let (near, mut far) = tokio::io::duplex(64 << 10);
        let mut gather = Gather::new(near);
        for _ in 0..3 {
            gather.write_all(&[1; 1000]).await.unwrap();
            gather.flush().await.unwrap();
        }
        let mut read = [0; 4000];
        let mut cx = Context::from_waker(Waker::noop());
        let early = Pin::new(&mut far).poll_read(&mut cx, &mut ReadBuf::new(&mut read));
        assert!(early.is_pending());
        poll_fn(|cx| gather.poll_send(cx)).await.unwrap();
        assert_eq!(far.read(&mut read).await.unwrap(), 3000);
    }

    #[tokio::test]
    async fn no_more_is_held_than_a_record_and_all_of_it_comes_in_order() {
        let (near, mut far) = tokio::io::duplex(1000);
        let reader = tokio::spawn(async move {
            let mut all = Vec::new();
            far.read_to_end(&mut all).await.unwrap();
            all
        });
        let mut gather = Gather::new(near);
        let mut expected = Vec::new();
        for (i, len) in [10, 9000, 7000, 500, 20_000, 16_384, 1, 8192].into_iter().enumerate() {
            let piece = vec![i as u8; len];
            gather.write_all(&piece).await.unwrap();
            assert!(gather.lock().bytes.len() <= HELD);
            expected.extend_from_slice(&piece);
        }
        gather.shutdown().await.unwrap();
        assert!(reader.await.unwrap() == expected);
    }
}
