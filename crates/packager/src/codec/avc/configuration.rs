//! The AVCDecoderConfigurationRecord, ISO/IEC 14496-15 §5.3.3.1.

use bytes::{BufMut, Bytes, BytesMut};

use super::sps::Sps;
use crate::isobmff::Cursor;

/// The most sequence parameter sets of a record.
const MAX_SPS: usize = 31;

/// A configuration record.
#[derive(Debug)]
pub(super) struct Configuration<'a> {
    pub(super) profile: u8,
    pub(super) compatibility: u8,
    pub(super) level: u8,
    length_size: u8,
    sps: Vec<&'a [u8]>,
    pps: Vec<&'a [u8]>,
    /// What follows the sets.
    rest: &'a [u8],
    lifted: bool,
}

impl<'a> Configuration<'a> {
    /// Reads a record. Sets past the first that are damaged are not there.
    pub(super) fn read(payload: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(payload);
        cursor.skip(1)?;
        let (profile, compatibility, level) = (cursor.u8()?, cursor.u8()?, cursor.u8()?);
        let length_size = (cursor.u8()? & 3) + 1;
        let count = cursor.u8()? & 31;
        let mut sps = Vec::new();
        for number in 0..count {
            match take(&mut cursor) {
                Some(set) => sps.push(set),
                None if number == 0 => return None,
                None => break,
            }
        }
        let mut pps = Vec::new();
        for _ in 0..cursor.u8().unwrap_or(0) {
            pps.extend(take(&mut cursor));
        }
        let rest = cursor.rest();
        Some(Self { profile, compatibility, level, length_size, sps, pps, rest, lifted: false })
    }

    /// Bytes of the length before each NAL unit of a sample.
    pub(super) fn length_size(&self) -> usize {
        usize::from(self.length_size)
    }

    /// The first sequence parameter set.
    pub(super) fn sps(&self) -> Option<Sps> {
        self.sps.first().copied().and_then(Sps::read)
    }

    /// All sets.
    pub(super) fn sets(&self) -> impl Iterator<Item = &'a [u8]> {
        self.sps.iter().chain(&self.pps).copied()
    }

    /// Takes sets of the kinds that it lacks from units of a sample. The profile then comes from
    /// there too.
    pub(super) fn lift(&mut self, units: &[&'a [u8]]) {
        let of = |wanted: u8| {
            units
                .iter()
                .copied()
                .filter(move |unit| unit.first().is_some_and(|it| it & 31 == wanted))
        };
        if self.sps.is_empty() {
            self.sps = of(7).take(MAX_SPS).collect();
            if let Some([_, profile, compatibility, level, ..]) = self.sps.first() {
                (self.profile, self.compatibility) = (*profile, *compatibility);
                self.level = *level;
                self.rest = &[];
                self.lifted = true;
            }
        }
        if self.pps.is_empty() {
            self.pps = of(8).take(usize::from(u8::MAX)).collect();
            self.lifted |= !self.pps.is_empty();
        }
    }

    /// The record where something was lifted into it; `None` where it is as it was.
    pub(super) fn lifted(&self) -> Option<Bytes> {
        if !self.lifted {
            return None;
        }
        let mut out = BytesMut::new();
        out.put_slice(&[1, self.profile, self.compatibility, self.level]);
        out.put_u8(0xfc | (self.length_size - 1));
        out.put_u8(0xe0 | u8::try_from(self.sps.len()).ok()?);
        put(&mut out, &self.sps)?;
        out.put_u8(u8::try_from(self.pps.len()).ok()?);
        put(&mut out, &self.pps)?;
        match self.sps().and_then(|sps| sps.formats) {
            Some((chroma, luma_depth, chroma_depth)) if self.rest.is_empty() => {
                out.put_slice(&[0xfc | chroma, 0xf8 | luma_depth, 0xf8 | chroma_depth, 0]);
            }
            _ => out.put_slice(self.rest),
        }
        Some(out.freeze())
    }
}

fn take<'a>(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let len = cursor.u16()?;
    cursor.take(usize::from(len))
}

fn put(out: &mut BytesMut, sets: &[&[u8]]) -> Option<()> {
    for set in sets {
        out.put_u16(u16::try_from(set.len()).ok()?);
        out.put_slice(set);
    }
    Some(())
}
