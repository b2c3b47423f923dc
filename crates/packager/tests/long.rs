//! Ten hours at 60 pictures a second: over two million pictures and a file of a terabyte, of which
//! only the movie box exists.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

mod kit;

use std::sync::Arc;

use bytes::Bytes;
use headwater_packager::index::Sample;
use headwater_packager::{Media, Options, Part, Plan, TrackId};
use kit::boxes::{FileSpec, TrackSpec};
use kit::index_head;

const SECONDS: u32 = 36_000;
const PICTURES: u32 = SECONDS * 60;
/// Frames of 1,024 samples at 48 kHz.
const SOUNDS: u32 = SECONDS * 48_000 / 1_024;
const TICKS: u32 = 512;

fn file() -> FileSpec {
    let mut video = TrackSpec::video(PICTURES, 480_000, 120);
    video.timescale = 60 * TICKS;
    video.durations = vec![(PICTURES, TICKS)];
    video.offsets = [(1, 1), (1, 3), (1, 0), (1, 0)].repeat(PICTURES as usize / 4);
    for (_, offset) in &mut video.offsets {
        *offset *= TICKS.cast_signed();
    }
    video.wide_chunks = true;
    let mut audio = TrackSpec::audio(SOUNDS, 340);
    audio.wide_chunks = true;
    audio.samples_per_chunk = 8;
    FileSpec::new(vec![video, audio])
}

/// Where each sample lies when chunks of all tracks take turns.
fn offsets(file: &FileSpec, data: u64) -> Vec<Vec<u64>> {
    let mut offsets: Vec<Vec<u64>> = file.tracks.iter().map(|_| Vec::new()).collect();
    let mut at = data;
    loop {
        let before = at;
        for (track, offsets) in file.tracks.iter().zip(&mut offsets) {
            let rest = &track.sizes[offsets.len()..];
            for size in rest.iter().take(track.samples_per_chunk as usize) {
                offsets.push(at);
                at += u64::from(*size);
            }
        }
        if at == before {
            return offsets;
        }
    }
}

/// First and last byte that a plan copies, and how many bytes.
fn copied(plan: &Plan) -> (u64, u64, u64) {
    let ranges = || {
        plan.parts.iter().filter_map(|part| match part {
            Part::Copy(copy) => Some(copy.range),
            _ => None,
        })
    };
    let (first, last) = (ranges().next().unwrap(), ranges().last().unwrap());
    (first.start, last.end(), ranges().map(|range| range.len).sum())
}

#[test]
fn ten_hours_at_sixty_pictures_a_second() {
    let file = file();
    let (head, size) = file.head();
    let head = Bytes::from(head);
    assert!(size > 1_000_000_000_000, "a terabyte");
    let expected = offsets(&file, head.len() as u64);
    let (index, reads) = index_head("long.mp4", &head, size).unwrap();
    assert_eq!(reads, 2);

    for ((track, spec), offsets) in index.tracks().iter().zip(&file.tracks).zip(&expected) {
        let samples = track.samples();
        let count = samples.count();
        assert_eq!(count as usize, spec.sizes.len());
        let delta = spec.durations[0].1;
        let bytes = samples.weight_bytes() as f64 / f64::from(count);
        assert!(bytes < 5.5, "{bytes} a sample");
        for number in [0, 1, 9, 255, 256, 1_000_003, count / 2, count - 300, count - 1] {
            let dts = i64::from(number) * i64::from(delta);
            assert_eq!(samples.at_or_after(dts), number);
            assert_eq!(samples.at_or_after(dts - i64::from(delta) + 1), number);
            for (sample, number) in samples.range(number..number.saturating_add(300)).zip(number..)
            {
                let at = number as usize;
                let composition_offset = if spec.video { spec.offsets[at % 4].1 } else { 0 };
                let expected = Sample {
                    offset: offsets[at],
                    size: spec.sizes[at],
                    dts: i64::from(number) * i64::from(delta),
                    duration: delta,
                    composition_offset,
                    sync: !spec.video || number.is_multiple_of(120),
                };
                assert_eq!(sample, expected, "sample {number}");
            }
        }
        assert_eq!(samples.at_or_after(i64::from(count) * i64::from(delta)), count);
    }

    let media = Media::new(vec![Arc::new(index)], &Options::default()).unwrap();
    let video: TrackId = "v1".parse().unwrap();
    let segments = media.segment_count(video);
    assert_eq!(segments, SECONDS / 4);
    for number in [1, 2, segments / 2, segments - 1, segments] {
        let first = (number as usize - 1) * 240;
        let sizes = &file.tracks[0].sizes[first..first + 240];
        let plan = media.segment(video, number).unwrap();
        let last = expected[0][first + 239] + u64::from(sizes[239]);
        let sum = sizes.iter().map(|size| u64::from(*size)).sum();
        assert_eq!(copied(&plan), (expected[0][first], last, sum), "segment {number}");
        assert_eq!(media.segment_bytes(video, number), Some(plan.len));
    }
    let audio: TrackId = "a1".parse().unwrap();
    let plan = media.segment(audio, segments).unwrap();
    assert_eq!(
        copied(&plan).1,
        expected[1].last().unwrap() + u64::from(file.tracks[1].sizes[SOUNDS as usize - 1])
    );
    assert!(media.segment(audio, segments + 1).is_none());
}

#[test]
fn a_segment_of_more_than_a_million_samples_is_refused() {
    let build = |count: u32| {
        let mut video = TrackSpec::video(count, 100, count);
        video.offsets = vec![(count, 0)];
        let (head, size) = FileSpec::new(vec![video]).head();
        let (index, _) = index_head("long.mp4", &head.into(), size).unwrap();
        Media::new(vec![Arc::new(index)], &Options::default()).map(|_| ())
    };
    assert_eq!(build(1 << 20), Ok(()));
    let limit = 1 << 20;
    assert_eq!(build(limit + 1), Err(refused(u64::from(limit))));
}

fn refused(limit: u64) -> headwater_packager::Error {
    headwater_packager::Error::Limit { what: "samples in one segment", limit }
}
