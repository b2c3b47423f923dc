//! SIEVE: a queue by age, a mark on what was asked for, and a hand that goes from old to new and
//! takes the first without a mark, wiping marks as it passes (Zhang et al., NSDI 2024).

use super::Policy;
use super::list::List;

pub(super) struct Sieve {
    capacity: u64,
    list: List,
    held: Vec<u32>,
    marked: Vec<bool>,
    hand: Option<u32>,
    written: u64,
}

impl Sieve {
    pub(super) fn new(capacity: u64, objects: usize) -> Self {
        Self {
            capacity,
            list: List::new(objects),
            held: vec![0; objects],
            marked: vec![false; objects],
            hand: None,
            written: 0,
        }
    }

    fn evict(&mut self) {
        let mut at = self.hand.or_else(|| self.list.back());
        while let Some(object) = at {
            if !std::mem::take(&mut self.marked[object as usize]) {
                self.hand = self.list.before(object);
                let bytes = std::mem::take(&mut self.held[object as usize]);
                self.list.remove(object, bytes);
                return;
            }
            at = self.list.before(object).or_else(|| self.list.back());
        }
    }
}

impl Policy for Sieve {
    fn request(&mut self, object: u32, bytes: u32) -> bool {
        if self.held[object as usize] > 0 {
            self.marked[object as usize] = true;
            return true;
        }
        if u64::from(bytes) > self.capacity {
            return false;
        }
        while self.list.bytes() + u64::from(bytes) > self.capacity {
            self.evict();
        }
        self.held[object as usize] = bytes;
        self.list.push(object, bytes);
        self.written += u64::from(bytes);
        false
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
    fn the_hand_goes_on_where_it_stopped() {
        // The first is marked: the hand passes it and takes the second, then the third.
        let trace = trace(&[40; 5], &[0, 1, 2, 0, 3, 4, 0]);
        assert_eq!(hits(Kind::Sieve, 120, &trace), "0001001");
    }
}
