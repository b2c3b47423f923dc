//! One HTTP/3 connection, from its handshake to its end (RFC 9114 §3.3, §5).

use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::{Request, Response};
use quinn::WriteError;
use tokio::time::{Instant, timeout};
use tower_service::Service;

use super::LAST_WORDS;
use super::body::within;
use super::date::DateCache;
use super::early::{self, Arrived, UnderWay};
use super::framing::code::Code;
use super::framing::control::Said;
use super::framing::integer::put_var_int;
use super::idle::{Idle, Seen};
use super::requests::{Requests, Start};
use super::sender::Sender;
use super::stream::Incoming;
use super::turns::Turns;
use super::uni::{Arrivals, Ended};
use super::{request, var_int};
use crate::handshake::Handshake;
use crate::path::{KnowsPath, Path};
use crate::server::control::{DrainSignal, stopped, turned_away};
use crate::server::metrics::{self, Place, Refused};
use crate::server::pace::Pace;
use crate::server::quic::Begun;
use crate::server::shared::Shared;
use crate::server::tcp::canonical;
use crate::server::unfinished::Turn;
use crate::server::wire::Route;
use crate::server::worker::Worker;
use crate::{Body, ConnInfo, Protocol, Proxies};

/// Streams of one connection of HTTP/3 that may end without having brought a request; with one more,
/// the connection is closed (H3_EXCESSIVE_LOAD). Unit: streams. Default 500. Bound: not to be set.
/// Danger: none known: who cancels a request has brought it.
const WASTED_STREAMS: u32 = 500;
/// Bytes beyond `max_header_bytes` that the frames of a request of HTTP/3 may bring nothing with in a row
/// (empty DATA, unknown types), and that the encoded fields of one section may have; with more, the
/// request ends (H3_EXCESSIVE_LOAD). Unit: bytes. Default 16 KiB. Bound: not to be set. Danger: none known.
const FRAME_SLACK: usize = 16 << 10;
/// What separates the IDs of two requests' streams (RFC 9000 §2.1).
const NEXT: u64 = 4;
/// The ID of a request that no client comes to (RFC 9114 §5.2).
const NO_LIMIT: u64 = (1 << 62) - NEXT;

/// What the requests of one connection share.
pub(super) struct Conn {
    pub(super) info: ConnInfo,
    pub(super) worker: Arc<Worker>,
    pub(super) date: Arc<DateCache>,
    /// The proxies in front, where this connection is one's: its requests say whom they are for.
    pub(super) forwarded: Option<Arc<Proxies>>,
    quic: Arc<quinn::Connection>,
    /// Of a connection whose first request came before the handshake was done.
    pub(super) handshake: Option<Handshake>,
    wasted: AtomicU32,
}

impl Conn {
    /// Ends the connection for what its client did.
    pub(super) fn close(&self, code: Code) {
        self.quic.close(var_int(code), b"");
    }

    /// Notes that a stream ended without having brought a request.
    pub(super) fn wasted(&self) {
        let before = self.wasted.fetch_add(1, Ordering::Relaxed);
        if before == WASTED_STREAMS {
            self.worker.counters.ended(metrics::Ended::Flood);
        }
        if before >= WASTED_STREAMS {
            self.close(Code::ExcessiveLoad);
        }
    }
}

/// What a connection begins with.
pub(super) struct Begins<S> {
    pub(super) addr: SocketAddr,
    pub(super) worker: Arc<Worker>,
    pub(super) date: Arc<DateCache>,
    pub(super) service: Shared<S>,
    pub(super) start: Start,
    pub(super) settings: Arc<quinn::ServerConfig>,
}

