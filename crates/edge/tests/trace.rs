//! Traces: one over an edge, a shield and a packager, as a collector is told of it.
#![cfg(feature = "otel")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests may fail loudly")]

mod support;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater_edge::tokens::{Key, Places, TokenLayer, TokenRules, Verifier};
use headwater_edge::trace::{TRACEPARENT, TRACESTATE, TraceContext, TraceLayer, Tracer};
use headwater_edge::{Edge, metrics};
use headwater_net::client::Upstream;
use headwater_net::server::{Server, ServerHandle};
use headwater_net::{Body, Clock, Protocol};
use http::{Request, Response};
use prometheus_client::registry::Registry;
use serde_json::Value;
use support::{Origin, eventually, get};
use tower::{Layer, ServiceExt};

const SAID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A collector that keeps the spans it is told of, each with its service.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<(String, Value)>>>);

impl Collector {
    fn listen(&self) -> ServerHandle {
        let collector = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let collector = collector.clone();
            async move {
                assert_eq!(request.uri().path(), "/v1/traces");
                assert_eq!(request.headers()["content-type"], "application/json");
                let body = request.into_body().collect(1 << 20).await.unwrap().to_bytes();
                let told: Value = serde_json::from_slice(&body).unwrap();
                for resource in told["resourceSpans"].as_array().unwrap() {
                    let service = &resource["resource"]["attributes"][0]["value"]["stringValue"];
                    let spans = resource["scopeSpans"][0]["spans"].as_array().unwrap();
                    let named = spans
                        .iter()
                        .map(|span| (service.as_str().unwrap().to_owned(), span.clone()));
                    collector.0.lock().unwrap().extend(named);
                }
                Ok::<_, Infallible>(Response::new(Body::from("{}")))
            }
        });
        Server::builder().http("127.0.0.1:0").workers(1).serve(move |_| service.clone()).unwrap()
    }

    fn span(&self, of: &str) -> Option<Value> {
        let spans = self.0.lock().unwrap();
        spans.iter().find(|(service, _)| service == of).map(|(_, span)| span.clone())
    }
}

