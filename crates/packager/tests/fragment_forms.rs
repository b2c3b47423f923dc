//! Every way in which fragments can be written gives the same samples, once each, in order.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests may fail loudly"
)]

mod kit;

use std::num::NonZeroU32;
use std::sync::Arc;

use headwater_packager::{
    Error, Growth, Media, MediaIndex, Options, Pair, Presentation, Program, Resource,
};
use kit::boxes::TrackSpec;
use kit::fragments::{Base, Finder, FragmentedSpec, at_run, decode_time, duration, stamp};
use kit::{index, index_counted, media, send};
use proptest::prelude::*;

fn picture(count: u32) -> TrackSpec {
    let mut track = TrackSpec::video(count, 30, 25);
    let offsets = [(1, 1_024), (1, 2_048), (1, -512)];
    track.offsets = offsets.into_iter().cycle().take(count as usize).collect();
    track
}

fn two_tracks() -> Vec<TrackSpec> {
    vec![picture(200), TrackSpec::audio(375, 20)]
}

/// The samples of the index are those that were written, up to `complete` of each track.
fn same_samples(spec: &FragmentedSpec, index: &MediaIndex, file: &[u8], complete: &[usize]) {
    for (position, written) in spec.tracks.iter().enumerate() {
        let track = &index.tracks()[position];
        assert_eq!(track.samples().count() as usize, complete[position], "track {position}");
        for (number, sample) in track.samples().iter().enumerate() {
            let what = format!("track {position} sample {number} of {spec:?}");
            assert_eq!(sample.size, written.sizes[number], "{what}");
            assert_eq!(sample.dts.cast_unsigned(), decode_time(written, number), "{what}");
            assert_eq!(sample.duration, duration(written, number), "{what}");
            if !written.offsets.is_empty() {
                assert_eq!(sample.composition_offset, at_run(&written.offsets, number), "{what}");
            }
            let sync = written.sync.as_ref();
            let sync = sync.is_none_or(|all| all.contains(&(number as u32 + 1)));
            assert_eq!(sample.sync, sync, "{what}");
            let range = sample.offset as usize..sample.offset as usize + sample.size as usize;
            assert_eq!(file[range], stamp(position, number, sample.size as usize), "{what}");
        }
    }
}

fn all(spec: &FragmentedSpec) -> Vec<usize> {
    spec.tracks.iter().map(|track| track.sizes.len()).collect()
}

/// All segments of each track together are its samples.
fn same_segments(spec: &FragmentedSpec, file: Vec<u8>) {
    let files = vec![file];
    let media = media(&files, &Options::default());
    for (position, track) in media.tracks().iter().enumerate() {
        let mut found = Vec::new();
        for number in 1..=media.segment_count(track.id) {
            let plan = media.segment(track.id, number).unwrap();
            let bytes = send(&plan, &files);
            let mdat = bytes.windows(4).position(|four| four == b"mdat").unwrap();
            found.extend_from_slice(&bytes[mdat + 4..]);
        }
        let sizes = spec.tracks[position].sizes.iter().enumerate();
        let written: Vec<u8> =
            sizes.flat_map(|(number, size)| stamp(position, number, *size as usize)).collect();
        assert!(found == written, "track {position} of {spec:?}");
    }
}

