//! Whose turn it is, among the answers of one connection that wait for room to send.
//!
//! quinn orders what it holds by urgency, but lets in whoever comes first when room becomes free: a
//! more urgent answer that finds the window full would share it with all that fill it. So one that
//! is less urgent lets those that wait go first, each time: it goes to the end of the worker's queue,
//! before which they stand, as quinn has woken them with it. Who waits for room on its own stream
//! takes nothing then, and keeps nobody waiting.
//!
//! Where nobody waits, this costs the reading of one number for each write.

use std::sync::atomic::{AtomicU32, Ordering};

use super::framing::priority::{LEVELS, Urgency};

/// How many answers wait, by urgency.
#[derive(Debug, Default)]
pub(super) struct Turns {
    all: AtomicU32,
    waiting: [AtomicU32; LEVELS],
}

impl Turns {
    /// Whether one waits that is more urgent than this.
    pub(super) fn is_behind(&self, urgency: Urgency) -> bool {
        self.all.load(Ordering::Relaxed) > 0
            && self
                .waiting
                .iter()
                .take(urgency.level())
                .any(|count| count.load(Ordering::Relaxed) > 0)
    }

    /// Counts one as waiting until the guard is dropped.
    pub(super) fn wait(&self, urgency: Urgency) -> Waiting<'_> {
        self.all.fetch_add(1, Ordering::Relaxed);
        let level = self.waiting.get(urgency.level());
        if let Some(count) = level {
            count.fetch_add(1, Ordering::Relaxed);
        }
        Waiting { all: &self.all, level }
    }
}

/// An answer that waits.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    all: &'a AtomicU32,
    level: Option<&'a AtomicU32>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        for count in self.level.into_iter().chain([self.all]) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn the_less_urgent_are_behind_those_that_wait() {
        let turns = Turns::default();
        let [first, third, last] =
            [b"u=0", b"u=3", b"u=7"].map(|text| Urgency::parse(text).unwrap());
        assert!(!turns.is_behind(last));
        let waits = turns.wait(third);
        assert_eq!(
            [first, third, last].map(|urgency| turns.is_behind(urgency)),
            [false, false, true]
        );
        drop(waits);
        assert!(!turns.is_behind(last));
    }
}
