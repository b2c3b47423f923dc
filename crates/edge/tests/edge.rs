//! The whole edge: what a client sees, what the log says, what is counted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod support;

use std::time::Duration;

use headwater_cache::Cache;
use headwater_edge::{
    AccessLog, CacheResult, Edge, EdgeService, HeadersLayer, Metrics, NormaliseLayer,
};
use headwater_net::{Body, Clock, Protocol, Timestamp};
use http::{Request, Response, StatusCode};
use prometheus_client::registry::Registry;
use support::{LARGE, Lines, Origin, get, request};
use tower::ServiceExt;

struct Play {
    edge: EdgeService<Origin>,
    origin: Origin,
    log: AccessLog,
    lines: Lines,
    metrics: Metrics,
    clock: Clock,
    writer: Option<headwater_edge::LogWriter>,
}

fn play() -> Play {
    let clock = Clock::manual(Timestamp::from_secs(1_795_446_000));
    let lines = Lines::default();
    let (log, writer) = AccessLog::start(lines.clone(), 100).unwrap();
    let metrics = Metrics::default();
    let origin = Origin::default();
    let cache = Cache::builder().name("edge-1").clock(clock.clone()).build();
    let edge = Edge::builder()
        .cache(cache)
        .access_log(log.clone())
        .metrics(metrics.clone())
        .clock(clock.clone())
        .build(origin.clone());
    Play { edge, origin, log, lines, metrics, clock, writer: Some(writer) }
}

impl Play {
    async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.edge.clone().oneshot(request).await.unwrap_or_else(|never| match never {})
    }

    async fn read(&self, request: Request<Body>) -> (StatusCode, usize) {
        let response = self.send(request).await;
        let status = response.status();
        (status, response.into_body().collect(1 << 20).await.unwrap().len() as usize)
    }

    /// Ends the log and gives its lines.
    fn log_lines(&mut self) -> Vec<serde_json::Value> {
        self.writer.take().expect("the log has ended").finish();
        self.lines.json()
    }
}

#[tokio::test]
async fn a_hit_through_the_whole_stack() {
    let mut play = play();
    let miss = play.send(get("/small?t=1", Protocol::H2)).await;
    assert!(miss.headers()["cache-status"].to_str().unwrap().starts_with("edge-1; fwd=uri-miss"));
    assert_eq!(miss.into_body().collect(10).await.unwrap().to_bytes(), "small");
    play.clock.advance(Duration::from_secs(3));
    let hit = play.send(get("/small?t=1", Protocol::H3)).await;
    assert!(hit.headers()["cache-status"].to_str().unwrap().starts_with("edge-1; hit"));
    assert_eq!(
        (&hit.headers()["age"], &hit.headers()["x-content-type-options"]),
        (&"3".parse().unwrap(), &"nosniff".parse().unwrap())
    );
    assert!(matches!(hit.body(), Body::Full(_)), "a hit stays in memory, unboxed");
    drop(hit);
    assert_eq!(play.origin.seen.lock().unwrap().len(), 1);

    let lines = play.log_lines();
    assert_eq!(lines.len(), 2);
    let hit = &lines[1];
    for (key, value) in [
        ("time", "2026-11-23T15:00:03.000Z"),
        ("peer", "192.0.2.7:4711"),
        ("protocol", "h3"),
        ("method", "GET"),
        ("host", "video.example"),
        ("path", "/small"),
        ("cache", "hit"),
        ("end", "complete"),
        ("user_agent", "test \"player\""),
    ] {
        assert_eq!(hit[key], value, "{key}");
    }
    assert_eq!((hit["status"].as_u64(), hit["bytes"].as_u64()), (Some(200), Some(5)));
    assert!(hit["duration_us"].is_u64());
    assert_eq!(lines[0]["cache"], "miss");
    assert_eq!((play.log.written(), play.log.dropped()), (2, 0));
}

