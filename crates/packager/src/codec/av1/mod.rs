//! AV1 in ISO files: AV1 Codec ISO Media File Format Binding §2.2 and §2.3, codec strings of its
//! §5. With Dolby Vision profile 10 on it.

mod sequence;

use std::fmt::Write as _;

use super::colour::Colour;
use super::dolby_vision::{self, DolbyVision};
use super::visual::VisualEntry;
use super::{Carriage, Codec, Coding, Facts, Found, Heads, Picture, VideoRange, Wants};
use crate::error::{Error, Result};
use crate::isobmff::{Budget, Child, Cursor, FourCc};

pub(super) fn read(
    entry: Child<'_>,
    track: u32,
    heads: Heads<'_>,
    budget: &mut Budget,
) -> Result<Found> {
    let entry = VisualEntry::read(entry, track, budget)?;
    let configuration = entry.require(*b"av1C")?;
    let facts = Configuration::read(configuration).ok_or(Error::BadBox {
        kind: FourCc(*b"av1C"),
        track: Some(track),
        why: "it is cut short",
    })?;
    let mut sequence = sequence::find(facts.units);
    if sequence.is_none() && entry.colour().is_none() {
        // The colour is in the sequence header alone, and that in the samples.
        let Some(heads) = heads else { return Ok(Found::Peek(Wants::First)) };
        sequence = heads.first().and_then(|head| sequence::find(head));
    }
    let size = sequence.map_or(entry.size, |sequence| (sequence.width, sequence.height));
    if size.0 == 0 || size.1 == 0 {
        return Err(entry.bad("the picture has no size"));
    }
    let colour = entry.colour().or(sequence.and_then(|sequence| sequence.colour));
    let mut warnings = Vec::new();
    if entry.size != size {
        warnings.push("the sample entry states another picture size than the bitstream");
    }
    let dolby = DolbyVision::find(&entry.boxes);
    let dolby_only = dolby.is_some_and(DolbyVision::stands_alone);
    let supplemental = dolby.and_then(|dolby| dolby.supplemental("dav1", false));
    let name = if dolby_only { *b"dav1" } else { *b"av01" };
    let kept: &[[u8; 4]] =
        if dolby_only || supplemental.is_some() { &dolby_vision::BOXES } else { &[] };
    Ok(Found::Carry(Codec {
        coding: Coding::Av1,
        rfc6381: match dolby {
            Some(dolby) if dolby_only => dolby.codec_string(FourCc(name)),
            _ => facts.codec_string(colour),
        },
        sample_entry: entry.clean(name, size, (*b"av1C", configuration), kept),
        facts: Facts::Picture(Picture {
            width: size.0,
            height: size.1,
            sample_aspect: entry.aspect(None),
            frame_rate: None,
            colour,
            range: if dolby_only {
                VideoRange::Pq
            } else {
                colour.map(Colour::range).unwrap_or_default()
            },
            supplemental,
        }),
        carriage: Carriage::of(Coding::Av1),
        warnings,
    }))
}

/// An AV1CodecConfigurationRecord, §2.3.3.
#[derive(Debug)]
struct Configuration<'a> {
    profile: u8,
    level: u8,
    high_tier: bool,
    bit_depth: u8,
    monochrome: bool,
    /// Subsampling across and down, and where chroma lies: the digits of the codec string.
    chroma: [u8; 3],
    /// The OBUs that a decoder needs, a sequence header among them, or none.
    units: &'a [u8],
}

impl<'a> Configuration<'a> {
    fn read(payload: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(payload);
        cursor.skip(1)?;
        let (profile, format) = (cursor.u8()?, cursor.u8()?);
        cursor.skip(1)?;
        let bit = |shift: u8| format >> shift & 1;
        let (across, down) = (bit(3), bit(2));
        Some(Self {
            profile: profile >> 5,
            level: profile & 31,
            high_tier: bit(7) == 1,
            bit_depth: match (bit(6), bit(5)) {
                (0, _) => 8,
                (_, 0) => 10,
                _ => 12,
            },
            monochrome: bit(4) == 1,
            chroma: [across, down, if across + down == 2 { format & 3 } else { 0 }],
            units: cursor.rest(),
        })
    }

    /// The long form only where the colour is not what players take for granted.
    fn codec_string(&self, colour: Option<Colour>) -> String {
        let tier = if self.high_tier { 'H' } else { 'M' };
        let mut text =
            format!("av01.{}.{:02}{tier}.{:02}", self.profile, self.level, self.bit_depth);
        let usual = colour.is_none_or(|colour| colour == Colour::BT709);
        if !usual || self.monochrome || self.chroma[..2] != [1, 1] {
            let colour = colour.unwrap_or(Colour::BT709);
            let [across, down, position] = self.chroma;
            // Writing into a String never fails.
            let _ = write!(
                text,
                ".{}.{across}{down}{position}.{:02}.{:02}.{:02}.{}",
                u8::from(self.monochrome),
                colour.primaries,
                colour.transfer,
                colour.matrix,
                u8::from(colour.full_range)
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]
    use bytes::{BufMut, BytesMut};

    use super::super::visual::tests::{entry, kinds};
    use super::*;
    use crate::isobmff::children;
    use crate::isobmff::write::boxed;

    /// Main profile, level 4.0, 10 bits.
    const HDR10: &[u8] = &[0x81, 0x08, 0x4c, 0x00];

    fn identify(boxes: &[u8]) -> Codec {
        let bytes = entry(*b"av01", boxes);
        let mut budget = Budget::new(20);
        let list = children(&bytes, &mut budget).unwrap();
        match read(list.iter().next().unwrap(), 1, Some(&[]), &mut budget) {
            Ok(Found::Carry(codec)) => codec,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_box_says_the_colour_and_the_string_names_it() {
        let mut inner = BytesMut::new();
        boxed(&mut inner, *b"av1C", |out| out.put_slice(HDR10));
        boxed(&mut inner, *b"colr", |out| out.put_slice(b"nclx\0\x09\0\x10\0\x09\0"));
        boxed(&mut inner, *b"mdcv", |out| out.put_bytes(1, 24));
        boxed(&mut inner, *b"clli", |out| out.put_bytes(1, 4));
        let codec = identify(&inner);
        assert_eq!(codec.rfc6381, "av01.0.08M.10.0.110.09.16.09.0");
        assert_eq!(kinds(&codec.sample_entry), ["av1C", "colr", "mdcv", "clli"]);
        let Facts::Picture(picture) = codec.facts else { panic!("no picture") };
        assert_eq!(picture.range, VideoRange::Pq);
        assert_eq!((picture.width, picture.height), (1280, 720), "as stated");
    }

    #[test]
    fn the_usual_colour_needs_no_long_string() {
        let mut inner = BytesMut::new();
        boxed(&mut inner, *b"av1C", |out| out.put_slice(&[0x81, 0x05, 0x0c, 0]));
        assert_eq!(identify(&inner).rfc6381, "av01.0.05M.08");
        let mut inner = BytesMut::new();
        boxed(&mut inner, *b"av1C", |out| out.put_slice(&[0x81, 0x2d, 0xe0, 0]));
        assert_eq!(identify(&inner).rfc6381, "av01.1.13H.12.0.000.01.01.01.0");
    }
}
