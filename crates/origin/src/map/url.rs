//! Where something is: an authority, a path and a query, and the resolution of references to them.
//!
//! References are resolved by RFC 3986 §5.2 against the URL of the manifest that holds them. The
//! scheme and the fragment are left out: a shield meets the same object over `http` from a peer
//! and over `https` from a client, and it is one object to both.

use std::fmt;

use headwater_cache::key::is_cmcd;
use http::uri::PathAndQuery;
use http::{HeaderMap, Uri, header};

/// The longest URL that is looked at, in bytes: longer ones are not learnt.
pub const MAX_URL: usize = 4096;

/// A location: `//authority/path?query`. The authority is in lower case, without a default port,
/// and empty where none is known; the path is never empty and has no dot segments when it came out
/// of [`Url::resolve`].
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Url(Box<str>);

impl Url {
    /// The location a request asks for: the authority is the target's own or that of `Host`
    /// (RFC 9110 §7.1). `None` where the target has no path or is longer than [`MAX_URL`].
    pub fn of_request(uri: &Uri, headers: &HeaderMap) -> Option<Self> {
        let path = uri.path_and_query()?.as_str();
        let authority = match uri.authority() {
            Some(authority) => authority.as_str(),
            None => headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or(""),
        };
        if !path.starts_with('/') {
            return None;
        }
        // What a player tells about itself is no part of what it asks for (CTA-5004 §3).
        match path.split_once('?') {
            Some((path, query)) if query.split('&').any(is_cmcd) => {
                let mut rest = query.split('&').filter(|parameter| !is_cmcd(parameter));
                let mut text = path.to_owned();
                if let Some(first) = rest.next() {
                    text.push('?');
                    text.push_str(first);
                }
                for parameter in rest {
                    text.push('&');
                    text.push_str(parameter);
                }
                Self::new(authority, &text)
            }
            _ => Self::new(authority, path),
        }
    }

    /// A location from its authority (it may be empty) and its path with query.
    pub fn new(authority: &str, path_and_query: &str) -> Option<Self> {
        let authority = plain_authority(authority);
        let slash = if path_and_query.starts_with('/') { "" } else { "/" };
        Self::checked(format!("//{authority}{slash}{path_and_query}"))
    }

    /// Resolves `reference` against this location (RFC 3986 §5.2.2). `None` for schemes other than
    /// `http` and `https`, for what holds control characters, and for what gets too long.
    pub fn resolve(&self, reference: &str) -> Option<Self> {
        let reference = reference.trim_matches([' ', '\t', '\r', '\n']);
        if reference.len() > MAX_URL || reference.bytes().any(|b| b.is_ascii_control()) {
            return None;
        }
        let reference = reference.split('#').next().unwrap_or("");
        let rest = match scheme(reference) {
            Some((scheme, rest))
                if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") =>
            {
                // A URL with a scheme but without an authority names nothing over HTTP.
                if !rest.starts_with("//") {
                    return None;
                }
                rest
            }
            Some(_) => return None,
            None => reference,
        };
        if let Some(rest) = rest.strip_prefix("//") {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (authority, rest) = rest.split_at(end);
            let (path, query) = split_query(rest);
            return Self::joined(&plain_authority(authority), &without_dots(path), query);
        }
        let (path, query) = split_query(rest);
        let (base_path, base_query) = split_query(self.path_and_query());
        if path.is_empty() {
            return Self::joined(self.authority(), base_path, query.or(base_query));
        }
        let path = if path.starts_with('/') {
            without_dots(path)
        } else {
            // §5.2.3: everything of the base up to its last slash.
            let stem = base_path.rfind('/').map_or("/", |slash| &base_path[..=slash]);
            without_dots(&format!("{stem}{path}"))
        };
        Self::joined(self.authority(), &path, query)
    }

    /// The authority, empty where none is known.
    pub fn authority(&self) -> &str {
        let rest = self.0.get(2..).unwrap_or("");
        rest.find('/').map_or(rest, |slash| &rest[..slash])
    }

    /// The path and the query, as they stand in a request line.
    pub fn path_and_query(&self) -> &str {
        let rest = self.0.get(2..).unwrap_or("");
        rest.find('/').map_or("/", |slash| &rest[slash..])
    }

    /// The path without the query.
    pub fn path(&self) -> &str {
        split_query(self.path_and_query()).0
    }

    /// The whole as text: `//authority/path?query`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The target of a request for this location in origin form; `None` where HTTP cannot say it.
    pub fn to_uri(&self) -> Option<Uri> {
        let target: PathAndQuery = self.path_and_query().parse().ok()?;
        Some(Uri::from(target))
    }

    /// This playlist as it is once it has segment `number`, or `part` of it (HLS, `_HLS_msn` and
    /// `_HLS_part`).
    pub(super) fn with_directives(&self, number: u64, part: Option<u32>) -> Option<Self> {
        let separator = if self.0.contains('?') { '&' } else { '?' };
        Self::checked(match part {
            Some(part) => format!("{}{separator}_HLS_msn={number}&_HLS_part={part}", self.0),
            None => format!("{}{separator}_HLS_msn={number}", self.0),
        })
    }

    /// This location without what a client of HLS says of the version it wants (`_HLS_…`).
    #[must_use]
    pub fn without_directives(&self) -> Self {
        let Some((path, query)) = self.0.split_once('?') else { return self.clone() };
        if !query.contains("_HLS_") {
            return self.clone();
        }
        let kept: Vec<_> = query.split('&').filter(|one| !one.starts_with("_HLS_")).collect();
        if kept.is_empty() {
            return Self(path.into());
        }
        Self(format!("{path}?{}", kept.join("&")).into())
    }

