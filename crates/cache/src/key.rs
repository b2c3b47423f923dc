//! Primary cache keys (RFC 9111 §2): host, path and query, as bytes on the stack.
//!
//! A key is written into a buffer that lives on the stack for all but very long URLs, looked up by
//! its bytes, and compared byte for byte with the stored key: two requests never share an object
//! because their hashes collide.

use std::sync::Arc;

use headwater_net::ConnInfo;
use headwater_net::query::parameters;
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderValue, Request, Uri, header};
use smallvec::SmallVec;

/// A key as stored: compared and hashed by its bytes.
pub(crate) type Key = Arc<[u8]>;

/// The buffer a [`Policy`](crate::Policy) writes a request's key into.
#[derive(Debug, Default)]
pub struct KeyBuf(SmallVec<[u8; 256]>);

impl KeyBuf {
    /// An empty key.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends bytes as they are.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Appends bytes with ASCII letters in lower case.
    pub fn push_lowercase(&mut self, bytes: &[u8]) {
        self.0.extend(bytes.iter().map(u8::to_ascii_lowercase));
    }

    /// Appends what tells requests for one URL apart, such as a class of devices: a purge by URL
    /// takes in all that have the same bytes before it. URLs hold none of its separator.
    pub fn push_beside(&mut self, bytes: &[u8]) {
        self.0.push(BESIDE);
        self.0.extend_from_slice(bytes);
    }

    /// The key's bytes without those [beside](Self::push_beside) the URL.
    pub(crate) fn url(&self) -> &[u8] {
        url_of(&self.0)
    }

    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn to_key(&self) -> Key {
        Arc::from(&self.0[..])
    }
}

/// Parts a key's URL from what is beside it.
const BESIDE: u8 = b'\n';

/// The bytes of a key that stand for the URL.
pub(crate) fn url_of(key: &[u8]) -> &[u8] {
    key.split(|&byte| byte == BESIDE).next().unwrap_or_default()
}

/// What is looked at of a request's head, whether the request has been taken apart or not.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'r> {
    /// What it asks for.
    pub uri: &'r Uri,
    /// Its fields.
    pub headers: &'r HeaderMap,
    /// What is known of it beside.
    pub extensions: &'r Extensions,
}

impl<'r> From<&'r Parts> for Seen<'r> {
    fn from(request: &'r Parts) -> Self {
        let Parts { uri, headers, extensions, .. } = request;
        Self { uri, headers, extensions }
    }
}

impl<'r, B> From<&'r Request<B>> for Seen<'r> {
    fn from(request: &'r Request<B>) -> Self {
        let (uri, headers) = (request.uri(), request.headers());
        Self { uri, headers, extensions: request.extensions() }
    }
}

/// The host a request is for: the authority of an absolute or HTTP/2 request target, else the
/// `Host` field (RFC 9110 §7.2); empty when there is neither.
pub fn host(request: &Parts) -> &[u8] {
    host_of(&request.uri, &request.headers)
}

/// The [host] of a request with this target and these fields.
pub fn host_of<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> &'r [u8] {
    match uri.authority() {
        Some(authority) => authority.as_str().as_bytes(),
        None => headers.get(header::HOST).map_or(b"", |host| host.as_bytes()),
    }
}

/// The [host](self::host) without the port that its scheme has anyway, or an empty one (RFC 9110
/// §4.2.3); a request that names no scheme is taken for `https` where its connection is encrypted
/// (RFC 9110 §7.1), else for `http`.
pub(crate) fn normal_host<'r>(request: impl Into<Seen<'r>>) -> &'r [u8] {
    let request = request.into();
    let host = host_of(request.uri, request.headers);
    if !host.contains(&b':') {
        return host;
    }
    let encrypted = || request.extensions.get::<ConnInfo>().is_some_and(|conn| conn.tls);
    let scheme = request.uri.scheme_str().or_else(|| encrypted().then_some("https"));
    without_default_port(host, scheme)
}

/// A host without its port, if it has one.
pub fn name_of(host: &[u8]) -> &[u8] {
    let digits = host.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let end = host.len() - digits;
    match end.checked_sub(1).and_then(|colon| host.get(..colon).zip(host.get(colon))) {
        Some((name, b':')) => name,
        _ => host,
    }
}

/// Has a request name its [`normal_host`] to upstream, too: what is stored under that name is the
/// answer to it. A link that an origin makes of another port than its own would be everybody's.
pub(crate) fn name_normal_host(request: &mut Parts) {
    name_to_upstream(request, |request| normal_host(request));
}

/// As [`name_normal_host`], of the host without any port.
pub(crate) fn name_without_port(request: &mut Parts) {
    name_to_upstream(request, |request| name_of(host(request)));
}

fn name_to_upstream(request: &mut Parts, of: fn(&Parts) -> &[u8]) {
    let normal = of(request);
    if normal.is_empty() || normal.len() == host(request).len() {
        return;
    }
    let Ok(normal) = HeaderValue::from_bytes(normal) else { return };
    if request.uri.authority().is_some() {
        let mut uri = request.uri.clone().into_parts();
        uri.authority = normal.as_bytes().try_into().ok();
        let Ok(uri) = Uri::from_parts(uri) else { return };
        request.uri = uri;
    }
    if request.headers.contains_key(header::HOST) {
        request.headers.insert(header::HOST, normal);
    }
}

