//! FFmpeg reads every presentation, and finds in it what is in the source.

#![cfg(feature = "http")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests may fail loudly"
)]

mod shell;

use std::path::{Path, PathBuf};

use headwater_packager::Assets;
use serde_json::Value;
use shell::{TINY, encode, export, media, packager, run};

/// The media that this storey packages: progressive H.264, with AAC or without.
const MEDIA: [&str; 11] = [
    "bbb_854x480_30s_aac51.mp4",
    "fire_720p_vfr_phone.mp4",
    "flower_540p_5s_cc0.mp4",
    "friday_480p_6s_co64_cc0.mp4",
    "h264_4k60_portrait_rotated_co64.mp4",
    "h264_aac_coverart_mjpeg.m4v",
    "h264_aac_elst_bframes_moovend_240p_10s.mp4",
    "h264_aac_noelst_bframes_audio_first_360p_8s.mp4",
    "intel_car_768x432_30s.mp4",
    "intel_person_768x432_139s.mp4",
    "smpte_1080p_10s.mp4",
];

/// One track as FFmpeg demuxes it.
#[derive(Debug, PartialEq)]
struct Track {
    packets: usize,
    /// First presentation time in seconds.
    start: f64,
    /// From the first presentation time to the end of the last packet.
    length: f64,
    /// The longest packet: a frame.
    frame: f64,
    /// Bytes of all packets.
    bytes: u64,
}

/// The first track of a kind (`v` or `a`) in a file or presentation.
fn probe(input: &Path, kind: &str, options: &[&str]) -> Option<Track> {
    let selected = format!("{kind}:0");
    let mut arguments = vec!["-v", "error", "-select_streams", &selected, "-show_entries"];
    arguments.extend(["packet=pts_time,duration_time,size", "-of", "json"]);
    arguments.extend_from_slice(options);
    // The option is known to the HLS reader alone.
    if input.extension().is_some_and(|extension| extension == "m3u8") {
        arguments.extend(["-allowed_extensions", "ALL"]);
    }
    arguments.push(input.to_str().unwrap());
    let document: Value = serde_json::from_str(&run("ffprobe", &arguments)).unwrap();
    let packets = document["packets"].as_array()?;
    let seconds = |value: &Value| value.as_str().and_then(|text| text.parse::<f64>().ok());
    let times: Vec<(f64, f64)> = packets
        .iter()
        .filter_map(|packet| {
            let start = seconds(&packet["pts_time"])?;
            Some((start, start + seconds(&packet["duration_time"]).unwrap_or(0.0)))
        })
        .collect();
    if times.is_empty() {
        return None;
    }
    let start = times.iter().map(|time| time.0).fold(f64::INFINITY, f64::min);
    let end = times.iter().map(|time| time.1).fold(0.0, f64::max);
    let frame = times.iter().map(|time| time.1 - time.0).fold(0.0, f64::max);
    let bytes =
        packets.iter().map(|packet| packet["size"].as_str().unwrap().parse::<u64>().unwrap()).sum();
    Some(Track { packets: packets.len(), start, length: end - start, frame, bytes })
}

/// All packets of the source are there. Those before and after what its edit list shows are kept:
/// decoders need the first (priming), and a player stops at the end of the presentation.
fn check(name: &str, source: &Path, folder: &Path) {
    for kind in ["v", "a"] {
        let expected = probe(source, kind, &["-ignore_editlist", "1"]);
        for manifest in ["main.m3u8", "manifest.mpd"] {
            let found = probe(&folder.join(manifest), kind, &[]);
            let what = format!("{name} {kind} {manifest}");
            let (expected, found) = match (&expected, found) {
                (None, None) => continue,
                (Some(expected), Some(found)) => (expected, found),
                (expected, found) => panic!("{what}: {expected:?}, but {found:?}"),
            };
            eprintln!("{what}: in the source {expected:?}, presented {found:?}");
            assert_eq!(found.packets, expected.packets, "{what}");
            assert_eq!(found.bytes, expected.bytes, "{what}");
            let frame = expected.frame + 0.001;
            assert!((found.length - expected.length).abs() <= frame, "{what}: {found:?}");
        }
    }
}

/// Sound and picture start as far apart as in the source.
fn check_sync(name: &str, source: &Path, folder: &Path) {
    let apart = |input: &Path| {
        let (picture, sound) = (probe(input, "v", &[])?, probe(input, "a", &[])?);
        Some(picture.start - sound.start)
    };
    let Some(expected) = apart(source) else { return };
    for manifest in ["main.m3u8", "manifest.mpd"] {
        let found = apart(&folder.join(manifest)).unwrap();
        assert!((found - expected).abs() < 0.003, "{name} {manifest}: {found}, in it {expected}");
    }
}

fn export_all(dir: &Path) -> (PathBuf, Vec<String>) {
    let out = dir.join(".out");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let names = runtime.block_on(async {
        let (packager, _) = packager(Assets::from_dir(dir).unwrap());
        let names = packager.names().await;
        for name in &names {
            export(&packager, name, &out).await;
        }
        names.iter().map(ToString::to_string).collect()
    });
    (out, names)
}

#[test]
fn a_small_asset_reads_as_its_source() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tiny.mp4");
    std::fs::write(&path, TINY).unwrap();
    let (out, _) = export_all(dir.path());
    check("tiny", &path, &out.join("tiny"));
    check_sync("tiny", &path, &out.join("tiny"));
}

#[test]
fn every_covered_medium_reads_as_its_source() {
    let Some(media) = media() else { return };
    let dir = tempfile::tempdir().unwrap();
    for file in MEDIA {
        std::os::unix::fs::symlink(media.join(file), dir.path().join(file)).unwrap();
    }
    let (out, names) = export_all(dir.path());
    assert_eq!(names.len(), MEDIA.len());
    for (name, file) in names.iter().zip(MEDIA) {
        check(name, &media.join(file), &out.join(name));
        check_sync(name, &media.join(file), &out.join(name));
    }
}

#[test]
fn every_rendition_of_a_ladder_reads_as_its_source() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("show");
    std::fs::create_dir(&folder).unwrap();
    for (name, size) in [("1.mp4", "160x90"), ("2.mp4", "320x180"), ("3.mp4", "640x360")] {
        encode(&folder.join(name), size, 7, 25, "200k");
    }
    let (out, _) = export_all(dir.path());
    for number in 1..=3 {
        let source = folder.join(format!("{number}.mp4"));
        let expected = probe(&source, "v", &[]).unwrap();
        let found = probe(&out.join(format!("show/v{number}.m3u8")), "v", &[]).unwrap();
        assert_eq!((found.packets, found.bytes), (expected.packets, expected.bytes));
    }
    // FFmpeg's DASH reader gives each representation a stream.
    let mpd = out.join("show/manifest.mpd");
    let arguments = ["-v", "error", "-show_streams", "-of", "json", mpd.to_str().unwrap()];
    let streams: Value = serde_json::from_str(&run("ffprobe", &arguments)).unwrap();
    let widths: Vec<_> =
        streams["streams"].as_array().unwrap().iter().filter_map(|s| s["width"].as_u64()).collect();
    assert_eq!(widths, [160, 320, 640]);
}
