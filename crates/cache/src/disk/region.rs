//! The layout of a region: a file that is only ever appended to, and later deleted as a whole.
//!
//! Sixteen bytes say what it is and which; records follow ([`record`](super::record)); once the
//! region is full, a footer lists them, so that a restart reads 32 bytes a record instead of the
//! records. A region without a footer was being written when its process ended: its records are
//! walked one by one, as far as they prove themselves. So the newest region is the journal of the
//! index, and there is no second file to keep in step with it.

use super::cursor::Cursor;
use super::record::{Kind, Place, sum};

/// The version of all that lies in the folder. Raised with any change of a layout: there is no
/// reading of another version, it is a cache.
pub(crate) const VERSION: u32 = 1;

/// Bytes before the first record.
pub(crate) const HEADER: usize = 16;

/// Bytes of the footer for each record.
pub(crate) const ITEM: usize = 32;

/// Bytes of the footer's end.
pub(crate) const TRAILER: usize = 40;

const MAGIC: [u8; 8] = *b"HWregion";

/// What a footer says of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) kind: Kind,
    pub(crate) hash: u128,
    pub(crate) variant: u32,
    pub(crate) offset: u32,
    pub(crate) len: u32,
}

/// The first bytes of region `number`.
pub(crate) fn header(number: u32) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    out
}

/// Whether a file begins as region `number` does.
pub(crate) fn is_header(bytes: &[u8], number: u32) -> bool {
    bytes == header(number)
}

/// The footer of region `number` for what was written up to `end`.
pub(crate) fn footer(number: u32, end: u32, items: &[Item]) -> Vec<u8> {
    let mut out = Vec::with_capacity(items.len() * ITEM + TRAILER);
    for item in items {
        let kind: u32 = match item.kind {
            Kind::Object => 1,
            Kind::Head => 2,
            Kind::Removal => 3,
        };
        out.extend_from_slice(&item.hash.to_le_bytes());
        for word in [item.variant, item.offset, item.len, kind] {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }
    let proof = sum(&out);
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    for word in [VERSION, number, items.len() as u32, end] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&proof.to_le_bytes());
    let proof = sum(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&proof.to_le_bytes());
    out
}

/// Where the items of a footer lie, and what proves them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trailer {
    /// Where the records end and the items begin.
    pub(crate) end: u32,
    pub(crate) count: u32,
    proof: u64,
}

impl Trailer {
    /// Reads the last [`TRAILER`] bytes of region `number`, a file of `len` bytes; `None` where it
    /// has no footer.
    pub(crate) fn parse(bytes: &[u8], number: u32, len: u64) -> Option<Self> {
        let (front, proof) = bytes.split_at_checked(TRAILER - 8)?;
        if Cursor::new(proof).u64()? != sum(front) {
            return None;
        }
        let mut read = Cursor::new(front);
        if read.take(8)? != MAGIC || read.u32()? != VERSION || read.u32()? != number {
            return None;
        }
        let (count, end, proof) = (read.u32()?, read.u32()?, read.u64()?);
        let items = u64::from(count) * ITEM as u64;
        (u64::from(end) + items + TRAILER as u64 == len).then_some(Self { end, count, proof })
    }

    /// The items, if they are what they were.
    pub(crate) fn items(&self, bytes: &[u8]) -> Option<Vec<Item>> {
        if bytes.len() != self.count as usize * ITEM || sum(bytes) != self.proof {
            return None;
        }
        bytes.chunks_exact(ITEM).map(item).collect()
    }
}

fn item(bytes: &[u8]) -> Option<Item> {
    let mut read = Cursor::new(bytes);
    let (hash, variant) = (read.u128()?, read.u32()?);
    let (offset, len) = (read.u32()?, read.u32()?);
    let kind = match read.u32()? {
        1 => Kind::Object,
        2 => Kind::Head,
        3 => Kind::Removal,
        _ => return None,
    };
    Some(Item { kind, hash, variant, offset, len })
}

/// The name of a region's file.
pub(crate) fn file_name(number: u32) -> String {
    format!("region-{number:08x}")
}

/// The number of the region that a file is, by its name.
pub(crate) fn number_of(name: &str) -> Option<u32> {
    let number = name.strip_prefix("region-")?;
    (number.len() == 8).then(|| u32::from_str_radix(number, 16).ok()).flatten()
}

/// The place of a region's first record.
pub(crate) fn first(number: u32) -> Place {
    Place { region: number, offset: HEADER as u32 }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use proptest::prelude::*;

    fn items() -> Vec<Item> {
        let kinds = [Kind::Object, Kind::Head, Kind::Removal];
        let item = |nth: u32| Item {
            kind: kinds[nth as usize % 3],
            hash: u128::from(nth) << 77,
            variant: nth % 2,
            offset: nth * 100,
            len: 96,
        };
        (0..50).map(item).collect()
    }

    #[test]
    fn a_footer_is_read_as_it_was_written() {
        let all = footer(7, 5000, &items());
        let (front, back) = all.split_at(all.len() - TRAILER);
        let len = 5000 + all.len() as u64;
        let trailer = Trailer::parse(back, 7, len).unwrap();
        assert_eq!(trailer.items(front).unwrap(), items());
        assert_eq!(Trailer::parse(back, 8, len), None);
        assert_eq!(Trailer::parse(back, 7, len + 1), None);
        assert_eq!(number_of(&file_name(0xab)), Some(0xab));
        assert_eq!(number_of("region-1"), None);
    }

    proptest! {
        #[test]
        fn a_footer_with_any_bit_changed_is_none(bit in any::<prop::sample::Index>()) {
            let mut all = footer(7, 5000, &items());
            let len = 5000 + all.len() as u64;
            let bit = bit.index(all.len() * 8);
            all[bit / 8] ^= 1 << (bit % 8);
            let (front, back) = all.split_at(all.len() - TRAILER);
            let read = Trailer::parse(back, 7, len).and_then(|trailer| trailer.items(front));
            prop_assert_eq!(read, None);
        }
    }
}
