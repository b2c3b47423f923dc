//! The one table of where segments begin and end, for all tracks of an asset.
//!
//! Boundaries are presentation times of sync samples that all renditions share, nearest to one
//! target duration after the boundary before. Sound is cut at the same times: a sample belongs to
//! the segment in which its presentation starts; priming belongs to the first. No segment of the
//! longest track is empty, and a last one under half a target joins the one before it where the
//! two together last at most one and a half.

use crate::cmaf::{self, Shape};
use crate::index::TrackIndex;
use crate::ladder::{Ends, Ladder};
use crate::timeline::Placement;
use crate::units::MediaTime;

/// Boundaries of all tracks, numbered from 1; segment `n` of every track covers the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentTable {
    boundaries: Vec<MediaTime>,
    tracks: Vec<Vec<SegmentSpan>>,
    /// Whether pictures in some segment are presented before its first sample, and so may need the
    /// segment before it.
    leading: bool,
    /// How many segments stay as they are should a recording go on.
    settled: usize,
}

/// One segment of one track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentSpan {
    /// The earliest presentation time in it, in ticks of the track, on the output's timeline
    /// (start offset included): DASH `S@t`.
    pub start: u64,
    /// Up to the next segment's start, or to the track's end, in ticks: DASH `S@d`, and EXTINF.
    pub duration: u64,
    /// Its length in bytes with container.
    pub bytes: u64,
    /// Its first sample, counted from 0 in the source track.
    pub first_sample: u32,
    /// How many samples it has. 0 only where the track is silent for that long; such a segment is
    /// valid and empty.
    pub samples: u32,
    /// Decode time of its first sample on the output's timeline, in ticks (`tfdt`).
    pub decode_time: u64,
}

/// A track with its place on the timeline.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lane<'a> {
    pub(crate) track: &'a TrackIndex,
    pub(crate) placement: &'a Placement,
}

