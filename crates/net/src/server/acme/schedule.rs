//! When a certificate is renewed, when to try again, and when to ask again what the authority thinks of
//! it: pure, with a seed for what is left to chance.
//!
//! Chance is there so that many edges that were set up together do not ask together.

use std::ops::Range;
use std::time::Duration;

use crate::Timestamp;
use crate::server::tls::Validity;

/// The first wait after an attempt that failed. Authorities allow five an hour (Let's Encrypt's
/// limit for one name): with this and doubling, there are four.
const FIRST_WAIT: Duration = Duration::from_secs(300);
const LONGEST_WAIT: Duration = Duration::from_secs(6 * 3600);

/// The soonest that an authority is asked again for its window, and the latest (RFC 9773 §4.3.2).
const SOONEST_LOOK: Duration = Duration::from_secs(60);
const LATEST_LOOK: Duration = Duration::from_secs(86_400);
/// How long a certificate is used at least before the authority's window has it renewed: one that has
/// every new one renewed at once is asked once in this time.
const LEAST_USE: Duration = Duration::from_secs(3600);

/// When to renew: at some time in the window that the authority told (RFC 9773 §4.2), but a thirtieth
/// of the lifetime before its end at the latest; where it told none, when two thirds of the lifetime
/// are over, or up to a thirtieth of it later.
pub(super) fn due(validity: Validity, window: Option<&Range<Timestamp>>, seed: u64) -> Timestamp {
    let life = validity.until.since(validity.from);
    let Some(window) = window else {
        return validity.from.plus(life * 2 / 3 + (life / 30).mul_f64(chance(seed, 0)));
    };
    let within = window.end.since(window.start).mul_f64(chance(seed, 0));
    window.start.plus(within).min(validity.until.minus(life / 30))
}

/// When to ask for the window again: when the authority says, within bounds.
pub(super) fn look_again(said: Duration) -> Duration {
    said.clamp(SOONEST_LOOK, LATEST_LOOK)
}

/// When a certificate that rests until `rest` may be renewed by a window that was told `now`.
pub(super) fn rest_by_window(rest: Timestamp, now: Timestamp) -> Timestamp {
    rest.min(now.plus(LEAST_USE))
}

/// What a process that starts `now` heeds of a rest that was written down before, by a clock that may
/// have been wrong: no more than the longest wait.
pub(super) fn rest_kept(rest: Timestamp, now: Timestamp) -> Timestamp {
    rest.min(now.plus(LONGEST_WAIT.mul_f64(1.5)))
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
            let after = due(validity, None, seed).since(from);
            prop_assert!(after >= DAY * days * 2 / 3);
            prop_assert!(after <= DAY * days * 7 / 10 + Duration::from_millis(1));
        }

        #[test]
        fn rfc_9773_4_2_renewal_is_due_within_the_window_and_before_the_end(
            start in 0u64..4_000_000_000, days in 1u32..400, opens in 0u32..800, lasts in 1u32..100,
            seed: u64,
        ) {
            let from = Timestamp::from_secs(start);
            let validity = Validity { from, until: from.plus(DAY * days) };
            let opens = from.plus(DAY / 2 * opens);
            let window = opens..opens.plus(DAY / 2 * lasts);
            let due = due(validity, Some(&window), seed);
            prop_assert!(due < validity.until && due < window.end);
            let last = validity.until.minus(DAY * days / 30);
            prop_assert!(due >= window.start || due == last);
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
        assert_eq!(due(validity, None, 1), due(validity, None, 1));
        assert_ne!(due(validity, None, 1), due(validity, None, 2));
        assert_ne!(wait(3, 1), wait(3, 2));
        // Four attempts in the first hour: at once, and after each of three waits.
        let waits: Duration = (1..5).map(|failures| wait(failures, 0)).sum();
        assert!(waits > Duration::from_secs(3600));
    }
    #[test]
    fn rfc_9773_4_3_2_the_authority_is_asked_neither_all_the_time_nor_never() {
        for (said, heeded) in [(0, 60), (3600, 3600), (u64::MAX / 1000, 86_400)] {
            assert_eq!(look_again(Duration::from_secs(said)), Duration::from_secs(heeded));
        }
    }

    #[test]
    fn a_window_shortens_a_rest_and_a_wrong_clock_no_start() {
        let now = Timestamp::from_secs(1_000_000);
        let (soon, late) = (now.plus(DAY / 48), now.plus(DAY * 30));
        assert_eq!(rest_by_window(soon, now), soon);
        assert_eq!(rest_by_window(late, now), now.plus(DAY / 24));
        assert_eq!(rest_kept(soon, now), soon);
        assert_eq!(rest_kept(late, now), now.plus(DAY * 3 / 8));
    }
}
