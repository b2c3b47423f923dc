//! When a certificate is renewed, and when to try again: pure, with a seed for what is left to
//! chance.
//!
//! Chance is there so that many edges that were set up together do not ask together.

use std::time::Duration;

use super::validity::Validity;
use crate::Timestamp;

/// The first wait after an attempt that failed. Authorities allow five an hour (Let's Encrypt's
/// limit for one name): with this and doubling, there are four.
const FIRST_WAIT: Duration = Duration::from_secs(300);
const LONGEST_WAIT: Duration = Duration::from_secs(6 * 3600);

/// When to renew: when two thirds of the lifetime are over, or up to a thirtieth of it later.
pub(super) fn due(validity: Validity, seed: u64) -> Timestamp {
    let life = validity.until.since(validity.from);
    validity.from.plus(life * 2 / 3 + (life / 30).mul_f64(chance(seed, 0)))
}

/// How long a certificate that was just issued is used at least, however old it is by this clock, which
/// may be wrong: a third of what is left of it.
pub(super) fn rest(validity: Validity, now: Timestamp) -> Duration {
    validity.until.since(now) / 3
}

/// How long to wait after so many attempts in a row that failed, the last one counted: five minutes,
/// and twice as long each time up to six hours, and up to half as much again.
pub(super) fn wait(failures: u32, seed: u64) -> Duration {
    let doubled = FIRST_WAIT * 2u32.saturating_pow(failures.saturating_sub(1).min(10));
    doubled.min(LONGEST_WAIT).mul_f64(1.0 + chance(seed, failures) / 2.0)
}

/// From 0 up to 1, by the seed and what it is for (SplitMix64).
fn chance(seed: u64, salt: u32) -> f64 {
    let mut mixed =
        seed.wrapping_add(u64::from(salt).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ mixed >> 31) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: Duration = Duration::from_secs(86_400);

    proptest! {
        #[test]
        fn renewal_is_due_after_two_thirds_and_long_before_the_end(
            start in 0u64..4_000_000_000, days in 1u32..400, seed: u64,
        ) {
            let from = Timestamp::from_secs(start);
            let validity = Validity { from, until: from.plus(DAY * days) };
            let after = due(validity, seed).since(from);
            prop_assert!(after >= DAY * days * 2 / 3);
            prop_assert!(after <= DAY * days * 7 / 10 + Duration::from_millis(1));
        }

        #[test]
        fn waits_grow_and_are_bounded(failures: u32, seed: u64) {
            let waited = wait(failures, seed);
            prop_assert!(waited >= FIRST_WAIT && waited <= LONGEST_WAIT.mul_f64(1.5));
            prop_assert!(wait(failures % 6 + 2, seed) > wait(failures % 6 + 1, seed));
        }
    }

    #[test]
    fn seeds_are_told_apart_and_one_says_the_same_twice() {
        let from = Timestamp::from_secs(0);
        let validity = Validity { from, until: from.plus(DAY * 90) };
        assert_eq!(due(validity, 1), due(validity, 1));
        assert_ne!(due(validity, 1), due(validity, 2));
        assert_ne!(wait(3, 1), wait(3, 2));
        // Four attempts in the first hour: at once, and after each of three waits.
        let waits: Duration = (1..5).map(|failures| wait(failures, 0)).sum();
        assert!(waits > Duration::from_secs(3600));
    }
}
