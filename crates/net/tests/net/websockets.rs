//! Connections that changed their protocol are connections still. The bytes are not WebSocket's: nobody
//! between the two ends looks at them.

use std::time::Duration;

use bytes::Bytes;
use headwater_net::Protocol;
use headwater_net::server::ConnLimits;
use http::{Method, Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::Client;
use crate::service::{Running, start_with, until};

/// Those that have a WebSocket.
pub(crate) const PROTOCOLS: [Protocol; 2] = [Protocol::H1, Protocol::H2];

const A_HANG: Duration = Duration::from_secs(120);

/// A client's end.
pub(crate) struct Socket {
    stream: Stream,
    /// An HTTP/2 connection whose requests nobody can send any more is closed.
    _requests: Option<SendRequest<Empty<Bytes>>>,
}

enum Stream {
    Tcp(TcpStream),
    Http2(TokioIo<Upgraded>),
}

trait Both: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Both for T {}

impl Socket {
    /// Opens one on the plain port.
    pub(crate) async fn open(server: &Running, protocol: Protocol, path: &str) -> Self {
        let opening = async {
            let stream = TcpStream::connect(("127.0.0.1", server.plain_port())).await.unwrap();
            match protocol {
                Protocol::H1 => Self::over_http1(stream, path).await,
                _ => Self::over_http2(stream, path).await,
            }
        };
        tokio::time::timeout(A_HANG, opening).await.expect("a WebSocket opens")
    }

    async fn over_http1(mut stream: TcpStream, path: &str) -> Self {
        let ask = format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(ask.as_bytes()).await.unwrap();
        let head = head(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Self { stream: Stream::Tcp(stream), _requests: None }
    }

    async fn over_http2(stream: TcpStream, path: &str) -> Self {
        let (mut requests, connection) =
            handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        // The server's SETTINGS, which allow what follows, come before its first answer.
        let first = Request::get("http://localhost/bytes/1").body(Empty::new()).unwrap();
        assert_eq!(requests.send_request(first).await.unwrap().status(), StatusCode::OK);
        let request = Request::builder()
            .method(Method::CONNECT)
            .uri(format!("http://localhost{path}"))
            .header("sec-websocket-version", "13")
            .extension(hyper::ext::Protocol::from_static("websocket"))
            .body(Empty::new())
            .unwrap();
        let answer = requests.send_request(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let stream = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
        Self { stream: Stream::Http2(stream), _requests: Some(requests) }
    }

    fn stream(&mut self) -> &mut dyn Both {
        match &mut self.stream {
            Stream::Tcp(stream) => stream,
            Stream::Http2(stream) => stream,
        }
    }

    /// Says something, which has to come back.
    pub(crate) async fn echoes(&mut self, text: &str) {
        let stream = self.stream();
        let talk = async {
            stream.write_all(text.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            let mut back = vec![0; text.len()];
            stream.read_exact(&mut back).await.unwrap();
            assert_eq!(String::from_utf8(back).unwrap(), text);
        };
        tokio::time::timeout(A_HANG, talk).await.expect("it comes back");
    }

    /// Waits for its end, in order or not; nothing more may come.
    pub(crate) async fn ends(mut self) {
        let mut rest = Vec::new();
        let end = tokio::time::timeout(A_HANG, self.stream().read_to_end(&mut rest));
        let _ = end.await.expect("it ends");
        assert!(rest.is_empty(), "{rest:?}");
    }
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// An upstream that takes all WebSockets and says everything back; where it is asked for.
pub(crate) async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let path = format!("/websocket/{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                head(&mut stream).await;
                let switches = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\
                                Upgrade: websocket\r\n\r\n";
                stream.write_all(switches.as_bytes()).await.unwrap();
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    path
}

#[tokio::test]
async fn a_websocket_is_an_open_connection_until_its_end() {
    let server = start_with(|builder| builder.extended_connect(true));
    let metrics = server.handle.metrics();
    let through = echo().await;
    for protocol in PROTOCOLS {
        for path in [through.as_str(), "/websocket"] {
            let mut socket = Socket::open(&server, protocol, path).await;
            socket.echoes("hello").await;
            assert_eq!(metrics.connections_open(protocol), 1, "{protocol}, {path}");
            drop(socket);
            until("closed", || metrics.connections_open(protocol) == 0).await;
        }
    }
}

/// `UnderWay`: over HTTP/2 the connection has a time for idleness of its own.
#[tokio::test]
async fn a_connection_with_a_websocket_is_not_idle() {
    let mut limits = ConnLimits::default();
    limits.idle_timeout = Duration::from_secs(2);
    let server = start_with(|builder| builder.extended_connect(true).limits(limits));
    let metrics = server.handle.metrics();
    let through = echo().await;
    let mut sockets = Vec::new();
    for protocol in PROTOCOLS {
        for path in [through.as_str(), "/websocket"] {
            let mut socket = Socket::open(&server, protocol, path).await;
            socket.echoes("hello").await;
            sockets.push(socket);
        }
    }
    // As long as it takes for three others to be closed, one after the other.
    for _ in 0..3 {
        let client = Client::new(&server, Protocol::H1).await;
        assert_eq!(client.get("/bytes/1").await.unwrap().status, StatusCode::OK);
        until("one is closed", || metrics.connections_open(Protocol::H1) == 2).await;
    }
    for mut socket in sockets {
        socket.echoes("still there").await;
    }
}