impl SegmentTable {
    /// How many segments the longest track has.
    pub fn len(&self) -> usize {
        self.tracks.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where segments begin, on the presentation's timeline (without start offset), in order.
    pub fn boundaries(&self) -> &[MediaTime] {
        &self.boundaries
    }

    /// The segments of the track at `position` in [`Media::tracks`](crate::Media::tracks).
    pub fn spans(&self, position: usize) -> &[SegmentSpan] {
        self.tracks.get(position).map_or(&[], Vec::as_slice)
    }

    /// Whether no segment needs another one: none has pictures that lead its first sample in
    /// presentation, as an open GOP has.
    pub(crate) fn is_independent(&self) -> bool {
        !self.leading
    }

    /// How many segments stay as they are should a recording that was taken for finished go on:
    /// all that were or would have been published while it grew.
    pub(crate) fn settled(&self) -> usize {
        self.settled
    }

    /// Memory that it holds, in bytes.
    pub(crate) fn weight_bytes(&self) -> usize {
        let spans: usize = self.tracks.iter().map(Vec::len).sum();
        spans * size_of::<SegmentSpan>() + self.boundaries.len() * size_of::<MediaTime>()
    }

    /// Cuts the pictures of `ladder` and the `sounds`, in that order.
    pub(crate) fn build(
        ladder: &Ladder<'_>,
        sounds: &[Lane<'_>],
        target: MediaTime,
        start_offset: u32,
        ends: Ends,
    ) -> Self {
        let mut boundaries = ladder.boundaries();
        // Sound after the pictures is no tail while there are pictures to come.
        if ends != Ends::Growing || boundaries.is_empty() {
            lengthen(&mut boundaries, ladder, sounds, target);
        }
        let lanes: Vec<_> = ladder.lanes().chain(sounds.iter().copied()).collect();

        let pictures = ladder.lanes().enumerate().map(|(column, lane)| {
            let mut firsts = ladder.first_samples(column);
            firsts.resize(boundaries.len(), lane.count());
            (lane, firsts)
        });
        let sounds = sounds.iter().map(|lane| {
            let firsts = (0..boundaries.len())
                .map(|index| match boundaries.get(index) {
                    Some(time) if index > 0 => lane.sample_at(*time),
                    _ => 0,
                })
                .collect();
            (*lane, firsts)
        });
        let mut leading = false;
        let tracks = pictures
            .chain(sounds)
            .map(|(lane, firsts)| {
                let (spans, leads) = spans(lane, &firsts, &boundaries, start_offset);
                leading |= leads;
                spans
            })
            .collect();
        let mut table = Self { boundaries, tracks, leading, settled: usize::MAX };
        if ends != Ends::Known {
            table.settle(&lanes, ladder.settled());
        }
        if ends == Ends::Growing {
            table.publish();
        }
        table
    }

    /// Counts the segments that nothing still to come can change: their end stays where it is, and
    /// all tracks have a sample that is decoded at it or later, so that no picture that leads the
    /// next segment is missing.
    fn settle(&mut self, lanes: &[Lane<'_>], of_pictures: Option<usize>) {
        let is_past = |lane: &Lane<'_>, time: MediaTime| lane.sample_at(time) < lane.count();
        let ends = self.boundaries.iter().skip(1).take(of_pictures.unwrap_or(usize::MAX));
        self.settled =
            ends.take_while(|time| lanes.iter().all(|lane| is_past(lane, **time))).count();
    }

    /// Keeps the segments that are settled.
    fn publish(&mut self) {
        for spans in &mut self.tracks {
            spans.truncate(self.settled);
        }
        self.boundaries.truncate(self.settled);
    }
}

impl Lane<'_> {
    pub(crate) fn time(&self, ticks: i64) -> MediaTime {
        MediaTime::new(ticks, self.track.timescale())
    }

    pub(crate) fn start(&self) -> MediaTime {
        self.time(self.placement.start)
    }

    pub(crate) fn end(&self) -> MediaTime {
        self.time(self.placement.end)
    }

    /// How many samples it has.
    fn count(&self) -> u32 {
        self.placement.count
    }

    /// The first sample whose presentation starts at `time` or later.
    fn sample_at(&self, time: MediaTime) -> u32 {
        let samples = self.track.samples();
        time.rescale_up(self.track.timescale()).map_or(self.count(), |time| {
            samples.at_or_after(time.ticks() - self.placement.decode_time(0)).min(self.count())
        })
    }

    /// When sample `number` starts.
    fn sample_time(&self, number: u32) -> Option<i64> {
        if number >= self.count() {
            return None;
        }
        let sample = self.track.samples().range(number..number + 1).next()?;
        Some(self.placement.decode_time(sample.dts))
    }
}

/// Adds boundaries for sound that goes on after the pictures, or has none.
fn lengthen(
    boundaries: &mut Vec<MediaTime>,
    ladder: &Ladder<'_>,
    sounds: &[Lane<'_>],
    target: MediaTime,
) {
    let Some(longest) = sounds.iter().max_by_key(|lane| lane.end()) else {
        return;
    };
    let timescale = longest.track.timescale();
    let step = target.rescale(timescale).map_or(i64::MAX, MediaTime::ticks).max(1);
    let end = longest.placement.end;
    let mut last;
    let base;
    if let Some(pictures) = ladder.lanes().map(|lane| lane.end()).max() {
        base = pictures.rescale_up(timescale).map_or(i64::MAX, MediaTime::ticks);
        if end.saturating_sub(base) < step.div_euclid(2).max(1) {
            return;
        }
        last = longest.sample_at(pictures);
        let Some(time) = longest.sample_time(last) else {
            return;
        };
        boundaries.push(longest.time(time));
    } else {
        boundaries.push(longest.start());
        base = longest.placement.start.max(0);
        last = 0;
    }

    // Whole multiples of the target from here, so that rounding to samples does not add up. Each
    // round takes at least one sample.
    let count = longest.count();
    let mut multiple = 1_i64;
    loop {
        let aim = multiple.saturating_mul(step).saturating_add(base);
        if end.saturating_sub(aim) < step.div_euclid(2).max(1) {
            return;
        }
        let after = longest.sample_at(longest.time(aim));
        let distance =
            |number: u32| longest.sample_time(number).map_or(i64::MAX, |time| (time - aim).abs());
        let number = match after.checked_sub(1) {
            Some(before) if distance(before) <= distance(after) => before,
            _ => after,
        }
        .max(last + 1);
        if number >= count {
            return;
        }
        let Some(time) = longest.sample_time(number) else {
            return;
        };
        boundaries.push(longest.time(time));
        last = number;
        multiple = (multiple + 1).max((time - base).div_euclid(step) + 1);
    }
}

/// The segments of a track, and whether any has pictures that lead its first sample.
fn spans(
    lane: Lane<'_>,
    firsts: &[u32],
    boundaries: &[MediaTime],
    start_offset: u32,
) -> (Vec<SegmentSpan>, bool) {
    let samples = lane.track.samples();
    let placement = lane.placement;
    let offset = i64::from(start_offset) * i64::from(lane.track.timescale().get());
    let output = |time: i64| u64::try_from(time.saturating_add(offset)).unwrap_or(0);
    let count = lane.count();
    let used = firsts.iter().take_while(|first| **first < count).count();

    let mut spans: Vec<SegmentSpan> = Vec::with_capacity(used);
    let mut leading = false;
    for (index, (first, boundary)) in firsts.iter().zip(boundaries).take(used).enumerate() {
        let until = firsts.get(index + 1).copied().unwrap_or(count).max(*first);
        let summary = samples.summary(*first..until);
        let (shape, earliest) = if let Some(summary) = &summary {
            leading |= summary.earliest < summary.cts;
            (Shape::of_all(summary, placement.lead), summary.earliest + placement.shift)
        } else {
            let silence = boundary.rescale(lane.track.timescale());
            (Shape::EMPTY, silence.map_or(0, MediaTime::ticks))
        };
        let decode_time = summary.map(|summary| placement.decode_time(summary.dts));
        // Pictures that lead a sync sample may be earlier than it, but segments never overlap.
        let floor = spans.last().map_or(0, |before| before.start);
        let start = output(earliest).max(floor);
        spans.push(SegmentSpan {
            start,
            duration: 0,
            bytes: cmaf::segment_len(&shape),
            first_sample: *first,
            samples: shape.samples,
            decode_time: decode_time.map_or(start, output),
        });
    }
    let mut next = output(placement.end);
    for span in spans.iter_mut().rev() {
        span.duration = next.saturating_sub(span.start);
        next = span.start;
    }
    (spans, leading)
}
