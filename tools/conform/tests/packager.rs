//! The packager's own outputs keep every MUST rule.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests may fail loudly"
)]

mod support;

use std::time::Duration;

use headwater_conform::{Level, Options, Report, Sampling, check};
use headwater_packager::{Assets, Packager};
use support::{HOST, Ours, broken, encode};

/// Forms of an asset, by the path within it. Those that the packager does not have (yet) are
/// passed over, with a word.
const FORMS: [&str; 8] = [
    "main.m3u8",
    "manifest.mpd",
    "time.mpd",
    "ondemand.mpd",
    "main.m3u8?container=muxed",
    "main.m3u8?container=ts",
    "v1.single.m3u8",
    "v1.iframes.m3u8",
];

fn report(ours: &mut Ours, path: &str) -> Report {
    let options = Options { sampling: Sampling::All, only: Vec::new() };
    let report = check(&format!("{HOST}{path}"), ours, &options).unwrap();
    eprintln!("{}", report.table(false));
    report
}

fn packager(folder: &std::path::Path, seconds: u64) -> Packager {
    let mut options = headwater_packager::Options::default();
    options.target_duration = Duration::from_secs(seconds);
    Packager::builder(Assets::from_dir(folder).unwrap()).options(options).build()
}

#[test]
fn a_ladder_keeps_every_must_rule_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let made = encode(&folder.path().join("movie_180p.mp4"), "320x180", 13, 50, "400k")
        && encode(&folder.path().join("movie_360p.mp4"), "640x360", 13, 50, "900k");
    if !made {
        return;
    }
    let mut ours = Ours::new(packager(folder.path(), 4));
    for form in FORMS {
        let path = format!("/movie/{form}");
        if !ours.has(&path) {
            assert!(!matches!(form, "main.m3u8" | "manifest.mpd"), "{path} is missing");
            eprintln!("skipped: {path} is not there");
            continue;
        }
        let report = report(&mut ours, &path);
        assert!(report.complete && report.segments > 0, "{}", report.summary());
        let known = if form == "main.m3u8" { &[][..] } else { &NOT_YET };
        assert_eq!(unexpected(&report, known), Vec::<&str>::new(), "{path}");
    }
}

#[test]
fn real_media_keep_every_must_rule() {
    let Some(media) = std::env::var_os("HEADWATER_MEDIA") else {
        eprintln!("skipped: HEADWATER_MEDIA is unset");
        return;
    };
    let mut ours = Ours::new(packager(std::path::Path::new(&media), 4));
    let mut checked = 0;
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(media).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        for form in FORMS {
            let path = format!("/{name}/{form}");
            // What the packager refuses it refuses with a reason: that is not ours to test.
            if !ours.has(&path) {
                continue;
            }
            let report = report(&mut ours, &path);
            let failed = unexpected(&report, &[&OF_SINGLE_FILES[..], &NOT_YET].concat());
            if !failed.is_empty() {
                wrong.push(format!("{path}: {}", failed.join(", ")));
            }
            checked += 1;
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(checked > 10, "{checked} presentations");
}

/// What a file alone cannot have, what its source does not tell, or how its source is (one of a
/// phone has 60.06 frames a second).
const OF_SINGLE_FILES: [&str; 3] =
    ["apple-several-rates", "apple-language", "apple-frame-rate-limit"];

/// What the packager does not write yet: I-frame playlists of transport streams and of titles with a
/// single I-frame.
const NOT_YET: [&str; 1] = ["apple-iframes"];

fn unexpected(report: &Report, known: &[&str]) -> Vec<&'static str> {
    broken(report, Level::Must).into_iter().filter(|rule| !known.contains(rule)).collect()
}
