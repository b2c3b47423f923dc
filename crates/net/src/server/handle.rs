//! The running server as its owner sees it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::control::{Drain, Loops, Phase};
use super::hand_over::{HandOverError, Held};
use super::{ConnLimits, Metrics};

/// A running server. Dropping it stops the server at once; [`ServerHandle::drain`] lets requests
/// finish first.
#[derive(Debug)]
#[must_use = "dropping the handle stops the server"]
pub struct ServerHandle {
    pub(super) https: Vec<SocketAddr>,
    pub(super) http: Vec<SocketAddr>,
    pub(super) metrics: Metrics,
    pub(super) limits: watch::Sender<ConnLimits>,
    pub(super) phase: watch::Sender<Phase>,
    pub(super) running: watch::Receiver<usize>,
    pub(super) drained: Arc<DrainCount>,
    pub(super) loops: Arc<Loops>,
    /// What another process would get; nothing from the server's end on.
    pub(super) held: Mutex<Option<Arc<Held>>>,
    /// Whether clients are to come back on another connection.
    pub(super) leaving: Arc<AtomicBool>,
    /// The runtimes of the workers.
    pub(super) runtimes: Vec<tokio::runtime::Handle>,
}

/// How the connections that were open at the start of a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that ended in order.
    pub finished: usize,
    /// Connections that were still open at the deadline and were cut: WebSockets, in most cases, which do not
    /// end by themselves.
    pub cut: usize,
}

#[derive(Debug, Default)]
pub(super) struct DrainCount {
    pub(super) finished: AtomicUsize,
    pub(super) cut: AtomicUsize,
}

impl ServerHandle {
    /// The addresses served over TLS and QUIC, with the ports that were bound.
    pub fn https_addrs(&self) -> &[SocketAddr] {
        &self.https
    }

    /// The addresses served in the clear, with the ports that were bound.
    pub fn http_addrs(&self) -> &[SocketAddr] {
        &self.http
    }

    /// The server's counters.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Puts other limits in force for connections from now on; those that are there keep theirs.
    /// [`ConnLimits::max_header_bytes`] stays as it was: clients that come back over HTTP/3 without a
    /// handshake (0-RTT) hold the server to what it said before (RFC 9114 §7.2.4.2).
    pub fn set_limits(&self, limits: &ConnLimits) {
        self.limits.send_modify(|now| {
            let max_header_bytes = now.max_header_bytes;
            *now = ConnLimits { max_header_bytes, ..limits.clone() };
        });
    }

    /// Stops accepting, tells clients to go elsewhere (`Connection: close`, GOAWAY), waits until
    /// every request has been answered and every WebSocket has ended, or `deadline` has passed, then closes
    /// what is left. After
    /// the server was handed over, handshakes come to their end, too, and idle connections of
    /// HTTP/1.1 get up to two seconds for one more request.
    ///
    /// Cancel safe: the drain goes on when this future is dropped.
    pub async fn drain(&self, deadline: Duration) -> Drained {
        self.leaving.store(true, Ordering::Relaxed);
        self.phase.send_if_modified(|phase| {
            let succeeded = *phase == Phase::Paused;
            let start = succeeded || *phase == Phase::Running;
            if start {
                *phase = Phase::Draining(Drain { within: deadline, succeeded });
            }
            start
        });
        self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.wait().await;
        Drained {
            finished: self.drained.finished.load(Ordering::Acquire),
            cut: self.drained.cut.load(Ordering::Acquire),
        }
    }

    /// Whether every worker lives: each gets an empty task to do, and this returns `true` when all
    /// of those are done, which takes as long as the slowest worker computes without a pause. `false`
    /// when a worker is gone though the server does not end. For a watchdog, which should wait with
    /// a limit. Cancel safe.
    pub async fn responds(&self) -> bool {
        let tasks: Vec<_> = self.runtimes.iter().map(|runtime| runtime.spawn(async {})).collect();
        let mut all = true;
        for task in tasks {
            // An error says that the runtime is no more.
            all &= task.await.is_ok();
        }
        all || self.phase.borrow().is_ending()
    }

    /// What another process gets.
    pub(super) fn held(&self) -> Result<Arc<Held>, HandOverError> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.clone().ok_or(HandOverError::Ending)
    }

    /// Lets go of all sockets; `false` when the server does not run.
    pub(super) fn pause(&self) -> bool {
        self.change(Phase::Running, Phase::Paused)
    }

    /// Takes them again, unless they are another process's by now.
    pub(super) fn unpause(&self) {
        if self.held().is_ok() {
            self.change(Phase::Paused, Phase::Running);
        }
    }

    /// Leaves the files of Unix sockets to another process.
    pub(super) fn leave(&self) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        for place in held.iter().flat_map(|held| &held.places) {
            for (_, file) in &place.unix {
                file.leave();
            }
        }
    }

    fn change(&self, from: Phase, to: Phase) -> bool {
        self.phase.send_if_modified(|phase| {
            let is_it = *phase == from;
            if is_it {
                *phase = to;
            }
            is_it
        })
    }

    /// Returns when the server has ended: drained, or every worker gone.
    pub async fn wait(&self) {
        // An error says that every worker has dropped its end: ended too.
        let _ = self.running.clone().wait_for(|running| *running == 0).await;
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.phase.send_replace(Phase::Stopped);
    }
}
