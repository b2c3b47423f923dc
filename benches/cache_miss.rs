//! A miss that nobody joins, of 1 KiB, 64 KiB and 1 MiB: what the cache adds to an origin that
//! answers at once, beside reading that origin with no cache before it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "benches fail loudly")]

#[path = "support/origin.rs"]
mod origin;

use std::cell::Cell;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use headwater::cache::Cache;
use headwater::net::Body;
use http::Request;
use origin::{Origin, drain};
use tokio::runtime;
use tower::{Layer, Service};

/// A manifest or a small audio segment, a part, a video segment.
const SIZES: [(u64, &str); 3] = [(1 << 10, "1_kib"), (64 << 10, "64_kib"), (1 << 20, "1_mib")];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut group = criterion.benchmark_group("cache_miss");
    group
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
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
