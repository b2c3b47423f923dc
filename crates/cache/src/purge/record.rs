//! One purge as it is written down: in memory as [`Record`], in the log as checksummed bytes.
//!
//! Bytes of a record, integers little-endian: `HWPG`, the length of what follows the checksum
//! (u32), a CRC-32C of that (u32); then number (u64), the caller's number or 0 (u64), time in
//! milliseconds (u64), kind (u8), soft (u8), and the key, prefix or tag's hash.

use headwater_net::Timestamp;

use super::{MAX_URL, PurgeSeq, Scope};

const MAGIC: [u8; 4] = *b"HWPG";
const HEAD: usize = 12;
const FIXED: usize = 26;
/// The longest key or prefix: a policy may write more than a URL into it.
pub(super) const MAX_SUBJECT: usize = 2 * MAX_URL;
const MAX_BYTES: usize = FIXED + MAX_SUBJECT;

/// A purge as it was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) mark: Mark,
    /// The number the caller gave.
    pub(super) order: Option<PurgeSeq>,
    pub(super) soft: bool,
    /// Of everything, and made after all that caches numbered for themselves.
    pub(super) agreed: bool,
    pub(super) scope: Scope,
}

/// Where a purge stands in the row of purges, and when it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    pub(crate) seq: PurgeSeq,
    pub(crate) at: Timestamp,
}

impl Record {
    /// Appends its bytes.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let hash;
        let (kind, subject): (u8, &[u8]) = match &self.scope {
            Scope::All if self.agreed => (4, &[]),
            Scope::All => (0, &[]),
            Scope::Key(key) => (1, key),
            Scope::Prefix(prefix) => (2, prefix),
            Scope::Tag(tag) => {
                hash = tag.to_le_bytes();
                (3, &hash)
            }
        };
        let mut body = Vec::with_capacity(FIXED + subject.len());
        body.extend(self.mark.seq.get().to_le_bytes());
        body.extend(self.order.unwrap_or_default().get().to_le_bytes());
        body.extend(self.mark.at.as_millis().to_le_bytes());
        body.extend([kind, u8::from(self.soft)]);
        body.extend(subject);
        out.extend(MAGIC);
        out.extend((body.len() as u32).to_le_bytes());
        out.extend(crc32c(&body).to_le_bytes());
        out.extend(body);
    }

    /// Reads the record that `bytes` begin with, and how many bytes it takes.
    pub(super) fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let (sum, rest) = rest.split_first_chunk::<4>()?;
        let len = u32::from_le_bytes(*len) as usize;
        let body = rest.get(..len).filter(|_| (FIXED..=MAX_BYTES).contains(&len))?;
        if crc32c(body) != u32::from_le_bytes(*sum) {
            return None;
        }
        let (seq, rest) = body.split_first_chunk::<8>()?;
        let (order, rest) = rest.split_first_chunk::<8>()?;
        let (at, rest) = rest.split_first_chunk::<8>()?;
        let ([kind, soft], subject) = rest.split_first_chunk::<2>()?;
        let scope = match kind {
            0 | 4 => Scope::All,
            1 => Scope::Key(subject.into()),
            2 => Scope::Prefix(subject.into()),
            3 => Scope::Tag(u64::from_le_bytes(subject.try_into().ok()?)),
            _ => return None,
        };
        let seq = PurgeSeq::new(u64::from_le_bytes(*seq));
        let at = Timestamp::from_millis(u64::from_le_bytes(*at));
        let order = Some(PurgeSeq::new(u64::from_le_bytes(*order)));
        let order = order.filter(|order| *order != PurgeSeq::default());
        let (soft, agreed) = (*soft != 0, *kind == 4);
        let record = Self { mark: Mark { seq, at }, order, soft, agreed, scope };
        Some((record, HEAD + len))
    }

    /// Where the next record begins that can be read, past what cannot.
    pub(super) fn find(bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(found) = bytes.get(at..)?.windows(MAGIC.len()).position(|four| four == MAGIC)
        {
            at += found;
            if Self::read(bytes.get(at..)?).is_some() {
                return Some(at);
            }
            at += 1;
        }
        None
    }
}

/// CRC-32C (Castagnoli, RFC 3720 §12.1), bit by bit: records are few and short.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use proptest::prelude::*;

    fn scope() -> impl Strategy<Value = Scope> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..40);
        prop_oneof![
            Just(Scope::All),
            bytes().prop_map(|key| Scope::Key(key.into())),
            bytes().prop_map(|prefix| Scope::Prefix(prefix.into())),
            any::<u64>().prop_map(Scope::Tag),
        ]
    }

    fn record() -> impl Strategy<Value = Record> {
        (any::<u64>(), 0u64..3, any::<u64>(), any::<[bool; 2]>(), scope()).prop_map(
            |(seq, order, at, [soft, agreed], scope)| Record {
                mark: Mark { seq: PurgeSeq::new(seq), at: Timestamp::from_millis(at) },
                order: Some(PurgeSeq::new(order)).filter(|order| order.get() > 0),
                soft,
                agreed: agreed && scope == Scope::All,
                scope,
            },
        )
    }

    proptest! {
        #[test]
        fn a_record_comes_back_as_it_was_and_a_changed_one_does_not(
            record in record(), flip in any::<proptest::sample::Index>(), bit in 0..8u32,
        ) {
            let mut bytes = Vec::new();
            record.write(&mut bytes);
            let len = bytes.len();
            bytes.extend(b"HWPG and more");
            prop_assert_eq!(Record::read(&bytes), Some((record, len)));
            for cut in 0..len {
                prop_assert_eq!(Record::read(&bytes[..cut]), None);
            }
            bytes[flip.index(len)] ^= 1 << bit;
            prop_assert_eq!(Record::read(&bytes), None);
        }

        #[test]
        fn a_record_is_found_behind_what_cannot_be_read(
            record in record(), junk in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            let mut bytes = junk.clone();
            bytes.extend(b"HWPGHWPG");
            let at = bytes.len();
            record.write(&mut bytes);
            prop_assert_eq!(Record::find(&bytes), Some(at));
            prop_assert_eq!(Record::find(&bytes[..bytes.len() - 1]), None);
        }

        #[test]
        fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Record::read(&bytes);
            let _ = Record::find(&bytes);
        }
    }

    #[test]
    fn rfc_3720_b_4_crc32c_of_known_bytes() {
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}
