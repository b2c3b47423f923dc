//! Validators and preconditions (RFC 9110 §8.8 and §13).

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::clock::Timestamp;

/// An entity tag, borrowed from a header (RFC 9110 §8.8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ETag<'a> {
    weak: bool,
    opaque: &'a str,
}

impl<'a> ETag<'a> {
    /// Reads one entity tag; `None` unless it is exactly that.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (tag, rest) = Self::take(text.trim_matches([' ', '\t']))?;
        rest.is_empty().then_some(tag)
    }

    /// Whether it is a weak validator (`W/"…"`).
    pub const fn is_weak(self) -> bool {
        self.weak
    }

    /// Strong comparison: equal, and both strong (RFC 9110 §8.8.3.2).
    pub fn strong_eq(self, other: ETag<'_>) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Weak comparison: the opaque parts are equal (RFC 9110 §8.8.3.2).
    pub fn weak_eq(self, other: ETag<'_>) -> bool {
        self.opaque == other.opaque
    }

    /// Takes a tag off the front of `text`, and gives what follows it.
    fn take(text: &'a str) -> Option<(Self, &'a str)> {
        let (weak, quoted) = match text.strip_prefix("W/") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let inner = quoted.strip_prefix('"')?;
        let end = inner.find('"')?;
        let opaque = &inner[..end];
        let legal = |byte: u8| byte == 0x21 || (0x23..=0x7e).contains(&byte) || byte >= 0x80;
        opaque.bytes().all(legal).then(|| (Self { weak, opaque }, &inner[end + 1..]))
    }
}

/// The validators of the representation a request is held against.
#[derive(Clone, Copy, Debug, Default)]
pub struct Validators<'a> {
    /// Its `ETag`, if it has one.
    pub etag: Option<ETag<'a>>,
    /// Its `Last-Modified`, if it has one.
    pub last_modified: Option<Timestamp>,
}

impl<'a> Validators<'a> {
    /// The validators in a response's headers; a malformed one counts as absent.
    pub fn of(headers: &'a HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        Self {
            etag: text(header::ETAG).and_then(ETag::parse),
            last_modified: text(header::LAST_MODIFIED).and_then(Timestamp::from_http_date),
        }
    }
}

/// What the preconditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Go on with the method.
    Proceed,
    /// Answer 304 without a body.
    NotModified,
    /// Answer 412.
    Failed,
}

impl Outcome {
    /// The status to answer with, if the method is not to be carried out.
    pub const fn status(self) -> Option<StatusCode> {
        match self {
            Self::Proceed => None,
            Self::NotModified => Some(StatusCode::NOT_MODIFIED),
            Self::Failed => Some(StatusCode::PRECONDITION_FAILED),
        }
    }
}

/// Evaluates `If-Match`, `If-Unmodified-Since`, `If-None-Match` and `If-Modified-Since` in the
/// order of RFC 9110 §13.2.2, for a representation that exists. `If-Range` is [`range_applies`].
pub fn evaluate(method: &Method, request: &HeaderMap, current: Validators<'_>) -> Outcome {
    evaluate_dated(method, request, current, || None)
}

/// As [`evaluate`], for a stored response: one without `Last-Modified` counts for
/// `If-Modified-Since` as of its `Date` (RFC 9111 §4.3.2), which is asked for where that matters.
pub fn evaluate_dated(
    method: &Method,
    request: &HeaderMap,
    current: Validators<'_>,
    dated: impl FnOnce() -> Option<Timestamp>,
) -> Outcome {
    let reads = method == Method::GET || method == Method::HEAD;
    if request.contains_key(header::IF_MATCH) {
        if !any_tag(request, &header::IF_MATCH, current.etag, Comparison::Strong) {
            return Outcome::Failed;
        }
    } else if let Some(since) = date(request, &header::IF_UNMODIFIED_SINCE)
        && let Some(modified) = current.last_modified
        && modified.as_secs() > since.as_secs()
    {
        return Outcome::Failed;
    }
    if request.contains_key(header::IF_NONE_MATCH) {
        if any_tag(request, &header::IF_NONE_MATCH, current.etag, Comparison::Weak) {
            return if reads { Outcome::NotModified } else { Outcome::Failed };
        }
    } else if reads
        && let Some(since) = date(request, &header::IF_MODIFIED_SINCE)
        && let Some(modified) = current.last_modified.or_else(dated)
        && modified.as_secs() <= since.as_secs()
    {
        return Outcome::NotModified;
    }
    Outcome::Proceed
}

