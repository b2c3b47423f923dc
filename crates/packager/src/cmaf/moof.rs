//! One `moof`: a `traf` for each track, whose samples lie in the `mdat` in one run or in several
//! (ISO/IEC 14496-12 §8.8).
//!
//! What all samples of a track share stands once in `tfhd`. The size of the headers follows from
//! the [`Shape`] of the samples alone, so that every segment's length is known in advance.

use bytes::{BufMut, BytesMut};

use crate::index::{Sample, Summary};
use crate::isobmff::write::{boxed, full_box};

/// What the samples of a segment have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) samples: u32,
    pub(crate) payload: u64,
    duration: Shared<u32>,
    size: Shared<u32>,
    first_sync: bool,
    /// How many after the first are sync samples.
    later_sync: u32,
    /// Whether any composition offset is not zero.
    offsets: bool,
}

/// One value that all have, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shared<T> {
    None,
    One(T),
    Many,
}

impl<T: PartialEq + Copy> Shared<T> {
    fn add(&mut self, value: T) {
        *self = match *self {
            Self::None => Self::One(value),
            Self::One(shared) if shared == value => return,
            _ => Self::Many,
        };
    }
}

impl Shape {
    pub(crate) const EMPTY: Self = Self {
        samples: 0,
        payload: 0,
        duration: Shared::None,
        size: Shared::None,
        first_sync: false,
        later_sync: 0,
        offsets: false,
    };

    pub(crate) fn add(&mut self, sample: &Sample, lead: i32) {
        if self.samples == 0 {
            self.first_sync = sample.sync;
        } else {
            self.later_sync += u32::from(sample.sync);
        }
        self.samples += 1;
        self.payload += u64::from(sample.size);
        self.duration.add(sample.duration);
        self.size.add(sample.size);
        self.offsets |= sample.composition_offset != lead;
    }

    pub(crate) fn of(samples: impl Iterator<Item = Sample>, lead: i32) -> Self {
        let mut shape = Self::EMPTY;
        for sample in samples {
            shape.add(&sample, lead);
        }
        shape
    }

    /// Of samples that are known together.
    pub(crate) fn of_all(samples: &Summary, lead: i32) -> Self {
        let shared = |value: Option<u32>| value.map_or(Shared::Many, Shared::One);
        Self {
            samples: samples.samples,
            payload: samples.bytes,
            duration: shared(samples.duration),
            size: shared(samples.size),
            first_sync: samples.first_sync,
            later_sync: samples.later_sync,
            offsets: samples.least_offset != lead || samples.most_offset != lead,
        }
    }

    fn flags(&self) -> SampleFlags {
        let rest = self.samples.saturating_sub(1);
        match (self.first_sync, self.later_sync) {
            (true, later) if later == rest => SampleFlags::All(SYNC),
            (true, 0) => SampleFlags::FirstIsSync,
            (false, 0) => SampleFlags::All(NOT_SYNC),
            _ => SampleFlags::Each,
        }
    }

    fn tfhd_flags(&self) -> u32 {
        if self.samples == 0 {
            return tfhd::BASE_IS_MOOF | tfhd::DURATION_IS_EMPTY;
        }
        let mut flags = tfhd::BASE_IS_MOOF;
        if let Shared::One(_) = self.duration {
            flags |= tfhd::DURATION;
        }
        if let Shared::One(_) = self.size {
            flags |= tfhd::SIZE;
        }
        if !matches!(self.flags(), SampleFlags::Each) {
            flags |= tfhd::FLAGS;
        }
        flags
    }

    fn trun_flags(&self) -> u32 {
        let mut flags = trun::DATA_OFFSET;
        if self.duration == Shared::Many {
            flags |= trun::DURATION;
        }
        if self.size == Shared::Many {
            flags |= trun::SIZE;
        }
        match self.flags() {
            SampleFlags::FirstIsSync => flags |= trun::FIRST_FLAGS,
            SampleFlags::Each => flags |= trun::FLAGS,
            SampleFlags::All(_) => {}
        }
        if self.offsets {
            flags |= trun::COMPOSITION_OFFSET;
        }
        flags
    }

    /// Bytes of its `traf` with the samples in so many runs.
    pub(super) fn traf_len(&self, runs: u32) -> u64 {
        let tfhd_fields = (self.tfhd_flags() & tfhd::FIELDS).count_ones();
        let (tfhd, tfdt) = (16 + 4 * u64::from(tfhd_fields), 20);
        let flags = self.trun_flags();
        let once = (flags & trun::ONCE & !trun::DATA_OFFSET).count_ones();
        let each = (flags & trun::PER_SAMPLE).count_ones();
        let truns = TRUN_LEN * u64::from(if self.samples == 0 { 0 } else { runs })
            + if self.samples == 0 { 0 } else { 4 * u64::from(once) }
            + 4 * u64::from(each) * u64::from(self.samples);
        8 + tfhd + tfdt + truns
    }
}

/// How sync samples are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SampleFlags {
    All(u32),
    FirstIsSync,
    Each,
}

/// sample_depends_on = 2: on no other.
const SYNC: u32 = 0x0200_0000;
/// sample_depends_on = 1, sample_is_non_sync_sample.
const NOT_SYNC: u32 = 0x0101_0000;

/// Flags of §8.8.7.
mod tfhd {
    pub(super) const DURATION: u32 = 0x08;
    pub(super) const SIZE: u32 = 0x10;
    pub(super) const FLAGS: u32 = 0x20;
    pub(super) const FIELDS: u32 = DURATION | SIZE | FLAGS;
    pub(super) const DURATION_IS_EMPTY: u32 = 0x01_0000;
    pub(super) const BASE_IS_MOOF: u32 = 0x02_0000;
}

