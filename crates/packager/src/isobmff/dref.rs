//! Data references, ISO/IEC 14496-12 §8.7.2.

use super::{Budget, Cursor, children};
use crate::error::Result;

/// Whether data reference `index` (from 1) says that the samples are in this file. Absent or
/// unreadable references are taken for that too, as old writers leave them out.
pub(crate) fn is_self_contained(payload: &[u8], index: u16, budget: &mut Budget) -> Result<bool> {
    let Some(entries) = payload.get(8..) else {
        return Ok(true);
    };
    let entries = children(entries, budget)?;
    let entry = entries.iter().nth(usize::from(index.saturating_sub(1)));
    Ok(entry
        .and_then(|entry| Cursor::full_box(entry.payload))
        .is_none_or(|(_, flags, _)| flags & 1 != 0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn other_files_are_told_apart() {
        let mut bytes = b"\0\0\0\0\0\0\0\x02\0\0\0\x0curl \0\0\0\x01".to_vec();
        bytes.extend(b"\0\0\0\x0curl \0\0\0\0");
        let mut budget = Budget::new(100);
        assert!(is_self_contained(&bytes, 1, &mut budget).unwrap());
        assert!(!is_self_contained(&bytes, 2, &mut budget).unwrap());
        assert!(is_self_contained(&[], 1, &mut budget).unwrap());
    }
}
