//! HTTP/3 and QUIC spoken by hand, byte for byte.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use headwater_net::Protocol;
use headwater_net::server::{Ended, QuicConfig, Refused, Tls};
use quinn::{Connection, ConnectionError, Endpoint, ReadError, ReadToEndError, RecvStream};

use crate::client::{Client, H3, quic, quic_config, quic_with};
use crate::relay::Relay;
use crate::service::{Running, pattern, start, start_with, until};

pub(crate) const REQUEST_REJECTED: u32 = 0x10b;
const FRAME_ERROR: u32 = 0x106;
const EXCESSIVE_LOAD: u32 = 0x107;

/// A connection with the client's control stream on it.
pub(crate) async fn connect(server: &Running) -> (Endpoint, Connection, quinn::SendStream) {
    let (endpoint, quic) = quic(addr(server), "localhost", &server.tls).await;
    let mut control = quic.open_uni().await.unwrap();
    // A control stream, and SETTINGS that set nothing.
    control.write_all(&[0, 4, 0]).await.unwrap();
    (endpoint, quic, control)
}

pub(crate) fn addr(server: &Running) -> SocketAddr {
    server.handle.https_addrs()[0]
}

/// A HEADERS frame in QPACK's static table (RFC 9204 appendix A).
pub(crate) fn headers(post: bool, path: &str) -> Vec<u8> {
    prioritised(post, path, "")
}

/// The same with a `priority`.
fn prioritised(post: bool, path: &str, priority: &str) -> Vec<u8> {
    let fields: &[(&str, &str)] = &[("priority", priority)];
    with_fields(post, path, if priority.is_empty() { &[] } else { fields })
}

/// The same with fields, each a literal with a literal name (RFC 9204 §4.5.6).
fn with_fields(post: bool, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    // `:method` POST (20) or GET (17), `:scheme` https (23).
    let mut section = vec![0, 0, if post { 0xd4 } else { 0xd1 }, 0xd7];
    section.extend_from_slice(&[0x50, 9]);
    section.extend_from_slice(b"localhost");
    section.extend_from_slice(&[0x51, u8::try_from(path.len()).unwrap()]);
    section.extend_from_slice(path.as_bytes());
    for (name, value) in fields {
        let len = u8::try_from(name.len()).unwrap();
        // The name's length: what the prefix of three bits holds, and the rest.
        match len.checked_sub(7) {
            Some(rest) => section.extend_from_slice(&[0x27, rest]),
            None => section.push(0x20 | len),
        }
        section.extend_from_slice(name.as_bytes());
        section.push(u8::try_from(value.len()).unwrap());
        section.extend_from_slice(value.as_bytes());
    }
    // RFC 9000 §16: two bytes of length.
    let len = 0x4000 | u16::try_from(section.len()).unwrap();
    let mut frame = vec![1];
    frame.extend_from_slice(&len.to_be_bytes());
    frame.append(&mut section);
    frame
}

/// Posts `body`, frames as they are, to `/count`, each on its own after the last has been read, and
/// reads the whole answer.
async fn post(quic: &Connection, frames: &[&[u8]]) -> Result<Vec<u8>, ReadToEndError> {
    let (mut send, mut recv) = quic.open_bi().await.unwrap();
    send.write_all(&headers(true, "/count")).await.unwrap();
    for frame in frames {
        // In a packet of its own, most of the time.
        tokio::time::sleep(Duration::from_millis(10)).await;
        send.write_all(frame).await.unwrap();
    }
    send.finish().unwrap();
    recv.read_to_end(10_000).await
}

pub(crate) fn application_code(error: &ConnectionError) -> Option<u32> {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            u32::try_from(close.error_code.into_inner()).ok()
        }
        _ => None,
    }
}

