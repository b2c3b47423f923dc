//! Rendezvous hashing with weights: every node that knows the same names orders them alike for a
//! key, without a word between them.
//!
//! Each contender draws a number from the key and its own name, and the one with the best number is
//! first (Thaler and Ravishankar, 1998); a weight of two is like two draws (Schindelhauer and
//! Schomaker, 2005). So a contender that leaves gives up its own keys and moves no other, and one
//! that comes takes its share from all alike. All is integer arithmetic: no two machines round
//! differently. The hash is XXH3 of 64 bits.

use std::cmp::Ordering;

use http::{Extensions, Uri};
use twox_hash::XxHash3_64;

/// An extension of a request that is not for what it is about, such as one that tells of sessions: it
/// is asked of whom this URI would be asked of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Like(pub Uri);

/// The URI by which it is chosen whom a request for `uri` is asked of.
pub fn asked_by<'r>(uri: &'r Uri, extensions: &'r Extensions) -> &'r Uri {
    extensions.get().map_or(uri, |Like(uri)| uri)
}

/// The number of a key.
pub fn key(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

/// One of those who are ordered: the hash of its name, and its weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contender {
    id: u64,
    weight: u32,
}

impl Contender {
    /// The contender of this name. Its share of the keys is its weight by the weights of all; with 0
    /// it comes after all that have one.
    pub fn new(name: &str, weight: u32) -> Self {
        Self { id: XxHash3_64::oneshot(name.as_bytes()), weight }
    }

    /// The same with another weight.
    #[must_use]
    pub const fn weighing(self, weight: u32) -> Self {
        Self { weight, ..self }
    }

    /// Its weight.
    pub const fn weight(&self) -> u32 {
        self.weight
    }

    fn draw(&self, key: u64) -> Draw {
        let Self { id, weight } = *self;
        Draw { distance: distance(mix(key.wrapping_add(id))), weight, id }
    }
}

/// The indices of `contenders` for a key, the first choice in front.
pub fn order<'a>(key: u64, contenders: impl IntoIterator<Item = &'a Contender>) -> Vec<usize> {
    let draws = contenders.into_iter().map(|contender| contender.draw(key));
    let mut draws: Vec<(Draw, usize)> = draws.zip(0..).collect();
    draws.sort_unstable();
    draws.into_iter().map(|(_, at)| at).collect()
}

/// The key that groups what belongs together: the first `depth` segments of a path, and of a
/// shorter one all but the last. A file at the root is a group of its own.
///
/// ```
/// use headwater_net::rendezvous::group;
///
/// assert_eq!(group("/film/v1.m3u8", 1), "/film");
/// assert_eq!(group("/film/0123/v1/7.m4s", 1), "/film");
/// assert_eq!(group("/vod/film/v1.m3u8", 2), "/vod/film");
/// assert_eq!(group("/film/v1.m3u8", 2), "/film");
/// assert_eq!(group("/clip.mp4", 1), "/clip.mp4");
/// ```
pub fn group(path: &str, depth: usize) -> &str {
    let mut slashes = path.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0);
    let mut end = None;
    for _ in 0..depth.max(1) {
        match slashes.next() {
            Some(at) => end = Some(at),
            None => break,
        }
    }
    end.and_then(|end| path.get(..end)).unwrap_or(path)
}

/// A number drawn for a contender; the least is first. Equal ones, which no weight makes likely, go
/// by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Draw {
    distance: u64,
    weight: u32,
    id: u64,
}

impl Ord for Draw {
    fn cmp(&self, other: &Self) -> Ordering {
        // distance / weight, without dividing.
        let scaled = |draw: &Self, by: &Self| u128::from(draw.distance) * u128::from(by.weight);
        scaled(self, other).cmp(&scaled(other, self)).then(self.id.cmp(&other.id))
    }
}

