//! What the older process does: it gives all that it has, lets go, and makes sure that the other
//! one serves.

use std::future::Future;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use super::HandOverError;
use super::line::{Line, unexpected};
use super::message::{
    Kind, MAX_DESCRIPTORS, MAX_HANDSHAKES, Message, Place, SESSION_BYTES, Sockets,
};
use crate::server::ServerHandle;
use crate::server::keys::Keys;
use crate::server::quic;
use crate::server::tls::Sessions;
use crate::server::unix::SocketFile;

/// How long the workers of this process may take to let go, and the other one to say that it
/// serves.
const MOMENT: Duration = Duration::from_secs(5);

/// What a server keeps to hand over: a copy of each socket.
#[derive(Debug)]
pub(in crate::server) struct Held {
    pub(in crate::server) name: String,
    pub(in crate::server) generation: u8,
    pub(in crate::server) keys: Keys,
    /// Of QUIC.
    pub(in crate::server) sessions: Option<Arc<Sessions>>,
    pub(in crate::server) places: Vec<HeldPlace>,
}

/// The sockets of one place.
#[derive(Debug)]
pub(in crate::server) struct HeldPlace {
    pub(in crate::server) place: Place,
    pub(in crate::server) tcp: Vec<TcpListener>,
    pub(in crate::server) udp: Vec<UdpSocket>,
    pub(in crate::server) quic: Option<quic::Shared>,
    pub(in crate::server) unix: Vec<(UnixListener, Arc<SocketFile>)>,
}

/// A process that wants to take over.
#[derive(Debug)]
pub struct Successor {
    line: Line,
}

impl Successor {
    pub(super) const fn new(line: Line) -> Self {
        Self { line }
    }

    /// Its number, where the system says.
    pub fn pid(&self) -> Option<u32> {
        self.line.pid
    }

    /// Hands servers over to it, all or none. After that they accept nothing more, and should be
    /// drained; [`ServerHandle::drain`] knows that there is somebody else now.
    ///
    /// `within` is the time that it has to get ready. Not cancel safe: dropped before its end, the
    /// servers may stand still.
    ///
    /// # Errors
    /// [`HandOverError`]. The servers serve on as before.
    pub async fn hand_over(
        self,
        servers: &[&ServerHandle],
        within: Duration,
    ) -> Result<(), HandOverError> {
        let done = self.try_hand_over(servers, within).await;
        if let Err(error) = &done {
            for server in servers {
                server.unpause();
            }
            let why = Message::Refused { why: error.to_string() };
            let _ = tokio::time::timeout(MOMENT, self.line.say(&why, &[])).await;
        }
        done
    }

    async fn try_hand_over(
        &self,
        servers: &[&ServerHandle],
        within: Duration,
    ) -> Result<(), HandOverError> {
        let offered = async {
            for server in servers {
                self.offer(server).await?;
            }
            self.line.say(&Message::Everything, &[]).await?;
            self.expect(|message| matches!(message, Message::Ready)).await
        };
        in_time(within, offered).await?;
        for server in servers {
            if !server.pause() {
                return Err(HandOverError::Ending);
            }
        }
        let let_go = async {
            for server in servers {
                server.loops.all_paused().await;
                self.tell_handshakes(server).await?;
                self.give_sessions(server).await?;
            }
            self.line.say(&Message::Go, &[]).await?;
            self.expect(|message| matches!(message, Message::Serving)).await
        };
        in_time(MOMENT, let_go).await?;
        for server in servers {
            server.leave();
        }
        Ok(())
    }

    async fn expect(&self, is_it: impl Fn(&Message) -> bool) -> Result<(), HandOverError> {
        match self.line.hear().await? {
            (message, _) if is_it(&message) => Ok(()),
            (other, _) => Err(unexpected(&other)),
        }
    }

