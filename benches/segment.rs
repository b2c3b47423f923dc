//! Planning a segment of a two-hour title, and answering it whole through the packager.
//!
//! A plan is a segment's header and the ranges of samples that follow it; nothing is read for it.
//! An answer is the request, the plan, and every byte of the body read from a local file that the
//! page cache holds. Beside it: the same ranges read by plain `pread` calls into one buffer, which
//! is the least that any server could do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "benches fail loudly")]

#[path = "support/title.rs"]
mod title;

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use headwater::net::Body;
use headwater::packager::{Assets, Media, Options, Packager, Part, Plan, TrackId};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use title::Title;
use tower::Service;

/// The segment that is asked for: an hour in, four seconds each.
const NUMBER: u32 = 900;

#[expect(clippy::print_stdout, reason = "a bench reports to a person")]
fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let Some(title) = Title::make() else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("title.mp4");
    title.write(&path, 3_560, 3_640).unwrap();

    let media = Media::new(vec![Arc::new(title.index())], &Options::default()).unwrap();
    let tracks = [("video", "v1".parse().unwrap()), ("audio", "a1".parse().unwrap())];
    println!("| segment {NUMBER} | bytes | header, bytes | ranges |\n|---|---|---|---|");
    for (name, track) in tracks {
        let plan = media.segment(track, NUMBER).unwrap();
        let header: u64 = made(&plan).map(Part::len).sum();
        println!("| {name} | {} | {header} | {} |", plan.len, ranges(&plan).count());
    }
    println!();

    measure_media(&mut criterion, &title);
    measure_plans(&mut criterion, &media, &tracks);

    let file = File::open(&path).unwrap();
    for (name, track) in tracks {
        let plan = media.segment(track, NUMBER).unwrap();
        let mut group = criterion.benchmark_group(format!("segment/answer/{name}"));
        group
            .sample_size(30)
            .warm_up_time(Duration::from_millis(500))
            .measurement_time(Duration::from_secs(2))
            .throughput(Throughput::Bytes(plan.len));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let packager = runtime.block_on(async {
            Packager::builder(Assets::from_files([path.clone()]).unwrap()).build()
        });
        let uri = segment_uri(&runtime, &packager, track);
        assert_eq!(runtime.block_on(answer(packager.clone(), &uri)), plan.len);
        group.bench_function("headwater", |b| {
            b.to_async(&runtime).iter(|| answer(packager.clone(), &uri));
        });
        let mut buffer = vec![0; 256 << 10];
        group.bench_function("pread", |b| b.iter(|| read_ranges(&file, &plan, &mut buffer)));
        group.finish();
    }
    criterion.final_summary();
}

/// Timeline and segment table, from an index that is ready.
fn measure_media(criterion: &mut Criterion, title: &Title) {
    let index = Arc::new(title.index());
    let mut group = criterion.benchmark_group("segment");
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    group.bench_function("table", |b| {
        b.iter(|| Media::new(vec![Arc::clone(&index)], &Options::default()).unwrap());
    });
    group.finish();
}

fn measure_plans(criterion: &mut Criterion, media: &Media, tracks: &[(&str, TrackId)]) {
    let mut group = criterion.benchmark_group("segment/plan");
    group
        .sample_size(50)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    for (name, track) in tracks {
        group.bench_function(*name, |b| b.iter(|| black_box(media.segment(*track, NUMBER))));
    }
    group.finish();
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
fn segment_uri(runtime: &tokio::runtime::Runtime, packager: &Packager, track: TrackId) -> String {
    runtime.block_on(async {
        let request = Request::get(format!("/title/{track}.m3u8")).body(Body::empty()).unwrap();
        let response = packager.clone().call(request).await.unwrap();
        let text = response.into_body().collect(16 << 20).await.unwrap();
        let text = String::from_utf8(text.to_bytes().to_vec()).unwrap();
        let line = text.lines().find(|line| line.ends_with(&format!("/{NUMBER}.m4s"))).unwrap();
        format!("/title/{line}")
    })
}

fn read_ranges(file: &File, plan: &Plan, buffer: &mut [u8]) -> u64 {
    let mut received = 0;
    for (mut at, end) in ranges(plan) {
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

fn made(plan: &Plan) -> impl Iterator<Item = &Part> {
    plan.parts.iter().filter(|part| matches!(part, Part::Bytes(_)))
}

fn ranges(plan: &Plan) -> impl Iterator<Item = (u64, u64)> {
    plan.parts.iter().filter_map(|part| match part {
        Part::Copy(copy) => Some((copy.range.start, copy.range.end())),
        _ => None,
    })
}
