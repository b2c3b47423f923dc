//! Bytes in memory as a shared list of chunks: cheap to clone, cheap to cut.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

/// A sequence of bytes held as one or more chunks, with its exact length.
///
/// Clones and slices share the chunks. Iterating yields the chunks in order without copying; a
/// yielded chunk is never empty.
#[derive(Clone, Debug, Default)]
pub struct Chunks {
    repr: Repr,
    len: u64,
}

#[derive(Clone, Debug, Default)]
enum Repr {
    #[default]
    Empty,
    One(Bytes),
    /// `skip` bytes of `list[next]` are cut off, and the whole ends `len` bytes later.
    Many {
        list: Arc<[Bytes]>,
        next: usize,
        skip: usize,
    },
}

impl Chunks {
    /// The number of bytes.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no bytes.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes `range.start..range.end`, sharing the chunks; the range is cut to what is there.
    #[must_use]
    pub fn slice(&self, range: Range<u64>) -> Self {
        let start = range.start.min(self.len);
        let end = range.end.clamp(start, self.len);
        let len = end - start;
        if len == 0 {
            return Self::default();
        }
        let repr = match &self.repr {
            Repr::Empty => Repr::Empty,
            Repr::One(bytes) => Repr::One(bytes.slice(start as usize..end as usize)),
            Repr::Many { list, next, skip } => {
                let mut left = start + *skip as u64;
                let mut next = *next;
                while let Some(chunk) = list.get(next)
                    && left >= chunk.len() as u64
                {
                    left -= chunk.len() as u64;
                    next += 1;
                }
                Repr::Many { list: Arc::clone(list), next, skip: left as usize }
            }
        };
        Self { repr, len }
    }

    /// All bytes in one piece; copies only when there is more than one chunk.
    pub fn to_bytes(&self) -> Bytes {
        let mut rest = self.clone();
        let Some(first) = rest.next() else { return Bytes::new() };
        if rest.is_empty() {
            return first;
        }
        let mut all = BytesMut::with_capacity(self.len as usize);
        all.extend_from_slice(&first);
        for chunk in rest {
            all.extend_from_slice(&chunk);
        }
        all.freeze()
    }
}

impl Iterator for Chunks {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.len == 0 {
            return None;
        }
        let chunk = match &mut self.repr {
            Repr::Empty => return None,
            Repr::One(bytes) => std::mem::take(bytes),
            Repr::Many { list, next, skip } => {
                let whole = list.get(*next)?;
                let end = whole.len().min(*skip + usize::try_from(self.len).unwrap_or(usize::MAX));
                let chunk = whole.slice(*skip..end);
                *next += 1;
                *skip = 0;
                chunk
            }
        };
        self.len -= chunk.len() as u64;
        Some(chunk)
    }
}

impl From<Bytes> for Chunks {
    fn from(bytes: Bytes) -> Self {
        let len = bytes.len() as u64;
        Self { repr: if len == 0 { Repr::Empty } else { Repr::One(bytes) }, len }
    }
}

impl From<Vec<Bytes>> for Chunks {
    fn from(mut list: Vec<Bytes>) -> Self {
        list.retain(|chunk| !chunk.is_empty());
        match list.len() {
            0 => Self::default(),
            1 => Self::from(list.swap_remove(0)),
            _ => Self::from(Arc::<[Bytes]>::from(list)),
        }
    }
}

impl From<Arc<[Bytes]>> for Chunks {
    /// Takes a shared list as it is; empty chunks in it are skipped over by no one, so leave them
    /// out.
    fn from(list: Arc<[Bytes]>) -> Self {
        let len = list.iter().map(|chunk| chunk.len() as u64).sum();
        Self { repr: Repr::Many { list, next: 0, skip: 0 }, len }
    }
}

impl FromIterator<Bytes> for Chunks {
    fn from_iter<I: IntoIterator<Item = Bytes>>(iter: I) -> Self {
        Self::from(iter.into_iter().collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_slice_of_a_slice_equals_the_slice_of_the_bytes(
            list in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..9), 0..8),
            a in 0u64..80, b in 0u64..80, c in 0u64..80, d in 0u64..80,
        ) {
            let flat: Vec<u8> = list.concat();
            let chunks: Chunks = list.into_iter().map(Bytes::from).collect();
            let cut = |all: &[u8], from: u64, to: u64| -> Vec<u8> {
                let from = (from as usize).min(all.len());
                all[from..(to as usize).clamp(from, all.len())].to_vec()
            };
            let (once, expected) = (chunks.slice(a..b), cut(&flat, a, b));
            prop_assert_eq!(once.to_bytes().to_vec(), expected.clone());
            let twice = once.slice(c..d);
            let expected = cut(&expected, c, d);
            prop_assert_eq!(twice.len(), expected.len() as u64);
            let mut seen = Vec::new();
            for chunk in twice {
                prop_assert!(!chunk.is_empty());
                seen.extend_from_slice(&chunk);
            }
            prop_assert_eq!(seen, expected);
        }
    }
}
