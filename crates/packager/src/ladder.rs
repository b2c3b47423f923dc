//! Which renditions can be switched between, and where: the sync samples that they share.

use crate::segments::Lane;
use crate::units::MediaTime;

/// Renditions of one picture with their common boundaries.
#[derive(Debug)]
pub(crate) struct Ladder<'a> {
    lanes: Vec<Lane<'a>>,
    /// Where the first lane starts, and then its times at each chosen boundary.
    start: Option<MediaTime>,
    times: Vec<i64>,
    /// For each lane the sync sample at each of `times`.
    numbers: Vec<Vec<u32>>,
    /// How many of `times` nothing still to come can move.
    settled: usize,
}

/// Why a rendition left the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left {
    /// Its position among the candidates.
    pub(crate) position: usize,
    /// How many segments it would have allowed.
    pub(crate) segments: usize,
    /// How many there are without it.
    pub(crate) without: usize,
}

impl<'a> Ladder<'a> {
    /// Puts renditions together in order; the first sets the pace. One that would leave fewer
    /// than half of the segments is left out and told.
    pub(crate) fn new(candidates: &[Lane<'a>], target: MediaTime, ends: Ends) -> (Self, Vec<Left>) {
        let mut left = Vec::new();
        let Some((first, others)) = candidates.split_first() else {
            return (Self::empty(), left);
        };
        let mut common = Common { times: Vec::new(), numbers: vec![Vec::new()] };
        for point in &first.placement.sync {
            // A damaged file may have times that do not increase; then only those that do count.
            if common.times.last().is_none_or(|last| *last < point.time) {
                common.times.push(point.time);
                if let Some(column) = common.numbers.first_mut() {
                    column.push(point.number);
                }
            }
        }
        let pace = Pace::new(first, target, ends);
        let mut lanes = vec![*first];
        for (position, lane) in (1..).zip(others) {
            let shared = common.shared_with(first, lane);
            // One that grows is compared as far as it has come.
            let reach = common
                .times
                .partition_point(|time| ends != Ends::Growing || first.time(*time) < lane.end());
            let alone = common.times.get(..reach).unwrap_or_default();
            let (segments, without) =
                (1 + pace.choose(&shared.times).len(), 1 + pace.choose(alone).len());
            if segments * 2 < without {
                left.push(Left { position, segments, without });
            } else {
                common = shared;
                lanes.push(*lane);
            }
        }
        let chosen = pace.choose(&common.times);
        let pick = |all: &[u32]| -> Vec<u32> {
            chosen.iter().filter_map(|index| all.get(*index).copied()).collect()
        };
        let ladder = Self {
            lanes,
            start: Some(first.start()),
            times: chosen.iter().filter_map(|index| common.times.get(*index).copied()).collect(),
            numbers: common.numbers.iter().map(|column| pick(column)).collect(),
            settled: match ends {
                Ends::Recorded => Pace { ends: Ends::Growing, ..pace }.choose(&common.times).len(),
                Ends::Known | Ends::Growing => chosen.len(),
            },
        };
        (ladder, left)
    }

    /// The renditions that stayed.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = Lane<'a>> {
        self.lanes.iter().copied()
    }

    /// Where segments begin; empty without renditions.
    pub(crate) fn boundaries(&self) -> Vec<MediaTime> {
        let times = self
            .lanes
            .iter()
            .take(1)
            .flat_map(|lane| self.times.iter().map(|time| lane.time(*time)));
        self.start.into_iter().chain(times).collect()
    }

    /// How many segments end where they would however the renditions go on; `None` without any.
    pub(crate) fn settled(&self) -> Option<usize> {
        self.start.map(|_| self.settled)
    }

    /// For the lane at `column`, the first sample of each segment.
    pub(crate) fn first_samples(&self, column: usize) -> Vec<u32> {
        let numbers = self.numbers.get(column).map_or(&[][..], Vec::as_slice);
        std::iter::once(0).chain(numbers.iter().copied()).collect()
    }

    fn empty() -> Self {
        Self { lanes: Vec::new(), start: None, times: Vec::new(), numbers: Vec::new(), settled: 0 }
    }
}

/// What the end of the renditions has to do with where they are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// It may join a short tail to the segment before it.
    Known,
    /// It decides only after the last boundary that does not depend on it, as while it grew.
    Recorded,
    /// It is still to come.
    Growing,
}

/// Sync points common to the renditions so far.
#[derive(Debug)]
struct Common {
    /// Of the first rendition.
    times: Vec<i64>,
    numbers: Vec<Vec<u32>>,
}

