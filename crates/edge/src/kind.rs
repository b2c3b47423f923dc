//! What kind of object a request or an answer is about, as far as an edge needs to know: manifests,
//! init segments, segments of sound and of pictures, text, keys, anything else.
//!
//! A guess from names and types, never from bytes. Where a player says it itself (CMCD's `ot`), that
//! counts.

use headwater_proto::cmcd::Object;
use http::{HeaderMap, HeaderValue, header};

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A playlist, an MPD, a list of segments.
    Manifest,
    /// An init segment.
    Init,
    /// A segment of sound.
    Audio,
    /// A segment of pictures, or of both.
    Video,
    /// Subtitles, or thumbnails' index.
    Text,
    /// A key or a licence.
    Key,
    /// None of these.
    Other,
}

/// Endings of names, with what they are names of. Those of segments say nothing of what is in them.
const ENDINGS: [(&str, Kind); 17] = [
    ("m3u8", Kind::Manifest),
    ("mpd", Kind::Manifest),
    ("m4s", Kind::Video),
    ("m4v", Kind::Video),
    ("ts", Kind::Video),
    ("cmfv", Kind::Video),
    ("mp4", Kind::Video),
    ("webm", Kind::Video),
    ("m4a", Kind::Audio),
    ("aac", Kind::Audio),
    ("cmfa", Kind::Audio),
    ("mp3", Kind::Audio),
    ("vtt", Kind::Text),
    ("ttml", Kind::Text),
    ("cmft", Kind::Text),
    ("key", Kind::Key),
    ("jpg", Kind::Other),
];

impl Kind {
    /// What a path's last segment looks like.
    pub fn of_path(path: &str) -> Self {
        // The end of a path is short: it is looked at from there, byte by byte.
        let mut back = path.bytes().rev();
        let Some(length) = back.position(|byte| matches!(byte, b'.' | b'/')) else {
            return Self::Other;
        };
        let (rest, ending) = path.split_at(path.len() - length);
        let Some(rest) = rest.strip_suffix('.') else { return Self::Other };
        let stem = rest.rsplit('/').next().unwrap_or_default();
        let known = ENDINGS.iter().find(|(known, _)| known.eq_ignore_ascii_case(ending));
        match known.map(|(_, kind)| *kind) {
            Some(Self::Video | Self::Audio) if is_init(stem) => Self::Init,
            Some(kind) => kind,
            None => Self::Other,
        }
    }

    /// What an answer's type says, with the [path's guess](Kind::of_path) where that says too little: an
    /// init segment has the type of its segments.
    pub fn of_answer(headers: &HeaderMap, guess: Self) -> Self {
        let media = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        let media = media.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let is = |known: &[u8]| media.eq_ignore_ascii_case(known);
        let begins = |known: &[u8]| {
            media.get(..known.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(known))
        };
        if is(b"application/vnd.apple.mpegurl")
            || is(b"application/dash+xml")
            || is(b"audio/mpegurl")
            || is(b"application/x-mpegurl")
        {
            Self::Manifest
        } else if begins(b"video/") || begins(b"audio/") || is(b"application/mp4") {
            match guess {
                Self::Init | Self::Text => guess,
                _ if begins(b"audio/") => Self::Audio,
                _ => Self::Video,
            }
        } else if is(b"text/vtt") || is(b"application/ttml+xml") {
            Self::Text
        } else {
            guess
        }
    }

    /// What a player says it is.
    pub const fn of_object(object: Object) -> Self {
        match object {
            Object::Manifest => Self::Manifest,
            Object::Audio => Self::Audio,
            Object::Video | Object::Muxed => Self::Video,
            Object::Init => Self::Init,
            Object::Caption | Object::TimedText => Self::Text,
            Object::Key => Self::Key,
            Object::Other => Self::Other,
        }
    }

    /// Whether it is part of a playback that is under way, and not what one begins with.
    pub const fn is_segment(self) -> bool {
        matches!(self, Self::Audio | Self::Video | Self::Text | Self::Init)
    }
}

/// Whether a name is one that init segments have.
fn is_init(stem: &str) -> bool {
    let begin = stem.get(..4).unwrap_or_default();
    begin.eq_ignore_ascii_case("init")
        || stem
            .get(stem.len().saturating_sub(4)..)
            .is_some_and(|end| end.eq_ignore_ascii_case("init"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn names_and_types_tell_what_it_is() {
        for (path, media, kind) in [
            ("/a/main.m3u8", "", Kind::Manifest),
            ("/a/main.MPD", "application/octet-stream", Kind::Manifest),
            ("/a/list", "application/vnd.apple.mpegurl; charset=utf-8", Kind::Manifest),
            ("/a/init.mp4", "video/mp4", Kind::Init),
            ("/a/v1-init.m4s", "audio/mp4", Kind::Init),
            ("/a/1.m4s", "video/mp4", Kind::Video),
            ("/a/1.m4s", "audio/mp4", Kind::Audio),
            ("/a/1", "Video/MP2T", Kind::Video),
            ("/a/1.vtt", "text/vtt", Kind::Text),
            ("/a/1.cmft", "application/mp4", Kind::Text),
            ("/a/k.key", "application/octet-stream", Kind::Key),
            ("/a.m4s/", "", Kind::Other),
            ("/page.html", "text/html", Kind::Other),
            ("/é", "", Kind::Other),
            ("/aéééinit.mp4", "", Kind::Init),
            ("/éé.mp4", "", Kind::Video),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, media.parse().unwrap());
            assert_eq!(Kind::of_answer(&headers, Kind::of_path(path)), kind, "{path} {media}");
        }
    }
}
