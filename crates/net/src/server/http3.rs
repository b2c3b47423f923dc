//! HTTP/3 (RFC 9114): connections accepted from a quinn endpoint, requests by h3, bodies straight
//! from and to quinn.

mod body;
mod date;
mod early;
mod headers;
mod request;

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::OptionFuture;
use h3::error::Code;
use http::{Request, Response};
use quinn::VarInt;
use tokio::task::JoinSet;
use tokio_util::sync::ReusableBoxFuture;
use tower_service::Service;

use super::control::{Drain as Ending, DrainSignal, Phase, stopped, turned_away};
use super::metrics::Place;
use super::quic::{Begun, Endpoint};
use super::quic_stream::{Sender, Shared, Transport};
use super::tcp::canonical;
use super::worker::{Worker, finish_within};
use crate::handshake::Handshake;
use crate::path::{KnowsPath, Path};
use crate::{Body, ConnInfo, Protocol};
use date::DateCache;
use early::{Arrived, UnderWay};

/// H3_NO_ERROR (RFC 9114 §8.1).
const NO_ERROR: VarInt = VarInt::from_u32(0x100);
/// H3_EXCESSIVE_LOAD.
const EXCESSIVE_LOAD: VarInt = VarInt::from_u32(0x107);
/// Handshakes under way on one worker and address.
const HANDSHAKES: usize = 1024;
/// Streams of one connection that may end without having brought a request: h3 remembers each.
const WASTED_STREAMS: u32 = 500;
/// Bytes that may wait for a frame to become complete, beyond the header limit.
const FRAME_SLACK: usize = 16 << 10;
/// How long the last CONNECTION_CLOSE may take to leave.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Accepts on one endpoint until the server drains, then sees its connections to their end.
pub(super) async fn run<S>(endpoint: Endpoint, addr: SocketAddr, worker: Arc<Worker>, service: S)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    let endpoint = Arc::new(endpoint);
    let mut front = Front {
        endpoint: &endpoint,
        addr,
        date: Arc::new(DateCache::new(worker.clock.clone())),
        handshakes: Arc::default(),
        worker: &worker,
        service,
        connections: JoinSet::new(),
    };
    let mut accepting = worker.loops.begin(&worker.phase);
    // Ends with the process that takes over, or with this function.
    let mut passed = JoinSet::new();
    let mut reads = None;
    // When no handshake of an older process can be under way any more.
    let mut forget = pin!(OptionFuture::from(None));
    loop {
        let phase = accepting.look();
        if phase.is_ending() {
            break;
        }
        let read = phase == Phase::Running;
        if reads != Some(read) {
            reads = Some(read);
            endpoint.read(read);
            if read {
                let limit = worker.limits.handshake_timeout;
                forget.set(OptionFuture::from(Some(tokio::time::sleep(limit))));
            } else {
                // What was read already is this process's.
                while let Some(Some(incoming)) = endpoint.quinn.accept().now_or_never() {
                    front.begin(incoming);
                }
                let endpoint = Arc::clone(&endpoint);
                passed.spawn(async move { endpoint.receive().await });
            }
        }
        accepting.settled_in(phase);
        tokio::select! {
            incoming = endpoint.quinn.accept() => {
                let Some(incoming) = incoming else { break };
                front.begin(incoming);
            }
            Some(_) = front.connections.join_next() => {}
            Some(()) = &mut forget => {
                endpoint.forget_handshakes();
                forget.set(OptionFuture::from(None));
            }
            () = accepting.changed() => {}
        }
    }
    drop(accepting);
    let ending = worker.phase.borrow().drain();
    let rest = front.linger(ending).await;
    endpoint.quinn.set_server_config(None);
    finish_within(&mut front.connections, rest, &worker).await;
    endpoint.quinn.close(NO_ERROR, b"");
    let _ = tokio::time::timeout(LAST_WORDS, endpoint.quinn.wait_idle()).await;
}

/// What one endpoint's connections begin with.
struct Front<'a, S> {
    endpoint: &'a Endpoint,
    addr: SocketAddr,
    date: Arc<DateCache>,
    handshakes: Arc<AtomicUsize>,
    worker: &'a Arc<Worker>,
    service: S,
    connections: JoinSet<()>,
}

