//! Proxies in front of us: which are trusted, and whom they say they speak for (RFC 7239).
//!
//! A client can write any field, so `Forwarded` and `X-Forwarded-For` count only where the
//! connection itself comes from a trusted address; and then only as far back as trusted proxies
//! vouch for each other: the rightmost address that is not trusted is the client.
//!
//! And only the one of them counts that those proxies write ([`ForwardedField`]): the other one comes
//! through a proxy that does not know it as the client wrote it.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

/// Proxies named in one request that are looked at; what lies behind more is not believed.
const MAX_HOPS: usize = 32;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
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

/// The field by which trusted proxies say whom they speak for; what the others say is not believed, and
/// taken off with it.
///
/// Danger: it must be one that every trusted proxy appends to or replaces. One that leaves it alone lets
/// its clients say to be anybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardedField {
    /// `X-Forwarded-For`, and `X-Forwarded-Proto` for the scheme: what most proxies write.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239), and its `proto` for the scheme.
    Forwarded,
}

/// A text that names no [`ForwardedField`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is neither x-forwarded-for nor forwarded")]
pub struct UnknownField(String);

impl FromStr for ForwardedField {
    type Err = UnknownField;

    fn from_str(text: &str) -> Result<Self, UnknownField> {
        match text {
            text if text.eq_ignore_ascii_case(FOR.as_str()) => Ok(Self::XForwardedFor),
            text if text.eq_ignore_ascii_case(header::FORWARDED.as_str()) => Ok(Self::Forwarded),
            _ => Err(UnknownField(text.to_owned())),
        }
    }
}

/// The networks of trusted proxies.
///
/// ```
/// use headwater_net::Proxies;
///
/// let proxies: Proxies = "10.0.0.0/8, 2001:db8::/32, 192.0.2.7".parse()?;
/// assert!(proxies.trust("10.1.2.3".parse().unwrap()));
/// assert!(!proxies.trust("192.0.2.8".parse().unwrap()));
/// # Ok::<(), headwater_net::proxies::BadNetwork>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    networks: Vec<IpNet>,
    unix: bool,
}

/// A text that is no list of networks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is neither an IP address, nor a network such as 10.0.0.0/8, nor unix")]
pub struct BadNetwork(String);

impl FromStr for Proxies {
    type Err = BadNetwork;

    /// Reads addresses, networks (`ADDRESS/BITS`) and the word `unix`, which stands for whoever
    /// may connect to our Unix sockets, with commas or spaces between them.
    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let mut all = Self::default();
        for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
            if word == "unix" {
                all.unix = true;
                continue;
            }
            let network = word.parse::<IpNet>().ok();
            let network = network.or_else(|| word.parse::<IpAddr>().ok().map(IpNet::from));
            all.networks.push(network.ok_or_else(|| BadNetwork(word.to_owned()))?);
        }
        Ok(all)
    }
}

impl Proxies {
    /// Whether a proxy at this address is believed. An IPv4 address in IPv6's clothes is one.
    pub fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// Whether whoever comes by a Unix socket is believed.
    pub const fn trust_unix(&self) -> bool {
        self.unix
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.unix
    }

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
    use super::ForwardedField::{Forwarded, XForwardedFor};
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

    #[test]
    fn a_field_has_a_name() {
        assert_eq!("X-Forwarded-For".parse(), Ok(XForwardedFor));
        assert_eq!("forwarded".parse(), Ok(Forwarded));
        let error = "x-real-ip".parse::<ForwardedField>().unwrap_err().to_string();
        assert_eq!(error, "'x-real-ip' is neither x-forwarded-for nor forwarded");
    }

    #[test]
    fn networks_are_read_and_named_when_they_cannot_be() {
        let proxies: Proxies = "10.0.0.0/8,::ffff:0:0/96 192.0.2.7".parse().unwrap();
        assert!(proxies.trust("::ffff:10.0.0.1".parse().unwrap()));
        assert!(!proxies.trust("11.0.0.1".parse().unwrap()));
        let error = "10.0.0.0/8, proxy".parse::<Proxies>().unwrap_err().to_string();
        assert_eq!(
            error,
            "'proxy' is neither an IP address, nor a network such as 10.0.0.0/8, nor unix"
        );
    }
}
