//! Slow and silent clients, over TCP.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use headwater_net::Protocol;
use headwater_net::server::Ended;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::client::Client;
use crate::service::{Running, pattern, short_limits, start, start_with, until};

/// Sends `start` and then nothing: the server must end the connection in bounded time.
async fn is_closed_after(port: u16, start: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(start).await.unwrap();
    let mut all = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut all));
    let _ = read.await.expect("still open after a minute");
    all
}

/// Limit: `ConnLimits::header_timeout`.
#[tokio::test]
async fn slow_headers_close_the_connection() {
    let server = start_with(|builder| builder.limits(short_limits()));
    for start in
        [&b""[..], b"G", b"PR", b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow", b"PRI * HTTP/2.0\r\n\r\nSM"]
    {
        is_closed_after(server.plain_port(), start).await;
    }
    // The last two got as far as a protocol.
    let metrics = server.handle.metrics();
    until("counted", || metrics.connections_ended(Ended::Idle) >= 2).await;
}

/// Sends `start` and then `byte` by itself, again and again, until the connection ends; gives what came in
/// answer.
async fn drips(port: u16, start: &[u8], byte: u8) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(start).await.unwrap();
    let (mut from, mut to) = stream.split();
    let mut all = Vec::new();
    tokio::select! {
        _ = from.read_to_end(&mut all) => {}
        () = async {
            for _ in 0..300 {
                if to.write_all(&[byte]).await.is_err() {
                    return std::future::pending().await;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        } => panic!("still open after half a minute"),
    }
    all
}

/// Limit: `ConnLimits::header_timeout`.
#[tokio::test]
async fn headers_that_drip_close_the_connection() {
    let mut limits = short_limits();
    limits.idle_timeout = Duration::from_secs(60);
    let server = start_with(|builder| builder.limits(limits));
    let port = server.plain_port();
    let head = b"GET /bytes/5 HTTP/1.1\r\nHost: a\r\nX-Slow: ";
    assert!(drips(port, head, b'x').await.is_empty());
    let second = [b"GET /bytes/5 HTTP/1.1\r\nHost: a\r\n\r\n", &head[..]].concat();
    let answer = drips(port, &second, b'x').await;
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    // HTTP/2: empty SETTINGS, and a frame of 16,000 bytes of a field section that came this far.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let frame = [&preface[..], &[0, 0x3e, 0x80, 1, 4, 0, 0, 0, 1, 0x82]].concat();
    drips(port, &frame, 0x82).await;
    let metrics = server.handle.metrics();
    until("counted", || metrics.connections_ended(Ended::Idle) >= 3).await;
}

#[tokio::test]
async fn headers_that_begin_after_a_pause_have_their_time() {
    let mut limits = short_limits();
    limits.idle_timeout = Duration::from_secs(60);
    let server = start_with(|builder| builder.limits(limits));
    let port = server.plain_port();
    // The server looks once a second; some of these have come in part when it does.
    let asks = (0..8u64).map(|eighth| {
        tokio::spawn(async move {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            stream.write_all(b"GET /bytes/5 HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            tokio::time::sleep(Duration::from_millis(1500 + 125 * eighth)).await;
            stream.write_all(b"GET /bytes/5 HTTP/1.1\r\nHost: a\r\n").await.unwrap();
            tokio::time::sleep(Duration::from_millis(600)).await;
            stream.write_all(b"Connection: close\r\n\r\n").await.unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            String::from_utf8_lossy(&all).matches("HTTP/1.1 200 ").count()
        })
    });
    for ask in asks.collect::<Vec<_>>() {
        assert_eq!(ask.await.unwrap(), 2);
    }
}

/// Limit: `ConnLimits::handshake_timeout`.
#[tokio::test]
async fn a_silent_handshake_closes_the_connection() {
    let server = start_with(|builder| builder.limits(short_limits()));
    is_closed_after(server.port(), b"").await;
    is_closed_after(server.port(), b"\x16\x03\x01").await;
    let metrics = server.handle.metrics();
    until("counted", || metrics.handshakes_failed(Protocol::H1) == 2).await;
}

/// Limit: `ConnLimits::idle_timeout`.
#[tokio::test]
async fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let server = start_with(|builder| builder.limits(short_limits()));
    let metrics = server.handle.metrics();
    for protocol in [Protocol::H1, Protocol::H2] {
        let client = Client::new(&server, protocol).await;
        client.get("/bytes/1").await.unwrap();
        let busy = tokio::spawn(async move { client.get("/wait").await.map(|a| a.body.len()) });
        // Longer than two idle periods.
        tokio::time::sleep(Duration::from_millis(2500)).await;
        server.play.gate.add_permits(1);
        assert_eq!(busy.await.unwrap(), Ok(300_000), "{protocol}");
        until("closed", || metrics.connections_open(protocol) == 0).await;
    }
}

/// Limit: `ConnLimits::max_headers`, `ConnLimits::max_header_bytes`.
#[tokio::test]
async fn headers_that_are_too_many_or_too_large_are_refused() {
    let server = start();
    let many = "x-one: 1\r\n".repeat(200);
    let large = format!("x-large: {}\r\n", "x".repeat(40 << 10));
    for headers in [many, large] {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
        let answer = is_closed_after(server.plain_port(), request.as_bytes()).await;
        assert!(answer.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&answer));
    }
    let client = Client::new(&server, Protocol::H2).await;
    let Client::Tcp { client, base } = client else { unreachable!() };
    let mut many = client.get(format!("{base}/bytes/1"));
    for number in 0..200 {
        many = many.header(format!("x-{number}"), "1");
    }
    assert_eq!(many.send().await.unwrap().status(), 431);
    let large = "x".repeat(40 << 10);
    let answer = client.get(format!("{base}/bytes/1")).header("x-large", large).send().await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status() == 431));
}

