//! The command `headwater` as people call it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]
#![cfg(feature = "cli")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const TINY: &[u8] = include_bytes!("../crates/packager/tests/fixtures/tiny.mp4");

fn headwater(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
    command.current_dir(dir).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn failed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A folder with a ladder of two siblings, a lone file and something broken.
fn films() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["film_720p.mp4", "film_1080p.mp4", "lone.mp4"] {
        fs::write(dir.path().join(name), TINY).unwrap();
    }
    dir
}

#[test]
fn inspect_tells_tracks_groups_of_pictures_and_edit_lists() {
    let dir = films();
    let text = said(&headwater(dir.path(), &["inspect", "lone.mp4"]));
    for line in [
        "lone\n",
        "  duration  6.000 s\n",
        "  track  from  codec        what                     language  average    peak       samples\n",
        "  v1     1:1   avc1.",
        "128×72, 24.000 frames/s",
        "mp4a.40.2    mono, 48000 Hz",
        "    6 groups of pictures: 24 / 24 / 24 pictures, 1.000 / 1.000 / 1.000 s (least, middle, greatest)\n",
        "      up to 1.00 s  6  ####",
        "    edit list: plays from 0.0833 s (1024 ticks) of the media for 6.000 s\n",
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }

    let json = said(&headwater(dir.path(), &["inspect", "--json", "lone.mp4"]));
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["asset"], "lone");
    assert_eq!(report["tracks"][0]["gops"]["pictures"]["max"], 24);
    assert_eq!(report["tracks"][0]["samples"], 144);
}

#[test]
fn inspect_takes_folders_names_and_descriptors() {
    let dir = films();
    let all = said(&headwater(dir.path(), &["inspect", "."]));
    assert!(all.starts_with("film\n") && all.contains("\nlone\n"), "{all}");
    assert!(all.contains("to know:\n    source 2: track 2: it is the same sound"), "{all}");
    let json = said(&headwater(dir.path(), &["inspect", "--json", "."]));
    let reports: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(reports.len(), 2);
    let one = said(&headwater(dir.path(), &["inspect", "film"]));
    assert!(one.starts_with("film\n") && one.contains("  v2 "), "{one}");

    let text = r#"{"headwater": 1, "audio": [{"file": "lone.mp4", "nam": "x"}]}"#;
    fs::write(dir.path().join("sound.headwater.json"), text).unwrap();
    let error = failed(&headwater(dir.path(), &["inspect", "sound.headwater.json"]));
    assert_eq!(
        error,
        "error: sound: sound.headwater.json:1: audio[0].nam: unknown key `nam`; did you mean \
         `name`?\n"
    );
    fs::write(dir.path().join("sound.headwater.json"), text.replace("nam\"", "name\"")).unwrap();
    let sound = said(&headwater(dir.path(), &["inspect", "sound.headwater.json"]));
    assert!(sound.contains("en “x”") && !sound.contains("v1"), "{sound}");
}

/// What a camera leaves, as FFmpeg writes it: a picture that lies on its side, pixels that are not
/// square, a timecode track; and telemetry, which is that track under GoPro's name.
#[test]
fn inspect_tells_how_pictures_are_displayed_and_what_is_left_out() {
    let dir = films();
    let ffmpeg = |arguments: &[&str]| {
        let mut command = Command::new("ffmpeg");
        command.current_dir(dir.path()).args(["-v", "error"]).args(arguments);
        assert!(command.status().unwrap().success());
    };
    ffmpeg(&[
        "-i",
        "lone.mp4",
        "-c:v",
        "libx264",
        "-c:a",
        "copy",
        "-vf",
        "setsar=4/3",
        "-timecode",
        "01:00:00:00",
        "upright.mov",
    ]);
    ffmpeg(&[
        "-i",
        "upright.mov",
        "-c",
        "copy",
        "-map",
        "0",
        "-metadata:s:v:0",
        "rotate=270",
        "-timecode",
        "01:00:00:00",
        "side.mov",
    ]);
    let upright = said(&headwater(dir.path(), &["inspect", "upright.mov"]));
    assert!(upright.contains("171×72 (stored 128×72), 24.000 frames/s"), "{upright}");
    let side = fs::read(dir.path().join("side.mov")).unwrap();
    let text = said(&headwater(dir.path(), &["inspect", "side.mov"]));
    assert!(text.contains("72×171 (stored 128×72), turned by 90°, 24.000 frames/s"), "{text}");
    assert!(
        text.contains("\n  left out:\n    source 1: track 3: timecode (tmcd) is not part"),
        "{text}"
    );
    let mut telemetry = side;
    for at in 0..telemetry.len() - 4 {
        if telemetry[at..].starts_with(b"tmcd") {
            telemetry[at..at + 4].copy_from_slice(b"gpmd");
        }
    }
    fs::write(dir.path().join("gopro.mov"), telemetry).unwrap();
    let json = said(&headwater(dir.path(), &["inspect", "--json", "gopro.mov"]));
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["tracks"].as_array().unwrap().len(), 2, "{report:#}");
    assert_eq!(report["tracks"][0]["rotation"], 90);
    assert_eq!(report["tracks"][0]["display_height"], 171);
    assert_eq!(report["notes"][0]["kind"], "skipped");
    let message = report["notes"][0]["message"].as_str().unwrap();
    assert!(message.contains("GoPro telemetry (gpmd)"), "{message}");
}

