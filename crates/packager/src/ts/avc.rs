//! H.264 from the form of ISO files to the byte stream format (ISO/IEC 14496-15 §5.3, Rec. ITU-T
//! H.264 Annex B and §7.4.1.2.3), without a change of length where lengths have four bytes.
//!
//! Before every access unit stands a delimiter of ours; before one where decoding can start, the
//! parameter sets of the sample entry. Whether the sample has its own is not known before it is
//! read, but the length of the output is: so a delimiter in the sample becomes zero bytes
//! (trailing_zero_8bits, of which there may be any number after a NAL unit), and ours become zero
//! bytes where the sample has sequence and picture parameter sets itself.

use super::packet::Packets;
use crate::isobmff::Cursor;

/// Start code with zero_byte, which the first NAL unit of an access unit and parameter sets need.
const START: [u8; 4] = [0, 0, 0, 1];

/// An access unit delimiter that allows all kinds of slices.
const DELIMITER: [u8; 6] = [0, 0, 0, 1, 0x09, 0xf0];

/// Parameter sets longer than this in all are refused: they are sent again and again.
const MAX_SETS: usize = 16 << 10;

/// How the samples of a track are made a byte stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Avc {
    /// Bytes of the length before each NAL unit: 1 to 4.
    length_size: usize,
    /// The parameter sets of the sample entry with start codes.
    sets: Box<[u8]>,
}

impl Avc {
    /// Reads an AVCDecoderConfigurationRecord (§5.3.3.1).
    ///
    /// # Errors
    /// Why pictures with it have no place in MPEG-TS.
    pub(super) fn read(record: &[u8]) -> Result<Self, &'static str> {
        let (length_size, sets) =
            configuration(record).ok_or("its decoder configuration is cut short")?;
        if sets.len() > MAX_SETS {
            return Err("its parameter sets are too long");
        }
        Ok(Self { length_size, sets: sets.into() })
    }

    /// Whether the byte stream is as long as the sample whatever is in it.
    pub(super) fn keeps_lengths(&self) -> bool {
        self.length_size == START.len()
    }

    /// What is written before a sample.
    pub(super) fn prefix_len(&self, sync: bool) -> usize {
        DELIMITER.len() + if sync { self.sets.len() } else { 0 }
    }

    /// By how much the byte stream of a sample is longer than the sample.
    pub(super) fn growth(&self, sample: &[u8]) -> usize {
        let units = Units { rest: sample, length_size: self.length_size }.count();
        units * (START.len() - self.length_size)
    }

    /// Writes the byte stream of a sample, with prefix.
    pub(super) fn write(&self, sample: &[u8], sync: bool, out: &mut Packets<'_>) {
        let units = Units { rest: sample, length_size: self.length_size };
        out.push(&DELIMITER);
        if sync {
            // Parameter sets come before the first slice.
            let kinds = units.clone().map(Unit::kind).take_while(|kind| !matches!(kind, 1..=5));
            let has =
                kinds.fold((false, false), |has, kind| (has.0 || kind == 7, has.1 || kind == 8));
            if has == (true, true) {
                out.push_zeros(self.sets.len());
            } else {
                out.push(&self.sets);
            }
        }
        let mut written = 0;
        for unit in units {
            written += self.length_size + unit.0.len();
            if unit.0.is_empty() || unit.kind() == ACCESS_UNIT_DELIMITER {
                out.push_zeros(START.len() + unit.0.len());
            } else {
                out.push(&START);
                out.push(unit.0);
            }
        }
        // Fewer bytes than a length has: rubbish.
        out.push_zeros(sample.len().saturating_sub(written));
    }
}

const ACCESS_UNIT_DELIMITER: u8 = 9;

/// The NAL units of a sample. A length past the sample's end is taken for the rest.
#[derive(Clone)]
struct Units<'a> {
    rest: &'a [u8],
    length_size: usize,
}

#[derive(Clone, Copy)]
struct Unit<'a>(&'a [u8]);

impl Unit<'_> {
    /// nal_unit_type; 0 where there is no unit.
    fn kind(self) -> u8 {
        self.0.first().map_or(0, |header| header & 0x1f)
    }
}

