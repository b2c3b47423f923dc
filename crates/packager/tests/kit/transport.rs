//! Transport streams of an asset, held against its source sample by sample.

use std::num::NonZeroU32;

use headwater_packager::{Media, Pair, Program, Track};

use super::ts::{ClockRules, frames, read, units};
use super::{lay_out, send};

/// Where they lie.
pub const VIDEO: u16 = 0x100;
pub const AUDIO: u16 = 0x101;

/// All segments of a program.
pub fn segments(media: &Media, program: Program, files: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for number in (1..).map_while(NonZeroU32::new) {
        let Some(planned) = media.ts_segment(program, number) else { return all };
        let plan = lay_out(planned, files);
        assert_eq!(plan.content_type, "video/mp2t");
        all.push(send(&plan, files));
    }
    all
}

pub fn program(video: Option<&Track>, audio: Option<&Track>) -> Program {
    match (video, audio) {
        (Some(video), Some(audio)) => Pair::new(video.id, audio.id).unwrap().into(),
        (one, other) => one.or(other).unwrap().id.into(),
    }
}

/// A sample of the source, with times in 90 kHz ticks on the output's timeline.
struct Source {
    bytes: Vec<u8>,
    dts: u64,
    pts: u64,
    sync: bool,
}

/// The samples of a track that are presented.
fn source(media: &Media, track: &Track, files: &[Vec<u8>]) -> Vec<Source> {
    let index = &media.sources()[track.source];
    let samples = index.tracks().iter().find(|t| t.number() == track.source_track).unwrap();
    let span = *media.spans(track.id).iter().find(|span| span.samples > 0).unwrap();
    let count: u32 = media.spans(track.id).iter().map(|span| span.samples).sum();
    let lead = samples.samples().range(0..count).map(|sample| sample.composition_offset).min();
    let lead = i64::from(lead.unwrap().min(0));
    let hertz = i128::from(track.timescale.get());
    let ticks = |time: i64| {
        let time = i128::from(time) + i128::from(span.decode_time);
        u64::try_from((time * 90_000 * 2 + hertz) / (2 * hertz)).unwrap()
    };
    let list = samples.samples().range(0..count).map(|sample| {
        let range = sample.offset as usize..sample.offset as usize + sample.size as usize;
        let bytes = files[track.source][range].to_vec();
        let (dts, pts) = (ticks(sample.dts), ticks(sample.cts() - lead));
        Source { bytes, dts, pts, sync: sample.sync }
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
pub fn check(
    what: &str,
    media: &Media,
    program: Program,
    files: &[Vec<u8>],
    length_size: usize,
    rules: ClockRules,
) {
    let segments = segments(media, program, files);
    let lengths: Vec<_> = segments.iter().map(|segment| segment.len() as u64).collect();
    let told = media.ts_segment_bytes(program).unwrap();
    if length_size == 4 || program.video().is_none() {
        assert_eq!(lengths, told, "{what}: lengths");
    } else {
        assert!(lengths.iter().zip(&told).all(|(len, told)| len <= told), "{lengths:?} {told:?}");
    }
    let stream = read(&segments, rules);
    assert_eq!(stream.tables, segments.len(), "{what}");
    if let Some(id) = program.video() {
        let track = media.track(id).unwrap();
        assert_eq!(stream.kinds[&VIDEO], 0x1b);
        let expected = source(media, track, files);
        let found = &stream.pes[&VIDEO];
        assert_eq!(found.len(), expected.len(), "{what}: pictures");
        for (number, (found, source)) in found.iter().zip(expected).enumerate() {
            let Source { bytes, dts, pts, sync } = source;
            assert_eq!((found.dts, found.pts), (dts, pts), "{what}: picture {number}");
            assert_eq!(found.random_access, sync, "{what}: picture {number}");
            let list = units(&found.payload);
            assert_eq!(list[0], [9, 0xf0], "{what}: a delimiter first");
            let kinds: Vec<u8> = list.iter().map(|unit| unit[0] & 31).collect();
            if found.random_access {
                let slice =
                    kinds.iter().position(|kind| matches!(kind, 1 | 5)).unwrap_or(kinds.len());
                assert!(kinds[..slice].contains(&7) && kinds[..slice].contains(&8), "{kinds:?}");
            } else {
                assert!(!kinds.contains(&5), "{what}: an IDR is a point of random access");
            }
            let mut rest = list;
            rest.retain(|unit| !matches!(unit[0] & 31, 7..=9));
            let same = rest == units(&byte_stream(&bytes, length_size));
            assert!(same, "{what}: the NAL units of picture {number}");
        }
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
                let Source { bytes, dts, .. } = expected.next().expect("no frame too many");
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
pub fn programs(media: &Media) -> Vec<Program> {
    let of = |video: bool| media.tracks().iter().filter(move |track| track.is_video() == video);
    let pairs = of(true).flat_map(|video| of(false).map(move |audio| (Some(video), Some(audio))));
    let alone = media.tracks().iter().map(|track| (Some(track), None));
    let all = pairs.chain(alone).map(|(one, other)| program(one, other));
    // HEVC, for one, has no place in MPEG-TS.
    all.filter(|program| media.ts_segment_bytes(*program).is_some()).collect()
}
