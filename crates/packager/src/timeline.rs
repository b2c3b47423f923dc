//! When each track plays: edit lists settled into one whole number of ticks per track
//! (ISO/IEC 14496-12 §8.6.6), and one offset for all.
//!
//! Presentation time = composition time + shift. Sound before the edit's start is priming and
//! stays, at times before zero. Pictures carry no edit list in the output, so theirs stay too.
//! An edit list that jumps was [settled](crate::index) before: here it is one edit.
//! What comes after the edit's end is no part of the presentation: samples at the end of the track,
//! in decode order, that are all presented after it are left out, for nothing that stays needs
//! them. One that is decoded before another that stays, stays too.
//! The output's times are presentation times plus a whole number of seconds, the same for every
//! track: exact in every timescale, and large enough that none is negative.
//!
//! A source with negative composition offsets decodes that much earlier in the output, so that no
//! output offset is negative: FFmpeg delays all of a fragmented track by its most negative one
//! (`dts_shift` in its mov.c), against the standard, and sound would be early in everything built
//! on it. A source with composition offsets and no edit list starts that much late, and stays so.

use crate::edits::Edits;
use crate::error::{Error, Result};
use crate::index::TrackIndex;
use crate::isobmff::FourCc;
use crate::units::Timescale;

/// One track on the presentation's timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placement {
    /// Presentation time minus composition time as samples have it, which are decoded from 0 on; in
    /// ticks of the track.
    pub(crate) shift: i64,
    /// Output decode time minus source decode time, before shift and start offset: the most
    /// negative composition offset, or 0.
    pub(crate) lead: i32,
    /// The earliest presentation time.
    pub(crate) start: i64,
    /// The latest end of a sample's presentation.
    pub(crate) end: i64,
    /// How many samples are presented: those with numbers below this; at least one.
    pub(crate) count: u32,
    /// How many come after the end of the edit list, and are not.
    pub(crate) left_out: u32,
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
    /// Takes a look at the runs of the track's times, or two where its edit list ends before it.
    pub(crate) fn new(track: &TrackIndex, movie: Timescale) -> Result<Self> {
        let samples = track.samples();
        let mut survey = Survey::of(track, samples.count());
        let mut edits = Edits::read(&track.edits, track.timescale(), movie, survey.end);
        let count = edits.count(samples, track.start, survey.latest);
        let left_out = samples.count() - count;
        if left_out > 0 {
            survey = Survey::of(track, count);
        }
        let Survey { start, end, least, most, .. } = survey;
        if most.checked_sub(least).is_none() {
            return Err(Error::BadBox {
                kind: FourCc(*b"ctts"),
                track: Some(track.number()),
                why: "its offsets spread over more than 31 bits",
            });
        }
        if track.is_video() && start < edits.media_start {
            edits
                .warnings
                .push("pictures before the start of its edit list stay in, before time zero");
        }
        let moved = edits.delay - edits.media_start;
        let shift = track.start + moved;
        let sync = if track.is_video() {
            let times = samples.sync_times(0..count).into_iter();
            times.map(|(number, time)| SyncPoint { number, time: time + shift }).collect()
        } else {
            Vec::new()
        };
        Ok(Self {
            shift,
            lead: least,
            start: start + moved,
            end: end + moved,
            count,
            left_out,
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

/// What the times of samples span, on the timeline of edit lists.
#[derive(Debug, Clone, Copy)]
struct Survey {
    start: i64,
    /// The latest start.
    latest: i64,
    end: i64,
    /// Of the composition offsets, with 0.
    least: i32,
    most: i32,
}

impl Survey {
    fn of(track: &TrackIndex, count: u32) -> Self {
        let Some(all) = track.samples().summary(0..count) else {
            return Self { start: i64::MAX, latest: i64::MIN, end: i64::MIN, least: 0, most: 0 };
        };
        Self {
            start: track.start + all.earliest,
            latest: track.start + all.latest,
            end: track.start + all.end,
            least: all.least_offset.min(0),
            most: all.most_offset.max(0),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn scale(hz: u32) -> Timescale {
        Timescale::new(hz).unwrap()
    }

    #[test]
    fn the_offset_is_a_whole_second_for_all() {
        let placed = |start, shift| Placement {
            shift,
            lead: 0,
            start,
            end: 0,
            count: 0,
            left_out: 0,
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
