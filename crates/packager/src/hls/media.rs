//! The media playlist of one track (RFC 8216bis §4.4.2 to §4.4.5).

use std::fmt::Write as _;

use super::{VERSION, tag::Tag};
use crate::media::Media;
use crate::rates;
use crate::track::TrackId;

/// The media playlist of a track; `None` for an unknown track.
///
/// `EXTINF` has microseconds. Each is the difference of two rounded segment times, so their sum is
/// never more than a microsecond off, however many there are.
pub fn media_playlist(media: &Media, track: TrackId) -> Option<String> {
    let timescale = media.track(track)?.timescale.get();
    let spans = media.spans(track);
    let folder = format!("{}/{track}", media.version());
    let mut out = String::with_capacity(256 + spans.len() * (folder.len() + 32));
    // Writing into a String never fails.
    let _ = writeln!(out, "#EXTM3U\n#EXT-X-VERSION:{VERSION}");
    let _ = writeln!(out, "#EXT-X-TARGETDURATION:{}", rates::target_duration(media));
    // Segments are numbered from 1 in their URLs; the playlist counts them the same way.
    out.push_str("#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-PLAYLIST-TYPE:VOD\n");
    out.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    Tag::new("EXT-X-MAP").quoted("URI", &format!("{folder}/init.mp4")).end(&mut out);
    let origin = spans.first().map_or(0, |span| span.start);
    let micros = |ticks: u64| {
        let scaled = u128::from(ticks) * 1_000_000;
        (scaled + u128::from(timescale / 2)) / u128::from(timescale)
    };
    for (number, span) in (1_u32..).zip(spans) {
        let from = span.start.saturating_sub(origin);
        let length = micros(from.saturating_add(span.duration)) - micros(from);
        let (whole, fraction) = (length / 1_000_000, length % 1_000_000);
        let _ = writeln!(out, "#EXTINF:{whole}.{fraction:06},\n{folder}/{number}.m4s");
    }
    out.push_str("#EXT-X-ENDLIST\n");
    Some(out)
}
