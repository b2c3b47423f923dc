//! Binding: the same port for TCP and UDP, on every address, once for each worker.
//!
//! The first socket of an address is bound without SO_REUSEPORT, so that a port that anyone else
//! holds is an error rather than silently shared; only then the option lets the workers' other
//! sockets in beside it.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::ServerError;

/// Connections that may wait to be accepted, for each listener.
const BACKLOG: i32 = 4096;
/// How often another port is tried when the one the system chose is taken elsewhere.
const PORT_TRIES: usize = 16;

/// One address, bound for all workers.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) addr: SocketAddr,
    /// One listener for each worker.
    pub(super) tcp: Vec<TcpListener>,
    /// One socket for each worker; empty without QUIC.
    pub(super) udp: Vec<UdpSocket>,
}

/// Binds all `addrs` for `workers` workers. Addresses with port 0 get one common port.
/// `only_v6`: whether IPv4 clients of IPv6 addresses are left to others. `udp_buffer`: the buffer
/// size to ask for on UDP sockets; `None` for no UDP.
pub(super) fn bind_all(
    addrs: &[SocketAddr],
    only_v6: bool,
    workers: usize,
    udp_buffer: Option<usize>,
) -> Result<Vec<Bound>, ServerError> {
    let some_port_open = addrs.iter().any(|addr| addr.port() == 0);
    let mut tries = if some_port_open { PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        match try_bind_all(addrs, only_v6, workers, udp_buffer) {
            Err(ServerError::AddressInUse { addr, .. }) if tries > 0 && !addrs.contains(&addr) => {}
            done => return done,
        }
    }
}

fn try_bind_all(
    addrs: &[SocketAddr],
    only_v6: bool,
    workers: usize,
    udp_buffer: Option<usize>,
) -> Result<Vec<Bound>, ServerError> {
    let mut common_port = 0;
    let mut all = Vec::with_capacity(addrs.len());
    for addr in addrs {
        let mut addr = *addr;
        if addr.port() == 0 {
            addr.set_port(common_port);
        }
        let was_open = addr.port() == 0;
        let tcp = bind_tcp(&mut addr, only_v6, workers)?;
        if was_open {
            common_port = addr.port();
        }
        let mut udp = Vec::new();
        if let Some(buffer) = udp_buffer {
            udp = bind_udp(addr, only_v6, workers, buffer)?;
        }
        all.push(Bound { addr, tcp: listen(tcp, addr)?, udp });
    }
    Ok(all)
}

/// Binds an address for each of `workers` workers, and says which port it is.
fn bind_tcp(
    addr: &mut SocketAddr,
    only_v6: bool,
    workers: usize,
) -> Result<Vec<Socket>, ServerError> {
    let mut all = Vec::with_capacity(workers);
    for worker in 0..workers {
        let socket = bind_one(Type::STREAM, *addr, only_v6, worker == 0)
            .map_err(|error| ServerError::bind(transport(Type::STREAM), *addr, error))?;
        let bound = socket.local_addr().ok().and_then(|addr| addr.as_socket());
        addr.set_port(bound.map_or(addr.port(), |bound| bound.port()));
        all.push(socket);
    }
    Ok(all)
}

fn listen(sockets: Vec<Socket>, addr: SocketAddr) -> Result<Vec<TcpListener>, ServerError> {
    for socket in &sockets {
        socket
            .listen(BACKLOG)
            .map_err(|error| ServerError::bind(transport(Type::STREAM), addr, error))?;
    }
    Ok(sockets.into_iter().map(TcpListener::from).collect())
}

/// Binds an address whose port is known and listens there, for each of `workers` workers.
pub(super) fn listen_tcp(
    mut addr: SocketAddr,
    only_v6: bool,
    workers: usize,
) -> Result<Vec<TcpListener>, ServerError> {
    let sockets = bind_tcp(&mut addr, only_v6, workers)?;
    listen(sockets, addr)
}

/// Binds an address whose port is known, for each of `workers` workers.
pub(super) fn bind_udp(
    addr: SocketAddr,
    only_v6: bool,
    workers: usize,
    buffer: usize,
) -> Result<Vec<UdpSocket>, ServerError> {
    let bind = |worker| {
        let socket = bind_one(Type::DGRAM, addr, only_v6, worker == 0)?;
        grow_buffers(&socket, buffer);
        Ok(socket.into())
    };
    (0..workers)
        .map(bind)
        .collect::<io::Result<_>>()
        .map_err(|error| ServerError::bind(transport(Type::DGRAM), addr, error))
}

fn transport(kind: Type) -> &'static str {
    if kind == Type::STREAM { "TCP" } else { "UDP" }
}

fn bind_one(kind: Type, addr: SocketAddr, only_v6: bool, first: bool) -> io::Result<Socket> {
    let protocol = if kind == Type::STREAM { Protocol::TCP } else { Protocol::UDP };
    let socket = Socket::new(Domain::for_address(addr), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    if kind == Type::STREAM {
        // Lets a restarted server bind while old connections are in TIME_WAIT; a listening socket
        // still makes the bind fail.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
    }
    if !first {
        share_port(&socket)?;
    }
    socket.bind(&addr.into())?;
    if first {
        share_port(&socket)?;
    }
    Ok(socket)
}

#[cfg(target_os = "linux")]
fn share_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "the same shape as on Linux")]
fn share_port(_: &Socket) -> io::Result<()> {
    Ok(())
}

/// Asks for larger buffers and takes what the system grants.
pub(super) fn grow_buffers(socket: &impl AsFd, size: usize) {
    let socket = SockRef::from(socket);
    let _ = socket.set_recv_buffer_size(size);
    let _ = socket.set_send_buffer_size(size);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn port_zero_is_one_port_on_both_families_and_both_transports() {
        let addrs = ["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()];
        let bound = bind_all(&addrs, true, 3, Some(1 << 20)).unwrap();
        let port = bound[0].addr.port();
        assert_ne!(port, 0);
        for bound in &bound {
            assert_eq!(bound.addr.port(), port);
            for tcp in &bound.tcp {
                assert_eq!(tcp.local_addr().unwrap().port(), port);
            }
            for udp in &bound.udp {
                assert_eq!(udp.local_addr().unwrap().port(), port);
            }
        }
        assert_eq!((bound[1].tcp.len(), bound[1].udp.len()), (3, 3));
    }

    #[test]
    fn a_port_in_use_is_named_even_by_a_sharing_owner() {
        let first = bind_all(&["127.0.0.1:0".parse().unwrap()], true, 2, Some(1 << 16)).unwrap();
        let addr = first[0].addr;
        for udp in [None, Some(1 << 16)] {
            let Err(error) = bind_all(&[addr], true, 2, udp) else { panic!("bound twice") };
            assert_eq!(
                error.to_string(),
                format!("TCP port {} of 127.0.0.1 is already in use", addr.port())
            );
        }
    }

    #[test]
    fn an_address_that_comes_later_leaves_ipv4_to_those_who_have_it() {
        let first = bind_all(&["0.0.0.0:0".parse().unwrap()], true, 1, Some(1 << 16)).unwrap();
        let later = SocketAddr::new("::".parse().unwrap(), first[0].addr.port());
        bind_all(&[later], true, 1, Some(1 << 16)).unwrap();
    }

    #[test]
    fn a_udp_port_in_use_is_named() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = taken.local_addr().unwrap();
        let Err(error) = bind_all(&[addr], true, 1, Some(1 << 16)) else { panic!("bound twice") };
        assert!(error.to_string().starts_with("UDP port"), "{error}");
    }
}
