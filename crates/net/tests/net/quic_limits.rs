//! What one QUIC connection may use up.

use std::sync::atomic::Ordering;
use std::time::Duration;

use headwater_net::Protocol;
use headwater_net::server::{ConnLimits, Drained, Ended, QuicConfig};
use quinn::{ReadError, ReadToEndError};

use crate::client::{quic, quic_with};
use crate::http3_frames::{REQUEST_REJECTED, application_code, goaway, headers, server_control};
use crate::service::{Running, pattern, start_with, until};

const NO_ERROR: u32 = 0x100;
const STREAM_CREATION_ERROR: u32 = 0x103;
/// Only stops what would go on forever.
const A_MINUTE: Duration = Duration::from_secs(60);
const A_WHILE: Duration = Duration::from_millis(400);

fn start(tune: impl FnOnce(&mut QuicConfig)) -> Running {
    let mut config = QuicConfig::default();
    tune(&mut config);
    start_with(|builder| builder.quic(config))
}

async fn connect(server: &Running) -> (quinn::Endpoint, quinn::Connection, quinn::SendStream) {
    let (endpoint, quic) = quic(server.handle.https_addrs()[0], "localhost", &server.tls).await;
    let mut control = quic.open_uni().await.unwrap();
    control.write_all(&[0, 4, 0]).await.unwrap();
    (endpoint, quic, control)
}

/// Limit: `QuicConfig::max_streams`.
#[tokio::test]
async fn a_stream_too_many_has_to_wait() {
    let server = start(|config| config.max_streams = 2);
    let (_endpoint, quic, _control) = connect(&server).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let (mut send, recv) = quic.open_bi().await.unwrap();
        send.write_all(&headers(false, "/forever")).await.unwrap();
        held.push((send, recv));
    }
    let waiting = &server.play.waiting;
    until("two", || waiting.load(Ordering::SeqCst) == 2).await;
    assert!(tokio::time::timeout(A_WHILE, quic.open_bi()).await.is_err());
    for (mut send, mut recv) in held {
        let _ = (send.reset(0u32.into()), recv.stop(0u32.into()));
    }
    let opened = tokio::time::timeout(Duration::from_secs(60), quic.open_bi());
    assert!(opened.await.is_ok_and(|opened| opened.is_ok()));
}

/// Limit: `quic::UNI_STREAMS`.
#[tokio::test]
async fn a_unidirectional_stream_too_many_has_to_wait() {
    let server = start(|_| {});
    let (_endpoint, quic, _control) = connect(&server).await;
    let mut held = Vec::new();
    for _ in 1..16 {
        let mut stream = quic.open_uni().await.unwrap();
        // The first half of a type.
        stream.write_all(&[0x40]).await.unwrap();
        held.push(stream);
    }
    assert!(tokio::time::timeout(A_WHILE, quic.open_uni()).await.is_err());
    // quinn tells of room by the eighth of it.
    for stream in &mut held {
        stream.finish().unwrap();
    }
    let opened = tokio::time::timeout(A_MINUTE, quic.open_uni()).await;
    assert!(opened.is_ok_and(|opened| opened.is_ok()));
}

/// Limit: `QuicConfig::receive_window`.
#[tokio::test]
async fn a_body_that_nobody_reads_is_taken_up_to_the_window() {
    let server = start(|config| config.receive_window = 256 << 10);
    let (_endpoint, quic, _control) = connect(&server).await;
    let (mut send, _recv) = quic.open_bi().await.unwrap();
    send.write_all(&headers(true, "/forever")).await.unwrap();
    // DATA of 16 MiB (RFC 9000 §16: four bytes).
    send.write_all(&[0, 0x81, 0, 0, 0]).await.unwrap();
    let piece = [0; 4096];
    let mut sent = 0;
    while let Ok(more) = tokio::time::timeout(A_WHILE, send.write(&piece)).await {
        sent += more.unwrap();
        assert!(sent <= 256 << 10, "{sent} bytes were taken");
    }
    assert!(sent > 0);
}

/// Limit: `QuicConfig::idle_timeout`.
#[tokio::test]
async fn a_silent_connection_is_dropped() {
    let server = start(|config| config.idle_timeout = Duration::from_secs(2));
    let (endpoint, quic, _control) = connect(&server).await;
    let metrics = server.handle.metrics();
    until("open", || metrics.connections_accepted(Protocol::H3) == 1).await;
    until("closed", || metrics.connections_open(Protocol::H3) == 0).await;
    drop((endpoint, quic));
}

