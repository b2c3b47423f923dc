//! Lists of addresses: read or refused, and every address is let in or not.

use std::net::IpAddr;

use headwater_edge::Addresses;
use headwater_edge::addresses::AddressesBuilder;

/// Lists as they are written, and lines that are none.
pub(crate) const SEEDS: &[&str] = &[
    "# a comment\n10.0.0.0/8\n10.1.2.3 # one\n0.0.0.0/0\n::/0\n2001:db8::/32\n",
    "::ffff:192.0.2.0/120\n255.255.255.255/32\nffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128\n",
    "10.0.0.0/33\n",
    "10.0.0/8",
];

/// Reads the input as a list, and holds it against addresses at its edges.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(allowed) = Addresses::builder().allow(text) else { return };
    let Ok(allowed) = allowed.build() else { return };
    let denied = Addresses::builder().deny(text).and_then(AddressesBuilder::build);
    let Ok(denied) = denied else { unreachable!("what can be allowed can be denied") };
    for line in text.lines() {
        let line = line.split(['#', '/']).next().unwrap_or_default().trim();
        let Ok(address) = line.parse::<IpAddr>() else { continue };
        // A network of IPv6 that is larger than all of IPv4 in its clothes takes in none of it.
        if matches!(address, IpAddr::V6(six) if six.to_ipv4_mapped().is_some()) {
            continue;
        }
        assert!(allowed.lets_in(Some(address)) && !denied.lets_in(Some(address)), "{address}");
    }
    for last in ["255.255.255.255", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"] {
        let last = last.parse().ok();
        assert_ne!(allowed.lets_in(last), denied.lets_in(last));
    }
}
