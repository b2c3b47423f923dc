//! Connections over TCP and Unix sockets: HTTP/1.1 and HTTP/2 by hyper, in the clear or over TLS.

use std::convert::Infallible;
use std::error::Error as _;
use std::future::{Future, Ready, poll_fn, ready};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::Either;
use http::header::{ALT_SVC, CONNECTION, EXPECT};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Sleep;
use tower_service::Service;

use super::control::{Activity, Busy, DrainSignal, IdleCheck, Over, Phase};
use super::gather::Gather;
use super::limited::{Limited, has_too_many, too_large, too_many};
use super::malformed::{has_odd_coding, odd_coding, odd_length, one_length};
use super::metrics::{Counters, Ended, Refused};
use super::proxy_protocol;
use super::received::Received;
use super::respond::{Outgoing, is_head, settle};
use super::shared::{Called, Shared};
use super::tls::Acceptors;
use super::unfinished::Turn;
use super::watched::Watched;
use super::wire::{Listening, Socket, Wire};
use super::worker::{Worker, finish};
use crate::interim::Line;
use crate::{Body, ConnInfo, Protocol, Proxies, UnderWay};

/// Streams of one connection of HTTP/2 that its client may make the server reset by errors in its frames; one
/// more ends the connection (CVE-2025-8671).
const STREAM_ERRORS: usize = 1000;

/// Plaintext that rustls holds for a connection whose socket is full.
const TLS_BUFFER: usize = 64 << 10;

/// What a listener adds to its connections.
#[derive(Clone)]
pub(super) struct Listener {
    pub(super) tls: Option<Acceptors>,
    pub(super) alt_svc: Option<HeaderValue>,
}

