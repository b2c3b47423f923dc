//! Bytes on their way out, in pieces worth sending: small neighbours, such as a sound's chunks
//! between pictures, are joined; larger pieces stay as they are, uncopied.

use std::collections::VecDeque;
use std::mem;

use bytes::{Bytes, BytesMut};

/// Frames that are being put together.
#[derive(Debug, Default)]
pub(super) struct Frames {
    ready: VecDeque<Bytes>,
    /// Small pieces that wait to be joined, together `small_bytes` long.
    small: Vec<Bytes>,
    small_bytes: usize,
    copied: u64,
}

/// Pieces below this many bytes are joined.
const SMALL: usize = 8 << 10;

/// Joined pieces grow to this many bytes.
const FRAME: usize = 64 << 10;

impl Frames {
    /// Appends a piece.
    pub(super) fn push(&mut self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        if piece.len() >= SMALL {
            self.join();
            self.ready.push_back(piece);
            return;
        }
        if self.small_bytes + piece.len() > FRAME {
            self.join();
        }
        self.small_bytes += piece.len();
        self.small.push(piece);
    }

    /// All frames, none of them empty, and how many bytes were copied to make them.
    pub(super) fn finish(mut self) -> (VecDeque<Bytes>, u64) {
        self.join();
        (self.ready, self.copied)
    }

    fn join(&mut self) {
        let bytes = mem::take(&mut self.small_bytes);
        if let [_] = self.small.as_slice() {
            self.ready.extend(self.small.pop());
        } else if !self.small.is_empty() {
            let mut joint = BytesMut::with_capacity(bytes);
            for piece in self.small.drain(..) {
                joint.extend_from_slice(&piece);
            }
            self.copied += bytes as u64;
            self.ready.push_back(joint.freeze());
        }
    }
}

/// Pieces of memory one after the other, taken off at the front.
#[derive(Debug)]
pub(super) struct Rope(VecDeque<Bytes>);

impl Rope {
    /// Of pieces in their order.
    pub(super) fn new(pieces: Vec<Bytes>) -> Self {
        Self(pieces.into())
    }

    /// Moves the first `len` bytes to `frames`; `None` where there are fewer.
    pub(super) fn take(&mut self, mut len: u64, frames: &mut Frames) -> Option<()> {
        while len > 0 {
            let piece = self.0.front_mut()?;
            if piece.len() as u64 <= len {
                len -= piece.len() as u64;
                frames.push(self.0.pop_front()?);
            } else {
                frames.push(piece.split_to(usize::try_from(len).ok()?));
                len = 0;
            }
        }
        Some(())
    }

    /// The first `len` bytes in one piece, copied only where they are not; `None` where there are
    /// fewer. `copied` counts.
    pub(super) fn take_whole(&mut self, len: u64, copied: &mut u64) -> Option<Bytes> {
        let len = usize::try_from(len).ok()?;
        if len == 0 {
            return Some(Bytes::new());
        }
        let front = self.0.front_mut()?;
        if front.len() > len {
            return Some(front.split_to(len));
        }
        if front.len() == len {
            return self.0.pop_front();
        }
        if self.0.iter().map(Bytes::len).sum::<usize>() < len {
            return None;
        }
        let mut whole = BytesMut::with_capacity(len);
        while whole.len() < len {
            let front = self.0.front_mut()?;
            let piece = front.split_to(front.len().min(len - whole.len()));
            whole.extend_from_slice(&piece);
            if front.is_empty() {
                self.0.pop_front();
            }
        }
        *copied += len as u64;
        Some(whole.freeze())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use proptest::prelude::*;

    fn pieces(lens: &[usize]) -> Vec<Bytes> {
        lens.iter().enumerate().map(|(i, len)| vec![i as u8; *len].into()).collect()
    }

    fn lens() -> impl Strategy<Value = Vec<usize>> {
        let len = prop_oneof![0usize..2_000, SMALL - 2..SMALL + 2, Just(100_000)];
        proptest::collection::vec(len, 0..60)
    }

    proptest! {
        #[test]
        fn packing_loses_nothing_and_copies_only_small_pieces(lens in lens()) {
            let pieces = pieces(&lens);
            let expected = pieces.concat();
            let addresses: Vec<_> =
                pieces.iter().filter(|p| p.len() >= SMALL).map(|p| p.as_ptr()).collect();
            let mut frames = Frames::default();
            for piece in pieces {
                frames.push(piece);
            }
            let (packed, copied) = frames.finish();
            prop_assert!(packed.iter().all(|frame| !frame.is_empty()));
            let kept: Vec<_> = packed.iter().map(|p| p.as_ptr()).collect();
            prop_assert!(addresses.iter().all(|address| kept.contains(address)));
            let small: usize = lens.iter().filter(|len| **len < SMALL).sum();
            prop_assert!(copied <= small as u64);
            prop_assert_eq!(packed.into_iter().collect::<Vec<_>>().concat(), expected);
        }

        #[test]
        fn a_rope_gives_whole_pieces(lens in lens(), takes in lens()) {
            let pieces = pieces(&lens);
            let all = pieces.concat();
            let mut rope = Rope::new(pieces);
            let (mut at, mut copied) = (0, 0);
            for take in takes {
                let whole = rope.take_whole(take as u64, &mut copied);
                prop_assert_eq!(whole.is_some(), at + take <= all.len());
                let Some(piece) = whole else { break };
                prop_assert_eq!(&piece[..], &all[at..at + take]);
                at += take;
            }
            prop_assert!(copied <= at as u64);
        }

        #[test]
        fn a_rope_gives_its_bytes_in_order(lens in lens(), takes in lens()) {
            let pieces = pieces(&lens);
            let all = pieces.concat();
            let mut rope = Rope::new(pieces);
            let mut frames = Frames::default();
            let mut at = 0;
            for take in takes {
                let whole = rope.take(take as u64, &mut frames);
                prop_assert_eq!(whole.is_some(), at + take <= all.len());
                at = (at + take).min(all.len());
                if whole.is_none() {
                    break;
                }
            }
            let (packed, _) = frames.finish();
            prop_assert_eq!(&packed.into_iter().collect::<Vec<_>>().concat()[..], &all[..at]);
        }
    }
}
