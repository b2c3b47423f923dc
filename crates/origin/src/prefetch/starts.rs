//! In which renditions sessions begin, as those show that began lately. Pure.
//!
//! Players begin where they please: with what is listed first, with the lowest, with what their last
//! session could bear. Most players of one service do alike. So of a ladder those renditions are
//! likely whose bit rates are nearest to those in which sessions began lately; as long as none is
//! known, the first that is listed.

use std::collections::VecDeque;

/// Sessions that are remembered.
const SESSIONS: usize = 64;
/// Of those that fit a ladder, one in so many makes a rendition of it likely.
const ONE_IN: usize = 4;

/// The bit rates in which sessions began lately.
#[derive(Clone, Debug, Default)]
pub struct Starts {
    rates: VecDeque<u64>,
}

impl Starts {
    /// A session began in a rendition of so many bits per second.
    pub fn began(&mut self, rate: u64) {
        if self.rates.len() >= SESSIONS {
            self.rates.pop_front();
        }
        self.rates.push_back(rate);
    }

    /// Whether a session is likely to begin in `rendition` of a ladder: of renditions that players
    /// switch between, as they are listed, with their bit rates.
    pub fn is_likely(&self, ladder: &[(u32, Option<u64>)], rendition: u32) -> bool {
        let Some((first, _)) = ladder.first() else { return false };
        let known = || ladder.iter().filter_map(|(rendition, rate)| Some((*rendition, (*rate)?)));
        let lowest = known().map(|(_, rate)| rate).min().unwrap_or(0);
        let highest = known().map(|(_, rate)| rate).max().unwrap_or(0);
        // Sound and pictures have ladders of their own.
        let fits = |rate: &u64| *rate >= lowest / 2 && *rate / 2 <= highest;
        let (mut all, mut here) = (0, 0);
        for rate in self.rates.iter().copied().filter(fits) {
            let nearest = known()
                .min_by(|(_, one), (_, other)| apart(*one, rate).total_cmp(&apart(*other, rate)));
            all += 1;
            here += usize::from(nearest.is_some_and(|(nearest, _)| nearest == rendition));
        }
        if all == 0 { *first == rendition } else { here * ONE_IN >= all }
    }
}

/// How many times the one is the other, whichever is more.
fn apart(one: u64, other: u64) -> f64 {
    let (low, high) = (one.min(other).max(1) as f64, one.max(other).max(1) as f64);
    high / low
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICTURES: [(u32, Option<u64>); 3] =
        [(4, Some(3_000_000)), (5, Some(500_000)), (6, Some(1_200_000))];
    const SOUND: [(u32, Option<u64>); 2] = [(8, Some(128_000)), (9, Some(64_000))];

    fn likely(starts: &Starts, ladder: &[(u32, Option<u64>)]) -> Vec<u32> {
        let all = ladder.iter().map(|(rendition, _)| *rendition);
        all.filter(|rendition| starts.is_likely(ladder, *rendition)).collect()
    }

    #[test]
    fn sessions_begin_where_others_began_and_else_with_what_is_first() {
        let mut starts = Starts::default();
        assert_eq!(likely(&starts, &PICTURES), [4]);
        assert_eq!(likely(&starts, &[(1, None), (2, None)]), [1]);
        assert_eq!(likely(&starts, &[]), [0; 0]);
        for _ in 0..3 {
            starts.began(1_000_000);
            starts.began(64_000);
        }
        assert_eq!(likely(&starts, &PICTURES), [6], "the nearest, of another ladder");
        assert_eq!(likely(&starts, &SOUND), [9]);
        starts.began(2_500_000);
        assert_eq!(likely(&starts, &PICTURES), [4, 6], "one in four");
        for _ in 0..SESSIONS {
            starts.began(400_000);
        }
        assert_eq!(likely(&starts, &PICTURES), [5], "what is long ago is forgotten");
        assert_eq!(likely(&starts, &SOUND), [8], "of sound nothing is known any more");
    }
}
