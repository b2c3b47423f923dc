//! Whatever file goes in, every form that comes out holds each sample of a track once and in order:
//! segments by number and by time, whole tracks, picture and sound together, I-frames, transport
//! streams, and the file to keep. Another replica makes the same bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod kit;

use std::io::Cursor;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use headwater_packager::{
    Download, Media, Options, Pair, Presentation, Resource, Track, TrackKind, Wish,
};
use kit::odd::any_file;
use kit::transport::{check, programs};
use kit::ts::ClockRules;
use kit::{make, media, nal, seen, send};
use proptest::prelude::*;

/// A sample as the source has it.
#[derive(Debug, PartialEq, Eq)]
struct Sample {
    sync: bool,
    bytes: Vec<u8>,
}

/// The samples of a track that are presented.
fn source(media: &Media, track: &Track, files: &[Vec<u8>]) -> Vec<Sample> {
    let tracks = media.sources()[track.source].tracks().iter();
    let mut found = tracks.filter(|found| found.number() == track.source_track);
    let count = media.spans(track.id).iter().map(|span| span.samples).sum();
    let samples = found.next().unwrap().samples().range(0..count);
    samples
        .map(|sample| {
            let range = sample.offset as usize..sample.offset as usize + sample.size as usize;
            Sample { sync: sample.sync, bytes: files[track.source][range].to_vec() }
        })
        .collect()
}

/// Says where samples differ first: all of them are too much to read.
fn same(what: &str, found: &[Sample], expected: &[Sample]) {
    let differ = found.iter().zip(expected).position(|(found, expected)| found != expected);
    if let Some(place) = differ {
        panic!("{what}: sample {place}: {:?} for {:?}", found[place], expected[place]);
    }
    assert_eq!(found.len(), expected.len(), "{what}: samples");
}

/// The samples of a segment's track of that number; none where it has ended.
fn read(bytes: &[u8], track: u32) -> Vec<Sample> {
    let tracks = seen::read(bytes).tracks.into_iter();
    let samples = tracks.filter(|(number, _)| *number == track).flat_map(|(_, samples)| samples);
    samples.map(|seen| Sample { sync: seen.sync, bytes: seen.bytes }).collect()
}

/// Resources by number from 1, as many as there are.
fn numbered(
    presentation: &Presentation,
    resource: impl Fn(NonZeroU32) -> Resource,
    files: &[Vec<u8>],
) -> Vec<Vec<u8>> {
    let numbers = (1..).map_while(NonZeroU32::new);
    numbers.map_while(|number| make(presentation, resource(number), files)).collect()
}

fn present(files: &[Vec<u8>], millis: u64) -> Presentation {
    let mut options = Options::default();
    options.target_duration = Duration::from_millis(millis);
    Presentation::new("asset", Arc::new(media(files, &options)))
}

fn check_track(presentation: &Presentation, track: &Track, files: &[Vec<u8>]) {
    let (media, id) = (presentation.media(), track.id);
    let expected = source(media, track, files);
    let segments = numbered(presentation, |number| Resource::Segment(id, number), files);
    assert_eq!(segments.len(), media.segment_count(id) as usize);
    let played: Vec<Sample> = segments.iter().flat_map(|segment| read(segment, 1)).collect();
    same(&format!("{id}: segments"), &played, &expected);

    if presentation.resource("time.mpd").is_ok() {
        for (span, segment) in media.spans(id).iter().zip(&segments) {
            let by_time = make(presentation, Resource::SegmentAt(id, span.start), files);
            assert!(by_time.as_ref() == Some(segment), "{id}: the segment at {}", span.start);
        }
    }
    if let Some(whole) = make(presentation, Resource::TrackFile(id), files) {
        assert!(whole.ends_with(&segments.concat()), "{id}: a file of all segments");
        let range = presentation.plan_part(Resource::TrackFile(id), 0..whole.len() as u64);
        assert!(send(&range.unwrap(), files) == whole, "{id}: all of the file");
    }
    if let TrackKind::Video(_) = track.kind {
        let iframes = numbered(presentation, |number| Resource::IFrame(id, number), files);
        let shown: Vec<Sample> = iframes.iter().flat_map(|frame| read(frame, 1)).collect();
        // Those that follow too soon are passed over.
        let mut keys = expected.iter().filter(|sample| sample.sync);
        for (number, frame) in shown.iter().enumerate() {
            assert!(
                keys.any(|key| key == frame),
                "{id}: I-frame {number} is none, or not in order"
            );
        }
        assert_eq!(shown.len(), media.iframe_count(id) as usize, "{id}: I-frames");
        if let Some(whole) = make(presentation, Resource::IFrameFile(id), files) {
            assert!(whole.ends_with(&iframes.concat()), "{id}: a file of all I-frames");
            let range = presentation.plan_part(Resource::IFrameFile(id), 0..whole.len() as u64);
            assert!(send(&range.unwrap(), files) == whole, "{id}: all of their file");
        } else {
            assert!(
                media.growth().is_some() || shown.is_empty(),
                "{id}: its I-frames have no file"
            );
        }
    }
}

