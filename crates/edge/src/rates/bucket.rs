//! How much may be taken when: the generic cell rate algorithm (ITU-T I.371), which keeps of each client
//! one moment, until which it is in debt. Pure: it is told the time, in microseconds.

use std::time::Duration;

/// A rate and how far ahead of it one may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    number: u64,
    window: u64,
    /// How long it takes to be given back one, in microseconds; so is what follows.
    one: u64,
    ahead: u64,
}

/// Why not, and when again; in seconds, rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) left: u64,
    pub(super) wait: u64,
    pub(super) full_in: u64,
}

impl Bucket {
    /// `number` in each `window`, `burst` at once. `None` where that is none at all.
    pub(super) fn new(number: u64, window: Duration, burst: u64) -> Option<Self> {
        let window = u64::try_from(window.as_micros()).ok().filter(|window| *window > 0)?;
        if number == 0 || burst == 0 {
            return None;
        }
        let bucket = Self { number, window, one: 0, ahead: 0 };
        Some(Self { one: bucket.time_of(1), ahead: bucket.time_of(burst), ..bucket })
    }

    /// How long it takes to be given back so many, one microsecond at least.
    fn time_of(&self, units: u64) -> u64 {
        let time = u128::from(units) * u128::from(self.window) / u128::from(self.number);
        u64::try_from(time).unwrap_or(u64::MAX).max(1)
    }

    /// Takes one, or says when there is one again.
    pub(super) fn take(&self, until: &mut u64, now: u64) -> Result<(), Verdict> {
        let one = self.one;
        let from = (*until).max(now);
        let after = from.saturating_add(one);
        let over = (after - now).saturating_sub(self.ahead.max(one));
        if over == 0 {
            *until = after;
            return Ok(());
        }
        let seconds = |micros: u64| micros.div_ceil(1_000_000).max(1);
        Err(Verdict { left: 0, wait: seconds(over), full_in: seconds(from - now) })
    }

    /// Takes so many at once if they are there.
    pub(super) fn take_all(&self, until: &mut u64, units: u64, now: u64) -> bool {
        let after = (*until).max(now).saturating_add(self.time_of(units));
        let fits = units == 0 || after - now <= self.ahead;
        if fits && units > 0 {
            *until = after;
        }
        fits
    }

    /// Takes so many, whatever there is.
    pub(super) fn charge(&self, until: &mut u64, units: u64, now: u64) {
        *until = (*until).max(now).saturating_add(self.time_of(units));
    }

    /// How long it takes until something may be taken again, in microseconds.
    pub(super) fn wait(&self, until: u64, now: u64) -> u64 {
        until.saturating_sub(now).saturating_sub(self.ahead)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn a_burst_is_taken_at_once_and_given_back_evenly() {
        let bucket = Bucket::new(10, Duration::from_secs(10), 3).unwrap();
        let mut until = 0;
        for _ in 0..3 {
            assert_eq!(bucket.take(&mut until, 0), Ok(()));
        }
        let refused = Verdict { left: 0, wait: 1, full_in: 3 };
        assert_eq!(bucket.take(&mut until, 0), Err(refused));
        assert_eq!(bucket.take(&mut until, SECOND - 1), Err(refused));
        assert_eq!(bucket.take(&mut until, SECOND), Ok(()));
        assert!(
            bucket.take(&mut until, SECOND).is_err(),
            "a refusal costs nothing, and gives nothing"
        );
        assert_eq!(bucket.take(&mut until, 100 * SECOND), Ok(()));
    }

    #[test]
    fn what_is_taken_whatever_there_is_has_to_be_waited_for() {
        let bucket = Bucket::new(1_000, Duration::from_secs(1), 2_000).unwrap();
        let mut until = 0;
        assert!(bucket.take_all(&mut until, 2_000, 0));
        assert!(!bucket.take_all(&mut until, 1, 0));
        assert_eq!(bucket.wait(until, 0), 0);
        bucket.charge(&mut until, 500, 0);
        assert_eq!(bucket.wait(until, 0), SECOND / 2);
        assert_eq!(bucket.wait(until, SECOND), 0);
    }

    #[test]
    fn nothing_is_no_limit() {
        assert!(Bucket::new(0, Duration::from_secs(1), 1).is_none());
        assert!(Bucket::new(1, Duration::ZERO, 1).is_none());
        assert!(Bucket::new(1, Duration::from_secs(1), 0).is_none());
    }

    proptest! {
        /// However requests come, no more are let in than a burst and what was given back since.
        #[test]
        fn no_more_is_let_in_than_the_rate_and_the_burst(
            number in 1u64..1_000,
            window in 1u64..100,
            burst in 1u64..1_000,
            gaps in proptest::collection::vec(0u64..2_000_000, 1..200),
        ) {
            let bucket = Bucket::new(number, Duration::from_secs(window), burst).unwrap();
            let (mut until, mut now, mut taken) = (0, 0, 0u128);
            for gap in gaps {
                now += gap;
                taken += u128::from(bucket.take(&mut until, now).is_ok());
                // A unit's time is rounded down by less than a microsecond.
                let unit = (window * SECOND / number).max(1);
                let most = u128::from(burst) * u128::from(window * SECOND) / u128::from(number)
                    / u128::from(unit) + 1 + u128::from(now / unit) + 1;
                prop_assert!(taken <= most, "{} of {}", taken, most);
            }
        }

        #[test]
        fn no_number_makes_it_overflow(number: u64, window in 0u64..u64::MAX / 1_000, burst: u64, now: u64, units: u64) {
            let Some(bucket) = Bucket::new(number, Duration::from_micros(window), burst) else { return Ok(()) };
            let mut until = 0;
            for _ in 0..3 {
                let _ = bucket.take(&mut until, now);
                let _ = bucket.take_all(&mut until, units, now);
                bucket.charge(&mut until, units, now);
                let _ = bucket.wait(until, now);
            }
        }
    }
}
