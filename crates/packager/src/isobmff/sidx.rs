//! Segment index, ISO/IEC 14496-12 §8.16.3: here only where its subsegments lie.

use super::Cursor;
use super::cursor::word;

/// The offsets at which its references start, in order: segments, or further indexes. `end` is the
/// offset of the first byte after the box.
pub(crate) fn starts(payload: &[u8], end: u64) -> Option<Vec<u64>> {
    let (version, _, mut cursor) = Cursor::full_box(payload)?;
    // reference_ID and timescale.
    cursor.skip(8)?;
    let first = if version == 0 {
        cursor.u32()?;
        u64::from(cursor.u32()?)
    } else {
        cursor.u64()?;
        cursor.u64()?
    };
    cursor.skip(2)?;
    let count = usize::from(cursor.u16()?);
    let (entries, _) = cursor.take(count.checked_mul(12)?)?.as_chunks::<12>();
    let mut at = end.checked_add(first)?;
    let mut starts = Vec::with_capacity(count);
    for entry in entries {
        starts.push(at);
        at = at.checked_add(u64::from(word(entry, 0) & 0x7fff_ffff))?;
    }
    Some(starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_follow_each_other() {
        let mut bytes = vec![0; 4 + 8];
        bytes.extend(b"\0\0\0\0\0\0\0\x0a\0\0\0\x02");
        for size in [100_u32, 0x8000_0032] {
            bytes.extend(size.to_be_bytes());
            bytes.extend([0; 8]);
        }
        assert_eq!(starts(&bytes, 1_000), Some(vec![1_010, 1_110]));
        assert_eq!(starts(&bytes[..bytes.len() - 1], 1_000), None);
        assert_eq!(starts(&bytes, u64::MAX), None);
    }
}
