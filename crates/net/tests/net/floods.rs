//! Clients that want to use the server up: floods of frames, of bodies, of connections.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use headwater_net::Protocol;
use headwater_net::server::{ConnLimits, Ended, Refused};
use http::{Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::client::{Client, quic_config};
use crate::h3_client::endpoint;
use crate::http2_frames::{
    END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, RST_STREAM, SETTINGS, frame,
    request,
};
use crate::service::{Running, start, start_with, until};
use crate::websockets::{PROTOCOLS, Socket};

const CONTINUATION: u8 = 0x9;
/// Only stops what would go on forever.
const A_HANG: Duration = Duration::from_secs(120);

/// A connection by HTTP/2 with prior knowledge, and the code of the GOAWAY that ended it.
pub(crate) fn ended_by(port: u16, frames: impl Iterator<Item = Vec<u8>>) -> (usize, Option<u32>) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).unwrap();
    let mut reading = stream.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let mut head = [0; 9];
        let mut code = None;
        while reading.read_exact(&mut head).is_ok() {
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; len as usize];
            if reading.read_exact(&mut payload).is_err() {
                break;
            }
            if head[3] == GOAWAY {
                let of = payload.get(4..8).and_then(|of| of.try_into().ok());
                code = code.or(of.map(u32::from_be_bytes));
            }
        }
        code
    });
    let mut sent = 0;
    for frame in frames {
        if stream.write_all(&frame).is_err() {
            break;
        }
        sent += 1;
    }
    // What was sent after the end may have reset the connection before its GOAWAY was read.
    (sent, reader.join().unwrap())
}

/// CVE-2023-44487.
///
/// Limit: `ConnLimits::h2_pending_resets`.
#[tokio::test(flavor = "multi_thread")]
async fn rapid_resets_end_the_connection() {
    let server = start();
    let port = server.plain_port();
    let resets = (0..50_000u32).map(|nth| {
        let stream = 2 * nth + 1;
        let mut both = frame(HEADERS, END_HEADERS | END_STREAM, stream, &request("/forever"));
        both.extend(frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()));
        both
    });
    let (sent, code) = tokio::task::spawn_blocking(move || ended_by(port, resets)).await.unwrap();
    assert!(sent < 50_000, "all were taken");
    assert!(code.is_none_or(|code| code == ENHANCE_YOUR_CALM), "{code:?}");
    assert_eq!(server.handle.metrics().connections_ended(Ended::Flood), 1);
    let waiting = &server.play.waiting;
    until("none is worked on", || waiting.load(std::sync::atomic::Ordering::SeqCst) == 0).await;
    let client = Client::new(&server, Protocol::H2).await;
    assert_eq!(client.get("/bytes/10").await.unwrap().body.len(), 10);
}

/// CVE-2024-27316 and its like: headers that never end.
///
/// Limit: `ConnLimits::max_header_bytes`.
#[tokio::test(flavor = "multi_thread")]
async fn continuations_without_end_end_the_connection() {
    let server = start();
    let port = server.plain_port();
    // A literal field that is not indexed, `x: ` and 1,000 bytes (its length is 127 + 873).
    let mut field = vec![0x00, 1, b'x', 0x7f, 0xe9, 0x06];
    field.resize(field.len() + 1000, b'y');
    let first = frame(HEADERS, END_STREAM, 1, &request("/forever"));
    let more = std::iter::repeat_with(move || frame(CONTINUATION, 0, 1, &field)).take(100_000);
    let flood = std::iter::once(first).chain(more);
    let (sent, _) = tokio::task::spawn_blocking(move || ended_by(port, flood)).await.unwrap();
    // What the socket's buffers hold is sent all the same: some megabytes of a hundred.
    assert!(sent < 50_000, "{sent} frames were taken");
    assert_eq!(server.handle.metrics().requests(Protocol::H2), 0);
}

fn limits(change: impl FnOnce(&mut ConnLimits)) -> ConnLimits {
    let mut limits = ConnLimits::default();
    change(&mut limits);
    limits
}

fn small_bodies() -> ConnLimits {
    limits(|limits| limits.max_body = 100_000)
}

