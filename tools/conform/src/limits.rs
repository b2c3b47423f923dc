//! Named bounds on what is read from outside and on what is kept of it.

/// The largest manifest or playlist, in bytes, after decompression.
pub(crate) const MAX_MANIFEST: usize = 16 << 20;

/// The largest init segment, in bytes.
pub(crate) const MAX_INIT: usize = 4 << 20;

/// The largest media segment, in bytes.
pub(crate) const MAX_SEGMENT: usize = 256 << 20;

/// The most playlists that one multivariant playlist makes us fetch.
pub(crate) const MAX_PLAYLISTS: usize = 200;

/// The most segments that are listed for one rendition, from a playlist or an MPD.
pub(crate) const MAX_SEGMENTS: usize = 200_000;

/// The most segments and timeline entries over all representations of an MPD: those after are left
/// out.
pub(crate) const MAX_LISTED: usize = 2_000_000;

/// The most elements of an MPD, and the deepest.
pub(crate) const MAX_ELEMENTS: usize = 500_000;
pub(crate) const MAX_DEPTH: usize = 64;

/// The most boxes beside each other.
pub(crate) const MAX_BOXES: usize = 100_000;

/// The most samples of one segment.
pub(crate) const MAX_SAMPLES: usize = 1_000_000;

/// Places that are told for one rule; the others are only counted.
pub(crate) const MAX_FINDINGS: usize = 8;
