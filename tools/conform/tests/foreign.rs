//! It is useful on other people's presentations: what FFmpeg 5.1 writes is read, and what is
//! against the standards in it is found.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests may fail loudly")]

mod support;

use std::path::Path;

use headwater_conform::{Files, Level, Options, Report, Sampling, Verdict, check};
use support::{broken, encode, ffmpeg};

fn report(path: &Path) -> Report {
    let options = Options { sampling: Sampling::All, only: Vec::new() };
    let report = check(path.to_str().unwrap(), &mut Files, &options).unwrap();
    eprintln!("{}", report.table(false));
    report
}

/// What the conformer says of what FFmpeg writes with these options, `entry` first; `None` where it
/// is not installed.
fn written(entry: &str, output: &str, options: &[&str]) -> Option<Report> {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source.mp4");
    if !encode(&source, "320x180", 12, 50, "300k") {
        return None;
    }
    let output = folder.path().join(output);
    let input = ["-i", source.to_str().unwrap(), "-c", "copy"];
    assert!(ffmpeg(&[&input, options, &[output.to_str().unwrap()]].concat()));
    Some(report(&folder.path().join(entry)))
}

fn passed(report: &Report, id: &str) -> bool {
    matches!(report.row(id).unwrap().verdict, Verdict::Pass(_))
}

#[test]
fn ffmpegs_playlists_of_fragmented_mp4() {
    let options = [
        &["-f", "hls", "-hls_time", "2", "-hls_segment_type", "fmp4"][..],
        &["-hls_playlist_type", "vod", "-master_pl_name", "main.m3u8"],
    ];
    let Some(report) = written("main.m3u8", "v.m3u8", &options.concat()) else { return };
    assert_eq!(
        broken(&report, Level::Must),
        [
            "apple-codecs",
            "apple-frame-rate",
            "apple-average-bandwidth",
            "apple-several-rates",
            "apple-iframes",
        ]
    );
    for id in
        ["hls-extinf", "hls-durations-true", "mp4-continuous", "apple-video-idr", "hls-fmp4-map"]
    {
        assert!(passed(&report, id), "{id}");
    }
}

#[test]
fn ffmpegs_playlists_of_transport_streams() {
    let options = ["-f", "hls", "-hls_time", "2", "-hls_list_size", "0"];
    let Some(report) = written("v.m3u8", "v.m3u8", &options) else { return };
    assert_eq!(broken(&report, Level::Must), ["apple-vod-type"]);
    for id in [
        "ts-sync",
        "ts-tables",
        "ts-continuity",
        "ts-continuity-across",
        "ts-pcr",
        "ts-decode-order",
        "ts-timestamps-across",
        "ts-video-start",
        "hls-durations-true",
    ] {
        assert!(passed(&report, id), "{id}");
    }
}

#[test]
fn ffmpegs_mpd() {
    let options = ["-f", "dash", "-seg_duration", "2"];
    let Some(report) = written("m.mpd", "m.mpd", &options) else { return };
    // It states the duration that was asked for, and cuts sound a little later.
    assert_eq!(broken(&report, Level::Must), ["dash-max-segment"]);
    for id in ["dash-timeline-true", "dash-codecs-true", "dash-bandwidth-true", "dash-sap-true"] {
        assert!(passed(&report, id), "{id}");
    }
}

#[test]
fn ffmpegs_byte_ranges() {
    let options = [
        &["-f", "hls", "-hls_time", "2", "-hls_segment_type", "fmp4"][..],
        &["-hls_flags", "single_file", "-hls_playlist_type", "vod"],
    ];
    let Some(report) = written("v.m3u8", "v.m3u8", &options.concat()) else { return };
    assert_eq!(broken(&report, Level::Must), Vec::<&str>::new());
}

#[test]
fn ffmpegs_mpd_over_single_files() {
    let options = ["-f", "dash", "-seg_duration", "2", "-single_file", "1"];
    let Some(report) = written("m.mpd", "m.mpd", &options) else { return };
    // It claims the live profile, and addresses by SegmentList.
    assert_eq!(broken(&report, Level::Must), ["dash-max-segment", "dash-live-profile"]);
}
