//! Audio sample entries: those of ISO/IEC 14496-12 §12.2.3 and QuickTime's.
//!
//! QuickTime's have a longer header in versions 1 and 2, and may keep what configures the decoder
//! inside a `wave` box. Writers disagree on versions, so each place is tried where the boxes could
//! start, the one that the version names first.

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::{Error, Result};
use crate::isobmff::write::boxed;
use crate::isobmff::{Budget, Child, Cursor, FourCc, children};

/// An audio sample entry.
#[derive(Debug)]
pub(super) struct SoundEntry<'a> {
    pub(super) track: u32,
    /// As stated; 0 where it is not.
    pub(super) channels: u16,
    /// In whole hertz, as stated; 0 where it is not.
    pub(super) rate: u32,
    boxes: Vec<Child<'a>>,
}

/// Bytes before the boxes: of the standard's entry, and of QuickTime's versions 1 and 2.
const HEADERS: [usize; 3] = [28, 28 + 16, 28 + 36];

impl<'a> SoundEntry<'a> {
    pub(super) fn read(entry: Child<'a>, track: u32, budget: &mut Budget) -> Result<Self> {
        let mut cursor = Cursor::new(entry.payload);
        let version = cursor.skip(8).and_then(|()| cursor.u16()).unwrap_or(0);
        let mut field = |skip| cursor.skip(skip).and_then(|()| cursor.u16()).unwrap_or(0);
        let (channels, rate) = (field(6), field(2 + 4));
        let mut found = Self { track, channels, rate: u32::from(rate), boxes: Vec::new() };
        if version == 2 {
            found.second_version(entry.payload);
        }
        let stated = HEADERS.get(usize::from(version)).copied();
        let others = HEADERS.into_iter().filter(|header| Some(*header) != stated);
        for header in stated.into_iter().chain(others) {
            let Some(payload) = entry.payload.get(header..) else { continue };
            for child in children(payload, budget)?.iter() {
                if child.kind.0 == *b"wave" {
                    found.boxes.extend(children(child.payload, budget)?.iter());
                } else {
                    found.boxes.push(child);
                }
            }
            if found.boxes.iter().any(|child| is_known(child.kind)) {
                break;
            }
            found.boxes.clear();
        }
        Ok(found)
    }

    /// QuickTime's version 2 has its channel count in another place, and a rate that may exceed
    /// 16 bits as a floating point number, which the decoder's configuration has too.
    fn second_version(&mut self, payload: &[u8]) {
        let mut cursor = Cursor::new(payload);
        let channels = cursor.skip(28 + 4 + 8).and_then(|()| cursor.u32());
        self.channels = channels.and_then(|count| u16::try_from(count).ok()).unwrap_or(0);
        self.rate = 0;
    }

    /// The first box of that kind, in the entry or in its `wave`.
    pub(super) fn child(&self, kind: [u8; 4]) -> Option<Child<'a>> {
        self.boxes.iter().find(|child| child.kind.0 == kind).copied()
    }

    pub(super) fn bad(&self, kind: [u8; 4], why: &'static str) -> Error {
        Error::BadBox { kind: FourCc(kind), track: Some(self.track), why }
    }

    pub(super) fn missing(&self, kind: [u8; 4]) -> Error {
        Error::MissingBox { kind: FourCc(kind), track: Some(self.track) }
    }
}

/// Boxes that configure a decoder or accompany one.
fn is_known(kind: FourCc) -> bool {
    matches!(
        &kind.0,
        b"esds" | b"dac3" | b"dec3" | b"dOps" | b"dfLa" | b"frma" | b"chan" | b"btrt" | b"sinf"
    )
}

/// The entry as the standard has it; `whole` is the box that configures the decoder.
pub(super) fn clean(
    kind: [u8; 4],
    channels: u16,
    sample_size: u16,
    rate: u32,
    whole: &[u8],
) -> Bytes {
    let mut out = BytesMut::new();
    boxed(&mut out, kind, |out| {
        out.put_slice(&[0, 0, 0, 0, 0, 0, 0, 1]);
        out.put_u64(0);
        out.put_u16(channels);
        out.put_u16(sample_size);
        out.put_u32(0);
        // 16.16; rates that do not fit are told by the configuration alone.
        out.put_u32(u16::try_from(rate).map_or(0, |rate| u32::from(rate) << 16));
        out.put_slice(whole);
    });
    out.freeze()
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    /// An entry of 48 kHz stereo with the header of that version.
    pub(in super::super) fn entry(kind: [u8; 4], version: u8, boxes: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        boxed(&mut out, kind, |out| {
            out.put_slice(&[0, 0, 0, 0, 0, 0, 0, 1, 0, version]);
            out.put_bytes(0, 6);
            out.put_u16(2);
            out.put_u16(16);
            out.put_u32(0);
            out.put_u32(48_000 << 16);
            match version {
                1 => out.put_bytes(0, 16),
                2 => {
                    out.put_u32(72);
                    out.put_u64(48_000.0_f64.to_bits());
                    out.put_u32(6);
                    out.put_bytes(0, 20);
                }
                _ => {}
            }
            out.put_slice(boxes);
        });
        out.to_vec()
    }

    fn read(bytes: &[u8]) -> (u16, u32, Option<Vec<u8>>) {
        let mut budget = Budget::new(50);
        let list = children(bytes, &mut budget).unwrap();
        let entry = SoundEntry::read(list.iter().next().unwrap(), 1, &mut budget).unwrap();
        (entry.channels, entry.rate, entry.child(*b"dac3").map(|child| child.payload.to_vec()))
    }

    #[test]
    fn boxes_are_found_behind_every_header() {
        let mut inner = BytesMut::new();
        boxed(&mut inner, *b"dac3", |out| out.put_u8(7));
        let config = Some(vec![7]);
        assert_eq!(read(&entry(*b"ac-3", 0, &inner)), (2, 48_000, config.clone()));
        assert_eq!(read(&entry(*b"ac-3", 1, &inner)), (2, 48_000, config.clone()));
        assert_eq!(read(&entry(*b"ac-3", 2, &inner)), (6, 0, config.clone()));
        // An entry of the standard that calls itself version 1 (in an stsd of version 1).
        let mut odd = entry(*b"ac-3", 0, &inner);
        odd[17] = 1;
        assert_eq!(read(&odd), (2, 48_000, config.clone()));
        let mut wave = BytesMut::new();
        boxed(&mut wave, *b"wave", |out| {
            boxed(out, *b"frma", |out| out.put_slice(b"ac-3"));
            out.put_slice(&inner);
            out.put_slice(&[0, 0, 0, 8, 0, 0, 0, 0]);
        });
        assert_eq!(read(&entry(*b"ac-3", 1, &wave)), (2, 48_000, config));
        assert_eq!(read(&entry(*b"ac-3", 0, &[])), (2, 48_000, None));
        assert_eq!(read(b"\0\0\0\x08ac-3"), (0, 0, None));
    }
}