/// Limit: `ConnLimits::idle_timeout`.
#[tokio::test]
async fn a_connection_that_is_kept_alive_for_nothing_is_closed() {
    let mut limits = ConnLimits::default();
    limits.idle_timeout = Duration::from_secs(3);
    let server = start_with(|builder| builder.limits(limits));
    let mut transport = quinn::TransportConfig::default();
    transport.keep_alive_interval(Some(Duration::from_millis(20)));
    let addr = server.handle.https_addrs()[0];
    let (_endpoint, quic) = quic_with(addr, "localhost", &server.tls, transport).await;
    let mut control = quic.open_uni().await.unwrap();
    control.write_all(&[0, 4, 0]).await.unwrap();
    // One that is under way is no idleness, however long it takes.
    let (mut send, mut recv) = quic.open_bi().await.unwrap();
    send.write_all(&headers(false, "/wait")).await.unwrap();
    send.finish().unwrap();
    let mut said = server_control(&quic).await;
    tokio::time::sleep(Duration::from_millis(4500)).await;
    assert!(quic.close_reason().is_none());
    server.play.gate.add_permits(1);
    recv.read_to_end(1 << 20).await.unwrap();
    let pings = quic.stats().frame_tx.ping;
    assert!(goaway(&mut said).await > 4, "nothing is refused yet");
    assert_eq!(goaway(&mut said).await, 4);
    let closed = tokio::time::timeout(Duration::from_secs(60), quic.closed()).await.unwrap();
    assert_eq!(application_code(&closed), Some(NO_ERROR), "{closed}");
    assert!(quic.stats().frame_tx.ping > pings, "it was not silent");
    assert_eq!(server.handle.metrics().connections_ended(Ended::Idle), 1);
}

/// A connection with a request under way, whose client has room for SETTINGS and a part of a GOAWAY; the rest
/// is what keeps it open. Returns when the server drains and that part has come.
async fn without_room_for_a_goaway(
    server: &Running,
) -> (quinn::Connection, impl Future<Output = Drained>, impl Sized) {
    let mut transport = quinn::TransportConfig::default();
    transport.keep_alive_interval(Some(Duration::from_millis(20)));
    transport.stream_receive_window(quinn::VarInt::from_u32(16));
    let addr = server.handle.https_addrs()[0];
    let (endpoint, quic) = quic_with(addr, "localhost", &server.tls, transport).await;
    let mut control = quic.open_uni().await.unwrap();
    control.write_all(&[0, 4, 0]).await.unwrap();
    let (mut send, recv) = quic.open_bi().await.unwrap();
    send.write_all(&headers(false, "/forever")).await.unwrap();
    send.finish().unwrap();
    until("it is asked", || server.play.waiting.load(Ordering::SeqCst) == 1).await;
    let heard = || quic.stats().frame_rx.stream;
    until("SETTINGS", || heard() > 0).await;
    let before = heard();
    let mut draining = Box::pin(server.handle.drain(Duration::from_secs(3600)));
    tokio::select! {
        _ = &mut draining => panic!("a request is under way"),
        () = until("a part of a GOAWAY", || heard() > before) => {}
    }
    (quic, draining, (endpoint, control, send, recv))
}

#[tokio::test]
async fn a_connection_that_has_no_room_for_a_goaway_goes_on() {
    let mut limits = ConnLimits::default();
    limits.write_timeout = Duration::from_secs(3600);
    let server = start_with(|builder| builder.limits(limits));
    let (quic, draining, _open) = without_room_for_a_goaway(&server).await;
    // Taken or told that it was not; and a rule that is broken is noticed.
    let asks = async {
        let (mut send, mut recv) = quic.open_bi().await.unwrap();
        let _ = send.write_all(&headers(false, "/bytes/5")).await;
        let _ = send.finish();
        match recv.read_to_end(1000).await {
            Ok(answer) => assert!(answer.ends_with(&pattern(5)), "{answer:?}"),
            Err(error) => {
                let rejected = ReadToEndError::Read(ReadError::Reset(REQUEST_REJECTED.into()));
                assert_eq!(error, rejected);
            }
        }
        let mut second = quic.open_uni().await.unwrap();
        second.write_all(&[0, 4, 0]).await.unwrap();
        let closed = quic.closed().await;
        assert_eq!(application_code(&closed), Some(STREAM_CREATION_ERROR), "{closed}");
    };
    let both = async { tokio::join!(draining, asks) };
    let (drained, ()) = tokio::time::timeout(A_MINUTE, both).await.expect("it is held");
    assert_eq!(drained.cut, 0);
}

/// Limit: `ConnLimits::write_timeout`, of what is said before the end.
#[tokio::test]
async fn a_connection_that_grants_no_room_for_a_goaway_is_closed() {
    let mut limits = ConnLimits::default();
    limits.idle_timeout = Duration::from_secs(1);
    limits.write_timeout = Duration::from_secs(1);
    let server = start_with(|builder| builder.limits(limits));
    let (quic, draining, _open) = without_room_for_a_goaway(&server).await;
    let both = async { tokio::join!(draining, quic.closed()) };
    tokio::time::timeout(A_MINUTE, both).await.expect("it is held");
}
