//! What the tests of the core share: reading sources, sending plans, FFmpeg as a second opinion,
//! and a small writer of boxes.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests may fail loudly, and not every test uses everything"
)]

pub mod boxes;
pub mod dump;
pub mod encoded;
pub mod entries;
pub mod fragments;
pub mod nal;
pub mod odd;
pub mod seen;
pub mod shared;
pub mod transport;
pub mod ts;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use headwater_packager::{
    Error, IndexBuilder, Layout, LayoutStep, Limits, Media, MediaIndex, Options, Part, Plan,
    Planned, Presentation, Resource, SourceId, Step, Track,
};

/// Indexes a file of `size` bytes of which only the start exists, and tells how many reads it took.
pub fn index_head(name: &str, head: &Bytes, size: u64) -> Result<(MediaIndex, usize), Error> {
    let mut builder = IndexBuilder::new(SourceId::new(name, size, "test"), Limits::default());
    let mut reads = 0;
    loop {
        match builder.step()? {
            Step::Done(index) => return Ok((index, reads)),
            Step::Need(ranges) => {
                for range in ranges {
                    reads += 1;
                    assert!(reads <= 10_000, "the index never ends");
                    let bytes = head.slice(range.start as usize..range.end() as usize);
                    builder.feed(range, bytes)?;
                }
            }
        }
    }
}

/// Indexes a file that is in memory, and tells how many reads it took.
pub fn index_counted(name: &str, file: &[u8]) -> Result<(MediaIndex, usize), Error> {
    index_head(name, &Bytes::copy_from_slice(file), file.len() as u64)
}

/// Indexes a file that is in memory.
pub fn index(name: &str, file: &[u8]) -> Result<MediaIndex, Error> {
    index_counted(name, file).map(|(index, _)| index)
}

/// One asset of the given files.
pub fn media(files: &[Vec<u8>], options: &Options) -> Media {
    let indexes = files
        .iter()
        .enumerate()
        .map(|(number, file)| Arc::new(index(&format!("{number}.mp4"), file).unwrap()))
        .collect();
    Media::new(indexes, options).unwrap()
}

/// The bytes of a plan.
pub fn send(plan: &Plan, files: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in &plan.parts {
        match part {
            Part::Bytes(bytes) => out.extend_from_slice(bytes),
            Part::Copy(copy) => {
                let range = copy.range.start as usize..copy.range.end() as usize;
                out.extend_from_slice(&files[copy.source][range]);
            }
            Part::Map(map) => {
                let inputs: Vec<Bytes> = map
                    .inputs()
                    .iter()
                    .map(|input| {
                        let range = input.range.start as usize..input.range.end() as usize;
                        Bytes::copy_from_slice(&files[input.source][range])
                    })
                    .collect();
                let from = out.len();
                out.resize(from + map.len() as usize, 0);
                map.write(&inputs, &mut out[from..]);
            }
            other => panic!("an unknown part: {other:?}"),
        }
    }
    assert_eq!(out.len() as u64, plan.len, "a plan's length is that of its parts");
    out
}

/// The plan of what was planned, laid out where it must be.
pub fn lay_out(planned: Planned, files: &[Vec<u8>]) -> Plan {
    let mut layout: Layout = match planned {
        Planned::Ready(plan) => return plan,
        Planned::Layout(layout) => layout,
    };
    loop {
        match layout.step().unwrap() {
            LayoutStep::Done(plan) => return plan,
            LayoutStep::Need(wanted) => {
                for need in wanted {
                    let range = need.range.start as usize..need.range.end() as usize;
                    let bytes = Bytes::copy_from_slice(&files[need.source][range]);
                    layout.feed(need, bytes).unwrap();
                }
            }
        }
    }
}

/// The bytes of a resource; `None` where the asset does not have it.
pub fn make(presentation: &Presentation, resource: Resource, files: &[Vec<u8>]) -> Option<Vec<u8>> {
    Some(send(&lay_out(presentation.plan(resource)?, files), files))
}

/// The folder of test media, or a word that it is not set.
pub fn media_folder() -> Option<PathBuf> {
    let folder = std::env::var_os("HEADWATER_MEDIA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: HEADWATER_MEDIA is unset");
    }
    folder
}

/// Runs FFmpeg; `false` and a word where it is not installed.
pub fn ffmpeg(arguments: &[&str]) -> bool {
    let run = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y", "-threads", "1"])
        .args(arguments)
        .output();
    let Ok(done) = run else {
        eprintln!("skipped: ffmpeg is not installed");
        return false;
    };
    let words = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "ffmpeg {arguments:?}: {words}");
    true
}

