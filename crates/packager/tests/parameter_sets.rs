//! Parameter sets in samples (ISO/IEC 14496-15 §5.4.2.1, §8.4.3): a track is called `hvc1` or `avc1`
//! where no sync sample has others than its sample entry, wherever that sample is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod kit;

use std::sync::Arc;

use bytes::Bytes;
use headwater_packager::{
    Error, IndexBuilder, Limits, Media, MediaIndex, Options, Protocol, SourceId, Step,
};
use kit::boxes::{FileSpec, TrackSpec, boxed};
use kit::entries::{PPS, SPS, VPS, hvcc, sample, visual};

/// Parameter sets of 1280x720, High at level 3.1, and another picture parameter set.
const AVC_SPS: &[u8] = &[
    0x67, 0x64, 0, 0x1f, 0xac, 0xd9, 0x40, 0x50, 5, 0xbb, 1, 0x10, 0, 0, 3, 0, 0x10, 0, 0, 3, 3,
    0xc0, 0xf1, 0x83, 0x19, 0x60,
];
const AVC_PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];
const OTHER_AVC_PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc1];
const OTHER_PPS: &[u8] = &[0x44, 0x01, 0xc0, 0x73, 0xc1, 0x8a];

/// A track of `count` pictures, all of them sync samples each second one, whose samples have these
/// units before their slice.
fn film(entry: Vec<u8>, count: u32, units: impl Fn(u32) -> Vec<Vec<u8>>) -> Vec<u8> {
    let samples: Vec<Vec<u8>> = (0..count)
        .map(|number| {
            let units = units(number);
            let mut sample = sample(&units.iter().map(Vec::as_slice).collect::<Vec<_>>());
            if entry[4..8] == *b"avc3" {
                // The slice at its end is HEVC's.
                let slice = sample.len() - 4;
                sample[slice] = 0x65;
            }
            sample
        })
        .collect();
    let mut track = TrackSpec::video(count, 100, 2);
    track.sizes = samples.iter().map(|sample| sample.len() as u32).collect();
    track.entry = Some(entry);
    let mut file = FileSpec::new(vec![track]).bytes();
    let data: usize = samples.iter().map(Vec::len).sum();
    let from = file.len() - data;
    file[from..].copy_from_slice(&samples.concat());
    file
}

fn hev1(change_at: Option<u32>, count: u32) -> Vec<u8> {
    film(visual(*b"hev1", &[hvcc(&[VPS, SPS, PPS])]), count, |number| {
        let pps = if change_at == Some(number) { OTHER_PPS } else { PPS };
        if number % 2 == 0 { vec![VPS.to_vec(), SPS.to_vec(), pps.to_vec()] } else { Vec::new() }
    })
}

/// With `sets`, they are in the sample entry too.
fn avc3(change_at: Option<u32>, sets: bool) -> Vec<u8> {
    let mut record = vec![1, 0x64, 0, 0x1f, 0xff];
    if sets {
        record.extend([0xe1, 0, AVC_SPS.len() as u8]);
        record.extend(AVC_SPS);
        record.extend([1, 0, AVC_PPS.len() as u8]);
        record.extend(AVC_PPS);
    } else {
        record.extend([0xe0, 0]);
    }
    film(visual(*b"avc3", &[boxed(*b"avcC", &record)]), 400, |number| {
        let pps = if change_at == Some(number) { OTHER_AVC_PPS } else { AVC_PPS };
        if number % 2 == 0 { vec![AVC_SPS.to_vec(), pps.to_vec()] } else { Vec::new() }
    })
}

/// Indexes, and counts ranges and the most that were asked for at a time.
fn index(file: &[u8], limits: Limits) -> Result<(MediaIndex, usize, usize), Error> {
    let mut builder = IndexBuilder::new(SourceId::new("x", file.len() as u64, ""), limits);
    let (mut all, mut most) = (0, 0);
    loop {
        match builder.step()? {
            Step::Done(index) => return Ok((index, all, most)),
            Step::Need(ranges) => {
                all += ranges.len();
                most = most.max(ranges.len());
                for range in ranges {
                    let bytes = &file[range.start as usize..range.end() as usize];
                    builder.feed(range, Bytes::copy_from_slice(bytes))?;
                }
            }
        }
    }
}

