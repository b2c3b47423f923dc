//! MPEG-TS: a strict reader finds every sample of the source, once and in order, at its time; and
//! so does FFmpeg.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests may fail loudly"
)]

mod kit;

use std::num::NonZeroU32;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use headwater_packager::{Media, Options, Pair, Planned, Program, Track, TrackKind};
use kit::boxes::TrackSpec;
use kit::nal::film_of_units;
use kit::ts::{frames, read, units};
use kit::{ffmpeg, lay_out, media, media_folder, packets, send};

const VIDEO: u16 = 0x100;
const AUDIO: u16 = 0x101;

/// All segments of a program.
fn segments(media: &Media, program: Program, files: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for number in (1..).map_while(NonZeroU32::new) {
        let Some(planned) = media.ts_segment(program, number) else { return all };
        let plan = lay_out(planned, files);
        assert_eq!(plan.content_type, "video/mp2t");
        all.push(send(&plan, files));
    }
    all
}

fn program(video: Option<&Track>, audio: Option<&Track>) -> Program {
    match (video, audio) {
        (Some(video), Some(audio)) => Pair::new(video.id, audio.id).unwrap().into(),
        (one, other) => one.or(other).unwrap().id.into(),
    }
}

/// What the source has: bytes, decode time and presentation time of each sample of a track, the
/// times in 90 kHz ticks on the output's timeline.
fn source(media: &Media, track: &Track, files: &[Vec<u8>]) -> Vec<(Vec<u8>, u64, u64)> {
    let index = &media.sources()[track.source];
    let samples = index.tracks().iter().find(|t| t.number() == track.source_track).unwrap();
    let span = media.spans(track.id)[0];
    let count: u32 = media.spans(track.id).iter().map(|span| span.samples).sum();
    let lead = samples.samples().iter().map(|sample| sample.composition_offset).min();
    let lead = i64::from(lead.unwrap().min(0));
    let hertz = i128::from(track.timescale.get());
    let ticks = |time: i64| {
        let time = i128::from(time) + i128::from(span.decode_time);
        u64::try_from((time * 90_000 * 2 + hertz) / (2 * hertz)).unwrap()
    };
    let list = samples.samples().range(0..count).map(|sample| {
        let range = sample.offset as usize..sample.offset as usize + sample.size as usize;
        let bytes = files[track.source][range].to_vec();
        (bytes, ticks(sample.dts), ticks(sample.cts() - lead))
    });
    list.collect()
}

/// The NAL units of a sample that are to come out, as a byte stream. (Some files have a start code
/// and another NAL unit within one.)
fn byte_stream(sample: &[u8], length_size: usize) -> Vec<u8> {
    let mut rest = sample;
    let mut out = Vec::new();
    while rest.len() > length_size {
        let len = rest[..length_size].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let unit = &rest[length_size..][..len];
        if !matches!(unit[0] & 31, 7..=9) {
            out.extend([0, 0, 0, 1]);
            out.extend(unit);
        }
        rest = &rest[length_size + len..];
    }
    out
}

/// Reads all segments of a program and compares them with the source.
fn check(what: &str, media: &Media, program: Program, files: &[Vec<u8>], length_size: usize) {
    let segments = segments(media, program, files);
    let lengths: Vec<_> = segments.iter().map(|segment| segment.len() as u64).collect();
    let told = media.ts_segment_bytes(program).unwrap();
    if length_size == 4 || program.video().is_none() {
        assert_eq!(lengths, told, "{what}: lengths");
    } else {
        assert!(lengths.iter().zip(&told).all(|(len, told)| len <= told), "{lengths:?} {told:?}");
    }
    let stream = read(&segments);
    assert_eq!(stream.tables, segments.len(), "{what}");
    if let Some(id) = program.video() {
        let track = media.track(id).unwrap();
        assert_eq!(stream.kinds[&VIDEO], 0x1b);
        let expected = source(media, track, files);
        let found = &stream.pes[&VIDEO];
        assert_eq!(found.len(), expected.len(), "{what}: pictures");
        for (number, (found, (bytes, dts, pts))) in found.iter().zip(expected).enumerate() {
            assert_eq!((found.dts, found.pts), (dts, pts), "{what}: picture {number}");
            let list = units(&found.payload);
            assert_eq!(list[0], [9, 0xf0], "{what}: a delimiter first");
            let kinds: Vec<u8> = list.iter().map(|unit| unit[0] & 31).collect();
            if found.random_access {
                let slice = kinds.iter().position(|kind| matches!(kind, 1 | 5)).unwrap();
                assert!(kinds[..slice].contains(&7) && kinds[..slice].contains(&8), "{kinds:?}");
            } else {
                assert!(!kinds.contains(&5), "{what}: an IDR is a point of random access");
            }
            let mut rest = list;
            rest.retain(|unit| !matches!(unit[0] & 31, 7..=9));
            let same = rest == units(&byte_stream(&bytes, length_size));
            assert!(same, "{what}: the NAL units of picture {number}");
        }
        assert!(found[0].random_access);
    }
    if let Some(id) = program.audio() {
        let track = media.track(id).unwrap();
        let expected = source(media, track, files);
        let mut expected = expected.iter();
        for pes in &stream.pes[&AUDIO] {
            let mut found = if stream.kinds[&AUDIO] == 0x0f {
                frames(&pes.payload)
            } else {
                vec![&pes.payload[..]]
            };
            let mut time = None;
            while !found.is_empty() {
                let frame = found.remove(0);
                let (bytes, dts, _) = expected.next().expect("no frame too many");
                // Sync frames of AC-3 follow each other without anything between them.
                let (frame, rest) = frame.split_at(bytes.len());
                assert!(frame == bytes, "{what}: a frame");
                time.get_or_insert(*dts);
                if !rest.is_empty() {
                    found.insert(0, rest);
                }
            }
            assert_eq!(Some(pes.dts), time, "{what}: sound");
        }
        assert_eq!(expected.len(), 0, "{what}: frames that are missing");
    }
}

