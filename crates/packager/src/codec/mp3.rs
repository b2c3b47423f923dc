//! MPEG audio layer III (ISO/IEC 11172-3 §2.4.1.3, ISO/IEC 13818-3) in ISO files.
//!
//! In `mp4a` its objectTypeIndication does not tell layers apart, so the first frame's header is
//! looked at. RFC 6381 calls it `mp4a.6B`; HLS knows it as `mp4a.40.34`. Few browsers play it in
//! MP4: Chromium's MSE does not.

use bytes::{BufMut, BytesMut};

use super::sound::{SoundEntry, clean};
use super::{Carriage, Codec, Coding, Facts, Found, Heads, Sound, Speakers, Wants, names};
use crate::isobmff::write::full_box;

/// Reads `.mp3` or an `mp4a` that says it is MPEG audio.
pub(super) fn read(entry: &SoundEntry<'_>, heads: Heads<'_>) -> Found {
    let Some(heads) = heads else { return Found::Peek(Wants::First) };
    let frame = match heads.first().map(|head| Frame::read(head)) {
        Some(Some(frame)) => frame,
        // No samples at hand: the entry is believed.
        None if entry.rate > 0 => {
            Frame { layer: 3, rate: entry.rate, channels: entry.channels.clamp(1, 2) }
        }
        _ => return Found::Skip("its samples are no MPEG audio".to_owned()),
    };
    if frame.layer != 3 {
        let codec = format!("mp4a.6B (MPEG audio layer {})", frame.layer);
        return Found::Skip(names::not_carried(&codec, false));
    }
    Found::Carry(Codec {
        coding: Coding::Mp3,
        rfc6381: "mp4a.6B".to_owned(),
        sample_entry: clean(*b"mp4a", frame.channels, 16, frame.rate, &esds(frame.rate)),
        facts: Facts::Sound(Sound {
            channels: frame.channels,
            sample_rate: frame.rate,
            speakers: Speakers::usual(frame.channels),
        }),
        carriage: Carriage::of(Coding::Mp3),
        warnings: vec!["few browsers play MP3 in MP4: add a sound in AAC"],
    })
}

/// An `esds` that says MPEG-1 or MPEG-2 audio and has nothing else to say.
fn esds(rate: u32) -> BytesMut {
    let mut out = BytesMut::new();
    full_box(&mut out, *b"esds", 0, 0, |out| {
        out.put_slice(&[3, 3 + 15 + 3, 0, 0, 0]);
        out.put_slice(&[4, 13, if rate < 32_000 { 0x69 } else { 0x6b }, 0x15]);
        out.put_bytes(0, 11);
        out.put_slice(&[6, 1, 2]);
    });
    out
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    layer: u8,
    rate: u32,
    channels: u16,
}

impl Frame {
    /// A frame's header.
    fn read(bytes: &[u8]) -> Option<Self> {
        let word = u32::from_be_bytes(*bytes.first_chunk::<4>()?);
        if word >> 21 != 0x7ff {
            return None;
        }
        let shift = match word >> 19 & 3 {
            3 => 0,
            2 => 1,
            0 => 2,
            _ => return None,
        };
        let layer = 4 - (word >> 17 & 3) as u8;
        let rate = [44_100, 48_000, 32_000].get((word >> 10 & 3) as usize)? >> shift;
        let channels = if word >> 6 & 3 == 3 { 1 } else { 2 };
        (layer < 4).then_some(Self { layer, rate, channels })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]
    use bytes::Bytes;

    use super::super::sound::tests::entry;
    use super::*;
    use crate::isobmff::{Budget, children};

    fn identify(heads: Heads<'_>) -> Found {
        let bytes = entry(*b".mp3", 1, &[]);
        let mut budget = Budget::new(20);
        let list = children(&bytes, &mut budget).unwrap();
        read(&SoundEntry::read(list.iter().next().unwrap(), 1, &mut budget).unwrap(), heads)
    }

    #[test]
    fn the_first_frame_tells_the_layer() {
        assert!(matches!(identify(None), Found::Peek(Wants::First)));
        let third = [Bytes::from_static(&[0xff, 0xfb, 0x90, 0x64])];
        let Found::Carry(codec) = identify(Some(&third)) else { panic!("not carried") };
        let sound = codec.sound().unwrap();
        assert_eq!((sound.sample_rate, sound.channels), (44_100, 2));
        assert_eq!((&*codec.rfc6381, codec.hls_string()), ("mp4a.6B", "mp4a.40.34"));
        let second = [Bytes::from_static(&[0xff, 0xfd, 0x90, 0x64])];
        assert!(matches!(identify(Some(&second)), Found::Skip(why) if why.contains("layer 2")));
        let none = [Bytes::from_static(b"abcd")];
        assert!(matches!(identify(Some(&none)), Found::Skip(_)));
        assert!(matches!(identify(Some(&[])), Found::Carry(_)));
    }

    #[test]
    fn headers() {
        let read = |bytes: [u8; 4]| Frame::read(&bytes);
        // MPEG-2 layer III, 22.05 kHz, mono.
        let expected = Some(Frame { layer: 3, rate: 22_050, channels: 1 });
        assert_eq!(read([0xff, 0xf3, 0x40, 0xc4]), expected);
        assert_eq!(read([0xff, 0xf1, 0x40, 0xc4]), None, "ADTS");
        assert_eq!(Frame::read(&[0xff, 0xfb]), None);
    }
}
