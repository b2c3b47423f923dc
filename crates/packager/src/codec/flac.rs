//! FLAC in ISO files: Encapsulation of FLAC in ISO Base Media File Format §3.3, STREAMINFO of
//! RFC 9639 §8.2.
//!
//! The codec string is the sample entry's name, `fLaC`, as Apple's authoring specification lists
//! it; Chromium takes it too, and hls.js and Shaka Player turn it into what other browsers know.

use super::bits::Bits;
use super::sound::{SoundEntry, clean};
use super::{Carriage, Codec, Coding, Facts, Found, Sound, Speakers};
use crate::error::Result;
use crate::isobmff::Cursor;

pub(super) fn read(entry: &SoundEntry<'_>) -> Result<Found> {
    let configuration = entry.child(*b"dfLa").ok_or(entry.missing(*b"dfLa"))?;
    let info = StreamInfo::read(configuration.payload)
        .ok_or(entry.bad(*b"dfLa", "it holds no stream information"))?;
    Ok(Found::Carry(Codec {
        coding: Coding::Flac,
        rfc6381: "fLaC".to_owned(),
        sample_entry: clean(
            *b"fLaC",
            info.channels,
            info.sample_size,
            info.rate,
            configuration.whole,
        ),
        facts: Facts::Sound(Sound {
            channels: info.channels,
            sample_rate: info.rate,
            speakers: Speakers::usual(info.channels),
        }),
        carriage: Carriage::of(Coding::Flac),
        warnings: Vec::new(),
    }))
}

struct StreamInfo {
    rate: u32,
    channels: u16,
    sample_size: u16,
}

impl StreamInfo {
    /// It is the first block.
    fn read(payload: &[u8]) -> Option<Self> {
        let (_, _, mut cursor) = Cursor::full_box(payload)?;
        let kind = cursor.u8()? & 0x7f;
        cursor.skip(3)?;
        cursor.skip(2 + 2 + 3 + 3)?;
        let mut bits = Bits::new(cursor.take(8)?);
        let rate = bits.bits(20)?;
        let channels = bits.bits(3)? as u16 + 1;
        let sample_size = bits.bits(5)? as u16 + 1;
        (kind == 0 && rate > 0).then_some(Self { rate, channels, sample_size })
    }
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

    fn identify(dfla: &[u8]) -> Result<Found> {
        let mut inner = BytesMut::new();
        boxed(&mut inner, *b"dfLa", |out| out.put_slice(dfla));
        let bytes = entry(*b"fLaC", 0, &inner);
        let mut budget = Budget::new(20);
        let list = children(&bytes, &mut budget).unwrap();
        read(&SoundEntry::read(list.iter().next().unwrap(), 1, &mut budget)?)
    }

    #[test]
    fn rates_beyond_16_bits_are_in_the_stream_information() {
        // 96,000 Hz, 2 channels, 24 bits.
        let mut dfla = vec![0, 0, 0, 0, 0x80, 0, 0, 34, 16, 0, 16, 0, 0, 0, 14, 0, 0, 14];
        dfla.extend([0x17, 0x70, 0x03, 0x70, 0, 0, 0, 0]);
        dfla.extend([0; 16]);
        let Ok(Found::Carry(codec)) = identify(&dfla) else { panic!("not carried") };
        let sound = codec.sound().unwrap();
        assert_eq!((sound.sample_rate, sound.channels), (96_000, 2));
        // The entry says 24 bits and no rate.
        assert_eq!(codec.sample_entry[26..28], [0, 24]);
        assert_eq!(codec.sample_entry[32..36], [0; 4]);
        dfla[4] = 0x81;
        assert!(matches!(identify(&dfla), Err(Error::BadBox { .. })));
        assert!(matches!(identify(&dfla[..20]), Err(Error::BadBox { .. })));
    }
}
