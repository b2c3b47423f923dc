//! The least pace at which bytes must move, over the time in which they were waited for.
//!
//! A limit on silence alone lets a byte a minute hold a request, and what was made for it, for ever.

use std::time::Duration;

/// What moved in the time that was waited for it. Time in which nobody waited does not count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Bytes a second; 0 for any.
    least: u64,
    /// How much time is waited before it is looked at.
    over: Duration,
    waited: Duration,
    moved: u64,
}

impl Pace {
    /// At least this many bytes a second, over each time of this length.
    pub(super) const fn new(least: u64, over: Duration) -> Self {
        Self { least, over, waited: Duration::ZERO, moved: 0 }
    }

    /// Notes that bytes moved.
    pub(super) const fn moved(&mut self, bytes: u64) {
        self.moved = self.moved.saturating_add(bytes);
    }

    /// Notes that some time was waited for them. Says whether too few moved, once in the time over
    /// which it is looked at.
    pub(super) fn is_too_slow(&mut self, waited: Duration) -> bool {
        self.waited = self.waited.saturating_add(waited);
        if self.waited < self.over {
            return false;
        }
        let (moved, waited) = (u128::from(self.moved), self.waited.as_millis());
        self.begin();
        moved * 1000 < u128::from(self.least) * waited
    }

    /// Begins anew.
    pub(super) const fn begin(&mut self) {
        self.waited = Duration::ZERO;
        self.moved = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_an_average_of_the_time_waited() {
        let second = Duration::from_secs(1);
        let mut pace = Pace::new(500, 60 * second);
        for _ in 0..59 {
            pace.moved(500);
            assert!(!pace.is_too_slow(second));
        }
        pace.moved(500);
        assert!(!pace.is_too_slow(second), "just enough");
        pace.moved(29_999);
        assert!(pace.is_too_slow(60 * second));
        assert!(pace.is_too_slow(60 * second), "none at all");
        // Without a least pace, none is too slow.
        assert!(!Pace::new(0, second).is_too_slow(60 * second));
    }
}
