//! The sequence parameter set, ITU-T H.265 §7.3.2.2 and annex E.

use crate::codec::avc;
use crate::codec::bits::Bits;
use crate::codec::colour::Colour;

/// What of a sequence parameter set is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sps {
    /// general_profile_space to general_level_idc, as they stand in a configuration record.
    pub(super) profile: [u8; 12],
    pub(super) temporal_layers: u8,
    pub(super) nested: bool,
    pub(super) chroma_format: u8,
    /// Less 8, of luma and chroma.
    pub(super) bit_depths: (u8, u8),
    /// After cropping.
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) aspect: Option<(u32, u32)>,
    pub(super) colour: Option<Colour>,
    pub(super) frame_rate: Option<(u32, u32)>,
}

impl Sps {
    /// Reads a whole NAL unit; `None` where it is none or is damaged before the picture size.
    pub(super) fn read(nal: &[u8]) -> Option<Self> {
        let (header, payload) = nal.split_first_chunk::<2>()?;
        if header[0] >> 1 & 63 != 33 {
            return None;
        }
        let mut bits = Bits::of_nal(payload);
        bits.skip(4)?;
        let sub_layers = bits.bits(3)? as u8;
        let nested = bits.bit()?;
        let mut profile = [0; 12];
        for byte in &mut profile {
            *byte = bits.bits(8)? as u8;
        }
        sub_layer_profiles(&mut bits, sub_layers)?;
        bits.unsigned()?;
        let chroma_format = u8::try_from(bits.unsigned()?).ok().filter(|format| *format <= 3)?;
        let separate = chroma_format == 3 && bits.bit()?;
        let (coded_width, coded_height) = (bits.unsigned()?, bits.unsigned()?);
        let crop = if bits.bit()? {
            let mut edge = || bits.unsigned();
            (edge()?, edge()?, edge()?, edge()?)
        } else {
            (0, 0, 0, 0)
        };
        // Table 6-1: crop units in luma samples.
        let (unit_x, unit_y) = match (chroma_format, separate) {
            (1, _) => (2, 2),
            (2, _) => (2, 1),
            _ => (1, 1),
        };
        let cropped = |coded: u32, unit: u32, before: u32, after: u32| {
            coded.checked_sub(before.checked_add(after)?.checked_mul(unit)?)
        };
        let width = cropped(coded_width, unit_x, crop.0, crop.1)?;
        let height = cropped(coded_height, unit_y, crop.2, crop.3)?;
        let plausible = 1..=0xffff;
        if !plausible.contains(&width) || !plausible.contains(&height) {
            return None;
        }
        let depth = |bits: &mut Bits<'_>| bits.unsigned().map(|depth| (depth & 7) as u8);
        let bit_depths = (depth(&mut bits)?, depth(&mut bits)?);
        let mut sps = Self {
            profile,
            temporal_layers: sub_layers + 1,
            nested,
            chroma_format,
            bit_depths,
            width,
            height,
            aspect: None,
            colour: None,
            frame_rate: None,
        };
        // What is damaged further on takes nothing from what came before.
        let _ = tools(&mut bits, sub_layers).and_then(|()| sps.usability(&mut bits));
        Some(sps)
    }

    /// Video usability information, §E.2.1, as far as the timing.
    fn usability(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        if !bits.bit()? {
            return None;
        }
        if bits.bit()? {
            self.aspect = Some(avc::aspect(bits)?).filter(|(x, y)| *x > 0 && *y > 0);
        }
        if bits.bit()? {
            bits.bit()?;
        }
        avc::signal_type(bits, &mut self.colour)?;
        if bits.bit()? {
            bits.unsigned()?;
            bits.unsigned()?;
        }
        bits.skip(3)?;
        if bits.bit()? {
            for _ in 0..4 {
                bits.unsigned()?;
            }
        }
        if bits.bit()? {
            let (units, scale) = (bits.bits(32)?, bits.bits(32)?);
            if units > 0 && scale > 0 {
                self.frame_rate = Some(crate::ratio::reduce(scale, units));
            }
        }
        Some(())
    }
}

/// The rest of profile_tier_level, §7.3.3.
fn sub_layer_profiles(bits: &mut Bits<'_>, sub_layers: u8) -> Option<()> {
    let mut present = 0;
    for _ in 0..sub_layers {
        present += if bits.bit()? { 88 } else { 0 };
        present += if bits.bit()? { 8 } else { 0 };
    }
    if sub_layers > 0 {
        bits.skip(2 * (8 - u32::from(sub_layers)))?;
    }
    bits.skip(present)
}

/// From the picture order count to what precedes the usability information.
fn tools(bits: &mut Bits<'_>, sub_layers: u8) -> Option<()> {
    let order_bits = bits.unsigned()?.checked_add(4)?;
    let ordered = if bits.bit()? { sub_layers + 1 } else { 1 };
    for _ in 0..3 * ordered {
        bits.unsigned()?;
    }
    for _ in 0..6 {
        bits.unsigned()?; // block sizes and transform depths
    }
    if bits.bit()? && bits.bit()? {
        scaling_lists(bits)?;
    }
    bits.skip(2)?;
    if bits.bit()? {
        bits.skip(4 + 4)?;
        bits.unsigned()?;
        bits.unsigned()?;
        bits.bit()?;
    }
    reference_sets(bits)?;
    if bits.bit()? {
        let count = bits.unsigned()?;
        if count > 32 {
            return None;
        }
        bits.skip(count * (order_bits.min(16) + 1))?;
    }
    bits.skip(2)
}

/// §7.3.4.
fn scaling_lists(bits: &mut Bits<'_>) -> Option<()> {
    for size in 0..4_u32 {
        for _ in (0..6).step_by(if size == 3 { 3 } else { 1 }) {
            if !bits.bit()? {
                bits.unsigned()?;
                continue;
            }
            if size > 1 {
                bits.signed()?;
            }
            for _ in 0..(1_u32 << (4 + 2 * size)).min(64) {
                bits.signed()?;
            }
        }
    }
    Some(())
}

/// Short-term reference picture sets, §7.3.7: each may be told by the one before.
fn reference_sets(bits: &mut Bits<'_>) -> Option<()> {
    let count = bits.unsigned()?;
    if count > 64 {
        return None;
    }
    let mut before = 0;
    for number in 0..count {
        let mut pictures = 0_u32;
        if number > 0 && bits.bit()? {
            bits.bit()?;
            bits.unsigned()?;
            for _ in 0..=before {
                pictures += u32::from(bits.bit()? || bits.bit()?);
            }
        } else {
            pictures = bits.unsigned()?.checked_add(bits.unsigned()?)?;
            if pictures > 32 {
                return None;
            }
            for _ in 0..pictures {
                bits.unsigned()?;
                bits.bit()?;
            }
        }
        before = pictures;
    }
    Some(())
}
