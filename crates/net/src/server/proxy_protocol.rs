//! The PROXY protocol, version 2: a load balancer that forwards bytes tells in front of them whom
//! it forwards for (HAProxy's proxy-protocol.txt, §2.2).
//!
//! It is read only where the balancer's address is trusted, and there it is demanded: who may say
//! it must, so that no client can say it in the balancer's place.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The signature, version and command, family, length.
const FIXED: usize = 16;

/// The longest that may follow: addresses, and fields that are passed over.
const MAX_REST: usize = 4096;

/// The two ends of the connection that is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
}

/// Reads the header, and not a byte more. `None` where the balancer speaks for itself (a health
/// check), or for a client without an IP address.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Ends>> {
    let mut fixed = [0; FIXED];
    stream.read_exact(&mut fixed).await?;
    let len = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if fixed[..12] != SIGNATURE || len > MAX_REST {
        return Err(bad());
    }
    let mut rest = vec![0; len];
    stream.read_exact(&mut rest).await?;
    parse(fixed[12], fixed[13], &rest)
}

/// `command` is the byte of version and command, `family` that of family and transport.
fn parse(command: u8, family: u8, rest: &[u8]) -> io::Result<Option<Ends>> {
    match command {
        // LOCAL.
        0x20 => return Ok(None),
        // PROXY.
        0x21 => {}
        _ => return Err(bad()),
    }
    match family {
        // TCP over IPv4: two addresses, two ports.
        0x11 => {
            let octets = |at: usize| rest.get(at..at + 4)?.try_into().ok();
            let ip = |at| octets(at).map(|octets: [u8; 4]| IpAddr::V4(Ipv4Addr::from(octets)));
            ends(ip(0), ip(4), port(rest, 8), port(rest, 10))
        }
        // TCP over IPv6.
        0x21 => {
            let octets = |at: usize| rest.get(at..at + 16)?.try_into().ok();
            let ip = |at| octets(at).map(|octets: [u8; 16]| IpAddr::V6(Ipv6Addr::from(octets)));
            ends(ip(0), ip(16), port(rest, 32), port(rest, 34))
        }
        // Unspecified, or a Unix socket.
        0x00 | 0x31 => Ok(None),
        _ => Err(bad()),
    }
}

fn port(rest: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(rest.get(at..at + 2)?.try_into().ok()?))
}

fn ends(
    client: Option<IpAddr>,
    server: Option<IpAddr>,
    client_port: Option<u16>,
    server_port: Option<u16>,
) -> io::Result<Option<Ends>> {
    let both = client.zip(client_port).zip(server.zip(server_port));
    let ((client, client_port), (server, server_port)) = both.ok_or_else(bad)?;
    let end = |ip: IpAddr, port| SocketAddr::new(ip.to_canonical(), port);
    Ok(Some(Ends { client: end(client, client_port), server: end(server, server_port) }))
}

fn bad() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no PROXY protocol header of version 2")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use proptest::prelude::*;

    /// A header with the given bytes after the signature, and what follows it.
    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut all = SIGNATURE.to_vec();
        all.extend([command, family]);
        all.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
        all.extend(rest);
        all.extend(b"GET /");
        all
    }

    async fn read_all(bytes: &[u8]) -> io::Result<(Option<Ends>, Vec<u8>)> {
        let mut stream = bytes;
        let ends = read(&mut stream).await?;
        Ok((ends, stream.to_vec()))
    }

    #[tokio::test]
    async fn both_families_are_read_and_not_a_byte_more() {
        let mut four = vec![192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x67, 0x01, 0xbb];
        // A field of the kind that is passed over (PP2_TYPE_NOOP).
        four.extend([4, 0, 1, 0]);
        let (ends, rest) = read_all(&header(0x21, 0x11, &four)).await.unwrap();
        let ends = ends.unwrap();
        assert_eq!(ends.client, "192.0.2.1:4711".parse().unwrap());
        assert_eq!(ends.server, "198.51.100.2:443".parse().unwrap());
        assert_eq!(rest, b"GET /");
        let mut six = [0; 36];
        six[15] = 1;
        six[31] = 2;
        six[33] = 80;
        let (ends, _) = read_all(&header(0x21, 0x21, &six)).await.unwrap();
        assert_eq!(ends.unwrap().client, "[::1]:80".parse().unwrap());
    }

    #[tokio::test]
    async fn a_balancer_may_speak_for_itself() {
        for (command, family) in [(0x20, 0x00), (0x20, 0x11), (0x21, 0x00), (0x21, 0x31)] {
            let (ends, rest) = read_all(&header(command, family, &[7; 9])).await.unwrap();
            assert_eq!((ends, &rest[..]), (None, &b"GET /"[..]));
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        for bytes in [
            b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n".to_vec(),
            header(0x11, 0x11, &[0; 12]),
            header(0x22, 0x11, &[0; 12]),
            header(0x21, 0x12, &[0; 12]),
            header(0x21, 0x11, &[0; 11]),
            header(0x21, 0x21, &[0; 35]),
            header(0x21, 0x11, &vec![0; MAX_REST + 1]),
            SIGNATURE.to_vec(),
        ] {
            assert!(read_all(&bytes).await.is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(command: u8, family: u8, rest in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(command, family, &rest);
        }
    }
}
