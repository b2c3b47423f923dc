//! Renditions: the same frames at the same times, smaller.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests may fail loudly"
)]

mod tools;

use std::{ops::ControlFlow, path::PathBuf};

use headwater_transcode::{
    Error, Kind,
    encode::{self, RenditionSpec},
    probe,
};
use tools::{boxes, go_on, key_times, make_small, names, picture_times, pitch, samples};

const SPEC: RenditionSpec =
    RenditionSpec { height: 90, video_bitrate: 200_000, gop_seconds: 2, audio: true };

fn media(name: &str) -> Option<PathBuf> {
    let found = std::env::var_os("HEADWATER_MEDIA").map(|folder| PathBuf::from(folder).join(name));
    if found.is_none() {
        println!("skipped: HEADWATER_MEDIA is unset");
    }
    found
}

#[test]
fn a_rendition_has_the_frames_and_key_frames_of_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let source = make_small(folder.path());
    let output = folder.path().join("90p.mp4");
    encode::rendition(&source, &output, &SPEC, &mut go_on).unwrap();

    assert_eq!(names(folder.path()).len(), 2, "no temporary file is left");
    assert_eq!(boxes(&output)[1], "moov");
    assert_eq!(key_times(&output), key_times(&source));
    assert_eq!(picture_times(&output), picture_times(&source));
    let found = probe(&output).unwrap();
    assert_eq!(found.duration.unwrap().as_millis(), 4000);
    assert!(matches!(found.streams[0].kind, Kind::Video { width: 160, height: 90, .. }));

    // Sound and picture did not move against each other: the tones start where they did.
    let (before, after) = (samples(&source), samples(&output));
    assert!(after.len().abs_diff(before.len()) < 1024);
    for (old, new) in before.chunks_exact(48_000).zip(after.chunks_exact(48_000)) {
        assert!(pitch(old).abs_diff(pitch(new)) <= 2);
        assert!(new[..24].iter().all(|sample| sample.abs() < 600));
    }
}

#[test]
fn sound_is_optional() {
    let folder = tempfile::tempdir().unwrap();
    let source = make_small(folder.path());
    let output = folder.path().join("silent.mp4");
    let spec = RenditionSpec { audio: false, gop_seconds: 1, ..SPEC };
    encode::rendition(&source, &output, &spec, &mut go_on).unwrap();
    assert_eq!(probe(&output).unwrap().streams.len(), 1);
    assert_eq!(key_times(&output).len(), 4);
}

#[test]
fn a_stopped_rendition_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let source = make_small(folder.path());
    let output = folder.path().join("x.mp4");
    let stopped = encode::rendition(&source, &output, &SPEC, &mut |_| ControlFlow::Break(()));
    assert!(matches!(stopped, Err(Error::Stopped)), "{stopped:?}");
    assert_eq!(names(folder.path()), ["small.mp4"]);
}

#[test]
fn variable_frame_rate_and_delayed_streams_keep_their_times() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "fire_720p_vfr_phone.mp4",
        "h264_aac_elst_bframes_moovend_240p_10s.mp4",
        "h264_aac_noelst_bframes_audio_first_360p_8s.mp4",
        "bbb_854x480_30s_aac51.mp4",
    ] {
        let Some(source) = media(name) else { return };
        let output = folder.path().join(name);
        encode::rendition(&source, &output, &SPEC, &mut go_on).unwrap();
        let seconds = |times: Vec<String>| -> Vec<f64> {
            times.iter().map(|time| time.parse().unwrap()).collect()
        };
        let old = seconds(picture_times(&source));
        let new = seconds(picture_times(&output));
        assert_eq!(new.len(), old.len(), "{name}");
        let shift = old[0] - new[0];
        for (old, new) in old.iter().zip(&new) {
            assert!((old - new - shift).abs() < 0.002, "{name}: {old} became {new}");
        }
        let length = |path: &PathBuf| probe(path).unwrap().duration.unwrap().as_secs_f64();
        assert!((length(&source) - length(&output)).abs() < 0.1, "{name}");
    }
}

#[test]
fn a_rotated_recording_stands_upright() {
    let Some(source) = media("h264_4k60_portrait_rotated_co64.mp4") else { return };
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("up.mp4");
    let spec = RenditionSpec { height: 180, ..SPEC };
    encode::rendition(&source, &output, &spec, &mut go_on).unwrap();
    let found = probe(&output).unwrap();
    let Kind::Video { width, height, .. } = found.streams[0].kind else { panic!("{found:?}") };
    assert!(width < height, "{width}x{height}");
}

#[test]
fn a_rendition_of_nothing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.mp4");
    std::fs::write(&text, "These are notes.\n".repeat(100)).unwrap();
    let output = folder.path().join("x.mp4");
    let error = encode::rendition(&text, &output, &SPEC, &mut go_on).unwrap_err();
    assert!(matches!(error, Error::NotMedia), "{error}");
    let odd = RenditionSpec { height: 91, ..SPEC };
    let error = encode::rendition(&text, &output, &odd, &mut go_on).unwrap_err();
    assert!(matches!(error, Error::Spec(_)), "{error}");
    assert_eq!(names(folder.path()), ["notes.mp4"]);
}
