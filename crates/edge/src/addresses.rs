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

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use headwater_net::{ConnInfo, Problem};
use http::{Request, StatusCode};
use ipnet::IpNet;

use crate::guard::{GuardLayer, Rule};
use crate::refusals::RefusedBy;
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

/// The most lines or networks that are named of those that are wrong.
pub const MAX_NAMED: usize = 20;

/// What is wrong with a list: one sentence, without its file's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadAddresses {
    /// Lines that are no networks. They count from 1.
    #[error("{} no address and no network such as 192.0.2.0/24", are(.0, "line ", "lines "))]
    Lines(Few<usize>),
    /// Networks that are on both lists.
    #[error("{} both allowed and denied", are(.0, "", ""))]
    Both(Few<IpNet>),
    /// There are too many.
    #[error("there are more than {MAX_NETWORKS} networks")]
    Many,
}

/// Some that are wrong, in their order: the first [`MAX_NAMED`], and how many there are beyond them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Few<T> {
    first: Vec<T>,
    more: usize,
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self { first: Vec::new(), more: 0 }
    }
}

impl<T> Few<T> {
    /// The first of them.
    pub fn first(&self) -> &[T] {
        &self.first
    }

    /// How many there are that are not among the first.
    pub const fn more(&self) -> usize {
        self.more
    }

    fn add(&mut self, one: T) {
        if self.first.len() < MAX_NAMED {
            self.first.push(one);
        } else {
            self.more += 1;
        }
    }

    /// `None` where there is none.
    fn any(self) -> Option<Self> {
        (!self.first.is_empty()).then_some(self)
    }
}

impl<T: fmt::Display> fmt::Display for Few<T> {
    /// `1`, `1 and 2`, `1, 2 and 3`, `1, 2, … and 7 more`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, one) in self.first.iter().enumerate() {
            match number {
                0 => {}
                _ if number + 1 == self.first.len() && self.more == 0 => f.write_str(" and ")?,
                _ => f.write_str(", ")?,
            }
            write!(f, "{one}")?;
        }
        if self.more > 0 { write!(f, " and {} more", self.more) } else { Ok(()) }
    }
}

/// Those that are wrong, and the verb that goes with as many.
fn are<T: fmt::Display>(few: &Few<T>, one: &str, several: &str) -> String {
    match (few.first.len(), few.more) {
        (1, 0) => format!("{one}{few} is"),
        _ => format!("{several}{few} are"),
    }
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
    /// Where lines are no networks, or there are too many.
    pub fn allow(mut self, list: &str) -> Result<Self, BadAddresses> {
        self.has_allowed = true;
        self.add(list, true)
    }

    /// Refuses those of a list.
    ///
    /// # Errors
    /// Where lines are no networks, or there are too many.
    pub fn deny(self, list: &str) -> Result<Self, BadAddresses> {
        self.add(list, false)
    }

    fn add(mut self, list: &str, allowed: bool) -> Result<Self, BadAddresses> {
        let mut wrong = Few::default();
        for (number, line) in list.lines().enumerate() {
            let line = line.split_once('#').map_or(line, |(line, _)| line).trim();
            if line.is_empty() {
                continue;
            }
            let Some(network) = network(line) else {
                wrong.add(number + 1);
                continue;
            };
            if self.networks.len() >= MAX_NETWORKS {
                return Err(BadAddresses::Many);
            }
            self.networks.push((network, allowed));
        }
        wrong.any().map_or(Ok(self), |lines| Err(BadAddresses::Lines(lines)))
    }

    /// The lists as one.
    ///
    /// # Errors
    /// Where networks are both allowed and denied.
    pub fn build(mut self) -> Result<Addresses, BadAddresses> {
        self.networks.sort_unstable();
        let mut both = Few::default();
        for pair in self.networks.windows(2) {
            if let [(one, a), (other, b)] = pair
                && one == other
                && a != b
            {
                both.add(*one);
            }
        }
        if let Some(both) = both.any() {
            return Err(BadAddresses::Both(both));
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
    const BY: RefusedBy = RefusedBy::Addresses;

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
    fn a_list_that_is_none_is_told_by_each_of_its_lines() {
        let wrong = |list: &str| Addresses::builder().allow(list).unwrap_err();
        let says = |list: &str| wrong(list).to_string();
        let network = "no address and no network such as 192.0.2.0/24";
        assert_eq!(says("10.0.0.0/8\n\n10.0.0/8"), format!("line 3 is {network}"));
        assert_eq!(says("10.0.0.0/33\n::1\n# x\nx # y"), format!("lines 1 and 4 are {network}"));
        assert_eq!(says("a\nb\nc"), format!("lines 1, 2 and 3 are {network}"));
        let BadAddresses::Lines(lines) = wrong(&"none\n".repeat(21)) else { unreachable!() };
        assert_eq!((lines.first().len(), lines.more()), (MAX_NAMED, 1));
        let many = says(&"none\n".repeat(500_000));
        assert!(many.starts_with("lines 1, 2, 3, ") && many.len() < 200, "{many}");
        assert!(many.ends_with(&format!(", 20 and 499980 more are {network}")), "{many}");
    }

    #[test]
    fn networks_that_are_on_both_lists_are_told() {
        let both = |allow: &str, deny: &str| {
            let lists = Addresses::builder().allow(allow).unwrap().deny(deny).unwrap();
            lists.build().unwrap_err().to_string()
        };
        assert_eq!(both("10.0.0.0/8", "10.9.9.9/8"), "10.0.0.0/8 is both allowed and denied");
        assert_eq!(
            both("::1\n10.0.0.0/8\n10.0.0.0/8\n11.0.0.0/8", "10.0.0.0/8\n::1"),
            "10.0.0.0/8 and ::1/128 are both allowed and denied"
        );
    }
}