/// As [`normal_host`], of any host and scheme.
pub(crate) fn without_default_port<'a>(host: &'a [u8], scheme: Option<&str>) -> &'a [u8] {
    let port: &[u8] = if scheme == Some("https") { b":443" } else { b":80" };
    host.strip_suffix(port).or_else(|| host.strip_suffix(b":")).unwrap_or(host)
}

/// Whether a query parameter (`name` or `name=value`) is CMCD (CTA-5004), which tells of the
/// player and never of the resource.
pub fn is_cmcd(parameter: &str) -> bool {
    parameter.strip_prefix("CMCD").is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
}

/// Writes `host/path?query` without CMCD. A host holds no `/` and a path begins with one, so that
/// no two different requests write the same bytes. The scheme is not part of the key: an origin
/// whose answers depend on it is to be told so by a policy of one's own. The scheme's own port goes
/// with it: `http://a` and `http://a:80` are one.
pub(crate) fn write_default(request: &Parts, key: &mut KeyBuf) {
    key.push_lowercase(normal_host(request));
    write_target(request, key);
}

/// Writes `path?query` without CMCD: the key of a cache whose site is one, whatever name it is
/// called by.
pub fn write_target(request: &Parts, key: &mut KeyBuf) {
    write_path(request, key);
    let Some(query) = request.uri.query() else { return };
    if !query.contains("CMCD") {
        key.push(b"?");
        key.push(query.as_bytes());
        return;
    }
    let mut separator: &[u8] = b"?";
    for parameter in parameters(query).filter(|parameter| !is_cmcd(parameter)) {
        key.push(separator);
        key.push(parameter.as_bytes());
        separator = b"&";
    }
}

/// Writes `path`, which begins with `/`.
pub(crate) fn write_path(request: &Parts, key: &mut KeyBuf) {
    let path = request.uri.path();
    if !path.starts_with('/') {
        key.push(b"/");
    }
    key.push(path.as_bytes());
}

/// The URI without its CMCD parameter; `None` where it has none.
pub(crate) fn without_cmcd(uri: &Uri) -> Option<Uri> {
    let query = uri.query()?;
    if !parameters(query).any(is_cmcd) {
        return None;
    }
    let mut target = String::with_capacity(uri.path().len() + query.len() + 1);
    target.push_str(uri.path());
    for (index, parameter) in parameters(query).filter(|one| !is_cmcd(one)).enumerate() {
        target.push(if index == 0 { '?' } else { '&' });
        target.push_str(parameter);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target.parse().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use http::Request;

    fn key(uri: &str, host: Option<&str>) -> String {
        let mut request = Request::get(uri);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let mut key = KeyBuf::new();
        write_default(&parts, &mut key);
        String::from_utf8(key.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn host_path_and_query_make_the_key() {
        assert_eq!(key("http://EXAMPLE.com/A?b=C", None), "example.com/A?b=C");
        assert_eq!(key("/A?b=C", Some("Example.com")), "example.com/A?b=C");
        assert_ne!(key("/a?", Some("h")), key("/a", Some("h")));
        assert_ne!(key("/a", Some("h")), key("/a", Some("h2")));
    }

    #[test]
    fn rfc_9110_4_2_3_the_default_port_is_the_same_as_none() {
        for same in ["http://A:80/x", "http://a:/x", "https://a:443/x", "https://a/x"] {
            assert_eq!(key(same, None), "a/x", "{same}");
        }
        assert_eq!(key("/x", Some("a:80")), "a/x");
        assert_eq!(key("http://[::1]:80/x", None), "[::1]/x");
        for (other, expected) in [
            ("http://a:443/x", "a:443/x"),
            ("https://a:80/x", "a:80/x"),
            ("http://a:8080/x", "a:8080/x"),
            ("http://[::80]/x", "[::80]/x"),
        ] {
            assert_eq!(key(other, None), expected);
        }
    }

    #[test]
    fn a_name_has_no_port() {
        for (host, name) in [
            ("a:8443", "a"),
            ("a:", "a"),
            ("a", "a"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(name_of(host.as_bytes()), name.as_bytes(), "{host}");
        }
    }

    #[test]
    fn rfc_9110_7_1_an_encrypted_connection_has_the_port_of_https() {
        let at = "127.0.0.1:1".parse().unwrap();
        let mut conn = ConnInfo::new(at, at, headwater_net::Protocol::H1);
        conn.tls = true;
        for (host, expected) in [("a:443", "a/x"), ("a:80", "a:80/x"), ("a:", "a/x")] {
            let request = Request::get("/x").header("host", host).extension(conn.clone());
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let mut key = KeyBuf::new();
            write_default(&parts, &mut key);
            assert_eq!(key.as_bytes(), expected.as_bytes(), "{host}");
        }
    }

    #[test]
    fn cmcd_never_enters_the_key_or_the_upstream_url() {
        assert_eq!(key("/s?CMCD=br%3D1", Some("h")), "h/s");
        assert_eq!(key("/s?a=1&CMCD=x&b=2", Some("h")), "h/s?a=1&b=2");
        assert_eq!(key("/s?CMCDx=1", Some("h")), "h/s?CMCDx=1");
        let clean = without_cmcd(&"http://h/s?a=1&CMCD=x&b=2".parse().unwrap()).unwrap();
        assert_eq!(clean, "http://h/s?a=1&b=2");
        assert_eq!(without_cmcd(&"/s?a=1".parse().unwrap()), None);
    }
}
