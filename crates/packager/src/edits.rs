//! What an edit list comes to: a delay, where the media starts, and where it ends
//! (ISO/IEC 14496-12 §8.6.6).
//!
//! Edits that continue each other are one. Lists that jump were made so [before](crate::index) where
//! they can be; of those that change the speed, or repeat too much, only where they start is
//! followed, and that is told.

use crate::index::{Edit, Sample, TrackSamples};
use crate::units::{MediaTime, Timescale};

/// What an edit list comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Edits {
    /// Ticks of the track before it starts.
    pub(crate) delay: i64,
    /// The composition time that is presented first.
    pub(crate) media_start: i64,
    /// Where the media stops being presented; `None` for its own end.
    end: Option<End>,
    /// What could not be followed.
    pub(crate) warnings: Vec<&'static str>,
}

impl Edits {
    pub(crate) fn read(
        edits: &[Edit],
        timescale: Timescale,
        movie: Timescale,
        media_end: i64,
    ) -> Self {
        let ticks = |duration: u64| {
            i64::try_from(duration)
                .ok()
                .and_then(|ticks| MediaTime::new(ticks, movie).rescale(timescale))
                .map(MediaTime::ticks)
        };
        let mut found = Self::default();
        let empty = edits.iter().take_while(|edit| edit.is_empty()).count();
        let (before, playing) = edits.split_at(empty);
        let waiting = before.iter().fold(0_u64, |sum, edit| sum.saturating_add(edit.duration));
        match ticks(waiting) {
            // 2^22 seconds are 48 days; more is no delay, and would overflow other timescales.
            Some(delay) if delay <= i64::from(timescale.get()) << 22 => found.delay = delay,
            _ => found.warnings.push("the delay in its edit list is not usable"),
        }
        let Some((first, rest)) = playing.split_first() else {
            if !edits.is_empty() {
                found.warnings.push("its edit list plays nothing; it plays from its start");
            }
            return found;
        };
        if first.media_time >= media_end {
            found.warnings.push("its edit list starts after its end; it plays from its start");
            return found;
        }
        found.media_start = first.media_time;
        if playing.iter().any(|edit| edit.rate != 1 << 16) {
            found.warnings.push(
                "its edit list plays it at another speed; it is played at its own, from where the list \
                 starts: transcode it where the speed matters",
            );
            return found;
        }

        let slack = ticks(1).unwrap_or(0).max(1);
        let mut last = first;
        for edit in rest.iter().filter(|edit| !edit.is_empty()) {
            let next = ticks(last.duration).and_then(|long| last.media_time.checked_add(long));
            if next.is_none_or(|next| (edit.media_time - next).abs() > slack) {
                found.warnings.push("its edit list jumps, and only where it starts is followed");
                return found;
            }
            last = edit;
        }
        // A duration of 0 means to the end (§8.6.6.3), as in files with fragments.
        if last.duration != 0 {
            found.end = Some(End::of(last, timescale, movie));
        }
        found
    }

    /// How many samples are presented, in decode order from the first: all but those at the end
    /// that lie after the last edit. The first is decoded at `start`, and `latest` is the latest
    /// composition time of any.
    pub(crate) fn count(&mut self, samples: &TrackSamples, start: i64, latest: i64) -> u32 {
        let all = samples.count();
        let Some(end) = self.end.filter(|end| !end.is_after(latest)) else { return all };
        // From the end, for there it is, and nearly always within the last few samples.
        for until in (1..=all).rev().step_by(LOOK_BACK as usize) {
            let from = until.saturating_sub(LOOK_BACK);
            let some = (from + 1..).zip(samples.range(from..until));
            if let Some((count, _)) = some.filter(|(_, it)| !end.excludes(it, start)).last() {
                return count;
            }
        }
        self.warnings.push("no sample lies within its edit list, so its end is not followed");
        all
    }
}

/// Samples that are looked at together on the way back from the end.
const LOOK_BACK: u32 = 64;

/// Where an edit ends, give or take half a tick of the movie: that is what durations in edit lists
/// are rounded to. In units that make whole numbers of all of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct End {
    earliest: i128,
    latest: i128,
    /// Units in a tick of the track.
    tick: i128,
}

impl End {
    fn of(edit: &Edit, timescale: Timescale, movie: Timescale) -> Self {
        let (tick, half) = (2 * i128::from(movie.get()), i128::from(timescale.get()));
        let end = i128::from(edit.media_time) * tick + i128::from(edit.duration) * 2 * half;
        Self { earliest: end - half, latest: end + half, tick }
    }

