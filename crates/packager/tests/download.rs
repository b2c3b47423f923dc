//! A title as one file: the source's packets at the source's times, in any part.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod kit;

use std::io::{BufReader, Cursor};
use std::path::Path;
use std::sync::Arc;

use headwater_packager::{Download, Media, Options, Track, Wish};
use kit::{ffmpeg, media_folder, packets, send};
use proptest::prelude::*;

fn download(media: &Arc<Media>, video: Wish, audio: Wish) -> Download {
    let tracks = media.download_tracks(video, audio).expect("tracks");
    Download::new(Arc::clone(media), tracks).expect("a download")
}

fn whole(download: &Download, files: &[Vec<u8>]) -> Vec<u8> {
    let bytes = send(&download.part(0..u64::MAX), files);
    assert_eq!(bytes.len() as u64, download.len());
    bytes
}

/// 7 s with B-frames, an edit list on the picture and priming on the sound.
fn make(path: &Path, more: &[&str]) -> bool {
    let mut arguments =
        vec!["-f", "lavfi", "-i", "testsrc2=size=160x90:rate=30000/1001:duration=7"];
    arguments.extend(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=7"]);
    arguments.extend(["-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-g", "60"]);
    arguments.extend(["-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "64k"]);
    arguments.extend(more);
    arguments.push(path.to_str().unwrap());
    ffmpeg(&arguments)
}

/// Compares what ffprobe sees in the source and in the download of the same tracks.
fn compare(what: &str, source: &Path, copy: &Path, media: &Media) -> bool {
    for track in media.tracks() {
        let stream = if track.is_video() { "v:0" } else { "a:0" };
        let Some(expected) = packets(source, stream, &[]) else { return false };
        let found = packets(copy, stream, &[]).unwrap();
        assert_eq!(expected.len(), found.len(), "{what} {stream}: packets");
        for (number, (theirs, ours)) in expected.iter().zip(&found).enumerate() {
            let place = format!("{what} {stream}: packet {number}: {ours:?} for {theirs:?}");
            assert_eq!((theirs.size, theirs.key), (ours.size, ours.key), "{place}");
            assert!((theirs.pts - ours.pts).abs() < 1_000_000, "{place}");
        }
    }
    true
}

#[test]
fn a_download_is_the_source_put_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (source, copy) = (folder.path().join("a.mp4"), folder.path().join("copy.mp4"));
    // The sound starts late, so that there is an empty edit.
    if !make(&source, &[]) {
        return;
    }
    let late = folder.path().join("late.mp4");
    let (from, to) = (source.to_str().unwrap(), late.to_str().unwrap());
    ffmpeg(&[
        "-i",
        from,
        "-itsoffset",
        "0.73",
        "-i",
        from,
        "-map",
        "0:v",
        "-map",
        "1:a",
        "-c",
        "copy",
        to,
    ]);
    for source in [source, late] {
        let files = vec![std::fs::read(&source).unwrap()];
        let media = Arc::new(kit::media(&files, &Options::default()));
        let download = download(&media, Wish::Best, Wish::Best);
        let bytes = whole(&download, &files);
        std::fs::write(&copy, &bytes).unwrap();
        if !compare("made", &source, &copy, &media) {
            return;
        }

        // Two readers that know nothing of FFmpeg or of us.
        let size = bytes.len() as u64;
        let theirs =
            mp4::Mp4Reader::read_header(BufReader::new(Cursor::new(&bytes)), size).unwrap();
        let mut samples: Vec<u32> =
            theirs.tracks().values().map(mp4::Mp4Track::sample_count).collect();
        samples.sort_unstable();
        let mut expected: Vec<u32> =
            media.sources()[0].tracks().iter().map(|track| track.samples().count()).collect();
        expected.sort_unstable();
        assert_eq!(samples, expected);
        // Our own: each sample of the copy is that of the source, and the copy's download is itself.
        let copied = vec![bytes.clone()];
        let again = Arc::new(kit::media(&copied, &Options::default()));
        for (theirs, ours) in media.sources()[0].tracks().iter().zip(again.sources()[0].tracks()) {
            for (a, b) in theirs.samples().iter().zip(ours.samples()) {
                let data = |file: &[u8], at: u64, len: u32| {
                    file[at as usize..at as usize + len as usize].to_vec()
                };
                assert_eq!(data(&files[0], a.offset, a.size), data(&bytes, b.offset, b.size));
                assert_eq!((a.dts, a.duration, a.sync), (b.dts, b.duration, b.sync));
            }
        }
        let twice = whole(&self::download(&again, Wish::Best, Wish::Best), &copied);
        assert!(twice == bytes, "a download of a download is the same");

        // moov first, and half a second of each by turns.
        let position = |kind: &[u8]| bytes.windows(4).position(|bytes| bytes == kind).unwrap();
        assert!(position(b"moov") < position(b"mdat"));
        let first_sound = again.sources()[0].tracks()[1].samples().iter().next().unwrap().offset;
        let second = again.sources()[0].tracks()[0].samples().range(20..21).next().unwrap().offset;
        let is_late = source.ends_with("late.mp4");
        assert_eq!(first_sound < second, !is_late);
    }
}

#[test]
fn one_can_do_without_picture_or_sound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    if !make(&path, &[]) {
        return;
    }
    let files = vec![std::fs::read(&path).unwrap()];
    let media = Arc::new(kit::media(&files, &Options::default()));
    let (video, audio) = ("v1".parse().unwrap(), "a1".parse().unwrap());
    let silent = whole(&download(&media, Wish::Track(video), Wish::Without), &files);
    let kinds = |bytes: &[u8]| -> Vec<bool> {
        let media = kit::media(&[bytes.to_vec()], &Options::default());
        media.tracks().iter().map(Track::is_video).collect()
    };
    assert_eq!(kinds(&silent), [true]);
    let sound = whole(&download(&media, Wish::Without, Wish::Track(audio)), &files);
    assert_eq!(kinds(&sound), [false]);
    assert_eq!(media.download_tracks(Wish::Without, Wish::Without), None);
    assert_eq!(media.download_tracks(Wish::Track(audio), Wish::Best), None);
    assert_eq!(media.download_tracks(Wish::Track("v2".parse().unwrap()), Wish::Best), None);
}

#[test]
fn the_best_picture_and_the_default_sound_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let made = make(&path("low.mp4"), &[])
        && make(&path("high.mp4"), &["-vf", "scale=320:180"])
        && make(&path("mid.mp4"), &["-vf", "scale=240:136"]);
    if !made {
        return;
    }
    let files: Vec<Vec<u8>> =
        ["low.mp4", "high.mp4", "mid.mp4"].map(|name| std::fs::read(path(name)).unwrap()).into();
    let media = Arc::new(kit::media(&files, &Options::default()));
    let tracks = media.download_tracks(Wish::Best, Wish::Best).unwrap();
    assert_eq!(tracks.video, "v2".parse().ok());
    assert_eq!(tracks.audio, "a1".parse().ok());
    // The picture is of one file and the sound of another.
    let copy = path("copy.mp4");
    std::fs::write(&copy, whole(&download(&media, Wish::Best, Wish::Best), &files)).unwrap();
    let (theirs, ours) = (packets(&path("high.mp4"), "v:0", &[]), packets(&copy, "v:0", &[]));
    assert_eq!(theirs, ours);
}

