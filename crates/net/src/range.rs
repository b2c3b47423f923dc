//! Byte ranges of requests and responses (RFC 9110 §14).

use std::fmt::Write as _;
use std::ops::Range;

use http::HeaderValue;

/// The most ranges one `Range` header may name; a header with more is ignored, as RFC 9110 §14.2
/// allows for requests that look like abuse.
pub const MAX_RANGES: usize = 16;

/// One range as asked for, before the representation's length is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeSpec {
    /// `first-last`, both inclusive.
    FromTo(u64, u64),
    /// `first-`: from there to the end.
    From(u64),
    /// `-length`: that many bytes at the end.
    Suffix(u64),
}

impl RangeSpec {
    /// The bytes this means in a representation of `len` bytes, end exclusive; `None` where it
    /// cannot be satisfied (RFC 9110 §14.1.2).
    pub fn resolve(self, len: u64) -> Option<Range<u64>> {
        match self {
            Self::FromTo(first, last) if first < len => {
                Some(first..last.saturating_add(1).min(len))
            }
            Self::From(first) if first < len => Some(first..len),
            Self::Suffix(count) if count > 0 && len > 0 => Some(len.saturating_sub(count)..len),
            _ => None,
        }
    }
}

/// What a `Range` header asks of a representation whose length is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Send it whole: there is no range, it is malformed, or it names several.
    Whole,
    /// Send these bytes as 206, end exclusive.
    Part(Range<u64>),
    /// Answer 416 with `Content-Range: bytes */len`.
    Unsatisfiable,
}

/// Where the first range of a `Range` header begins. `None` where that takes the length to say (a suffix), or the
/// header is to be ignored.
pub fn first_byte(value: &HeaderValue) -> Option<u64> {
    match parse(value)?.first()? {
        RangeSpec::FromTo(first, _) | RangeSpec::From(first) => Some(*first),
        RangeSpec::Suffix(_) => None,
    }
}

/// Reads a `Range` header. `None` means that the header is to be ignored: another unit, bad
/// syntax, or more than [`MAX_RANGES`] ranges.
pub fn parse(value: &HeaderValue) -> Option<Vec<RangeSpec>> {
    let text = value.to_str().ok()?.trim();
    let (unit, set) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let mut specs = Vec::new();
    for item in set.split(',') {
        let item = item.trim_matches([' ', '\t']);
        if item.is_empty() {
            continue;
        }
        if specs.len() == MAX_RANGES {
            return None;
        }
        let (first, last) = item.split_once('-')?;
        let spec = match (first.trim(), last.trim()) {
            ("", "") => return None,
            ("", count) => RangeSpec::Suffix(number(count)?),
            (first, "") => RangeSpec::From(number(first)?),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                if first > last {
                    return None;
                }
                RangeSpec::FromTo(first, last)
            }
        };
        specs.push(spec);
    }
    (!specs.is_empty()).then_some(specs)
}

/// Chooses what to send of a representation of `len` bytes. Several ranges are answered whole,
/// which RFC 9110 §14.2 allows.
pub fn select(value: Option<&HeaderValue>, len: u64) -> Selection {
    let Some(specs) = value.and_then(parse) else { return Selection::Whole };
    let [spec] = specs.as_slice() else {
        let none = specs.iter().all(|spec| spec.resolve(len).is_none());
        return if none { Selection::Unsatisfiable } else { Selection::Whole };
    };
    spec.resolve(len).map_or(Selection::Unsatisfiable, Selection::Part)
}

/// What a `Range` header asks of a representation, for who can answer with several parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parts {
    /// Send it whole: there is no range, or it is ignored as [`parse`] says.
    Whole,
    /// Send these bytes, ends exclusive: never empty, and no two of them touch. One is a plain
    /// 206; several are `multipart/byteranges` (RFC 9110 §15.3.7.2).
    Parts(Vec<Range<u64>>),
    /// Answer 416 with `Content-Range: bytes */len`.
    Unsatisfiable,
}

/// Bytes between two ranges up to which they are sent as one: about what the head of a part takes
/// (RFC 9110 §15.3.7.2).
const PART_OVERHEAD: u64 = 80;

