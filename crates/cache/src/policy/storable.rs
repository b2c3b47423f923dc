//! What may be stored (RFC 9111 §3 and §3.5).
//!
//! A response with `Set-Cookie` is stored only if its origin says `public` or `s-maxage`, or the
//! [`Choices`] say so.

use http::{HeaderMap, StatusCode, header};

use super::{Choices, freshness};
use crate::directives::ResponseDirectives;

/// What counts of the request that a response answers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    /// It had an `Authorization` field.
    pub(crate) authorization: bool,
    /// It said `no-store`, and is listened to.
    pub(crate) no_store: bool,
}

/// Why a response is not stored, nor given to anyone but who asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The request or the response says `no-store`.
    NoStore,
    /// The response is one user's.
    Private,
    /// The request was authorised and the response does not say that others may have it.
    Authorization,
    /// The response sets a cookie and does not say that others may have it.
    SetCookie,
    /// `Vary: *`: no other request can be known to match.
    VaryStar,
    /// The status is not one that is stored, or not without explicit freshness.
    Status,
    /// It is stale when it comes and has no validator: it could never be used.
    Useless,
}

impl Refusal {
    /// Whether the next request for the same would be refused, too: it is about the answer, and not
    /// about who asked for this one.
    pub(crate) fn is_of_the_answer(self, asked: Asked) -> bool {
        match self {
            Self::Authorization => false,
            Self::NoStore => !asked.no_store,
            _ => true,
        }
    }
}

/// Whether a response to a GET may be stored by a shared cache, and so given to others too.
pub(crate) fn storable(
    asked: Asked,
    status: StatusCode,
    headers: &HeaderMap,
    directives: &ResponseDirectives,
    choices: &Choices,
) -> Result<(), Refusal> {
    // §5.2.2.3: who understands the status and its caching ignores the `no-store` that comes with
    // `must-understand`; who does not must not store.
    let no_store =
        if directives.must_understand { !understood(status) } else { directives.no_store };
    if asked.no_store || no_store {
        return Err(Refusal::NoStore);
    }
    if directives.private {
        return Err(Refusal::Private);
    }
    // §3.5
    let shared = directives.public || directives.s_maxage.is_some();
    if asked.authorization && !shared && !directives.must_revalidate {
        return Err(Refusal::Authorization);
    }
    if headers.contains_key(header::SET_COOKIE) && !shared && !choices.shares_cookies() {
        return Err(Refusal::SetCookie);
    }
    let star = |value: &http::HeaderValue| value.as_bytes().split(|&b| b == b',').any(is_star);
    if headers.get_all(header::VARY).iter().any(star) {
        return Err(Refusal::VaryStar);
    }
    let explicit = freshness::is_explicit(headers, directives) || directives.public;
    if !storable_status(status) || !(explicit || heuristically_cacheable(status)) {
        return Err(Refusal::Status);
    }
    Ok(())
}

/// Statuses that may be stored without explicit freshness (RFC 9110 §15.1). 206 is one of them,
/// but parts are not stored here.
pub(crate) fn heuristically_cacheable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// Final statuses whose response stands by itself: not a part (206), not an update of a stored one
/// (304), not an answer about this request's range (416) or precondition (412).
pub(crate) fn storable_status(status: StatusCode) -> bool {
    !status.is_informational() && !matches!(status.as_u16(), 206 | 304 | 412 | 416)
}

/// Statuses whose caching this cache knows (§5.2.2.3): those of RFC 9110 §15 that it stores.
fn understood(status: StatusCode) -> bool {
    heuristically_cacheable(status)
        || matches!(status.as_u16(), 302 | 303 | 307 | 400 | 403)
        || status.is_server_error() && status.as_u16() <= 505
}

fn is_star(member: &[u8]) -> bool {
    member.trim_ascii() == b"*"
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn ask(asked: Asked, status: u16, list: &[(&str, &str)]) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers
                .append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let directives = ResponseDirectives::of(&headers);
        let status = StatusCode::from_u16(status).unwrap();
        storable(asked, status, &headers, &directives, &Choices::new())
    }

    fn control(status: u16, text: &str) -> Result<(), Refusal> {
        ask(Asked::default(), status, &[("cache-control", text)])
    }

    #[test]
    fn rfc_9111_3_no_store_and_private_are_not_stored() {
        assert_eq!(control(200, "max-age=9, no-store"), Err(Refusal::NoStore));
        assert_eq!(control(200, "max-age=9, private"), Err(Refusal::Private));
        assert_eq!(control(200, "max-age=9, private=\"x\""), Ok(()));
        let asked = Asked { no_store: true, ..Asked::default() };
        assert_eq!(ask(asked, 200, &[("cache-control", "max-age=9")]), Err(Refusal::NoStore));
    }

    #[test]
    fn rfc_9111_3_statuses() {
        for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
            assert_eq!(control(status, ""), Ok(()), "{status}");
        }
        for status in [201, 302, 307, 403, 500, 503, 299, 599] {
            assert_eq!(control(status, ""), Err(Refusal::Status), "{status}");
            assert_eq!(control(status, "max-age=1"), Ok(()), "{status}");
            assert_eq!(control(status, "public"), Ok(()), "{status}");
        }
        for status in [206, 304, 412, 416] {
            assert_eq!(control(status, "max-age=1"), Err(Refusal::Status), "{status}");
        }
    }

    #[test]
    fn rfc_9111_3_5_authorization_needs_public_s_maxage_or_must_revalidate() {
        let asked = Asked { authorization: true, ..Asked::default() };
        let with = |text| ask(asked, 200, &[("cache-control", text)]);
        assert_eq!(with("max-age=9"), Err(Refusal::Authorization));
        for text in ["public, max-age=9", "s-maxage=9", "must-revalidate, max-age=9"] {
            assert_eq!(with(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn rfc_9111_5_2_2_3_must_understand_overrides_no_store_for_known_statuses() {
        assert_eq!(control(200, "max-age=9, must-understand, no-store"), Ok(()));
        assert_eq!(control(299, "max-age=9, must-understand, no-store"), Err(Refusal::NoStore));
        assert_eq!(control(299, "max-age=9, must-understand"), Err(Refusal::NoStore));
    }

    #[test]
    fn rfc_9111_4_1_vary_star_matches_nobody() {
        let list = [("cache-control", "max-age=9"), ("vary", "accept, *")];
        assert_eq!(ask(Asked::default(), 200, &list), Err(Refusal::VaryStar));
    }

    #[test]
    fn rfc_9111_7_3_a_cookie_is_shared_only_by_word_of_the_origin() {
        let with =
            |text| ask(Asked::default(), 200, &[("cache-control", text), ("set-cookie", "sid=1")]);
        assert_eq!(with("max-age=9"), Err(Refusal::SetCookie));
        assert_eq!(with("private, max-age=9"), Err(Refusal::Private));
        assert_eq!(with("public, max-age=9"), Ok(()));
    }
}
