//! One file a target, and what several of them do: reading a source that is in memory.

pub(crate) mod boxes;
pub(crate) mod index;
pub(crate) mod paths;
pub(crate) mod plan;
pub(crate) mod ts;

use bytes::Bytes;
use headwater_packager::{ByteRange, IndexBuilder, Limits, MediaIndex, SourceId, Step};

/// More rounds than any index or layout needs.
const MOST_ROUNDS: u32 = 10_000;

/// The index of a file, if it has one. Every read must lie in the file, and reads must end.
fn index(file: &Bytes) -> Option<MediaIndex> {
    let id = SourceId::new("fuzzed.mp4", file.len() as u64, "fuzz");
    let mut builder = IndexBuilder::new(id, Limits::default());
    for _ in 0..MOST_ROUNDS {
        match builder.step().ok()? {
            Step::Done(index) => return Some(index),
            Step::Need(ranges) => {
                for range in ranges {
                    builder.feed(range, read(file, range)).ok()?;
                }
            }
        }
    }
    unreachable!("an index that never ends");
}

/// The bytes of a range that must lie within the file.
fn read(file: &Bytes, range: ByteRange) -> Bytes {
    let inside = range.start.checked_add(range.len).is_some_and(|end| end <= file.len() as u64);
    assert!(inside, "{range:?} lies outside a file of {} bytes", file.len());
    file.slice(range.start as usize..(range.start + range.len) as usize)
}
