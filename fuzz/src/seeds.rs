//! What the targets start from: small files that FFmpeg makes, of each codec and layout that is
//! read, so that no binary lies in the repository. Without FFmpeg there are only the texts.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::kit::boxes::{FileSpec, TrackSpec};
use crate::{Input, TARGETS};

/// One seed: its name, and what it holds.
pub type Seed = (String, Vec<u8>);

/// Writes the seeds of each target into a folder of its name below `folder`.
///
/// # Errors
/// Those of the file system.
pub fn write(folder: &Path) -> io::Result<()> {
    let files = media();
    for target in TARGETS {
        let own = folder.join(target.name);
        fs::create_dir_all(&own)?;
        for (name, bytes) in of(target.reads, &files) {
            fs::write(own.join(name), bytes)?;
        }
    }
    Ok(())
}

/// The seeds for one kind of input, made of these media files.
#[must_use]
pub fn of(input: Input, files: &[Seed]) -> Vec<Seed> {
    match input {
        Input::File => files.to_vec(),
        Input::Movie => files
            .iter()
            .filter_map(|(name, file)| Some((name.clone(), movie(file)?.to_vec())))
            .collect(),
        Input::Text(texts) => texts
            .iter()
            .enumerate()
            .map(|(number, text)| (format!("text-{number}"), text.as_bytes().to_vec()))
            .collect(),
        Input::Made(make) => make(),
    }
}

/// Small media files, each of some hundred milliseconds; fewer where FFmpeg lacks an encoder. One is
/// made without it.
#[must_use]
pub fn media() -> Vec<Seed> {
    let mut made = Vec::new();
    for (name, arguments) in RECIPES {
        if let Some(bytes) = ffmpeg(arguments) {
            made.push(((*name).to_owned(), bytes));
        }
    }
    made.push(("repeats".to_owned(), repeats()));
    made
}

/// Tracks of which each plays all of its samples many times over.
fn repeats() -> Vec<u8> {
    let tracks = (1..=16).map(|number| {
        let mut track = TrackSpec::video(1_000, 1, 1);
        track.number = number;
        track.edits = vec![(40_000, 0, 1 << 16); 1_000];
        track
    });
    FileSpec::new(tracks.collect()).bytes()
}

/// The contents of the movie box of a file.
fn movie(file: &[u8]) -> Option<&[u8]> {
    let mut rest = file;
    loop {
        let (head, _) = rest.split_first_chunk::<8>()?;
        let [a, b, c, d, kind @ ..] = *head;
        let size = u32::from_be_bytes([a, b, c, d]) as usize;
        let (whole, after) = rest.split_at_checked(size.max(8))?;
        if kind == *b"moov" {
            return whole.get(8..);
        }
        rest = after;
    }
}

const PICTURE: &str = "testsrc2=size=64x48:rate=25:duration=0.8";
const SOUND: &str = "sine=frequency=440:sample_rate=48000:duration=0.8";

/// What FFmpeg is asked for: codecs and layouts.
const RECIPES: &[(&str, &[&str])] = &[
    ("avc-aac", &["-c:v", "libx264", "-g", "10", "-bf", "2", "-c:a", "aac"]),
    ("avc-faststart", &["-c:v", "libx264", "-g", "5", "-an", "-movflags", "+faststart"]),
    (
        "avc-fragments",
        &["-c:v", "libx264", "-g", "5", "-c:a", "aac", "-movflags", "frag_keyframe+empty_moov"],
    ),
    (
        "avc-sidx",
        &["-c:v", "libx264", "-g", "5", "-an", "-movflags", "dash+frag_keyframe+global_sidx"],
    ),
    ("avc-hybrid", &["-c:v", "libx264", "-g", "5", "-c:a", "aac", "-movflags", "frag_keyframe"]),
    ("hevc", &["-c:v", "libx265", "-x265-params", "log-level=none", "-tag:v", "hvc1", "-an"]),
    ("hev1", &["-c:v", "libx265", "-x265-params", "log-level=none", "-tag:v", "hev1", "-an"]),
    ("vp9-opus", &["-c:v", "libvpx-vp9", "-c:a", "libopus", "-strict", "-2"]),
    ("av1", &["-c:v", "libaom-av1", "-cpu-used", "8", "-an"]),
    ("ac3", &["-vn", "-c:a", "ac3"]),
    ("eac3", &["-vn", "-c:a", "eac3"]),
    ("flac", &["-vn", "-c:a", "flac", "-strict", "-2"]),
    ("mp3", &["-vn", "-c:a", "libmp3lame"]),
    ("quicktime-pcm", &["-c:v", "libx264", "-c:a", "pcm_s16le", "-f", "mov"]),
];

/// What FFmpeg writes to a temporary file, for MP4 is not written to a pipe.
fn ffmpeg(arguments: &[&str]) -> Option<Vec<u8>> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("headwater-seed-{}-{number}.mp4", std::process::id());
    let path = std::env::temp_dir().join(name);
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y", "-f", "lavfi", "-i", PICTURE, "-f", "lavfi", "-i", SOUND]);
    command.args(arguments);
    if !arguments.contains(&"-f") {
        command.args(["-f", "mp4"]);
    }
    command.arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let made = command.status().is_ok_and(|status| status.success());
    let bytes = made.then(|| fs::read(&path).ok()).flatten();
    let _ = fs::remove_file(&path);
    bytes
}
