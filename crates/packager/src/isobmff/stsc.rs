//! Samples to chunks, ISO/IEC 14496-12 §8.7.4.

use super::Cursor;
use super::cursor::word;

/// A run of chunks with equally many samples; it lasts until the next run's first chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkRun {
    /// From 1.
    pub(crate) first_chunk: u32,
    pub(crate) samples_per_chunk: u32,
    /// From 1.
    pub(crate) description: u32,
}

pub(crate) fn runs(payload: &[u8]) -> Option<impl ExactSizeIterator<Item = ChunkRun>> {
    let entries = entries(payload)?;
    Some(entries.iter().map(|entry| ChunkRun {
        first_chunk: word(entry, 0),
        samples_per_chunk: word(entry, 4),
        description: word(entry, 8),
    }))
}

/// The same runs as they are stored.
pub(crate) fn entries(payload: &[u8]) -> Option<&[[u8; 12]]> {
    let (_, _, mut cursor) = Cursor::full_box(payload)?;
    cursor.table::<12>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_read() {
        let bytes = b"\0\0\0\0\0\0\0\x01\0\0\0\x01\0\0\0\x0a\0\0\0\x01";
        let run = ChunkRun { first_chunk: 1, samples_per_chunk: 10, description: 1 };
        assert_eq!(runs(bytes).map(Iterator::collect::<Vec<_>>), Some(vec![run]));
        assert!(runs(&bytes[..19]).is_none());
    }
}
