//! A recording keeps every MUST rule at each moment of its life: twice while it grows, when it has
//! just said that it is finished, and when it is a file like others.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests may fail loudly"
)]

mod support;

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use headwater_conform::{Level, Options, Sampling, check};
use headwater_net::{Clock, Timestamp};
use headwater_packager::{Assets, Packager};
use support::{HOST, Ours, broken, ffmpeg};

const FORMS: [&str; 5] = [
    "main.m3u8",
    "main.m3u8?container=ts",
    "main.m3u8?container=muxed",
    "manifest.mpd",
    "time.mpd",
];

/// What there is of a recording before its end alone.
const FILES: [&str; 2] = ["single.m3u8", "ondemand.mpd"];

/// When a file was recorded it does not say, and the time at which it appeared in its folder is that
/// of a copy, or none. A source of one quality has one.
const NOT_SAID: [&str; 2] = ["apple-live-date", "apple-several-rates"];

/// Trick play begins when a recording has ended, and a picture and its sound in one segment have none.
const NO_TRICKS: &str = "apple-iframes";

#[test]
fn a_recording_keeps_every_must_rule_while_it_grows_and_after() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.mp4");
    if !record(&whole) {
        return;
    }
    let whole = std::fs::read(&whole).unwrap();
    let parts = parts(&whole);
    let shows = folder.path().join("shows");
    std::fs::create_dir(&shows).unwrap();
    let clock = Clock::manual(Timestamp::from_secs(2_000_000_000));
    let file = shows.join("show.mp4");
    let mut options = headwater_packager::Options::default();
    options.target_duration = Duration::from_secs(2);
    let packager = Packager::builder(Assets::from_dir(&shows).unwrap())
        .clock(clock.clone())
        .options(options)
        .build();
    let mut ours = Ours::new(packager);

    let (begun, rest) = parts.split_at(9);
    let (more, end) = rest.split_at(8);
    let mut published = 0;
    let mut wrong = Vec::new();
    for (moment, added) in [("begun", begun), ("going on", more), ("ended", end), ("settled", &[])]
    {
        append(&file, &added.concat(), &clock);
        let growing = matches!(moment, "begun" | "going on");
        clock.advance(Duration::from_secs(if moment == "settled" { 700 } else { 5 }));
        let forms = FORMS.iter().chain(FILES.iter().filter(|_| !growing));
        for form in forms {
            let path = format!("/show/{form}");
            let options = Options { sampling: Sampling::All, only: Vec::new() };
            let report = check(&format!("{HOST}{path}"), &mut ours, &options).unwrap();
            eprintln!("{moment}: {}", report.table(false));
            assert!(report.complete && report.segments > 0, "{moment}: {}", report.summary());
            let known = |rule: &&str| NOT_SAID.contains(rule) || (*rule == NO_TRICKS && growing);
            let rules = broken(&report, Level::Must).into_iter().filter(|rule| !known(rule));
            wrong.extend(rules.map(|rule| format!("{moment}: {path}: {rule}")));
            if *form == "manifest.mpd" {
                assert!(report.segments > published || moment == "settled", "{moment}");
                published = report.segments;
            }
        }
        if growing {
            assert!(!ours.has("/show/ondemand.mpd"), "{moment}");
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// 20 s with B-frames, a fragment a second, and an index at the end.
fn record(path: &Path) -> bool {
    let mut arguments = vec!["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=20"];
    arguments.extend(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=20"]);
    arguments.extend(["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "25"]);
    arguments.extend(["-keyint_min", "25", "-sc_threshold", "0", "-pix_fmt", "yuv420p"]);
    arguments.extend(["-b:v", "300k", "-c:a", "aac", "-metadata:s:a:0", "language=eng"]);
    arguments.extend(["-movflags", "empty_moov+default_base_moof+frag_keyframe"]);
    arguments.push(path.to_str().unwrap());
    ffmpeg(&arguments)
}

/// What comes before the first fragment, each fragment, and what comes after the last.
fn parts(file: &[u8]) -> Vec<&[u8]> {
    let mut cuts = Vec::new();
    let mut at = 0;
    while at + 8 <= file.len() {
        let size = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        match &file[at + 4..at + 8] {
            b"moof" | b"mfra" => cuts.push(at),
            _ => {}
        }
        at += size.max(8);
    }
    assert!(cuts.len() > 18, "{cuts:?}");
    let starts = std::iter::once(0).chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain([file.len()]);
    starts.zip(ends).map(|(start, end)| &file[start..end]).collect()
}

fn append(path: &Path, bytes: &[u8], clock: &Clock) {
    if bytes.is_empty() {
        return;
    }
    let mut file: File = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
    let now = Duration::from_millis(clock.now().as_millis());
    file.set_modified(SystemTime::UNIX_EPOCH + now).unwrap();
}
