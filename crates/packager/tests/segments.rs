//! Made-up files: every sample of the edit list comes out once, in order, at its time, in segments
//! as long as they were said to be; `mp4-atom` reads the headers back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod kit;

use std::sync::Arc;
use std::time::Duration;

use headwater_packager::{Error, Media, Options, Part, Presentation, Track, TrackId};
use kit::boxes::{FileSpec, TrackSpec};
use kit::odd::any_file;
use kit::seen::{play, read, top_level};
use kit::{index, index_counted, make, media, send};
use mp4_atom::{Decode, Moov};
use proptest::prelude::*;

fn id(text: &str) -> TrackId {
    text.parse().unwrap()
}

fn whole(media: &Media) -> impl Iterator<Item = &Track> {
    media.tracks().iter()
}

/// All samples of a track as its specification says, presentation times from `shift` on.
fn specified(
    track: &TrackSpec,
    position: u32,
    offset: i64,
    shift: i64,
) -> Vec<(i64, bool, Vec<u8>)> {
    let expand = |runs: &[(u32, i64)]| -> Vec<i64> {
        runs.iter().flat_map(|run| std::iter::repeat_n(run.1, run.0 as usize)).collect()
    };
    let durations: Vec<_> = track.durations.iter().map(|run| (run.0, i64::from(run.1))).collect();
    let offsets: Vec<_> = track.offsets.iter().map(|run| (run.0, i64::from(run.1))).collect();
    let (durations, offsets) = (expand(&durations), expand(&offsets));
    let mut dts = 0;
    (0..track.sizes.len())
        .map(|number| {
            let pts = dts + offsets.get(number).unwrap_or(&0) + shift + offset;
            dts += durations[number];
            let sync = track.sync.as_ref().is_none_or(|list| list.contains(&(number as u32 + 1)));
            let stamp = (position << 28 | number as u32).to_be_bytes();
            let bytes = stamp.into_iter().cycle().take(track.sizes[number] as usize).collect();
            (pts, sync, bytes)
        })
        .collect()
}

/// How many samples of a track are presented: up to the last that starts more than half a
/// millisecond before the end of its edit list, or is over half a millisecond after it.
fn presented(track: &TrackSpec) -> usize {
    let all = specified(track, 0, 0, 0);
    let durations: Vec<_> =
        track.durations.iter().flat_map(|run| vec![i64::from(run.1); run.0 as usize]).collect();
    let ends = || all.iter().zip(&durations).map(|(sample, duration)| sample.0 + duration);
    let Some((duration, start, _)) = track.edits.last() else { return all.len() };
    if *duration == 0 || ends().max() <= Some(*start) {
        return all.len();
    }
    // In half milliseconds.
    let after_end =
        |ticks: i64| (ticks - start) * 2_000 - *duration as i64 * 2 * i64::from(track.timescale);
    let half = i64::from(track.timescale);
    let stays = |(start, end): (i64, i64)| {
        after_end(start) < -half || (after_end(start) < half && after_end(end) <= half)
    };
    let starts = all.iter().map(|sample| sample.0);
    starts.zip(ends()).rposition(stays).map_or(all.len(), |last| last + 1)
}

fn check(file: &FileSpec, options: &Options, shifts: &[i64]) -> Media {
    let files = vec![file.bytes()];
    let media = media(&files, options);
    for track in whole(&media) {
        let position =
            file.tracks.iter().position(|spec| spec.number == track.source_track).unwrap();
        let offset = i64::from(media.start_offset_seconds()) * i64::from(track.timescale.get());
        let expected = specified(&file.tracks[position], position as u32, offset, shifts[position]);
        let seen = play(&media, track.id, &files);
        let seen: Vec<_> = seen.into_iter().map(|s| (s.pts as i64, s.sync, s.bytes)).collect();
        assert_eq!(seen, expected, "{}", track.id);
    }
    media
}

fn options(millis: u64) -> Options {
    let mut options = Options::default();
    options.target_duration = Duration::from_millis(millis);
    options
}

