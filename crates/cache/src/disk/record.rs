//! One record of a region: the bytes that hold one response, and how they are proved.
//!
//! A record is a fixed part of 72 bytes, the fields ([`meta`](super::meta)), one 64-bit checksum
//! (XXH3) for each block of 64 KiB of the body, and the body, padded to eight bytes. The fixed part
//! proves itself and, by a checksum of theirs, the fields and the blocks' checksums; those prove
//! the body, block by block. It names the region and the offset it was written for, so that bytes
//! that lie in another place than they were meant for prove nothing.
//!
//! Three kinds: an *object*, with its body; a *head*, new fields for a body that lies in an earlier
//! record; a *removal*, which takes back all earlier records of its hash.

use headwater_net::Chunks;
use twox_hash::XxHash3_64;

use super::cursor::Cursor;
use super::index::Entry;

/// Bytes of a body that are proved together.
pub(crate) const BLOCK: u64 = 64 << 10;

/// Bytes of a record's fixed part.
pub(crate) const FIXED: usize = 72;

/// The most bytes of a record's fields: more than any request or response may carry.
pub(crate) const MAX_META: usize = 1 << 20;

/// Records begin at multiples of this.
const ALIGN: u64 = 8;

const MAGIC: u32 = u32::from_le_bytes(*b"HWr1");

/// What a record says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    /// A response with its body.
    Object,
    /// New fields for the body of an earlier record.
    Head,
    /// Earlier records of the hash count no more.
    Removal,
}

/// Where bytes lie: a region's number, and the offset in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    /// Regions are numbered from one in the order in which they were begun.
    pub(crate) region: u32,
    /// In bytes from the region's beginning.
    pub(crate) offset: u32,
}

/// The fixed part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fixed {
    pub(crate) kind: Kind,
    /// The hash of the primary key.
    pub(crate) hash: u128,
    /// Tells responses of one key apart that vary; zero for what does not.
    pub(crate) variant: u32,
    /// Bytes of the fixed part, the fields and the checksums.
    pub(crate) head_len: u32,
    pub(crate) body_len: u64,
    /// Where the body lies.
    pub(crate) body: Place,
    /// Where the record itself lies.
    pub(crate) at: Place,
    /// The checksum of the fields and checksums.
    rest_sum: u64,
}

/// What is put into a record beside its body.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Contents<'a> {
    pub(crate) kind: Kind,
    pub(crate) hash: u128,
    pub(crate) variant: u32,
    pub(crate) meta: &'a [u8],
    pub(crate) sums: &'a [u64],
    pub(crate) body_len: u64,
}

impl Contents<'_> {
    /// Bytes of the head.
    pub(crate) fn head_len(&self) -> u64 {
        (FIXED + self.meta.len() + self.sums.len() * 8) as u64
    }

    /// Bytes of the record, its padding counted.
    pub(crate) fn len(&self) -> u64 {
        record_len(self.kind, self.head_len(), self.body_len)
    }

    /// Appends the head of a record at `at` to `out`. `body` is where the body lies, for a head
    /// whose body is elsewhere.
    pub(crate) fn write_head(&self, at: Place, body: Option<Place>, out: &mut Vec<u8>) {
        let head_len = self.head_len() as u32;
        let own = Place { offset: at.offset.saturating_add(head_len), ..at };
        let start = out.len();
        out.resize(start + FIXED, 0);
        out.extend_from_slice(self.meta);
        out.extend(self.sums.iter().flat_map(|sum| sum.to_le_bytes()));
        let rest_sum = sum(out.get(start + FIXED..).unwrap_or_default());
        let fixed = Fixed {
            kind: self.kind,
            hash: self.hash,
            variant: self.variant,
            head_len,
            body_len: self.body_len,
            body: body.unwrap_or(own),
            at,
            rest_sum,
        };
        if let Some(place) = out.get_mut(start..start + FIXED) {
            place.copy_from_slice(&fixed.to_bytes());
        }
    }
}

/// Bytes of a whole record, its padding counted.
fn record_len(kind: Kind, head_len: u64, body_len: u64) -> u64 {
    let body = if kind == Kind::Object { body_len } else { 0 };
    head_len.saturating_add(body).next_multiple_of(ALIGN)
}