fn forms() -> impl Strategy<Value = FragmentedSpec> {
    let base = prop_oneof![Just(Base::Moof), Just(Base::Absolute), Just(Base::Implied)];
    let finder = prop_oneof![
        Just(Finder::None),
        Just(Finder::Sidx),
        Just(Finder::SidxEach),
        Just(Finder::Mfra),
        Just(Finder::WrongSidx)
    ];
    let tfdt = prop_oneof![Just(None), Just(Some(0)), Just(Some(1))];
    let bits = any::<(bool, bool, bool, bool)>();
    let shape = (1_u32..120, 0_u32..120, 1_usize..60, 0_usize..90, 1_usize..4);
    (base, finder, tfdt, bits, shape).prop_map(|(base, finder, tfdt, bits, shape)| {
        let (pictures, sounds, samples, in_movie, runs) = shape;
        let mut tracks = vec![picture(pictures)];
        if sounds > 0 {
            tracks.push(TrackSpec::audio(sounds, 20));
        }
        let mut spec = FragmentedSpec::new(tracks, samples);
        let (split, defaults, noise, hybrid) = bits;
        (spec.base, spec.finder, spec.tfdt, spec.runs) = (base, finder, tfdt, runs);
        (spec.split, spec.defaults, spec.noise) = (split, defaults, noise);
        spec.in_movie = if hybrid { in_movie } else { 0 };
        spec
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn every_form_gives_every_sample_once(spec in forms()) {
        let file = spec.bytes();
        let index = index("form", &file).unwrap();
        same_samples(&spec, &index, &file, &all(&spec));
        same_segments(&spec, file);
    }

    /// Wherever a recording is cut, its complete fragments are there, and no more.
    #[test]
    fn a_cut_file_has_its_complete_fragments(spec in forms(), cut in 0.0..1.0_f64) {
        let parts = spec.parts();
        let head = parts[0].len() + if matches!(spec.finder, Finder::Sidx | Finder::WrongSidx) {
            parts[1].len()
        } else {
            0
        };
        let mut file = parts.concat();
        file.truncate(head + ((file.len() - head) as f64 * cut) as usize);
        let fragments = parts.iter().skip_while({
            let mut passed = 0;
            move |part| { passed += part.len(); passed <= head }
        });
        let mut end = head;
        let complete = fragments.take(spec.fragments()).filter(|part| {
            end += part.len();
            end <= file.len()
        }).count();
        let counts: Vec<_> = spec
            .tracks
            .iter()
            .map(|track| track.sizes.len().min(spec.in_movie + complete * spec.samples))
            .collect();
        match index("cut", &file) {
            Ok(index) if counts.iter().all(|count| *count > 0) => {
                same_samples(&spec, &index, &file, &counts);
            }
            Ok(_) => {}
            Err(error) => prop_assert!(counts.iter().all(|count| *count == 0), "{error}"),
        }
    }
}

#[test]
fn the_final_movie_box_counts_where_it_has_all() {
    let mut spec = FragmentedSpec::new(two_tracks(), 50);
    spec.final_movie = true;
    let file = spec.bytes();
    let found = index("final", &file).unwrap();
    same_samples(&spec, &found, &file, &all(&spec));
    // Fragments alone would have warned of nothing either: the edit list of the final box tells.
    spec.tracks[1].edits = vec![(4_000, 1_024, 1 << 16)];
    let file = spec.bytes();
    let found = index("final", &file).unwrap();
    assert_eq!(found.tracks()[1].edits()[0].duration, 4_000, "the end is followed");
}

#[test]
fn indexes_save_reads_and_are_not_believed() {
    let mut tracks = two_tracks();
    tracks[0].sizes = vec![9_000; 200];
    let mut spec = FragmentedSpec::new(tracks, 25);
    let reads = |spec: &FragmentedSpec| {
        let file = spec.bytes();
        let (index, reads) = index_counted("reads", &file).unwrap();
        same_samples(spec, &index, &file, &all(spec));
        reads
    };
    for finder in [Finder::None, Finder::Sidx, Finder::SidxEach, Finder::Mfra, Finder::WrongSidx] {
        spec.finder = finder;
        let reads = reads(&spec);
        eprintln!("{finder:?}: {reads} reads for {} fragments", spec.fragments());
        assert!(reads <= 4 + 2 * spec.fragments());
    }
}

#[test]
fn times_of_a_longer_recording_start_near_zero() {
    let mut spec = FragmentedSpec::new(two_tracks(), 50);
    spec.start = 1_700_000_000;
    let files = vec![spec.bytes()];
    let late = media(&files, &Options::default());
    spec.start = 0;
    let plain = media(&[spec.bytes()], &Options::default());
    assert_eq!(late.segments().boundaries(), plain.segments().boundaries());
    assert!(late.report().to_string().contains("start at 1700000000 s"), "{}", late.report());
}

#[test]
fn a_sample_lasts_until_the_next_fragment() {
    let mut track = picture(50);
    track.offsets = Vec::new();
    track.durations = vec![(24, 512), (1, 1_000), (25, 512)];
    let spec = FragmentedSpec::new(vec![track], 25);
    let file = spec.bytes();
    let index = index("gap", &file).unwrap();
    same_samples(&spec, &index, &file, &[50]);
}

#[test]
fn of_recordings_the_first_sound_stays() {
    let source = |name: &str, size| {
        let mut spec = FragmentedSpec::new(vec![picture(200), TrackSpec::audio(375, size)], 25);
        spec.finder = Finder::None;
        Arc::new(index(name, &spec.bytes()).unwrap())
    };
    // The second has the higher rate, which may be another way round a fragment later.
    let sources = vec![source("low", 20), source("high", 40)];
    assert!(sources.iter().all(|source| source.may_grow()));
    let media = Media::new(sources, &Options::default()).unwrap();
    let sounds: Vec<_> = media.tracks().iter().filter(|track| track.video().is_none()).collect();
    assert_eq!(sounds.len(), 1);
    assert_eq!(sounds[0].source, 0);
}

#[test]
fn segments_that_start_together_have_no_urls_by_time() {
    let paths = |offset: i32| {
        let mut track = TrackSpec::video(300, 30, 25);
        track.sync = Some(vec![1, 101, 201]);
        track.offsets = vec![(101, 0), (1, offset), (198, 0)];
        let file = FragmentedSpec::new(vec![track], 25).bytes();
        let media = media_named("film", &file);
        let spans = media.spans(media.tracks()[0].id);
        assert_eq!(spans.len(), 3);
        let version = media.version();
        let times: Vec<_> =
            spans.iter().map(|span| format!("{version}/v1/t{}.m4s", span.start)).collect();
        let presentation = Presentation::new("film", Arc::new(media));
        let has = |path: &str| presentation.resource(path).is_ok();
        (has("time.mpd"), times.iter().map(|path| has(path)).collect::<Vec<_>>())
    };
    assert_eq!(paths(0), (true, vec![true, true, true]));
    // A picture of the second segment is shown before all of the first.
    assert_eq!(paths(-60_000), (false, vec![false, false, true]));
}

/// The presentation of a recording that has come so far.
fn growing(file: &[u8]) -> Option<Media> {
    let mut index = index("recording", file).ok()?;
    if !index.may_grow() {
        // It has samples in its movie box, and no fragment yet.
        return None;
    }
    index.set_growth(Growth { started: 1_000, changed: 1_010 });
    let media = Media::new(vec![Arc::new(index)], &Options::default());
    match media {
        Ok(media) => Some(media),
        Err(Error::NotYet) => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_published_transport_stream_has_no_end() {
    // Sound goes on for longer after the last picture than the clock may stand still.
    let mut track = TrackSpec::video(400, 30, 25);
    track.sync = Some((1..=400).step_by(96).collect());
    track.offsets = [(1, 3_072), (5, 0)].into_iter().cycle().take(134).collect();
    track.offsets.truncate(133);
    track.offsets.push((1, 3_072));
    let mut spec = FragmentedSpec::new(vec![track, TrackSpec::audio(750, 20)], 25);
    spec.finder = Finder::None;
    let parts = spec.parts();
    let files = vec![parts.concat()];
    let whole = media_named("recording", &files[0]);
    let [video, audio] = whole.tracks() else { panic!("two tracks") };
    let program = Program::from(Pair::new(video.id, audio.id).unwrap());
    let bytes = |media: &Media, number: u32, files: &[Vec<u8>]| {
        let planned = media.ts_segment(program, NonZeroU32::new(number).unwrap()).unwrap();
        send(&planned.ready().unwrap(), files)
    };
    let mut compared = 0;
    for count in 1..=parts.len() {
        let so_far = vec![parts[..count].concat()];
        let Some(media) = growing(&so_far[0]) else { continue };
        let lengths = media.ts_segment_bytes(program).unwrap();
        for (number, len) in (1..).zip(lengths) {
            let now = bytes(&media, number, &so_far);
            assert!(now == bytes(&whole, number, &files), "segment {number} after {count}");
            assert_eq!(now.len() as u64, len);
            compared += 1;
        }
    }
    assert!(compared > 2, "{compared} were published while it grew");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn a_published_segment_never_changes(spec in forms(), gop in 1_u32..150) {
        let mut spec = spec;
        spec.finder = Finder::None;
        let open = gop % 3 == 0;
        let pictures = 400;
        spec.tracks[0] = picture(pictures);
        spec.tracks[0].sync = Some((1..=pictures).step_by(gop as usize).collect());
        if open {
            // The two pictures after a sync sample are shown before it.
            spec.tracks[0].offsets = (0..pictures)
                .map(|number| (1, match number % gop { 0 => 1_536, 1 | 2 => 0, _ => 512 }))
                .collect();
        }
        if let Some(sound) = spec.tracks.get_mut(1) {
            *sound = TrackSpec::audio(750, 20);
        }
        let parts = spec.parts();
        let files = vec![parts.concat()];
        let whole = media_named("recording", &files[0]);
        let mut published = 0;
        for count in 1..=parts.len() {
            let so_far = vec![parts[..count].concat()];
            let Some(media) = growing(&so_far[0]) else { continue };
            prop_assert_eq!(media.version(), whole.version());
            // Taken for finished here, just what is published now is settled.
            let stalled = media_named("recording", &so_far[0]);
            let stalled = Presentation::new("recording", Arc::new(stalled));
            for track in media.tracks() {
                let segments = media.segment_count(track.id);
                let settled = (1..).map_while(NonZeroU32::new).take_while(|number| {
                    stalled.is_settled(Resource::Segment(track.id, *number))
                });
                prop_assert_eq!(settled.count(), segments as usize);
                prop_assert!(segments > 0 && segments <= whole.segment_count(track.id));
                published = published.max(segments);
                for number in 1..=segments {
                    let now = send(&media.segment(track.id, number).unwrap(), &so_far);
                    let then = send(&whole.segment(track.id, number).unwrap(), &files);
                    prop_assert!(now == then, "segment {number} of {} after {count}", track.id);
                    let program = Program::from(track.id);
                    let ts = |media: &Media, files: &[Vec<u8>]| {
                        let number = NonZeroU32::new(number)?;
                        Some(send(&media.ts_segment(program, number)?.ready()?, files))
                    };
                    let (now, then) = (ts(&media, &so_far), ts(&whole, &files));
                    prop_assert!(now == then, "TS segment {number} of {program} after {count}");
                }
            }
        }
        // It was watched while it grew.
        prop_assert!(published > 0 || gop > 100 || spec.samples > 60 || parts.len() < 5);
    }
}

fn media_named(name: &str, file: &[u8]) -> Media {
    Media::new(vec![Arc::new(index(name, file).unwrap())], &Options::default()).unwrap()
}
