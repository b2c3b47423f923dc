//! How fast a track must arrive: the figures behind `BANDWIDTH` and `@bandwidth`.
//!
//! RFC 8216bis §4.4.6.2: the peak segment bit rate is the largest rate of any contiguous set of
//! segments that lasts 0.5 to 1.5 target durations; the average is that of all segments. Both
//! count container bytes. Whole numbers throughout, rounded up once at the end.

use crate::media::Media;
use crate::segments::SegmentSpan;
use crate::track::TrackId;
use crate::units::{MediaTime, Timescale};

/// Bit rates of a track, in bits per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rates {
    /// Over the costliest run of segments.
    pub(crate) peak: u64,
    /// Over the whole track.
    pub(crate) average: u64,
}

impl Rates {
    /// The rates of one track of an asset.
    pub(crate) fn of(media: &Media, track: TrackId, target_seconds: u64) -> Self {
        media.track(track).map_or_else(Self::default, |found| {
            Self::over(media.spans(track), found.timescale, target_seconds)
        })
    }

    /// What both cost together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            peak: self.peak.saturating_add(other.peak),
            average: self.average.saturating_add(other.average),
        }
    }

    /// The larger figure of each kind.
    pub(crate) fn max(self, other: Self) -> Self {
        Self { peak: self.peak.max(other.peak), average: self.average.max(other.average) }
    }

    /// The rates of these segments.
    pub(crate) fn over(spans: &[SegmentSpan], timescale: Timescale, target_seconds: u64) -> Self {
        let average = Run::of(spans).rate(timescale);
        let unit = u128::from(target_seconds) * u128::from(timescale.get());
        let mut peak = 0;
        for first in 0..spans.len() {
            let mut run = Run::default();
            for span in spans.iter().skip(first).take(LONGEST_RUN) {
                run.add(span);
                let twice = run.ticks * 2;
                if twice > unit * 3 {
                    break;
                }
                if twice >= unit {
                    peak = peak.max(run.rate(timescale));
                }
            }
        }
        // A track shorter than half a target duration has no such run; and the mean of all
        // segments is never shown above the peak.
        Self { peak: peak.max(average), average }
    }
}

/// The target duration of an asset in seconds: its longest segment, rounded to the nearest second
/// and at least 1. It is the same for all tracks (RFC 8216bis §4.4.3.1 and §6.2.4). For a recording
/// it must not change as it grows (§6.2.1), so it is what cutting at the nearest sync sample comes
/// to at most where pictures have one in each target: one and a half of it.
pub(crate) fn target_duration(media: &Media) -> u64 {
    let least = if media.recorded {
        u64::try_from(media.target_duration().as_millis()).map_or(1, |ms| (ms * 3).div_ceil(2_000))
    } else {
        1
    };
    media
        .tracks()
        .iter()
        .map(|track| target_of(media.spans(track.id), track.timescale))
        .max()
        .unwrap_or(1)
        .max(least)
}

/// The target duration of these segments alone.
pub(crate) fn target_of(spans: &[SegmentSpan], timescale: Timescale) -> u64 {
    let longest = spans.iter().map(|span| span.duration).max().unwrap_or(0);
    let hertz = u64::from(timescale.get());
    (longest.saturating_add(hertz / 2) / hertz).max(1)
}

/// The longest segment of an asset, as it is.
pub(crate) fn longest_segment(media: &Media) -> MediaTime {
    media
        .tracks()
        .iter()
        .flat_map(|track| {
            media.spans(track.id).iter().map(|span| {
                MediaTime::new(i64::try_from(span.duration).unwrap_or(i64::MAX), track.timescale)
            })
        })
        .max()
        .unwrap_or(MediaTime::zero(Timescale::MILLIS))
}

/// Segments of a run that are looked at: far more than fit into 1.5 target durations unless
/// nearly all of them are empty, and then the rate is no news.
const LONGEST_RUN: usize = 64;

#[derive(Default, Clone, Copy)]
struct Run {
    ticks: u128,
    bytes: u128,
}

impl Run {
    fn of(spans: &[SegmentSpan]) -> Self {
        let mut run = Self::default();
        for span in spans {
            run.add(span);
        }
        run
    }

    fn add(&mut self, span: &SegmentSpan) {
        self.ticks += u128::from(span.duration);
        self.bytes += u128::from(span.bytes);
    }

    fn rate(self, timescale: Timescale) -> u64 {
        if self.ticks == 0 {
            return 0;
        }
        let bits = self.bytes.saturating_mul(8 * u128::from(timescale.get()));
        u64::try_from(bits.div_ceil(self.ticks)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn spans(list: &[(u64, u64)]) -> Vec<SegmentSpan> {
        let mut start = 0;
        list.iter()
            .map(|&(duration, bytes)| {
                let span = SegmentSpan {
                    start,
                    duration,
                    bytes,
                    first_sample: 0,
                    samples: 1,
                    decode_time: start,
                };
                start += duration;
                span
            })
            .collect()
    }

    fn rates(list: &[(u64, u64)], target: u64) -> Rates {
        Rates::over(&spans(list), Timescale::MILLIS, target)
    }

    #[test]
    fn a_short_last_segment_counts_together_with_its_neighbour() {
        // The last one is too short to count alone (1 s of 4 s), but with the one before it makes
        // 5 s: (500,000 + 400,000) bytes * 8 / 5 s.
        let rates = rates(&[(4_000, 500_000), (4_000, 500_000), (1_000, 400_000)], 4);
        assert_eq!(rates.peak, 1_440_000);
        assert_eq!(rates.average, 1_400_000 * 8 / 9 + 1);
    }

    #[test]
    fn runs_of_half_and_of_one_and_a_half_targets_both_count() {
        // Exactly half a target alone.
        assert_eq!(rates(&[(2_000, 1_000), (4_000, 100)], 4).peak, 4_000);
        // One tick less than half does not count alone: 1,100 bytes over 5.999 s do.
        assert_eq!(rates(&[(1_999, 1_000), (4_000, 100)], 4).peak, 1_467);
        // 2 s + 4.001 s is more than 1.5 targets, so only the single ones count.
        assert_eq!(rates(&[(1_999, 9_999), (4_002, 1_000)], 4).average, 14_663);
        assert_eq!(rates(&[(1_999, 9_999), (4_002, 1_000), (4_000, 0)], 4).peak, 8_799);
    }

    #[test]
    fn a_track_shorter_than_half_a_target_has_its_mean() {
        assert_eq!(rates(&[(300, 300)], 1), Rates { peak: 8_000, average: 8_000 });
        assert_eq!(rates(&[], 1), Rates::default());
        assert_eq!(rates(&[(0, 10); 3], 1), Rates::default());
    }
}
