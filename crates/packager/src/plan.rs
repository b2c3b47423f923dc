//! The answer to a request for media bytes, before any sample is read.
//!
//! A plan is a list of parts: bytes made here (headers), ranges of sources that are copied
//! unchanged, and ranges that are changed on the way (MPEG-TS packets). Its length is known, so
//! the Content-Length is too.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

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
    /// Bytes made from bytes of sources.
    Map(Map),
}

/// A range of one of the asset's sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SourceRange {
    /// Which source, as counted by [`Media::sources`](crate::Media::sources).
    pub source: usize,
    /// Which of its bytes.
    pub range: ByteRange,
}

/// Bytes that are made from ranges of sources on the way: read [`inputs`](Self::inputs), then
/// [`write`](Self::write).
#[derive(Clone)]
pub struct Map {
    transform: Arc<dyn Transform>,
    /// Which of its bytes.
    kept: ByteRange,
}

/// What makes the bytes of a [`Map`].
///
/// Implementers guarantee: `write` fills `out`, which is `len` bytes long, whatever the inputs
/// hold, always with the same bytes for the same inputs, and in time linear in both. They stay
/// small (a sample or a few), for a map is read and written whole.
pub(crate) trait Transform: fmt::Debug + Send + Sync {
    /// How many bytes it makes.
    fn len(&self) -> u64;
    /// What it makes them from.
    fn inputs(&self) -> &[SourceRange];
    /// Makes them from the bytes of each input, in order and of the lengths asked for.
    fn write(&self, inputs: &[Bytes], out: &mut [u8]);
    /// Memory that it holds, in bytes.
    fn weight_bytes(&self) -> usize;
}

impl Map {
    /// All that a transform makes.
    pub(crate) fn new(transform: Arc<dyn Transform>) -> Self {
        let kept = ByteRange { start: 0, len: transform.len() };
        Self { transform, kept }
    }

    /// How many bytes it makes.
    pub fn len(&self) -> u64 {
        self.kept.len
    }

    /// Whether it makes none.
    pub fn is_empty(&self) -> bool {
        self.kept.len == 0
    }

    /// The ranges that it is made from.
    pub fn inputs(&self) -> &[SourceRange] {
        self.transform.inputs()
    }

    /// Makes the bytes: `inputs` are those of each of [`inputs`](Self::inputs), in order.
    ///
    /// `out` should be [`len`](Self::len) bytes long; where it is not, or the inputs are not what
    /// was asked for, what is written means nothing.
    pub fn write(&self, inputs: &[Bytes], out: &mut [u8]) {
        let whole = self.transform.len();
        if self.kept.len == whole && out.len() as u64 == whole {
            return self.transform.write(inputs, out);
        }
        let mut all = vec![0; usize::try_from(whole).unwrap_or(0)];
        self.transform.write(inputs, &mut all);
        let from = usize::try_from(self.kept.start).unwrap_or(usize::MAX);
        for (to, byte) in out.iter_mut().zip(all.into_iter().skip(from)) {
            *to = byte;
        }
    }

    /// The bytes from `start` on, `len` of them, cut to what there is.
    #[must_use]
    pub fn cut(&self, start: u64, len: u64) -> Self {
        let start = start.min(self.kept.len);
        let len = len.min(self.kept.len - start);
        let kept = ByteRange { start: self.kept.start + start, len };
        Self { transform: Arc::clone(&self.transform), kept }
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").field("transform", &self.transform).field("kept", &self.kept).finish()
    }
}

/// Two are equal where they make the same bytes from the same inputs in the same way.
impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        self.kept == other.kept
            && (Arc::ptr_eq(&self.transform, &other.transform)
                || format!("{:?}", self.transform) == format!("{:?}", other.transform))
    }
}

impl Eq for Map {}

impl Part {
    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Copy(copy) => copy.range.len,
            Self::Map(map) => map.len(),
        }
    }

    /// Whether it holds no byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ranges of sources that must be read for it.
    pub fn inputs(&self) -> &[SourceRange] {
        match self {
            Self::Bytes(_) => &[],
            Self::Copy(copy) => std::slice::from_ref(copy),
            Self::Map(map) => map.inputs(),
        }
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

    /// Appends bytes that are made from sources.
    pub fn push_map(&mut self, map: Map) {
        if !map.is_empty() {
            self.len += map.len();
            self.parts.push(Part::Map(map));
        }
    }

    /// Appends all of another plan.
    pub fn append(&mut self, other: Self) {
        for part in other.parts {
            match part {
                Part::Bytes(bytes) => self.push_bytes(bytes),
                Part::Copy(SourceRange { source, range }) => self.push_copy(source, range),
                Part::Map(map) => self.push_map(map),
            }
        }
    }

    /// The bytes `part` of it, cut to what there is.
    pub fn cut(self, part: &Range<u64>) -> Self {
        let mut piece = Self::new(self.content_type);
        let mut at = 0;
        for whole in self.parts {
            let (from, to) = (at, at + whole.len());
            at = to;
            let (from, to) = (from.max(part.start) - from, to.min(part.end).saturating_sub(from));
            if from >= to {
                continue;
            }
            match whole {
                Part::Bytes(bytes) => piece.push_bytes(bytes.slice(from as usize..to as usize)),
                Part::Copy(SourceRange { source, range }) => {
                    let start = range.start + from;
                    piece.push_copy(source, ByteRange { start, len: to - from });
                }
                Part::Map(map) => piece.push_map(map.cut(from, to - from)),
            }
        }
        piece
    }

    /// Memory that it holds, in bytes.
    pub fn weight_bytes(&self) -> usize {
        let parts: usize = self
            .parts
            .iter()
            .map(|part| match part {
                Part::Bytes(bytes) => bytes.len(),
                Part::Copy(_) => 0,
                Part::Map(map) => map.transform.weight_bytes(),
            })
            .sum();
        size_of::<Self>() + self.parts.len() * size_of::<Part>() + parts
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

    /// Its input backwards.
    #[derive(Debug)]
    struct Backwards([SourceRange; 1]);

    impl Transform for Backwards {
        fn len(&self) -> u64 {
            self.0[0].range.len
        }

        fn inputs(&self) -> &[SourceRange] {
            &self.0
        }

        fn write(&self, inputs: &[Bytes], out: &mut [u8]) {
            for (to, from) in out.iter_mut().zip(inputs.iter().flat_map(|i| i.iter().rev())) {
                *to = *from;
            }
        }

        fn weight_bytes(&self) -> usize {
            size_of::<Self>()
        }
    }

    #[test]
    fn a_cut_map_makes_the_cut_of_its_bytes() {
        let range = ByteRange { start: 3, len: 6 };
        let map = Map::new(Arc::new(Backwards([SourceRange { source: 0, range }])));
        let made = |map: &Map| {
            let mut out = vec![0; map.len() as usize];
            map.write(&[Bytes::from_static(b"abcdef")], &mut out);
            out
        };
        assert_eq!(made(&map), b"fedcba");
        let piece = map.cut(1, 3);
        assert_eq!(made(&piece), b"edc");
        assert_eq!(made(&piece.cut(2, 9)), b"c");
        assert!(map.cut(7, 1).is_empty());
        assert_eq!(map.cut(1, 3), map.cut(1, 3));
        assert_ne!(map.cut(1, 3), map.cut(1, 2));
    }
}
