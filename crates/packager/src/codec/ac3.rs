//! AC-3 in ISO files: ETSI TS 102 366 annex F.4.

use super::bits::Bits;
use super::sound::{SoundEntry, clean};
use super::{Carriage, Codec, Coding, Facts, Found, Sound, Speakers};
use crate::error::Result;

pub(super) fn read(entry: &SoundEntry<'_>) -> Result<Found> {
    let configuration = entry.child(*b"dac3").ok_or(entry.missing(*b"dac3"))?;
    let mode =
        facts(configuration.payload).ok_or(entry.bad(*b"dac3", "it is cut short or reserved"))?;
    Ok(Found::Carry(Codec {
        coding: Coding::Ac3,
        rfc6381: "ac-3".to_owned(),
        // Its channel count and sample size mean nothing (F.3): as the annex has them.
        sample_entry: clean(*b"ac-3", 2, 16, mode.rate, configuration.whole),
        facts: Facts::Sound(mode.sound(0, None)),
        carriage: Carriage::of(Coding::Ac3),
        warnings: Vec::new(),
    }))
}

/// An AC3SpecificBox.
fn facts(payload: &[u8]) -> Option<Mode> {
    let mut bits = Bits::new(payload);
    let rate = rate(bits.bits(2)?)?;
    bits.skip(5 + 3)?;
    Some(Mode { rate, acmod: bits.bits(3)? as u8, lfe: bits.bit()? })
}

/// `fscod`, §4.4.1.3.
pub(super) fn rate(code: u32) -> Option<u32> {
    [48_000, 44_100, 32_000].get(code as usize).copied()
}

/// What channels a stream or substream codes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mode {
    pub(super) rate: u32,
    /// §4.4.2.3.
    pub(super) acmod: u8,
    pub(super) lfe: bool,
}

impl Mode {
    /// The channels as a map of table E.1.4, with those of `more`.
    pub(super) fn sound(self, more: u16, joc: Option<u8>) -> Sound {
        const LEFT: u16 = 1 << 15;
        const CENTRE: u16 = 1 << 14;
        const RIGHT: u16 = 1 << 13;
        const LEFT_SURROUND: u16 = 1 << 12;
        const RIGHT_SURROUND: u16 = 1 << 11;
        const BACK_CENTRE: u16 = 1 << 8;
        let front = match self.acmod {
            1 => CENTRE,
            // Two programmes of one channel are presented as left and right.
            0 | 2 | 4 | 6 => LEFT | RIGHT,
            _ => LEFT | CENTRE | RIGHT,
        };
        let behind = match self.acmod {
            4 | 5 => BACK_CENTRE,
            6 | 7 => LEFT_SURROUND | RIGHT_SURROUND,
            _ => 0,
        };
        let map = front | behind | u16::from(self.lfe) | more;
        Sound {
            channels: channels(map),
            sample_rate: self.rate,
            speakers: Speakers::Dolby { map, joc },
        }
    }
}

/// How many channels a map of table E.1.4 has: some of its bits stand for two.
fn channels(map: u16) -> u16 {
    const PAIRS: u16 = 1 << 10 | 1 << 9 | 1 << 6 | 1 << 5 | 1 << 4 | 1 << 2;
    (map.count_ones() + (map & PAIRS).count_ones()) as u16
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

    fn identify(dac3: &[u8]) -> Result<Found> {
        let mut inner = BytesMut::new();
        boxed(&mut inner, *b"dac3", |out| out.put_slice(dac3));
        let bytes = entry(*b"ac-3", 1, &inner);
        let mut budget = Budget::new(20);
        let list = children(&bytes, &mut budget).unwrap();
        read(&SoundEntry::read(list.iter().next().unwrap(), 1, &mut budget)?)
    }

    #[test]
    fn modes() {
        let of = |dac3: &[u8]| match identify(dac3) {
            Ok(Found::Carry(codec)) => *codec.sound().unwrap(),
            other => panic!("{other:?}"),
        };
        let map = |map| Speakers::Dolby { map, joc: None };
        // 48 kHz, 5.1, as FFmpeg writes it.
        let around = of(&[0x10, 0x3d, 0xe0]);
        assert_eq!((around.channels, around.sample_rate), (6, 48_000));
        assert_eq!(around.speakers, map(0xf801));
        // 44.1 kHz, stereo.
        let stereo = of(&[0x50, 0x11, 0x40]);
        assert_eq!((stereo.channels, stereo.sample_rate), (2, 44_100));
        assert_eq!(stereo.speakers, map(0xa000));
        assert_eq!(of(&[0x10, 0x08, 0]).speakers, map(0x4000), "mono");
        assert!(matches!(identify(&[0xd0, 0x3d, 0xe0]), Err(Error::BadBox { .. })), "reserved");
        assert!(matches!(identify(&[0x10]), Err(Error::BadBox { .. })));
    }
}
