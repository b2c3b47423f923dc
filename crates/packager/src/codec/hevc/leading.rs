//! NAL units at the start of a sample, before its first slice (ISO/IEC 14496-15 §4.3.3).

use super::configuration::kind;
use crate::codec::bits::Bits;

/// The units before the first slice, as far as the sample's head goes.
pub(super) fn units(head: &[u8], length_size: usize) -> impl Iterator<Item = &[u8]> {
    let mut rest = head;
    std::iter::from_fn(move || {
        let (length, after) = rest.split_at_checked(length_size)?;
        let length = length.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
        let (unit, next) = after.split_at_checked(length)?;
        // Types below 32 are slices.
        kind(unit).filter(|kind| *kind >= 32)?;
        rest = next;
        Some(unit)
    })
}

/// The preferred transfer characteristics of an SEI message (ITU-T H.265 §D.2.38), with which
/// broadcasters call a picture HLG that old displays take for BT.2020.
pub(super) fn preferred_transfer(unit: &[u8]) -> Option<u8> {
    const PREFIX_SEI: u8 = 39;
    const ALTERNATIVE_TRANSFER: u32 = 147;
    if kind(unit) != Some(PREFIX_SEI) {
        return None;
    }
    let mut bits = Bits::of_nal(unit.get(2..)?);
    // Every round consumes at least two bytes.
    loop {
        let mut number = || {
            let mut sum = 0_u32;
            loop {
                let byte = bits.bits(8)?;
                sum = sum.checked_add(byte)?;
                if byte != 0xff {
                    return Some(sum);
                }
            }
        };
        let (payload, size) = (number()?, number()?);
        if payload == ALTERNATIVE_TRANSFER && size > 0 {
            return bits.bits(8).map(|transfer| transfer as u8);
        }
        bits.skip(size.checked_mul(8)?)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_end_at_the_first_slice() {
        let head = [0, 2, 0x40, 1, 0, 3, 0x42, 1, 9, 0, 2, 0x26, 1, 0, 2, 0x44, 1];
        let found: Vec<_> = units(&head, 2).collect();
        assert_eq!(found, [&[0x40, 1][..], &[0x42, 1, 9]]);
        assert_eq!(units(&head[..6], 2).count(), 1, "cut short");
        assert_eq!(units(&[0, 0], 2).count(), 0, "an empty unit");
    }

    #[test]
    fn hlg_behind_an_older_name() {
        assert_eq!(preferred_transfer(&[0x4e, 1, 147, 1, 18, 0x80]), Some(18));
        assert_eq!(preferred_transfer(&[0x4e, 1, 5, 2, 0, 0, 147, 1, 18, 0x80]), Some(18));
        assert_eq!(preferred_transfer(&[0x4e, 1, 0xff, 0xff, 0xff]), None);
        assert_eq!(preferred_transfer(&[0x40, 1, 147, 1, 18]), None);
    }
}
