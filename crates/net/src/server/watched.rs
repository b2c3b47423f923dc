//! The socket of a connection of HTTP/1.1, as hyper and whoever takes it from hyper see it.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use super::control::Activity;
use crate::interim::Line;

/// A socket whose reads are noted, so that half a request is told from none, and where interim
/// responses are written between hyper's. Only for HTTP/1.1: an HTTP/2 client has more to say than
/// requests.
pub(super) struct Watched<I> {
    stream: I,
    activity: Arc<Activity>,
    line: Arc<Line>,
    /// Dropped with the rest, it tells so.
    _held: oneshot::Sender<Infallible>,
}

impl<I> Watched<I> {
    /// The socket, and what waits until it is dropped, by whomever: hyper's connection, or who had it
    /// upgraded (RFC 9110 §7.8).
    pub(super) fn new(
        stream: I,
        activity: Arc<Activity>,
        line: Arc<Line>,
    ) -> (Self, impl Future<Output = ()>) {
        let (held, left) = oneshot::channel();
        (Self { stream, activity, line, _held: held }, left.map(drop))
    }
}

impl<I: AsyncWrite + Unpin> Watched<I> {
    fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, line, .. } = self;
        line.poll_write(|bytes| Pin::new(&mut *stream).poll_write(cx, bytes))
    }

    /// Sees an interim response that is half written to its end before anything else is.
    fn poll_free(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.line.is_under_way() { self.poll_line(cx) } else { Poll::Ready(Ok(())) }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_ready() {
            self.activity.read();
        }
        read
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_free(cx))?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_free(cx))?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes when all that it had is written: nothing is cut in two.
        ready!(self.poll_line(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