/// Accepts on one listener until the server drains, then sees its connections to their end.
pub(super) async fn run<S>(
    socket: Listening,
    listener: Listener,
    worker: Arc<Worker>,
    service: Shared<S>,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    let (mut worker, mut connections) = (worker, JoinSet::new());
    let mut accepting = worker.loops.begin(&worker.phase);
    loop {
        let phase = accepting.look();
        if phase.is_ending() {
            break;
        }
        accepting.settled_in(phase);
        tokio::select! {
            accepted = socket.accept(), if phase == Phase::Running => match accepted {
                Ok(accepted) => match Worker::admit(&mut worker) {
                    Ok(place) => {
                        let conn = connection(
                            accepted, listener.clone(), Arc::clone(&worker), service.clone(), place,
                        );
                        connections.spawn(conn);
                    }
                    Err(why) => worker.counters.refused(why),
                },
                Err(error) => {
                    // Out of files or memory, or a client gone before it was accepted.
                    tracing::warn!(%error, "cannot accept a connection");
                    if !is_clients_fault(&error) {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            },
            Some(_) = connections.join_next() => {}
            () = accepting.changed() => {}
        }
    }
    drop(accepting);
    drop(socket);
    finish(&mut connections, &worker).await;
}

fn is_clients_fault(error: &io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn connection<S>(
    mut socket: Socket,
    listener: Listener,
    worker: Arc<Worker>,
    service: Shared<S>,
    mut handshake: Turn,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    let Some(route) = socket.route() else { return };
    let mut info = ConnInfo::new(route.peer, route.local, Protocol::H1);
    let mut phase = worker.phase.clone();
    if worker.fronts.speak_proxy_protocol(&route) {
        match early(&worker, &mut phase, &mut handshake, proxy_protocol::read(&mut socket)).await {
            Some(Ok(None)) => {}
            Some(Ok(Some(ends))) => (info.peer, info.local) = (ends.client, ends.server),
            Some(Err(())) => return worker.counters.handshake_failed(Protocol::H1),
            None => return,
        }
    }
    let counted = worker.fronts.counted(&info, &route);
    let max = worker.limits.max_per_address;
    let _from = match counted.map(|ip| worker.addresses.take(ip, max)) {
        Some(None) => return worker.counters.refused(Refused::Address),
        from => from,
    };
    let forwarded = worker.fronts.forward(&info, &route);
    let activity = Activity::under(&worker.limits);
    let mut wire = Wire::new(socket, Arc::clone(&activity));
    info.path = wire.path();
    match listener.tls {
        None => {
            let speaks = early(&worker, &mut phase, &mut handshake, wire.speaks_http2());
            let Some(Ok(http2)) = speaks.await else { return };
            if http2 {
                info.protocol = Protocol::H2;
            }
            let Some(_place) = worker.settle(handshake) else { return };
            let about = About { info, alt_svc: None, forwarded };
            serve(wire, about, &worker, activity, service).await;
        }
        Some(acceptors) => {
            let Some(acceptor) = acceptors.get() else {
                return worker.counters.handshake_failed(Protocol::H1);
            };
            let shakes = acceptor.accept_with(wire, |tls| tls.set_buffer_limit(Some(TLS_BUFFER)));
            // Boxed: none of it stays with the connection.
            let shakes = Box::pin(shakes);
            match early(&worker, &mut phase, &mut handshake, shakes).await {
                Some(Ok(stream)) => {
                    let session = stream.get_ref().1;
                    // RFC 8737 §4: an authority has seen what it wanted by now.
                    #[cfg(feature = "acme")]
                    if session.alpn_protocol() == Some(super::acme::challenges::ACME_TLS) {
                        return;
                    }
                    let Some(_place) = worker.settle(handshake) else { return };
                    info.tls = true;
                    info.sni = session.server_name().map(Arc::from);
                    let shown = session.peer_certificates().and_then(<[_]>::first);
                    info.client = shown.map(|certificate| Arc::from(certificate.as_ref()));
                    if session.alpn_protocol() == Some(b"h2") {
                        info.protocol = Protocol::H2;
                    }
                    let about = About { info, alt_svc: listener.alt_svc, forwarded };
                    serve(stream, about, &worker, activity, service).await;
                }
                Some(Err(())) => worker.counters.handshake_failed(Protocol::H1),
                None => {}
            }
        }
    }
}

/// What is known of a connection before its first request.
struct About {
    info: ConnInfo,
    alt_svc: Option<HeaderValue>,
    /// The proxies in front, where this connection is one's: its requests say whom they are for.
    forwarded: Option<Arc<Proxies>>,
}

/// What comes before the first request: `None` when a drain began meanwhile, for a client that has
/// not even shaken hands has no request to lose; but where nobody needs to hurry, it goes on. `None`,
/// too, when it had to give way to another.
async fn early<T>(
    worker: &Worker,
    phase: &mut watch::Receiver<Phase>,
    handshake: &mut Turn,
    opening: impl Future<Output = io::Result<T>>,
) -> Option<Result<T, ()>> {
    tokio::select! {
        biased;
        done = tokio::time::timeout(worker.limits.handshake_timeout, opening) => {
            Some(done.map_err(|_| ()).and_then(|done| done.map_err(|_| ())))
        }
        () = super::control::turned_away(phase) => None,
        () = handshake.gives_way() => { worker.counters.refused(Refused::Handshakes); None }
    }
}

/// What serves a connection to its end. Boxed, and the connection in it: one that is idle takes what it
/// needs, where a future of futures has room for each step that it was moved by.
fn serve<I, S>(
    stream: I,
    about: About,
    worker: &Arc<Worker>,
    activity: Arc<Activity>,
    service: Shared<S>,
) -> Pin<Box<dyn Future<Output = ()> + Send>>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    let limits = &worker.limits;
    let drain = DrainSignal::new(&worker.phase);
    let idle = IdleCheck::new(Arc::clone(&activity), limits);
    let protocol = about.info.protocol;
    let open = worker.counters.open(protocol);
    let line = (protocol == Protocol::H1).then(Arc::<Line>::default);
    let watch = line.clone().map(|line| (Arc::clone(&activity), line));
    let conn = Conn { about, activity, line, worker: Arc::clone(worker) };
    let service = HyperService { service, conn: Arc::new(conn) };
    let counters = Arc::clone(&worker.counters);
    let Some((activity, line)) = watch else {
        let gather = Gather::new(stream);
        let io = TokioIo::new(gather.clone());
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        let window = limits.h2_receive_window.clamp(256 << 10, 1 << 30);
        if worker.extended_connect {
            http2.enable_connect_protocol();
        }
        let conn = http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.h2_max_streams)
            .max_header_list_size(limits.max_header_bytes)
            .max_send_buf_size(limits.h2_send_buffer)
            .max_pending_accept_reset_streams(limits.h2_pending_resets.max(1))
            .max_local_error_reset_streams(STREAM_ERRORS)
            .initial_stream_window_size(window / 4)
            .initial_connection_window_size(window)
            .serve_connection(io, service);
        let send = move |cx: &mut Context<'_>| gather.poll_send(cx);
        let driven = drive(Box::pin(conn), send, drain, idle, false, counters);
        return Box::pin(async move {
            driven.await;
            drop(open);
        });
    };
    let (watched, left) = Watched::new(stream, activity, line);
    let io = TokioIo::new(watched);
    let conn = http1::Builder::new()
        .header_read_timeout(None)
        .max_headers(limits.max_headers)
        .max_header_size(limits.max_header_bytes as usize)
        .serve_connection(io, service)
        .with_upgrades();
    let send = |_: &mut Context<'_>| Poll::Ready(Ok(()));
    let driven = drive(Box::pin(conn), send, drain, idle, true, counters);
    Box::pin(async move {
        driven.await;
        // After an upgrade the stream is somebody's who speaks another protocol, and a connection still.
        left.await;
        drop(open);
    })
}

/// An IPv4 client of a socket that takes both families is an IPv4 client.
pub(super) fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// Runs one connection; on a drain and on idleness it is asked to end, and one more idle check
/// later it is dropped. One that is stalled is dropped at once. After each poll, `send` sends what
/// the connection wrote.
///
/// One that `lingers` is asked some time after a drain began, where that has time for it: HTTP/1.1
/// closes an idle connection without a word, and a request may be on its way. What is answered
/// meanwhile says `Connection: close`. Headers that have begun to come by then are waited for, as
/// long as they may take.
async fn drive<C>(
    mut conn: Pin<Box<C>>,
    mut send: impl FnMut(&mut Context<'_>) -> Poll<io::Result<()>>,
    mut drain: DrainSignal,
    mut idle: IdleCheck,
    lingers: bool,
    counters: Arc<Counters>,
) where
    C: Future<Output = hyper::Result<()>> + Graceful,
{
    let mut ending = false;
    let mut due = false;
    let mut linger: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|cx| {
        let polled = conn.as_mut().poll(cx);
        let broken = matches!(send(cx), Poll::Ready(Err(_)));
        idle.flushed();
        if let Poll::Ready(done) = polled {
            if let Err(error) = done {
                tracing::debug!(%error, "connection ended");
                if is_flood(&error) {
                    counters.ended(Ended::Flood);
                }
            }
            return Poll::Ready(());
        }
        if broken {
            return Poll::Ready(());
        }
        if let Poll::Ready(drain) = drain.poll(cx) {
            let time = if lingers { drain.linger() } else { Duration::ZERO };
            due = time.is_zero();
            linger = (!due).then(|| Box::pin(tokio::time::sleep(time)));
        }
        if linger.as_mut().is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready()) {
            linger = None;
            due = true;
        }
        let mut ask = due && !idle.has_begun_a_request();
        match idle.poll(cx) {
            Poll::Ready(Over::Stalled) => {
                tracing::debug!("connection cut: its client does not read");
                counters.ended(Ended::Stalled);
                return Poll::Ready(());
            }
            Poll::Ready(Over::Idle) if ending => return Poll::Ready(()),
            Poll::Ready(Over::Idle) => {
                counters.ended(Ended::Idle);
                ask = true;
            }
            Poll::Pending => {}
        }
        if ask && !ending {
            ending = true;
            conn.as_mut().graceful_shutdown();
            let polled = conn.as_mut().poll(cx).map(drop);
            let _ = send(cx);
            return polled;
        }
        Poll::Pending
    })
    .await;
}

