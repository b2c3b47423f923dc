//! Sockets that a supervisor has opened for this process: socket activation, as sd_listen_fds(3)
//! writes it down.
//!
//! The supervisor binds, may be as a user who is allowed to, and leaves the descriptors to the
//! process that it starts: `LISTEN_FDS` says how many there are, from the third on, `LISTEN_PID` for
//! which process, `LISTEN_FDNAMES` what they are called. A server finds those at its addresses
//! ([`ServerBuilder::activated_by`](super::ServerBuilder::activated_by)), a program finds addresses
//! by the sockets' name ([`Activation::addrs`]). Whatever else the supervisor passes is an error and
//! not ignored: its clients would connect, and wait for ever.
//!
//! # What it costs
//! A socket that this process binds, it binds once for each worker, and the system spreads clients
//! over them. A supervisor's socket is one. All workers accept from it: each connection wakes those
//! that wait, and the first one there gets it. Of a UDP socket one worker reads what comes and passes
//! to the others what is theirs, a copy of each datagram. Neither matters for one worker. With more,
//! have the supervisor open as many sockets for the same address as there are workers (in systemd:
//! the line repeated in one unit, and `ReusePort=yes`), and each has its own.

use std::env;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use listenfd::ListenFd;
use socket2::SockRef;

use super::hand_over::{Given, Place};

/// The number of the first descriptor.
const FIRST: usize = 3;
/// The most descriptors that are taken.
const MAX_DESCRIPTORS: usize = 1024;

/// Why a supervisor's sockets cannot be used: one sentence that names the descriptor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ActivationError {
    /// The environment contradicts itself.
    #[error("the supervisor's {variable} makes no sense: {why}")]
    Environment {
        /// Its name.
        variable: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A descriptor is no socket on which a server could listen.
    #[error("the supervisor gave as {which} what is no socket to listen on: {why}")]
    Descriptor {
        /// Its number, and its name if it has one.
        which: String,
        /// What it is.
        why: String,
    },
    /// No server was told to listen there.
    #[error("the supervisor gave as {which} a socket at {place}, where nothing is set to listen")]
    Unwanted {
        /// Its number, and its name if it has one.
        which: String,
        /// Where it is bound.
        place: String,
    },
}

/// Sockets that a supervisor has opened. Clones share them: each is taken by one server.
#[derive(Clone, Debug)]
pub struct Activation(Arc<Mutex<Vec<Passed>>>);

/// One of them.
#[derive(Debug)]
struct Passed {
    number: usize,
    name: Option<String>,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Tcp(SocketAddr, TcpListener),
    Udp(SocketAddr, UdpSocket),
    Unix(PathBuf, UnixListener),
}

impl Activation {
    /// The sockets that the supervisor has passed to this process; `None` without any. What tells of
    /// them is taken out of the environment, so that no program that is started from here believes
    /// them to be its own: to be called once, before there are other threads.
    ///
    /// # Errors
    /// [`ActivationError`] when the supervisor contradicts itself, or has passed something else.
    pub fn from_env() -> Result<Option<Self>, ActivationError> {
        let Some(announced) = Announced::in_environment()? else { return Ok(None) };
        let mut given = ListenFd::from_env();
        announced
            .names
            .into_iter()
            .enumerate()
            .map(|(at, name)| Passed::take(&mut given, at, name))
            .collect::<Result<_, _>>()
            .map(|all| Some(Self(Arc::new(Mutex::new(all)))))
    }

    /// The addresses of the sockets with this name (`FileDescriptorName=` of systemd), each once, in
    /// the order of the descriptors.
    pub fn addrs(&self, name: &str) -> Vec<SocketAddr> {
        let mut addrs = Vec::new();
        for passed in self.lock().iter().filter(|passed| passed.name.as_deref() == Some(name)) {
            match &passed.socket {
                Socket::Tcp(addr, _) | Socket::Udp(addr, _) if !addrs.contains(addr) => {
                    addrs.push(*addr);
                }
                _ => {}
            }
        }
        addrs
    }

    /// Whether servers have taken all of them; to be asked when those are started.
    ///
    /// # Errors
    /// [`ActivationError::Unwanted`] names the first one of which no server knows.
    pub fn all_taken(&self) -> Result<(), ActivationError> {
        self.lock().first().map_or(Ok(()), |passed| {
            let which = which(passed.number, passed.name.as_deref());
            Err(ActivationError::Unwanted { which, place: passed.socket.to_string() })
        })
    }

    /// The sockets at an address: those that accept, and with `quic` those that receive.
    pub(super) fn take(&self, wanted: SocketAddr, quic: bool) -> Option<Given> {
        let same = |addr: SocketAddr| (addr.ip(), addr.port()) == (wanted.ip(), wanted.port());
        let is_it = |socket: &Socket| match socket {
            Socket::Tcp(addr, _) => same(*addr),
            Socket::Udp(addr, _) => quic && same(*addr),
            Socket::Unix(..) => false,
        };
        let place = if quic {
            Place::Https { asked: wanted, bound: wanted }
        } else {
            Place::Http { asked: wanted, bound: wanted }
        };
        self.give(place, is_it)
    }

