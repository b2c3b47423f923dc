//! The segment index of a file that holds a whole track (ISO/IEC 14496-12 §8.16.3).

use bytes::{BufMut, BytesMut};

use super::init::TRACK;
use crate::isobmff::write::full_box;
use crate::units::Timescale;

/// One subsegment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reference {
    /// Its length in bytes, at most [`MAX_BYTES`](Self::MAX_BYTES).
    pub(crate) bytes: u32,
    /// Its duration in ticks.
    pub(crate) duration: u32,
    /// Whether it starts with a stream access point of type 1: decodable alone, and nothing in it
    /// is presented before its first sample.
    pub(crate) starts_with_sap: bool,
}

impl Reference {
    /// What 31 bits hold.
    pub(crate) const MAX_BYTES: u64 = (1 << 31) - 1;
    /// What one index counts.
    pub(crate) const MAX_COUNT: usize = 0xffff;
}

/// Appends a `sidx` of version 1 right before the first subsegment. There are at most
/// [`Reference::MAX_COUNT`] references.
pub(crate) fn sidx(
    out: &mut BytesMut,
    timescale: Timescale,
    earliest: u64,
    references: &[Reference],
) {
    full_box(out, *b"sidx", 1, 0, |out| {
        out.put_u32(TRACK);
        out.put_u32(timescale.get());
        out.put_u64(earliest);
        out.put_u64(0);
        out.put_u16(0);
        out.put_u16(u16::try_from(references.len()).unwrap_or(u16::MAX));
        for reference in references {
            out.put_u32(reference.bytes & 0x7fff_ffff);
            out.put_u32(reference.duration);
            out.put_u32(if reference.starts_with_sap { 0x9000_0000 } else { 0 });
        }
    });
}

/// Its length in bytes with so many references.
pub(crate) fn sidx_len(references: usize) -> u64 {
    40 + 12 * references as u64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn an_index_is_as_long_as_was_said() {
        let reference = Reference { bytes: 0x7fff_ffff, duration: 5, starts_with_sap: true };
        let mut out = BytesMut::new();
        sidx(&mut out, Timescale::new(90_000).unwrap(), 7, &[reference; 3]);
        assert_eq!(out.len() as u64, sidx_len(3));
        assert_eq!(&out[4..12], b"sidx\x01\0\0\0");
        assert_eq!(&out[12..28], b"\0\0\0\x01\0\x01\x5f\x90\0\0\0\0\0\0\0\x07");
        assert_eq!(&out[36..52], b"\0\0\0\x03\x7f\xff\xff\xff\0\0\0\x05\x90\0\0\0");
    }
}
