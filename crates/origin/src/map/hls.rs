//! What an HLS playlist says about where segments are (RFC 8216 §4), read by m3u8-rs.
//!
//! The text is cut down first to the tags that matter here, one clean line each. That bounds what
//! the parser keeps (it holds most of a kilobyte for every segment) and what it scans (an
//! attribute list without `=` makes it search to the end of the file), and keeps away what it
//! stumbles over: a title with two commas becomes a segment of its own.

use std::borrow::Cow;

use m3u8_rs::{ByteRange, Playlist};

use super::define::Variables;
use super::live::Tags;
use super::track::{Target, Track};
use super::url::{MAX_URL, Url};
use super::{Limits, MapError};

/// Attribute lists that are looked at in one playlist.
const MAX_ATTRIBUTE_LINES: usize = 1024;

/// What one playlist taught.
pub(super) enum Hls {
    /// A multivariant playlist: its media playlists, and what they may import.
    Multivariant(Vec<Listed>, Variables),
    /// A media playlist.
    Media(Box<Track>),
}

/// A media playlist that a multivariant one names.
pub(super) struct Listed {
    pub(super) url: Url,
    pub(super) bandwidth: Option<u64>,
    /// Those a player switches between have one number.
    pub(super) group: u32,
}

/// Of the variants, and of those with I-frames only; each further playlist is alone.
const VARIANTS: u32 = 0;
const I_FRAMES: u32 = 1;
const OTHERS: u32 = 2;

/// Reads a playlist that was found at `at`, and which may import from `outer`.
pub(super) fn read(
    at: &Url,
    bytes: &[u8],
    limits: &Limits,
    outer: Option<&Variables>,
) -> Result<Hls, MapError> {
    let Essence { text, tags, variables } = essence(at, bytes, limits, outer)?;
    match m3u8_rs::parse_playlist(text.as_bytes()) {
        Ok((_, Playlist::MasterPlaylist(list))) => {
            let mut found: Vec<Listed> = Vec::new();
            let variants = list.variants.iter().map(|variant| {
                let group = if variant.is_i_frame { I_FRAMES } else { VARIANTS };
                (variant.uri.as_str(), Some(variant.bandwidth), group)
            });
            let media = list.alternatives.iter().zip(OTHERS..);
            let media =
                media.filter_map(|(media, group)| Some((media.uri.as_deref()?, None, group)));
            for (uri, bandwidth, group) in variants.chain(media) {
                if let Some(url) = at.resolve(uri)
                    && found.len() < limits.renditions
                    && !found.iter().any(|known| known.url == url)
                {
                    found.push(Listed { url, bandwidth, group });
                }
            }
            Ok(Hls::Multivariant(found, variables))
        }
        Ok((_, Playlist::MediaPlaylist(list))) => {
            let first = list.media_sequence.saturating_add(tags.skipped);
            let mut track = Track::starting_at(first);
            // Where the next sub-range starts when it does not say (§4.3.2.2).
            let mut next: Option<(Url, u64)> = None;
            let mut gaps = tags.gaps.iter().peekable();
            for (segment, listed) in list.segments.iter().zip(0u32..) {
                let is_gap = gaps.next_if_eq(&&listed).is_some();
                if track.weight() > limits.presentation_bytes {
                    break;
                }
                if let Some(map) = &segment.map
                    && let Some(url) = at.resolve(&map.uri)
                {
                    let range = map.byte_range.as_ref().and_then(|r| range(r, 0));
                    track.push_init(Target { url, range });
                }
                let Some(url) = at.resolve(&segment.uri) else { continue };
                let range = segment.byte_range.as_ref().and_then(|r| {
                    let follows = next.as_ref().filter(|(last, _)| *last == url).map(|(_, at)| *at);
                    range(r, follows.unwrap_or(0))
                });
                next = range.as_ref().map(|range| (url.clone(), range.end));
                if segment.discontinuity {
                    track.timing.breaks_here();
                }
                if is_gap {
                    track.push_gap();
                }
                track.push(Target { url, range });
                track.timing.push(1, micros(segment.duration));
            }
            if !list.end_list {
                let next = first.saturating_add(u64::from(track.len()));
                track.set_live(tags.live(at, list.target_duration, next));
                // Of what was left out nobody knows which number it has.
                if track.len() as usize == list.segments.len() {
                    let left = limits.presentation_bytes.saturating_sub(track.weight());
                    track.set_parts(tags.parts(at), left);
                }
            }
            Ok(Hls::Media(Box::new(track)))
        }
        Err(_) => Err(MapError::Malformed),
    }
}

