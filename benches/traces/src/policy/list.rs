//! A list of objects by recency or age, each at most once: all its steps take constant time.

/// No object.
const NONE: u32 = u32::MAX;

/// See the module. The front is the newest end.
#[derive(Debug)]
pub(super) struct List {
    /// Towards the front and towards the back, by object.
    links: Vec<(u32, u32)>,
    front: u32,
    back: u32,
    bytes: u64,
}

impl List {
    /// For objects below a number.
    pub(super) fn new(objects: usize) -> Self {
        Self { links: vec![(NONE, NONE); objects], front: NONE, back: NONE, bytes: 0 }
    }

    /// Bytes of all that is in it.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The oldest.
    pub(super) fn back(&self) -> Option<u32> {
        (self.back != NONE).then_some(self.back)
    }

    /// The next newer one.
    pub(super) fn before(&self, object: u32) -> Option<u32> {
        let before = self.links[object as usize].0;
        (before != NONE).then_some(before)
    }

    /// Puts in one that is not in it.
    pub(super) fn push(&mut self, object: u32, bytes: u32) {
        self.bytes += u64::from(bytes);
        self.link(object);
    }

    /// Takes out one that is in it.
    pub(super) fn remove(&mut self, object: u32, bytes: u32) {
        self.bytes -= u64::from(bytes);
        self.unlink(object);
    }

    /// Makes one that is in it the newest.
    pub(super) fn touch(&mut self, object: u32) {
        if self.front != object {
            self.unlink(object);
            self.link(object);
        }
    }

    fn link(&mut self, object: u32) {
        self.links[object as usize] = (NONE, self.front);
        if self.front == NONE {
            self.back = object;
        } else {
            self.links[self.front as usize].0 = object;
        }
        self.front = object;
    }

    fn unlink(&mut self, object: u32) {
        let (before, after) = self.links[object as usize];
        if before == NONE {
            self.front = after;
        } else {
            self.links[before as usize].1 = after;
        }
        if after == NONE {
            self.back = before;
        } else {
            self.links[after as usize].0 = before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_go_in_the_order_they_were_last_touched() {
        let mut list = List::new(5);
        (0..4).for_each(|object| list.push(object, 10));
        list.touch(0);
        list.touch(2);
        list.remove(3, 10);
        assert_eq!((list.bytes(), list.before(1)), (30, Some(0)));
        let mut order = Vec::new();
        while let Some(object) = list.back() {
            list.remove(object, 10);
            order.push(object);
        }
        assert_eq!((order, list.bytes()), (vec![1, 0, 2], 0));
    }
}
