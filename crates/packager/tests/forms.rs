//! Every form of an asset beside the common ones: byte ranges, times, I-frames, picture and sound
//! together. FFmpeg finds in each what is in the source.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod shell;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use headwater_packager::{Assets, Packager, Pair, Presentation, Resource};
use http::{Method, StatusCode};
use serde_json::Value;
use shell::{TINY, encode, get, memory, packager, request, run};

async fn presentation(packager: &Packager, asset: &str) -> Presentation {
    packager.presentation(asset).await.ok().unwrap()
}

/// The text with the version taken out, which every change to the layout changes.
async fn text(packager: &Packager, path: &str) -> String {
    let reply = get(packager, path).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    let asset = path.split('/').nth(1).unwrap();
    let version = presentation(packager, asset).await.version().to_string();
    reply.text().replace(&version, "VERSION")
}

#[tokio::test]
async fn the_forms_of_a_small_asset() {
    let (packager, _) = packager(memory("tiny", TINY));
    for (name, path) in [
        ("single_multivariant", "single.m3u8"),
        ("single_video", "v1.single.m3u8"),
        ("iframes", "v1.iframes.m3u8"),
        ("muxed_multivariant", "main.m3u8?container=muxed"),
        ("muxed", "v1a1.m3u8"),
        ("time_mpd", "time.mpd"),
        ("ondemand_mpd", "ondemand.mpd"),
    ] {
        insta::assert_snapshot!(name, text(&packager, &format!("/tiny/{path}")).await);
    }
}

/// Everything that an asset answers with.
fn everything(presentation: &Presentation) -> Vec<Resource> {
    let media = presentation.media();
    let mut all = vec![
        Resource::Multivariant,
        Resource::SingleMultivariant,
        Resource::Mpd,
        Resource::TimeMpd,
        Resource::OnDemandMpd,
        Resource::Report,
    ];
    let numbers = |count: u32| (1..=count).filter_map(NonZeroU32::new);
    for track in media.tracks() {
        let id = track.id;
        all.extend([Resource::MediaPlaylist(id), Resource::SinglePlaylist(id)]);
        all.extend([Resource::Init(id), Resource::TrackFile(id)]);
        all.extend(numbers(media.segment_count(id)).map(|n| Resource::Segment(id, n)));
        all.extend(media.spans(id).iter().map(|span| Resource::SegmentAt(id, span.start)));
        if media.iframe_count(id) > 0 {
            all.extend([Resource::IFramePlaylist(id), Resource::IFrameInit(id)]);
            all.push(Resource::IFrameFile(id));
            all.extend(numbers(media.iframe_count(id)).map(|n| Resource::IFrame(id, n)));
        }
        for other in media.tracks() {
            if let Some(pair) = Pair::new(id, other.id) {
                let count = media.segment_count(id).max(media.segment_count(other.id));
                all.extend([Resource::MuxedPlaylist(pair), Resource::MuxedInit(pair)]);
                all.extend(numbers(count).map(|n| Resource::MuxedSegment(pair, n)));
            }
        }
    }
    all
}

/// Writes everything below `dir`, and the muxed multivariant playlist as `muxed.m3u8`.
async fn export(packager: &Packager, name: &str, dir: &Path) -> PathBuf {
    let presentation = presentation(packager, name).await;
    let folder = dir.join(name);
    let mut paths: Vec<(String, String)> = everything(&presentation)
        .into_iter()
        .map(|resource| presentation.path(resource))
        .map(|path| (path.clone(), path))
        .collect();
    paths.push(("main.m3u8?container=muxed".to_owned(), "muxed.m3u8".to_owned()));
    for (path, file) in paths {
        let url = format!("/{}/{path}", headwater_packager::assets::encode_name(name));
        let reply = get(packager, &url).await;
        assert_eq!(reply.status, 200, "{url}: {}", String::from_utf8_lossy(&reply.body));
        let file = folder.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, &reply.body).unwrap();
    }
    folder
}

/// The packets of a stream in order, those of sound before time zero and what an edit list hides
/// included.
#[derive(Debug, Clone, PartialEq)]
struct Packets {
    /// A hash over the bytes, and whether it is a key frame.
    contents: Vec<(String, bool)>,
    /// Presentation times in seconds.
    times: Vec<f64>,
}