#[test]
fn mistakes_are_one_sentence_and_exit_1() {
    let dir = films();
    fs::write(dir.path().join("bad.mp4"), "no video").unwrap();
    let error = failed(&headwater(dir.path(), &["inspect", "bad.mp4"]));
    assert!(error.starts_with("error: bad: the source is not an MP4 file"), "{error}");
    let error = failed(&headwater(dir.path(), &["inspect", "none.mp4"]));
    assert_eq!(error, "error: none.mp4: there is no such asset\n");
    assert_eq!(headwater(dir.path(), &["inspect"]).status.code(), Some(2));
}

#[test]
fn export_writes_an_asset_and_says_what_it_did() {
    let dir = films();
    let text = said(&headwater(dir.path(), &["export", "film", "out"]));
    assert!(text.starts_with("out: ") && text.contains(" files, "), "{text}");
    let playlist = fs::read_to_string(dir.path().join("out/main.m3u8")).unwrap();
    assert!(playlist.contains("v2.m3u8"));
    let error = failed(&headwater(dir.path(), &["export", "film", "out"]));
    assert_eq!(error, "error: out is not empty: --force writes over it, --resume goes on\n");
    let again = said(&headwater(dir.path(), &["export", "--resume", "film", "out"]));
    assert!(again.contains(" of them there already"), "{again}");
    said(&headwater(dir.path(), &["export", "--force", "film", "out"]));
}

#[test]
fn export_writes_the_forms_that_are_named() {
    let dir = films();
    let there = |path: &str| dir.path().join(path).exists();
    said(&headwater(dir.path(), &["export", "--forms", "files,times", "lone.mp4", "some"]));
    assert!(there("some/single.m3u8") && there("some/ondemand.mpd") && there("some/time.mpd"));
    assert!(!there("some/main.m3u8") && !there("some/download.mp4"));
    said(&headwater(
        dir.path(),
        &["export", "--forms", "all", "--format", "ts", "lone.mp4", "all"],
    ));
    for path in ["main.m3u8", "v1a1.ts.m3u8", "single.m3u8", "time.mpd", "download.mp4"] {
        assert!(there(&format!("all/{path}")), "{path}");
    }

    fs::write(dir.path().join("lone.key"), [7; 16]).unwrap();
    let text = r#"{"headwater": 1, "renditions": [{"file": "lone.mp4"}],
        "segment_key": {"file": "lone.key"}}"#;
    fs::write(dir.path().join("lone.headwater.json"), text).unwrap();
    let sealed = ["export", "--forms", "files", "lone.headwater.json", "sealed"];
    let error = failed(&headwater(dir.path(), &sealed));
    assert_eq!(error, "error: single.m3u8: the asset has no such resource\n");
    let sealed = ["export", "--forms", "all", "--force", "lone.headwater.json", "sealed"];
    said(&headwater(dir.path(), &sealed));
    assert!(there("sealed/v1a1.ts.m3u8") && !there("sealed/download.mp4"));
    assert_eq!(
        headwater(dir.path(), &["export", "--forms", "x", "lone.mp4", "x"]).status.code(),
        Some(2)
    );
}

