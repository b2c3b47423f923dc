//! Slow and silent clients, over TCP.

use std::time::Duration;

use headwater_net::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::Client;
use crate::service::{short_limits, start, start_with, until};

/// Sends `start` and then nothing: the server must end the connection in bounded time.
async fn is_closed_after(port: u16, start: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(start).await.unwrap();
    let mut all = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut all));
    let _ = read.await.expect("still open after ten seconds");
    all
}

#[tokio::test]
async fn slow_headers_close_the_connection() {
    let server = start_with(|builder| builder.limits(short_limits()));
    for start in
        [&b""[..], b"G", b"PR", b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow", b"PRI * HTTP/2.0\r\n\r\nSM"]
    {
        is_closed_after(server.plain_port(), start).await;
    }
}

#[tokio::test]
async fn a_silent_handshake_closes_the_connection() {
    let server = start_with(|builder| builder.limits(short_limits()));
    is_closed_after(server.port(), b"").await;
    is_closed_after(server.port(), b"\x16\x03\x01").await;
    let metrics = server.handle.metrics();
    until("counted", || metrics.handshakes_failed(Protocol::H1) == 2).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let server = start_with(|builder| builder.limits(short_limits()));
    let metrics = server.handle.metrics();
    for protocol in [Protocol::H1, Protocol::H2] {
        let client = Client::new(&server, protocol).await;
        client.get("/bytes/1").await.unwrap();
        let busy = tokio::spawn(async move { client.get("/wait").await.map(|a| a.body.len()) });
        // Longer than two idle periods.
        tokio::time::sleep(Duration::from_millis(700)).await;
        server.play.gate.add_permits(1);
        assert_eq!(busy.await.unwrap(), Ok(300_000), "{protocol}");
        until("closed", || metrics.connections_open(protocol) == 0).await;
    }
}

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
    let large = "x".repeat(40 << 10);
    let answer = client.get(format!("{base}/bytes/1")).header("x-large", large).send().await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status() == 431));
}
