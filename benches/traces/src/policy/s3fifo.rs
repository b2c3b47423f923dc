//! S3-FIFO: a small queue of a tenth for what is new, a main queue for what was asked for again,
//! and a ghost queue of names that left the small one (Yang et al., SOSP 2023).

use super::Policy;
use super::list::List;

/// The small queue is one part in so many.
const SMALL: u64 = 10;

/// Requests that take an object from the small queue to the main one, and the most that count.
const PROMOTED: u8 = 2;
const MOST: u8 = 3;

pub(super) struct S3Fifo {
    capacity: u64,
    small: List,
    main: List,
    ghost: List,
    state: Vec<State>,
    written: u64,
}

#[derive(Clone, Copy, Default)]
struct State {
    bytes: u32,
    asked: u8,
    place: Place,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Nowhere,
    Small,
    Main,
    Ghost,
}

impl S3Fifo {
    pub(super) fn new(capacity: u64, objects: usize) -> Self {
        let list = || List::new(objects);
        let (small, main, ghost) = (list(), list(), list());
        Self { capacity, small, main, ghost, state: vec![State::default(); objects], written: 0 }
    }

    fn evict(&mut self) {
        let from_small = self.small.bytes() > self.capacity / SMALL || self.main.back().is_none();
        if from_small { self.evict_small() } else { self.evict_main() }
    }

    /// Until one has gone, or the queue is empty.
    fn evict_small(&mut self) {
        while let Some(object) = self.small.back() {
            let state = &mut self.state[object as usize];
            self.small.remove(object, state.bytes);
            if state.asked >= PROMOTED {
                (state.asked, state.place) = (0, Place::Main);
                self.main.push(object, state.bytes);
            } else {
                state.place = Place::Ghost;
                self.ghost.push(object, state.bytes);
                self.trim_ghost();
                return;
            }
        }
    }

    fn evict_main(&mut self) {
        while let Some(object) = self.main.back() {
            let state = &mut self.state[object as usize];
            if state.asked > 0 {
                state.asked -= 1;
                self.main.touch(object);
            } else {
                self.main.remove(object, state.bytes);
                *state = State::default();
                return;
            }
        }
    }

    /// It remembers what would fill the main queue.
    fn trim_ghost(&mut self) {
        while self.ghost.bytes() > self.capacity - self.capacity / SMALL
            && let Some(oldest) = self.ghost.back()
        {
            let state = std::mem::take(&mut self.state[oldest as usize]);
            self.ghost.remove(oldest, state.bytes);
        }
    }
}

impl Policy for S3Fifo {
    fn request(&mut self, object: u32, bytes: u32) -> bool {
        let state = &mut self.state[object as usize];
        if matches!(state.place, Place::Small | Place::Main) {
            state.asked = (state.asked + 1).min(MOST);
            return true;
        }
        if u64::from(bytes) > self.capacity {
            return false;
        }
        let known = state.place == Place::Ghost;
        if known {
            self.ghost.remove(object, bytes);
        }
        *state = State::default();
        while self.small.bytes() + self.main.bytes() + u64::from(bytes) > self.capacity {
            self.evict();
        }
        let (list, place) =
            if known { (&mut self.main, Place::Main) } else { (&mut self.small, Place::Small) };
        list.push(object, bytes);
        self.state[object as usize] = State { bytes, asked: 0, place };
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
    fn a_scan_passes_through_the_small_queue() {
        // The first is asked for often and moves to the main queue; a scan does not drive it out.
        let scan: Vec<u32> = [0, 0, 0].into_iter().chain(1..100).chain([0]).collect();
        let trace = trace(&[10; 100], &scan);
        assert!(hits(Kind::S3Fifo, 100, &trace).ends_with('1'));
        assert!(hits(Kind::Lru, 100, &trace).ends_with('0'));
    }

    #[test]
    fn what_the_ghosts_know_goes_to_the_main_queue() {
        let asked: Vec<u32> = (0..12).chain([0]).chain(12..21).chain([0]).collect();
        let trace = trace(&[10; 21], &asked);
        assert!(hits(Kind::S3Fifo, 100, &trace).ends_with('1'));
    }
}
