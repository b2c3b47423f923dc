//! Whom a line tells of: a client's address, or the network that it is in.
//!
//! A network has 24 bits of an IPv4 address and 48 of an IPv6 one: of the first, 256 share one, and
//! the second is what a provider gives to one customer or to many. An IPv4 address that came in an
//! IPv6 one (RFC 4291 §2.5.5.2) is an IPv4 address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// The address and port.
    At(SocketAddr),
    /// The first address of its network.
    Within(IpAddr),
}

impl Client {
    /// Without what tells it from the others of its network.
    pub(super) fn anonymous(address: SocketAddr) -> Self {
        Self::Within(match address.ip().to_canonical() {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                Ipv4Addr::new(a, b, c, 0).into()
            }
            IpAddr::V6(ip) => {
                let [a, b, c, ..] = ip.segments();
                Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into()
            }
        })
    }

    /// The address alone.
    pub(super) fn ip(&self) -> IpAddr {
        match self {
            Self::At(address) => address.ip(),
            Self::Within(ip) => *ip,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn only_the_network_of_a_client_is_left() {
        for (address, network) in [
            ("192.0.2.77:4711", "192.0.2.0"),
            ("[2001:db8:1:2:3:4:5:6]:4711", "2001:db8:1::"),
            ("[::ffff:192.0.2.77]:4711", "192.0.2.0"),
        ] {
            let client = Client::anonymous(address.parse().unwrap());
            assert_eq!(client, Client::Within(network.parse().unwrap()), "{address}");
        }
    }
}
