//! A segment of a two-hour title as MPEG-TS: counting packets, planning, and answering it whole
//! through the packager, in clear and encrypted.
//!
//! A plan is the segment's tables and, for each PES packet, what it is made of; nothing is read for
//! it. An answer is the request, the plan, and every byte of the body read from a local file that
//! the page cache holds and written into packets. Beside it: the same ranges read by plain `pread`
//! calls into one buffer, which is the least that any server could do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "benches fail loudly")]

#[path = "support/title.rs"]
mod title;

use std::fs::File;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput};
use headwater::net::Body;
use headwater::packager::{Assets, Media, Options, Packager, Part, Plan, Program, SegmentKey};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use title::Title;
use tokio::runtime::Runtime;
use tower::Service;

/// The segment that is asked for: an hour in, four seconds each.
const NUMBER: NonZeroU32 = NonZeroU32::new(900).unwrap();

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let Some(title) = Title::make() else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("title.mp4");
    title.write(&path, 3_560, 3_640).unwrap();
    let program: Program = "v1a1".parse().unwrap();
    let index = Arc::new(title.index());
    let media = || Media::new(vec![Arc::clone(&index)], &Options::default()).unwrap();
    let ready = media();
    let plan = ready.ts_segment(program, NUMBER).unwrap().ready().unwrap();

    let mut group = criterion.benchmark_group("ts");
    group.bench_function("count", |b| {
        let count = |media: Media| media.ts_segment_bytes(program);
        b.iter_batched(media, count, BatchSize::PerIteration);
    });
    group.bench_function("plan", |b| b.iter(|| black_box(ready.ts_segment(program, NUMBER))));
    group.throughput(Throughput::Bytes(plan.len));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (name, key) in [("clear", None), ("aes-128", Some(&[7; 16]))] {
        let mut options = Options::default();
        options.segment_key = key.map(|key| SegmentKey::from_bytes(key).unwrap());
        let packager = packager(&runtime, &path, options);
        let uri = segment_uri(&runtime, &packager);
        assert!(runtime.block_on(answer(packager.clone(), &uri)) >= plan.len);
        group.bench_function(format!("answer/{name}"), |b| {
            b.to_async(&runtime).iter(|| answer(packager.clone(), &uri));
        });
    }
    let file = File::open(&path).unwrap();
    let mut buffer = vec![0; 256 << 10];
    group.bench_function("pread", |b| b.iter(|| read_inputs(&file, &plan, &mut buffer)));
    group.finish();
    criterion.final_summary();
}

fn packager(runtime: &Runtime, path: &Path, options: Options) -> Packager {
    runtime.block_on(async {
        Packager::builder(Assets::from_files([path.to_owned()]).unwrap()).options(options).build()
    })
}

/// The bytes of one whole answer, taken frame by frame as a connection would.
async fn answer(mut packager: Packager, uri: &str) -> u64 {
    let response = packager.call(Request::get(uri).body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = Pin::new(Box::new(response.into_body()));
    let mut received = 0;
    while let Some(frame) = body.frame().await {
        received += frame.unwrap().into_data().map_or(0, |data| black_box(data).len() as u64);
    }
    received
}

/// Where the packager's media playlist says the segment is.
fn segment_uri(runtime: &Runtime, packager: &Packager) -> String {
    runtime.block_on(async {
        let request = Request::get("/title/v1a1.ts.m3u8").body(Body::empty()).unwrap();
        let response = packager.clone().call(request).await.unwrap();
        let text = response.into_body().collect(16 << 20).await.unwrap();
        let text = String::from_utf8(text.to_bytes().to_vec()).unwrap();
        let line = text.lines().find(|line| line.ends_with(&format!("/{NUMBER}.ts"))).unwrap();
        format!("/title/{line}")
    })
}

fn read_inputs(file: &File, plan: &Plan, buffer: &mut [u8]) -> u64 {
    let mut received = 0;
    for input in plan.parts.iter().flat_map(Part::inputs) {
        let (mut at, end) = (input.range.start, input.range.end());
        while at < end {
            let len = usize::try_from(end - at).unwrap().min(buffer.len());
            file.read_exact_at(&mut buffer[..len], at).unwrap();
            black_box(&buffer[..len]);
            at += len as u64;
            received += len as u64;
        }
    }
    received
}
