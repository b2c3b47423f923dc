//! H.264/AVC in ISO files, ISO/IEC 14496-15 §5.
//!
//! The output has its parameter sets in the sample entry, under the name `avc1`, which every player
//! takes. Where the source's samples may have sets of their own (`avc3`, §5.4.2.1), those that its
//! entry lacks are lifted from its first sample, and its sync samples are compared with the entry:
//! only where one has others does the track stay `avc3`, which is told.

mod configuration;
mod sps;

use bytes::Bytes;

use super::parameter_sets::{Compared, Family, ParameterSets, leading};
use super::visual::VisualEntry;
use super::{Carriage, Codec, Coding, Facts, Found, Heads, Picture, Wants};
use crate::error::{Error, Result};
use crate::isobmff::{Budget, Child, FourCc};
use configuration::Configuration;

pub(super) use sps::{aspect, signal_type};

/// Reads a sample entry; `heads` are the starts of samples once they were looked at.
pub(super) fn read(
    entry: Child<'_>,
    track: u32,
    heads: Heads<'_>,
    budget: &mut Budget,
) -> Result<Found> {
    let entry = VisualEntry::read(entry, track, budget)?;
    let payload = entry.require(*b"avcC")?;
    let bad = |why| Error::BadBox { kind: FourCc(*b"avcC"), track: Some(track), why };
    let mut configuration = Configuration::read(payload).ok_or(bad("it is cut short"))?;
    // Dolby Vision's names for streams whose base is plain H.264.
    let in_band = matches!(&entry.kind.0, b"avc3" | b"dvav");
    if in_band && heads.is_none() {
        return Ok(Found::Peek(Wants::Spread));
    }
    let heads = heads.unwrap_or_default();
    let length_size = configuration.length_size();
    if let Some(first) = heads.first().filter(|_| in_band) {
        let units: Vec<_> = leading(first, length_size, Family::Avc).collect();
        configuration.lift(&units);
    }
    let Some(sps) = configuration.sps() else {
        if in_band {
            return Ok(Found::Skip(
                "its parameter sets are neither in its sample entry nor in its first sample"
                    .to_owned(),
            ));
        }
        return Err(bad("it holds no readable sequence parameter set"));
    };
    let size = (sps.width, sps.height);
    let known = configuration.sets().map(Bytes::copy_from_slice).collect();
    let sets = ParameterSets { family: Family::Avc, length_size, known };
    let changing = in_band && heads.iter().any(|head| sets.compare(head) == Compared::Other);
    let colour = entry.colour().or(sps.colour);
    let mut warnings = Vec::new();
    if entry.size != size {
        warnings.push("the sample entry states another picture size than the bitstream");
    }
    if changing {
        warnings
            .push("its parameter sets change within the stream (avc3), which not all players take");
    }
    let kind = if changing { *b"avc3" } else { *b"avc1" };
    let lifted = configuration.lifted();
    let codec = Codec {
        coding: Coding::Avc,
        rfc6381: format!(
            "{}.{:02x}{:02x}{:02x}",
            FourCc(kind),
            configuration.profile,
            configuration.compatibility,
            configuration.level
        ),
        sample_entry: entry.clean(
            kind,
            size,
            (*b"avcC", lifted.as_deref().unwrap_or(payload)),
            &[],
        ),
        facts: Facts::Picture(Picture {
            width: size.0,
            height: size.1,
            sample_aspect: entry.aspect(sps.aspect),
            frame_rate: sps.frame_rate,
            colour,
            range: colour.map(super::Colour::range).unwrap_or_default(),
            supplemental: None,
        }),
        carriage: Carriage::of(Coding::Avc),
        warnings,
    };
    Ok(if in_band && !changing { Found::CarryIf(codec, sets) } else { Found::Carry(codec) })
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
        looked(kind, configuration, None)
    }

    fn looked(kind: [u8; 4], configuration: &[u8], heads: Heads<'_>) -> Result<Found> {
        let mut inner = BytesMut::new();
        boxed(&mut inner, *b"avcC", |out| out.put_slice(configuration));
        let bytes = entry(kind, &inner);
        let mut budget = Budget::new(20);
        let list = children(&bytes, &mut budget).unwrap();
        read(list.iter().next().unwrap(), 1, heads, &mut budget)
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
        let missing = read(list.iter().next().unwrap(), 1, None, &mut budget);
        assert!(matches!(missing, Err(Error::MissingBox { .. })));
    }

    /// A sample with these NAL units and a slice.
    fn sample(units: &[&[u8]]) -> Bytes {
        let mut out = BytesMut::new();
        for unit in units.iter().chain(&[&[0x65, 1, 0][..]]) {
            out.put_u32(unit.len() as u32);
            out.put_slice(unit);
        }
        out.freeze()
    }

    #[test]
    fn avc3_becomes_avc1_unless_its_sets_change() {
        let (sps, pps) = (&AVCC[8..34], &AVCC[37..43]);
        assert!(matches!(identify(*b"avc3", AVCC), Ok(Found::Peek(Wants::Spread))));
        let whole = match identify(*b"avc1", AVCC) {
            Ok(Found::Carry(codec)) => codec,
            other => panic!("{other:?}"),
        };
        // With its sets in the entry, or in the first sample alone: the same in the end.
        let empty = [1, 0, 0, 0, 0xff, 0xe0, 0];
        for (configuration, heads) in
            [(AVCC, [sample(&[sps, pps])]), (&empty[..], [sample(&[&[9, 0x10], sps, pps])])]
        {
            let found = looked(*b"avc3", configuration, Some(&heads));
            let Ok(Found::CarryIf(codec, sets)) = found else { panic!("{found:?}") };
            assert_eq!(codec.rfc6381, "avc1.64001f");
            let at = codec.sample_entry.windows(4).position(|name| name == b"avcC").unwrap();
            let record = Configuration::read(&codec.sample_entry[at + 4..]).unwrap();
            assert_eq!(record.sets().collect::<Vec<_>>(), [sps, pps]);
            assert_eq!(record.length_size(), 4);
            assert_eq!(sets.compare(&sample(&[sps])), Compared::Same);
            assert_eq!(codec.facts, whole.facts);
        }
        let other = [sample(&[sps, pps]), sample(&[&[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc1]])];
        let Ok(Found::Carry(codec)) = looked(*b"avc3", AVCC, Some(&other)) else { panic!() };
        assert_eq!(codec.rfc6381, "avc3.64001f");
        assert_eq!(&codec.sample_entry[4..8], b"avc3");
        assert_eq!(codec.warnings.len(), 1);
        assert!(matches!(looked(*b"avc3", &empty, Some(&[])), Ok(Found::Skip(_))));
    }
}
