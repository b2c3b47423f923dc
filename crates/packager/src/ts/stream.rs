//! What MPEG-TS carries and how it names it: elementary stream types and descriptors
//! (ISO/IEC 13818-1 §2.4.4.9 and §2.6, ATSC A/52 Annexes A and G for AC-3 and E-AC-3).

use super::adts::{self, Adts};
use super::avc::Avc;
use crate::isobmff::esds::Esds;
use crate::isobmff::{Budget, Child, Cursor, children};
use crate::units::Timescale;

/// How one track goes into a transport stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stream {
    Avc(Avc),
    Aac(Adts),
    /// With the fields of the `dac3` box (ETSI TS 102 366 §F.4), as 24 bits.
    Ac3 {
        specific: u32,
    },
    Eac3 {
        rate: Timescale,
    },
    /// MPEG audio layer III, at the rates of MPEG-1 (32 kHz and more) or the lower ones of MPEG-2.
    Mp3 {
        rate: Timescale,
    },
}

/// The lowest sampling rate of MPEG-1 audio, in Hz (ISO/IEC 11172-3 §2.4.2.3).
const MPEG_1: u32 = 32_000;

/// Why a track has no place in MPEG-TS.
const OTHER_CODEC: &str = "its codec has no place in MPEG-TS segments of HLS";

impl Stream {
    /// The stream of a track with that sample entry, in the standard's form.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn of(sample_entry: &[u8]) -> Result<Self, &'static str> {
        const BROKEN: &str = "its sample entry is not readable";
        let mut budget = Budget::new(64);
        let list = children(sample_entry, &mut budget).map_err(|_| BROKEN)?;
        let entry = list.iter().next().ok_or(BROKEN)?;
        let header = match &entry.kind.0 {
            b"avc1" | b"avc3" => 78,
            b"mp4a" | b"ac-3" | b"ec-3" => 28,
            _ => return Err(OTHER_CODEC),
        };
        let boxes = entry.payload.get(header..).ok_or(BROKEN)?;
        let boxes = children(boxes, &mut budget).map_err(|_| BROKEN)?;
        match &entry.kind.0 {
            b"avc1" | b"avc3" => Ok(Self::Avc(Avc::read(boxes.get(b"avcC").ok_or(BROKEN)?)?)),
            b"mp4a" => {
                let esds = boxes.get(b"esds").and_then(Esds::read).ok_or(BROKEN)?;
                match esds.object_type {
                    0x40 | 0x66..=0x68 => Ok(Self::Aac(Adts::read(esds.specific)?)),
                    0x69 | 0x6b => Ok(Self::Mp3 { rate: stated_rate(entry).ok_or(BROKEN)? }),
                    _ => Err(OTHER_CODEC),
                }
            }
            b"ac-3" => {
                let specific = boxes.get(b"dac3").and_then(|dac3| dac3.first_chunk::<3>());
                let [a, b, c] = *specific.ok_or(BROKEN)?;
                Ok(Self::Ac3 { specific: u32::from_be_bytes([0, a, b, c]) })
            }
            _ => Ok(Self::Eac3 { rate: stated_rate(entry).ok_or(BROKEN)? }),
        }
    }

    pub(super) fn is_video(&self) -> bool {
        matches!(self, Self::Avc(_))
    }

    /// Whether its packets can be counted without reading its samples.
    pub(super) fn is_counted(&self) -> bool {
        match self {
            Self::Avc(avc) => avc.keeps_lengths(),
            _ => true,
        }
    }

    /// Samples per second and per frame of a sound; `None` for pictures.
    pub(super) fn frames(&self) -> Option<(Timescale, u32)> {
        match self {
            Self::Avc(_) => None,
            Self::Aac(adts) => Some((adts.rate(), 1_024)),
            Self::Ac3 { specific } => {
                let rate = match specific >> 22 {
                    0 => 48_000,
                    1 => 44_100,
                    _ => 32_000,
                };
                Some((Timescale::new(rate)?, 1_536))
            }
            Self::Eac3 { rate } => Some((*rate, 1_536)),
            Self::Mp3 { rate } => Some((*rate, if rate.get() < MPEG_1 { 576 } else { 1_152 })),
        }
    }

    /// Bytes that each frame of a sound grows by.
    pub(super) fn frame_header(&self) -> usize {
        if matches!(self, Self::Aac(_)) { adts::HEADER } else { 0 }
    }

    /// The longest sample that can be carried, in bytes.
    pub(super) fn max_sample(&self) -> u32 {
        match self {
            Self::Avc(_) => crate::limits::MAX_TS_SAMPLE_BYTES,
            Self::Aac(_) => (adts::MAX_FRAME - adts::HEADER) as u32,
            Self::Ac3 { .. } | Self::Eac3 { .. } | Self::Mp3 { .. } => 32 << 10,
        }
    }

    /// stream_type.
    pub(super) fn stream_type(&self) -> u8 {
        match self {
            Self::Avc(_) => 0x1b,
            Self::Aac(_) => 0x0f,
            Self::Ac3 { .. } => 0x81,
            Self::Eac3 { .. } => 0x87,
            Self::Mp3 { rate } if rate.get() < MPEG_1 => 0x04,
            Self::Mp3 { .. } => 0x03,
        }
    }

    /// stream_id of its PES packets: a picture, a sound, or private_stream_1.
    pub(super) fn stream_id(&self) -> u8 {
        match self {
            Self::Avc(_) => 0xe0,
            Self::Aac(_) | Self::Mp3 { .. } => 0xc0,
            Self::Ac3 { .. } | Self::Eac3 { .. } => 0xbd,
        }
    }

    /// Its descriptors in the program map.
    pub(super) fn descriptors(&self) -> Vec<u8> {
        match self {
            Self::Avc(_) | Self::Aac(_) | Self::Mp3 { .. } => Vec::new(),
            Self::Ac3 { specific } => {
                let field = |shift: u32, bits: u32| (specific >> shift & ((1 << bits) - 1)) as u8;
                let (fscod, bsid, bsmod) = (field(22, 2), field(17, 5), field(14, 3));
                let (acmod, bit_rate) = (field(11, 3), field(5, 5));
                let mut out = b"\x05\x04AC-3\x81\x04".to_vec();
                // AC-3_audio_stream_descriptor, A/52 §A4.3: an exact bit rate, no word on surround,
                // a full service, no language.
                out.extend([fscod << 5 | bsid, bit_rate << 2, bsmod << 5 | acmod << 1 | 1, 0xff]);
                out
            }
            Self::Eac3 { .. } => b"\x05\x04EAC3".to_vec(),
        }
    }
}

