//! The answer to a request for media bytes, before any sample is read.
//!
//! A plan is a list of parts: bytes made here (headers) and ranges of sources that are copied
//! unchanged. Its length is known, so the Content-Length is too. Encryption, TS and text are
//! later kinds of parts over the same ranges, never a second builder.

use bytes::Bytes;

use crate::units::ByteRange;

/// What to send: `parts` one after the other, together `len` bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Plan {
    /// The media type of the whole.
    pub content_type: &'static str,
    /// The sum of the lengths of `parts`.
    pub len: u64,
    /// The pieces, in order. Neighbouring ranges of one source are already joined.
    pub parts: Vec<Part>,
}

/// One piece of a [`Plan`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// Bytes made here.
    Bytes(Bytes),
    /// Bytes of a source, unchanged.
    Copy(SourceRange),
}

/// A range of one of the asset's sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SourceRange {
    /// Which source, as counted by [`Media::sources`](crate::Media::sources).
    pub source: usize,
    /// Which of its bytes.
    pub range: ByteRange,
}

impl Part {
    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Copy(copy) => copy.range.len,
        }
    }

    /// Whether it holds no byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Plan {
    /// A plan of nothing yet.
    pub fn new(content_type: &'static str) -> Self {
        Self { content_type, len: 0, parts: Vec::new() }
    }

    /// Appends bytes made here.
    pub fn push_bytes(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.len += bytes.len() as u64;
            self.parts.push(Part::Bytes(bytes));
        }
    }

    /// Appends a range of a source, joined to the part before where it continues it.
    pub fn push_copy(&mut self, source: usize, range: ByteRange) {
        if range.len == 0 {
            return;
        }
        self.len += range.len;
        if let Some(Part::Copy(last)) = self.parts.last_mut()
            && last.source == source
            && last.range.end() == range.start
        {
            last.range.len += range.len;
            return;
        }
        self.parts.push(Part::Copy(SourceRange { source, range }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contiguous_ranges_are_joined() {
        let mut plan = Plan::new("video/mp4");
        plan.push_bytes(Bytes::from_static(b"head"));
        plan.push_copy(0, ByteRange { start: 10, len: 5 });
        plan.push_copy(0, ByteRange { start: 15, len: 5 });
        plan.push_copy(1, ByteRange { start: 20, len: 1 });
        plan.push_copy(0, ByteRange { start: 21, len: 0 });
        assert_eq!(plan.len, 15);
        assert_eq!(plan.parts.len(), 3);
        assert_eq!(plan.parts.iter().map(Part::len).sum::<u64>(), plan.len);
    }
}
