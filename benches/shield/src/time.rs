//! Virtual time: tokio's paused clock, and a [`Clock`] that is taken along with it.

use std::time::Duration;

use headwater_net::{Clock, Timestamp};
use tokio::time::Instant;

/// When it begins: any moment.
const BEGIN: Timestamp = Timestamp::from_secs(1_700_000_000);

/// The time of one scene. Clones share it.
#[derive(Clone, Debug)]
pub struct Time {
    clock: Clock,
    begin: Instant,
}

impl Time {
    /// Begins now; to be called within the runtime whose clock is paused.
    pub fn begin() -> Self {
        Self { clock: Clock::manual(BEGIN), begin: Instant::now() }
    }

    /// What the crates take: right whenever somebody was woken by [`Self::sleep`].
    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// Since it began.
    pub fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    /// Waits for so long.
    pub async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
        self.clock.advance(self.now().saturating_sub(self.clock.now().since(BEGIN)));
    }

    /// Waits until then, where that is still to come.
    pub async fn sleep_until(&self, then: Duration) {
        let now = self.now();
        if then > now {
            self.sleep(then.saturating_sub(now)).await;
        }
    }
}
