//! Media playlists: of a track, of a pair, of a transport stream, of I-frames, of a track's file
//! (RFC 8216bis §4.4.3 and §4.4.4).

use std::fmt::Write as _;

use super::head::{Needs, head, segment_query, start};
use super::kind::{end_list, playlist_type};
use super::tag::Tag;
use crate::media::Media;
use crate::pair::Pair;
use crate::rates;
use crate::segments::SegmentSpan;
use crate::selection::Selection;
use crate::track::TrackId;
use crate::track_file::FileKind;
use crate::ts::Program;
use crate::units::Timescale;

/// The media playlist of a track; `None` for an unknown track.
pub(crate) fn media_playlist(
    media: &Media,
    selection: &Selection,
    track: TrackId,
) -> Option<String> {
    let timescale = media.track(track)?.timescale;
    let mut list = List::new(media, selection, Needs::Map, rates::target_duration(media));
    list.begin(media.independent_segments());
    let folder = format!("{}/{track}", media.version());
    list.numbered(&folder, timescale, media.spans(track));
    Some(list.end())
}

/// The media playlist of a picture with a sound in common segments; `None` for an unknown pair.
pub(crate) fn muxed_playlist(media: &Media, selection: &Selection, pair: Pair) -> Option<String> {
    let timescale = media.track(pair.video())?.timescale;
    let spans = media.muxed_spans(pair)?;
    let mut list = List::new(media, selection, Needs::Map, rates::target_duration(media));
    list.begin(media.independent_segments());
    list.numbered(&format!("{}/{pair}", media.version()), timescale, &spans);
    Some(list.end())
}

/// The media playlist of a transport stream; `None` where there is none.
pub(crate) fn ts_playlist(
    media: &Media,
    selection: &Selection,
    program: Program,
) -> Option<String> {
    let first = program.video().or(program.audio())?;
    let timescale = media.track(first)?.timescale;
    let spans = media.ts_spans(program)?;
    let mut list = List::new(media, selection, Needs::Fractions, rates::target_duration(media));
    list.begin(media.independent_segments());
    list.packets(media, &program.to_string(), timescale, &spans);
    Some(list.end())
}

/// The playlist of a picture's I-frames as MPEG-TS; `None` where it has none.
pub(crate) fn iframe_ts_playlist(
    media: &Media,
    selection: &Selection,
    track: TrackId,
) -> Option<String> {
    let timescale = media.track(track)?.timescale;
    let spans = media.ts_iframe_spans(track);
    spans.first()?;
    let target = rates::target_of(&spans, timescale);
    let mut list = List::new(media, selection, Needs::IFrames, target);
    list.begin(true);
    list.out.push_str("#EXT-X-I-FRAMES-ONLY\n");
    list.packets(media, &format!("{track}.iframes"), timescale, &spans);
    Some(list.end())
}

/// The playlist of a picture's I-frames (§4.4.3.6); `None` where it has none. Its target duration
/// is its own, which §6.2.4 allows it.
pub(crate) fn iframe_playlist(
    media: &Media,
    selection: &Selection,
    track: TrackId,
) -> Option<String> {
    let timescale = media.track(track)?.timescale;
    let spans = media.iframe_spans(track);
    let target = rates::target_of(&spans, timescale);
    spans.first()?;
    let mut list = List::new(media, selection, Needs::IFrameMap, target);
    // I-frames need no other picture, whatever the segments do.
    list.begin(true);
    list.out.push_str("#EXT-X-I-FRAMES-ONLY\n");
    list.numbered(&format!("{}/{track}.iframes", media.version()), timescale, &spans);
    Some(list.end())
}