/// The sampling rate of a sample entry of sound.
fn stated_rate(entry: Child<'_>) -> Option<Timescale> {
    let mut cursor = Cursor::new(entry.payload);
    cursor.skip(24)?;
    Timescale::new(cursor.u32()? >> 16)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use crate::isobmff::write::boxed;
    use bytes::{BufMut, BytesMut};

    fn sound(kind: [u8; 4], name: [u8; 4], specific: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        boxed(&mut out, kind, |out| {
            out.put_bytes(0, 24);
            out.put_u32(48_000 << 16);
            boxed(out, name, |out| out.put_slice(specific));
        });
        out.to_vec()
    }

    #[test]
    fn ac3_is_described_as_its_own_box_says() {
        // 48 kHz, bsid 8, 3/2 with LFE, 448 kbit/s.
        let stream = Stream::of(&sound(*b"ac-3", *b"dac3", &[0x10, 0x3d, 0xe0])).unwrap();
        assert_eq!((stream.stream_type(), stream.stream_id()), (0x81, 0xbd));
        assert_eq!(stream.frames().map(|(rate, frame)| (rate.get(), frame)), Some((48_000, 1_536)));
        assert_eq!(stream.descriptors(), b"\x05\x04AC-3\x81\x04\x08\x3c\x0f\xff");
    }

    #[test]
    fn mp3_has_the_type_of_its_rate() {
        for (rate, object, stream_type, frame) in [
            (44_100_u32, 0x6b, 0x03, 1_152),
            (32_000, 0x6b, 0x03, 1_152),
            (22_050, 0x69, 0x04, 576),
        ] {
            let esds =
                [&[0, 0, 0, 0, 3, 21, 0, 0, 0, 4, 13, object, 0x15][..], &[0; 11], &[6, 1, 2]];
            let mut entry = sound(*b"mp4a", *b"esds", &esds.concat());
            entry[32..36].copy_from_slice(&(rate << 16).to_be_bytes());
            let stream = Stream::of(&entry).unwrap();
            assert_eq!((stream.stream_type(), stream.stream_id()), (stream_type, 0xc0), "{rate}");
            assert_eq!(
                stream.frames().map(|(rate, frame)| (rate.get(), frame)),
                Some((rate, frame))
            );
        }
    }

    #[test]
    fn other_codecs_say_so() {
        assert_eq!(Stream::of(&sound(*b"Opus", *b"dOps", &[0; 11])), Err(OTHER_CODEC));
        assert!(Stream::of(&[]).is_err());
        assert!(Stream::of(&[0, 0, 0, 12, b'a', b'v', b'c', b'1', 0, 0, 0, 0]).is_err());
    }
}
