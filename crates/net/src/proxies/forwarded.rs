//! What a trusted proxy says of its client: `Forwarded` (RFC 7239 §4) or `X-Forwarded-For`.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, header};

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
        let elements = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
        for element in elements.take(MAX_HOPS) {
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
        let nodes = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
        let tls = headers.get_all(PROTO).iter().next_back().and_then(|line| line.to_str().ok());
        let tls = tls.and_then(|line| line.rsplit(',').next()).and_then(|last| scheme(last.trim()));
        let mut found = None;
        for text in nodes.take(MAX_HOPS) {
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
    use http::HeaderValue;

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
}
