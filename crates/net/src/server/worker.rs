//! Workers: one thread, one runtime, one service and its own sockets each.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower_service::Service;

use super::addresses::Addresses;
use super::control::{Loops, Phase, stopped};
use super::fronts::Fronts;
use super::hand_over::{Held, Inherited, Place};
use super::handle::DrainCount;
use super::keys::Keys;
use super::metrics::{Counters, Place as Occupied, Refused};
use super::places::{OwnUdp, Places, Share, share};
use super::shared::Shared;
use super::tls::Sessions;
#[cfg(feature = "acme")]
use super::tls::Tls;
use super::unfinished::{Turn, Unfinished};
use super::wire::Listening;
use super::{
    ConnLimits, QuicConfig, ServerBuilder, ServerError, ServerHandle, WorkerId, alt_svc, http3,
    places, quic, tcp,
};
use crate::{Body, Clock};

/// How long a worker's blocking tasks may hold up its end.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// What the connections of one worker share.
#[derive(Clone)]
pub(super) struct Worker {
    pub(super) id: WorkerId,
    /// Whether HTTP/2 clients may ask for WebSockets.
    pub(super) extended_connect: bool,
    pub(super) limits: ConnLimits,
    /// Those that are in force, for connections that come.
    latest: watch::Receiver<ConnLimits>,
    pub(super) quic: QuicConfig,
    pub(super) clock: Clock,
    pub(super) fronts: Fronts,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) counters: Arc<Counters>,
    pub(super) open: Arc<AtomicUsize>,
    /// Handshakes under way over TCP, of all workers.
    handshakes: Arc<Unfinished>,
    pub(super) addresses: Addresses,
    pub(super) drained: Arc<DrainCount>,
    pub(super) loops: Arc<Loops>,
    /// Whether clients of HTTP/1.1 are to come back on another connection.
    pub(super) leaving: Arc<AtomicBool>,
    /// What authorities ask to be shown over plain HTTP.
    #[cfg(feature = "acme")]
    pub(super) challenges: Vec<Arc<super::acme::challenges::Challenges>>,
}

impl Worker {
    /// Takes the limits that are in force by now, for connections from now on.
    pub(super) fn keep_up(this: &mut Arc<Self>) {
        // An error says that the server ends.
        if this.latest.has_changed().unwrap_or(false) {
            let mut changed = Self::clone(this);
            changed.limits = changed.latest.borrow_and_update().clone();
            *this = Arc::new(changed);
        }
    }

    /// A place for one handshake more under the limits that are in force, where there is one and what
    /// comes of it would have one, too.
    pub(super) fn admit(this: &mut Arc<Self>) -> Result<Turn, Refused> {
        Self::keep_up(this);
        if this.open.load(Ordering::Relaxed) >= this.limits.max_connections {
            return Err(Refused::Connections);
        }
        let max = this.limits.max_handshakes;
        this.handshakes.begin(max, Instant::now()).ok_or(Refused::Handshakes)
    }

    /// A connection's place for that of its handshake, which is done; counted where there is none.
    pub(super) fn settle(&self, handshake: Turn) -> Option<Occupied> {
        drop(handshake);
        let place = Occupied::take(&self.open, self.limits.max_connections);
        if place.is_none() {
            self.counters.refused(Refused::Connections);
        }
        place
    }
}

/// One worker's sockets at a place.
struct Front {
    sockets: Share,
    listener: tcp::Listener,
    quic: Option<(SocketAddr, quic::Shared)>,
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
    if builder.https.is_empty() && builder.http.is_empty() && builder.unix.is_empty() {
        return Err(ServerError::NoAddress);
    }
    let quic = builder.quic.clone().unwrap_or_default();
    let with_quic = !builder.no_quic && !builder.https.is_empty();
    let inherited = builder.inherited.clone();
    let before = inherited.as_ref().and_then(|inherited| inherited.keys(&builder.name));
    let (generation, keys) = match before {
        Some((before, saved)) => {
            (before.wrapping_add(1) % quic::GENERATIONS, Keys::restore(saved, &builder.clock))
        }
        None => (0, Keys::new(&builder.clock)?),
    };
    let (mut acceptor, mut quic_server, mut sessions) = (None, None, None);
    #[cfg(feature = "acme")]
    let challenges = builder.tls.as_ref().map(Tls::challenges).unwrap_or_default();
    let mut watched = None;
    if !builder.https.is_empty() {
        let tls = builder.tls.as_ref().ok_or(ServerError::NoCertificate)?;
        acceptor = Some(tls.over_tcp(Arc::clone(&keys.tickets))?);
        watched = Some(tls.clone());
        if with_quic {
            let terms = quic::terms(tls, &quic, &builder.limits);
            let kept = Sessions::new(terms, builder.metrics.count_tickets_refused());
            quic_server = Some(quic::settings(tls, &quic, &keys, Arc::clone(&kept))?);
            sessions = Some(kept);
        }
    }
    let wanted = if cfg!(target_os = "linux") {
        builder.workers.unwrap_or_else(|| {
            std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
        })
    } else {
        1
    };
    let udp_buffer = with_quic.then_some(quic.socket_buffer);
    let Places { all, workers: count } =
        places::open(&builder, wanted, udp_buffer, &keys, generation)?;
    let (mut https_addrs, mut http_addrs, mut elders) = (Vec::new(), Vec::new(), Vec::new());
    let mut fronts: Vec<Vec<Front>> = (0..count).map(|_| Vec::new()).collect();
    for place in &all {
        let mut listener = tcp::Listener { tls: None, alt_svc: None };
        let mut shared = None;
        match &place.place {
            Place::Https { bound, .. } => {
                https_addrs.push(*bound);
                listener.tls.clone_from(&acceptor);
                listener.alt_svc = with_quic.then(|| alt_svc(bound.port()));
                shared = place.quic.clone().map(|shared| (*bound, shared));
                elders.extend(shared.iter().map(|(at, quic)| (*at, Arc::clone(quic.elders()))));
            }
            Place::Http { bound, .. } => http_addrs.push(*bound),
            Place::Unix { .. } => {}
        }
        for (id, of_worker) in fronts.iter_mut().enumerate() {
            let sockets = share(place, id, count).map_err(ServerError::Worker)?;
            of_worker.push(Front { sockets, listener: listener.clone(), quic: shared.clone() });
        }
    }

