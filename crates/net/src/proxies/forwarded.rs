//! What a trusted proxy says of its client: `Forwarded` (RFC 7239 §4) or `X-Forwarded-For`.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{FOR, ForwardedField, Proxies};

/// Proxies named in one request that are looked at; what lies behind more is not believed.
const MAX_HOPS: usize = 32;

const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Fields by which proxies say whom they speak for. `X-Forwarded-Host` is among them, and never
/// believed: a proxy is to keep `Host`.
const FIELDS: [HeaderName; 5] = [
    header::FORWARDED,
    FOR,
    PROTO,
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
];

impl Proxies {
    /// Reads what a trusted proxy says of its client in `field`, and takes all such fields off:
    /// nothing behind us is to read them again. `None` where it names nobody.
    pub(crate) fn take(&self, headers: &mut HeaderMap, field: ForwardedField) -> Option<Forwarded> {
        let said = match field {
            ForwardedField::XForwardedFor => self.x_forwarded(headers),
            ForwardedField::Forwarded => self.forwarded(headers),
        };
        for name in FIELDS {
            headers.remove(name);
        }
        said
    }

    /// `Forwarded` (RFC 7239 §4), from the nearest proxy backwards.
    fn forwarded(&self, headers: &HeaderMap) -> Option<Forwarded> {
        let mut found = None;
        let lines = headers.get_all(header::FORWARDED).iter().rev();
        for element in lines.flat_map(elements).take(MAX_HOPS) {
            let mut hop = Hop::default();
            for pair in element.split(';') {
                let Some((name, value)) = pair.split_once('=') else { continue };
                let value = value.trim().trim_matches('"');
                match name.trim() {
                    name if name.eq_ignore_ascii_case("for") => hop.client = node(value),
                    name if name.eq_ignore_ascii_case("proto") => hop.tls = scheme(value),
                    _ => {}
                }
            }
            // An identifier that hides its client (`unknown`, `_x`) ends what is known.
            let Some(client) = hop.client else { break };
            found = Some(Forwarded { client, tls: hop.tls });
            if !self.trust(client.ip()) {
                break;
            }
        }
        found
    }

    fn x_forwarded(&self, headers: &HeaderMap) -> Option<Forwarded> {
        let lines = headers.get_all(FOR).iter().rev();
        let tls = headers.get_all(PROTO).iter().next_back();
        let tls = tls.and_then(|line| elements(line).next()).and_then(|last| scheme(last.trim()));
        let mut found = None;
        for text in lines.flat_map(elements).take(MAX_HOPS) {
            let Some(client) = node(text.trim()) else { break };
            found = Some(Forwarded { client, tls });
            if !self.trust(client.ip()) {
                break;
            }
        }
        found
    }
}

/// What a trusted proxy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forwarded {
    /// The client; port 0 where none was said.
    pub(crate) client: SocketAddr,
    /// Whether the client came by TLS, if that was said.
    pub(crate) tls: Option<bool>,
}

#[derive(Default)]
struct Hop {
    client: Option<SocketAddr>,
    tls: Option<bool>,
}

/// The elements of a line, the last first; an empty text for one that is no text. Each is read for itself:
/// bytes that a client wrote hide nothing of what a proxy appended to them.
fn elements(line: &HeaderValue) -> impl Iterator<Item = &str> {
    let elements = line.as_bytes().rsplit(|byte| *byte == b',');
    elements.map(|element| std::str::from_utf8(element).unwrap_or_default())
}

/// `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]`, `[2001:db8::1]:80`, and a bare IPv6 address.
fn node(text: &str) -> Option<SocketAddr> {
    let address = text.parse::<IpAddr>().ok().or_else(|| {
        let inner = text.strip_prefix('[')?.strip_suffix(']')?;
        inner.parse::<std::net::Ipv6Addr>().ok().map(IpAddr::V6)
    });
    let node = match address {
        Some(address) => SocketAddr::new(address, 0),
        None => text.parse().ok()?,
    };
    Some(SocketAddr::new(node.ip().to_canonical(), node.port()))
}

