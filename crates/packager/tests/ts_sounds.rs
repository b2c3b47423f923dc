//! Sounds in MPEG-TS: their languages in the program map, and MP3.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod kit;
mod shell;

use std::path::Path;

use headwater_packager::{Assets, Packager};
use kit::ts::{ClockRules, Stream, read};
use shell::{get, options, run};

fn encode(path: &Path, arguments: &[&str]) {
    let tone = ["-v", "error", "-y", "-f", "lavfi", "-i", "sine=frequency=440:duration=6"];
    run("ffmpeg", &[&tone[..], arguments, &[path.to_str().unwrap()]].concat());
}

fn packager(path: &Path) -> Packager {
    Packager::builder(Assets::from_files([path]).unwrap()).options(options(2)).build()
}

/// All segments of a program, and their bytes one after the other.
async fn stream(packager: &Packager, asset: &str, program: &str) -> (Stream, Vec<u8>) {
    let playlist = get(packager, &format!("/{asset}/{program}.ts.m3u8")).await;
    assert_eq!(playlist.status, 200, "{}", playlist.text());
    let mut all = Vec::new();
    for line in playlist.text().lines().filter(|line| !line.starts_with('#')) {
        all.push(get(packager, &format!("/{asset}/{line}")).await.body.to_vec());
    }
    (read(&all, ClockRules::All), all.concat())
}

#[tokio::test]
async fn the_program_map_tells_the_language_and_what_a_sound_is_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("film.mp4");
    encode(&path, &["-map", "0", "-c:a", "aac", "-metadata:s:a:0", "language=ger"]);
    let (found, bytes) = stream(&packager(&path), "film", "a1").await;
    assert_eq!(found.descriptors.values().next().unwrap(), b"\x0a\x04deu\x00");
    let file = dir.path().join("a1.ts");
    std::fs::write(&file, bytes).unwrap();
    let language = ["-v", "error", "-show_entries", "stream_tags=language", "-of", "csv=p=0"];
    let said = run("ffprobe", &[&language[..], &[file.to_str().unwrap()]].concat());
    assert_eq!(said.lines().find(|line| !line.is_empty()), Some("deu"));

    let text = r#"{"headwater": 1, "audio": [
        {"file": "film.mp4", "language": "pt-BR", "roles": ["description"]}]}"#;
    let descriptor = dir.path().join("described.headwater.json");
    std::fs::write(&descriptor, text).unwrap();
    let (found, _) = stream(&packager(&descriptor), "described", "a1").await;
    assert_eq!(found.descriptors.values().next().unwrap(), b"\x0a\x04por\x03");

    encode(&path, &["-map", "0", "-c:a", "aac", "-metadata:s:a:0", "language=und"]);
    let (found, _) = stream(&packager(&path), "film", "a1").await;
    assert!(found.descriptors.values().all(Vec::is_empty), "nothing is known");
}

#[tokio::test]
async fn mp3_is_carried_frame_by_frame() {
    let dir = tempfile::tempdir().unwrap();
    for (name, rate, stream_type) in [("mpeg1", "44100", 0x03), ("mpeg2", "22050", 0x04)] {
        let path = dir.path().join(format!("{name}.mp4"));
        encode(&path, &["-c:a", "libmp3lame", "-ar", rate]);
        let packager = packager(&path);
        let (found, bytes) = stream(&packager, name, "a1").await;
        assert_eq!(found.kinds.values().collect::<Vec<_>>(), [&stream_type], "{name}");
        let file = dir.path().join(format!("{name}.ts"));
        std::fs::write(&file, bytes).unwrap();
        let hashes = |input: &Path| {
            let input = input.to_str().unwrap();
            let wanted =
                ["-v", "error", "-i", input, "-map", "0:a", "-c", "copy", "-f", "framehash", "-"];
            let text = run("ffmpeg", &wanted);
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            lines.map(|line| line.split(',').nth(5).unwrap().trim().to_owned()).collect::<Vec<_>>()
        };
        let (ours, source) = (hashes(&file), hashes(&path));
        assert!(source.len() > 100 && ours == source, "{name}: {} of {}", ours.len(), source.len());
        let main = get(&packager, &format!("/{name}/main.m3u8?container=ts")).await;
        assert!(main.text().contains("CODECS=\"mp4a.40.34\""), "{}", main.text());
    }
}

#[tokio::test]
async fn flac_and_opus_stay_out_and_are_told() {
    let dir = tempfile::tempdir().unwrap();
    for codec in ["flac", "libopus"] {
        let path = dir.path().join("film.mp4");
        encode(&path, &["-c:a", codec, "-strict", "-2"]);
        let packager = packager(&path);
        assert_eq!(get(&packager, "/film/a1.ts.m3u8").await.status, 404);
        let report = get(&packager, "/film/report.json").await;
        assert!(report.text().contains("HLS with MPEG-TS leaves out"), "{}", report.text());
    }
}
