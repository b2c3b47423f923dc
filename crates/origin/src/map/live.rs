//! The live edge of a rendition: how its playlist moves on, and what may be asked for before it is
//! there (RFC 8216 §6.2.1; draft-pantos-hls-rfc8216bis §4.4.3.8, §4.4.5.3, §6.2.5.2).

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use super::track::Target;
use super::url::Url;

/// What a manifest says of its presentation that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Live {
    /// About how long a segment is, and so how often the manifest changes: the target duration of
    /// HLS, `minimumUpdatePeriod` of DASH. At least a second.
    pub target: Duration,
    /// Whether a request may wait at the origin for what is not there yet (`CAN-BLOCK-RELOAD`).
    pub can_block: bool,
    /// The media sequence number of the next segment, and the number of its next part where
    /// segments have parts.
    pub next: (u64, Option<u32>),
    /// What the origin says it will have next (`EXT-X-PRELOAD-HINT`); at most [`MAX_PRELOADS`]. What grows in a
    /// file that begins with the segment is that file; in one that began earlier it is a range without an
    /// end ([`Target::is_open`]), and no fetch of its own.
    pub preloads: Vec<Target>,
    /// Parts of its segments, by when they are.
    pub(super) parts: Vec<Part>,
}

/// Preload hints that are kept of one playlist: one part and one init segment are usual.
pub const MAX_PRELOADS: usize = 2;

/// Parts that are kept of one playlist, the newest: they stand in its last three target durations (§4.4.4.9).
const MAX_PARTS: usize = 256;

/// A part of a segment (§4.4.4.9), listed or announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The index of its segment; that of one that is not complete is the one after the last.
    pub(super) segment: u32,
    /// Which part of it, from 0.
    pub(super) number: u32,
    pub(super) target: Target,
}

impl Live {
    /// The request for the version of `playlist` that has what comes next: it waits at the origin
    /// until that is there. `None` where the origin does not offer that.
    pub(super) fn blocking(&self, playlist: &Url) -> Option<Url> {
        let (number, part) = self.next;
        self.can_block.then(|| playlist.with_directives(number, part)).flatten()
    }
}

/// The tags of one media playlist that tell of its live edge.
#[derive(Debug, Default)]
pub(super) struct Tags {
    /// Segments that a delta update leaves out (§4.4.5.2).
    pub(super) skipped: u64,
    can_block: bool,
    has_parts: bool,
    /// Parts of the segment that is not complete.
    parts: u32,
    /// The newest parts: before how many segments each stands, which one of its segment it is, and what
    /// its tag says.
    listed_parts: VecDeque<(u32, u32, String)>,
    preloads: Vec<String>,
    /// Segments that are not there (§4.4.4.7), counted from the first that is listed.
    pub(super) gaps: Vec<u32>,
    /// Whether the next segment is one.
    gap: bool,
    /// Segments so far.
    listed: u32,
}

impl Tags {
    /// Takes note of one line. The lines of a playlist are given in their order.
    pub(super) fn note(&mut self, line: &str) {
        if let Some(list) = line.strip_prefix("#EXT-X-SERVER-CONTROL:") {
            self.can_block = attribute(list, "CAN-BLOCK-RELOAD") == Some("YES");
        } else if line.starts_with("#EXT-X-PART-INF:") {
            self.has_parts = true;
        } else if let Some(list) = line.strip_prefix("#EXT-X-PART:") {
            if self.listed_parts.len() >= MAX_PARTS {
                self.listed_parts.pop_front();
            }
            self.listed_parts.push_back((self.listed, self.parts, list.to_owned()));
            self.parts = self.parts.saturating_add(1);
        } else if let Some(list) = line.strip_prefix("#EXT-X-SKIP:") {
            let skipped = attribute(list, "SKIPPED-SEGMENTS").and_then(|n| n.parse().ok());
            self.skipped = skipped.unwrap_or(0);
        } else if let Some(list) = line.strip_prefix("#EXT-X-PRELOAD-HINT:") {
            if self.preloads.len() < MAX_PRELOADS {
                self.preloads.push(list.to_owned());
            }
        } else if line == "#EXT-X-GAP" {
            self.gap = true;
        } else if !line.starts_with('#') && !line.is_empty() {
            self.parts = 0;
            if std::mem::take(&mut self.gap) {
                self.gaps.push(self.listed);
            }
            self.listed = self.listed.saturating_add(1);
        }
    }

