//! A window of a plan of which parts are changed on the way: read in the order of the files, made
//! in the order of the plan.
//!
//! In a file, sound and picture lie between each other in another order than in a transport stream:
//! read in the order of the plan, each piece would be a read of its own. A window that is encrypted
//! is read in steps, and each part made as soon as all that it is made of is there: a body then
//! holds two windows, the one that is being sent and the one in the lanes, and little beside them.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;

use bytes::Bytes;
use smallvec::{SmallVec, smallvec};

use super::body::Outlet;
use super::builds::Ready;
use super::cipher::{Cipher, Sealing};
use super::frames::Rope;
use crate::plan::Part;
use crate::source::{Buffer, Source, SourceError};
use crate::units::ByteRange;

/// What is made is written into buffers of up to this many bytes; a map alone may be larger.
const MADE: u64 = 512 << 10;

/// Reads a window and makes of it what is to be sent.
pub(super) async fn make(
    ready: &Ready,
    window: Vec<Part>,
    outlet: &Outlet,
) -> Result<VecDeque<Bytes>, SourceError> {
    let lens = buffer_lens(&window);
    let mut buffers: Vec<Buffer> = lens.into_iter().map(|len| outlet.buffers.take(len)).collect();
    let outs = buffers.iter_mut().map(Buffer::as_mut);
    write(ready, &window, outs, Reading::AtOnce, outlet).await?;
    Ok(buffers.into_iter().map(Bytes::from_owner).collect())
}

/// Reads a window, makes of it one piece of a chain, whose end it may be, and has it encrypted in
/// place. Such windows are of maps and small pieces, as a stream of packets is.
pub(super) async fn make_sealed(
    ready: &Ready,
    window: Vec<Part>,
    cipher: Cipher,
    ends: bool,
    outlet: &Outlet,
) -> Result<Sealing, SourceError> {
    let len = window.iter().map(Part::len).sum::<u64>();
    // No larger than what is read at a time, but for a map, which is bounded.
    let len = usize::try_from(len).map_err(|_| SourceError::Truncated)?;
    let (mut buffer, place) = cipher.begin(len, ends, &outlet.buffers);
    let out = buffer.as_mut().get_mut(place);
    write(ready, &window, out, Reading::InSteps, outlet).await?;
    Ok(cipher.seal(buffer))
}

/// The lengths of the buffers that parts are written into: together no more than [`MADE`] in each,
/// unless it is one alone. Maps are bounded, each by the longest sample that it may carry.
fn buffer_lens(parts: &[Part]) -> Vec<usize> {
    let mut lens: Vec<u64> = Vec::with_capacity(1);
    for part in parts {
        match lens.last_mut() {
            Some(len) if *len + part.len() <= MADE => *len += part.len(),
            _ => lens.push(part.len()),
        }
    }
    lens.into_iter().map(|len| usize::try_from(len).unwrap_or(usize::MAX)).collect()
}

/// How a window is read.
#[derive(Clone, Copy)]
enum Reading {
    AtOnce,
    /// By [`step_bytes`](crate::source::Coalescing::step_bytes).
    InSteps,
}

