//! The index of a file that holds a whole rendition (`sidx`, ISO/IEC 14496-12 §8.16.3): where its
//! segments are, and how long each is. What an MPD of the on-demand profile names by `SegmentBase`.
//!
//! Read is one index that lists segments. One that lists further indexes is not followed.

use std::ops::Range;

use super::MapError;
use super::timing::Timing;
use super::track::{Target, Track};
use super::url::Url;

/// The longest index that is read, in bytes: some five thousand segments.
pub const MAX_INDEX: u64 = 64 << 10;

/// Appends to `track` the segments of the file at `url` by the index in `bytes`, which ends at byte
/// `end` of the file; those beyond `budget` bytes of memory are left out.
///
/// # Errors
/// [`MapError::Malformed`] where it is no index of segments; the track is then as it was.
pub(super) fn fill(
    track: &mut Track,
    url: &Url,
    (bytes, end): (&[u8], u64),
    budget: usize,
) -> Result<(), MapError> {
    let segments = read(bytes, end).ok_or(MapError::Malformed)?;
    for (range, micros) in segments {
        if track.weight() > budget {
            break;
        }
        track.push(Target { url: url.clone(), range: Some(range) });
        track.timing.push(1, micros);
    }
    Ok(())
}

/// Byte range and microseconds of each segment.
fn read(bytes: &[u8], end: u64) -> Option<Vec<(Range<u64>, u64)>> {
    let mut boxes = Fields(bytes);
    let (mut index, after) = loop {
        let (kind, content) = boxes.next_box()?;
        if kind == *b"sidx" {
            break (Fields(content), boxes.0.len() as u64);
        }
    };
    let version = index.number(4)? >> 24;
    let _reference = index.number(4)?;
    let timescale = index.number(4)?.max(1);
    let wide = if version == 0 { 4 } else { 8 };
    let _earliest = index.number(wide)?;
    let first = index.number(wide)?;
    let count = index.number(4)? & 0xffff;
    // Offsets count from the first byte after the box.
    let mut at = end.checked_sub(after)?.checked_add(first)?;
    let mut segments = Vec::new();
    for _ in 0..count {
        let (size, duration, _access) = (index.number(4)?, index.number(4)?, index.number(4)?);
        let is_index = size >> 31 == 1;
        if is_index || size == 0 {
            return None;
        }
        let next = at.checked_add(size)?;
        segments.push((at..next, Timing::micros(duration, timescale)));
        at = next;
    }
    Some(segments)
}

/// Numbers and boxes from the front of some bytes.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    /// A number of so many bytes, eight at most, the highest first.
    fn number(&mut self, len: usize) -> Option<u64> {
        Some(self.take(len)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Type and content of a box (§4.2).
    fn next_box(&mut self) -> Option<([u8; 4], &'a [u8])> {
        let size = self.number(4)?;
        let kind = self.take(4)?.try_into().ok()?;
        let size = if size == 1 { self.number(8)?.checked_sub(16)? } else { size.checked_sub(8)? };
        Some((kind, self.take(usize::try_from(size).ok()?)?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use proptest::prelude::*;

    use super::*;

    /// An index of segments of these sizes, each of two seconds.
    fn sidx(version: u8, first: u64, sizes: &[u32]) -> Vec<u8> {
        let mut content = vec![version, 0, 0, 0, 0, 0, 0, 1];
        content.extend(1000u32.to_be_bytes());
        for number in [0, first] {
            let bytes = number.to_be_bytes();
            content.extend(if version == 0 { &bytes[4..] } else { &bytes[..] });
        }
        content.extend((sizes.len() as u32).to_be_bytes());
        for size in sizes {
            content.extend([*size, 2000, 0x9000_0000].into_iter().flat_map(u32::to_be_bytes));
        }
        let mut all = (content.len() as u32 + 8).to_be_bytes().to_vec();
        all.extend(b"sidx");
        all.extend(content);
        all
    }

    #[test]
    fn segments_follow_each_other_after_the_index() {
        for version in [0, 1] {
            let bytes = sidx(version, 10, &[100, 50]);
            let found = read(&bytes, 700).unwrap();
            assert_eq!(found, [(710..810, 2_000_000), (810..860, 2_000_000)], "{version}");
        }
        let mut among = b"\0\0\0\x0cstyp\0\0\0\0".to_vec();
        among.extend(sidx(0, 0, &[7]));
        let end = 100 + among.len() as u64;
        assert_eq!(read(&among, end).unwrap(), [(end..end + 7, 2_000_000)]);
        among.extend(b"\0\0\0\x08free");
        assert_eq!(read(&among, end + 8).unwrap(), [(end..end + 7, 2_000_000)]);
    }

    #[test]
    fn what_is_no_index_of_segments_teaches_nothing() {
        let good = sidx(0, 0, &[100, 50]);
        for len in 0..good.len() {
            assert_eq!(read(&good[..len], 700), None, "{len} bytes");
        }
        assert_eq!(read(&sidx(0, 0, &[0x8000_0064]), 700), None, "an index of indexes");
        assert_eq!(read(&sidx(0, 0, &[0]), 700), None, "nothing is no segment");
        assert_eq!(read(&sidx(1, u64::MAX, &[9]), 700), None, "beyond all files");
        let mut track = Track::default();
        let url = Url::new("h", "/v.mp4").unwrap();
        assert!(fill(&mut track, &url, (&good[1..], 700), 10_000).is_err());
        assert_eq!(track.len(), 0);
        let none = track.weight();
        fill(&mut track, &url, (&good, 700), none).unwrap();
        assert_eq!(track.len(), 1, "what would be too heavy is left out");
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            at in 0usize..60,
            end in any::<u64>(),
        ) {
            let _ = read(&bytes, end);
            let mut near = sidx(1, 5, &[100, 50]);
            let at = at.min(near.len() - 1);
            near[at] ^= bytes.first().copied().unwrap_or(255);
            let _ = read(&near, end);
        }
    }
}
