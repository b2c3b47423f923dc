//! W-TinyLFU: a window of a hundredth by recency, and behind it a segmented LRU into which only
//! what is asked for more often than what it would replace gets (Einziger, Friedman, Manes, 2017).
//! By bytes: the victims are as many as make room, and their frequencies are summed (Einziger et
//! al., *Lightweight Robust Size Aware Cache Management*, 2022: AV).

use super::Policy;
use super::list::List;
use crate::tier::admission::Admission;
use crate::traffic::Trace;

/// The window is one part in so many of the cache; of the rest, four fifths are protected.
const WINDOW: u64 = 100;

pub(super) struct WTinyLfu {
    capacity: u64,
    window: List,
    probation: List,
    protected: List,
    state: Vec<(u32, Place)>,
    sketch: Admission,
    written: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Nowhere,
    Window,
    Probation,
    Protected,
}

impl WTinyLfu {
    pub(super) fn new(capacity: u64, trace: &Trace) -> Self {
        let objects = trace.objects.len();
        let average = trace.footprint() / objects.max(1) as u64;
        let list = || List::new(objects);
        Self {
            capacity,
            window: list(),
            probation: list(),
            protected: list(),
            state: vec![(0, Place::Nowhere); objects],
            sketch: Admission::new(capacity / average.max(1)),
            written: 0,
        }
    }

    fn main_capacity(&self) -> u64 {
        self.capacity - self.capacity / WINDOW
    }

    fn put(&mut self, object: u32, bytes: u32, place: Place) {
        self.state[object as usize] = (bytes, place);
        match place {
            Place::Window => self.window.push(object, bytes),
            Place::Probation => self.probation.push(object, bytes),
            Place::Protected => self.protected.push(object, bytes),
            Place::Nowhere => {}
        }
    }

    fn take(&mut self, object: u32) -> u32 {
        let (bytes, place) = self.state[object as usize];
        match place {
            Place::Window => self.window.remove(object, bytes),
            Place::Probation => self.probation.remove(object, bytes),
            Place::Protected => self.protected.remove(object, bytes),
            Place::Nowhere => {}
        }
        self.state[object as usize] = (bytes, Place::Nowhere);
        bytes
    }

    /// What leaves the window gets in if it is asked for more often than what it needs the room
    /// of.
    fn compete(&mut self, candidate: u32, bytes: u32) {
        let held = self.probation.bytes() + self.protected.bytes();
        let needed = (held + u64::from(bytes)).saturating_sub(self.main_capacity());
        let (mut victims, mut room, mut worth) = (Vec::new(), 0, 0);
        let frequency = u32::from(self.sketch.frequency(super::hash(candidate)));
        let mut next = self.probation.back().or_else(|| self.protected.back());
        while room < needed
            && let Some(victim) = next
        {
            worth += u32::from(self.sketch.frequency(super::hash(victim)));
            if worth >= frequency {
                // The candidate is the one that goes; those that beat it are not next any more.
                return self.spare(victims.into_iter().chain([victim]));
            }
            let (bytes, place) = self.state[victim as usize];
            room += u64::from(bytes);
            victims.push(victim);
            next = match place {
                Place::Probation => self.probation.before(victim).or_else(|| self.protected.back()),
                _ => self.protected.before(victim),
            };
        }
        if room < needed {
            return;
        }
        for victim in victims {
            self.take(victim);
        }
        self.put(candidate, bytes, Place::Probation);
        self.written += u64::from(bytes);
    }

    fn spare(&mut self, victims: impl Iterator<Item = u32>) {
        for victim in victims {
            match self.state[victim as usize].1 {
                Place::Probation => self.probation.touch(victim),
                Place::Protected => self.protected.touch(victim),
                _ => {}
            }
        }
    }

    fn hit(&mut self, object: u32, place: Place) {
        match place {
            Place::Window => self.window.touch(object),
            Place::Protected => self.protected.touch(object),
            _ => {
                let bytes = self.take(object);
                self.put(object, bytes, Place::Protected);
                while self.protected.bytes() > self.main_capacity() / 5 * 4
                    && let Some(oldest) = self.protected.back()
                {
                    let bytes = self.take(oldest);
                    self.put(oldest, bytes, Place::Probation);
                }
            }
        }
    }
}

impl Policy for WTinyLfu {
    fn request(&mut self, object: u32, bytes: u32) -> bool {
        self.sketch.count(super::hash(object));
        let place = self.state[object as usize].1;
        if place != Place::Nowhere {
            self.hit(object, place);
            return true;
        }
        if u64::from(bytes) > self.capacity {
            return false;
        }
        self.put(object, bytes, Place::Window);
        while self.window.bytes() > self.capacity / WINDOW
            && let Some(oldest) = self.window.back()
        {
            let bytes = self.take(oldest);
            self.compete(oldest, bytes);
        }
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
    fn a_scan_does_not_get_in() {
        let scan: Vec<u32> = [0, 0, 0].into_iter().chain(1..100).chain([0]).collect();
        let trace = trace(&[10; 100], &scan);
        assert!(hits(Kind::WTinyLfu, 100, &trace).ends_with('1'));
    }
}
