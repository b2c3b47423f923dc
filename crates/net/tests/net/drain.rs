//! A drain lets what was begun finish and takes nothing new.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use headwater_net::Protocol;

use crate::client::Client;
use crate::service::{start, until};

#[tokio::test]
async fn a_drain_finishes_what_was_begun_and_refuses_the_rest() {
    let server = Arc::new(start());
    let mut begun = Vec::new();
    for protocol in Protocol::ALL {
        let client = Client::new(&server, protocol).await;
        begun.push(tokio::spawn(async move { (protocol, client.get("/wait").await) }));
    }
    let waiting = &server.play.waiting;
    until("three wait", || waiting.load(Ordering::SeqCst) == 3).await;
    let draining = tokio::spawn({
        let server = Arc::clone(&server);
        async move { server.handle.drain(Duration::from_secs(20)).await }
    });
    let addr = server.handle.https_addrs()[0];
    until("refuses", || TcpStream::connect(addr).is_err()).await;
    assert!(!draining.is_finished(), "requests are under way");
    server.play.gate.add_permits(3);
    for request in begun {
        let (protocol, answer) = request.await.unwrap();
        assert_eq!(answer.unwrap_or_else(|e| panic!("{protocol}: {e}")).body.len(), 300_000);
    }
    let drained = tokio::time::timeout(Duration::from_secs(10), draining).await.unwrap().unwrap();
    // The probes above may have been accepted too.
    assert!(drained.finished >= 3 && drained.cut == 0, "{drained:?}");
    // The port is free again, on TCP and on UDP.
    std::net::TcpListener::bind(addr).unwrap();
    std::net::UdpSocket::bind(addr).unwrap();
}

#[tokio::test]
async fn a_drain_cuts_what_outlasts_its_deadline() {
    let server = start();
    let mut begun = Vec::new();
    for protocol in Protocol::ALL {
        let client = Client::new(&server, protocol).await;
        begun.push(tokio::spawn(async move { client.get("/forever").await.is_err() }));
    }
    let waiting = &server.play.waiting;
    until("three wait", || waiting.load(Ordering::SeqCst) == 3).await;
    let drained = server.handle.drain(Duration::from_millis(100)).await;
    assert_eq!((drained.finished, drained.cut), (0, 3));
    for request in begun {
        assert!(request.await.unwrap(), "an answer that never was");
    }
}

#[tokio::test]
async fn an_answer_on_its_way_survives_the_drain() {
    // Written into QUIC's send window at once, acknowledged later: closing must wait for that.
    for _ in 0..5 {
        let server = start();
        let client = Client::new(&server, Protocol::H3).await;
        let fetch = tokio::spawn(async move { client.get("/bytes/6000000").await });
        let metrics = server.handle.metrics().clone();
        until("the request arrived", || metrics.requests(Protocol::H3) == 1).await;
        let drained = server.handle.drain(Duration::from_secs(10)).await;
        assert_eq!(drained.cut, 0);
        assert_eq!(fetch.await.unwrap().unwrap().body.len(), 6_000_000);
    }
}

#[tokio::test]
async fn dropping_the_handle_stops_the_server() {
    let server = start();
    let client = Client::new(&server, Protocol::H3).await;
    let addr = server.handle.https_addrs()[0];
    drop(server);
    until("the port is free", || std::net::TcpListener::bind(addr).is_ok()).await;
    assert!(client.get("/bytes/1").await.is_err());
}
