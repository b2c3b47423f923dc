//! Bits of configuration records and bitstreams; every read is bounded by the data.

/// A position in bytes, counted in bits.
#[derive(Debug, Clone)]
pub(crate) struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
    /// Whether emulation prevention bytes are passed over.
    escaped: bool,
    zeros: u8,
    current: u8,
    left: u8,
}

impl<'a> Bits<'a> {
    /// Bytes as they are.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, escaped: false, zeros: 0, current: 0, left: 0 }
    }

    /// A NAL unit's payload (ITU-T H.264 §7.3.1, H.265 §7.3.1.1), whose emulation prevention bytes
    /// are passed over.
    pub(crate) fn of_nal(bytes: &'a [u8]) -> Self {
        Self { escaped: true, ..Self::new(bytes) }
    }

    pub(crate) fn bit(&mut self) -> Option<bool> {
        if self.left == 0 {
            let mut byte = *self.bytes.get(self.position)?;
            self.position += 1;
            if self.escaped && self.zeros >= 2 && byte == 3 {
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

    /// Passes over `count` bits.
    pub(crate) fn skip(&mut self, count: u32) -> Option<()> {
        (0..count).try_for_each(|_| self.bit().map(|_| ()))
    }

    /// ue(v) of ITU-T H.264 §9.1.
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

    /// se(v) of ITU-T H.264 §9.1.1.
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
        let mut bits = Bits::of_nal(&[0, 0, 3, 1]);
        assert_eq!(bits.bits(24), Some(1));
        assert_eq!(bits.bit(), None);
        assert_eq!(Bits::new(&[0, 0, 3, 1]).bits(32), Some(0x301));
    }
}