/// A plain HTTP/1.1 request whose client has little room for the answer.
async fn asks(server: &Running, path: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    let addr = ([127, 0, 0, 1], server.plain_port()).into();
    let mut stream = socket.connect(addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// A client of HTTP/2 whose stream has little room for an answer.
fn narrow_http2(server: &Running) -> (reqwest::Client, String) {
    let root = reqwest::Certificate::from_der(&server.tls.leaf_der()).unwrap();
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([root])
        .http2_initial_stream_window_size(128 << 10)
        .build()
        .unwrap();
    (client, format!("https://localhost:{}", server.port()))
}

/// The pace of a client that is slower than the limits, a megabyte in half a second.
async fn pace(start: Instant, got: usize) {
    let due = start + Duration::from_nanos(500 * got as u64);
    tokio::time::sleep_until(due.into()).await;
}

const SLOW: usize = 8 << 20;

#[tokio::test]
async fn a_slow_download_over_http1_is_not_idle() {
    let server = start_with(|builder| builder.limits(short_limits()));
    let mut stream = asks(&server, &format!("/whole/{SLOW}")).await;
    let (start, mut all) = (Instant::now(), Vec::new());
    while stream.read_buf(&mut all).await.unwrap() > 0 {
        pace(start, all.len()).await;
    }
    assert!(all.ends_with(&pattern(SLOW)), "cut after {} bytes", all.len());
}

#[tokio::test]
async fn a_slow_download_over_http2_is_not_idle() {
    let server = start_with(|builder| builder.limits(short_limits()));
    let (client, base) = narrow_http2(&server);
    let mut answer = client.get(format!("{base}/whole/{SLOW}")).send().await.unwrap();
    assert_eq!(answer.version(), http::Version::HTTP_2);
    let (start, mut all) = (Instant::now(), Vec::new());
    while let Some(data) = answer.chunk().await.unwrap() {
        all.extend_from_slice(&data);
        pace(start, all.len()).await;
    }
    assert!(all == pattern(SLOW), "cut after {} bytes", all.len());
}

/// Limit: `ConnLimits::write_timeout`.
#[tokio::test]
async fn a_client_that_does_not_read_is_cut() {
    let mut limits = short_limits();
    limits.idle_timeout = Duration::from_secs(60);
    limits.write_timeout = Duration::from_millis(200);
    let server = start_with(|builder| builder.limits(limits));
    let (metrics, waiting) = (server.handle.metrics(), &server.play.waiting);

    let unread = asks(&server, "/endless").await;
    until("HTTP/1.1 began", || waiting.load(Ordering::SeqCst) == 1).await;
    until("HTTP/1.1 cut", || metrics.connections_open(Protocol::H1) == 0).await;
    until("its body dropped", || waiting.load(Ordering::SeqCst) == 0).await;
    drop(unread);

    let (client, base) = narrow_http2(&server);
    let unread = client.get(format!("{base}/endless")).send().await.unwrap();
    assert_eq!(unread.version(), http::Version::HTTP_2);
    until("HTTP/2 cut", || metrics.connections_open(Protocol::H2) == 0).await;
    until("its body dropped", || waiting.load(Ordering::SeqCst) == 0).await;
    assert_eq!(metrics.connections_ended(Ended::Stalled), 2);
    drop(unread);
}
