//! What each codec is called, by which protocol it is carried, and what is said of those that are
//! not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests may fail loudly"
)]

mod kit;

use std::fmt::Write as _;
use std::sync::Arc;

use headwater_packager::{
    Error, Media, Options, Part, Planned, Presentation, Protocol, VideoRange,
};
use kit::boxes::{FileSpec, TrackSpec};
use kit::encoded::CODECS;
use kit::entries::{PPS, SPS, VPS, dec3_joc, dolby_vision, hvcc, sample, sound, visual};
use kit::{compare_with_source, index, index_counted, media, media_folder};
use mp4_atom::{Decode, Moov};

/// A manifest as text.
fn text(media: &Media, path: &str) -> Option<String> {
    let presentation = Presentation::new("asset", Arc::new(media.clone()));
    let resource = presentation.resource(path).ok()?;
    let Some(Planned::Ready(plan)) = presentation.plan(resource) else { panic!("no plan") };
    let parts = plan.parts.iter().map(|part| match part {
        Part::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    });
    Some(parts.collect::<String>().replace(&media.version().to_string(), "VERSION"))
}

/// The lines of both manifests that tell of codecs, and the report.
fn told(media: &Media) -> String {
    let mut out = String::new();
    for line in text(media, "main.m3u8").unwrap_or_default().lines() {
        if line.contains("CODECS=") || line.contains("EXT-X-MEDIA:") {
            writeln!(out, "{line}").unwrap();
        }
    }
    for line in text(media, "manifest.mpd").unwrap().lines().map(str::trim) {
        let wanted = ["<MPD xmlns:", "<Audio", "<Essential", "<Supplemental", "<Representation "];
        if wanted.iter().any(|start| line.starts_with(start)) {
            writeln!(out, "{line}").unwrap();
        }
    }
    for note in media.report().notes() {
        writeln!(out, "{:?}: {note}", note.kind).unwrap();
    }
    out
}

fn media_of(name: &str) -> Option<Media> {
    let file = std::fs::read(media_folder()?.join(name)).unwrap();
    Some(media(&[file], &Options::default()))
}

fn line<'a>(text: &'a str, start: &str) -> &'a str {
    text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}: {text}"))
}

#[test]
fn real_media_in_both_manifests() {
    let Some(folder) = media_folder() else { return };
    let mut all = String::new();
    for name in [
        "ac3_aac_two_tracks.mp4",
        "av1_aac_1s.mp4",
        "av1_hdr10_mdcv_clli_1080p.mp4",
        "dovi84_mov_mebx_tracks.mov",
        "eac3_joc_atmos_2s.mp4",
        "flac_frag.mp4",
        "h264_aac_coverart_mjpeg.m4v",
        "hevc_hvc1_aac_elst_bframes.mp4",
        "opus_prog_1s.mp4",
        "vvc_720p_2s.mp4",
    ] {
        let file = std::fs::read(folder.join(name)).unwrap();
        writeln!(all, "== {name}").unwrap();
        match index(name, &file) {
            Ok(_) => all += &told(&media(&[file], &Options::default())),
            Err(error) => writeln!(all, "{error}").unwrap(),
        }
    }
    insta::assert_snapshot!("real_media", all);
}

/// nginx-vod-module gives AV1 in PQ no `VIDEO-RANGE`.
#[test]
fn av1_hdr10_is_pq() {
    let Some(media) = media_of("av1_hdr10_mdcv_clli_1080p.mp4") else { return };
    let playlist = text(&media, "main.m3u8").unwrap();
    assert!(line(&playlist, "#EXT-X-STREAM-INF").contains(",VIDEO-RANGE=PQ"), "{playlist}");
    // Mastering display and content light go along.
    let init = kit::send(&media.init(media.tracks()[0].id).unwrap(), &[]);
    for kind in [b"colr", b"mdcv", b"clli", b"av1C"] {
        assert!(init.windows(4).any(|bytes| bytes == kind), "{kind:?}");
    }
}

/// nginx-vod-module calls Dolby Vision 8.4 plain HEVC in PQ.
#[test]
fn dolby_vision_8_4_is_hlg_with_a_supplemental_codec() {
    let Some(media) = media_of("dovi84_mov_mebx_tracks.mov") else { return };
    let playlist = text(&media, "main.m3u8").unwrap();
    let variant = line(&playlist, "#EXT-X-STREAM-INF");
    assert!(variant.contains(",SUPPLEMENTAL-CODECS=\"dvh1.08.02/db4h\""), "{variant}");
    assert!(variant.contains(",RESOLUTION=720x1280,VIDEO-RANGE=HLG"), "{variant}");
    let mpd = text(&media, "manifest.mpd").unwrap();
    assert!(mpd.contains("scte214:supplementalCodecs=\"dvh1.08.02\""), "{mpd}");
    // The init segment claims the brand, and has the configuration.
    let init = kit::send(&media.init(media.tracks()[0].id).unwrap(), &[]);
    assert!(init[..40].windows(4).any(|brand| brand == b"db4h"));
    assert!(init.windows(4).any(|kind| kind == b"dvvC"));
}