/// Seconds of an `EXTINF` in microseconds; what is no length is none.
fn micros(seconds: f32) -> u64 {
    // A cast saturates, and what is no number becomes zero.
    (f64::from(seconds) * 1e6).round() as u64
}

fn range(range: &ByteRange, follows: u64) -> Option<std::ops::Range<u64>> {
    let start = range.offset.unwrap_or(follows);
    Some(start..start.checked_add(range.length)?)
}

/// What of a playlist matters here.
struct Essence {
    /// The lines that say where things are, in their order.
    text: String,
    /// What others say of the live edge.
    tags: Tags,
    variables: Variables,
}

fn essence(
    at: &Url,
    bytes: &[u8],
    limits: &Limits,
    outer: Option<&Variables>,
) -> Result<Essence, MapError> {
    let text = std::str::from_utf8(bytes).map_err(|_| MapError::Malformed)?;
    let mut lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines().map(str::trim_end);
    if lines.next() != Some("#EXTM3U") {
        return Err(MapError::Malformed);
    }
    let mut kept = String::from("#EXTM3U\n");
    let (mut uris, mut attribute_lines) = (0usize, 0usize);
    let mut tags = Tags::default();
    let mut variables = Variables::default();
    // A short reference may stand for something long, in every line.
    let mut room = limits.manifest_bytes;
    for line in lines {
        if line.len() > MAX_URL + 1024 {
            continue;
        }
        let line = if holds_references(line) { variables.replaced(line)? } else { line.into() };
        if let Cow::Owned(line) = &line {
            room = room.checked_sub(line.len()).ok_or(MapError::TooLarge)?;
        }
        let line = &*line;
        if let Some(list) = line.strip_prefix("#EXT-X-DEFINE:") {
            variables.define(list, at, outer)?;
            continue;
        }
        tags.note(line);
        let line = if let Some(rest) = line.strip_prefix("#EXTINF:") {
            let duration = rest.split(',').next().unwrap_or("");
            kept.push_str("#EXTINF:");
            kept.push_str(duration);
            ","
        } else if line.starts_with("#EXT-X-STREAM-INF:")
            || line.starts_with("#EXT-X-I-FRAME-STREAM-INF:")
            || line.starts_with("#EXT-X-MEDIA:")
            || line.starts_with("#EXT-X-MAP:")
        {
            attribute_lines += 1;
            if attribute_lines > MAX_ATTRIBUTE_LINES || !line.contains('=') {
                continue;
            }
            line
        } else if line.starts_with("#EXT-X-BYTERANGE:")
            || line.starts_with("#EXT-X-TARGETDURATION:")
            || line.starts_with("#EXT-X-MEDIA-SEQUENCE:")
            || line == "#EXT-X-DISCONTINUITY"
            || line == "#EXT-X-ENDLIST"
        {
            line
        } else if line.starts_with('#') || line.is_empty() {
            continue;
        } else {
            uris += 1;
            if uris > limits.segments {
                break;
            }
            line
        };
        kept.push_str(line);
        kept.push('\n');
    }
    Ok(Essence { text: kept, tags, variables })
}