#[test]
fn sound_is_cut_where_the_picture_is() {
    // 10 s of both, a sync sample each second, sound with 1,024 samples of priming.
    let mut sound = TrackSpec::audio(470, 300);
    sound.edits = vec![(10_000, 1_024, 1 << 16)];
    let file = FileSpec::new(vec![TrackSpec::video(250, 900, 25), sound]);
    let media = check(&file, &options(2_000), &[0, -1_024]);
    assert_eq!(media.start_offset_seconds(), 1);
    assert_eq!(media.segments().len(), 5);
    let (video, sound) = (media.spans(id("v1")), media.spans(id("a1")));
    for (number, (picture, sound)) in video.iter().zip(sound).enumerate() {
        assert_eq!(picture.start, 12_800 + 25_600 * number as u64);
        assert_eq!(picture.duration, 25_600);
        // The first frame of sound at or after the boundary; the first segment has the priming.
        let boundary = 48_000 + 96_000 * number as u64;
        let expected = if number == 0 {
            48_000 - 1_024
        } else {
            48_000 - 1_024 + (boundary - 48_000 + 1_024).div_ceil(1_024) * 1_024
        };
        assert_eq!(sound.start, expected, "segment {}", number + 1);
    }
    let total: u64 = sound.iter().map(|span| span.duration).sum();
    assert_eq!(total, 470 * 1_024);
    assert_eq!(media.duration().seconds(3).to_string(), "10.005");
}

#[test]
fn samples_after_the_end_of_the_edit_list_are_left_out() {
    // 10 s of both, every other picture decoded before the one that it is shown after. The sound
    // plays to 6.013 s, within its 283rd frame.
    let mut picture = TrackSpec::video(250, 900, 25);
    picture.offsets = (0..125).flat_map(|_| [(1, 1_024), (1, 0)]).collect();
    picture.edits = vec![(6_000, 512, 1 << 16)];
    let mut sound = TrackSpec::audio(470, 300);
    sound.edits = vec![(6_013, 1_024, 1 << 16)];
    let mut file = FileSpec::new(vec![picture, sound]);
    let files = vec![file.bytes()];
    let media = media(&files, &options(2_000));
    assert_eq!(media.segments().len(), 3);
    for (track, position) in [("v1", 0), ("a1", 1)] {
        let seen = play(&media, id(track), &files);
        assert_eq!(seen.len(), presented(&file.tracks[position]), "{track}");
        let expected = specified(&file.tracks[position], position as u32, 0, 0);
        for (seen, expected) in seen.iter().zip(expected) {
            assert_eq!(seen.bytes, expected.2);
        }
    }
    assert_eq!(play(&media, id("v1"), &files).len(), 150);
    assert_eq!(play(&media, id("a1"), &files).len(), 283);
    assert_eq!(media.spans(id("a1")).iter().map(|span| span.duration).sum::<u64>(), 283 * 1_024);
    let report = media.report().to_string();
    assert!(report.contains("100 of its 250 samples come after"), "{report}");
    assert!(report.contains("187 of its 470 samples come after"), "{report}");

    // One picture more: the one that is decoded before it stays, although it comes after the end.
    file.tracks[0].edits = vec![(6_040, 512, 1 << 16)];
    let files = vec![file.bytes()];
    let media = kit::media(&files, &options(2_000));
    assert_eq!(play(&media, id("v1"), &files).len(), 152);
}

#[test]
fn negative_offsets_and_delays_keep_their_times() {
    // ctts version 1: two frames early, as QuickTime and some encoders write it.
    let mut picture = TrackSpec::video(100, 500, 20);
    picture.offsets = (0..25).flat_map(|_| [(1, 0), (1, 1_024), (1, -512), (1, -512)]).collect();
    picture.offsets_version = 1;
    let mut sound = TrackSpec::audio(150, 200);
    // Sound that starts 500 ms after the picture.
    sound.edits = vec![(500, -1, 1 << 16), (3_200, 0, 1 << 16)];
    let file = FileSpec::new(vec![picture, sound]);
    let media = check(&file, &options(1_000), &[0, 24_000]);
    for seen in play(&media, id("v1"), &[file.bytes()]) {
        assert!(seen.pts >= seen.dts);
    }
}

#[test]
fn offsets_without_an_edit_list_start_late_and_stay_so() {
    let mut picture = TrackSpec::video(50, 500, 25);
    picture.offsets = vec![(50, 1_024)];
    let file = FileSpec::new(vec![picture, TrackSpec::audio(94, 100)]);
    let media = check(&file, &Options::default(), &[0, 0]);
    assert_eq!(media.start_offset_seconds(), 0);
    assert_eq!(media.spans(id("v1"))[0].start, 1_024);
    assert_eq!(media.spans(id("a1"))[0].start, 0);
}

