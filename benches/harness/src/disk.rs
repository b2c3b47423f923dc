//! `headwater-bench disk`: what the disk tier of a cache costs and gives, in this process.
//!
//! *Small*: many small responses; memory of the index for each, and how long after a restart the
//! first and the last of a sample of them answer from disk. *Large*: how fast bodies are written
//! and read. *Churn*: requests by Zipf's law over four times what fits; bytes written for each byte
//! admitted, and how many requests were hits. What is read back was written by this process, so
//! the page cache has it: these are the tier's costs, not the disk's.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use headwater_cache::{Cache, CacheLayer, CacheService, Disk, DiskBuilder, DiskMetrics};
use headwater_net::Body;
use http::{Request, Response};
use serde::Serialize;
use tower_layer::Layer as _;
use tower_service::Service;

use crate::load::Result;

/// What to measure.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Small responses
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1000..=50_000_000))]
    objects: u64,
    /// Bytes of the body of each
    #[arg(long, default_value_t = 1500, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    object_bytes: u64,
    /// Where the tiers lie, for as long as it takes [default: a temporary folder]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Write the figures here as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Print one line a bar, and fail where one is missed
    #[arg(long)]
    check: bool,
}

/// Bytes of a large body, and how many there are.
const LARGE: (u64, u64) = (256 << 10, 2000);

/// How many responses are asked for after the restart.
const SAMPLE: u64 = 10_000;

/// The bars: bytes of index memory, seconds to the last warm hit, bytes written for one admitted.
const BARS: (f64, f64, f64) = (100.0, 10.0, 2.0);

#[derive(Debug, Serialize)]
struct Figures {
    bench: &'static str,
    small: Small,
    large: Large,
    churn: Churn,
}

#[derive(Debug, Serialize)]
struct Small {
    objects: u64,
    object_bytes: u64,
    /// Bytes of memory of the index for each response.
    index_bytes_per_object: f64,
    /// Seconds to fill the tier through the cache.
    fill_seconds: f64,
    /// Seconds of opening the folder until the tier answers.
    open_seconds: f64,
    /// Seconds from the begin of opening to the first answer from disk.
    first_hit_seconds: f64,
    /// … and to the last answer of a sample that spans all.
    last_hit_seconds: f64,
    /// How many were asked for then, and how many were hits.
    sample: u64,
    warm: u64,
    /// Microseconds of one answer from disk, one after the other.
    hit_us: f64,
}

#[derive(Debug, Serialize)]
struct Large {
    object_bytes: u64,
    objects: u64,
    /// Through the cache to the disk, synced, in 10^6 bytes a second.
    write_mb_s: f64,
    /// From the tier, each block proved, one after the other.
    read_mb_s: f64,
}

#[derive(Debug, Serialize)]
struct Churn {
    requests: u64,
    hit_ratio: f64,
    /// Bytes written for each byte of responses admitted.
    write_amplification: f64,
    /// Bytes written for each byte that the origin sent: what admission spares the disk.
    written_per_fetched: f64,
}

/// Answers every path with a body of so many bytes.
#[derive(Clone)]
struct Origin(Bytes);

impl Service<Request<Body>> for Origin {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<std::result::Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        let mut response = Response::new(Body::from(self.0.clone()));
        let fields = response.headers_mut();
        fields.insert("cache-control", http::HeaderValue::from_static("max-age=31536000"));
        fields.insert("content-type", http::HeaderValue::from_static("video/mp4"));
        fields.insert("etag", http::HeaderValue::from_static("\"5f3a-1\""));
        ready(Ok(response))
    }
}

struct Stand {
    cache: Cache,
    service: CacheService<Origin>,
}

impl Stand {
    fn open(disk: DiskBuilder, bytes: u64) -> Result<Self> {
        let disk = disk.open()?;
        // Hits are to come from disk.
        let cache = Cache::builder().ram(64 << 10).disk(disk).build();
        let layer: CacheLayer = cache.layer();
        let service = layer.layer(Origin(vec![7; bytes as usize].into()));
        Ok(Self { cache, service })
    }

    /// Asks for one response and reads it; says whether it came from disk.
    async fn get(&mut self, nth: u64) -> Result<bool> {
        let request = Request::get(format!("http://example.com/title/{nth}/segment.m4s"));
        let response = self.service.call(request.body(Body::empty())?).await?;
        let status = response.headers().get("cache-status");
        let hit = status.is_some_and(|status| status.as_bytes().ends_with(b"detail=disk"));
        response.into_body().collect(1 << 30).await?;
        Ok(hit)
    }

    fn metrics(&self) -> Result<DiskMetrics> {
        self.cache.metrics().disk.ok_or_else(|| "the cache has no disk tier".into())
    }
}

/// Runs the bench.
///
/// # Errors
/// When the folder cannot be used, or with `--check` when a bar is missed.
pub async fn run(args: &Args) -> Result<()> {
    let home = match &args.dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let figures = Figures {
        bench: "disk",
        small: small(&home.path().join("small"), args).await?,
        large: large(&home.path().join("large")).await?,
        churn: churn(&home.path().join("churn")).await?,
    };
    print(&figures);
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_string_pretty(&figures)? + "\n")?;
    }
    if args.check && !check(&figures) {
        return Err("a bar was missed".into());
    }
    Ok(())
}

