//! Times of tracks in the ticks of 90 kHz that transport streams count (ISO/IEC 13818-1 §2.4.3.7).

use crate::units::Timescale;

/// Ticks per second.
pub(super) const HERTZ: u64 = 90_000;

/// The ticks of one track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clock(u64);

impl Clock {
    pub(super) fn new(timescale: Timescale) -> Self {
        Self(u64::from(timescale.get()))
    }

    /// A time on the output's timeline, rounded to the nearest tick; each by itself, so that
    /// rounding never adds up.
    pub(super) fn stamp(self, time: u64) -> u64 {
        if let Some(scaled) = time.checked_mul(HERTZ) {
            return scaled.saturating_add(self.0 / 2) / self.0;
        }
        let scaled = u128::from(time) * u128::from(HERTZ) + u128::from(self.0 / 2);
        u64::try_from(scaled / u128::from(self.0)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use crate::units::MediaTime;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn stamps_are_the_nearest_ticks(time in 0..i64::MAX, hertz in 1u32..) {
            let timescale = Timescale::new(hertz).unwrap();
            let exact = MediaTime::new(time, timescale).rescale(Timescale::new(90_000).unwrap());
            let stamp = Clock::new(timescale).stamp(time as u64);
            if let Some(exact) = exact {
                prop_assert_eq!(stamp as i64, exact.ticks());
            }
        }
    }
}