/// Limit: `ConnLimits::max_body`.
#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_refused_at_once() {
    let server = start_with(|builder| builder.limits(small_bodies()));
    for protocol in Protocol::ALL {
        let client = Client::new(&server, protocol).await;
        let body = |len: usize| Bytes::from(vec![b'x'; len]);
        let fits = client.send(Method::POST, "/count", body(100_000)).await.unwrap();
        assert_eq!(fits.body, "100000 bytes", "{protocol}");
        if protocol == Protocol::H3 {
            continue; // The client under test says no length.
        }
        let refused = client.send(Method::POST, "/count", body(100_001)).await.unwrap();
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE, "{protocol}");
        let said = String::from_utf8_lossy(&refused.body).into_owned();
        assert!(said.contains("a request's body may be at most 100000 bytes"), "{said}");
    }
}

/// Limit: `ConnLimits::max_body`.
#[tokio::test]
async fn a_body_that_turns_out_too_large_ends_in_an_error() {
    let server = start_with(|builder| builder.limits(small_bodies()));
    let client = Client::new(&server, Protocol::H3).await;
    let answer = client.send(Method::POST, "/count", Bytes::from(vec![0; 200_000])).await.unwrap();
    assert_eq!(answer.body, "failed: the body is larger than 100000 bytes");
    // Chunks over HTTP/1.1 say no length either.
    let port = server.plain_port();
    let said = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let head = b"POST /count HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head).unwrap();
        for _ in 0..3 {
            let chunk = [b"c350\r\n".as_slice(), &vec![b'x'; 50_000], b"\r\n"].concat();
            stream.write_all(&chunk).unwrap();
        }
        let mut said = String::new();
        stream.read_to_string(&mut said).map(|_| said)
    });
    let said = said.await.unwrap().unwrap();
    assert!(said.contains("failed: the body is larger than 100000 bytes"), "{said}");
}

/// Limit: `ConnLimits::body_timeout`.
#[tokio::test]
async fn a_body_that_stops_coming_ends_in_an_error() {
    let mut limits = ConnLimits::default();
    limits.body_timeout = Duration::from_millis(200);
    let server = start_with(|builder| builder.limits(limits));
    let port = server.plain_port();
    let said = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let head = b"POST /count HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nabc";
        stream.write_all(head).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).map(|_| said)
    });
    let said = said.await.unwrap().unwrap();
    assert!(said.contains("failed: the body's source was silent for too long"), "{said}");
}

/// Limit: `ConnLimits::max_per_address`.
#[tokio::test]
async fn one_address_has_so_many_connections_and_others_theirs() {
    let mut limits = ConnLimits::default();
    limits.max_per_address = 3;
    let server = start_with(|builder| builder.limits(limits));
    let metrics = server.handle.metrics();
    let mut held = Vec::new();
    for _ in 0..3 {
        let client = Client::new(&server, Protocol::H2).await;
        assert_eq!(client.get("/bytes/1").await.unwrap().status, 200);
        held.push(client);
    }
    let fourth = Client::new(&server, Protocol::H1).await;
    assert!(fourth.get("/bytes/1").await.is_err());
    assert!(metrics.connections_refused_for(Refused::Address) > 0);
    let other = Client::at(&server, Protocol::H2, "::1".parse().unwrap()).await;
    assert_eq!(other.get("/bytes/1").await.unwrap().status, 200);
    let h3 = Client::at(&server, Protocol::H3, "::1".parse().unwrap()).await;
    assert_eq!(h3.get("/bytes/1").await.unwrap().status, 200);
    held.clear();
    until("closed", || metrics.connections_open(Protocol::H2) == 1).await;
    assert_eq!(fourth.get("/bytes/1").await.unwrap().status, 200);
}

