//! Which title a viewer chooses: Zipf's law over ranks, and who holds which rank at a time.

use super::Traffic;
use super::ladder;
use super::random::Random;

/// Titles by rank.
#[derive(Debug)]
pub struct Catalogue {
    seed: u64,
    /// Shares of the ranks up to each, summed.
    sums: Vec<f64>,
    channels: Vec<f64>,
    ranks: Vec<u32>,
    /// The next new title.
    next: u32,
    premiere_every: u32,
    chosen: u32,
}

/// Live channels are titles from here on.
const CHANNELS: u32 = 1 << 30;

/// Premieres come into this share of the ranks, at the top.
const PREMIERES: u32 = 20;

impl Catalogue {
    /// The titles that `traffic` offers, at first.
    pub fn new(traffic: &Traffic, seed: u64) -> Self {
        Self {
            seed,
            sums: zipf(traffic.titles, traffic.exponent),
            channels: zipf(traffic.channels, 1.0),
            ranks: (0..traffic.titles).collect(),
            next: traffic.titles,
            premiere_every: traffic.premiere_every,
            chosen: 0,
        }
    }

    /// The title that the next viewer chooses, and how many segments it has.
    pub fn title(&mut self, random: &mut Random) -> (u32, u32) {
        self.chosen += 1;
        if self.premiere_every > 0 && self.chosen.is_multiple_of(self.premiere_every) {
            let title = self.unknown().0;
            let rank = random.below(self.ranks.len() as u32 / PREMIERES);
            self.ranks.pop();
            self.ranks.insert(rank as usize, title);
        }
        let rank = draw(&self.sums, random);
        let title = self.ranks.get(rank).copied().unwrap_or_default();
        (title, ladder::segments(self.seed, title))
    }

    /// A title that nobody has chosen before, and how many segments it has.
    pub(super) fn unknown(&mut self) -> (u32, u32) {
        let title = self.next;
        self.next += 1;
        (title, ladder::segments(self.seed, title))
    }

    /// A live channel.
    pub(super) fn channel(&self, random: &mut Random) -> u32 {
        CHANNELS + draw(&self.channels, random) as u32
    }
}

/// How many segments a title of a seed has; `None` for a live channel.
pub(super) fn segments(seed: u64, title: u32) -> Option<u32> {
    (title < CHANNELS).then(|| ladder::segments(seed, title))
}

/// The summed shares of so many ranks.
fn zipf(ranks: u32, exponent: f64) -> Vec<f64> {
    let mut sum = 0.0;
    let mut add = |rank: u32| {
        sum += f64::from(rank).powf(-exponent);
        sum
    };
    (1..=ranks).map(&mut add).collect()
}

fn draw(sums: &[f64], random: &mut Random) -> usize {
    let at = random.unit() * sums.last().copied().unwrap_or_default();
    sums.partition_point(|&sum| sum <= at)
}
