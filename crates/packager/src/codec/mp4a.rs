//! `mp4a`: what is in it is told by the objectTypeIndication of its `esds` (ISO/IEC 14496-1
//! §7.2.6.6, registered values).

use super::sound::SoundEntry;
use super::{Found, Heads, aac, ac3, eac3, mp3, names};
use crate::error::Result;
use crate::isobmff::esds::Esds;

pub(super) fn read(entry: &SoundEntry<'_>, heads: Heads<'_>) -> Result<Found> {
    let esds = entry.child(*b"esds").ok_or(entry.missing(*b"esds"))?;
    let facts = Esds::read(esds.payload).ok_or(entry.bad(*b"esds", "it is cut short"))?;
    match facts.object_type {
        0x40 | 0x66..=0x68 => aac::read(entry, esds, facts),
        0x69 | 0x6b => Ok(mp3::read(entry, heads)),
        0xa5 => ac3::read(entry, heads),
        0xa6 => eac3::read(entry, heads),
        other => {
            let codec = format!("mp4a.{other:02X} ({})", names::sound_object(other));
            Ok(Found::Skip(names::not_carried(&codec, false)))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]
    use bytes::{BufMut, BytesMut};

    use super::super::sound::tests::entry;
    use super::*;
    use crate::codec::{Codec, Speakers};
    use crate::error::Error;
    use crate::isobmff::write::boxed;
    use crate::isobmff::{Budget, children};

    fn esds(specific: &[u8], object_type: u8) -> Vec<u8> {
        let mut out = BytesMut::new();
        boxed(&mut out, *b"esds", |out| {
            out.put_u32(0);
            out.put_slice(&[3, (3 + 15 + 2 + specific.len()) as u8, 0, 1, 0]);
            out.put_slice(&[4, (13 + 2 + specific.len()) as u8, object_type, 0x15]);
            out.put_bytes(0, 11);
            out.put_slice(&[5, specific.len() as u8]);
            out.put_slice(specific);
        });
        out.to_vec()
    }

    fn identify(bytes: &[u8]) -> Result<Found> {
        let mut budget = Budget::new(50);
        let list = children(bytes, &mut budget).unwrap();
        let entry = SoundEntry::read(list.iter().next().unwrap(), 2, &mut budget)?;
        read(&entry, None)
    }

    fn carried(bytes: &[u8]) -> Codec {
        match identify(bytes) {
            Ok(Found::Carry(codec)) => codec,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn quicktime_entries_become_standard_ones() {
        let esds = esds(&[0x11, 0x90], 0x40);
        let mut wave = BytesMut::new();
        boxed(&mut wave, *b"wave", |out| {
            boxed(out, *b"frma", |out| out.put_slice(b"mp4a"));
            boxed(out, *b"mp4a", |out| out.put_u32(0));
            out.put_slice(&esds);
            out.put_slice(&[0, 0, 0, 8, 0, 0, 0, 0]);
        });
        let standard = carried(&entry(*b"mp4a", 0, &esds));
        assert_eq!(carried(&entry(*b"mp4a", 1, &wave)), standard);
        assert_eq!(carried(&entry(*b"mp4a", 2, &esds)), standard);
        assert_eq!(standard.rfc6381, "mp4a.40.2");
        let sound = *standard.sound().unwrap();
        assert_eq!((sound.channels, sound.sample_rate), (2, 48_000));
        assert_eq!(sound.speakers, Speakers::Cicp(2));
        assert_eq!(&standard.sample_entry[..], entry(*b"mp4a", 0, &esds));
    }

    #[test]
    fn kinds_of_aac() {
        let codec = |specific: &[u8], object_type| {
            carried(&entry(*b"mp4a", 0, &esds(specific, object_type))).rfc6381
        };
        assert_eq!(codec(&[0x13, 0x10, 0x56, 0xe5, 0x98], 0x40), "mp4a.40.5");
        assert_eq!(codec(&[0xf9, 0x46, 0x40], 0x40), "mp4a.40.42");
        assert_eq!(codec(&[0x11, 0x90], 0x67), "mp4a.67", "MPEG-2 AAC");
    }

    #[test]
    fn other_codecs_behind_mp4a_are_named() {
        let Ok(Found::Skip(reason)) = identify(&entry(*b"mp4a", 0, &esds(&[], 0xdd))) else {
            panic!("not skipped");
        };
        assert_eq!(reason, "codec mp4a.DD (Vorbis) is not carried: transcode it to AAC");
        assert!(matches!(identify(&entry(*b"mp4a", 0, &[])), Err(Error::MissingBox { .. })));
    }
}
