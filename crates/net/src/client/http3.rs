//! HTTP/3 to an upstream (RFC 9114), over quinn and h3: one connection for all requests, made when the first
//! comes, and made again when it has ended, takes no more (GOAWAY, §5.2), or its address has left the
//! upstream's name.
//!
//! Only what is safe to ask twice goes by it: GET, HEAD and OPTIONS without a body. They are asked by TCP where
//! - there is no connection within half of the connect time-out, or a quarter of the first-byte time-out;
//! - the connection breaks before an answer begins, or falls silent: what was sent is not even acknowledged;
//! - the upstream says that it has not looked at the request, or that it wants it by another protocol
//!   (`H3_REQUEST_REJECTED`, `H3_VERSION_FALLBACK`).
//!
//! After one of the first two all others go by TCP for a while, too ([`REST`]; then one request tries it, and if
//! that fails it is twice as long each time, up to [`LONGEST_REST`]), so that a network without UDP costs little. A stream that is reset otherwise is an
//! answer that broke off, as by TCP, and says nothing of the connection. No frame is sent that means nothing
//! (GREASE): some servers reset what ends in one.

mod answered;
mod attempt;
mod connect;
mod transport;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use h3::client::RequestStream;
use h3::error::{Code, StreamError};
use http::request::Parts as Asked;
use http::response::Parts;
use http::{Method, Request};
use tokio::time::{sleep, timeout};

use super::UpstreamError;
use super::resolve::Names;
use crate::Clock;
use crate::health::{Health, HealthConfig};
use crate::interim::Interim;
use answered::Answered;
use attempt::Attempt;
use connect::{Live, Way};

pub use transport::{BothHalves, Opener, RecvHalf, SendHalf, Transport};

/// How long TCP is spoken after a first failure, and at most.
const REST: Duration = Duration::from_secs(10);
const LONGEST_REST: Duration = Duration::from_secs(600);
/// Interim responses to one request that are taken.
const MAX_INTERIM: usize = 100;

type Stream = RequestStream<BothHalves, Bytes>;

/// The way to one upstream by HTTP/3.
#[derive(Debug)]
pub(super) struct Http3 {
    way: Way,
    /// Time for a connection, and for a sign of life of one that there is.
    within: Duration,
    clock: Clock,
    live: Mutex<Option<Live>>,
    /// Held by who makes a connection.
    turn: Arc<tokio::sync::Mutex<()>>,
    health: Mutex<Health>,
    heeds: HealthConfig,
}

/// Where it is, and how it is reached.
pub(super) struct Target {
    pub(super) tls: rustls::ClientConfig,
    pub(super) name: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) names: Option<Arc<Names>>,
    pub(super) connect_timeout: Duration,
    pub(super) first_byte_timeout: Duration,
    /// After so long a silence, also of a connection in use, it counts as gone.
    pub(super) idle: Duration,
    pub(super) clock: Clock,
}

