//! The bytes of a fill as they come: append-only at the end, cut at the front only where the fill
//! is not kept. Pure: no waiting, no locks.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use headwater_net::Chunks;

/// Pieces are cut to this size, so that a reader never holds more than that at once.
pub(crate) const CHUNK: usize = 64 << 10;

/// Pieces below this size are copied: they would hold on to the buffer they were read into, which
/// may be many times their size, and a drip of single bytes would cost more in lists than in bytes.
const COPY_BELOW: usize = 16 << 10;

/// What a reader finds at its place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// These bytes.
    Bytes(Bytes),
    /// Nothing yet.
    Nothing,
    /// Bytes that are gone already: the reader was too slow.
    Lagged,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    /// Each piece with the offset of its first byte.
    pieces: VecDeque<(u64, Bytes)>,
    base: u64,
    end: u64,
}

impl Buffer {
    /// The offset of the first byte still held.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// The number of bytes that came.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// The number of bytes held.
    pub(crate) fn held(&self) -> u64 {
        self.end - self.base
    }

    pub(crate) fn push(&mut self, mut bytes: Bytes) {
        while bytes.len() > CHUNK {
            let piece = bytes.split_to(CHUNK);
            self.append(piece);
        }
        if bytes.len() >= COPY_BELOW {
            self.append(bytes);
        } else if !bytes.is_empty() {
            self.append_copied(&bytes);
        }
    }

    /// The bytes at `offset`, up to the end of the piece they lie in and at most `most` of them.
    pub(crate) fn read(&self, offset: u64, most: u64) -> Read {
        if offset < self.base {
            return Read::Lagged;
        }
        if offset >= self.end || most == 0 {
            return Read::Nothing;
        }
        let index = self.pieces.partition_point(|(start, _)| *start <= offset).saturating_sub(1);
        let Some((start, piece)) = self.pieces.get(index) else { return Read::Nothing };
        let from = (offset - start) as usize;
        let to = piece.len().min(from.saturating_add(usize::try_from(most).unwrap_or(usize::MAX)));
        Read::Bytes(piece.slice(from..to))
    }

    /// Lets go of whole pieces that end at or before `to`; gives the number of bytes let go.
    pub(crate) fn trim(&mut self, to: u64) -> u64 {
        let before = self.base;
        while let Some((start, piece)) = self.pieces.front()
            && start + piece.len() as u64 <= to
        {
            self.base = start + piece.len() as u64;
            self.pieces.pop_front();
        }
        self.base - before
    }

    /// All bytes, where none were let go.
    pub(crate) fn whole(&self) -> Option<Chunks> {
        (self.base == 0).then(|| self.pieces.iter().map(|(_, piece)| piece.clone()).collect())
    }

    fn append(&mut self, piece: Bytes) {
        let start = self.end;
        self.end += piece.len() as u64;
        self.pieces.push_back((start, piece));
    }

    /// Copies a small piece, and joins it with the small ones before it that are no longer than
    /// it: each byte is copied a logarithmic number of times, and few small pieces are left.
    fn append_copied(&mut self, bytes: &[u8]) {
        let mut joined = bytes.len();
        let mut count = 0;
        for (_, last) in self.pieces.iter().rev() {
            if last.len() > joined || last.len() + joined > COPY_BELOW {
                break;
            }
            joined += last.len();
            count += 1;
        }
        let first = self.pieces.len() - count;
        let start = self.pieces.get(first).map_or(self.end, |(start, _)| *start);
        let mut copy = BytesMut::with_capacity(joined);
        for (_, piece) in self.pieces.drain(first..) {
            copy.extend_from_slice(&piece);
        }
        copy.extend_from_slice(bytes);
        self.end += bytes.len() as u64;
        self.pieces.push_back((start, copy.freeze()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_comes_in_is_read_from_every_offset(
            sizes in proptest::collection::vec(
                prop_oneof![1usize..40, 1000usize..40_000, 60_000usize..200_000], 0..30,
            ),
            offset in any::<prop::sample::Index>(),
        ) {
            let mut buffer = Buffer::default();
            let mut flat = Vec::new();
            for (nth, size) in sizes.iter().enumerate() {
                let piece: Vec<u8> = (0..*size).map(|at| (at * 7 + nth) as u8).collect();
                flat.extend_from_slice(&piece);
                buffer.push(Bytes::from(piece));
                prop_assert_eq!(buffer.end(), flat.len() as u64);
            }
            let mut at = offset.index(flat.len() + 1);
            while at < flat.len() {
                let Read::Bytes(piece) = buffer.read(at as u64, u64::MAX) else {
                    return Err(TestCaseError::fail("a hole"));
                };
                prop_assert!(!piece.is_empty() && piece.len() <= CHUNK);
                prop_assert_eq!(&piece[..], &flat[at..at + piece.len()]);
                at += piece.len();
            }
            prop_assert_eq!(buffer.read(at as u64, u64::MAX), Read::Nothing);
            prop_assert_eq!(buffer.whole().map(|all| all.to_bytes().to_vec()), Some(flat));
        }
    }

    #[test]
    fn a_drip_of_single_bytes_leaves_few_pieces() {
        let mut buffer = Buffer::default();
        for _ in 0..100_000 {
            buffer.push(Bytes::from_static(b"x"));
        }
        assert_eq!(buffer.end(), 100_000);
        assert!(buffer.pieces.len() < 40, "{}", buffer.pieces.len());
    }

    #[test]
    fn a_reader_behind_the_cut_lags_and_others_do_not() {
        let mut buffer = Buffer::default();
        for _ in 0..4 {
            buffer.push(Bytes::from(vec![1; CHUNK]));
        }
        assert_eq!(buffer.trim(CHUNK as u64 + 5), CHUNK as u64);
        assert_eq!(buffer.read(0, 10), Read::Lagged);
        assert!(matches!(buffer.read(CHUNK as u64, 10), Read::Bytes(piece) if piece.len() == 10));
        assert_eq!((buffer.base(), buffer.held()), (CHUNK as u64, 3 * CHUNK as u64));
        assert!(buffer.whole().is_none());
    }
}
