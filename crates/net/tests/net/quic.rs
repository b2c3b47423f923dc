//! QUIC below HTTP/3: versions, keys, addresses, silence.

use std::net::UdpSocket;
use std::time::Duration;

use headwater_net::Protocol;
use headwater_net::server::QuicConfig;

use crate::client::{Client, H3};
use crate::http3_frames::{addr, first_packet};
use crate::relay::{Relay, is_long};
use crate::service::{Running, short_limits, start, start_with, until};

const INITIAL: u8 = 0;
const RETRY: u8 = 3;

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket
}

/// The first datagram that comes back for one.
fn answer(server: &Running, datagram: &[u8]) -> Vec<u8> {
    let socket = socket();
    socket.send_to(datagram, addr(server)).unwrap();
    let mut answer = vec![0; 2000];
    let len = socket.recv(&mut answer).unwrap();
    answer.truncate(len);
    answer
}

#[test]
fn rfc_9000_6_who_speaks_another_version_is_told_ours() {
    let server = start();
    let mut hello = vec![0xc0];
    hello.extend(0x1a2a_3a4a_u32.to_be_bytes());
    hello.extend([8, 1, 2, 3, 4, 5, 6, 7, 8, 3, 9, 9, 9]);
    hello.resize(1200, 0);
    let told = answer(&server, &hello);
    assert!(told[0] & 0x80 != 0 && told[1..5] == [0; 4], "Version Negotiation: {told:x?}");
    // IDs change places.
    assert_eq!(told[5..18], [3, 9, 9, 9, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert!(told[18..].chunks(4).any(|version| version == [0, 0, 0, 1]), "{told:x?}");
}

#[tokio::test]
async fn rfc_9001_6_keys_change_while_answers_flow() {
    let server = start();
    let client = Client::new(&server, Protocol::H3).await;
    let Client::H3(h3) = &client else { unreachable!() };
    for _ in 0..5 {
        let (answer, ()) = tokio::join!(client.get("/bytes/300000"), async {
            h3.quic.force_key_update();
        });
        assert_eq!(answer.unwrap().body.len(), 300_000);
    }
    assert!(h3.quic.close_reason().is_none());
}

#[tokio::test]
async fn rfc_9000_8_1_an_address_that_says_no_more_gets_three_times_as_much() {
    let server = start_with(|builder| builder.limits(short_limits()));
    let first = first_packet(&server.tls).await;
    let socket = socket();
    socket.send_to(&first, addr(&server)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let (mut came, mut datagram) = (0, [0; 2000]);
    while let Ok(len) = socket.recv(&mut datagram) {
        came += len;
        assert!(came <= 3 * first.len(), "{came} bytes for {}", first.len());
    }
    assert!(came > 0);
    let metrics = server.handle.metrics();
    until("given up", || metrics.handshakes_failed(Protocol::H3) == 1).await;
}

#[tokio::test]
async fn from_some_handshakes_on_addresses_must_be_shown() {
    let mut config = QuicConfig::default();
    config.retry_above = 2;
    let server = start_with(|builder| builder.quic(config).workers(1));
    let mut answers = Vec::new();
    for _ in 0..5 {
        let first = first_packet(&server.tls).await;
        answers.push(answer(&server, &first));
    }
    for (at, answer) in answers.iter().enumerate() {
        let expected = if at < 2 { INITIAL } else { RETRY };
        assert!(is_long(answer, expected), "answer {at}: {:x}", answer[0]);
    }
    // Who shows it is served meanwhile.
    let client = Client::new(&server, Protocol::H3).await;
    assert_eq!(client.get("/bytes/5").await.unwrap().body.len(), 5);
}

/// A client that moves retires the ID of its old path. What is read for that afterwards was sent before.
#[tokio::test]
async fn rfc_9000_10_3_1_what_comes_late_for_a_retired_id_is_not_answered() {
    let server = start_with(|builder| builder.workers(1));
    let relay = Relay::new(addr(&server)).await;
    let h3 = H3::connect(relay.addr, "localhost", &server.tls).await;
    let (endpoint, quic) = (h3.endpoint.clone(), h3.quic.clone());
    let client = Client::H3(Box::new(h3));
    // The IDs in short headers, in the order in which they came.
    let ids = || {
        let mut ids: Vec<[u8; 8]> = Vec::new();
        for datagram in relay.flight().iter().filter(|datagram| datagram[0] & 0x80 == 0) {
            let id = datagram[1..9].try_into().unwrap();
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids
    };
    assert_eq!(client.get("/bytes/5").await.unwrap().body.len(), 5);
    endpoint.rebind(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
    assert_eq!(client.get("/bytes/5").await.unwrap().body.len(), 5);
    let retired = || quic.stats().frame_tx.retire_connection_id > 0 && ids().len() > 1;
    until("the move", retired).await;
    assert_eq!(client.get("/bytes/5").await.unwrap().body.len(), 5);

    let datagram = |id: &[u8]| [&[0x40][..], id, &[7; 100]].concat();
    let (late, stranger) = (socket(), socket());
    late.send_to(&datagram(&ids()[0]), addr(&server)).unwrap();
    stranger.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let (mut answer, mut tries) = ([0; 2000], 0);
    // Resets are rare by intent. One worker answers in the order in which it is asked.
    let reset = loop {
        stranger.send_to(&datagram(b"whatever"), addr(&server)).unwrap();
        if let Ok(len) = stranger.recv(&mut answer) {
            break len;
        }
        tries += 1;
        assert!(tries < 600, "an ID that nobody knows is reset");
    };
    assert!((21..109).contains(&reset), "{reset} bytes");
    late.set_nonblocking(true).unwrap();
    assert!(late.recv(&mut answer).is_err(), "the client would believe it");
    assert_eq!(client.get("/bytes/5").await.unwrap().body.len(), 5);
}

#[tokio::test]
async fn rfc_9000_10_1_silence_ends_a_connection() {
    let mut config = QuicConfig::default();
    config.idle_timeout = Duration::from_secs(2);
    let server = start_with(|builder| builder.quic(config));
    let client = Client::new(&server, Protocol::H3).await;
    client.get("/bytes/5").await.unwrap();
    let metrics = server.handle.metrics();
    assert_eq!(metrics.connections_accepted(Protocol::H3), 1);
    until("it is gone", || metrics.connections_open(Protocol::H3) == 0).await;
}

#[tokio::test]
async fn a_connection_s_path_is_known_while_it_lives() {
    let server = start();
    let client = Client::new(&server, Protocol::H3).await;
    client.get("/bytes/300000").await.unwrap();
    is_a_path(&client.get("/path").await.unwrap().body);
}

/// Where the kernel tells of it.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_connection_s_path_is_known_on_tcp_and_over_tls() {
    let server = start();
    for protocol in [Protocol::H1, Protocol::H2] {
        let client = Client::new(&server, protocol).await;
        client.get("/bytes/300000").await.unwrap();
        is_a_path(&client.get("/path").await.unwrap().body);
    }
    let plain = format!("http://127.0.0.1:{}/path", server.plain_port());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    is_a_path(&client.get(plain).send().await.unwrap().bytes().await.unwrap());
}

/// Whether `/path` says what can be.
fn is_a_path(said: &[u8]) {
    let said = std::str::from_utf8(said).unwrap();
    let numbers: Vec<u64> = said.split(' ').map(|number| number.parse().unwrap()).collect();
    let [rtt, window, rate] = numbers[..] else { panic!("{said}") };
    assert!(rtt > 0 && rtt < 60_000_000, "{rtt} µs");
    assert!(window >= 5_000, "{window} bytes");
    // The rate is of the whole round trip, and not of its microseconds.
    let expected = window * 1_000_000 / rtt;
    assert!(rate > expected / 2 && rate < expected * 2, "{rate} bytes a second, not {expected}");
}
