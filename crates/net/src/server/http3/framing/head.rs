//! What a request says (RFC 9114 §4.1.2 to §4.4), made of its field section at once.
//!
//! Promises: a request that is malformed is none; whatever is handed on means one thing. Of its
//! pseudo-header fields there is one each, before all fields, and no field speaks about a connection
//! of HTTP/1.1.

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Uri};

use super::code::{Code, Wrong};
use super::qpack::{Lines, Name, Unreadable, Value};
use super::static_table::Key;

/// Fields that room is made for when the first comes: what players and browsers send.
const USUAL_FIELDS: usize = 12;

/// A request without its body.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
}

/// Why there is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Wrong(Wrong),
    /// Its section is larger than is allowed.
    TooLarge,
}

const MALFORMED: Refused = Refused::Wrong(Wrong::Stream(Code::Message));

impl From<Unreadable> for Refused {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::TooLarge => Self::TooLarge,
            Unreadable::Malformed => Self::Wrong(Wrong::Connection(Code::DecompressionFailed)),
        }
    }
}

/// Reads the section of a request, which may be so large by the measure of RFC 9114 §4.2.2.
///
/// # Errors
/// Where it is no request.
pub(crate) fn request(section: &[u8], largest: usize) -> Result<Head, Refused> {
    let mut lines = Lines::of(section, largest)?;
    let mut pseudo = Pseudo::default();
    let mut headers = HeaderMap::new();
    while let Some((name, value)) = lines.next()? {
        match name {
            Name::Known(Key::Field(name)) => append(&mut headers, name.clone(), value)?,
            Name::Known(key) => {
                // RFC 9114 §4.3: before all fields.
                let taken = headers.is_empty().then(|| pseudo.take(key, value)).flatten();
                taken.ok_or(MALFORMED)?;
            }
            Name::Literal(name) if name.first() == Some(&b':') => {
                let key = match name {
                    b":authority" => Key::Authority,
                    b":method" => Key::Method,
                    b":path" => Key::Path,
                    b":scheme" => Key::Scheme,
                    // `:status` is an answer's, and no extension was agreed on.
                    _ => return Err(MALFORMED),
                };
                let taken = headers.is_empty().then(|| pseudo.take(&key, value)).flatten();
                taken.ok_or(MALFORMED)?;
            }
            Name::Literal(name) => append(&mut headers, field_name(name, &value)?, value)?,
        }
    }
    let (method, uri) = pseudo.target(&headers).ok_or(MALFORMED)?;
    Ok(Head { method, uri, headers })
}

/// Reads the section of a request's trailers.
///
/// # Errors
/// Where they are none.
pub(crate) fn trailers(section: &[u8], largest: usize) -> Result<HeaderMap, Refused> {
    let mut lines = Lines::of(section, largest)?;
    let mut headers = HeaderMap::new();
    while let Some((name, value)) = lines.next()? {
        let name = match name {
            Name::Known(Key::Field(name)) => name.clone(),
            Name::Literal(name) => field_name(name, &value)?,
            // RFC 9114 §4.3: no pseudo-header fields.
            Name::Known(_) => return Err(MALFORMED),
        };
        append(&mut headers, name, value)?;
    }
    Ok(headers)
}

/// A name that is not of the table: in lower case, and none that speaks about a connection (RFC 9114
/// §4.2).
fn field_name(name: &[u8], value: &Value) -> Result<HeaderName, Refused> {
    let is_wrong = match name {
        b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => {
            true
        }
        b"te" => value.as_bytes() != b"trailers",
        _ => false,
    };
    if is_wrong {
        return Err(MALFORMED);
    }
    HeaderName::from_lowercase(name).map_err(|_| MALFORMED)
}

/// Appends a field whose value is one (RFC 9114 §10.3).
fn append(headers: &mut HeaderMap, name: HeaderName, value: Value) -> Result<(), Refused> {
    let value = match value {
        Value::Known(text) => HeaderValue::from_static(text),
        Value::Literal(text) => HeaderValue::from_maybe_shared(text).map_err(|_| MALFORMED)?,
    };
    if headers.is_empty() {
        headers.reserve(USUAL_FIELDS);
    }
    headers.try_append(name, value).map(|_| ()).map_err(|_| Refused::TooLarge)
}

impl Value {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Known(text) => text.as_bytes(),
            Self::Literal(text) => text,
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::Known(text) => Bytes::from_static(text.as_bytes()),
            Self::Literal(text) => text,
        }
    }
}

/// The pseudo-header fields (RFC 9114 §4.3.1).
#[derive(Default)]
struct Pseudo {
    method: Option<Method>,
    scheme: Option<Scheme>,
    authority: Option<Authority>,
    path: Option<PathAndQuery>,
}

