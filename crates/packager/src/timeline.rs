//! When each track plays: edit lists settled into one whole number of ticks per track
//! (ISO/IEC 14496-12 §8.6.6), and one offset for all.
//!
//! Presentation time = composition time + shift. Sound before the edit's start is priming and
//! stays, at times before zero. Pictures carry no edit list in the output, so theirs stay too.
//! The output's times are presentation times plus a whole number of seconds, the same for every
//! track: exact in every timescale, and large enough that none is negative.
//!
//! A source with negative composition offsets decodes that much earlier in the output, so that no
//! output offset is negative: FFmpeg delays all of a fragmented track by its most negative one
//! (`dts_shift` in its mov.c), against the standard, and sound would be early in everything built
//! on it. A source with composition offsets and no edit list starts that much late, and stays so.

use crate::error::{Error, Result};
use crate::index::{Edit, TrackIndex};
use crate::isobmff::FourCc;
use crate::units::{MediaTime, Timescale};

/// One track on the presentation's timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placement {
    /// Presentation time minus composition time, in ticks of the track.
    pub(crate) shift: i64,
    /// Output decode time minus source decode time, before shift and start offset: the most
    /// negative composition offset, or 0.
    pub(crate) lead: i32,
    /// The earliest presentation time.
    pub(crate) start: i64,
    /// The latest end of a sample's presentation.
    pub(crate) end: i64,
    /// Where decoding can start: sample number and presentation time, by number. Empty for sound.
    pub(crate) sync: Vec<SyncPoint>,
    /// What could not be followed.
    pub(crate) warnings: Vec<&'static str>,
}

/// A sync sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SyncPoint {
    pub(crate) number: u32,
    pub(crate) time: i64,
}

impl Placement {
    /// Looks at every sample of the track once.
    pub(crate) fn new(track: &TrackIndex, movie: Timescale) -> Result<Self> {
        let samples = track.samples();
        let mut survey = Survey::default();
        let mut sync = Vec::new();
        for (number, sample) in (0_u32..).zip(samples) {
            survey.offsets(sample.composition_offset);
            let time = sample.cts();
            survey.add(time, i64::from(sample.duration));
            if sample.sync && track.is_video() {
                sync.push(SyncPoint { number, time });
            }
        }
        let Survey { start, end, least, most } = survey;
        if most.checked_sub(least).is_none() {
            return Err(Error::BadBox {
                kind: FourCc(*b"ctts"),
                track: Some(track.number()),
                why: "its offsets spread over more than 31 bits",
            });
        }
        let mut edits = Edits::read(track.edits(), track.timescale(), movie, end);
        if track.is_video() && start < edits.media_start {
            edits
                .warnings
                .push("pictures before the start of its edit list stay in, before time zero");
        }
        let shift = edits.delay - edits.media_start;
        for point in &mut sync {
            point.time += shift;
        }
        Ok(Self {
            shift,
            lead: least,
            start: start + shift,
            end: end + shift,
            sync,
            warnings: edits.warnings,
        })
    }

    /// The output decode time of a sample decoded at `dts` in the source, without start offset.
    pub(crate) fn decode_time(&self, dts: i64) -> i64 {
        dts + i64::from(self.lead) + self.shift
    }
}

/// Seconds by which all tracks are moved so that nothing is decoded or presented before zero.
pub(crate) fn start_offset<'a>(
    tracks: impl Iterator<Item = (&'a Placement, Timescale)>,
) -> Result<u32> {
    let earliest = tracks
        .map(|(placement, timescale)| {
            let first = placement.start.min(placement.decode_time(0));
            first.div_euclid(i64::from(timescale.get()))
        })
        .min()
        .unwrap_or(0);
    u32::try_from(earliest.min(0).unsigned_abs()).map_err(|_| Error::BadBox {
        kind: FourCc(*b"elst"),
        track: None,
        why: "a track starts too long before the presentation",
    })
}

#[derive(Debug, Clone, Copy)]
struct Survey {
    start: i64,
    end: i64,
    /// Of the composition offsets, with 0.
    least: i32,
    most: i32,
}

impl Default for Survey {
    fn default() -> Self {
        Self { start: i64::MAX, end: i64::MIN, least: 0, most: 0 }
    }
}

impl Survey {
    fn offsets(&mut self, offset: i32) {
        self.least = self.least.min(offset);
        self.most = self.most.max(offset);
    }

    fn add(&mut self, time: i64, duration: i64) {
        self.start = self.start.min(time);
        self.end = self.end.max(time + duration);
    }
}

/// What an edit list comes to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Edits {
    /// Ticks of the track before it starts.
    delay: i64,
    /// The composition time that is presented first.
    media_start: i64,
    warnings: Vec<&'static str>,
}

impl Edits {
    fn read(edits: &[Edit], timescale: Timescale, movie: Timescale, media_end: i64) -> Self {
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
            found.warnings.push("its edit list changes the speed, which is not followed");
        }

        // Edits that continue each other are one; anything else would need another timeline.
        let slack = ticks(1).unwrap_or(0).max(1);
        let mut until = Some(first);
        let mut next = ticks(first.duration).map(|duration| first.media_time + duration);
        for edit in rest.iter().filter(|edit| !edit.is_empty()) {
            let joins = next.is_some_and(|next| (edit.media_time - next).abs() <= slack);
            if !joins {
                found.warnings.push("its edit list jumps, and only where it starts is followed");
                until = None;
                break;
            }
            next = ticks(edit.duration).and_then(|duration| edit.media_time.checked_add(duration));
            until = Some(edit);
        }
        // A duration of 0 means to the end (§8.6.6.3), as in files with fragments.
        if let (Some(last), Some(next)) = (until, next)
            && last.duration != 0
            && media_end - next > i64::from(timescale.get()) / 4
        {
            found.warnings.push("its edit list ends before its media; the rest stays in");
        }
        found
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
        let found = read(&[edit(5_000, 0), edit(5_000, 240_000)]);
        assert_eq!(found, Edits::default());
    }

    #[test]
    fn exotic_edits_are_told() {
        let warned = |edits: &[Edit], words: &str| {
            let found = read(edits);
            assert!(found.warnings.iter().any(|warning| warning.contains(words)), "{found:?}");
            found
        };
        warned(&[edit(1_000, 0), edit(1_000, 240_000)], "jumps");
        warned(&[edit(1_000, 0)], "ends before");
        let double = Edit { rate: 2 << 16, ..edit(10_000, 0) };
        warned(&[double], "speed");
        assert_eq!(warned(&[edit(1, 480_000)], "after its end").media_start, 0);
        warned(&[edit(10, -1)], "plays nothing");
        warned(&[edit(u64::MAX, -1), edit(10_000, 0)], "delay");
    }

    #[test]
    fn the_offset_is_a_whole_second_for_all() {
        let placed = |start, shift| Placement {
            shift,
            lead: 0,
            start,
            end: 0,
            sync: Vec::new(),
            warnings: Vec::new(),
        };
        let (video, sound) = (placed(0, 0), placed(-1_024, -1_024));
        let tracks = [(&video, scale(90_000)), (&sound, scale(44_100))];
        assert_eq!(start_offset(tracks.into_iter()), Ok(1));
        assert_eq!(start_offset([(&video, scale(1))].into_iter()), Ok(0));
        let late = placed(48_001, 48_001);
        assert_eq!(start_offset([(&late, scale(48_000))].into_iter()), Ok(0));
        let early = placed(-48_001, -48_001);
        assert_eq!(start_offset([(&early, scale(48_000))].into_iter()), Ok(2));
    }
}
