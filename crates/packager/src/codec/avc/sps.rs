//! The sequence parameter set, ITU-T H.264 §7.3.2.1.1 and annex E.

use crate::codec::bits::Bits;
use crate::codec::colour::Colour;

/// What of a sequence parameter set is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sps {
    /// After cropping.
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) aspect: Option<(u32, u32)>,
    pub(crate) colour: Option<Colour>,
    /// Frames per second, where the rate is said to be fixed.
    pub(crate) frame_rate: Option<(u32, u32)>,
    /// `chroma_format_idc` and the bit depths of luma and chroma less 8, in profiles that say them.
    pub(crate) formats: Option<(u8, u8, u8)>,
}

impl Sps {
    /// Reads a whole NAL unit; `None` where it is none or is damaged before the picture size.
    pub(crate) fn read(nal: &[u8]) -> Option<Self> {
        let (header, payload) = nal.split_first()?;
        if header & 31 != 7 {
            return None;
        }
        let mut bits = Bits::of_nal(payload);
        let profile = bits.bits(8)?;
        bits.bits(16)?;
        bits.unsigned()?;
        let formats = if has_formats(profile) { Some(Formats::read(&mut bits)?) } else { None };
        let chroma = formats.as_ref().map_or(1, Formats::chroma_array);
        bits.unsigned()?; // log2_max_frame_num_minus4
        match bits.unsigned()? {
            0 => {
                bits.unsigned()?;
            }
            1 => {
                bits.bit()?;
                bits.signed()?;
                bits.signed()?;
                let cycle = bits.unsigned()?;
                for _ in 0..cycle.min(255) {
                    bits.signed()?;
                }
            }
            _ => {}
        }
        bits.unsigned()?; // max_num_ref_frames
        bits.bit()?;
        let columns = bits.unsigned()?.checked_add(1)?;
        let rows = bits.unsigned()?.checked_add(1)?;
        let fields = if bits.bit()? {
            1
        } else {
            bits.bit()?;
            2
        };
        bits.bit()?; // direct_8x8_inference_flag
        let crop = if bits.bit()? {
            let mut edge = || bits.unsigned();
            (edge()?, edge()?, edge()?, edge()?)
        } else {
            (0, 0, 0, 0)
        };
        // Table 6-1: crop units in luma samples.
        let (unit_x, unit_y) = match chroma {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        let cropped = |blocks: u32, times: u32, unit: u32, before: u32, after: u32| {
            blocks
                .checked_mul(16)?
                .checked_mul(times)?
                .checked_sub(before.checked_add(after)?.checked_mul(unit)?)
        };
        let width = cropped(columns, 1, unit_x, crop.0, crop.1)?;
        let height = cropped(rows, fields, unit_y * fields, crop.2, crop.3)?;
        let plausible = 1..=0xffff;
        if !plausible.contains(&width) || !plausible.contains(&height) {
            return None;
        }
        let usability = Usability::read(&mut bits).unwrap_or_default();
        let Usability { aspect, colour, frame_rate } = usability;
        let formats = formats.map(|it| (it.chroma, it.luma_depth, it.chroma_depth));
        Some(Self { width, height, aspect, colour, frame_rate, formats })
    }
}

fn has_formats(profile: u32) -> bool {
    matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135)
}

/// What profiles with other formats than 4:2:0 of 8 bits say of theirs.
struct Formats {
    chroma: u8,
    separate: bool,
    luma_depth: u8,
    chroma_depth: u8,
}