impl Fixed {
    pub(crate) fn to_bytes(self) -> [u8; FIXED] {
        let kind: u32 = match self.kind {
            Kind::Object => 1,
            Kind::Head => 2,
            Kind::Removal => 3,
        };
        let mut out = Vec::with_capacity(FIXED);
        for word in [MAGIC, kind] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.hash.to_le_bytes());
        for word in [self.variant, self.head_len] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.body_len.to_le_bytes());
        for word in [self.body.region, self.body.offset, self.at.region, self.at.offset] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.rest_sum.to_le_bytes());
        let proof = sum(&out);
        out.extend_from_slice(&proof.to_le_bytes());
        let mut bytes = [0; FIXED];
        for (to, from) in bytes.iter_mut().zip(out) {
            *to = from;
        }
        bytes
    }

    /// Reads the fixed part of a record that should lie at `at`; `None` where these bytes are not
    /// that.
    pub(crate) fn parse(bytes: &[u8], at: Place) -> Option<Self> {
        let bytes = bytes.get(..FIXED)?;
        let (front, proof) = bytes.split_at_checked(FIXED - 8)?;
        if Cursor::new(proof).u64()? != sum(front) {
            return None;
        }
        let mut read = Cursor::new(front);
        if read.u32()? != MAGIC {
            return None;
        }
        let kind = match read.u32()? {
            1 => Kind::Object,
            2 => Kind::Head,
            3 => Kind::Removal,
            _ => return None,
        };
        let fixed = Self {
            kind,
            hash: read.u128()?,
            variant: read.u32()?,
            head_len: read.u32()?,
            body_len: read.u64()?,
            body: Place { region: read.u32()?, offset: read.u32()? },
            at: Place { region: read.u32()?, offset: read.u32()? },
            rest_sum: read.u64()?,
        };
        let sums = fixed.blocks().checked_mul(8)?;
        let least = sums.checked_add(FIXED as u64)?;
        let head_len = u64::from(fixed.head_len);
        let sound = fixed.at == at
            && head_len >= least
            && head_len - least <= MAX_META as u64
            && u32::try_from(fixed.len()).is_ok();
        sound.then_some(fixed)
    }

    /// Bytes of the whole record, its padding counted.
    pub(crate) fn len(&self) -> u64 {
        record_len(self.kind, u64::from(self.head_len), self.body_len)
    }

    fn blocks(&self) -> u64 {
        if self.kind == Kind::Removal { 0 } else { self.body_len.div_ceil(BLOCK) }
    }

    /// The fields and the checksums of the blocks from a head, if they are what they were.
    pub(crate) fn prove_head<'a>(&self, head: &'a [u8]) -> Option<(&'a [u8], Vec<u64>)> {
        let rest = head.get(FIXED..self.head_len as usize)?;
        if sum(rest) != self.rest_sum {
            return None;
        }
        let table = usize::try_from(self.blocks()).ok()?.checked_mul(8)?;
        let (meta, table) = rest.split_at_checked(rest.len().checked_sub(table)?)?;
        let mut sums = Vec::with_capacity(table.len() / 8);
        let mut read = Cursor::new(table);
        while let Some(sum) = read.u64() {
            sums.push(sum);
        }
        Some((meta, sums))
    }

    /// Whether it is the record that an entry of the index means.
    pub(crate) fn is_of(&self, entry: &Entry) -> bool {
        let Self { kind, hash, variant, .. } = *self;
        let same = hash == entry.hash && variant == entry.variant;
        same && kind != Kind::Removal && self.len() == u64::from(entry.len)
    }

    /// The body within the bytes of the whole record; `None` for a head, whose body is elsewhere.
    pub(crate) fn own_body<'a>(&self, record: &'a [u8]) -> Option<&'a [u8]> {
        let from = self.head_len as usize;
        let to = from.checked_add(usize::try_from(self.body_len).ok()?)?;
        (self.kind == Kind::Object).then(|| record.get(from..to)).flatten()
    }

    /// The fixed part of the same record moved to `at`; a body of its own moves along.
    pub(crate) fn moved(mut self, at: Place) -> Self {
        if self.kind == Kind::Object {
            self.body = Place { offset: at.offset.saturating_add(self.head_len), ..at };
        }
        self.at = at;
        self
    }
}