impl Common {
    /// Those of them that `lane` has too, within half a frame.
    fn shared_with(&self, first: &Lane<'_>, lane: &Lane<'_>) -> Self {
        let tolerance = half_a_frame(first).min(half_a_frame(lane));
        let mut points = lane.placement.sync.iter().peekable();
        let mut shared =
            Self { times: Vec::new(), numbers: vec![Vec::new(); self.numbers.len() + 1] };
        for (index, time) in self.times.iter().enumerate() {
            let wanted = first.time(*time);
            let near = |ticks| lane.time(ticks).is_within(wanted, tolerance);
            while points
                .next_if(|point| lane.time(point.time) < wanted && !near(point.time))
                .is_some()
            {}
            let Some(point) = points.next_if(|point| near(point.time)) else {
                continue;
            };
            shared.times.push(*time);
            let row = self
                .numbers
                .iter()
                .map(|column| column.get(index).copied().unwrap_or(0))
                .chain(std::iter::once(point.number));
            for (column, number) in shared.numbers.iter_mut().zip(row) {
                column.push(number);
            }
        }
        shared
    }
}

fn half_a_frame(lane: &Lane<'_>) -> MediaTime {
    let samples = lane.track.samples();
    let frame = samples.duration() / u64::from(samples.count().max(1));
    lane.time(i64::try_from(frame / 2).unwrap_or(i64::MAX).max(1))
}

/// How far apart boundaries should be, in ticks of the first rendition.
#[derive(Debug, Clone, Copy)]
struct Pace {
    start: i64,
    end: i64,
    target: i64,
    ends: Ends,
}

impl Pace {
    fn new(first: &Lane<'_>, target: MediaTime, ends: Ends) -> Self {
        Self {
            start: first.placement.start,
            end: first.placement.end,
            target: target
                .rescale(first.track.timescale())
                .map_or(i64::MAX / 4, MediaTime::ticks)
                .max(1),
            ends,
        }
    }

    /// Indices of the times to cut at, the start not among them.
    fn choose(&self, times: &[i64]) -> Vec<usize> {
        let mut chosen = Vec::new();
        let mut current = self.start;
        loop {
            let aim = current + self.target;
            let after = times.partition_point(|time| *time < aim);
            let nearest = after
                .checked_sub(1)
                .into_iter()
                .chain(std::iter::once(after))
                .filter_map(|index| Some((index, *times.get(index)?)))
                .filter(|(_, time)| *time > current)
                .min_by_key(|(_, time)| (time - aim).abs());
            let Some((index, time)) = nearest else {
                return chosen;
            };
            // With a sync sample on both sides of the aim nothing that follows is nearer to it.
            let settled = after < times.len();
            if self.ends == Ends::Growing && !settled {
                return chosen;
            }
            if self.ends != Ends::Known && settled {
                chosen.push(index);
                current = time;
                continue;
            }
            let (tail, both) = (self.end - time, self.end - current);
            let end_is_nearer = (self.end - aim).abs() <= (time - aim).abs();
            if tail <= 0 || end_is_nearer || (tail * 2 < self.target && both * 2 <= self.target * 3)
            {
                return chosen;
            }
            chosen.push(index);
            current = time;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(times: &[i64], end: i64) -> Vec<i64> {
        let pace = Pace { start: 0, end, target: 40, ends: Ends::Known };
        pace.choose(times).iter().map(|index| times[*index]).collect()
    }

    #[test]
    fn the_nearest_sync_sample_wins() {
        let every = |step: i64| -> Vec<i64> { (0..20).map(|n| n * step).collect() };
        assert_eq!(chosen(&every(20), 120), [40, 80]);
        assert_eq!(chosen(&every(30), 120), [30, 60, 90]);
        assert_eq!(chosen(&every(25), 120), [50, 100]);
        assert_eq!(chosen(&every(100), 300), [100, 200]);
        assert_eq!(chosen(&[0], 300), [] as [i64; 0]);
        assert_eq!(chosen(&[], 300), [] as [i64; 0]);
    }

    #[test]
    fn what_is_to_come_moves_no_boundary() {
        let times: Vec<i64> = [0, 18, 39, 61, 79, 90, 118, 121, 150, 201, 203, 240].into();
        let whole = Pace { start: 0, end: 245, target: 40, ends: Ends::Recorded };
        let whole = whole.choose(&times);
        for count in 0..=times.len() {
            let end = times.get(count).copied().unwrap_or(245);
            let growing = Pace { start: 0, end, target: 40, ends: Ends::Growing };
            let growing = growing.choose(&times[..count]);
            assert_eq!(growing, whole[..growing.len()], "{count} sync samples");
            let ended = Pace { start: 0, end, target: 40, ends: Ends::Recorded };
            let ended = ended.choose(&times[..count]);
            assert_eq!(growing, ended[..growing.len()], "ended after {count} sync samples");
        }
    }

    #[test]
    fn a_short_tail_joins_the_segment_before() {
        assert_eq!(chosen(&[0, 40, 80], 99), [40]);
        assert_eq!(chosen(&[0, 40, 80], 100), [40, 80]);
        // A tail after a long segment stays on its own.
        assert_eq!(chosen(&[0, 100], 110), [100]);
        // The end is as near to the aim as a boundary before it.
        assert_eq!(chosen(&[0, 20, 40, 60, 80, 100], 120), [40, 80]);
        assert_eq!(chosen(&[0, 20], 40), [] as [i64; 0]);
        // A sync sample after the end starts nothing.
        assert_eq!(chosen(&[0, 40, 80], 80), [40]);
    }
}