/// Serves one connection to its end; `handshake` counts as under way until it is done.
pub(super) async fn connection<S>(
    incoming: quinn::Incoming,
    begins: Begins<S>,
    mut handshake: (Turn, Begun),
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    let Begins { addr, worker, date, service, start, settings } = begins;
    let mut phase = worker.phase.clone();
    let limits = &worker.limits;
    let failed = || worker.counters.handshake_failed(Protocol::H3);
    let Ok(connecting) = incoming.accept_with(settings) else { return failed() };
    let arriving = early::arrive(connecting, worker.quic.early_data);
    let Arrived { quic, early } = tokio::select! {
        done = tokio::time::timeout(limits.handshake_timeout, arriving) => match done {
            Ok(Ok(arrived)) => arrived,
            _ => return failed(),
        },
        () = turned_away(&mut phase) => return,
        () = handshake.0.gives_way() => return worker.counters.refused(Refused::Handshakes),
    };
    let (first, mut under_way) = if let Some((first, done)) = early {
        let patience = limits.handshake_timeout;
        (Some(first), Some(UnderWay::new(quic.clone(), done, handshake, patience)))
    } else {
        drop(handshake);
        (None, None)
    };
    let Some(_place) = Place::take(&worker.open, limits.max_connections) else {
        worker.counters.refused(Refused::Connections);
        quic.close(var_int(Code::ExcessiveLoad), b"");
        return;
    };
    let peer = canonical(quic.remote_address());
    let route = Route { peer, local: addr, is_unix: false };
    let counted = worker.fronts.counted_itself(&route);
    let _from = match counted.map(|ip| worker.addresses.take(ip, limits.max_per_address)) {
        Some(None) => {
            worker.counters.refused(Refused::Address);
            quic.close(var_int(Code::ExcessiveLoad), b"");
            return;
        }
        from => from,
    };
    let _open = worker.counters.open(Protocol::H3);
    // A client that allows no control stream makes this wait.
    let opening = pin!(Control::open(&quic, limits.max_header_bytes));
    let Ok(Ok(mut control)) = within(limits.handshake_timeout, opening).await else { return };

    let known = Arc::new(quic.clone());
    let info = info(&quic, peer, addr, &known);
    let conn = Arc::new(Conn {
        forwarded: worker.fronts.forward(&info, &route),
        info,
        worker: Arc::clone(&worker),
        date,
        quic: known,
        handshake: under_way.as_ref().map(UnderWay::handshake),
        wasted: AtomicU32::new(0),
    });
    let (said, turns) = (Arc::<Said>::default(), Arc::<Turns>::default());
    let pace = Pace::new(limits.min_rate, limits.write_timeout);
    let mut client = Arrivals::new(quic.clone(), Arc::clone(&said));
    let (mut first, mut accept) = (first, pin!(quic.accept_bi()));
    let mut requests = Requests::new(worker.quic.max_streams as usize, start);
    let mut drain_signal = DrainSignal::new(&worker.phase);
    let mut drain = Drain::No;
    let mut idle = Idle::new(limits.idle_timeout);
    let sent = || quic.stats().frame_tx.stream;
    let (mut patience, mut last_words) = (Duration::ZERO, Duration::ZERO);
    // The ID behind that of the last request's stream.
    let mut next = 0;
    // How many changes of urgencies were heeded.
    let mut heeded = 0;
    loop {
        let is_idle = requests.running.is_empty();
        tokio::select! {
            biased;
            () = control.cannot_say(limits.write_timeout), if control.has_to_say() => break,
            // RFC 9114 §5.2: first a GOAWAY that refuses nothing, then, when requests that were on
            // their way have arrived, one that names the last.
            ending = poll_fn(|cx| drain_signal.poll(cx)) => {
                // A client that has yet to ask might take it for a refusal.
                let asked = next > 0;
                if asked {
                    control.goaway(NO_LIMIT);
                }
                // Where nobody needs to hurry, a client that is slow to read the GOAWAY may be.
                patience = (ending.linger() / 4).max(grace(&quic));
                let grace = if asked { patience } else { ending.linger().max(patience) };
                // And the requests that it sends meanwhile are told that they were not taken.
                last_words = if ending.linger().is_zero() { Duration::ZERO } else { patience };
                drain = Drain::Grace(Box::pin(tokio::time::sleep(grace)));
            }
            () = drain.over(), if is_idle || matches!(drain, Drain::Grace(_)) => {
                if matches!(drain, Drain::Final(_)) {
                    break;
                }
                control.goaway(next);
                drain = Drain::Final(Box::pin(tokio::time::sleep(last_words)));
            }
            done = UnderWay::ended(under_way.as_mut()), if under_way.is_some() => {
                under_way = None;
                if !done {
                    failed();
                    quic.close(var_int(Code::NoError), b"");
                    break;
                }
            }
            () = requests.one_ended() => {}
            came = poll_fn(|cx| {
                if let Poll::Ready(ended) = client.poll(cx) {
                    return Poll::Ready(Err(ended));
                }
                if said.updates.came() != heeded {
                    heeded = said.updates.came();
                    return Poll::Ready(Ok(Came::Updates));
                }
                if let Some((send, recv)) = first.take() {
                    return Poll::Ready(Ok(Came::Request(send, recv)));
                }
                match accept.as_mut().poll(cx) {
                    Poll::Ready(Ok((send, recv))) => Poll::Ready(Ok(Came::Request(send, recv))),
                    Poll::Ready(Err(error)) => Poll::Ready(Err(Ended::Connection(error))),
                    Poll::Pending if is_idle && client.is_done() => Poll::Ready(Ok(Came::End)),
                    Poll::Pending => Poll::Pending,
                }
            }) => {
                let (send, recv) = match came {
                    Ok(Came::Request(send, recv)) => (send, recv),
                    Ok(Came::Updates) => {
                        requests.update();
                        continue;
                    }
                    Ok(Came::End) => {
                        control.goaway(next);
                        // Where there is room: nobody waits for it.
                        let _ = control.cannot_say(limits.write_timeout).now_or_never();
                        break;
                    }
                    Err(Ended::Violation(code)) => {
                        conn.close(code);
                        break;
                    }
                    Err(Ended::Connection(error)) => {
                        tracing::debug!(%error, "connection ended");
                        break;
                    }
                };
                accept.set(quic.accept_bi());
                let mut sender = Sender::new(send, Arc::clone(&said), Arc::clone(&turns), pace);
                let mut incoming =
                    Incoming::new(recv, limits.max_header_bytes as usize + FRAME_SLACK);
                if matches!(drain, Drain::Final(_)) {
                    sender.reset(Code::RequestRejected);
                    incoming.stop(Code::RequestRejected);
                    continue;
                }
                let is_first = next == 0;
                next = sender.id() + NEXT;
                let (conn, service) = (Arc::clone(&conn), service.clone());
                requests.begin(|room| request::serve(sender, incoming, conn, room, service));
                if is_first && matches!(drain, Drain::Grace(_)) {
                    control.goaway(NO_LIMIT);
                    drain = Drain::Grace(Box::pin(tokio::time::sleep(patience)));
                }
                // However many there are, other connections get their turn.
                tokio::task::coop::consume_budget().await;
            }
            () = idle.over(|| is_idle.then(|| Seen { next, sent: sent() })) => {
                if matches!(drain, Drain::No) {
                    worker.counters.ended(metrics::Ended::Idle);
                    // As at a drain: a request may be on its way.
                    control.goaway(NO_LIMIT);
                    last_words = grace(&quic);
                    drain = Drain::Grace(Box::pin(tokio::time::sleep(last_words)));
                }
            }
        }
    }
    if matches!(quic.close_reason(), Some(quinn::ConnectionError::TimedOut)) {
        worker.counters.ended(metrics::Ended::Idle);
    }
    if quic.close_reason().is_none() {
        // Requests end here only when the client said it is done or all have been answered. One that
        // acknowledges nothing is given up once there is nothing to send again.
        tokio::select! {
            () = requests.all_arrived() => {}
            () = idle.over(|| Some(Seen { next, sent: sent() })) => {}
            _ = quic.closed() => {}
            () = stopped(&mut phase) => {}
        }
    }
    requests.running.shutdown().await;
    quic.close(var_int(Code::NoError), b"");
}

