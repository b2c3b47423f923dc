//! A playlist: its tags with their lines, and what a media playlist's segments are
//! (RFC 8216bis §4.4).

use std::collections::BTreeMap;
use std::ops::Range;

use super::attributes::{Attributes, Value};
use super::lex::{Kind, Line, lines};
use crate::fetch::{Answer, Url};
use crate::limits::MAX_SEGMENTS;

/// A playlist that was fetched.
#[derive(Debug)]
pub(crate) struct Playlist {
    pub(crate) url: Url,
    /// The bytes, whatever they are.
    pub(crate) answer: Answer,
    pub(crate) lines: Vec<Line>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) segments: Vec<Segment>,
    pub(crate) maps: Vec<Map>,
    /// Whether the text was UTF-8.
    pub(crate) is_utf8: bool,
    /// Variables that were used and are not defined, with their lines.
    pub(crate) undefined: Vec<(usize, String)>,
    /// URI lines by their numbers, with variables put in.
    uris: BTreeMap<usize, String>,
    /// Variables that it defines.
    pub(crate) variables: BTreeMap<String, String>,
}

/// A line `#EXT…`.
#[derive(Debug, Clone)]
pub(crate) struct Tag {
    pub(crate) line: usize,
    pub(crate) name: String,
    pub(crate) value: Option<String>,
    /// Of tags that have them; variables are substituted.
    pub(crate) attributes: Attributes,
}

/// A media segment with what applies to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Segment {
    /// The line of its URI.
    pub(crate) line: usize,
    pub(crate) url: Option<Url>,
    /// The line and text of its EXTINF.
    pub(crate) info: Option<(usize, String)>,
    pub(crate) duration: Option<f64>,
    /// The byte range, or why there is none though there is a tag.
    pub(crate) range: Option<Result<Range<u64>, String>>,
    pub(crate) range_line: usize,
    pub(crate) map: Option<usize>,
    pub(crate) discontinuity: bool,
    pub(crate) gap: bool,
    /// Whether its bytes are encrypted as a whole.
    pub(crate) sealed: bool,
}

/// `EXT-X-MAP`.
#[derive(Debug, Clone)]
pub(crate) struct Map {
    pub(crate) url: Option<Url>,
    pub(crate) range: Option<Range<u64>>,
}

/// Tags whose value is an attribute list.
const WITH_ATTRIBUTES: [&str; 18] = [
    "EXT-X-MEDIA",
    "EXT-X-STREAM-INF",
    "EXT-X-I-FRAME-STREAM-INF",
    "EXT-X-SESSION-DATA",
    "EXT-X-SESSION-KEY",
    "EXT-X-CONTENT-STEERING",
    "EXT-X-START",
    "EXT-X-DEFINE",
    "EXT-X-KEY",
    "EXT-X-MAP",
    "EXT-X-DATERANGE",
    "EXT-X-PART",
    "EXT-X-PART-INF",
    "EXT-X-SERVER-CONTROL",
    "EXT-X-SKIP",
    "EXT-X-PRELOAD-HINT",
    "EXT-X-RENDITION-REPORT",
    "EXT-X-IMAGE-STREAM-INF",
];

impl Playlist {
    /// Reads a playlist; `outer` are the variables of the multivariant playlist it came from.
    pub(crate) fn read(url: Url, answer: Answer, outer: &BTreeMap<String, String>) -> Self {
        let text = String::from_utf8_lossy(&answer.bytes);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned();
        let is_utf8 = std::str::from_utf8(&answer.bytes).is_ok();
        let lines = lines(&text);
        let mut playlist = Self {
            url,
            answer,
            tags: Vec::new(),
            segments: Vec::new(),
            maps: Vec::new(),
            is_utf8,
            undefined: Vec::new(),
            uris: BTreeMap::new(),
            variables: BTreeMap::new(),
            lines: Vec::new(),
        };
        let mut state = State::default();
        for line in &lines {
            match &line.kind {
                Kind::Tag { name, value } => {
                    playlist.tag(line.number, name, value.as_deref(), outer, &mut state);
                }
                Kind::Uri(uri) => playlist.uri(line.number, uri, &mut state),
                Kind::Blank | Kind::Comment => {}
            }
        }
        playlist.lines = lines;
        playlist
    }

