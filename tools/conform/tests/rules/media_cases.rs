//! A breach of each rule about fragmented MP4.

use crate::Case;
use crate::mp4::atom;
use crate::worlds::{dash, fragments, hls};

pub const CASES: &[Case] = &[
    ("mp4-boxes", hls, |w| w.segment("v1", 2, |s| s.cut = 7)),
    ("mp4-boxes", hls, |w| w.put("v1/init.mp4", "video/mp4", atom(b"ftyp", b"cmfc\0\0\0\0"))),
    ("mp4-boxes", dash, |w| w.segment("a1", 2, |s| s.after = vec![0; 5])),
    ("mp4-header-order", hls, |w| w.init("v1", |i| i.moov_first = true)),
    ("mp4-extends", hls, |w| w.init("v1", |i| i.trex = false)),
    ("mp4-no-own-samples", hls, |w| w.init("v1", |i| i.own_samples = 1)),
    ("mp4-sample-entry", hls, |w| w.init("v1", |i| i.config = false)),
    ("mp4-sample-entry", hls, |w| w.init("a1", |i| i.timescale = 0)),
    ("mp4-track-ids", hls, |w| w.segment("v1", 2, |s| s.track = 7)),
    ("mp4-relative-addresses", hls, |w| w.segment("v1", 2, |s| s.base_is_moof = false)),
    ("mp4-decode-time", hls, |w| w.segment("v1", 2, |s| s.tfdt = None)),
    ("mp4-data-inside", hls, |w| w.segment("v1", 2, |s| s.astray = 10)),
    ("mp4-not-empty", hls, |w| w.segment("v1", 2, |s| s.samples.clear())),
    ("mp4-not-empty", hls, |w| {
        w.segment("v1", 2, |s| s.samples[3..6].iter_mut().for_each(|s| s.0 = 0))
    }),
    ("mp4-continuous", hls, |w| w.segment("v1", 2, |s| s.tfdt = Some(76_801))),
    ("mp4-fragments-continuous", fragments, |w| w.segment("v1", 2, |s| s.second = Some(1))),
    ("mp4-sync-start", hls, |w| w.segment("v1", 2, |s| s.samples[0].2 = false)),
    ("mp4-sync-true", hls, |w| w.segment("v1", 2, |s| s.nal = Some(0x41))),
    ("mp4-sequence", hls, |w| w.segment("v1", 2, |s| s.sequence = 1)),
    ("cmaf-edit-list", hls, |w| w.init("v1", |i| i.edits = vec![(0, 100), (0, 200)])),
    ("cmaf-brand", hls, |w| w.init("v1", |i| i.brands = vec![*b"iso6"])),
    ("cmaf-minor-version", hls, |w| w.init("v1", |i| i.minor_version = 512)),
    ("cmaf-one-track", hls, |w| w.init("v1", |i| i.tracks = 2)),
    ("cmaf-one-track", hls, |w| w.segment("v1", 2, |s| s.trafs = 2)),
    ("cmaf-chunk", hls, |w| w.segment("v1", 2, |s| s.between = atom(b"free", &[]))),
    ("cmaf-run-offset", hls, |w| w.segment("v1", 2, |s| s.run_offset = false)),
    ("cmaf-offsets", fragments, |w| w.segment("v1", 2, |s| s.run_version = 0)),
    ("cmaf-no-file-metadata", hls, |w| w.init("v1", |i| i.file_meta = true)),
];