/// nginx-vod-module lists sounds without pictures as variants without `CHANNELS`.
#[test]
fn sounds_without_a_picture_have_channels() {
    let Some(media) = media_of("ac3_aac_two_tracks.mp4") else { return };
    let playlist = text(&media, "main.m3u8").unwrap();
    let sounds: Vec<_> =
        playlist.lines().filter(|line| line.starts_with("#EXT-X-MEDIA:TYPE=AUDIO")).collect();
    assert_eq!(sounds.len(), 2, "{playlist}");
    assert!(sounds[0].contains(",CHANNELS=\"6\"") && sounds[1].contains(",CHANNELS=\"2\""));
    let atmos = media_of("eac3_joc_atmos_2s.mp4").unwrap();
    assert_eq!(atmos.tracks()[0].audio().unwrap().hls_channels(), "16/JOC");
}

/// nginx-vod-module answers 400 for Opus in HLS.
#[test]
fn opus_is_in_hls_and_the_report_says_what_apple_makes_of_it() {
    let Some(media) = media_of("opus_prog_1s.mp4") else { return };
    assert!(text(&media, "main.m3u8").unwrap().contains("CODECS=\"opus\""));
    assert!(media.report().to_string().contains("Apple's players before iOS 17"));
}

/// A picture with that entry; its first samples hold what `heads` say.
fn picture(entry: Vec<u8>, heads: &[Vec<u8>]) -> Vec<u8> {
    let mut spec = TrackSpec::video(100, 200, 25);
    spec.sizes = vec![200; 100];
    spec.entry = Some(entry);
    let mut bytes = FileSpec::new(vec![spec]).bytes();
    let data = bytes.windows(4).position(|kind| kind == b"mdat").unwrap() + 4;
    for (number, head) in heads.iter().enumerate() {
        // Sync samples are 25 pictures apart.
        let at = data + number * 25 * 200;
        bytes[at..at + head.len()].copy_from_slice(head);
    }
    bytes
}

/// nginx-vod-module serves `hev1` as it is, which Apple's players refuse.
#[test]
fn hev1_becomes_hvc1() {
    let sets = sample(&[VPS, SPS, PPS]);
    for hvcc in [hvcc(&[]), hvcc(&[VPS, SPS, PPS])] {
        let file = picture(visual(*b"hev1", &[hvcc]), &[sets.clone(), sets.clone(), sample(&[])]);
        let (index, reads) = index_counted("hev1", &file).unwrap();
        assert!(reads <= 2 + 8, "{reads} reads: two for the movie box, and eight heads");
        assert_eq!(index.tracks()[0].codec(), "hvc1.2.4.L60.90");
        let media = media(&[file], &Options::default());
        let init = kit::send(&media.init(media.tracks()[0].id).unwrap(), &[]);
        assert!(init.windows(4).any(|kind| kind == b"hvc1"));
        assert!(init.windows(SPS.len()).any(|unit| unit == SPS), "the sets were lifted");
        assert!(text(&media, "main.m3u8").unwrap().contains("CODECS=\"hvc1.2.4.L60.90\""));
    }
}

#[test]
fn hev1_whose_sets_change_is_in_dash_alone() {
    let other = [0x44, 1, 0xc0, 0x73, 0xc1, 0x8a];
    let heads = [sample(&[VPS, SPS, PPS]), sample(&[VPS, SPS, &other])];
    let file = picture(visual(*b"hev1", &[hvcc(&[VPS, SPS, PPS])]), &heads);
    let alone = media(std::slice::from_ref(&file), &Options::default());
    assert_eq!(text(&alone, "main.m3u8"), None, "no playlist of nothing");
    assert_eq!(text(&alone, "v1.m3u8"), None);
    assert!(text(&alone, "manifest.mpd").unwrap().contains("codecs=\"hev1.2.4.L60.90\""));
    assert!(alone.report().to_string().contains("HLS leaves it out: its parameter sets change"));
    let track = &alone.tracks()[0];
    assert!(track.obstacle(Protocol::HlsCmaf).is_some() && track.is_carried_by(Protocol::Dash));
}

