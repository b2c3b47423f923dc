//! How many connections each address has open, in all workers together.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Connections by address; an IPv6 network of 64 bits, which is what one customer has at least,
/// counts as one address. As large as the number of connections open.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl Addresses {
    /// Counts one more connection from `ip` until the guard is dropped; `None` where it has `max`.
    pub(super) fn take(&self, ip: IpAddr, max: usize) -> Option<FromAddress> {
        let of = network(ip);
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(of).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(FromAddress { of, all: self.clone() })
    }

    /// Whether `ip` has `max` connections: one more would be none.
    pub(super) fn is_full(&self, ip: IpAddr, max: usize) -> bool {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(&network(ip)).is_some_and(|count| *count >= max)
    }
}

/// One connection of an address.
#[derive(Debug)]
pub(super) struct FromAddress {
    of: IpAddr,
    all: Addresses,
}

impl Drop for FromAddress {
    fn drop(&mut self) {
        let mut open = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.of);
            }
        }
    }
}

fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let prefix = u128::from(ip) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(prefix))
        }
        IpAddr::V4(ip) => IpAddr::V4(ip),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn each_address_and_each_ipv6_network_has_so_many() {
        let all = Addresses::default();
        let take = |ip: &str| all.take(ip.parse().unwrap(), 2);
        let first = take("192.0.2.1").unwrap();
        let is_full = |ip: &str| all.is_full(ip.parse().unwrap(), 2);
        assert!(!is_full("192.0.2.1"));
        let _second = take("::ffff:192.0.2.1").unwrap();
        assert!(take("192.0.2.1").is_none());
        assert!(is_full("192.0.2.1") && is_full("::ffff:192.0.2.1") && !is_full("192.0.2.2"));
        let _other = take("192.0.2.2").unwrap();
        drop(first);
        let _third = take("192.0.2.1").unwrap();
        let six = [take("2001:db8::1").unwrap(), take("2001:db8::ffff:1:2:3").unwrap()];
        assert!(take("2001:db8::2").is_none());
        assert!(take("2001:db8:0:1::2").is_some());
        drop(six);
        assert_eq!(all.0.lock().unwrap().len(), 2);
    }
}
