//! A segment of a two-hour title as MPEG-TS: counting packets, planning, and answering it whole
//! through the packager, in clear and encrypted.
//!
//! A plan is the segment's tables and, for each PES packet, what it is made of; nothing is read for
//! it. An answer is the request, the plan, and every byte of the body read from a local file that
//! the page cache holds and written into packets. Beside it: the same ranges read by plain `pread`
//! calls into one buffer, which is the least that any server could do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "benches fail loudly")]

#[path = "support/answer.rs"]
mod answer;
#[path = "support/title.rs"]
mod title;

use std::fs::File;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use answer::{answer, packager, read_inputs, segment_uri};
use criterion::{BatchSize, Criterion, Throughput};
use headwater::packager::{Media, Options, Program, SegmentKey};
use title::Title;

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
        let uri = segment_uri(&runtime, &packager, "v1a1.ts.m3u8", &format!("{NUMBER}.ts"));
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
