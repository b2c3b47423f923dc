//! AAC in ISO files: ISO/IEC 14496-14 §5.6, AudioSpecificConfig of ISO/IEC 14496-3 §1.6.2.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Codec, Found};
use crate::error::{Error, Result};
use crate::isobmff::esds::Esds;
use crate::isobmff::write::boxed;
use crate::isobmff::{Budget, Child, Children, Cursor, FourCc, children};

/// One AAC track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Aac {
    /// `mp4a.40.N` (RFC 6381 §3.3).
    pub(crate) codec: String,
    /// The sample entry, in the standard's form also where the source has QuickTime's.
    pub(crate) sample_entry: Bytes,
    pub(crate) channels: u16,
    /// After decoding, that is with spectral band replication where it is said to be there.
    pub(crate) sample_rate: u32,
}

pub(super) fn read(entry: Child<'_>, track: u32, budget: &mut Budget) -> Result<Found> {
    let esds = find_esds(entry, budget)?
        .ok_or(Error::MissingBox { kind: FourCc(*b"esds"), track: Some(track) })?;
    let bad = |why| Error::BadBox { kind: FourCc(*b"esds"), track: Some(track), why };
    let facts = Esds::read(esds.payload).ok_or(bad("it is cut short"))?;
    match facts.object_type {
        0x40 | 0x66..=0x68 => {}
        0x69 | 0x6b => return Ok(skip("codec mp4a.6b (MP3) is not carried yet")),
        0xa5 => return Ok(skip("codec mp4a.a5 (AC-3) is not carried yet")),
        0xa6 => return Ok(skip("codec mp4a.a6 (E-AC-3) is not carried yet")),
        other => {
            return Ok(Found::Skip(format!("codec mp4a.{other:02x} is not carried yet")));
        }
    }
    let config =
        Config::read(facts.specific).ok_or(bad("its AudioSpecificConfig is not readable"))?;
    if !matches!(config.object_type, 2 | 5 | 29) {
        return Ok(Found::Skip(format!(
            "codec mp4a.40.{} (AAC of a rare kind) is not carried yet",
            config.object_type
        )));
    }
    let stated = Stated::read(entry.payload);
    let channels = if config.channels > 0 { config.channels } else { stated.channels.max(1) };
    Ok(Found::Carry(Codec::Aac(Aac {
        codec: match facts.object_type {
            0x40 => format!("mp4a.40.{}", config.object_type),
            other => format!("mp4a.{other:02x}"),
        },
        sample_entry: clean(channels, config.base_rate, esds.whole),
        channels,
        sample_rate: config.sample_rate,
    })))
}

fn skip(reason: &str) -> Found {
    Found::Skip(reason.to_owned())
}

/// What the sample entry itself says (ISO/IEC 14496-12 §12.2.3).
struct Stated {
    channels: u16,
}

impl Stated {
    fn read(payload: &[u8]) -> Self {
        let mut cursor = Cursor::new(payload);
        Self { channels: cursor.skip(16).and_then(|()| cursor.u16()).unwrap_or(0) }
    }
}

/// The `esds`, directly in the entry or where QuickTime puts it: behind a longer header of version
/// 1 or 2, and there inside a `wave` box.
fn find_esds<'a>(entry: Child<'a>, budget: &mut Budget) -> Result<Option<Child<'a>>> {
    for header in [28, 28 + 16, 28 + 36] {
        let Some(boxes) = entry.payload.get(header..) else {
            break;
        };
        let boxes = children(boxes, budget)?;
        if let Some(esds) = first(&boxes) {
            return Ok(Some(esds));
        }
        if let Some(wave) = boxes.get(b"wave")
            && let Some(esds) = first(&children(wave, budget)?)
        {
            return Ok(Some(esds));
        }
    }
    Ok(None)
}

fn first<'a>(boxes: &Children<'a>) -> Option<Child<'a>> {
    boxes.all(b"esds").next()
}

fn clean(channels: u16, rate: u32, esds: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    boxed(&mut out, *b"mp4a", |out| {
        out.put_slice(&[0, 0, 0, 0, 0, 0, 0, 1]);
        out.put_u64(0);
        out.put_u16(channels);
        out.put_u16(16);
        out.put_u32(0);
        // 16.16; rates that do not fit are told by the configuration alone.
        out.put_u32(u16::try_from(rate).map_or(0, |rate| u32::from(rate) << 16));
        out.put_slice(esds);
    });
    out.freeze()
}

/// An AudioSpecificConfig.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Config {
    /// The first object type: 5 and 29 where SBR and PS are signalled explicitly.
    object_type: u32,
    /// Of the core.
    base_rate: u32,
    sample_rate: u32,
    /// 0 where the configuration does not say.
    channels: u16,
}

impl Config {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut bits = PlainBits { bytes, position: 0 };
        let object_type = object_type(&mut bits)?;
        let base_rate = rate(&mut bits)?;
        let layout = bits.take(4)?;
        let mut sample_rate = base_rate;
        let mut core = object_type;
        let mut parametric = object_type == 29;
        if matches!(object_type, 5 | 29) {
            sample_rate = rate(&mut bits)?;
            core = self::object_type(&mut bits)?;
        }
        let mut channels = channel_count(layout);
        if matches!(core, 1..=4) {
            // GASpecificConfig, §4.4.1; what cannot be read past it adds nothing.
            let _ = bits.take(1);
            if bits.take(1) == Some(1) {
                let _ = bits.take(14);
            }
            let _ = bits.take(1);
            if layout == 0 {
                channels = program_channels(&mut bits).unwrap_or(0);
            } else if let Some((extended, ps)) = sync_extension(&mut bits) {
                sample_rate = extended;
                parametric |= ps;
            }
        }
        if parametric && channels == 1 {
            channels = 2;
        }
        Some(Self { object_type, base_rate, sample_rate, channels })
    }
}

