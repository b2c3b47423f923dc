//! SIGINT and SIGTERM, for work that waits and for work that computes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

/// Whether they came.
#[derive(Debug)]
pub(super) struct Stop {
    flag: Arc<AtomicBool>,
    notify: Arc<Notify>,
}

impl Stop {
    pub(super) fn on_signals() -> io::Result<Self> {
        let stop = Self { flag: Arc::default(), notify: Arc::default() };
        for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
            let mut signal = signal(kind)?;
            let (flag, notify) = (Arc::clone(&stop.flag), Arc::clone(&stop.notify));
            // Ends with the runtime, which ends with the process.
            tokio::spawn(async move {
                while signal.recv().await.is_some() {
                    flag.store(true, Ordering::Relaxed);
                    notify.notify_one();
                }
            });
        }
        Ok(stop)
    }

    pub(super) fn flag(&self) -> &Arc<AtomicBool> {
        &self.flag
    }

    pub(super) async fn signalled(&self) {
        while !self.flag.load(Ordering::Relaxed) {
            self.notify.notified().await;
        }
    }

    /// The next signal, once there has been one.
    pub(super) async fn again(&self) {
        self.notify.notified().await;
    }
}
