//! H.264/AVC in ISO files, ISO/IEC 14496-15 §5.

mod sps;

use super::visual::VisualEntry;
use super::{Carriage, Codec, Coding, Facts, Found, Picture};
use crate::error::{Error, Result};
use crate::isobmff::{Budget, Child, Cursor, FourCc};
use sps::Sps;

pub(super) use sps::{aspect, signal_type};

pub(super) fn read(entry: Child<'_>, track: u32, budget: &mut Budget) -> Result<Found> {
    let entry = VisualEntry::read(entry, track, budget)?;
    let configuration = entry.require(*b"avcC")?;
    let bad = |why| Error::BadBox { kind: FourCc(*b"avcC"), track: Some(track), why };
    let facts = Configuration::read(configuration).ok_or(bad("it is cut short"))?;
    // Dolby Vision's names for streams whose base is plain H.264.
    let kind = match &entry.kind.0 {
        b"avc3" | b"dvav" => *b"avc3",
        _ => *b"avc1",
    };
    let sps = facts.sps.and_then(Sps::read);
    if sps.is_none() && kind == *b"avc1" {
        return Err(bad("it holds no readable sequence parameter set"));
    }
    let size = sps.as_ref().map_or(entry.size, |sps| (sps.width, sps.height));
    if size.0 == 0 || size.1 == 0 {
        return Err(entry.bad("the picture has no size"));
    }
    let colour = entry.colour().or(sps.as_ref().and_then(|sps| sps.colour));
    let mut warnings = Vec::new();
    if entry.size != size {
        warnings.push("the sample entry states another picture size than the bitstream");
    }
    Ok(Found::Carry(Codec {
        coding: Coding::Avc,
        rfc6381: format!(
            "{}.{:02x}{:02x}{:02x}",
            FourCc(kind),
            facts.profile,
            facts.compatibility,
            facts.level
        ),
        sample_entry: entry.clean(kind, size, (*b"avcC", configuration), &[]),
        facts: Facts::Picture(Picture {
            width: size.0,
            height: size.1,
            sample_aspect: entry.aspect(sps.as_ref().and_then(|sps| sps.aspect)),
            frame_rate: sps.as_ref().and_then(|sps| sps.frame_rate),
            colour,
            range: colour.map(super::Colour::range).unwrap_or_default(),
            supplemental: None,
        }),
        carriage: Carriage::of(Coding::Avc),
        warnings,
    }))
}

/// The start of an AVCDecoderConfigurationRecord, §5.3.3.1.
struct Configuration<'a> {
    profile: u8,
    compatibility: u8,
    level: u8,
    sps: Option<&'a [u8]>,
}

impl<'a> Configuration<'a> {
    fn read(payload: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(payload);
        cursor.skip(1)?;
        let (profile, compatibility, level) = (cursor.u8()?, cursor.u8()?, cursor.u8()?);
        cursor.skip(1)?;
        let count = cursor.u8()? & 31;
        let mut sps = None;
        if count > 0 {
            let len = cursor.u16()?;
            sps = Some(cursor.take(usize::from(len))?);
        }
        Some(Self { profile, compatibility, level, sps })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]
    use bytes::BufMut;
    use bytes::BytesMut;

    use super::super::visual::tests::{entry, kinds};
    use super::*;
    use crate::isobmff::children;
    use crate::isobmff::write::boxed;

    /// 1280x720 High@3.1, from an FFmpeg file.
    const AVCC: &[u8] = &[
        1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 26, 0x67, 0x64, 0, 0x1f, 0xac, 0xd9, 0x40, 0x50, 5, 0xbb,
        1, 0x10, 0, 0, 3, 0, 0x10, 0, 0, 3, 3, 0xc0, 0xf1, 0x83, 0x19, 0x60, 1, 0, 6, 0x68, 0xeb,
        0xe3, 0xcb, 0x22, 0xc0,
    ];

    fn identify(kind: [u8; 4], configuration: &[u8]) -> Result<Found> {
        let mut inner = BytesMut::new();
        boxed(&mut inner, *b"avcC", |out| out.put_slice(configuration));
        let bytes = entry(kind, &inner);
        let mut budget = Budget::new(20);
        let list = children(&bytes, &mut budget).unwrap();
        read(list.iter().next().unwrap(), 1, &mut budget)
    }

    #[test]
    fn facts_come_from_the_parameter_set() {
        for kind in [b"avc1", b"dva1"] {
            let Ok(Found::Carry(codec)) = identify(*kind, AVCC) else { panic!("not carried") };
            let Facts::Picture(picture) = &codec.facts else { panic!("no picture") };
            assert_eq!(codec.rfc6381, "avc1.64001f");
            assert_eq!((picture.width, picture.height), (1280, 720));
            assert_eq!(picture.sample_aspect, (1, 1));
            assert!(codec.warnings.is_empty());
            assert_eq!(kinds(&codec.sample_entry), ["avcC"]);
        }
    }

    #[test]
    fn a_missing_configuration_is_an_error() {
        assert!(matches!(identify(*b"avc1", &AVCC[..5]), Err(Error::BadBox { .. })));
        assert!(matches!(
            identify(*b"avc1", &[1, 0x64, 0, 0x1f, 0xff, 0]),
            Err(Error::BadBox { .. })
        ));
        let whole = entry(*b"avc1", &[]);
        let mut budget = Budget::new(20);
        let list = children(&whole, &mut budget).unwrap();
        let missing = read(list.iter().next().unwrap(), 1, &mut budget);
        assert!(matches!(missing, Err(Error::MissingBox { .. })));
    }
}