#[test]
fn every_form_of_table_is_read() {
    for (wide, compact, version) in [(false, 0, 0), (true, 16, 1), (false, 16, 0), (true, 0, 1)] {
        let mut picture = TrackSpec::video(60, 300, 30);
        picture.wide_chunks = wide;
        picture.compact_sizes = compact;
        picture.wide_edits = version == 1;
        picture.edits = vec![(2_440, 512, 1 << 16)];
        picture.offsets = (0..30).flat_map(|_| [(1, 512), (1, 1_024)]).collect();
        let mut sound = TrackSpec::audio(100, 9);
        sound.sizes = (0..100).map(|number| number % 15 + 1).collect();
        sound.compact_sizes = 4;
        let file = FileSpec::new(vec![sound, picture]);
        check(&file, &Options::default(), &[0, -512]);
    }
}

#[test]
fn reads_are_few_wherever_the_movie_box_is() {
    let mut file = FileSpec::new(vec![TrackSpec::video(20_000, 100, 50)]);
    let bytes = file.bytes();
    assert!(bytes.len() > 1 << 20);
    assert_eq!(index_counted("front", &bytes).unwrap().1, 2);
    file.moov_first = false;
    assert_eq!(index_counted("back", &file.bytes()).unwrap().1, 3);
    file.tracks[0] = TrackSpec::video(100, 10_000, 50);
    assert_eq!(index_counted("small and back", &file.bytes()).unwrap().1, 2);
}

#[test]
fn sound_alone_is_cut_at_multiples_of_the_target() {
    let mut sound = TrackSpec::audio(2_815, 120);
    sound.language = *b"deu";
    let media = check(&FileSpec::new(vec![sound]), &Options::default(), &[0]);
    let spans = media.spans(id("a1"));
    assert_eq!(spans.len(), 15);
    for (number, span) in spans.iter().enumerate() {
        let aim = 192_000 * number as u64;
        assert!(span.start.abs_diff(aim) <= 512, "{} is near {aim}", span.start);
    }
    let track = media.track(id("a1")).unwrap();
    assert_eq!(track.language.as_deref(), Some("de"));
    assert_eq!(track.codec, "mp4a.40.2");
    assert_eq!(track.audio().map(|sound| (sound.channels, sound.sample_rate)), Some((2, 48_000)));
}

#[test]
fn sound_that_outlasts_the_picture_gets_segments_of_its_own() {
    // 4 s of picture, 12 s of sound.
    let file = FileSpec::new(vec![TrackSpec::video(100, 400, 25), TrackSpec::audio(563, 100)]);
    let media = check(&file, &options(2_000), &[0, 0]);
    assert_eq!(media.segment_count(id("v1")), 2);
    assert_eq!(media.segment_count(id("a1")), 6);
    assert!(media.segment(id("v1"), 3).is_none());
    assert!(media.segment(id("a1"), 0).is_none());
    assert!(media.segment(id("a2"), 1).is_none());
}

#[test]
fn sound_that_starts_late_has_empty_segments_before() {
    let mut sound = TrackSpec::audio(200, 100);
    sound.edits = vec![(5_000, -1, 1 << 16), (4_266, 0, 1 << 16)];
    let file = FileSpec::new(vec![TrackSpec::video(250, 400, 25), sound]);
    let media = check(&file, &options(2_000), &[0, 240_000]);
    let samples: Vec<_> = media.spans(id("a1")).iter().map(|span| span.samples).collect();
    assert_eq!(samples[..2], [0, 0]);
    assert!(samples[2] > 0);
    assert!(media.report().to_string().contains("2 of the segments"), "{}", media.report());
}

