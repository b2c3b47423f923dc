//! Bodies that are read while they are sent, and indexes that are built while many wait.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod shell;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use headwater_net::Body;
use headwater_packager::source::{AnySource, SourceError, Written};
use headwater_packager::units::ByteRange;
use headwater_packager::{Assets, MemorySource, Packager, ServiceLimits, Source, SourceId};
use http::Method;
use http_body::Body as _;
use shell::{TINY, get, open, options, packager, segment_urls};
use tokio::sync::Semaphore;

/// A source whose reads are counted, held up and made to fail at will.
#[derive(Clone)]
struct Staged {
    inner: MemorySource,
    stage: Arc<Stage>,
}

struct Stage {
    reads: AtomicUsize,
    bytes: AtomicU64,
    /// Reads after this many fail.
    fail_after: AtomicUsize,
    gate: Semaphore,
}

impl Staged {
    fn new(bytes: impl Into<Bytes>) -> Self {
        let stage = Stage {
            reads: AtomicUsize::new(0),
            bytes: AtomicU64::new(0),
            fail_after: AtomicUsize::new(usize::MAX),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        };
        Self { inner: MemorySource::new("staged.mp4", bytes), stage: Arc::new(stage) }
    }

    fn assets(&self) -> Assets {
        let source = AnySource::new(self.clone());
        Assets::from_sources([("staged".to_owned(), vec![source])]).unwrap()
    }

    fn reads(&self) -> usize {
        self.stage.reads.load(Ordering::SeqCst)
    }

    /// The next `reads` reads succeed; those after them fail.
    fn fail_after(&self, reads: usize) {
        self.stage.fail_after.store(self.reads() + reads, Ordering::SeqCst);
    }
}

impl Source for Staged {
    fn id(&self) -> &SourceId {
        self.inner.id()
    }

    async fn read(&self, ranges: &[ByteRange]) -> Result<Vec<Bytes>, SourceError> {
        let number = self.stage.reads.fetch_add(1, Ordering::SeqCst);
        let total = ranges.iter().map(|range| range.len).sum();
        self.stage.bytes.fetch_add(total, Ordering::SeqCst);
        let _permit = self.stage.gate.acquire().await.unwrap();
        if number >= self.stage.fail_after.load(Ordering::SeqCst) {
            return Err(SourceError::Io(std::io::ErrorKind::ConnectionReset));
        }
        self.inner.read(ranges).await
    }
}

/// A source that panics when it is first asked for its times.
struct Faulty {
    inner: MemorySource,
    asked: AtomicUsize,
}

impl Source for Faulty {
    fn id(&self) -> &SourceId {
        self.inner.id()
    }

    async fn read(&self, ranges: &[ByteRange]) -> Result<Vec<Bytes>, SourceError> {
        self.inner.read(ranges).await
    }

    fn written(&self) -> Option<Written> {
        assert_ne!(self.asked.fetch_add(1, Ordering::SeqCst), 0, "a source that shall panic");
        None
    }
}

#[tokio::test]
async fn a_build_that_panics_is_not_the_last() {
    let inner = MemorySource::new("tiny.mp4", TINY);
    let source = AnySource::new(Faulty { inner, asked: AtomicUsize::new(0) });
    let assets = Assets::from_sources([("faulty".to_owned(), vec![source])]).unwrap();
    let (packager, _) = packager(assets);
    assert_eq!(get(&packager, "/faulty/main.m3u8").await.status, 503);
    assert_eq!(get(&packager, "/faulty/main.m3u8").await.status, 200);
}

/// About 4 MB of pictures in segments of 2 s: several windows each.
fn large() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large.mp4");
    shell::encode(&path, "1280x720", 4, 50, "12M");
    std::fs::read(path).unwrap()
}

/// Waits for something that other tasks bring about.
async fn until(condition: impl Fn() -> bool) {
    let polled = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), polled).await.unwrap();
}

async fn frame(body: &mut Body) -> Option<Result<Bytes, headwater_net::BodyError>> {
    let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
    Some(frame.map(|frame| frame.into_data().unwrap()))
}

