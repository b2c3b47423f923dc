//! Workers: one thread, one runtime, one service and its own sockets each.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower_service::Service;

use super::addresses::Addresses;
use super::control::{Phase, stopped};
use super::fronts::Fronts;
use super::handle::DrainCount;
use super::metrics::Counters;
use super::socket::{Bound, bind_all};
#[cfg(unix)]
use super::unix;
use super::wire::Listening;
use super::{
    ConnLimits, QuicConfig, ServerBuilder, ServerError, ServerHandle, WorkerId, alt_svc, http3,
    quic, tcp,
};
use crate::{Body, Clock};

/// How long a worker's blocking tasks may hold up its end.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// What the connections of one worker share.
pub(super) struct Worker {
    pub(super) id: WorkerId,
    pub(super) limits: ConnLimits,
    pub(super) quic: QuicConfig,
    pub(super) clock: Clock,
    pub(super) fronts: Fronts,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) counters: Arc<Counters>,
    pub(super) open: Arc<AtomicUsize>,
    pub(super) addresses: Addresses,
    pub(super) drained: Arc<DrainCount>,
}

/// One worker's sockets.
#[derive(Default)]
struct Sockets {
    tcp: Vec<(TcpListener, tcp::Listener)>,
    #[cfg(unix)]
    unix: Vec<(std::os::unix::net::UnixListener, Arc<unix::SocketFile>)>,
    udp: Vec<(UdpSocket, SocketAddr, quic::Shared)>,
}

/// Binds everything, then starts the threads.
pub(super) fn start<F, S>(builder: ServerBuilder, make: F) -> Result<ServerHandle, ServerError>
where
    F: Fn(WorkerId) -> S + Send + Sync + 'static,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    if let Some(error) = builder.bad_address {
        return Err(ServerError::Address(error));
    }
    #[cfg(unix)]
    let no_unix = builder.unix.is_empty();
    #[cfg(not(unix))]
    let no_unix = true;
    if builder.https.is_empty() && builder.http.is_empty() && no_unix {
        return Err(ServerError::NoAddress);
    }
    let quic = builder.quic.unwrap_or_default();
    let with_quic = !builder.no_quic && !builder.https.is_empty();
    let (mut acceptor, mut quic_server) = (None, None);
    let mut watched = None;
    if !builder.https.is_empty() {
        let tls = builder.tls.as_ref().ok_or(ServerError::NoCertificate)?;
        acceptor = Some(TlsAcceptor::from(tls.tcp_config()?));
        watched = Some(tls.clone());
        if with_quic {
            quic_server = Some(quic::server_config(tls, &quic, &builder.metrics)?);
        }
    }
    let count = if cfg!(target_os = "linux") {
        builder.workers.unwrap_or_else(|| {
            std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
        })
    } else {
        1
    };
    let https = bind_all(&builder.https, count, with_quic.then_some(quic.socket_buffer))?;
    let http = bind_all(&builder.http, count, None)?;
    let addrs = |bound: &[Bound]| bound.iter().map(|bound| bound.addr).collect::<Vec<_>>();
    let (https_addrs, http_addrs) = (addrs(&https), addrs(&http));

    let mut sockets: Vec<Sockets> = (0..count).map(|_| Sockets::default()).collect();
    for bound in https {
        let alt_svc = with_quic.then(|| alt_svc(bound.addr.port()));
        let listener = tcp::Listener { tls: acceptor.clone(), alt_svc };
        for (of_worker, socket) in sockets.iter_mut().zip(bound.tcp) {
            of_worker.tcp.push((socket, listener.clone()));
        }
        let shared = quic::Shared::new(count);
        for (of_worker, socket) in sockets.iter_mut().zip(bound.udp) {
            of_worker.udp.push((socket, bound.addr, shared.clone()));
        }
    }
    for bound in http {
        let listener = tcp::Listener { tls: None, alt_svc: None };
        for (of_worker, socket) in sockets.iter_mut().zip(bound.tcp) {
            of_worker.tcp.push((socket, listener.clone()));
        }
    }

    #[cfg(unix)]
    for path in &builder.unix {
        let bound = unix::bind(path, count)?;
        let file = Arc::new(bound.file);
        for (of_worker, socket) in sockets.iter_mut().zip(bound.listeners) {
            of_worker.unix.push((socket, Arc::clone(&file)));
        }
    }

    let (phase, phase_rx) = watch::channel(Phase::Running);
    let (running, running_rx) = watch::channel(count);
    let running = Arc::new(running);
    let serving = Arc::new(watch::Sender::new(count));
    let drained = Arc::<DrainCount>::default();
    let make = Arc::new(make);
    let addresses = Addresses::default();
    let handle = ServerHandle {
        https: https_addrs,
        http: http_addrs,
        metrics: builder.metrics.clone(),
        phase,
        running: running_rx,
        drained: Arc::clone(&drained),
    };
    for (id, sockets) in sockets.into_iter().enumerate() {
        let worker = Arc::new(Worker {
            id: WorkerId(id),
            limits: builder.limits.clone(),
            quic: quic.clone(),
            clock: builder.clock.clone(),
            fronts: builder.fronts.clone(),
            phase: phase_rx.clone(),
            counters: builder.metrics.worker(),
            open: builder.metrics.open_sockets(),
            addresses: addresses.clone(),
            drained: Arc::clone(&drained),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ServerError::Worker)?;
        let (make, quic_server) = (Arc::clone(&make), quic_server.clone());
        // One of the workers looks after the certificates.
        let watched = watched.take();
        let ended = CountsDown(Arc::clone(&running));
        let served = CountsDown(Arc::clone(&serving));
        std::thread::Builder::new()
            .name(format!("headwater-{id}"))
            .spawn(move || {
                // Dropped last: by then the sockets are closed.
                let _ended = ended;
                if let Some(tls) = watched {
                    runtime.spawn(tls.watch(worker.phase.clone()));
                }
                let make = || make(WorkerId(id));
                runtime.block_on(run(sockets, quic_server, worker, make, served));
                runtime.shutdown_timeout(LAST_WAIT);
            })
            .map_err(ServerError::Worker)?;
    }
    Ok(handle)
}

