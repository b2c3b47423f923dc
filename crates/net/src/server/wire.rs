//! Stream sockets, TCP and Unix, whose bytes are counted below TLS.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use smallvec::SmallVec;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};

use super::control::Activity;
use super::tcp::canonical;
use super::tcp_path::TcpPath;
use crate::path::KnowsPath;

/// The address of a peer that has none: it came by a Unix socket.
const NO_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// A socket that accepts.
pub(super) enum Listening {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

/// A socket that was accepted.
pub(super) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// Where a socket comes from and where it leads to.
pub(super) struct Route {
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    /// By a Unix socket: there are no addresses.
    pub(super) is_unix: bool,
}

impl Listening {
    /// Cancel safe.
    pub(super) async fn accept(&self) -> io::Result<Socket> {
        Ok(match self {
            Self::Tcp(listener) => Socket::Tcp(listener.accept().await?.0),
            #[cfg(unix)]
            Self::Unix(listener) => Socket::Unix(listener.accept().await?.0),
        })
    }
}

impl Socket {
    /// `None` where the client has gone already.
    pub(super) fn route(&self) -> Option<Route> {
        match self {
            Self::Tcp(stream) => {
                let _ = stream.set_nodelay(true);
                Some(Route {
                    peer: canonical(stream.peer_addr().ok()?),
                    local: canonical(stream.local_addr().ok()?),
                    is_unix: false,
                })
            }
            #[cfg(unix)]
            Self::Unix(_) => Some(Route { peer: NO_ADDRESS, local: NO_ADDRESS, is_unix: true }),
        }
    }
}

/// Up to so many bytes, several buffers are copied into one: that costs less than what the system
/// does to gather them.
const TOGETHER: usize = 4 << 10;

macro_rules! either {
    ($self:ident, $stream:ident => $then:expr) => {
        match $self.get_mut() {
            Socket::Tcp($stream) => $then,
            #[cfg(unix)]
            Socket::Unix($stream) => $then,
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = bufs.iter().map(|buf| buf.len()).sum::<usize>();
        if len > TOGETHER {
            return either!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs));
        }
        if let [one] = bufs {
            return self.poll_write(cx, one);
        }
        let mut all = SmallVec::<[u8; TOGETHER]>::new();
        for buf in bufs {
            all.extend_from_slice(buf);
        }
        self.poll_write(cx, &all)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

/// The most bytes that are read ahead.
const FRONT: usize = 3;

/// A socket whose bytes are counted.
pub(super) struct Wire {
    socket: Socket,
    activity: Arc<Activity>,
    /// Its path, where the system knows of one.
    path: Option<Arc<TcpPath>>,
    /// Bytes that were read to see what they are, and are yet to be given out.
    front: SmallVec<[u8; FRONT]>,
}

impl Wire {
    pub(super) fn new(socket: Socket, activity: Arc<Activity>) -> Self {
        let path = match &socket {
            Socket::Tcp(stream) => Some(TcpPath::of(stream)),
            #[cfg(unix)]
            Socket::Unix(_) => None,
        };
        Self { socket, activity, path, front: SmallVec::new() }
    }

    /// The socket's path, for as long as it is open.
    pub(super) fn path(&self) -> Option<Weak<dyn KnowsPath>> {
        Some(Arc::downgrade(self.path.as_ref()?) as Weak<dyn KnowsPath>)
    }

    /// Whether the client opens with the preface of HTTP/2 (RFC 9113 §3.4). Nothing is lost of
    /// what was read for it.
    pub(super) async fn speaks_http2(&mut self) -> io::Result<bool> {
        const PREFACE: &[u8; FRONT] = b"PRI";
        let mut front = SmallVec::<[u8; FRONT]>::new();
        while PREFACE.starts_with(&front) && front.len() < FRONT {
            let mut next = [0; FRONT];
            let read = self.read(&mut next[front.len()..]).await?;
            if read == 0 {
                break;
            }
            let from = front.len();
            front.extend_from_slice(&next[from..from + read]);
        }
        let speaks = front[..] == PREFACE[..];
        self.front = front;
        Ok(speaks)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.front.is_empty() {
            let len = self.front.len().min(buf.remaining());
            buf.put_slice(&self.front[..len]);
            self.front.drain(..len);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buf);
        self.activity.received(buf.filled().len() - before);
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.activity.wrote(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.activity.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl Drop for Wire {
    /// A client that took nothing for so long does not hold the kernel's buffer either.
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            path.close();
        }
        if self.activity.is_cut()
            && let Socket::Tcp(stream) = &self.socket
        {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    #[tokio::test]
    async fn the_preface_is_told_however_it_comes_and_nothing_is_lost() {
        for (pieces, expected) in [
            (&["PRI * HTTP/2.0"][..], true),
            (&["P", "R", "I * HTTP"], true),
            (&["PR", "OPFIND /"], false),
            (&["P", "OST /"], false),
            (&["GET /"], false),
            (&["PR"], false),
            (&[], false),
        ] {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let mut wire = Wire::new(Socket::Unix(ours), Arc::default());
            let writes = async {
                for piece in pieces {
                    theirs.write_all(piece.as_bytes()).await.unwrap();
                    tokio::task::yield_now().await;
                }
                drop(theirs);
            };
            let (speaks, ()) = tokio::join!(wire.speaks_http2(), writes);
            assert_eq!(speaks.unwrap(), expected, "{pieces:?}");
            let mut all = String::new();
            wire.read_to_string(&mut all).await.unwrap();
            assert_eq!(all, pieces.concat());
        }
    }
}
