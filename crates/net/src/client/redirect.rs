//! Redirects of an upstream: followed to where the operator said that one may go, and nowhere else.
//!
//! A `Location` is text from outside. It is compared with what was configured, scheme, host and
//! port, as text and before any name is resolved: so no address is reached by it that is not
//! reached without it, whatever a name resolves to.

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, StatusCode, Uri, header, request};

use super::Inner;
use crate::Body;

/// The most redirects that are followed one after the other.
const MOST: u8 = 10;

/// What becomes of an answer that says to ask elsewhere (301, 302, 303, 307, 308 with `Location`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Redirects {
    /// It is the answer.
    #[default]
    Pass,
    /// It is an error ([`UpstreamError::Redirect`](super::UpstreamError::Redirect)).
    Refuse,
    /// A `GET` or `HEAD` without a body is asked again of the same upstream or of one named by
    /// [`UpstreamBuilder::redirects_to`](super::UpstreamBuilder::redirects_to), so many times at most
    /// (10 are the most there are); whatever leads elsewhere or further is an error.
    Follow(u8),
}

impl Redirects {
    /// How many are followed.
    pub(super) fn most(self) -> u8 {
        match self {
            Self::Follow(most) => most.min(MOST),
            Self::Pass | Self::Refuse => 0,
        }
    }

    /// Whether the head of a request has to be kept, to ask it elsewhere.
    pub(super) fn may_follow(self, request: &Request<Body>) -> bool {
        matches!(self, Self::Follow(_))
            && matches!(*request.method(), Method::GET | Method::HEAD)
            && http_body::Body::is_end_stream(request.body())
    }
}

/// Where an answer says to ask, as it says it. Without `Location` it is an answer like any other.
pub(super) fn location(status: StatusCode, headers: &HeaderMap) -> Option<&[u8]> {
    let moved = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
    headers.get(header::LOCATION).filter(|_| moved).map(http::HeaderValue::as_bytes)
}

/// The absolute URI of a `Location` in the answer to a request for `from`; `None` where it is none,
/// has user information, or climbs by dots.
pub(super) fn resolve(from: &Uri, location: &[u8]) -> Option<Uri> {
    let location = std::str::from_utf8(location).ok()?.trim_ascii();
    let location = location.split('#').next()?;
    let (scheme, authority) = (from.scheme_str()?, from.authority()?);
    let first = location.find(['/', '?', ':']).and_then(|at| location.as_bytes().get(at));
    let absolute = if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if first == Some(&b':') {
        location.to_owned()
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.starts_with('?') {
        format!("{scheme}://{authority}{}{location}", from.path())
    } else {
        let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    let uri: Uri = absolute.parse().ok()?;
    let climbs = |segment: &str| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".." || segment.contains('\\')
    };
    let has_user = uri.authority()?.as_str().contains('@');
    (!has_user && !uri.path().split('/').any(climbs)).then_some(uri)
}

impl Inner {
    /// Whether a URI is of this upstream: its scheme, host and port, and below its path.
    pub(super) fn is_at(&self, uri: &Uri) -> bool {
        let Some((scheme, authority)) = uri.scheme().zip(uri.authority()) else { return false };
        let below = uri.path().strip_prefix(self.prefix.as_str());
        *scheme == self.scheme
            && [&self.authority, &self.told].into_iter().any(|own| {
                authority.host().eq_ignore_ascii_case(own.host())
                    && port(scheme, authority) == port(&self.scheme, own)
            })
            && below.is_some_and(|below| below.starts_with('/'))
    }

    /// A request like one that was sent, for a URI of this upstream.
    pub(super) fn follow(&self, head: &request::Parts, uri: &Uri, is_same: bool) -> Request<Body> {
        let mut head = head.clone();
        if !is_same {
            for private in [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION] {
                head.headers.remove(private);
            }
        }
        let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let path = path.strip_prefix(self.prefix.as_str()).unwrap_or(path);
        head.uri = path.parse().unwrap_or_default();
        Request::from_parts(head, Body::Empty)
    }
}

fn port(scheme: &Scheme, authority: &Authority) -> u16 {
    authority.port_u16().unwrap_or(if *scheme == Scheme::HTTPS { 443 } else { 80 })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use proptest::prelude::*;

    fn resolved(location: &str) -> Option<String> {
        let from = Uri::from_static("http://origin.example:81/media/film/v1.m3u8?x=1");
        resolve(&from, location.as_bytes()).map(|uri| uri.to_string())
    }

    #[test]
    fn locations_are_relative_to_what_was_asked_for() {
        for (location, expected) in [
            ("https://other.example/a?b#c", "https://other.example/a?b"),
            ("//other.example/a", "http://other.example/a"),
            ("/a?b", "http://origin.example:81/a?b"),
            ("2.m4s", "http://origin.example:81/media/film/2.m4s"),
            ("?token=1", "http://origin.example:81/media/film/v1.m3u8?token=1"),
        ] {
            assert_eq!(resolved(location).as_deref(), Some(expected), "{location}");
        }
        for none in
            ["", "../a", "/media/../a", "/media/%2E%2e/a", "//me@origin.example:81/", "file:///etc"]
        {
            let uri = resolved(none);
            assert!(
                uri.is_none()
                    || none.is_empty()
                    || uri.as_ref().is_some_and(|uri| !uri.starts_with("http")),
                "{none} {uri:?}"
            );
        }
    }

    #[test]
    fn only_what_was_configured_is_followed() {
        let upstream = |uri: &str| super::super::Upstream::builder(uri).build().unwrap().inner;
        let origin = upstream("http://Origin.example/media");
        let is_at = |uri: &str| origin.is_at(&uri.parse().unwrap());
        for yes in ["http://origin.example/media/a", "http://ORIGIN.example:80/media/?x"] {
            assert!(is_at(yes), "{yes}");
        }
        for no in [
            "http://169.254.169.254/media/a",
            "http://localhost/media/a",
            "http://127.0.0.1/media/a",
            "https://origin.example/media/a",
            "http://origin.example:8080/media/a",
            "http://origin.example.evil/media/a",
            "http://origin.example/a",
            "http://origin.example/mediathek/a",
            "ftp://origin.example/media/a",
        ] {
            assert!(!is_at(no), "{no}");
        }
    }

    proptest! {
        /// Nothing in a `Location` leads to an authority that it does not name, and nothing panics.
        #[test]
        fn any_location_is_read(location in "[ -~]{0,60}") {
            if let Some(uri) = resolved(&location) {
                let uri: Uri = uri.parse().unwrap();
                let host = uri.host().unwrap().to_owned();
                prop_assert!(host == "origin.example" || location.contains(&host));
            }
        }
    }
}
