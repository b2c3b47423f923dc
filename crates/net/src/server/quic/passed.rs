//! A datagram on its way from the process that reads a UDP socket to an older one whose connection
//! it is for.
//!
//! One message of a Unix socket that keeps messages apart: a version, the ECN bits (RFC 3168), the
//! client's address, the address it was sent to, then the datagram as it came. An address is its
//! length in bytes (0 for none), itself, and for the client's a port.

use std::net::{IpAddr, SocketAddr};

use quinn::udp::{EcnCodepoint, RecvMeta};
use smallvec::SmallVec;

/// Version of this layout.
const VERSION: u8 = 1;
/// Largest head.
const HEAD: usize = 2 + 1 + 16 + 2 + 1 + 16;
/// A UDP datagram's largest payload, and a head.
pub(super) const MAX_MESSAGE: usize = HEAD + 65_527;

/// What comes before the datagram.
pub(super) type Head = SmallVec<[u8; HEAD]>;

/// The head of a datagram that came with `meta`.
pub(super) fn head(meta: &RecvMeta) -> Head {
    let mut head = Head::new();
    head.push(VERSION);
    head.push(meta.ecn.map_or(0, |ecn| ecn as u8));
    put(&mut head, Some(meta.addr.ip()));
    head.extend_from_slice(&meta.addr.port().to_be_bytes());
    put(&mut head, meta.dst_ip);
    head
}

fn put(head: &mut Head, ip: Option<IpAddr>) {
    match ip {
        None => head.push(0),
        Some(IpAddr::V4(ip)) => {
            head.push(4);
            head.extend_from_slice(&ip.octets());
        }
        Some(IpAddr::V6(ip)) => {
            head.push(16);
            head.extend_from_slice(&ip.octets());
        }
    }
}

/// Reads a message: where the datagram came from, and the datagram.
pub(super) fn read(message: &[u8]) -> Option<(RecvMeta, &[u8])> {
    let (&[version, ecn], rest) = message.split_first_chunk()?;
    if version != VERSION {
        return None;
    }
    let (ip, rest) = take(rest)?;
    let (port, rest) = rest.split_first_chunk()?;
    let (dst_ip, datagram) = take(rest)?;
    let meta = RecvMeta {
        addr: SocketAddr::new(ip?, u16::from_be_bytes(*port)),
        len: datagram.len(),
        stride: datagram.len(),
        ecn: EcnCodepoint::from_bits(ecn),
        dst_ip,
    };
    Some((meta, datagram))
}

fn take(bytes: &[u8]) -> Option<(Option<IpAddr>, &[u8])> {
    let (len, rest) = bytes.split_first()?;
    match len {
        0 => Some((None, rest)),
        4 => rest.split_first_chunk::<4>().map(|(ip, rest)| (Some(IpAddr::from(*ip)), rest)),
        16 => rest.split_first_chunk::<16>().map(|(ip, rest)| (Some(IpAddr::from(*ip)), rest)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_passed_arrives_as_it_was(
            addr in any::<SocketAddr>(),
            dst_ip in any::<Option<IpAddr>>(),
            ecn in 0_u8..4,
            datagram in proptest::collection::vec(any::<u8>(), 0..1500),
        ) {
            // The scope and flow of an IPv6 address mean something on the socket alone.
            let addr = SocketAddr::new(addr.ip(), addr.port());
            let ecn = EcnCodepoint::from_bits(ecn);
            let meta = RecvMeta { addr, len: 3, stride: 3, ecn, dst_ip };
            let message = [&head(&meta)[..], &datagram].concat();
            prop_assert!(message.len() <= MAX_MESSAGE);
            let (read_meta, rest) = read(&message).unwrap();
            prop_assert_eq!(rest, &datagram[..]);
            prop_assert_eq!((read_meta.addr, read_meta.dst_ip), (addr, dst_ip));
            prop_assert_eq!(read_meta.ecn, ecn);
            prop_assert_eq!((read_meta.len, read_meta.stride), (datagram.len(), datagram.len()));
        }

        #[test]
        fn whatever_arrives_is_read_without_harm(
            message in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            let _ = read(&message);
        }
    }
}
