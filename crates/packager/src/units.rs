//! Quantities that must not be mixed up: timescales, media times and byte ranges.
//!
//! Times are whole ticks of a stated timescale (ISO/IEC 14496-12 §8.4.2); comparing two times of
//! different timescales multiplies crosswise in 128 bits, so nothing is ever rounded by a
//! comparison and no floating point number exists in this crate.

use std::cmp::Ordering;
use std::fmt;
use std::num::NonZeroU32;

/// Ticks per second of a track or a movie; never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timescale(NonZeroU32);

impl Timescale {
    /// Milliseconds.
    pub const MILLIS: Self = Self::literal(1_000);

    /// A timescale of `hz` ticks per second, or `None` for zero.
    pub const fn new(hz: u32) -> Option<Self> {
        match NonZeroU32::new(hz) {
            Some(hz) => Some(Self(hz)),
            None => None,
        }
    }

    /// Ticks per second.
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    const fn literal(hz: u32) -> Self {
        match Self::new(hz) {
            Some(timescale) => timescale,
            None => Self(NonZeroU32::MIN),
        }
    }
}

/// A point in time or a duration: `ticks` of `timescale`.
///
/// Equality and order are those of the value in seconds: 1 tick of 25 Hz equals 40 ticks of 1 kHz.
#[derive(Debug, Clone, Copy)]
pub struct MediaTime {
    ticks: i64,
    timescale: Timescale,
}

impl MediaTime {
    /// `ticks` of `timescale`.
    pub const fn new(ticks: i64, timescale: Timescale) -> Self {
        Self { ticks, timescale }
    }

    /// Zero in the given timescale.
    pub const fn zero(timescale: Timescale) -> Self {
        Self::new(0, timescale)
    }

    /// Whole milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self::new(millis, Timescale::MILLIS)
    }

    /// The number of ticks.
    pub const fn ticks(self) -> i64 {
        self.ticks
    }

    /// What a tick is.
    pub const fn timescale(self) -> Timescale {
        self.timescale
    }

    /// The same time in another timescale, rounded to the nearest tick (halves away from zero);
    /// `None` when it does not fit 64 bits.
    pub fn rescale(self, timescale: Timescale) -> Option<Self> {
        let scaled = self.scaled(timescale.get());
        let half = i128::from(self.timescale.get()) / 2;
        let rounded = if scaled < 0 {
            (scaled - half) / i128::from(self.timescale.get())
        } else {
            (scaled + half) / i128::from(self.timescale.get())
        };
        Some(Self::new(i64::try_from(rounded).ok()?, timescale))
    }

    /// The same time in another timescale, rounded up (towards later times).
    pub fn rescale_up(self, timescale: Timescale) -> Option<Self> {
        let (scaled, by) = (self.scaled(timescale.get()), i128::from(self.timescale.get()));
        let up = scaled.div_euclid(by) + i128::from(scaled.rem_euclid(by) != 0);
        Some(Self::new(i64::try_from(up).ok()?, timescale))
    }

    /// The sum in the timescale of `self`; `other` is rounded to it.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let other = other.rescale(self.timescale)?;
        Some(Self::new(self.ticks.checked_add(other.ticks)?, self.timescale))
    }

    /// The difference in the timescale of `self`; `other` is rounded to it.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        let other = other.rescale(self.timescale)?;
        Some(Self::new(self.ticks.checked_sub(other.ticks)?, self.timescale))
    }

    /// Whether `self` and `other` lie at most `tolerance` apart, compared exactly.
    pub fn is_within(self, other: Self, tolerance: Self) -> bool {
        let (a, b, t) = (
            u64::from(self.timescale.get()),
            u64::from(other.timescale.get()),
            u64::from(tolerance.timescale.get()),
        );
        // |x/a - y/b| <= z/t  <=>  |x*b - y*a| * t <= z * a * b; the left side may need more than
        // 128 bits only where the right side cannot reach it.
        let difference = (i128::from(self.ticks) * i128::from(b)
            - i128::from(other.ticks) * i128::from(a))
        .unsigned_abs();
        let Ok(allowed) = u128::try_from(tolerance.ticks) else {
            return false;
        };
        match (
            difference.checked_mul(u128::from(t)),
            allowed.checked_mul(u128::from(a) * u128::from(b)),
        ) {
            (Some(left), Some(right)) => left <= right,
            (Some(_), None) => true,
            (None, _) => false,
        }
    }

    /// The value in whole milliseconds, rounded to the nearest; saturates.
    pub fn as_millis(self) -> i64 {
        self.rescale(Timescale::MILLIS)
            .map_or(if self.ticks < 0 { i64::MIN } else { i64::MAX }, MediaTime::ticks)
    }

    /// Displays the value as decimal seconds with exactly `places` digits (at most 9) after the
    /// point, rounded to the nearest: `4.004000`.
    pub fn seconds(self, places: u8) -> impl fmt::Display {
        let places = places.min(9);
        let unit = 10_i128.pow(u32::from(places));
        let by = i128::from(self.timescale.get());
        let magnitude = (i128::from(self.ticks).abs() * unit + by / 2) / by;
        Decimal {
            negative: self.ticks < 0 && magnitude != 0,
            whole: magnitude / unit,
            fraction: magnitude % unit,
            places: usize::from(places),
        }
    }

    fn scaled(self, by: u32) -> i128 {
        i128::from(self.ticks) * i128::from(by)
    }
}