fn packets(input: &Path, stream: &str) -> Packets {
    let mut arguments = vec!["-v", "error", "-select_streams", stream, "-of", "json"];
    arguments.extend(["-show_data_hash", "md5"]);
    arguments.extend(["-show_entries", "packet=pts_time,flags,data_hash"]);
    match input.extension().and_then(|extension| extension.to_str()) {
        Some("m3u8") => arguments.extend(["-allowed_extensions", "ALL"]),
        Some("mp4" | "m4v") => arguments.extend(["-ignore_editlist", "1"]),
        _ => {}
    }
    arguments.push(input.to_str().unwrap());
    let document: Value = serde_json::from_str(&run("ffprobe", &arguments)).unwrap();
    let (mut contents, mut times) = (Vec::new(), Vec::new());
    for packet in document["packets"].as_array().unwrap() {
        let hash = packet["data_hash"].as_str().unwrap().to_owned();
        contents.push((hash, packet["flags"].as_str().unwrap().starts_with('K')));
        times.push(packet["pts_time"].as_str().unwrap().parse().unwrap());
    }
    Packets { contents, times }
}

impl Packets {
    /// Their times from the first one's on are the same within a millisecond.
    fn paced_as(&self, other: &Self) -> bool {
        let from_first = |times: &[f64]| times.iter().map(|t| t - times[0]).collect::<Vec<_>>();
        let (own, others) = (from_first(&self.times), from_first(&other.times));
        own.len() == others.len() && own.iter().zip(others).all(|(a, b)| (a - b).abs() < 0.001)
    }
}

fn check(source: &Path, folder: &Path) {
    let expected = ["v:0", "a:0"].map(|stream| packets(source, stream));
    for manifest in
        ["main.m3u8", "single.m3u8", "muxed.m3u8", "manifest.mpd", "time.mpd", "ondemand.mpd"]
    {
        let path = folder.join(manifest);
        let found = ["v:0", "a:0"].map(|stream| packets(&path, stream));
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.contents, expected.contents, "{manifest}");
            assert!(found.paced_as(expected), "{manifest}: {:?}", found.times);
        }
    }
    let keys: Vec<_> = expected[0].contents.iter().filter(|packet| packet.1).cloned().collect();
    assert_eq!(packets(&folder.join("v1.iframes.m3u8"), "v:0").contents, keys);
    // Both in one read: sound and picture start as far apart as with each in its own segments.
    let apart = |manifest: &str| {
        let path = folder.join(manifest);
        packets(&path, "v:0").times[0] - packets(&path, "a:0").times[0]
    };
    assert!((apart("muxed.m3u8") - apart("main.m3u8")).abs() < 0.001);
}

#[tokio::test]
async fn ffmpeg_finds_the_source_in_every_form() {
    let dir = tempfile::tempdir().unwrap();
    let films = dir.path().join("films");
    std::fs::create_dir(&films).unwrap();
    std::fs::write(films.join("tiny.mp4"), TINY).unwrap();
    encode(&films.join("film.mp4"), "320x180", 9, 25, "400k");
    let (packager, _) = packager(Assets::from_dir(&films).unwrap());
    for name in ["tiny", "film"] {
        let folder = export(&packager, name, dir.path()).await;
        check(&films.join(format!("{name}.mp4")), &folder);
    }
}

#[tokio::test]
async fn real_media_read_as_their_source_in_every_form() {
    let Some(media) = shell::media() else { return };
    let dir = tempfile::tempdir().unwrap();
    let films = dir.path().join("films");
    std::fs::create_dir(&films).unwrap();
    for file in ["bbb_854x480_30s_aac51.mp4", "friday_480p_6s_co64_cc0.mp4"] {
        std::os::unix::fs::symlink(media.join(file), films.join(file)).unwrap();
    }
    let (packager, _) = packager(Assets::from_dir(&films).unwrap());
    for name in packager.names().await {
        let folder = export(&packager, &name, dir.path()).await;
        check(&films.join(format!("{name}.mp4")), &folder);
    }
}

