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
use kit::shared::PROGRESSIVE;
use kit::{compare_with_source, index_counted, media, media_folder};

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
        for track in media.tracks() {
            if !compare_with_source(name, &media, track, &path, &files, scratch.path()) {
                return;
            }
        }
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
        let samples: usize = index.tracks().iter().map(|track| track.samples().iter().len()).sum();
        let weight = index.weight_bytes();
        eprintln!("{name}: {samples} samples, {weight} bytes of index");
        // Sample entries are kept as they are: x265 leaves two kilobytes of words in its own.
        let entries: usize = file
            .windows(4)
            .enumerate()
            .filter(|(_, kind)| kind == b"stsd")
            .map(|(at, _)| u32::from_be_bytes(file[at - 4..at].try_into().unwrap()) as usize)
            .sum();
        assert!(weight <= 4_096 + entries + 8 * samples, "{name}");
    }
}

#[test]
fn what_is_not_carried_yet_is_said() {
    let Some(folder) = media_folder() else { return };
    let error = |name: &str| {
        let file = std::fs::read(folder.join(name)).unwrap();
        index_counted(name, &file).map(|(index, _)| index.report().to_string())
    };
    assert!(matches!(error("qt_truncated_596s_moov_only.mp4"), Err(Error::Truncated { .. })));
    for (name, words) in [
        ("vvc_720p_2s.mp4", "codec vvc1 (VVC) is not carried: transcode it to H.264"),
        (
            "h264_aac_frag_cenc_8s.mp4",
            "track 2: it is encrypted (encv, avc1 within, scheme cenc), and no key is asked \
                 for: decrypt it first",
        ),
    ] {
        match error(name) {
            Err(Error::NoUsableTrack(why)) => assert!(why.contains(words), "{name}: {why}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    let report = error("dovi84_mov_mebx_tracks.mov").unwrap();
    assert!(report.contains("timed metadata (mebx)"), "{report}");
}

#[test]
fn another_reader_finds_the_same_samples() {
    let Some(folder) = media_folder() else { return };
    for name in PROGRESSIVE {
        let file = std::fs::read(folder.join(name)).unwrap();
        let (index, _) = index_counted(name, &file).unwrap();
        let header = mp4::Mp4Reader::read_header(std::io::Cursor::new(&file), file.len() as u64);
        let Ok(mut other) = header else {
            eprintln!("{name}: the other reader refuses it");
            continue;
        };
        for track in index.tracks() {
            let number = track.number();
            assert_eq!(other.sample_count(number).unwrap(), track.samples().count(), "{name}");
            for (at, ours) in (1..).zip(track.samples()) {
                let theirs = other.read_sample(number, at).unwrap().unwrap();
                let what = format!("{name} track {number} sample {at}");
                assert_eq!(theirs.start_time, ours.dts.cast_unsigned(), "{what}");
                assert_eq!(theirs.duration, ours.duration, "{what}");
                assert_eq!(theirs.rendering_offset, ours.composition_offset, "{what}");
                // It takes a missing stss for no sync sample at all, we for all (§8.6.2.1).
                assert!(theirs.is_sync == ours.sync || !track.is_video(), "{what}");
                let range = ours.offset as usize..ours.offset as usize + ours.size as usize;
                assert_eq!(theirs.bytes, file[range], "{what}");
            }
            // Any range is what it is within the whole.
            let all: Vec<_> = track.samples().iter().collect();
            for from in (0..track.samples().count()).step_by(97) {
                let some: Vec<_> = track.samples().range(from..from + 100).collect();
                let end = all.len().min(from as usize + 100);
                assert_eq!(some, all[from as usize..end], "{name} from {from}");
                let dts = all[from as usize].dts;
                assert_eq!(track.samples().at_or_after(dts), from, "{name}");
                assert_eq!(track.samples().at_or_after(dts - 1), from, "{name}");
            }
        }
    }
}

/// Sizes, rates, channels and languages are those that ffprobe gives for these files.
#[test]
fn what_players_are_told() {
    let Some(folder) = media_folder() else { return };
    let told = |name: &str| {
        let files = vec![std::fs::read(folder.join(name)).unwrap()];
        let media = media(&files, &Options::default());
        let mut lines = Vec::new();
        for track in media.tracks() {
            let facts = match (track.video(), track.audio()) {
                (Some(video), _) => format!(
                    "{}x{} shown {}x{} rate {:?}",
                    video.width,
                    video.height,
                    video.display_width,
                    video.display_height,
                    video.frame_rate.unwrap_or_default()
                ),
                (_, Some(audio)) => format!("{} ch {} Hz", audio.channels, audio.sample_rate),
                _ => String::new(),
            };
            let language = track.language.as_deref().unwrap_or("-");
            let segments = media.segment_count(track.id);
            lines.push(format!("{} {} {facts} {language} {segments}", track.id, track.codec));
        }
        lines.join("; ")
    };
    insta::assert_snapshot!(PROGRESSIVE.map(|name| format!("{name}: {}", told(name))).join("\n"), @r"
    ac3_aac_two_tracks.mp4: a1 ac-3 6 ch 48000 Hz - 1; a2 mp4a.40.2 2 ch 48000 Hz - 1
    av1_aac_1s.mp4: v1 av01.0.05M.08 1080x720 shown 1080x720 rate (30000, 1001) - 1; a1 mp4a.40.2 1 ch 44100 Hz - 1
    av1_hdr10_mdcv_clli_1080p.mp4: v1 av01.0.09M.10.0.110.09.16.09.0 1920x1080 shown 1920x1080 rate (60000, 1001) - 1; a1 mp4a.40.2 2 ch 44100 Hz - 1
    bbb_854x480_30s_aac51.mp4: v1 avc1.64001e 854x480 shown 854x480 rate (24, 1) - 4; a1 mp4a.40.2 6 ch 48000 Hz - 4
    dovi84_mov_mebx_tracks.mov: v1 hvc1.2.4.L93.B0 1280x720 shown 720x1280 rate (30, 1) - 1; a1 mp4a.40.2 2 ch 44100 Hz - 1
    eac3_joc_atmos_2s.mp4: a1 ec-3 6 ch 48000 Hz - 1
    fire_720p_vfr_phone.mp4: v1 avc1.420029 1280x720 shown 1280x720 rate (750000, 71393) en 1; a1 mp4a.40.2 1 ch 48000 Hz en 1
    flower_540p_5s_cc0.mp4: v1 avc1.64001f 960x540 shown 960x540 rate (30000, 1001) - 2; a1 mp4a.40.2 2 ch 48000 Hz - 2
    friday_480p_6s_co64_cc0.mp4: v1 avc1.4d401e 640x480 shown 640x480 rate (30, 1) - 2; a1 mp4a.40.2 2 ch 44100 Hz - 2
    h264_4k60_portrait_rotated_co64.mp4: v1 avc1.640033 3840x2160 shown 2160x3840 rate (810000, 13487) en 1; a1 mp4a.40.2 2 ch 48000 Hz en 1
    h264_aac_coverart_mjpeg.m4v: v1 avc1.42c00d 320x180 shown 320x180 rate (24, 1) - 1; a1 mp4a.40.2 2 ch 48000 Hz - 1
    h264_aac_elst_bframes_moovend_240p_10s.mp4: v1 avc1.64000d 320x240 shown 427x240 rate (24, 1) - 2; a1 mp4a.40.2 2 ch 44100 Hz - 2
    h264_aac_noelst_bframes_audio_first_360p_8s.mp4: v1 avc1.64001e 640x360 shown 640x360 rate (30, 1) - 2; a1 mp4a.40.2 2 ch 48000 Hz - 2
    hevc_hvc1_aac_elst_bframes.mp4: v1 hvc1.1.6.L120.90 640x360 shown 640x360 rate (25, 1) - 1; a1 mp4a.40.2 2 ch 44100 Hz - 1
    intel_car_768x432_30s.mp4: v1 avc1.428016 768x432 shown 768x432 rate (25, 2) en 7; a1 mp4a.40.2 2 ch 48000 Hz en 7
    intel_person_768x432_139s.mp4: v1 avc1.4d401f 768x432 shown 768x432 rate (10, 1) en 35
    opus_prog_1s.mp4: a1 opus 2 ch 48000 Hz - 1
    smpte_1080p_10s.mp4: v1 avc1.640028 1920x1080 shown 1920x1080 rate (25, 1) - 2; a1 mp4a.40.2 2 ch 48000 Hz - 2
    ");
}