/// Whether a method means the same when it is asked twice, and changes nothing (RFC 9110 §9.2.1): what breaks
/// off may be asked again by TCP.
pub(super) const fn may_ask(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

impl Http3 {
    pub(super) fn new(to: Target) -> Result<Self, UpstreamError> {
        let within = (to.connect_timeout / 2).min(to.first_byte_timeout / 4);
        let way = Way::new(to.tls, to.idle, to.name, (to.host, to.port), to.names)?;
        let (live, turn, health) = (Mutex::default(), Arc::default(), Mutex::default());
        let heeds = HealthConfig::default().failures(1).cool_off(REST, LONGEST_REST);
        Ok(Self { way, within, clock: to.clock, live, turn, health, heeds })
    }

    /// The answer to a request without a body; `None` where TCP is to be asked.
    pub(super) async fn ask(
        self: &Arc<Self>,
        asked: &Asked,
        interim: Option<&Interim>,
    ) -> Result<Option<(Parts, Answered)>, UpstreamError> {
        for _ in 0..2 {
            let Some((live, attempt)) = self.live().await else { return Ok(None) };
            let before = Datagrams::of(&live.quic);
            let mut requests = live.requests.clone();
            // Where the upstream allows no more streams at one time, TCP need not wait for one.
            let sending = timeout(self.within, requests.send_request(request(asked)));
            let Ok(sent) = sending.await else { return Ok(None) };
            let answered = match sent {
                Ok(mut stream) => tokio::select! {
                    head = receive(&mut stream, interim) => head.map(|head| (head, stream)),
                    () = self.silence(&live, before) => {
                        self.lose(&live, attempt);
                        return Ok(None);
                    }
                },
                // It takes no more, and nothing was sent.
                Err(StreamError::RemoteClosing { .. }) => {
                    self.forget(&live);
                    continue;
                }
                Err(StreamError::HeaderTooBig { .. }) => return Ok(None),
                Err(error) => Err(error.into()),
            };
            return match answered {
                Ok((head, stream)) => {
                    attempt.began();
                    let body = Answered::new(&head, asked.method == Method::HEAD, stream, live);
                    Ok(Some((head, body)))
                }
                Err(Unanswered::TooMuch(what)) => Err(UpstreamError::Invalid(what.into())),
                Err(Unanswered::Broken(error)) => self.judge(&live, attempt, &error).map(|()| None),
            };
        }
        Ok(None)
    }

    /// Whether TCP is to be asked after this, which came in the place of an answer.
    fn judge(
        &self,
        live: &Live,
        attempt: Attempt,
        error: &StreamError,
    ) -> Result<(), UpstreamError> {
        let said = || error.to_string().into();
        match error {
            StreamError::RemoteTerminate { code, .. }
                if *code == Code::H3_REQUEST_REJECTED || *code == Code::H3_VERSION_FALLBACK =>
            {
                Ok(())
            }
            StreamError::RemoteTerminate { .. } | StreamError::Undefined { .. } => {
                Err(UpstreamError::Reset(said()))
            }
            StreamError::StreamError { .. } | StreamError::HeaderTooBig { .. } => {
                Err(UpstreamError::Invalid(said()))
            }
            // It was ended in good order.
            error if error.is_h3_no_error() => {
                self.forget(live);
                Ok(())
            }
            _ => {
                tracing::debug!(%error, "a connection of HTTP/3 broke");
                self.lose(live, attempt);
                Ok(())
            }
        }
    }

    /// Ends when nothing comes any more, though something was sent that is to be acknowledged at once.
    async fn silence(&self, live: &Live, mut before: Datagrams) {
        let mut suspected = false;
        loop {
            sleep(self.within / 2).await;
            let now = Datagrams::of(&live.quic);
            let heard = now.received != before.received;
            if suspected && !heard {
                return;
            }
            suspected = !heard && now.sent != before.sent;
            before = now;
        }
    }

    /// The connection that there is, or a new one; `None` where TCP is to be asked. Waits while another is
    /// making one.
    async fn live(self: &Arc<Self>) -> Option<(Live, Attempt)> {
        let attempt = Attempt::begin(self)?;
        if let Some(live) = self.kept() {
            return Some((live, attempt));
        }
        let turn = Arc::clone(&self.turn).lock_owned().await;
        if attempt.is_idle() {
            return None;
        }
        if let Some(live) = self.kept() {
            return Some((live, attempt));
        }
        let this = Arc::clone(self);
        // It goes on when nobody waits for it any more, and takes `within` at most.
        let made = tokio::spawn(async move {
            let _turn = turn;
            let live = this.way.connect(this.within).await;
            lock(&this.live).clone_from(&live);
            if live.is_none() {
                tracing::debug!("no connection by HTTP/3");
                attempt.failed();
                return None;
            }
            live.map(|live| (live, attempt))
        });
        made.await.ok()?
    }

    /// The connection that there is, if it is good.
    fn kept(&self) -> Option<Live> {
        lock(&self.live).clone().filter(|live| live.is_good(self.way.names.as_ref()))
    }

    /// Sends nothing more by this connection; what goes by it keeps it.
    fn forget(&self, live: &Live) {
        let mut kept = lock(&self.live);
        if kept.as_ref().is_some_and(|kept| kept.is(live)) {
            *kept = None;
        }
    }

    /// Ends a connection that is of no use, and has TCP asked for a while.
    fn lose(&self, live: &Live, attempt: Attempt) {
        self.forget(live);
        live.quic.close(0_u8.into(), b"");
        attempt.failed();
    }
}

/// What a connection has sent and received so far.
struct Datagrams {
    sent: u64,
    received: u64,
}

impl Datagrams {
    fn of(quic: &quinn::Connection) -> Self {
        let stats = quic.stats();
        Self { sent: stats.udp_tx.datagrams, received: stats.udp_rx.datagrams }
    }
}

/// Why no answer began.
enum Unanswered {
    Broken(StreamError),
    TooMuch(&'static str),
}

impl From<StreamError> for Unanswered {
    fn from(error: StreamError) -> Self {
        Self::Broken(error)
    }
}

/// A request as it is asked by HTTP/3: what else is known of it stays here.
fn request(asked: &Asked) -> Request<()> {
    let mut request = Request::new(());
    request.method_mut().clone_from(&asked.method);
    request.uri_mut().clone_from(&asked.uri);
    request.headers_mut().clone_from(&asked.headers);
    request
}

/// The head of the final answer; those before it are passed on (RFC 9114 §4.1).
async fn receive(stream: &mut Stream, interim: Option<&Interim>) -> Result<Parts, Unanswered> {
    stream.finish().await?;
    for _ in 0..=MAX_INTERIM {
        let (head, ()) = stream.recv_response().await?.into_parts();
        if !head.status.is_informational() {
            return Ok(head);
        }
        if let Some(interim) = interim {
            interim.send(head.status, &head.headers);
        }
    }
    Err(Unanswered::TooMuch("interim responses without end"))
}

/// Nothing panics while it is held.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
