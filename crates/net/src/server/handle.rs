//! The running server as its owner sees it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::Metrics;
use super::control::Phase;

/// A running server. Dropping it stops the server at once; [`ServerHandle::drain`] lets requests
/// finish first.
#[derive(Debug)]
#[must_use = "dropping the handle stops the server"]
pub struct ServerHandle {
    pub(super) https: Vec<SocketAddr>,
    pub(super) http: Vec<SocketAddr>,
    pub(super) metrics: Metrics,
    pub(super) phase: watch::Sender<Phase>,
    pub(super) running: watch::Receiver<usize>,
    pub(super) drained: Arc<DrainCount>,
}

/// How the connections that were open at the start of a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that ended in order.
    pub finished: usize,
    /// Connections that were still open at the deadline and were cut.
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

    /// Stops accepting, tells clients to go elsewhere (`Connection: close`, GOAWAY), waits until
    /// every request has been answered or `deadline` has passed, then closes what is left.
    ///
    /// Cancel safe: the drain goes on when this future is dropped.
    pub async fn drain(&self, deadline: Duration) -> Drained {
        self.phase.send_if_modified(|phase| {
            let start = *phase == Phase::Running;
            if start {
                *phase = Phase::Draining(deadline);
            }
            start
        });
        self.wait().await;
        Drained {
            finished: self.drained.finished.load(Ordering::Acquire),
            cut: self.drained.cut.load(Ordering::Acquire),
        }
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
