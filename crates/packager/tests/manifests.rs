//! Playlists and MPDs, as others read them.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod shell;

use std::collections::BTreeMap;

use headwater_packager::source::AnySource;
use headwater_packager::{Assets, MemorySource, Packager};
use m3u8_rs::{AlternativeMediaType, MasterPlaylist, MediaPlaylist, MediaPlaylistType};
use quick_xml::events::Event;
use shell::{TINY, encode, get, memory, packager};

/// The text with the version taken out, which every change to the layout changes.
async fn text(packager: &Packager, path: &str) -> String {
    let reply = get(packager, path).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let asset = path.split('/').nth(1).unwrap();
    match packager.presentation(asset).await {
        Ok(presentation) => reply.text().replace(&presentation.version().to_string(), "VERSION"),
        Err(_) => reply.text().to_owned(),
    }
}

#[tokio::test]
async fn the_manifests_of_a_small_asset() {
    let (packager, _) = packager(memory("tiny", TINY));
    insta::assert_snapshot!("multivariant", text(&packager, "/tiny/main.m3u8").await);
    insta::assert_snapshot!("video", text(&packager, "/tiny/v1.m3u8").await);
    insta::assert_snapshot!("audio", text(&packager, "/tiny/a1.m3u8").await);
    insta::assert_snapshot!("mpd", text(&packager, "/tiny/manifest.mpd").await);
    insta::assert_snapshot!("report", text(&packager, "/tiny/report.json").await);
    insta::assert_snapshot!("list", text(&packager, "/").await);
}

async fn multivariant(packager: &Packager, asset: &str) -> MasterPlaylist {
    let reply = get(packager, &format!("/{asset}/main.m3u8?iframes=0")).await;
    m3u8_rs::parse_master_playlist_res(&reply.body).unwrap()
}

async fn playlist(packager: &Packager, asset: &str, uri: &str) -> MediaPlaylist {
    let reply = get(packager, &format!("/{asset}/{uri}")).await;
    m3u8_rs::parse_media_playlist_res(&reply.body).unwrap()
}

/// Lengths in microseconds and in bytes of all segments, as players see them.
async fn measured(packager: &Packager, asset: &str, uri: &str) -> Vec<(u64, u64)> {
    let reply = get(packager, &format!("/{asset}/{uri}")).await;
    let mut segments = Vec::new();
    let mut micros = 0;
    for line in reply.text().lines() {
        if let Some(length) = line.strip_prefix("#EXTINF:") {
            let (whole, fraction) = length.strip_suffix(',').unwrap().split_once('.').unwrap();
            assert_eq!(fraction.len(), 6);
            micros = whole.parse::<u64>().unwrap() * 1_000_000 + fraction.parse::<u64>().unwrap();
        } else if !line.starts_with('#') {
            let segment = get(packager, &format!("/{asset}/{line}")).await;
            segments.push((micros, segment.body.len() as u64));
        }
    }
    segments
}

/// Peak and mean by the words of RFC 8216bis §4.4.6.2, from what was measured.
fn rates(segments: &[(u64, u64)], target: u64) -> (u64, u64) {
    let rate = |run: &[(u64, u64)]| {
        let micros: u64 = run.iter().map(|segment| segment.0).sum();
        let bytes: u64 = run.iter().map(|segment| segment.1).sum();
        (micros, (bytes * 8_000_000).div_ceil(micros))
    };
    let mut peak = 0;
    for from in 0..segments.len() {
        for to in from + 1..=segments.len() {
            let (micros, rate) = rate(&segments[from..to]);
            if (target * 500_000..=target * 1_500_000).contains(&micros) {
                peak = peak.max(rate);
            }
        }
    }
    (peak, rate(segments).1)
}

fn close(stated: u64, measured: u64) {
    // EXTINF has microseconds; the exact times may have more.
    assert!(stated.abs_diff(measured) <= 2 + measured / 100_000, "{stated}, measured {measured}");
}

/// A ladder of three, cut in different encoders' ways: the key frames of one are twice as far
/// apart as those of another.
fn ladder() -> (tempfile::TempDir, Packager) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("show");
    std::fs::create_dir(&folder).unwrap();
    encode(&folder.join("1.mp4"), "160x90", 13, 50, "100k");
    encode(&folder.join("2.mp4"), "320x180", 13, 25, "300k");
    encode(&folder.join("3.mp4"), "640x360", 13, 25, "900k");
    let (packager, _) = packager(Assets::from_dir(dir.path()).unwrap());
    (dir, packager)
}

