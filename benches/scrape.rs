//! What a scrape of an edge's metrics costs while its cache holds a million objects.
//!
//! A gauge counts what a cache holds as it comes and goes, so the page costs what it says and not what
//! the cache holds. The bar is 10 ms.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "benches fail loudly")]

#[path = "support/origin.rs"]
mod origin;

use std::time::Duration;

use criterion::Criterion;
use headwater::cache::Cache;
use headwater::edge::{Edge, Metrics, metrics::scrape};
use headwater::net::Body;
use http::Request;
use origin::{Origin, drain};
use prometheus_client::registry::Registry;
use tokio::runtime::Builder;
use tower::Service;

const OBJECTS: u64 = 1_000_000;

#[expect(clippy::print_stdout, reason = "a bench reports to a person")]
fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let cache = Cache::builder().name("edge").ram(8 << 30).build();
    let metrics = Metrics::default();
    let mut registry = Registry::default();
    cache.metrics().register(registry.sub_registry_with_label(("cache".into(), "edge".into())));
    metrics.register(&mut registry);
    let mut edge = Edge::builder().cache(cache.clone()).metrics(metrics).build(Origin::new(64));
    runtime.block_on(async {
        for number in 0..OBJECTS {
            let request = Request::get(format!("http://edge.example/title/{number}/42.m4s"));
            let request = request.header("host", "edge.example").body(Body::empty()).unwrap();
            let Ok(response) = edge.call(request).await;
            drain(response).await;
            tokio::task::yield_now().await;
        }
    });
    let stored = cache.metrics().stored_objects.get();
    assert_eq!(stored, i64::try_from(OBJECTS).unwrap(), "all is in memory");

    let mut group = criterion.benchmark_group("scrape");
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    group.bench_function("a_million_objects", |b| {
        b.iter(|| assert!(scrape(&registry).status().is_success()));
    });
    group.finish();
    println!("{stored} objects in the cache");
    criterion.final_summary();
}