#[test]
fn what_a_scan_finds_is_kept_where_it_is_told() {
    let dir = films();
    let fragmented = dir.path().join("frag.mp4");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-i"]).arg(dir.path().join("lone.mp4"));
    // More fragments than are sooner found again than kept.
    ffmpeg.args(["-c", "copy", "-movflags", "empty_moov+default_base_moof+skip_trailer"]);
    ffmpeg.args(["-frag_duration", "100000"]);
    assert!(ffmpeg.arg(&fragmented).status().unwrap().success());
    let kept = || fs::read_dir(dir.path().join("state")).map_or(0, Iterator::count);
    said(&headwater(dir.path(), &["inspect", "frag.mp4"]));
    assert_eq!(kept(), 0);
    said(&headwater(dir.path(), &["inspect", "--state", "state", "frag.mp4"]));
    assert_eq!(kept(), 1);
    fs::remove_dir_all(dir.path().join("state")).unwrap();
    said(&headwater(dir.path(), &["export", "--state", "state", "frag.mp4", "out"]));
    assert_eq!(kept(), 1);
}

#[cfg(all(feature = "edge", feature = "origin"))]
#[test]
fn sign_prints_a_token_that_an_edge_takes() {
    use headwater::edge::tokens::{Asked, Key, Verifier};
    use headwater::net::Timestamp;

    const SECRET: &str = "a secret of thirty-two bytes, or more";
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("secret"), format!("{SECRET}\n")).unwrap();
    let sign = |more: &[&str]| {
        let mut all = vec!["sign", "--key-file", "secret", "--key-id", "k1", "--path", "/films/7/"];
        all.extend(more);
        headwater(dir.path(), &all)
    };
    let token = said(&sign(&["--until", "1000", "--address", "192.0.2.7"]));
    let verifier = Verifier::new([Key::signing("k1", SECRET.as_bytes()).unwrap()]).unwrap();
    let ask = |address: &str, secs| {
        let asked = Asked {
            address: address.parse().ok(),
            ..Asked::get("/films/7/a.m4s", Timestamp::from_secs(secs))
        };
        verifier.verify(token.trim_end(), &asked).is_ok()
    };
    assert!(ask("192.0.2.7", 999));
    assert!(!ask("192.0.2.8", 999) && !ask("192.0.2.7", 1_005));

    let error = failed(&headwater(
        dir.path(),
        &["sign", "--key-file", "none", "--path", "/", "--valid", "1 h"],
    ));
    assert!(error.starts_with("error: cannot use none: "), "{error}");
    let error = failed(&headwater(
        dir.path(),
        &["sign", "--key-file", "secret", "--path", "films", "--valid", "1 h"],
    ));
    assert!(error.contains("begins with '/'"), "{error}");
    assert_eq!(sign(&["--valid", "long"]).status.code(), Some(2));
}

#[test]
fn manual_pages_and_completions_name_every_subcommand_and_its_options() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(said(&headwater(dir.path(), &["manual", "made"])), "");
    let read = |name: &str| fs::read_to_string(dir.path().join("made").join(name)).unwrap();
    let help = said(&headwater(dir.path(), &["--help"]));
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let commands: Vec<&str> = commands
        .lines()
        .filter_map(|line| {
            line.strip_prefix("  ")?.split(' ').next().filter(|name| !name.is_empty())
        })
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.contains(&"inspect") && commands.contains(&"export"), "{commands:?}");
    assert!(!commands.contains(&"manual"), "it is for packages");
    let main = read("man/headwater.1");
    let completions = ["headwater.bash", "headwater.fish", "_headwater"];
    let completions = completions.map(|name| read(&format!("completions/{name}")));
    for command in commands {
        assert!(main.contains(&format!("headwater\\-{command}(1)")), "{command} is not in\n{main}");
        let page = read(&format!("man/headwater-{command}.1"));
        let help = said(&headwater(dir.path(), &[command, "--help"]));
        let options = help.lines().filter_map(|line| line.trim_start().strip_prefix("--"));
        for option in options.filter_map(|option| option.split([' ', '.', ',']).next()) {
            let escaped = option.replace('-', "\\-");
            assert!(page.contains(&format!("\\-\\-{escaped}")), "--{option} is not in\n{page}");
            for completion in &completions {
                assert!(completion.contains(option), "{command} --{option}");
            }
        }
        for completion in &completions {
            assert!(completion.contains(command), "{command}");
        }
    }
}
