//! The line between two processes: a Unix socket that keeps messages apart, to a process of the
//! same user, with descriptors beside messages (SCM_RIGHTS).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::HandOverError;
use super::message::{MAX_BYTES, MAX_DESCRIPTORS, Message, VERSION};

/// One end of it.
#[derive(Debug)]
pub(super) struct Line {
    /// A stream by its type alone: tokio has none for sockets that keep messages apart.
    socket: UnixStream,
    /// The process at the other end, where the system says.
    pub(super) pid: Option<u32>,
}

/// A socket of the kind that lines and doors are.
pub(super) fn socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

impl Line {
    /// Connects to the door at `path`.
    pub(super) fn connect(path: &Path) -> Result<Self, HandOverError> {
        let connected = socket().and_then(|socket| {
            socket.connect(&SockAddr::unix(path)?)?;
            Ok(socket)
        });
        match connected {
            Ok(socket) => Self::new(UnixStream::from_std(OwnedFd::from(socket).into())?),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                Err(HandOverError::Nobody { path: path.to_owned() })
            }
            Err(source) => Err(HandOverError::Socket { path: path.to_owned(), source }),
        }
    }

    /// Over a socket that is connected; refuses one to a process of another user.
    pub(super) fn new(socket: UnixStream) -> Result<Self, HandOverError> {
        let peer = socket.peer_cred()?;
        // The system's own user may.
        if peer.uid() != rustix::process::geteuid().as_raw() && peer.uid() != 0 {
            return Err(HandOverError::Stranger { uid: peer.uid() });
        }
        let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok());
        Ok(Self { socket, pid })
    }

    /// Says which version this is, and hears which one the other is.
    pub(super) async fn greet(&self) -> Result<(), HandOverError> {
        self.say(&Message::Hello { version: VERSION }, &[]).await?;
        match self.hear().await?.0 {
            Message::Hello { version: VERSION } => Ok(()),
            Message::Hello { version } => Err(HandOverError::Version { theirs: version }),
            Message::Refused { why } => Err(HandOverError::Refused(why)),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) async fn say(
        &self,
        message: &Message,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), HandOverError> {
        let bytes = message.write().map_err(io::Error::other)?;
        if bytes.len() > MAX_BYTES || descriptors.len() > MAX_DESCRIPTORS {
            return Err(io::Error::other("a message of the hand-over is too large").into());
        }
        let mut space = vec![MaybeUninit::uninit(); ancillary_space()];
        self.socket
            .async_io(Interest::WRITABLE, || {
                let mut beside = SendAncillaryBuffer::new(&mut space);
                if !descriptors.is_empty() {
                    beside.push(SendAncillaryMessage::ScmRights(descriptors));
                }
                Ok(sendmsg(
                    &self.socket,
                    &[IoSlice::new(&bytes)],
                    &mut beside,
                    SendFlags::DONTWAIT,
                )?)
            })
            .await
            .map_err(lost)?;
        Ok(())
    }

    pub(super) async fn hear(&self) -> Result<(Message, Vec<OwnedFd>), HandOverError> {
        let mut bytes = vec![0; MAX_BYTES + 1];
        let mut space = vec![MaybeUninit::uninit(); ancillary_space()];
        let (len, descriptors) = self
            .socket
            .async_io(Interest::READABLE, || {
                let mut beside = RecvAncillaryBuffer::new(&mut space);
                let into = &mut [IoSliceMut::new(&mut bytes)];
                let heard = recvmsg(&self.socket, into, &mut beside, flags())?;
                let mut descriptors = Vec::new();
                for message in beside.drain() {
                    if let RecvAncillaryMessage::ScmRights(some) = message {
                        descriptors.extend(some);
                    }
                }
                Ok((heard.bytes, descriptors))
            })
            .await
            .map_err(lost)?;
        if len == 0 {
            return Err(HandOverError::Lost);
        }
        let said = bytes.get(..len).filter(|said| said.len() <= MAX_BYTES);
        let message = said.and_then(|said| Message::read(said).ok());
        message.map(|message| (message, descriptors)).ok_or(HandOverError::Nonsense)
    }
}

const fn ancillary_space() -> usize {
    rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))
}

/// Descriptors are not for programs that this process starts.
fn flags() -> RecvFlags {
    #[cfg(target_os = "linux")]
    return RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    RecvFlags::DONTWAIT
}

fn lost(error: io::Error) -> HandOverError {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => HandOverError::Lost,
        _ => error.into(),
    }
}

pub(super) fn unexpected(message: &Message) -> HandOverError {
    tracing::debug!(?message, "unexpected message of the hand-over");
    HandOverError::Nonsense
}