#[tokio::test]
async fn a_track_s_file_is_its_init_segment_its_index_and_its_segments() {
    let (packager, _) = packager(memory("tiny", TINY));
    let presentation = presentation(&packager, "tiny").await;
    for track in ["v1", "a1"] {
        let urls = shell::segment_urls(&packager, "tiny", track).await;
        let mut pieces = Vec::new();
        for url in &urls {
            pieces.push(get(&packager, url).await.body);
        }
        let file = get(&packager, &urls[0].replace("init.mp4", "track.mp4")).await.body;
        assert!(file.starts_with(&pieces[0]));
        let index = &file[pieces[0].len()..];
        let index_len = u32::from_be_bytes(index[..4].try_into().unwrap()) as usize;
        assert_eq!(&index[4..8], b"sidx");
        assert_eq!(file[pieces[0].len() + index_len..], pieces[1..].concat());
        // Its entries are the segments' lengths and durations (ISO/IEC 14496-12 §8.16.3).
        let word = |at: usize| u32::from_be_bytes(index[at..at + 4].try_into().unwrap());
        assert_eq!(word(36) as usize, pieces.len() - 1);
        let id = track.parse().unwrap();
        for (number, (piece, span)) in
            pieces[1..].iter().zip(presentation.media().spans(id)).enumerate()
        {
            assert_eq!(word(40 + 12 * number) as usize, piece.len());
            assert_eq!(u64::from(word(44 + 12 * number)), span.duration);
            assert_eq!(word(48 + 12 * number), 0x9000_0000);
        }
    }
}

#[tokio::test]
async fn any_range_of_a_track_s_file_is_that_part_of_it() {
    let (packager, _) = packager(memory("tiny", TINY));
    let url = format!(
        "/tiny/{}",
        presentation(&packager, "tiny").await.path(Resource::TrackFile("v1".parse().unwrap()))
    );
    let whole = get(&packager, &url).await;
    let len = whole.body.len();
    assert_eq!(whole.header("content-length"), len.to_string());
    assert_eq!(whole.header("content-type"), "video/mp4");
    assert_eq!(whole.header("accept-ranges"), "bytes");
    let mut seed = 7_usize;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % len
    };
    for _ in 0..200 {
        let (a, b) = (next(), next());
        let (from, to) = (a.min(b), a.max(b));
        let range = format!("bytes={from}-{to}");
        let part = request(&packager, Method::GET, &url, &[("range", &range)]).await;
        assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
        assert_eq!(part.header("content-range"), format!("bytes {from}-{to}/{len}"));
        assert_eq!(part.body, whole.body.slice(from..=to), "{range}");
    }
    let beyond =
        request(&packager, Method::GET, &url, &[("range", &format!("bytes={len}-"))]).await;
    assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);
    let head = request(&packager, Method::HEAD, &url, &[]).await;
    assert_eq!((head.header("content-length"), head.body.len()), (&*len.to_string(), 0));
}

#[tokio::test]
async fn byte_ranges_of_playlists_are_the_segments() {
    let (packager, _) = packager(memory("tiny", TINY));
    for track in ["v1", "a1"] {
        let single = get(&packager, &format!("/tiny/{track}.single.m3u8")).await;
        let single = m3u8_rs::parse_media_playlist_res(&single.body).unwrap();
        let urls = shell::segment_urls(&packager, "tiny", track).await;
        assert_eq!(single.segments.len(), urls.len() - 1);
        let map = single.segments[0].map.clone().unwrap();
        let ranges = std::iter::once((map.uri, map.byte_range.unwrap()))
            .chain(single.segments.iter().map(|s| (s.uri.clone(), s.byte_range.clone().unwrap())));
        for ((uri, range), url) in ranges.zip(&urls) {
            let from = range.offset.unwrap();
            let header = format!("bytes={from}-{}", from + range.length - 1);
            let headers = [("range", header.as_str())];
            let part = request(&packager, Method::GET, &format!("/tiny/{uri}"), &headers).await;
            assert_eq!(part.body, get(&packager, url).await.body, "{url}");
        }
    }
}

