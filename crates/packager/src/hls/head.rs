//! How every playlist begins: `EXTM3U`, the version, variables, the start (RFC 8216bis §4.4.1 and
//! §4.4.2); and what variables add to the URLs that it names.

use std::fmt::Write as _;

use super::tag::Tag;
use crate::selection::{Selection, seconds};

/// What a playlist needs of a player, as far as `EXT-X-VERSION` counts it (RFC 8216bis §8). The
/// version of a playlist is the highest among these, and no higher; a multivariant playlist also
/// counts what its media playlists need, since it speaks for its media too (§4.4.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Needs {
    /// `EXTINF` with fractions, and nothing more: what the oldest players know.
    Fractions = 3,
    /// `EXT-X-I-FRAMES-ONLY`, whose segments need no `EXT-X-MAP`.
    IFrames = 4,
    /// `EXT-X-MAP` in a playlist of I-frames.
    IFrameMap = 5,
    /// `EXT-X-MAP` in a playlist of whole segments.
    Map = 6,
    /// `EXT-X-DEFINE` with `QUERYPARAM`.
    QueryParameter = 11,
}

/// Begins a playlist that needs this.
pub(super) fn head(out: &mut String, needs: Needs, selection: &Selection) {
    let needs = if selection.define.is_empty() { needs } else { needs.max(Needs::QueryParameter) };
    // Writing into a String never fails.
    let _ = writeln!(out, "#EXTM3U\n#EXT-X-VERSION:{}", needs as u8);
    // Media playlists read the variables from their own URLs, not by `IMPORT`: so they also work
    // without the multivariant playlist before them (§4.4.2.3).
    for name in &selection.define {
        Tag::new("EXT-X-DEFINE").quoted("QUERYPARAM", name).end(out);
    }
}

/// `EXT-X-START` (§4.4.2.2), where one is asked for; at most `duration_millis` from either end.
pub(super) fn start(out: &mut String, selection: &Selection, duration_millis: i64) {
    if let Some(millis) = selection.start_millis {
        let most = duration_millis.max(0);
        let offset = seconds(millis.clamp(-most, most));
        Tag::new("EXT-X-START").bare("TIME-OFFSET", offset).flag("PRECISE", true).end(out);
    }
}

/// What is appended to the URLs of segments.
pub(super) fn segment_query(selection: &Selection) -> String {
    query(selection, "")
}

/// What is appended to the URLs of playlists: they, too, are told to define.
pub(super) fn playlist_query(selection: &Selection) -> String {
    query(selection, &format!("define={}&", selection.define.join(",")))
}

fn query(selection: &Selection, first: &str) -> String {
    if selection.define.is_empty() {
        return String::new();
    }
    let variables: Vec<_> =
        selection.define.iter().map(|name| format!("{name}={{${name}}}")).collect();
    format!("?{first}{}", variables.join("&"))
}
