//! Media segments as plans: `styp`, one `moof`, and an `mdat` whose bytes are the source's samples
//! (ISO/IEC 14496-12 §8.8, ISO/IEC 23000-19 §7.3.2).

use bytes::{BufMut, BytesMut};

use super::init::TRACK;
use super::moof::{MOOF_LEN, Run, Shape, Traf, moof};
use crate::index::Sample;
use crate::isobmff::write::boxed;
use crate::plan::Plan;
use crate::units::ByteRange;

/// What a segment of a track is made of.
#[derive(Debug, Clone)]
pub(crate) struct Cut<S> {
    /// From 1.
    pub(crate) number: u32,
    pub(crate) source: usize,
    /// In decode order.
    pub(crate) samples: S,
    /// `tfdt`: the output decode time of the first sample.
    pub(crate) decode_time: u64,
    /// Subtracted from every composition offset.
    pub(crate) lead: i32,
}

/// The plan of one segment of one track.
pub(crate) fn segment<S>(content_type: &'static str, cut: &Cut<S>) -> Plan
where
    S: Iterator<Item = Sample> + Clone,
{
    // Unpacked once: they are looked at three times.
    let samples: Vec<Sample> = cut.samples.clone().collect();
    let samples = || samples.iter().copied();
    let shape = Shape::of(samples(), cut.lead);
    let header_len = header_len(&shape);
    let mut head = BytesMut::with_capacity(usize::try_from(header_len).unwrap_or(0));
    boxed(&mut head, *b"styp", |out| {
        out.put_slice(b"msdh\0\0\0\0msdhcmfs");
    });
    let mut runs = Vec::new();
    if shape.samples > 0 {
        let data_offset = header_len - STYP_LEN;
        runs.push(Run { samples: samples(), count: shape.samples, data_offset });
    }
    let (decode_time, lead) = (cut.decode_time, cut.lead);
    let traf = Traf { track: TRACK, shape: &shape, decode_time, lead, runs };
    moof(&mut head, cut.number, &[traf]);
    mdat_header(&mut head, shape.payload);

    let mut plan = Plan::new(content_type);
    plan.push_bytes(head.freeze());
    plan.parts.reserve(samples().len());
    copy(&mut plan, cut.source, samples());
    plan
}

/// The length in bytes of a segment of one track with samples of this shape.
pub(crate) fn segment_len(shape: &Shape) -> u64 {
    header_len(shape) + shape.payload
}

fn header_len(shape: &Shape) -> u64 {
    STYP_LEN + MOOF_LEN + shape.traf_len(1) + mdat_header_len(shape.payload)
}

/// Appends the bytes of samples.
pub(super) fn copy(plan: &mut Plan, source: usize, samples: impl Iterator<Item = Sample>) {
    for sample in samples {
        let range = ByteRange { start: sample.offset, len: u64::from(sample.size) };
        plan.push_copy(source, range);
    }
}

/// Bytes of a `styp` with one compatible brand beside its own.
pub(super) const STYP_LEN: u64 = 24;

pub(super) fn mdat_header(out: &mut BytesMut, payload: u64) {
    if let Ok(size) = u32::try_from(payload + 8) {
        out.put_u32(size);
        out.put_slice(b"mdat");
    } else {
        out.put_u32(1);
        out.put_slice(b"mdat");
        out.put_u64(payload + 16);
    }
}

pub(super) fn mdat_header_len(payload: u64) -> u64 {
    if u32::try_from(payload + 8).is_ok() { 8 } else { 16 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_payloads_have_a_large_size() {
        let mut header = BytesMut::new();
        mdat_header(&mut header, u64::from(u32::MAX) - 8);
        assert_eq!(header.len() as u64, mdat_header_len(u64::from(u32::MAX) - 8));
        header.clear();
        mdat_header(&mut header, u64::from(u32::MAX));
        assert_eq!(header.len() as u64, mdat_header_len(u64::from(u32::MAX)));
        assert_eq!(header.len(), 16);
    }
}
