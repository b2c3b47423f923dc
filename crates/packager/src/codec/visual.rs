//! Visual sample entries, ISO/IEC 14496-12 §12.1.3.

use bytes::{BufMut, Bytes, BytesMut};

use super::colour::Colour;
use super::{Found, names};
use crate::error::{Error, Result};
use crate::isobmff::esds::Esds;
use crate::isobmff::write::boxed;
use crate::isobmff::{Budget, Child, Children, Cursor, FourCc, children, pasp};

/// Bytes of a visual sample entry before its boxes.
const HEADER: usize = 78;

/// A visual sample entry.
#[derive(Debug)]
pub(super) struct VisualEntry<'a> {
    pub(super) kind: FourCc,
    pub(super) track: u32,
    /// Width and height that it states.
    pub(super) size: (u32, u32),
    pub(super) boxes: Children<'a>,
}

impl<'a> VisualEntry<'a> {
    pub(super) fn read(entry: Child<'a>, track: u32, budget: &mut Budget) -> Result<Self> {
        let short = Error::BadBox { kind: entry.kind, track: Some(track), why: "it is cut short" };
        let (header, boxes) = entry.payload.split_at_checked(HEADER).ok_or(short)?;
        let mut cursor = Cursor::new(header);
        let size = cursor.skip(24).and_then(|()| Some((cursor.u16()?, cursor.u16()?)));
        Ok(Self {
            kind: entry.kind,
            track,
            size: size.map_or((0, 0), |(width, height)| (u32::from(width), u32::from(height))),
            boxes: children(boxes, budget)?,
        })
    }

    /// The payload of the box that configures the decoder.
    pub(super) fn require(&self, configuration: [u8; 4]) -> Result<&'a [u8]> {
        self.boxes.require(&configuration, &self.kind.0, Some(self.track))
    }

    pub(super) fn bad(&self, why: &'static str) -> Error {
        Error::BadBox { kind: self.kind, track: Some(self.track), why }
    }

    /// The colour that it states.
    pub(super) fn colour(&self) -> Option<Colour> {
        self.boxes.all(b"colr").find_map(|colr| Colour::read(colr.payload))
    }

    /// The sample aspect ratio in lowest terms: the entry's, or else the bitstream's, or square.
    pub(super) fn aspect(&self, bitstream: Option<(u32, u32)>) -> (u32, u32) {
        let (across, down) =
            self.boxes.get(b"pasp").and_then(pasp::read).or(bitstream).unwrap_or((1, 1));
        crate::ratio::reduce(across, down)
    }

    /// The entry as the standard has it, named `kind`, with `configuration` as payload of the box
    /// that configures the decoder: QuickTime's vendor, quality and colour table fields are gone,
    /// and of the other boxes only those that decoders and displays need remain, `more` among them.
    pub(super) fn clean(
        &self,
        kind: [u8; 4],
        (width, height): (u32, u32),
        configuration: ([u8; 4], &[u8]),
        more: &[[u8; 4]],
    ) -> Bytes {
        let mut out = BytesMut::new();
        let (name, payload) = configuration;
        boxed(&mut out, kind, |out| {
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
            if self.boxes.get(&name).is_none() {
                boxed(out, name, |out| out.put_slice(payload));
            }
            let mut configured = false;
            for child in self.boxes.iter() {
                match &child.kind.0 {
                    own if *own == name && !std::mem::replace(&mut configured, true) => {
                        boxed(out, name, |out| out.put_slice(payload));
                    }
                    // Shape, mastering display, content light, ambient light; VP9's names for them.
                    b"pasp" | b"clap" | b"mdcv" | b"clli" | b"amve" | b"SmDm" | b"CoLL" => {
                        out.put_slice(child.whole);
                    }
                    b"colr" => write_colour(out, child),
                    own if more.contains(own) => out.put_slice(child.whole),
                    _ => {}
                }
            }
        });
        out.freeze()
    }
}

/// `mp4v`, whose objectTypeIndication says what it is: nothing that is carried.
pub(super) fn object(entry: Child<'_>, track: u32, budget: &mut Budget) -> Result<Found> {
    let entry = VisualEntry::read(entry, track, budget)?;
    let object_type = entry.boxes.get(b"esds").and_then(Esds::read).map_or(0, |e| e.object_type);
    let codec = format!("mp4v.{object_type:02X} ({})", names::visual_object(object_type));
    Ok(Found::Skip(names::not_carried(&codec, true)))
}

/// QuickTime's `nclc` colour becomes the standard's `nclx`, which has one byte more.
fn write_colour(out: &mut BytesMut, colr: Child<'_>) {
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
pub(super) mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    /// A QuickTime-like entry of 1280x720 with these boxes.
    pub(in super::super) fn entry(kind: [u8; 4], boxes: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        boxed(&mut out, kind, |out| {
            out.put_slice(&[9; 24]);
            out.put_u16(1280);
            out.put_u16(720);
            out.put_bytes(7, 50);
            out.put_slice(boxes);
        });
        out.to_vec()
    }

    /// The kinds of the boxes in a sample entry.
    pub(in super::super) fn kinds(entry: &[u8]) -> Vec<String> {
        let mut budget = Budget::new(20);
        let list = children(entry, &mut budget).unwrap();
        let whole = list.iter().next().unwrap();
        let entry = VisualEntry::read(whole, 1, &mut budget).unwrap();
        entry.boxes.iter().map(|child| child.kind.to_string()).collect()
    }

    #[test]
    fn only_what_decoders_and_displays_need_is_kept() {
        let mut boxes = BytesMut::new();
        boxed(&mut boxes, *b"gama", |out| out.put_u32(0));
        boxed(&mut boxes, *b"conf", |out| out.put_u8(1));
        boxed(&mut boxes, *b"colr", |out| out.put_slice(b"nclc\0\x01\0\x01\0\x01"));
        boxed(&mut boxes, *b"pasp", |out| out.put_slice(&[0, 0, 0, 8, 0, 0, 0, 6]));
        boxed(&mut boxes, *b"dvvC", |out| out.put_u32(0));
        boxes.put_u32(0);
        let bytes = entry(*b"avc1", &boxes);
        let mut budget = Budget::new(20);
        let list = children(&bytes, &mut budget).unwrap();
        let read = VisualEntry::read(list.iter().next().unwrap(), 1, &mut budget).unwrap();
        assert_eq!(read.size, (1280, 720));
        assert_eq!(read.aspect(None), (4, 3));
        assert_eq!(read.colour(), Some(Colour::BT709));
        let plain = read.clean(*b"hvc1", (64, 32), (*b"conf", &[2]), &[]);
        assert_eq!(kinds(&plain), ["conf", "colr", "pasp"]);
        assert_eq!(plain[8..16], [0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(plain[32..36], [0, 64, 0, 32]);
        let dolby = read.clean(*b"dvh1", (64, 32), (*b"hvcC", &[2]), &[*b"dvvC"]);
        assert_eq!(kinds(&dolby), ["hvcC", "colr", "pasp", "dvvC"]);
    }
}
