//! Read buffers that are used again: neither allocated nor zeroed for each read.

use std::sync::{Arc, Mutex, PoisonError};

/// Buffers of five sizes. What is idle is bounded: 16 MiB in all.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    classes: [Mutex<Vec<Vec<u8>>>; CLASSES.len()],
}

/// A buffer that goes back to its pool when dropped. As `AsRef` it is as long as was asked for.
#[derive(Debug)]
pub(crate) struct Buffer {
    data: Vec<u8>,
    len: usize,
    home: Option<(Arc<BufferPool>, usize)>,
}

impl BufferPool {
    /// A buffer of `len` bytes with whatever was in it before. Small ones and very large ones are
    /// plain allocations: a small one must not pin a large buffer.
    pub(crate) fn take(self: &Arc<Self>, len: usize) -> Buffer {
        let class = CLASSES.iter().position(|class| (class.from..=class.size).contains(&len));
        let Some(class) = class else {
            return Buffer { data: vec![0; len], len, home: None };
        };
        let idle = self.classes[class].lock().unwrap_or_else(PoisonError::into_inner).pop();
        let data = idle.unwrap_or_else(|| vec![0; CLASSES[class].size]);
        Buffer { data, len, home: Some((Arc::clone(self), class)) }
    }
}

impl Buffer {
    /// Makes it end after `len` bytes, where it is longer.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    pub(crate) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.data[..self.len]
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.data[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some((pool, class)) = self.home.take() else { return };
        let mut idle = pool.classes[class].lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < CLASSES[class].keep {
            idle.push(std::mem::take(&mut self.data));
        }
    }
}

struct Class {
    /// The shortest read it serves.
    from: usize,
    /// The length of its buffers.
    size: usize,
    /// How many idle ones are kept.
    keep: usize,
}

const CLASSES: [Class; 5] = [
    // The start of an answer, which is read by itself.
    Class { from: 4 << 10, size: 32 << 10, keep: 64 },
    // Sound.
    Class { from: (32 << 10) + 1, size: 144 << 10, keep: 14 },
    // The end of an answer.
    Class { from: (144 << 10) + 1, size: 288 << 10, keep: 18 },
    // A window of a local file with the gaps of its longest run, and what is made of one.
    Class { from: (288 << 10) + 1, size: 544 << 10, keep: 9 },
    Class { from: (544 << 10) + 1, size: 1 << 20, keep: 2 },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_and_are_bounded() {
        let pool = Arc::new(BufferPool::default());
        let first = pool.take(150_000);
        let address = first.data.as_ptr();
        drop(first);
        let again = pool.take(200_000);
        assert_eq!(again.data.as_ptr(), address);
        assert_eq!(again.as_ref().len(), 200_000);
        let many: Vec<_> = (0..100).map(|_| pool.take(1 << 20)).collect();
        drop(many);
        assert_eq!(pool.classes[4].lock().map(|idle| idle.len()).ok(), Some(CLASSES[4].keep));
        let idle: usize = CLASSES.iter().map(|class| class.size * class.keep).sum();
        assert!(idle <= 16 << 20, "{idle}");
    }

    #[test]
    fn odd_sizes_are_plain() {
        let pool = Arc::new(BufferPool::default());
        for len in [0, 1, (4 << 10) - 1, (1 << 20) + 1] {
            let buffer = pool.take(len);
            assert!(buffer.home.is_none());
            assert_eq!(buffer.as_ref().len(), len);
        }
    }
}