/// Whether a line is one of those that are read here, and may refer to variables.
fn holds_references(line: &str) -> bool {
    !line.starts_with('#') || (line.starts_with("#EXT-X-") && line.contains("{$"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]
    use super::*;

    fn media(text: &str) -> Track {
        let at = Url::new("h", "/a/v1.m3u8").unwrap();
        match read(&at, text.as_bytes(), &Limits::default(), None).unwrap() {
            Hls::Media(track) => *track,
            Hls::Multivariant(..) => panic!("a media playlist was taken for a multivariant one"),
        }
    }

    #[test]
    fn a_title_with_commas_is_not_a_segment() {
        let track = media(
            "#EXTM3U\r\n#EXT-X-TARGETDURATION:4\r\n#EXTINF:4.0,one, two, three\r\na.ts\r\n\
             #EXTINF:4,\r\nb.ts\r\n",
        );
        assert_eq!(track.len(), 2);
        assert_eq!(track.get(1).unwrap().url.as_str(), "//h/a/b.ts");
    }

    /// RFC 8216 §4.3.2.2: without an offset a sub-range follows the one before it. §4.3.2.5: a map
    /// holds for all segments after it.
    #[test]
    fn byte_ranges_follow_each_other_and_maps_last() {
        let track = media(
            "#EXTM3U\n#EXT-X-MAP:URI=\"all.mp4\",BYTERANGE=\"100@0\"\n#EXTINF:4,\n\
             #EXT-X-BYTERANGE:50@100\nall.mp4\n#EXTINF:4,\n#EXT-X-BYTERANGE:70\nall.mp4\n\
             #EXT-X-MAP:URI=\"other.mp4\"\n#EXTINF:4,\n3.m4s\n#EXT-X-ENDLIST\n",
        );
        assert_eq!(track.get(1).unwrap().range, Some(150..220));
        assert_eq!(track.init(1).unwrap().range, Some(0..100));
        assert_eq!(track.init(2).unwrap().url.as_str(), "//h/a/other.mp4");
    }

    /// RFC 8216bis §4.4.2.3: what a playlist names is what its variables say; where one is missing
    /// it names nothing.
    #[test]
    fn variables_are_replaced_wherever_a_url_may_stand() {
        let track = media(
            "#EXTM3U\n#EXT-X-DEFINE:NAME=\"p\",VALUE=\"v1\"\n\
             #EXT-X-DEFINE:NAME=\"q\",VALUE=\"{$p}/x\"\n#EXT-X-MAP:URI=\"{$p}/init.mp4\"\n\
             #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{$q}/3.mp4\"\n#EXTINF:4,{$title}\n{$p}/1.m4s\n\
             #EXT-X-UNKNOWN:{$p}\n#EXTINF:4,\n{$q}/2.m4s\n",
        );
        assert_eq!(track.get(0).unwrap().url.as_str(), "//h/a/v1/1.m4s");
        assert_eq!(track.get(1).unwrap().url.as_str(), "//h/a/v1/x/2.m4s");
        assert_eq!(track.init(0).unwrap().url.as_str(), "//h/a/v1/init.mp4");
        assert_eq!(track.live().unwrap().preloads[0].url.as_str(), "//h/a/v1/x/3.mp4");
        let at = Url::new("h", "/l.m3u8").unwrap();
        let limits = Limits { manifest_bytes: 9000, ..Limits::default() };
        let refused = |text: &str| read(&at, text.as_bytes(), &limits, None).err();
        for unknown in ["{$p}/1.ts", "#EXT-X-MAP:URI=\"{$p}\"", "#EXT-X-STREAM-INF:A=\"{$p}\""] {
            let text = format!("#EXTM3U\n{unknown}\n#EXTINF:4,\n2.ts\n");
            assert_eq!(refused(&text), Some(MapError::Malformed), "{unknown}");
        }
        let define = format!("#EXT-X-DEFINE:NAME=\"p\",VALUE=\"{}\"", "x".repeat(2000));
        let text = format!("#EXTM3U\n{define}\n{}", "{$p}\n".repeat(9));
        assert_eq!(refused(&text), Some(MapError::TooLarge), "many short lines, a long value");
    }

    #[test]
    fn a_gap_keeps_its_place_and_is_known_for_one() {
        let track = media(
            "#EXTM3U\n#EXTINF:4,\n1.ts\n#EXT-X-GAP\n#EXTINF:4,\n2.ts\n#EXTINF:4,\n#EXT-X-GAP\n3.ts\n\
             #EXTINF:4,\n4.ts\n",
        );
        let gaps: Vec<_> = (0..5).filter(|index| track.is_gap(*index)).collect();
        assert_eq!((track.len(), gaps), (4, vec![1, 2]));
    }

    #[test]
    fn an_endless_attribute_list_costs_no_endless_scan() {
        let text = format!("#EXTM3U\n{}", "#EXT-X-MAP:URI\n".repeat(140_000));
        assert_eq!(media(&text).len(), 0);
    }
}
