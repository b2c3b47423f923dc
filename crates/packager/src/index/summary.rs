//! What neighbouring samples come to, without a look at each: their times follow from runs, their
//! bytes from sums.

use super::runs::Cursor;
use super::times::{CompositionOffsets, Durations};

/// What is known of neighbouring samples together; there is at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) samples: u32,
    /// The sum of their sizes.
    pub(crate) bytes: u64,
    /// The one size that all have.
    pub(crate) size: Option<u32>,
    /// The one duration that all have.
    pub(crate) duration: Option<u32>,
    /// When the first is decoded.
    pub(crate) dts: i64,
    /// Its composition time.
    pub(crate) cts: i64,
    /// The earliest and the latest composition time, and the latest end of any.
    pub(crate) earliest: i64,
    pub(crate) latest: i64,
    pub(crate) end: i64,
    /// The least and the largest composition offset.
    pub(crate) least_offset: i32,
    pub(crate) most_offset: i32,
    /// Whether the first is a sync sample, and how many of the others are.
    pub(crate) first_sync: bool,
    pub(crate) later_sync: u32,
}

/// Neighbouring samples that last equally long and have the same composition offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    /// The first of them.
    pub(super) number: u32,
    /// How many.
    pub(super) count: u32,
    /// When the first is decoded.
    pub(super) dts: i64,
    pub(super) duration: u32,
    pub(super) composition_offset: i32,
}

impl Piece {
    /// The composition time of a sample of it.
    pub(super) fn cts(&self, number: u32) -> i64 {
        let ticks = i64::from(number - self.number) * i64::from(self.duration);
        self.dts + ticks + i64::from(self.composition_offset)
    }

    /// That of its last.
    pub(super) fn last_cts(&self) -> i64 {
        self.cts(self.number + (self.count - 1))
    }
}

/// The pieces of a range of samples, in order.
#[derive(Debug)]
pub(super) struct Pieces<'a> {
    durations: &'a Durations,
    offsets: Option<(&'a CompositionOffsets, Cursor)>,
    time: Cursor,
    next: u32,
    end: u32,
}

impl<'a> Pieces<'a> {
    /// Those of samples `next..end`, which there are.
    pub(super) fn new(
        durations: &'a Durations,
        offsets: Option<&'a CompositionOffsets>,
        next: u32,
        end: u32,
    ) -> Self {
        let offsets = offsets.map(|list| (list, list.runs.at_count(u64::from(next))));
        Self { durations, offsets, time: durations.at(next), next, end }
    }
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    #[inline]
    fn next(&mut self) -> Option<Piece> {
        if self.next >= self.end {
            return None;
        }
        let number = self.next;
        let at = u64::from(number);
        if self.time.end().count <= at {
            self.time.next(&self.durations.runs);
        }
        let mut end = self.time.end().count.min(u64::from(self.end));
        let mut composition_offset = 0;
        if let Some((list, run)) = &mut self.offsets {
            if run.end().count <= at {
                run.next(&list.runs);
            }
            end = end.min(run.end().count);
            composition_offset = CompositionOffsets::offset(run);
        }
        // Both lists go as far as there are samples.
        self.next = (end as u32).max(number + 1);
        let before = (at - self.time.start.count) * u64::from(self.time.value);
        Some(Piece {
            number,
            count: self.next - number,
            dts: (self.time.start.weight + before).cast_signed(),
            duration: self.time.value,
            composition_offset,
        })
    }
}