fn check_pair(presentation: &Presentation, pair: Pair, files: &[Vec<u8>]) {
    let media = presentation.media();
    let segments = numbered(presentation, |number| Resource::MuxedSegment(pair, number), files);
    for (number, id) in [(1, pair.video()), (2, pair.audio())] {
        let played: Vec<Sample> =
            segments.iter().flat_map(|segment| read(segment, number)).collect();
        let expected = source(media, media.track(id).unwrap(), files);
        same(&format!("{pair}: {id}"), &played, &expected);
    }
}

fn check_download(presentation: &Presentation, media: &Arc<Media>, files: &[Vec<u8>]) {
    let tracks = presentation.media().download_tracks(Wish::Best, Wish::Best).unwrap();
    let download = Download::new(Arc::clone(media), tracks).unwrap();
    let bytes = send(&download.part(0..download.len()), files);
    // Read by another: we would leave out what its edit list does not show.
    let len = bytes.len() as u64;
    let mut copy = mp4::Mp4Reader::read_header(Cursor::new(bytes), len).unwrap();
    for (number, id) in (1..).zip(tracks.video.into_iter().chain(tracks.audio)) {
        let count = copy.sample_count(number).unwrap();
        let found: Vec<Sample> = (1..=count)
            .map(|sample| {
                let sample = copy.read_sample(number, sample).unwrap().unwrap();
                Sample { sync: sample.is_sync, bytes: sample.bytes.to_vec() }
            })
            .collect();
        let expected = source(media, media.track(id).unwrap(), files);
        same(&format!("download: {id}"), &found, &expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 120,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_sample_is_in_every_form_once_in_order(
        file in any_file(),
        length_size in prop_oneof![Just(1_u8), Just(2), Just(4)],
        millis in 100..5_000_u64,
    ) {
        let files = vec![nal::file_of_units(length_size, file)];
        let presentation = present(&files, millis);
        let media = presentation.media();
        for track in media.tracks() {
            check_track(&presentation, track, &files);
        }
        let (pictures, sounds): (Vec<_>, Vec<_>) =
            media.tracks().iter().map(|track| track.id).partition(|id| {
                media.track(*id).unwrap().is_video()
            });
        for (video, audio) in pictures.iter().flat_map(|v| sounds.iter().map(move |a| (*v, *a))) {
            check_pair(&presentation, Pair::new(video, audio).unwrap(), &files);
        }
        for program in programs(media) {
            let (what, size) = (program.to_string(), length_size.into());
            // Samples that last for seconds, or no tick at all, leave the clock no choice.
            check(&what, media, program, &files, size, ClockRules::None);
        }
        check_download(&presentation, &Arc::new(media.clone()), &files);

        // Another replica has other memory, and nothing else that is other.
        let replica = present(&files, millis);
        prop_assert_eq!(replica.version(), presentation.version());
        for resource in presentation.resources() {
            let (ours, theirs) =
                (make(&presentation, resource, &files), make(&replica, resource, &files));
            prop_assert!(ours.is_some() && ours == theirs, "{}", presentation.path(resource));
        }
    }
}
