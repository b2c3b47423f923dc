//! Medians and spreads: how a handful of noisy rounds is told in one line.

use serde::Serialize;

/// Median and quartiles of some figures.
#[derive(Debug, Clone, Copy, Serialize, PartialEq)]
pub struct Spread {
    /// The middle figure.
    pub median: f64,
    /// A quarter of the figures are at most this.
    pub low: f64,
    /// A quarter of the figures are at least this.
    pub high: f64,
}

impl Spread {
    /// Of the figures given; `None` of none.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        if sorted.is_empty() {
            return None;
        }
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = share * (sorted.len() - 1) as f64;
            let (below, part) = (place.floor() as usize, place.fract());
            let above = (below + 1).min(sorted.len() - 1);
            sorted[below] + (sorted[above] - sorted[below]) * part
        };
        Some(Self { median: at(0.5), low: at(0.25), high: at(0.75) })
    }
}

/// The value below which `share` of the samples lie; sorts them in place. Zero of none.
pub fn percentile(samples: &mut [u32], share: f64) -> u32 {
    if samples.is_empty() {
        return 0;
    }
    let place = ((samples.len() - 1) as f64 * share).round() as usize;
    *samples.select_nth_unstable(place).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_interpolate() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0, 5.0]).unwrap();
        assert_eq!(spread, Spread { median: 3.0, low: 2.0, high: 4.0 });
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn the_99th_of_a_hundred_is_the_last_but_one() {
        let mut samples: Vec<u32> = (1..=100).rev().collect();
        assert_eq!(percentile(&mut samples, 0.99), 99);
    }
}
