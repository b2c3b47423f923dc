//! One process takes over from another: on SIGUSR2 this one starts its own program again, with the
//! same arguments, and hands over to it; at its hand-over socket, to whoever comes in there.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use rustix::process::{Pid, Signal as Kind, kill_process};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Duties, ProcessError};
use crate::server::{Door, HandOverError, Inherited, ServerHandle, Successor};

/// How long the next process may take until it could serve.
pub(super) const WITHIN: Duration = Duration::from_secs(60);
/// How long to wait after a hand-over that failed: out of descriptors, the next does so at once.
const PAUSE: Duration = Duration::from_secs(1);
/// How often one that has been started is looked at until it comes.
const LOOK: Duration = Duration::from_millis(50);
/// Tells a process that this one starts whom it takes over from.
const TAKE_OVER: &str = "HEADWATER_TAKE_OVER";
/// What tells of a supervisor's sockets and watchdog, and holds for one process only.
const OF_ONE_PROCESS: [&str; 4] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"];

/// What the process before gave, if there is one.
pub(super) async fn take_over(door: Option<&Path>) -> Result<Option<Inherited>, HandOverError> {
    let started_by = std::env::var_os(TAKE_OVER).map(PathBuf::from);
    let Some(path) = started_by.as_deref().or(door) else { return Ok(None) };
    match Inherited::take_over(path, WITHIN).await {
        Ok(inherited) => Ok(Some(inherited)),
        Err(HandOverError::Nobody { .. }) if started_by.is_none() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where the next process comes in, and what makes it come.
#[derive(Debug)]
pub(super) struct Succession {
    binary: PathBuf,
    dir: PathBuf,
    door: Option<Door>,
    usr2: Signal,
}

impl Succession {
    /// To be made before the binary may be replaced.
    pub(super) fn new(dir: PathBuf) -> Result<Self, ProcessError> {
        let binary = std::env::current_exe().map_err(ProcessError::Program)?;
        let usr2 = signal(SignalKind::user_defined2()).map_err(ProcessError::Signals)?;
        Ok(Self { binary, dir, door: None, usr2 })
    }

    /// Lets the next process in at this door.
    pub(super) fn open(&mut self, door: Option<Door>) {
        self.door = door;
    }

    /// Returns when another process serves in place of this one, with its number where the system
    /// says; hand-overs that fail are told of. Not cancel safe while one is under way: one that this process
    /// has started is asked to end then, as this one is.
    pub(super) async fn succeeded(
        &mut self,
        servers: &[&ServerHandle],
        duties: &impl Duties,
    ) -> Option<u32> {
        loop {
            let at_door = async {
                match &self.door {
                    Some(door) => door.successor().await.map(|successor| (successor, None)),
                    None => std::future::pending().await,
                }
            };
            let came = tokio::select! {
                came = at_door => came,
                Some(()) = self.usr2.recv() => self.start_next().await,
            };
            let done = match came {
                Ok((successor, started)) => {
                    hand_over(successor, servers, duties).await.map(|pid| (pid, started))
                }
                Err(error) => Err(error),
            };
            match done {
                Ok((pid, started)) => {
                    if let Some(started) = started {
                        started.stay();
                    }
                    if let Some(door) = &self.door {
                        door.leave();
                    }
                    return pid;
                }
                Err(error) => {
                    duties.say(&format!("this process serves on: {error}"));
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Starts this program again, and waits until it comes.
    async fn start_next(&self) -> Result<(Successor, Option<Started>), HandOverError> {
        let path = self.dir.join(format!("hand-over-{}.sock", std::process::id()));
        let door = Door::open(&path)?;
        let mut command = Command::new(&self.binary);
        command.args(std::env::args_os().skip(1)).env(TAKE_OVER, &path);
        for name in OF_ONE_PROCESS {
            command.env_remove(name);
        }
        let child = command
            .spawn()
            .map_err(|source| HandOverError::Program { path: self.binary.clone(), source })?;
        let mut started = Started(Some(child));
        let came = tokio::select! {
            successor = door.successor() => successor,
            () = started.ended() => Err(HandOverError::Lost),
            () = tokio::time::sleep(WITHIN) => Err(HandOverError::TooLate),
        };
        came.map(|successor| (successor, Some(started)))
    }
}

/// A process that this one has started to take its place. Dropped before it has, it is asked to end: nobody
/// else would know of it.
#[derive(Debug)]
struct Started(Option<Child>);

impl Started {
    /// Returns when it has ended.
    async fn ended(&mut self) {
        while self.0.as_mut().is_some_and(runs) {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// It serves.
    fn stay(mut self) {
        if let Some(child) = self.0.take() {
            reap(child);
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // As long as nobody has waited for it, its number is no other's.
        if let Some(mut child) = self.0.take()
            && runs(&mut child)
        {
            let _ = kill_process(Pid::from_child(&child), Kind::TERM);
            reap(child);
        }
    }
}

/// Has the system forget a process when it ends, unless this one ends before.
fn reap(mut child: Child) {
    std::thread::spawn(move || child.wait());
}

fn runs(child: &mut Child) -> bool {
    matches!(child.try_wait(), Ok(None))
}

async fn hand_over(
    successor: Successor,
    servers: &[&ServerHandle],
    duties: &impl Duties,
) -> Result<Option<u32>, HandOverError> {
    let pid = successor.pid();
    duties.release().await;
    match successor.hand_over(servers, WITHIN).await {
        Ok(()) => {
            let who = pid.map_or_else(String::new, |pid| format!(", process {pid}"));
            duties.say(&format!("another process took over{who}"));
            Ok(pid)
        }
        Err(error) => {
            duties.resume().await;
            Err(error)
        }
    }
}
