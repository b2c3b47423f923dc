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

#[tokio::test]
async fn a_scrape_tells_what_the_listeners_counted() {
    let counted = headwater_net::server::Metrics::new();
    let mut registry = prometheus_client::registry::Registry::default();
    headwater_edge::metrics::register_server(&counted, &mut registry);
    let scrape = headwater_edge::metrics::Scrape::new(registry);
    let mut limits = headwater_net::server::ConnLimits::default();
    limits.max_per_address = 1;
    let server = Server::builder()
        .http("127.0.0.1:0")
        .workers(1)
        .limits(limits)
        .metrics(counted)
        .serve(move |_| scrape.clone())
        .unwrap();
    let url = format!("http://{}/metrics", server.http_addrs()[0]);
    let client = || reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = |client: &reqwest::Client| {
        client.get(&url).header("accept", "application/openmetrics-text; version=1.0.0").send()
    };
    let first = client();
    assert!(ask(&first).await.unwrap().text().await.unwrap().ends_with("# EOF\n"));
    assert!(ask(&client()).await.is_err(), "one address has one connection");
    let page = ask(&first).await.unwrap().text().await.unwrap();
    for line in [
        "# TYPE headwater_server_requests counter",
        "# HELP headwater_server_connections_refused Connections turned away at a limit",
        "headwater_server_requests_total{protocol=\"h1\"} 2",
        "headwater_server_connections_total{protocol=\"h1\"} 1",
        "# TYPE headwater_server_connections_open gauge",
        "headwater_server_connections_open{protocol=\"h1\"} 1",
        "headwater_server_connections_refused_total{limit=\"connections\"} 0",
        "headwater_server_handshakes_failed_total{transport=\"quic\"} 0",
        "headwater_server_connections_ended_total{reason=\"flood\"} 0",
        "headwater_server_early_requests_total{handled=\"at_once\"} 0",
        "headwater_server_tickets_refused_total 0",
        "headwater_server_retries_total 0",
        "headwater_server_datagrams_passed_on_total 0",
    ] {
        assert!(page.lines().any(|said| said == line), "{line}: {page}");
    }
    // A client may try a refused connection once more.
    let refused = page.lines().find_map(|line| {
        line.strip_prefix("headwater_server_connections_refused_total{limit=\"address\"} ")
    });
    assert!(refused.unwrap().parse::<u64>().unwrap() >= 1, "{page}");
}
