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
use std::sync::Arc;
use std::time::Duration;

use headwater_packager::{Media, Options, Planned, Program, Track, TrackKind};
use kit::boxes::TrackSpec;
use kit::fragments::FragmentedSpec;
use kit::nal::film_of_units;
use kit::transport::{check, program, programs, segments};
use kit::ts::{ClockRules, read};
use kit::{ffmpeg, media, media_folder, packets, send, shared};
use proptest::prelude::*;

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
        check(&what, &media, program, &files, 4, ClockRules::All);
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
    for name in shared::playable() {
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
            check(&what, &media, program, &files, length_size.into(), ClockRules::All);
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
        check(&program.to_string(), &media, program, &files, 4, ClockRules::All);
    }
}

#[test]
fn a_picture_that_stands_for_two_hours_costs_no_memory() {
    let mut video = TrackSpec::video(2, 700, 1);
    video.durations = vec![(1, 7_200 * 12_800), (1, 512)];
    let files = vec![film_of_units(4, video, None)];
    let media = media(&files, &short());
    let plan = media.ts_segment("v1".parse().unwrap(), NonZeroU32::MIN);
    let plan = plan.and_then(Planned::ready).unwrap();
    assert!(plan.weight_bytes() < 32 << 10, "{} bytes", plan.weight_bytes());
    let sent = send(&plan, &files);
    // After the tables and the picture an hour of clocks, each a packet.
    let before = sent.len() / 188 - 36_000;
    assert!(before < 10, "{before} packets");
    let clocks = sent.chunks(188).skip(before).map(|packet| {
        assert_eq!(packet[3] & 0x30, 0x20, "no payload");
        u32::from_be_bytes(packet[6..10].try_into().unwrap())
    });
    // In units of 45 kHz.
    let first = 4_500;
    assert!(clocks.eq((0..36_000).map(|number| first + number * 4_500)));
}

#[test]
fn the_clock_starts_with_the_sound_where_pictures_come_later() {
    for delay in [10, 700, 1_500, 5_000] {
        let mut video = TrackSpec::video(100, 900, 25);
        video.edits = vec![(delay, -1, 1 << 16), (4_000, 0, 1 << 16)];
        let files = vec![film_of_units(4, video, Some(TrackSpec::audio(470, 200)))];
        let media = media(&files, &short());
        for program in programs(&media) {
            let what = format!("{program}, {delay} ms later");
            check(&what, &media, program, &files, 4, ClockRules::All);
        }
    }
}

#[test]
fn pictures_long_before_the_start_have_a_clock_of_their_own() {
    let mut video = TrackSpec::video(3, 700, 3);
    video.durations = vec![(1, 90), (2, 25_600)];
    video.offsets = vec![(1, 512), (2, 0)];
    video.edits = vec![(200, 30_156, 1 << 16)];
    let files = vec![film_of_units(4, video, Some(TrackSpec::audio(1, 150)))];
    let media = media(&files, &short());
    for program in programs(&media) {
        check(&program.to_string(), &media, program, &files, 4, ClockRules::All);
    }
}

#[test]
fn sound_before_pictures_that_are_decoded_earlier_has_a_clock() {
    let mut video = TrackSpec::video(3, 700, 3);
    video.durations = vec![(1, 90), (2, 25_600)];
    video.offsets = vec![(1, 1_024), (2, 0)];
    video.edits = vec![(900, -1, 1 << 16), (200, 35_942, 1 << 16)];
    let mut audio = TrackSpec::audio(92, 150);
    audio.edits = vec![(40, -1, 1 << 16), (200, 89_664, 0)];
    let files = vec![film_of_units(4, video, Some(audio))];
    let media = media(&files, &short());
    for program in programs(&media) {
        check(&program.to_string(), &media, program, &files, 4, ClockRules::All);
    }
}

