//! Where chunks of samples lie: `stsc` with `stco` or `co64` (ISO/IEC 14496-12 §8.7.4, §8.7.5).
//!
//! An offset takes four or eight bytes in the file; here, what lies between a chunk and the next:
//! what other tracks have there, or, where chunks hold changing numbers of samples, the chunk
//! itself too. Every [`BLOCK`] chunks the offset is stored whole, and where chunks are not in order
//! all of the block are.

use fearless_simd::{Level, dispatch};

use super::packed::{BLOCK, Packed, Packer, Reader, Span};
use super::runs::{Cursor, Refused, Runs, RunsBuilder};
use super::sizes::SampleSizes;
use crate::isobmff::stco::Offsets;
use crate::isobmff::stsz::Sizes;

/// Chunks of a table.
#[derive(Debug)]
pub(super) struct Chunks {
    /// Runs of chunks with equally many samples; the weight of chunks is how many samples.
    pub(super) runs: Runs,
    /// From each chunk to the next in its block.
    steps: Packed,
    blocks: Box<[Block]>,
    /// Whole offsets of blocks that say so.
    offsets: Box<[u64]>,
}

#[derive(Debug, Clone, Copy)]
struct Block {
    /// Where its first chunk lies.
    offset: u64,
    steps: Steps,
}

/// What the steps of a block count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Steps {
    /// From the end of each chunk.
    FromEnd,
    /// From its start.
    FromStart,
    /// Nothing: the offsets are stored from here on.
    Whole(u32),
}

impl Chunks {
    pub(super) fn weight_bytes(&self) -> usize {
        self.runs.weight_bytes()
            + self.steps.weight_bytes()
            + size_of_val(&*self.blocks)
            + size_of_val(&*self.offsets)
    }

    /// The place of sample `number`.
    pub(super) fn at(&self, number: u32, sizes: &SampleSizes) -> Place {
        let run = self.runs.at_weight(u64::from(number));
        let samples = u64::from(run.value.max(1));
        let into = u64::from(number).saturating_sub(run.start.weight);
        let chunk = (run.start.count + into / samples) as u32;
        let before = (into % samples) as u32;
        let first = number - before;
        let start = self.offset(chunk, first, sizes);
        Place {
            chunk,
            left: run.value.saturating_sub(before),
            chunks_left: u64::from(run.count).saturating_sub(into / samples + 1),
            start,
            position: start + (sizes.before(number) - sizes.before(first)),
            run,
            steps: Reader::new(),
        }
    }

    /// Where `chunk` lies, whose first sample is `first`.
    fn offset(&self, chunk: u32, first: u32, sizes: &SampleSizes) -> u64 {
        let Some(block) = self.blocks.get(chunk as usize / BLOCK) else {
            return 0;
        };
        let into = chunk % BLOCK as u32;
        match block.steps {
            Steps::Whole(from) => {
                self.offsets.get((from + into) as usize).copied().unwrap_or(block.offset)
            }
            Steps::FromStart => block.offset + self.steps.sum_before(chunk),
            Steps::FromEnd => {
                let head = u64::from(chunk - into);
                let run = self.runs.at_count(head);
                let before = run.start.weight + (head - run.start.count) * u64::from(run.value);
                let before = u32::try_from(before).unwrap_or(first);
                let len = sizes.before(first).saturating_sub(sizes.before(before));
                block.offset + self.steps.sum_before(chunk) + len
            }
        }
    }
}

/// A place in the chunks: within one, or at its end.
#[derive(Debug, Clone)]
pub(super) struct Place {
    chunk: u32,
    /// Samples left in the chunk.
    left: u32,
    /// Chunks left in the run after it.
    chunks_left: u64,
    /// Where the chunk starts.
    start: u64,
    /// Where the next sample starts.
    position: u64,
    run: Cursor,
    steps: Reader,
}

impl Place {
    /// Passes a sample of that size; where it lies.
    #[inline]
    pub(super) fn pass(&mut self, chunks: &Chunks, size: u32) -> u64 {
        if self.left == 0 {
            self.enter_next(chunks);
        }
        self.left -= 1;
        let position = self.position;
        self.position += u64::from(size);
        position
    }

    fn enter_next(&mut self, chunks: &Chunks) {
        if self.chunks_left == 0 {
            self.run.next(&chunks.runs);
            self.chunks_left = u64::from(self.run.count);
        }
        self.chunks_left -= 1;
        self.left = self.run.value.max(1);
        let next = self.chunk + 1;
        let block = chunks.blocks.get(next as usize / BLOCK);
        self.start = match block.map(|block| (block.steps, block.offset)) {
            Some((_, offset)) if (next as usize).is_multiple_of(BLOCK) => offset,
            Some((Steps::FromEnd, _)) => {
                self.position + u64::from(self.steps.get(&chunks.steps, self.chunk))
            }
            Some((Steps::FromStart, _)) => {
                self.start + u64::from(self.steps.get(&chunks.steps, self.chunk))
            }
            Some((Steps::Whole(from), offset)) => {
                let at = from as usize + next as usize % BLOCK;
                chunks.offsets.get(at).copied().unwrap_or(offset)
            }
            None => self.position,
        };
        self.position = self.start;
        self.chunk = next;
    }
}