#[tokio::test]
async fn a_ladder_has_shared_boundaries_and_true_rates() {
    let (_dir, packager) = ladder();
    let master = multivariant(&packager, "show").await;
    assert!(master.independent_segments);
    assert_eq!(master.version, Some(6));
    let sizes: Vec<_> = master
        .variants
        .iter()
        .map(|variant| variant.resolution.map(|size| (size.width, size.height)).unwrap())
        .collect();
    assert_eq!(sizes, [(160, 90), (320, 180), (640, 360)]);
    let [audio] = master.alternatives.as_slice() else { panic!("{:?}", master.alternatives) };
    assert_eq!(audio.media_type, AlternativeMediaType::Audio);
    assert!(audio.default && audio.autoselect);
    assert_eq!(audio.channels.as_deref(), Some("1"));
    let sound = audio.uri.clone().unwrap();
    let target = playlist(&packager, "show", &sound).await.target_duration;
    let (sound_peak, sound_mean) = rates(&measured(&packager, "show", &sound).await, target);
    let mut lengths = Vec::new();
    for variant in &master.variants {
        assert_eq!(variant.audio.as_ref(), Some(&audio.group_id));
        assert_eq!(variant.frame_rate, Some(25.0));
        let codecs = variant.codecs.as_deref().unwrap();
        assert!(codecs.starts_with("avc1.") && codecs.ends_with(",mp4a.40.2"), "{codecs}");
        let segments = measured(&packager, "show", &variant.uri).await;
        let (peak, mean) = rates(&segments, target);
        close(variant.bandwidth, peak + sound_peak);
        close(variant.average_bandwidth.unwrap(), mean + sound_mean);
        lengths.push(segments.iter().map(|segment| segment.0).collect::<Vec<_>>());
    }
    assert!(lengths[0].len() > 4, "{lengths:?}");
    assert_eq!(lengths[0], lengths[1]);
    assert_eq!(lengths[0], lengths[2]);
}

#[tokio::test]
async fn media_playlists_say_what_rfc_8216_wants() {
    let (_dir, packager) = ladder();
    let mut targets = Vec::new();
    for track in ["v1", "v2", "v3", "a1"] {
        let playlist = playlist(&packager, "show", &format!("{track}.m3u8")).await;
        assert_eq!(playlist.version, Some(6));
        assert_eq!(playlist.media_sequence, 1);
        assert_eq!(playlist.playlist_type, Some(MediaPlaylistType::Vod));
        assert!(playlist.end_list && playlist.independent_segments);
        let map = playlist.segments[0].map.as_ref().unwrap();
        assert!(map.uri.ends_with(&format!("/{track}/init.mp4")) && map.byte_range.is_none());
        for (number, segment) in (1..).zip(&playlist.segments) {
            assert!(segment.uri.ends_with(&format!("/{track}/{number}.m4s")), "{}", segment.uri);
            // §4.4.3.1: rounded to the nearest second, none is longer than the target.
            assert!(segment.duration.round() as u64 <= playlist.target_duration);
        }
        // However many are summed, nothing drifts.
        let total: u64 = measured(&packager, "show", &format!("{track}.m3u8"))
            .await
            .iter()
            .map(|segment| segment.0)
            .sum();
        assert!(total.abs_diff(13_000_000) < 45_000, "{track}: {total}");
        targets.push(playlist.target_duration);
    }
    targets.dedup();
    assert_eq!(targets.len(), 1, "§6.2.4: one target duration for all");
}

#[tokio::test]
async fn sound_alone_is_a_variant_without_a_group() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.mp4");
    std::fs::write(&path, TINY).unwrap();
    for (name, keep) in [("sound", "0:a"), ("picture", "0:v")] {
        let to = dir.path().join(format!("{name}.mp4"));
        let (from, to) = (path.to_str().unwrap(), to.to_str().unwrap());
        shell::run("ffmpeg", &["-v", "error", "-i", from, "-map", keep, "-c", "copy", to]);
    }
    let (packager, _) = packager(Assets::from_dir(dir.path()).unwrap());
    let sound = multivariant(&packager, "sound").await;
    assert!(sound.alternatives.is_empty());
    let [variant] = sound.variants.as_slice() else { panic!("{:?}", sound.variants) };
    assert_eq!(variant.codecs.as_deref(), Some("mp4a.40.2"));
    assert_eq!((variant.uri.as_str(), variant.audio.as_ref()), ("a1.m3u8", None));
    assert!(variant.resolution.is_none() && variant.frame_rate.is_none());
    let picture = multivariant(&packager, "picture").await;
    assert!(picture.alternatives.is_empty());
    let [variant] = picture.variants.as_slice() else { panic!("{:?}", picture.variants) };
    assert!(variant.audio.is_none());
    assert!(!variant.codecs.as_deref().unwrap().contains("mp4a"));
}

