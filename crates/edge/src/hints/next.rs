//! What players name, as they could ask this edge for it: a reference is believed to mean what a
//! request for it would, and what such a request would be refused is not told.

use std::borrow::Cow;

use http::Uri;
use http::uri::PathAndQuery;

use crate::normalise;

/// What `reference` means where `base` was asked for (RFC 3986 §5.2.2), as the edge hands it on.
/// `None` for another scheme or authority (CTA-5004 §3 has `nor` relative), and for what
/// [`normalise`] refuses, encoded dot segments among it.
pub(super) fn resolved(base: &Uri, reference: &str) -> Option<Uri> {
    let reference = reference.split('#').next().unwrap_or_default();
    let (path, query) = match reference.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (reference, None),
    };
    let begin = path.split('/').next().unwrap_or_default();
    if path.starts_with("//") || begin.contains(':') {
        return None;
    }
    let mut target = if path.is_empty() {
        base.path().to_owned()
    } else if path.starts_with('/') {
        without_dots(path)
    } else {
        let stem = base.path().rsplit_once('/').map_or("", |(stem, _)| stem);
        without_dots(&format!("{stem}/{path}"))
    };
    if let Some(query) = query.or_else(|| base.query().filter(|_| path.is_empty())) {
        target.push('?');
        target.push_str(query);
    }
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    let uri = Uri::from_parts(parts).ok()?;
    normalise::checked(&uri).map(Cow::into_owned)
}

/// RFC 3986 §5.2.4, of a path that begins with `/`.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_below = false;
    for segment in path.split('/').skip(1) {
        ends_below = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
    }
    let mut out = String::with_capacity(path.len());
    for segment in kept.iter().copied().chain(ends_below.then_some("")) {
        out.push('/');
        out.push_str(segment);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_means_what_a_request_for_it_would() {
        let base = Uri::from_static("http://h/a/b/1.m4s?x=1");
        let told = |reference: &str| {
            let uri = resolved(&base, reference)?;
            Some(uri.path_and_query()?.as_str().to_owned())
        };
        for (reference, means) in [
            ("2.m4s", "/a/b/2.m4s"),
            ("../c/2.m4s?y=2", "/a/c/2.m4s?y=2"),
            ("/2.m4s#f", "/2.m4s"),
            ("?y=2", "/a/b/1.m4s?y=2"),
            ("", "/a/b/1.m4s?x=1"),
            ("../../../..", "/"),
            (".", "/a/b/"),
            ("%7Ec/f%c3%a9", "/a/b/~c/f%C3%A9"),
        ] {
            assert_eq!(told(reference).as_deref(), Some(means), "{reference}");
        }
        for refused in ["//other/a", "http://h/a", "x:y", "%2e%2e/a", "a\\b", "a b", "%g", "/.//a"]
        {
            assert_eq!(told(refused), None, "{refused}");
        }
    }
}
