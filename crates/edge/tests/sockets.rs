//! The edge behind real sockets: a listener before it, a client to an origin behind it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod support;

use std::time::Duration;

use headwater_cache::Cache;
use headwater_edge::{CacheResult, Edge, Metrics};
use headwater_net::Protocol;
use headwater_net::client::Upstream;
use headwater_net::server::Server;
use support::{LARGE, Origin, eventually};

#[tokio::test]
async fn from_a_client_through_the_edge_to_an_origin_and_back() {
    let origin = Origin::default();
    let seen = origin.seen.clone();
    let far =
        Server::builder().http("127.0.0.1:0").workers(1).serve(move |_| origin.clone()).unwrap();
    let upstream = Upstream::builder(format!("http://{}", far.http_addrs()[0])).build().unwrap();
    let metrics = Metrics::default();
    let cache = Cache::builder().name("near").build();
    let edge = Edge::builder().cache(cache).metrics(metrics.clone());
    let near = Server::builder()
        .http("127.0.0.1:0")
        .workers(2)
        .serve(move |_| edge.build(upstream.clone()))
        .unwrap();
    let url = format!("http://{}/large", near.http_addrs()[0]);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for (at, status) in ["near; fwd=uri-miss", "near; hit", "near; hit"].iter().enumerate() {
        let response = client.get(&url).send().await.unwrap();
        let said = response.headers()["cache-status"].to_str().unwrap().to_owned();
        assert!(said.starts_with(status), "{at}: {said}");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert_eq!(response.bytes().await.unwrap(), vec![7; LARGE]);
    }
    assert_eq!(*seen.lock().unwrap(), ["/large"]);
    assert_eq!(client.get(url + "/a%2F..%5cb").send().await.unwrap().status(), 400);
    // A client may see the last byte before the server has counted it.
    eventually("all is counted", || metrics.in_flight() == 0).await;
    assert_eq!(metrics.requests(Some(Protocol::H1), Some(CacheResult::Hit)), 2);
    near.drain(Duration::from_secs(5)).await;
    let gone = client.get(format!("http://{}/large", near.http_addrs()[0])).send().await;
    assert!(gone.is_err());
    far.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn an_origin_that_is_not_there_is_a_problem_document() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let upstream = Upstream::builder(nobody).build().unwrap();
    let edge = Edge::builder().build(upstream);
    let answer = tower::ServiceExt::oneshot(edge, support::get("/x", Protocol::H2)).await.unwrap();
    assert_eq!(answer.status(), 502);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let text = answer.into_body().collect(1000).await.unwrap().to_bytes();
    assert!(!String::from_utf8_lossy(&text).contains("127.0.0.1"));
}