#[test]
fn real_media_download_as_they_are() {
    let Some(folder) = media_folder() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let mut compared = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let size = path.metadata().unwrap().len();
        if size > 20 << 20 || path.extension().is_none_or(|extension| extension == "tsv") {
            continue;
        }
        let files = vec![std::fs::read(&path).unwrap()];
        let Ok(index) = kit::index(&name, &files[0]) else { continue };
        // FFmpeg's first stream of a kind must be ours.
        let Ok(media) = Media::new(vec![Arc::new(index)], &Options::default()) else { continue };
        if !media.report().is_empty() {
            continue;
        }
        let media = Arc::new(media);
        let bytes = whole(&download(&media, Wish::Best, Wish::Best), &files);
        let copy = scratch.path().join("copy.mp4");
        std::fs::write(&copy, bytes).unwrap();
        if !compare(&name, &path, &copy, &media) {
            return;
        }
        compared += 1;
    }
    assert!(compared >= 5, "only {compared} files");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_part_is_that_part_of_the_whole(from in 0_u64..60_000, len in 0_u64..60_000) {
        const TINY: &[u8] = include_bytes!("fixtures/tiny.mp4");
        let files = vec![TINY.to_vec()];
        let media = Arc::new(kit::media(&files, &Options::default()));
        let download = download(&media, Wish::Best, Wish::Best);
        let all = whole(&download, &files);
        let part = send(&download.part(from..from + len), &files);
        let end = all.len().min((from + len) as usize);
        prop_assert_eq!(&part[..], &all[end.min(from as usize)..end]);
    }
}