/// Limit: `ConnLimits::max_per_address`.
#[tokio::test]
async fn one_address_has_so_many_connections_over_quic_and_one_more_is_refused_unshaken() {
    let server = start_with(|builder| builder.limits(limits(|limits| limits.max_per_address = 3)));
    let metrics = server.handle.metrics();
    let mut held = Vec::new();
    for _ in 0..3 {
        let client = Client::new(&server, Protocol::H3).await;
        assert_eq!(client.get("/bytes/1").await.unwrap().status, 200);
        held.push(client);
    }
    let addr = server.handle.https_addrs()[0];
    let config = quic_config(&server.tls, quinn::TransportConfig::default());
    let socket = endpoint(addr);
    let refused = socket.connect_with(config, addr, "localhost").unwrap().await.unwrap_err();
    let quinn::ConnectionError::ConnectionClosed(close) = refused else { panic!("{refused}") };
    assert_eq!(close.error_code, quinn::TransportErrorCode::CONNECTION_REFUSED);
    assert_eq!(metrics.connections_refused_for(Refused::Address), 1);
    let other = Client::at(&server, Protocol::H3, "::1".parse().unwrap()).await;
    assert_eq!(other.get("/bytes/1").await.unwrap().status, 200);
    held.clear();
    until("closed", || metrics.connections_open(Protocol::H3) == 1).await;
    let again = Client::new(&server, Protocol::H3).await;
    assert_eq!(again.get("/bytes/1").await.unwrap().status, 200);
}

/// Limit: `ConnLimits::max_per_address`, `ConnLimits::max_connections`.
#[tokio::test]
async fn websockets_count_among_the_connections() {
    for (why, one) in [
        (Refused::Address, limits(|limits| limits.max_per_address = 1)),
        (Refused::Connections, limits(|limits| limits.max_connections = 1)),
    ] {
        for protocol in PROTOCOLS {
            let server = start_with(|builder| builder.extended_connect(true).limits(one.clone()));
            let metrics = server.handle.metrics();
            let mut socket = Socket::open(&server, protocol, "/websocket").await;
            socket.echoes("hello").await;
            let other = Client::new(&server, Protocol::H1).await;
            assert!(other.get("/bytes/1").await.is_err(), "{protocol}: there is one already");
            assert!(metrics.connections_refused_for(why) > 0, "{protocol}");
            socket.echoes("still there").await;
            drop(socket);
            places_are_given_back(&server).await;
        }
    }
}

#[tokio::test]
async fn limits_that_change_hold_for_connections_from_then_on() {
    let server = start();
    let held = Client::new(&server, Protocol::H2).await;
    assert_eq!(
        held.send(Method::POST, "/echo", Bytes::from_static(b"four")).await.unwrap().status,
        StatusCode::OK
    );
    let mut limits = ConnLimits::default();
    limits.max_body = 3;
    server.handle.set_limits(&limits);
    for protocol in [Protocol::H1, Protocol::H2, Protocol::H3] {
        let client = Client::new(&server, protocol).await;
        let answer = client.send(Method::POST, "/echo", Bytes::from_static(b"four")).await;
        match answer {
            Ok(answer) => assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{protocol}"),
            // This client says no length, and is cut off.
            Err(error) => assert_eq!(protocol, Protocol::H3, "{error}"),
        }
    }
    assert_eq!(
        held.send(Method::POST, "/echo", Bytes::from_static(b"four")).await.unwrap().status,
        StatusCode::OK
    );
    limits.max_per_address = 1;
    server.handle.set_limits(&limits);
    let other = Client::new(&server, Protocol::H1).await;
    assert!(other.get("/bytes/1").await.is_err(), "there is one already");
}