    /// Whether every sample with composition times up to this one starts before it.
    fn is_after(&self, time: i64) -> bool {
        i128::from(time) * self.tick < self.earliest
    }

    /// Whether a sample lies after it. One that the end falls into does not, nor does one that is
    /// over by the end: the last of a track may be shorter than the rounding.
    fn excludes(&self, sample: &Sample, start: i64) -> bool {
        let start = (i128::from(start) + i128::from(sample.cts())) * self.tick;
        let end = start + i128::from(sample.duration) * self.tick;
        start >= self.latest || (start >= self.earliest && end > self.latest)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn scale(hz: u32) -> Timescale {
        Timescale::new(hz).unwrap()
    }

    fn edit(duration: u64, media_time: i64) -> Edit {
        Edit { duration, media_time, rate: 1 << 16 }
    }

    fn read(edits: &[Edit]) -> Edits {
        Edits::read(edits, scale(48_000), scale(1_000), 480_000)
    }

    #[test]
    fn priming_and_delay() {
        // §8.6.6.1: an empty edit of 500 ms, then the media from its 1,024th tick.
        let found = read(&[edit(500, -1), edit(9_979, 1_024)]);
        assert_eq!((found.delay, found.media_start), (24_000, 1_024));
        assert!(found.warnings.is_empty());
        assert_eq!(read(&[]), Edits::default());
    }

    #[test]
    fn edits_that_continue_each_other_are_one() {
        let joined = read(&[edit(5_000, 0), edit(5_000, 240_000)]);
        assert_eq!(joined, read(&[edit(10_000, 0)]));
        assert!(joined.warnings.is_empty());
    }

    #[test]
    fn exotic_edits_are_told_and_have_no_end() {
        let warned = |edits: &[Edit], words: &str| {
            let found = read(edits);
            assert!(found.warnings.iter().any(|warning| warning.contains(words)), "{found:?}");
            assert_eq!(found.end, None);
            found
        };
        warned(&[edit(1_000, 0), edit(1_000, 240_000)], "jumps");
        let double = Edit { rate: 2 << 16, ..edit(10_000, 0) };
        warned(&[double], "speed");
        assert_eq!(warned(&[edit(1, 480_000)], "after its end").media_start, 0);
        warned(&[edit(10, -1)], "plays nothing");
        assert_eq!(read(&[edit(0, 1_024)]).end, None, "to the end");
        let late = read(&[edit(u64::MAX, -1), edit(10_000, 0)]);
        assert_eq!(late.warnings, ["the delay in its edit list is not usable"]);
    }

    /// Whether a sample is left out by an edit of so many ticks from 0 on.
    fn excludes(edit_ticks: (u64, u32), track: u32, start: i64, duration: u32) -> bool {
        let sample =
            Sample { offset: 0, size: 1, dts: start, duration, composition_offset: 0, sync: true };
        End::of(&edit(edit_ticks.0, 0), scale(track), scale(edit_ticks.1)).excludes(&sample, 0)
    }

    #[test]
    fn the_end_falls_between_samples_or_into_one() {
        // 30.160 s are 1,447,680 ticks, in the middle of the 1,414th frame of sound.
        let sound = |number: i64| excludes((30_160, 1_000), 48_000, number * 1_024, 1_024);
        assert!(!sound(1_413));
        assert!(sound(1_414));
        // Exactly where a picture starts.
        assert!(excludes((4_000, 1_000), 12_800, 51_200, 512));
        assert!(!excludes((4_000, 1_000), 12_800, 51_200 - 512, 512));
        // 100 pictures at 30000/1001 are 3,336.67 ms: the next one starts a third of a millisecond
        // before the rounded end, and where it was cut down to whole ones the last is no shorter.
        assert!(excludes((3_337, 1_000), 30_000, 100_100, 1_001));
        assert!(!excludes((3_336, 1_000), 30_000, 99_099, 1_001));
    }

    #[test]
    fn rounding_takes_no_sample() {
        // A last picture of one tick, where the whole track is 10.0004 s and the edit says 10.000.
        assert!(!excludes((10_000, 1_000), 90_000, 900_035, 1));
        assert!(excludes((10_000, 1_000), 90_000, 900_035, 3_000));
        // A movie that counts in seconds.
        assert!(!excludes((10, 1), 25, 260, 1));
        assert!(excludes((10, 1), 25, 263, 1));
    }
}
