//! Which of the request fields that a cache heeds are there, found in one pass.
//!
//! A hit has to know of a dozen fields, hardly any of which a player sends, and each look-up in a
//! [`HeaderMap`] hashes a name. One look at the names that there are costs less than two of those.

use http::HeaderMap;
use http::header::HeaderName;

/// A set of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found(u8);

impl Found {
    /// What is for one hop alone: `Connection` (RFC 9110 §7.6.1).
    pub(crate) const CONNECTION: Self = Self(1);
    /// What says that there is content: `Content-Length`, `Transfer-Encoding`.
    pub(crate) const CONTENT: Self = Self(2);
    /// `CDN-Loop` (RFC 8586).
    pub(crate) const LOOP: Self = Self(4);
    /// `Cache-Control` and `Pragma`.
    pub(crate) const DIRECTIVES: Self = Self(8);
    /// What makes of a response another answer than the whole of it: ranges and preconditions (RFC
    /// 9110 §13 and §14).
    pub(crate) const SHAPE: Self = Self(16);

    /// What `headers` have.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        headers.keys().map(Self::kind).fold(Self(0), |all, one| Self(all.0 | one.0))
    }

    /// Whether any of `these` is there.
    pub(crate) const fn any(self, these: Self) -> bool {
        self.0 & these.0 != 0
    }

    fn kind(name: &HeaderName) -> Self {
        match name.as_str().as_bytes() {
            b"connection" => Self::CONNECTION,
            b"content-length" | b"transfer-encoding" => Self::CONTENT,
            b"cdn-loop" => Self::LOOP,
            b"cache-control" | b"pragma" => Self::DIRECTIVES,
            b"range"
            | b"if-range"
            | b"if-match"
            | b"if-none-match"
            | b"if-modified-since"
            | b"if-unmodified-since" => Self::SHAPE,
            _ => Self(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loops::CDN_LOOP;
    use http::{HeaderValue, header};

    #[test]
    fn each_field_is_of_its_kind_and_others_of_none() {
        let all = [
            (Found::CONNECTION, &[header::CONNECTION][..]),
            (Found::CONTENT, &[header::CONTENT_LENGTH, header::TRANSFER_ENCODING]),
            (Found::LOOP, &[CDN_LOOP]),
            (Found::DIRECTIVES, &[header::CACHE_CONTROL, header::PRAGMA]),
            (
                Found::SHAPE,
                &[
                    header::RANGE,
                    header::IF_RANGE,
                    header::IF_MATCH,
                    header::IF_NONE_MATCH,
                    header::IF_MODIFIED_SINCE,
                    header::IF_UNMODIFIED_SINCE,
                ],
            ),
            (Found(0), &[header::HOST, header::ACCEPT, header::COOKIE, header::TE]),
        ];
        let mut headers = HeaderMap::new();
        let mut sum = 0;
        for (kind, names) in all {
            for name in names {
                assert_eq!(Found::kind(name), kind, "{name}");
                headers.insert(name, HeaderValue::from_static("x"));
            }
            sum |= kind.0;
            assert_eq!(Found::of(&headers), Found(sum));
        }
    }
}
