//! Which addresses are let in and which are not: lists of networks, of which the longest prefix decides.
//!
//! ```
//! use headwater_edge::{AddressRules, Addresses};
//!
//! let office = Addresses::builder()
//!     .allow("192.0.2.0/24\n2001:db8::/32 # and its IPv6")?
//!     .deny("192.0.2.66")?
//!     .build()?;
//! assert!(office.lets_in(Some("192.0.2.7".parse()?)));
//! assert!(!office.lets_in(Some("192.0.2.66".parse()?)));
//! assert!(!office.lets_in(Some("198.51.100.1".parse()?)), "where some are allowed, others are not");
//!
//! // What a layer goes by can be replaced as a whole while it serves.
//! let rules = AddressRules::new(office);
//! rules.put(Addresses::builder().deny("198.51.100.0/24")?.build()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A list is text: a network or an address a line, `#` before what is a comment. An address of IPv4 in
//! IPv6's clothes counts as one of IPv4; networks of IPv6, such as `::/0`, take in none of it. However long the lists, a request is compared with some twenty
//! of their bounds, and nothing is allocated or locked for it.

mod ranges;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use headwater_net::{ConnInfo, Problem};
use http::{Request, StatusCode};
use ipnet::IpNet;

use crate::guard::{GuardLayer, Rule};
use crate::route_policy::RoutePolicy;
use ranges::{Ranges, Verdict};

/// The most networks of one set of lists.
pub const MAX_NETWORKS: usize = 1_000_000;

/// Lists that are put together. Clones are of the same.
#[derive(Clone, Debug)]
pub struct Addresses(Arc<Lists>);

#[derive(Debug)]
struct Lists {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
    /// What holds for an address that is on no list.
    otherwise: bool,
}

/// What is wrong with a list: one sentence, without its file's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadAddresses {
    /// A line is no network. Lines count from 1.
    #[error("line {0} is no address and no network such as 192.0.2.0/24")]
    Line(usize),
    /// One network is on both lists.
    #[error("{0} is both allowed and denied")]
    Both(IpNet),
    /// There are too many.
    #[error("there are more than {MAX_NETWORKS} networks")]
    Many,
}

/// Puts lists together: [`Addresses::builder`].
#[derive(Clone, Debug, Default)]
#[must_use = "lists do nothing until they are built"]
pub struct AddressesBuilder {
    networks: Vec<(IpNet, bool)>,
    has_allowed: bool,
}

impl AddressesBuilder {
    /// Lets in those of a list, and of addresses that are on no list none from now on: an empty list
    /// lets in nobody.
    ///
    /// # Errors
    /// Where a line is no network, or there are too many.
    pub fn allow(mut self, list: &str) -> Result<Self, BadAddresses> {
        self.has_allowed = true;
        self.add(list, true)
    }

    /// Refuses those of a list.
    ///
    /// # Errors
    /// Where a line is no network, or there are too many.
    pub fn deny(self, list: &str) -> Result<Self, BadAddresses> {
        self.add(list, false)
    }

    fn add(mut self, list: &str, allowed: bool) -> Result<Self, BadAddresses> {
        for (number, line) in list.lines().enumerate() {
            let line = line.split_once('#').map_or(line, |(line, _)| line).trim();
            if line.is_empty() {
                continue;
            }
            let network = network(line).ok_or(BadAddresses::Line(number + 1))?;
            if self.networks.len() >= MAX_NETWORKS {
                return Err(BadAddresses::Many);
            }
            self.networks.push((network, allowed));
        }
        Ok(self)
    }

    /// The lists as one.
    ///
    /// # Errors
    /// Where one network is both allowed and denied.
    pub fn build(mut self) -> Result<Addresses, BadAddresses> {
        self.networks.sort_unstable();
        let both = self.networks.windows(2).find_map(|pair| match pair {
            [(one, a), (other, b)] if one == other && a != b => Some(*one),
            _ => None,
        });
        if let Some(network) = both {
            return Err(BadAddresses::Both(network));
        }
        let verdict = |allowed| if allowed { Verdict::Allowed } else { Verdict::Denied };
        let v4 = self.networks.iter().filter_map(|(network, allowed)| match network {
            IpNet::V4(one) => {
                Some((one.network().to_bits(), one.broadcast().to_bits(), verdict(*allowed)))
            }
            IpNet::V6(_) => None,
        });
        let v6 = self.networks.iter().filter_map(|(network, allowed)| match network {
            IpNet::V6(one) => {
                Some((one.network().to_bits(), one.broadcast().to_bits(), verdict(*allowed)))
            }
            IpNet::V4(_) => None,
        });
        Ok(Addresses(Arc::new(Lists {
            v4: Ranges::new(v4),
            v6: Ranges::new(v6),
            otherwise: !self.has_allowed,
        })))
    }
}

/// A network without what it says beyond its prefix; of IPv4 where it is one in IPv6's clothes.
fn network(text: &str) -> Option<IpNet> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse().ok()?,
    };
    Some(
        match network {
            IpNet::V6(six) if six.prefix_len() >= 96 => match six.addr().to_ipv4_mapped() {
                Some(four) => IpNet::new(four.into(), six.prefix_len() - 96).ok()?,
                None => network,
            },
            _ => network,
        }
        .trunc(),
    )
}

