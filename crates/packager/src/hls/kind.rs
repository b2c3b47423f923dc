//! Whether a media playlist is complete, and how it says so (RFC 8216bis §4.4.3.4 and §4.4.3.5).

use crate::media::Media;

/// `EXT-X-PLAYLIST-TYPE`: VOD; of a recording EVENT, for it may have grown, and the type of a
/// playlist does not change (§6.2.1).
pub(super) fn playlist_type(media: &Media) -> &'static str {
    if media.recorded { "#EXT-X-PLAYLIST-TYPE:EVENT\n" } else { "#EXT-X-PLAYLIST-TYPE:VOD\n" }
}

/// `EXT-X-ENDLIST`, unless segments are still to come.
pub(super) fn end_list(media: &Media) -> &'static str {
    if media.growth().is_some() { "" } else { "#EXT-X-ENDLIST\n" }
}
