//! The sequence header, AV1 Bitstream & Decoding Process Specification §5.3 and §5.5.

use crate::codec::bits::Bits;
use crate::codec::colour::Colour;

/// What of a sequence header is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sequence {
    /// The largest frame.
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) colour: Option<Colour>,
}

/// The first sequence header among OBUs with sizes.
pub(super) fn find(units: &[u8]) -> Option<Sequence> {
    let mut rest = units;
    while let Some((&header, mut after)) = rest.split_first() {
        if header & 4 != 0 {
            after = after.get(1..)?;
        }
        let (payload, next) = if header & 2 != 0 {
            let size = leb128(&mut after)?;
            after.split_at_checked(size)?
        } else {
            (after, &[][..])
        };
        if header >> 3 & 15 == 1 {
            return Sequence::read(payload);
        }
        rest = next;
    }
    None
}

/// §4.10.5.
fn leb128(bytes: &mut &[u8]) -> Option<usize> {
    let mut value = 0_usize;
    for position in 0..8 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= usize::from(byte & 0x7f).checked_shl(7 * position)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

impl Sequence {
    /// §5.5.1.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(payload);
        let profile = bits.bits(3)?;
        bits.skip(1)?; // still_picture
        let reduced = bits.bit()?;
        if reduced {
            bits.skip(5)?;
        } else {
            operating_points(&mut bits)?;
        }
        let (across, down) = (bits.bits(4)? + 1, bits.bits(4)? + 1);
        let width = bits.bits(across as u8)? + 1;
        let height = bits.bits(down as u8)? + 1;
        if !reduced && bits.bit()? {
            bits.skip(4 + 3)?; // frame identifiers
        }
        bits.skip(3)?;
        if !reduced {
            tools(&mut bits)?;
        }
        bits.skip(3)?;
        // Damage in the colour takes nothing from the size.
        let colour = colour(&mut bits, profile);
        Some(Self { width, height, colour })
    }
}

fn operating_points(bits: &mut Bits<'_>) -> Option<()> {
    let mut delay_bits = None;
    if bits.bit()? {
        bits.skip(64)?; // ticks of the display
        if bits.bit()? {
            bits.unsigned()?; // uvlc
        }
        if bits.bit()? {
            delay_bits = Some(bits.bits(5)? + 1);
            bits.skip(32 + 5 + 5)?;
        }
    }
    let display_delay = bits.bit()?;
    for _ in 0..=bits.bits(5)? {
        bits.skip(12)?;
        if bits.bits(5)? > 7 {
            bits.skip(1)?;
        }
        if let Some(count) = delay_bits
            && bits.bit()?
        {
            bits.skip(2 * count + 1)?;
        }
        if display_delay && bits.bit()? {
            bits.skip(4)?;
        }
    }
    Some(())
}

fn tools(bits: &mut Bits<'_>) -> Option<()> {
    bits.skip(4)?;
    let order_hint = bits.bit()?;
    if order_hint {
        bits.skip(2)?;
    }
    let chosen_by_frame = bits.bit()?;
    if (chosen_by_frame || bits.bit()?) && !bits.bit()? {
        bits.skip(1)?; // seq_force_integer_mv
    }
    if order_hint {
        bits.skip(3)?;
    }
    Some(())
}

/// §5.5.2.
fn colour(bits: &mut Bits<'_>, profile: u32) -> Option<Colour> {
    let high = bits.bit()?;
    if profile == 2 && high {
        bits.skip(1)?;
    }
    let monochrome = profile != 1 && bits.bit()?;
    let (primaries, transfer, matrix) = if bits.bit()? {
        let mut point = || bits.bits(8).map(|point| point as u8);
        (point()?, point()?, point()?)
    } else {
        (2, 2, 2)
    };
    // sRGB is in full range always.
    let srgb = !monochrome && (primaries, transfer, matrix) == (1, 13, 0);
    let full_range = srgb || bits.bit()?;
    Colour::stated(primaries, transfer, matrix, full_range)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From an FFmpeg file with libaom: 320x180, BT.2020 in PQ.
    const PQ: &[u8] = &[
        0x0a, 0x0e, 0x00, 0x00, 0x00, 0x04, 0x3c, 0xfe, 0xcc, 0xda, 0xf9, 0x50, 0x91, 0x00, 0x90,
        0x40,
    ];

    #[test]
    fn size_and_colour() {
        let colour = Some(Colour { primaries: 9, transfer: 16, matrix: 9, full_range: false });
        let expected = Some(Sequence { width: 320, height: 180, colour });
        assert_eq!(find(PQ), expected);
        // After a temporal delimiter, and without a size.
        let mut sample = vec![0x12, 0];
        sample.push(0x08);
        sample.extend(&PQ[2..]);
        assert_eq!(find(&sample), expected);
        assert_eq!(find(&[0x12, 0]), None);
    }

    #[test]
    fn damage_is_no_panic() {
        for len in 0..PQ.len() {
            let _ = find(&PQ[..len]);
            let _ = Sequence::read(&PQ[..len]);
        }
        assert_eq!(find(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
