//! Opus in ISO files: Encapsulation of Opus in ISO Base Media File Format §4.3.
//!
//! The codec string is written `opus`, as browsers, FFmpeg and Shaka Packager write it; RFC 6381
//! would have the sample entry's `Opus`, which Firefox does not know.
//!
//! Decoders need 80 ms before a point they start at (§4.3.6.2); players fetch segments in order,
//! and after a seek the first 80 ms may be faint. What is to be dropped at the start (pre-skip) is
//! told by `dOps`, and by the source's edit list, which the timeline follows.

use super::sound::{SoundEntry, clean};
use super::{Carriage, Codec, Coding, Facts, Found, Sound, Speakers};
use crate::error::Result;
use crate::isobmff::Cursor;

/// What Opus decodes to, whatever it was made from (§4.3.2).
const RATE: u32 = 48_000;

pub(super) fn read(entry: &SoundEntry<'_>) -> Result<Found> {
    let configuration = entry.child(*b"dOps").ok_or(entry.missing(*b"dOps"))?;
    let (channels, family) =
        facts(configuration.payload).ok_or(entry.bad(*b"dOps", "it is cut short"))?;
    let channels = u16::from(channels);
    if channels == 0 {
        return Err(entry.bad(*b"dOps", "it has no channels"));
    }
    Ok(Found::Carry(Codec {
        coding: Coding::Opus,
        rfc6381: "opus".to_owned(),
        sample_entry: clean(*b"Opus", channels, 16, RATE, configuration.whole),
        facts: Facts::Sound(Sound {
            channels,
            sample_rate: RATE,
            speakers: if family <= 1 { Speakers::usual(channels) } else { Speakers::Unknown },
        }),
        carriage: Carriage::of(Coding::Opus),
        warnings: vec![
            "Apple's players before iOS 17 do not play Opus, and its authoring specification for \
             HLS does not list it: add a sound in AAC",
        ],
    }))
}

/// OutputChannelCount and ChannelMappingFamily of an OpusSpecificBox.
fn facts(payload: &[u8]) -> Option<(u8, u8)> {
    let mut cursor = Cursor::new(payload);
    cursor.skip(1)?;
    let channels = cursor.u8()?;
    cursor.skip(2 + 4 + 2)?;
    Some((channels, cursor.u8()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]
    use bytes::{BufMut, BytesMut};

    use super::super::sound::tests::entry;
    use super::*;
    use crate::error::Error;
    use crate::isobmff::write::boxed;
    use crate::isobmff::{Budget, children};

    fn identify(dops: &[u8]) -> Result<Found> {
        let mut inner = BytesMut::new();
        boxed(&mut inner, *b"dOps", |out| out.put_slice(dops));
        let bytes = entry(*b"Opus", 0, &inner);
        let mut budget = Budget::new(20);
        let list = children(&bytes, &mut budget).unwrap();
        read(&SoundEntry::read(list.iter().next().unwrap(), 1, &mut budget)?)
    }

    #[test]
    fn layouts() {
        let of = |dops: &[u8]| match identify(dops) {
            Ok(Found::Carry(codec)) => *codec.sound().unwrap(),
            other => panic!("{other:?}"),
        };
        let stereo = of(&[0, 2, 1, 0x38, 0, 0, 0xac, 0x44, 0, 0, 0]);
        assert_eq!(stereo, Sound { channels: 2, sample_rate: RATE, speakers: Speakers::Cicp(2) });
        let around = of(&[0, 6, 1, 0x38, 0, 0, 0xbb, 0x80, 0, 0, 1, 4, 2, 0, 4, 1, 2, 3, 5]);
        assert_eq!((around.channels, around.speakers), (6, Speakers::Cicp(6)));
        let loose = of(&[0, 6, 1, 0x38, 0, 0, 0xbb, 0x80, 0, 0, 255, 6, 0]);
        assert_eq!(loose.speakers, Speakers::Unknown);
        assert!(matches!(identify(&[0, 2, 1]), Err(Error::BadBox { .. })));
        assert!(matches!(identify(&[0; 11]), Err(Error::BadBox { .. })));
    }
}