#[tokio::test]
async fn metrics_count_by_protocol_method_status_and_cache() {
    let play = play();
    for protocol in [Protocol::H1, Protocol::H3, Protocol::H3] {
        assert_eq!(play.read(get("/large", protocol)).await, (StatusCode::OK, LARGE));
    }
    assert_eq!(play.read(request("HEAD", "/large", Protocol::H1)).await.0, 200);
    assert_eq!(play.read(get("/gone", Protocol::H1)).await.0, 404);
    let metrics = &play.metrics;
    assert_eq!(metrics.requests(Some(Protocol::H3), Some(CacheResult::Hit)), 2);
    assert_eq!(metrics.requests(Some(Protocol::H1), None), 3);
    assert_eq!(metrics.requests(None, None), 5);
    assert_eq!(metrics.bytes(), 3 * LARGE as u64 + 13);
    assert_eq!(metrics.in_flight(), 0);

    let mut registry = Registry::default();
    metrics.register(&mut registry);
    play.log.register(&mut registry);
    let mut asked = http::HeaderMap::new();
    let page = headwater_edge::metrics::scrape(&registry, &asked);
    assert_eq!(page.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    asked.insert("accept", "application/openmetrics-text".parse().unwrap());
    let page = headwater_edge::metrics::scrape(&registry, &asked);
    assert!(
        page.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics")
    );
    let page = page.into_body().collect(1 << 20).await.unwrap().to_bytes();
    let page = std::str::from_utf8(&page).unwrap();
    for line in [
        r#"headwater_edge_requests_total{protocol="h3",method="get",status="2xx",cache="hit"} 2"#,
        r#"headwater_edge_requests_total{protocol="h1",method="head",status="2xx",cache="hit"} 1"#,
        r#"headwater_edge_requests_total{protocol="h1",method="get",status="4xx",cache="miss"} 1"#,
        r#"headwater_edge_response_bytes_total{protocol="h3",cache="hit"} 600000"#,
        r#"headwater_edge_first_byte_seconds_count{protocol="h3",cache="hit"} 2"#,
        r#"headwater_edge_first_byte_seconds_bucket{le="+Inf",protocol="h1",cache="hit"} 1"#,
        "headwater_edge_requests_in_flight 0",
        "headwater_edge_access_log_dropped_total 0",
        "# EOF",
    ] {
        assert!(page.lines().any(|known| known == line), "{line} is not in\n{page}");
    }
}

/// Limit: `NormaliseLayer::max_target`.
#[tokio::test]
async fn ambiguous_requests_never_reach_cache_or_origin() {
    let mut play = play();
    for path in ["/a/../small", "/%2e%2e/small", "/small%00", "/a%5c..%5csmall", "//small"] {
        let response = play.send(get(path, Protocol::H1)).await;
        assert_eq!(response.status(), 400, "{path}");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert!(!response.headers().contains_key("cache-status"));
    }
    let long = format!("/{}", "a".repeat(9000));
    assert_eq!(play.send(get(&long, Protocol::H1)).await.status(), 414);
    let mut nameless = get("/small", Protocol::H1);
    nameless.headers_mut().remove("host");
    assert_eq!(play.send(nameless).await.status(), 400);
    assert!(play.origin.seen.lock().unwrap().is_empty());
    let lines = play.log_lines();
    assert_eq!(lines.len(), 7);
    assert_eq!((&lines[0]["status"], &lines[0]["cache"]), (&400.into(), &"none".into()));
    let path = lines[5]["path"].as_str().unwrap();
    assert!(path.len() < 200 && path.ends_with('…'), "{path}");
}

#[tokio::test]
async fn equal_targets_share_one_object() {
    let play = play();
    play.read(get("/s%6dall", Protocol::H1)).await;
    let second = play.send(get("/small", Protocol::H1)).await;
    assert!(second.headers()["cache-status"].to_str().unwrap().contains("; hit"));
    assert_eq!(*play.origin.seen.lock().unwrap(), ["/small"]);
}

#[tokio::test]
async fn methods_that_change_things_stay_outside() {
    let play = play();
    for method in ["POST", "DELETE", "CONNECT", "PURGE"] {
        let response = play.send(request(method, "/small", Protocol::H1)).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["allow"]),
            (405, &"GET, HEAD, OPTIONS".parse().unwrap()),
            "{method}"
        );
    }
    assert!(play.origin.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_told_as_such() {
    let mut play = play();
    let response = play.send(get("/cut", Protocol::H2)).await;
    assert_eq!(response.status(), 200);
    assert!(response.into_body().collect(100).await.is_err());
    let large = play.send(get("/large", Protocol::H2)).await;
    assert_eq!(play.metrics.in_flight(), 1);
    drop(large);
    assert_eq!(play.metrics.in_flight(), 0);
    let lines = play.log_lines();
    assert_eq!((&lines[0]["end"], &lines[0]["bytes"]), (&"failed".into(), &4.into()));
    assert_eq!((&lines[1]["end"], &lines[1]["bytes"]), (&"aborted".into(), &0.into()));
}

/// Whether it comes from the upstream, the cache or the edge itself.
#[tokio::test]
async fn every_answer_carries_the_edges_headers_once() {
    let name = http::HeaderName::from_static("x-content-type-options");
    let ours = (http::HeaderName::from_static("x-ours"), "1".parse().unwrap());
    let headers = HeadersLayer::new([(name.clone(), "nosniff".parse().unwrap()), ours]);
    let edge = Edge::builder().headers(headers).build(Origin::default());
    let mut conditional = get("/small", Protocol::H2);
    conditional.headers_mut().insert("if-none-match", "*".parse().unwrap());
    for (request, status) in [
        (get("/small", Protocol::H2), 200),
        (get("/small", Protocol::H2), 200),
        (request("HEAD", "/small", Protocol::H2), 200),
        (said("/small", "range", "bytes=1-2"), 206),
        (said("/small", "range", "bytes=9-"), 416),
        (conditional, 304),
        (get("/gone", Protocol::H1), 404),
        (request("OPTIONS", "/gone", Protocol::H1), 404),
        (request("POST", "/small", Protocol::H1), 405),
        (get("/../small", Protocol::H1), 400),
    ] {
        let answer = ask(&edge, request).await;
        assert_eq!(answer.status(), status);
        for (name, value) in [(name.as_str(), "nosniff"), ("x-ours", "1")] {
            let values: Vec<_> = answer.headers().get_all(name).iter().collect();
            assert_eq!(values, [value], "{status}: {name}");
        }
    }
    // Where there is no answer to add them to.
    let nobody = tower::service_fn(|_: Request<Body>| async {
        Err::<Response<Body>, _>(std::io::Error::other("gone"))
    });
    let edge = Edge::builder().build(nobody);
    let answer = edge.oneshot(get("/small", Protocol::H3)).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()[&name]),
        (502, &"nosniff".parse().unwrap())
    );
}