/// Chooses the parts to send of a representation of `len` bytes, in the order they were asked for.
/// Ranges that overlap, or that less than a part's own head lies between, become one in the place
/// of the first of them (RFC 9110 §15.3.7.2), so that the parts are never longer together than the
/// whole.
pub fn select_parts(value: Option<&HeaderValue>, len: u64) -> Parts {
    let Some(specs) = value.and_then(parse) else { return Parts::Whole };
    let mut parts: Vec<Range<u64>> = Vec::with_capacity(specs.len());
    for mut part in specs.into_iter().filter_map(|spec| spec.resolve(len)) {
        // What it takes up can bring it close to others: at most as often as there are any.
        let mut place = parts.len();
        let near = |one: &Range<u64>, other: &Range<u64>| {
            one.start <= other.end.saturating_add(PART_OVERHEAD)
                && other.start <= one.end.saturating_add(PART_OVERHEAD)
        };
        while let Some(at) = parts.iter().position(|other| near(&part, other)) {
            let other = parts.remove(at);
            part = part.start.min(other.start)..part.end.max(other.end);
            place = place.min(at);
        }
        parts.insert(place.min(parts.len()), part);
    }
    if parts.is_empty() { Parts::Unsatisfiable } else { Parts::Parts(parts) }
}

/// `Content-Range` of a 206: `bytes first-last/complete` (RFC 9110 §14.4); a complete length that
/// is not known is written `*`.
pub fn content_range(part: &Range<u64>, complete: Option<u64>) -> HeaderValue {
    let mut text = format!("bytes {}-{}/", part.start, part.end.saturating_sub(1));
    match complete {
        Some(len) => {
            let _ = write!(text, "{len}");
        }
        None => text.push('*'),
    }
    ascii(text)
}

/// `Content-Range` of a 416: `bytes */complete`.
pub fn unsatisfied_range(complete: u64) -> HeaderValue {
    ascii(format!("bytes */{complete}"))
}

/// Reads the `Content-Range` of a 206: the part, end exclusive, and the complete length if given.
pub fn parse_content_range(value: &HeaderValue) -> Option<(Range<u64>, Option<u64>)> {
    let text = value.to_str().ok()?.trim();
    let (unit, rest) = text.split_once(' ')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (part, complete) = rest.trim().split_once('/')?;
    let (first, last) = part.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    let complete = match complete {
        "*" => None,
        len => Some(number(len)?),
    };
    let end = last.checked_add(1)?;
    (first < end && complete.is_none_or(|len| end <= len)).then_some((first..end, complete))
}

/// A decimal number of digits only; one too large for 64 bits saturates, since no representation
/// is that long.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

