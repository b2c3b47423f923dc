//! NAL units at the start of a sample, and whether the parameter sets among them are those of the
//! sample entry (ISO/IEC 14496-15 §4.3.3, §5.4.2, §8.4.3).

use bytes::Bytes;

/// Which codec's NAL units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Avc,
    Hevc,
}

impl Family {
    /// The type of a NAL unit: ITU-T H.264 table 7-1, H.265 table 7-1.
    fn kind(self, unit: &[u8]) -> Option<u8> {
        unit.first().map(|header| match self {
            Self::Avc => header & 31,
            Self::Hevc => header >> 1 & 63,
        })
    }

    fn is_slice(self, kind: u8) -> bool {
        match self {
            Self::Avc => (1..=5).contains(&kind),
            Self::Hevc => kind < 32,
        }
    }

    /// Whether a unit is a sequence or picture parameter set, or HEVC's video parameter set.
    pub(super) fn is_set(self, unit: &[u8]) -> bool {
        match self {
            Self::Avc => matches!(self.kind(unit), Some(7 | 8)),
            Self::Hevc => matches!(self.kind(unit), Some(32..=34)),
        }
    }
}

/// The units before the first slice, as far as the sample's head goes.
pub(super) fn leading(
    head: &[u8],
    length_size: usize,
    family: Family,
) -> impl Iterator<Item = &[u8]> {
    let mut rest = head;
    std::iter::from_fn(move || {
        let (length, after) = rest.split_at_checked(length_size)?;
        let length = length.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
        let (unit, next) = after.split_at_checked(length)?;
        family.kind(unit).filter(|kind| !family.is_slice(*kind))?;
        rest = next;
        Some(unit)
    })
}

/// The parameter sets of a sample entry, with which those in samples are compared.
#[derive(Debug)]
pub(crate) struct ParameterSets {
    pub(super) family: Family,
    /// Bytes of the length before each NAL unit.
    pub(super) length_size: usize,
    pub(super) known: Vec<Bytes>,
}

/// What a look at a sample came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compared {
    /// It has none, or the same.
    Same,
    /// It has one that the sample entry has not.
    Other,
    /// Its head ends before its first slice.
    Unknown,
}

impl ParameterSets {
    /// Compares those in the first bytes of a sample.
    pub(crate) fn compare(&self, head: &[u8]) -> Compared {
        let mut passed = 0;
        for unit in leading(head, self.length_size, self.family) {
            if self.family.is_set(unit) && self.known.iter().all(|known| known != unit) {
                return Compared::Other;
            }
            passed += self.length_size + unit.len();
        }
        // What comes next starts within the head: a slice.
        let slice = head.get(passed + self.length_size..).and_then(|unit| self.family.kind(unit));
        match slice {
            Some(kind) if self.family.is_slice(kind) => Compared::Same,
            _ => Compared::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_end_at_the_first_slice() {
        let head = [0, 2, 0x40, 1, 0, 3, 0x42, 1, 9, 0, 2, 0x26, 1, 0, 2, 0x44, 1];
        let units = |head| leading(head, 2, Family::Hevc);
        let found: Vec<_> = units(&head).collect();
        assert_eq!(found, [&[0x40, 1][..], &[0x42, 1, 9]]);
        assert_eq!(units(&head[..6]).count(), 1, "cut short");
        assert_eq!(units(&[0, 0]).count(), 0, "an empty unit");
    }

    #[test]
    fn sets_are_the_same_or_others_or_out_of_sight() {
        let sets = ParameterSets {
            family: Family::Avc,
            length_size: 1,
            known: vec![Bytes::from_static(&[0x67, 1, 2]), Bytes::from_static(&[0x68, 3])],
        };
        // A delimiter, both sets, a slice.
        let same = [2, 9, 0x10, 3, 0x67, 1, 2, 2, 0x68, 3, 9, 0x65, 0];
        assert_eq!(sets.compare(&same), Compared::Same);
        assert_eq!(sets.compare(&same[10..]), Compared::Same, "none");
        assert_eq!(sets.compare(&same[..10]), Compared::Unknown);
        assert_eq!(sets.compare(&same[..6]), Compared::Unknown);
        let mut other = same;
        other[9] = 4;
        assert_eq!(sets.compare(&other), Compared::Other);
    }
}