    /// The parts that are listed, in their order, and the one that is announced; their segments are counted
    /// from the first that is listed.
    pub(super) fn parts(&self, playlist: &Url) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::with_capacity(self.listed_parts.len());
        for (segment, number, list) in &self.listed_parts {
            let url = attribute(list, "URI").and_then(|uri| playlist.resolve(uri));
            let Some(url) = url else { continue };
            let last = parts.last().map(|part| &part.target);
            let range = attribute(list, "BYTERANGE");
            let range = range.and_then(|text| part_range(text, &url, last));
            let target = Target { url, range };
            parts.push(Part { segment: *segment, number: *number, target });
        }
        let announced = self.preloads.iter().find(|list| attribute(list, "TYPE") == Some("PART"));
        if let Some(target) = announced.and_then(|list| hinted(playlist, list)) {
            parts.push(Part { segment: self.listed, number: self.parts, target });
        }
        parts
    }

    /// The live edge after `next`, the media sequence number of the first segment that is not
    /// listed.
    pub(super) fn live(&self, playlist: &Url, target: u64, next: u64) -> Live {
        let parts = self.parts(playlist);
        // Whether a file begins with the segment that is not complete, as far as its parts tell.
        let begins = |url: &Url| {
            let own = parts.iter().filter(|part| part.segment == self.listed);
            let mut at = own.filter(|part| part.target.url == *url).map(|part| &part.target.range);
            at.any(|range| range.as_ref().is_none_or(|range| range.start == 0))
        };
        // Of what grows, the cache has one fetch for all of its ranges.
        let preload = |list: &String| match hinted(playlist, list)? {
            target if target.is_open() && begins(&target.url) => {
                Some(Target { range: None, ..target })
            }
            target => Some(target),
        };
        Live {
            target: Duration::from_secs(target.max(1)),
            can_block: self.can_block,
            next: (next, self.has_parts.then_some(self.parts)),
            preloads: self.preloads.iter().filter_map(preload).collect(),
            parts: Vec::new(),
        }
    }
}

/// What a preload hint announces (§4.4.5.3): without a length, all from its start on.
fn hinted(playlist: &Url, list: &str) -> Option<Target> {
    let url = playlist.resolve(attribute(list, "URI")?)?;
    let number = |name| attribute(list, name).and_then(|n| n.parse::<u64>().ok());
    let start = number("BYTERANGE-START").unwrap_or(0);
    let range = match number("BYTERANGE-LENGTH") {
        Some(length) => Some(start..start.checked_add(length)?),
        None => (start > 0).then_some(start..u64::MAX),
    };
    Some(Target { url, range })
}

/// `length[@offset]` (§4.4.4.9); without an offset it begins where `last`, of the same file, ended.
fn part_range(text: &str, url: &Url, last: Option<&Target>) -> Option<Range<u64>> {
    let (length, offset) = match text.split_once('@') {
        Some((length, offset)) => (length, Some(offset.trim().parse().ok()?)),
        None => (text, None),
    };
    let follows = last.filter(|last| last.url == *url).and_then(|last| last.range.as_ref());
    let start: u64 = offset.or(follows.map(|range| range.end)).unwrap_or(0);
    Some(start..start.checked_add(length.trim().parse().ok()?)?)
}

/// The value of an attribute in a list of them (RFC 8216 §4.2), without its quotes.
pub(super) fn attribute<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = list;
    loop {
        let (key, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.find(',').map_or((after, ""), |comma| after.split_at(comma)),
        };
        if key.trim() == name {
            return Some(value.trim());
        }
        rest = after.trim_start_matches([',', ' ']);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn attributes_are_found_by_their_whole_name() {
        let list = "TYPE=PART,URI=\"a,b=c.mp4\", BYTERANGE-START=7,X-URI=\"no\"";
        assert_eq!(attribute(list, "URI"), Some("a,b=c.mp4"));
        assert_eq!(attribute(list, "BYTERANGE-START"), Some("7"));
        assert_eq!(attribute(list, "START"), None);
        for broken in ["", "URI", "URI=\"x", "=,=,="] {
            assert_eq!(attribute(broken, "URI"), None, "{broken}");
        }
    }

    #[test]
    fn the_next_part_is_that_of_the_segment_which_is_not_complete() {
        let at = Url::new("h", "/l.m3u8?a=1").unwrap();
        let mut tags = Tags::default();
        for line in [
            "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.0",
            "#EXT-X-PART-INF:PART-TARGET=0.33",
            "#EXT-X-PART:DURATION=0.33,URI=\"7.0.mp4\"",
            "7.mp4",
            "#EXT-X-PART:DURATION=0.33,URI=\"8.0.mp4\"",
            "#EXT-X-PART:DURATION=0.33,URI=\"8.1.mp4\"",
            "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"8.2.mp4\"",
        ] {
            tags.note(line);
        }
        let live = tags.live(&at, 4, 8);
        assert_eq!(live.next, (8, Some(2)));
        let waits = live.blocking(&at).unwrap();
        assert_eq!(waits.path_and_query(), "/l.m3u8?a=1&_HLS_msn=8&_HLS_part=2");
        assert_eq!(waits.without_directives(), at);
        assert_eq!(live.preloads[0].url.path(), "/8.2.mp4");

        let plain = Tags::default().live(&at, 0, 8);
        assert_eq!((plain.blocking(&at), plain.target), (None, Duration::from_secs(1)));
    }
}
