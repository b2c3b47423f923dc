//! HEVC in ISO files, ISO/IEC 14496-15 §8, with Dolby Vision on it.
//!
//! The output has its parameter sets in the sample entry, under the name `hvc1`: Apple's players
//! take no other (HLS authoring specification 1.10), and every other player takes it too. Sets that
//! the source's entry lacks are lifted from its first sample. A source that repeats them in its
//! samples (`hev1`) may change them there: the heads of its sync samples are compared with the
//! entry. Only where one differs does the track stay `hev1`, and DASH alone carries it.

mod configuration;
mod message;
mod sps;

use bytes::Bytes;

use super::colour::Colour;
use super::dolby_vision::{self, DolbyVision};
use super::parameter_sets::{Family, ParameterSets, leading};
use super::visual::VisualEntry;
use super::{Carriage, Codec, Coding, Facts, Found, Heads, Picture, VideoRange, Wants};
use crate::error::{Error, Result};
use crate::isobmff::{Budget, Child, FourCc};
use configuration::Configuration;

/// Reads a sample entry; `heads` are the starts of samples once they were looked at.
pub(super) fn read(
    entry: Child<'_>,
    track: u32,
    heads: Heads<'_>,
    budget: &mut Budget,
) -> Result<Found> {
    let entry = VisualEntry::read(entry, track, budget)?;
    let mut configuration = Configuration::read(entry.require(*b"hvcC")?).ok_or(Error::BadBox {
        kind: FourCc(*b"hvcC"),
        track: Some(track),
        why: "it is cut short",
    })?;
    let in_band = matches!(&entry.kind.0, b"hev1" | b"dvhe");
    if heads.is_none() && (in_band || !configuration.is_complete()) {
        return Ok(Found::Peek(Wants::Spread));
    }
    let seen = Seen::of(heads.unwrap_or_default(), configuration.length_size());
    configuration.lift(seen.first());
    let Some(sps) = configuration.sps() else {
        return Ok(Found::Skip(
            "its parameter sets are neither in its sample entry nor in its first sample".to_owned(),
        ));
    };
    if heads.is_none() && entry.colour().is_none() && may_be_hlg(sps.colour) {
        return Ok(Found::Peek(Wants::First));
    }
    let changing = in_band && seen.sets().any(|set| !configuration.holds(set));
    let hlg_by_message = seen.preferred_transfer == Some(18);
    let colour = entry.colour().or(sps.colour).map(|colour| Colour {
        transfer: if hlg_by_message { 18 } else { colour.transfer },
        ..colour
    });

    let mut warnings = Vec::new();
    let size = (sps.width, sps.height);
    if entry.size != size {
        warnings.push("the sample entry states another picture size than the bitstream");
    }
    let dolby = DolbyVision::find(&entry.boxes);
    let dolby_only = dolby.is_some_and(DolbyVision::stands_alone);
    let supplemental = dolby.and_then(|dolby| dolby.supplemental("dvh1", hlg_by_message));
    if let Some(dolby) = dolby
        && !dolby_only
        && supplemental.is_none()
    {
        warnings.push(dolby.base_layer_warning());
    }
    if dolby.is_none() && matches!(&entry.kind.0, b"dvh1" | b"dvhe") {
        warnings.push("it is called Dolby Vision and has no configuration of it: plain HEVC");
    }
    let name = match (dolby_only, changing) {
        (false, false) => *b"hvc1",
        (false, true) => *b"hev1",
        (true, false) => *b"dvh1",
        (true, true) => *b"dvhe",
    };
    let kept: &[[u8; 4]] =
        if dolby_only || supplemental.is_some() { &dolby_vision::BOXES } else { &[] };
    let bad = |why| Error::BadBox { kind: FourCc(*b"hvcC"), track: Some(track), why };
    let record = configuration.write(!changing).ok_or(bad("a parameter set in it is too long"))?;
    let codec = Codec {
        coding: Coding::Hevc,
        rfc6381: match dolby {
            Some(dolby) if dolby_only => dolby.codec_string(FourCc(name)),
            _ => configuration.codec_string(&FourCc(name).to_string()),
        },
        sample_entry: entry.clean(name, size, (*b"hvcC", &record), kept),
        facts: Facts::Picture(Picture {
            width: size.0,
            height: size.1,
            sample_aspect: entry.aspect(sps.aspect),
            frame_rate: sps.frame_rate,
            colour,
            range: if dolby_only {
                VideoRange::Pq
            } else {
                colour.map(Colour::range).unwrap_or_default()
            },
            supplemental,
        }),
        carriage: if changing {
            Carriage::without_hls(
                "its parameter sets change within the stream (hev1), which Apple's players refuse",
            )
        } else {
            Carriage::of(Coding::Hevc)
        },
        warnings,
    };
    if !in_band || changing {
        return Ok(Found::Carry(codec));
    }
    let known = configuration.units().map(Bytes::copy_from_slice).collect();
    let length_size = configuration.length_size();
    Ok(Found::CarryIf(codec, ParameterSets { family: Family::Hevc, length_size, known }))
}