async fn small(dir: &Path, args: &Args) -> Result<Small> {
    let (objects, object_bytes) = (args.objects, args.object_bytes);
    // A record has some 400 bytes beside the body.
    let disk = || Disk::builder(dir, objects * (object_bytes + 1000) + (256 << 20));
    let mut stand = Stand::open(disk(), object_bytes)?;
    let begun = Instant::now();
    for nth in 0..objects {
        stand.get(nth).await?;
        if nth % 2048 == 0 {
            stand.cache.flush().await;
        }
        if nth % (objects / 10).max(1) == 0 {
            eprintln!("{nth} of {objects} written");
        }
    }
    stand.cache.flush().await;
    let fill_seconds = begun.elapsed().as_secs_f64();
    let metrics = stand.metrics()?;
    let stored = metrics.stored_objects.get() as f64;
    let index_bytes_per_object = metrics.index_bytes.get() as f64 / stored.max(1.0);
    stand.cache.close().await;
    drop(stand);
    let begun = Instant::now();
    let mut stand = Stand::open(disk(), object_bytes)?;
    let open_seconds = begun.elapsed().as_secs_f64();
    let mut warm = u64::from(stand.get(0).await?);
    let first_hit_seconds = begun.elapsed().as_secs_f64();
    let sample = SAMPLE.min(objects - 1);
    let sampling = Instant::now();
    for nth in 1..=sample {
        warm += u64::from(stand.get(nth * (objects - 1) / sample).await?);
    }
    let hit_us = sampling.elapsed().as_secs_f64() * 1e6 / sample as f64;
    let last_hit_seconds = begun.elapsed().as_secs_f64();
    stand.cache.close().await;
    std::fs::remove_dir_all(dir)?;
    Ok(Small {
        objects,
        object_bytes,
        index_bytes_per_object,
        fill_seconds,
        open_seconds,
        first_hit_seconds,
        last_hit_seconds,
        sample: sample + 1,
        warm,
        hit_us,
    })
}

async fn large(dir: &Path) -> Result<Large> {
    let (object_bytes, objects) = LARGE;
    let mut stand = Stand::open(Disk::builder(dir, 2 << 30), object_bytes)?;
    let bytes = (object_bytes * objects) as f64;
    let begun = Instant::now();
    for nth in 0..objects {
        stand.get(nth).await?;
        if nth % 64 == 63 {
            stand.cache.flush().await;
        }
    }
    stand.cache.flush().await;
    let write_mb_s = bytes / 1e6 / begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    for nth in 0..objects {
        if !stand.get(nth).await? {
            return Err(format!("response {nth} is not on disk").into());
        }
    }
    let read_mb_s = bytes / 1e6 / begun.elapsed().as_secs_f64();
    stand.cache.close().await;
    std::fs::remove_dir_all(dir)?;
    Ok(Large { object_bytes, objects, write_mb_s, read_mb_s })
}

async fn churn(dir: &Path) -> Result<Churn> {
    const BYTES: u64 = 16 << 10;
    const ROOM: u64 = 64 << 20;
    const REQUESTS: u64 = 100_000;
    let keys = 4 * ROOM / BYTES;
    let mut stand = Stand::open(Disk::builder(dir, ROOM).region(2 << 20), BYTES)?;
    let mut sums = Vec::with_capacity(keys as usize);
    let mut sum = 0.0;
    for rank in 1..=keys {
        sum += 1.0 / (rank as f64).powf(0.9);
        sums.push(sum);
    }
    let (mut hits, mut random) = (0u64, 1u64);
    for nth in 0..REQUESTS {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = (random >> 11) as f64 / (1u64 << 53) as f64 * sum;
        let key = sums.partition_point(|&sum| sum < at) as u64;
        hits += u64::from(stand.get(key).await?);
        if nth % 256 == 0 {
            stand.cache.flush().await;
        }
    }
    stand.cache.flush().await;
    let metrics = stand.metrics()?;
    let written = metrics.written_bytes.get() as f64;
    let fetched = (REQUESTS - hits) * BYTES;
    let churn = Churn {
        requests: REQUESTS,
        hit_ratio: hits as f64 / REQUESTS as f64,
        write_amplification: written / metrics.admitted_bytes.get().max(1) as f64,
        written_per_fetched: written / fetched.max(1) as f64,
    };
    stand.cache.close().await;
    std::fs::remove_dir_all(dir)?;
    Ok(churn)
}

fn print(figures: &Figures) {
    let Figures { small, large, churn, .. } = figures;
    println!(
        "{} responses of {} bytes: {:.1} bytes of index each; filled in {:.1} s",
        small.objects, small.object_bytes, small.index_bytes_per_object, small.fill_seconds
    );
    println!(
        "restart: opened in {:.2} s, first hit after {:.2} s, last of {} after {:.2} s, {} of them \
         warm; {:.0} us a hit",
        small.open_seconds,
        small.first_hit_seconds,
        small.sample,
        small.last_hit_seconds,
        small.warm,
        small.hit_us
    );
    println!(
        "{} responses of {} bytes: {:.0} MB/s written, {:.0} MB/s read",
        large.objects, large.object_bytes, large.write_mb_s, large.read_mb_s
    );
    println!(
        "{} requests over four times what fits: {:.1} % hits, {:.2} bytes written for one \
         admitted, {:.2} for one fetched",
        churn.requests,
        churn.hit_ratio * 100.0,
        churn.write_amplification,
        churn.written_per_fetched
    );
}

fn check(figures: &Figures) -> bool {
    let (memory, seconds, amplification) = BARS;
    let Figures { small, churn, .. } = figures;
    let cold = (small.sample - small.warm) as f64;
    let bars = [
        ("bytes of index a response", small.index_bytes_per_object, memory),
        ("seconds to the last warm hit", small.last_hit_seconds, seconds),
        ("cold after the restart", cold, 0.0),
        ("bytes written for one admitted", churn.write_amplification, amplification),
    ];
    let mut all = true;
    for (case, measured, bar) in bars {
        let ok = measured <= bar;
        all &= ok;
        println!("{case}: {measured:.2}, bar {bar:.2}: {}", if ok { "ok" } else { "missed" });
    }
    all
}
