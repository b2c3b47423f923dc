//! Bits of a raw byte sequence payload (H.264 §7.3.1, §9.1): emulation prevention bytes are passed
//! over, and every read is bounded by the data.

/// A position in a NAL unit's payload.
#[derive(Debug, Clone)]
pub(crate) struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
    zeros: u8,
    current: u8,
    left: u8,
}

impl<'a> Bits<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, zeros: 0, current: 0, left: 0 }
    }

    pub(crate) fn bit(&mut self) -> Option<bool> {
        if self.left == 0 {
            let mut byte = *self.bytes.get(self.position)?;
            self.position += 1;
            if self.zeros >= 2 && byte == 3 {
                byte = *self.bytes.get(self.position)?;
                self.position += 1;
                self.zeros = 0;
            }
            self.zeros = if byte == 0 { self.zeros.saturating_add(1) } else { 0 };
            self.current = byte;
            self.left = 8;
        }
        self.left -= 1;
        Some(self.current >> self.left & 1 == 1)
    }

    /// `count` bits, at most 32.
    pub(crate) fn bits(&mut self, count: u8) -> Option<u32> {
        (0..count.min(32)).try_fold(0, |value, _| Some(value << 1 | u32::from(self.bit()?)))
    }

    /// ue(v)
    pub(crate) fn unsigned(&mut self) -> Option<u32> {
        let mut zeros = 0_u8;
        while !self.bit()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let rest = self.bits(zeros)?;
        Some((1_u32 << zeros) - 1 + rest)
    }

    /// se(v)
    pub(crate) fn signed(&mut self) -> Option<i32> {
        let code = self.unsigned()?;
        let magnitude = code.div_ceil(2).cast_signed();
        Some(if code % 2 == 1 { magnitude } else { -magnitude })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_golomb() {
        // 1 010 011 00100 00101 0…
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        assert_eq!(bits.unsigned(), Some(0));
        assert_eq!(bits.unsigned(), Some(1));
        assert_eq!(bits.signed(), Some(-1));
        assert_eq!(bits.unsigned(), Some(3));
        assert_eq!(bits.signed(), Some(-2));
        assert_eq!(Bits::new(&[0; 40]).unsigned(), None);
    }

    #[test]
    fn emulation_prevention_is_removed() {
        let mut bits = Bits::new(&[0, 0, 3, 1]);
        assert_eq!(bits.bits(24), Some(1));
        assert_eq!(bits.bit(), None);
    }
}