/// Reads what parts are made of, and writes them one after the other into `outs`, none of them
/// across two.
async fn write<'a>(
    ready: &Ready,
    parts: &'a [Part],
    outs: impl IntoIterator<Item = &'a mut [u8]>,
    reading: Reading,
    outlet: &Outlet,
) -> Result<(), SourceError> {
    let mut copied = parts.iter().map(Part::len).sum();
    let mut unmade = Unmade::all(parts, outs)?;
    for (number, source) in ready.sources.iter().enumerate() {
        let mut wanted: Vec<Input> = Input::all(parts, number).collect();
        wanted.sort_by_key(|input| input.range.start);
        let mut rest = wanted.as_slice();
        let mut step = match reading {
            Reading::AtOnce => u64::MAX,
            Reading::InSteps => source.coalescing().step_bytes,
        };
        while !rest.is_empty() {
            let (now, later) = rest.split_at(within(rest, step));
            rest = later;
            let ranges: Vec<ByteRange> = now.iter().map(|input| input.range).collect();
            let mut gathering = pin!(source.gather(&ranges));
            let gathered = poll_fn(|cx| {
                let polled = gathering.as_mut().poll(cx);
                if polled.is_pending() {
                    // What must be waited for is asked for as a whole.
                    step = u64::MAX;
                }
                polled
            });
            let gathered = gathered.await?;
            outlet.metrics.source_read_bytes.inc_by(gathered.read_bytes);
            outlet.metrics.source_reads.inc_by(gathered.reads);
            let mut rope = Rope::new(gathered.pieces);
            for input in now {
                let bytes = rope.take_whole(input.range.len, &mut copied);
                let bytes = bytes.ok_or(SourceError::Truncated)?;
                unmade.get_mut(input.part).ok_or(SourceError::NotFound)?.take(input.nth, bytes);
            }
        }
    }
    // A plan that names a source which is not there leaves a hole: never send that.
    if unmade.iter().any(|part| part.missing > 0) {
        return Err(SourceError::NotFound);
    }
    outlet.metrics.copied_bytes.inc_by(copied);
    Ok(())
}

/// How many of the first inputs are read in a step of so many bytes: at least one.
fn within(inputs: &[Input], step: u64) -> usize {
    let mut bytes = 0_u64;
    let fits = |input: &&Input| {
        bytes = bytes.saturating_add(input.range.len);
        bytes <= step
    };
    inputs.iter().take_while(fits).count().max(1)
}

/// What is read for a part.
struct Input {
    /// Which part, and which of its inputs.
    part: usize,
    nth: usize,
    range: ByteRange,
}

impl Input {
    /// Those that lie in one of the sources.
    fn all(parts: &[Part], source: usize) -> impl Iterator<Item = Self> {
        parts.iter().enumerate().flat_map(move |(part, whole)| {
            let inputs = whole.inputs().iter().enumerate();
            let mine = inputs.filter(move |(_, input)| input.source == source);
            mine.map(move |(nth, input)| Self { part, nth, range: input.range })
        })
    }
}

/// A part that is not made yet.
struct Unmade<'a> {
    part: &'a Part,
    place: &'a mut [u8],
    inputs: SmallVec<[Bytes; 1]>,
    missing: usize,
}

impl<'a> Unmade<'a> {
    /// Parts in their places; those that are made of nothing that is read are made.
    fn all(
        parts: &'a [Part],
        outs: impl IntoIterator<Item = &'a mut [u8]>,
    ) -> Result<Vec<Self>, SourceError> {
        let mut outs = outs.into_iter();
        let mut out = <&mut [u8]>::default();
        let mut all = Vec::with_capacity(parts.len());
        for part in parts {
            if out.is_empty() {
                out = outs.next().unwrap_or_default();
            }
            let len = usize::try_from(part.len()).unwrap_or(usize::MAX);
            let place;
            (place, out) = out.split_at_mut_checked(len).ok_or(SourceError::Truncated)?;
            let missing = part.inputs().len();
            let mut unmade =
                Self { part, place, inputs: smallvec![Bytes::new(); missing], missing };
            if missing == 0 {
                unmade.make();
            }
            all.push(unmade);
        }
        Ok(all)
    }

    /// Takes one of its inputs.
    fn take(&mut self, nth: usize, bytes: Bytes) {
        if let Some(input) = self.inputs.get_mut(nth) {
            *input = bytes;
            self.missing = self.missing.saturating_sub(1);
        }
        if self.missing == 0 {
            self.make();
        }
    }

    fn make(&mut self) {
        match self.part {
            Part::Bytes(bytes) => self.place.copy_from_slice(bytes),
            Part::Map(map) => map.write(&self.inputs, self.place),
            Part::Copy(_) => self.inputs.iter().for_each(|bytes| self.place.copy_from_slice(bytes)),
        }
        // What was read goes back to where the next step is read into.
        self.inputs.clear();
    }
}
