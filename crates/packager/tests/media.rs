//! Real files: what comes out has the packets of what went in, at the same times.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests may fail loudly"
)]

mod kit;

use headwater_packager::{Error, Options};
use kit::{Packet, index_counted, media, media_folder, packets, send};

const PROGRESSIVE: [&str; 11] = [
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
];

/// ffprobe gives times rounded to its own time base.
const TOLERANCE: i64 = 1_000_000;

#[test]
fn packets_and_times_are_those_of_the_source() {
    let Some(folder) = media_folder() else { return };
    let scratch = tempfile::tempdir().unwrap();
    for name in PROGRESSIVE {
        let path = folder.join(name);
        let files = vec![std::fs::read(&path).unwrap()];
        let media = media(&files, &Options::default());
        for note in media.report().notes() {
            eprintln!("{name}: {note}");
        }
        let offset = i64::from(media.start_offset_seconds()) * 1_000_000_000;
        for track in media.tracks() {
            let mut bytes = send(&media.init(track.id).unwrap(), &files);
            for number in 1..=media.segment_count(track.id) {
                let plan = media.segment(track.id, number).unwrap();
                assert_eq!(media.segment_bytes(track.id, number), Some(plan.len));
                bytes.extend(send(&plan, &files));
            }
            let out = scratch.path().join(format!("{name}.{}.mp4", track.id));
            std::fs::write(&out, bytes).unwrap();
            let stream = if track.is_video() { "v:0" } else { "a:0" };
            let Some(expected) = packets(&path, stream, &[]) else { return };
            let all = packets(&path, stream, &["-ignore_editlist", "1"]).unwrap();
            let found = packets(&out, stream, &[]).unwrap();
            compare(&format!("{name} {}", track.id), &all, &expected, &found, offset);
        }
    }
}

/// `all` are the source's packets without regard to its edit list: none may be missing. `expected`
/// are those within it, with the times at which they are to be shown.
fn compare(what: &str, all: &[Packet], expected: &[Packet], found: &[Packet], offset: i64) {
    let sizes = |packets: &[Packet]| packets.iter().map(|packet| packet.size).collect::<Vec<_>>();
    assert_eq!(sizes(all), sizes(found), "{what}: packets");
    let wanted = sizes(expected);
    let before = sizes(found)
        .windows(wanted.len())
        .position(|window| window == wanted)
        .unwrap_or_else(|| panic!("{what}: the packets within the edit list are not in a row"));
    if expected.len() < found.len() {
        let after = found.len() - expected.len() - before;
        eprintln!("{what}: {before} packets before and {after} after the edit list's range stay");
    }
    let found = &found[before..before + expected.len()];
    for (number, (source, ours)) in expected.iter().zip(found).enumerate() {
        assert_eq!(source.key, ours.key, "{what}: key flag of packet {number}");
        assert!(
            (ours.pts - offset - source.pts).abs() <= TOLERANCE,
            "{what}: packet {number} is shown at {} ns, should be {}",
            ours.pts - offset,
            source.pts
        );
    }
}

#[test]
fn moov_first_takes_two_reads_and_moov_last_three() {
    let Some(folder) = media_folder() else { return };
    for name in PROGRESSIVE {
        let file = std::fs::read(folder.join(name)).unwrap();
        let (index, reads) = index_counted(name, &file).unwrap();
        let find = |kind: &[u8; 4]| file.windows(4).position(|bytes| bytes == kind).unwrap();
        let most = if find(b"moov") < find(b"mdat") { 2 } else { 3 };
        assert!(reads <= most, "{name}: {reads} reads");
        assert!(index.weight_bytes() > 0);
    }
}

#[test]
fn what_is_not_carried_yet_is_said() {
    let Some(folder) = media_folder() else { return };
    let error = |name: &str| {
        let file = std::fs::read(folder.join(name)).unwrap();
        index_counted(name, &file).map(|(index, _)| index.report().to_string())
    };
    for name in [
        "aac_frag_sidx_60s.mp4",
        "h264_aac_frag_mfra_nosidx.mp4",
        "h264_aac_frag_muxed_clear_8s.mp4",
        "h264_aac_frag_sidx.mp4",
        "h264_frag_sidx_144p_60s.mp4",
    ] {
        assert_eq!(error(name), Err(Error::Fragmented), "{name}");
    }
    assert!(matches!(error("h264_aac_frag_cenc_8s.mp4"), Err(Error::Encrypted { .. })));
    assert!(matches!(error("qt_truncated_596s_moov_only.mp4"), Err(Error::Truncated { .. })));
    for (name, words) in [
        ("vvc_720p_2s.mp4", "codec vvc1 (VVC) is not carried yet"),
        ("opus_prog_1s.mp4", "codec Opus (Opus) is not carried yet"),
        ("eac3_joc_atmos_2s.mp4", "codec ec-3 (E-AC-3) is not carried yet"),
        ("flac_frag.mp4", "codec fLaC (FLAC) is not carried yet"),
    ] {
        match error(name) {
            Err(Error::NoUsableTrack(why)) => assert!(why.contains(words), "{name}: {why}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    for (name, words) in [
        ("hevc_hvc1_aac_elst_bframes.mp4", "codec hvc1 (HEVC) is not carried yet"),
        ("av1_aac_1s.mp4", "codec av01 (AV1) is not carried yet"),
        ("ac3_aac_two_tracks.mp4", "codec ac-3 (AC-3) is not carried yet"),
        ("dovi84_mov_mebx_tracks.mov", "timed metadata (mebx)"),
        ("h264_aac_partially_fragmented.mp4", "movie fragments after it are not read yet"),
    ] {
        let report = error(name).unwrap();
        assert!(report.contains(words), "{name}: {report}");
    }
}
