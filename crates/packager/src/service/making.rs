//! A window of a plan of which parts are changed on the way: read in the order of the files, made
//! in the order of the plan.
//!
//! In a file, sound and picture lie between each other in another order than in a transport stream:
//! read in the order of the plan, each piece would be a read of its own.

use std::collections::VecDeque;

use bytes::Bytes;

use super::body::Outlet;
use super::builds::Ready;
use super::frames::{Frames, Rope};
use crate::plan::{Part, SourceRange};
use crate::source::{Source, SourceError};
use crate::units::ByteRange;

/// Maps are written into buffers of up to this many bytes; one alone may be larger.
const MADE: u64 = 256 << 10;

/// Reads a window and makes of it what is to be sent.
pub(super) async fn make(
    ready: &Ready,
    window: Vec<Part>,
    outlet: &Outlet,
) -> Result<VecDeque<Bytes>, SourceError> {
    let mut copied = 0;
    let wanted: Vec<SourceRange> = window.iter().flat_map(Part::inputs).copied().collect();
    let read = read(ready, &wanted, outlet, &mut copied).await?;
    let mut read = read.as_slice();
    let mut frames = Frames::default();
    let mut window = window.into_iter().peekable();
    while let Some(part) = window.next() {
        let mine;
        (mine, read) = read.split_at(part.inputs().len());
        match part {
            Part::Bytes(bytes) => frames.push(bytes),
            Part::Copy(_) => mine.iter().for_each(|bytes| frames.push(bytes.clone())),
            Part::Map(map) => {
                // As many as fit are written into one buffer.
                let mut len = map.len();
                let mut maps = vec![(map, mine)];
                while let Some(Part::Map(more)) = window.peek()
                    && len + more.len() <= MADE
                {
                    let mine;
                    (mine, read) = read.split_at(more.inputs().len());
                    len += more.len();
                    maps.push((more.clone(), mine));
                    window.next();
                }
                let len = usize::try_from(len).map_err(|_| SourceError::Truncated)?;
                let mut buffer = outlet.buffers.take(len);
                let mut rest = buffer.as_mut();
                for (map, inputs) in maps {
                    let out;
                    (out, rest) = rest.split_at_mut(map.len() as usize);
                    map.write(inputs, out);
                }
                copied += len as u64;
                frames.push(Bytes::from_owner(buffer));
            }
        }
    }
    let (frames, joined) = frames.finish();
    outlet.metrics.copied_bytes.inc_by(copied + joined);
    Ok(frames)
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
