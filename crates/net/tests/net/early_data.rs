//! 0-RTT (RFC 9001 §4.6, RFC 8470): what is answered before the handshake is done, what waits, and
//! what a recording of it is good for.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use headwater_net::server::{QuicConfig, ServerBuilder};
use http::Method;
use quinn::ClientConfig;

use crate::client::{Client, H3};
use crate::h3_client::{endpoint, visited};
use crate::relay::Relay;
use crate::service::{Running, start_with, until};

pub(crate) fn with_early_data(builder: ServerBuilder) -> ServerBuilder {
    let mut config = QuicConfig::default();
    config.early_data = true;
    builder.quic(config)
}

/// A client that has been here before, and its settings with what it remembers.
pub(crate) async fn known_client(server: &Running) -> ClientConfig {
    visited(server.handle.https_addrs()[0], &server.tls, "/bytes/5").await
}

/// A connection of such a client by which it may ask at once.
pub(crate) async fn return_to(
    relay: &Relay,
    config: &ClientConfig,
) -> (Client, quinn::ZeroRttAccepted) {
    let (h3, accepted) = H3::return_to(relay.addr, relay.addr, config).await;
    (Client::H3(Box::new(h3)), accepted)
}

async fn text(client: &Client, method: Method, path: &str, body: &'static [u8]) -> String {
    let answer = client.send(method, path, Bytes::from_static(body)).await.unwrap();
    String::from_utf8(answer.body.to_vec()).unwrap()
}

#[tokio::test]
async fn rfc_8470_safe_requests_are_answered_before_the_handshake_and_others_after() {
    let server = start_with(with_early_data);
    let metrics = server.handle.metrics();
    let config = known_client(&server).await;
    let relay = Relay::new(server.handle.https_addrs()[0]).await;
    relay.only_first_flight(true);
    let (client, accepted) = return_to(&relay, &config).await;

    // One is answered at once, one waits by the service's own will, one by the server's.
    let answered = AtomicBool::new(false);
    let asks = async {
        let text = text(&client, Method::GET, "/early", b"").await;
        answered.store(true, Ordering::SeqCst);
        text
    };
    let waits = text(&client, Method::GET, "/established", b"");
    let posts = text(&client, Method::POST, "/early", b"body");
    let release = async {
        let waiting = &server.play.waiting;
        until("one answered, one there, one held", || {
            answered.load(Ordering::SeqCst)
                && waiting.load(Ordering::SeqCst) == 1
                && metrics.early_requests_held() == 1
        })
        .await;
        assert_eq!(metrics.early_requests(), 2);
        relay.only_first_flight(false);
    };
    let (asked, waited, posted, ()) = tokio::join!(asks, waits, posts, release);
    assert_eq!((&*asked, &*waited, &*posted), ("early=true", "established=true", "early=false"));
    assert!(accepted.await);
    assert_eq!(text(&client, Method::GET, "/early", b"").await, "early=false");
    assert_eq!(metrics.tickets_refused(), 0);
    assert_eq!(metrics.handshakes_failed(headwater_net::Protocol::H3), 0);
}

/// Anybody may write a proxy's address on a first flight, and would be believed who it speaks for.
#[tokio::test]
async fn what_a_trusted_proxy_asks_waits_for_its_handshake() {
    let trusting = |builder: ServerBuilder| builder.forwarded_by("127.0.0.1".parse().unwrap());
    let server = start_with(|builder| trusting(with_early_data(builder)));
    let metrics = server.handle.metrics();
    let config = known_client(&server).await;
    let relay = Relay::new(server.handle.https_addrs()[0]).await;
    relay.only_first_flight(true);
    let (client, accepted) = return_to(&relay, &config).await;
    let asks = text(&client, Method::GET, "/early", b"");
    let release = async {
        until("it is held", || metrics.early_requests_held() == 1).await;
        relay.only_first_flight(false);
    };
    let (asked, ()) = tokio::join!(asks, release);
    assert_eq!(asked, "early=false");
    assert!(accepted.await);
}

#[tokio::test]
async fn rfc_8446_8_1_a_recorded_flight_is_good_for_nothing() {
    let server = start_with(with_early_data);
    let metrics = server.handle.metrics();
    let config = known_client(&server).await;
    let relay = Relay::new(server.handle.https_addrs()[0]).await;
    relay.only_first_flight(true);
    let (client, _accepted) = return_to(&relay, &config).await;
    assert_eq!(text(&client, Method::GET, "/early", b"").await, "early=true");
    let recorded = relay.flight();
    let Client::H3(h3) = &client else { unreachable!() };
    h3.quic.close(0u32.into(), b"");
    relay.only_first_flight(false);
    h3.endpoint.wait_idle().await;
    until("it is gone", || metrics.connections_open(headwater_net::Protocol::H3) == 0).await;

    let requests = metrics.requests(headwater_net::Protocol::H3);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let refused = || metrics.tickets_refused();
    for replay in 1..=600 {
        for datagram in &recorded {
            socket.send_to(datagram, server.handle.https_addrs()[0]).unwrap();
        }
        // While the closed connection drains, it swallows what was recorded of it.
        if refused() > 0 {
            break;
        }
        assert!(replay < 600, "the replay did not reach TLS");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(metrics.requests(headwater_net::Protocol::H3), requests, "nothing was answered");
    assert_eq!(metrics.early_requests(), 1);
}

#[tokio::test]
async fn workers_share_sessions() {
    let server = start_with(|builder| with_early_data(builder).workers(4));
    let metrics = server.handle.metrics();
    let config = known_client(&server).await;
    for visit in 1..=8 {
        let relay = Relay::new(server.handle.https_addrs()[0]).await;
        let (client, accepted) = return_to(&relay, &config).await;
        client.get("/bytes/5").await.unwrap();
        assert!(accepted.await, "visit {visit}");
        // New tickets come before this answer.
        client.get("/bytes/5").await.unwrap();
    }
    assert_eq!(metrics.tickets_refused(), 0);
}

#[tokio::test]
async fn unless_it_is_asked_for_nothing_is_early() {
    let server = start_with(|builder| builder);
    let config = known_client(&server).await;
    let addr = server.handle.https_addrs()[0];
    let connecting = endpoint(addr).connect_with(config, addr, "localhost").unwrap();
    assert!(connecting.into_0rtt().is_err(), "the ticket allows none");
}

#[tokio::test]
async fn a_handshake_that_is_never_done_ends_what_came_early() {
    let server = start_with(with_early_data);
    let metrics = server.handle.metrics();
    let config = known_client(&server).await;
    let mut limits = headwater_net::server::ConnLimits::default();
    limits.handshake_timeout = Duration::from_secs(3);
    server.handle.set_limits(&limits);
    let relay = Relay::new(server.handle.https_addrs()[0]).await;
    relay.only_first_flight(true);
    let (client, _accepted) = return_to(&relay, &config).await;
    assert_eq!(text(&client, Method::GET, "/early", b"").await, "early=true");
    assert!(client.send(Method::POST, "/early", Bytes::from_static(b"x")).await.is_err());
    until("closed", || metrics.connections_open(headwater_net::Protocol::H3) == 0).await;
    assert_eq!(metrics.handshakes_failed(headwater_net::Protocol::H3), 1);
}