#[tokio::test]
async fn an_empty_data_frame_is_not_the_end() {
    let server = start();
    let (_endpoint, quic, _control) = connect(&server).await;
    for (frames, len) in [
        (&[&b"\0\0\0\x05hello"[..]][..], "5 bytes"),
        (&[b"\0\0", b"\0\x05hello", b"\0\0\0\0\0\x01!"], "6 bytes"),
        // A frame of a reserved type in between, and nothing but empty ones.
        (&[b"\0\0\x21\x02ab", b"\0\x02hi"], "2 bytes"),
        (&[b"\0\0", b"\0\0"], "0 bytes"),
    ] {
        let answer = post(&quic, frames).await.unwrap();
        assert!(answer.ends_with(len.as_bytes()), "{frames:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_request_that_ends_inside_a_frame_is_an_error_of_the_connection() {
    let server = start();
    for frames in [
        &[&b"\0\x05"[..]][..],
        &[b"\0\x05he"],
        &[b"\0\x05", b"he"],
        &[b"\0\x02he\0"],
        &[b"\0\0\0\x05"],
    ] {
        let (_endpoint, quic, _control) = connect(&server).await;
        let answer = post(&quic, frames).await;
        assert!(answer.is_err(), "{frames:?}: {answer:?}");
        let closed = quic.closed().await;
        assert_eq!(application_code(&closed), Some(FRAME_ERROR), "{frames:?}: {closed}");
    }
}

/// Limit: `connection::WASTED_STREAMS`.
#[tokio::test]
async fn streams_without_requests_are_counted() {
    let server = start();
    let (_endpoint, quic, _control) = connect(&server).await;
    let mut opened = 0u32;
    let closed = loop {
        match quic.open_bi().await {
            Ok((mut send, mut recv)) => {
                opened += 1;
                if send.finish().is_ok() {
                    let _ = recv.read_to_end(1000).await;
                }
            }
            Err(error) => break error,
        }
        assert!(opened < 2000, "no end");
    };
    assert_eq!(application_code(&closed), Some(EXCESSIVE_LOAD), "{closed}");
    assert!(opened > 100, "an honest client may cancel some");
    assert_eq!(server.handle.metrics().connections_ended(Ended::Flood), 1);
}

/// The frames of the server's control stream after its SETTINGS: the ids of its GOAWAYs.
pub(crate) async fn goaway(control: &mut RecvStream) -> u64 {
    let (kind, _) = (var_int(control).await, var_int(control).await);
    assert_eq!(kind, 7, "a GOAWAY");
    var_int(control).await
}

async fn var_int(stream: &mut RecvStream) -> u64 {
    let mut bytes = [0; 8];
    stream.read_exact(&mut bytes[..1]).await.unwrap();
    let len = 1 << (bytes[0] >> 6);
    bytes[0] &= 0x3f;
    stream.read_exact(&mut bytes[1..len]).await.unwrap();
    bytes[..len].iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// The server's control stream, past its SETTINGS.
pub(crate) async fn server_control(quic: &Connection) -> RecvStream {
    loop {
        let mut stream = quic.accept_uni().await.unwrap();
        if var_int(&mut stream).await == 0 {
            assert_eq!(var_int(&mut stream).await, 4, "SETTINGS come first");
            let mut settings = vec![0; usize::try_from(var_int(&mut stream).await).unwrap()];
            stream.read_exact(&mut settings).await.unwrap();
            return stream;
        }
    }
}

#[tokio::test]
async fn the_request_a_goaway_names_is_not_taken() {
    let server = start();
    let (_endpoint, quic, _control) = connect(&server).await;
    let mut control = server_control(&quic).await;
    let (mut send, mut recv) = quic.open_bi().await.unwrap();
    send.write_all(&headers(false, "/wait")).await.unwrap();
    send.finish().unwrap();
    let waiting = &server.play.waiting;
    until("it waits", || waiting.load(Ordering::SeqCst) == 1).await;
    let drain = server.handle.drain(Duration::from_secs(60));
    let talk = async {
        assert!(goaway(&mut control).await > 1 << 40, "refuses nothing");
        assert_eq!(goaway(&mut control).await, 4, "took stream 0 only");
        let (mut late, mut refused) = quic.open_bi().await.unwrap();
        late.write_all(&headers(false, "/bytes/5")).await.unwrap();
        let error = refused.read_to_end(1000).await.unwrap_err();
        let rejected = ReadToEndError::Read(ReadError::Reset(REQUEST_REJECTED.into()));
        assert_eq!(error, rejected);
        server.play.gate.add_permits(1);
        assert!(recv.read_to_end(400_000).await.unwrap().len() > 300_000);
    };
    let (drained, ()) = tokio::join!(drain, talk);
    assert_eq!(drained.cut, 0);
}

/// Limit: `ConnLimits::write_timeout`.
#[tokio::test]
async fn a_stream_whose_client_does_not_read_is_reset() {
    let mut limits = headwater_net::server::ConnLimits::default();
    limits.write_timeout = Duration::from_millis(200);
    let server = start_with(|builder| builder.limits(limits));
    let client = H3::connect(addr(&server), "localhost", &server.tls).await;
    let (mut send, mut unread) = client.quic.open_bi().await.unwrap();
    send.write_all(&headers(false, "/endless")).await.unwrap();
    send.finish().unwrap();
    let waiting = &server.play.waiting;
    until("it began", || waiting.load(Ordering::SeqCst) == 1).await;
    until("it was given up", || waiting.load(Ordering::SeqCst) == 0).await;
    assert!(matches!(
        unread.read_to_end(100 << 20).await,
        Err(ReadToEndError::Read(ReadError::Reset(_)))
    ));
    assert_eq!(Client::H3(Box::new(client)).get("/bytes/5").await.unwrap().body.len(), 5);
}

/// Limit: `ConnLimits::min_rate`.
#[tokio::test]
async fn a_stream_whose_client_reads_too_slowly_is_reset() {
    let mut limits = headwater_net::server::ConnLimits::default();
    limits.write_timeout = Duration::from_secs(2);
    limits.min_rate = 1 << 20;
    let server = start_with(|builder| builder.limits(limits));
    let mut transport = quinn::TransportConfig::default();
    transport.stream_receive_window((64u32 << 10).into());
    let (_endpoint, quic) = quic_with(addr(&server), "localhost", &server.tls, transport).await;
    let mut control = quic.open_uni().await.unwrap();
    control.write_all(&[0, 4, 0]).await.unwrap();
    let (mut send, mut recv) = quic.open_bi().await.unwrap();
    send.write_all(&headers(false, "/bytes/2097152")).await.unwrap();
    send.finish().unwrap();
    let mut piece = [0; 4 << 10];
    let end = loop {
        match recv.read(&mut piece).await {
            Ok(Some(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
            end => break end,
        }
    };
    assert!(matches!(end, Err(ReadError::Reset(_))), "{end:?}");
    // The connection goes on.
    let (mut send, mut recv) = quic.open_bi().await.unwrap();
    send.write_all(&headers(false, "/bytes/5")).await.unwrap();
    send.finish().unwrap();
    assert!(recv.read_to_end(1000).await.unwrap().ends_with(&pattern(5)));
}

/// Limit: `ConnLimits::max_body`.
#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_answered_413() {
    let mut limits = headwater_net::server::ConnLimits::default();
    limits.max_body = 10;
    let server = start_with(|builder| builder.limits(limits));
    let (_endpoint, quic, _control) = connect(&server).await;
    for (length, refused) in [("11", true), ("10", false)] {
        let (mut send, mut recv) = quic.open_bi().await.unwrap();
        let head = with_fields(true, "/count", &[("content-length", length)]);
        send.write_all(&head).await.unwrap();
        if !refused {
            send.write_all(b"\0\x0a0123456789").await.unwrap();
            send.finish().unwrap();
        }
        // One that is refused has sent nothing of it yet.
        let answer = recv.read_to_end(10_000).await.unwrap();
        let text = String::from_utf8_lossy(&answer);
        assert_eq!(text.contains("413") && text.contains("at most 10 bytes"), refused, "{text}");
    }
}

/// Limit: `ConnLimits::max_headers`.
#[tokio::test]
async fn fields_that_are_too_many_are_answered_431() {
    let server = start();
    let (_endpoint, quic, _control) = connect(&server).await;
    for (count, refused) in [(101, true), (100, false)] {
        let (mut send, mut recv) = quic.open_bi().await.unwrap();
        let head = with_fields(false, "/bytes/5", &vec![("x-a", "1"); count]);
        send.write_all(&head).await.unwrap();
        send.finish().unwrap();
        let answer = recv.read_to_end(10_000).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer).contains("431"), refused, "{answer:?}");
        assert_eq!(answer.ends_with(&pattern(5)), !refused);
    }
}

/// The first packet of a client, sent to the server from an address that says no more.
fn answer_to_a_first_packet(server: &Running, first: &[u8]) -> u8 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket.send_to(first, addr(server)).unwrap();
    let mut answer = [0; 2000];
    socket.recv(&mut answer).unwrap();
    // Without the fixed bit, which may be anything (RFC 9287).
    answer[0] & 0xb0
}

/// What a client sends first.
pub(crate) async fn first_packet(tls: &Tls) -> Vec<u8> {
    let nobody = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut packet = vec![0; 2000];
    let addr = nobody.local_addr().unwrap();
    tokio::select! {
        _ = quic(addr, "localhost", tls) => panic!("nobody is there"),
        len = nobody.recv(&mut packet) => packet.truncate(len.unwrap()),
    }
    packet
}

/// Limit: `QuicConfig::retry_above`.
#[tokio::test]
async fn above_some_handshakes_an_address_must_be_shown() {
    let mut config = QuicConfig::default();
    config.retry_above = 0;
    let wary = start_with(|builder| builder.quic(config));
    let first = first_packet(&wary.tls).await;
    assert_eq!(answer_to_a_first_packet(&wary, &first), 0xb0, "a Retry (RFC 9000 §17.2.5)");
    let client = Client::new(&wary, Protocol::H3).await;
    assert_eq!(client.get("/bytes/5").await.unwrap().body.len(), 5);
    assert_eq!(wary.handle.metrics().retries(), 2);
    let first = first_packet(&wary.tls).await;
    assert_eq!(answer_to_a_first_packet(&start(), &first), 0x80, "an Initial");
}

/// A flood of first packets: none of their senders ever says more.
///
/// A server with one worker and three places for handshakes, which never end by themselves.
fn three_handshakes() -> Running {
    let mut config = QuicConfig::default();
    config.max_handshakes = 3;
    config.retry_above = usize::MAX;
    let mut limits = headwater_net::server::ConnLimits::default();
    limits.handshake_timeout = Duration::from_secs(3600);
    start_with(|builder| builder.quic(config).limits(limits).workers(1))
}

/// Limit: `QuicConfig::max_handshakes`.
#[tokio::test]
async fn handshakes_under_way_are_counted_and_one_too_many_is_refused() {
    let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    // Each has a second: where this machine takes longer than that for three, again.
    for _ in 0..60 {
        let server = three_handshakes();
        let metrics = server.handle.metrics();
        for _ in 0..3 {
            let first = first_packet(&server.tls).await;
            assert_eq!(answer_to_a_first_packet(&server, &first), 0x80, "an Initial");
        }
        assert_eq!(metrics.connections_refused(), 0);
        let config = quic_config(&server.tls, quinn::TransportConfig::default());
        let connecting = endpoint.connect_with(config, addr(&server), "localhost").unwrap();
        if let Err(refused) = connecting.await {
            let ConnectionError::ConnectionClosed(close) = refused else { panic!("{refused}") };
            assert_eq!(close.error_code, quinn_refused(), "RFC 9000 §20.1");
            assert_eq!(metrics.connections_refused_for(Refused::Handshakes), 1);
            return;
        }
    }
    panic!("none is refused");
}

/// Limit: `QuicConfig::max_handshakes`.
#[tokio::test]
async fn handshakes_that_are_never_finished_give_way_to_who_comes() {
    let server = three_handshakes();
    let metrics = server.handle.metrics();
    for _ in 0..3 {
        let first = first_packet(&server.tls).await;
        answer_to_a_first_packet(&server, &first);
    }
    let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let config = quic_config(&server.tls, quinn::TransportConfig::default());
    let connect = || endpoint.connect_with(config.clone(), addr(&server), "localhost").unwrap();
    let served = async {
        while connect().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), served).await.expect("one gives way");
    assert!(metrics.connections_refused_for(Refused::Handshakes) > 0);
    assert_eq!(metrics.handshakes_failed(Protocol::H3), 0, "none came to its end");
}

