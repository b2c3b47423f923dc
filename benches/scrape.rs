//! What a scrape of an edge's metrics costs while its cache holds a million objects.
//!
//! A gauge counts what a cache holds as it comes and goes, so the page costs what it says and not what
//! the cache holds. It says all it can: every title of playback that has series of its own, and each family
//! that a `headwater edge` tells, which is asked. The bar is 10 ms, and what is over it fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "benches fail loudly")]

#[path = "support/edge_page.rs"]
mod edge_page;
#[path = "support/origin.rs"]
mod origin;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use criterion::Criterion;
use headwater::cache::Cache;
use headwater::edge::sessions::MAX_SERIES;
use headwater::edge::{CmcdLayer, Edge, EdgeService, Metrics, Sessions, metrics::scrape};
use headwater::net::Body;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, Request};
use origin::{Origin, drain};
use prometheus_client::registry::Registry;
use tokio::runtime::Builder;
use tower::{Layer, Service};

const OBJECTS: u64 = 1_000_000;
const BAR: Duration = Duration::from_millis(10);
/// Scrapes of which the median is held against the bar.
const SCRAPES: usize = 101;

#[expect(clippy::print_stdout, reason = "a bench reports to a person")]
fn main() -> ExitCode {
    let check = std::env::args().any(|arg| arg == "--check");
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let cache = Cache::builder().name("edge").ram(8 << 30).build();
    let metrics = Metrics::default();
    let mut registry = Registry::default();
    cache.metrics().register(registry.sub_registry_with_label(("cache".into(), "edge".into())));
    metrics.register(&mut registry);
    let sessions = Sessions::builder().build();
    sessions.register(&mut registry);
    let folder = tempfile::tempdir().unwrap();
    let entered = runtime.enter();
    let _writer = edge_page::register(&mut registry, folder.path());
    drop(entered);
    let edge = Edge::builder().cache(cache.clone()).metrics(metrics);
    let mut watched = edge.cmcd(CmcdLayer::new(sessions)).build(Origin::new(64));
    let ask = async |edge: &mut EdgeService<Origin>, target: String| {
        let request = Request::get(format!("http://edge.example{target}"));
        let request = request.header("host", "edge.example").body(Body::empty()).unwrap();
        let Ok(response) = edge.call(request).await;
        drain(response).await;
        tokio::task::yield_now().await;
    };
    let began = Instant::now();
    runtime.block_on(fill(&cache));
    let stored = cache.metrics().stored_objects.get();
    println!("filled in {:?}", began.elapsed());
    assert_eq!(stored, i64::try_from(OBJECTS).unwrap(), "all is in memory");
    runtime.block_on(async {
        for title in 0..MAX_SERIES {
            let told =
                format!("br%3D4000%2Cot%3Dv%2Csid%3D%22{title}%22%2Cst%3Dv%2Csta%3Dp%2Cmsd%3D300");
            ask(&mut watched, format!("/a-title-of-a-film/{title}/1.m4s?CMCD={told}")).await;
        }
    });

    let asked =
        HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/openmetrics-text"))]);
    let page = runtime.block_on(scrape(&registry, &asked).into_body().collect(1 << 30)).unwrap();
    let page = page.to_bytes();
    let told = edge_page::families(std::str::from_utf8(&page).unwrap());
    let an_edge = edge_page::of_an_edge(env!("CARGO_BIN_EXE_headwater"), folder.path());
    let missing: Vec<_> = an_edge.difference(&told).collect();
    assert!(an_edge.len() > 50 && missing.is_empty(), "an edge tells of {missing:?}, too");
    let page = page.len();
    let mut times: Vec<Duration> = (0..SCRAPES)
        .map(|_| {
            let began = Instant::now();
            assert!(scrape(&registry, &asked).status().is_success());
            began.elapsed()
        })
        .collect();
    times.sort();
    let median = times[SCRAPES / 2];
    println!("{stored} objects in the cache, a page of {page} bytes: {median:?} in the median");
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let word = if median < BAR { "ok" } else { "missed" };
    let (measured, bar) = (millis(median), millis(BAR));
    println!("a scrape at {OBJECTS} objects, ms: {measured:.2}, less than {bar}: {word}");
    if check || median >= BAR {
        return if median < BAR { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }

    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("scrape");
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    group.bench_function("a_million_objects", |b| {
        b.iter(|| assert!(scrape(&registry, &asked).status().is_success()));
    });
    group.finish();
    criterion.final_summary();
    ExitCode::SUCCESS
}

/// Puts the objects into the cache, past the edge. A fill is put away by a task of its own, which runs
/// when many have been begun.
async fn fill(cache: &Cache) {
    const AT_ONCE: u64 = 64;
    let mut service = cache.layer().layer(Origin::new(64));
    for number in 0..OBJECTS {
        let request = Request::get(format!("http://edge.example/title/{number}/42"));
        let Ok(response) = service.call(request.body(Body::empty()).unwrap()).await;
        drain(response).await;
        if number % AT_ONCE == AT_ONCE - 1 {
            tokio::task::yield_now().await;
        }
    }
    let stored = || cache.metrics().stored_objects.get();
    let began = Instant::now();
    while stored() < i64::try_from(OBJECTS).unwrap() && began.elapsed() < Duration::from_secs(60) {
        tokio::task::yield_now().await;
    }
}
