//! Runs of things that are alike: the shape of `stts`, `ctts` and `stsc` (ISO/IEC 14496-12
//! §8.6.1.2, §8.6.1.3, §8.7.4).
//!
//! A run is a count and a value. Both are packed, and every [`BLOCK`] runs it is noted how much came
//! before: of counts, and of counts times values. So a run is found by a binary search over blocks
//! and a walk through one.
#![expect(clippy::inline_always, reason = "compiled for the vectors of each dispatch")]

use super::packed::{BLOCK, LANES, Packed, Packer, Reader, Span};

/// A list of runs.
#[derive(Debug, Default)]
pub(super) struct Runs {
    counts: Packed,
    values: Packed,
    starts: Box<[Position]>,
}

/// How much comes before a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// The sum of the counts.
    pub(super) count: u64,
    /// The sum of counts times values; arbitrary in lists that are not weighted.
    pub(super) weight: u64,
}

impl Runs {
    pub(super) fn weight_bytes(&self) -> usize {
        self.counts.weight_bytes() + self.values.weight_bytes() + size_of_val(&*self.starts)
    }

    /// From the first run on.
    pub(super) fn start(&self) -> Cursor {
        self.walk(0, |_| false)
    }

    /// From the run on that holds the thing with that number; from the last where none does.
    pub(super) fn at_count(&self, number: u64) -> Cursor {
        let after = self.starts.partition_point(|start| start.count <= number);
        self.walk(after, |end| end.count <= number)
    }

    /// From the run on within which the weight grows past that; from the last where none does.
    pub(super) fn at_weight(&self, weight: u64) -> Cursor {
        let after = self.starts.partition_point(|start| start.weight <= weight);
        self.walk(after, |end| end.weight <= weight)
    }

    /// Passes runs in the block before block `after` whose ends are to be passed.
    fn walk(&self, after: usize, passes: impl Fn(Position) -> bool) -> Cursor {
        let block = after.saturating_sub(1);
        let mut at = self.starts.get(block).copied().unwrap_or_default();
        let mut run = (block * BLOCK) as u32;
        let end = ((block + 1) * BLOCK).min(self.counts.len() as usize) as u32;
        while run + (LANES as u32) < end {
            let (counts, values) = (self.counts.row(run / 8), self.values.row(run / 8));
            let mut next = at;
            for (count, value) in counts.iter().zip(values) {
                next.count = next.count.wrapping_add(u64::from(*count));
                next.weight =
                    next.weight.wrapping_add(u64::from(*count).wrapping_mul(u64::from(value)));
            }
            if !passes(next) {
                break;
            }
            at = next;
            run += LANES as u32;
        }
        let mut cursor = Cursor::new(run, at);
        cursor.next(self);
        while cursor.next < end && passes(cursor.end()) {
            cursor.next(self);
        }
        cursor
    }
}

/// A run in a list, and the way to the next.
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    /// What comes before the run.
    pub(super) start: Position,
    pub(super) count: u32,
    pub(super) value: u32,
    /// The number of the run after it.
    next: u32,
    counts: Reader,
    values: Reader,
}

impl Cursor {
    /// Before run `next`.
    fn new(next: u32, start: Position) -> Self {
        Self { start, count: 0, value: 0, next, counts: Reader::new(), values: Reader::new() }
    }

    /// What comes before the run after it.
    pub(super) fn end(&self) -> Position {
        let count = u64::from(self.count);
        Position {
            count: self.start.count.wrapping_add(count),
            weight: self.start.weight.wrapping_add(count.wrapping_mul(u64::from(self.value))),
        }
    }

    /// Goes on to the next run; false, and nothing changes, where there is none.
    #[inline]
    pub(super) fn next(&mut self, runs: &Runs) -> bool {
        if self.next >= runs.counts.len() {
            return false;
        }
        self.start = self.end();
        self.count = self.counts.get(&runs.counts, self.next);
        self.value = self.values.get(&runs.values, self.next);
        self.next += 1;
        true
    }
}

/// Writes a list of runs block by block.
#[derive(Debug)]
pub(super) struct RunsBuilder {
    counts: Packer,
    values: Packer,
    starts: Vec<Position>,
    at: Position,
}

/// Why runs cannot be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// A run of nothing, which would make the way to the next long.
    EmptyRun,
    /// The weights add up to more than 64 bits.
    TooHeavy,
}

impl RunsBuilder {
    /// For `runs` runs, whose values are often multiples of `unit` apart.
    pub(super) fn new(runs: usize, unit: u32) -> Self {
        Self {
            counts: Packer::new(runs, 1),
            values: Packer::new(runs, unit),
            starts: Vec::with_capacity(runs.div_ceil(BLOCK)),
            at: Position::default(),
        }
    }

    /// Appends the first `used` runs and gives the span of their values. Only the last block may be
    /// short. Where the list is not `WEIGHTED`, values have no sum.
    #[inline(always)]
    pub(super) fn push<const WEIGHTED: bool>(
        &mut self,
        counts: &mut [u32; BLOCK],
        values: &mut [u32; BLOCK],
        used: usize,
    ) -> Result<Span, Refused> {
        let (some_counts, some_values) =
            (counts.get(..used).unwrap_or_default(), values.get(..used).unwrap_or_default());
        let (count_span, value_span) = (Span::of(some_counts), Span::of(some_values));
        if count_span.low == 0 {
            return Err(Refused::EmptyRun);
        }
        let weight = if WEIGHTED {
            weigh(some_counts, some_values, count_span, value_span)
        } else {
            Some(0)
        };
        let next = Position {
            // 2^32 runs of 2^32 things still fit.
            count: self.at.count + sum(some_counts, count_span),
            weight: weight
                .and_then(|weight| self.at.weight.checked_add(weight))
                .ok_or(Refused::TooHeavy)?,
        };
        self.starts.push(std::mem::replace(&mut self.at, next));
        self.counts.push(counts, used, count_span);
        self.values.push(values, used, value_span);
        Ok(value_span)
    }

    /// How much all runs so far come to.
    pub(super) fn total(&self) -> Position {
        self.at
    }

    pub(super) fn finish(self) -> Runs {
        Runs {
            counts: self.counts.finish(),
            values: self.values.finish(),
            starts: self.starts.into(),
        }
    }
}

/// The sum of the numbers of one block.
#[inline(always)]
pub(super) fn sum(numbers: &[u32], span: Span) -> u64 {
    // A block of numbers below this adds up within 32 bits, twice as many of which fit a vector.
    if span.high < 1 << (u32::BITS - BLOCK.trailing_zeros()) {
        u64::from(numbers.iter().fold(0_u32, |sum, number| sum.wrapping_add(*number)))
    } else {
        numbers.iter().map(|number| u64::from(*number)).sum()
    }
}

/// The sum of counts times values of one block.
#[inline(always)]
fn weigh(counts: &[u32], values: &[u32], count_span: Span, value_span: Span) -> Option<u64> {
    let weights =
        || counts.iter().zip(values).map(|(count, value)| u64::from(*count) * u64::from(*value));
    let heaviest = u64::from(count_span.high) * u64::from(value_span.high);
    if heaviest < 1 << (u64::BITS - BLOCK.trailing_zeros()) {
        return Some(weights().fold(0, u64::wrapping_add));
    }
    weights().try_fold(0_u64, u64::checked_add)
}
