//! Media playlists of one track each (RFC 8216bis §4.4.3 and §4.4.4).

use std::fmt::Write as _;

use super::head::{Needs, head, segment_query, start};
use super::tag::Tag;
use crate::media::Media;
use crate::rates;
use crate::selection::Selection;
use crate::track::TrackId;

/// The media playlist of a track; `None` for an unknown track.
pub(crate) fn media_playlist(
    media: &Media,
    selection: &Selection,
    track: TrackId,
) -> Option<String> {
    let clock = Clock::new(media.track(track)?.timescale.get());
    let spans = media.spans(track);
    let folder = format!("{}/{track}", media.version());
    let query = segment_query(selection);
    let mut out = String::with_capacity(256 + spans.len() * (folder.len() + query.len() + 32));
    head(&mut out, Needs::Map, selection);
    start(&mut out, selection, media.duration().as_millis());
    // Writing into a String never fails.
    let _ = writeln!(out, "#EXT-X-TARGETDURATION:{}", rates::target_duration(media));
    // Segments are numbered from 1 in their URLs; the playlist counts them the same way.
    out.push_str("#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-PLAYLIST-TYPE:VOD\n");
    if media.independent_segments() {
        out.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    }
    Tag::new("EXT-X-MAP").quoted("URI", &format!("{folder}/init.mp4{query}")).end(&mut out);
    let origin = spans.first().map_or(0, |span| span.start);
    for (number, span) in (1_u32..).zip(spans) {
        clock.extinf(&mut out, span.start.saturating_sub(origin), span.duration);
        let _ = writeln!(out, "{folder}/{number}.m4s{query}");
    }
    out.push_str("#EXT-X-ENDLIST\n");
    Some(out)
}

/// Ticks of a track as seconds of a playlist.
///
/// `EXTINF` has microseconds. Each is the difference of two rounded segment times, so their sum is
/// never more than a microsecond off, however many there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    hertz: u32,
}

impl Clock {
    pub(super) fn new(hertz: u32) -> Self {
        Self { hertz: hertz.max(1) }
    }

    fn micros(self, ticks: u64) -> u128 {
        let scaled = u128::from(ticks) * 1_000_000;
        (scaled + u128::from(self.hertz / 2)) / u128::from(self.hertz)
    }

    /// The length of a segment that begins `from` ticks after the first (§4.4.4.1).
    pub(super) fn extinf(self, out: &mut String, from: u64, duration: u64) {
        let length = self.micros(from.saturating_add(duration)) - self.micros(from);
        let (whole, fraction) = (length / 1_000_000, length % 1_000_000);
        // Writing into a String never fails.
        let _ = writeln!(out, "#EXTINF:{whole}.{fraction:06},");
    }
}