/// The checksum of bytes.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

/// The checksums of a body's blocks.
pub(crate) fn sums(body: &Chunks) -> Vec<u64> {
    let blocks = body.len().div_ceil(BLOCK);
    // Copies a block only where it spans chunks.
    (0..blocks).map(|nth| sum(&body.slice(nth * BLOCK..(nth + 1) * BLOCK).to_bytes())).collect()
}

/// Whether `bytes`, which begin at block `first` of a body of `body_len` bytes and end where a
/// block does, are what they were.
pub(crate) fn prove_blocks(bytes: &[u8], first: u64, sums: &[u64]) -> bool {
    let Some(sums) = usize::try_from(first).ok().and_then(|first| sums.get(first..)) else {
        return false;
    };
    let blocks = bytes.chunks(BLOCK as usize);
    blocks.len() <= sums.len() && blocks.zip(sums).all(|(block, &proof)| sum(block) == proof)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use proptest::prelude::*;

    fn write(kind: Kind, meta: &[u8], body: &[u8], at: Place) -> Vec<u8> {
        let chunks = Chunks::from(bytes::Bytes::copy_from_slice(body));
        let sums = if kind == Kind::Removal { Vec::new() } else { sums(&chunks) };
        let body_len = body.len() as u64;
        let contents = Contents { kind, hash: 7 << 90, variant: 3, meta, sums: &sums, body_len };
        let mut out = Vec::new();
        contents.write_head(at, None, &mut out);
        assert_eq!(out.len() as u64, contents.head_len());
        if kind == Kind::Object {
            out.extend_from_slice(body);
        }
        out.resize(contents.len() as usize, 0);
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn what_was_written_is_read(
            meta in prop::collection::vec(any::<u8>(), 0..300),
            len in 0usize..200_000, region in 1u32..9, offset in 0u32..9,
        ) {
            let body: Vec<u8> = (0..len).map(|at| (at * 7 + at / 256) as u8).collect();
            let at = Place { region, offset: offset * 8 };
            let bytes = write(Kind::Object, &meta, &body, at);
            let fixed = Fixed::parse(&bytes, at).unwrap();
            prop_assert_eq!(fixed.len(), bytes.len() as u64);
            let (read, sums) = fixed.prove_head(&bytes).unwrap();
            prop_assert_eq!(read, &meta[..]);
            let from = (fixed.body.offset - at.offset) as usize;
            prop_assert!(prove_blocks(&bytes[from..from + len], 0, &sums));
        }

        #[test]
        fn no_changed_bit_is_taken_for_what_was_written(
            len in 1usize..200_000, bit in any::<prop::sample::Index>(),
        ) {
            let at = Place { region: 4, offset: 16 };
            let body: Vec<u8> = (0..len).map(|at| (at * 7 + at / 256) as u8).collect();
            let mut bytes = write(Kind::Object, b"fields", &body, at);
            let used = FIXED + 6 + len.div_ceil(BLOCK as usize) * 8 + len;
            let bit = bit.index(used * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            let proved = Fixed::parse(&bytes, at).is_some_and(|fixed| {
                let from = fixed.head_len as usize;
                fixed.prove_head(&bytes).is_some_and(|(_, sums)| {
                    prove_blocks(&bytes[from..from + len], 0, &sums)
                })
            });
            prop_assert!(!proved);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Fixed::parse(&bytes, Place::default());
        }
    }

    #[test]
    fn a_record_proves_nothing_in_another_place_until_it_is_moved_there() {
        let (at, to) = (Place { region: 1, offset: 16 }, Place { region: 2, offset: 16 });
        let bytes = write(Kind::Object, b"m", b"body", at);
        assert_eq!(Fixed::parse(&bytes, to), None);
        let fixed = Fixed::parse(&bytes, at).unwrap();
        let moved = Fixed::parse(&fixed.moved(to).to_bytes(), to).unwrap();
        assert_eq!(moved.body, Place { region: 2, offset: 16 + fixed.head_len });
        assert!(moved.prove_head(&bytes).is_some());
    }
}
