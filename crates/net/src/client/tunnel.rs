//! WebSocket (RFC 6455) through to an upstream: connections that change their protocol (RFC 9110
//! §7.8), over HTTP/1.1 from the client or by an extended CONNECT over HTTP/2 (RFC 8441), always over
//! HTTP/1.1 to the upstream.
//!
//! Once both sides have changed, bytes pass both ways as they come, through a buffer of
//! [`BUFFER`] bytes each, and a side that takes nothing holds up the other alone. Other protocols are
//! not passed on: an `Upgrade` to anything else is taken off as ever.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body as _;
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};

use super::{Inner, UpstreamError};
use crate::hop::strip_hop_by_hop;
use crate::{Body, Problem, UnderWay, spki};

/// What is read at a time, for each direction of each connection.
const BUFFER: usize = 16 << 10;
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// Whether a request that came by a listener of this crate asks for its connection, or its stream of
/// HTTP/2, to become a WebSocket.
pub fn is_websocket<B>(request: &Request<B>) -> bool {
    request.extensions().get::<OnUpgrade>().is_some()
        && if request.method() == Method::CONNECT {
            request.extensions().get::<Protocol>().is_some_and(|p| p.as_str() == "websocket")
        } else {
            request.method() == Method::GET
                && names(request.headers(), &header::UPGRADE, "websocket")
        }
}

/// Whether a field is this one word.
fn names(headers: &HeaderMap, name: &header::HeaderName, word: &str) -> bool {
    headers.get(name).is_some_and(|said| said.as_bytes().eq_ignore_ascii_case(word.as_bytes()))
}

/// In the extensions of a 503 that an [`Upstream`](crate::client::Upstream) gave without asking, since
/// [its places](crate::client::UpstreamBuilder::max_websockets) are taken: it says nothing of the health of
/// what is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unasked;

impl Inner {
    /// Asks the upstream for a WebSocket and joins the two.
    pub(super) async fn tunnel(
        self: Arc<Self>,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, UpstreamError> {
        let Ok(place) = Arc::clone(&self.tunnels).try_acquire_owned() else {
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE).retry_after(5);
            let problem = problem.detail("too many WebSockets are open");
            let mut response = problem.into_response();
            response.extensions_mut().insert(Unasked);
            return Ok(response);
        };
        let by_http2 = request.method() == Method::CONNECT;
        // Where the content ends and the WebSocket begins, not everybody would agree on.
        if !by_http2 && !request.body().is_end_stream() {
            let problem = Problem::new(StatusCode::BAD_REQUEST);
            return Ok(problem.detail("a request for a WebSocket has no content").into_response());
        }
        let client = hyper::upgrade::on(&mut request);
        let under_way = request.extensions_mut().remove::<UnderWay>();
        let mut request = self.aim(request)?;
        let headers = request.headers_mut();
        // A length, even of nothing, is one of content, and over HTTP/2 it would be the client's.
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, WEBSOCKET);
        if by_http2 {
            headers.insert(header::SEC_WEBSOCKET_KEY, nonce());
            *request.method_mut() = Method::GET;
        }
        *request.body_mut() = Body::Empty;
        let answered = self.upgrading.request(request);
        let mut response = tokio::time::timeout(self.first_byte_timeout, answered)
            .await
            .map_err(|_| UpstreamError::Timeout)??;
        let changed = response.status() == StatusCode::SWITCHING_PROTOCOLS
            && names(response.headers(), &header::UPGRADE, "websocket");
        let upstream = changed.then(|| hyper::upgrade::on(&mut response));
        let (mut parts, incoming) = response.into_parts();
        let Some(upstream) = upstream else {
            if parts.status.is_informational() {
                return Err(UpstreamError::Invalid("it changed to another protocol".into()));
            }
            return self.take(parts, incoming, false, None);
        };
        strip_hop_by_hop(&mut parts.headers);
        if by_http2 {
            parts.status = StatusCode::OK;
            parts.headers.remove(header::SEC_WEBSOCKET_ACCEPT);
        } else {
            parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            parts.headers.insert(header::UPGRADE, WEBSOCKET);
        }
        let idle = self.tunnel_idle_timeout;
        // Owned by the runtime of the worker that the client came to: it ends with that, which waits for the
        // client's connection, while this holds it, up to the deadline of a drain.
        tokio::spawn(async move {
            if let Err(error) = join(client, upstream, idle).await {
                tracing::debug!(%error, "WebSocket ended");
            }
            drop((place, under_way));
        });
        Ok(Response::from_parts(parts, Body::Empty))
    }
}

/// A key for the handshake with the upstream, which the client of HTTP/2 has none for (RFC 6455
/// §4.1: sixteen random bytes). Nothing depends on its being secret.
fn nonce() -> HeaderValue {
    let mut bytes = [0; 16];
    // Without randomness it is a constant, which works all the same.
    let _ = aws_lc_rs::default_provider().secure_random.fill(&mut bytes);
    HeaderValue::try_from(spki::base64(&bytes)).unwrap_or(HeaderValue::from_static(""))
}

/// Passes bytes both ways until both sides have ended, one has failed, or none has moved for `idle`.
async fn join(client: OnUpgrade, upstream: OnUpgrade, idle: Duration) -> io::Result<()> {
    let opened = async { tokio::try_join!(client, upstream) };
    let (client, upstream) = tokio::time::timeout(idle, opened).await?.map_err(io::Error::other)?;
    let (from_client, to_client) = split(TokioIo::new(client));
    let (from_upstream, to_upstream) = split(TokioIo::new(upstream));
    let moved = AtomicU64::new(0);
    let both = async {
        tokio::try_join!(
            pump(from_client, to_upstream, &moved),
            pump(from_upstream, to_client, &moved)
        )
    };
    tokio::select! {
        ended = both => ended.map(drop),
        () = still(&moved, idle) => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    moved: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..read]).await?;
        moved.fetch_add(1, Ordering::Relaxed);
    }
}

/// Returns when nothing has moved for `idle`, at most twice as late.
async fn still(moved: &AtomicU64, idle: Duration) {
    let mut seen = u64::MAX;
    loop {
        let now = moved.load(Ordering::Relaxed);
        if now == seen {
            return;
        }
        seen = now;
        tokio::time::sleep(idle).await;
    }
}