#[tokio::test]
async fn segments_by_time_are_the_segments_by_number() {
    let (packager, _) = packager(memory("tiny", TINY));
    let presentation = presentation(&packager, "tiny").await;
    for track in presentation.media().tracks() {
        for (number, span) in (1..).zip(presentation.media().spans(track.id)) {
            let numbered = Resource::Segment(track.id, NonZeroU32::new(number).unwrap());
            let timed = Resource::SegmentAt(track.id, span.start);
            assert_eq!(
                presentation.plan(timed).unwrap().ready(),
                presentation.plan(numbered).unwrap().ready()
            );
            let between = presentation.path(Resource::SegmentAt(track.id, span.start + 1));
            assert_eq!(get(&packager, &format!("/tiny/{between}")).await.status, 404);
        }
    }
}

/// Peak and mean by the words of RFC 8216bis §4.4.6.2 of a media playlist, from what it names.
async fn measured(packager: &Packager, asset: &str, playlist: &str) -> (u64, u64) {
    let reply = get(packager, &format!("/{asset}/{playlist}")).await;
    let list = m3u8_rs::parse_media_playlist_res(&reply.body).unwrap();
    let mut segments = Vec::new();
    for segment in &list.segments {
        let body = get(packager, &format!("/{asset}/{}", segment.uri)).await.body;
        segments.push((f64::from(segment.duration), body.len() as f64 * 8.0));
    }
    let target = list.target_duration as f64;
    let rate = |run: &[(f64, f64)]| {
        let seconds: f64 = run.iter().map(|segment| segment.0).sum();
        (seconds, run.iter().map(|segment| segment.1).sum::<f64>() / seconds)
    };
    let mut peak = 0.0_f64;
    for from in 0..segments.len() {
        for to in from + 1..=segments.len() {
            let (seconds, rate) = rate(&segments[from..to]);
            if seconds >= target * 0.5 && seconds <= target * 1.5 {
                peak = peak.max(rate);
            }
        }
    }
    (peak.ceil() as u64, rate(&segments).1.ceil() as u64)
}

fn close(stated: u64, measured: u64) {
    assert!(stated.abs_diff(measured) <= 2 + measured / 10_000, "{stated}, measured {measured}");
}

#[tokio::test]
async fn iframe_and_muxed_variants_state_true_rates() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("show");
    std::fs::create_dir(&folder).unwrap();
    encode(&folder.join("1.mp4"), "160x90", 13, 50, "100k");
    encode(&folder.join("2.mp4"), "320x180", 13, 25, "300k");
    let (packager, _) = packager(Assets::from_dir(dir.path()).unwrap());
    let reply = get(&packager, "/show/main.m3u8?container=muxed").await;
    let master = m3u8_rs::parse_master_playlist_res(&reply.body).unwrap();
    assert!(master.alternatives.is_empty());
    let (iframes, variants): (Vec<_>, Vec<_>) =
        master.variants.iter().partition(|variant| variant.is_i_frame);
    assert_eq!(
        variants.iter().map(|v| v.uri.as_str()).collect::<Vec<_>>(),
        ["v1a1.m3u8", "v2a1.m3u8"]
    );
    assert_eq!(
        iframes.iter().map(|v| v.uri.as_str()).collect::<Vec<_>>(),
        ["v1.iframes.m3u8", "v2.iframes.m3u8"]
    );
    for variant in &master.variants {
        let (peak, mean) = measured(&packager, "show", &variant.uri).await;
        close(variant.bandwidth, peak);
        close(variant.average_bandwidth.unwrap(), mean);
        let codecs = variant.codecs.as_deref().unwrap();
        assert_eq!(codecs.contains("mp4a"), !variant.is_i_frame);
    }
    for iframes in iframes {
        let reply = get(&packager, &format!("/show/{}", iframes.uri)).await;
        let list = m3u8_rs::parse_media_playlist_res(&reply.body).unwrap();
        assert!(list.i_frames_only && list.end_list);
        assert_eq!(list.version, Some(5));
        for segment in &list.segments {
            assert!(segment.duration.round() as u64 <= list.target_duration);
        }
        let total: f32 = list.segments.iter().map(|segment| segment.duration).sum();
        assert!((total - 13.0).abs() < 0.05, "{total}");
    }
}

