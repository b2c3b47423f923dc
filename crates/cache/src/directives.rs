//! `Cache-Control` of requests and responses (RFC 9111 §5.2), the targeted fields that stand above it
//! (RFC 9213), and `Pragma` (RFC 9111 §5.4).
//!
//! Unknown directives are ignored (§5.2.3). In `Cache-Control` the first of two equal directives
//! counts (§4.2.1), and a number that is none counts as zero: the response is stale rather than fresh
//! for ever. A targeted field is a structured field: malformed or empty it is not there at all, the
//! last of two equal members counts, and a value of the wrong type is not consumed (RFC 9213 §2.1).

use http::{HeaderMap, HeaderName, header};
use smallvec::SmallVec;

use crate::structured::{self, Dictionary, Value};

/// The largest delta-seconds that is told apart; larger ones count as this (§1.2.2).
pub(crate) const MAX_DELTA: u64 = 1 << 31;

/// The most field names that `no-cache` or `private` may be qualified by; one with more counts as
/// unqualified.
const MAX_WITHHELD: usize = 16;

/// Fields that a stored response is nothing without: a directive that would withhold one of them is
/// taken as unqualified.
const INDISPENSABLE: [HeaderName; 9] = [
    header::AGE,
    header::CACHE_CONTROL,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::DATE,
    header::EXPIRES,
    header::VARY,
];

/// The fields that `no-cache` and `private` name: others may have the response, without them.
pub(crate) type Withheld = SmallVec<[HeaderName; 1]>;

/// What a response says of its caching.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResponseDirectives {
    pub(crate) no_store: bool,
    /// Unqualified (§5.2.2.4).
    pub(crate) no_cache: bool,
    /// Unqualified (§5.2.2.7).
    pub(crate) private: bool,
    pub(crate) public: bool,
    pub(crate) must_revalidate: bool,
    pub(crate) proxy_revalidate: bool,
    pub(crate) must_understand: bool,
    /// RFC 8246 §2.
    pub(crate) immutable: bool,
    pub(crate) s_maxage: Option<u64>,
    pub(crate) max_age: Option<u64>,
    /// RFC 5861 §3.
    pub(crate) stale_while_revalidate: Option<u64>,
    /// RFC 5861 §4.
    pub(crate) stale_if_error: Option<u64>,
    /// A targeted field says all this: `Expires` counts no more than `Cache-Control` does (RFC 9213
    /// §2.2).
    pub(crate) targeted: bool,
}

/// What a directive says beside its name, as far as it has the type for it.
#[derive(Clone, Copy, Default)]
struct Argument<'a> {
    /// It is there.
    flag: bool,
    seconds: Option<u64>,
    names: Option<&'a str>,
}

impl ResponseDirectives {
    /// What `Cache-Control` alone says.
    #[cfg(test)]
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self::governing(headers, &[]).0
    }

    /// What governs a response: the first of the `targets` that is there and valid, else
    /// `Cache-Control`; and the fields that are for its asker alone.
    pub(crate) fn governing(headers: &HeaderMap, targets: &[HeaderName]) -> (Self, Withheld) {
        let (mut all, mut withheld) = (Self::default(), Withheld::new());
        let targeted = targets.iter().find_map(|name| targeted(headers, name));
        if let Some(members) = targeted {
            all.targeted = true;
            for (name, value) in &members {
                let argument = match value {
                    Value::Boolean(flag) => Argument { flag: *flag, ..Argument::default() },
                    Value::Integer(seconds) => {
                        let seconds = u64::try_from(*seconds).unwrap_or(0).min(MAX_DELTA);
                        Argument { seconds: Some(seconds), ..Argument::default() }
                    }
                    Value::String(names) => Argument { names: Some(names), ..Argument::default() },
                    Value::Other => Argument::default(),
                };
                all.obey(name, argument, &mut withheld);
            }
            return (all, withheld);
        }
        each(headers, &header::CACHE_CONTROL, |name, value| {
            let argument =
                Argument { flag: true, seconds: Some(delta_or_zero(value)), names: value };
            all.obey(name, argument, &mut withheld);
        });
        (all, withheld)
    }

    fn obey(&mut self, name: &str, argument: Argument<'_>, withheld: &mut Withheld) {
        let Argument { flag, seconds, names } = argument;
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        let first = |known: &mut Option<u64>| *known = known.or(seconds);
        if is("no-store") {
            self.no_store |= flag;
        } else if is("no-cache") {
            self.no_cache |= withhold(flag, names, withheld);
        } else if is("private") {
            self.private |= withhold(flag, names, withheld);
        } else if is("public") {
            self.public |= flag;
        } else if is("must-revalidate") {
            self.must_revalidate |= flag;
        } else if is("proxy-revalidate") {
            self.proxy_revalidate |= flag;
        } else if is("must-understand") {
            self.must_understand |= flag;
        } else if is("immutable") {
            self.immutable |= flag;
        } else if is("s-maxage") {
            first(&mut self.s_maxage);
        } else if is("max-age") {
            first(&mut self.max_age);
        } else if is("stale-while-revalidate") {
            first(&mut self.stale_while_revalidate);
        } else if is("stale-if-error") {
            first(&mut self.stale_if_error);
        }
    }
}