/// Every program of an asset.
fn programs(media: &Media) -> Vec<Program> {
    let of = |video: bool| media.tracks().iter().filter(move |track| track.is_video() == video);
    let pairs = of(true).flat_map(|video| of(false).map(move |audio| (Some(video), Some(audio))));
    let alone = media.tracks().iter().map(|track| (Some(track), None));
    let all = pairs.chain(alone).map(|(one, other)| program(one, other));
    // HEVC, for one, has no place in MPEG-TS.
    all.filter(|program| media.ts_segment_bytes(*program).is_some()).collect()
}

/// FFmpeg says nothing against a stream, and decodes all of it.
fn ffmpeg_is_content(file: &Path) -> bool {
    let run = Command::new("ffmpeg")
        .args(["-v", "warning", "-nostdin", "-threads", "1", "-i"])
        .arg(file)
        .args(["-map", "0", "-c", "copy", "-f", "null", "-"])
        .output();
    let Ok(done) = run else { return false };
    let words = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && words.trim().is_empty(), "{}: {words}", file.display());
    true
}

/// FFmpeg's packets of a stream are those that it finds in the source, at the same times.
fn compare_by_ffprobe(what: &str, media: &Media, track: &Track, ours: &Path) {
    let stream = if track.is_video() { "v:0" } else { "a:0" };
    let Some(found) = packets(ours, stream, &[]) else { return };
    let samples = {
        let index = &media.sources()[track.source];
        index.tracks().iter().find(|t| t.number() == track.source_track).unwrap().samples()
    };
    let span = media.spans(track.id)[0];
    let count: u32 = media.spans(track.id).iter().map(|span| span.samples).sum();
    assert_eq!(found.len(), count as usize, "{what} {}: packets", track.id);
    let lead = i64::from(samples.iter().map(|s| s.composition_offset).min().unwrap().min(0));
    let hertz = i128::from(track.timescale.get());
    for (number, (found, sample)) in found.iter().zip(samples.range(0..count)).enumerate() {
        let nanos = |time: i64| {
            let time = i128::from(time) + i128::from(span.decode_time);
            (time * 1_000_000_000 / hertz) as i64
        };
        // Half a tick of 90 kHz for rounding; within a PES packet FFmpeg counts frames of sound on
        // in whole ticks.
        let tolerance = if track.is_video() { 6_000 } else { 6_000 + 4 * 12_000 };
        let (pts, dts) = (nanos(sample.cts() - lead), nanos(sample.dts));
        assert!((found.pts - pts).abs() <= tolerance, "{what} {}: packet {number}", track.id);
        assert!((found.dts - dts).abs() <= tolerance, "{what} {}: packet {number}", track.id);
    }
}

fn check_file(what: &str, path: &Path, options: &Options, scratch: &Path) {
    let files = vec![std::fs::read(path).unwrap()];
    let media = media(&files, options);
    for program in programs(&media) {
        let what = format!("{what} {program}");
        check(&what, &media, program, &files, 4);
        let out = scratch.join(format!("{program}.ts"));
        std::fs::write(&out, segments(&media, program, &files).concat()).unwrap();
        if !ffmpeg_is_content(&out) {
            eprintln!("skipped: ffmpeg is not installed");
            return;
        }
        for id in program.video().into_iter().chain(program.audio()) {
            compare_by_ffprobe(&what, &media, media.track(id).unwrap(), &out);
        }
    }
}

fn short() -> Options {
    let mut options = Options::default();
    options.target_duration = Duration::from_secs(2);
    options
}

#[test]
fn every_sample_of_a_film_is_there_once_at_its_time() {
    let scratch = tempfile::tempdir().unwrap();
    let film = scratch.path().join("film.mp4");
    let input = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=10"];
    let sound = ["-f", "lavfi", "-i", "anoisesrc=color=pink:sample_rate=44100:duration=10.3"];
    let coding = ["-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-g", "25", "-c:a", "aac"];
    let arguments = [&input[..], &sound, &coding, &["-ac", "2", film.to_str().unwrap()]].concat();
    if ffmpeg(&arguments) {
        check_file("film", &film, &short(), scratch.path());
    }
}

