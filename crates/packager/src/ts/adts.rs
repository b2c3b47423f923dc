//! ADTS headers (ISO/IEC 14496-3 §1.A.3.2) made from an AudioSpecificConfig (§1.6.2).

use crate::units::Timescale;

/// Bytes of a header without checksum.
pub(super) const HEADER: usize = 7;

/// The longest frame that a header can state, itself included.
pub(super) const MAX_FRAME: usize = 0x1fff;

/// What all headers of a track have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Adts {
    /// Index of the core's sampling frequency.
    frequency: u8,
    /// Object type of the core, less 1.
    profile: u8,
    /// channel_configuration, 1 to 7.
    channels: u8,
}

impl Adts {
    /// Reads an AudioSpecificConfig.
    ///
    /// # Errors
    /// Why it has no place in ADTS.
    pub(super) fn read(config: &[u8]) -> Result<Self, &'static str> {
        Self::parse(&mut Bits { bytes: config, at: 0 })
            .ok_or("its AudioSpecificConfig is cut short")?
    }

    fn parse(bits: &mut Bits<'_>) -> Option<Result<Self, &'static str>> {
        let mut object = bits.object_type()?;
        let frequency = bits.frequency()?;
        let channels = bits.take(4)?;
        if matches!(object, 5 | 29) {
            bits.frequency()?;
            object = bits.object_type()?;
        }
        let index = RATES.iter().position(|rate| *rate == frequency);
        let Some(frequency) = index.map(|index| index as u8) else {
            return Some(Err("its sampling frequency has no index in ADTS"));
        };
        Some(match object {
            1..=4 if bits.take(1)? == 1 => Err("its frames have 960 samples"),
            1..=4 if (1..=7).contains(&channels) => {
                Ok(Self { frequency, profile: object as u8 - 1, channels: channels as u8 })
            }
            1..=4 => Err("its channels have no configuration in ADTS"),
            _ => Err("its kind of AAC has no place in ADTS"),
        })
    }

    /// Samples per second of the core, by which frames of 1,024 are counted.
    pub(super) fn rate(self) -> Timescale {
        let rate = RATES.get(usize::from(self.frequency)).copied();
        rate.and_then(Timescale::new).unwrap_or(Timescale::MILLIS)
    }

    /// The header of a frame of `len` bytes, at most [`MAX_FRAME`] with it.
    pub(super) fn header(self, len: usize) -> [u8; HEADER] {
        let len = (len + HEADER).min(MAX_FRAME);
        [
            0xff,
            // MPEG-4, layer 0, no checksum.
            0xf1,
            self.profile << 6 | self.frequency << 2 | self.channels >> 2,
            self.channels << 6 | (len >> 11) as u8,
            (len >> 3) as u8,
            // adts_buffer_fullness is all ones: variable bit rate.
            (len << 5) as u8 | 0x1f,
            0xfc,
        ]
    }
}

/// samplingFrequencyIndex, table 1.18.
const RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |value, _| {
            let byte = self.bytes.get(self.at / 8)?;
            let bit = byte >> (7 - self.at % 8) & 1;
            self.at += 1;
            Some(value << 1 | u32::from(bit))
        })
    }

    fn object_type(&mut self) -> Option<u32> {
        match self.take(5)? {
            31 => Some(32 + self.take(6)?),
            kind => Some(kind),
        }
    }

    /// The sampling frequency in Hz; 0 for an index that has none.
    fn frequency(&mut self) -> Option<u32> {
        match self.take(4)? {
            15 => self.take(24),
            index => Some(RATES.get(index as usize).copied().unwrap_or(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_say_what_the_configuration_says() {
        let plain = Adts::read(&[0x12, 0x10]);
        assert_eq!(plain, Ok(Adts { frequency: 4, profile: 1, channels: 2 }));
        // As FFmpeg writes it before 371 bytes of AAC-LC, 44.1 kHz, stereo.
        assert_eq!(
            plain.map(|adts| adts.header(371)),
            Ok([0xff, 0xf1, 0x50, 0x80, 0x2f, 0x5f, 0xfc])
        );
        // HE-AAC v1 and v2 signalled explicitly: the core counts.
        let core = Adts { frequency: 6, profile: 1, channels: 2 };
        assert_eq!(Adts::read(&[0x2b, 0x11, 0x88, 0x00]), Ok(core));
        assert_eq!(Adts::read(&[0xeb, 0x09, 0x88, 0x00]), Ok(Adts { channels: 1, ..core }));
        assert_eq!(core.rate().get(), 24_000);
    }

    #[test]
    fn what_has_no_place_says_why() {
        for (config, why) in [
            (&[0x12][..], "its AudioSpecificConfig is cut short"),
            (&[0x12, 0x14], "its frames have 960 samples"),
            (&[0x12, 0x00], "its channels have no configuration in ADTS"),
            (&[0x16, 0x90], "its sampling frequency has no index in ADTS"),
            (&[0xf9, 0x48, 0x40, 0x00], "its kind of AAC has no place in ADTS"),
        ] {
            assert_eq!(Adts::read(config), Err(why), "{config:x?}");
        }
    }
}
