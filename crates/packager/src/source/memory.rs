//! A source whose bytes are in memory: for tests, examples and small files that came by network.

use bytes::Bytes;

use super::{Source, SourceError};
use crate::identity::{Fnv, SourceId};
use crate::units::ByteRange;

/// Bytes in memory. Its identity follows from name and content.
#[derive(Debug, Clone)]
pub struct MemorySource {
    id: SourceId,
    bytes: Bytes,
}

impl MemorySource {
    /// A source of that name and content. Hashes the content once.
    pub fn new(name: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let mut hash = Fnv::new();
        hash.field(&bytes);
        let etag = format!("{:016x}", hash.finish());
        Self { id: SourceId::new(name, bytes.len() as u64, etag), bytes }
    }
}

impl Source for MemorySource {
    fn id(&self) -> &SourceId {
        &self.id
    }

    async fn read(&self, ranges: &[ByteRange]) -> Result<Vec<Bytes>, SourceError> {
        ranges
            .iter()
            .map(|range| {
                let bytes = usize::try_from(range.start)
                    .ok()
                    .zip(usize::try_from(range.end()).ok())
                    .filter(|(from, to)| from <= to && *to <= self.bytes.len())
                    .map(|(from, to)| self.bytes.slice(from..to));
                bytes.ok_or(SourceError::Truncated)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[tokio::test]
    async fn ranges_past_the_end_are_errors() {
        let source = MemorySource::new("a", "hello");
        let read = async |start, len| source.read(&[ByteRange { start, len }]).await;
        assert_eq!(read(1, 3).await.unwrap(), ["ell"]);
        assert_eq!(read(5, 0).await.unwrap(), [""]);
        assert_eq!(read(3, 3).await, Err(SourceError::Truncated));
        assert_eq!(read(u64::MAX, 1).await, Err(SourceError::Truncated));
    }

    #[test]
    fn the_identity_follows_the_content() {
        let id = |bytes: &'static str| MemorySource::new("a", bytes).id;
        assert_eq!(id("x"), id("x"));
        assert_ne!(id("x"), id("y"));
    }
}