/// An entry of `stsc`: first chunk (from 1), samples in each, sample description (from 1).
type Entry = [u8; 12];

/// `stsc`, packed.
#[derive(Debug)]
pub(super) struct Groups {
    pub(super) runs: Runs,
    /// The most samples in one chunk.
    pub(super) most: u32,
    /// How many runs there are.
    len: usize,
    /// Whether all samples have the same description.
    pub(super) one_description: bool,
}

impl Groups {
    /// Reads the entries of `stsc` for `chunks` chunks with `count` samples.
    pub(super) fn build(
        entries: &[Entry],
        chunks: usize,
        count: u32,
    ) -> Result<Self, &'static str> {
        const FEWER: &str = "its chunks hold fewer samples than there are";
        const MORE: &str = "its chunks hold more samples than there are";
        let chunks = u32::try_from(chunks).map_err(|_| "there are too many chunks")?;
        let [first, ..] = entries else {
            return Err("it is empty");
        };
        if word(first, 0) == 0 || word(first, 0) > chunks {
            return Err("it names a chunk that does not exist");
        }
        if word(first, 0) != 1 {
            return Err("it does not start at the first chunk");
        }
        let (runs, most, last, one_description) =
            dispatch!(Level::new(), _simd => group(entries, chunks))?;
        // The last chunk may hold fewer than its run says; some writers leave out the run of its
        // own.
        let held = last.end().weight;
        if held < u64::from(count) {
            return Err(FEWER);
        }
        if held - u64::from(last.value) >= u64::from(count) {
            return Err(MORE);
        }
        Ok(Self { runs, most, len: entries.len(), one_description })
    }
}

type Grouped = (Runs, u32, Cursor, bool);

#[expect(clippy::inline_always, reason = "compiled for the vectors of each dispatch")]
#[inline(always)]
fn group(entries: &[Entry], chunks: u32) -> Result<Grouped, &'static str> {
    let mut builder = RunsBuilder::new(entries.len(), 1);
    let (mut counts, mut values) = ([0; BLOCK], [0; BLOCK]);
    let (mut most, mut other, mut ordered) = (0, 0, true);
    let description = entries.first().map_or(0, |entry| word(entry, 8));
    for first in (0..entries.len()).step_by(BLOCK) {
        let block = entries.get(first..).unwrap_or_default();
        let used = block.len().min(BLOCK);
        let next = block.get(1..).unwrap_or_default().iter().map(|entry| word(entry, 0));
        // The run after the last would start after the last chunk.
        let next = next.chain(std::iter::once(chunks + u32::from(chunks < u32::MAX)));
        for (((entry, next), count), value) in
            block.iter().take(BLOCK).zip(next).zip(&mut counts).zip(&mut values)
        {
            let first = word(entry, 0);
            ordered &= first < next;
            *count = next.wrapping_sub(first);
            *value = word(entry, 4);
            other |= word(entry, 8) ^ description;
        }
        if !ordered {
            return Err(if block.iter().take(BLOCK).any(|entry| word(entry, 0) > chunks) {
                "it names a chunk that does not exist"
            } else {
                "its chunks do not increase"
            });
        }
        let span = builder
            .push::<true>(&mut counts, &mut values, used)
            .map_err(|_: Refused| "its chunks hold more samples than there are")?;
        if span.low == 0 {
            return Err("a chunk is said to hold no samples");
        }
        most = most.max(span.high);
    }
    let runs = builder.finish();
    let last = runs.at_count(u64::MAX);
    Ok((runs, most, last, other == 0))
}

fn word(entry: &Entry, at: usize) -> u32 {
    entry.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u32::from_be_bytes(*word))
}

/// What is known before chunks are packed.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) sizes: &'a Sizes<'a>,
    /// No chunk is longer, in bytes.
    pub(super) longest: u64,
    /// Whether chunks may lie between two offsets.
    pub(super) allowed: &'a dyn Fn(u64, u64) -> bool,
}

/// The chunks of a table.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) chunks: Chunks,
    /// Numbers of blocks with chunks that may lie where they must not: only the longest would.
    pub(super) doubtful: Vec<u32>,
}

impl Placed {
    /// Packs the offsets of `stco` or `co64`.
    pub(super) fn build(raw: &Offsets<'_>, groups: Groups, known: &Known<'_>) -> Self {
        dispatch!(Level::new(), _simd => place(raw, groups, known))
    }
}

/// Lengths of chunks are made use of where on average a block has no more runs of them, and no
/// more samples.
const RUNS_IN_BLOCK: usize = 8;
const SAMPLES_IN_BLOCK: usize = 8 * BLOCK;

