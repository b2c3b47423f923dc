//! What the kernel makes of a TCP connection's path (TCP_INFO, tcp(7)), for
//! [`ConnInfo::path`](crate::ConnInfo::path).
//!
//! The one module of this crate with `unsafe` in it: neither std nor socket2, rustix or nix can ask
//! for TCP_INFO, and the crate that does generates the kernel's types when it is built. It is one
//! call that fills a buffer of ours with bytes, any of which are fine; Miri knows no sockets, so
//! tests make it on real ones.
//!
//! Promises: a socket is asked only while it is open, whatever threads its requests are on, and is
//! kept open by nobody who might ask. What it said holds for [`FRESH`]: a connection whose requests come
//! close together costs no call for each. Elsewhere than on Linux, nothing is known.

use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::clock::moment;
use crate::path::{KnowsPath, Path};

/// For how long it holds what the kernel said.
const FRESH: Duration = Duration::from_millis(20);

/// A socket, as long as it is open.
#[derive(Debug)]
pub(super) struct TcpPath(Mutex<Option<Open>>);

#[derive(Debug)]
struct Open {
    socket: RawFd,
    /// What it said last, and when.
    said: Option<(Instant, Path)>,
}

impl TcpPath {
    /// That of `stream`; to be [closed](Self::close) before it is.
    pub(super) fn of(stream: &TcpStream) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(Open { socket: stream.as_raw_fd(), said: None }))))
    }

    /// The socket is about to be closed, and its number may be another's then. Waits for who is
    /// asking just now.
    pub(super) fn close(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KnowsPath for TcpPath {
    fn path(&self) -> Option<Path> {
        // Held until the system has answered: the socket stays open.
        let mut open = self.lock();
        let open = open.as_mut()?;
        let now = moment();
        if let Some((_, path)) = open.said.filter(|(at, _)| now.duration_since(*at) < FRESH) {
            return Some(path);
        }
        let (micros, segments, segment) = ask(open.socket)?;
        let path = Path {
            rtt: Duration::from_micros(micros.into()),
            window: u64::from(segments) * u64::from(segment),
        };
        open.said = Some((now, path));
        Some(path)
    }
}

/// The smoothed round trip in microseconds, the congestion window in segments, and what one of them
/// holds, in bytes.
#[cfg(target_os = "linux")]
fn ask(socket: RawFd) -> Option<(u32, u32, u32)> {
    use libc::tcp_info;
    use std::mem::offset_of;

    let mut bytes = [0; size_of::<tcp_info>()];
    let mut len = libc::socklen_t::try_from(bytes.len()).ok()?;
    let into = bytes.as_mut_ptr().cast();
    #[expect(unsafe_code, reason = "nothing safe asks for it: see the module")]
    // SAFETY: `into` leads to `len` bytes that are ours and initialised, both outlive the call, and
    // the kernel writes no more than `len` of them. A descriptor of anything but an open TCP socket
    // is an error.
    let done =
        unsafe { libc::getsockopt(socket, libc::IPPROTO_TCP, libc::TCP_INFO, into, &raw mut len) };
    if done != 0 {
        return None;
    }
    // An older kernel knows less, and says so by the length.
    let known = bytes.get(..usize::try_from(len).ok()?)?;
    let field = |at: usize| known.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes);
    Some((
        field(offset_of!(tcp_info, tcpi_rtt))?,
        field(offset_of!(tcp_info, tcpi_snd_cwnd))?,
        field(offset_of!(tcp_info, tcpi_snd_mss))?,
    ))
}

#[cfg(not(target_os = "linux"))]
const fn ask(_: RawFd) -> Option<(u32, u32, u32)> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_socket_is_asked_while_it_is_open() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(addr), listener.accept());
        let (near, _far) = (near.unwrap(), far.unwrap());
        let path = TcpPath::of(&near);
        let known = path.path().unwrap();
        assert!(known.rtt > Duration::ZERO && known.rtt < Duration::from_secs(60), "{known:?}");
        // RFC 6928: ten segments, of the 65,483 bytes that loopback takes at most.
        assert!((5_000..10_000_000).contains(&known.window), "{known:?}");
        path.close();
        assert_eq!(path.path(), None);
    }

    #[tokio::test]
    async fn what_is_no_tcp_socket_has_no_path() {
        use std::os::unix::net::UnixStream;
        let (near, _far) = UnixStream::pair().unwrap();
        assert_eq!(ask(near.as_raw_fd()), None);
        assert_eq!(ask(-1), None);
    }
}
