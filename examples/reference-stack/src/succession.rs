//! One stack takes over from another: on SIGUSR2 it starts its own binary again, with the same
//! arguments, and hands over; with --hand-over-socket, whoever started the next one did.
//!
//! Memory starts cold in the new process. A folder belongs to one process at a time, so the old
//! one closes its disk tier when the new one has come, and the new one opens it: what was stored
//! and purged is there. Until the new one serves, the old one answers from memory and upstream, and
//! refuses purges, which would be lost. Should the hand-over fail after that, the old process goes on
//! so, without its disk tier, until another process takes over; one that had none takes purges again.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use headwater_net::server::{Door, HandOverError, Inherited, ServerHandle, Successor};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::operator::Operator;
use crate::{Args, Error, say};

/// How long the next process may take until it could serve.
const WITHIN: Duration = Duration::from_secs(60);
/// How long to wait after a hand-over that failed: out of descriptors, the next does so at once.
const PAUSE: Duration = Duration::from_secs(1);
/// Tells a process that this one starts whom it takes over from.
const TAKE_OVER: &str = "HEADWATER_TAKE_OVER";
/// What tells of a supervisor's sockets and watchdog, and holds for one process only.
const OF_ONE_PROCESS: [&str; 4] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"];

/// What the process before gave, if there is one.
pub(crate) async fn take_over(args: &Args) -> Result<Option<Inherited>, Error> {
    let started_by = std::env::var_os(TAKE_OVER).map(PathBuf::from);
    let Some(path) = started_by.as_ref().or(args.hand_over_socket.as_ref()) else {
        return Ok(None);
    };
    match Inherited::take_over(path, WITHIN).await {
        Ok(inherited) => Ok(Some(inherited)),
        Err(HandOverError::Nobody { .. }) if started_by.is_none() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Tells the process before that this one serves now.
pub(crate) async fn begin(inherited: Option<&Inherited>) -> Result<(), Error> {
    match inherited {
        Some(inherited) => Ok(inherited.begin(WITHIN).await?),
        None => Ok(()),
    }
}

/// Where the next process comes in, and what makes it come.
pub(crate) struct Succession {
    binary: PathBuf,
    state: PathBuf,
    door: Option<Door>,
    usr2: Signal,
    /// Whether a cache has a disk tier, which forgets no purge.
    on_disk: bool,
}

impl Succession {
    /// To be made before the binary may be replaced.
    pub(crate) fn new(args: &Args, state: &Path) -> Result<Self, Error> {
        let binary = std::env::current_exe()
            .map_err(|source| Error::File { path: "the program itself".into(), source })?;
        let usr2 = signal(SignalKind::user_defined2()).map_err(Error::Threads)?;
        let on_disk = args.cache_dir.is_some();
        Ok(Self { binary, state: state.to_owned(), door: None, usr2, on_disk })
    }

    /// Lets the next process in at its socket, where there is to be one.
    pub(crate) fn open(&mut self, args: &Args) -> Result<(), Error> {
        self.door = args.hand_over_socket.as_ref().map(Door::open).transpose()?;
        Ok(())
    }

    /// Returns when another process serves in place of this one; hand-overs that fail are told of.
    /// Not cancel safe while one is under way.
    pub(crate) async fn succeeded(&mut self, servers: &[&ServerHandle], operator: &Operator) {
        loop {
            let at_door = async {
                match &self.door {
                    Some(door) => door.successor().await,
                    None => std::future::pending().await,
                }
            };
            let came = tokio::select! {
                came = at_door => came.map_err(Error::from),
                Some(()) = self.usr2.recv() => self.start_next().await,
            };
            let done = match came {
                Ok(successor) => self.hand_over(successor, servers, operator).await,
                Err(error) => Err(error),
            };
            match done {
                Ok(()) => {
                    if let Some(door) = &self.door {
                        door.leave();
                    }
                    return;
                }
                Err(error) => {
                    say(&format!("this process serves on: {error}"));
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Starts this program again, and waits until it comes.
    async fn start_next(&self) -> Result<Successor, Error> {
        let path = self.state.join(format!("hand-over-{}.sock", std::process::id()));
        let door = Door::open(&path)?;
        let mut command = Command::new(&self.binary);
        command.args(std::env::args_os().skip(1)).env(TAKE_OVER, &path);
        for name in OF_ONE_PROCESS {
            command.env_remove(name);
        }
        let mut child =
            command.spawn().map_err(|source| Error::File { path: self.binary.clone(), source })?;
        let (tell, ended) = oneshot::channel();
        // Ends with the child or with this process.
        std::thread::spawn(move || {
            let _ = tell.send(child.wait());
        });
        tokio::select! {
            successor = door.successor() => Ok(successor?),
            _ = ended => Err(HandOverError::Lost.into()),
            () = tokio::time::sleep(WITHIN) => Err(HandOverError::TooLate.into()),
        }
    }

    async fn hand_over(
        &self,
        successor: Successor,
        servers: &[&ServerHandle],
        operator: &Operator,
    ) -> Result<(), Error> {
        let pid = successor.pid();
        let caches = operator.caches();
        caches.refuse_purges(true).await;
        caches.close().await;
        let done = successor.hand_over(servers, WITHIN).await;
        match &done {
            Ok(()) => {
                let who = pid.map_or_else(String::new, |pid| format!(", process {pid}"));
                say(&format!("another process took over{who}"));
            }
            // What is on disk would come back with the next process.
            Err(_) => caches.refuse_purges(self.on_disk).await,
        }
        Ok(done?)
    }
}