impl Pseudo {
    /// `None` where there was one already, or it has no such value.
    fn take(&mut self, key: &Key, value: Value) -> Option<()> {
        match key {
            Key::Method => {
                let method = Method::from_bytes(value.as_bytes()).ok()?;
                self.method.replace(method).is_none()
            }
            Key::Scheme => {
                let scheme = match value.as_bytes() {
                    b"https" => Scheme::HTTPS,
                    other => Scheme::try_from(other).ok()?,
                };
                self.scheme.replace(scheme).is_none()
            }
            Key::Authority => {
                // No user information (§4.3.1).
                if value.as_bytes().contains(&b'@') {
                    return None;
                }
                let authority = Authority::from_maybe_shared(value.into_bytes()).ok()?;
                self.authority.replace(authority).is_none()
            }
            Key::Path => {
                let path = value.into_bytes();
                // What is behind a `#` would be dropped without a word.
                if path.contains(&b'#') || !matches!(&path[..], [b'/', ..] | b"*") {
                    return None;
                }
                let path = PathAndQuery::from_maybe_shared(path).ok()?;
                self.path.replace(path).is_none()
            }
            Key::Status | Key::Field(_) => false,
        }
        .then_some(())
    }

    /// What is asked of whom; `None` where that is not said, or twice and not the same.
    fn target(self, headers: &HeaderMap) -> Option<(Method, Uri)> {
        let method = self.method?;
        let mut parts = Parts::default();
        if method == Method::CONNECT {
            // §4.4: it names nothing but an authority.
            if self.scheme.is_some() || self.path.is_some() {
                return None;
            }
        } else {
            parts.scheme = Some(self.scheme?);
            parts.path_and_query =
                Some(self.path.filter(|path| path.as_str() != "*" || method == Method::OPTIONS)?);
        }
        let mut hosts = headers.get_all(header::HOST).iter();
        let authority = match (self.authority, hosts.next()) {
            (Some(authority), None) => authority,
            (Some(authority), Some(host)) => (authority.as_str() == host).then_some(authority)?,
            (None, Some(host)) if method != Method::CONNECT => Authority::try_from(host.as_bytes())
                .ok()
                .filter(|host| !host.as_str().contains('@'))?,
            (None, _) => return None,
        };
        if hosts.next().is_some() {
            return None;
        }
        parts.authority = Some(authority);
        Some((method, Uri::from_parts(parts).ok()?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::super::huffman;
    use super::super::integer::put_prefixed;
    use super::*;
    use proptest::prelude::*;

    type Field<'a> = (&'a str, &'a str);

    /// Literals with literal names (RFC 9204 §4.5.6), coded or not.
    fn section(fields: &[Field<'_>], coded: bool) -> Vec<u8> {
        let mut section = vec![0, 0];
        let mut put = |prefix: u32, first: u8, text: &str| {
            let flag = if coded { 1 << prefix } else { 0 };
            let text = if coded {
                huffman::tests::encode(text.as_bytes())
            } else {
                text.as_bytes().to_vec()
            };
            put_prefixed(&mut section, first | flag, prefix, text.len());
            section.extend_from_slice(&text);
        };
        for (name, value) in fields {
            put(3, 0x20, name);
            put(7, 0, value);
        }
        section
    }

    const REQUEST: [Field<'_>; 4] =
        [(":method", "GET"), (":scheme", "https"), (":authority", "a.example"), (":path", "/x?y")];

    fn read(fields: &[Field<'_>]) -> Result<Head, Refused> {
        request(&section(fields, false), 10_000)
    }

    fn with(field: Field<'static>) -> Vec<Field<'static>> {
        [&REQUEST[..], &[field]].concat()
    }

    fn instead(field: Field<'static>) -> Vec<Field<'static>> {
        REQUEST.into_iter().map(|each| if each.0 == field.0 { field } else { each }).collect()
    }

    fn without(name: &str) -> Vec<Field<'static>> {
        REQUEST.into_iter().filter(|(each, _)| *each != name).collect()
    }

    #[test]
    fn a_request_is_what_its_fields_say() {
        for coded in [false, true] {
            let fields = [&REQUEST[..], &[("accept", "*/*"), ("x-a", "1"), ("x-a", "2")]].concat();
            let head = request(&section(&fields, coded), 10_000).unwrap();
            assert_eq!(
                (head.method, head.uri.to_string().as_str()),
                (Method::GET, "https://a.example/x?y")
            );
            assert_eq!(head.headers["accept"], "*/*");
            let all: Vec<_> = head.headers.get_all("x-a").iter().collect();
            assert_eq!(all, ["1", "2"]);
            assert_eq!(head.headers.len(), 3);
        }
    }

    #[test]
    fn rfc_9114_4_3_1_the_target_is_said_once_and_in_whole() {
        let first = [(":path", "/z")];
        for (name, fields) in [
            ("no :method", without(":method")),
            ("no :scheme", without(":scheme")),
            ("no :path", without(":path")),
            ("no authority", without(":authority")),
            ("two paths", [&first[..], &REQUEST].concat()),
            ("two methods", [&[(":method", "GET")][..], &REQUEST].concat()),
            ("two schemes", [&[(":scheme", "https")][..], &REQUEST].concat()),
            ("two authorities", [&[(":authority", "a.example")][..], &REQUEST].concat()),
            ("behind a field", [&[("x-a", "b")][..], &REQUEST].concat()),
            (":status", with((":status", "200"))),
            (":protocol", with((":protocol", "websocket"))),
            ("an empty path", instead((":path", ""))),
            ("no slash", instead((":path", "x"))),
            ("a URL", instead((":path", "http://b.example/"))),
            ("a fragment", instead((":path", "/x#y"))),
            ("a space", instead((":path", "/x y"))),
            ("all of the server", instead((":path", "*"))),
            ("an empty method", instead((":method", ""))),
            ("no method", instead((":method", "G T"))),
            ("an empty authority", instead((":authority", ""))),
            ("a user", instead((":authority", "u@a.example"))),
            ("no authority", instead((":authority", "a/b"))),
            ("no scheme", instead((":scheme", "x:/"))),
            ("another host", with(("host", "b.example"))),
            ("two hosts", [&with(("host", "a.example"))[..], &[("host", "a.example")]].concat()),
        ] {
            assert_eq!(read(&fields).unwrap_err(), MALFORMED, "{name}");
        }
        let options = [&[(":method", "OPTIONS"), (":path", "*")][..], &REQUEST[1..3]].concat();
        assert_eq!(read(&options).unwrap().uri.path(), "*");
        let by_host = [&without(":authority")[..], &[("host", "b.example")]].concat();
        assert_eq!(read(&by_host).unwrap().uri.authority().unwrap(), "b.example");
        assert_eq!(read(&with(("host", "a.example"))).unwrap().uri.host(), Some("a.example"));
    }

    #[test]
    fn rfc_9114_4_4_connect_names_an_authority_and_nothing_else() {
        let connect = [(":method", "CONNECT"), (":authority", "a.example:443")];
        let head = read(&connect).unwrap();
        assert_eq!(
            (head.method, head.uri.to_string().as_str()),
            (Method::CONNECT, "a.example:443")
        );
        for more in [(":path", "/"), (":scheme", "https")] {
            assert_eq!(read(&[&connect[..], &[more]].concat()).unwrap_err(), MALFORMED);
        }
        let by_host = [(":method", "CONNECT"), ("host", "a.example:443")];
        assert_eq!(read(&by_host).unwrap_err(), MALFORMED);
    }

    #[test]
    fn rfc_9114_4_2_fields_are_well_formed_and_of_no_other_connection() {
        for field in [
            ("X-A", "b"),
            ("", "b"),
            ("x a", "b"),
            ("x-a:", "b"),
            ("x-a", "b\r\nc: d"),
            ("x-a", "b\0c"),
            ("connection", "close"),
            ("keep-alive", "1"),
            ("proxy-connection", "close"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("te", "gzip"),
        ] {
            assert_eq!(read(&with(field)).unwrap_err(), MALFORMED, "{field:?}");
            assert_eq!(trailers(&section(&[field], false), 1000), Err(MALFORMED), "{field:?}");
        }
        assert_eq!(read(&with(("te", "trailers"))).unwrap().headers["te"], "trailers");
        let trailer = section(&[("x-sum", "1")], true);
        assert_eq!(trailers(&trailer, 1000).unwrap()["x-sum"], "1");
        assert_eq!(trailers(&section(&[(":path", "/")], false), 1000), Err(MALFORMED));
        assert_eq!(trailers(&[0, 0, 0xc1], 1000), Err(MALFORMED), "`:path` of the table");
    }

    #[test]
    fn large_sections_are_told_from_wrong_ones() {
        let large = with(("x-a", "0123456789"));
        assert_eq!(request(&section(&large, true), 200).unwrap_err(), Refused::TooLarge);
        let wrong = Refused::Wrong(Wrong::Connection(Code::DecompressionFailed));
        assert_eq!(request(&[0, 0, 0x80], 200).unwrap_err(), wrong);
        // More fields than a map of `http` holds.
        let names: Vec<String> = (0..40_000).map(|number| format!("x-{number}")).collect();
        let many: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
        let many = section(&[&REQUEST[..], &many].concat(), false);
        assert_eq!(request(&many, usize::MAX).map(|_| ()), Err(Refused::TooLarge));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_none(bytes: Vec<u8>) {
            let _ = request(&[&[0, 0], &bytes[..]].concat(), 1000);
            let _ = trailers(&bytes, 1000);
        }

        #[test]
        fn what_was_said_is_read(
            path in "/[a-zA-Z0-9/._~%&=+,;:@!*'()-]{0,40}",
            fields in proptest::collection::vec(("x-[a-z0-9-]{0,20}", "[ -~]{0,30}"), 0..20),
            coded: bool,
        ) {
            let mut all = vec![(":method", "POST"), (":scheme", "https")];
            all.extend([(":authority", "a.example:99"), (":path", path.as_str())]);
            all.extend(fields.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            let head = request(&section(&all, coded), 100_000).unwrap();
            prop_assert_eq!(head.uri.path_and_query().unwrap().as_str(), path);
            prop_assert_eq!(head.headers.len(), fields.len());
            for (name, value) in &fields {
                let mut values = head.headers.get_all(name.as_str()).iter();
                prop_assert!(values.any(|found| found == value.as_str()));
            }
        }
    }
}
