//! Numbers in as few bits as they need, in blocks that are written and read eight at a time.
//!
//! A block holds [`BLOCK`] numbers as their difference from its smallest, each in as many bits as
//! the largest difference has. Number `i` lies in lane `i % 8`, below those before it in that lane,
//! so that eight neighbours are found by one shift, and a whole block is written by shifts that are
//! the same in all lanes. Compilers turn such loops into vector instructions: 512,000 sizes take
//! about 0.1 ms. [`dispatch!`](fearless_simd::dispatch) compiles them for the wider vectors of
//! newer processors too and chooses at run time; for that, all of it must be inlined.
#![expect(clippy::inline_always, reason = "compiled for the vectors of each dispatch")]

/// Numbers in a block.
pub(super) const BLOCK: usize = 256;

/// Numbers that are read at once.
pub(super) const LANES: usize = 8;

/// Bits of a lane's word.
const WORD: u32 = u32::BITS;

/// One word of each lane, or one number of each.
pub(super) type Row = [u32; LANES];

/// A list of 32-bit numbers.
#[derive(Debug, Default)]
pub(super) struct Packed {
    len: u32,
    /// What the differences of blocks that say so are multiples of.
    unit: u32,
    blocks: Box<[Block]>,
    rows: Box<[Row]>,
}

#[derive(Debug, Clone, Copy)]
struct Block {
    /// Its first row.
    at: u32,
    /// The smallest number.
    base: u32,
    /// Bits of each difference; 0 where all numbers are the same.
    width: u8,
    /// Whether differences are counted in units.
    in_units: bool,
}

impl Packed {
    /// How many there are.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Memory held, in bytes.
    pub(super) fn weight_bytes(&self) -> usize {
        size_of_val(&*self.blocks) + size_of_val(&*self.rows)
    }

    /// Numbers `row * 8` to `row * 8 + 7`. Those past the end are arbitrary.
    #[inline]
    pub(super) fn row(&self, row: u32) -> Row {
        const ROWS: u32 = (BLOCK / LANES) as u32;
        let Some(block) = self.blocks.get((row / ROWS) as usize) else {
            return [0; LANES];
        };
        let width = u32::from(block.width);
        if width == 0 {
            return [block.base; LANES];
        }
        let bit = row % ROWS * width;
        let (at, shift) = ((block.at + bit / WORD) as usize, bit % WORD);
        let word = |at: usize| self.rows.get(at).copied().unwrap_or_default();
        let mask = u32::MAX >> (WORD - width);
        let mut numbers = word(at).map(|word| word >> shift);
        if shift + width > WORD {
            for (number, next) in numbers.iter_mut().zip(word(at + 1)) {
                *number |= next << (WORD - shift);
            }
        }
        let unit = if block.in_units { self.unit } else { 1 };
        numbers.map(|number| (number & mask).wrapping_mul(unit).wrapping_add(block.base))
    }

    /// The sum of the numbers before `index` that are in its block.
    pub(super) fn sum_before(&self, index: u32) -> u64 {
        let first = index - index % BLOCK as u32;
        let whole = (first / LANES as u32..index / LANES as u32)
            .map(|row| self.row(row).iter().map(|number| u64::from(*number)).sum::<u64>())
            .sum::<u64>();
        let row = self.row(index / LANES as u32);
        let rest = row.iter().take(index as usize % LANES).map(|number| u64::from(*number));
        whole + rest.sum::<u64>()
    }
}

/// Reads a list at increasing positions; it holds one row.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    number: u32,
    row: Row,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self { number: u32::MAX, row: [0; LANES] }
    }

    /// Number `index` of the list, which is the same at each call.
    #[inline]
    pub(super) fn get(&mut self, list: &Packed, index: u32) -> u32 {
        let number = index / LANES as u32;
        if number != self.number {
            self.number = number;
            self.row = list.row(number);
        }
        self.row[index as usize % LANES]
    }
}

/// Writes a list block by block.
#[derive(Debug)]
pub(super) struct Packer {
    len: u32,
    unit: u32,
    blocks: Vec<Block>,
    rows: Vec<Row>,
    expected: usize,
}

/// The smallest and the largest of some numbers; of none, the least that spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) low: u32,
    pub(super) high: u32,
}

impl Span {
    #[inline(always)]
    pub(super) fn of(numbers: &[u32]) -> Self {
        let (mut low, mut high) = (u32::MAX, 0);
        for number in numbers {
            low = low.min(*number);
            high = high.max(*number);
        }
        Self { low, high }
    }
}

impl Packer {
    /// For a list of `expected` numbers; those of a block whose differences are all multiples of
    /// `unit` are stored in units.
    pub(super) fn new(expected: usize, unit: u32) -> Self {
        let blocks = Vec::with_capacity(expected.div_ceil(BLOCK));
        Self { len: 0, unit: unit.max(1), blocks, rows: Vec::new(), expected }
    }