/// A targeted field that is to be obeyed (RFC 9213 §2.1 and §2.2): not malformed, and not empty.
fn targeted(headers: &HeaderMap, name: &HeaderName) -> Option<Dictionary> {
    structured::dictionary(headers, name).filter(|members| !members.is_empty())
}

/// Takes down the fields that a directive names; says whether it is to be obeyed for the whole
/// response: it names none, or what is no list of names, or a field that cannot be spared.
fn withhold(flag: bool, names: Option<&str>, withheld: &mut Withheld) -> bool {
    let Some(names) = names else { return flag };
    let mut read = Withheld::new();
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        match name.parse::<HeaderName>() {
            Ok(name) if !INDISPENSABLE.contains(&name) => read.push(name),
            _ => return true,
        }
    }
    let whole = read.is_empty() || read.len() + withheld.len() > MAX_WITHHELD;
    if !whole {
        withheld.extend(read);
    }
    whole
}

/// What a request's `Cache-Control` asks (§5.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestDirectives {
    pub(crate) no_store: bool,
    pub(crate) no_cache: bool,
    pub(crate) only_if_cached: bool,
    pub(crate) max_age: Option<u64>,
    pub(crate) min_fresh: Option<u64>,
    /// `max-stale` without a number is the largest.
    pub(crate) max_stale: Option<u64>,
    pub(crate) stale_if_error: Option<u64>,
}

impl RequestDirectives {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut all = Self::default();
        if !headers.contains_key(header::CACHE_CONTROL) {
            // §5.4: Pragma counts only where there is no Cache-Control.
            each(headers, &header::PRAGMA, |name, _| {
                all.no_cache |= name.eq_ignore_ascii_case("no-cache");
            });
            return all;
        }
        each(headers, &header::CACHE_CONTROL, |name, value| {
            let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
            if is("no-store") {
                all.no_store = true;
            } else if is("no-cache") {
                all.no_cache = true;
            } else if is("only-if-cached") {
                all.only_if_cached = true;
            } else if is("max-age") {
                all.max_age.get_or_insert(delta_or_zero(value));
            } else if is("min-fresh") {
                all.min_fresh.get_or_insert(delta_or_zero(value));
            } else if is("max-stale") {
                all.max_stale.get_or_insert(value.map_or(MAX_DELTA, |_| delta_or_zero(value)));
            } else if is("stale-if-error") {
                all.stale_if_error.get_or_insert(delta_or_zero(value));
            }
        });
        all
    }
}

/// Reads delta-seconds (§1.2.2): digits only; too large a number saturates.
pub(crate) fn delta(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(MAX_DELTA).min(MAX_DELTA))
}

fn delta_or_zero(value: Option<&str>) -> u64 {
    value.and_then(delta).unwrap_or(0)
}

/// Calls `found` with each directive of each line: its name, and its argument without quotes.
fn each(headers: &HeaderMap, name: &HeaderName, mut found: impl FnMut(&str, Option<&str>)) {
    for line in headers.get_all(name) {
        // A byte that is no ASCII hides nothing that stands around it.
        let line = String::from_utf8_lossy(line.as_bytes());
        let mut rest = &*line;
        while !rest.is_empty() {
            let (directive, after) = split_directive(rest);
            rest = after;
            let directive = directive.trim();
            match directive.split_once('=') {
                None if directive.is_empty() => {}
                None => found(directive, None),
                Some((name, value)) => {
                    let value = value.trim();
                    let bare = value
                        .strip_prefix('"')
                        .map_or(value, |inner| inner.strip_suffix('"').unwrap_or(inner));
                    found(name.trim(), Some(bare));
                }
            }
        }
    }
}

