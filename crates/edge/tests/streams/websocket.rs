//! WebSockets through the edge (RFC 6455, RFC 8441).

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Method, Request, StatusCode};
use http_body_util::Empty;
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use crate::rig::{Rig, say, within};

/// Takes one WebSocket at the upstream and says everything back, twice.
async fn echo(rig: &Rig) {
    let (stream, _) = within(rig.upstream.accept()).await.unwrap();
    let mut socket = accept_async(stream).await.unwrap();
    while let Some(Ok(message)) = socket.next().await {
        // Reading on answers it.
        if message.is_close() {
            continue;
        }
        socket.send(message.clone()).await.unwrap();
        socket.send(message).await.unwrap();
    }
}

async fn converse<S>(mut socket: WebSocketStream<S>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    for message in [Message::text("hello"), Message::binary(vec![7; 300_000])] {
        within(socket.send(message.clone())).await.unwrap();
        for _ in 0..2 {
            assert_eq!(within(socket.next()).await.unwrap().unwrap(), message);
        }
    }
    within(socket.close(None)).await.unwrap();
    // The other side's close, and the end.
    while let Some(last) = within(socket.next()).await {
        assert!(matches!(last, Ok(Message::Close(_)) | Err(Error::ConnectionClosed)), "{last:?}");
    }
}

