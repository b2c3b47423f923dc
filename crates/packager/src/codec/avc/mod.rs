//! H.264/AVC in ISO files, ISO/IEC 14496-15 §5.

mod bits;
mod sps;

use bytes::{BufMut, Bytes, BytesMut};

use super::{Codec, Found};
use crate::error::{Error, Result};
use crate::isobmff::write::boxed;
use crate::isobmff::{Budget, Child, Cursor, FourCc, children, pasp};
use sps::Sps;

/// One H.264 track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Avc {
    /// `avc1.PPCCLL` (RFC 6381 §3.3).
    pub(crate) codec: String,
    /// The sample entry, without what other systems left in it.
    pub(crate) sample_entry: Bytes,
    /// After cropping.
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// In lowest terms.
    pub(crate) sample_aspect: (u32, u32),
    /// From the sequence parameter set, where it is said and fixed.
    pub(crate) frame_rate: Option<(u32, u32)>,
    /// Something to tell people.
    pub(crate) warning: Option<&'static str>,
}

/// Bytes of a visual sample entry before its boxes (ISO/IEC 14496-12 §12.1.3).
const VISUAL_HEADER: usize = 78;

pub(super) fn read(entry: Child<'_>, track: u32, budget: &mut Budget) -> Result<Found> {
    let bad = |why| Error::BadBox { kind: entry.kind, track: Some(track), why };
    let (header, boxes) =
        entry.payload.split_at_checked(VISUAL_HEADER).ok_or(bad("it is cut short"))?;
    let boxes = children(boxes, budget)?;
    let configuration = boxes.require(b"avcC", &entry.kind.0, Some(track))?;
    let facts = Configuration::read(configuration).ok_or(Error::BadBox {
        kind: FourCc(*b"avcC"),
        track: Some(track),
        why: "it is cut short",
    })?;
    let sps = facts.sps.and_then(Sps::read);
    if sps.is_none() && &entry.kind.0 == b"avc1" {
        return Err(Error::BadBox {
            kind: FourCc(*b"avcC"),
            track: Some(track),
            why: "it holds no readable sequence parameter set",
        });
    }

    let stated = stated_size(header);
    let (width, height) = sps.as_ref().map_or(stated, |sps| (sps.width, sps.height));
    if width == 0 || height == 0 {
        return Err(bad("the picture has no size"));
    }
    let aspect = boxes
        .get(b"pasp")
        .and_then(pasp::read)
        .or_else(|| sps.as_ref().and_then(|sps| sps.aspect))
        .unwrap_or((1, 1));
    Ok(Found::Carry(Codec::Avc(Avc {
        codec: format!(
            "{}.{:02x}{:02x}{:02x}",
            entry.kind, facts.profile, facts.compatibility, facts.level
        ),
        sample_entry: clean(entry.kind, (width, height), &boxes),
        width,
        height,
        sample_aspect: crate::ratio::reduce(aspect.0, aspect.1),
        frame_rate: sps.as_ref().and_then(|sps| sps.frame_rate),
        warning: (stated != (width, height))
            .then_some("the sample entry states another picture size than the bitstream"),
    })))
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

fn stated_size(header: &[u8]) -> (u32, u32) {
    let mut cursor = Cursor::new(header);
    let size = cursor.skip(24).and_then(|()| Some((cursor.u16()?, cursor.u16()?)));
    size.map_or((0, 0), |(width, height)| (u32::from(width), u32::from(height)))
}

/// The sample entry as the standard has it: QuickTime's vendor, quality and colour table fields
/// are gone, and of the boxes only those that decoders and displays need remain.
fn clean(kind: FourCc, (width, height): (u32, u32), boxes: &crate::isobmff::Children<'_>) -> Bytes {
    let mut out = BytesMut::new();
    boxed(&mut out, kind.0, |out| {
        out.put_slice(&[0, 0, 0, 0, 0, 0, 0, 1]);
        out.put_bytes(0, 16);
        out.put_u16(width.min(0xffff) as u16);
        out.put_u16(height.min(0xffff) as u16);
        out.put_u32(0x0048_0000);
        out.put_u32(0x0048_0000);
        out.put_u32(0);
        out.put_u16(1);
        out.put_bytes(0, 32);
        out.put_u16(0x18);
        out.put_u16(0xffff);
        for child in boxes.iter() {
            match &child.kind.0 {
                b"avcC" | b"pasp" | b"clap" | b"mdcv" | b"clli" => out.put_slice(child.whole),
                b"colr" => colour(out, child),
                _ => {}
            }
        }
    });
    out.freeze()
}

/// QuickTime's `nclc` colour becomes the standard's `nclx`, which has one byte more.
fn colour(out: &mut BytesMut, colr: Child<'_>) {
    match colr.payload.split_first_chunk::<4>() {
        Some((b"nclc", values)) if values.len() >= 6 => boxed(out, *b"colr", |out| {
            out.put_slice(b"nclx");
            out.put_slice(values.get(..6).unwrap_or_default());
            out.put_u8(0);
        }),
        Some((b"nclx", values)) if values.len() >= 7 => out.put_slice(colr.whole),
        Some((b"rICC" | b"prof", _)) => out.put_slice(colr.whole),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]
    use super::*;

    /// 1280x720 High@3.1, from an FFmpeg file.
    const AVCC: &[u8] = &[
        1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 26, 0x67, 0x64, 0, 0x1f, 0xac, 0xd9, 0x40, 0x50, 5, 0xbb,
        1, 0x10, 0, 0, 3, 0, 0x10, 0, 0, 3, 3, 0xc0, 0xf1, 0x83, 0x19, 0x60, 1, 0, 6, 0x68, 0xeb,
        0xe3, 0xcb, 0x22, 0xc0,
    ];

    fn entry(extra: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        boxed(&mut out, *b"avc1", |out| {
            out.put_slice(&[9; 24]);
            out.put_u16(1280);
            out.put_u16(720);
            out.put_bytes(7, 50);
            boxed(out, *b"avcC", |out| out.put_slice(AVCC));
            out.put_slice(extra);
        });
        out.to_vec()
    }

    fn identify(bytes: &[u8]) -> Result<Found> {
        let mut budget = Budget::new(20);
        let list = children(bytes, &mut budget).unwrap();
        let child = list.iter().next().unwrap();
        read(child, 1, &mut budget)
    }

    #[test]
    fn facts_come_from_the_parameter_set() {
        let Ok(Found::Carry(Codec::Avc(avc))) = identify(&entry(&[])) else {
            panic!("not carried");
        };
        assert_eq!(avc.codec, "avc1.64001f");
        assert_eq!((avc.width, avc.height), (1280, 720));
        assert_eq!(avc.sample_aspect, (1, 1));
        assert_eq!(avc.warning, None);
    }

    #[test]
    fn the_sample_entry_is_cleaned() {
        let mut extra = BytesMut::new();
        boxed(&mut extra, *b"gama", |out| out.put_u32(0));
        boxed(&mut extra, *b"colr", |out| {
            out.put_slice(b"nclc\0\x01\0\x01\0\x01");
        });
        boxed(&mut extra, *b"pasp", |out| out.put_slice(&[0, 0, 0, 8, 0, 0, 0, 6]));
        extra.put_u32(0);
        let Ok(Found::Carry(Codec::Avc(avc))) = identify(&entry(&extra)) else {
            panic!("not carried");
        };
        assert_eq!(avc.sample_aspect, (4, 3));
        let mut budget = Budget::new(20);
        let list = children(&avc.sample_entry, &mut budget).unwrap();
        let boxes = list.get(b"avc1").unwrap();
        assert_eq!(boxes[..8], [0, 0, 0, 0, 0, 0, 0, 1]);
        let boxes = children(&boxes[VISUAL_HEADER..], &mut budget).unwrap();
        let kinds: Vec<_> = boxes.iter().map(|child| child.kind.to_string()).collect();
        assert_eq!(kinds, ["avcC", "colr", "pasp"]);
        assert_eq!(boxes.get(b"colr").unwrap(), b"nclx\0\x01\0\x01\0\x01\0");
    }

    #[test]
    fn a_missing_configuration_is_an_error() {
        let whole = entry(&[]);
        let mut cut = whole[..86].to_vec();
        cut[..4].copy_from_slice(&86_u32.to_be_bytes());
        assert!(matches!(identify(&cut), Err(Error::MissingBox { .. })));
        cut.truncate(80);
        cut[..4].copy_from_slice(&80_u32.to_be_bytes());
        assert!(matches!(identify(&cut), Err(Error::BadBox { .. })));
    }
}
