//! VP9 in ISO files: VP Codec ISO Media File Format Binding, `vpcC` and codec strings.

use std::fmt::Write as _;

use super::colour::Colour;
use super::visual::VisualEntry;
use super::{Carriage, Codec, Coding, Facts, Found, Picture};
use crate::error::{Error, Result};
use crate::isobmff::{Budget, Child, Cursor, FourCc};

pub(super) fn read(entry: Child<'_>, track: u32, budget: &mut Budget) -> Result<Found> {
    let entry = VisualEntry::read(entry, track, budget)?;
    let configuration = entry.require(*b"vpcC")?;
    let bad = |why| Error::BadBox { kind: FourCc(*b"vpcC"), track: Some(track), why };
    let mut facts = Configuration::read(configuration).ok_or(bad("it is cut short"))?;
    if entry.size.0 == 0 || entry.size.1 == 0 {
        return Err(entry.bad("the picture has no size"));
    }
    let colour = entry.colour().or(facts.colour);
    facts.colour = colour;
    if facts.level == 0 {
        // "Undefined", which players refuse.
        facts.level = level(entry.size);
    }
    let mut stated = configuration.to_vec();
    if let Some(level) = stated.get_mut(5) {
        *level = facts.level;
    }
    Ok(Found::Carry(Codec {
        coding: Coding::Vp9,
        rfc6381: facts.codec_string(),
        sample_entry: entry.clean(*b"vp09", entry.size, (*b"vpcC", &stated), &[]),
        facts: Facts::Picture(Picture {
            width: entry.size.0,
            height: entry.size.1,
            sample_aspect: entry.aspect(None),
            frame_rate: None,
            colour,
            range: colour.map(Colour::range).unwrap_or_default(),
            supplemental: None,
        }),
        carriage: Carriage::of(Coding::Vp9),
        warnings: vec![
            "Apple's players for HLS do not play VP9: add a rendition in H.264, HEVC or AV1",
        ],
    }))
}

/// A VPCodecConfigurationRecord.
#[derive(Debug)]
struct Configuration {
    profile: u8,
    /// Ten times the level.
    level: u8,
    bit_depth: u8,
    chroma: u8,
    colour: Option<Colour>,
}

impl Configuration {
    fn read(payload: &[u8]) -> Option<Self> {
        let (_, _, mut cursor) = Cursor::full_box(payload)?;
        let (profile, level, format) = (cursor.u8()?, cursor.u8()?, cursor.u8()?);
        let (primaries, transfer, matrix) = (cursor.u8()?, cursor.u8()?, cursor.u8()?);
        Some(Self {
            profile,
            level,
            bit_depth: format >> 4,
            chroma: format >> 1 & 7,
            colour: Colour::stated(primaries, transfer, matrix, format & 1 == 1),
        })
    }

    /// The optional part only where it says more than what it stands for when absent.
    fn codec_string(&self) -> String {
        let mut text = format!("vp09.{:02}.{:02}.{:02}", self.profile, self.level, self.bit_depth);
        let usual = self.colour.is_none_or(|colour| colour == Colour::BT709);
        if !usual || self.chroma > 1 {
            let colour = self.colour.unwrap_or(Colour::BT709);
            // Writing into a String never fails.
            let _ = write!(
                text,
                ".{:02}.{:02}.{:02}.{:02}.{:02}",
                self.chroma,
                colour.primaries,
                colour.transfer,
                colour.matrix,
                u8::from(colour.full_range)
            );
        }
        text
    }
}

/// The lowest level for pictures of that size at 60 per second or less.
fn level((width, height): (u32, u32)) -> u8 {
    let samples = u64::from(width) * u64::from(height);
    match samples {
        0..=36_864 => 10,
        36_865..=73_728 => 11,
        73_729..=122_880 => 20,
        122_881..=245_760 => 21,
        245_761..=552_960 => 30,
        552_961..=983_040 => 31,
        983_041..=2_228_224 => 41,
        2_228_225..=8_912_896 => 51,
        _ => 61,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]
    use bytes::{BufMut, BytesMut};

    use super::super::VideoRange;
    use super::super::visual::tests::entry;
    use super::*;
    use crate::isobmff::children;
    use crate::isobmff::write::boxed;

    fn identify(vpcc: &[u8]) -> Result<Found> {
        let mut inner = BytesMut::new();
        boxed(&mut inner, *b"vpcC", |out| out.put_slice(vpcc));
        let bytes = entry(*b"vp09", &inner);
        let mut budget = Budget::new(20);
        let list = children(&bytes, &mut budget).unwrap();
        read(list.iter().next().unwrap(), 1, &mut budget)
    }

    fn carried(vpcc: &[u8]) -> (String, VideoRange) {
        let Ok(Found::Carry(codec)) = identify(vpcc) else { panic!("not carried") };
        let Facts::Picture(picture) = codec.facts else { panic!("no picture") };
        (codec.rfc6381, picture.range)
    }

    #[test]
    fn strings() {
        let plain = carried(&[1, 0, 0, 0, 0, 30, 0x82, 2, 2, 2, 0, 0]);
        assert_eq!(plain, ("vp09.00.30.08".to_owned(), VideoRange::Sdr));
        let deep = carried(&[1, 0, 0, 0, 2, 41, 0xa2, 9, 16, 9, 0, 0]);
        assert_eq!(deep, ("vp09.02.41.10.01.09.16.09.00".to_owned(), VideoRange::Pq));
        // 1280x720 without a level.
        assert_eq!(carried(&[1, 0, 0, 0, 0, 0, 0x82, 1, 1, 1, 0, 0]).0, "vp09.00.31.08");
        assert!(matches!(identify(&[1, 0, 0, 0, 0]), Err(Error::BadBox { .. })));
    }
}