/// Whether a connection of HTTP/2 was ended for what its client did to it (RFC 9113 §7).
fn is_flood(error: &hyper::Error) -> bool {
    let of_h2 = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    of_h2.is_some_and(|error| {
        error.is_library() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM)
    })
}

/// A hyper connection that can be told to end after the requests it has.
trait Graceful {
    fn graceful_shutdown(self: Pin<&mut Self>);
}

macro_rules! graceful {
    ($conn:ty where $($bounds:tt)*) => {
        impl<I, S, $($bounds)*> Graceful for $conn
        where
            S: hyper::service::Service<Request<Incoming>, Response = Response<Outgoing>, Error = Infallible>,
            S::Future: Send + 'static,
            I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
        {
            fn graceful_shutdown(self: Pin<&mut Self>) {
                Self::graceful_shutdown(self);
            }
        }
    };
}
graceful!(http1::UpgradeableConnection<I, S> where);
graceful!(http2::Connection<I, S, TokioExecutor> where);

/// What the requests of one connection share.
struct Conn {
    about: About,
    activity: Arc<Activity>,
    /// For interim responses; HTTP/1.1 only.
    line: Option<Arc<Line>>,
    worker: Arc<Worker>,
}

impl Conn {
    /// What an authority asks to be shown over plain HTTP, if this is such a request.
    #[cfg(feature = "acme")]
    fn shown(&self, request: &Request<Body>) -> Option<Response<Body>> {
        if self.about.info.tls {
            return None;
        }
        self.worker.challenges.iter().find_map(|all| all.answer(request))
    }

    #[cfg(not(feature = "acme"))]
    #[expect(clippy::unused_self, reason = "the one with ACME needs it")]
    fn shown(&self, _: &Request<Body>) -> Option<Response<Body>> {
        None
    }
}

/// The service's future, or what is answered in its place.
type MaybeCalled<S> = Either<Ready<Result<Response<Body>, Infallible>>, Called<S, Request<Body>>>;

