//! Fields that concern one connection only and are never passed on (RFC 9110 §7.6.1).

use http::header::{self, HeaderMap, HeaderName};

/// Those that are so by name, and those that speak to a proxy. `HTTP2-Settings` belongs to an
/// upgrade that nobody makes any more (RFC 9113 §3.1).
const BY_NAME: [HeaderName; 11] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// Fields that a list in `Connection` does not take off: those that delimit or address a message,
/// and the one by which loops are found.
const KEPT: [HeaderName; 3] =
    [header::HOST, header::CONTENT_LENGTH, HeaderName::from_static("cdn-loop")];

/// Removes `Connection`, every field that it names, and the other fields of a single connection.
/// What delimits or addresses a message is not up to `Connection`: a list that names it is not
/// obeyed there.
///
/// ```
/// use http::{HeaderMap, HeaderValue};
///
/// let mut headers = HeaderMap::new();
/// headers.insert("connection", HeaderValue::from_static("close, x-hop, host"));
/// headers.insert("x-hop", HeaderValue::from_static("1"));
/// headers.insert("host", HeaderValue::from_static("video.example"));
/// headwater_net::hop::strip_hop_by_hop(&mut headers);
/// assert_eq!(headers.len(), 1);
/// ```
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
            .filter(|name| !KEPT.contains(name))
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in BY_NAME {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn rfc_9110_7_6_1_what_connection_lists_goes_with_it() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "x-one, close, Host"),
            ("connection", "X-Two, content-length, cdn-loop"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("host", "h"),
            ("content-length", "5"),
            ("cdn-loop", "edge"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("proxy-authenticate", "Basic"),
            ("transfer-encoding", "chunked"),
            ("etag", "\"a\""),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        strip_hop_by_hop(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["cdn-loop", "content-length", "etag", "host"]);
    }
}
