//! DASH media presentation descriptions (ISO/IEC 23009-1): over the same segment URLs as
//! HLS. Segments are addressed by number or by time with an explicit timeline, or as byte ranges of
//! one file a track.

mod date;
mod descriptors;
mod mpd;
mod segments;
mod set;
mod xml;

pub(crate) use mpd::{Addressing, manifest};

/// The media type of an MPD (ISO/IEC 23009-1 Annex C).
pub const CONTENT_TYPE: &str = "application/dash+xml";
