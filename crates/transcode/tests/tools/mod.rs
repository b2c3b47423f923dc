//! What the tests share: ffprobe and ffmpeg as independent witnesses.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may fail loudly, and each uses some of this"
)]

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::Command,
};

use headwater_transcode::{Progress, demo};

pub(crate) fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Four seconds small enough to make in a moment.
pub(crate) fn small() -> demo::DemoSpec {
    demo::DemoSpec {
        seconds: 4,
        width: 320,
        height: 180,
        video_bitrate: 400_000,
        ..demo::DemoSpec::default()
    }
}

pub(crate) fn make_small(folder: &Path) -> PathBuf {
    let path = folder.join("small.mp4");
    demo::make(&path, &small(), &mut go_on).unwrap();
    path
}

fn run(program: &str, arguments: &[&str], path: &Path, rest: &[&str]) -> Vec<u8> {
    let output = Command::new(program)
        .args(["-v", "error"])
        .args(arguments)
        .arg(path)
        .args(rest)
        .output()
        .unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// One value per line, as ffprobe's csv printer gives them.
pub(crate) fn ffprobe(path: &Path, arguments: &[&str]) -> Vec<String> {
    let mut all = vec!["-of", "csv=p=0"];
    all.extend(arguments);
    all.push("-i");
    String::from_utf8(run("ffprobe", &all, path, &[]))
        .unwrap()
        .lines()
        .map(|line| line.trim_end_matches(',').to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

/// Presentation times of the key frames of the first video stream, decoded order.
pub(crate) fn key_times(path: &Path) -> Vec<String> {
    ffprobe(path, &["-select_streams", "v:0", "-show_entries", "packet=pts_time,flags"])
        .into_iter()
        .filter(|line| line.contains('K'))
        .map(|line| line.split(',').next().unwrap().to_owned())
        .collect()
}

/// Presentation times of all decoded pictures.
pub(crate) fn picture_times(path: &Path) -> Vec<String> {
    ffprobe(path, &["-select_streams", "v:0", "-show_entries", "frame=pts_time"])
}

/// The first audio stream, decoded to mono.
pub(crate) fn samples(path: &Path) -> Vec<i16> {
    run("ffmpeg", &["-i"], path, &["-map", "a:0", "-ac", "1", "-ar", "48000", "-f", "s16le", "-"])
        .chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect()
}

/// How often the sound passes zero upwards: its pitch in hertz, for a second of a pure tone.
pub(crate) fn pitch(second: &[i16]) -> usize {
    second.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count()
}

/// The names of a file's top-level boxes.
pub(crate) fn boxes(path: &Path) -> Vec<String> {
    let bytes = std::fs::read(path).unwrap();
    let mut names = Vec::new();
    let mut at = 0;
    while at + 8 <= bytes.len() {
        let size = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        names.push(String::from_utf8_lossy(&bytes[at + 4..at + 8]).into_owned());
        assert!(size >= 8, "a size the test does not know");
        at += size;
    }
    names
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}
