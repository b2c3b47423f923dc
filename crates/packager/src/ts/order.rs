//! In which order the packets of one segment come, and when the program's clock is told among them
//! (ISO/IEC 13818-1 §2.4.2.2 and §2.7.2): it runs before whatever is decoded by it, never back, and
//! is silent for no longer than a tenth of a second.
//!
//! PES packets come by their decode times. The clock is told with each of the stream that carries
//! it, and by packets of its own wherever there is none of these for a tenth of a second: before
//! the first picture, while one stands, after the last, and while the whole program is silent. The
//! time until the next packet of the program, in whichever segment that is, belongs to the segment
//! in which the silence begins; so each segment is made by itself, and all together keep the rules.
//!
//! Segments are cut by presentation, and reordered pictures are decoded before they are presented:
//! the first picture of a segment may be decoded before the last sound of the segment before. So no
//! clock is told there that is as late as that picture, whatever sound is still to come.
//!
//! Times here are decode times; the clock is earlier by a constant ([`Table`](super::Table)).

use super::units::{CLOCK_INTERVAL, Unit, Units};

/// The most packets with the clock alone that fill silence in one segment: an hour of it, 6.8 MB.
/// What is silent for longer is no reason to send more.
pub(super) const MAX_CLOCKS: u64 = 36_000;

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// A PES packet of the lane of that number.
    Unit(usize, Unit),
    /// The clock alone: first at that time, then each [`CLOCK_INTERVAL`] until it was told so often.
    Clocks(u64, u64),
}

/// One stream in the segment.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) units: Units<'a>,
    /// Whether it carries the clock.
    pub(super) clocked: bool,
    /// When the first of what it has in later segments is decoded, published or not.
    pub(super) after: Option<u64>,
}

/// The events of a segment.
#[derive(Debug)]
pub(super) struct Order<'a> {
    lines: Vec<(Line<'a>, Option<Unit>)>,
    /// No picture of the clock's stream is in this segment.
    lonely: bool,
    /// The last clock that was told.
    told: Option<u64>,
    /// When the last of what came ends.
    end: u64,
    /// A packet that waits until the clocks before it are told.
    next: Option<(usize, Unit)>,
    /// How many packets may still fill silence.
    left: u64,
}

impl<'a> Order<'a> {
    /// Of streams of which one is clocked; of those with equal times the first comes first.
    pub(super) fn new(lines: impl IntoIterator<Item = Line<'a>>) -> Self {
        let first = |mut line: Line<'a>| {
            let unit = line.units.next();
            (line, unit)
        };
        let lines: Vec<_> = lines.into_iter().map(first).collect();
        let lonely = lines.iter().any(|(line, unit)| line.clocked && unit.is_none());
        Self { lines, lonely, told: None, end: 0, next: None, left: MAX_CLOCKS }
    }

    /// How many of its events are clocks alone.
    pub(super) fn clocks(self) -> u64 {
        let told = self.map(|event| match event {
            Event::Clocks(_, count) => count,
            Event::Unit(..) => 0,
        });
        told.fold(0, u64::saturating_add)
    }

    /// Takes the next packet out of its line.
    fn pull(&mut self) -> Option<(usize, Unit)> {
        let ahead = self.lines.iter().enumerate();
        let (number, _) = ahead
            .filter_map(|(number, (_, unit))| Some((number, unit.as_ref()?.stamps.dts)))
            .min_by_key(|(_, dts)| *dts)?;
        let (line, unit) = self.lines.get_mut(number)?;
        let next = line.units.next();
        Some((number, std::mem::replace(unit, next)?))
    }

    fn is_clocked(&self, number: usize) -> bool {
        self.lines.get(number).is_some_and(|(line, _)| line.clocked)
    }

    /// When the next packet that carries the clock is decoded: no other clock is as late.
    fn limit(&self) -> u64 {
        let clocked = self.lines.iter().find(|(line, _)| line.clocked);
        let next = clocked.and_then(|(line, unit)| match unit {
            Some(unit) => Some(unit.stamps.dts),
            None => line.after,
        });
        next.unwrap_or(u64::MAX)
    }

    /// Until when the clock goes on after the last packet: up to the next of later segments, or to
    /// the end of all.
    fn until(&self) -> u64 {
        let after = self.lines.iter().filter_map(|(line, _)| line.after).min();
        after.unwrap_or(self.end)
    }

    /// The clocks in the silence before `time`, however long it is.
    fn fill(&mut self, time: u64) -> Option<Event> {
        let told = self.told?;
        let count = (time.saturating_sub(told).saturating_sub(1) / CLOCK_INTERVAL).min(self.left);
        if count == 0 {
            return None;
        }
        self.left -= count;
        self.told = Some(told + count * CLOCK_INTERVAL);
        Some(Event::Clocks(told + CLOCK_INTERVAL, count))
    }

    /// The clock that sound at `dts` needs before it where no picture has told it: just then, but
    /// before the next picture.
    fn own(&mut self, dts: u64) -> Option<Event> {
        if self.told.is_some() && !self.lonely {
            return None;
        }
        let clock = dts.min(self.limit().saturating_sub(1));
        if self.told.is_some_and(|told| told >= clock) {
            return None;
        }
        self.told = Some(clock);
        Some(Event::Clocks(clock, 1))
    }
}

impl Iterator for Order<'_> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let Some((number, unit)) = self.next.take().or_else(|| self.pull()) else {
            return self.fill(self.until());
        };
        let dts = unit.stamps.dts;
        let clocks = if self.is_clocked(number) {
            self.fill(dts)
        } else {
            let limit = self.limit();
            self.fill(dts.min(limit)).or_else(|| self.own(dts))
        };
        if clocks.is_some() {
            self.next = Some((number, unit));
            return clocks;
        }
        if self.is_clocked(number) {
            self.told = Some(dts);
        }
        self.end = self.end.max(unit.end);
        Some(Event::Unit(number, unit))
    }
}
