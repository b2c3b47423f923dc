//! Which samples are sync samples (ISO/IEC 14496-12 §8.6.2).

use std::ops::Range;

/// The sync samples of a table, numbered from 0.
#[derive(Debug)]
pub(super) enum SyncSamples {
    All,
    /// Few: their numbers, sorted.
    List(Box<[u32]>),
    /// Many: a bit for each sample.
    Bits(Box<[u64]>),
}

impl SyncSamples {
    /// Reads the numbers of `stss`, which count from 1, for `count` samples.
    pub(super) fn build(numbers: &[[u8; 4]], count: u32) -> Result<Self, &'static str> {
        let numbers = || numbers.iter().map(|number| u32::from_be_bytes(*number));
        let mut last = 0;
        let mut increasing = true;
        for number in numbers() {
            increasing &= number > last;
            last = number;
        }
        if !increasing {
            return Err("its numbers do not increase");
        }
        if last > count {
            return Err("it names a sample that does not exist");
        }
        let len = numbers().len();
        if len == count as usize {
            return Ok(Self::All);
        }
        let words = (count as usize).div_ceil(64);
        if len * size_of::<u32>() <= words * size_of::<u64>() {
            return Ok(Self::List(numbers().map(|number| number - 1).collect()));
        }
        let mut bits = vec![0_u64; words];
        for number in numbers().map(|number| number - 1) {
            if let Some(word) = bits.get_mut(number as usize / 64) {
                *word |= 1 << (number % 64);
            }
        }
        Ok(Self::Bits(bits.into()))
    }

    pub(super) fn weight_bytes(&self) -> usize {
        match self {
            Self::All => 0,
            Self::List(list) => size_of_val(&**list),
            Self::Bits(bits) => size_of_val(&**bits),
        }
    }

    /// Where in the list the first is that is not before sample `number`.
    pub(super) fn place(&self, number: u32) -> usize {
        match self {
            Self::List(list) => list.partition_point(|sync| *sync < number),
            _ => 0,
        }
    }

    /// Whether sample `number` is one; `place` is kept from sample to sample.
    #[inline]
    pub(super) fn is_sync(&self, place: &mut usize, number: u32) -> bool {
        match self {
            Self::All => true,
            Self::List(list) => {
                let found = list.get(*place) == Some(&number);
                *place += usize::from(found);
                found
            }
            Self::Bits(bits) => bit(bits, number),
        }
    }

    /// The numbers of those in a range.
    pub(super) fn within(&self, range: Range<u32>) -> impl Iterator<Item = u32> + '_ {
        let (list, every) = match self {
            Self::List(list) => {
                let from = list.partition_point(|sync| *sync < range.start);
                let to = list.partition_point(|sync| *sync < range.end).max(from);
                (list.get(from..to).unwrap_or_default(), 0..0)
            }
            _ => (&[][..], range),
        };
        let listed = list.iter().copied();
        listed.chain(every.filter(|number| match self {
            Self::Bits(bits) => bit(bits, *number),
            _ => true,
        }))
    }

    /// How many are in a range.
    pub(super) fn count_within(&self, range: Range<u32>) -> u32 {
        match self {
            Self::All => range.end.saturating_sub(range.start),
            _ => self.within(range).map(|_| 1).sum(),
        }
    }
}

fn bit(bits: &[u64], number: u32) -> bool {
    bits.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 != 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn build(numbers: &[u32], count: u32) -> Result<SyncSamples, &'static str> {
        let stored: Vec<_> = numbers.iter().map(|number| number.to_be_bytes()).collect();
        SyncSamples::build(&stored, count)
    }

    #[test]
    fn numbers_must_increase_and_exist() {
        assert!(build(&[0, 1], 9).unwrap_err().contains("increase"));
        assert!(build(&[2, 2], 9).unwrap_err().contains("increase"));
        assert!(build(&[2, 10], 9).unwrap_err().contains("exist"));
    }

    #[test]
    fn each_form_says_the_same() {
        let few = build(&[1, 49, 97], 1_000).unwrap();
        assert!(matches!(few, SyncSamples::List(_)));
        let numbers: Vec<u32> = (1..=1_000).filter(|number| number % 3 == 1).collect();
        let many = build(&numbers, 1_000).unwrap();
        assert!(matches!(many, SyncSamples::Bits(_)));
        let all: Vec<u32> = (1..=1_000).collect();
        assert!(matches!(build(&all, 1_000), Ok(SyncSamples::All)));
        let cases = [(few, vec![1, 49, 97]), (many, numbers), (SyncSamples::All, all)];
        for (sync, numbers) in cases {
            for range in [0..1_000, 48..97, 500..500] {
                let expected: Vec<u32> =
                    numbers.iter().map(|number| number - 1).filter(|n| range.contains(n)).collect();
                assert_eq!(sync.within(range.clone()).collect::<Vec<_>>(), expected);
                assert_eq!(sync.count_within(range.clone()) as usize, expected.len());
                let mut place = sync.place(range.start);
                let walked: Vec<u32> =
                    range.filter(|number| sync.is_sync(&mut place, *number)).collect();
                assert_eq!(walked, expected);
            }
        }
    }
}
