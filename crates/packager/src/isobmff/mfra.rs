//! Random access to fragments, ISO/IEC 14496-12 §8.8.9 to §8.8.11: here only where they lie.

use super::{Budget, Cursor, children};
use crate::error::Result;

/// The length of an `mfro` box, which ends an `mfra` and with it the file.
pub(crate) const MFRO_LEN: u64 = 16;

/// The length of the `mfra` that the last bytes of a file end; `None` where there is none.
pub(crate) fn len_by_its_end(tail: &[u8]) -> Option<u64> {
    let rest = tail.strip_prefix(b"\0\0\0\x10mfro")?;
    let (_, _, mut cursor) = Cursor::full_box(rest)?;
    cursor.u32().map(u64::from)
}

/// The offsets of all `moof` boxes that are named, in order and once.
pub(crate) fn starts(payload: &[u8], budget: &mut Budget) -> Result<Vec<u64>> {
    let mut starts = Vec::new();
    for tfra in children(payload, budget)?.all(b"tfra") {
        collect(tfra.payload, &mut starts);
    }
    starts.sort_unstable();
    starts.dedup();
    Ok(starts)
}

/// A damaged table gives what comes before the damage.
fn collect(payload: &[u8], starts: &mut Vec<u64>) -> Option<()> {
    let (version, _, mut cursor) = Cursor::full_box(payload)?;
    cursor.u32()?;
    let lengths = cursor.u32()?;
    // Three fields of one to four bytes each follow the times.
    let numbers = 3 + (lengths >> 4 & 3) + (lengths >> 2 & 3) + (lengths & 3);
    let count = cursor.u32()?;
    for _ in 0..count {
        let start = if version == 1 {
            cursor.u64()?;
            cursor.u64()?
        } else {
            cursor.u32()?;
            u64::from(cursor.u32()?)
        };
        cursor.skip(numbers as usize)?;
        starts.push(start);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn offsets_are_read_once_each() {
        let mut tfra = vec![1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2];
        for start in [700_u64, 300] {
            tfra.extend(9_u64.to_be_bytes());
            tfra.extend(start.to_be_bytes());
            tfra.extend([1, 1, 1]);
        }
        let mut payload = ((tfra.len() + 8) as u32).to_be_bytes().to_vec();
        payload.extend(b"tfra");
        payload.extend(tfra);
        let twice = payload.repeat(2);
        assert_eq!(starts(&twice, &mut Budget::new(9)).unwrap(), [300, 700]);
        let cut = &payload[..payload.len() - 1];
        assert_eq!(starts(cut, &mut Budget::new(9)).unwrap(), [] as [u64; 0], "past its end");
    }

    #[test]
    fn the_end_of_a_file_tells_the_length() {
        assert_eq!(len_by_its_end(b"\0\0\0\x10mfro\0\0\0\0\0\0\0\x43"), Some(67));
        assert_eq!(len_by_its_end(b"\0\0\0\x10mdat\0\0\0\0\0\0\0\x43"), None);
        assert_eq!(len_by_its_end(b"short"), None);
    }
}
