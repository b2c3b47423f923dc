//! How long to wait before a failed request is tried again: twice as long each time, and not at
//! the same moment as everyone else who saw the same failure.

use std::time::Duration;

/// Waits between attempts, with their own randomness.
#[derive(Debug)]
pub(super) struct Backoff {
    base: Duration,
    most: Duration,
    state: u64,
}

impl Backoff {
    /// Waits around `base`, doubled with each attempt, at most `most`; equal seeds give equal waits.
    pub(super) fn new(base: Duration, most: Duration, seed: u64) -> Self {
        Self { base, most, state: seed }
    }

    /// The wait after the failure of attempt `attempt` (from 0), at least as long as the server
    /// asked for, if it did: between half and the whole of the doubled base ("equal jitter").
    pub(super) fn after(&mut self, attempt: u32, asked: Option<Duration>) -> Duration {
        let doubled = self.base.saturating_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX));
        let half = doubled.min(self.most) / 2;
        let parts = u32::try_from(self.next() >> 48).unwrap_or(0);
        let wait = half + half.saturating_mul(parts) / (1 << 16);
        wait.max(asked.unwrap_or_default()).min(self.most)
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn waits_grow_differ_and_stay_bounded(seed: u64, attempt in 0u32..100, asked in 0u64..100) {
            let (base, most) = (Duration::from_millis(100), Duration::from_secs(5));
            let mut backoff = Backoff::new(base, most, seed);
            let wait = backoff.after(attempt, None);
            let doubled = (base * 2_u32.pow(attempt.min(10))).min(most);
            prop_assert!(wait >= doubled / 2 && wait <= doubled, "{wait:?}");
            let asked = Duration::from_secs(asked);
            let wait = backoff.after(attempt, Some(asked));
            prop_assert!(wait >= asked.min(most) && wait <= most);
        }
    }

    #[test]
    fn two_seeds_wait_differently() {
        let wait = |seed| {
            Backoff::new(Duration::from_secs(1), Duration::from_secs(9), seed).after(2, None)
        };
        assert_ne!(wait(1), wait(2));
        assert_eq!(wait(1), wait(1));
    }
}
