//! A bar: something that a bench measured, what it has to be, and a line that says whether it is.

use std::fmt;

/// Something measured, and what it has to be.
#[derive(Debug)]
pub struct Bar {
    case: String,
    measured: f64,
    needed: f64,
    is_least: bool,
}

impl Bar {
    /// What has to be `needed` or more.
    pub fn least(case: impl Into<String>, measured: f64, needed: f64) -> Self {
        Self { case: case.into(), measured, needed, is_least: true }
    }

    /// What may be `needed` and no more.
    pub fn most(case: impl Into<String>, measured: f64, needed: f64) -> Self {
        Self { case: case.into(), measured, needed, is_least: false }
    }

    /// Whether it is kept.
    pub fn is_cleared(&self) -> bool {
        if self.is_least { self.measured >= self.needed } else { self.measured <= self.needed }
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_cleared() { "ok" } else { "missed" };
        write!(f, "{:<52} {:>7.2} {:>7.2}  {verdict}", self.case, self.measured, self.needed)
    }
}