impl PartialOrd for Draw {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Spreads a number over all numbers (the end of SplitMix64).
const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// −log₂ of a number taken as one between 0 and 1, in units of 2⁻³²; at least one unit. Of uniform
/// numbers it is exponentially distributed, so that division by a weight gives that its share.
const fn distance(number: u64) -> u64 {
    let number = number as u128 + 1;
    let whole = number.ilog2();
    // Between 1 and 2, in units of 2⁻⁶³: each squaring brings out one binary digit.
    let mut rest = if whole > 63 { number >> 1 } else { number << (63 - whole) };
    let mut log = whole as u64;
    let mut digits = 0;
    while digits < 32 {
        rest = (rest * rest) >> 63;
        log <<= 1;
        if rest >> 64 != 0 {
            rest >>= 1;
            log |= 1;
        }
        digits += 1;
    }
    let distance = (64 << 32) - log;
    if distance == 0 { 1 } else { distance }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn contenders(weights: &[u32]) -> Vec<Contender> {
        let named = weights.iter().enumerate();
        named.map(|(at, weight)| Contender::new(&format!("shield-{at}"), *weight)).collect()
    }

    fn keys(count: u64) -> impl Iterator<Item = u64> {
        (0..count).map(|n| key(format!("/title-{n}").as_bytes()))
    }

    #[test]
    fn every_machine_orders_alike() {
        let all = contenders(&[1, 1, 2, 5, 0]);
        assert_eq!(key(b"/film"), 0x51d2_649c_a0e2_8412);
        let order = |path: &str| order(key(path.as_bytes()), &all);
        let orders = ["/film", "/other", "/third"].map(order);
        assert_eq!(orders, [[2, 3, 1, 0, 4], [1, 3, 0, 2, 4], [2, 3, 1, 0, 4]]);
    }

    #[test]
    fn distances_are_logarithms() {
        assert_eq!(distance(u64::MAX), 1);
        assert_eq!(distance(0), 64 << 32);
        assert_eq!(distance((1 << 63) - 1), 1 << 32);
        // log₂ 3 = 1.584962500721156…
        let third = distance(u64::MAX / 3);
        assert!(third.abs_diff(6_807_362_105) <= 2, "{third}");
    }

    #[test]
    fn shares_are_weights() {
        let all = contenders(&[1, 2, 5]);
        let mut shares = [0u32; 3];
        for key in keys(40_000) {
            shares[order(key, &all)[0]] += 1;
        }
        for (share, expected) in shares.iter().zip([5_000, 10_000, 25_000]) {
            assert!(share.abs_diff(expected) < 400, "{shares:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Who leaves gives up its own keys, about its share of them, to all others; nothing moves
        /// between those.
        #[test]
        fn who_leaves_moves_its_share_and_no_more(
            weights in proptest::collection::vec(1u32..8, 2..12),
            leaving in any::<proptest::sample::Index>(),
        ) {
            let all = contenders(&weights);
            let leaving = leaving.index(all.len());
            let mut left = all.clone();
            left.remove(leaving);
            let mut moved = 0u32;
            for key in keys(4_000) {
                let before: Vec<_> = order(key, &all).into_iter().map(|at| all[at]).collect();
                let after: Vec<_> = order(key, &left).into_iter().map(|at| left[at]).collect();
                moved += u32::from(before[0] == all[leaving]);
                let stayed: Vec<_> =
                    before.into_iter().filter(|one| *one != all[leaving]).collect();
                prop_assert_eq!(stayed, after);
            }
            let whole: u32 = weights.iter().sum();
            let share = f64::from(weights[leaving]) / f64::from(whole);
            let moved = f64::from(moved) / 4_000.0;
            prop_assert!((moved - share).abs() < 0.04, "{} moved of {}", moved, share);
        }

        #[test]
        fn any_path_has_a_group_that_it_begins_with(path in "[/a-z%é]{0,20}", depth in 0usize..5) {
            prop_assert!(path.starts_with(group(&path, depth)));
        }
    }
}