/// What came from the client.
enum Came {
    Request(quinn::SendStream, quinn::RecvStream),
    /// Other urgencies of answers (RFC 9218 §7.2).
    Updates,
    /// It is done, and has all its answers.
    End,
}

/// What services are told of the connection.
fn info(
    quic: &quinn::Connection,
    peer: SocketAddr,
    addr: SocketAddr,
    known: &Arc<quinn::Connection>,
) -> ConnInfo {
    let local_ip = quic.local_ip().unwrap_or(addr.ip());
    let local = canonical(SocketAddr::new(local_ip, addr.port()));
    let mut info = ConnInfo::new(peer, local, Protocol::H3);
    info.tls = true;
    info.sni = server_name(quic);
    info.client = client_certificate(quic);
    info.path = Some(Arc::downgrade(known) as Weak<dyn KnowsPath>);
    info
}

/// Our control stream (RFC 9114 §6.2.1). QPACK's are not opened: without a dynamic table there is
/// nothing to say on them (RFC 9204 §4.2).
struct Control {
    stream: quinn::SendStream,
    /// What the client has no room for yet: a few GOAWAYs at most.
    unsent: Vec<u8>,
    /// Since when it has taken nothing of that.
    since: Option<Instant>,
}

const CONTROL: u64 = 0x0;
const SETTINGS: u64 = 0x4;
const GOAWAY: u64 = 0x7;
const QPACK_MAX_TABLE_CAPACITY: u64 = 0x1;
const MAX_FIELD_SECTION_SIZE: u64 = 0x6;
const QPACK_BLOCKED_STREAMS: u64 = 0x7;

