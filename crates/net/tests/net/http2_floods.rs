//! Clients of HTTP/2 that make work by frames that are no requests (RFC 9113 §10.5).

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use headwater_net::Protocol;
use headwater_net::server::{ConnLimits, Ended};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::floods::ended_by;
use crate::http2_frames::{
    ACK, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, PING, SETTINGS,
    WINDOW_UPDATE, frame, next, next_whole, open, post, request,
};
use crate::service::{short_limits, start, start_with, until};

/// Those that the server resets on one connection before it ends that.
const STREAM_ERRORS: u32 = 1000;

/// Waits for the answer to a PING: all that was sent before was read.
async fn pings(stream: &mut TcpStream) {
    stream.write_all(&frame(PING, 0, 0, &[7; 8])).await.unwrap();
    loop {
        let (kind, flags, _) = next(stream).await;
        assert_ne!(kind, GOAWAY, "the connection goes on");
        if kind == PING && flags & ACK != 0 {
            return;
        }
    }
}

/// A request, and more room for its answer than there can be (RFC 9113 §6.9.1).
fn overflows(stream: u32) -> Vec<u8> {
    let mut frames = frame(HEADERS, END_HEADERS | END_STREAM, stream, &request("/forever"));
    frames.extend(frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffffu32.to_be_bytes()));
    frames
}

/// A request whose body is longer than it says (RFC 9113 §8.1.1).
fn is_too_long(stream: u32) -> Vec<u8> {
    // `content-length` is number 28 of the static table (RFC 7541 appendix A).
    let fields = [&post("/forever")[..], &[0x0f, 28 - 15, 1, b'1']].concat();
    let mut frames = frame(HEADERS, END_HEADERS, stream, &fields);
    frames.extend(frame(DATA, 0, stream, b"more"));
    frames
}

/// CVE-2025-8671: who may not reset so many streams has the server do it.
///
/// Limit: `ConnLimits::h2_pending_resets`.
#[tokio::test]
async fn streams_that_the_server_is_made_to_reset_end_the_connection() {
    for wrong in [overflows, is_too_long] {
        let server = start();
        let waiting = &server.play.waiting;
        let mut stream = open(server.plain_port(), &[]).await;
        let ids = |nth: u32| 2 * nth + 1;
        for nth in 0..STREAM_ERRORS {
            stream.write_all(&wrong(ids(nth))).await.unwrap();
            // One by one: a stream is open until its reset is sent, and those that are too many are refused,
            // which counts, too.
            pings(&mut stream).await;
        }
        until("none is worked on", || waiting.load(Ordering::SeqCst) == 0).await;
        stream.write_all(&wrong(ids(STREAM_ERRORS))).await.unwrap();
        let code = loop {
            let (kind, payload) = next_whole(&mut stream).await;
            if kind == GOAWAY {
                break u32::from_be_bytes(payload[4..8].try_into().unwrap());
            }
        };
        assert_eq!(code, ENHANCE_YOUR_CALM);
        let metrics = server.handle.metrics();
        until("ended", || metrics.connections_open(Protocol::H2) == 0).await;
        assert_eq!(metrics.connections_ended(Ended::Flood), 1);
        until("none is worked on", || waiting.load(Ordering::SeqCst) == 0).await;
    }
}

/// What each is to be acknowledged by (RFC 9113 §6.5.3, §6.7).
fn acknowledged() -> [Vec<u8>; 2] {
    [frame(PING, 0, 0, &[7; 8]), frame(SETTINGS, 0, 0, &[])]
}

/// CVE-2019-9512, CVE-2019-9515: acknowledgements wait in the socket and nowhere else. Where that is full,
/// no more is read, and a client that takes nothing for too long is cut.
#[tokio::test]
async fn acknowledgements_that_nobody_reads_do_not_pile_up() {
    /// More than the sockets hold, whatever the system's settings.
    const BOUND: usize = 64 << 20;
    let mut limits = ConnLimits::default();
    limits.write_timeout = Duration::from_secs(1);
    for frame in acknowledged() {
        let server = start_with(|builder| builder.limits(limits.clone()));
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(64 << 10).unwrap();
        let mut stream =
            socket.connect(([127, 0, 0, 1], server.plain_port()).into()).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let many = frame.repeat(4096);
        let mut sent = 0;
        while sent < 2 * BOUND {
            let writing = tokio::time::timeout(Duration::from_secs(120), stream.write_all(&many));
            if writing.await.expect("taken or cut").is_err() {
                break;
            }
            sent += many.len();
        }
        assert!(sent < BOUND, "{sent} bytes were taken");
        let metrics = server.handle.metrics();
        until("cut", || metrics.connections_open(Protocol::H2) == 0).await;
    }
}

/// What is acknowledged is no request: whoever sends nothing else is idle.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_pings_or_settings_keeps_no_connection_open() {
    for frame in acknowledged() {
        let server = start_with(|builder| builder.limits(short_limits()));
        let port = server.plain_port();
        let begin = Instant::now();
        let flood = std::iter::repeat_with(move || {
            std::thread::sleep(Duration::from_millis(1));
            frame.repeat(50)
        });
        let flood = flood.take_while(move |_| begin.elapsed() < Duration::from_secs(120));
        let flooding = tokio::task::spawn_blocking(move || ended_by(port, flood));
        let (_, code) = flooding.await.unwrap();
        assert!(begin.elapsed() < Duration::from_secs(120), "still open");
        assert!(code.is_none_or(|code| code == 0), "{code:?}");
        let metrics = server.handle.metrics();
        assert!(metrics.connections_ended(Ended::Idle) >= 1);
    }
}