#[tokio::test]
async fn a_large_segment_streams_and_reads_only_a_little_ahead() {
    let source = Staged::new(large());
    let (packager, _) = packager(source.assets());
    let url = segment_urls(&packager, "staged", "v1").await[1].clone();
    source.stage.bytes.store(0, Ordering::SeqCst);
    let response = open(&packager, Method::GET, &url, &[]).await;
    let len: u64 = response.headers()["content-length"].to_str().unwrap().parse().unwrap();
    assert!(len > 2 * Packager::READ_AHEAD_BYTES, "{len}");
    let mut body = response.into_body();
    assert_eq!(body.exact_len(), Some(len));
    let mut got = Vec::new();
    while let Some(bytes) = frame(&mut body).await {
        got.extend_from_slice(&bytes.unwrap());
        let ahead = source.stage.bytes.load(Ordering::SeqCst).saturating_sub(got.len() as u64);
        // The joined gaps between a track's chunks come on top; they are small here.
        assert!(ahead <= Packager::READ_AHEAD_BYTES + (256 << 10), "{ahead}");
        assert_eq!(body.exact_len(), Some(len - got.len() as u64));
    }
    assert_eq!(got.len() as u64, len);
    // The same bytes by ranges.
    for (from, to) in [(0, 1_000), (600_000, 1_300_000), (len - 10, len)] {
        let range = format!("bytes={from}-{}", to - 1);
        let part = shell::request(&packager, Method::GET, &url, &[("range", &range)]).await;
        assert_eq!(part.status, 206);
        assert_eq!(part.body, got[from as usize..to as usize]);
    }
}

#[tokio::test]
async fn a_client_that_leaves_stops_the_reading() {
    let source = Staged::new(large());
    let (packager, _) = packager(source.assets());
    let url = segment_urls(&packager, "staged", "v1").await[1].clone();
    let before = source.reads();
    let mut body = open(&packager, Method::GET, &url, &[]).await.into_body();
    frame(&mut body).await.unwrap().unwrap();
    drop(body);
    tokio::task::yield_now().await;
    assert!(source.reads() - before <= 2, "{}", source.reads() - before);
    // And HEAD reads nothing at all.
    let before = source.reads();
    open(&packager, Method::HEAD, &url, &[]).await;
    assert_eq!(source.reads(), before);
}

#[tokio::test]
async fn more_open_bodies_than_allowed_are_turned_away() {
    let source = Staged::new(large());
    let mut limits = ServiceLimits::default();
    limits.open_bodies = 2;
    let packager = Packager::builder(source.assets()).limits(limits).options(options(2)).build();
    let metrics = packager.metrics().clone();
    let url = segment_urls(&packager, "staged", "v1").await[1].clone();
    let first = open(&packager, Method::GET, &url, &[]).await.into_body();
    let second = open(&packager, Method::GET, &url, &[]).await.into_body();
    assert_eq!(metrics.open_bodies.get(), 2);
    let refused = get(&packager, &url).await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, "1"));
    // What reads nothing needs no room.
    assert_eq!(open(&packager, Method::HEAD, &url, &[]).await.status(), 200);
    drop(first);
    assert_eq!(get(&packager, &url).await.status, 200);
    drop(second);
    assert_eq!(metrics.open_bodies.get(), 0);
    assert_eq!((metrics.abandoned_bodies.get(), metrics.refused_bodies.get()), (2, 1));
}

#[tokio::test]
async fn a_source_that_fails_midway_ends_the_body_in_an_error() {
    let source = Staged::new(large());
    let (packager, _) = packager(source.assets());
    let url = segment_urls(&packager, "staged", "v1").await[1].clone();
    source.fail_after(2);
    let response = open(&packager, Method::GET, &url, &[]).await;
    assert_eq!(response.status(), 200);
    let len: usize = response.headers()["content-length"].to_str().unwrap().parse().unwrap();
    let mut body = response.into_body();
    let mut got = 0;
    let error = loop {
        match frame(&mut body).await {
            Some(Ok(bytes)) => got += bytes.len(),
            Some(Err(error)) => break error,
            None => panic!("a clean end after {got} of {len} bytes"),
        }
    };
    assert!(got > 0 && got < len, "{got} of {len}");
    assert!(error.to_string().contains("could not be read"), "{error}");
}

#[tokio::test]
async fn a_source_that_fails_at_once_is_a_problem_not_a_broken_body() {
    let source = Staged::new(TINY);
    let (packager, _) = packager(source.assets());
    let url = segment_urls(&packager, "staged", "v1").await[1].clone();
    source.fail_after(0);
    let reply = get(&packager, &url).await;
    assert_eq!(reply.status, 502, "{}", reply.text());
    assert_eq!(reply.header("content-type"), "application/problem+json");
}

#[tokio::test]
async fn an_index_that_cannot_be_read_is_not_tried_by_everyone() {
    let source = Staged::new(TINY);
    let (packager, clock) = packager(source.assets());
    source.fail_after(0);
    for _ in 0..5 {
        assert_eq!(get(&packager, "/staged/main.m3u8").await.status, 502);
    }
    assert_eq!(source.reads(), 1);
    source.fail_after(usize::MAX / 2);
    clock.advance(std::time::Duration::from_millis(1_100));
    assert_eq!(get(&packager, "/staged/main.m3u8").await.status, 200);
}