#[tokio::test]
async fn sounds_beside_the_muxed_one_have_playlists_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("film.mp4");
    let mut arguments =
        vec!["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25:duration=4"];
    for _ in 0..2 {
        arguments.extend(["-f", "lavfi", "-i", "sine=duration=4"]);
    }
    arguments.extend(["-map", "0", "-map", "1", "-map", "2", "-c:v", "libx264", "-g", "25"]);
    arguments.extend(["-pix_fmt", "yuv420p", "-c:a", "aac", "-metadata:s:a:0", "language=eng"]);
    arguments.extend(["-metadata:s:a:1", "language=fra", path.to_str().unwrap()]);
    run("ffmpeg", &arguments);
    let (packager, _) = packager(Assets::from_dir(dir.path()).unwrap());
    let reply = get(&packager, "/film/main.m3u8?container=muxed").await;
    let master = m3u8_rs::parse_master_playlist_res(&reply.body).unwrap();
    let sounds: Vec<_> = master
        .alternatives
        .iter()
        .map(|sound| (sound.language.as_deref().unwrap(), sound.uri.as_deref(), sound.default))
        .collect();
    assert_eq!(sounds, [("en", None, true), ("fr", Some("a2.m3u8"), false)]);
    let variant = &master.variants[0];
    assert_eq!((variant.uri.as_str(), variant.audio.as_deref()), ("v1a1.m3u8", Some("audio")));
    let (muxed, _) = measured(&packager, "film", "v1a1.m3u8").await;
    let (other, _) = measured(&packager, "film", "a2.m3u8").await;
    close(variant.bandwidth, muxed + other);
    // An export of this selection holds what it names.
    let mut selection = headwater_packager::Selection::default();
    selection.container = headwater_packager::Container::Muxed;
    let muxed = presentation(&packager, "film").await.select(selection).unwrap();
    let paths: Vec<_> = muxed.resources().map(|resource| muxed.path(resource)).collect();
    assert!(paths.contains(&"v1a1.m3u8".to_owned()) && !paths.contains(&"v1a2.m3u8".to_owned()));
    assert!(paths.iter().any(|path| path.ends_with("/v1a1/2.m4s")));
}

#[tokio::test]
async fn an_mpd_offers_trick_play_beside_each_set_of_pictures() {
    let (packager, _) = packager(memory("tiny", TINY));
    let mpd = text(&packager, "/tiny/manifest.mpd").await;
    assert!(
        mpd.contains(
            "<AdaptationSet id=\"3\" contentType=\"video\" mimeType=\"video/mp4\" \
         segmentAlignment=\"true\" startWithSAP=\"1\" maxPlayoutRate=\"24\" \
         codingDependency=\"false\">\n      \
         <EssentialProperty schemeIdUri=\"http://dashif.org/guidelines/trickmode\" value=\"1\"/>"
        ),
        "{mpd}"
    );
    let without = text(&packager, "/tiny/manifest.mpd?iframes=0").await;
    assert!(!without.contains("trickmode") && !without.contains("iframes"));
    let reply = get(&packager, "/tiny/main.m3u8?iframes=0").await;
    assert!(!reply.text().contains("I-FRAME"));
}

#[tokio::test]
async fn an_export_holds_all_that_its_manifests_name() {
    let dir = tempfile::tempdir().unwrap();
    let (packager, _) = packager(memory("tiny", TINY));
    let folder = shell::export(&packager, "tiny", dir.path()).await;
    let mut named = BTreeMap::new();
    for playlist in ["main.m3u8", "v1.m3u8", "a1.m3u8", "v1.iframes.m3u8"] {
        let text = std::fs::read_to_string(folder.join(playlist)).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let quoted = text.split("URI=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        for uri in lines.chain(quoted) {
            named.insert(uri.to_owned(), folder.join(uri).is_file());
        }
    }
    assert!(named.len() > 15 && named.values().all(|is_there| *is_there), "{named:?}");
}