    /// Takes text that [`Url::as_str`] gave, or that was made from such text.
    pub(super) fn checked(text: String) -> Option<Self> {
        if text.len() > MAX_URL {
            return None;
        }
        let text = if text.bytes().all(|b| b.is_ascii_graphic()) { text } else { escaped(&text) };
        (text.len() <= MAX_URL).then(|| Self(text.into_boxed_str()))
    }

    fn joined(authority: &str, path: &str, query: Option<&str>) -> Option<Self> {
        let slash = if path.starts_with('/') { "" } else { "/" };
        Self::checked(match query {
            Some(query) => format!("//{authority}{slash}{path}?{query}"),
            None => format!("//{authority}{slash}{path}"),
        })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({})", self.0)
    }
}

/// RFC 3986 §3.1: a letter, then letters, digits, `+`, `-`, `.`, up to a colon.
fn scheme(reference: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = reference.split_once(':')?;
    let mut bytes = scheme.bytes();
    let head = bytes.next()?.is_ascii_alphabetic();
    let tail = bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    (head && tail).then_some((scheme, rest))
}

fn split_query(text: &str) -> (&str, Option<&str>) {
    match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    }
}

/// The authority in lower case, without user information and without a default port. What holds
/// a byte no authority can have (RFC 3986 §3.2) counts as unknown.
fn plain_authority(authority: &str) -> String {
    let host = authority.rsplit('@').next().unwrap_or("");
    if !host.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'/' | b'?' | b'#' | b'\\')) {
        return String::new();
    }
    let host =
        host.strip_suffix(":443").or_else(|| host.strip_suffix(":80")).unwrap_or(host).trim();
    host.to_ascii_lowercase()
}

/// RFC 3986 §5.2.4.
fn without_dots(path: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    out.pop();
                }
                if last {
                    out.push("");
                }
            }
            _ => out.push(segment),
        }
    }
    let mut text = String::with_capacity(path.len() + 1);
    for segment in &out {
        text.push('/');
        text.push_str(segment);
    }
    if out.is_empty() {
        text.push('/');
    }
    text
}

/// Percent-encodes what is not visible ASCII: manifests hold spaces and letters of all scripts, a
/// request line does not (RFC 3986 §2.1, RFC 3987 §3.1).
fn escaped(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_graphic() {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    /// RFC 3986 §5.4, base `http://a/b/c/d;p?q`; a fragment is dropped and the scheme with it.
    #[test]
    fn references_resolve_as_in_rfc_3986_section_5_4() {
        let base = Url::new("a", "/b/c/d;p?q").unwrap();
        for (reference, expected) in [
            ("g", "//a/b/c/g"),
            ("./g", "//a/b/c/g"),
            ("g/", "//a/b/c/g/"),
            ("/g", "//a/g"),
            ("//g", "//g/"),
            ("?y", "//a/b/c/d;p?y"),
            ("g?y", "//a/b/c/g?y"),
            ("#s", "//a/b/c/d;p?q"),
            ("g#s", "//a/b/c/g"),
            ("g?y#s", "//a/b/c/g?y"),
            (";x", "//a/b/c/;x"),
            ("g;x?y#s", "//a/b/c/g;x?y"),
            ("", "//a/b/c/d;p?q"),
            (".", "//a/b/c/"),
            ("./", "//a/b/c/"),
            ("..", "//a/b/"),
            ("../", "//a/b/"),
            ("../g", "//a/b/g"),
            ("../..", "//a/"),
            ("../../g", "//a/g"),
            ("../../../g", "//a/g"),
            ("../../../../g", "//a/g"),
            ("/./g", "//a/g"),
            ("/../g", "//a/g"),
            ("g.", "//a/b/c/g."),
            (".g", "//a/b/c/.g"),
            ("..g", "//a/b/c/..g"),
            ("./../g", "//a/b/g"),
            ("./g/.", "//a/b/c/g/"),
            ("g/./h", "//a/b/c/g/h"),
            ("g/../h", "//a/b/c/h"),
            ("g;x=1/./y", "//a/b/c/g;x=1/y"),
            ("g?y/./x", "//a/b/c/g?y/./x"),
            ("g?y/../x", "//a/b/c/g?y/../x"),
            ("https://B:443/x/../y", "//b/y"),
        ] {
            assert_eq!(base.resolve(reference).unwrap().as_str(), expected, "{reference}");
        }
        for refused in ["data:text/plain,x", "g:h", "urn:x", "http:g", "a\u{0}b", "skd://key"] {
            assert_eq!(base.resolve(refused), None, "{refused}");
        }
    }

    #[test]
    fn what_a_request_line_cannot_hold_is_escaped() {
        let base = Url::new("h", "/a/b").unwrap();
        let url = base.resolve("näme 1.ts").unwrap();
        assert_eq!(url.path_and_query(), "/a/n%C3%A4me%201.ts");
        assert_eq!(url.to_uri().unwrap(), "/a/n%C3%A4me%201.ts");
    }

    #[test]
    fn a_request_is_located_by_its_host() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "Video.Example:80".parse().unwrap());
        let url = Url::of_request(&"/a/1.m4s?x=1".parse().unwrap(), &headers).unwrap();
        assert_eq!(url.as_str(), "//video.example/a/1.m4s?x=1");
        let told = Url::of_request(&"/a?x=1&CMCD=br%3D9&y".parse().unwrap(), &headers).unwrap();
        assert_eq!(told.path_and_query(), "/a?x=1&y");
        let absolute: Uri = "https://other/a".parse().unwrap();
        assert_eq!(Url::of_request(&absolute, &headers).unwrap().as_str(), "//other/a");
        assert_eq!(Url::of_request(&"*".parse().unwrap(), &headers), None);
    }
}
