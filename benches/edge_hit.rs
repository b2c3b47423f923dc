//! A cache hit of 1 KiB through the layers of an edge, as the reference stack composes them.
//!
//! Measured is what is ours: from the request that a listener hands over to the last frame of the
//! body. Sockets, TLS and HTTP framing are not in it. The bar is 1.5 µs for all layers together.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "benches fail loudly")]

#[path = "support/origin.rs"]
mod origin;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};
use headwater::cache::Cache;
use headwater::edge::{AccessLog, Edge, HeadersLayer, MethodsLayer, Metrics, NormaliseLayer};
use headwater::net::{Body, Clock, ConnInfo, Protocol};
use http::{HeaderName, HeaderValue, Request, Response, Uri, header};
use origin::{Origin, drain};
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, Service};

const OBJECT_BYTES: u64 = 1 << 10;

#[expect(clippy::print_stdout, reason = "a bench reports to a person")]
fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let origin = Origin::new(OBJECT_BYTES);

    let mut group = criterion.benchmark_group("edge_hit");
    group
        .sample_size(50)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    // What the measuring itself costs: an answer that is ready, read and dropped.
    measure(&mut group, &runtime, "origin", &origin);
    let cache = || Cache::builder().name("edge").ram(64 << 20).build();
    let alone = cache();
    measure(&mut group, &runtime, "cache", &alone.layer().layer(origin.clone()));

    let (log, writer) = AccessLog::start(std::io::sink(), 8_192).unwrap();
    let edge = Edge::builder().cache(cache());
    measure(&mut group, &runtime, "edge_without_log", &edge.build(origin.clone()));
    let under = cache();
    let edge = Edge::builder().cache(under.clone()).access_log(log.clone());
    measure(&mut group, &runtime, "edge", &edge.build(origin.clone()));
    // The layers with the origin where the cache would be.
    let layers = log.layer(Clock::system()).layer(
        Metrics::default().layer().layer(
            HeadersLayer::default()
                .layer(MethodsLayer::default().layer(NormaliseLayer::default().layer(origin))),
        ),
    );
    measure(&mut group, &runtime, "layers_without_cache", &layers);
    group.finish();

    for cache in [alone, under] {
        assert!(cache.metrics().misses.get() <= 1, "what was to be a hit was none");
    }
    println!("access log: {} lines written, {} dropped", log.written(), log.dropped());
    writer.finish();
    criterion.final_summary();
}

/// Requests that are made ahead, outside of what is measured: few, so that they stay in the
/// processor's cache as one that was just parsed does.
const BATCH: u64 = 32;

fn measure<S>(group: &mut BenchmarkGroup<'_, WallTime>, runtime: &Runtime, name: &str, service: &S)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    group.bench_function(name, |b| {
        b.to_async(runtime).iter_custom(|count| {
            let mut service = service.clone();
            async move {
                // The first request fills, the others hit, once the fill has been put away.
                ask(&mut service, request()).await;
                tokio::task::yield_now().await;
                let mut time = Duration::ZERO;
                let mut left = count;
                while left > 0 {
                    let batch = left.min(BATCH);
                    left -= batch;
                    let requests: Vec<_> = (0..batch).map(|_| request()).collect();
                    let start = Instant::now();
                    for request in requests {
                        ask(&mut service, request).await;
                    }
                    time += start.elapsed();
                }
                time
            }
        });
    });
}

async fn ask<S>(service: &mut S, request: Request<Body>)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let Ok(response) = service.call(request).await;
    assert_eq!(drain(response).await, OBJECT_BYTES);
}

/// What a browser's player sends, in one shared buffer as a listener's parser leaves it.
fn request() -> Request<Body> {
    let peer = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 7), 50_123));
    let local = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 443));
    let mut conn = ConnInfo::new(peer, local, Protocol::H2);
    conn.tls = true;
    let mut text = String::from(TARGET);
    text.extend(FIELDS.iter().map(|(_, value)| *value));
    let mut text = Bytes::from(text);

    let mut request = Request::new(Body::empty());
    *request.uri_mut() = Uri::from_maybe_shared(text.split_to(TARGET.len())).unwrap();
    for (name, value) in FIELDS {
        let value = HeaderValue::from_maybe_shared(text.split_to(value.len())).unwrap();
        request.headers_mut().append(name, value);
    }
    request.extensions_mut().insert(conn);
    request
}

const TARGET: &str = "https://edge.example/title/00abcdef01234567/v1/42.m4s";

const FIELDS: [(HeaderName, &str); 6] = [
    (header::HOST, "edge.example"),
    (
        header::USER_AGENT,
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/142.0.0.0 Safari/537.36",
    ),
    (header::ACCEPT, "*/*"),
    (header::ACCEPT_ENCODING, "gzip, deflate, br, zstd"),
    (header::ACCEPT_LANGUAGE, "en-GB,en;q=0.9"),
    (header::ORIGIN, "https://player.example"),
];
