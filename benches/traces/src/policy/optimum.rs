//! Who knows the future. No fast algorithm finds the best there is where sizes differ (it is
//! NP-hard), so these are two approximations, each for its own measure:
//!
//! - [`BestBytes`]: what is needed again last goes first (Belady, 1966), which counts bytes alike.
//! - [`BestHits`]: of a sample of what is held, what is needed again last *times its bytes* goes
//!   first, since a large object takes the room of many small ones (Belady-Size).
//!
//! Both let pass what they would let go at once, and drop what is never asked for again.

use std::collections::BTreeSet;

use super::Policy;
use crate::traffic::{Random, Trace};

/// How many are looked at before one goes.
const SAMPLE: u32 = 32;

const NEVER: u32 = u32::MAX;

/// Where each request's object is asked for next.
fn next_uses(trace: &Trace) -> Vec<u32> {
    let mut last = vec![NEVER; trace.objects.len()];
    let mut next = vec![NEVER; trace.requests.len()];
    for (at, request) in trace.requests.iter().enumerate().rev() {
        next[at] = std::mem::replace(&mut last[request.object as usize], at as u32);
    }
    next
}

pub(super) struct BestBytes {
    capacity: u64,
    next: Vec<u32>,
    now: usize,
    /// By when they are asked for next.
    held: BTreeSet<(u32, u32)>,
    sizes: Vec<u32>,
    bytes: u64,
    written: u64,
}

impl BestBytes {
    pub(super) fn new(capacity: u64, trace: &Trace) -> Self {
        let sizes = trace.objects.iter().map(|object| object.bytes).collect();
        let (next, held) = (next_uses(trace), BTreeSet::new());
        Self { capacity, next, now: 0, held, sizes, bytes: 0, written: 0 }
    }
}

impl Policy for BestBytes {
    fn request(&mut self, object: u32, bytes: u32) -> bool {
        let (now, next) = (self.now as u32, self.next[self.now]);
        self.now += 1;
        let hit = self.held.remove(&(now, object));
        if hit {
            self.bytes -= u64::from(bytes);
        }
        if next == NEVER || u64::from(bytes) > self.capacity {
            return hit;
        }
        self.held.insert((next, object));
        self.bytes += u64::from(bytes);
        let mut kept = true;
        while self.bytes > self.capacity
            && let Some((_, last)) = self.held.pop_last()
        {
            self.bytes -= u64::from(self.sizes[last as usize]);
            kept &= last != object;
        }
        if !hit && kept {
            self.written += u64::from(bytes);
        }
        hit
    }

    fn written(&self) -> u64 {
        self.written
    }
}

pub(super) struct BestHits {
    capacity: u64,
    next: Vec<u32>,
    now: usize,
    held: Vec<Held>,
    /// Where an object is among those held.
    places: Vec<u32>,
    bytes: u64,
    random: Random,
    written: u64,
}

#[derive(Clone, Copy)]
struct Held {
    object: u32,
    bytes: u32,
    next: u32,
}

impl BestHits {
    pub(super) fn new(capacity: u64, trace: &Trace) -> Self {
        Self {
            capacity,
            next: next_uses(trace),
            now: 0,
            held: Vec::new(),
            places: vec![NEVER; trace.objects.len()],
            bytes: 0,
            random: Random::new(0),
            written: 0,
        }
    }

    fn remove(&mut self, place: u32) -> Held {
        let gone = self.held.swap_remove(place as usize);
        self.places[gone.object as usize] = NEVER;
        if let Some(moved) = self.held.get(place as usize) {
            self.places[moved.object as usize] = place;
        }
        self.bytes -= u64::from(gone.bytes);
        gone
    }

    /// The worst of a sample, or of all where those are few; what came last is in each.
    fn worst(&mut self) -> u32 {
        let count = self.held.len() as u32;
        let mut worst = (0, count - 1);
        for nth in 0..count.min(SAMPLE) {
            let place = match nth {
                0 => count - 1,
                _ if count <= SAMPLE => nth - 1,
                _ => self.random.below(count),
            };
            let held = self.held[place as usize];
            let cost = u64::from(held.next - self.now as u32) * u64::from(held.bytes);
            worst = worst.max((cost, place));
        }
        worst.1
    }
}

impl Policy for BestHits {
    fn request(&mut self, object: u32, bytes: u32) -> bool {
        let next = self.next[self.now];
        self.now += 1;
        let place = self.places[object as usize];
        let hit = place != NEVER;
        if hit {
            self.remove(place);
        }
        if next == NEVER || u64::from(bytes) > self.capacity {
            return hit;
        }
        self.places[object as usize] = self.held.len() as u32;
        self.held.push(Held { object, bytes, next });
        self.bytes += u64::from(bytes);
        let mut kept = true;
        while self.bytes > self.capacity {
            let place = self.worst();
            kept &= self.remove(place).object != object;
        }
        if !hit && kept {
            self.written += u64::from(bytes);
        }
        hit
    }

    fn written(&self) -> u64 {
        self.written
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::super::tests::{hits, trace};

    #[test]
    fn what_is_needed_last_goes_first() {
        let trace = trace(&[40; 3], &[0, 1, 2, 0, 1, 0, 2]);
        assert_eq!(hits(Kind::BestBytes, 80, &trace), "0001110");
    }

    #[test]
    fn for_hits_two_small_ones_are_worth_more_than_a_large_one() {
        let trace = trace(&[100, 40, 40], &[0, 1, 2, 0, 1, 2, 0, 1, 2]);
        assert_eq!(hits(Kind::BestHits, 100, &trace), "000011011");
        assert_eq!(hits(Kind::BestBytes, 100, &trace), "000100100");
    }
}