#[tokio::test]
async fn one_index_is_built_however_many_wait_and_leave() {
    let source = Staged::new(TINY);
    let (packager, _) = packager(source.assets());
    source.stage.gate.forget_permits(Semaphore::MAX_PERMITS);
    let ask = |packager: &Packager| {
        let packager = packager.clone();
        tokio::spawn(async move { get(&packager, "/staged/main.m3u8").await.status })
    };
    // The one who started the build leaves; the build goes on for the others.
    let first = ask(&packager);
    until(|| source.reads() > 0).await;
    first.abort();
    let others: Vec<_> = (0..20).map(|_| ask(&packager)).collect();
    tokio::task::yield_now().await;
    source.stage.gate.add_permits(1_000);
    for other in others {
        assert_eq!(other.await.unwrap(), 200);
    }
    assert_eq!(packager.metrics().index_builds.get(), 1);
}

#[tokio::test]
async fn more_cold_assets_than_allowed_are_turned_away() {
    let staged: Vec<Staged> = (0..4).map(|_| Staged::new(TINY)).collect();
    let named = staged.iter().enumerate();
    let assets = Assets::from_sources(
        named.map(|(n, source)| (format!("s{n}"), vec![AnySource::new(source.clone())])),
    )
    .unwrap();
    let mut limits = ServiceLimits::default();
    limits.concurrent_builds = 1;
    limits.queued_builds = 1;
    let packager = Packager::builder(assets).limits(limits).options(options(2)).build();
    for source in &staged {
        source.stage.gate.forget_permits(Semaphore::MAX_PERMITS);
    }
    let ask = |n: usize| {
        let packager = packager.clone();
        tokio::spawn(async move { get(&packager, &format!("/s{n}/main.m3u8")).await })
    };
    let running = ask(0);
    until(|| staged[0].reads() > 0).await;
    let queued = ask(1);
    tokio::task::yield_now().await;
    let refused = ask(2).await.unwrap();
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(staged[1].reads(), 0, "only one at a time");
    for source in &staged {
        source.stage.gate.add_permits(1_000);
    }
    assert_eq!(running.await.unwrap().status, 200);
    assert_eq!(queued.await.unwrap().status, 200);
    assert_eq!(ask(2).await.unwrap().status, 200);
}

#[tokio::test]
async fn cached_indexes_and_open_files_are_bounded() {
    let source = |n: usize| AnySource::new(MemorySource::new(format!("{n}.mp4"), TINY));
    let assets = Assets::from_sources((0..3).map(|n| (format!("s{n}"), vec![source(n)]))).unwrap();
    let mut limits = ServiceLimits::default();
    limits.max_open_sources = 2;
    let packager = Packager::builder(assets).limits(limits).build();
    let metrics = packager.metrics().clone();
    get(&packager, "/s0/main.m3u8").await;
    let one = metrics.index_cache_bytes.get();
    assert!(one > 0);
    for n in [1, 0, 2, 0] {
        get(&packager, &format!("/s{n}/main.m3u8")).await;
        assert!(metrics.index_cache_bytes.get() <= 2 * one);
    }
    // The one that was used last stays; the other made room.
    assert_eq!(metrics.index_builds.get(), 3);
    get(&packager, "/s1/main.m3u8").await;
    assert_eq!(metrics.index_builds.get(), 4);
}

#[tokio::test]
async fn more_waiting_requests_than_allowed_are_turned_away() {
    let source = Staged::new(TINY);
    source.stage.gate.forget_permits(Semaphore::MAX_PERMITS);
    let mut limits = ServiceLimits::default();
    limits.waiting_requests = 1;
    let packager = Packager::builder(source.assets()).limits(limits).build();
    let waiting = tokio::spawn({
        let packager = packager.clone();
        async move { get(&packager, "/staged/main.m3u8").await.status }
    });
    until(|| source.reads() > 0).await;
    assert_eq!(get(&packager, "/staged/main.m3u8").await.status, 503);
    source.stage.gate.add_permits(1_000);
    assert_eq!(waiting.await.unwrap(), 200);
    assert_eq!(get(&packager, "/staged/main.m3u8").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_build_that_hangs_ends() {
    let source = Staged::new(TINY);
    let mut limits = ServiceLimits::default();
    limits.longest_wait = limits.build_timeout * 2;
    let packager = Packager::builder(source.assets()).limits(limits).build();
    source.stage.gate.forget_permits(Semaphore::MAX_PERMITS);
    let reply = get(&packager, "/staged/main.m3u8").await;
    assert_eq!(reply.status, 503);
    assert!(reply.text().contains("took too long"), "{}", reply.text());
}
