//! Probing: what is there, and clear words when nothing is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod tools;

use std::{fs, path::Path, process::Command};

use headwater_transcode::{Error, Kind, probe};
use tools::make_small;

#[test]
fn a_file_is_described() {
    let folder = tempfile::tempdir().unwrap();
    let found = probe(make_small(folder.path())).unwrap();
    assert!(found.container.split(',').any(|name| name == "mp4"));
    assert_eq!(found.duration.unwrap().as_millis(), 4000);
    assert_eq!(found.streams.len(), 2);

    let (video, audio) = (&found.streams[0], &found.streams[1]);
    assert_eq!((video.codec, video.decodable), ("h264", true));
    assert_eq!(video.kind, Kind::Video { width: 320, height: 180, frame_rate: Some(30.0) });
    assert_eq!((audio.codec, audio.language.as_deref()), ("aac", None));
    assert_eq!(audio.kind, Kind::Audio { channels: 2, sample_rate: 48_000 });
    assert_eq!(audio.duration.unwrap().as_millis(), 4000);
}

#[test]
fn languages_and_covers_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let source = make_small(folder.path());
    let output = folder.path().join("two.mp4");
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(&source)
        .args(["-f", "lavfi", "-i", "testsrc=s=64x64:d=1", "-map", "0:v", "-map", "0:a"])
        .args(["-map", "1:v", "-c", "copy", "-c:v:1", "mjpeg", "-frames:v:1", "1"])
        .args(["-pix_fmt:v:1", "yuvj420p", "-disposition:v:1", "attached_pic"])
        .args(["-metadata:s:a:0", "language=cym"])
        .arg(&output)
        .status()
        .unwrap();
    assert!(status.success());
    let found = probe(&output).unwrap();
    assert_eq!(found.streams[1].language.as_deref(), Some("cym"));
    let kinds: Vec<Kind> = found.streams.iter().map(|stream| stream.kind).collect();
    let cover = Kind::Picture { width: 64, height: 64 };
    assert!(kinds.contains(&cover), "{kinds:?}");
}

#[test]
fn what_is_no_media_gives_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let text = "A plain text file that only has the name of a film.\n".repeat(200);
    let not_media = "not a media file, or one that is damaged or of an unknown format";
    for path in [
        file("text.mp4", text.as_bytes()),
        file("empty.mp4", b""),
        file("ftyp.mp4", b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2avc1mp41"),
        file("noise.bin", &[0x5a; 4096]),
    ] {
        let error = probe(&path).unwrap_err();
        assert!(matches!(error, Error::NotMedia), "{path:?}: {error:?}");
        assert_eq!(error.to_string(), not_media);
    }
    let error = probe(folder.path().join("missing.mp4")).unwrap_err();
    assert_eq!(error.to_string(), "no such file");
    let error = probe(folder.path()).unwrap_err();
    assert_eq!(error.to_string(), "cannot open the input: not a regular file");
}

#[test]
fn a_truncated_file_is_no_media() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(make_small(folder.path())).unwrap();
    let path = folder.path().join("cut.mp4");
    fs::write(&path, &whole[..600]).unwrap();
    assert!(matches!(probe(&path), Err(Error::NotMedia)));
}

#[test]
fn a_list_of_other_files_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let film = make_small(folder.path());
    let film = film.display();
    for (name, text) in [
        ("list.ffconcat", format!("ffconcat version 1.0\nfile '{film}'\n")),
        (
            "list.m3u8",
            format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfile:{film}\n#EXT-X-ENDLIST\n"),
        ),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        assert!(matches!(probe(&path), Err(Error::NotMedia)), "{name}");
    }
}

#[test]
fn a_name_that_looks_like_a_protocol_is_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("http:film.mp4");
    fs::rename(make_small(folder.path()), &path).unwrap();
    assert!(probe(&path).is_ok());
}

#[test]
fn nothing_is_written_to_stderr() {
    // A test sees only its own stderr, so it starts itself anew with a damaged file to probe.
    const VICTIM: &str = "HEADWATER_TEST_PROBE";
    if let Ok(victim) = std::env::var(VICTIM) {
        assert!(probe(Path::new(&victim)).is_err());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(make_small(folder.path())).unwrap();
    let path = folder.path().join("cut.mp4");
    fs::write(&path, &whole[..600]).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "nothing_is_written_to_stderr", "--nocapture"])
        .env(VICTIM, &path)
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