    async fn offer(&self, server: &ServerHandle) -> Result<(), HandOverError> {
        let held = server.held()?;
        let about = Message::Server {
            name: held.name.clone(),
            generation: held.generation,
            keys: held.keys.save(),
        };
        self.line.say(&about, &[]).await?;
        for at in &held.places {
            let streams = at.tcp.iter().map(AsFd::as_fd);
            let streams = streams.chain(at.unix.iter().map(|(socket, _)| socket.as_fd()));
            self.give(&at.place, Kind::Stream, streams.collect()).await?;
            self.give(&at.place, Kind::Datagram, at.udp.iter().map(AsFd::as_fd).collect()).await?;
            let Some(quic) = &at.quic else { continue };
            for elder in quic.elders().living() {
                let kind = Kind::Way { generation: elder.generation };
                self.give(&at.place, kind, elder.channels()).await?;
            }
            let ways = quic.ways()?;
            let kind = Kind::Way { generation: held.generation };
            self.give(&at.place, kind, ways.iter().map(AsFd::as_fd).collect()).await?;
        }
        Ok(())
    }

    async fn give(
        &self,
        place: &Place,
        kind: Kind,
        descriptors: Vec<BorrowedFd<'_>>,
    ) -> Result<(), HandOverError> {
        for some in descriptors.chunks(MAX_DESCRIPTORS) {
            let (place, kind) = (place.clone(), kind.clone());
            let about = Message::Sockets(Sockets { count: some.len(), place, kind });
            self.line.say(&about, some).await?;
        }
        Ok(())
    }

    async fn tell_handshakes(&self, server: &ServerHandle) -> Result<(), HandOverError> {
        let held = server.held()?;
        for at in &held.places {
            let (Some(quic), Some(addr)) = (&at.quic, at.place.addr()) else { continue };
            for some in quic.handshakes().chunks(MAX_HANDSHAKES) {
                let (server, list) = (held.name.clone(), some.to_vec());
                self.line.say(&Message::Handshakes { server, addr, list }, &[]).await?;
            }
        }
        Ok(())
    }

    /// From here on this process resumes none. Should the hand-over fail, nobody does: their clients
    /// shake hands in full.
    async fn give_sessions(&self, server: &ServerHandle) -> Result<(), HandOverError> {
        let held = server.held()?;
        let Some(sessions) = &held.sessions else { return Ok(()) };
        let (terms, given) = sessions.give();
        let mut given = given.into_iter().peekable();
        while given.peek().is_some() {
            let (mut list, mut bytes) = (Vec::new(), 0);
            while let Some(next) = given.next_if(|next| bytes + next.len() <= SESSION_BYTES) {
                bytes += next.len();
                list.push(next);
            }
            let server = held.name.clone();
            self.line.say(&Message::Sessions { server, terms, list }, &[]).await?;
        }
        Ok(())
    }
}

async fn in_time(
    within: Duration,
    done: impl Future<Output = Result<(), HandOverError>>,
) -> Result<(), HandOverError> {
    tokio::time::timeout(within, done).await.unwrap_or(Err(HandOverError::TooLate))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::super::{Door, Inherited};
    use super::*;

    /// What the new process makes of it when the old one says `last` after it has let go.
    async fn began_before(last: Option<Message>) -> Result<(), HandOverError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("door");
        let door = Door::open(&path).unwrap();
        let old = async {
            let Successor { line } = door.successor().await.unwrap();
            line.say(&Message::Everything, &[]).await.unwrap();
            assert!(matches!(line.hear().await, Ok((Message::Ready, _))));
            for message in [Some(Message::Go), last].into_iter().flatten() {
                line.say(&message, &[]).await.unwrap();
            }
        };
        let new = async {
            let inherited = Inherited::take_over(&path, MOMENT).await.unwrap();
            inherited.begin(MOMENT).await
        };
        tokio::join!(old, new).1
    }

    #[tokio::test]
    async fn who_was_given_up_on_does_not_serve_and_who_is_alone_does() {
        let gave_up = Message::Refused { why: "too late".to_owned() };
        let began = began_before(Some(gave_up)).await;
        assert!(matches!(began, Err(HandOverError::Refused(_))), "{began:?}");
        began_before(None).await.unwrap();
    }
}