/// One of the workers that have not come so far yet; dropped, however a worker ends, it is counted
/// off.
struct CountsDown(Arc<watch::Sender<usize>>);

impl CountsDown {
    /// Counts this one off and waits for the others.
    async fn and_wait_for_others(self) {
        let mut left = self.0.subscribe();
        drop(self);
        // An error says that every other one is gone.
        let _ = left.wait_for(|left| *left == 0).await;
    }
}

impl Drop for CountsDown {
    fn drop(&mut self) {
        self.0.send_modify(|left| *left = left.saturating_sub(1));
    }
}

async fn run<S>(
    sockets: Sockets,
    quic_server: Option<quinn::ServerConfig>,
    worker: Arc<Worker>,
    make: impl FnOnce() -> S,
    served: CountsDown,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    let service = make();
    let mut listeners = JoinSet::new();
    for (socket, listener) in sockets.tcp {
        match tokio::net::TcpListener::from_std(socket) {
            Ok(socket) => {
                let (worker, service) = (Arc::clone(&worker), service.clone());
                listeners.spawn(tcp::run(Listening::Tcp(socket), listener, worker, service));
            }
            Err(error) => tracing::error!(%error, "a listener cannot be served"),
        }
    }
    // Removed when the last worker is done.
    #[cfg(unix)]
    let mut files = Vec::new();
    #[cfg(unix)]
    for (socket, file) in sockets.unix {
        files.push(file);
        match tokio::net::UnixListener::from_std(socket) {
            Ok(socket) => {
                let (worker, service) = (Arc::clone(&worker), service.clone());
                let listener = tcp::Listener { tls: None, alt_svc: None };
                listeners.spawn(tcp::run(Listening::Unix(socket), listener, worker, service));
            }
            Err(error) => tracing::error!(%error, "a Unix socket cannot be served"),
        }
    }
    for (socket, addr, shared) in sockets.udp {
        let Some(config) = quic_server.clone() else { continue };
        match shared.endpoint(socket, config, worker.id) {
            Ok(endpoint) => {
                let (worker, service) = (Arc::clone(&worker), service.clone());
                listeners.spawn(http3::run(endpoint, addr, worker, service));
            }
            Err(error) => tracing::error!(%error, "a QUIC socket cannot be served"),
        }
    }
    while listeners.join_next().await.is_some() {}
    // Answers of other workers may be fed by tasks of this one's runtime: a cache fill that a
    // request here began, a connection to an upstream. It lives until nobody needs it.
    let mut phase = worker.phase.clone();
    tokio::select! {
        () = served.and_wait_for_others() => {}
        () = stopped(&mut phase) => {}
    }
}

/// After the drain began: waits for a listener's connections to end within the deadline, and cuts
/// those that do not.
pub(super) async fn finish(connections: &mut JoinSet<()>, worker: &Worker) {
    let mut phase = worker.phase.clone();
    let within = match *phase.borrow_and_update() {
        Phase::Draining(within) => within,
        Phase::Running | Phase::Stopped => Duration::ZERO,
    };
    while connections.try_join_next().is_some() {}
    let before = connections.len();
    tokio::select! {
        () = async { while connections.join_next().await.is_some() {} } => {}
        () = tokio::time::sleep(within) => {}
        () = stopped(&mut phase) => {}
    }
    let cut = connections.len();
    worker.drained.finished.fetch_add(before - cut, Ordering::AcqRel);
    worker.drained.cut.fetch_add(cut, Ordering::AcqRel);
    connections.shutdown().await;
}
