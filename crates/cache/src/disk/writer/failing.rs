//! What a failing disk makes of the writer: it rests, longer each time, with offers refused and the
//! alarm on, and owes removals, which come before all else once the disk takes writes again.

use std::io;
use std::time::Duration;

use super::super::queue::{Done, MOST_REMOVALS};
use super::Writer;
use super::append::Then;

/// How long the writer leaves a failing disk alone, at first and at most.
pub(super) const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

impl Writer {
    pub(super) fn owe(&mut self, hash: u128) {
        if !self.owes_all {
            self.owed.push(hash);
        }
    }

    /// Writes removals that could not be written before.
    pub(super) fn pay(&mut self) -> io::Result<()> {
        if self.owes_all {
            self.forget_all()?;
        }
        let mut owed = std::mem::take(&mut self.owed);
        while let Some(hash) = owed.pop() {
            if let Err(error) = self.remove(hash, Then::Done(Done::default())) {
                self.owed.extend(owed);
                return Err(error);
            }
        }
        Ok(())
    }

    pub(super) fn succeeded(&mut self) {
        self.rest = REST.0;
        if self.shared.metrics.alarm.set(0) != 0 {
            tracing::info!("the cache's disk takes writes again");
        }
        self.shared.queue.rest(false);
    }

    pub(super) fn failed(&mut self, error: &io::Error) {
        self.shared.metrics.write_errors.inc();
        if self.shared.metrics.alarm.set(1) == 0 {
            tracing::error!(%error, "the cache's disk takes no writes: going on without");
        }
        self.give_up_region();
        self.shared.queue.rest(true);
        if self.owed.len() > MOST_REMOVALS {
            // What may not come back does not, at the price of all else.
            let _ = self.forget_all();
        }
        // Each attempt begins a region: nothing else tells whether the disk works again.
        loop {
            let goes_on = self.shared.queue.pause(self.rest.min(self.shared.limits.rest));
            self.rest = (self.rest * 2).min(REST.1);
            if !goes_on || self.begin_region().is_ok() {
                break;
            }
            self.shared.metrics.write_errors.inc();
        }
        self.shared.queue.rest(false);
    }
}
