//! A miss that nobody joins, of 1 KiB, 64 KiB and 1 MiB: what the cache adds to an origin that
//! answers at once, beside reading that origin with no cache before it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "benches fail loudly")]

#[path = "support/origin.rs"]
mod origin;
#[path = "support/runs.rs"]
mod runs;

use std::cell::Cell;

use criterion::Throughput;
use headwater::cache::Cache;
use headwater::net::Body;
use http::Request;
use origin::{Origin, SIZES, drain};
use tokio::runtime;
use tower::{Layer, Service};

fn main() {
    let mut criterion = runs::criterion();
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut group = criterion.benchmark_group("cache_miss");
    for (bytes, name) in SIZES {
        group.throughput(Throughput::Bytes(bytes));
        let origin = Origin::new(bytes);
        let service =
            Cache::builder().name("bench").ram(64 << 20).build().layer().layer(origin.clone());
        let asked = Cell::new(0u64);
        let request = || {
            asked.set(asked.get() + 1);
            let uri = format!("https://edge.example/title/00abcdef01234567/v1/{}.m4s", asked.get());
            Request::get(uri).body(Body::empty()).unwrap()
        };
        group.bench_function(format!("origin_{name}"), |b| {
            b.to_async(&runtime).iter(|| async {
                let Ok(response) = origin.clone().call(request()).await;
                assert_eq!(drain(response).await, bytes);
            });
        });
        let before = (origin.asked(), asked.get());
        group.bench_function(format!("miss_{name}"), |b| {
            b.to_async(&runtime).iter(|| async {
                let Ok(response) = service.clone().call(request()).await;
                assert_eq!(drain(response).await, bytes);
            });
        });
        assert_eq!(origin.asked() - before.0, asked.get() - before.1, "each is a miss");
    }
    group.finish();
    criterion.final_summary();
}
