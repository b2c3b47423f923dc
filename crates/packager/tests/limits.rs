//! Every limit of what a source may cost: what is at it is read, what is one beyond is refused by name.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod kit;

use headwater_packager::{Error, IndexBuilder, Limits, MediaIndex, SourceId, Step};
use kit::boxes::{FileSpec, TrackSpec};
use kit::fragments::FragmentedSpec;

fn index(file: &[u8], limits: Limits) -> Result<MediaIndex, Error> {
    let id = SourceId::new("film.mp4", file.len() as u64, "test");
    let mut builder = IndexBuilder::new(id, limits);
    for _ in 0..10_000 {
        match builder.step()? {
            Step::Done(index) => return Ok(index),
            Step::Need(ranges) => {
                for range in ranges {
                    let bytes = file[range.start as usize..range.end() as usize].to_vec();
                    builder.feed(range, bytes.into())?;
                }
            }
        }
    }
    panic!("the index never ends")
}

/// The longest box of that kind, its header included.
fn longest(file: &[u8], kind: [u8; 4]) -> u64 {
    let at = file.windows(4).enumerate().filter(|(_, bytes)| *bytes == kind);
    let lens = at.map(|(at, _)| u32::from_be_bytes(file[at - 4..at].try_into().unwrap()));
    lens.max().unwrap().into()
}

/// Sets one limit.
type Set = fn(&mut Limits, u64);

/// 2 s of picture and sound.
fn tracks() -> Vec<TrackSpec> {
    vec![TrackSpec::video(50, 300, 25), TrackSpec::audio(94, 100)]
}

#[test]
fn what_is_at_a_limit_is_read_and_what_is_beyond_is_refused() {
    // Longer than the first read, the movie box at its end.
    let mut film = FileSpec::new(vec![TrackSpec::video(50, 30_000, 25), TrackSpec::audio(94, 100)]);
    film.moov_first = false;
    let film = film.bytes();
    let reads = kit::index_counted("film", &film).unwrap().1 as u64;
    assert!(reads > 1, "{reads} reads");
    let fragmented = FragmentedSpec::new(tracks(), 10).bytes();
    let fragments = fragmented.windows(4).filter(|bytes| bytes == b"moof").count() as u64;

    let cases: [(&[u8], &str, u64, Set); 7] = [
        (&film, "bytes of the movie box", longest(&film, *b"moov"), |limits, to| {
            limits.max_moov_bytes = to;
        }),
        (&film, "tracks", 2, |limits, to| limits.max_tracks = to as u32),
        (&film, "samples in one track", 94, |limits, to| limits.max_samples = to as u32),
        (&film, "reads to find the movie box", reads, |limits, to| limits.max_reads = to as u32),
        (&film, "seconds of one track", 3, |limits, to| limits.max_duration_seconds = to as u32),
        (&fragmented, "fragments", fragments, |limits, to| limits.max_fragments = to as u32),
        (
            &fragmented,
            "bytes of one fragment's box",
            longest(&fragmented, *b"moof"),
            |limits, to| {
                limits.max_moof_bytes = to;
            },
        ),
    ];
    for (file, expected, most, set) in cases {
        let with = |to| {
            let mut limits = Limits::default();
            set(&mut limits, to);
            index(file, limits)
        };
        if let Err(error) = with(most) {
            panic!("{expected}: {error} at {most}");
        }
        // Of seconds the next whole number below what there is.
        match with(most - if expected == "seconds of one track" { 2 } else { 1 }) {
            Err(Error::Limit { what, .. }) => assert_eq!(what, expected, "{most}"),
            Err(other) => panic!("{expected}: {other}"),
            Ok(index) => panic!("{expected}: it was read; {}", index.report()),
        }
    }
}

#[test]
fn boxes_without_end_are_not_looked_at() {
    let mut file = kit::boxes::boxed(*b"ftyp", b"isom\0\0\0\0isom");
    let one = kit::boxes::boxed(*b"what", &[]);
    for _ in 0..2_000 {
        file.extend(&one);
    }
    file.extend(FileSpec::new(tracks()).bytes());
    let mut limits = Limits::default();
    (limits.max_boxes, limits.max_reads) = (1_000, 10_000);
    assert!(matches!(index(&file, limits), Err(Error::Limit { what: "boxes", .. })));
    limits.max_boxes = 4_000;
    // Where its samples lie is another matter.
    assert!(!matches!(index(&file, limits), Err(Error::Limit { .. })));
}
