//! How large each sample of a table is (ISO/IEC 14496-12 §8.7.3).

use std::ops::Range;

use fearless_simd::{Level, dispatch};

use super::packed::{BLOCK, Packed, Packer, Reader, Span};
use super::runs::sum;
use crate::isobmff::stsz::Sizes;

/// Sizes of samples, and their sums.
#[derive(Debug)]
pub(super) enum SampleSizes {
    /// All are the same.
    Constant(u32),
    Each {
        sizes: Packed,
        /// The sum of the sizes before each block.
        sums: Box<[u64]>,
    },
}

/// What is known of all sizes together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) bytes: u128,
    pub(super) largest: u32,
}

impl SampleSizes {
    /// Packs the sizes of the first `count` samples; there are that many.
    pub(super) fn build(raw: &Sizes<'_>, count: u32) -> (Self, Totals) {
        if let Sizes::Constant { size, .. } = *raw {
            let bytes = u128::from(size) * u128::from(count);
            return (Self::Constant(size), Totals { bytes, largest: size });
        }
        dispatch!(Level::new(), _simd => pack(raw, count as usize))
    }

    pub(super) fn weight_bytes(&self) -> usize {
        match self {
            Self::Constant(_) => 0,
            Self::Each { sizes, sums } => sizes.weight_bytes() + size_of_val(&**sums),
        }
    }

    /// The size of sample `number`, which `reader` is used for alone.
    #[inline]
    pub(super) fn get(&self, reader: &mut Reader, number: u32) -> u32 {
        match self {
            Self::Constant(size) => *size,
            Self::Each { sizes, .. } => reader.get(sizes, number),
        }
    }

    /// The one size of all samples in a range; `None` where there are two, or no samples.
    pub(super) fn same(&self, range: Range<u32>) -> Option<u32> {
        let mut reader = Reader::new();
        let first = self.get(&mut reader, range.start);
        let constant = matches!(self, Self::Constant(_));
        (!range.is_empty()
            && (constant || range.clone().all(|n| self.get(&mut reader, n) == first)))
        .then_some(first)
    }

    /// The sum of the sizes of the samples before `number`.
    pub(super) fn before(&self, number: u32) -> u64 {
        match self {
            Self::Constant(size) => u64::from(*size) * u64::from(number),
            Self::Each { sizes, sums } => {
                let block = number as usize / BLOCK;
                sums.get(block).copied().unwrap_or(0) + sizes.sum_before(number)
            }
        }
    }
}

#[expect(clippy::inline_always, reason = "compiled for the vectors of each dispatch")]
#[inline(always)]
fn pack(raw: &Sizes<'_>, count: usize) -> (SampleSizes, Totals) {
    let mut packer = Packer::new(count, 1);
    let mut sums = Vec::with_capacity(count / BLOCK + 1);
    let (mut total, mut largest) = (0_u64, 0);
    let mut block = [0; BLOCK];
    for first in (0..count).step_by(BLOCK) {
        let used = (count - first).min(BLOCK);
        let sizes = block.get_mut(..used).unwrap_or_default();
        raw.fill(first, sizes);
        let span = Span::of(sizes);
        sums.push(total);
        // 2^32 samples of 2^32 bytes still fit.
        total += sum(sizes, span);
        largest = largest.max(span.high);
        packer.push(&mut block, used, span);
    }
    // The end of the last block may be asked for too.
    if count.is_multiple_of(BLOCK) {
        sums.push(total);
    }
    let sizes = packer.finish();
    (SampleSizes::Each { sizes, sums: sums.into() }, Totals { bytes: u128::from(total), largest })
}
