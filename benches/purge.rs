//! A purge by tag of many objects, and what purges cost those who hit.
//!
//! A purge touches no object: with none stored and with many it must take the same time; with a log
//! it takes what the disk needs to sync one record. A hit is compared with a purge once: the first
//! after it looks the object's key and tags up among all records, the others load two numbers.
//!
//! `HEADWATER_BENCH_OBJECTS` sets how many objects bear the tag; default 100,000.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "benches fail loudly")]

#[path = "support/origin.rs"]
mod origin;
#[path = "support/runs.rs"]
mod runs;

use std::cell::Cell;
use std::time::{Duration, Instant};

use headwater::cache::{Cache, CacheService, Purge, PurgeLog};
use headwater::net::Body;
use http::Request;
use origin::{Origin, drain};
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, Service};

const OBJECT_BYTES: u64 = 64;
const TAG: &str = "title-17";
/// Records of other purges that a hit is compared with.
const RECORDS: u64 = 10_000;

fn main() {
    let mut criterion = runs::criterion();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let objects = std::env::var("HEADWATER_BENCH_OBJECTS");
    let objects: u64 = objects.map_or(100_000, |text| text.parse().expect("a number of objects"));
    let folder = tempfile::tempdir().unwrap();
    let log = || PurgeLog::open(folder.path().join("purges.log")).unwrap();

    let mut group = criterion.benchmark_group("purge");
    let empty = Stand::new(Cache::builder());
    group.bench_function("tag_of_0_objects", |b| b.to_async(&runtime).iter(|| empty.purge()));
    let full = Stand::new(Cache::builder());
    full.fill(&runtime, objects);
    group.bench_function(format!("tag_of_{objects}_objects"), |b| {
        b.to_async(&runtime).iter(|| full.purge());
    });
    full.check_purged(&runtime);
    drop(full);
    let logged = Stand::new(Cache::builder().purge_log(log()));
    group.bench_function("tag_logged", |b| b.to_async(&runtime).iter(|| logged.purge()));

    let stand = Stand::new(Cache::builder());
    stand.fill(&runtime, 1);
    group.bench_function("hit_before_any", |b| b.to_async(&runtime).iter(|| stand.hit()));
    runtime.block_on(stand.purge_others(RECORDS));
    group.bench_function(format!("hit_among_{RECORDS}_records"), |b| {
        b.to_async(&runtime).iter(|| stand.hit());
    });
    let next = Cell::new(RECORDS);
    group.bench_function(format!("first_hit_among_{RECORDS}_records"), |b| {
        b.to_async(&runtime).iter_custom(|count| {
            let (stand, next) = (&stand, &next);
            async move {
                let mut time = Duration::ZERO;
                for _ in 0..count {
                    // As many records as before: the same tags over again.
                    next.set((next.get() + 1) % RECORDS);
                    stand.purge_other(next.get()).await;
                    let start = Instant::now();
                    stand.hit().await;
                    time += start.elapsed();
                }
                time
            }
        });
    });
    group.finish();
    criterion.final_summary();
}

/// A cache before an origin whose answers all bear one tag.
struct Stand {
    cache: Cache,
    service: CacheService<Origin>,
}

impl Stand {
    fn new(builder: headwater::cache::Builder) -> Self {
        let cache = builder.name("edge").ram(16 << 30).build();
        let origin = Origin::new(OBJECT_BYTES).with("surrogate-key", TAG);
        Self { service: cache.layer().layer(origin), cache }
    }

    fn fill(&self, runtime: &Runtime, objects: u64) {
        runtime.block_on(async {
            for nth in 0..objects {
                self.ask(nth).await;
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(self.cache.metrics().stored_objects.get(), i64::try_from(objects).unwrap());
    }

    async fn purge(&self) {
        self.cache.purge(Purge::tag(TAG)).await.unwrap();
    }

    async fn purge_other(&self, nth: u64) {
        self.cache.purge(Purge::tag(format!("other-{nth}"))).await.unwrap();
    }

    /// Half of them by tag, half by prefix.
    async fn purge_others(&self, records: u64) {
        for nth in 0..records / 2 {
            self.purge_other(nth).await;
            let prefix = format!("https://edge.example/title/{nth}/");
            self.cache.purge(Purge::prefix(prefix)).await.unwrap();
        }
    }

    async fn hit(&self) {
        self.ask(0).await;
    }

    async fn ask(&self, nth: u64) {
        let url = format!("https://edge.example/film/00abcdef01234567/{nth}.m4s");
        let request = Request::get(url).body(Body::empty()).unwrap();
        let Ok(response) = self.service.clone().call(request).await;
        assert_eq!(drain(response).await, OBJECT_BYTES);
    }

    fn check_purged(&self, runtime: &Runtime) {
        let hits = self.cache.metrics().hits.get();
        runtime.block_on(async {
            self.ask(0).await;
            self.ask(1).await;
        });
        assert_eq!(self.cache.metrics().hits.get(), hits, "what was purged is gone");
    }
}
