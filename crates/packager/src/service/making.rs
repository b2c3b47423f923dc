//! A window of a plan of which parts are changed on the way: read in the order of the files, made
//! in the order of the plan.
//!
//! In a file, sound and picture lie between each other in another order than in a transport stream:
//! read in the order of the plan, each piece would be a read of its own.

use std::collections::VecDeque;

use bytes::Bytes;
use smallvec::SmallVec;

use super::body::Outlet;
use super::builds::Ready;
use super::cipher::{Cipher, Sealing};
use super::frames::{Frames, Rope, SMALL};
use crate::plan::{Part, SourceRange};
use crate::source::{Source, SourceError};
use crate::units::ByteRange;

/// What is made is written into buffers of up to this many bytes; a map alone may be larger.
const MADE: u64 = 512 << 10;

/// Reads a window and makes of it what is to be sent.
pub(super) async fn make(
    ready: &Ready,
    window: Vec<Part>,
    outlet: &Outlet,
) -> Result<VecDeque<Bytes>, SourceError> {
    let mut copied = 0;
    let mut read = read(ready, &window, outlet, &mut copied).await?;
    let mut frames = Frames::default();
    let mut rest = window.as_slice();
    while let Some(first) = rest.first() {
        let (group, len) = together(rest);
        if group.is_empty() {
            match first {
                Part::Bytes(bytes) => frames.push(bytes.clone()),
                _ => read.by_ref().take(first.inputs().len()).for_each(|bytes| frames.push(bytes)),
            }
            rest = rest.get(1..).unwrap_or_default();
            continue;
        }
        rest = rest.get(group.len()..).unwrap_or_default();
        let mut buffer = outlet.buffers.take(len);
        write(group, &mut read, buffer.as_mut());
        copied += len as u64;
        frames.push(Bytes::from_owner(buffer));
    }
    let (frames, joined) = frames.finish();
    outlet.metrics.copied_bytes.inc_by(copied + joined);
    Ok(frames)
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
    let mut copied = 0;
    let mut read = read(ready, &window, outlet, &mut copied).await?;
    let len = window.iter().map(Part::len).sum::<u64>();
    // No larger than what is read at a time, but for a map, which is bounded.
    let len = usize::try_from(len).map_err(|_| SourceError::Truncated)?;
    let (mut buffer, place) = cipher.begin(len, ends, &outlet.buffers);
    write(&window, &mut read, buffer.as_mut().get_mut(place).unwrap_or_default());
    outlet.metrics.copied_bytes.inc_by(copied + len as u64);
    Ok(cipher.seal(buffer))
}

/// Writes parts one after the other, from what was read for them; `out` is as long as they are.
fn write(parts: &[Part], read: &mut impl Iterator<Item = Bytes>, mut out: &mut [u8]) {
    for part in parts {
        let len = usize::try_from(part.len()).unwrap_or(usize::MAX);
        let Some((place, rest)) = out.split_at_mut_checked(len) else { return };
        out = rest;
        let inputs: SmallVec<[Bytes; 4]> = read.take(part.inputs().len()).collect();
        match part {
            Part::Bytes(bytes) => place.copy_from_slice(bytes),
            Part::Map(map) => map.write(&inputs, place),
            Part::Copy(_) => inputs.iter().for_each(|bytes| place.copy_from_slice(bytes)),
        }
    }
}

/// The parts at the start that are written into one buffer, and how many bytes they are: maps, and
/// the small pieces between them.
fn together(parts: &[Part]) -> (&[Part], usize) {
    let (mut count, mut len) = (0, 0);
    for part in parts {
        let made = match part {
            Part::Map(_) => true,
            Part::Bytes(bytes) => bytes.len() < SMALL,
            Part::Copy(_) => false,
        };
        if !made || (count > 0 && len + part.len() > MADE) {
            break;
        }
        count += 1;
        len += part.len();
    }
    // Maps are bounded, each by the longest sample that it may carry.
    (parts.get(..count).unwrap_or_default(), usize::try_from(len).unwrap_or(0))
}

/// The bytes of each range of a window, in order; read in the order of the files.
async fn read(
    ready: &Ready,
    window: &[Part],
    outlet: &Outlet,
    copied: &mut u64,
) -> Result<impl Iterator<Item = Bytes> + use<>, SourceError> {
    let wanted: Vec<SourceRange> = window.iter().flat_map(Part::inputs).copied().collect();
    let mut all = vec![None; wanted.len()];
    for (number, source) in ready.sources.iter().enumerate() {
        let of_source = wanted.iter().enumerate().filter(|(_, range)| range.source == number);
        let mut mine: Vec<(usize, ByteRange)> =
            of_source.map(|(place, range)| (place, range.range)).collect();
        if mine.is_empty() {
            continue;
        }
        mine.sort_by_key(|(_, range)| range.start);
        let ranges: Vec<ByteRange> = mine.iter().map(|(_, range)| *range).collect();
        let gathered = source.gather(&ranges).await?;
        outlet.metrics.source_read_bytes.inc_by(gathered.read_bytes);
        outlet.metrics.source_reads.inc_by(gathered.reads);
        let mut rope = Rope::new(gathered.pieces);
        for (place, range) in mine {
            let bytes = rope.take_whole(range.len, copied).ok_or(SourceError::Truncated)?;
            if let Some(slot) = all.get_mut(place) {
                *slot = Some(bytes);
            }
        }
    }
    // A plan that names a source which is not there leaves a hole: never send that.
    let all: Vec<Bytes> = all.into_iter().collect::<Option<_>>().ok_or(SourceError::NotFound)?;
    Ok(all.into_iter())
}
