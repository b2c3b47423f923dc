//! Sockets that another process has given to this one.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::HandOverError;
use super::line::{Line, unexpected};
use super::message::{Kind, MAX_MESSAGES, Message, Place, Sockets};
use crate::server::control::Phase;
use crate::server::keys::SavedKeys;
use crate::server::quic::{Elder, Elders};
use crate::server::tls::Sessions;
use crate::server::unix::SocketFile;

/// Sockets that another process has given to this one, for
/// [`ServerBuilder::inherit`](crate::server::ServerBuilder::inherit). Clones share them.
///
/// A server finds its own by its name and its addresses: an address is found as it was asked for
/// (so that port 0 finds its port again), or as it was bound. What no server wants is closed by
/// [`Inherited::begin`].
#[derive(Clone, Debug)]
pub struct Inherited(Arc<Mutex<Bag>>);

#[derive(Debug, Default)]
struct Bag {
    servers: Vec<OfServer>,
    /// Servers that have been started with these, and wait.
    started: Vec<Started>,
    /// To the process before.
    line: Option<Line>,
}

#[derive(Debug)]
struct OfServer {
    name: String,
    generation: u8,
    keys: Option<SavedKeys>,
    given: Vec<Given>,
}

/// The sockets of one place.
#[derive(Debug)]
pub(in crate::server) struct Given {
    pub(in crate::server) place: Place,
    pub(in crate::server) tcp: Vec<TcpListener>,
    pub(in crate::server) udp: Vec<UdpSocket>,
    pub(in crate::server) unix: Vec<UnixListener>,
    /// The process before, and those before that one.
    pub(in crate::server) elders: Vec<Elder>,
}

#[derive(Debug)]
struct Started {
    name: String,
    phase: watch::Sender<Phase>,
    elders: Vec<(SocketAddr, Arc<Elders>)>,
    sessions: Option<Arc<Sessions>>,
    files: Vec<Arc<SocketFile>>,
}

impl Inherited {
    /// Takes the sockets of the process whose [`Door`](super::Door) is at `path`. That process
    /// serves on until [`Inherited::begin`]. To be called in a tokio runtime.
    ///
    /// # Errors
    /// [`HandOverError`]; of these [`HandOverError::Nobody`] says that there is no such process.
    pub async fn take_over(
        path: impl AsRef<Path>,
        within: Duration,
    ) -> Result<Self, HandOverError> {
        let line = Line::connect(path.as_ref())?;
        let taken = tokio::time::timeout(within, async {
            line.greet().await?;
            let mut bag = Bag::default();
            for _ in 0..MAX_MESSAGES {
                match line.hear().await? {
                    (Message::Everything, _) => {
                        bag.line = Some(line);
                        return Ok(Self(Arc::new(Mutex::new(bag))));
                    }
                    (Message::Server { name, generation, keys }, _) => {
                        let keys = Some(keys);
                        bag.servers.push(OfServer { name, generation, keys, given: Vec::new() });
                    }
                    (Message::Sockets(sockets), descriptors) => {
                        bag.add(sockets, descriptors)?;
                    }
                    (Message::Refused { why }, _) => return Err(HandOverError::Refused(why)),
                    (other, _) => return Err(unexpected(&other)),
                }
            }
            Err(HandOverError::Nonsense)
        });
        taken.await.unwrap_or(Err(HandOverError::TooLate))
    }

    /// Tells the process before that this one is ready, and serves with all servers that were
    /// started with these sockets, once it has let go of them.
    ///
    /// # Errors
    /// [`HandOverError`]: the process before serves on, and this one should end.
    pub async fn begin(&self, within: Duration) -> Result<(), HandOverError> {
        let (line, started) = {
            let mut bag = self.lock();
            bag.servers.clear();
            (bag.line.take(), std::mem::take(&mut bag.started))
        };
        let Some(line) = line else { return Ok(()) };
        let began = tokio::time::timeout(within, async {
            line.say(&Message::Ready, &[]).await?;
            for _ in 0..MAX_MESSAGES {
                match line.hear().await?.0 {
                    Message::Handshakes { server, addr, list } => {
                        let of_server = started.iter().filter(|started| started.name == server);
                        let mut elders = of_server.flat_map(|started| &started.elders);
                        if let Some((_, elders)) = elders.find(|(bound, _)| *bound == addr) {
                            elders.handshakes.add(list);
                        }
                    }
                    Message::Sessions { server, terms, list } => {
                        let of_server = started.iter().filter(|started| started.name == server);
                        let mut all = of_server.filter_map(|started| started.sessions.as_ref());
                        if let Some(sessions) = all.next() {
                            sessions.add(terms, list);
                        }
                    }
                    Message::Go => {
                        for started in &started {
                            started.files.iter().for_each(|file| file.own());
                            started.phase.send_if_modified(|phase| {
                                let waits = *phase == Phase::Paused;
                                if waits {
                                    *phase = Phase::Running;
                                }
                                waits
                            });
                        }
                        return serve(&line).await;
                    }
                    other => return Err(unexpected(&other)),
                }
            }
            Err(HandOverError::Nonsense)
        });
        began.await.unwrap_or(Err(HandOverError::TooLate))
    }

