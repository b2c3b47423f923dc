//! Messages before the first slice of a sample (ITU-T H.265 §7.3.5).

use super::configuration::kind;
use crate::codec::bits::Bits;

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
    fn hlg_behind_an_older_name() {
        assert_eq!(preferred_transfer(&[0x4e, 1, 147, 1, 18, 0x80]), Some(18));
        assert_eq!(preferred_transfer(&[0x4e, 1, 5, 2, 0, 0, 147, 1, 18, 0x80]), Some(18));
        assert_eq!(preferred_transfer(&[0x4e, 1, 0xff, 0xff, 0xff]), None);
        assert_eq!(preferred_transfer(&[0x40, 1, 147, 1, 18]), None);
    }
}
