//! The HEVCDecoderConfigurationRecord, ISO/IEC 14496-15 §8.3.3.1, and the codec string that its
//! profile makes (§E.3).

use std::fmt::Write as _;

use bytes::{BufMut, Bytes, BytesMut};

use super::sps::Sps;
use crate::isobmff::Cursor;

/// NAL unit types of parameter sets (ITU-T H.265 table 7-1).
pub(super) const PARAMETER_SETS: [u8; 3] = [32, 33, 34];
const SPS: u8 = 33;

/// The most arrays of a record.
const MAX_ARRAYS: usize = 255;

/// The type of a NAL unit.
pub(super) fn kind(unit: &[u8]) -> Option<u8> {
    unit.first().map(|header| header >> 1 & 63)
}

/// A configuration record.
#[derive(Debug)]
pub(super) struct Configuration<'a> {
    /// What precedes the arrays.
    head: [u8; 22],
    arrays: Vec<Array<'a>>,
}

/// NAL units of one type.
#[derive(Debug)]
struct Array<'a> {
    kind: u8,
    units: Vec<&'a [u8]>,
}

impl<'a> Configuration<'a> {
    pub(super) fn read(payload: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(payload);
        let head = *cursor.take(22)?.first_chunk()?;
        let mut arrays = Vec::new();
        for _ in 0..cursor.u8()? {
            let kind = cursor.u8()? & 63;
            let mut units = Vec::new();
            for _ in 0..cursor.u16()? {
                let len = cursor.u16()?;
                units.push(cursor.take(usize::from(len))?);
            }
            arrays.push(Array { kind, units });
        }
        Some(Self { head, arrays })
    }

    /// How many bytes the length before each NAL unit of a sample has.
    pub(super) fn length_size(&self) -> usize {
        usize::from(self.head[21] & 3) + 1
    }

    /// Whether it holds every kind of parameter set.
    pub(super) fn is_complete(&self) -> bool {
        PARAMETER_SETS.iter().all(|kind| self.of(*kind).next().is_some())
    }

    /// Whether it holds this very unit.
    pub(super) fn holds(&self, unit: &[u8]) -> bool {
        self.arrays.iter().any(|array| array.units.contains(&unit))
    }

    /// The first sequence parameter set that can be read.
    pub(super) fn sps(&self) -> Option<Sps> {
        self.of(SPS).find_map(Sps::read)
    }

    fn of(&self, kind: u8) -> impl Iterator<Item = &'a [u8]> {
        let arrays = self.arrays.iter().filter(move |array| array.kind == kind);
        arrays.flat_map(|array| array.units.iter().copied())
    }

    /// Takes parameter sets of the kinds that it lacks from units of a sample. The profile then
    /// comes from there too: a record without sets is often a record of nothing.
    pub(super) fn lift(&mut self, units: &[&'a [u8]]) {
        let lacking = PARAMETER_SETS.map(|kind| (kind, self.of(kind).next().is_none()));
        for (wanted, _) in lacking.iter().filter(|(_, lacks)| *lacks) {
            let found = units.iter().copied().filter(|unit| kind(unit) == Some(*wanted));
            let units: Vec<_> = found.collect();
            if units.is_empty() {
                continue;
            }
            self.arrays.retain(|array| array.kind != *wanted);
            // Their count is one byte.
            if self.arrays.len() >= MAX_ARRAYS {
                continue;
            }
            self.arrays.push(Array { kind: *wanted, units });
        }
        if lacking.iter().any(|(kind, lacks)| *kind == SPS && *lacks)
            && let Some(sps) = self.sps()
        {
            self.describe(&sps);
        }
        self.arrays.sort_by_key(|array| array.kind);
    }

    fn describe(&mut self, sps: &Sps) {
        let length = self.head[21] & 3;
        let mut head = [0; 22];
        head[0] = 1;
        head[1..13].copy_from_slice(&sps.profile);
        head[13] = 0xf0;
        head[15] = 0xfc;
        head[16] = 0xfc | sps.chroma_format;
        head[17] = 0xf8 | sps.bit_depths.0;
        head[18] = 0xf8 | sps.bit_depths.1;
        head[21] = sps.temporal_layers << 3 | u8::from(sps.nested) << 2 | length;
        self.head = head;
    }

    /// All units of it.
    pub(super) fn units(&self) -> impl Iterator<Item = &'a [u8]> {
        self.arrays.iter().flat_map(|array| array.units.iter().copied())
    }

    /// The record. With `complete` it says that all parameter sets are in it, as `hvc1` demands.
    /// `None` where a unit is longer than it can say, or there are too many.
    pub(super) fn write(&self, complete: bool) -> Option<Bytes> {
        let mut out = BytesMut::new();
        out.put_slice(&self.head);
        out.put_u8(u8::try_from(self.arrays.len()).ok()?);
        for array in &self.arrays {
            let sets = PARAMETER_SETS.contains(&array.kind);
            out.put_u8(u8::from(complete && sets) << 7 | array.kind);
            out.put_u16(u16::try_from(array.units.len()).ok()?);
            for unit in &array.units {
                out.put_u16(u16::try_from(unit.len()).ok()?);
                out.put_slice(unit);
            }
        }
        Some(out.freeze())
    }

    /// `NAME.profile.compatibility.tier-and-level.constraints`.
    pub(super) fn codec_string(&self, name: &str) -> String {
        let [_, profile, a, b, c, d, rest @ ..] = self.head;
        let space = ["", "A", "B", "C"][usize::from(profile >> 6)];
        let tier = if profile & 0x20 == 0 { 'L' } else { 'H' };
        let compatibility = u32::from_be_bytes([a, b, c, d]).reverse_bits();
        let (constraints, level) = (&rest[..6], rest[6]);
        let mut text = format!("{name}.{space}{}.{compatibility:X}.{tier}{level}", profile & 31);
        let used = constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        for byte in &constraints[..used] {
            // Writing into a String never fails.
            let _ = write!(text, ".{byte:X}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn a_full_record_is_not_lifted_into() {
        let record = |arrays: u8| {
            let mut payload = vec![0; 22];
            payload.push(arrays);
            // Arrays of access unit delimiters, without any.
            payload.extend([35, 0, 0].repeat(usize::from(arrays)));
            payload
        };
        let picture_set: &[u8] = &[34 << 1, 1, 0];
        for (arrays, written) in [(254, 255), (255, 255)] {
            let payload = record(arrays);
            let mut configuration = Configuration::read(&payload).unwrap();
            configuration.lift(&[picture_set]);
            let out = configuration.write(true).unwrap();
            assert_eq!(out[22], written);
            assert_eq!(Configuration::read(&out).unwrap().arrays.len(), usize::from(written));
        }
    }

    #[test]
    fn a_set_that_is_too_long_is_no_record() {
        let mut payload = vec![0; 22];
        payload.push(0);
        let mut configuration = Configuration::read(&payload).unwrap();
        let mut set = vec![0; 0x1_0000];
        set[0] = 34 << 1;
        configuration.lift(&[&set[..0xffff]]);
        assert!(configuration.write(true).is_some());
        let mut configuration = Configuration::read(&payload).unwrap();
        configuration.lift(&[&set]);
        assert_eq!(configuration.write(true), None);
    }
}