fn quinn_refused() -> quinn::TransportErrorCode {
    quinn::TransportErrorCode::CONNECTION_REFUSED
}

#[tokio::test]
async fn unfinished_handshakes_take_no_connection_s_place() {
    let mut limits = headwater_net::server::ConnLimits::default();
    limits.max_connections = 1;
    let server = start_with(|builder| builder.limits(limits));
    for _ in 0..5 {
        let first = first_packet(&server.tls).await;
        answer_to_a_first_packet(&server, &first);
    }
    let client = Client::new(&server, Protocol::H1).await;
    assert_eq!(client.get("/bytes/5").await.unwrap().body.len(), 5);
}

/// RFC 9218 §10: what is urgent does not wait behind what came first and fills the window.
#[tokio::test]
async fn rfc_9218_the_most_urgent_overtakes_what_fills_the_window() {
    const LEN: usize = 1 << 20;
    let server = start();
    let mut transport = quinn::TransportConfig::default();
    transport.stream_receive_window((16u32 << 20).into());
    // A client that has room for little more than it has read.
    transport.receive_window((256u32 << 10).into());
    let (_endpoint, quic) = quic_with(addr(&server), "localhost", &server.tls, transport).await;
    let mut control = quic.open_uni().await.unwrap();
    control.write_all(&[0, 4, 0]).await.unwrap();
    let mut streams = Vec::new();
    let metrics = server.handle.metrics();
    for (at, (len, priority)) in
        [(8 * LEN, "u=5"), (8 * LEN, "u=5"), (8 * LEN, "u=5"), (LEN, "u=0")].into_iter().enumerate()
    {
        let (mut send, recv) = quic.open_bi().await.unwrap();
        send.write_all(&prioritised(false, &format!("/bytes/{len}"), priority)).await.unwrap();
        send.finish().unwrap();
        streams.push(recv);
        until("asked for", || metrics.requests(Protocol::H3) > at as u64).await;
    }
    let mut urgent = streams.pop().unwrap();
    let came = Arc::<AtomicUsize>::default();
    let others = streams.into_iter().map(|mut stream| {
        let came = Arc::clone(&came);
        tokio::spawn(async move {
            let mut piece = vec![0; 16 << 10];
            while let Ok(Some(read)) = stream.read(&mut piece).await {
                came.fetch_add(read, Ordering::SeqCst);
            }
        })
    });
    let others: Vec<_> = others.collect();
    assert!(urgent.read_to_end(2 * LEN).await.unwrap().len() > LEN);
    let came = came.load(Ordering::SeqCst);
    // By turns it would be three of theirs for each of its own, and in the order of asking, all. Whenever its
    // task is not there in time with more, something of theirs goes out.
    assert!(came < 2 * LEN, "{came} bytes of the others came first");
    others.iter().for_each(tokio::task::JoinHandle::abort);
}

