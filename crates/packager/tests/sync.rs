//! Sound stays with picture: clips that flash and beep at the same moment, decoded from the source
//! and from every output form. `cargo xtask test --sync` tries all clips and prints a table; a plain
//! test run tries the first.

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
use std::process::Command;

use headwater_packager::{Packager, Resource};
use shell::{export, get, memory, packager, run};

/// The most that a form may move sound against picture, in seconds.
const ALLOWED: f64 = 0.001;

/// Clips: name, FFmpeg's options for the sound's input, for the codecs, and whether MPEG-TS carries
/// them.
const CLIPS: [(&str, &[&str], &[&str], bool); 7] = [
    ("b-frames", &[], &["-c:v", "libx264", "-bf", "3", "-c:a", "aac"], true),
    ("no-b-frames", &[], &["-c:v", "libx264", "-bf", "0", "-c:a", "aac", "-ar", "44100"], true),
    ("late-sound", &["-itsoffset", "0.517"], &["-c:v", "libx264", "-bf", "2", "-c:a", "aac"], true),
    ("ac3", &[], &["-c:v", "libx264", "-bf", "2", "-c:a", "ac3"], true),
    ("opus", &[], &["-c:v", "libx264", "-bf", "2", "-c:a", "libopus"], false),
    (
        "fragments",
        &[],
        &["-c:v", "libx264", "-bf", "2", "-c:a", "aac", "-movflags", "frag_keyframe"],
        true,
    ),
    (
        "hevc-eac3",
        &[],
        &["-c:v", "libx265", "-x265-params", "log-level=none", "-tag:v", "hvc1", "-c:a", "eac3"],
        false,
    ),
];

/// Where playback of each form starts.
const FORMS: [(&str, &str); 7] = [
    ("HLS, CMAF", "main.m3u8"),
    ("HLS, muxed", "main.m3u8?container=muxed"),
    ("HLS, MPEG-TS", "main.m3u8?container=ts"),
    ("HLS, byte ranges", "single.m3u8"),
    ("DASH by number", "manifest.mpd"),
    ("DASH by time", "time.mpd"),
    ("DASH on demand", "ondemand.mpd"),
];

#[tokio::test]
async fn a_flash_and_a_beep_stay_together_in_every_form() {
    let all = std::env::var_os("HEADWATER_SYNC").is_some();
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        eprintln!("skipped: ffmpeg is not installed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (clip, before, codecs, in_ts) in CLIPS.into_iter().take(if all { CLIPS.len() } else { 1 }) {
        let source = make(clip, before, codecs, dir.path());
        let expected = apart(&source);
        eprintln!("{clip}: in the source the flash comes {:.2} ms after the beep", expected * 1e3);
        let (packager, _) = packager(memory(clip, std::fs::read(&source).unwrap()));
        for (form, path) in FORMS {
            if path.ends_with("=ts") && !in_ts {
                continue;
            }
            let folder = dir.path().join(format!("{clip}-out")).join(form.replace([' ', ','], ""));
            let start = write(&packager, clip, path, &folder).await;
            let moved = apart(&start) - expected;
            eprintln!("{clip:<12} {form:<18} {:>8.3} ms", moved * 1e3);
            assert!(moved.abs() < ALLOWED, "{clip}, {form}: moved by {:.3} ms", moved * 1e3);
        }
    }
}

/// Six seconds that flash white for a frame, and beep for a tenth of a second, at 2 s and at 4 s.
fn make(clip: &str, before_sound: &[&str], codecs: &[&str], dir: &Path) -> PathBuf {
    let picture = "color=black:size=160x90:rate=25:duration=6,\
        drawbox=color=white:thickness=fill:enable='gte(t,1)*lt(mod(t+0.001,2),0.04)'";
    let sound =
        "aevalsrc='gte(t,1)*lt(mod(t,2),0.1)*sin(2*PI*1000*t)':sample_rate=48000:duration=6";
    let path = dir.join(format!("{clip}.mp4"));
    let mut arguments = vec!["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", picture];
    arguments.extend_from_slice(before_sound);
    arguments.extend(["-f", "lavfi", "-i", sound, "-g", "50", "-pix_fmt", "yuv420p"]);
    arguments.extend_from_slice(codecs);
    arguments.push(path.to_str().unwrap());
    run("ffmpeg", &arguments);
    path
}

