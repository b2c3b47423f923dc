//! Edit lists that jump (ISO/IEC 14496-12 §8.6.6): what is presented is the media of the edits, one
//! after the other, in every track at its own times. Checked against the standard's own words, and
//! against FFmpeg.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod kit;

use std::sync::Arc;
use std::time::Duration;

use headwater_packager::{Download, Media, Options, TrackId, Wish};
use kit::boxes::{FileSpec, TrackSpec};
use kit::fragments::FragmentedSpec;
use kit::seen::{Seen, play};
use kit::{ffmpeg, packets, send};
use proptest::prelude::*;

const NORMAL: i32 = 1 << 16;

fn id(text: &str) -> TrackId {
    text.parse().unwrap()
}

fn options() -> Options {
    let mut options = Options::default();
    options.target_duration = Duration::from_secs(1);
    options
}

/// Which sample of its track it is, by what the box writer stamped on it.
fn number(seen: &Seen) -> usize {
    (u32::from_be_bytes(seen.bytes[..4].try_into().unwrap()) & 0x0fff_ffff) as usize
}

/// The samples of a track of the first file: number, and presentation time in ticks from zero.
fn presented(media: &Media, track: &str, files: &[Vec<u8>]) -> Vec<(usize, i64)> {
    let track = media.track(id(track)).unwrap();
    let offset = i64::from(media.start_offset_seconds()) * i64::from(track.timescale.get());
    let seen = play(media, track.id, files);
    assert!(seen.is_sorted_by(|a, b| a.dts < b.dts), "decode times increase");
    seen.iter().map(|seen| (number(seen), seen.pts as i64 - offset)).collect()
}

/// When sample `number` may be presented, in ticks, by the words of the standard: once for each edit
/// whose media it lies in.
fn allowed(spec: &TrackSpec, number: usize) -> Vec<f64> {
    let composed = composed(spec, number);
    let hz = f64::from(spec.timescale);
    let mut at = 0.0;
    let mut times = Vec::new();
    for (duration, media_time, rate) in &spec.edits {
        let long = *duration as f64 * hz / 1_000.0;
        if *media_time >= 0 && *rate != 0 {
            times.push(at + (composed - *media_time) as f64);
        } else if *rate == 0 {
            times.push(at);
        }
        at += long;
    }
    times
}

fn composed(spec: &TrackSpec, number: usize) -> i64 {
    let offset = kit::fragments::at_run(&spec.offsets, number);
    kit::fragments::decode_time(spec, number) as i64 + i64::from(offset)
}

/// All samples are presented when the list says, within half a millisecond.
fn check_times(media: &Media, track: &str, spec: &TrackSpec, files: &[Vec<u8>]) {
    let half = f64::from(spec.timescale) / 2_000.0;
    for (number, time) in presented(media, track, files) {
        let allowed = allowed(spec, number);
        let near = allowed.iter().any(|allowed| (allowed - time as f64).abs() <= half + 0.5);
        assert!(near, "{track}: sample {number} at {time}, not at {allowed:?}");
    }
}

/// 12 s at 25 pictures a second with a sync sample each second, and as much sound.
fn film(edits: &[(u64, i64, i32)]) -> FileSpec {
    film_at(12_800, 512, edits)
}

/// The same with pictures of `frame` ticks, of which there are `hz` a second.
fn film_at(hz: u32, frame: u32, edits: &[(u64, i64, i32)]) -> FileSpec {
    let count = 12 * hz / frame;
    let mut picture = TrackSpec::video(count, 400, 25);
    picture.offsets = vec![(count, 0)];
    (picture.timescale, picture.durations) = (hz, vec![(count, frame)]);
    let mut sound = TrackSpec::audio(563, 90);
    sound.offsets = vec![(563, 0)];
    // The same in both: times in milliseconds.
    let ticks = |hz: i64| {
        let at = move |millis: i64| if millis < 0 { -1 } else { millis * hz / 1_000 };
        edits.iter().map(move |edit| (edit.0, at(edit.1), edit.2)).collect()
    };
    picture.edits = ticks(i64::from(hz));
    sound.edits = ticks(48_000);
    FileSpec::new(vec![picture, sound])
}

