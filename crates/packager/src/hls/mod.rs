//! HLS playlists (RFC 8216bis), written exactly: attributes in a fixed order, times from whole
//! ticks, one text for one asset.
//!
//! A multivariant playlist names the media playlists beside it, and those name segments below the
//! folder of the asset's version; all URLs are relative, so that any prefix works.

mod media;
mod multivariant;
mod tag;

pub use media::media_playlist;
pub use multivariant::multivariant_playlist;

/// The media type of playlists (RFC 8216bis §4).
pub const CONTENT_TYPE: &str = "application/vnd.apple.mpegurl";

/// `EXT-X-VERSION`: 6 is the lowest for `EXT-X-MAP` in a playlist of whole segments (RFC 8216bis
/// §8); it speaks for a playlist's media too, so the multivariant one says the same.
const VERSION: u8 = 6;
