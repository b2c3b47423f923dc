//! Who asks, as far as limits, sessions and metrics tell clients apart: by the network that an address
//! is given from, and by country.
//!
//! An address of IPv6 counts by its first 64 bits: whoever has one has all of them (RFC 4291 §2.5.4).
//! One of IPv4 counts whole, also where it is written as one of IPv6.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Where a request comes from, as an ISO 3166-1 alpha-2 code: an extension of a request, put there by
/// whoever knows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Country([u8; 2]);

impl Country {
    /// Two ASCII letters, in either case; `None` for anything else.
    pub fn new(code: &str) -> Option<Self> {
        match code.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Some(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => None,
        }
    }

    /// The code in upper case.
    pub fn as_str(&self) -> &str {
        // Both are ASCII letters.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// In which subdivision of its [`Country`] a client is, without the country: `BY` (ISO 3166-2). Beside it in
/// a request's extensions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subdivision {
    code: [u8; 3],
    length: u8,
}

impl Subdivision {
    /// One to three ASCII letters and digits, in either case; `None` for anything else.
    pub fn new(code: &str) -> Option<Self> {
        let plain = code.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let length =
            u8::try_from(code.len()).ok().filter(|length| plain && (1..=3).contains(length))?;
        let mut upper = [0; 3];
        for (to, byte) in upper.iter_mut().zip(code.bytes()) {
            *to = byte.to_ascii_uppercase();
        }
        Some(Self { code: upper, length })
    }

    /// The code in upper case.
    pub fn as_str(&self) -> &str {
        let code = self.code.get(..self.length.into()).unwrap_or_default();
        // All are ASCII.
        std::str::from_utf8(code).unwrap_or_default()
    }
}

impl fmt::Debug for Subdivision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What stands for a client's address where clients are told apart.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// An address without what tells one household from another, and whom wide limits count together: the first
/// 24 bits, or 48.
pub(crate) fn anonymous(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4((address.to_bits() >> 8 << 8).into()),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 80 << 80)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn who_has_one_address_of_a_network_has_all_of_them() {
        for (address, counts_as, told_as) in [
            ("192.0.2.77", "192.0.2.77", "192.0.2.0"),
            ("::ffff:192.0.2.77", "192.0.2.77", "192.0.2.0"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::", "2001:db8:1::"),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(network(address).to_string(), counts_as);
            assert_eq!(anonymous(address).to_string(), told_as);
        }
    }

    #[test]
    fn a_country_is_two_letters() {
        assert_eq!(Country::new("de").unwrap().as_str(), "DE");
        for other in ["", "d", "deu", "d1", "ä"] {
            assert_eq!(Country::new(other), None, "{other}");
        }
    }
    #[test]
    fn a_subdivision_is_one_to_three_letters_and_digits() {
        for (code, is) in [("by", "BY"), ("1", "1"), ("ENG", "ENG")] {
            assert_eq!(Subdivision::new(code).unwrap().as_str(), is);
        }
        for other in ["", "ABCD", "B-", "é"] {
            assert_eq!(Subdivision::new(other), None, "{other}");
        }
    }
}
