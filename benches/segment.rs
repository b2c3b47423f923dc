//! Planning a segment of a two-hour title, and answering it whole through the packager.
//!
//! A plan is a segment's header and the ranges of samples that follow it; nothing is read for it.
//! An answer is the request, the plan, and every byte of the body read from a local file that the
//! page cache holds. Beside it: the same ranges read by plain `pread` calls into one buffer, which
//! is the least that any server could do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "benches fail loudly")]

#[path = "support/answer.rs"]
mod answer;
#[path = "support/title.rs"]
mod title;

use std::fs::File;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use answer::{answer, packager, read_inputs, segment_uri};
use criterion::{Criterion, Throughput};
use headwater::packager::{Media, Options, Part, TrackId};
use title::Title;

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
        let inputs: Vec<_> = plan.parts.iter().flat_map(Part::inputs).collect();
        let header = plan.len - inputs.iter().map(|input| input.range.len).sum::<u64>();
        println!("| {name} | {} | {header} | {} |", plan.len, inputs.len());
    }
    println!();

    measure_media(&mut criterion, &title);
    measure_plans(&mut criterion, &media, &tracks);

    let opened = File::open(&path).unwrap();
    for (name, track) in tracks {
        let plan = media.segment(track, NUMBER).unwrap();
        let mut group = criterion.benchmark_group(format!("segment/answer/{name}"));
        group
            .sample_size(30)
            .warm_up_time(Duration::from_millis(500))
            .measurement_time(Duration::from_secs(2))
            .throughput(Throughput::Bytes(plan.len));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let packager = packager(&runtime, &path, Options::default());
        let (playlist, file) = (format!("{track}.m3u8"), format!("{NUMBER}.m4s"));
        let uri = segment_uri(&runtime, &packager, &playlist, &file);
        assert_eq!(runtime.block_on(answer(packager.clone(), &uri)), plan.len);
        group.bench_function("headwater", |b| {
            b.to_async(&runtime).iter(|| answer(packager.clone(), &uri));
        });
        let mut buffer = vec![0; 256 << 10];
        group.bench_function("pread", |b| b.iter(|| read_inputs(&opened, &plan, &mut buffer)));
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
