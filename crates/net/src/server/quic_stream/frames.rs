//! Counts along with the frames of an HTTP/3 stream (RFC 9114 §7.1), for what h3 does not tell of
//! them: that one was empty, or cut short. Promises constant memory and time in proportion to the
//! bytes of frame heads.

/// Where a stream of frames (RFC 9114 §7.1) stands, as its bytes pass.
#[derive(Default)]
pub(super) struct Frames {
    /// The part of a frame's type and length that has come.
    head: [u8; 16],
    filled: usize,
    /// Bytes of the frame's payload still to come.
    left: u64,
    /// HEADERS frames so far.
    sections: u32,
    misplaced: bool,
}

const DATA: u64 = 0;
const HEADERS: u64 = 1;

/// Frames of RFC 9218 §7.2, which belong on the control stream: h3 does not know them.
const PRIORITY_UPDATES: [u64; 2] = [0xf0700, 0xf0701];

impl Frames {
    /// Lets bytes pass; gives back how many empty DATA frames they end.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) -> usize {
        let mut empty = 0;
        loop {
            let payload = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            self.left -= payload as u64;
            let Some((&byte, rest)) = bytes[payload..].split_first() else { return empty };
            bytes = rest;
            // Two integers of at most eight bytes each: the head is complete before it is full.
            self.head[self.filled] = byte;
            self.filled += 1;
            if let Some((kind, rest)) = read_var_int(&self.head[..self.filled])
                && let Some((len, _)) = read_var_int(rest)
            {
                self.filled = 0;
                self.left = len;
                empty += usize::from(kind == DATA && len == 0);
                // Behind trailers h3 looks for nothing more.
                let behind_all = self.sections >= 2 && matches!(kind, DATA | HEADERS);
                self.misplaced |= behind_all || PRIORITY_UPDATES.contains(&kind);
                self.sections += u32::from(kind == HEADERS && self.sections < 2);
            }
        }
    }

    /// Whether a frame came that has no place on a request's stream.
    pub(super) const fn is_misplaced(&self) -> bool {
        self.misplaced
    }

    /// Whether the last frame has come whole.
    pub(super) const fn at_boundary(&self) -> bool {
        self.filled == 0 && self.left == 0
    }
}

/// The integer (RFC 9000 §16) that the bytes begin with, when it is all there, and what follows it.
pub(super) fn read_var_int(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let first = *bytes.first()?;
    let (int, rest) = bytes.split_at_checked(1 << (first >> 6))?;
    let value = int.iter().fold(0, |value, &byte| value << 8 | u64::from(byte));
    Some((value & (u64::MAX >> (66 - 8 * int.len())), rest))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn integers_of_every_length() {
        // RFC 9000 §A.1.
        let long = [0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c];
        assert_eq!(read_var_int(&long).unwrap().0, 151_288_809_941_952_652);
        assert_eq!(read_var_int(&[0x9d, 0x7f, 0x3e, 0x7d]).unwrap().0, 494_878_333);
        assert_eq!(read_var_int(&[0x7b, 0xbd, 7]), Some((15_293, &[7][..])));
        assert_eq!(read_var_int(&[0x25]), Some((37, &[][..])));
        assert!(read_var_int(&long[..7]).is_none());
        assert!(read_var_int(&[]).is_none());
    }

    #[test]
    fn an_update_of_priorities_has_no_place_here() {
        let mut frames = Frames::default();
        frames.pass(&[0, 1, 7, 0x80, 0x0f, 0x07]);
        assert!(!frames.is_misplaced());
        frames.pass(&[0, 4]);
        assert!(frames.is_misplaced());
    }

    #[test]
    fn frames_are_followed_however_they_are_cut() {
        // HEADERS of two bytes, an empty DATA, DATA of 64 bytes, an empty DATA in long integers.
        let mut bytes = vec![1, 2, 0, 0, 0, 0, 0, 0x40, 64];
        bytes.extend_from_slice(&[0; 64]);
        bytes.extend_from_slice(&[0xc0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0]);
        for size in 1..=bytes.len() {
            let mut frames = Frames::default();
            let empty: usize = bytes.chunks(size).map(|chunk| frames.pass(chunk)).sum();
            assert_eq!(empty, 2, "in pieces of {size}");
            assert!(frames.at_boundary());
        }
        let whole = [0, 4, 6, 73, 83];
        for end in 1..bytes.len() {
            let mut frames = Frames::default();
            frames.pass(&bytes[..end]);
            assert_eq!(frames.at_boundary(), whole.contains(&end), "after {end} bytes");
        }
    }
}
