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

/// Media of every codec that is carried.
const MEDIA: [&str; 18] = [
    "av1_aac_1s.mp4",
    "av1_hdr10_mdcv_clli_1080p.mp4",
    "bbb_854x480_30s_aac51.mp4",
    "dovi84_mov_mebx_tracks.mov",
    "eac3_joc_atmos_2s.mp4",
    "fire_720p_vfr_phone.mp4",
    "flac_frag.mp4",
    "flower_540p_5s_cc0.mp4",
    "friday_480p_6s_co64_cc0.mp4",
    "h264_4k60_portrait_rotated_co64.mp4",
    "h264_aac_coverart_mjpeg.m4v",
    "h264_aac_elst_bframes_moovend_240p_10s.mp4",
    "h264_aac_noelst_bframes_audio_first_360p_8s.mp4",
    "hevc_hvc1_aac_elst_bframes.mp4",
    "intel_car_768x432_30s.mp4",
    "intel_person_768x432_139s.mp4",
    "opus_prog_1s.mp4",
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

/// The first tracks of both kinds in a file or presentation.
#[derive(Debug)]
struct Probed {
    video: Option<Track>,
    audio: Option<Track>,
}

impl Probed {
    fn by_kind(&self) -> [(&'static str, Option<&Track>); 2] {
        [("video", self.video.as_ref()), ("audio", self.audio.as_ref())]
    }

    /// How much later the picture starts than the sound.
    fn apart(&self) -> Option<f64> {
        Some(self.video.as_ref()?.start - self.audio.as_ref()?.start)
    }
}

fn probe(input: &Path, options: &[&str]) -> Probed {
    let extension = input.extension().unwrap_or_default();
    // The option is known to the HLS reader alone.
    let hls: &[&str] =
        if extension == "m3u8" { &["-allowed_extensions", "ALL"] } else { Default::default() };
    if extension != "mpd" {
        let packets = packets(input, &[options, hls].concat());
        return Probed { video: first(&packets, "video"), audio: first(&packets, "audio") };
    }
    // FFmpeg's DASH reader stops all streams at the end of the one that ends first: each is read
    // without the others.
    let alone = |kind: &str, selected: &str| {
        first(&packets(input, &[options, &["-select_streams", selected]].concat()), kind)
    };
    Probed { video: alone("video", "v:0"), audio: alone("audio", "a:0") }
}

fn packets(input: &Path, options: &[&str]) -> Vec<Value> {
    let mut arguments = vec!["-v", "error", "-show_entries"];
    arguments.push("packet=codec_type,stream_index,pts_time,duration_time,size,flags");
    arguments.extend(["-of", "json"]);
    arguments.extend_from_slice(options);
    arguments.push(input.to_str().unwrap());
    let document: Value = serde_json::from_str(&run("ffprobe", &arguments)).unwrap();
    let mut packets = document["packets"].as_array().unwrap().clone();
    // FFmpeg gives pictures up to the next key frame after an edit list's end, marked not to be
    // shown; so is priming, at times before zero.
    packets.retain(|packet| {
        let early = packet["pts_time"].as_str().is_some_and(|time| time.starts_with('-'));
        early || !packet["flags"].as_str().unwrap().contains('D')
    });
    packets
}

/// The first track of a kind.
fn first(packets: &[Value], kind: &str) -> Option<Track> {
    let of_kind = packets.iter().filter(|packet| packet["codec_type"] == kind);
    let number = of_kind.map(|packet| packet["stream_index"].as_u64()).min()?;
    let mine = packets.iter().filter(|packet| packet["stream_index"].as_u64() == number);
    Track::of(&mine.collect::<Vec<_>>())
}

impl Track {
    fn of(packets: &[&Value]) -> Option<Self> {
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
        let bytes = packets
            .iter()
            .map(|packet| packet["size"].as_str().unwrap().parse::<u64>().unwrap())
            .sum();
        Some(Self { packets: packets.len(), start, length: end - start, frame, bytes })
    }
}

/// The packets of the source that its edit list shows are there, at their times, and at most one
/// more at the end. Those before its start are kept: decoders need them (priming).
fn check(name: &str, source: &Path, folder: &Path) {
    let shown = probe(source, &[]);
    for manifest in ["main.m3u8", "manifest.mpd"] {
        let found = probe(&folder.join(manifest), &[]);
        for ((kind, expected), (_, found)) in shown.by_kind().into_iter().zip(found.by_kind()) {
            let what = format!("{name} {kind} {manifest}");
            let (expected, found) = match (expected, found) {
                (None, None) => continue,
                (Some(expected), Some(found)) => (expected, found),
                (expected, found) => panic!("{what}: {expected:?}, but {found:?}"),
            };
            eprintln!("{what}: in the source {expected:?}, presented {found:?}");
            let more = found.packets.checked_sub(expected.packets);
            assert!(more.is_some_and(|more| more <= 1), "{what}: {found:?}");
            if more == Some(0) {
                assert_eq!(found.bytes, expected.bytes, "{what}");
            }
            let frame = expected.frame + 0.001;
            assert!((found.length - expected.length).abs() <= frame, "{what}: {found:?}");
        }
        // Sound and picture start as far apart as the source says.
        assert_eq!(found.apart().is_some(), shown.apart().is_some());
        if let (Some(found), Some(expected)) = (found.apart(), shown.apart()) {
            assert!((found - expected).abs() < 0.003, "{name} {manifest}: {found}, not {expected}");
        }
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
}

#[test]
fn an_edit_list_that_ends_early_ends_the_asset() {
    for (millis, pictures, frames) in [(3_400_u32, 82, 161), (3_000, 72, 142), (40, 1, 3)] {
        let mut bytes = TINY.to_vec();
        for place in 0..bytes.len() - 4 {
            if &bytes[place..place + 4] == b"elst" {
                bytes[place + 12..place + 16].copy_from_slice(&millis.to_be_bytes());
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("early.mp4");
        std::fs::write(&path, bytes).unwrap();
        let (out, _) = export_all(dir.path());
        let found = probe(&out.join("early/main.m3u8"), &[]);
        let (video, audio) = (found.video.unwrap(), found.audio.unwrap());
        assert_eq!((video.packets, audio.packets), (pictures, frames), "{millis} ms");
        check("early", &path, &out.join("early"));
        let report = std::fs::read_to_string(out.join("early/report.json")).unwrap();
        assert!(report.contains("of its 144 samples come after the end of its edit list"));
    }
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
        let expected = probe(&source, &[]).video.unwrap();
        let found = probe(&out.join(format!("show/v{number}.m3u8")), &[]).video.unwrap();
        assert_eq!((found.packets, found.bytes), (expected.packets, expected.bytes));
    }
    // FFmpeg's DASH reader gives each representation a stream, those for trick play included.
    let mpd = out.join("show/manifest.mpd");
    let arguments = ["-v", "error", "-show_streams", "-of", "json", mpd.to_str().unwrap()];
    let streams: Value = serde_json::from_str(&run("ffprobe", &arguments)).unwrap();
    let widths: Vec<_> =
        streams["streams"].as_array().unwrap().iter().filter_map(|s| s["width"].as_u64()).collect();
    assert_eq!(widths, [160, 320, 640, 160, 320, 640]);
}