    /// Where a line of it is, for people.
    pub(crate) fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.url)
    }

    /// Where it is, for people.
    pub(crate) fn place(&self) -> String {
        self.url.to_string()
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Tag> {
        self.tags.iter().filter(move |tag| tag.name == name)
    }

    pub(crate) fn first(&self, name: &str) -> Option<&Tag> {
        self.tags.iter().find(|tag| tag.name == name)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// The integer after a tag's colon.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.first(name)?.value.as_deref()?.trim().parse().ok()
    }

    /// What `EXT-X-VERSION` says; 1 where it is absent.
    pub(crate) fn version(&self) -> u64 {
        self.number("EXT-X-VERSION").unwrap_or(1)
    }

    pub(crate) fn is_multivariant(&self) -> bool {
        ["EXT-X-STREAM-INF", "EXT-X-MEDIA", "EXT-X-I-FRAME-STREAM-INF"]
            .iter()
            .any(|name| self.has(name))
    }

    pub(crate) fn is_live(&self) -> bool {
        !self.has("EXT-X-ENDLIST") && self.playlist_type() != Some("VOD")
    }

    pub(crate) fn playlist_type(&self) -> Option<&str> {
        self.first("EXT-X-PLAYLIST-TYPE")?.value.as_deref()
    }

    /// The sum of all EXTINF durations, in seconds.
    pub(crate) fn duration(&self) -> f64 {
        self.segments.iter().filter_map(|segment| segment.duration).sum()
    }

    /// Follows a reference from this playlist.
    pub(crate) fn resolve(&self, uri: &str) -> Option<Url> {
        self.url.join(uri).ok()
    }

    /// The URI line that follows a line, and its number.
    pub(crate) fn uri_after(&self, line: usize) -> Option<(usize, String)> {
        let next = self
            .lines
            .iter()
            .skip(line)
            .find(|next| matches!(next.kind, Kind::Tag { .. } | Kind::Uri(_)))?;
        Some((next.number, self.uris.get(&next.number)?.clone()))
    }

    fn tag(
        &mut self,
        line: usize,
        name: &str,
        value: Option<&str>,
        outer: &BTreeMap<String, String>,
        state: &mut State,
    ) {
        let mut attributes = Attributes::default();
        if WITH_ATTRIBUTES.contains(&name) {
            attributes = Attributes::parse(value.unwrap_or(""));
            for (_, value) in &mut attributes.list {
                if let Value::Quoted(text) = value {
                    *text = self.substitute(line, text);
                }
            }
        }
        let tag = Tag { line, name: name.to_owned(), value: value.map(str::to_owned), attributes };
        match name {
            "EXT-X-DEFINE" => self.define(&tag.attributes, outer),
            "EXTINF" => {
                let value = value.unwrap_or("");
                let number = value.split(',').next().unwrap_or("").trim();
                state.next.duration =
                    number.parse().ok().filter(|seconds: &f64| seconds.is_finite());
                state.next.info = Some((line, value.to_owned()));
            }
            "EXT-X-BYTERANGE" => {
                state.byte_range = value.map(str::to_owned);
                state.next.range_line = line;
            }
            "EXT-X-DISCONTINUITY" => state.next.discontinuity = true,
            "EXT-X-GAP" => state.next.gap = true,
            "EXT-X-KEY" => {
                state.sealed = tag.attributes.text("METHOD") == Some("AES-128");
            }
            "EXT-X-MAP" => {
                let url = tag.attributes.text("URI").and_then(|uri| self.resolve(uri));
                let range = tag.attributes.text("BYTERANGE").and_then(|text| range(text, None));
                state.map = Some(self.maps.len());
                self.maps.push(Map { url, range });
            }
            _ => {}
        }
        self.tags.push(tag);
    }

    fn uri(&mut self, line: usize, uri: &str, state: &mut State) {
        let uri = self.substitute(line, uri);
        let url = self.resolve(uri.trim());
        self.uris.insert(line, uri);
        let mut segment = std::mem::take(&mut state.next);
        // Of a multivariant playlist this is a variant, not a segment.
        let in_media = segment.info.is_some() || !self.has("EXT-X-STREAM-INF");
        segment.line = line;
        segment.map = state.map;
        segment.sealed = state.sealed;
        if let Some(text) = state.byte_range.take() {
            let before = state.last.as_ref().filter(|(last, _)| Some(last) == url.as_ref());
            let read = range(&text, before.map(|(_, end)| *end));
            segment.range = Some(read.ok_or(text));
        }
        state.last = match (&url, &segment.range) {
            (Some(url), Some(Ok(range))) => Some((url.clone(), range.end)),
            _ => None,
        };
        segment.url = url;
        if in_media && self.segments.len() < MAX_SEGMENTS {
            self.segments.push(segment);
        }
    }

    /// §4.4.2.3.
    fn define(&mut self, attributes: &Attributes, outer: &BTreeMap<String, String>) {
        let found = if let Some(name) = attributes.text("NAME") {
            attributes.text("VALUE").map(|value| (name, value.to_owned()))
        } else if let Some(name) = attributes.text("IMPORT") {
            outer.get(name).map(|value| (name, value.clone()))
        } else {
            attributes.text("QUERYPARAM").and_then(|name| {
                let pair = self.url.query_pairs().find(|(key, _)| key == name);
                pair.map(|(_, value)| (name, value.into_owned()))
            })
        };
        if let Some((name, value)) = found {
            self.variables.insert(name.to_owned(), value);
        }
    }

    /// §4.3: `{$name}`.
    fn substitute(&mut self, line: usize, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{$") {
            out.push_str(before);
            let Some((name, remaining)) = after.split_once('}') else {
                out.push_str("{$");
                rest = after;
                continue;
            };
            match self.variables.get(name) {
                Some(value) => out.push_str(value),
                None => self.undefined.push((line, name.to_owned())),
            }
            rest = remaining;
        }
        out.push_str(rest);
        out
    }
}

