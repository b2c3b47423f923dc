//! How long the index of a two-hour file takes to build, and how much memory it is.
//!
//! The `moov` is in memory; reading it from a disk is not measured. Beside it: `mp4-atom` and `mp4`
//! decoding the same box into their own tables, which is less than an index (nothing is checked or
//! joined) but what a packager built on them would start from.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "benches fail loudly")]

#[path = "support/title.rs"]
mod title;

use std::hint::black_box;
use std::io::Cursor;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use mp4_atom::{Decode, Moov};
use title::Title;

#[expect(clippy::print_stdout, reason = "a bench reports to a person")]
fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let Some(title) = Title::make() else { return };

    let index = title.index();
    let samples: u64 = index.tracks().iter().map(|track| u64::from(track.samples().count())).sum();
    assert_eq!(samples, title::SAMPLES);
    println!("| two-hour title | |\n|---|---|");
    println!("| samples | {samples} |");
    println!("| moov, bytes | {} |", title.moov.len());
    println!("| index, bytes | {} |", index.weight_bytes());
    println!("| moov, bytes per sample | {:.2} |", title.moov.len() as f64 / samples as f64);
    println!("| index, bytes per sample | {:.2} |\n", index.weight_bytes() as f64 / samples as f64);
    drop(index);

    let mut group = criterion.benchmark_group("index");
    group
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4))
        .throughput(Throughput::Elements(samples));
    group.bench_function("headwater", |b| b.iter(|| black_box(title.index())));
    group.bench_function("mp4-atom", |b| {
        b.iter(|| black_box(Moov::decode(&mut title.moov.as_ref()).unwrap()));
    });
    group.bench_function("mp4", |b| {
        b.iter(|| {
            let reader = Cursor::new(title.head.as_ref());
            black_box(mp4::Mp4Reader::read_header(reader, title.size).unwrap())
        });
    });
    group.finish();
    criterion.final_summary();
}
