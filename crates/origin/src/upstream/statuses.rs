//! Sets of status codes.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use http::StatusCode;

/// Statuses, such as `502-504` or `500, 5xx`: codes, ranges and classes, separated by commas.
///
/// ```
/// use headwater_origin::upstream::Statuses;
///
/// let failures: Statuses = "429, 5xx".parse().unwrap();
/// assert!(failures.has(http::StatusCode::BAD_GATEWAY) && !failures.has(http::StatusCode::NOT_FOUND));
/// assert!("4xx-5xx".parse::<Statuses>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses(Vec<RangeInclusive<u16>>);

/// A text that names no statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("statuses are codes such as 503, ranges such as 502-504 and classes such as 5xx")]
pub struct NoStatuses;

impl Statuses {
    /// All of a range, both ends among them.
    pub fn range(range: RangeInclusive<u16>) -> Self {
        Self(vec![range])
    }

    /// No status.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// These, and all of a range.
    #[must_use]
    pub fn and(mut self, range: RangeInclusive<u16>) -> Self {
        self.0.push(range);
        self
    }

    /// Whether a status is one of them.
    pub fn has(&self, status: StatusCode) -> bool {
        self.0.iter().any(|range| range.contains(&status.as_u16()))
    }
}

impl FromStr for Statuses {
    type Err = NoStatuses;

    fn from_str(text: &str) -> Result<Self, NoStatuses> {
        text.split(',')
            .map(|one| range(one.trim()))
            .collect::<Option<_>>()
            .map(Self)
            .ok_or(NoStatuses)
    }
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    if let Some(class) = text.strip_suffix("xx") {
        let class: u16 = class.parse().ok().filter(|class| (1..=5).contains(class))?;
        return Some(class * 100..=class * 100 + 99);
    }
    let code = |text: &str| text.trim().parse().ok().filter(|code| (100..=599).contains(code));
    match text.split_once('-') {
        Some((first, last)) => Some(code(first)?..=code(last)?).filter(|range| !range.is_empty()),
        None => code(text).map(|code| code..=code),
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, range) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            match (*range.start(), *range.end()) {
                (first, last) if first == last => write!(f, "{comma}{first}")?,
                (first, last) => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn statuses_are_read_and_written() {
        let all: Statuses = "429,500 - 503, 5xx".parse().unwrap();
        assert_eq!(all.to_string(), "429, 500-503, 500-599");
        assert_eq!(all.to_string().parse(), Ok(all));
        for wrong in ["", "5", "6xx", "xx", "503-502", "5xx-6xx", "99", "600", "503,", "-503"] {
            assert_eq!(wrong.parse::<Statuses>(), Err(NoStatuses), "{wrong}");
        }
    }
}