impl PartialEq for MediaTime {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for MediaTime {}

impl PartialOrd for MediaTime {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for MediaTime {
    fn cmp(&self, other: &Self) -> Ordering {
        self.scaled(other.timescale.get()).cmp(&other.scaled(self.timescale.get()))
    }
}

struct Decimal {
    negative: bool,
    whole: i128,
    fraction: i128,
    places: usize,
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.negative {
            f.write_str("-")?;
        }
        write!(f, "{}", self.whole)?;
        if self.places > 0 {
            write!(f, ".{:0width$}", self.fraction, width = self.places)?;
        }
        Ok(())
    }
}

/// `len` bytes from `start`; the end never exceeds `u64::MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ByteRange {
    /// Offset of the first byte.
    pub start: u64,
    /// Number of bytes.
    pub len: u64,
}

impl ByteRange {
    /// The range, or `None` where its end would overflow.
    pub const fn new(start: u64, len: u64) -> Option<Self> {
        match start.checked_add(len) {
            Some(_) => Some(Self { start, len }),
            None => None,
        }
    }

    /// The first offset after the range (saturating for a range built by hand past the end).
    pub const fn end(self) -> u64 {
        self.start.saturating_add(self.len)
    }

    /// Whether the two ranges share a byte.
    pub const fn overlaps(self, other: Self) -> bool {
        self.start < other.end() && other.start < self.end()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn time(ticks: i64, hz: u32) -> MediaTime {
        MediaTime::new(ticks, Timescale::new(hz).unwrap())
    }

    #[test]
    fn times_compare_by_value() {
        assert_eq!(time(1, 25), time(40, 1_000));
        assert!(time(1_001, 30_000) > time(33, 1_000));
        assert!(time(i64::MIN, u32::MAX) < time(i64::MAX, 1));
    }

    #[test]
    fn rescaling_rounds_to_the_nearest_tick() {
        let ms = Timescale::MILLIS;
        assert_eq!(time(1, 3).rescale(ms).unwrap().ticks(), 333);
        assert_eq!(time(-1, 3).rescale(ms).unwrap().ticks(), -333);
        assert_eq!(time(1, 2_000).rescale(ms).unwrap().ticks(), 1);
        assert_eq!(time(-1, 3).rescale_up(ms).unwrap().ticks(), -333);
        assert_eq!(time(1, 3).rescale_up(ms).unwrap().ticks(), 334);
        assert!(time(i64::MAX, 1).rescale(Timescale::new(2).unwrap()).is_none());
    }

    #[test]
    fn seconds_are_printed_exactly() {
        assert_eq!(time(4_004, 1_000).seconds(6).to_string(), "4.004000");
        assert_eq!(time(1, 3).seconds(5).to_string(), "0.33333");
        assert_eq!(time(2, 3).seconds(0).to_string(), "1");
        assert_eq!(time(-1, 4).seconds(2).to_string(), "-0.25");
        assert_eq!(time(-1, 1_000_000).seconds(2).to_string(), "0.00");
    }

    #[test]
    fn tolerance_is_exact() {
        assert!(time(40, 1_000).is_within(time(2, 25), time(1, 25)));
        assert!(!time(40, 1_000).is_within(time(81, 1_000), time(1, 25)));
        assert!(!time(i64::MAX, 1).is_within(time(i64::MIN, u32::MAX), time(1, u32::MAX)));
    }

    #[test]
    fn ranges_never_wrap() {
        assert!(ByteRange::new(u64::MAX, 1).is_none());
        let range = ByteRange::new(10, 5).unwrap();
        assert_eq!(range.end(), 15);
        assert!(range.overlaps(ByteRange { start: 14, len: 1 }));
        assert!(!range.overlaps(ByteRange { start: 15, len: 1 }));
    }
}
