//! Frames per second from sample durations.

use crate::index::TrackIndex;
use crate::ratio::{reduce, reduce_wide};

/// Exact for a constant duration; snapped to a usual rate where durations differ by one tick only,
/// as a coarse timescale makes them; else the average.
pub(crate) fn frame_rate(track: &TrackIndex) -> Option<(u32, u32)> {
    let samples = track.samples();
    let timescale = track.timescale().get();
    if samples.count() < 2 {
        return None;
    }
    if let Some(duration) = samples.constant_duration() {
        return (duration > 0).then(|| reduce(timescale, duration));
    }
    let average =
        reduce_wide(u64::from(samples.count()) * u64::from(timescale), samples.duration())?;
    let (least, most) = samples.duration_bounds();
    if most - least > 1 {
        return Some(average);
    }
    Some(snap(average))
}

/// The usual rate within one part in 2,000, or the rate itself.
fn snap((frames, seconds): (u32, u32)) -> (u32, u32) {
    const USUAL: [(u32, u32); 10] = [
        (24_000, 1_001),
        (24, 1),
        (25, 1),
        (30_000, 1_001),
        (30, 1),
        (48, 1),
        (50, 1),
        (60_000, 1_001),
        (60, 1),
        (120, 1),
    ];
    let near = |usual: &(u32, u32)| {
        let ours = u128::from(frames) * u128::from(usual.1);
        let theirs = u128::from(usual.0) * u128::from(seconds);
        ours.abs_diff(theirs) * 2_000 <= theirs
    };
    USUAL.into_iter().find(|usual| near(usual)).unwrap_or((frames, seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarse_timescales_do_not_blur_the_rate() {
        assert_eq!(snap((2_997, 100)), (30_000, 1_001));
        assert_eq!(snap((23_976, 1_000)), (24_000, 1_001));
        assert_eq!(snap((24, 1)), (24, 1));
        assert_eq!(snap((25_100, 1_000)), (25_100, 1_000));
    }
}
