//! What came out of a rule: where it held, where it was broken, and with which figures.

use crate::limits::MAX_FINDINGS;

/// One place where a rule is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The resource, with the line where there is one.
    pub place: String,
    /// What is wrong there: what is stated and what was found.
    pub what: String,
}

/// What a check writes down.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    seen: u64,
    broken: u64,
    first: Vec<Finding>,
}

impl Findings {
    /// There was something to look at, and it was in order.
    pub(crate) fn seen(&mut self) {
        self.seen += 1;
    }

    /// There was something to look at, and it was not in order.
    pub(crate) fn broke(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.seen += 1;
        self.broken += 1;
        if self.first.len() < MAX_FINDINGS {
            self.first.push(Finding { place: place.into(), what: what.into() });
        }
    }

    /// Notes that something was looked at, and whether it was in order.
    pub(crate) fn expect<P: Into<String>, W: Into<String>>(
        &mut self,
        holds: bool,
        place: impl FnOnce() -> P,
        what: impl FnOnce() -> W,
    ) {
        if holds {
            self.seen();
        } else {
            self.broke(place(), what());
        }
    }

    /// The verdict, and the first places.
    pub(crate) fn finish(self) -> (Verdict, Vec<Finding>) {
        let verdict = match (self.seen, self.broken) {
            (0, _) => Verdict::NotApplicable,
            (seen, 0) => Verdict::Pass(seen),
            (_, broken) => Verdict::Fail(broken),
        };
        (verdict, self.first)
    }
}

/// How a rule came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It held in this many places.
    Pass(u64),
    /// It was broken in this many places.
    Fail(u64),
    /// There was nothing that it speaks of.
    NotApplicable,
}
