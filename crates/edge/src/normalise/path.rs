//! Paths in one form (RFC 3986 §6.2.2), and in how many ways one may be read.

use std::borrow::Cow;

use http::Uri;
use http::uri::PathAndQuery;

/// What may be in a path and means nothing but itself.
const ORDINARY: [bool; 256] = table(b"-_~!$&'()*+,;=:@");

/// A table of the letters, the digits and `others`.
pub(super) const fn table(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
}

/// What a path is that is not refused.
pub(super) enum Path {
    /// It is as it should be.
    Normal,
    /// It has escapes to be written otherwise.
    Other,
}

/// Looks at a path.
pub(super) fn check_path(path: &str) -> Result<Path, &'static str> {
    let bytes = path.as_bytes();
    if bytes.first() != Some(&b'/') {
        return Err("the target has no path");
    }
    if bytes.get(1) == Some(&b'/') {
        return Err("the path begins with two slashes");
    }
    let mut other = false;
    // Whether the segment so far is nothing but dots, and how many.
    let mut dots = Some(0u8);
    let mut at = 1;
    while let Some(rest @ [_, ..]) = bytes.get(at..) {
        // Most of a path, a token in it above all, is passed in one go.
        let run = rest.iter().position(|byte| !ORDINARY[usize::from(*byte)]);
        let run = run.unwrap_or(rest.len());
        if run > 0 {
            dots = None;
        }
        let Some(&byte) = rest.get(run) else { break };
        at += run + 1;
        let meant = if byte == b'%' {
            let pair =
                (bytes.get(at).copied().and_then(hex), bytes.get(at + 1).copied().and_then(hex));
            let (Some(high), Some(low)) = pair else {
                return Err("the path has an escape that is none");
            };
            let lower = bytes.get(at..at + 2).is_some_and(|p| p.iter().any(u8::is_ascii_lowercase));
            at += 2;
            let meant = high << 4 | low;
            other |= lower || is_unreserved(meant);
            // An encoded slash is no end of a segment, and no dot.
            if meant == b'/' { b'x' } else { meant }
        } else {
            if !byte.is_ascii_graphic() {
                return Err("the path has a byte that must be escaped");
            }
            byte
        };
        match meant {
            b'/' => {
                if matches!(dots, Some(1 | 2)) {
                    return Err("the path has dot segments");
                }
                dots = Some(0);
            }
            b'.' => dots = dots.map(|dots| dots.saturating_add(1)),
            b'\\' => return Err("the path has a backslash"),
            0..=31 | 127 => return Err("the path has a control character"),
            _ => dots = None,
        }
    }
    if matches!(dots, Some(1 | 2)) {
        return Err("the path has dot segments");
    }
    Ok(if other { Path::Other } else { Path::Normal })
}

/// The URI of a request as [`NormaliseLayer`](super::NormaliseLayer) hands it on; `None` where its path is refused.
/// Mostly that is the one that came.
pub fn checked(uri: &Uri) -> Option<Cow<'_, Uri>> {
    match check_path(uri.path()).ok()? {
        Path::Normal => Some(Cow::Borrowed(uri)),
        Path::Other => rewritten(uri).map(Cow::Owned),
    }
}

/// How an origin might read a path that it hands to its files, where that is not how it stands there:
/// with escapes undone of what may stand in a path as it is (RFC 3986 §3.3), the slash among them,
/// and with slashes in a row as one. The two are different paths (§6.2.2.2 leaves such escapes
/// alone), and who rules over paths by their beginnings has to look at both. `None` where there is no
/// other reading.
///
/// # Errors
/// The other reading has dot segments, which lead out of anywhere.
pub fn other_reading(path: &str) -> Result<Option<String>, DotSegments> {
    if !path.contains('%') && !has_empty_segments(path) {
        return Ok(None);
    }
    let mut other = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(first) = rest.chars().next() {
        let escape = rest.strip_prefix('%').and_then(|rest| rest.get(..2));
        let meant = escape.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let meant = meant.filter(|meant| IN_PATH[usize::from(*meant)]).map(char::from);
        let (read, length) = meant.map_or((first, first.len_utf8()), |meant| (meant, 3));
        if read != '/' || !other.ends_with('/') {
            other.push(read);
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    if other.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(DotSegments);
    }
    Ok(Some(other).filter(|other| other != path))
}

/// As [`other_reading`], where that has other segments: what a rule for all that is below a path has to
/// look at as well. Other escapes lead nowhere else.
///
/// # Errors
/// As [`other_reading`].
pub(crate) fn divided_otherwise(path: &str) -> Result<Option<String>, DotSegments> {
    let slash = |escape: &[u8]| escape.eq_ignore_ascii_case(b"%2f");
    let divides =
        has_empty_segments(path) || path.contains('%') && path.as_bytes().windows(3).any(slash);
    if divides { other_reading(path) } else { Ok(None) }
}

fn has_empty_segments(path: &str) -> bool {
    path.as_bytes().windows(2).any(|pair| pair == b"//")
}

/// A path that leads out of where it seems to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DotSegments;

impl std::fmt::Display for DotSegments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the path may be read as one with dot segments")
    }
}

impl std::error::Error for DotSegments {}

/// What stands in a path as it is, `*` left out, which patterns have for other things.
const IN_PATH: [bool; 256] = table(b"-._~!$&'()+,;=:@/");

/// A URI as [`NormaliseLayer`](super::NormaliseLayer) hands it on (RFC 3986 §6.2.2.1 and §6.2.2.2), for those who name one
/// otherwise than in a request, to a purge for example. A byte beyond ASCII is escaped. Nothing is
/// refused but what cannot be read: `None` where the path has an escape that is none.
pub fn rewritten(uri: &Uri) -> Option<Uri> {
    let path = uri.path().as_bytes();
    let mut target = String::with_capacity(path.len());
    let mut rest = path.iter().copied();
    while let Some(byte) = rest.next() {
        let meant = match byte {
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            0x80.. => byte,
            _ => {
                target.push(char::from(byte));
                continue;
            }
        };
        if is_unreserved(meant) {
            target.push(char::from(meant));
        } else {
            let digit = |value: u8| char::from(b"0123456789ABCDEF"[usize::from(value)]);
            target.extend(['%', digit(meant >> 4), digit(meant & 15)]);
        }
    }
    if let Some(query) = uri.query() {
        target.push('?');
        target.push_str(query);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Uri::from_parts(parts).ok()
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// RFC 3986 §2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn a_path_may_be_read_otherwise() {
        for (path, other) in [
            ("/a/b", None),
            ("/a%20b/%C3%A9%25", None),
            ("/api%2Fme", Some("/api/me")),
            ("/a//b///c", Some("/a/b/c")),
            ("/a%3Ab%40", Some("/a:b@")),
            ("/a/%2F%2fb", Some("/a/b")),
            ("/a%2Ab", None),
            ("/a%252Fb", None),
            ("/a%", None),
        ] {
            assert_eq!(other_reading(path).unwrap().as_deref(), other, "{path}");
        }
        for path in ["/a%2F..%2Fb", "/a%2F.", "/%2F../b"] {
            assert_eq!(other_reading(path), Err(DotSegments), "{path}");
        }
    }
}