#[test]
fn real_files_come_out_whole() {
    let Some(folder) = media_folder() else { return };
    let scratch = tempfile::tempdir().unwrap();
    for name in [
        "bbb_854x480_30s_aac51.mp4",
        "fire_720p_vfr_phone.mp4",
        "flower_540p_5s_cc0.mp4",
        "friday_480p_6s_co64_cc0.mp4",
        "h264_4k60_portrait_rotated_co64.mp4",
        "h264_aac_coverart_mjpeg.m4v",
        "h264_aac_elst_bframes_moovend_240p_10s.mp4",
        "h264_aac_noelst_bframes_audio_first_360p_8s.mp4",
        "intel_car_768x432_30s.mp4",
        "intel_person_768x432_139s.mp4",
        "smpte_1080p_10s.mp4",
        "ac3_aac_two_tracks.mp4",
        "eac3_joc_atmos_2s.mp4",
        "h264_aac_frag_mfra_nosidx.mp4",
        "h264_aac_frag_muxed_clear_8s.mp4",
        "h264_aac_frag_sidx.mp4",
        "hevc_hvc1_aac_elst_bframes.mp4",
    ] {
        check_file(name, &folder.join(name), &Options::default(), scratch.path());
    }
}

#[test]
fn one_segment_is_the_same_by_itself() {
    let scratch = tempfile::tempdir().unwrap();
    let film = scratch.path().join("film.mp4");
    let input = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=6"];
    if !ffmpeg(&[&input[..], &["-c:v", "libx264", "-g", "25", film.to_str().unwrap()]].concat()) {
        return;
    }
    let files = vec![std::fs::read(&film).unwrap()];
    let whole = media(&files, &short());
    let track = whole.tracks().iter().find(|track| matches!(track.kind, TrackKind::Video(_)));
    let program = program(track, None);
    let all = segments(&whole, program, &files);
    let another = media(&files, &short());
    let last = NonZeroU32::new(all.len() as u32).unwrap();
    let plan = another.ts_segment(program, last).and_then(Planned::ready).unwrap();
    assert_eq!(Some(&send(&plan, &files)), all.last());
}

#[test]
fn lengths_of_nal_units_may_have_any_size() {
    for length_size in [1, 2, 4] {
        let video = TrackSpec::video(200, 900, 50);
        let audio = TrackSpec::audio(380, 200);
        let files = vec![film_of_units(length_size, video, Some(audio))];
        let media = media(&files, &short());
        let layout = media.ts_segment("v1a1".parse().unwrap(), NonZeroU32::MIN).unwrap();
        assert_eq!(matches!(layout, Planned::Ready(_)), length_size == 4);
        for program in programs(&media) {
            let what = format!("{program}, lengths of {length_size}");
            check(&what, &media, program, &files, length_size.into());
        }
    }
}

#[test]
fn the_clock_goes_on_where_pictures_are_rare_or_end_early() {
    // One picture each two thirds of a second; sound for five seconds after the last.
    let mut video = TrackSpec::video(9, 5_000, 3);
    video.durations = vec![(9, 8_533)];
    let files = vec![film_of_units(4, video, Some(TrackSpec::audio(516, 200)))];
    let media = media(&files, &short());
    assert!(
        media.segment_count("v1".parse().unwrap()) < media.segment_count("a1".parse().unwrap())
    );
    for program in programs(&media) {
        check(&program.to_string(), &media, program, &files, 4);
    }
}

#[test]
fn time_stamps_wrap_after_26_hours() {
    let mut video = TrackSpec::video(250, 2_000, 50);
    let mut audio = TrackSpec::audio(470, 200);
    for track in [&mut video, &mut audio] {
        // 2^33 ticks of 90 kHz are 95,443.7 seconds.
        track.edits = vec![(95_440_000, -1, 1 << 16), (0, 0, 1 << 16)];
    }
    let files = vec![film_of_units(4, video, Some(audio))];
    let media = media(&files, &short());
    for program in programs(&media) {
        let stream = read(&segments(&media, program, &files));
        let pes = stream.pes.values().next().unwrap();
        assert!(pes.first().unwrap().dts > pes.last().unwrap().dts, "it wraps");
    }
}

#[test]
fn what_has_no_place_is_no_program() {
    let files = vec![film_of_units(4, TrackSpec::video(50, 900, 25), None)];
    let media = media(&files, &short());
    let at = |program: &str, number| {
        media.ts_segment(program.parse().unwrap(), NonZeroU32::new(number).unwrap()).is_some()
    };
    assert!(at("v1", 1));
    assert!(!at("v1", 2));
    assert!(!at("v2", 1));
    assert!(!at("v1a1", 1));
}
