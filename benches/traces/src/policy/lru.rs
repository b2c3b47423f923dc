//! The least recently used goes first.

use super::Policy;
use super::list::List;

pub(super) struct Lru {
    capacity: u64,
    list: List,
    /// Bytes of each that is held; zero of others.
    held: Vec<u32>,
    written: u64,
}

impl Lru {
    pub(super) fn new(capacity: u64, objects: usize) -> Self {
        Self { capacity, list: List::new(objects), held: vec![0; objects], written: 0 }
    }
}

impl Policy for Lru {
    fn request(&mut self, object: u32, bytes: u32) -> bool {
        if self.held[object as usize] > 0 {
            self.list.touch(object);
            return true;
        }
        if u64::from(bytes) > self.capacity {
            return false;
        }
        while self.list.bytes() + u64::from(bytes) > self.capacity
            && let Some(oldest) = self.list.back()
        {
            let bytes = std::mem::take(&mut self.held[oldest as usize]);
            self.list.remove(oldest, bytes);
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
    fn what_was_used_last_stays() {
        let trace = trace(&[40, 40, 40], &[0, 1, 0, 2, 0, 1]);
        assert_eq!(hits(Kind::Lru, 100, &trace), "001010");
    }
}