/// Flags of §8.8.8.
mod trun {
    pub(super) const DATA_OFFSET: u32 = 0x001;
    pub(super) const FIRST_FLAGS: u32 = 0x004;
    pub(super) const ONCE: u32 = DATA_OFFSET | FIRST_FLAGS;
    pub(super) const DURATION: u32 = 0x100;
    pub(super) const SIZE: u32 = 0x200;
    pub(super) const FLAGS: u32 = 0x400;
    pub(super) const COMPOSITION_OFFSET: u32 = 0x800;
    pub(super) const PER_SAMPLE: u32 = DURATION | SIZE | FLAGS | COMPOSITION_OFFSET;
}

/// Bytes of a `trun` before what it says of single samples.
pub(super) const TRUN_LEN: u64 = 20;

/// Bytes of a `moof` beside its `traf` boxes: its own header and `mfhd`.
pub(super) const MOOF_LEN: u64 = 24;

/// One track's part of a fragment.
#[derive(Debug)]
pub(super) struct Traf<'a, S> {
    /// The track's number in the init segment.
    pub(super) track: u32,
    pub(super) shape: &'a Shape,
    /// `tfdt`: the output decode time of the first sample.
    pub(super) decode_time: u64,
    /// Subtracted from every composition offset.
    pub(super) lead: i32,
    /// All samples, in decode order; none where the track has nothing in this fragment.
    pub(super) runs: Vec<Run<S>>,
}

/// Samples that lie in the `mdat` one after the other.
#[derive(Debug)]
pub(super) struct Run<S> {
    pub(super) samples: S,
    pub(super) count: u32,
    /// From the start of the `moof` to the first byte of the first sample.
    pub(super) data_offset: u64,
}

/// Appends a `moof`.
pub(super) fn moof<S>(out: &mut BytesMut, number: u32, trafs: &[Traf<'_, S>])
where
    S: Iterator<Item = Sample> + Clone,
{
    boxed(out, *b"moof", |out| {
        full_box(out, *b"mfhd", 0, 0, |out| out.put_u32(number));
        for traf in trafs {
            boxed(out, *b"traf", |out| traf.write(out));
        }
    });
}

impl<S: Iterator<Item = Sample> + Clone> Traf<'_, S> {
    fn write(&self, out: &mut BytesMut) {
        let shape = self.shape;
        full_box(out, *b"tfhd", 0, shape.tfhd_flags(), |out| {
            out.put_u32(self.track);
            if shape.samples == 0 {
                return;
            }
            if let Shared::One(duration) = shape.duration {
                out.put_u32(duration);
            }
            if let Shared::One(size) = shape.size {
                out.put_u32(size);
            }
            match shape.flags() {
                SampleFlags::All(flags) => out.put_u32(flags),
                SampleFlags::FirstIsSync => out.put_u32(NOT_SYNC),
                SampleFlags::Each => {}
            }
        });
        full_box(out, *b"tfdt", 1, 0, |out| out.put_u64(self.decode_time));
        for (position, run) in self.runs.iter().enumerate() {
            self.run(out, run, position == 0);
        }
    }

    fn run(&self, out: &mut BytesMut, run: &Run<S>, first: bool) {
        let mut flags = self.shape.trun_flags();
        if !first {
            flags &= !trun::FIRST_FLAGS;
        }
        full_box(out, *b"trun", 1, flags, |out| {
            out.put_u32(run.count);
            out.put_i32(i32::try_from(run.data_offset).unwrap_or(i32::MAX));
            if flags & trun::FIRST_FLAGS != 0 {
                out.put_u32(SYNC);
            }
            if flags & trun::PER_SAMPLE == 0 {
                return;
            }
            for sample in run.samples.clone() {
                if flags & trun::DURATION != 0 {
                    out.put_u32(sample.duration);
                }
                if flags & trun::SIZE != 0 {
                    out.put_u32(sample.size);
                }
                if flags & trun::FLAGS != 0 {
                    out.put_u32(if sample.sync { SYNC } else { NOT_SYNC });
                }
                if flags & trun::COMPOSITION_OFFSET != 0 {
                    // The timeline has checked that this never wraps.
                    out.put_i32(sample.composition_offset.wrapping_sub(self.lead));
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(samples: &[(u32, u32, bool, i32)]) -> Shape {
        let mut shape = Shape::EMPTY;
        for &(duration, size, sync, composition_offset) in samples {
            let sample = Sample { offset: 0, size, dts: 0, duration, composition_offset, sync };
            shape.add(&sample, 2);
        }
        shape
    }

    #[test]
    fn what_is_shared_is_said_once() {
        let sound = shape(&[(1024, 7, true, 2), (1024, 7, true, 2)]);
        assert_eq!(sound.trun_flags(), trun::DATA_OFFSET);
        assert_eq!(sound.tfhd_flags(), 0x02_0038);
        assert_eq!(sound.flags(), SampleFlags::All(SYNC));

        let picture = shape(&[(1, 900, true, 2), (1, 90, false, 4), (1, 80, false, 0)]);
        assert_eq!(picture.flags(), SampleFlags::FirstIsSync);
        assert_eq!(picture.trun_flags(), 0xa05);
        assert_eq!(picture.tfhd_flags(), 0x02_0028);

        let odd = shape(&[(1, 9, false, 2), (2, 9, true, 2)]);
        assert_eq!(odd.flags(), SampleFlags::Each);
        assert_eq!(odd.trun_flags(), 0x501);
    }
}