/// Writes what the packager answers into a folder, and gives the file to start from.
async fn write(packager: &Packager, asset: &str, path: &str, folder: &Path) -> PathBuf {
    let exported = export(packager, asset, folder).await;
    let presentation = packager.presentation(asset).await.ok().unwrap();
    let mut wanted = vec![path.to_owned()];
    // What an export does not write, and manifests of the other forms name.
    for track in presentation.media().tracks() {
        wanted.push(presentation.path(Resource::TrackFile(track.id)));
        if track.is_video() {
            wanted.push(presentation.path(Resource::IFrameFile(track.id)));
        }
        for span in presentation.media().spans(track.id) {
            wanted.push(presentation.path(Resource::SegmentAt(track.id, span.start)));
        }
    }
    while let Some(path) = wanted.pop() {
        let reply = get(packager, &format!("/{asset}/{path}")).await;
        assert_eq!(reply.status, 200, "{path}: {}", String::from_utf8_lossy(&reply.body));
        let name = path.split('?').next().unwrap();
        let file = exported.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &reply.body).unwrap();
        if file.extension().is_some_and(|extension| extension == "m3u8") {
            wanted.extend(named_in(reply.text()).filter(|url| !exported.join(url).exists()));
        }
    }
    exported.join(path.split('?').next().unwrap())
}

/// The URLs that a playlist names.
fn named_in(playlist: &str) -> impl Iterator<Item = String> + '_ {
    playlist.lines().filter_map(|line| {
        if line.starts_with('#') {
            let (_, rest) = line.split_once("URI=\"")?;
            Some(rest.split_once('"')?.0.to_owned())
        } else {
            (!line.is_empty()).then(|| line.to_owned())
        }
    })
}

/// How long after a beep its flash comes, in seconds: the last of both, as FFmpeg decodes them.
///
/// Both are decoded in one run: FFmpeg 5.1 moves a transport stream's times where it reads only one
/// of its streams, even when it is told to keep them.
fn apart(start: &Path) -> f64 {
    let levels = "signalstats,metadata=mode=print:key=lavfi.signalstats.YAVG:file=-";
    let silence = "silencedetect=noise=-20dB:duration=0.3";
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-nostdin", "-copyts"]);
    if start.extension().is_some_and(|extension| extension == "m3u8") {
        command.args(["-allowed_extensions", "ALL"]);
    }
    command.arg("-i").arg(start).args(["-map", "0:v:0", "-vf", levels]);
    command.args(["-map", "0:a:0", "-af", silence, "-f", "null", "-"]);
    let output = command.output().unwrap();
    let picture = String::from_utf8_lossy(&output.stdout);
    let sound = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {sound}", start.display());
    let found = flash(&picture).zip(beep(&sound));
    let (flash, beep) = found.unwrap_or_else(|| panic!("{}: no flash or no beep", start.display()));
    flash - beep
}

/// When the picture turns white for the last time.
fn flash(text: &str) -> Option<f64> {
    let (mut time, mut white) = (None, None);
    for line in text.lines() {
        if let Some((_, at)) = line.split_once("pts_time:") {
            time = at.trim().parse::<f64>().ok();
        } else if let Some((_, level)) = line.split_once("YAVG=")
            && level.trim().parse::<f64>().is_ok_and(|level| level > 128.0)
        {
            white = time;
        }
    }
    white
}

/// When silence ends for the last time, but for the end of the clip.
fn beep(text: &str) -> Option<f64> {
    text.lines()
        .filter_map(|line| line.split_once("silence_end: ")?.1.split_whitespace().next())
        .filter_map(|time| time.parse::<f64>().ok())
        .rfind(|time| *time < 5.9)
}
