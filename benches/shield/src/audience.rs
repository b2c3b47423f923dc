//! Who watches: viewers with their titles, networks, seeks and ends, the same for a seed.

use std::time::Duration;

use headwater_bench_traces::traffic::{Catalogue, Random, SEGMENT_MS, Traffic};

use crate::player::Viewer;

/// Milliseconds between two sessions, on average.
const ARRIVAL_MS: f64 = 2_000.0;
/// How unequal titles are.
const EXPONENT: f64 = 0.8;
/// Shares of those who leave after a few per cent, and of those who leave anywhere (as in
/// `bench traces`); the others see the end.
const LEAVES: (f64, f64) = (0.55, 0.25);
/// The mean share of a title that those see who leave early.
const EARLY: f64 = 0.08;
/// Of sessions, those that begin in the middle.
const RESUMES: f64 = 0.1;
/// Of sessions, those that seek, and the mean time between two seeks.
const SEEKS: (f64, f64) = (0.3, 120.0);
/// Networks: the median in bits a second, and the spread of their logarithms.
const NETWORK: (f64, f64) = (12e6, 0.6);

/// So many viewers of `edges` edges, in the order in which they come.
pub fn audience(seed: u64, sessions: u32, edges: usize) -> Vec<Viewer> {
    let mut random = Random::new(seed);
    let mut catalogue = Catalogue::new(&Traffic::titles("shield", EXPONENT), seed);
    let mut at = 0.0;
    let mut viewers = Vec::new();
    for _ in 0..sessions {
        at += random.exponential(ARRIVAL_MS);
        let (title, segments) = catalogue.title(&mut random);
        let first = if random.chance(RESUMES) { random.below(segments) } else { 0 };
        let (early, anywhere) = LEAVES;
        let drawn = random.unit();
        let seen = if drawn < early {
            random.exponential(EARLY * f64::from(segments))
        } else if drawn < early + anywhere {
            random.unit() * f64::from(segments)
        } else {
            f64::from(segments)
        };
        let leaves = Duration::from_millis((seen * SEGMENT_MS as f64) as u64);
        let mut seeks = Vec::new();
        let (share, between) = SEEKS;
        if random.chance(share) {
            let mut after = random.exponential(between);
            while after < leaves.as_secs_f64() && seeks.len() < 16 {
                seeks.push((Duration::from_secs_f64(after), random.below(segments)));
                after += random.exponential(between);
            }
        }
        let (median, spread) = NETWORK;
        viewers.push(Viewer {
            at: Duration::from_millis(at as u64),
            edge: random.below(edges as u32) as usize,
            title,
            segments,
            first,
            seeks,
            leaves,
            network: median * (spread * normal(&mut random)).exp(),
            seed: random.next(),
        });
    }
    viewers
}

/// Of the normal distribution (twelve uniform numbers, less their mean).
fn normal(random: &mut Random) -> f64 {
    (0..12).map(|_| random.unit()).sum::<f64>() - 6.0
}