impl Formats {
    /// Reads up to the end of the scaling lists.
    fn read(bits: &mut Bits<'_>) -> Option<Self> {
        let small = |number: u32, most: u8| u8::try_from(number).ok().filter(|it| *it <= most);
        let chroma = small(bits.unsigned()?, 3)?;
        let separate = chroma == 3 && bits.bit()?;
        let (luma_depth, chroma_depth) = (small(bits.unsigned()?, 6)?, small(bits.unsigned()?, 6)?);
        bits.bit()?;
        if bits.bit()? {
            for list in 0..if chroma == 3 { 12 } else { 8 } {
                if bits.bit()? {
                    scaling_list(bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
        Some(Self { chroma, separate, luma_depth, chroma_depth })
    }

    /// `ChromaArrayType`.
    fn chroma_array(&self) -> u32 {
        if self.separate { 0 } else { u32::from(self.chroma) }
    }
}

fn scaling_list(bits: &mut Bits<'_>, size: u32) -> Option<()> {
    let (mut last, mut next) = (8_i32, 8_i32);
    for _ in 0..size {
        if next != 0 {
            next = last.wrapping_add(bits.signed()?).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}

/// Video usability information, §E.1.1, as far as the timing.
#[derive(Debug, Default)]
struct Usability {
    aspect: Option<(u32, u32)>,
    colour: Option<Colour>,
    frame_rate: Option<(u32, u32)>,
}

impl Usability {
    fn read(bits: &mut Bits<'_>) -> Option<Self> {
        if !bits.bit()? {
            return None;
        }
        let mut found = Self::default();
        if bits.bit()? {
            let aspect = aspect(bits)?;
            found.aspect = Some(aspect).filter(|(x, y)| *x > 0 && *y > 0);
        }
        // What is damaged further on takes nothing from what came before.
        let _ = found.rest(bits);
        Some(found)
    }

    fn rest(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        if bits.bit()? {
            bits.bit()?;
        }
        signal_type(bits, &mut self.colour)?;
        if bits.bit()? {
            bits.unsigned()?;
            bits.unsigned()?;
        }
        if bits.bit()? {
            let (units, scale) = (bits.bits(32)?, bits.bits(32)?);
            let fixed = bits.bit()?;
            // One tick is a field: two make a frame.
            let frame = units.checked_mul(2).filter(|frame| *frame > 0 && fixed && scale > 0);
            self.frame_rate = frame.map(|frame| crate::ratio::reduce(scale, frame));
        }
        Some(())
    }
}

/// Reads `video_signal_type`, the same in HEVC (ITU-T H.265 §E.2.1), and the colour it may state.
pub(in crate::codec) fn signal_type(
    bits: &mut Bits<'_>,
    colour: &mut Option<Colour>,
) -> Option<()> {
    if !bits.bit()? {
        return Some(());
    }
    bits.skip(3)?;
    let full_range = bits.bit()?;
    if bits.bit()? {
        let mut point = || bits.bits(8).map(|point| point as u8);
        let (primaries, transfer, matrix) = (point()?, point()?, point()?);
        *colour = Colour::stated(primaries, transfer, matrix, full_range);
    }
    Some(())
}

/// What `aspect_ratio_idc` stands for, the same in HEVC (ITU-T H.265 §E.2.1); a zero is "unknown".
pub(in crate::codec) fn aspect(bits: &mut Bits<'_>) -> Option<(u32, u32)> {
    match bits.bits(8)? {
        255 => Some((bits.bits(16)?, bits.bits(16)?)),
        index => Some(ASPECTS.get(index as usize).copied().unwrap_or_default()),
    }
}

/// Table E-1.
const ASPECTS: [(u32, u32); 17] = [
    (0, 0),
    (1, 1),
    (12, 11),
    (10, 11),
    (16, 11),
    (40, 33),
    (24, 11),
    (20, 11),
    (32, 11),
    (80, 33),
    (18, 11),
    (15, 11),
    (64, 33),
    (160, 99),
    (4, 3),
    (3, 2),
    (2, 1),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn cropping_and_usability() {
        // 1920x1080 at 25 fps as x264 writes it: 8 cropped rows.
        let mut nal = [
            0x67, 0x42, 0xc0, 0x28, 0xda, 0x01, 0xe0, 0x08, 0x9f, 0x97, 0x01, 0x10, 0x00, 0x00,
            0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0x20, 0xf1, 0x83, 0x2a,
        ];
        let sps = Sps::read(&nal).unwrap();
        assert_eq!((sps.width, sps.height), (1920, 1080));
        assert_eq!(sps.aspect, Some((1, 1)));
        assert_eq!(sps.frame_rate, None, "the rate is not said to be fixed");
        nal[21] |= 8;
        assert_eq!(Sps::read(&nal).unwrap().frame_rate, Some((25, 1)));
        assert_eq!(sps.colour, None);
    }

    #[test]
    fn no_prefix_panics() {
        let nal: Vec<u8> = (0..64).map(|n: u8| n.wrapping_mul(37) | 1).collect();
        for len in 0..nal.len() {
            let mut bytes = nal.clone();
            bytes[0] = 0x67;
            let _ = Sps::read(&bytes[..len]);
        }
        assert_eq!(Sps::read(&[0x68, 1, 2, 3]), None);
    }
}
