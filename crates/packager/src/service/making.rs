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
    let wanted: Vec<SourceRange> = window.iter().flat_map(Part::inputs).copied().collect();
    let read = read(ready, &wanted, outlet, &mut copied).await?;
    let mut read = read.into_iter();
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
        let mut out = buffer.as_mut();
        for part in group {
            let place;
            (place, out) = out.split_at_mut(part.len() as usize);
            match part {
                Part::Bytes(bytes) => place.copy_from_slice(bytes),
                Part::Map(map) => {
                    let inputs: SmallVec<[Bytes; 4]> =
                        read.by_ref().take(map.inputs().len()).collect();
                    map.write(&inputs, place);
                }
                Part::Copy(_) => {}
            }
        }
        copied += len as u64;
        frames.push(Bytes::from_owner(buffer));
    }
    let (frames, joined) = frames.finish();
    outlet.metrics.copied_bytes.inc_by(copied + joined);
    Ok(frames)
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

/// The bytes of each range, in order; read in the order of the files.
async fn read(
    ready: &Ready,
    wanted: &[SourceRange],
    outlet: &Outlet,
    copied: &mut u64,
) -> Result<Vec<Bytes>, SourceError> {
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
    all.into_iter().collect::<Option<_>>().ok_or(SourceError::NotFound)
}