#[tokio::test]
async fn forms_are_listed_when_asked_for_and_nothing_twice() {
    let (packager, _) = packager(memory("tiny", TINY));
    let presentation = presentation(&packager, "tiny").await;
    let everything: BTreeMap<_, _> = everything(&presentation)
        .into_iter()
        .map(|resource| (presentation.path(resource), resource))
        .collect();
    let list = |segments, times, files| {
        let mut forms = headwater_packager::Forms::default();
        (forms.segments, forms.times, forms.files) = (segments, times, files);
        let paths: Vec<_> =
            presentation.resources_in(forms).map(|found| presentation.path(found)).collect();
        let mut once = paths.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), paths.len(), "{paths:?}");
        assert!(paths.iter().all(|path| everything.contains_key(path)), "{paths:?}");
        once
    };
    let files = list(false, false, true);
    assert!(files.iter().any(|path| path.ends_with("/v1/track.mp4")));
    assert!(
        files.contains(&"ondemand.mpd".to_owned()) && files.contains(&"single.m3u8".to_owned())
    );
    assert!(!files.iter().any(|path| path.ends_with("/v1/1.m4s")));
    let times = list(false, true, false);
    assert!(times.iter().any(|path| path.ends_with("/a1/t46976.m4s")));
    assert!(times.iter().any(|path| path.ends_with("/a1/init.mp4")));
    // All forms together are everything but pairs.
    let muxed = everything.keys().filter(|path| path.contains("v1a1")).count();
    assert_eq!(list(true, true, true).len(), everything.len() - muxed);
}

/// The order of children in the schema of ISO/IEC 23009-1 (DASH-MPD.xsd), as far as they are used:
/// a sequence, so any other order is invalid.
const SCHEMA: [(&str, &[&str]); 7] = [
    ("MPD", &["Period"]),
    ("Period", &["AdaptationSet"]),
    (
        "AdaptationSet",
        &[
            "FramePacking",
            "AudioChannelConfiguration",
            "ContentProtection",
            "OutputProtection",
            "EssentialProperty",
            "SupplementalProperty",
            "InbandEventStream",
            "Switching",
            "RandomAccess",
            "GroupLabel",
            "Label",
            "Accessibility",
            "Role",
            "Rating",
            "Viewpoint",
            "ContentComponent",
            "BaseURL",
            "SegmentBase",
            "SegmentList",
            "SegmentTemplate",
            "Representation",
        ],
    ),
    (
        "Representation",
        &[
            "FramePacking",
            "AudioChannelConfiguration",
            "ContentProtection",
            "EssentialProperty",
            "SupplementalProperty",
            "Label",
            "BaseURL",
            "SegmentBase",
            "SegmentTemplate",
        ],
    ),
    ("SegmentTemplate", &["Initialization", "SegmentTimeline"]),
    ("SegmentTimeline", &["S"]),
    ("SegmentBase", &["Initialization"]),
];

#[tokio::test]
async fn elements_of_mpds_are_in_the_schema_s_order() {
    use quick_xml::events::Event;
    let (packager, _) = packager(memory("tiny", TINY));
    for manifest in ["manifest.mpd", "time.mpd", "ondemand.mpd"] {
        let reply = get(&packager, &format!("/tiny/{manifest}")).await;
        let mut reader = quick_xml::Reader::from_str(reply.text());
        // Each open element with the place of its last child in the schema.
        let mut open: Vec<(String, usize)> = Vec::new();
        let mut seen = 0;
        loop {
            let (name, stays_open) = match reader.read_event().unwrap() {
                Event::Start(tag) => (tag.name().as_ref().to_owned(), true),
                Event::Empty(tag) => (tag.name().as_ref().to_owned(), false),
                Event::End(_) => {
                    open.pop();
                    continue;
                }
                Event::Eof => break,
                _ => continue,
            };
            if let Some((parent, last)) = open.last_mut() {
                let children = SCHEMA.iter().find(|(of, _)| of == parent);
                let (_, children) = children.unwrap_or_else(|| panic!("{parent} has {name}"));
                let place = children.iter().position(|child| *child == name);
                let place = place.unwrap_or_else(|| panic!("{name} in {parent}"));
                assert!(place >= *last, "{manifest}: {name} in {parent}");
                *last = place;
                seen += 1;
            }
            if stays_open {
                open.push((name, 0));
            }
        }
        assert!(seen > 8, "{manifest}");
    }
}