    /// Appends the first `used` numbers, whose span is given. Only the last block may be short.
    #[inline(always)]
    pub(super) fn push(&mut self, numbers: &mut [u32; BLOCK], used: usize, span: Span) {
        for number in numbers.iter_mut().skip(used) {
            *number = span.low;
        }
        let mut width = WORD - span.high.saturating_sub(span.low).leading_zeros();
        let mut in_units = false;
        let mut base = span.low;
        if self.unit > 1
            && width > 1
            && let Some(largest) = in_units_of(self.unit, numbers, base)
        {
            width = WORD - largest.leading_zeros();
            in_units = true;
            base = 0;
        }
        let at = self.rows.len() as u32;
        self.blocks.push(Block { at, base: span.low, width: width as u8, in_units });
        self.len += used as u32;
        if width == 0 {
            return;
        }
        if at == 0 {
            // As if all blocks were like the first; what is too much is given back at the end.
            self.rows.reserve(self.expected.div_ceil(BLOCK) * width as usize);
        }
        let words = (used.div_ceil(LANES) * width as usize).div_ceil(WORD as usize);
        let packed = pack(numbers, base, width);
        self.rows.extend_from_slice(packed.get(..words).unwrap_or_default());
    }

    pub(super) fn finish(self) -> Packed {
        Packed {
            len: self.len,
            unit: self.unit,
            blocks: self.blocks.into(),
            rows: self.rows.into(),
        }
    }
}

/// The words of a block: the first `width` of each lane.
#[inline(always)]
fn pack(numbers: &[u32; BLOCK], base: u32, width: u32) -> [Row; WORD as usize] {
    let mut words = [[0; LANES]; WORD as usize];
    let mut word = [0; LANES];
    let (mut at, mut filled) = (0_usize, 0);
    for row in numbers.as_chunks::<LANES>().0 {
        let row = row.map(|number| number.wrapping_sub(base));
        for (word, number) in word.iter_mut().zip(row) {
            *word |= number << filled;
        }
        filled += width;
        if filled >= WORD {
            words[at % WORD as usize] = word;
            at += 1;
            filled -= WORD;
            let taken = width - filled;
            word = row.map(|number| number.checked_shr(taken).unwrap_or(0));
        }
    }
    words
}

/// Turns numbers into how many units each is above `base`, where all are whole; the largest.
#[inline(always)]
fn in_units_of(unit: u32, numbers: &mut [u32; BLOCK], base: u32) -> Option<u32> {
    let (shift, odd) = (unit.trailing_zeros(), unit >> unit.trailing_zeros());
    let inverse = inverse(odd);
    let mut low_bits = 0;
    let mut largest = 0;
    for number in numbers.iter() {
        let above = number.wrapping_sub(base);
        low_bits |= above;
        largest = largest.max((above >> shift).wrapping_mul(inverse));
    }
    // Times the inverse is divided by, modulo 2^32: the quotient is the true one if it is small
    // enough that times the divisor it does not wrap.
    let whole = low_bits.trailing_zeros() >= shift && largest <= u32::MAX / unit;
    if !whole {
        return None;
    }
    for number in numbers.iter_mut() {
        *number = (number.wrapping_sub(base) >> shift).wrapping_mul(inverse);
    }
    Some(largest)
}

/// The inverse of an odd number modulo 2^32, by Newton's iteration: each step doubles the bits.
fn inverse(odd: u32) -> u32 {
    (0..4)
        .fold(odd, |inverse, _| inverse.wrapping_mul(2_u32.wrapping_sub(odd.wrapping_mul(inverse))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packed(numbers: &[u32], unit: u32) -> Packed {
        let mut packer = Packer::new(numbers.len(), unit);
        for chunk in numbers.chunks(BLOCK) {
            let mut block = [0; BLOCK];
            block[..chunk.len()].copy_from_slice(chunk);
            packer.push(&mut block, chunk.len(), Span::of(chunk));
        }
        packer.finish()
    }

    proptest! {
        #[test]
        fn numbers_come_back(
            low in prop_oneof![Just(0), any::<u32>()],
            bits in 0_u32..=32,
            unit in prop_oneof![Just(1), Just(512), Just(1_001), 1_u32..100_000],
            seeds in prop::collection::vec(any::<u32>(), 0..700),
        ) {
            let range = if bits == 0 { 0 } else { u32::MAX >> (32 - bits) };
            let numbers: Vec<u32> = seeds
                .iter()
                .map(|seed| low.saturating_add((seed & range) / unit * unit))
                .collect();
            let packed = packed(&numbers, unit);
            prop_assert_eq!(packed.len() as usize, numbers.len());
            let mut reader = Reader::new();
            let mut sum = 0;
            for (index, number) in numbers.iter().enumerate() {
                if index % BLOCK == 0 {
                    sum = 0;
                }
                prop_assert_eq!(packed.sum_before(index as u32), sum);
                prop_assert_eq!(reader.get(&packed, index as u32), *number);
                sum += u64::from(*number);
            }
        }
    }

    #[test]
    fn differences_take_as_few_bits_as_they_have() {
        let bits = |numbers: &[u32], unit| {
            let packed = packed(numbers, unit);
            packed.blocks.iter().map(|block| block.width).collect::<Vec<_>>()
        };
        assert_eq!(bits(&[7; 300], 1), [0, 0]);
        assert_eq!(bits(&[1_000, 1_001, 1_255], 1), [8]);
        assert_eq!(bits(&[0, u32::MAX], 1), [32]);
        assert_eq!(bits(&[512, 2_048, 1_024], 512), [2]);
        assert_eq!(bits(&[0, 3_003, 1_001], 1_001), [2]);
        assert_eq!(bits(&[0, 3_003, 1_000], 1_001), [12]);
        // Eight numbers of 8 bits are a quarter of a row of words.
        assert_eq!(packed(&[0, 255], 1).rows.len(), 1);
    }
}