fn scheme(text: &str) -> Option<bool> {
    match text {
        text if text.eq_ignore_ascii_case("https") => Some(true),
        text if text.eq_ignore_ascii_case("http") => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::super::ForwardedField::{Forwarded, XForwardedFor};
    use super::*;
    use proptest::prelude::*;

    fn take(field: ForwardedField, lines: &[(&str, &str)]) -> Option<(String, Option<bool>)> {
        let proxies: Proxies = "10.0.0.0/8 ::1".parse().unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        let said = proxies.take(&mut headers, field);
        assert!(headers.is_empty());
        said.map(|said| (said.client.to_string(), said.tls))
    }

    fn said(client: &str, tls: Option<bool>) -> (String, Option<bool>) {
        (client.to_owned(), tls)
    }

    #[test]
    fn rfc_7239_the_rightmost_address_that_is_not_trusted_is_the_client() {
        for (line, expected) in [
            ("for=192.0.2.1", Some(said("192.0.2.1:0", None))),
            (
                "For=\"[2001:db8::1]:4711\";proto=HTTPS",
                Some(said("[2001:db8::1]:4711", Some(true))),
            ),
            ("for=6.6.6.6, for=192.0.2.1;proto=http;by=x", Some(said("192.0.2.1:0", Some(false)))),
            ("for=192.0.2.1, for=10.1.1.1", Some(said("192.0.2.1:0", None))),
            ("for=6.6.6.6, for=192.0.2.1, for=\"10.1.1.1:80\"", Some(said("192.0.2.1:0", None))),
            ("for=6.6.6.6, for=unknown, for=10.1.1.1", Some(said("10.1.1.1:0", None))),
            ("for=_hidden", None),
            ("proto=https", None),
            ("", None),
        ] {
            assert_eq!(take(Forwarded, &[("forwarded", line)]), expected, "{line}");
        }
        let lines = [("forwarded", "for=6.6.6.6"), ("forwarded", "for=192.0.2.1")];
        assert_eq!(take(Forwarded, &lines), Some(said("192.0.2.1:0", None)));
    }

    #[test]
    fn x_forwarded_for_is_read_as_forwarded_is() {
        let take = |lines: &[(&str, &str)]| take(XForwardedFor, lines);
        let both =
            [("x-forwarded-for", "6.6.6.6, 192.0.2.1, 10.0.0.9"), ("x-forwarded-proto", "https")];
        assert_eq!(take(&both), Some(said("192.0.2.1:0", Some(true))));
        assert_eq!(
            take(&[("x-forwarded-for", "2001:db8::1")]),
            Some(said("[2001:db8::1]:0", None))
        );
        assert_eq!(take(&[("x-forwarded-for", "nonsense")]), None);
        assert_eq!(take(&[("x-forwarded-host", "evil.example")]), None);
        let endless = vec!["10.0.0.1"; 1000].join(",");
        assert_eq!(take(&[("x-forwarded-for", &endless)]), Some(said("10.0.0.1:0", None)));
    }

    /// A proxy leaves a field that it does not know as the client wrote it.
    #[test]
    fn the_field_that_proxies_do_not_write_is_not_believed() {
        let client = ("forwarded", "for=6.6.6.6;proto=https");
        let proxy = ("x-forwarded-for", "192.0.2.1");
        assert_eq!(take(XForwardedFor, &[client, proxy]), Some(said("192.0.2.1:0", None)));
        assert_eq!(take(XForwardedFor, &[client]), None);
        let client = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-proto", "https")];
        let proxy = ("forwarded", "for=192.0.2.1");
        assert_eq!(
            take(Forwarded, &[client[0], client[1], proxy]),
            Some(said("192.0.2.1:0", None))
        );
        assert_eq!(take(Forwarded, &client), None);
    }

    /// Who writes bytes that are no text is not taken for the proxy, whose address is let in anywhere.
    #[test]
    fn bytes_that_are_no_text_hide_no_client() {
        for (field, name, line) in [
            (XForwardedFor, FOR, &b"\xff, 192.0.2.1"[..]),
            (XForwardedFor, FOR, b"6.6.6.6, \xe4, 192.0.2.1, 10.0.0.9"),
            (Forwarded, header::FORWARDED, b"for=\xff, for=192.0.2.1"),
            (Forwarded, header::FORWARDED, b"for=6.6.6.6;by=\"\xff, for=192.0.2.1, for=10.0.0.9"),
        ] {
            let lines = [line.to_vec()];
            let said = take_bytes(field, &name, &lines).unwrap();
            assert_eq!(said.map(|said| said.client), "192.0.2.1:0".parse().ok(), "{line:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(FOR, HeaderValue::from_static("192.0.2.1"));
        headers.insert(PROTO, HeaderValue::from_bytes(b"\xff, https").unwrap());
        let said = Proxies::default().take(&mut headers, XForwardedFor);
        assert_eq!(said.unwrap().tls, Some(true));
    }

    /// What comes of lines of one field, where each is one.
    fn take_bytes(
        field: ForwardedField,
        name: &HeaderName,
        lines: &[Vec<u8>],
    ) -> Result<Option<super::Forwarded>, http::header::InvalidHeaderValue> {
        let proxies: Proxies = "10.0.0.0/8 ::1".parse().unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_bytes(line)?);
        }
        let said = proxies.take(&mut headers, field);
        assert!(headers.is_empty());
        Ok(said)
    }

    /// A line of either field, as proxies and others write it.
    fn line() -> impl Strategy<Value = Vec<u8>> {
        let words = "(for=|proto=|by=|https|unknown|_x|6\\.6\\.6\\.[0-9]|10\\.0\\.0\\.[0-9]|::1|:80|\
            \\[2001:db8::[0-9a-f]\\]|::ffff:10\\.0\\.0\\.1|[,;=\" ]|, |[ -~])";
        let word = prop_oneof![
            9 => words.prop_map(String::into_bytes),
            1 => any::<u8>().prop_map(|byte| vec![byte]),
        ];
        prop::collection::vec(word, 0..16).prop_map(|words| words.concat())
    }

    /// The address that a word is, read without regard to where it stands.
    fn address(word: &str) -> Option<IpAddr> {
        let with_port = word.parse().ok().map(|node: SocketAddr| node.ip());
        let bare = || word.trim_matches(['[', ']']).parse().ok();
        with_port.or_else(bare).map(|address| address.to_canonical())
    }

    proptest! {
        /// Nobody is made up.
        #[test]
        fn who_is_named_stands_there(lines in prop::collection::vec(line(), 0..4)) {
            for (field, name) in [(XForwardedFor, FOR), (Forwarded, header::FORWARDED)] {
                let Ok(Some(said)) = take_bytes(field, &name, &lines) else { continue };
                let named = lines.iter().any(|line| {
                    let line = String::from_utf8_lossy(line).into_owned();
                    let mut words = line.split(|c: char| c.is_whitespace() || ",;=\"".contains(c));
                    words.any(|word| address(word) == Some(said.client.ip()))
                });
                prop_assert!(named, "{said:?}");
            }
        }

        /// RFC 7239 §5.2 and §8.1: whatever a client wrote before, whom the nearest proxies name is the
        /// client, in the same line or in one of its own.
        #[test]
        fn nobody_writes_what_a_trusted_proxy_is_believed(
            written in prop::collection::vec(line(), 1..4),
            own_line: bool,
            hops in 0usize..3,
        ) {
            for (field, name, names) in
                [(XForwardedFor, FOR, ""), (Forwarded, header::FORWARDED, "for=")]
            {
                let hops = (0..hops).map(|hop| format!(", {names}10.0.0.{hop}"));
                let appended = format!("{names}192.0.2.7{}", hops.collect::<String>());
                let mut lines = written.clone();
                if own_line {
                    lines.push(appended.into_bytes());
                } else if let Some(last) = lines.last_mut() {
                    last.extend(format!(", {appended}").into_bytes());
                }
                let Ok(said) = take_bytes(field, &name, &lines) else { continue };
                let expected = super::Forwarded { client: "192.0.2.7:0".parse().unwrap(), tls: None };
                prop_assert_eq!(said, Some(expected), "{:?}", lines);
            }
        }
    }
}
