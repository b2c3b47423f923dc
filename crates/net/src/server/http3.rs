//! HTTP/3 (RFC 9114) over quinn: this accepts connections, [`connection`] serves them, [`framing`]
//! reads what clients send; bodies go straight from and to quinn.

mod body;
mod connection;
mod date;
mod early;
mod framing;
mod headers;
mod idle;
mod received;
mod request;
mod requests;
mod sender;
mod stream;
mod turns;
mod uni;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::OptionFuture;
use http::{Request, Response};
use quinn::VarInt;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower_service::Service;

use super::control::{Drain as Ending, Phase, stopped};
use super::metrics::Refused;
use super::quic::Endpoint;
use super::shared::Shared;
use super::tcp::canonical;
use super::unfinished::Unfinished;
use super::wire::Route;
use super::worker::{Worker, finish_within};
use crate::Body;
use connection::{Begins, connection};
use date::DateCache;
use framing::code::Code;
use requests::Start;

/// How long the last CONNECTION_CLOSE may take to leave.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Accepts on one endpoint until the server drains, then sees its connections to their end.
pub(super) async fn run<S>(
    endpoint: Endpoint,
    addr: SocketAddr,
    worker: Arc<Worker>,
    service: Shared<S>,
) where
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
        start: Start::new(),
        handshakes: Arc::default(),
        worker: Arc::clone(&worker),
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
    endpoint.quinn.close(var_int(Code::NoError), b"");
    let _ = tokio::time::timeout(LAST_WORDS, endpoint.quinn.wait_idle()).await;
}

/// What one endpoint's connections begin with.
struct Front<'a, S> {
    endpoint: &'a Endpoint,
    addr: SocketAddr,
    date: Arc<DateCache>,
    start: Start,
    handshakes: Arc<Unfinished>,
    worker: Arc<Worker>,
    service: Shared<S>,
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
        Worker::keep_up(&mut self.worker);
        let worker = &self.worker;
        let under_way = self.handshakes.count();
        let peer = canonical(incoming.remote_address());
        let route = Route { peer, local: self.addr, is_unix: false };
        let counted = worker.fronts.counted_itself(&route);
        if worker.open.load(Ordering::Relaxed) >= worker.limits.max_connections {
            worker.counters.refused(Refused::Connections);
            incoming.refuse();
        } else if counted
            .is_some_and(|ip| worker.addresses.is_full(ip, worker.limits.max_per_address))
        {
            // Whoever is really there. To who forged the address it is less than a Retry, and costs no more.
            worker.counters.refused(Refused::Address);
            incoming.refuse();
        } else if under_way >= worker.quic.retry_above && !incoming.remote_address_validated() {
            // An address that nobody answers from gets no further.
            let _ = incoming.retry();
            worker.counters.retry();
        } else if let Some(settings) = self.endpoint.settings(&worker.quic)
            && let Some(turn) = self.handshakes.begin(worker.quic.max_handshakes, Instant::now())
        {
            let (client, id) = (incoming.remote_address(), incoming.orig_dst_cid());
            let handshake = (turn, self.endpoint.shakes_hands(client, &id));
            let begins = Begins {
                addr: self.addr,
                worker: Arc::clone(worker),
                date: Arc::clone(&self.date),
                service: self.service.clone(),
                start: self.start.clone(),
                settings,
            };
            self.connections.spawn(connection(incoming, begins, handshake));
        } else {
            worker.counters.refused(Refused::Handshakes);
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

/// A code as quinn takes it.
const fn var_int(code: Code) -> VarInt {
    VarInt::from_u32(code.value())
}
