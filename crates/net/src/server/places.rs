//! Where a server listens, and what of it each worker gets: sockets that are bound here, or that
//! another process gave.
//!
//! Of each socket one copy is kept, for the process that takes over from this one.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use super::hand_over::{Given, HeldPlace, Place};
use super::keys::Keys;
use super::quic::{Elder, Elders, MAX_WORKERS, Shared};
use super::socket::{Bound, bind_all, bind_udp, grow_buffers, listen_tcp};
use super::unix::{self, SocketFile};
use super::{ServerBuilder, ServerError};

/// All that a server listens on.
#[derive(Debug)]
pub(super) struct Places {
    /// In the order that they were asked for.
    pub(super) all: Vec<HeldPlace>,
    pub(super) workers: usize,
}

/// What one worker gets of a place.
#[derive(Debug, Default)]
pub(super) struct Share {
    pub(super) tcp: Vec<TcpListener>,
    pub(super) unix: Vec<(UnixListener, Arc<SocketFile>)>,
    pub(super) udp: Option<OwnUdp>,
}

/// A UDP socket, and whether this worker reads it.
#[derive(Debug)]
pub(super) struct OwnUdp {
    pub(super) socket: UdpSocket,
    pub(super) is_own: bool,
}

/// Opens everything for `workers` workers or more, of a process of this generation. `udp_buffer`:
/// the buffer size to ask for on UDP sockets; `None` for no QUIC.
pub(super) fn open(
    builder: &ServerBuilder,
    workers: usize,
    udp_buffer: Option<usize>,
    keys: &Keys,
    generation: u8,
) -> Result<Places, ServerError> {
    let (inherited, activation) = (builder.inherited.as_ref(), builder.activation.as_ref());
    let take = |https| {
        move |addr: &SocketAddr| {
            let given = inherited.and_then(|from| from.take(&builder.name, https, *addr));
            given.or_else(|| activation?.take(*addr, https && udp_buffer.is_some()))
        }
    };
    let mut https: Vec<Option<Given>> = builder.https.iter().map(take(true)).collect();
    let http: Vec<Option<Given>> = builder.http.iter().map(take(false)).collect();
    if udp_buffer.is_none() {
        https.iter_mut().flatten().for_each(|given| given.udp.clear());
    }
    // Each UDP socket that there is needs a worker that reads it.
    let sockets = https.iter().flatten().map(|given| given.udp.len()).max().unwrap_or(0);
    let workers = workers.max(sockets);
    if workers > MAX_WORKERS {
        let too_many = format!("connection IDs cannot name more than {MAX_WORKERS} workers");
        return Err(ServerError::Worker(io::Error::other(too_many)));
    }

    let mut all = Vec::new();
    for Opened { asked, bound, elders } in open_all(&builder.https, https, workers, udp_buffer)? {
        let quic = udp_buffer.is_some().then(|| {
            let elders = Elders::new(elders, builder.metrics.count_passed_on());
            Shared::new(keys, generation, elders, workers, bound.udp.len())
        });
        let place = Place::Https { asked, bound: bound.addr };
        all.push(HeldPlace { place, tcp: bound.tcp, udp: bound.udp, quic, unix: Vec::new() });
    }
    for Opened { asked, bound, .. } in open_all(&builder.http, http, workers, None)? {
        let place = Place::Http { asked, bound: bound.addr };
        let (tcp, udp) = (bound.tcp, Vec::new());
        all.push(HeldPlace { place, tcp, udp, quic: None, unix: Vec::new() });
    }
    for path in &builder.unix {
        let given = inherited.and_then(|inherited| inherited.take_unix(&builder.name, path));
        let given = given.or_else(|| activation?.take_unix(path));
        let keep = given.as_ref().is_some_and(|given| given.place.is_kept());
        let (listeners, file) = match given {
            Some(given) => (given.unix, SocketFile::of_another(path, keep)),
            None => unix::bind(path).map(|(listener, file)| (vec![listener], file))?,
        };
        let file = Arc::new(file);
        let unix = listeners.into_iter().map(|listener| (listener, Arc::clone(&file))).collect();
        let (tcp, udp) = (Vec::new(), Vec::new());
        let place = Place::Unix { path: path.clone(), keep };
        all.push(HeldPlace { place, tcp, udp, quic: None, unix });
    }
    Ok(Places { all, workers })
}

