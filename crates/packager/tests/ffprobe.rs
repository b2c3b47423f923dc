//! FFmpeg reads every presentation, and finds in it what is in the source.

#![cfg(feature = "http")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests may fail loudly"
)]

mod kit;
mod shell;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use headwater_packager::service::ExportOptions;
use headwater_packager::{Assets, Forms, Packager};
use kit::encoded::{CODECS, LAYOUTS};
use kit::shared::playable;
use serde_json::Value;
use shell::{TINY, encode, media, packager, run};

/// What is written of an asset, and whether its packets are those of the source byte for byte: in
/// transport streams they have other heads.
const FORMS: [(&str, bool); 7] = [
    ("cmaf/main.m3u8", true),
    ("cmaf/single.m3u8", true),
    ("cmaf/manifest.mpd", true),
    ("cmaf/ondemand.mpd", true),
    ("cmaf/download.mp4", true),
    ("muxed/main.m3u8", true),
    ("ts/main.m3u8", false),
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
    let mut read = 0;
    for (form, is_exact) in FORMS {
        let path = folder.join(form);
        if !path.exists() {
            eprintln!("{name} has no {form}");
            continue;
        }
        read += 1;
        let found = probe(&path, &[]);
        for ((kind, expected), (_, found)) in shown.by_kind().into_iter().zip(found.by_kind()) {
            let what = format!("{name} {kind} {form}");
            let (expected, found) = match (expected, found) {
                (None, None) => continue,
                (Some(expected), Some(found)) => (expected, found),
                // HEVC has no place in transport streams, Opus and others have not, either.
                (Some(_), None) if !is_exact => continue,
                (expected, found) => panic!("{what}: {expected:?}, but {found:?}"),
            };
            let more = found.packets.checked_sub(expected.packets);
            let as_many = more.is_some_and(|more| more <= 1);
            assert!(as_many, "{what}: in the source {expected:?}, presented {found:?}");
            if more == Some(0) && is_exact {
                assert_eq!(found.bytes, expected.bytes, "{what}");
            }
            // FFmpeg tells no durations of some fragments: then the last frame has none.
            let frame = expected.frame.max(found.frame) + 0.001;
            assert!((found.length - expected.length).abs() <= frame, "{what}: {found:?}");
        }
        // Sound and picture start as far apart as the source says.
        if let (Some(found), Some(expected)) = (found.apart(), shown.apart()) {
            assert!((found - expected).abs() < 0.003, "{name} {form}: {found}, not {expected}");
        }
    }
    assert!(read >= 3, "{name}: {read} forms");
}

/// Writes every form of an asset into folders below `out`; those of containers that it cannot have
/// are left out.
async fn export(packager: &Packager, name: &str, out: &Path) {
    let mut forms = Forms::default();
    (forms.segments, forms.files) = (true, true);
    for (container, query) in [("cmaf", ""), ("muxed", "container=muxed"), ("ts", "container=ts")] {
        let mut options = ExportOptions::default();
        options.query = query.to_owned();
        if query.is_empty() {
            (options.forms, options.download) = (forms, true);
        }
        let done = packager.export(name, &out.join(container), &options, &mut |_| {}).await;
        assert!(done.is_ok() || !query.is_empty(), "{name}: {done:?}");
    }
}

fn export_all(dir: &Path) -> (PathBuf, Vec<String>) {
    let out = dir.join(".out");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let names = runtime.block_on(async {
        let (packager, _) = packager(Assets::from_dir(dir).unwrap());
        let names = packager.names().await;
        for name in &names {
            export(&packager, name, &out.join(name.as_ref())).await;
        }
        names.iter().map(ToString::to_string).collect()
    });
    (out, names)
}

/// Checks assets, each against its source, two at a time: FFmpeg is what takes long.
fn check_all(assets: Vec<(String, PathBuf)>, out: &Path) {
    let left = Mutex::new(assets);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((name, source)) = { left.lock().unwrap().pop() } {
                    check(&name, &source, &out.join(&name));
                }
            });
        }
    });
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
        let found = probe(&out.join("early/cmaf/main.m3u8"), &[]);
        let (video, audio) = (found.video.unwrap(), found.audio.unwrap());
        assert_eq!((video.packets, audio.packets), (pictures, frames), "{millis} ms");
        check("early", &path, &out.join("early"));
        let report = std::fs::read_to_string(out.join("early/cmaf/report.json")).unwrap();
        assert!(report.contains("of its 144 samples come after the end of its edit list"));
    }
}

#[test]
fn every_medium_that_plays_reads_as_its_source_in_every_form() {
    let Some(media) = media() else { return };
    let dir = tempfile::tempdir().unwrap();
    for file in playable() {
        std::os::unix::fs::symlink(media.join(file), dir.path().join(file)).unwrap();
    }
    let (out, names) = export_all(dir.path());
    assert_eq!(names.len(), playable().count());
    let source = |name: &String| {
        let mut files = playable();
        media.join(files.find(|file| file.split('.').next() == Some(name)).unwrap())
    };
    check_all(names.iter().map(|name| (name.clone(), source(name))).collect(), &out);
}

#[test]
fn every_codec_reads_as_its_source_in_every_form() {
    let dir = tempfile::tempdir().unwrap();
    let mut assets = Vec::new();
    for recipe in CODECS.iter().chain(&LAYOUTS) {
        // PCM alone plays nowhere.
        if recipe.name == "pcm.mov" {
            continue;
        }
        let folder = dir.path().join(recipe.name.replace('.', "-"));
        std::fs::create_dir(&folder).unwrap();
        let Some(path) = recipe.make(&folder, &[]) else { return };
        assets.push((folder.file_name().unwrap().to_str().unwrap().to_owned(), path));
    }
    let (out, _) = export_all(dir.path());
    check_all(assets, &out);
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
        let found = probe(&out.join(format!("show/cmaf/v{number}.m3u8")), &[]).video.unwrap();
        assert_eq!((found.packets, found.bytes), (expected.packets, expected.bytes));
    }
    // FFmpeg's DASH reader gives each representation a stream, those for trick play included.
    let mpd = out.join("show/cmaf/manifest.mpd");
    let arguments = ["-v", "error", "-show_streams", "-of", "json", mpd.to_str().unwrap()];
    let streams: Value = serde_json::from_str(&run("ffprobe", &arguments)).unwrap();
    let widths: Vec<_> =
        streams["streams"].as_array().unwrap().iter().filter_map(|s| s["width"].as_u64()).collect();
    assert_eq!(widths, [160, 320, 640, 160, 320, 640]);
}
