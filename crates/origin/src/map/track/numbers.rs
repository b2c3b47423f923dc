//! The numbers of segments from one manifest to the next (DASH): a segment is known by its name where that
//! holds a number, and else by when it starts within the presentation; in a list that says neither, by the
//! name alone.

use super::super::timing::GAP;
use super::{Run, Target, Track};

/// Segments at an end of a list that are looked for in another.
const TRIES: u32 = 16;

impl Track {
    /// Says that segments are named by their number, from this one on.
    pub(in crate::map) fn set_said(&mut self, first: u64) {
        self.said = Some(first);
    }

    /// Says that neither numbers nor times tell how far its list has moved on.
    pub(in crate::map) fn set_unsaid(&mut self) {
        self.unsaid = true;
    }

    /// When what its times count from is within the presentation, in microseconds.
    pub(in crate::map) fn origin(&self) -> u64 {
        self.origin
    }

    /// Says when its times begin.
    pub(in crate::map) fn set_origin(&mut self, micros: u64) {
        self.origin = micros;
    }

    /// Gives the first segment another number, and all after it.
    fn number_from(&mut self, first: u64) {
        self.first = first;
        let next = self.number(self.len);
        if let Some(live) = &mut self.live {
            live.next.0 = next;
        }
    }

    /// Numbers its segments as `other`, which lists some of them too, whatever its packager calls them;
    /// `false` where neither names nor times tell which they are.
    pub(in crate::map) fn number_as(&mut self, other: &Self) -> bool {
        if self.len == 0 || other.len == 0 {
            return false;
        }
        let named = self.said.zip(other.said).filter(|_| self.origin == other.origin);
        let named = named.map(|(own, others)| match own.checked_sub(others) {
            Some(ahead) => other.first.saturating_add(ahead),
            None => other.first.saturating_sub(others - own),
        });
        let first = named.or_else(|| {
            let (own, others) = self.common(other)?;
            Some(other.number(others).saturating_sub(u64::from(own)))
        });
        if let Some(first) = first {
            self.number_from(first);
        }
        first.is_some()
    }

    /// Numbers its segments so that they go on from those of `old`, the same rendition a while ago: as
    /// there, or else after its last, by as many as would have fitted in between.
    pub(in crate::map) fn go_on_from(&mut self, old: &Self) {
        if self.len == 0 || old.len == 0 {
            return;
        }
        if self.unsaid || old.unsaid {
            let first = match self.namesake(old) {
                Some((own, olds)) => old.number(olds).saturating_sub(u64::from(own)),
                None => old.number(old.len),
            };
            return self.number_from(first);
        }
        if self.number_as(old) {
            return;
        }
        let last = old.len.checked_sub(1).and_then(|last| old.timing.of(last));
        let own = self.timing.of(0).map(|(start, _)| start.saturating_add(self.origin));
        let left_out = own.zip(last).map_or(0, |(own, (start, duration))| {
            let ended = old.origin.saturating_add(start).saturating_add(duration);
            let between = own.saturating_sub(ended).saturating_add(duration / 2);
            between.checked_div(duration).unwrap_or(0)
        });
        self.number_from(old.number(old.len).saturating_add(left_out));
    }

    /// One of its first segments that `other` lists as well, by its name: its index here and there.
    fn namesake(&self, other: &Self) -> Option<(u32, u32)> {
        (0..self.len.min(TRIES)).find_map(|at| Some((at, other.named(&self.get(at)?)?)))
    }

    /// The first segment that is `target`.
    fn named(&self, target: &Target) -> Option<u32> {
        let listed = self.runs.iter().find_map(|(at, run)| match run {
            Run::Listed(own) if own == target => Some(*at),
            _ => None,
        });
        let whole = target.range.is_none();
        listed.or_else(|| whole.then(|| self.find(target.url.as_str(), None, None)).flatten())
    }

    /// The newest segment that `other` lists as well, by its start: its index here and there. Looked for
    /// among the last of `other`, and the first and last of its own.
    fn common(&self, other: &Self) -> Option<(u32, u32)> {
        let last = |track: &Self| (track.len.saturating_sub(TRIES)..track.len).rev();
        let theirs = last(other).find_map(|at| Some((self.starting(other.start(at)?)?, at)));
        let mut own = last(self).chain(0..self.len.min(TRIES));
        theirs.or_else(|| own.find_map(|at| Some((at, other.starting(self.start(at)?)?))))
    }

    /// When segment `index` starts within the presentation, in microseconds.
    fn start(&self, index: u32) -> Option<u64> {
        Some(self.timing.of(index)?.0.saturating_add(self.origin))
    }

    /// The segment that starts at this time of the presentation.
    fn starting(&self, micros: u64) -> Option<u32> {
        // Before the first it may be by what is rounded away.
        let at = micros.saturating_add(GAP).checked_sub(self.origin)?;
        let shown = [at.checked_sub(GAP), Some(at)].into_iter().flatten();
        let shown = shown.filter_map(|at| self.timing.at(at));
        let off = shown.filter_map(|index| {
            let off = self.start(index)?.abs_diff(micros);
            // Of short ones it is not the neighbour.
            let most = GAP.min(self.timing.of(index)?.1 / 2);
            (off <= most).then_some((off, index))
        });
        off.min().map(|(_, index)| index)
    }
}