/// Whether the request's `Range` may be obeyed: there is no `If-Range`, or it names the current
/// strong validator (RFC 9110 §13.1.5).
pub fn range_applies(
    request: &HeaderMap,
    current: Validators<'_>,
    date_of: Option<Timestamp>,
) -> bool {
    let Some(value) = request.get(header::IF_RANGE) else { return true };
    let Ok(text) = value.to_str() else { return false };
    if let Some(tag) = ETag::parse(text) {
        return current.etag.is_some_and(|etag| etag.strong_eq(tag));
    }
    // A date is a strong validator only when it lies at least a second before the response's own
    // Date (RFC 9110 §8.8.2.2), and it must match exactly.
    match (Timestamp::from_http_date(text), current.last_modified, date_of) {
        (Some(asked), Some(modified), Some(date)) => {
            asked.as_secs() == modified.as_secs() && date.as_secs() > modified.as_secs()
        }
        _ => false,
    }
}

fn date(headers: &HeaderMap, name: &header::HeaderName) -> Option<Timestamp> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    Timestamp::from_http_date(value.to_str().ok()?)
}

/// The two ways to compare entity tags (RFC 9110 §8.8.3.2).
#[derive(Clone, Copy)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether any listed tag compares equal to `current`; `*` matches whatever exists. A list that
/// breaks off in bad syntax counts up to there.
fn any_tag(
    headers: &HeaderMap,
    name: &header::HeaderName,
    current: Option<ETag<'_>>,
    comparison: Comparison,
) -> bool {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).any(|text| {
        if text.trim() == "*" {
            return true;
        }
        let Some(current) = current else { return false };
        let mut rest = text;
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            let Some((tag, after)) = ETag::take(rest) else { return false };
            let equal = match comparison {
                Comparison::Strong => current.strong_eq(tag),
                Comparison::Weak => current.weak_eq(tag),
            };
            if equal {
                return true;
            }
            rest = after;
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect()
    }

    fn get(list: &[(&'static str, &'static str)], etag: &'static str) -> Outcome {
        let current =
            headers(&[("etag", etag), ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")]);
        evaluate(&Method::GET, &headers(list), Validators::of(&current))
    }

    #[test]
    fn if_none_match_compares_weakly_and_hides_if_modified_since() {
        assert_eq!(get(&[("if-none-match", "\"a\", W/\"b\"")], "\"b\""), Outcome::NotModified);
        assert_eq!(get(&[("if-none-match", "*")], "\"b\""), Outcome::NotModified);
        assert_eq!(
            get(
                &[
                    ("if-none-match", "\"x\""),
                    ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")
                ],
                "\"b\""
            ),
            Outcome::Proceed
        );
        assert_eq!(get(&[("if-none-match", "b")], "\"b\""), Outcome::Proceed);
    }

    #[test]
    fn if_match_compares_strongly() {
        assert_eq!(get(&[("if-match", "\"b\"")], "\"b\""), Outcome::Proceed);
        assert_eq!(get(&[("if-match", "W/\"b\"")], "W/\"b\""), Outcome::Failed);
        assert_eq!(get(&[("if-match", "\"c\"")], "\"b\""), Outcome::Failed);
    }

    #[test]
    fn dates_compare_by_the_second() {
        let same = "Sun, 06 Nov 1994 08:49:37 GMT";
        let before = "Sun, 06 Nov 1994 08:49:36 GMT";
        assert_eq!(get(&[("if-modified-since", same)], "\"b\""), Outcome::NotModified);
        assert_eq!(get(&[("if-modified-since", before)], "\"b\""), Outcome::Proceed);
        assert_eq!(get(&[("if-unmodified-since", before)], "\"b\""), Outcome::Failed);
        assert_eq!(get(&[("if-modified-since", "0")], "\"b\""), Outcome::Proceed);
    }

    #[test]
    fn if_range_needs_a_strong_validator() {
        let current = headers(&[("etag", "\"v1\"")]);
        let current = Validators::of(&current);
        assert!(range_applies(&headers(&[]), current, None));
        assert!(range_applies(&headers(&[("if-range", "\"v1\"")]), current, None));
        assert!(!range_applies(&headers(&[("if-range", "W/\"v1\"")]), current, None));
        assert!(!range_applies(&headers(&[("if-range", "\"v2\"")]), current, None));
        let dated = headers(&[("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")]);
        let dated = Validators::of(&dated);
        let ask = headers(&[("if-range", "Sun, 06 Nov 1994 08:49:37 GMT")]);
        assert!(!range_applies(
            &ask,
            dated,
            Timestamp::from_http_date("Sun, 06 Nov 1994 08:49:37 GMT")
        ));
        assert!(range_applies(
            &ask,
            dated,
            Timestamp::from_http_date("Sun, 06 Nov 1994 08:49:39 GMT")
        ));
    }
}
