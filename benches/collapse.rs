//! A miss that a hundred others join: one fill of 1 MiB from an origin in this process.
//!
//! The origin hands out 64 KiB at a time and lets others run in between, so all followers join
//! while the fill is under way and are woken for each chunk. Beside it: a miss that nobody joins,
//! and the same body read from the origin with no cache before it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "benches fail loudly")]

#[path = "support/origin.rs"]
mod origin;

use std::cell::Cell;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use headwater::cache::{Cache, CacheService};
use headwater::net::Body;
use http::Request;
use origin::{Origin, drain};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tower::{Layer, Service};

const OBJECT_BYTES: u64 = 1 << 20;
const FOLLOWERS: u64 = 100;
/// Runs from which the table's medians are taken.
const RUNS: usize = 101;

#[expect(clippy::print_stdout, reason = "a bench reports to a person")]
fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let stand = Stand::new();
    stand.check(&runtime);

    let direct = median(|| runtime.block_on(stand.direct()));
    let alone = median(|| runtime.block_on(stand.requests(1)));
    let joined = median(|| runtime.block_on(stand.requests(1 + FOLLOWERS)));
    let follower = joined.saturating_sub(alone) / u32::try_from(FOLLOWERS).unwrap();
    println!("| 1 MiB miss, median of {RUNS} | µs |\n|---|---|");
    println!("| the origin with no cache before it | {:.1} |", micros(direct));
    println!("| a miss that nobody joins | {:.1} |", micros(alone));
    println!("| a miss that {FOLLOWERS} join, in all | {:.1} |", micros(joined));
    println!("| each follower adds | {:.1} |\n", micros(follower));

    let mut group = criterion.benchmark_group("collapse");
    group
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    group.throughput(Throughput::Bytes(OBJECT_BYTES));
    group.bench_function("origin", |b| b.to_async(&runtime).iter(|| stand.direct()));
    group.bench_function("miss", |b| b.to_async(&runtime).iter(|| stand.requests(1)));
    group.throughput(Throughput::Bytes(OBJECT_BYTES * (1 + FOLLOWERS)));
    group.bench_function("miss_and_100_followers", |b| {
        b.to_async(&runtime).iter(|| stand.requests(1 + FOLLOWERS));
    });
    group.finish();
    criterion.final_summary();
}

/// A cache before an origin; every round asks for something new.
struct Stand {
    origin: Origin,
    cache: Cache,
    service: CacheService<Origin>,
    round: Cell<u64>,
}

impl Stand {
    fn new() -> Self {
        let origin = Origin::new(OBJECT_BYTES);
        let cache = Cache::builder().name("bench").ram(64 << 20).build();
        let service = cache.layer().layer(origin.clone());
        Self { origin, cache, service, round: Cell::default() }
    }

    /// The round is what it says: one fetch, and everyone else joined it.
    fn check(&self, runtime: &Runtime) {
        let asked = self.origin.asked();
        runtime.block_on(self.requests(1 + FOLLOWERS));
        assert_eq!(self.origin.asked() - asked, 1);
        assert_eq!(self.cache.metrics().collapsed.get(), FOLLOWERS);
    }

    /// So many requests at once for one new object, each read to its end.
    async fn requests(&self, count: u64) {
        self.round.set(self.round.get() + 1);
        let uri = format!("/title/00abcdef01234567/v1/{}.m4s", self.round.get());
        let mut clients = JoinSet::new();
        for _ in 0..count {
            let mut service = self.service.clone();
            let request = request(&uri);
            clients.spawn(async move { drain(service.call(request).await.unwrap()).await });
        }
        while let Some(received) = clients.join_next().await {
            assert_eq!(received.unwrap(), OBJECT_BYTES);
        }
    }

    async fn direct(&self) {
        let request = request("/title/00abcdef01234567/v1/1.m4s");
        let received = drain(self.origin.clone().call(request).await.unwrap()).await;
        assert_eq!(received, OBJECT_BYTES);
    }
}

fn request(uri: &str) -> Request<Body> {
    Request::get(uri).header("host", "edge.example").body(Body::empty()).unwrap()
}

fn median(mut work: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[RUNS / 2]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