const DIRECTIVES: [(&str, &str); 5] = [
    ("cache-control", "no-cache"),
    ("cache-control", "no-store"),
    ("cache-control", "max-age=0"),
    ("cache-control", "only-if-cached"),
    ("pragma", "no-cache"),
];

fn said(path: &str, name: &'static str, value: &str) -> Request<Body> {
    let mut request = get(path, Protocol::H2);
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

async fn ask(edge: &EdgeService<Origin>, request: Request<Body>) -> Response<Body> {
    let answer = edge.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
    let (head, body) = answer.into_parts();
    Response::from_parts(head, Body::from(body.collect(1 << 20).await.unwrap().to_bytes()))
}

/// RFC 9111 §5.2.1: what strangers say of caching moves neither this cache nor those behind it.
#[tokio::test]
async fn strangers_do_not_decide_what_is_fetched_again() {
    // A cache that would listen, and the edge's own.
    let listening = Edge::builder().cache(Cache::builder().build());
    for builder in [listening, Edge::builder()] {
        let origin = Origin::default();
        let edge = builder.build(origin.clone());
        assert_eq!(
            ask(&edge, said("/small", "cache-control", "only-if-cached")).await.status(),
            200
        );
        for (name, value) in DIRECTIVES {
            let answer = ask(&edge, said("/small", name, value)).await;
            let status = answer.headers()["cache-status"].to_str().unwrap();
            assert!(status.contains("; hit"), "{name}: {value}: {status}");
            assert_eq!(ask(&edge, said("/gone", name, value)).await.status(), 404);
        }
        assert_eq!(origin.seen.lock().unwrap().iter().filter(|p| *p == "/small").count(), 1);
        for headers in origin.headers.lock().unwrap().iter() {
            assert!(!headers.contains_key("cache-control") && !headers.contains_key("pragma"));
        }
    }
    // The edge's own cache does not listen even where the fields are kept; another may.
    for (own, fetches) in [(true, 1), (false, 2)] {
        let origin = Origin::default();
        let keep = Edge::builder().normalise(NormaliseLayer::new().keep_cache_control(true));
        let keep = if own { keep } else { keep.cache(Cache::builder().build()) };
        let edge = keep.build(origin.clone());
        ask(&edge, get("/small", Protocol::H1)).await;
        ask(&edge, said("/small", "cache-control", "no-cache")).await;
        assert_eq!(origin.seen.lock().unwrap().len(), fetches);
    }
}

#[tokio::test]
async fn made_up_hosts_multiply_nothing() {
    let origin = Origin::default();
    let hosts = NormaliseLayer::new().hosts(["Video.Example", "video.example:8443"]);
    let edge = Edge::builder().normalise(hosts).build(origin.clone());
    for host in [
        "video.example",
        "VIDEO.example",
        "video.example:8443",
        "video.example.",
        "VIDEO.example.:8443",
    ] {
        assert_eq!(ask(&edge, said("/small", "host", host)).await.status(), 200, "{host}");
    }
    for absolute in ["https://video.example/small", "https://video.example./small"] {
        let absolute = Request::get(absolute).body(Body::empty()).unwrap();
        assert_eq!(ask(&edge, absolute).await.status(), 200);
    }
    assert_eq!(origin.seen.lock().unwrap().len(), 2);
    for host in ["a.example", "a.example.", "video.example:81", "x.video.example"] {
        let answer = ask(&edge, said("/small", "host", host)).await;
        assert_eq!(answer.status(), 421, "{host}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }
    let absolute = Request::get("https://a.example/small").body(Body::empty()).unwrap();
    assert_eq!(ask(&edge, absolute).await.status(), 421);
    assert_eq!(origin.seen.lock().unwrap().len(), 2);
    // By default any host is served.
    let any = Edge::builder().build(Origin::default());
    assert_eq!(ask(&any, said("/small", "host", "a.example")).await.status(), 200);
}

/// RFC 9110 §12.5.3: a hundred ways to say it are two variants.
#[tokio::test]
async fn accept_encoding_makes_two_variants_at_most() {
    let ways =
        ["gzip", "gzip, deflate, br, zstd", "br, GZIP;q=0.3", "*", "br", "gzip;q=0", "identity"];
    for (keep, fetches) in [(false, 2), (true, ways.len())] {
        let origin = Origin::default();
        let layer = NormaliseLayer::new().keep_accept_encoding(keep);
        let edge = Edge::builder().normalise(layer).build(origin.clone());
        for way in ways {
            let answer = ask(&edge, said("/varies", "accept-encoding", way)).await;
            assert_eq!(answer.status(), 200);
        }
        if !keep {
            ask(&edge, get("/varies", Protocol::H3)).await;
        }
        let seen: Vec<_> = origin
            .headers
            .lock()
            .unwrap()
            .iter()
            .map(|headers| headers["accept-encoding"].to_str().unwrap().to_owned())
            .collect();
        assert_eq!(seen.len(), fetches, "{seen:?}");
        if !keep {
            assert_eq!(seen, ["gzip", "identity"]);
        }
    }
}

/// What no key knows of does not reach an origin that may heed it: else one client would choose
/// what the next one gets.
#[tokio::test]
async fn fields_that_no_key_knows_of_reach_no_origin() {
    let fields = ["x-forwarded-host", "x-original-url", "x-http-method-override", "forwarded"];
    for keep in [false, true] {
        let origin = Origin::default();
        let layer = NormaliseLayer::new().keep_unkeyed(keep);
        let edge = Edge::builder().normalise(layer).build(origin.clone());
        let mut poisoned = get("/small", Protocol::H1);
        for name in fields {
            poisoned.headers_mut().insert(name, "evil".parse().unwrap());
        }
        assert_eq!(ask(&edge, poisoned).await.status(), 200);
        let headers = origin.headers.lock().unwrap();
        for name in fields {
            assert_eq!(headers[0].contains_key(name), keep, "{name}");
        }
    }
}