fn ascii(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("bytes */0"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use proptest::prelude::*;

    fn sel(text: &str, len: u64) -> Selection {
        select(Some(&HeaderValue::from_str(text).unwrap()), len)
    }

    #[test]
    fn rfc_9110_14_1_2_examples() {
        assert_eq!(sel("bytes=0-499", 10_000), Selection::Part(0..500));
        assert_eq!(sel("bytes=500-999", 10_000), Selection::Part(500..1000));
        assert_eq!(sel("bytes=-500", 10_000), Selection::Part(9500..10_000));
        assert_eq!(sel("bytes=9500-", 10_000), Selection::Part(9500..10_000));
        assert_eq!(sel("bytes=0-0,-1", 10_000), Selection::Whole);
        assert_eq!(sel("bytes=-20000", 10_000), Selection::Part(0..10_000));
    }

    #[test]
    fn the_first_byte_is_the_first_ranges_where_it_says_one() {
        let first = |text: &str| first_byte(&HeaderValue::from_str(text).unwrap());
        assert_eq!(first("bytes=500-999, 0-9"), Some(500));
        assert_eq!(first("bytes=7-"), Some(7));
        for unknown in ["bytes=-500", "bytes=-5,0-9", "items=0-1", "bytes=5-2"] {
            assert_eq!(first(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn what_cannot_be_satisfied_and_what_is_ignored() {
        assert_eq!(sel("bytes=10000-", 10_000), Selection::Unsatisfiable);
        assert_eq!(sel("bytes=-0", 10_000), Selection::Unsatisfiable);
        assert_eq!(sel("bytes=0-", 0), Selection::Unsatisfiable);
        for ignored in
            ["bytes=5-2", "bytes=a-b", "items=0-1", "bytes", "bytes=", "bytes=-", "bytes=+1-2"]
        {
            assert_eq!(sel(ignored, 100), Selection::Whole, "{ignored}");
        }
        let many = format!("bytes={}", vec!["0-1"; MAX_RANGES + 1].join(","));
        assert_eq!(sel(&many, 100), Selection::Whole);
        assert_eq!(sel("bytes=0-99999999999999999999999999", 100), Selection::Part(0..100));
    }

    fn parts(text: &str, len: u64) -> Parts {
        select_parts(Some(&HeaderValue::from_str(text).unwrap()), len)
    }

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "a list of one range is meant")]
    fn rfc_9110_15_3_7_2_parts_keep_their_order_and_near_ones_become_one() {
        assert_eq!(parts("bytes=0-0,-1", 10_000), Parts::Parts(vec![0..1, 9999..10_000]));
        assert_eq!(parts("bytes=-1,0-0", 10_000), Parts::Parts(vec![9999..10_000, 0..1]));
        assert_eq!(parts("bytes=500-600,601-999", 10_000), Parts::Parts(vec![500..1000]));
        assert_eq!(parts("bytes=500-700,601-999", 10_000), Parts::Parts(vec![500..1000]));
        // The third joins the first two, which did not touch.
        let asked = "bytes=1000-1099,5000-5001,1300-1399,1100-1299";
        assert_eq!(parts(asked, 10_000), Parts::Parts(vec![1000..1400, 5000..5002]));
        assert_eq!(parts("bytes=0-9,90-99", 10_000), Parts::Parts(vec![0..100]));
        assert_eq!(parts("bytes=0-9,91-99", 10_000), Parts::Parts(vec![0..10, 91..100]));
        assert_eq!(parts("bytes=20000-,0-9", 10_000), Parts::Parts(vec![0..10]));
        assert_eq!(parts("bytes=20000-,-0", 10_000), Parts::Unsatisfiable);
        assert_eq!(parts("bytes=5-2,0-1", 10_000), Parts::Whole);
        let many = format!("bytes={}", vec!["0-1"; MAX_RANGES + 1].join(","));
        assert_eq!(parts(&many, 10_000), Parts::Whole);
    }

    proptest! {
        #[test]
        fn parts_hold_each_byte_asked_for_once(
            asked in proptest::collection::vec((0u64..2000, 0u64..300), 1..MAX_RANGES),
            len in 1u64..2000,
        ) {
            let list: Vec<_> = asked.iter().map(|(at, n)| format!("{at}-{}", at + n)).collect();
            let Parts::Parts(found) = parts(&format!("bytes={}", list.join(",")), len) else {
                prop_assert!(asked.iter().all(|(at, _)| *at >= len));
                return Ok(());
            };
            let held = |at: u64| found.iter().filter(|part| part.contains(&at)).count();
            for (at, more) in asked {
                prop_assert!((at..=at + more).take_while(|at| *at < len).all(|at| held(at) == 1));
            }
            prop_assert!((0..len).all(|at| held(at) <= 1) && held(len) == 0);
        }
    }

    #[test]
    fn content_range_round_trips() {
        let value = content_range(&(5..10), Some(100));
        assert_eq!(value, "bytes 5-9/100");
        assert_eq!(parse_content_range(&value), Some((5..10, Some(100))));
        assert_eq!(
            parse_content_range(&HeaderValue::from_static("bytes 5-9/*")),
            Some((5..10, None))
        );
        for bad in ["bytes 9-5/100", "bytes 0-100/100", "bytes */100", "bytes 0-1", "x 0-1/2"] {
            assert_eq!(parse_content_range(&HeaderValue::from_static(bad)), None, "{bad}");
        }
    }
}
