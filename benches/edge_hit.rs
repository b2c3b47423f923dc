//! A cache hit of 1 KiB through the layers of an edge, as the reference stack composes them.
//!
//! Measured is what is ours: from the request that a listener hands over to the last frame of the
//! body. Sockets, TLS and HTTP framing are not in it. The bar is 1.5 µs for all layers together.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "benches fail loudly")]

#[path = "support/origin.rs"]
mod origin;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion};
use headwater::cache::Cache;
use headwater::net::{Body, ConnInfo, Protocol};
use http::{Request, Response};
use origin::{Origin, drain};
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, Service};

const OBJECT_BYTES: u64 = 1 << 10;
const USER_AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
                          Chrome/142.0.0.0 Safari/537.36";

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let origin = Origin::new(OBJECT_BYTES);

    let mut group = criterion.benchmark_group("edge_hit");
    group
        .sample_size(50)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    measure(&mut group, &runtime, "origin", &origin);
    let cache = Cache::builder().name("edge").ram(64 << 20).build();
    measure(&mut group, &runtime, "cache", &cache.layer().layer(origin.clone()));
    group.finish();
    assert!(cache.metrics().hits.get() > 1_000);
    assert_eq!(cache.metrics().misses.get(), 1);
    criterion.final_summary();
}

fn measure<S>(group: &mut BenchmarkGroup<'_, WallTime>, runtime: &Runtime, name: &str, service: &S)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    // The first request fills, the others hit; the fill is finished when the body was read.
    runtime.block_on(ask(service.clone(), request()));
    runtime.block_on(tokio::task::yield_now());
    group.bench_function(name, |b| {
        b.to_async(runtime).iter_batched(
            || (service.clone(), request()),
            |(service, request)| ask(service, request),
            BatchSize::SmallInput,
        );
    });
}

async fn ask<S>(mut service: S, request: Request<Body>)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let Ok(response) = service.call(request).await;
    assert_eq!(drain(response).await, OBJECT_BYTES);
}

/// What a browser's player sends.
fn request() -> Request<Body> {
    let peer = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 7), 50_123));
    let local = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 443));
    let mut conn = ConnInfo::new(peer, local, Protocol::H2);
    conn.tls = true;
    Request::get("https://edge.example/title/00abcdef01234567/v1/42.m4s")
        .header("host", "edge.example")
        .header("user-agent", USER_AGENT)
        .header("accept", "*/*")
        .header("accept-encoding", "gzip, deflate, br, zstd")
        .header("accept-language", "en-GB,en;q=0.9")
        .header("origin", "https://player.example")
        .extension(conn)
        .body(Body::empty())
        .unwrap()
}