/// Whether a message in the samples may say HLG where the parameter set says what older displays
/// make of it.
fn may_be_hlg(colour: Option<Colour>) -> bool {
    colour.is_some_and(|colour| colour.primaries == 9 && matches!(colour.transfer, 1 | 6 | 14 | 15))
}

/// What stands before the first slice of some samples.
struct Seen<'a> {
    samples: Vec<Vec<&'a [u8]>>,
    preferred_transfer: Option<u8>,
}

impl<'a> Seen<'a> {
    fn of(heads: &'a [Bytes], length_size: usize) -> Self {
        let samples: Vec<Vec<_>> =
            heads.iter().map(|head| leading(head, length_size, Family::Hevc).collect()).collect();
        let units = samples.iter().flatten().copied();
        let preferred_transfer = units.into_iter().find_map(message::preferred_transfer);
        Self { samples, preferred_transfer }
    }

    fn first(&self) -> &[&'a [u8]] {
        self.samples.first().map(Vec::as_slice).unwrap_or_default()
    }

    fn sets(&self) -> impl Iterator<Item = &'a [u8]> {
        self.samples.iter().flatten().copied().filter(|unit| Family::Hevc.is_set(unit))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]
    use bytes::{BufMut, BytesMut};

    use super::super::Protocol;
    use super::super::visual::tests::{entry, kinds};
    use super::configuration::kind;
    use super::*;
    use crate::isobmff::children;
    use crate::isobmff::write::boxed;

    /// Parameter sets of x265: 320x180, 10 bits, 25 pictures a second, PQ.
    const VPS: &[u8] = &[
        0x40, 0x01, 0x0c, 0x01, 0xff, 0xff, 0x02, 0x20, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00,
        0x03, 0x00, 0x00, 0x03, 0x00, 0x3c, 0x95, 0x94, 0x09,
    ];
    const SPS: &[u8] = &[
        0x42, 0x01, 0x01, 0x02, 0x20, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00,
        0x03, 0x00, 0x3c, 0xa0, 0x0a, 0x08, 0x0c, 0x1f, 0x3b, 0x65, 0x95, 0x95, 0x29, 0x30, 0xbc,
        0x05, 0xa8, 0x48, 0x80, 0x48, 0x20, 0x00, 0x00, 0x03, 0x00, 0x20, 0x00, 0x00, 0x03, 0x03,
        0x21,
    ];
    const PPS: &[u8] = &[0x44, 0x01, 0xc0, 0x73, 0xc1, 0x89];
    /// What precedes the arrays in a record of these.
    const HEAD: [u8; 22] = [
        0x01, 0x02, 0x20, 0x00, 0x00, 0x00, 0x90, 0x00, 0x00, 0x00, 0x00, 0x00, 0x3c, 0xf0, 0x00,
        0xfc, 0xfd, 0xfa, 0xfa, 0x00, 0x00, 0x0f,
    ];

    fn record(head: [u8; 22], units: &[&[u8]], complete: bool) -> Vec<u8> {
        let mut out = head.to_vec();
        out.push(units.len() as u8);
        for unit in units {
            out.push(u8::from(complete) << 7 | kind(unit).unwrap());
            out.extend([0, 1, 0, unit.len() as u8]);
            out.extend(*unit);
        }
        out
    }

    fn sample(units: &[&[u8]]) -> Bytes {
        let mut out = BytesMut::new();
        for unit in units.iter().chain(&[&[0x26, 1, 0, 0][..]]) {
            out.put_u32(unit.len() as u32);
            out.put_slice(unit);
        }
        out.freeze()
    }

    fn identify(kind: [u8; 4], hvcc: &[u8], more: &[u8], heads: Heads<'_>) -> Found {
        let mut inner = BytesMut::new();
        boxed(&mut inner, *b"hvcC", |out| out.put_slice(hvcc));
        inner.put_slice(more);
        let bytes = entry(kind, &inner);
        let mut budget = Budget::new(40);
        let list = children(&bytes, &mut budget).unwrap();
        read(list.iter().next().unwrap(), 1, heads, &mut budget).unwrap()
    }

    fn carried(kind: [u8; 4], hvcc: &[u8], more: &[u8], heads: Heads<'_>) -> (Codec, Picture) {
        let found = identify(kind, hvcc, more, heads);
        let (Found::Carry(codec) | Found::CarryIf(codec, _)) = found else { panic!("not carried") };
        let Facts::Picture(picture) = codec.facts.clone() else { panic!("no picture") };
        (codec, picture)
    }

    /// The payload of a `colr` with these code points, or of a Dolby Vision configuration.
    fn colr(primaries: u8, transfer: u8, matrix: u8) -> BytesMut {
        let mut out = BytesMut::new();
        boxed(&mut out, *b"colr", |out| {
            out.put_slice(b"nclx");
            out.put_slice(&[0, primaries, 0, transfer, 0, matrix, 0]);
        });
        out
    }

    fn dovi(kind: [u8; 4], profile: u8, level: u8, compatibility: u8) -> BytesMut {
        let mut out = BytesMut::new();
        boxed(&mut out, kind, |out| {
            out.put_u16(0x100);
            out.put_u16(u16::from(profile) << 9 | u16::from(level) << 3 | 5);
            out.put_u8(compatibility << 4);
            out.put_bytes(0, 19);
        });
        out
    }

    #[test]
    fn a_complete_entry_needs_no_look() {
        let (codec, picture) = carried(*b"hvc1", &record(HEAD, &[VPS, SPS, PPS], true), &[], None);
        assert_eq!(codec.rfc6381, "hvc1.2.4.L60.90");
        assert_eq!((picture.width, picture.height), (320, 180));
        assert_eq!(picture.range, VideoRange::Pq, "by the parameter set alone");
        let colour = picture.colour.unwrap();
        assert_eq!((colour.primaries, colour.transfer, colour.matrix), (9, 16, 9));
        assert_eq!(picture.frame_rate, Some((25, 1)));
        assert_eq!(picture.supplemental, None);
        assert_eq!(codec.carriage.obstacle(Protocol::HlsCmaf), None);
        assert!(codec.carriage.obstacle(Protocol::HlsTs).is_some());
    }

    #[test]
    fn sets_are_lifted_out_of_the_first_sample() {
        let empty =
            record([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3], &[], false);
        assert!(matches!(identify(*b"hev1", &empty, &[], None), Found::Peek(Wants::Spread)));
        let heads = [sample(&[&[0x46, 1, 0x50], VPS, SPS, PPS]), sample(&[VPS, SPS, PPS])];
        let (codec, picture) = carried(*b"hev1", &empty, &[], Some(&heads));
        let (whole, _) = carried(*b"hvc1", &record(HEAD, &[VPS, SPS, PPS], true), &[], None);
        assert_eq!(codec.rfc6381, whole.rfc6381);
        assert_eq!(codec.sample_entry, whole.sample_entry, "as if it had been hvc1");
        assert_eq!(picture.range, VideoRange::Pq);
        // None anywhere.
        assert!(matches!(identify(*b"hev1", &empty, &[], Some(&[])), Found::Skip(_)));
        assert!(matches!(identify(*b"hvc1", &empty, &[], None), Found::Peek(Wants::Spread)));
    }

    #[test]
    fn hev1_becomes_hvc1_unless_its_sets_change() {
        let hvcc = record(HEAD, &[VPS, SPS, PPS], false);
        let same = [sample(&[VPS, SPS, PPS]), sample(&[])];
        let (codec, _) = carried(*b"hev1", &hvcc, &[], Some(&same));
        assert_eq!(codec.rfc6381, "hvc1.2.4.L60.90");
        assert_eq!(&codec.sample_entry[4..8], b"hvc1");
        let arrays = codec.sample_entry.len() - record(HEAD, &[VPS, SPS, PPS], true).len();
        assert_eq!(codec.sample_entry[arrays..], record(HEAD, &[VPS, SPS, PPS], true));

        let other = [sample(&[VPS, SPS, PPS]), sample(&[&[0x44, 1, 0xc0, 0x73, 0xc1, 0x8a]])];
        let (codec, _) = carried(*b"hev1", &hvcc, &[], Some(&other));
        assert_eq!(codec.rfc6381, "hev1.2.4.L60.90");
        assert_eq!(&codec.sample_entry[4..8], b"hev1");
        assert!(codec.carriage.obstacle(Protocol::HlsCmaf).is_some());
        assert_eq!(codec.carriage.obstacle(Protocol::Dash), None);
    }

    #[test]
    fn dolby_vision() {
        let hvcc = record(HEAD, &[VPS, SPS, PPS], true);
        let beside = |picture: &Picture| {
            let found = picture.supplemental.as_ref();
            found.map(|found| format!("{}/{}", found.codec, found.brand))
        };
        // Profile 5 has its own name, also where the source calls it HEVC.
        for kind in [b"dvh1", b"hvc1"] {
            let (codec, picture) = carried(*kind, &hvcc, &dovi(*b"dvcC", 5, 6, 0), None);
            assert_eq!(codec.rfc6381, "dvh1.05.06");
            assert_eq!(&codec.sample_entry[4..8], b"dvh1");
            assert_eq!(kinds(&codec.sample_entry), ["hvcC", "dvcC"]);
            assert_eq!((picture.range, beside(&picture)), (VideoRange::Pq, None));
        }
        let heads = [sample(&[])];
        let (codec, _) = carried(*b"dvhe", &hvcc, &dovi(*b"dvcC", 5, 6, 0), Some(&heads));
        assert_eq!(&codec.sample_entry[4..8], b"dvh1");
        // Profile 8.1, also where the source calls it Dolby Vision.
        for kind in [b"hvc1", b"dvh1"] {
            let (codec, picture) = carried(*kind, &hvcc, &dovi(*b"dvvC", 8, 6, 1), None);
            assert_eq!(codec.rfc6381, "hvc1.2.4.L60.90");
            assert_eq!(kinds(&codec.sample_entry), ["hvcC", "dvvC"]);
            assert_eq!(picture.range, VideoRange::Pq);
            assert_eq!(beside(&picture).as_deref(), Some("dvh1.08.06/db1p"));
        }
        let mut hlg = colr(9, 18, 9);
        hlg.put_slice(&dovi(*b"dvvC", 8, 2, 4));
        let (_, picture) = carried(*b"hvc1", &hvcc, &hlg, None);
        assert_eq!(picture.range, VideoRange::Hlg, "the box overrides the parameter set");
        assert_eq!(beside(&picture).as_deref(), Some("dvh1.08.02/db4h"));
        // Profile 7: its base layer is HDR10.
        let (codec, picture) = carried(*b"hvc1", &hvcc, &dovi(*b"dvcC", 7, 6, 6), None);
        assert_eq!(kinds(&codec.sample_entry), ["hvcC"]);
        assert_eq!((picture.range, beside(&picture)), (VideoRange::Pq, None));
        assert_eq!(codec.warnings.len(), 1 + 1, "the size and the layer");
    }

    #[test]
    fn hlg_may_be_said_by_a_message_alone() {
        // The same parameter set with transfer characteristics 14: what old displays take it for.
        let mut sps = SPS.to_vec();
        let at = sps.windows(3).position(|bytes| bytes == [0x48, 0x80, 0x48]).unwrap();
        sps[at..at + 3].copy_from_slice(&[0x48, 0x70, 0x48]);
        let hvcc = record(HEAD, &[VPS, &sps, PPS], true);
        assert!(matches!(identify(*b"hvc1", &hvcc, &[], None), Found::Peek(Wants::First)));
        let plain = [sample(&[])];
        assert_eq!(carried(*b"hvc1", &hvcc, &[], Some(&plain)).1.range, VideoRange::Sdr);
        let message = [sample(&[&[0x4e, 1, 147, 1, 18, 0x80]])];
        let (_, picture) = carried(*b"hvc1", &hvcc, &[], Some(&message));
        assert_eq!(picture.range, VideoRange::Hlg);
        let (_, picture) = carried(*b"hvc1", &hvcc, &dovi(*b"dvvC", 8, 2, 4), Some(&message));
        assert_eq!(picture.supplemental.unwrap().brand, FourCc(*b"db4g"));
        // A box that states the colour settles it.
        assert_eq!(carried(*b"hvc1", &hvcc, &colr(9, 14, 9), None).1.range, VideoRange::Sdr);
    }

    #[test]
    fn damage_is_no_panic() {
        let hvcc = record(HEAD, &[VPS, SPS, PPS], true);
        for len in 0..hvcc.len() {
            assert!(Configuration::read(&hvcc[..len]).is_none(), "{len}");
        }
        for len in 0..SPS.len() {
            let _ = sps::Sps::read(&SPS[..len]);
        }
        for at in 2..SPS.len() {
            for bit in 0..8 {
                let mut bytes = SPS.to_vec();
                bytes[at] ^= 1 << bit;
                let _ = sps::Sps::read(&bytes);
            }
        }
    }
}