    /// The Unix sockets at a path.
    pub(super) fn take_unix(&self, wanted: &Path) -> Option<Given> {
        let place = Place::Unix { path: wanted.to_owned(), keep: true };
        self.give(place, |socket| matches!(socket, Socket::Unix(path, _) if path == wanted))
    }

    fn give(&self, place: Place, is_it: impl Fn(&Socket) -> bool) -> Option<Given> {
        let mut all = self.lock();
        let mut given = Given::new(place);
        let mut any = false;
        for passed in all.extract_if(.., |passed| is_it(&passed.socket)) {
            any = true;
            match passed.socket {
                Socket::Tcp(_, socket) => given.tcp.push(socket),
                Socket::Udp(_, socket) => given.udp.push(socket),
                Socket::Unix(_, socket) => given.unix.push(socket),
            }
        }
        any.then_some(given)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Passed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the environment says of this process's descriptors: a name or none for each.
#[derive(Debug, PartialEq, Eq)]
struct Announced {
    names: Vec<Option<String>>,
}

impl Announced {
    fn in_environment() -> Result<Option<Self>, ActivationError> {
        let text = |name| env::var_os(name).map(|text| text.to_string_lossy().into_owned());
        let (pid, count, names) = (text("LISTEN_PID"), text("LISTEN_FDS"), text("LISTEN_FDNAMES"));
        Self::read(std::process::id(), pid.as_deref(), count.as_deref(), names.as_deref())
    }

    /// `None` where they are another process's, or there are none.
    fn read(
        own_pid: u32,
        pid: Option<&str>,
        count: Option<&str>,
        names: Option<&str>,
    ) -> Result<Option<Self>, ActivationError> {
        let wrong = |variable, why| ActivationError::Environment { variable, why };
        let (Some(pid), Some(text)) = (pid, count) else { return Ok(None) };
        if pid.parse() != Ok(own_pid) {
            return Ok(None);
        }
        let count = text.parse::<usize>().ok().filter(|count| *count <= MAX_DESCRIPTORS);
        let count = count.ok_or_else(|| {
            let why = format!("`{text}` is no number up to {MAX_DESCRIPTORS}");
            wrong("LISTEN_FDS", why)
        })?;
        let names: Vec<Option<String>> = match names {
            Some(names) => names.split(':').map(|name| Some(name.to_owned())).collect(),
            None => vec![None; count],
        };
        if names.len() != count && count > 0 {
            let why = format!("it has {} names for {count} descriptors", names.len());
            return Err(wrong("LISTEN_FDNAMES", why));
        }
        Ok((count > 0).then_some(Self { names }))
    }
}

impl Passed {
    fn take(
        given: &mut ListenFd,
        at: usize,
        name: Option<String>,
    ) -> Result<Self, ActivationError> {
        let number = FIRST + at;
        let refuse = |why: String| ActivationError::Descriptor {
            which: which(number, name.as_deref()),
            why,
        };
        let socket = Socket::take(given, at).map_err(|error| refuse(error.to_string()))?;
        let socket = socket.ok_or_else(|| {
            refuse("it is neither a TCP listener nor a UDP or Unix socket".to_owned())
        })?;
        Ok(Self { number, name, socket })
    }
}

impl Socket {
    /// `None` where it is of no kind that a server listens with.
    fn take(given: &mut ListenFd, at: usize) -> io::Result<Option<Self>> {
        if let Ok(Some(socket)) = given.take_tcp_listener(at) {
            accepts(&SockRef::from(&socket))?;
            socket.set_nonblocking(true)?;
            return Ok(Some(Self::Tcp(socket.local_addr()?, socket)));
        }
        if let Ok(Some(socket)) = given.take_udp_socket(at) {
            socket.set_nonblocking(true)?;
            return Ok(Some(Self::Udp(socket.local_addr()?, socket)));
        }
        if let Ok(Some(socket)) = given.take_unix_listener(at) {
            accepts(&SockRef::from(&socket))?;
            socket.set_nonblocking(true)?;
            let addr = socket.local_addr()?;
            let path = addr.as_pathname().ok_or_else(|| io::Error::other("it has no file"))?;
            return Ok(Some(Self::Unix(path.to_owned(), socket)));
        }
        Ok(None)
    }
}

/// Where a supervisor accepts by itself, it passes connections.
fn accepts(socket: &SockRef<'_>) -> io::Result<()> {
    // Elsewhere no supervisor speaks this.
    #[cfg(target_os = "linux")]
    if !socket.is_listener()? {
        return Err(io::Error::other("it is a connection; `Accept=no` passes the socket itself"));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = socket;
    Ok(())
}

fn which(number: usize, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("descriptor {number} ({name})"),
        None => format!("descriptor {number}"),
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr, _) => write!(f, "TCP {addr}"),
            Self::Udp(addr, _) => write!(f, "UDP {addr}"),
            Self::Unix(path, _) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn read(pid: &str, count: &str, names: Option<&str>) -> Result<Option<Announced>, String> {
        Announced::read(7, Some(pid), Some(count), names).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_announced_to_another_process_is_none_of_ours() {
        assert_eq!(read("8", "1", None), Ok(None));
        assert_eq!(read("8", "nonsense", Some("a:b")), Ok(None));
        assert_eq!(Announced::read(7, None, Some("1"), None).unwrap(), None);
        assert_eq!(Announced::read(7, Some("7"), None, None).unwrap(), None);
        assert_eq!(read("7", "0", Some("")), Ok(None));
    }

    #[test]
    fn each_descriptor_has_its_name() {
        let names = |names: &[Option<&str>]| {
            let names = names.iter().map(|name| name.map(str::to_owned)).collect();
            Ok(Some(Announced { names }))
        };
        assert_eq!(read("7", "2", None), names(&[None, None]));
        assert_eq!(read("7", "2", Some("https:web")), names(&[Some("https"), Some("web")]));
        for (count, given, said) in [
            (
                "-1",
                None,
                "the supervisor's LISTEN_FDS makes no sense: `-1` is no number up to 1024",
            ),
            (
                "3",
                Some("a:b"),
                "the supervisor's LISTEN_FDNAMES makes no sense: it has 2 names for 3 descriptors",
            ),
        ] {
            assert_eq!(read("7", count, given), Err(said.to_owned()));
        }
        assert!(read("7", "99999999999", None).is_err());
    }

    fn passed(sockets: Vec<(&str, Socket)>) -> Activation {
        let passed = sockets.into_iter().enumerate().map(|(at, (name, socket))| Passed {
            number: FIRST + at,
            name: Some(name.to_owned()),
            socket,
        });
        Activation(Arc::new(Mutex::new(passed.collect())))
    }

    fn tcp() -> (SocketAddr, TcpListener) {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        (socket.local_addr().unwrap(), socket)
    }

    #[test]
    fn sockets_are_taken_once_by_who_listens_there_and_the_rest_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("edge.sock");
        let ((addr, one), (other, third)) = (tcp(), tcp());
        let two = one.try_clone().unwrap();
        let udp = UdpSocket::bind(addr).unwrap();
        let activation = passed(vec![
            ("https", Socket::Tcp(addr, one)),
            ("https", Socket::Udp(addr, udp)),
            ("https", Socket::Tcp(addr, two)),
            ("web", Socket::Tcp(other, third)),
            ("unix", Socket::Unix(path.clone(), UnixListener::bind(&path).unwrap())),
        ]);
        assert_eq!(activation.addrs("https"), [addr]);
        assert_eq!(activation.addrs("web"), [other]);
        assert!(activation.addrs("unix").is_empty() && activation.addrs("").is_empty());

        let given = activation.take(addr, true).unwrap();
        assert_eq!((given.tcp.len(), given.udp.len(), given.unix.len()), (2, 1, 0));
        assert!(activation.take(addr, true).is_none());
        assert!(activation.take_unix(Path::new("/elsewhere")).is_none());
        assert_eq!(activation.take_unix(&path).unwrap().unix.len(), 1);
        let said = activation.all_taken().unwrap_err().to_string();
        let expected = format!(
            "the supervisor gave as descriptor 6 (web) a socket at TCP {other}, where nothing is set \
             to listen"
        );
        assert_eq!(said, expected);
        assert_eq!(activation.take(other, false).unwrap().tcp.len(), 1);
        activation.all_taken().unwrap();
    }

    #[test]
    fn a_server_without_quic_leaves_what_receives() {
        let (addr, socket) = tcp();
        let udp = UdpSocket::bind(addr).unwrap();
        let activation =
            passed(vec![("a", Socket::Tcp(addr, socket)), ("b", Socket::Udp(addr, udp))]);
        assert!(activation.take(addr, false).unwrap().udp.is_empty());
        let said = activation.all_taken().unwrap_err().to_string();
        assert!(said.contains("descriptor 4 (b)") && said.contains("UDP"), "{said}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_connection_is_told_from_a_listener() {
        let (addr, listener) = tcp();
        let connection = std::net::TcpStream::connect(addr).unwrap();
        accepts(&SockRef::from(&listener)).unwrap();
        let said = accepts(&SockRef::from(&connection)).unwrap_err().to_string();
        assert!(said.contains("Accept=no"), "{said}");
    }
}