#[test]
fn renditions_are_cut_alike() {
    let rendition = |gop| {
        let mut sound = TrackSpec::audio(470, 100);
        sound.language = *b"eng";
        FileSpec::new(vec![TrackSpec::video(250, 300, gop), sound]).bytes()
    };
    // The second has twice the sync samples, the third shares one in five of the first's.
    let files = vec![rendition(50), rendition(25), rendition(250)];
    let media = media(&files, &options(2_000));
    let ids: Vec<_> = whole(&media).map(|track| track.id.to_string()).collect();
    assert_eq!(ids, ["v1", "v2", "a1"], "the same sound is taken once");
    assert_eq!(media.tracks()[1].source, 1);
    let starts = |track: &str| -> Vec<u64> {
        media.spans(id(track)).iter().map(|span| span.start).collect()
    };
    assert_eq!(starts("v1"), starts("v2"));
    assert_eq!(starts("v1").len(), 5);
    assert!(media.report().to_string().contains("too few of its sync samples"));
    for track in ["v1", "v2"] {
        for number in 1..=5 {
            let bytes = send(&media.segment(id(track), number).unwrap(), &files);
            assert!(read(&bytes).tracks[0].1[0].sync, "{track} {number}");
        }
    }
}

/// Sync samples coincide where they are less than half a frame apart: 20 ms at 25 pictures a second.
#[test]
fn sync_samples_coincide_within_half_a_frame() {
    let film = |delay: i64| {
        let mut video = TrackSpec::video(250, 300, 50);
        // In a timescale of its own, and earlier by so many milliseconds.
        (video.timescale, video.durations) = (90_000, vec![(250, 3_600)]);
        video.edits = vec![(0, 90 * delay, 1 << 16)];
        FileSpec::new(vec![video]).bytes()
    };
    let first = FileSpec::new(vec![TrackSpec::video(250, 300, 50)]).bytes();
    for (delay, together) in [(0, true), (19, true), (21, false)] {
        let media = media(&[first.clone(), film(delay)], &options(2_000));
        let renditions = media.tracks().iter().filter(|track| track.is_video()).count();
        assert_eq!(renditions == 2, together, "{delay} ms");
        let left = media.report().to_string().contains("too few of its sync samples");
        assert_eq!(left, !together, "{delay} ms: {}", media.report());
    }
}

#[test]
fn a_rendition_of_another_duration_is_told() {
    let film = |count| FileSpec::new(vec![TrackSpec::video(count, 300, 50)]).bytes();
    for (count, told) in [(250, false), (251, false), (260, true), (200, true)] {
        let report = media(&[film(250), film(count)], &options(2_000)).report().to_string();
        let words = format!(
            "it ends at {}.{:03} s, the first rendition at 10.000 s",
            count / 25,
            count % 25 * 40
        );
        assert_eq!(report.contains(&words), told, "{count}: {report}");
    }
}

/// RFC 8216bis §4.4.3.1: no EXTINF, rounded, is longer than the target duration.
#[test]
fn a_long_group_of_pictures_raises_the_target_duration() {
    let film = |gop| vec![FileSpec::new(vec![TrackSpec::video(500, 300, gop)]).bytes()];
    let told = |files: &[Vec<u8>]| {
        let media = media(files, &options(4_000));
        let presentation = Presentation::new("film", Arc::new(media));
        let list = presentation.resource("v1.m3u8").unwrap();
        let text = String::from_utf8(make(&presentation, list, files).unwrap()).unwrap();
        let number = |line: &str| line.split([':', ',']).nth(1).unwrap().to_owned();
        let target = text.lines().find(|line| line.contains("TARGETDURATION")).map(number);
        (
            target.unwrap(),
            text.lines().filter(|line| line.starts_with("#EXTINF")).map(number).collect::<Vec<_>>(),
        )
    };
    let (target, durations) = told(&film(50));
    assert_eq!((target.as_str(), durations.len()), ("4", 5));
    let (target, durations) = told(&film(225));
    assert_eq!(target, "9");
    assert_eq!(durations, ["9.000", "9.000", "2.000"].map(|long| format!("{long}000")));
}

#[test]
fn the_version_is_that_of_all_sources_and_of_the_cutting() {
    let file = FileSpec::new(vec![TrackSpec::video(50, 300, 25)]).bytes();
    let with = |name: &str, millis| {
        let index = Arc::new(index(name, &file).unwrap());
        Media::new(vec![index], &options(millis)).unwrap().version()
    };
    assert_eq!(with("a", 4_000), with("a", 4_000));
    assert_ne!(with("a", 4_000), with("b", 4_000));
    assert_ne!(with("a", 4_000), with("a", 2_000));
}

