//! DASH media presentation descriptions (ISO/IEC 23009-1): static, with numbered segments and an
//! explicit timeline, over the same segment URLs as HLS.

mod mpd;
mod xml;

pub(crate) use mpd::manifest;

/// The media type of an MPD (ISO/IEC 23009-1 Annex C).
pub const CONTENT_TYPE: &str = "application/dash+xml";
