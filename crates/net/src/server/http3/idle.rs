//! Connections that are kept alive for nothing. QUIC's own limit on silence (RFC 9000 §10.1) is one on
//! the other end's being gone: a client that sends a PING from time to time never meets it. Here a
//! connection is idle that asks for nothing, and to which nothing of an answer is sent any more.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// Looks that find nothing new before a connection is idle.
const LOOKS: u32 = 4;

/// Looks at a connection from time to time: neither a timer nor a reading of the clock for a request.
pub(super) struct Idle {
    tick: Pin<Box<Sleep>>,
    period: Duration,
    quiet: u32,
    seen: Seen,
}

/// What moves while something happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// The ID behind that of the last request's stream.
    pub(super) next: u64,
    /// STREAM frames that were sent: answers, again where they were lost.
    pub(super) sent: u64,
}

impl Idle {
    /// Over after `limit`, or up to a quarter more.
    pub(super) fn new(limit: Duration) -> Self {
        let period = (limit / LOOKS).max(Duration::from_millis(1));
        let tick = Box::pin(tokio::time::sleep(period));
        Self { tick, period, quiet: 0, seen: Seen::default() }
    }

    /// Waits until the connection has been idle for the limit, and again as long. `look` says what is
    /// seen of it, `None` while a request is under way. Cancel safe.
    pub(super) async fn over(&mut self, look: impl Fn() -> Option<Seen>) {
        while self.quiet < LOOKS {
            self.tick.as_mut().await;
            self.tick.as_mut().reset(Instant::now() + self.period);
            let seen = look();
            let is_quiet = seen == Some(self.seen);
            self.quiet = if is_quiet { self.quiet + 1 } else { 0 };
            self.seen = seen.unwrap_or_default();
        }
        self.quiet = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_when_nothing_moves() {
        let start = Instant::now();
        let seconds = || start.elapsed().as_secs();
        let mut idle = Idle::new(Duration::from_secs(60));
        let seen = Cell::new(None);
        // A request that lasts, one more, and an answer that takes its time.
        let moves = async {
            tokio::time::sleep(Duration::from_secs(100)).await;
            for sent in 1..=10 {
                seen.set(Some(Seen { next: 8, sent }));
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = idle.over(|| seen.get()) => {}
            () = moves => {}
        }
        // Last moved at 190 s, which the look at 195 s has seen.
        assert_eq!(seconds(), 255);
        idle.over(|| seen.get()).await;
        assert_eq!(seconds(), 315);
    }
}
