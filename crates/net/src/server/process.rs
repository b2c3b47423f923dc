//! The life of a process that serves, from its start to its end, as signals, a supervisor and the
//! next process ask for it. What [`Activation`], [`Supervisor`], [`Inherited`] and [`Door`] do each
//! for itself, in the order in which it is right.
//!
//! | what comes | what is done |
//! |---|---|
//! | SIGTERM, SIGINT | accepts nothing more, and ends when all requests are answered, or at a deadline; at a second signal at once. A process that it has started and that does not serve yet ends, too |
//! | SIGHUP | reads files again ([`Duties::reload`]) |
//! | SIGUSR1 | opens its logs again ([`Duties::reopen`]) |
//! | SIGUSR2 | starts its own program anew, with the same arguments, and hands over to it |
//! | another process at the hand-over socket | hands over to it |
//!
//! Without a supervisor, nobody is told anything, and sockets are bound as ever.
//!
//! ```no_run
//! use std::time::Duration;
//! use headwater_net::server::{Duties, Process, ProcessError, Server, Tls};
//! # use headwater_net::Body;
//! # async fn answer(_: http::Request<Body>) -> Result<http::Response<Body>, std::convert::Infallible> {
//! #     unimplemented!()
//! # }
//!
//! struct Edge(Tls);
//!
//! impl Duties for Edge {
//!     async fn reload(&self) {
//!         let read = self.0.reload();
//!         self.say(&read.map_or_else(|error| error.to_string(), |_| "read again".to_owned()));
//!     }
//!     async fn release(&self) {}
//!     async fn resume(&self) {}
//!     fn say(&self, text: &str) {
//!         eprintln!("{text}");
//!     }
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let mut process = Process::start("/run/edge", None).await?;
//! let edge = Edge(Tls::from_folder("/etc/edge/certificates")?);
//! let server = process.server("main").https("[::]:443").tls(edge.0.clone());
//! let server = server.serve(|_| tower::service_fn(answer))?;
//! process.begin(&edge).await?;
//! let end = process.run(&[&server], &edge, "serving").await;
//! process.drain(end, &[&server], Duration::from_secs(10), &edge).await;
//! # Ok(()) }
//! ```

mod stop;
mod succession;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{
    Activation, ActivationError, Door, HandOverError, Inherited, Server, ServerBuilder,
    ServerHandle, Supervisor,
};
use stop::Stop;
use succession::Succession;

