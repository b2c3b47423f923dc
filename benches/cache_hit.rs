//! A hit of the cache by itself, from memory and from disk, of 1 KiB, 64 KiB and 1 MiB: from a
//! parsed request to the last frame of the body.
//!
//! What is on disk was written by this process, so the page cache has it: measured is what the
//! tier costs, its threads and checksums included, not the disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "benches fail loudly")]

#[path = "support/origin.rs"]
mod origin;
#[path = "support/runs.rs"]
mod runs;

use criterion::Throughput;
use headwater::cache::{Builder, Cache, CacheService, Disk};
use headwater::net::Body;
use http::Request;
use origin::{Origin, SIZES, drain};
use tokio::runtime;
use tower::{Layer, Service};

fn main() {
    let mut criterion = runs::criterion();
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut group = criterion.benchmark_group("cache_hit");
    for (bytes, name) in SIZES {
        group.throughput(Throughput::Bytes(bytes));
        let ram = runtime.block_on(Stand::new(bytes, Cache::builder().ram(64 << 20)));
        group.bench_function(format!("ram_{name}"), |b| b.to_async(&runtime).iter(|| ram.hit()));
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(folder.path(), 64 << 20).unwrap();
        // Nothing fits into memory, so that each hit is from disk.
        let builder = Cache::builder().ram(0).disk(disk);
        let disk = runtime.block_on(Stand::new(bytes, builder));
        group.bench_function(format!("disk_{name}"), |b| b.to_async(&runtime).iter(|| disk.hit()));
        assert_eq!(
            (ram.origin.asked(), disk.origin.asked()),
            (1, 1),
            "what was no hit was measured"
        );
        runtime.block_on(disk.cache.close());
    }
    group.finish();
    criterion.final_summary();
}

/// A cache that holds one object.
struct Stand {
    origin: Origin,
    cache: Cache,
    service: CacheService<Origin>,
    bytes: u64,
}

impl Stand {
    async fn new(bytes: u64, builder: Builder) -> Self {
        let origin = Origin::new(bytes);
        let cache = builder.name("bench").build();
        let service = cache.layer().layer(origin.clone());
        let stand = Self { origin, cache, service, bytes };
        stand.hit().await;
        // The fill puts away what it fetched.
        while stand.cache.metrics().fill_bytes.get() > 0 {
            tokio::task::yield_now().await;
        }
        stand.cache.flush().await;
        stand
    }

    async fn hit(&self) {
        let request = Request::get("https://edge.example/title/00abcdef01234567/v1/42.m4s");
        let request = request.body(Body::empty()).unwrap();
        let Ok(response) = self.service.clone().call(request).await;
        assert_eq!(drain(response).await, self.bytes);
    }
}
