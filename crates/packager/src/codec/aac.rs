//! AAC in ISO files: ISO/IEC 14496-14 §5.6, AudioSpecificConfig of ISO/IEC 14496-3 §1.6.2.
//!
//! Spectral band replication and parametric stereo may be signalled explicitly (the first object
//! type is 5 or 29), compatibly at the end of the configuration (§1.6.5.3), or not at all. In the
//! second form too the codec string names them, as DASH-IF and Apple want: players choose by it.
//! The third form is known by the bitstream alone and is presented as its core.

use super::bits::Bits;
use super::sound::{SoundEntry, clean};
use super::{Carriage, Codec, Coding, Facts, Found, Sound, Speakers};
use crate::error::Result;
use crate::isobmff::Child;
use crate::isobmff::esds::Esds;

/// Reads an `esds` that says it is AAC.
pub(super) fn read(entry: &SoundEntry<'_>, esds: Child<'_>, facts: Esds<'_>) -> Result<Found> {
    let Some(config) = Config::read(facts.specific) else {
        return Err(entry.bad(*b"esds", "its AudioSpecificConfig is not readable"));
    };
    let kind = match config.core {
        1..=4 | 42 => config.kind(),
        rare => {
            return Ok(Found::Skip(format!(
                "codec mp4a.40.{rare} (AAC of a rare kind) is not carried: transcode it to AAC-LC"
            )));
        }
    };
    let channels = if config.channels > 0 { config.channels } else { entry.channels.max(1) };
    let carriage = Carriage::of(Coding::Aac);
    Ok(Found::Carry(Codec {
        coding: Coding::Aac,
        rfc6381: match facts.object_type {
            0x40 => format!("mp4a.40.{kind}"),
            other => format!("mp4a.{other:02x}"),
        },
        sample_entry: clean(*b"mp4a", channels, 16, config.base_rate, esds.whole),
        facts: Facts::Sound(Sound {
            channels,
            sample_rate: config.sample_rate,
            speakers: match config.layout {
                // With parametric stereo one channel comes out as two.
                1 if channels == 2 => Speakers::Cicp(2),
                0 => Speakers::usual(channels),
                layout => Speakers::Cicp(layout),
            },
        }),
        carriage: if kind == 42 {
            carriage.without_ts("xHE-AAC has no place in MPEG-TS")
        } else {
            carriage
        },
        warnings: Vec::new(),
    }))
}

/// An AudioSpecificConfig.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Config {
    /// The object type of the core: 2 is AAC-LC, 42 is xHE-AAC.
    core: u32,
    replication: bool,
    parametric: bool,
    /// Of the core.
    base_rate: u32,
    sample_rate: u32,
    /// The channelConfiguration: a ChannelConfiguration of ISO/IEC 23091-3, or 0.
    layout: u8,
    /// 0 where the configuration does not say.
    channels: u16,
}

impl Config {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(bytes);
        let first = object_type(&mut bits)?;
        let base_rate = rate(&mut bits)?;
        let layout = bits.bits(4)?;
        let mut config = Self {
            core: first,
            replication: matches!(first, 5 | 29),
            parametric: first == 29,
            base_rate,
            sample_rate: base_rate,
            layout: layout as u8,
            channels: channel_count(layout),
        };
        if config.replication {
            config.sample_rate = rate(&mut bits)?;
            config.core = object_type(&mut bits)?;
        }
        if matches!(config.core, 1..=4) {
            // GASpecificConfig, §4.4.1; what cannot be read past it adds nothing.
            let _ = bits.bit();
            if bits.bit() == Some(true) {
                let _ = bits.skip(14);
            }
            let _ = bits.bit();
            if layout == 0 {
                config.channels = program_channels(&mut bits).unwrap_or(0);
            } else if let Some((extended, parametric)) = sync_extension(&mut bits) {
                config.sample_rate = extended;
                config.replication = true;
                config.parametric |= parametric;
            }
        }
        if config.parametric && config.channels == 1 {
            config.channels = 2;
        }
        Some(config)
    }

    /// The object type that names all that is needed to decode it.
    fn kind(&self) -> u32 {
        match self {
            Self { core: 42, .. } => 42,
            Self { parametric: true, .. } => 29,
            Self { replication: true, .. } => 5,
            _ => self.core,
        }
    }
}

fn object_type(bits: &mut Bits<'_>) -> Option<u32> {
    match bits.bits(5)? {
        31 => Some(32 + bits.bits(6)?),
        kind => Some(kind),
    }
}

fn rate(bits: &mut Bits<'_>) -> Option<u32> {
    let rate = match bits.bits(4)? {
        15 => bits.bits(24)?,
        index => *RATES.get(index as usize)?,
    };
    (rate > 0).then_some(rate)
}

/// Backward-compatible signalling of SBR and PS at the end (§1.6.6): the extended rate, and whether
/// there is parametric stereo.
fn sync_extension(bits: &mut Bits<'_>) -> Option<(u32, bool)> {
    if bits.bits(11)? != 0x2b7 || object_type(bits)? != 5 || !bits.bit()? {
        return None;
    }
    let extended = rate(bits)?;
    let ps = bits.bits(11) == Some(0x548) && bits.bit() == Some(true);
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
fn program_channels(bits: &mut Bits<'_>) -> Option<u16> {
    bits.bits(4 + 2 + 4)?;
    let counts = [bits.bits(4)?, bits.bits(4)?, bits.bits(4)?];
    let lfe = bits.bits(2)?;
    bits.bits(3 + 4)?;
    if bits.bit()? {
        bits.bits(4)?;
    }
    if bits.bit()? {
        bits.bits(4)?;
    }
    if bits.bit()? {
        bits.bits(3)?;
    }
    let mut channels = lfe as u16;
    for _ in 0..counts.iter().sum() {
        let pair = u16::from(bits.bit()?);
        bits.bits(4)?;
        channels += 1 + pair;
    }
    Some(channels)
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
        (config.kind(), config.sample_rate, config.channels)
    }

    #[test]
    fn configurations() {
        assert_eq!(config(&[0x12, 0x10]), (2, 44_100, 2));
        assert_eq!(config(&[0x11, 0x90]), (2, 48_000, 2));
        assert_eq!(config(&[0x11, 0xb0]), (2, 48_000, 6));
        // HE-AAC signalled compatibly: 24 kHz core, 48 kHz out; with parametric stereo.
        assert_eq!(config(&[0x13, 0x10, 0x56, 0xe5, 0x98]), (5, 48_000, 2));
        assert_eq!(config(&[0x13, 0x08, 0x56, 0xe5, 0x9d, 0x48, 0x80]), (29, 48_000, 2));
        // The extension is there and says that there is no replication.
        assert_eq!(config(&[0x13, 0x10, 0x56, 0xe5, 0x00]), (2, 24_000, 2));
        // HE-AAC signalled explicitly: 5, 24 kHz, stereo, 48 kHz, core 2.
        assert_eq!(config(&[0x2b, 0x11, 0x88, 0x00]), (5, 48_000, 2));
        // HE-AAC v2: mono core comes out as stereo.
        assert_eq!(config(&[0xeb, 0x09, 0x88, 0x00]), (29, 48_000, 2));
        // xHE-AAC: 31, 10, then 48 kHz stereo.
        assert_eq!(config(&[0xf9, 0x46, 0x40]), (42, 48_000, 2));
        assert_eq!(Config::read(&[0x12]), None);
    }
}