fn object_type(bits: &mut PlainBits<'_>) -> Option<u32> {
    match bits.take(5)? {
        31 => Some(32 + bits.take(6)?),
        kind => Some(kind),
    }
}

fn rate(bits: &mut PlainBits<'_>) -> Option<u32> {
    let rate = match bits.take(4)? {
        15 => bits.take(24)?,
        index => *RATES.get(index as usize)?,
    };
    (rate > 0).then_some(rate)
}

/// Backward-compatible signalling of SBR and PS at the end (§1.6.6): the extended rate, and whether
/// there is parametric stereo.
fn sync_extension(bits: &mut PlainBits<'_>) -> Option<(u32, bool)> {
    if bits.take(11)? != 0x2b7 || object_type(bits)? != 5 || bits.take(1)? != 1 {
        return None;
    }
    let extended = rate(bits)?;
    let ps = bits.take(11) == Some(0x548) && bits.take(1) == Some(1);
    Some((extended, ps))
}

/// Table 1.19.
fn channel_count(layout: u32) -> u16 {
    match layout {
        1..=6 => layout as u16,
        7 | 12 | 14 => 8,
        11 => 7,
        13 => 24,
        _ => 0,
    }
}

/// Channels of a program_config_element, §4.4.1.1.
fn program_channels(bits: &mut PlainBits<'_>) -> Option<u16> {
    bits.take(4 + 2 + 4)?;
    let counts = [bits.take(4)?, bits.take(4)?, bits.take(4)?];
    let lfe = bits.take(2)?;
    bits.take(3 + 4)?;
    if bits.take(1)? == 1 {
        bits.take(4)?;
    }
    if bits.take(1)? == 1 {
        bits.take(4)?;
    }
    if bits.take(1)? == 1 {
        bits.take(3)?;
    }
    let mut channels = lfe as u16;
    for _ in 0..counts.iter().sum() {
        let pair = bits.take(1)? as u16;
        bits.take(4)?;
        channels += 1 + pair;
    }
    Some(channels)
}

struct PlainBits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl PlainBits<'_> {
    fn take(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |value, _| {
            let byte = self.bytes.get(self.position / 8)?;
            let bit = byte >> (7 - self.position % 8) & 1;
            self.position += 1;
            Some(value << 1 | u32::from(bit))
        })
    }
}

const RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]
    use super::*;

    fn config(bytes: &[u8]) -> (u32, u32, u16) {
        let config = Config::read(bytes).unwrap();
        (config.object_type, config.sample_rate, config.channels)
    }

    #[test]
    fn configurations() {
        assert_eq!(config(&[0x12, 0x10]), (2, 44_100, 2));
        assert_eq!(config(&[0x11, 0x90]), (2, 48_000, 2));
        assert_eq!(config(&[0x11, 0xb0]), (2, 48_000, 6));
        // HE-AAC signalled compatibly: 24 kHz core, 48 kHz out.
        assert_eq!(config(&[0x13, 0x10, 0x56, 0xe5, 0x98]), (2, 48_000, 2));
        // HE-AAC signalled explicitly: 5, 24 kHz, stereo, 48 kHz, core 2.
        assert_eq!(config(&[0x2b, 0x11, 0x88, 0x00]), (5, 48_000, 2));
        // HE-AAC v2: mono core comes out as stereo.
        assert_eq!(config(&[0xeb, 0x09, 0x88, 0x00]), (29, 48_000, 2));
        assert_eq!(Config::read(&[0x12]), None);
    }

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

    fn entry(version: u8, inner: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        boxed(&mut out, *b"mp4a", |out| {
            out.put_slice(&[0, 0, 0, 0, 0, 0, 0, 1, 0, version]);
            out.put_bytes(0, 6);
            out.put_u16(2);
            out.put_u16(16);
            out.put_u32(0);
            out.put_u32(48_000 << 16);
            out.put_bytes(0, if version == 1 { 16 } else { 0 });
            out.put_slice(inner);
        });
        out.to_vec()
    }

    fn identify(bytes: &[u8]) -> Result<Found> {
        let mut budget = Budget::new(50);
        let list = children(bytes, &mut budget).unwrap();
        let child = list.iter().next().unwrap();
        read(child, 2, &mut budget)
    }

    #[test]
    fn quicktime_entries_become_standard_ones() {
        let esds = esds(&[0x11, 0x90], 0x40);
        let mut wave = BytesMut::new();
        boxed(&mut wave, *b"wave", |out| {
            boxed(out, *b"frma", |out| out.put_slice(b"mp4a"));
            out.put_slice(&esds);
            out.put_slice(&[0, 0, 0, 8, 0, 0, 0, 0]);
        });
        let (Ok(Found::Carry(Codec::Aac(quicktime))), Ok(Found::Carry(Codec::Aac(standard)))) =
            (identify(&entry(1, &wave)), identify(&entry(0, &esds)))
        else {
            panic!("not carried");
        };
        assert_eq!(quicktime, standard);
        assert_eq!(standard.codec, "mp4a.40.2");
        assert_eq!((standard.channels, standard.sample_rate), (2, 48_000));
        assert_eq!(&standard.sample_entry[..], entry(0, &esds));
    }

    #[test]
    fn other_codecs_behind_mp4a_are_named() {
        let Ok(Found::Skip(reason)) = identify(&entry(0, &esds(&[], 0x6b))) else {
            panic!("not skipped");
        };
        assert_eq!(reason, "codec mp4a.6b (MP3) is not carried yet");
        assert!(matches!(identify(&entry(0, &[])), Err(Error::MissingBox { .. })));
    }
}
