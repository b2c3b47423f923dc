//! What is worth writing: TinyLFU over regions.
//!
//! A count-min sketch of four-bit counters remembers how often each hash was asked for lately; all
//! counters are halved once as many were counted as the sketch is sized for, so that old fame
//! fades. While the disk has room, all is written. Once it is full, a response must be asked for
//! more often than the average of those that made room last: what is asked for once, as most is,
//! is not written at all where the disk holds anything better. (TinyLFU: Einziger, Friedman,
//! Manes, 2015; here the victim is a region, not one object.)

/// Rows of the sketch.
const ROWS: usize = 4;

/// The most a counter tells apart.
const MOST: u8 = 15;

/// See the module.
#[derive(Debug)]
pub(crate) struct Admission {
    /// Two counters a byte; rows one after the other.
    counters: Box<[u8]>,
    /// Counters a row, less one: a power of two less one.
    mask: usize,
    counted: usize,
    /// What a response must be asked for more often than.
    threshold: u8,
    selective: bool,
}

impl Admission {
    /// A sketch for about so many responses, within bounds: two bytes of memory for each.
    pub(crate) fn new(responses: u64) -> Self {
        let row = responses.clamp(1 << 10, 1 << 26).next_power_of_two() as usize;
        Self {
            counters: vec![0; row * ROWS / 2].into_boxed_slice(),
            mask: row - 1,
            counted: 0,
            threshold: 0,
            selective: true,
        }
    }

    /// Whether anything is refused at all.
    pub(crate) fn set_selective(&mut self, selective: bool) {
        self.selective = selective;
    }

    /// Takes down that a response was asked for; says how often it was lately, now counted.
    pub(crate) fn count(&mut self, hash: u128) -> u8 {
        let places = self.places(hash);
        let least = self.least(places);
        for at in places {
            // Conservative update: only the least of them are raised.
            if self.get(at) == least && least < MOST {
                self.set(at, least + 1);
            }
        }
        self.counted += 1;
        if self.counted > self.mask.saturating_mul(8) {
            self.counted /= 2;
            for pair in &mut self.counters {
                *pair = (*pair >> 1) & 0x77;
            }
        }
        (least + 1).min(MOST)
    }

    /// How often a response was asked for lately.
    pub(crate) fn frequency(&self, hash: u128) -> u8 {
        self.least(self.places(hash))
    }

    /// Whether a response asked for `frequency` times is worth a place.
    pub(crate) fn admits(&self, frequency: u8) -> bool {
        !self.selective || frequency > self.threshold
    }

    /// Takes down what a region's room was made by: the frequencies of those that went, of which
    /// there were `count`, `sum` together. Never so high that nothing gets in.
    pub(crate) fn made_room(&mut self, sum: u64, count: u64) {
        let average = sum.checked_div(count).unwrap_or(0);
        self.threshold = (average.max(1) as u8).min(MOST - 1);
    }

    fn places(&self, hash: u128) -> [usize; ROWS] {
        let row = self.mask + 1;
        let mut nth = 0;
        // Four numbers from parts of the hash that neither shard nor slot of the index goes by.
        [20, 44, 12, 33].map(|shift| {
            let mixed = ((hash >> shift) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let at = nth * row + (mixed >> 32) as usize % row;
            nth += 1;
            at
        })
    }

    fn least(&self, places: [usize; ROWS]) -> u8 {
        places.into_iter().map(|at| self.get(at)).min().unwrap_or(0)
    }

    fn get(&self, at: usize) -> u8 {
        let pair = self.counters.get(at / 2).copied().unwrap_or(0);
        if at.is_multiple_of(2) { pair & 0xf } else { pair >> 4 }
    }

    fn set(&mut self, at: usize, count: u8) {
        if let Some(pair) = self.counters.get_mut(at / 2) {
            *pair =
                if at.is_multiple_of(2) { *pair & 0xf0 | count } else { *pair & 0xf | count << 4 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u64) -> u128 {
        u128::from(n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    }

    #[test]
    fn counts_are_near_and_never_too_low() {
        let mut admission = Admission::new(4096);
        let (mut wrong, mut seen) = (0, std::collections::HashMap::new());
        for nth in 0..16_000u64 {
            let n = if nth % 4 == 0 { nth % 7 } else { nth };
            admission.count(hash(n));
            *seen.entry(n).or_insert(0u32) += 1;
        }
        for (&n, &count) in &seen {
            let frequency = admission.frequency(hash(n));
            assert!(u32::from(frequency) >= count.min(15));
            wrong += usize::from(u32::from(frequency) > count.min(15) + 1);
        }
        assert!(wrong * 4 < seen.len(), "{wrong} of {}", seen.len());
    }

    #[test]
    fn one_hit_wonders_stay_out_of_a_full_disk() {
        let mut admission = Admission::new(1 << 16);
        let first = admission.count(hash(1));
        assert!(admission.admits(first), "there is room");
        admission.made_room(0, 100);
        let first = admission.count(hash(2));
        assert!(!admission.admits(first));
        let second = admission.count(hash(2));
        assert!(admission.admits(second));
        // Nothing is so much asked for that nothing else gets in.
        admission.made_room(1500, 100);
        let most = (0..20).map(|_| admission.count(hash(3))).max();
        assert!(most.is_some_and(|count| admission.admits(count)));
    }

    #[test]
    fn old_fame_fades() {
        let mut admission = Admission::new(1024);
        for _ in 0..15 {
            admission.count(hash(1));
        }
        for n in 0..40_000 {
            admission.count(hash(n + 10));
        }
        assert!(admission.frequency(hash(1)) < 15);
    }
}
