//! Sample descriptions, ISO/IEC 14496-12 §8.5.2.

use super::walk::Child;
use super::{Budget, Cursor, children};
use crate::error::Result;

/// The sample entries, in order; `None` for a box that is cut short.
pub(crate) fn entries<'a>(
    payload: &'a [u8],
    budget: &mut Budget,
) -> Result<Option<Vec<Child<'a>>>> {
    let Some((_, _, mut cursor)) = Cursor::full_box(payload) else {
        return Ok(None);
    };
    let Some(count) = cursor.u32() else {
        return Ok(None);
    };
    let found = children(cursor.rest(), budget)?;
    let entries: Vec<_> = found.iter().take(count as usize).collect();
    Ok((!entries.is_empty()).then_some(entries))
}

/// The data reference index of a sample entry, from 1 (§8.5.2.2).
pub(crate) fn data_reference(entry: &[u8]) -> Option<u16> {
    let mut cursor = Cursor::new(entry);
    cursor.skip(6)?;
    cursor.u16()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use crate::isobmff::FourCc;

    #[test]
    fn entries_are_listed() {
        let bytes = b"\0\0\0\0\0\0\0\x01\0\0\0\x10avc1\0\0\0\0\0\0\0\x01";
        let entries = entries(bytes, &mut Budget::new(9)).unwrap().unwrap();
        assert_eq!(entries[0].kind, FourCc(*b"avc1"));
        assert_eq!(data_reference(entries[0].payload), Some(1));
        let none = super::entries(b"\0\0\0\0\0\0\0\0", &mut Budget::new(9)).unwrap();
        assert!(none.is_none());
    }
}
