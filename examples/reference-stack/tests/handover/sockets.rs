//! A client's end of a WebSocket over TLS, by HTTP/1.1 (RFC 6455) and HTTP/2 (RFC 8441). What is said is not
//! framed: nobody between the two ends looks at it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::app::SOCKET;
use crate::clients::{Protocol, secure};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// An open one.
pub struct Socket {
    stream: TokioIo<Upgraded>,
    /// An HTTP/2 connection whose requests nobody can send any more is closed.
    _requests: Option<http2::SendRequest<Empty<Bytes>>>,
}

impl Socket {
    /// Those that have a WebSocket here.
    pub const PROTOCOLS: [Protocol; 2] = [Protocol::H1, Protocol::H2];

    /// Opens one at the stack that listens at `addr`.
    pub async fn open(protocol: Protocol, addr: SocketAddr) -> Result<Self, String> {
        let opening = async {
            let io = secure(protocol, addr).await?;
            match protocol {
                Protocol::H1 => Self::by_http1(io, addr).await,
                _ => Self::by_http2(io, addr).await,
            }
        };
        tokio::time::timeout(PATIENCE, opening).await.map_err(|_| "no WebSocket".to_owned())?
    }

    async fn by_http1(
        io: impl hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
        addr: SocketAddr,
    ) -> Result<Self, String> {
        let text = |error: hyper::Error| format!("a WebSocket by HTTP/1.1: {error:?}");
        let (mut requests, connection) = http1::handshake(io).await.map_err(text)?;
        tokio::spawn(connection.with_upgrades());
        let request = Request::get(SOCKET)
            .header("host", format!("localhost:{}", addr.port()))
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .body(Empty::<Bytes>::new())
            .unwrap();
        let answer = requests.send_request(request).await.map_err(text)?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(format!("a WebSocket by HTTP/1.1: {}", answer.status()));
        }
        let stream = TokioIo::new(hyper::upgrade::on(answer).await.map_err(text)?);
        Ok(Self { stream, _requests: None })
    }

    async fn by_http2(
        io: impl hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
        addr: SocketAddr,
    ) -> Result<Self, String> {
        let text = |error: hyper::Error| format!("a WebSocket by HTTP/2: {error:?}");
        let handshake = http2::handshake(TokioExecutor::new(), io);
        let (mut requests, connection) = handshake.await.map_err(text)?;
        tokio::spawn(connection);
        let uri = |path| format!("https://localhost:{}{path}", addr.port());
        // The server's SETTINGS, which allow what follows, come before its first answer.
        let first = Request::get(uri("/stack.json")).body(Empty::new()).unwrap();
        requests.send_request(first).await.map_err(text)?;
        let request = Request::builder()
            .method(Method::CONNECT)
            .uri(uri(SOCKET))
            .header("sec-websocket-version", "13")
            .extension(hyper::ext::Protocol::from_static("websocket"))
            .body(Empty::new())
            .unwrap();
        let answer = requests.send_request(request).await.map_err(text)?;
        if answer.status() != StatusCode::OK {
            return Err(format!("a WebSocket by HTTP/2: {}", answer.status()));
        }
        let stream = TokioIo::new(hyper::upgrade::on(answer).await.map_err(text)?);
        Ok(Self { stream, _requests: Some(requests) })
    }

    /// Says something, which has to come back.
    pub async fn echoes(&mut self, said: &[u8]) -> Result<(), String> {
        let talk = async {
            self.stream.write_all(said).await?;
            self.stream.flush().await?;
            let mut back = vec![0; said.len()];
            self.stream.read_exact(&mut back).await?;
            Ok::<_, std::io::Error>(back)
        };
        match tokio::time::timeout(PATIENCE, talk).await {
            Ok(Ok(back)) if back == said => Ok(()),
            Ok(Ok(_)) => Err("a WebSocket says back something else".into()),
            Ok(Err(error)) => Err(format!("a WebSocket: {error}")),
            Err(_) => Err("a WebSocket says nothing".into()),
        }
    }
}