struct Opened {
    asked: SocketAddr,
    bound: Bound,
    elders: Vec<Elder>,
}

/// Binds those addresses that were not given.
fn open_all(
    asked: &[SocketAddr],
    given: Vec<Option<Given>>,
    workers: usize,
    udp_buffer: Option<usize>,
) -> Result<Vec<Opened>, ServerError> {
    let only_v6 = asked.iter().any(SocketAddr::is_ipv4);
    let is_missing = |(_, given): &(&SocketAddr, &Option<Given>)| given.is_none();
    let missing: Vec<SocketAddr> =
        asked.iter().zip(&given).filter(is_missing).map(|(addr, _)| *addr).collect();
    let mut fresh = bind_all(&missing, only_v6, workers, udp_buffer)?.into_iter();
    let mut all = Vec::with_capacity(asked.len());
    for (&asked, given) in asked.iter().zip(given) {
        let Some(Given { place, mut tcp, mut udp, elders, .. }) = given else {
            all.extend(fresh.next().map(|bound| Opened { asked, bound, elders: Vec::new() }));
            continue;
        };
        let addr = place.addr().unwrap_or(asked);
        // What is given of an address need not be all that it takes.
        if tcp.is_empty() {
            tcp = listen_tcp(addr, only_v6, workers)?;
        }
        match udp_buffer {
            Some(buffer) if udp.is_empty() => udp = bind_udp(addr, only_v6, workers, buffer)?,
            Some(buffer) => udp.iter().for_each(|socket| grow_buffers(socket, buffer)),
            None => {}
        }
        all.push(Opened { asked, bound: Bound { addr, tcp, udp }, elders });
    }
    Ok(all)
}

/// What a worker gets of a place.
pub(super) fn share(place: &HeldPlace, worker: usize, workers: usize) -> io::Result<Share> {
    let mut share = Share::default();
    for at in places_of(worker, workers, place.tcp.len()) {
        share.tcp.push(place.tcp[at].try_clone()?);
    }
    for at in places_of(worker, workers, place.unix.len()) {
        let (socket, file) = &place.unix[at];
        share.unix.push((socket.try_clone()?, Arc::clone(file)));
    }
    if let Some(at) = places_of(worker, workers, place.udp.len()).next() {
        let socket = place.udp[at].try_clone()?;
        share.udp = Some(OwnUdp { socket, is_own: worker < place.udp.len() });
    }
    Ok(share)
}

/// Which of `sockets` sockets are a worker's: each is somebody's, and nobody goes without.
fn places_of(worker: usize, workers: usize, sockets: usize) -> impl Iterator<Item = usize> {
    let shared = (sockets > 0 && worker >= sockets).then(|| worker % sockets.max(1));
    (worker..sockets).step_by(workers.max(1)).chain(shared)
}

#[cfg(test)]
mod tests {
    use super::places_of;

    #[test]
    fn each_socket_is_somebodys_and_no_worker_goes_without() {
        for (workers, sockets) in [(1, 1), (4, 4), (2, 5), (5, 2), (3, 0)] {
            let mut seen = vec![0; sockets];
            for worker in 0..workers {
                let own: Vec<_> = places_of(worker, workers, sockets).collect();
                assert_eq!(own.is_empty(), sockets == 0, "{workers} {sockets}");
                for at in own {
                    seen[at] += 1;
                }
            }
            assert!(seen.iter().all(|times| *times > 0), "{workers} {sockets}");
        }
    }
}