    let waits = inherited.as_ref().is_some_and(Inherited::waits);
    let (limits, latest) = watch::channel(builder.limits.clone());
    let (phase, phase_rx) = watch::channel(if waits { Phase::Paused } else { Phase::Running });
    if let Some(inherited) = inherited.filter(|_| waits) {
        let sockets = all.iter().flat_map(|place| &place.unix);
        let files = sockets.map(|(_, file)| Arc::clone(file)).collect();
        inherited.started(&builder.name, &phase, elders, sessions.clone(), files);
    }
    let (running, running_rx) = watch::channel(count);
    let running = Arc::new(running);
    let serving = Arc::new(watch::Sender::new(count));
    let drained = Arc::<DrainCount>::default();
    let make = Arc::new(make);
    let addresses = Addresses::default();
    let loops = Loops::new();
    let handshakes = Arc::<Unfinished>::default();
    let leaving = Arc::<AtomicBool>::default();
    let held = Held { name: builder.name.clone(), generation, keys, sessions, places: all };
    let mut handle = ServerHandle {
        https: https_addrs,
        http: http_addrs,
        metrics: builder.metrics.clone(),
        limits,
        phase,
        running: running_rx,
        drained: Arc::clone(&drained),
        loops: Arc::clone(&loops),
        held: Mutex::new(Some(Arc::new(held))),
        leaving: Arc::clone(&leaving),
        runtimes: Vec::with_capacity(count),
    };
    for (id, fronts) in fronts.into_iter().enumerate() {
        let worker = Arc::new(Worker {
            id: WorkerId(id),
            extended_connect: builder.extended_connect,
            limits: builder.limits.clone(),
            latest: latest.clone(),
            quic: quic.clone(),
            clock: builder.clock.clone(),
            fronts: builder.fronts.clone(),
            phase: phase_rx.clone(),
            counters: builder.metrics.worker(),
            open: builder.metrics.open_sockets(),
            handshakes: Arc::clone(&handshakes),
            addresses: addresses.clone(),
            drained: Arc::clone(&drained),
            loops: Arc::clone(&loops),
            leaving: Arc::clone(&leaving),
            #[cfg(feature = "acme")]
            challenges: challenges.clone(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ServerError::Worker)?;
        handle.runtimes.push(runtime.handle().clone());
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
                    runtime.spawn(tls.keep(worker.phase.clone()));
                }
                let make = || make(WorkerId(id));
                runtime.block_on(run(fronts, quic_server, worker, make, served));
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
    fronts: Vec<Front>,
    quic_server: Option<quic::Settings>,
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
    let service = Shared::new(make());
    let mut listeners = JoinSet::new();
    // Removed when the last worker is done.
    let mut files = Vec::new();
    for Front { sockets, listener, quic } in fronts {
        let Share { tcp, unix, udp } = sockets;
        let mut sockets = Vec::new();
        sockets.extend(
            tcp.into_iter()
                .map(|socket| tokio::net::TcpListener::from_std(socket).map(Listening::Tcp)),
        );
        for (socket, file) in unix {
            files.push(file);
            sockets.push(tokio::net::UnixListener::from_std(socket).map(Listening::Unix));
        }
        for socket in sockets {
            let (worker, service) = (Arc::clone(&worker), service.clone());
            match socket {
                Ok(socket) => {
                    listeners.spawn(tcp::run(socket, listener.clone(), worker, service));
                }
                Err(error) => tracing::error!(%error, "a listener cannot be served"),
            }
        }
        let (Some(OwnUdp { socket, is_own }), Some((addr, shared))) = (udp, quic) else { continue };
        let Some(settings) = &quic_server else { continue };
        match shared.endpoint(socket, is_own, settings, worker.id) {
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
    let within = worker.phase.borrow().drain().within;
    finish_within(connections, within, worker).await;
}

/// As [`finish`], with what is left of the time.
pub(super) async fn finish_within(
    connections: &mut JoinSet<()>,
    within: Duration,
    worker: &Worker,
) {
    let mut phase = worker.phase.clone();
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
