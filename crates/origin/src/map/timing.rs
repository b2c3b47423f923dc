//! When the segments of a rendition are: start and duration of each, and where the encoding breaks.
//!
//! Segments of one length in a row are one run, so that most titles cost a few dozen bytes. Times
//! are microseconds from the start of the first segment that the manifest lists, or of the period's
//! timeline in DASH.

/// Microseconds that a segment may be off what came before, or off what another manifest says of it,
/// without being elsewhere: what is rounded away adds up.
pub(super) const GAP: u64 = 50_000;

/// Starts and durations, by index.
#[derive(Debug, Default)]
pub(super) struct Timing {
    runs: Vec<Run>,
    len: u32,
    /// Where the last one ends.
    end: u64,
    /// Segments whose encoding does not go on from the one before.
    breaks: Vec<u32>,
}

#[derive(Debug)]
struct Run {
    first: u32,
    start: u64,
    duration: u64,
}

impl Timing {
    /// So many ticks as microseconds.
    pub(super) fn micros(ticks: u64, timescale: u64) -> u64 {
        let micros = u128::from(ticks) * 1_000_000 / u128::from(timescale.max(1));
        u64::try_from(micros).unwrap_or(u64::MAX)
    }

    /// Appends `count` segments of so many microseconds each.
    pub(super) fn push(&mut self, count: u32, micros: u64) {
        let count = count.min(u32::MAX - self.len);
        if count == 0 {
            return;
        }
        let goes_on = self.runs.last().is_some_and(|last| {
            let past = u64::from(self.len - last.first);
            last.duration == micros
                && last.start.saturating_add(micros.saturating_mul(past)) == self.end
        });
        if !goes_on {
            self.runs.push(Run { first: self.len, start: self.end, duration: micros });
        }
        self.len += count;
        self.end = self.end.saturating_add(micros.saturating_mul(u64::from(count)));
    }

    /// Where the last segment ends.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The next segment starts here, wherever the last one ended.
    pub(super) fn start_at(&mut self, micros: u64) {
        self.end = micros;
    }

    /// The next segment is encoded otherwise than the one before (RFC 8216 §4.3.2.3, or another
    /// period).
    pub(super) fn breaks_here(&mut self) {
        if self.len > 0 && self.breaks.last() != Some(&self.len) {
            self.breaks.push(self.len);
        }
    }

    /// Start and duration of segment `index`.
    pub(super) fn of(&self, index: u32) -> Option<(u64, u64)> {
        if index >= self.len {
            return None;
        }
        let at = self.runs.partition_point(|run| run.first <= index).checked_sub(1)?;
        let run = self.runs.get(at)?;
        let past = run.duration.saturating_mul(u64::from(index - run.first));
        Some((run.start.saturating_add(past), run.duration))
    }

    /// The segment that is shown at `micros`. Where times go back, the first run that holds it.
    pub(super) fn at(&self, micros: u64) -> Option<u32> {
        let ends = self.runs.iter().skip(1).map(|run| run.first).chain([self.len]);
        self.runs.iter().zip(ends).find_map(|(run, end)| {
            let past = micros.checked_sub(run.start)?;
            let index = past.checked_div(run.duration)?;
            let index = u32::try_from(index).ok()?.checked_add(run.first)?;
            (index < end).then_some(index)
        })
    }

    /// Whether segment `index` is encoded otherwise than the one before.
    pub(super) fn is_break(&self, index: u32) -> bool {
        self.breaks.binary_search(&index).is_ok()
    }

    /// Bytes of memory.
    pub(super) fn weight(&self) -> usize {
        self.runs.len() * size_of::<Run>() + self.breaks.len() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_segments_are_one_run_and_a_gap_begins_another() {
        let mut timing = Timing::default();
        timing.push(3, 4_000_000);
        timing.push(1, 4_000_000);
        assert_eq!(timing.runs.len(), 1);
        timing.push(1, 2_500_000);
        timing.start_at(100_000_000);
        timing.breaks_here();
        timing.push(2, 2_500_000);
        assert_eq!(timing.runs.len(), 3);
        assert_eq!(timing.of(3), Some((12_000_000, 4_000_000)));
        assert_eq!(timing.of(4), Some((16_000_000, 2_500_000)));
        assert_eq!(timing.of(6), Some((102_500_000, 2_500_000)));
        assert_eq!(timing.of(7), None);
        for (micros, index) in [(0, 0), (11_999_999, 2), (12_000_000, 3), (18_499_999, 4)] {
            assert_eq!(timing.at(micros), Some(index), "{micros}");
        }
        assert_eq!(timing.at(18_500_000), None, "nothing is shown in a gap");
        assert_eq!(timing.at(104_000_000), Some(6));
        assert!(timing.is_break(5) && !timing.is_break(4) && !timing.is_break(0));
    }

    #[test]
    fn no_number_is_too_large() {
        let mut timing = Timing::default();
        timing.push(u32::MAX, u64::MAX);
        timing.push(9, u64::MAX);
        timing.start_at(u64::MAX);
        assert_eq!(timing.of(u32::MAX - 1), Some((u64::MAX, u64::MAX)));
        assert_eq!(timing.at(u64::MAX), Some(1));
        let mut nothing = Timing::default();
        nothing.push(4, 0);
        assert_eq!(nothing.at(0), None, "segments without a length are nowhere");
    }
}
