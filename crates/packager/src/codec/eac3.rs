//! Enhanced AC-3 in ISO files: ETSI TS 102 366 annex F.6; Joint Object Coding: ETSI TS 103 420
//! annex C.3.

use bytes::{BufMut, Bytes, BytesMut};

use super::bits::Bits;
use super::sound::{SoundEntry, clean};
use super::{Carriage, Codec, Coding, Facts, Found, Heads, Sound, Wants, ac3};
use crate::error::Result;
use crate::isobmff::write::boxed;

/// Reads `ec-3`, or an `mp4a` that says it is Enhanced AC-3.
pub(super) fn read(entry: &SoundEntry<'_>, heads: Heads<'_>) -> Result<Found> {
    let (sound, configuration) = match (entry.child(*b"dec3"), heads) {
        (Some(configuration), _) => {
            let sound = facts(configuration.payload);
            let sound = sound.ok_or(entry.bad(*b"dec3", "it is cut short or reserved"))?;
            (sound, Bytes::copy_from_slice(configuration.whole))
        }
        (None, None) => return Ok(Found::Peek(Wants::First)),
        (None, Some(heads)) => match heads.first().and_then(|head| frame(head)) {
            Some(found) => found,
            None => return Err(entry.missing(*b"dec3")),
        },
    };
    Ok(Found::Carry(Codec {
        coding: Coding::Eac3,
        rfc6381: "ec-3".to_owned(),
        // Its channel count and sample size mean nothing (F.5): as the annex has them.
        sample_entry: clean(*b"ec-3", 2, 16, sound.sample_rate, &configuration),
        facts: Facts::Sound(sound),
        carriage: Carriage::of(Coding::Eac3),
        warnings: Vec::new(),
    }))
}

/// What the start of a frame says (§E.1.3.1) of its first substream, and a box that says it again.
/// Dependent substreams and objects are known by the box alone.
fn frame(bytes: &[u8]) -> Option<(Sound, Bytes)> {
    let mut bits = Bits::new(bytes);
    if bits.bits(16)? != 0x0b77 {
        return None;
    }
    bits.skip(2 + 3)?;
    let words = bits.bits(11)? + 1;
    let rate_code = bits.bits(2)?;
    let blocks = *[1, 2, 3, 6].get(bits.bits(2)? as usize)?;
    let (acmod, lfe) = (bits.bits(3)?, bits.bit()?);
    let identification = bits.bits(5)?;
    if !(11..=16).contains(&identification) {
        return None;
    }
    let rate = ac3::rate(rate_code)?;
    // Bits of a frame over its duration in milliseconds.
    let kilobits = u64::from(words) * 16 * u64::from(rate) / (256 * blocks * 1_000);
    let mut whole = BytesMut::new();
    boxed(&mut whole, *b"dec3", |out| {
        out.put_u16((kilobits as u16) << 3);
        out.put_u8((rate_code << 6 | identification << 1) as u8);
        out.put_u8((acmod << 1) as u8 | u8::from(lfe));
        out.put_u8(0);
    });
    let mode = ac3::Mode { rate, acmod: acmod as u8, lfe };
    Some((mode.sound(0, None), whole.freeze()))
}

/// An EC3SpecificBox: the first independent substream with the channels that its dependent ones
/// add. Further independent ones are other programmes, which players do not mix in.
fn facts(payload: &[u8]) -> Option<Sound> {
    let mut bits = Bits::new(payload);
    bits.skip(13)?;
    let independent = bits.bits(3)? + 1;
    let mut first = None;
    for _ in 0..independent {
        let rate = ac3::rate(bits.bits(2)?);
        bits.skip(5 + 1 + 1 + 3)?;
        let (acmod, lfe) = (bits.bits(3)? as u8, bits.bit()?);
        bits.skip(3)?;
        let dependent = bits.bits(4)?;
        let locations = if dependent > 0 {
            bits.bits(9)?
        } else {
            bits.skip(1)?;
            0
        };
        if first.is_none() {
            first = Some((ac3::Mode { rate: rate?, acmod, lfe }, additional(locations)));
        }
    }
    let (mode, more) = first?;
    // The extension is there or not.
    let joc = bits.skip(7).and_then(|()| bits.bit()).unwrap_or(false);
    let objects = if joc { bits.bits(8).map(|index| index as u8) } else { None };
    Some(mode.sound(more, objects.filter(|objects| *objects > 0)))
}

/// `chan_loc` (table F.6.1) as bits of a channel map (table E.1.4): from its lowest bit on Lc/Rc,
/// Lrs/Rrs, Cs, Ts, Lsd/Rsd, Lw/Rw, Lvh/Rvh, Cvh, LFE2.
fn additional(locations: u32) -> u16 {
    const MAP: [u16; 9] = [1 << 10, 1 << 9, 1 << 8, 1 << 7, 1 << 6, 1 << 5, 1 << 4, 1 << 3, 1 << 1];
    (0..).zip(MAP).filter(|(bit, _)| locations >> bit & 1 == 1).map(|(_, map)| map).sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]
    use super::super::Speakers;
    use super::*;

    #[test]
    fn substreams_and_objects() {
        // 5.1 at 48 kHz with objects: complexity index 16.
        let atmos = facts(&[0x18, 0x00, 0x20, 0x0f, 0x00, 0x01, 0x10]).unwrap();
        assert_eq!((atmos.channels, atmos.sample_rate), (6, 48_000));
        assert_eq!(atmos.speakers, Speakers::Dolby { map: 0xf801, joc: Some(16) });
        // The same without the extension.
        let plain = facts(&[0x18, 0x00, 0x20, 0x0f, 0x00]).unwrap();
        assert_eq!(plain.speakers, Speakers::Dolby { map: 0xf801, joc: None });
        // One dependent substream with Lrs/Rrs: 7.1.
        let seven = facts(&[0x18, 0x00, 0x20, 0x0f, 0x02, 0x02]).unwrap();
        assert_eq!(seven.channels, 8);
        assert_eq!(seven.speakers, Speakers::Dolby { map: 0xfa01, joc: None });
        assert_eq!(facts(&[0x18, 0x00, 0x20, 0x0f]), None);
        assert_eq!(facts(&[0x18, 0x00, 0xe0, 0x0f, 0x00]), None, "reserved rate");
    }

    #[test]
    fn a_frame_says_what_the_box_would() {
        // Independent, 384 words, 48 kHz, 6 blocks, 5.1, bsid 16.
        let head = [0x0b, 0x77, 0x01, 0x7f, 0x3f, 0x80];
        let (sound, whole) = frame(&head).unwrap();
        assert_eq!((sound.channels, sound.sample_rate), (6, 48_000));
        assert_eq!(facts(&whole[8..]), Some(sound));
        // 384 words in 32 ms are 192 kbit/s.
        assert_eq!(u16::from_be_bytes([whole[8], whole[9]]) >> 3, 192);
        assert!(frame(&[0x0b, 0x77, 0x01, 0x7f, 0x3f, 0x40]).is_none(), "AC-3");
    }
}
