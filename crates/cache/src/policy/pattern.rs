//! What a route is for: hosts and paths, by a pattern that is read once and matched in one pass.
//!
//! A pattern is `HOST/PATH` or `/PATH`. A host is a name with its port where URLs have one, or `*.`
//! and a name for all hosts below it; without one, any host. In a path `*` stands for any bytes
//! within a segment, once in each, and `**` for any number of segments, once.

use super::route::RuleError;
use crate::key::{self, Seen};

/// The most segments of a pattern.
const MAX_SEGMENTS: usize = 32;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    host: Host,
    head: Box<[Segment]>,
    /// What follows `**`, if that is there.
    tail: Option<Box<[Segment]>>,
}

#[derive(Clone, Debug)]
enum Host {
    Any,
    Is(Box<str>),
    /// With its dot in front.
    Below(Box<str>),
}

/// One segment: what it begins with, and what it ends with if something may be between.
#[derive(Clone, Debug)]
struct Segment {
    begin: Box<str>,
    end: Option<Box<str>>,
}

impl Pattern {
    pub(super) fn read(text: &str) -> Result<Self, RuleError> {
        let wrong = |why| Err(RuleError::Pattern { pattern: text.to_owned(), why });
        let Some((host, path)) = text.split_once('/') else {
            return wrong("it has no path: a pattern is HOST/PATH or /PATH");
        };
        if text.contains(['?', '#', ' ']) || text.contains("://") {
            return wrong("it is a host and a path, without scheme, query and spaces");
        }
        let host = match host.strip_prefix('*') {
            _ if host.is_empty() => Host::Any,
            Some(below) if below.len() > 1 && below.starts_with('.') && !below.contains('*') => {
                Host::Below(below.to_ascii_lowercase().into())
            }
            None if !host.contains('*') => Host::Is(host.to_ascii_lowercase().into()),
            _ => return wrong("a host is a name, or *. and a name"),
        };
        let segments: Vec<&str> = path.split('/').collect();
        if segments.len() > MAX_SEGMENTS {
            return wrong("a path has at most 32 segments");
        }
        let read = |segments: &[&str]| -> Option<Box<[Segment]>> {
            segments.iter().map(|segment| Segment::read(segment)).collect()
        };
        let mut around = segments.split(|segment| *segment == "**");
        let head = read(around.next().unwrap_or_default());
        let tail = around.next().map(read);
        let (Some(head), None) = (head, around.next()) else {
            return wrong("** stands once and alone between slashes, and * once in a segment");
        };
        match tail {
            None => Ok(Self { host, head, tail: None }),
            Some(Some(tail)) => Ok(Self { host, head, tail: Some(tail) }),
            Some(None) => {
                wrong("** stands once and alone between slashes, and * once in a segment")
            }
        }
    }

    /// Whether it takes a request, if its path were `path`.
    pub(super) fn matches(&self, request: Seen<'_>, path: &str) -> bool {
        self.matches_path(path) && self.host.matches(|| key::normal_host(request))
    }

    fn matches_path(&self, path: &str) -> bool {
        let mut segments = path.strip_prefix('/').unwrap_or(path).split('/');
        if !self.head.iter().all(|one| segments.next().is_some_and(|segment| one.matches(segment)))
        {
            return false;
        }
        match &self.tail {
            None => segments.next().is_none(),
            Some(tail) => tail
                .iter()
                .rev()
                .all(|one| segments.next_back().is_some_and(|segment| one.matches(segment))),
        }
    }
}

impl Host {
    /// Most take any, and then nobody has to be asked for it.
    fn matches<'r>(&self, host: impl FnOnce() -> &'r [u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Is(name) => host().eq_ignore_ascii_case(name.as_bytes()),
            Self::Below(name) => {
                let host = host();
                host.len()
                    .checked_sub(name.len())
                    .and_then(|at| host.get(at..).filter(|_| at > 0))
                    .is_some_and(|end| end.eq_ignore_ascii_case(name.as_bytes()))
            }
        }
    }
}

impl Segment {
    /// `None` where it holds more than one `*`.
    fn read(text: &str) -> Option<Self> {
        match text.split_once('*') {
            None => Some(Self { begin: text.into(), end: None }),
            Some((begin, end)) if !end.contains('*') => {
                Some(Self { begin: begin.into(), end: Some(end.into()) })
            }
            Some(_) => None,
        }
    }

    fn matches(&self, segment: &str) -> bool {
        match &self.end {
            None => *self.begin == *segment,
            Some(end) => {
                segment.strip_prefix(&*self.begin).is_some_and(|rest| rest.ends_with(&**end))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn matches(pattern: &str, url: &str) -> bool {
        let (parts, ()) = http::Request::get(url).body(()).unwrap().into_parts();
        Pattern::read(pattern).unwrap().matches((&parts).into(), parts.uri.path())
    }

    #[test]
    fn hosts_and_paths() {
        for (pattern, url, expected) in [
            ("/a/b", "http://h/a/b?c", true),
            ("/a/b", "http://h/a/b/", false),
            ("/a/b", "http://h/a", false),
            ("/a/*", "http://h/a/b", true),
            ("/a/*", "http://h/a/b/c", false),
            ("/*.m4s", "http://h/1.m4s", true),
            ("/*.m4s", "http://h/.m4", false),
            ("/aa*aa", "http://h/aaa", false),
            ("/live/**", "http://h/live", true),
            ("/live/**", "http://h/live/a/b", true),
            ("/live/**", "http://h/lives", false),
            ("/live/**/*.m3u8", "http://h/live/x.m3u8", true),
            ("/live/**/*.m3u8", "http://h/live/a/b/x.m3u8", true),
            ("/live/**/*.m3u8", "http://h/live/a/b/x.mpd", false),
            ("/**", "http://h/", true),
            ("/", "http://h", true),
            ("h.example/**", "http://H.EXAMPLE/a", true),
            ("h.example/**", "http://h.example:81/a", false),
            ("h.example/**", "http://h.example:80/a", true),
            ("*.example/**", "http://h.Example/a", true),
            ("*.example/**", "http://.example/a", false),
            ("*.example/**", "http://h.example.org/a", false),
            ("*.example/**", "http://xexample/a", false),
        ] {
            assert_eq!(matches(pattern, url), expected, "{pattern} {url}");
        }
    }

    #[test]
    fn a_bad_pattern_is_told_in_one_sentence() {
        let told = |pattern| Pattern::read(pattern).unwrap_err().to_string();
        assert_eq!(
            told("live"),
            "the route `live` cannot be read: it has no path: a pattern is HOST/PATH or /PATH"
        );
        for pattern in
            ["http://h/a", "/a?b", "a*b/c", "*./x", "**/x", "/a/***", "/**/a/**", "/a*b*"]
        {
            assert!(Pattern::read(pattern).is_err(), "{pattern}");
        }
        assert!(Pattern::read(&"/a".repeat(MAX_SEGMENTS + 1)).is_err());
    }
}
