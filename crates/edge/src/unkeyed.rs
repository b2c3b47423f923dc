//! Request fields that no cache key knows of and that origins heed all the same: by them a stranger
//! has an origin answer another request than the one that the answer is stored for.
//!
//! Frameworks build links from `X-Forwarded-Host`, route by `X-Original-URL`, and take a GET for
//! what `X-HTTP-Method-Override` says. What a player tells of itself (CMCD, CTA-5004) is one client's
//! and the answer is everybody's: it goes no further, either. Nor does what our own machines say to
//! each other (`Headwater-Peer`, `Headwater-Link`): a stranger would speak as one of them. The address
//! of a client behind a trusted proxy is not lost: the listener has read it into
//! [`ConnInfo`](headwater_net::ConnInfo).

use http::HeaderMap;

/// Whole families.
const PREFIXES: [&str; 6] =
    ["x-forwarded-", "x-original-", "x-rewrite-", "x-http-", "cmcd-", "headwater-"];

/// Those of our own that the cache behind reads, judges, and takes off itself: the operator's secret,
/// and the purges of a cache that asks, which only a cache before caches believes; and the class of device
/// that an edge before this one found, in whose place a cache that classes devices puts its own.
const FOR_THE_CACHE: [&str; 3] = ["headwater-debug", "headwater-device", "headwater-purge-seq"];

/// Others, in the order of their bytes.
const NAMES: [&str; 8] = [
    "client-ip",
    "forwarded",
    "true-client-ip",
    "x-client-ip",
    "x-forwarded",
    "x-host",
    "x-method-override",
    "x-real-ip",
];

/// Takes them off.
pub(crate) fn strip(headers: &mut HeaderMap) {
    while let Some(name) = headers.keys().find(|name| is_unkeyed(name.as_str())).cloned() {
        headers.remove(name);
    }
}

/// Whether a field of this name, in lower case, is one of them.
pub(crate) fn is_unkeyed(name: &str) -> bool {
    matches!(name.as_bytes().first(), Some(b'x' | b'f' | b'c' | b't' | b'h'))
        && (PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            || NAMES.binary_search(&name).is_ok())
        && !FOR_THE_CACHE.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    #[test]
    fn what_origins_heed_goes_and_all_else_stays() {
        assert!(NAMES.is_sorted());
        let mut headers = HeaderMap::new();
        for name in [
            "forwarded",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-original-url",
            "x-rewrite-url",
            "x-http-method-override",
            "x-method-override",
            "x-host",
            "x-real-ip",
            "true-client-ip",
            "cmcd-session",
            "headwater-peer",
            "headwater-link",
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("evil"));
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("twice"));
        }
        let kept = ["range", "x-playback-session-id", "cookie", "te", "from", "x-httpd", "host"];
        for name in kept.into_iter().chain(FOR_THE_CACHE) {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("kept"));
        }
        strip(&mut headers);
        assert_eq!(headers.len(), 10);
        assert!(headers.values().all(|value| value == "kept"));
    }
}
