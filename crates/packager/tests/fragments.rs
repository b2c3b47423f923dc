//! Fragmented sources: what comes out has all that went in, at the same times.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests may fail loudly"
)]

mod kit;

use std::path::Path;

use headwater_packager::{Media, Options};
use kit::boxes::{FileSpec, TrackSpec};
use kit::shared::FRAGMENTED;
use kit::{compare_with_source, ffmpeg, index, index_counted, media, media_folder, packets};

fn check(name: &str, path: &Path, scratch: &Path) -> Option<Media> {
    let files = vec![std::fs::read(path).unwrap()];
    let media = media(&files, &Options::default());
    for note in media.report().notes() {
        eprintln!("{name}: {note}");
    }
    for track in media.tracks() {
        eprintln!("{name}: {} has {} segments", track.id, media.segment_count(track.id));
        if !compare_with_source(name, &media, track, path, &files, scratch) {
            return None;
        }
    }
    Some(media)
}

#[test]
fn real_files_have_their_packets_and_times() {
    let Some(folder) = media_folder() else { return };
    let scratch = tempfile::tempdir().unwrap();
    for name in FRAGMENTED.into_iter().filter(|name| !name.contains("c608")) {
        let Some(_) = check(name, &folder.join(name), scratch.path()) else { return };
    }
}

#[test]
fn a_movie_box_with_samples_and_fragments_is_one_track_of_both() {
    let Some(folder) = media_folder() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let name = "h264_aac_partially_fragmented.mp4";
    let file = std::fs::read(folder.join(name)).unwrap();
    let (index, _) = index_counted(name, &file).unwrap();
    let counts: Vec<_> = index.tracks().iter().map(|track| track.samples().count()).collect();
    assert_eq!(counts, [30, 45]);
    let _ = check(name, &folder.join(name), scratch.path());
}

/// What FFmpeg makes of a test picture and tone with these options.
fn made(dir: &Path, name: &str, options: &[&str]) -> Option<std::path::PathBuf> {
    let path = dir.join(format!("{name}.mp4"));
    let mut arguments = vec!["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=10"];
    arguments.extend(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=10"]);
    arguments.extend(["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "25"]);
    arguments.extend(["-keyint_min", "25", "-sc_threshold", "0", "-pix_fmt", "yuv420p"]);
    arguments.extend(["-c:a", "aac", "-b:a", "64k"]);
    arguments.extend(options);
    arguments.push(path.to_str().unwrap());
    ffmpeg(&arguments).then_some(path)
}

const FORMS: [(&str, &[&str]); 7] = [
    ("keyframe_empty", &["-movflags", "frag_keyframe+empty_moov"]),
    ("default_base", &["-movflags", "frag_keyframe+empty_moov+default_base_moof"]),
    ("every_frame", &["-movflags", "frag_every_frame+empty_moov"]),
    ("hybrid", &["-movflags", "frag_keyframe"]),
    ("half_seconds", &["-movflags", "empty_moov", "-frag_duration", "500000"]),
    ("sidx", &["-movflags", "frag_keyframe+empty_moov+global_sidx+default_base_moof"]),
    ("dash", &["-movflags", "dash+frag_keyframe+empty_moov"]),
];

#[test]
fn what_ffmpeg_fragments_comes_out_whole() {
    let dir = tempfile::tempdir().unwrap();
    for (name, options) in FORMS {
        let Some(path) = made(dir.path(), name, options) else { return };
        let Some(media) = check(name, &path, dir.path()) else { return };
        let file = std::fs::read(&path).unwrap();
        let (index, reads) = index_counted(name, &file).unwrap();
        eprintln!("{name}: {reads} reads, {} bytes of index", index.weight_bytes());
        assert_eq!(index.tracks()[0].samples().count(), 250, "{name}");
        let sound = packets(&path, "a:0", &["-ignore_editlist", "1"]).unwrap().len();
        assert_eq!(index.tracks()[1].samples().count() as usize, sound, "{name}");
        assert!(media.segment_count(media.tracks()[0].id) >= 2, "{name}");
        assert!(media.report().is_empty(), "{name}: {}", media.report());
    }
}

/// FFmpeg 5.1 shows fragments with negative composition offsets late (see the crate's timeline), so
/// it cannot be asked here: the same pictures are cut the same, and start at zero.
#[test]
fn signed_offsets_are_followed() {
    let dir = tempfile::tempdir().unwrap();
    let form = |name: &str, flags: &str| {
        let path = made(dir.path(), name, &["-movflags", flags])?;
        let media = media(&[std::fs::read(path).unwrap()], &Options::default());
        let spans = media.spans(media.tracks()[0].id).iter();
        let offset = u64::from(media.start_offset_seconds()) * 12_800;
        let start = media.spans(media.tracks()[0].id)[0].start - offset;
        let cuts: Vec<_> = spans.map(|span| (span.duration, span.first_sample)).collect();
        Some((start, cuts))
    };
    let Some(plain) = form("plain", "frag_keyframe+empty_moov") else { return };
    let signed = form("signed", "frag_keyframe+empty_moov+negative_cts_offsets").unwrap();
    assert_eq!((plain.0, signed.0), (1_024, 0));
    assert_eq!(signed.1, plain.1);
}

#[test]
fn a_movie_without_samples_and_fragments_has_no_track() {
    let mut file = FileSpec::new(vec![TrackSpec::video(0, 1, 1)]);
    file.mvex = true;
    let error = index("bare", &file.bytes()).unwrap_err();
    assert!(error.to_string().contains("it has no samples"), "{error}");
}

/// Its first picture is decoded at 240,000 and shown at 241,001 of 24,000 ticks a second.
#[test]
fn a_piece_of_a_longer_recording_starts_at_zero() {
    let Some(folder) = media_folder() else { return };
    let path = folder.join("h264_c608_frag_clear.mp4");
    let media = media(&[std::fs::read(&path).unwrap()], &Options::default());
    let [picture] = media.tracks() else { panic!("one track is carried") };
    let spans = media.spans(picture.id);
    let zero = u64::from(media.start_offset_seconds()) * 24_000;
    assert_eq!(spans[0].start - zero, 1_001);
    let Some(expected) = packets(&path, "v:0", &[]) else { return };
    let found: u32 = spans.iter().map(|span| span.samples).sum();
    assert_eq!(found as usize, expected.len());
}
