//! One file a target, and what several of them do: reading a source that is in memory.

pub(crate) mod addresses;
pub(crate) mod boxes;
pub(crate) mod cmcd;
pub(crate) mod config;
pub(crate) mod descriptor;
pub(crate) mod edits;
pub(crate) mod filter;
pub(crate) mod fragments;
pub(crate) mod hints;
pub(crate) mod http3;
pub(crate) mod index;
pub(crate) mod map;
pub(crate) mod orders;
pub(crate) mod origins;
pub(crate) mod paths;
pub(crate) mod plan;
pub(crate) mod proxy;
pub(crate) mod query;
pub(crate) mod requests;
pub(crate) mod steering;
pub(crate) mod tokens;
pub(crate) mod traceparent;
pub(crate) mod ts;

use bytes::Bytes;
use headwater_packager::{ByteRange, IndexBuilder, Limits, MediaIndex, SourceId, Step};

/// More rounds than any index or layout needs.
const MOST_ROUNDS: u32 = 10_000;

/// The index of a file, if it has one. Every read must lie in the file, and reads must end.
fn index(file: &Bytes) -> Option<MediaIndex> {
    scan(file, None).0
}

/// The index of a file, if it has one, and what is kept of its scan; `kept` of an earlier one, when
/// the file was shorter, is taken up.
fn scan(file: &Bytes, mut kept: Option<&[u8]>) -> (Option<MediaIndex>, Option<Bytes>) {
    let id = SourceId::new("fuzzed.mp4", file.len() as u64, "fuzz");
    let mut builder = IndexBuilder::new(id, Limits::default());
    for _ in 0..MOST_ROUNDS {
        match builder.step() {
            Err(_) => return (None, builder.checkpoint()),
            Ok(Step::Done(index)) => return (Some(index), builder.checkpoint()),
            Ok(Step::Need(ranges)) => {
                if let Some(kept) = kept.take_if(|_| builder.is_fragmented()) {
                    // One that does not fit is passed over, as the service does.
                    let _ = builder.resume(kept);
                    continue;
                }
                for range in ranges {
                    if builder.feed(range, read(file, range)).is_err() {
                        return (None, None);
                    }
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