#[test]
fn dolby_vision_from_boxes() {
    let told = |kind: &[u8; 4], dolby: Vec<u8>| {
        let entry = visual(*kind, &[hvcc(&[VPS, SPS, PPS]), dolby]);
        told(&media(&[picture(entry, &[sample(&[])])], &Options::default()))
    };
    let all = [
        told(b"dvh1", dolby_vision(*b"dvcC", 5, 6, 0)),
        told(b"dvhe", dolby_vision(*b"dvcC", 5, 6, 0)),
        told(b"hvc1", dolby_vision(*b"dvvC", 8, 6, 1)),
        told(b"hvc1", dolby_vision(*b"dvcC", 7, 6, 6)),
    ];
    insta::assert_snapshot!("dolby_vision", all.join("--\n"));
}

/// A picture in PQ beside one in SDR: other sets, and a player that knows no PQ has a choice.
#[test]
fn high_dynamic_range_is_essential_where_there_is_another_picture() {
    let pq = picture(visual(*b"hvc1", &[hvcc(&[VPS, SPS, PPS])]), &[]);
    let sdr = FileSpec::new(vec![TrackSpec::video(100, 200, 25)]).bytes();
    let both = media(&[sdr, pq], &Options::default());
    let mpd = text(&both, "manifest.mpd").unwrap();
    let essential = "<EssentialProperty schemeIdUri=\"urn:mpeg:mpegB:cicp:TransferCharacteristics\" value=\"16\"/>";
    assert!(mpd.contains(essential), "{mpd}");
    let playlist = text(&both, "main.m3u8").unwrap();
    assert!(playlist.contains("VIDEO-RANGE=SDR") && playlist.contains("VIDEO-RANGE=PQ"));
    assert_eq!(both.tracks()[0].video().unwrap().range, VideoRange::Sdr);
}

#[test]
fn objects_of_dolby_atmos_are_channels() {
    let mut spec = TrackSpec::audio(100, 768);
    spec.durations = vec![(100, 1_536)];
    spec.entry = Some(sound(*b"ec-3", &[dec3_joc()]));
    let media = media(&[FileSpec::new(vec![spec]).bytes()], &Options::default());
    let mpd = text(&media, "manifest.mpd").unwrap();
    for wanted in [
        "audio_channel_configuration:2011\" value=\"F801\"",
        "EC3_ExtensionType:2018\" value=\"JOC\"",
        "EC3_ExtensionComplexityIndex:2018\" value=\"16\"",
    ] {
        assert!(mpd.contains(wanted), "{wanted}: {mpd}");
    }
}

