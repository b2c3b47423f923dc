//! Files that FFmpeg makes: a ladder with B-frames, cut alike and in step with its sound.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod kit;

use headwater_packager::Options;
use kit::{compare_with_source, ffmpeg, media, send};

/// 13 s of a moving picture and a tone, a sync sample each 2 s.
fn make(path: &str, size: &str, more: &[&str]) -> bool {
    let picture = format!("testsrc2=size={size}:rate=24000/1001:duration=13");
    let mut arguments = vec!["-f", "lavfi", "-i", &picture, "-f", "lavfi"];
    arguments.extend(["-i", "sine=frequency=440:sample_rate=44100:duration=13"]);
    arguments.extend(["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p"]);
    arguments.extend(["-g", "48", "-keyint_min", "48", "-sc_threshold", "0", "-bf", "3"]);
    arguments.extend(["-c:a", "aac", "-ac", "2", "-metadata:s:a:0", "language=fra"]);
    arguments.extend(more);
    arguments.push(path);
    ffmpeg(&arguments)
}

#[test]
fn a_ladder_is_cut_alike_and_keeps_every_packet() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (low, high) = (path("low.mp4"), path("high.mp4"));
    let made = make(low.to_str().unwrap(), "320x180", &["-movflags", "+faststart"])
        && make(high.to_str().unwrap(), "640x360", &[]);
    if !made {
        return;
    }
    let files = vec![std::fs::read(&low).unwrap(), std::fs::read(&high).unwrap()];
    let media = media(&files, &Options::default());
    let notes = media.report().to_string();
    assert_eq!(notes, "source 2: track 2: it is the same sound as that of source 1, track 2");
    let ids: Vec<_> = media.tracks().iter().map(|track| track.id.to_string()).collect();
    assert_eq!(ids, ["v1", "v2", "a1"]);
    assert_eq!(media.tracks()[2].language.as_deref(), Some("fr"));
    assert_eq!(media.tracks()[0].video().unwrap().frame_rate, Some((24_000, 1_001)));

    for track in media.tracks() {
        let source = if track.source == 0 { &low } else { &high };
        if !compare_with_source("ladder", &media, track, source, &files, folder.path()) {
            return;
        }
    }
    // 312 frames and three boundaries at 4.004 s each; the second of the tail joins the third.
    let (first, second) = (media.spans(media.tracks()[0].id), media.spans(media.tracks()[1].id));
    assert_eq!(first.len(), 3);
    for (low, high) in first.iter().zip(second) {
        assert_eq!(
            (low.start, low.duration, low.samples),
            (high.start, high.duration, high.samples)
        );
    }
    let exact = media.segment_duration(media.tracks()[0].id, 1).unwrap();
    assert_eq!(exact.seconds(6).to_string(), "4.004000");
}

#[test]
fn where_the_movie_box_lies_changes_nothing_but_offsets() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    if !make(&path("back.mp4"), "160x90", &[]) {
        return;
    }
    let front = path("front.mp4");
    ffmpeg(&["-i", &path("back.mp4"), "-c", "copy", "-movflags", "+faststart", &front]);
    let all = |name: &str| {
        let files = vec![std::fs::read(folder.path().join(name)).unwrap()];
        let media = media(&files, &Options::default());
        let mut out = Vec::new();
        for track in media.tracks() {
            out.extend(send(&media.init(track.id).unwrap(), &files));
            for number in 1..=media.segment_count(track.id) {
                out.extend(send(&media.segment(track.id, number).unwrap(), &files));
            }
        }
        out
    };
    assert!(all("back.mp4") == all("front.mp4"), "the same segments");
}