/// Why a process cannot serve, or not in place of another.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// The supervisor's sockets cannot be used.
    #[error(transparent)]
    Activation(#[from] ActivationError),
    /// The process before cannot be taken over from, or the next one could not come in.
    #[error(transparent)]
    HandOver(#[from] HandOverError),
    /// The system gives no signals.
    #[error("signals cannot be received: {0}")]
    Signals(#[source] io::Error),
    /// The program does not find itself, to be started again.
    #[error("the program's own file cannot be found: {0}")]
    Program(#[source] io::Error),
}

/// What only the program knows how to do.
pub trait Duties {
    /// Reads again what it has read from files, and says what came of it.
    fn reload(&self) -> impl Future<Output = ()>;

    /// Opens its logs again, which somebody has moved away; by default there are none.
    fn reopen(&self) -> impl Future<Output = ()> {
        async {}
    }

    /// Lets go of what only one process may have, such as a cache's folder: another process is about
    /// to take over, and needs it to start.
    fn release(&self) -> impl Future<Output = ()>;

    /// Takes up again what was let go: the other process did not take over.
    fn resume(&self) -> impl Future<Output = ()>;

    /// Tells people, in a sentence.
    fn say(&self, text: &str);
}

/// Why a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was asked to, by a signal.
    Asked,
    /// Another process serves in its place.
    Succeeded,
}

/// See the module.
#[derive(Debug)]
pub struct Process {
    supervisor: Supervisor,
    activation: Option<Activation>,
    inherited: Option<Inherited>,
    succession: Succession,
    /// Where the next process comes in, if it is told to anybody.
    door: Option<PathBuf>,
    hangup: Signal,
    rotated: Signal,
    stop: Stop,
}

impl Process {
    /// Begins: receives signals from now on, takes the supervisor's sockets, and those of the process
    /// before, if it was started by one or one hands over at `door`. In `dir` a socket is made for a
    /// moment when this process starts the next one. To be called once, in a tokio runtime, before
    /// there are other threads.
    ///
    /// # Errors
    /// [`ProcessError`]. A process before serves on.
    pub async fn start(dir: impl Into<PathBuf>, door: Option<&Path>) -> Result<Self, ProcessError> {
        let activation = Activation::from_env()?;
        let stop = Stop::on_signals().map_err(ProcessError::Signals)?;
        let hangup = signal(SignalKind::hangup()).map_err(ProcessError::Signals)?;
        let rotated = signal(SignalKind::user_defined1()).map_err(ProcessError::Signals)?;
        let succession = Succession::new(dir.into())?;
        let inherited = succession::take_over(door).await?;
        let door = door.map(Path::to_owned);
        let supervisor = Supervisor::from_env();
        Ok(Self { supervisor, activation, inherited, succession, door, hangup, rotated, stop })
    }

    /// Begins to describe a server, which is known by `name` to the next process, and gets the
    /// sockets that this process has been given.
    pub fn server(&self, name: &str) -> ServerBuilder {
        let mut server = Server::builder().name(name);
        if let Some(inherited) = &self.inherited {
            server = server.inherit(inherited);
        }
        if let Some(activation) = &self.activation {
            server = server.activated_by(activation);
        }
        server
    }

    /// The supervisor's sockets, if it has given any.
    pub fn activation(&self) -> Option<&Activation> {
        self.activation.as_ref()
    }

    /// Whether this process takes over from another one.
    pub fn takes_over(&self) -> bool {
        self.inherited.is_some()
    }

    /// Set by the first signal that asks this process to end: for work before it serves.
    pub fn asked_to_end(&self) -> &Arc<AtomicBool> {
        self.stop.flag()
    }

    /// Serves, when all servers have been started: those that took over from another process begin
    /// here. From now on the next process may come.
    ///
    /// # Errors
    /// When a socket of the supervisor is no server's, when the process before does not let go, or
    /// when the hand-over socket cannot be made. Where nobody else serves any more, the last is no
    /// error but told to people.
    pub async fn begin(&mut self, duties: &impl Duties) -> Result<(), ProcessError> {
        if let Some(activation) = &self.activation {
            activation.all_taken()?;
        }
        if let Some(inherited) = &self.inherited {
            inherited.begin(succession::WITHIN).await?;
        }
        match self.door.as_ref().map(Door::open).transpose() {
            Ok(door) => self.succession.open(door),
            Err(error) if self.takes_over() => duties.say(&error.to_string()),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Tells the supervisor that this process serves, with `status` for people, and then does what is
    /// asked for until the process is to end. Not cancel safe: dropped in the middle of a hand-over,
    /// the servers may stand still.
    pub async fn run(
        &mut self,
        servers: &[&ServerHandle],
        duties: &impl Duties,
        status: &str,
    ) -> End {
        let Self { supervisor, succession, hangup, rotated, stop, .. } = self;
        supervisor.ready(status).await;
        let successor = tokio::select! {
            successor = succession.succeeded(servers, duties) => Some(successor),
            () = stop.signalled() => None,
            never = reload(hangup, supervisor, duties, status) => match never {},
            never = reopen(rotated, duties) => match never {},
            never = supervisor.watch(servers) => match never {},
        };
        let Some(successor) = successor else { return End::Asked };
        if let Some(pid) = successor {
            supervisor.succeeded_by(pid).await;
        }
        End::Succeeded
    }

    /// Drains servers as [`ServerHandle::drain`] does; what is not done `within` this time, or at the
    /// next signal that asks for the end, is cut. After a hand-over nobody waits for this process, and it
    /// may have longer.
    pub async fn drain(
        &self,
        end: End,
        servers: &[&ServerHandle],
        within: Duration,
        duties: &impl Duties,
    ) {
        // The supervisor watches the other process by now, and hears nothing from this one.
        let watched = end == End::Asked;
        if watched {
            self.supervisor.stopping(within).await;
        }
        let signal = if watched { "a second signal" } else { "SIGTERM" };
        duties.say(&format!("draining … ({signal} ends it at once)"));
        let drained = futures_util::future::join_all(servers.iter().map(|one| one.drain(within)));
        tokio::select! {
            drained = drained => {
                let cut: usize = drained.iter().map(|drained| drained.cut).sum();
                if cut > 0 {
                    duties.say(&format!("{cut} connections were cut at the deadline"));
                }
            }
            () = self.stop.signalled() => duties.say("connections were cut"),
            never = self.supervisor.watch(servers), if watched => match never {},
        }
    }
}

async fn reload(
    hangup: &mut Signal,
    supervisor: &Supervisor,
    duties: &impl Duties,
    status: &str,
) -> Infallible {
    while hangup.recv().await.is_some() {
        supervisor.reloading().await;
        duties.reload().await;
        supervisor.ready(status).await;
    }
    std::future::pending().await
}

async fn reopen(rotated: &mut Signal, duties: &impl Duties) -> Infallible {
    while rotated.recv().await.is_some() {
        duties.reopen().await;
    }
    std::future::pending().await
}