impl Control {
    /// Opens it, with our settings.
    async fn open(quic: &quinn::Connection, header_bytes: u32) -> Result<Self, WriteError> {
        let mut settings = Vec::new();
        for (id, value) in [
            (QPACK_MAX_TABLE_CAPACITY, 0),
            (QPACK_BLOCKED_STREAMS, 0),
            (MAX_FIELD_SECTION_SIZE, u64::from(header_bytes)),
        ] {
            put_var_int(&mut settings, id);
            put_var_int(&mut settings, value);
        }
        let mut bytes = Vec::new();
        put_var_int(&mut bytes, CONTROL);
        put_frame(&mut bytes, SETTINGS, &settings);
        let mut stream = quic.open_uni().await.map_err(WriteError::ConnectionLost)?;
        stream.write_all(&bytes).await?;
        Ok(Self { stream, unsent: Vec::new(), since: None })
    }

    /// Says that requests from this ID on are not taken (RFC 9114 §5.2), once the client has room for
    /// that: see [`Control::cannot_say`].
    fn goaway(&mut self, id: u64) {
        let mut payload = Vec::new();
        put_var_int(&mut payload, id);
        put_frame(&mut self.unsent, GOAWAY, &payload);
    }

    fn has_to_say(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Says what there is to say, while the rest of the connection goes on. Ends only when it cannot be
    /// said: to a client that grants no room for any of it within `patience`, or has closed this stream,
    /// and with it the connection (RFC 9114 §6.2.1). Cancel safe.
    async fn cannot_say(&mut self, patience: Duration) {
        while self.has_to_say() {
            let waited = self.since.get_or_insert_with(Instant::now).elapsed();
            let left = patience.saturating_sub(waited);
            let Ok(Ok(written)) = timeout(left, self.stream.write(&self.unsent)).await else {
                return;
            };
            self.unsent.drain(..written);
            self.since = None;
        }
        std::future::pending::<()>().await;
    }
}

fn put_frame(out: &mut Vec<u8>, kind: u64, payload: &[u8]) {
    put_var_int(out, kind);
    put_var_int(out, payload.len() as u64);
    out.extend_from_slice(payload);
}

/// How long requests that were sent before a GOAWAY was read may take to arrive.
fn grace(quic: &quinn::Connection) -> Duration {
    (quic.rtt() * 2).clamp(Duration::from_millis(5), LAST_WORDS)
}

/// How far a connection's drain has come.
enum Drain {
    No,
    /// Until requests that were on their way have arrived.
    Grace(std::pin::Pin<Box<tokio::time::Sleep>>),
    /// No more are taken; the connection lasts as long as it has some, and until this.
    Final(std::pin::Pin<Box<tokio::time::Sleep>>),
}

impl Drain {
    async fn over(&mut self) {
        match self {
            Self::Grace(sleep) | Self::Final(sleep) => sleep.as_mut().await,
            Self::No => std::future::pending().await,
        }
    }
}

impl KnowsPath for quinn::Connection {
    fn path(&self) -> Option<Path> {
        let path = self.stats().path;
        Some(Path { rtt: path.rtt, window: path.cwnd })
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