/// When a client sends a PRIORITY_UPDATE.
#[derive(Clone, Copy)]
enum Update<'a> {
    Never,
    Before(&'a [u8]),
    /// When both answers were begun.
    Behind(&'a [u8]),
}

/// Asks for two large answers at once, and gives the bytes of the first that had come when the
/// second was whole. The client has room for both: only the network is narrow.
async fn overtaken(server: &Running, first: &str, second: &str, update: Update<'_>) -> usize {
    const LEN: usize = 2 << 20;
    let relay = Relay::new(addr(server)).await;
    let mut transport = quinn::TransportConfig::default();
    transport.stream_receive_window((16u32 << 20).into());
    let (_endpoint, quic) = quic_with(relay.addr, "localhost", &server.tls, transport).await;
    let mut control = quic.open_uni().await.unwrap();
    control.write_all(&[0, 4, 0]).await.unwrap();
    if let Update::Before(update) = update {
        control.write_all(update).await.unwrap();
    }
    let path = format!("/bytes/{LEN}");
    let mut streams = Vec::new();
    // No more than a first window of either gets out.
    relay.hold(matches!(update, Update::Behind(_)));
    for priority in [first, second] {
        let (mut send, recv) = quic.open_bi().await.unwrap();
        send.write_all(&prioritised(false, &path, priority)).await.unwrap();
        send.finish().unwrap();
        streams.push(recv);
    }
    let metrics = server.handle.metrics();
    until("both were asked for", || metrics.requests(Protocol::H3) == 2).await;
    if let Update::Behind(update) = update {
        control.write_all(update).await.unwrap();
        let sent = quic.stats().udp_tx.datagrams;
        until("it is on its way", || quic.stats().udp_tx.datagrams > sent).await;
        relay.hold(false);
    }
    let (mut fast, mut slow) = (streams.pop().unwrap(), streams.pop().unwrap());
    let (mut one, mut other) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let (mut came, mut fast_came) = (0, 0);
    loop {
        tokio::select! {
            read = slow.read(&mut one) => match read.unwrap() {
                Some(read) => came += read,
                None => return came,
            },
            read = fast.read(&mut other) => match read.unwrap() {
                Some(read) => fast_came += read,
                None => break,
            },
        }
    }
    assert!(fast_came > LEN);
    came
}

#[tokio::test]
async fn rfc_9218_the_more_urgent_answer_overtakes() {
    const HALF: usize = 1 << 20;
    let by_field = overtaken(&start(), "u=5", "u=1", Update::Never).await;
    assert!(by_field < HALF, "{by_field} bytes of the less urgent one came first");
    // PRIORITY_UPDATE (RFC 9218 §7.2): the second stream, 4, is the most urgent.
    let update = [&[0x80, 0x0f, 0x07, 0x00, 4, 4], &b"u=0"[..]].concat();
    let by_frame = overtaken(&start(), "", "", Update::Before(&update)).await;
    assert!(by_frame < HALF, "{by_frame} bytes of the other came first");
    // RFC 9218 §7: as long as the answer is on its way, though all of it lies in quinn, or waits for
    // room there.
    for window in [8 << 20, 256 << 10] {
        let mut config = QuicConfig::default();
        config.send_window = window;
        let server = start_with(|builder| builder.quic(config));
        let late = overtaken(&server, "", "", Update::Behind(&update)).await;
        assert!(late < HALF, "{late} bytes of the other came first, window {window}");
    }
    // The second does not overtake by itself.
    let equal = overtaken(&start(), "u=2", "u=2", Update::Never).await;
    assert!(equal > HALF, "{equal} bytes of the first had come");
}
