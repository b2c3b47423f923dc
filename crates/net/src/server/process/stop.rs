//! SIGINT and SIGTERM, for work that waits and for work that computes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

/// Whether they came. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop {
    flag: Arc<AtomicBool>,
    notify: Arc<Notify>,
}

impl Stop {
    pub(super) fn on_signals() -> io::Result<Self> {
        let stop = Self::default();
        for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
            let mut signal = signal(kind)?;
            let told = stop.clone();
            // Ends with the runtime, which ends with the process.
            tokio::spawn(async move {
                while signal.recv().await.is_some() {
                    told.came();
                }
            });
        }
        Ok(stop)
    }

    pub(super) fn flag(&self) -> &Arc<AtomicBool> {
        &self.flag
    }

    /// Waits for a signal that nobody has waited for yet; one that came before is remembered.
    pub(super) async fn signalled(&self) {
        self.notify.notified().await;
    }

    fn came(&self) {
        self.flag.store(true, Ordering::Relaxed);
        self.notify.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_signal_that_comes_before_anybody_waits_is_not_two() {
        let stop = Stop::default();
        stop.came();
        assert!(stop.flag().load(Ordering::Relaxed));
        stop.signalled().await;
        assert!(stop.signalled().now_or_never().is_none(), "the second has not come");
        stop.came();
        assert!(stop.signalled().now_or_never().is_some());
    }
}