#[expect(clippy::inline_always, reason = "compiled for the vectors of each dispatch")]
#[inline(always)]
fn place(raw: &Offsets<'_>, groups: Groups, known: &Known<'_>) -> Placed {
    let count = raw.len();
    let runs = groups.runs;
    let mut steps = Packer::new(count, 1);
    let mut blocks = Vec::with_capacity(count.div_ceil(BLOCK));
    let (mut whole, mut doubtful) = (Vec::new(), Vec::new());
    let mut lengths = (groups.len.saturating_mul(BLOCK) <= count.saturating_mul(RUNS_IN_BLOCK))
        .then(|| Lengths { runs: &runs, run: runs.start(), passed: 0, sample: 0 });
    let (mut offsets, mut numbers, mut lens) = ([0; BLOCK + 1], [0; BLOCK], [0; BLOCK]);
    for first in (0..count).step_by(BLOCK) {
        let used = (count - first).min(BLOCK);
        // With the first of the next block, where there is one.
        let seen = (count - first).min(BLOCK + 1);
        let whole_offset = raw.get(first).unwrap_or(u64::MAX);
        let origin = raw.fill(first, offsets.get_mut(..seen).unwrap_or_default());
        let with_lengths = lengths.as_mut().is_some_and(|lengths| {
            lengths.fill(known.sizes, lens.get_mut(..used).unwrap_or_default())
        });
        let offsets = offsets.get(..seen).unwrap_or_default();
        let stepped = origin.and_then(|origin| {
            let from_end = if with_lengths {
                step::<true>(offsets, &lens, &mut numbers).map(|span| (Steps::FromEnd, span))
            } else {
                None
            };
            let (kind, span) = from_end.or_else(|| {
                step::<false>(offsets, &lens, &mut numbers).map(|span| (Steps::FromStart, span))
            })?;
            let last = offsets.get(used - 1).copied().unwrap_or(u32::MAX);
            Some((kind, span, origin + u64::from(last)))
        });
        let (kind, span, lowest, highest) = if let Some((kind, span, highest)) = stepped {
            (kind, span, whole_offset, highest)
        } else {
            let all = || (first..first + used).filter_map(|chunk| raw.get(chunk));
            let from = whole.len() as u32;
            whole.extend(all());
            let (lowest, highest) = (all().min().unwrap_or(0), all().max().unwrap_or(u64::MAX));
            (Steps::Whole(from), Span { low: 0, high: 0 }, lowest, highest)
        };
        if !(known.allowed)(lowest, highest.saturating_add(known.longest)) {
            doubtful.push((first / BLOCK) as u32);
        }
        steps.push(&mut numbers, seen - 1, span);
        blocks.push(Block { offset: whole_offset, steps: kind });
    }
    let chunks =
        Chunks { runs, steps: steps.finish(), blocks: blocks.into(), offsets: whole.into() };
    Placed { chunks, doubtful }
}

/// From each chunk to the next; `None` where one starts before the other ends, or, without
/// lengths, starts.
#[expect(clippy::inline_always, reason = "compiled for the vectors of each dispatch")]
#[inline(always)]
fn step<const LENGTHS: bool>(
    offsets: &[u32],
    lens: &[u32; BLOCK],
    steps: &mut [u32; BLOCK],
) -> Option<Span> {
    let (mut low, mut high, mut overlap) = (u32::MAX, 0, 0);
    let nexts = offsets.get(1..).unwrap_or_default();
    for (((here, next), len), step) in offsets.iter().zip(nexts).zip(lens).zip(steps) {
        let end = if LENGTHS { here.wrapping_add(*len) } else { *here };
        // What differs from the larger of two is not the larger one.
        overlap |= (end.max(*here) ^ end) | (end.max(*next) ^ next);
        *step = next.wrapping_sub(end);
        low = low.min(*step);
        high = high.max(*step);
    }
    (overlap == 0).then_some(Span { low, high })
}

/// Goes through the lengths of chunks, in bytes.
struct Lengths<'a> {
    runs: &'a Runs,
    run: Cursor,
    /// Chunks of the run that were passed.
    passed: u32,
    /// The next sample.
    sample: usize,
}

impl Lengths<'_> {
    /// The lengths of the next chunks; false, and the chunks are passed, where they hold many
    /// samples or too many bytes.
    #[expect(clippy::inline_always, reason = "compiled for the vectors of each dispatch")]
    #[inline(always)]
    fn fill(&mut self, sizes: &Sizes<'_>, mut lens: &mut [u32]) -> bool {
        let mut samples = 0;
        let mut all = true;
        while !lens.is_empty() {
            if self.passed == self.run.count {
                if !self.run.next(self.runs) {
                    return false;
                }
                self.passed = 0;
            }
            let chunks = (self.run.count - self.passed).min(lens.len() as u32);
            let (some, rest) = lens.split_at_mut(chunks as usize);
            let each = self.run.value as usize;
            let more = each.saturating_mul(some.len());
            samples += more.min(SAMPLES_IN_BLOCK + 1);
            all = all
                && samples <= SAMPLES_IN_BLOCK
                && if each == 1 {
                    sizes.fill(self.sample, some);
                    true
                } else {
                    sizes.fill_sums(self.sample, each, some)
                };
            self.sample = self.sample.saturating_add(more);
            self.passed += chunks;
            lens = rest;
        }
        all
    }
}
