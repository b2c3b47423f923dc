//! Proxies in front of us: which are trusted, and whom they say they speak for (RFC 7239).
//!
//! A client can write any field, so `Forwarded` and `X-Forwarded-For` count only where the
//! connection itself comes from a trusted address; and then only as far back as trusted proxies
//! vouch for each other: the rightmost address that is not trusted is the client.
//!
//! And only the one of them counts that those proxies write ([`ForwardedField`]): the other one comes
//! through a proxy that does not know it as the client wrote it.

#[cfg(feature = "server")]
mod forwarded;

use std::net::IpAddr;
use std::str::FromStr;

use http::{HeaderName, header};
use ipnet::IpNet;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

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
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::ForwardedField::{Forwarded, XForwardedFor};
    use super::*;

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