#[test]
fn what_is_cut_out_is_gone_and_the_rest_is_in_step() {
    // 0 to 3 s, then 6 to 8 s, then 10 s to the end.
    let file = film(&[(3_000, 0, NORMAL), (2_000, 6_000, NORMAL), (2_000, 10_000, NORMAL)]);
    let files = vec![file.bytes()];
    let media = kit::media(&files, &options());
    let numbers = |track| -> Vec<usize> {
        presented(&media, track, &files).iter().map(|(number, _)| *number).collect()
    };
    let expected: Vec<usize> = (0..75).chain(150..200).chain(250..300).collect();
    assert_eq!(numbers("v1"), expected);
    check_times(&media, "v1", &file.tracks[0], &files);
    check_times(&media, "a1", &file.tracks[1], &files);
    // The last frame of sound is over a little later.
    assert!((7_000..7_022).contains(&media.duration().as_millis()));
    // 7 s of frames of 21.3 ms, less what falls between the frames at two cuts.
    let sound = numbers("a1").len();
    assert!((326..=329).contains(&sound), "{sound}");
    let report = media.report().to_string();
    assert!(report.contains("plays 3 pieces of it, which are cut at sync samples"), "{report}");
    assert!(report.contains("cut between frames"), "{report}");
    assert!(!report.contains("jumps"), "{report}");
    // What the source says is still told as it says it.
    assert_eq!(media.sources()[0].tracks()[0].edits().len(), 3);
    // Segments are cut at the sync samples of the result.
    let starts: Vec<u64> = media.spans(id("v1")).iter().map(|span| span.start / 12_800).collect();
    assert_eq!(starts, [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn coarse_ticks_lose_no_picture() {
    // A tick is as long as a picture, or a part of it longer than a millisecond.
    for (hz, frame) in [(24, 1), (25, 1), (30, 1), (600, 24), (1_000, 40), (1_999, 80)] {
        let file = film_at(hz, frame, &[(2_000, 0, NORMAL), (2_000, 6_000, NORMAL)]);
        let files = vec![file.bytes()];
        let media = kit::media(&files, &options());
        // Sync samples are 25 pictures apart, however long that is.
        let long = |seconds: u32| (seconds * hz).div_ceil(frame) as usize;
        let sync = long(6).div_ceil(25) * 25;
        let expected: Vec<usize> = (0..long(2)).chain(sync..long(8)).collect();
        let seen = presented(&media, "v1", &files);
        let numbers: Vec<usize> = seen.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, expected, "{hz}");
        check_times(&media, "v1", &file.tracks[0], &files);
        for (number, time) in seen {
            let allowed = allowed(&file.tracks[0], number);
            assert!(allowed.contains(&(time as f64)), "{hz}: {number} at {time}: {allowed:?}");
        }
    }
}

#[test]
fn pictures_go_on_at_the_next_sync_sample_and_sound_at_once() {
    // 0 to 2.4 s, then from 5.48 s: the next sync sample is at 6 s.
    let file = film(&[(2_400, 0, NORMAL), (3_000, 5_480, NORMAL)]);
    let files = vec![file.bytes()];
    let media = kit::media(&files, &options());
    let pictures = presented(&media, "v1", &files);
    let numbers: Vec<usize> = pictures.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (0..60).chain(150..212).collect::<Vec<_>>());
    check_times(&media, "v1", &file.tracks[0], &files);
    check_times(&media, "a1", &file.tracks[1], &files);
    // Sound goes on within a frame.
    let sound = presented(&media, "a1", &files);
    let longest = sound.windows(2).map(|pair| pair[1].1 - pair[0].1).max().unwrap();
    assert!(longest < 2 * 1_024, "{longest}");
    let report = media.report().to_string();
    assert!(report.contains("0.520 s of pictures after cuts are left out"), "{report}");
    assert!(report.contains("stays for up to 0.520 s"), "{report}");
}

#[test]
fn what_comes_twice_is_sent_twice() {
    // A loop of two seconds, five times; more than the file holds.
    let edits = [(2_000, 1_000, NORMAL); 20];
    let mut file = film(&edits);
    file.tracks.truncate(1);
    let files = vec![file.bytes()];
    let media = kit::media(&files, &options());
    let numbers: Vec<usize> = presented(&media, "v1", &files).iter().map(|seen| seen.0).collect();
    assert_eq!(numbers, (25..75).cycle().take(1_000).collect::<Vec<_>>());
    check_times(&media, "v1", &file.tracks[0], &files);
    assert_eq!(media.duration().as_millis(), 40_000);
}

#[test]
fn pauses_and_dwells_hold_the_picture() {
    for (hold, media_time) in [(NORMAL, -1), (0, 2_480)] {
        let edits = [(2_480, 0, NORMAL), (1_500, media_time, hold), (2_000, 2_480, NORMAL)];
        let file = film(&edits);
        let files = vec![file.bytes()];
        let media = kit::media(&files, &options());
        let pictures = presented(&media, "v1", &files);
        // It goes on where it was, which need be no sync sample.
        let numbers: Vec<usize> = pictures.iter().map(|seen| seen.0).collect();
        assert_eq!(numbers, (0..112).collect::<Vec<_>>());
        assert_eq!(pictures[62].1 - pictures[61].1, 512 + 1_500 * 12_800 / 1_000);
        check_times(&media, "v1", &file.tracks[0], &files);
        check_times(&media, "a1", &file.tracks[1], &files);
        assert_eq!(media.duration().as_millis() / 30, 5_980 / 30);
    }
    // A dwell at the end lasts.
    let mut file = film(&[(2_000, 0, NORMAL), (3_000, 2_000, 0)]);
    file.tracks.truncate(1);
    let media = kit::media(&[file.bytes()], &options());
    assert_eq!(media.duration().as_millis(), 5_000);
    // One that starts with a picture shows it.
    let mut file = film(&[(2_000, 4_000, 0), (1_000, 0, NORMAL)]);
    file.tracks.truncate(1);
    let files = vec![file.bytes()];
    let seen = presented(&kit::media(&files, &options()), "v1", &files);
    assert_eq!((seen[0], seen[1]), ((100, 0), (0, 25_600)));
    assert_eq!(seen.len(), 26);
}

#[test]
fn what_lies_before_the_lead_in_is_left_out() {
    // From 7.2 s on: decoding starts with the sync sample at 7 s.
    let file = film(&[(3_000, 7_200, NORMAL)]);
    let files = vec![file.bytes()];
    let media = kit::media(&files, &options());
    let pictures = presented(&media, "v1", &files);
    assert_eq!(pictures[0], (175, -200 * 12_800 / 1_000));
    assert_eq!(pictures.last().unwrap().0, 254);
    let sound = presented(&media, "a1", &files);
    // A second of it stays: decoders are primed with sound.
    assert!((-48_000..-46_000).contains(&sound[0].1), "{:?}", sound[0]);
    check_times(&media, "v1", &file.tracks[0], &files);
    check_times(&media, "a1", &file.tracks[1], &files);
    assert_eq!(media.start_offset_seconds(), 1);
    let report = media.report().to_string();
    assert!(report.contains("175 of its samples before the start"), "{report}");
}

#[test]
fn other_speeds_and_too_much_are_told() {
    let fast = film(&[(1_000, 0, NORMAL), (1_000, 4_000, 2 << 16)]);
    let media = kit::media(&[fast.bytes()], &options());
    assert!(media.report().to_string().contains("plays it at another speed"), "{}", media.report());
    // 65,000 times 12 s are more pictures than are made of so few.
    let mut long = film(&[]);
    long.tracks.truncate(1);
    long.tracks[0].edits = vec![(12_000, 0, NORMAL); 65_000];
    let media = kit::media(&[long.bytes()], &options());
    let report = media.report().to_string();
    assert!(report.contains("makes more than 17584 samples of its 300"), "{report}");
    assert_eq!(media.duration().as_millis(), 12_000);
    // A pause of 100 hours is longer than a sample can last.
    let pause = film(&[(1_000, 0, NORMAL), (360_000_000, -1, NORMAL), (1_000, 2_000, NORMAL)]);
    let report = kit::media(&[pause.bytes()], &options()).report().to_string();
    assert!(report.contains("times that are out of range"), "{report}");
    // All tracks together are given so much: here the first takes it.
    let mut tracks = film(&[(12_000, 0, NORMAL); 50]).tracks;
    tracks.remove(1);
    let mut other = tracks[0].clone();
    other.number = 2;
    tracks.push(other);
    let report = kit::media(&[FileSpec::new(tracks).bytes()], &options()).report().to_string();
    assert!(report.contains("track 1: its edit list plays 50 pieces"), "{report}");
    assert!(report.contains("track 2: its edit list makes more than 3784 samples"), "{report}");
}

#[test]
fn a_fragmented_file_is_cut_alike() {
    let file = film(&[(3_000, 0, NORMAL), (0, 6_000, NORMAL)]);
    let progressive = vec![file.bytes()];
    let mut spec = FragmentedSpec::new(file.tracks.clone(), 25);
    spec.tracks[1].edits = file.tracks[1].edits.clone();
    let fragmented = vec![spec.bytes()];
    let (one, other) = (kit::media(&progressive, &options()), kit::media(&fragmented, &options()));
    for track in ["v1", "a1"] {
        let seen = presented(&one, track, &progressive);
        assert_eq!(seen, presented(&other, track, &fragmented), "{track}");
    }
}

/// Reordered pictures: of three, the last is decoded first.
fn reordered(mut spec: TrackSpec) -> TrackSpec {
    let count = spec.sizes.len() as u32;
    let frame = spec.durations[0].1.cast_signed();
    spec.offsets = (0..count)
        .map(|number| match number % 25 {
            0 => (1, frame),
            within => (1, [frame * 3, 0, 0][(within as usize - 1) % 3]),
        })
        .collect();
    spec
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    /// Whatever the list: times are those of the standard, and nothing comes out that is cut out.
    #[test]
    fn any_list_keeps_its_times(
        list in prop::collection::vec(
            (
                // Shorter than what is reordered, one may hold no picture at all.
                200_u64..3_000,
                prop_oneof![1 => Just(-1_i64), 5 => 0_i64..11_000],
                prop_oneof![6 => Just(NORMAL), 1 => Just(0)],
            ),
            1..7,
        ),
        reorder: bool,
        (hz, frame) in prop_oneof![
            4 => Just((12_800, 512)),
            1 => Just((24, 1)),
            1 => Just((25, 1)),
            1 => Just((30, 1)),
            1 => Just((600, 24)),
        ],
    ) {
        prop_assume!(list.iter().any(|edit| edit.1 >= 0));
        let mut file = film_at(hz, frame, &list);
        if reorder {
            let picture = file.tracks[0].clone();
            file.tracks[0] = reordered(picture);
        }
        let files = vec![file.bytes()];
        let indexed = kit::index("0.mp4", &files[0]).unwrap();
        let media = Media::new(vec![Arc::new(indexed)], &options()).unwrap();
        for (track, spec) in [("v1", &file.tracks[0]), ("a1", &file.tracks[1])] {
            let half = f64::from(spec.timescale) / 2_000.0;
            // Dwells take the picture that is shown then.
            let dwells = list.iter().any(|edit| edit.2 == 0);
            let mut starts = Vec::new();
            for (number, time) in presented(&media, track, &files) {
                let at = allowed(spec, number);
                let near = at.iter().any(|allowed| (allowed - time as f64).abs() <= half + 0.5);
                prop_assert!(near || dwells, "{} {}: {} not {:?}", track, number, time, at);
                starts.push(time);
            }
            if track == "a1" {
                prop_assert!(starts.is_sorted_by(|a, b| *b - *a >= 1_023), "frames overlap");
            }
        }
    }
}

/// Puts other edit lists into a file whose movie box comes last: of each track in turn.
fn with_edits(file: &[u8], lists: &[Vec<(u32, i32)>]) -> Vec<u8> {
    let word = |at: usize| u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let inside = |from: usize, to: usize| {
        let mut found = Vec::new();
        let mut at = from;
        while at + 8 <= to {
            found.push((file[at + 4..at + 8].to_vec(), at, at + word(at)));
            at += word(at);
        }
        found
    };
    let top = inside(0, file.len());
    let (_, moov, end) = top.iter().find(|found| found.0 == b"moov").unwrap().clone();
    assert_eq!(end, file.len(), "the movie box comes last");
    let mut lists = lists.iter();
    let mut out = Vec::new();
    for (kind, from, to) in inside(moov + 8, end) {
        if kind != b"trak" {
            out.extend(&file[from..to]);
            continue;
        }
        let mut trak = Vec::new();
        for (kind, from, to) in inside(from + 8, to) {
            if kind == b"edts" {
                continue;
            }
            if kind == b"mdia" {
                let list = lists.next().unwrap();
                let mut elst = kit::boxes::words(&[list.len() as u32]);
                for (duration, media_time) in list {
                    elst.extend(duration.to_be_bytes());
                    elst.extend(media_time.to_be_bytes());
                    elst.extend([0, 1, 0, 0]);
                }
                let elst = kit::boxes::full(*b"elst", 0, 0, &elst);
                trak.extend(kit::boxes::boxed(*b"edts", &elst));
            }
            trak.extend(&file[from..to]);
        }
        out.extend(kit::boxes::boxed(*b"trak", &trak));
    }
    [&file[..moov], &kit::boxes::boxed(*b"moov", &out)].concat()
}

#[test]
fn ffmpeg_sees_the_same_pictures_at_the_same_times() {
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain.mp4");
    let made = ffmpeg(&[
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=160x90:rate=25:duration=12",
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=440:sample_rate=48000:duration=12",
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-bf",
        "2",
        "-g",
        "25",
        "-keyint_min",
        "25",
        "-sc_threshold",
        "0",
        "-video_track_timescale",
        "12800",
        "-c:a",
        "aac",
        plain.to_str().unwrap(),
    ]);
    if !made {
        return;
    }
    // 0 to 3 s and 6 to 8 s of both, as FFmpeg places them: pictures are composed 1,024 ticks
    // late, and the sound has 1,024 samples of priming.
    let picture = vec![(3_000, 1_024), (2_000, 6 * 12_800 + 1_024)];
    let sound = vec![(3_000, 1_024), (2_000, 6 * 48_000 + 1_024)];
    let files = vec![with_edits(&std::fs::read(&plain).unwrap(), &[picture, sound])];
    let source = dir.path().join("cut.mp4");
    std::fs::write(&source, &files[0]).unwrap();
    let media = Arc::new(kit::media(&files, &options()));
    for (track, stream) in [("v1", "v:0"), ("a1", "a:0")] {
        let Some(theirs) = packets(&source, stream, &[]) else { return };
        let mut bytes = send(&media.init(id(track)).unwrap(), &files);
        for number in 1..=media.segment_count(id(track)) {
            bytes.extend(send(&media.segment(id(track), number).unwrap(), &files));
        }
        let out = dir.path().join(format!("{track}.mp4"));
        std::fs::write(&out, bytes).unwrap();
        let offset = i64::from(media.start_offset_seconds()) * 1_000_000_000;
        let ours: Vec<(i64, u64)> = packets(&out, stream, &[])
            .unwrap()
            .iter()
            .map(|packet| (packet.pts - offset, packet.size))
            .collect();
        let near = |list: &[(i64, u64)], wanted: (i64, u64)| {
            // After a cut FFmpeg moves sound to where the cut is, by up to a frame.
            let cut = track == "a1" && wanted.0 > 2_990_000_000;
            let within = if cut { 22_000_000 } else { 1_000_000 };
            list.iter().any(|it| it.1 == wanted.1 && it.0.abs_diff(wanted.0) < within)
        };
        let theirs: Vec<_> = theirs.iter().map(|packet| (packet.pts, packet.size)).collect();
        // FFmpeg gives what precedes a cut, too, and says to discard it: all of ours are its own.
        for packet in ours.iter().filter(|packet| packet.0 >= 0) {
            assert!(near(&theirs, *packet), "{track}: {packet:?} is not in {theirs:?}");
        }
        if track == "v1" {
            assert!((120..=125).contains(&ours.len()), "{} of 125 pictures", ours.len());
        }
    }
    // A download says the same with one plain edit.
    let tracks = media.download_tracks(Wish::Best, Wish::Best).unwrap();
    let download = Download::new(Arc::clone(&media), tracks).unwrap();
    let bytes = send(&download.part(0..u64::MAX), &files);
    let again = kit::media(std::slice::from_ref(&bytes), &options());
    for track in ["v1", "a1"] {
        let times = |media: &Media, files: &[Vec<u8>]| -> Vec<(u64, usize)> {
            play(media, id(track), files).iter().map(|seen| (seen.pts, seen.bytes.len())).collect()
        };
        assert_eq!(times(&media, &files), times(&again, std::slice::from_ref(&bytes)), "{track}");
    }
}

/// §8.6.6: another `media_rate` than 1 and 0 cannot be followed without encoding.
#[test]
fn another_speed_is_told_and_played_at_rate_one() {
    for rate in [1 << 15, 1 << 17, 3 << 14, -(1 << 16)] {
        // A second is passed over, then 3 s of the media would last 6 s, or 1.5 s.
        let mut slow = TrackSpec::video(150, 300, 25);
        slow.edits = vec![(1_000, 12_800, 1 << 16), (6_000, 25_600, rate)];
        let mut sound = TrackSpec::audio(280, 100);
        sound.edits = vec![(1_000, 48_000, 1 << 16), (6_000, 96_000, rate)];
        let files = [FileSpec::new(vec![slow, sound]).bytes()];
        let media = kit::media(&files, &Options::default());
        let report = media.report().to_string();
        let told = "plays it at another speed; it is played at its own, from where the list starts";
        assert_eq!(report.matches(told).count(), 2, "{report}");
        // All of the media after the second that is passed over, at its own times.
        assert_eq!(media.duration().as_millis(), 5_000, "rate {rate}");
        let pictures = presented(&media, "v1", &files);
        assert!(pictures.contains(&(25, 0)) && pictures.contains(&(149, 124 * 512)), "{rate}");
    }
}
