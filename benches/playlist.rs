//! Writing the playlists and the MPD of a two-hour title: 1,800 segments a track.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "benches fail loudly")]

#[path = "support/title.rs"]
mod title;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use title::Title;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let Some(title) = Title::make() else { return };
    let presentation = title.presentation();

    let mut group = criterion.benchmark_group("playlist");
    group
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    for (name, resource) in title::manifests() {
        let len = presentation.plan(resource).unwrap().ready().unwrap().len;
        group.throughput(Throughput::Bytes(len));
        group.bench_function(name, |b| b.iter(|| black_box(presentation.plan(resource))));
    }
    group.finish();
    criterion.final_summary();
}