fn codec_of(file: &[u8], limits: Limits) -> (String, String) {
    let (index, ..) = index(file, limits).unwrap();
    (index.tracks()[0].codec().to_owned(), index.report().to_string())
}

#[test]
fn one_change_in_any_sync_sample_is_seen() {
    let limits = Limits::default();
    let (codec, report) = codec_of(&hev1(None, 600), limits);
    assert_eq!(codec, "hvc1.2.4.L60.90");
    assert!(report.contains("compared in 300 of its 300 sync samples"), "{report}");
    for at in [2, 4, 298, 590, 598] {
        let file = hev1(Some(at), 600);
        let (index, ..) = index(&file, limits).unwrap();
        assert_eq!(index.tracks()[0].codec(), "hev1.2.4.L60.90", "a change in sample {at}");
        let media = Media::new(vec![Arc::new(index)], &Options::default()).unwrap();
        assert!(media.tracks()[0].obstacle(Protocol::HlsCmaf).is_some());
        assert!(!media.report().to_string().contains("compared"), "{}", media.report());
    }
}

#[test]
fn more_sync_samples_than_the_limit_are_compared_here_and_there() {
    let mut limits = Limits::default();
    limits.max_compared_samples = 100;
    let file = hev1(None, 6_000);
    let (found, ranges, at_once) = index(&file, limits).unwrap();
    let report = found.report().to_string();
    assert!(report.contains("compared in 100 of its 3000 sync samples"), "{report}");
    assert!(ranges <= 120, "{ranges} ranges were read");
    assert!(at_once <= 64, "{at_once} at a time");
    // The last is among them.
    assert!(codec_of(&hev1(Some(5_998), 6_000), limits).0.starts_with("hev1"));
}

#[test]
fn what_was_compared_is_in_the_version_where_it_makes_a_difference() {
    let mut few = Limits::default();
    few.max_compared_samples = 2;
    let version = |file: &[u8], limits| {
        let (index, ..) = index(file, limits).unwrap();
        Media::new(vec![Arc::new(index)], &Options::default()).unwrap().version()
    };
    for (same, other) in
        [(hev1(None, 600), hev1(Some(298), 600)), (avc3(None, true), avc3(Some(222), true))]
    {
        assert_eq!(version(&same, few), version(&same, Limits::default()));
        // Two init segments, two URLs.
        assert_ne!(codec_of(&other, few).0, codec_of(&other, Limits::default()).0);
        assert_ne!(version(&other, few), version(&other, Limits::default()));
    }
}

#[test]
fn avc3_is_lifted_to_avc1_unless_its_sets_change() {
    let limits = Limits::default();
    for sets in [true, false] {
        let (codec, report) = codec_of(&avc3(None, sets), limits);
        assert_eq!(codec, "avc1.64001f");
        assert!(report.contains("compared in 200 of its 200 sync samples"), "{report}");
        let (codec, report) = codec_of(&avc3(Some(222), sets), limits);
        assert_eq!(codec, "avc3.64001f");
        assert!(report.contains("change within the stream (avc3)"), "{report}");
    }
    // What is lifted is a sample entry that another reader reads.
    let file = avc3(None, false);
    let media = kit::media(std::slice::from_ref(&file), &Options::default());
    let track = media.tracks()[0].id;
    let init = kit::send(&media.init(track).unwrap(), &[file]);
    let at = init.windows(4).position(|name| name == b"avcC").unwrap();
    let record = &init[at + 4..];
    assert_eq!(record[..8], [1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 26]);
    assert_eq!(&record[8..34], AVC_SPS);
    assert_eq!(record[34..37], [1, 0, 6]);
    assert_eq!(&record[37..43], AVC_PPS);
    assert_eq!(record[43..47], [0xfd, 0xf8, 0xf8, 0], "4:2:0 of 8 bits");
}
