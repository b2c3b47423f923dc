//! What breaks off never looks complete, and who goes away is noticed.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use headwater_net::Protocol;
use http::Method;

use crate::client::Client;
use crate::service::{start, until};

#[tokio::test]
async fn a_body_cut_short_upstream_is_never_complete() {
    let server = start();
    for protocol in Protocol::ALL {
        for how in ["known", "unknown", "short", "panic"] {
            let client = Client::new(&server, protocol).await;
            let answer = client.get(&format!("/cut/{how}")).await;
            assert!(answer.is_err(), "{protocol} {how}: looked complete");
            // Over H2 and H3 only the stream is lost; over H1 the next request opens anew.
            let after = client.get("/bytes/5").await;
            assert_eq!(after.expect("still served").body.len(), 5, "{protocol} {how}");
        }
    }
}

#[tokio::test]
async fn the_service_is_dropped_when_its_client_goes_away() {
    let server = start();
    let waiting = &server.play.waiting;
    for protocol in Protocol::ALL {
        for path in ["/forever", "/endless", "/silent"] {
            let client = Client::new(&server, protocol).await;
            begin(&client, path, waiting).await;
            drop(client);
            until(&format!("{protocol} {path} dropped"), || waiting.load(Ordering::SeqCst) == 0)
                .await;
        }
    }
}

#[tokio::test]
async fn a_cancelled_stream_drops_its_service_and_leaves_the_connection() {
    let server = start();
    let waiting = &server.play.waiting;
    for protocol in [Protocol::H2, Protocol::H3] {
        let client = Client::new(&server, protocol).await;
        client.get("/bytes/1").await.unwrap();
        for path in ["/forever", "/silent"] {
            begin(&client, path, waiting).await;
            until(&format!("{protocol} {path} dropped"), || waiting.load(Ordering::SeqCst) == 0)
                .await;
        }
        assert_eq!(client.get("/bytes/5").await.unwrap().body.len(), 5);
        assert_eq!(server.handle.metrics().connections_accepted(protocol), 1, "{protocol}");
    }
}

/// Asks for what has no end, and gives it up when the service has begun.
async fn begin(client: &Client, path: &str, waiting: &AtomicUsize) {
    tokio::select! {
        _ = client.send(Method::GET, path, Bytes::new()) => panic!("{path} has no end"),
        () = until("it arrived", || waiting.load(Ordering::SeqCst) == 1) => {}
    }
}