    /// Whether a server that is started with these waits for [`Inherited::begin`].
    pub(in crate::server) fn waits(&self) -> bool {
        self.lock().line.is_some()
    }

    /// The generation and the keys of the server of this name, in the process before.
    pub(in crate::server) fn keys(&self, name: &str) -> Option<(u8, SavedKeys)> {
        let bag = self.lock();
        let server = bag.servers.iter().find(|server| server.name == name)?;
        Some((server.generation, server.keys.clone()?))
    }

    /// The sockets of an address, for TLS or in the clear.
    pub(in crate::server) fn take(
        &self,
        name: &str,
        https: bool,
        addr: SocketAddr,
    ) -> Option<Given> {
        self.lock().take(name, |place| match place {
            Place::Https { asked, bound } => *bound == addr || (https && *asked == addr),
            Place::Http { asked, bound } => *bound == addr || (!https && *asked == addr),
            Place::Unix { .. } => false,
        })
    }

    /// The sockets of a Unix socket.
    pub(in crate::server) fn take_unix(&self, name: &str, wanted: &Path) -> Option<Given> {
        self.lock().take(name, |place| matches!(place, Place::Unix { path, .. } if path == wanted))
    }

    /// Remembers a server that waits to begin.
    pub(in crate::server) fn started(
        &self,
        name: &str,
        phase: &watch::Sender<Phase>,
        elders: Vec<(SocketAddr, Arc<Elders>)>,
        sessions: Option<Arc<Sessions>>,
        files: Vec<Arc<SocketFile>>,
    ) {
        let (name, phase) = (name.to_owned(), phase.clone());
        self.lock().started.push(Started { name, phase, elders, sessions, files });
    }

    fn lock(&self) -> MutexGuard<'_, Bag> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says that this process serves, and hears whether the one before has given up on it meanwhile:
/// where that one hangs up without a word, or has ended, nobody serves but this one.
async fn serve(line: &Line) -> Result<(), HandOverError> {
    match line.say(&Message::Serving, &[]).await {
        Ok(()) | Err(HandOverError::Lost) => {}
        Err(error) => return Err(error),
    }
    match line.hear().await {
        Err(HandOverError::Lost) => Ok(()),
        Ok((Message::Refused { why }, _)) => Err(HandOverError::Refused(why)),
        Ok((other, _)) => Err(unexpected(&other)),
        Err(error) => Err(error),
    }
}

impl Bag {
    fn take(&mut self, name: &str, is_wanted: impl Fn(&Place) -> bool) -> Option<Given> {
        let server = self.servers.iter_mut().find(|server| server.name == name)?;
        let has_sockets = |given: &Given| !(given.tcp.is_empty() && given.unix.is_empty());
        let is_it = |given: &Given| has_sockets(given) && is_wanted(&given.place);
        let at = server.given.iter().position(is_it)?;
        Some(server.given.remove(at))
    }

    fn add(
        &mut self,
        sockets: Sockets,
        descriptors: Vec<std::os::fd::OwnedFd>,
    ) -> Result<(), HandOverError> {
        let Sockets { count, place, kind } = sockets;
        // Too many open files: the system leaves descriptors out.
        if count != descriptors.len() {
            return Err(io::Error::other("the system took not all descriptors").into());
        }
        let server = self.servers.last_mut().ok_or(HandOverError::Nonsense)?;
        let at = server.given.iter().position(|given| given.place == place).unwrap_or_else(|| {
            server.given.push(Given::new(place));
            server.given.len() - 1
        });
        let given = server.given.get_mut(at).ok_or(HandOverError::Nonsense)?;
        match (kind, &given.place) {
            (Kind::Stream, Place::Unix { .. }) => {
                given.unix.extend(descriptors.into_iter().map(UnixListener::from));
            }
            (Kind::Stream, _) => given.tcp.extend(descriptors.into_iter().map(TcpListener::from)),
            (Kind::Datagram, _) => given.udp.extend(descriptors.into_iter().map(UdpSocket::from)),
            (Kind::Way { generation }, _) => {
                match given.elders.iter_mut().find(|elder| elder.generation == generation) {
                    Some(elder) => elder.extend(descriptors),
                    None => given.elders.push(Elder::new(generation, descriptors)),
                }
            }
        }
        Ok(())
    }
}

impl Given {
    /// Of a place without any.
    pub(in crate::server) fn new(place: Place) -> Self {
        Self { place, tcp: Vec::new(), udp: Vec::new(), unix: Vec::new(), elders: Vec::new() }
    }
}