impl<'a> Iterator for Units<'a> {
    type Item = Unit<'a>;

    fn next(&mut self) -> Option<Unit<'a>> {
        let (length, rest) = self.rest.split_at_checked(self.length_size)?;
        let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        let (unit, rest) = rest.split_at(length.min(rest.len()));
        self.rest = rest;
        Some(Unit(unit))
    }
}

fn configuration(record: &[u8]) -> Option<(usize, Vec<u8>)> {
    let mut cursor = Cursor::new(record);
    cursor.skip(4)?;
    let length_size = usize::from(cursor.u8()? & 3) + 1;
    let mut sets = Vec::new();
    // numOfSequenceParameterSets has five bits, numOfPictureParameterSets eight.
    for mask in [0x1f, 0xff] {
        for _ in 0..cursor.u8()? & mask {
            let len = cursor.u16()?;
            let set = cursor.take(usize::from(len))?;
            if !set.is_empty() {
                sets.extend(START);
                sets.extend(set);
            }
        }
    }
    Some((length_size, sets))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::super::packet::{Adaptation, PACKET, packets};
    use super::*;
    use proptest::prelude::*;

    fn avc(length_size: u8) -> Avc {
        let record =
            [1, 100, 0, 31, 0xfc | (length_size - 1), 0xe1, 0, 2, 0x67, 1, 1, 0, 2, 0x68, 2];
        Avc::read(&record).unwrap()
    }

    fn written(avc: &Avc, sample: &[u8], sync: bool) -> Vec<u8> {
        let len = avc.prefix_len(sync) + sample.len() + avc.growth(sample);
        let first = Adaptation::default();
        let mut out = vec![0; packets(len, first) * PACKET];
        let mut packets = Packets::new(&mut out, 1, 0, first, len);
        avc.write(sample, sync, &mut packets);
        packets.finish();
        let payloads = out.chunks(PACKET).flat_map(|packet| {
            let field = if packet[3] & 0x20 == 0 { 0 } else { 1 + usize::from(packet[4]) };
            packet[4 + field..].to_vec()
        });
        payloads.collect()
    }

    fn sample(length_size: usize, units: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for unit in units {
            out.extend(&(unit.len() as u32).to_be_bytes()[4 - length_size..]);
            out.extend(*unit);
        }
        out
    }

    #[test]
    fn lengths_become_start_codes_and_parameter_sets_come_first() {
        for length_size in 1..=4 {
            let sample = sample(length_size, &[&[6, 1], &[0x65, 2, 3]]);
            let avc = avc(length_size as u8);
            assert_eq!(
                written(&avc, &sample, true),
                b"\0\0\0\x01\x09\xf0\0\0\0\x01\x67\x01\0\0\0\x01\x68\x02\0\0\0\x01\x06\x01\0\0\0\x01\x65\x02\x03"
            );
            assert_eq!(
                written(&avc, &sample, false),
                b"\0\0\0\x01\x09\xf0\0\0\0\x01\x06\x01\0\0\0\x01\x65\x02\x03"
            );
            assert_eq!(avc.keeps_lengths(), avc.growth(&sample) == 0);
        }
    }

    #[test]
    fn what_the_sample_has_itself_is_not_there_twice() {
        let own = sample(4, &[&[9, 0x10], &[0x67, 9], &[0x68, 9], &[0x65, 9]]);
        let out = written(&avc(4), &own, true);
        let zeros = [0; 18];
        let units = b"\0\0\0\x01\x67\x09\0\0\0\x01\x68\x09\0\0\0\x01\x65\x09";
        assert_eq!(out, [&DELIMITER[..], &zeros, units].concat());
    }

    proptest! {
        #[test]
        fn any_bytes_have_the_promised_length(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
            length_size in 1u8..=4, sync: bool,
        ) {
            let avc = avc(length_size);
            let out = written(&avc, &bytes, sync);
            prop_assert_eq!(out.len(), avc.prefix_len(sync) + bytes.len() + avc.growth(&bytes));
            prop_assert_eq!(&out[..6], &DELIMITER);
        }
    }
}