/// One packet as ffprobe sees it; times in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    pub pts: i64,
    pub dts: i64,
    pub duration: i64,
    pub size: u64,
    pub key: bool,
}

/// The packets of one stream (`v:0`, `a:1`), or `None` where ffprobe is not installed.
pub fn packets(file: &Path, stream: &str, more: &[&str]) -> Option<Vec<Packet>> {
    let run = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", stream])
        .args(["-show_packets", "-show_streams", "-of", "json"])
        .args(more)
        .arg(file)
        .output();
    let Ok(done) = run else {
        eprintln!("skipped: ffprobe is not installed");
        return None;
    };
    let json: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let base = json["streams"][0]["time_base"].as_str().expect("a time base");
    let (units, hertz) = base.split_once('/').unwrap();
    let (units, hertz): (i128, i128) = (units.parse().unwrap(), hertz.parse().unwrap());
    let nanos = |value: &serde_json::Value| {
        let ticks = value.as_i64().unwrap_or(i64::MIN / 4_000_000_000);
        i64::try_from(i128::from(ticks) * units * 1_000_000_000 / hertz).unwrap()
    };
    let list = json["packets"].as_array().expect("packets");
    Some(
        list.iter()
            .map(|packet| Packet {
                pts: nanos(&packet["pts"]),
                dts: nanos(&packet["dts"]),
                duration: nanos(&packet["duration"]),
                size: packet["size"].as_str().unwrap().parse().unwrap(),
                key: packet["flags"].as_str().unwrap().starts_with('K'),
            })
            .collect(),
    )
}

/// Writes all segments of a track after each other and has ffprobe compare their packets with
/// those of the source; `false` where it is not installed.
pub fn compare_with_source(
    name: &str,
    media: &Media,
    track: &Track,
    source: &Path,
    files: &[Vec<u8>],
    scratch: &Path,
) -> bool {
    let mut bytes = send(&media.init(track.id).unwrap(), files);
    for number in 1..=media.segment_count(track.id) {
        let plan = media.segment(track.id, number).unwrap();
        assert_eq!(media.segment_bytes(track.id, number), Some(plan.len));
        bytes.extend(send(&plan, files));
    }
    let out = scratch.join(format!("out.{name}.{}.mp4", track.id));
    std::fs::write(&out, bytes).unwrap();
    let stream = if track.is_video() { "v:0" } else { "a:0" };
    let of_source = format!("i:{}", track.source_track);
    let Some(expected) = packets(source, &of_source, &[]) else { return false };
    let all = packets(source, &of_source, &["-ignore_editlist", "1"]).unwrap();
    let found = packets(&out, stream, &[]).unwrap();
    let offset = i64::from(media.start_offset_seconds()) * 1_000_000_000;
    compare(&format!("{name} {}", track.id), &all, &expected, &found, offset);
    true
}

/// ffprobe gives times rounded to its own time base.
const TOLERANCE: i64 = 1_000_000;

/// `all` are the source's packets without regard to its edit list: found are those from the first
/// on. `expected` are those within it, with the times at which they are to be shown: none may be
/// missing, and at most one may follow, into which the edit list's end falls.
fn compare(what: &str, all: &[Packet], expected: &[Packet], found: &[Packet], offset: i64) {
    let sizes = |packets: &[Packet]| packets.iter().map(|packet| packet.size).collect::<Vec<_>>();
    assert!(sizes(all).starts_with(&sizes(found)), "{what}: packets");
    let wanted = sizes(expected);
    let before = sizes(found)
        .windows(wanted.len())
        .position(|window| window == wanted)
        .unwrap_or_else(|| panic!("{what}: the packets within the edit list are not in a row"));
    let after = found.len() - expected.len() - before;
    assert!(after <= 1, "{what}: {after} packets after the edit list's end");
    if before > 0 || found.len() < all.len() {
        let cut = all.len() - found.len();
        eprintln!("{what}: {before} packets before the edit list's start stay, {cut} after go");
    }
    let found = &found[before..before + expected.len()];
    for (number, (source, ours)) in expected.iter().zip(found).enumerate() {
        assert_eq!(source.key, ours.key, "{what}: key flag of packet {number}");
        assert!(
            (ours.pts - offset - source.pts).abs() <= TOLERANCE,
            "{what}: packet {number} is shown at {} ns, should be {}",
            ours.pts - offset,
            source.pts
        );
    }
}