/// Waits until a server takes connections again.
async fn places_are_given_back(server: &Running) {
    let client = Client::new(server, Protocol::H1).await;
    let waiting = async {
        while client.get("/bytes/1").await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(A_HANG, waiting).await.expect("places are given back");
}

/// Connections on which nothing is asked count like any.
///
/// Limit: `ConnLimits::max_connections`.
#[tokio::test]
async fn silent_connections_count_and_one_too_many_is_closed_at_once() {
    let mut limits = ConnLimits::default();
    limits.max_connections = 4;
    limits.handshake_timeout = Duration::from_secs(60);
    limits.header_timeout = Duration::from_secs(60);
    let server = start_with(|builder| builder.limits(limits));
    let (port, plain) = (server.port(), server.plain_port());
    let connect = |port: u16| async move {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let _ = stream.write_all(b"G").await;
        stream
    };
    let mut held = Vec::new();
    let metrics = server.handle.metrics();
    for at in 1..=4 {
        held.push(connect(plain).await);
        until("open", || metrics.connections_open(Protocol::H1) >= at).await;
    }
    for at in [port, plain] {
        // Workers accept in whatever order: one that comes now may take the place of one before, and
        // keeps it.
        let refused = async {
            loop {
                let mut stream = connect(at).await;
                let mut byte = [0];
                let read = stream.read(&mut byte);
                let read = tokio::time::timeout(Duration::from_secs(1), read).await;
                if matches!(read, Ok(Ok(0) | Err(_))) {
                    break;
                }
                held.push(stream);
            }
        };
        tokio::time::timeout(A_HANG, refused).await.expect("one is refused");
    }
    assert!(metrics.connections_refused_for(Refused::Connections) >= 2);
    drop(held);
    places_are_given_back(&server).await;
}

/// Limit: `ConnLimits::max_handshakes`.
#[tokio::test]
async fn unfinished_tcp_handshakes_take_no_connection_s_place_and_have_a_limit_of_their_own() {
    let mut limits = ConnLimits::default();
    // Fewer than the handshakes that are begun, and one more than the client takes: a place is given back
    // a moment after its connection was counted as closed.
    limits.max_connections = 2;
    limits.max_handshakes = 4;
    limits.handshake_timeout = Duration::from_secs(120);
    let server = start_with(|builder| builder.limits(limits));
    let (port, plain) = (server.port(), server.plain_port());
    let silent = |port: u16| tokio::net::TcpStream::connect(("127.0.0.1", port));
    let mut held = Vec::new();
    for at in [port, plain, port] {
        held.push(silent(at).await.unwrap());
    }
    let client = Client::new(&server, Protocol::H2).await;
    assert_eq!(client.get("/bytes/1").await.unwrap().status, 200);
    drop(client);
    let metrics = server.handle.metrics();
    let refused = async {
        while metrics.connections_refused_for(Refused::Handshakes) == 0 {
            held.push(silent(port).await.unwrap());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(A_HANG, refused).await.expect("one is refused");
    assert_eq!(metrics.connections_refused_for(Refused::Connections), 0);
    drop(held);
    places_are_given_back(&server).await;
}

/// Limit: `ConnLimits::max_handshakes`.
#[tokio::test]
async fn handshakes_that_are_never_finished_give_way_to_who_comes() {
    let mut limits = ConnLimits::default();
    limits.max_handshakes = 4;
    limits.handshake_timeout = Duration::from_secs(3600);
    let server = start_with(|builder| builder.limits(limits));
    let metrics = server.handle.metrics();
    let mut held = Vec::new();
    // Until all places are taken, on both listeners and by both workers.
    while metrics.connections_refused_for(Refused::Handshakes) == 0 {
        assert!(held.len() < 1000, "none is refused");
        for port in [server.port(), server.plain_port()] {
            held.push(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    places_are_given_back(&server).await;
    assert_eq!(metrics.handshakes_failed(Protocol::H1), 0, "none came to its end");
}

/// Limit: `ConnLimits::min_rate`.
#[tokio::test]
async fn a_body_that_drips_ends_in_an_error() {
    let mut limits = ConnLimits::default();
    limits.body_timeout = Duration::from_secs(1);
    limits.min_rate = 1 << 20;
    let server = start_with(|builder| builder.limits(limits));
    let port = server.plain_port();
    let said = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let head = b"POST /count HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n";
        stream.write_all(head).unwrap();
        let mut drips = stream.try_clone().unwrap();
        std::thread::spawn(move || {
            while drips.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let mut said = Vec::new();
        // The server closes while more is on its way.
        let mut piece = [0; 1000];
        while let Ok(read @ 1..) = stream.read(&mut piece) {
            said.extend_from_slice(&piece[..read]);
        }
        String::from_utf8_lossy(&said).into_owned()
    });
    let said = said.await.unwrap();
    assert!(said.contains("failed: the body came too slowly"), "{said}");
}
