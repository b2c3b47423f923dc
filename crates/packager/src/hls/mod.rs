//! HLS playlists (RFC 8216bis), written exactly: attributes in a fixed order, times from whole
//! ticks, one text for one asset.
//!
//! A multivariant playlist names the media playlists beside it, and those name segments below the
//! folder of the asset's version; all URLs are relative, so that any prefix works.

mod head;
mod media;
mod multivariant;
mod tag;

pub(crate) use media::media_playlist;
pub(crate) use multivariant::multivariant_playlist;

/// The media type of playlists (RFC 8216bis §4).
pub const CONTENT_TYPE: &str = "application/vnd.apple.mpegurl";
