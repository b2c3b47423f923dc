//! Fields that belong to one connection and go no further (RFC 9110 §7.6.1, RFC 9111 §3.1).

use http::{HeaderMap, HeaderName, header};
use smallvec::SmallVec;

use crate::directives::ResponseDirectives;
use crate::loops::CDN_LOOP;

/// Takes off what is for the next hop only: what `Connection` lists, the fields that are so by
/// name, and those that speak to a proxy. What delimits or addresses a message is not up to
/// `Connection`: a list that names it is not obeyed there.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
    const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
    const PROXY_AUTHENTICATION_INFO: HeaderName =
        HeaderName::from_static("proxy-authentication-info");
    if headers.contains_key(header::CONNECTION) {
        let listed: SmallVec<[HeaderName; 4]> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .filter(|name| ![header::HOST, header::CONTENT_LENGTH, CDN_LOOP].contains(name))
            .collect();
        for name in listed {
            headers.remove(name);
        }
    }
    for name in [
        header::CONNECTION,
        KEEP_ALIVE,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        PROXY_CONNECTION,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        PROXY_AUTHENTICATION_INFO,
    ] {
        headers.remove(name);
    }
}

/// The fields of a response that its directives keep from all but its asker.
pub(crate) fn withheld(headers: &HeaderMap, targets: &[HeaderName]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for name in ResponseDirectives::governing(headers, targets).1 {
        // Named by both directives, or twice by one: once is enough.
        if !fields.contains_key(&name) {
            for value in headers.get_all(&name) {
                fields.append(name.clone(), value.clone());
            }
        }
    }
    fields
}

/// Takes off what asks for less than the whole response (RFC 9110 §13 and §14): a fill is for
/// everyone who waits, not for its leader alone.
pub(crate) fn strip_conditions(headers: &mut HeaderMap) {
    for name in [
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
        header::IF_RANGE,
        header::RANGE,
    ] {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use http::HeaderValue;

    #[test]
    fn rfc_9110_7_6_1_what_connection_lists_goes_with_it() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Hop, Host"),
            ("x-hop", "1"),
            ("host", "h"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("proxy-authenticate", "Basic"),
            ("x-end", "1"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        strip_hop_by_hop(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["host", "x-end"]);
    }
}