#[tokio::test]
async fn a_websocket_passes_over_http1() {
    let rig = Rig::start().await;
    let stream = TcpStream::connect(rig.plain()).await.unwrap();
    let url = format!("ws://{}/chat", rig.plain());
    let client = async {
        let (socket, answer) = within(client_async(url, stream)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
        converse(socket).await;
    };
    tokio::join!(client, echo(&rig));
}

/// A WebSocket on a stream of HTTP/2, from a client that is told that it may ask for one.
#[tokio::test]
async fn rfc_8441_5_a_websocket_passes_over_http2() {
    let rig = Rig::start().await;
    let stream = TcpStream::connect(rig.plain()).await.unwrap();
    let (mut requests, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let client = async {
        // The server's SETTINGS come before its first answer.
        let first = Request::get("http://localhost/").method(Method::DELETE);
        let first = requests.send_request(first.body(Empty::<Bytes>::new()).unwrap()).await;
        assert_eq!(first.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
        let request = Request::builder()
            .method(Method::CONNECT)
            .uri("http://localhost/chat")
            .header("sec-websocket-version", "13")
            .extension(Protocol::from_static("websocket"))
            .body(Empty::<Bytes>::new())
            .unwrap();
        let answer = within(requests.send_request(request)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(!answer.headers().contains_key("sec-websocket-accept"));
        let stream = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
        converse(WebSocketStream::from_raw_socket(stream, Role::Client, None).await).await;
    };
    tokio::join!(client, echo(&rig));
}

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

async fn status(client: &mut TcpStream) -> String {
    let mut status = [0; 12];
    within(client.read_exact(&mut status)).await.unwrap();
    String::from_utf8(status.to_vec()).unwrap()
}

#[tokio::test]
async fn an_upstream_that_declines_is_an_answer_like_any() {
    let rig = Rig::start().await;
    let mut client = TcpStream::connect(rig.plain()).await.unwrap();
    // What comes after the request is no WebSocket's, and the next request as ever.
    let next = "GET /next HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    client.write_all(format!("{ASK}{next}").as_bytes()).await.unwrap();
    let (head, mut upstream) = rig.asked().await;
    let head = head.to_ascii_lowercase();
    assert!(head.contains("upgrade: websocket\r\n") && head.contains("connection: upgrade\r\n"));
    say(&mut upstream, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
    assert_eq!(status(&mut client).await, "HTTP/1.1 403");
    let (head, mut upstream) = rig.asked().await;
    assert!(head.starts_with("GET /next "), "{head}");
    say(&mut upstream, "HTTP/1.1 204 No Content\r\nCache-Control: no-store\r\n\r\n").await;
    let mut rest = String::new();
    within(client.read_to_string(&mut rest)).await.unwrap();
    assert!(rest.contains("HTTP/1.1 204"), "{rest}");
}

#[tokio::test]
async fn a_request_for_a_websocket_has_no_content() {
    let rig = Rig::start().await;
    let with = |length: &str, content: &str| {
        let field = format!("Content-Length: {length}\r\nUpgrade: websocket\r\n");
        ASK.replace("Upgrade: websocket\r\n", &field) + content
    };
    let mut client = TcpStream::connect(rig.plain()).await.unwrap();
    client.write_all(with("5", "hello").as_bytes()).await.unwrap();
    assert_eq!(status(&mut client).await, "HTTP/1.1 400");
    // Not even all of it has to be there for that.
    let mut client = TcpStream::connect(rig.plain()).await.unwrap();
    client.write_all(with("5", "he").as_bytes()).await.unwrap();
    assert_eq!(status(&mut client).await, "HTTP/1.1 400");
    // A length of nothing says nothing, and is not passed on.
    let mut client = TcpStream::connect(rig.plain()).await.unwrap();
    client.write_all(with("0", "").as_bytes()).await.unwrap();
    let (head, mut upstream) = rig.asked().await;
    assert!(!head.to_ascii_lowercase().contains("content-length"), "{head}");
    say(&mut upstream, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(status(&mut client).await, "HTTP/1.1 403");
}

/// Limit: `UpstreamBuilder::max_websockets`, `UpstreamBuilder::websocket_idle_timeout`.
#[tokio::test]
async fn websockets_are_counted_and_one_that_is_still_is_ended() {
    let rig = Rig::start_with(|upstream| {
        upstream.max_websockets(1).websocket_idle_timeout(Duration::from_millis(300))
    })
    .await;
    let mut first = TcpStream::connect(rig.plain()).await.unwrap();
    first.write_all(ASK.as_bytes()).await.unwrap();
    let (_, mut upstream) = rig.asked().await;
    let switches = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\
                    Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    say(&mut upstream, switches).await;
    assert_eq!(status(&mut first).await, "HTTP/1.1 101");
    let mut second = TcpStream::connect(rig.plain()).await.unwrap();
    second.write_all(ASK.as_bytes()).await.unwrap();
    assert_eq!(status(&mut second).await, "HTTP/1.1 503");
    let mut rest = Vec::new();
    let _ = within(first.read_to_end(&mut rest)).await;
    // The place is free again.
    let mut third = TcpStream::connect(rig.plain()).await.unwrap();
    loop {
        third.write_all(ASK.as_bytes()).await.unwrap();
        tokio::select! {
            asked = rig.asked() => break drop(asked),
            said = status(&mut third) => assert_eq!(said, "HTTP/1.1 503"),
        }
        third = TcpStream::connect(rig.plain()).await.unwrap();
    }
}

#[tokio::test]
async fn rfc_8586_a_websocket_bears_the_marks_of_this_cache_and_no_forged_ones() {
    let rig = Rig::start().await;
    let with = |fields: &str| {
        ASK.replace("Upgrade: websocket\r\n", &format!("Upgrade: websocket\r\n{fields}"))
    };
    let mut client = TcpStream::connect(rig.plain()).await.unwrap();
    client.write_all(with("Headwater-Purge-Seq: 4000000000000000\r\n").as_bytes()).await.unwrap();
    let (head, _upstream) = rig.asked().await;
    let head = head.to_ascii_lowercase();
    assert!(!head.contains("purge-seq") && head.contains("cdn-loop: edge\r\n"), "{head}");
    let mut client = TcpStream::connect(rig.plain()).await.unwrap();
    client.write_all(with("CDN-Loop: edge\r\n").as_bytes()).await.unwrap();
    assert_eq!(status(&mut client).await, "HTTP/1.1 508");
}
