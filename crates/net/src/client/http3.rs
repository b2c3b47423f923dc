//! HTTP/3 to an upstream (RFC 9114), over quinn and h3: one connection for all requests, made when the first
//! comes, and made again when it has ended or its address has left the upstream's name.
//!
//! Only requests without a body go by it, which can be asked again by TCP. Where there is no connection in
//! half of the connect time-out, or it breaks before an answer begins, they are, and for a while
//! ([`REST`], twice as long each time up to [`LONGEST_REST`]) all others are too, so that a network without
//! UDP costs little. No frame is sent that means nothing (GREASE): some servers reset what ends in one.

mod transport;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use h3::client::{RequestStream, SendRequest};
use http::response::Parts;
use http::{Method, Request, StatusCode, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use quinn::crypto::rustls::QuicClientConfig;

use super::UpstreamError;
use super::resolve::Names;
use crate::{Body, BodyError, Clock, Timestamp};

pub use transport::{BothHalves, Opener, RecvHalf, SendHalf, Transport};

/// How long TCP is spoken after a first failure, and at most.
const REST: Duration = Duration::from_secs(10);
const LONGEST_REST: Duration = Duration::from_secs(600);
/// What may be on its way to us, of one answer and of all.
const STREAM_WINDOW: u32 = 4 << 20;
const WINDOW: u32 = 32 << 20;
/// The largest head of an answer.
const MAX_HEAD: u64 = 256 << 10;

/// The way to one upstream by HTTP/3.
#[derive(Debug)]
pub(super) struct Http3 {
    config: quinn::ClientConfig,
    /// Whose certificate is asked for.
    name: String,
    host: String,
    port: u16,
    names: Option<Arc<Names>>,
    within: Duration,
    clock: Clock,
    live: tokio::sync::Mutex<Option<Live>>,
    rest: Mutex<Option<Rest>>,
}

#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Timestamp,
    length: Duration,
}

/// A connection.
#[derive(Clone)]
struct Live {
    requests: SendRequest<Opener, Bytes>,
    quic: quinn::Connection,
}

/// Where it is, and how it is reached.
pub(super) struct Target {
    pub(super) tls: rustls::ClientConfig,
    pub(super) name: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) names: Option<Arc<Names>>,
    pub(super) connect_timeout: Duration,
    /// After so long a silence, also of a connection in use, it counts as gone.
    pub(super) idle: Duration,
    pub(super) clock: Clock,
}

/// A request without a body as it is asked by HTTP/3: what else is known of it stays here.
pub(super) fn bodiless(request: &Request<Body>) -> Option<Request<()>> {
    if !HttpBody::is_end_stream(request.body()) {
        return None;
    }
    let mut asked = Request::new(());
    asked.method_mut().clone_from(request.method());
    asked.uri_mut().clone_from(request.uri());
    asked.headers_mut().clone_from(request.headers());
    Some(asked)
}

impl Http3 {
    pub(super) fn new(to: Target) -> Result<Self, UpstreamError> {
        let Target { mut tls, name, host, port, names, connect_timeout, idle, clock } = to;
        tls.alpn_protocols = vec![b"h3".to_vec()];
        let config =
            |error: &dyn std::error::Error| UpstreamError::Config(error.to_string().into());
        let tls = QuicClientConfig::try_from(tls).map_err(|error| config(&error))?;
        let mut transport = quinn::TransportConfig::default();
        let silence = quinn::IdleTimeout::try_from(idle).map_err(|error| config(&error))?;
        transport
            .max_idle_timeout(Some(silence))
            .stream_receive_window(STREAM_WINDOW.into())
            .receive_window(WINDOW.into())
            .max_concurrent_bidi_streams(0_u8.into());
        let mut config = quinn::ClientConfig::new(Arc::new(tls));
        config.transport_config(Arc::new(transport));
        let within = connect_timeout / 2;
        let (live, rest) = (tokio::sync::Mutex::default(), Mutex::default());
        Ok(Self { config, name, host, port, names, within, clock, live, rest })
    }