/// Pictures that are reordered from the fifth second on alone, whose sound would be early then.
#[test]
fn a_recording_has_the_same_packets_before_and_after_it_is_settled() {
    let mut video = TrackSpec::video(300, 700, 25);
    let late = |at: u32| if at >= 125 && at.is_multiple_of(3) { 4_096 } else { 0 };
    video.offsets = (0..300).map(|at| (1, late(at))).collect();
    let mut audio = TrackSpec::audio(560, 150);
    audio.edits = vec![(0, 1_024, 1 << 16)];
    let spec = FragmentedSpec::new(vec![video, audio], 25);
    let recording = || kit::index("show.mp4", &spec.bytes()).unwrap();
    let open = Media::new(vec![Arc::new(recording())], &short()).unwrap();
    let other = open.under_other_version().unwrap();
    let mut ended = recording();
    ended.set_settled();
    let settled = Media::new(vec![Arc::new(ended)], &short()).unwrap();
    assert_eq!(settled.version(), other.version());
    let program: Program = "v1a1".parse().unwrap();
    let files = [spec.bytes()];
    let all = segments(&open, program, &files);
    assert_eq!(all.len(), 6);
    assert!(segments(&other, program, &files) == all);
    assert!(segments(&settled, program, &files) == all);
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
        let stream = read(&segments(&media, program, &files), ClockRules::All);
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

/// Duration in milliseconds, where in the media, rate, and how long a pause follows.
type Pieces = Vec<(u64, i64, i32, u64)>;

/// A film of odd times: pictures of any duration that are reordered, come late, jump or stand still;
/// sound that does the same; and both may begin long after the other has ended.
fn odd_film() -> impl Strategy<Value = (TrackSpec, TrackSpec)> {
    let runs = prop::collection::vec(
        (1_u32..30, prop::sample::select(vec![90, 512, 533, 7_000, 25_600])),
        1..5,
    );
    let reorder = prop::option::of(prop::sample::select(vec![512, 1_024, 2_048, 4_096]));
    // In milliseconds: a delay, then what is played of the media, with a pause or none.
    let edits = || {
        let piece = (
            200_u64..3_000,
            0_i64..4_000,
            prop::sample::select(vec![0, 1 << 16, 1 << 16]),
            prop::sample::select(vec![0_u64, 0, 300, 15_000]),
        );
        let delay = prop::sample::select(vec![0_u64, 40, 900, 7_000]);
        prop::option::of((delay, prop::collection::vec(piece, 1..4)))
    };
    let list = |hertz: i64, edits: Option<(u64, Pieces)>| {
        let Some((delay, pieces)) = edits else { return Vec::new() };
        let mut list = Vec::new();
        if delay > 0 {
            list.push((delay, -1, 1 << 16));
        }
        for (duration, from, rate, pause) in pieces {
            list.push((duration, from * hertz / 1_000, rate));
            if pause > 0 {
                list.push((pause, -1, 1 << 16));
            }
        }
        list
    };
    (runs, reorder, 1_u32..12, edits(), 1_u32..900, edits()).prop_map(
        move |(runs, reorder, gop, pictures, frames, sound)| {
            let count = runs.iter().map(|(count, _)| count).sum();
            let mut video = TrackSpec::video(count, 700, gop);
            video.durations = runs;
            video.edits = list(12_800, pictures);
            if let Some(by) = reorder {
                // Each third picture is shown after the two that follow it.
                video.offsets =
                    (0..count).map(|at| (1, if at % 3 == 0 { by } else { 0 })).collect();
                if video.edits.is_empty() {
                    // The first one is not late by that, as muxers have it.
                    video.edits = vec![(0, i64::from(by), 1 << 16)];
                }
            }
            let mut audio = TrackSpec::audio(frames, 150);
            audio.edits = list(48_000, sound);
            (video, audio)
        },
    )
}

/// Enough for a second or two, or as many cases as `PROPTEST_CASES` says.
fn cases() -> ProptestConfig {
    let all = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { all.cases } else { 96 };
    ProptestConfig { cases, failure_persistence: None, ..all }
}

proptest! {
    #![proptest_config(cases())]

    /// ISO/IEC 13818-1 §2.4.2.2, §2.4.3.5 and §2.7.2: a clock first and each tenth of a second, no
    /// decode time before it, no presentation before decoding, whatever the source's times are.
    #[test]
    fn clocks_keep_the_rules_whatever_the_times_are((video, audio) in odd_film()) {
        let files = vec![film_of_units(4, video, Some(audio))];
        let media = media(&files, &short());
        let programs = programs(&media);
        prop_assert!(!programs.is_empty());
        for program in programs {
            check(&program.to_string(), &media, program, &files, 4, ClockRules::All);
        }
    }
}