/// A film of 4 s with sounds of these languages and channel counts.
fn tongues(dir: &std::path::Path, names: &[(&str, &str)]) -> Packager {
    let mut arguments = vec!["-v", "error", "-y", "-f", "lavfi", "-i"];
    arguments.extend(["testsrc2=size=160x90:rate=25:duration=4"]);
    let metadata: Vec<_> = (0..names.len())
        .map(|n| (format!("-metadata:s:a:{n}"), format!("language={}", names[n].0)))
        .collect();
    let channels: Vec<_> = (0..names.len()).map(|n| format!("-ac:a:{n}")).collect();
    for _ in names {
        arguments.extend(["-f", "lavfi", "-i", "sine=frequency=300:duration=4"]);
    }
    let maps: Vec<_> = (0..=names.len()).map(|n| n.to_string()).collect();
    for map in &maps {
        arguments.extend(["-map", map]);
    }
    arguments.extend(["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-c:a", "aac"]);
    arguments.extend(["-pix_fmt", "yuv420p"]);
    for (n, (option, value)) in metadata.iter().enumerate() {
        arguments.extend([option.as_str(), value.as_str(), &channels[n], names[n].1]);
    }
    let path = dir.join("film.mp4");
    arguments.push(path.to_str().unwrap());
    shell::run("ffmpeg", &arguments);
    packager(Assets::from_dir(dir).unwrap()).0
}

#[tokio::test]
async fn sounds_that_lack_a_language_in_51_stay_in_one_group() {
    let dir = tempfile::tempdir().unwrap();
    let packager = tongues(dir.path(), &[("eng", "6"), ("eng", "2"), ("fra", "2")]);
    let master = multivariant(&packager, "film").await;
    assert_eq!(master.variants.len(), 1);
    let sounds: Vec<_> = master
        .alternatives
        .iter()
        .map(|sound| {
            let language = sound.language.as_deref().unwrap();
            let channels = sound.channels.as_deref().unwrap();
            (sound.name.as_str(), language, channels, sound.default, sound.autoselect)
        })
        .collect();
    assert_eq!(
        sounds,
        [
            ("en", "en", "6", true, true),
            ("en 2", "en", "2", false, false),
            ("fr", "fr", "2", false, true),
        ]
    );
    // The costliest of the group is in the variant's rates.
    let target = playlist(&packager, "film", "v1.m3u8").await.target_duration;
    let mut costliest = 0;
    for sound in ["a1.m3u8", "a2.m3u8", "a3.m3u8"] {
        costliest = costliest.max(rates(&measured(&packager, "film", sound).await, target).0);
    }
    let picture = rates(&measured(&packager, "film", "v1.m3u8").await, target).0;
    close(master.variants[0].bandwidth, picture + costliest);
}

#[tokio::test]
async fn channel_counts_with_the_same_languages_are_groups_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let list = [("eng", "2"), ("fra", "2"), ("eng", "6"), ("fra", "6")];
    let packager = tongues(dir.path(), &list);
    let master = multivariant(&packager, "film").await;
    let groups: Vec<_> = master.variants.iter().filter_map(|v| v.audio.clone()).collect();
    assert_eq!(groups, ["audio1", "audio2"]);
    assert!(master.variants[1].bandwidth > master.variants[0].bandwidth);
    assert!(master.alternatives.iter().all(|sound| sound.autoselect));
    let mpd = mpd(&packager, "film").await;
    let sets = mpd.iter().filter(|(name, _)| name == "AdaptationSet");
    let languages: Vec<_> = sets.map(|(_, set)| set.get("lang").map_or("", |l| l)).collect();
    assert_eq!(languages, ["", "en", "fr", "en", "fr"]);
}

/// All elements of an MPD in order, with their attributes.
async fn mpd(packager: &Packager, asset: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let reply = get(packager, &format!("/{asset}/manifest.mpd?iframes=0")).await;
    let mut reader = quick_xml::Reader::from_str(reply.text());
    reader.config_mut().check_end_names = true;
    let mut elements = Vec::new();
    loop {
        match reader.read_event().unwrap() {
            Event::Start(tag) | Event::Empty(tag) => {
                let name = tag.name().as_ref().to_owned();
                let attributes = tag
                    .attributes()
                    .map(|attribute| {
                        let attribute = attribute.unwrap();
                        let key = attribute.key.as_ref().to_owned();
                        let value = attribute.value.into_owned();
                        (key, value)
                    })
                    .collect();
                elements.push((name, attributes));
            }
            Event::Eof => return elements,
            _ => {}
        }
    }
}