/// Splits at the first comma that is not inside a quoted string.
fn split_directive(text: &str) -> (&str, &str) {
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return (&text[..at], &text[at + 1..]),
            _ => {}
        }
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn response(lines: &[&str]) -> ResponseDirectives {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::CACHE_CONTROL, HeaderValue::from_str(line).unwrap());
        }
        ResponseDirectives::of(&headers)
    }

    #[test]
    fn rfc_9111_5_2_names_ignore_case_and_lines_combine() {
        let all = response(&["PUBLIC , Max-Age=5", "s-maxage=\"7\",,stale-if-error=9"]);
        assert!(all.public);
        assert_eq!((all.max_age, all.s_maxage, all.stale_if_error), (Some(5), Some(7), Some(9)));
    }

    #[test]
    fn rfc_9111_4_2_1_the_first_counts_and_what_is_no_number_is_stale() {
        assert_eq!(response(&["max-age=1, max-age=9"]).max_age, Some(1));
        for bad in ["max-age", "max-age=", "max-age=-1", "max-age=1.5", "max-age=a", "max-age=1 2"]
        {
            assert_eq!(response(&[bad]).max_age, Some(0), "{bad}");
        }
        assert_eq!(response(&["max-age=99999999999999999999999"]).max_age, Some(MAX_DELTA));
    }

    #[test]
    fn a_comma_inside_quotes_hides_nothing_and_reveals_nothing() {
        let all = response(&["no-cache=\"a, no-store\", private=\"b\\\", public\""]);
        assert!(!all.no_cache && all.private && !all.no_store && !all.public);
    }

    #[test]
    fn a_byte_beyond_ascii_hides_nothing() {
        for line in ["private, x=\"Größe\"".as_bytes(), b"x=\"Gr\xf6\xdfe, \", private, \xff"] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_bytes(line).unwrap());
            assert!(ResponseDirectives::of(&headers).private, "{}", line.escape_ascii());
        }
        assert!(response(&["private=\"Größe\""]).private);
    }

    fn governing(list: &[(&str, &str)], targets: &[&str]) -> (ResponseDirectives, Vec<String>) {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers
                .append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let targets: Vec<HeaderName> = targets.iter().map(|name| name.parse().unwrap()).collect();
        let (all, withheld) = ResponseDirectives::governing(&headers, &targets);
        (all, withheld.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn rfc_9111_5_2_2_4_and_7_a_qualified_directive_names_what_is_withheld() {
        let read = |text| governing(&[("cache-control", text)], &[]);
        let (all, withheld) = read("no-cache=\"Set-Cookie, x-a\", private=x-b");
        assert!(!all.no_cache && !all.private);
        assert_eq!(withheld, ["set-cookie", "x-a", "x-b"]);
        for whole in ["private=\"\"", "private=\"a b\"", "private=\"x, vary\"", "private"] {
            let (all, withheld) = read(whole);
            assert!(all.private && withheld.is_empty(), "{whole}");
        }
        let many = format!("private=\"{}\"", vec!["x"; MAX_WITHHELD + 1].join(","));
        assert!(governing(&[("cache-control", &many)], &[]).0.private);
    }

    #[test]
    fn rfc_9213_2_2_the_first_valid_target_governs_alone() {
        let list = [
            ("cache-control", "no-store, max-age=1"),
            ("cdn-cache-control", "max-age=9"),
            ("own-cache-control", "max-age=7, must-revalidate"),
        ];
        let read = |targets: &[&str]| governing(&list, targets).0;
        let all = read(&["own-cache-control", "cdn-cache-control"]);
        assert!(all.targeted && all.must_revalidate && !all.no_store && all.max_age == Some(7));
        let all = read(&["other-cache-control", "cdn-cache-control"]);
        assert!(all.targeted && !all.must_revalidate && all.max_age == Some(9));
        let all = read(&[]);
        assert!(!all.targeted && all.no_store && all.max_age == Some(1));
    }

    #[test]
    fn rfc_9213_2_1_malformed_or_empty_is_not_there_and_a_wrong_type_is_not_consumed() {
        let read = |text| {
            let list = [("cache-control", "max-age=1"), ("cdn-cache-control", text)];
            governing(&list, &["cdn-cache-control"]).0
        };
        for ignored in ["", "max-age=9,", "max-age =9", "Max-Age=9", "max-age=9, &&&"] {
            assert_eq!(read(ignored).max_age, Some(1), "{ignored}");
        }
        for unread in ["max-age=\"9\"", "max-age", "max-age=9.5", "max-age=nine", "foo"] {
            let all = read(unread);
            assert!(all.targeted && all.max_age.is_none(), "{unread}");
        }
        assert_eq!(read("max-age=5, max-age=9").max_age, Some(9), "the last counts");
        assert_eq!(read("max-age=9;x=1").max_age, Some(9), "parameters do not");
        assert_eq!(read("max-age=-9").max_age, Some(0));
        assert_eq!(read("max-age=99999999999").max_age, Some(MAX_DELTA));
        assert!(read("no-store").no_store && !read("no-store=?0").no_store);
        assert!(!read("no-store=1").no_store);
    }

    #[test]
    fn rfc_9111_5_4_pragma_counts_only_without_cache_control() {
        let mut headers = HeaderMap::new();
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        assert!(RequestDirectives::of(&headers).no_cache);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-stale"));
        let all = RequestDirectives::of(&headers);
        assert!(!all.no_cache);
        assert_eq!(all.max_stale, Some(MAX_DELTA));
    }

    proptest! {
        #[test]
        fn any_header_is_read_without_panic(line in "[ -~\u{80}-\u{fffd}]{0,80}") {
            let _ = response(&[&line]);
            let mut headers = HeaderMap::new();
            headers.append(header::CACHE_CONTROL, HeaderValue::from_str(&line).unwrap());
            let _ = RequestDirectives::of(&headers);
        }
    }
}