/// What the lines before a segment's URI have said.
#[derive(Default)]
struct State {
    next: Segment,
    byte_range: Option<String>,
    map: Option<usize>,
    sealed: bool,
    /// The URL of the range before, and where it ended.
    last: Option<(Url, u64)>,
}

/// `n[@o]` (§4.4.4.2): without an offset it begins where the range before ended.
fn range(text: &str, before: Option<u64>) -> Option<Range<u64>> {
    let (length, start) = match text.split_once('@') {
        Some((length, start)) => (length, start.parse().ok()?),
        None => (text, before?),
    };
    let length: u64 = length.parse().ok()?;
    Some(start..start.checked_add(length)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

    use super::*;

    fn read(text: &str) -> Playlist {
        let answer = Answer { bytes: text.to_owned().into(), ..Answer::default() };
        Playlist::read(
            Url::parse("https://a.example/x/y.m3u8?k=v").unwrap(),
            answer,
            &BTreeMap::new(),
        )
    }

    #[test]
    fn ranges_follow_each_other_within_one_resource() {
        let playlist = read(
            "#EXTM3U\n#EXTINF:1,\n#EXT-X-BYTERANGE:10@5\na\n#EXTINF:1,\n#EXT-X-BYTERANGE:3\na\n\
             #EXTINF:1,\n#EXT-X-BYTERANGE:3\nb\n",
        );
        let ranges: Vec<_> =
            playlist.segments.iter().map(|segment| segment.range.clone().unwrap()).collect();
        assert_eq!(ranges, [Ok(5..15), Ok(15..18), Err("3".to_owned())]);
    }

    #[test]
    fn variables_are_put_in_and_missing_ones_noted() {
        let playlist = read(
            "#EXTM3U\n#EXT-X-DEFINE:NAME=\"n\",VALUE=\"seg\"\n#EXT-X-DEFINE:QUERYPARAM=\"k\"\n\
             #EXTINF:1,\n{$n}/{$k}/{$z}1.ts\n",
        );
        assert_eq!(playlist.segments[0].url.as_ref().unwrap().path(), "/x/seg/v/1.ts");
        assert_eq!(playlist.undefined, [(5, "z".to_owned())]);
    }
}