impl<S> Front<'_, S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    fn begin(&mut self, incoming: quinn::Incoming) {
        let worker = self.worker;
        let under_way = self.handshakes.load(Ordering::Relaxed);
        if worker.open.load(Ordering::Relaxed) >= worker.limits.max_connections {
            worker.counters.refused();
            incoming.refuse();
        } else if under_way >= worker.quic.retry_above && !incoming.remote_address_validated() {
            // An address that nobody answers from gets no further.
            let _ = incoming.retry();
        } else if let Some(place) = Place::take(&self.handshakes, HANDSHAKES) {
            let (client, id) = (incoming.remote_address(), incoming.orig_dst_cid());
            let handshake = (place, self.endpoint.shakes_hands(client, &id));
            let (worker, date) = (Arc::clone(worker), Arc::clone(&self.date));
            let service = self.service.clone();
            self.connections
                .spawn(connection(incoming, self.addr, worker, date, service, handshake));
        } else {
            worker.counters.refused();
            incoming.refuse();
        }
    }

    /// Accepts what another process passes on after it took over: handshakes that were asked to
    /// come again (Retry). Gives the time that is left.
    async fn linger(&mut self, ending: Ending) -> Duration {
        let mut phase = self.worker.phase.clone();
        let time = ending.linger();
        if time.is_zero() {
            return ending.within;
        }
        let accept = async {
            loop {
                tokio::select! {
                    incoming = self.endpoint.quinn.accept() => match incoming {
                        Some(incoming) => self.begin(incoming),
                        None => return,
                    },
                    Some(_) = self.connections.join_next() => {}
                }
            }
        };
        tokio::select! {
            () = accept => {}
            () = tokio::time::sleep(time) => {}
            () = stopped(&mut phase) => {}
        }
        ending.within.saturating_sub(time)
    }
}

/// What the requests of one connection share.
struct Conn {
    info: ConnInfo,
    worker: Arc<Worker>,
    date: Arc<DateCache>,
    quic: Arc<quinn::Connection>,
    /// Of a connection whose first request came before the handshake was done.
    handshake: Option<Handshake>,
    wasted: AtomicU32,
}

impl Conn {
    /// Ends the connection for what its client did.
    fn close(&self, code: Code) {
        self.quic.close(VarInt::from_u64(code.value()).unwrap_or(VarInt::MAX), b"");
    }

    /// Ends the connection where its client sent a frame on a request's stream that has no place
    /// there (RFC 9218 §7.2), or half of one (RFC 9114 §7.1): before the service hears of it, whose
    /// answer might otherwise overtake the end.
    fn close_for_frames(&self, stream: &Shared) {
        if stream.has_misplaced() {
            self.close(Code::H3_FRAME_UNEXPECTED);
        } else if stream.is_truncated() {
            self.close(Code::H3_FRAME_ERROR);
        }
    }

    /// Notes that a stream ended without having brought a request.
    fn wasted(&self) {
        if self.wasted.fetch_add(1, Ordering::Relaxed) >= WASTED_STREAMS {
            self.close(Code::H3_EXCESSIVE_LOAD);
        }
    }
}