#[test]
fn the_init_segment_is_read_back() {
    let file = FileSpec::new(vec![TrackSpec::video(50, 300, 25), TrackSpec::audio(94, 100)]);
    let files = vec![file.bytes()];
    let media = media(&files, &Options::default());
    for track in whole(&media) {
        let bytes = send(&media.init(track.id).unwrap(), &files);
        let boxes = top_level(&bytes);
        assert_eq!(boxes.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), ["ftyp", "moov"]);
        let moov = Moov::decode(&mut &bytes[boxes[1].1..]).unwrap();
        let [trak] = moov.trak.as_slice() else { panic!("one track") };
        assert!(trak.edts.is_none());
        assert_eq!(trak.mdia.mdhd.timescale, track.timescale.get());
        assert_eq!(moov.mvex.unwrap().trex[0].track_id, trak.tkhd.track_id);
        assert_eq!(trak.mdia.minf.stbl.stsd.codecs.len(), 1);
        if let Some(video) = track.video() {
            assert_eq!((trak.tkhd.width.integer(), trak.tkhd.height.integer()), (1280, 720));
            assert_eq!((video.display_width, video.display_height), (1280, 720));
            assert_eq!(video.frame_rate, Some((25, 1)));
        }
    }
}

#[test]
fn faults_that_can_be_known_are_known_at_once() {
    let good = FileSpec::new(vec![TrackSpec::video(50, 300, 25)]);
    let error = |change: &dyn Fn(&mut TrackSpec)| {
        let mut file = good.clone();
        change(&mut file.tracks[0]);
        index("bad", &file.bytes()).map(|_| ()).unwrap_err().to_string()
    };
    assert!(error(&|track| track.durations = vec![(49, 512)]).contains("stts"));
    assert!(error(&|track| track.durations = vec![(51, 512)]).contains("stts"));
    assert!(error(&|track| track.offsets = vec![(49, 512)]).contains("ctts"));
    assert!(error(&|track| track.sync = Some(vec![51])).contains("stss"));
    assert!(error(&|track| track.sync = Some(vec![2, 1])).contains("stss"));

    let bytes = good.bytes();
    let cut = &bytes[..bytes.len() - 1];
    assert!(matches!(index("cut", cut), Err(Error::Truncated { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_sample_comes_out_once_in_order(
        file in any_file(),
        millis in 100..5_000_u64,
    ) {
        let files = vec![file.bytes()];
        let media = media(&files, &options(millis));
        for track in media.sources()[0].tracks() {
            let all: Vec<_> = track.samples().iter().collect();
            for from in 0..all.len() {
                let some: Vec<_> = track.samples().range(from as u32..from as u32 + 9).collect();
                prop_assert_eq!(&some[..], &all[from..all.len().min(from + 9)]);
                prop_assert_eq!(track.samples().at_or_after(all[from].dts), from as u32);
                prop_assert_eq!(track.samples().at_or_after(all[from].dts + 1), from as u32 + 1);
            }
        }
        for track in whole(&media) {
            let position = track.source_track as usize - 1;
            let mut listed = media.sources()[0].tracks().iter();
            let listed = listed.find(|it| it.number() == track.source_track).unwrap();
            if listed.samples().count() as usize != file.tracks[position].sizes.len() {
                // What lies before its edit list is left out: see edit_lists.rs.
                continue;
            }
            let count = presented(&file.tracks[position]);
            let expected: Vec<u8> = specified(&file.tracks[position], position as u32, 0, 0)
                .into_iter()
                .take(count)
                .flat_map(|(_, _, bytes)| bytes)
                .collect();
            let mut copied = Vec::new();
            let mut next = 0;
            for number in 1..=media.segment_count(track.id) {
                let plan = media.segment(track.id, number).unwrap();
                prop_assert_eq!(media.segment_bytes(track.id, number), Some(plan.len));
                let span = media.spans(track.id)[number as usize - 1];
                prop_assert_eq!(span.first_sample, next);
                next += span.samples;
                let plan_again = media.segment(track.id, number).unwrap();
                prop_assert_eq!(&plan, &plan_again);
                for part in &plan.parts {
                    if let Part::Copy(copy) = part {
                        let range = copy.range.start as usize..copy.range.end() as usize;
                        copied.extend_from_slice(&files[0][range]);
                    }
                }
                let segment = read(&send(&plan, &files));
                prop_assert_eq!(segment.tracks[0].1.len() as u32, span.samples);
            }
            prop_assert_eq!(next as usize, count);
            prop_assert_eq!(copied, expected);
        }
    }
}
