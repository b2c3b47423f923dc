//! Clients that send or take next to nothing, on each protocol.

use std::sync::atomic::Ordering;
use std::time::Duration;

use headwater_net::Protocol;
use headwater_net::server::{ConnLimits, Ended};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::http2_frames::{
    DATA, END_HEADERS, END_STREAM, HEADERS, WINDOW_UPDATE, frame, open, post, read, request,
};
use crate::http3_frames::{connect, headers};
use crate::service::{Running, start_with, until};

/// Between two drops.
const DROP: Duration = Duration::from_millis(50);

/// What the service said of a body over HTTP/2 that begins with three bytes and goes on with `drops`, one at
/// a time, if at all.
async fn said_over_http2(server: &Running, drops: bool) -> String {
    let stream = open(server.plain_port(), &[]).await;
    let (mut from, mut to) = stream.into_split();
    let mut begin = frame(HEADERS, END_HEADERS, 1, &post("/count"));
    begin.extend(frame(DATA, 0, 1, b"abc"));
    to.write_all(&begin).await.unwrap();
    let writing = tokio::spawn(async move {
        let piece = frame(DATA, 0, 1, b"x");
        while drops && to.write_all(&piece).await.is_ok() {
            tokio::time::sleep(DROP).await;
        }
        // The connection stays open.
        std::future::pending::<()>().await;
        drop(to);
    });
    let mut said = Vec::new();
    loop {
        let (head, payload) = read(&mut from).await;
        if head[3] == DATA {
            said.extend(payload);
            if head[4] & END_STREAM != 0 {
                break;
            }
        }
    }
    writing.abort();
    String::from_utf8_lossy(&said).into_owned()
}

/// The same over HTTP/3.
async fn said_over_http3(server: &Running, drops: bool) -> String {
    let (_endpoint, quic, _control) = connect(server).await;
    let (mut send, mut recv) = quic.open_bi().await.unwrap();
    send.write_all(&[&headers(true, "/count")[..], b"\0\x03abc"].concat()).await.unwrap();
    let writing = tokio::spawn(async move {
        while drops && send.write_all(b"\0\x01x").await.is_ok() {
            tokio::time::sleep(DROP).await;
        }
        std::future::pending::<()>().await;
        drop(send);
    });
    let answer = tokio::time::timeout(Duration::from_secs(60), recv.read_to_end(10_000));
    let answer = answer.await.expect("an answer").unwrap();
    writing.abort();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Limit: `ConnLimits::body_timeout`.
#[tokio::test]
async fn a_body_that_stops_coming_over_http2_or_http3_ends_in_an_error() {
    let mut limits = ConnLimits::default();
    limits.body_timeout = Duration::from_millis(200);
    let server = start_with(|builder| builder.limits(limits));
    for said in [said_over_http2(&server, false).await, said_over_http3(&server, false).await] {
        assert!(said.contains("failed: the body's source was silent for too long"), "{said}");
    }
}

/// Limit: `ConnLimits::min_rate`.
#[tokio::test]
async fn a_body_that_drips_over_http2_or_http3_ends_in_an_error() {
    let mut limits = ConnLimits::default();
    limits.body_timeout = Duration::from_secs(1);
    limits.min_rate = 1 << 20;
    let server = start_with(|builder| builder.limits(limits));
    for said in [said_over_http2(&server, true).await, said_over_http3(&server, true).await] {
        assert!(said.contains("failed: the body came too slowly"), "{said}");
    }
}

/// A server whose clients have to take a megabyte a second.
fn impatient() -> Running {
    let mut limits = ConnLimits::default();
    limits.write_timeout = Duration::from_secs(2);
    limits.min_rate = 1 << 20;
    start_with(|builder| builder.limits(limits))
}

/// Waits until the answer that its client takes too slowly is given up, and all that belongs to it.
async fn is_cut(server: &Running, protocol: Protocol) {
    let (metrics, waiting) = (server.handle.metrics(), &server.play.waiting);
    until("cut", || metrics.connections_ended(Ended::Stalled) == 1).await;
    until("closed", || metrics.connections_open(protocol) == 0).await;
    until("its body dropped", || waiting.load(Ordering::SeqCst) == 0).await;
}

/// Limit: `ConnLimits::min_rate`.
#[tokio::test]
async fn a_client_of_http1_that_reads_a_little_now_and_then_is_cut() {
    let server = impatient();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    let mut stream = socket.connect(([127, 0, 0, 1], server.plain_port()).into()).await.unwrap();
    stream.write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let reading = tokio::spawn(async move {
        // At most 80 KB a second, but never nothing for long.
        let mut piece = [0; 4 << 10];
        while matches!(stream.read(&mut piece).await, Ok(1..)) {
            tokio::time::sleep(DROP).await;
        }
    });
    is_cut(&server, Protocol::H1).await;
    tokio::time::timeout(Duration::from_secs(60), reading).await.expect("it ends").unwrap();
}

/// Limit: `ConnLimits::min_rate`.
#[tokio::test]
async fn a_client_of_http2_that_grants_a_little_now_and_then_is_cut() {
    const ROOM: u32 = 1000;
    let server = impatient();
    // SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 §6.5.2).
    let setting = [&[0, 4][..], &ROOM.to_be_bytes()].concat();
    let (mut from, mut to) = open(server.plain_port(), &setting).await.into_split();
    let asks = frame(HEADERS, END_HEADERS | END_STREAM, 1, &request("/endless"));
    to.write_all(&asks).await.unwrap();
    // All that comes is read.
    let reading = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    });
    let granting = tokio::spawn(async move {
        let more = [0, 1].map(|stream| frame(WINDOW_UPDATE, 0, stream, &ROOM.to_be_bytes()));
        while to.write_all(&more.concat()).await.is_ok() {
            tokio::time::sleep(DROP).await;
        }
    });
    is_cut(&server, Protocol::H2).await;
    for task in [reading, granting] {
        tokio::time::timeout(Duration::from_secs(60), task).await.expect("it ends").unwrap();
    }
}