async fn connection<S>(
    incoming: quinn::Incoming,
    addr: SocketAddr,
    worker: Arc<Worker>,
    date: Arc<DateCache>,
    service: S,
    handshake: (Place, Begun),
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    let mut phase = worker.phase.clone();
    let limits = &worker.limits;
    let failed = || worker.counters.handshake_failed(Protocol::H3);
    let Ok(connecting) = incoming.accept() else { return failed() };
    let arriving = early::arrive(connecting, worker.quic.early_data);
    let Arrived { quic, early } = tokio::select! {
        done = tokio::time::timeout(limits.handshake_timeout, arriving) => match done {
            Ok(Ok(arrived)) => arrived,
            _ => return failed(),
        },
        () = turned_away(&mut phase) => return,
    };
    let (first, mut under_way) = if let Some((first, done)) = early {
        let patience = limits.handshake_timeout;
        (Some(first), Some(UnderWay::new(quic.clone(), done, handshake, patience)))
    } else {
        drop(handshake);
        (None, None)
    };
    let Some(_place) = Place::take(&worker.open, limits.max_connections) else {
        worker.counters.refused();
        quic.close(EXCESSIVE_LOAD, b"");
        return;
    };
    let peer = canonical(quic.remote_address());
    let Some(_from) = worker.addresses.take(peer.ip(), limits.max_per_address) else {
        worker.counters.refused();
        quic.close(EXCESSIVE_LOAD, b"");
        return;
    };
    let _open = worker.counters.open(Protocol::H3);
    let local_ip = quic.local_ip().unwrap_or(addr.ip());
    let mut info =
        ConnInfo::new(peer, canonical(SocketAddr::new(local_ip, addr.port())), Protocol::H3);
    info.tls = true;
    info.sni = server_name(&quic);
    info.client = client_certificate(&quic);
    let known = Arc::new(quic.clone());
    info.path = Some(Arc::downgrade(&known) as Weak<dyn KnowsPath>);

    let header_bytes = limits.max_header_bytes;
    let transport = Transport::new(quic.clone(), first, header_bytes as usize + FRAME_SLACK);
    let latest = transport.latest();
    let mut builder = h3::server::builder();
    builder.send_grease(false).max_field_section_size(u64::from(header_bytes));
    // A client that allows no control stream makes this wait.
    let built = tokio::time::timeout(
        limits.handshake_timeout,
        builder.build::<Transport, Bytes>(transport),
    );
    let Ok(Ok(mut h3)) = built.await else { return };

    let conn = Arc::new(Conn {
        info,
        worker: Arc::clone(&worker),
        date,
        quic: known,
        handshake: under_way.as_ref().map(UnderWay::handshake),
        wasted: AtomicU32::new(0),
    });
    let mut requests = Requests::new(worker.quic.max_streams as usize);
    let mut drain_signal = DrainSignal::new(&worker.phase);
    let mut drain = Drain::No;
    let mut patience = Duration::ZERO;
    let mut asked = false;
    loop {
        tokio::select! {
            biased;
            // RFC 9114 §5.2: first a GOAWAY that refuses nothing, then, when requests that were on
            // their way have arrived, one that names the last.
            ending = poll_fn(|cx| drain_signal.poll(cx)) => {
                // Before the first request h3 would name that one, and take it none the less.
                if asked && h3.shutdown(1 << 40).await.is_err() {
                    break;
                }
                // Where nobody needs to hurry, a client that is slow to read the GOAWAY may be.
                patience = (ending.linger() / 4).max(grace(&quic));
                let grace = if asked { patience } else { ending.linger().max(patience) };
                drain = Drain::Grace(Box::pin(tokio::time::sleep(grace)));
            }
            () = drain.grace_over(), if matches!(drain, Drain::Grace(_)) => {
                if h3.shutdown(1).await.is_err() {
                    break;
                }
                drain = Drain::Final;
            }
            done = UnderWay::ended(under_way.as_mut()), if under_way.is_some() => {
                under_way = None;
                if !done {
                    failed();
                    quic.close(NO_ERROR, b"");
                    break;
                }
            }
            () = requests.one_ended() => {}
            accepted = h3.accept() => match accepted {
                Ok(Some(resolver)) => {
                    let Some(shared) = latest.take() else { continue };
                    let is_first = !std::mem::replace(&mut asked, true);
                    if matches!(drain, Drain::Final) {
                        // h3 lets the one through that the GOAWAY names, and its client asks again
                        // elsewhere.
                        if let Some(mut sender) = shared.take() {
                            sender.reset(Code::H3_REQUEST_REJECTED);
                        }
                        continue;
                    }
                    let (conn, service) = (Arc::clone(&conn), service.clone());
                    requests.begin(request::serve(resolver, shared, conn, service));
                    if is_first && matches!(drain, Drain::Grace(_)) {
                        if h3.shutdown(1 << 40).await.is_err() {
                            break;
                        }
                        drain = Drain::Grace(Box::pin(tokio::time::sleep(patience)));
                    }
                    // However many there are, other connections get their turn.
                    tokio::task::coop::consume_budget().await;
                }
                // The client is done, or gone.
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, "connection ended");
                    break;
                }
            },
        }
        if matches!(drain, Drain::Final) && requests.running.is_empty() {
            break;
        }
    }
    if quic.close_reason().is_none() {
        // Requests end here only when the client said it is done or all have been answered.
        tokio::select! {
            () = requests.all_arrived() => {}
            _ = quic.closed() => {}
            () = stopped(&mut phase) => {}
        }
    }
    requests.running.shutdown().await;
    // Dropping h3 closes the connection with H3_NO_ERROR.
}