/// The media playlist of a track over byte ranges of its file (§4.4.4.2); `None` where there is no
/// such file.
pub(crate) fn single_playlist(
    media: &Media,
    selection: &Selection,
    track: TrackId,
) -> Option<String> {
    let timescale = media.track(track)?.timescale;
    let map = media.file_map(track, FileKind::Segments)?;
    let mut list = List::new(media, selection, Needs::Map, rates::target_duration(media));
    list.begin(media.independent_segments());
    let uri = format!("{}/{track}/track.mp4{}", media.version(), list.query);
    Tag::new("EXT-X-MAP")
        .quoted("URI", &uri)
        .quoted("BYTERANGE", &format!("{}@0", map.init.end))
        .end(&mut list.out);
    let mut at = map.index.end;
    list.each(timescale, media.spans(track), |out, _, span| {
        // Writing into a String never fails.
        let _ = writeln!(out, "#EXT-X-BYTERANGE:{}@{at}\n{uri}", span.bytes);
        at += span.bytes;
    });
    Some(list.end())
}

/// A media playlist that is being written.
struct List {
    out: String,
    /// What it says of whether segments are to come, in front and at the end.
    kind: &'static str,
    ending: &'static str,
    /// What is appended to the URLs of segments.
    query: String,
}

impl List {
    fn new(media: &Media, selection: &Selection, needs: Needs, target: u64) -> Self {
        let mut out = String::new();
        head(&mut out, needs, selection);
        start(&mut out, selection, media.duration().as_millis());
        // Writing into a String never fails.
        let _ = writeln!(out, "#EXT-X-TARGETDURATION:{target}");
        Self {
            out,
            kind: playlist_type(media),
            ending: end_list(media),
            query: segment_query(selection),
        }
    }

    /// What is true of all segments. They are numbered from 1 in their URLs; the playlist counts
    /// them the same way.
    fn begin(&mut self, independent: bool) {
        self.out.push_str("#EXT-X-MEDIA-SEQUENCE:1\n");
        self.out.push_str(self.kind);
        if independent {
            self.out.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
        }
    }

    /// An init segment and numbered segments in a folder.
    fn numbered(&mut self, folder: &str, timescale: Timescale, spans: &[SegmentSpan]) {
        let query = std::mem::take(&mut self.query);
        self.out.reserve(256 + spans.len() * (folder.len() + query.len() + 32));
        let map = format!("{folder}/init.mp4{query}");
        Tag::new("EXT-X-MAP").quoted("URI", &map).end(&mut self.out);
        self.each(timescale, spans, |out, number, _| {
            // Writing into a String never fails.
            let _ = writeln!(out, "{folder}/{number}.m4s{query}");
        });
    }

    /// The key where there is one, and numbered segments of MPEG-TS in a folder of the version.
    fn packets(
        &mut self,
        media: &Media,
        folder: &str,
        timescale: Timescale,
        spans: &[SegmentSpan],
    ) {
        let query = std::mem::take(&mut self.query);
        let version = media.version();
        if let Some(key) = media.segment_key() {
            // Without an IV attribute it is the media sequence number (RFC 8216bis §5.2).
            let own = format!("{version}/segments.key{query}");
            let uri = key.uri().unwrap_or(&own);
            Tag::new("EXT-X-KEY").bare("METHOD", "AES-128").quoted("URI", uri).end(&mut self.out);
        }
        self.each(timescale, spans, |out, number, _| {
            // Writing into a String never fails.
            let _ = writeln!(out, "{version}/{folder}/{number}.ts{query}");
        });
    }

    /// `EXTINF` of each segment, and what `line` writes after it.
    fn each(
        &mut self,
        timescale: Timescale,
        spans: &[SegmentSpan],
        mut line: impl FnMut(&mut String, u32, &SegmentSpan),
    ) {
        let clock = Clock::new(timescale.get());
        let origin = spans.first().map_or(0, |span| span.start);
        for (number, span) in (1_u32..).zip(spans) {
            clock.extinf(&mut self.out, span.start.saturating_sub(origin), span.duration);
            line(&mut self.out, number, span);
        }
    }

    fn end(mut self) -> String {
        self.out.push_str(self.ending);
        self.out
    }
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
