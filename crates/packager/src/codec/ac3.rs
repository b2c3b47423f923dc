//! AC-3 in ISO files: ETSI TS 102 366 annex F.4.

use bytes::{BufMut, Bytes, BytesMut};

use super::bits::Bits;
use super::sound::{SoundEntry, clean};
use super::{Carriage, Codec, Coding, Facts, Found, Heads, Sound, Speakers, Wants};
use crate::error::Result;
use crate::isobmff::write::boxed;

/// Reads `ac-3`, or an `mp4a` that says it is AC-3.
pub(super) fn read(entry: &SoundEntry<'_>, heads: Heads<'_>) -> Result<Found> {
    let (mode, configuration) = match (entry.child(*b"dac3"), heads) {
        (Some(configuration), _) => {
            let mode = facts(configuration.payload);
            let mode = mode.ok_or(entry.bad(*b"dac3", "it is cut short or reserved"))?;
            (mode, Bytes::copy_from_slice(configuration.whole))
        }
        // QuickTime files may lack it: the first frame says the same.
        (None, None) => return Ok(Found::Peek(Wants::First)),
        (None, Some(heads)) => match heads.first().and_then(|head| frame(head)) {
            Some(found) => found,
            None => return Err(entry.missing(*b"dac3")),
        },
    };
    Ok(Found::Carry(Codec {
        coding: Coding::Ac3,
        rfc6381: "ac-3".to_owned(),
        // Its channel count and sample size mean nothing (F.3): as the annex has them.
        sample_entry: clean(*b"ac-3", 2, 16, mode.rate, &configuration),
        facts: Facts::Sound(mode.sound(0, None)),
        carriage: Carriage::of(Coding::Ac3),
        warnings: Vec::new(),
    }))
}

/// What the start of a frame says (§4.3.1, §4.3.2), and the box that says it again.
fn frame(bytes: &[u8]) -> Option<(Mode, Bytes)> {
    let mut bits = Bits::new(bytes);
    if bits.bits(16)? != 0x0b77 {
        return None;
    }
    bits.skip(16)?;
    let (rate_code, size_code) = (bits.bits(2)?, bits.bits(6)?);
    let (identification, service) = (bits.bits(5)?, bits.bits(3)?);
    let acmod = bits.bits(3)?;
    if identification > 10 {
        return None;
    }
    bits.skip(match acmod {
        2 => 2,
        0 | 1 => 0,
        _ => 2 * ((acmod & 1) + (acmod >> 2)),
    })?;
    let lfe = bits.bit()?;
    let word = rate_code << 22
        | identification << 17
        | service << 14
        | acmod << 11
        | u32::from(lfe) << 10
        | (size_code >> 1) << 5;
    let mut whole = BytesMut::new();
    boxed(&mut whole, *b"dac3", |out| out.put_slice(&word.to_be_bytes()[1..]));
    Some((Mode { rate: rate(rate_code)?, acmod: acmod as u8, lfe }, whole.freeze()))
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
    use super::super::sound::tests::entry;
    use super::*;
    use crate::error::Error;
    use crate::isobmff::{Budget, children};

    fn identify(dac3: &[u8]) -> Result<Found> {
        let mut inner = BytesMut::new();
        boxed(&mut inner, *b"dac3", |out| out.put_slice(dac3));
        let bytes = entry(*b"ac-3", 1, &inner);
        let mut budget = Budget::new(20);
        let list = children(&bytes, &mut budget).unwrap();
        read(&SoundEntry::read(list.iter().next().unwrap(), 1, &mut budget)?, None)
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

    #[test]
    fn a_frame_says_what_the_box_would() {
        // 48 kHz, 448 kbit/s, 5.1: bsid 8, acmod 7, cmixlev, surmixlev, lfeon.
        let head = [0x0b, 0x77, 0, 0, 0x1e, 0x40, 0xe1, 0x00];
        let (mode, whole) = frame(&head).unwrap();
        assert_eq!(mode.sound(0, None).channels, 6);
        assert_eq!(&whole[8..], [0x10, 0x3d, 0xe0]);
        assert_eq!(facts(&whole[8..]).unwrap().rate, 48_000);
        assert!(frame(&[0x0b, 0x77, 0, 0, 0x1e, 0x80, 0xe1]).is_none(), "E-AC-3");
        let bytes = entry(*b"ac-3", 0, &[]);
        let mut budget = Budget::new(20);
        let list = children(&bytes, &mut budget).unwrap();
        let entry = SoundEntry::read(list.iter().next().unwrap(), 1, &mut budget).unwrap();
        assert!(matches!(read(&entry, None), Ok(Found::Peek(Wants::First))));
        let heads = [Bytes::copy_from_slice(&head)];
        assert!(matches!(read(&entry, Some(&heads)), Ok(Found::Carry(_))));
        assert!(matches!(read(&entry, Some(&[])), Err(Error::MissingBox { .. })));
    }
}