impl Addresses {
    /// Starts with no lists: all are let in.
    pub fn builder() -> AddressesBuilder {
        AddressesBuilder::default()
    }

    /// Whether an address is let in. One that is not known is on no list.
    pub fn lets_in(&self, address: Option<IpAddr>) -> bool {
        let lists = &*self.0;
        let verdict = match address.map(|address| address.to_canonical()) {
            Some(IpAddr::V4(address)) => lists.v4.of(Ipv4Addr::to_bits(address)),
            Some(IpAddr::V6(address)) => lists.v6.of(Ipv6Addr::to_bits(address)),
            None => Verdict::Unlisted,
        };
        match verdict {
            Verdict::Allowed => true,
            Verdict::Denied => false,
            Verdict::Unlisted => lists.otherwise,
        }
    }
}

/// What an [`AddressLayer`] goes by where a request's [`RoutePolicy`] says nothing else: lists that can be
/// replaced, or by default none. Clones are of the same.
#[derive(Clone, Debug, Default)]
pub struct AddressRules(Option<Arc<ArcSwap<Addresses>>>);

impl AddressRules {
    /// These lists.
    pub fn new(addresses: Addresses) -> Self {
        Self(Some(Arc::new(ArcSwap::from_pointee(addresses))))
    }

    /// Other lists hold from the next request on, all of them at once. Rules that began with none stay
    /// so.
    pub fn put(&self, addresses: Addresses) {
        if let Some(current) = &self.0 {
            current.store(Arc::new(addresses));
        }
    }
}

impl Rule for AddressRules {
    fn admit<B>(&self, request: &mut Request<B>) -> Result<(), Problem> {
        let extensions = request.extensions();
        let address = || extensions.get::<ConnInfo>().map(|conn| conn.peer.ip());
        let here = RoutePolicy::of(extensions).and_then(|policy| policy.addresses.as_ref());
        let admitted = match (here, &self.0) {
            (Some(here), _) => here.lets_in(address()),
            (None, Some(current)) => current.load().lets_in(address()),
            (None, None) => true,
        };
        if admitted {
            return Ok(());
        }
        Err(Problem::new(StatusCode::FORBIDDEN).detail("this address is not let in"))
    }
}

/// Lets in requests of some addresses; others are answered 403. The address is that of the connection, or
/// what a trusted proxy said of it.
pub type AddressLayer = GuardLayer<AddressRules>;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn lets_in(addresses: &Addresses, address: &str) -> bool {
        addresses.lets_in(Some(address.parse().unwrap()))
    }

    #[test]
    fn the_longest_prefix_decides_whichever_list_it_is_on() {
        let addresses = Addresses::builder()
            .allow("10.0.0.0/8\n10.1.2.3\n::ffff:203.0.113.0/120\n2001:db8::/32\n")
            .unwrap()
            .deny("# a comment\n\n10.1.0.0/16 # not these\n2001:db8:bad::/48\n0.0.0.0/0")
            .unwrap()
            .build()
            .unwrap();
        for (address, let_in) in [
            ("10.0.0.1", true),
            ("10.1.0.1", false),
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("10.1.2.4", false),
            ("10.2.0.0", true),
            ("11.0.0.0", false),
            ("203.0.113.9", true),
            ("255.255.255.255", false),
            ("2001:db8::1", true),
            ("2001:db8:bad::1", false),
            ("2001:db8:bae::1", true),
            ("::1", false),
        ] {
            assert_eq!(lets_in(&addresses, address), let_in, "{address}");
        }
        assert!(!addresses.lets_in(None), "nobody knows whether it is allowed");
    }

    #[test]
    fn who_is_on_no_list_is_let_in_unless_some_are_allowed() {
        let all = Addresses::builder().build().unwrap();
        assert!(lets_in(&all, "192.0.2.1") && all.lets_in(None));
        let denied = Addresses::builder().deny("192.0.2.0/24").unwrap().build().unwrap();
        assert!(!lets_in(&denied, "192.0.2.1") && lets_in(&denied, "192.0.3.1"));
        let nobody = Addresses::builder().allow("").unwrap().build().unwrap();
        assert!(!lets_in(&nobody, "192.0.2.1") && !lets_in(&nobody, "::1"));
    }

    #[test]
    fn a_list_that_is_none_is_told_by_its_line() {
        let wrong = |list: &str| Addresses::builder().allow(list).unwrap_err();
        assert_eq!(wrong("10.0.0.0/8\n\n10.0.0/8"), BadAddresses::Line(3));
        assert_eq!(wrong("10.0.0.0/33"), BadAddresses::Line(1));
        let both = Addresses::builder().allow("10.0.0.0/8").unwrap().deny("10.9.9.9/8").unwrap();
        let both = both.build().unwrap_err();
        assert_eq!(both.to_string(), "10.0.0.0/8 is both allowed and denied");
    }
}