    /// The answer to a request without a body; `None` where TCP is to be asked.
    pub(super) async fn ask(&self, asked: Request<()>) -> Option<(Parts, Answered)> {
        if self.rests() {
            return None;
        }
        let is_head = *asked.method() == Method::HEAD;
        let answered = async {
            let mut live = tokio::time::timeout(self.within, self.live()).await.ok()??;
            let mut stream = live.requests.send_request(asked).await.ok()?;
            stream.finish().await.ok()?;
            let answer = stream.recv_response().await.ok()?;
            Some((answer, stream, live))
        };
        let Some((answer, stream, live)) = answered.await else {
            tracing::debug!("no answer by HTTP/3");
            self.fail();
            return None;
        };
        *self.rest() = None;
        let (answer, ()) = answer.into_parts();
        let length = answer.headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok());
        let bare =
            is_head || matches!(answer.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let (left, end) = match length.and_then(|length| length.parse().ok()) {
            _ if bare => (Some(0), End::Over),
            left => (left, End::Data),
        };
        Some((answer, Answered { stream, left, end, _live: live }))
    }

    /// The connection that there is, or a new one. Waits while another is making one.
    async fn live(&self) -> Option<Live> {
        let mut kept = self.live.lock().await;
        if let Some(live) = kept.as_ref()
            && live.quic.close_reason().is_none()
            && !self
                .names
                .as_ref()
                .is_some_and(|names| names.lacks(live.quic.remote_address().ip()))
        {
            return Some(live.clone());
        }
        // What goes by the one before keeps it.
        *kept = None;
        let live = self.connect().await?;
        *kept = Some(live.clone());
        Some(live)
    }

    async fn connect(&self) -> Option<Live> {
        let addresses = match &self.names {
            Some(names) => names.addresses().await.ok()?,
            None => {
                vec![SocketAddr::new(self.host.parse().ok()?, 0)]
            }
        };
        let share = self.within / u32::try_from(addresses.len()).unwrap_or(1).max(1);
        for address in addresses {
            let address = SocketAddr::new(address.ip(), self.port);
            if let Ok(Some(live)) = tokio::time::timeout(share, self.connect_to(address)).await {
                return Some(live);
            }
        }
        None
    }

    async fn connect_to(&self, address: SocketAddr) -> Option<Live> {
        let any: IpAddr = match address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let endpoint = quinn::Endpoint::client(SocketAddr::new(any, 0)).ok()?;
        let connecting = endpoint.connect_with(self.config.clone(), address, &self.name).ok()?;
        let quic = connecting.await.ok()?;
        let mut builder = h3::client::builder();
        builder.send_grease(false).max_field_section_size(MAX_HEAD);
        let (mut driver, requests) = builder.build(Transport::new(quic.clone())).await.ok()?;
        // It ends with the connection, which ends with the last who asks by it.
        tokio::spawn(async move {
            let _endpoint = endpoint;
            driver.wait_idle().await
        });
        Some(Live { requests, quic })
    }

    fn rests(&self) -> bool {
        self.rest().is_some_and(|rest| self.clock.now() < rest.until)
    }

    fn fail(&self) {
        let mut rest = self.rest();
        let length = rest.map_or(REST, |rest| (rest.length * 2).min(LONGEST_REST));
        *rest = Some(Rest { until: self.clock.now().plus(length), length });
    }

    /// Nothing panics while it is held.
    fn rest(&self) -> std::sync::MutexGuard<'_, Option<Rest>> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}

/// The body of an answer, as it comes.
pub(super) struct Answered {
    stream: RequestStream<BothHalves, Bytes>,
    /// Bytes that are to come, where it was said.
    left: Option<u64>,
    end: End,
    /// Without it the connection would end.
    _live: Live,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Data,
    Trailers,
    Over,
}

impl HttpBody for Answered {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if this.end == End::Data {
            match ready!(this.stream.poll_recv_data(cx)) {
                Err(error) => {
                    this.end = End::Over;
                    return Poll::Ready(Some(Err(BodyError::source(error))));
                }
                Ok(Some(mut data)) => {
                    let data = data.copy_to_bytes(data.remaining());
                    if let Some(left) = &mut this.left {
                        let Some(rest) = left.checked_sub(data.len() as u64) else {
                            this.end = End::Over;
                            let said = BodyError::source("more came than was promised");
                            return Poll::Ready(Some(Err(said)));
                        };
                        *left = rest;
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Ok(None) if this.left.is_some_and(|left| left > 0) => {
                    this.end = End::Over;
                    let said = BodyError::source("less came than was promised");
                    return Poll::Ready(Some(Err(said)));
                }
                Ok(None) => this.end = End::Trailers,
            }
        }
        if this.end == End::Trailers {
            let trailers = ready!(this.stream.poll_recv_trailers(cx));
            this.end = End::Over;
            match trailers {
                Ok(None) => {}
                Ok(Some(trailers)) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Err(error) => return Poll::Ready(Some(Err(BodyError::source(error)))),
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.end == End::Over
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
