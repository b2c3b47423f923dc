//! AWS Signature Version 4 in the `Authorization` field: how S3, and what speaks its language (Google's
//! XML API with HMAC keys, MinIO, Ceph, R2), know who asks.
//!
//! Signed are method, path, query, host, time and, where there is one, the session's token; the body is
//! not, where there is one (`UNSIGNED-PAYLOAD`): TLS is what keeps it whole. Paths are written as S3 wants
//! them: each byte that is not unreserved (RFC 3986 §2.3) escaped once, nothing normalised.
//!
//! What a signature is worth, a stranger must not be lent: of a request, `X-Amz-…` and the query are taken
//! off before it is signed ([`bare`]), by which one would list a bucket or read who may use it, and the
//! root, which is such a list, is not asked for.

use aws_lc_rs::{digest, hmac};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, header, request};

use crate::{Clock, Timestamp};

const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const CONTENT: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
/// The SHA-256 of nothing.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// Who signs, and for what. Not printed.
#[derive(Clone)]
pub struct SigV4 {
    key_id: String,
    secret: Box<[u8]>,
    token: Option<HeaderValue>,
    region: String,
    service: String,
}

/// The path and query of a request as it is signed: an object's, and no question about it or its bucket.
/// `None` for the root, where no object is.
pub(super) fn bare(asked: &PathAndQuery) -> Option<PathAndQuery> {
    let path = asked.path();
    if path.trim_start_matches('/').is_empty() {
        return None;
    }
    path.parse().ok()
}

impl SigV4 {
    /// Requests to S3 in this region, such as `eu-central-1`, or `auto` where there is none.
    pub fn s3(region: impl Into<String>, key_id: impl Into<String>, secret: &[u8]) -> Self {
        Self {
            key_id: key_id.into(),
            secret: secret.into(),
            token: None,
            region: region.into(),
            service: "s3".to_owned(),
        }
    }

    /// With the token of a session, where the keys are temporary.
    #[must_use]
    pub fn token(mut self, mut token: HeaderValue) -> Self {
        token.set_sensitive(true);
        self.token = Some(token);
        self
    }

    /// Signs a request whose URI is absolute and says which host it is for.
    pub(super) fn sign(&self, head: &mut request::Parts, is_empty: bool, clock: &Clock) {
        let own = |name: &&HeaderName| name.as_str().starts_with("x-amz-");
        while let Some(name) = head.headers.keys().find(own).cloned() {
            head.headers.remove(name);
        }
        let stamp = stamp(clock.now());
        for (name, value) in [
            (DATE, HeaderValue::try_from(&stamp).ok()),
            (CONTENT, Some(HeaderValue::from_static(if is_empty { EMPTY } else { UNSIGNED }))),
            (TOKEN, self.token.clone()),
        ] {
            if let Some(value) = value {
                head.headers.insert(name, value);
            }
        }
        let host = head.uri.authority().map_or("", |authority| authority.as_str());
        let (signed, fields) = fields(&head.headers, host);
        let content = head.headers.get(CONTENT).and_then(|value| value.to_str().ok());
        let canonical = format!(
            "{}\n{}\n{}\n{fields}\n{signed}\n{}",
            head.method,
            path(head.uri.path()),
            query(head.uri.query().unwrap_or_default()),
            content.unwrap_or_default(),
        );
        let day = stamp.get(..8).unwrap_or_default();
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let hash = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hash}");
        let signature = hex(mac(&self.key(day), text.as_bytes()).as_ref());
        let value = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={signed},Signature={signature}",
            self.key_id,
        );
        if let Ok(mut value) = HeaderValue::try_from(value) {
            value.set_sensitive(true);
            head.headers.insert(header::AUTHORIZATION, value);
        }
    }

    /// The key of a day.
    fn key(&self, day: &str) -> hmac::Tag {
        let first = [b"AWS4", &*self.secret].concat();
        let mut key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &first), day.as_bytes());
        for part in [&*self.region, &*self.service, "aws4_request"] {
            key = mac(&key, part.as_bytes());
        }
        key
    }
}

fn mac(key: &hmac::Tag, text: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()), text)
}

/// The names of the fields that are signed, and those with their values: the host, the range, and all of
/// AWS's own.
fn fields(headers: &HeaderMap, host: &str) -> (String, String) {
    let mut fields = vec![("host", host.as_bytes())];
    let own = |name: &HeaderName| *name == header::RANGE || name.as_str().starts_with("x-amz-");
    let named = headers.iter().filter(|(name, _)| own(name));
    fields.extend(named.map(|(name, value)| (name.as_str(), value.as_bytes())));
    fields.sort_unstable();
    let names: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
    let mut lines = String::new();
    for (name, value) in &fields {
        lines.extend([*name, ":", String::from_utf8_lossy(value).trim(), "\n"]);
    }
    (names.join(";"), lines)
}