/// What cameras and editors leave is named with what to do; the rest plays.
#[test]
fn what_is_not_carried_is_named() {
    let mut tracks = vec![TrackSpec::video(50, 100, 25)];
    for (number, (kind, video)) in (2..).zip([
        (b"in24", false),
        (b"sowt", false),
        (b"apch", true),
        (b"vvc1", true),
        (b"jpeg", true),
        (b"alac", false),
        (b"mp4v", true),
    ]) {
        let mut spec = if video { TrackSpec::video(50, 9, 1) } else { TrackSpec::audio(90, 9) };
        spec.number = number;
        spec.entry = Some(if video { visual(*kind, &[]) } else { sound(*kind, &[]) });
        tracks.push(spec);
    }
    let media = media(&[FileSpec::new(tracks).bytes()], &Options::default());
    assert_eq!(media.tracks().len(), 1);
    let notes: Vec<_> = media.report().notes().iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(notes.join("\n"), @r"
    source 1: track 2: codec in24 (PCM) is not carried: transcode it to AAC
    source 1: track 3: codec sowt (PCM) is not carried: transcode it to AAC
    source 1: track 4: codec apch (ProRes) is not carried: transcode it to H.264, HEVC or AV1
    source 1: track 5: codec vvc1 (VVC) is not carried: transcode it to H.264, HEVC or AV1
    source 1: track 6: codec jpeg (JPEG) is not carried: transcode it to H.264, HEVC or AV1
    source 1: track 7: codec alac (ALAC) is not carried: transcode it to AAC
    source 1: track 8: codec mp4v.00 (of a rare kind) is not carried: transcode it to H.264, HEVC or AV1
    ");
}

/// A track whose sample entry makes no sense takes nothing from the others.
#[test]
fn a_broken_track_is_left_out() {
    let mut broken = TrackSpec::audio(90, 9);
    broken.entry = Some(sound(*b"mp4a", &[]));
    let file = FileSpec::new(vec![TrackSpec::video(50, 100, 25), broken.clone()]).bytes();
    let media = media(&[file], &Options::default());
    assert_eq!(media.tracks().len(), 1);
    assert!(media.report().to_string().contains("box esds is missing"), "{}", media.report());
    let alone = index("alone", &FileSpec::new(vec![broken]).bytes());
    assert!(matches!(alone, Err(Error::MissingBox { .. })), "{alone:?}");
}

/// Editors write each channel of a sound as a track.
#[test]
fn multi_mono_is_told() {
    let mono = |number| {
        let mut spec = TrackSpec::audio(90, 9);
        spec.number = number;
        let mut entry = sound(*b"in24", &[]);
        entry[25] = 1;
        spec.entry = Some(entry);
        spec
    };
    let file = FileSpec::new(vec![TrackSpec::video(50, 100, 25), mono(2), mono(3)]).bytes();
    let report = media(&[file], &Options::default()).report().to_string();
    assert!(report.contains("2 of its sound tracks have one channel each"), "{report}");
}

/// ISO/IEC 14496-12 §8.3.2: a track that is not enabled is as if it were not there, unless it is one
/// of an alternate group, of which a player chooses.
#[test]
fn what_the_source_disables_is_an_alternative_or_for_people_alone() {
    let sound = |number, enabled, alternate_group| {
        let mut spec = TrackSpec::audio(90, 9);
        (spec.number, spec.enabled, spec.alternate_group) = (number, enabled, alternate_group);
        // Otherwise the second of a language is no automatic choice anyway.
        spec.language = [*b"eng", *b"fra", *b"deu"][number as usize - 2];
        spec
    };
    let said = |sounds: [TrackSpec; 3]| {
        let mut tracks = vec![TrackSpec::video(50, 100, 25)];
        tracks.extend(sounds);
        let media = media(&[FileSpec::new(tracks).bytes()], &Options::default());
        let text = text(&media, "main.m3u8").unwrap();
        let tags = text.lines().filter(|line| line.starts_with("#EXT-X-MEDIA:"));
        let yes = |tag: &str, name: &str| u8::from(tag.contains(&format!("{name}=YES")));
        tags.map(|tag| (yes(tag, "DEFAULT"), yes(tag, "AUTOSELECT"))).collect::<Vec<_>>()
    };
    // One group of alternatives, as FFmpeg writes it.
    let one = said([sound(2, false, 1), sound(3, true, 1), sound(4, false, 1)]);
    assert_eq!(one, [(0, 1), (1, 1), (0, 1)]);
    // Two groups, each with one that is enabled.
    let two = said([sound(2, true, 1), sound(3, false, 2), sound(4, true, 2)]);
    assert_eq!(two, [(1, 1), (0, 1), (0, 1)]);
    // Those of group 0 are no alternatives: one that is disabled is not played unasked.
    let none = said([sound(2, false, 0), sound(3, true, 0), sound(4, true, 0)]);
    assert_eq!(none, [(0, 0), (1, 1), (0, 1)]);
    // Where nothing is enabled, something has to be played.
    let all = said([sound(2, false, 0), sound(3, false, 0), sound(4, false, 7)]);
    assert_eq!(all.iter().filter(|(default, _)| *default == 1).count(), 1);
    assert_eq!(all[2], (1, 1), "the alternative before those that are off");
}

/// What another reader takes the sample entry of an init segment for.
fn read_by_another(init: &[u8]) -> String {
    let moov = init.windows(4).position(|kind| kind == b"moov").unwrap() - 4;
    let moov = Moov::decode(&mut &init[moov..]).unwrap();
    let entry = &moov.trak[0].mdia.minf.stbl.stsd.codecs[0];
    let shown = format!("{entry:?}");
    shown.split(|c: char| !c.is_alphanumeric()).next().unwrap().to_owned()
}

/// Encoders of FFmpeg, in MP4 as it writes it.
#[test]
fn what_ffmpeg_writes_comes_through() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = String::new();
    for recipe in CODECS {
        let Some(path) = recipe.make(folder.path(), &[]) else { return };
        let name = recipe.name;
        let file = std::fs::read(&path).unwrap();
        writeln!(all, "== {name}").unwrap();
        if let Err(error) = index(name, &file) {
            writeln!(all, "{error}").unwrap();
            continue;
        }
        let files = [file];
        let media = media(&files, &Options::default());
        all += &told(&media);
        for track in media.tracks() {
            compare_with_source(name, &media, track, &path, &files, folder.path());
            let init = kit::send(&media.init(track.id).unwrap(), &files);
            writeln!(all, "{}: {}", track.id, read_by_another(&init)).unwrap();
        }
    }
    // Bit rates are the encoders' business.
    let rates = all.split_inclusive(|c: char| !c.is_ascii_digit());
    let mut out = String::new();
    let mut before = String::new();
    for piece in rates {
        let digits = piece.trim_end_matches(|c: char| !c.is_ascii_digit());
        let is_rate = before.ends_with("BANDWIDTH=") || before.ends_with("bandwidth=\"");
        out += if is_rate { "N" } else { digits };
        out += &piece[digits.len()..];
        before.push_str(piece);
    }
    insta::assert_snapshot!("ffmpeg", out);
}
