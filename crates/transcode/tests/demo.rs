//! The demo mezzanine, as ffprobe and the bytes show it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod tools;

use std::ops::ControlFlow;

use headwater_transcode::{Error, Kind, demo, probe};
use tools::{boxes, ffprobe, go_on, key_times, make_small, names, picture_times, pitch, samples};

#[test]
fn a_demo_is_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = make_small(folder.path());

    assert_eq!(names(folder.path()), ["small.mp4"], "no temporary file is left");
    let order = boxes(&path);
    let place = |name: &str| order.iter().position(|found| found == name).unwrap();
    assert!(place("moov") < place("mdat"), "{order:?}");

    assert_eq!(key_times(&path), ["0.000000", "2.000000"]);
    let times = picture_times(&path);
    assert_eq!(times.len(), 120);
    assert_eq!(times[0], "0.000000");
    assert_eq!(times[119], "3.966667");
    let entries =
        |stream, entry| ffprobe(&path, &["-select_streams", stream, "-show_entries", entry]);
    assert_eq!(
        entries("v", "stream=codec_name,profile,pix_fmt,has_b_frames,color_space,duration"),
        ["h264,High,2,yuv420p,bt709,4.000000"]
    );
    assert_eq!(
        entries("a", "stream=codec_name,profile,sample_rate,channels,duration"),
        ["aac,LC,48000,2,4.000000"]
    );
    assert!(entries("v", "frame=pict_type").contains(&"B".to_owned()));
}

#[test]
fn each_second_has_its_own_pitch_and_no_click() {
    let folder = tempfile::tempdir().unwrap();
    let sound = samples(&make_small(folder.path()));
    // The edit list cuts the priming; FFmpeg 5.1 does not cut the padding of the last frame.
    assert!((192_000..192_000 + 1024).contains(&sound.len()));
    for (number, second) in sound.chunks_exact(48_000).enumerate() {
        let wanted = demo::tone(u32::try_from(number).unwrap());
        let found = pitch(second) as f64;
        assert!((found - wanted).abs() < 4.0, "second {number}: {found} Hz, not {wanted}");
        // The loudest is modest, the change is silent.
        let peak = |part: &[i16]| part.iter().map(|s| s.unsigned_abs()).max().unwrap();
        assert!((3_000..8_000).contains(&peak(second)), "{}", peak(second));
        assert!(peak(&second[..24]) < 600 && peak(&second[48_000 - 24..]) < 600);
    }
}

#[test]
fn progress_grows_to_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mut seen = Vec::new();
    let spec = demo::DemoSpec { seconds: 1, audio: false, ..tools::small() };
    let path = folder.path().join("silent.mp4");
    demo::make(&path, &spec, &mut |progress| {
        seen.push(progress.fraction().unwrap());
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(seen.is_sorted() && seen.len() > 2);
    assert_eq!(seen.last(), Some(&1.0));
    let found = probe(&path).unwrap();
    assert_eq!(found.streams.len(), 1, "audio: false");
    assert!(matches!(found.streams[0].kind, Kind::Video { width: 320, height: 180, .. }));
}

#[test]
fn a_stopped_demo_leaves_no_file_and_keeps_an_older_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mp4");
    let stop_soon = &mut |progress: headwater_transcode::Progress| {
        if progress.done.as_millis() >= 1000 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let stopped = demo::make(&path, &tools::small(), stop_soon);
    assert!(matches!(stopped, Err(Error::Stopped)), "{stopped:?}");
    assert_eq!(names(folder.path()), [""; 0]);

    std::fs::write(&path, "older").unwrap();
    assert!(demo::make(&path, &tools::small(), stop_soon).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"older");
    assert_eq!(names(folder.path()), ["x.mp4"]);
}

#[test]
fn odd_requests_are_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    for (spec, word) in [
        (demo::DemoSpec { seconds: 0, ..tools::small() }, "seconds"),
        (demo::DemoSpec { width: 321, ..tools::small() }, "width"),
        (demo::DemoSpec { height: 9000, ..tools::small() }, "height"),
        (demo::DemoSpec { fps: 0, ..tools::small() }, "fps"),
        (demo::DemoSpec { gop_seconds: 0, ..tools::small() }, "gop_seconds"),
        (demo::DemoSpec { video_bitrate: 1, ..tools::small() }, "video_bitrate"),
    ] {
        let error = demo::make(folder.path().join("x.mp4"), &spec, &mut go_on).unwrap_err();
        assert!(error.to_string().starts_with(word), "{error}");
    }
    let nowhere = folder.path().join("missing/x.mp4");
    let error = demo::make(nowhere, &tools::small(), &mut go_on).unwrap_err();
    assert!(error.to_string().starts_with("cannot create the output: "), "{error}");
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn all_shapes_can_be_drawn() {
    let folder = tempfile::tempdir().unwrap();
    for (width, height, fps) in [(128, 72, 1), (202, 360, 25), (640, 360, 60)] {
        let spec = demo::DemoSpec { seconds: 1, width, height, fps, ..tools::small() };
        let path = folder.path().join(format!("{width}.mp4"));
        demo::make(&path, &spec, &mut go_on).unwrap();
        assert_eq!(picture_times(&path).len(), fps as usize);
    }
}

#[test]
fn rungs_share_every_frame_and_key_frame() {
    let folder = tempfile::tempdir().unwrap();
    let top = make_small(folder.path());
    let rung = tools::small().rung(90, 200_000);
    assert_eq!((rung.width, rung.height, rung.audio), (160, 90, false));
    assert_eq!(demo::DemoSpec::default().rung(480, 1).width, 854);
    let path = folder.path().join("90p.mp4");
    demo::make(&path, &rung, &mut go_on).unwrap();
    assert_eq!(key_times(&path), key_times(&top));
    assert_eq!(picture_times(&path), picture_times(&top));
}