#[tokio::test]
async fn edge_shield_and_packager_are_one_trace_for_a_collector() {
    let collector = Collector::default();
    let listening = collector.listen();
    let layer = |service: &str, one_in, believes| {
        let (tracer, exporter) = Tracer::new(service, one_in, believes, 16, Clock::system());
        let client = Upstream::builder(format!("http://{}", listening.http_addrs()[0]));
        tokio::spawn(exporter.run(client.build().unwrap()));
        TraceLayer::new(tracer)
    };
    let origin = Origin::default();
    let packager = layer("packager", 0, true).layer(origin.clone());
    let shield = layer("shield", 0, true).layer(packager);
    let edge = layer("edge", 1, false).layer(Edge::builder().build(shield));
    let mut request = get("/small?token=SECRET", Protocol::H3);
    request.headers_mut().insert(TRACEPARENT, SAID.parse().unwrap());
    request.headers_mut().insert(TRACESTATE, "a=b".parse().unwrap());
    assert_eq!(edge.clone().oneshot(request).await.unwrap().status(), 200);
    eventually("all have told", || {
        ["edge", "shield", "packager"].iter().all(|of| collector.span(of).is_some())
    })
    .await;
    let [edge, shield, packager] =
        ["edge", "shield", "packager"].map(|of| collector.span(of).unwrap());
    assert!(edge.get("parentSpanId").is_none(), "strangers are not believed");
    assert_ne!(edge["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
    for (child, parent) in [(&shield, &edge), (&packager, &shield)] {
        assert_eq!(
            (&child["traceId"], &child["parentSpanId"]),
            (&parent["traceId"], &parent["spanId"])
        );
    }
    let came = origin.headers.lock().unwrap()[0].clone();
    let came_with = TraceContext::of(&came).unwrap();
    assert_eq!(format!("{:016x}", came_with.span), packager["spanId"].as_str().unwrap());
    assert!(!came.contains_key(TRACESTATE));
    let text = edge.to_string();
    assert!(text.contains("\"/small\"") && !text.contains("SECRET"), "{text}");
    let nanos = |key: &str| edge[key].as_str().unwrap().parse::<u128>().unwrap();
    assert!(nanos("startTimeUnixNano") <= nanos("endTimeUnixNano"));
    assert_eq!(edge["kind"], 2);
}

#[tokio::test]
async fn what_is_said_goes_on_where_it_is_believed_or_nobody_looks() {
    let origin = Origin::default();
    let (believing, _exporter) = Tracer::new("a", 0, true, 16, Clock::system());
    let (wary, _exporter) = Tracer::new("b", 0, false, 16, Clock::system());
    for (layer, came) in [
        (TraceLayer::off(), Some(SAID.to_owned())),
        (TraceLayer::new(wary), None),
        (TraceLayer::new(believing.clone()), Some(SAID.replace("-01", "-00"))),
    ] {
        let mut request = get("/small", Protocol::H1);
        let said = came.clone().unwrap_or_else(|| SAID.to_owned());
        request.headers_mut().insert(TRACEPARENT, said.parse().unwrap());
        layer.layer(origin.clone()).oneshot(request).await.unwrap();
        let headers = origin.headers.lock().unwrap().pop().unwrap();
        assert_eq!(headers.get(TRACEPARENT).map(|value| value.to_str().unwrap().to_owned()), came);
    }
    let mut request = get("/small", Protocol::H1);
    request.headers_mut().insert(TRACEPARENT, SAID.parse().unwrap());
    TraceLayer::new(believing).layer(origin.clone()).oneshot(request).await.unwrap();
    let child = TraceContext::of(&origin.headers.lock().unwrap().pop().unwrap()).unwrap();
    let said = TraceContext::parse(SAID.as_bytes()).unwrap();
    assert_eq!((child.trace, child.sampled), (said.trace, true));
    assert_ne!(child.span, said.span);
}

#[tokio::test]
async fn the_layer_works_around_an_axum_router() {
    let collector = Collector::default();
    let (tracer, exporter) = Tracer::new("app", 1, true, 16, Clock::system());
    let said = |headers: http::HeaderMap| async move {
        TraceContext::of(&headers).map(|said| format!("{:032x}", said.trace)).unwrap_or_default()
    };
    let app = axum::Router::new().route("/trace", axum::routing::get(said));
    let app = app.layer(TraceLayer::new(tracer));
    let request = Request::get("/trace").header(TRACEPARENT, SAID);
    let request = request.body(axum::body::Body::empty()).unwrap();
    let answer = app.oneshot(request).await.unwrap();
    let trace = axum::body::to_bytes(answer.into_body(), 100).await.unwrap();
    assert_eq!(trace, "4bf92f3577b34da6a3ce929d0e0e4736");
    let listening = collector.listen();
    let client = Upstream::builder(format!("http://{}", listening.http_addrs()[0]));
    exporter.run_until(client.build().unwrap(), std::future::ready(())).await;
    let span = collector.span("app").unwrap();
    assert_eq!(
        (&span["traceId"], &span["parentSpanId"]),
        (&"4bf92f3577b34da6a3ce929d0e0e4736".into(), &"00f067aa0ba902b7".into())
    );
}

/// As the layer's page says to put them together.
#[tokio::test]
async fn a_span_shows_no_token_of_a_path() {
    let collector = Collector::default();
    let listening = collector.listen();
    let (tracer, exporter) = Tracer::new("edge", 1, false, 16, Clock::system());
    let client = Upstream::builder(format!("http://{}", listening.http_addrs()[0]));
    tokio::spawn(exporter.run(client.build().unwrap()));
    let key = Key::signing("", b"a secret of thirty-two bytes, or more").unwrap();
    let places = Places::default().path("/t/");
    let tokens = TokenLayer::new(TokenRules::new(Verifier::new([key]).unwrap(), places));
    let edge = Edge::builder().tokens(tokens.clone()).build(Origin::default());
    let edge = tokens.take_paths(TraceLayer::new(tracer).layer(edge));
    let request = get("/t/SECRET/small?token=SECRET", Protocol::H3);
    assert_eq!(edge.oneshot(request).await.unwrap().status(), 401);
    eventually("it has told", || collector.span("edge").is_some()).await;
    let span = collector.span("edge").unwrap().to_string();
    assert!(span.contains("/small") && !span.contains("SECRET"), "{span}");
}

/// Limit: spans that may wait for a collector.
#[tokio::test]
async fn spans_that_find_no_place_are_dropped_and_counted() {
    let (tracer, _exporter) = Tracer::new("a", 1, false, 2, Clock::system());
    let mut registry = Registry::default();
    tracer.register(&mut registry);
    let service = TraceLayer::new(tracer).layer(Origin::default());
    for _ in 0..5 {
        service.clone().oneshot(get("/small", Protocol::H1)).await.unwrap();
    }
    let page = metrics::scrape(&registry, &http::HeaderMap::new())
        .into_body()
        .collect(1 << 16)
        .await
        .unwrap()
        .to_bytes();
    let page = std::str::from_utf8(&page).unwrap();
    assert!(page.contains("headwater_edge_spans_dropped_total 3"), "{page}");
}

/// What is told of spans.
async fn counted(tracer: &Tracer) -> String {
    let mut registry = Registry::default();
    tracer.register(&mut registry);
    let page = metrics::scrape(&registry, &http::HeaderMap::new()).into_body();
    String::from_utf8(page.collect(1 << 16).await.unwrap().to_bytes().to_vec()).unwrap()
}

/// Limit: `Exporter::timeout`.
#[tokio::test(start_paused = true)]
async fn a_collector_that_does_not_answer_is_given_up() {
    let asked = Arc::new(Mutex::new(0));
    let counts = Arc::clone(&asked);
    let silent = tower::service_fn(move |_: Request<Body>| {
        *counts.lock().unwrap() += 1;
        std::future::pending::<Result<Response<Body>, Infallible>>()
    });
    let (tracer, exporter) = Tracer::new("a", 1, false, 16, Clock::system());
    let service = TraceLayer::new(tracer.clone()).layer(Origin::default());
    tokio::spawn(exporter.timeout(Duration::from_secs(3)).run(silent));
    for times in 1..3 {
        service.clone().oneshot(get("/small", Protocol::H1)).await.unwrap();
        let failed = format!("headwater_edge_spans_failed_total {times}");
        // The clock goes on by itself where nobody has anything to do.
        let given_up = async {
            while !counted(&tracer).await.contains(&failed) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), given_up).await.unwrap();
        assert_eq!(*asked.lock().unwrap(), times);
    }
}

#[tokio::test]
async fn spans_that_wait_are_sent_at_the_end() {
    let collector = Collector::default();
    let listening = collector.listen();
    let (tracer, exporter) = Tracer::new("a", 1, false, 16, Clock::system());
    let service = TraceLayer::new(tracer.clone()).layer(Origin::default());
    service.clone().oneshot(get("/small", Protocol::H1)).await.unwrap();
    let client = Upstream::builder(format!("http://{}", listening.http_addrs()[0]));
    exporter.run_until(client.build().unwrap(), std::future::ready(())).await;
    assert!(collector.span("a").is_some());
    service.oneshot(get("/small", Protocol::H1)).await.unwrap();
    let told = counted(&tracer).await;
    assert!(told.contains("headwater_edge_spans_exported_total 1"), "{told}");
    assert!(told.contains("headwater_edge_spans_dropped_total 1"), "{told}");
}