/// A path, each byte of it escaped that has to be.
fn path(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    escape(path, true, &mut out);
    out
}

/// A query, its parameters in order.
fn query(query: &str) -> String {
    let mut all: Vec<(String, String)> = query
        .split('&')
        .filter(|one| !one.is_empty())
        .map(|one| {
            let (name, value) = one.split_once('=').unwrap_or((one, ""));
            let (mut out, mut of) = (String::new(), String::new());
            escape(name, false, &mut out);
            escape(value, false, &mut of);
            (out, of)
        })
        .collect();
    all.sort_unstable();
    let all: Vec<_> = all.iter().map(|(name, value)| format!("{name}={value}")).collect();
    all.join("&")
}

/// What a text with escapes stands for, escaped as AWS does.
fn escape(text: &str, is_path: bool, out: &mut String) {
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = match rest {
            [b'%', high, low, more @ ..] => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).ok();
                let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                byte.map(|byte| (byte, more))
            }
            _ => None,
        };
        let byte;
        (byte, rest) = escaped.unwrap_or((*first, after));
        match byte {
            b'/' if is_path && escaped.is_none() => out.push('/'),
            b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => {
                out.push('%');
                out.push_str(&hex(&[byte]).to_ascii_uppercase());
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| DIGITS.get(usize::from(digit))).collect()
}

/// A time as `20130524T000000Z`, made of `Fri, 24 May 2013 00:00:00 GMT`.
fn stamp(now: Timestamp) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let date = now.to_http_date();
    let part = |from: usize, to: usize| date.get(from..to).unwrap_or_default();
    let month = MONTHS.iter().position(|month| *month == part(8, 11)).map_or(0, |at| at + 1);
    let time = part(17, 25).replace(':', "");
    format!("{}{month:02}{}T{time}Z", part(12, 16), part(5, 7))
}

impl std::fmt::Debug for SigV4 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigV4").field("region", &self.region).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use http::Request;

    /// The examples of "Signature Calculations for the Authorization Header", Amazon S3 API Reference.
    #[test]
    fn the_examples_of_amazon_are_signed_as_amazon_says() {
        let signer = SigV4::s3(
            "us-east-1",
            "AKIAIOSFODNN7EXAMPLE",
            b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        );
        let clock =
            Clock::manual(Timestamp::from_http_date("Fri, 24 May 2013 00:00:00 GMT").unwrap());
        for (path, range, signature) in [
            (
                "/test.txt",
                Some("bytes=0-9"),
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
            (
                "/?lifecycle",
                None,
                "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            ),
            (
                "/?prefix=J&max-keys=2",
                None,
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        ] {
            let mut request = Request::get(format!("https://examplebucket.s3.amazonaws.com{path}"));
            if let Some(range) = range {
                request = request.header("range", range);
            }
            let (mut head, ()) = request.body(()).unwrap().into_parts();
            signer.sign(&mut head, true, &clock);
            let said = head.headers["authorization"].to_str().unwrap();
            assert!(said.ends_with(&format!("Signature={signature}")), "{path}: {said}");
            assert!(head.headers["authorization"].is_sensitive());
        }
        assert!(!format!("{signer:?}").contains("wJalr"));
    }

    #[test]
    fn nothing_of_a_strangers_is_signed_but_the_object_it_asks_for() {
        let bare = |asked: &str| bare(&asked.parse().unwrap()).map(|path| path.to_string());
        assert_eq!(bare("/film/1.m4s?acl&X-Amz-Expires=1").as_deref(), Some("/film/1.m4s"));
        for root in ["/", "//", "/?list-type=2"] {
            assert_eq!(bare(root), None, "{root}");
        }
        let signer = SigV4::s3("r", "id", b"secret").token(HeaderValue::from_static("session"));
        let request = Request::get("http://h/a")
            .header("x-amz-copy-source", "/b/c")
            .header("x-amz-security-token", "stranger")
            .header("authorization", "Basic eA==");
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        signer.sign(&mut head, false, &Clock::system());
        assert!(!head.headers.contains_key("x-amz-copy-source"));
        assert_eq!(head.headers["x-amz-security-token"], "session");
        assert_eq!(head.headers["x-amz-content-sha256"], UNSIGNED);
        let said = head.headers["authorization"].to_str().unwrap();
        let signed = "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,";
        assert!(said.contains(signed), "{said}");
    }

    #[test]
    fn paths_and_queries_are_escaped_once() {
        assert_eq!(path("/a b/%7Efilm/(1)%2f%zz+é"), "/a%20b/~film/%281%29%2F%25zz%2B%C3%A9");
        assert_eq!(query("b=2&a=%20x&a=1&c"), "a=%20x&a=1&b=2&c=");
        let fraction = Timestamp::from_millis(1_700_000_000_999);
        assert_eq!(stamp(fraction), "20231114T221320Z");
    }
}