/// Over HTTP/1.1: tells the client to come back on another connection, where this server is ending or
/// the rest of the request will not be read.
fn say_close(response: &mut Response<Body>, conn: &Conn) {
    let ends = conn.worker.leaving.load(Ordering::Relaxed) || conn.activity.is_last();
    if ends && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// A tower service as hyper calls it.
#[derive(Clone)]
struct HyperService<S> {
    service: Shared<S>,
    conn: Arc<Conn>,
}

impl<S> hyper::service::Service<Request<Incoming>> for HyperService<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    type Response = Response<Outgoing>;
    type Error = Infallible;
    type Future = Answer<MaybeCalled<S>>;

    fn call(&self, request: Request<Incoming>) -> Answer<MaybeCalled<S>> {
        let mut info = self.conn.about.info.clone();
        // An HTTP/1.0 client knows no interim responses (RFC 9110 §15.2).
        let line = self.conn.line.as_ref().filter(|_| request.version() == Version::HTTP_11);
        info.interim = line.map(Line::begin);
        let interim = line.is_some();
        self.conn.worker.counters.request(info.protocol);
        let method: &Method = request.method();
        let to_head = is_head(method);
        let may_become_a_tunnel = method == Method::CONNECT;
        let limits = &self.conn.worker.limits;
        let is_too_large = request.body().size_hint().lower() > limits.max_body;
        let expects = info.protocol == Protocol::H1 && request.headers().contains_key(EXPECT);
        let mut request = request.map(|incoming| {
            if incoming.is_end_stream() {
                return Body::Empty;
            }
            let received = Received::new(incoming, Arc::clone(&self.conn.activity), expects);
            Body::Stream(Box::pin(Limited::new(received, limits)))
        });
        if let Some(proxies) = &self.conn.about.forwarded {
            self.conn.worker.fronts.heed(proxies, request.headers_mut(), &mut info);
        }
        // hyper has counted those of HTTP/1.1.
        let is_http2 = info.protocol == Protocol::H2;
        request.extensions_mut().insert(info);
        if is_http2 && may_become_a_tunnel {
            let busy = self.conn.activity.begin();
            request.extensions_mut().insert(UnderWay::new(busy));
        }
        Answer {
            future: if is_too_large {
                Either::Left(ready(Ok(too_large(limits).into_response())))
            } else if let Some(shown) = self.conn.shown(&request) {
                Either::Left(ready(Ok(shown)))
            } else if is_http2 && has_too_many(request.headers(), limits) {
                Either::Left(ready(Ok(too_many(limits).into_response())))
            } else if is_http2 && one_length(request.headers_mut()).is_err() {
                Either::Left(ready(Ok(odd_length())))
            } else if has_odd_coding(request.headers()) {
                Either::Left(ready(Ok(odd_coding())))
            } else {
                Either::Right(self.service.call(request))
            },
            interim,
            response: None,
            to_head,
            busy: Some(self.conn.activity.begin()),
            conn: Arc::clone(&self.conn),
        }
    }
}

pin_project! {
    /// The service's future, whose answer is settled by the common rules.
    struct Answer<F> {
        #[pin]
        future: F,
        // Whether interim responses may come before it.
        interim: bool,
        // What waits until those are written.
        response: Option<Response<Body>>,
        to_head: bool,
        busy: Option<Busy>,
        conn: Arc<Conn>,
    }
}

impl<F> Future for Answer<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    type Output = Result<Response<Outgoing>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let line = this.conn.line.as_deref().filter(|_| *this.interim);
        let mut response = match this.response.take() {
            Some(response) => response,
            None => match this.future.poll(cx) {
                Poll::Ready(Ok(response)) => response,
                Poll::Pending => {
                    if let Some(line) = line {
                        line.wait(cx);
                    }
                    return Poll::Pending;
                }
            },
        };
        if line.is_some_and(|line| line.end(cx).is_pending()) {
            *this.response = Some(response);
            return Poll::Pending;
        }
        let promised = settle(&mut response, *this.to_head);
        if this.conn.line.is_some() {
            say_close(&mut response, this.conn);
        }
        if let Some(alt_svc) = &this.conn.about.alt_svc {
            response.headers_mut().entry(ALT_SVC).or_insert_with(|| alt_svc.clone());
        }
        let busy = this.busy.take().unwrap_or_else(|| this.conn.activity.begin());
        Poll::Ready(Ok(Outgoing::wrap(response, promised, busy)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tower::util::BoxCloneService;

    type Plain = BoxCloneService<Request<Body>, Response<Body>, Infallible>;

    const fn size_of_its_future<A, B, C, D, E, F>(_: &impl Fn(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_connection_that_is_idle_has_a_small_task() {
        let size = size_of_its_future(&connection::<Plain>);
        assert!(size < 4096, "{size} bytes");
    }
}