/// How long requests that were sent before a GOAWAY was read may take to arrive.
fn grace(quic: &quinn::Connection) -> Duration {
    (quic.rtt() * 2).clamp(Duration::from_millis(5), LAST_WORDS)
}

/// How a request ended: with the sending side of its stream when all was sent, or a panic.
type Ended = std::thread::Result<Option<Sender>>;

/// The requests of a connection.
struct Requests {
    running: JoinSet<Ended>,
    /// Where each request begins. Most are answered at once, from memory, and need no task.
    start: ReusableBoxFuture<'static, Ended>,
    sent: Unacknowledged,
}

impl Requests {
    fn new(max_streams: usize) -> Self {
        Self {
            running: JoinSet::new(),
            start: ReusableBoxFuture::new(std::future::pending()),
            sent: Unacknowledged::new(max_streams),
        }
    }

    /// Runs the request as far as it gets without waiting, and what is left of it as a task.
    fn begin(&mut self, request: impl Future<Output = Option<Sender>> + Send + 'static) {
        self.start.set(AssertUnwindSafe(request).catch_unwind());
        // No waker: a task polls the request again at once.
        match self.start.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(ended) => self.sent.push(ended),
            Poll::Pending => {
                let next = ReusableBoxFuture::new(std::future::pending());
                self.running.spawn(std::mem::replace(&mut self.start, next));
            }
        }
    }

    /// Waits until a running request has ended, forever when there is none.
    async fn one_ended(&mut self) {
        match self.running.join_next().await {
            Some(Ok(ended)) => self.sent.push(ended),
            Some(Err(_)) => {}
            None => std::future::pending().await,
        }
    }

    /// Waits until all have ended and the client has all of their answers.
    async fn all_arrived(&mut self) {
        while !self.running.is_empty() {
            self.one_ended().await;
        }
        self.sent.all_acknowledged().await;
    }
}

/// How far a connection's drain has come.
enum Drain {
    No,
    Grace(std::pin::Pin<Box<tokio::time::Sleep>>),
    Final,
}

impl Drain {
    async fn grace_over(&mut self) {
        match self {
            Self::Grace(sleep) => sleep.as_mut().await,
            _ => std::future::pending().await,
        }
    }
}

/// Finished streams whose data may still be on its way. Closing a QUIC connection drops what is
/// unacknowledged, so a drain waits for these.
///
/// A stream counts against the client's limit until all of it is acknowledged: the last `limit`
/// streams are all there can be.
struct Unacknowledged {
    streams: std::collections::VecDeque<Sender>,
    limit: usize,
}

impl Unacknowledged {
    fn new(limit: usize) -> Self {
        Self { streams: std::collections::VecDeque::new(), limit: limit.max(1) }
    }

    fn push(&mut self, ended: Ended) {
        let Ok(Some(sender)) = ended else { return };
        if self.streams.len() >= self.limit {
            self.streams.pop_front();
        }
        self.streams.push_back(sender);
    }

    async fn all_acknowledged(&mut self) {
        while let Some(sender) = self.streams.pop_front() {
            sender.stopped().await;
        }
    }
}

impl KnowsPath for quinn::Connection {
    fn path(&self) -> Path {
        let path = self.stats().path;
        Path { rtt: path.rtt, window: path.cwnd }
    }
}

/// The certificate the client showed.
fn client_certificate(quic: &quinn::Connection) -> Option<Arc<[u8]>> {
    let chain = quic.peer_identity()?.downcast::<Vec<rustls::pki_types::CertificateDer<'_>>>();
    chain.ok()?.first().map(|certificate| Arc::from(certificate.as_ref()))
}

fn server_name(quic: &quinn::Connection) -> Option<Arc<str>> {
    let data = quic.handshake_data()?.downcast::<quinn::crypto::rustls::HandshakeData>().ok()?;
    data.server_name.map(Arc::from)
}