#[tokio::test]
async fn an_mpd_names_the_segments_of_hls_and_their_times() {
    let (_dir, packager) = ladder();
    let elements = mpd(&packager, "show").await;
    let find = |name: &'static str| elements.iter().filter(move |(own, _)| own == name);
    let root = &elements[0].1;
    assert_eq!(root["type"], "static");
    assert_eq!(root["profiles"], "urn:mpeg:dash:profile:isoff-live:2011");
    let whole: f64 = root["mediaPresentationDuration"][2..].trim_end_matches('S').parse().unwrap();
    assert!((whole - 13.0).abs() < 0.05, "{whole}");
    let sets: Vec<_> = find("AdaptationSet").collect();
    assert_eq!(sets.len(), 2);
    assert!(sets.iter().all(|(_, set)| set["segmentAlignment"] == "true"));
    assert!(sets.iter().all(|(_, set)| set["startWithSAP"] == "1"));
    let master = multivariant(&packager, "show").await;
    let representations: Vec<_> =
        find("Representation").map(|(_, attributes)| attributes).collect();
    assert_eq!(representations.len(), 4);
    for (own, variant) in representations.iter().zip(&master.variants) {
        let size = variant.resolution.unwrap();
        assert_eq!(own["width"], size.width.to_string());
        assert_eq!(own["frameRate"], "25");
        assert!(variant.codecs.as_deref().unwrap().starts_with(&own["codecs"]));
        // Without the sound, which is a set of its own.
        let target = playlist(&packager, "show", &variant.uri).await.target_duration;
        let (peak, _) = rates(&measured(&packager, "show", &variant.uri).await, target);
        close(own["bandwidth"].parse().unwrap(), peak);
    }
    let presentation = packager.presentation("show").await.ok().unwrap();
    for (_, template) in find("SegmentTemplate") {
        assert_eq!(template["startNumber"], "1");
        let folder = format!("{}/$RepresentationID$", presentation.version());
        assert_eq!(template["media"], format!("{folder}/$Number$.m4s"));
        assert_eq!(template["initialization"], format!("{folder}/init.mp4"));
        let hz: u64 = template["timescale"].parse().unwrap();
        let offset: u64 = template["presentationTimeOffset"].parse().unwrap();
        assert_eq!(offset, hz * u64::from(presentation.media().start_offset_seconds()));
    }
    // As many entries as HLS has segments, and no gap: only the first has a time.
    let mut counts = Vec::new();
    for (name, attributes) in &elements {
        match name.as_str() {
            "SegmentTimeline" => counts.push(0),
            "S" => {
                let repeat: usize = attributes.get("r").map_or(0, |r| r.parse().unwrap());
                let first = *counts.last().unwrap() == 0;
                assert_eq!(attributes.contains_key("t"), first);
                *counts.last_mut().unwrap() += repeat + 1;
            }
            _ => {}
        }
    }
    let segments = |track: &str| {
        let track = track.parse().unwrap();
        presentation.media().segment_count(track) as usize
    };
    assert_eq!(counts, [segments("v1"), segments("a1")]);
}

#[tokio::test]
async fn renditions_of_other_timescales_have_timelines_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a.mp4"), dir.path().join("b.mp4"));
    encode(&a, "160x90", 6, 50, "100k");
    let (from, to) = (a.to_str().unwrap(), b.to_str().unwrap());
    let timescale = ["-c", "copy", "-video_track_timescale", "90000"];
    shell::run("ffmpeg", &[&["-v", "error", "-i", from], &timescale[..], &[to]].concat());
    let sources = [a, b].map(|path| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        AnySource::new(MemorySource::new(name, std::fs::read(path).unwrap()))
    });
    let assets = Assets::from_sources([("two".to_owned(), sources.to_vec())]).unwrap();
    let (packager, _) = packager(assets);
    let elements = mpd(&packager, "two").await;
    let scales: Vec<_> = elements
        .iter()
        .filter(|(name, _)| name == "SegmentTemplate")
        .map(|(_, template)| template["timescale"].clone())
        .collect();
    assert_eq!(scales, ["12800", "90000", "48000"]);
}
