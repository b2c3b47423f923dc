//! `Cache-Control` of requests and responses (RFC 9111 §5.2), and `Pragma` (§5.4).
//!
//! Unknown directives are ignored (§5.2.3). The first of two equal directives counts (§4.2.1), and
//! a number that is none counts as zero: the response is stale rather than fresh for ever.

use http::{HeaderMap, HeaderName, header};

/// The largest delta-seconds that is told apart; larger ones count as this (§1.2.2).
pub(crate) const MAX_DELTA: u64 = 1 << 31;

/// What a response's `Cache-Control` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResponseDirectives {
    pub(crate) no_store: bool,
    /// Qualified or not: a `no-cache` with field names is obeyed as one without (§5.2.2.4).
    pub(crate) no_cache: bool,
    /// Qualified or not: a `private` with field names is obeyed as one without (§5.2.2.7).
    pub(crate) private: bool,
    pub(crate) public: bool,
    pub(crate) must_revalidate: bool,
    pub(crate) proxy_revalidate: bool,
    pub(crate) must_understand: bool,
    pub(crate) s_maxage: Option<u64>,
    pub(crate) max_age: Option<u64>,
    /// RFC 5861 §3.
    pub(crate) stale_while_revalidate: Option<u64>,
    /// RFC 5861 §4.
    pub(crate) stale_if_error: Option<u64>,
}

impl ResponseDirectives {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut all = Self::default();
        each(headers, &header::CACHE_CONTROL, |name, value| {
            let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
            if is("no-store") {
                all.no_store = true;
            } else if is("no-cache") {
                all.no_cache = true;
            } else if is("private") {
                all.private = true;
            } else if is("public") {
                all.public = true;
            } else if is("must-revalidate") {
                all.must_revalidate = true;
            } else if is("proxy-revalidate") {
                all.proxy_revalidate = true;
            } else if is("must-understand") {
                all.must_understand = true;
            } else if is("s-maxage") {
                all.s_maxage.get_or_insert(delta_or_zero(value));
            } else if is("max-age") {
                all.max_age.get_or_insert(delta_or_zero(value));
            } else if is("stale-while-revalidate") {
                all.stale_while_revalidate.get_or_insert(delta_or_zero(value));
            } else if is("stale-if-error") {
                all.stale_if_error.get_or_insert(delta_or_zero(value));
            }
        });
        all
    }
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
        let Ok(mut rest) = line.to_str() else { continue };
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
        assert!(all.no_cache && all.private && !all.no_store && !all.public);
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
        fn any_header_is_read_without_panic(line in "[ -~]{0,80}") {
            let _ = response(&[&line]);
            let mut headers = HeaderMap::new();
            headers.append(header::CACHE_CONTROL, HeaderValue::from_str(&line).unwrap());
            let _ = RequestDirectives::of(&headers);
        }
    }
}
