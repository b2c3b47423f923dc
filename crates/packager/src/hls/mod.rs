//! HLS playlists (RFC 8216bis), written exactly: attributes in a fixed order, times from whole
//! ticks, one text for one asset.
//!
//! A multivariant playlist names the media playlists beside it, and those name segments below the
//! folder of the asset's version; all URLs are relative, so that any prefix works.

mod groups;
mod head;
mod kind;
mod media;
mod multivariant;
mod tag;
mod variant;

pub(crate) use groups::default_sounds;
pub(crate) use media::{
    iframe_playlist, iframe_ts_playlist, media_playlist, muxed_playlist, single_playlist,
    ts_playlist,
};
pub(crate) use multivariant::{Form, multivariant_playlist, programs};

/// The media type of playlists (RFC 8216bis §4).
pub const CONTENT_TYPE: &str = "application/vnd.apple.mpegurl";
