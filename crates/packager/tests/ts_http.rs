//! MPEG-TS over HTTP: playlists, segments, ranges, layouts that are made once, and what FFmpeg
//! reads of it all.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod kit;
mod shell;

use std::path::{Path, PathBuf};

use headwater_packager::{Assets, Packager, Program, Resource, SegmentKey, Wish};
use http::{Method, StatusCode};
use kit::boxes::TrackSpec;
use kit::nal::film_of_units;
use kit::ts::{ClockRules, read};
use shell::{TINY, encode, get, memory, options, packager, request, run};

async fn version(packager: &Packager, asset: &str) -> String {
    packager.presentation(asset).await.ok().unwrap().version().to_string()
}

/// The URLs of the segments that a playlist names.
async fn segments(packager: &Packager, asset: &str, playlist: &str) -> Vec<String> {
    let reply = get(packager, &format!("/{asset}/{playlist}")).await;
    assert_eq!(reply.status, 200, "{playlist}: {}", reply.text());
    let lines = reply.text().lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| format!("/{asset}/{line}")).collect()
}

#[tokio::test]
async fn playlists_of_a_small_asset() {
    let (packager, _) = packager(memory("tiny", TINY));
    let version = version(&packager, "tiny").await;
    for (name, path) in [
        ("multivariant", "main.m3u8?container=ts"),
        ("both", "v1a1.ts.m3u8"),
        ("sound", "a1.ts.m3u8"),
    ] {
        let reply = get(&packager, &format!("/tiny/{path}")).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        assert!(m3u8_rs::parse_playlist_res(&reply.body).is_ok());
        insta::assert_snapshot!(name, reply.text().replace(&version, "VERSION"));
    }
}

#[tokio::test]
async fn segments_answer_whole_and_in_part() {
    let (packager, _) = packager(memory("tiny", TINY));
    let mut all = Vec::new();
    for url in segments(&packager, "tiny", "v1a1.ts.m3u8").await {
        let whole = get(&packager, &url).await;
        assert_eq!(whole.status, 200, "{url}");
        assert_eq!(whole.header("content-type"), "video/mp2t");
        assert_eq!(whole.header("content-length"), whole.body.len().to_string());
        assert!(whole.header("cache-control").contains("immutable"));
        let head = request(&packager, Method::HEAD, &url, &[]).await;
        assert_eq!(head.header("content-length"), whole.header("content-length"));
        for (from, to) in [(0, 0), (100, 700), (5_000, whole.body.len() - 1)] {
            let range = format!("bytes={from}-{to}");
            let part = request(&packager, Method::GET, &url, &[("range", &range)]).await;
            assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
            assert!(part.body == whole.body[from..=to], "{url} {range}");
        }
        all.push(whole.body.to_vec());
    }
    assert!(all.len() > 1);
    assert_eq!(read(&all, ClockRules::All).pes.len(), 2);
    let beyond = format!("/tiny/{}/v1a1/{}.ts", version(&packager, "tiny").await, all.len() + 1);
    assert_eq!(get(&packager, &beyond).await.status, 404);
    assert_eq!(get(&packager, "/tiny/v2a1.ts.m3u8").await.status, 404);
    assert_eq!(get(&packager, "/tiny/0000000000000000/v1a1/1.ts").await.status, 410);
}

#[tokio::test]
async fn a_layout_is_made_once_however_many_ask() {
    let film = film_of_units(2, TrackSpec::video(100, 5_000, 50), None);
    let (packager, _) = packager(memory("film", film.clone()));
    let urls = segments(&packager, "film", "v1.ts.m3u8").await;
    let before = packager.metrics().source_read_bytes.get();
    let mut asks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (packager, url) = (packager.clone(), urls[0].clone());
        asks.spawn(async move { get(&packager, &url).await });
    }
    let replies = asks.join_all().await;
    assert!(replies.iter().all(|reply| reply.status == 200 && reply.body == replies[0].body));
    assert_eq!(packager.metrics().layouts.get(), 1);
    let sent = replies[0].body.len() as u64;
    // Once for the layout and once for each answer.
    assert!(packager.metrics().source_read_bytes.get() - before < 9 * sent);
    assert_eq!(get(&packager, &urls[1]).await.status, 200);
    assert_eq!(packager.metrics().layouts.get(), 2);
}

/// What ffprobe finds in a stream: sizes do not count, since a byte stream is no MP4.
fn times(input: &Path, stream: &str) -> Vec<f64> {
    let mut arguments = vec!["-v", "error", "-select_streams", stream, "-of", "csv=p=0"];
    arguments.extend(["-show_entries", "packet=pts_time"]);
    if input.extension().is_some_and(|extension| extension == "m3u8") {
        arguments.extend(["-allowed_extensions", "ALL"]);
    } else {
        arguments.extend(["-ignore_editlist", "1"]);
    }
    arguments.push(input.to_str().unwrap());
    let lines = run("ffprobe", &arguments);
    let lines = lines.lines().map(|line| line.trim_end_matches(',')).filter(|l| !l.is_empty());
    lines.map(|line| line.parse().unwrap()).collect()
}

#[tokio::test]
async fn ffmpeg_plays_the_playlist_and_its_pictures_are_those_of_the_source() {
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("film.mp4");
    encode(&film, "320x180", 9, 25, "400k");
    let (packager, _) = packager(Assets::from_files([film.clone()]).unwrap());
    let folder = dir.path().join("out");
    for path in ["main.m3u8?container=ts", "v1a1.ts.m3u8"] {
        let reply = get(&packager, &format!("/film/{path}")).await;
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(path.split('?').next().unwrap()), &reply.body).unwrap();
    }
    for url in segments(&packager, "film", "v1a1.ts.m3u8").await {
        let file = folder.join(url.strip_prefix("/film/").unwrap());
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, get(&packager, &url).await.body).unwrap();
    }
    // Sound and picture lie side by side in the file, and are read together.
    let metrics = packager.metrics();
    let (reads, read) = (metrics.source_reads.get(), metrics.source_read_bytes.get());
    assert!(reads <= 4 * 8, "{reads} reads of 5 segments");
    assert!(read * 100 <= std::fs::metadata(&film).unwrap().len() * 105, "{read} bytes");
    let playlist = folder.join("main.m3u8");
    for stream in ["v:0", "a:0"] {
        let (found, expected) = (times(&playlist, stream), times(&film, stream));
        assert_eq!(found.len(), expected.len(), "{stream}");
        let apart = found
            .iter()
            .zip(&expected)
            .map(|(time, source)| ((time - found[0]) - (source - expected[0])).abs());
        assert!(apart.fold(0.0, f64::max) < 0.000_1, "{stream}");
    }
    // The pictures themselves.
    let hashes = |input: &Path| {
        let mut arguments = vec!["-v", "error", "-threads", "1"];
        if input.extension().is_some_and(|extension| extension == "m3u8") {
            arguments.extend(["-allowed_extensions", "ALL"]);
        }
        arguments.extend(["-i", input.to_str().unwrap(), "-map", "0:v", "-f", "framehash", "-"]);
        let text = run("ffmpeg", &arguments);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.rsplit(',').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (found, expected) = (hashes(&playlist), hashes(&film));
    assert_eq!(expected.len(), 225);
    assert!(found == expected);
}

/// One small asset whose segments are encrypted.
fn encrypted(key: SegmentKey) -> Packager {
    let mut options = options(2);
    options.segment_key = Some(key);
    Packager::builder(memory("tiny", TINY)).options(options).build()
}

const KEY: [u8; 16] = *b"0123456789abcdef";

#[tokio::test]
async fn encrypted_segments_are_the_clear_ones_to_openssl() {
    let dir = tempfile::tempdir().unwrap();
    let (clear, _) = packager(memory("tiny", TINY));
    let sealed = encrypted(SegmentKey::from_bytes(&KEY).unwrap());
    let clear_urls = segments(&clear, "tiny", "v1a1.ts.m3u8").await;
    let sealed_urls = segments(&sealed, "tiny", "v1a1.ts.m3u8").await;
    assert_ne!(clear_urls, sealed_urls, "another version");
    for (number, (clear_url, url)) in (1..).zip(clear_urls.iter().zip(&sealed_urls)) {
        let reply = get(&sealed, url).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("content-length"), reply.body.len().to_string());
        let ranged = request(&sealed, Method::GET, url, &[("range", "bytes=5-9")]).await;
        assert!(ranged.status == 200 && ranged.body == reply.body, "never in part");
        let head = request(&sealed, Method::HEAD, url, &[]).await;
        assert_eq!(head.header("content-length"), reply.header("content-length"));
        let (input, output) = (dir.path().join("sealed"), dir.path().join("clear"));
        std::fs::write(&input, &reply.body).unwrap();
        let iv = format!("{number:032x}");
        let mut arguments = vec!["enc", "-d", "-aes-128-cbc", "-nosalt"];
        let key = format!("{:032x}", u128::from_be_bytes(KEY));
        arguments.extend(["-K", &key, "-iv", &iv, "-in", input.to_str().unwrap()]);
        arguments.extend(["-out", output.to_str().unwrap()]);
        run("openssl", &arguments);
        assert!(std::fs::read(&output).unwrap() == get(&clear, clear_url).await.body);
    }
}

#[tokio::test]
async fn encrypted_segments_are_the_same_whichever_is_sent_beside_them() {
    let sealed = encrypted(SegmentKey::from_bytes(&KEY).unwrap());
    let urls = segments(&sealed, "tiny", "v1a1.ts.m3u8").await;
    let mut alone = Vec::new();
    for url in &urls {
        alone.push(get(&sealed, url).await.body);
    }
    // More at a time than there are lanes, and the first of them over and over.
    for together in 2..8 {
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..together {
            let (sealed, urls) = (sealed.clone(), urls.clone());
            tasks.spawn(async move {
                let number = number % urls.len();
                (number, get(&sealed, &urls[number]).await.body)
            });
        }
        while let Some(answer) = tasks.join_next().await {
            let (number, body) = answer.unwrap();
            assert!(body == alone[number], "segment {number} of {together} at a time");
        }
    }
}

#[tokio::test]
async fn an_asset_with_a_key_has_nothing_in_clear() {
    let sealed = encrypted(SegmentKey::from_bytes(&KEY).unwrap());
    let version = version(&sealed, "tiny").await;
    for path in ["v1.m3u8", "manifest.mpd", "time.mpd", "single.m3u8", "v1a1.m3u8", "a1.m3u8"] {
        assert_eq!(get(&sealed, &format!("/tiny/{path}")).await.status, 404, "{path}");
    }
    for path in ["v1/init.mp4", "v1/1.m4s", "v1a1/1.m4s", "v1/track.mp4", "v1.iframes/1.m4s"] {
        assert_eq!(get(&sealed, &format!("/tiny/{version}/{path}")).await.status, 404, "{path}");
    }
    // The multivariant playlist is that of MPEG-TS, whatever is asked for.
    let multivariant = get(&sealed, "/tiny/main.m3u8?container=cmaf").await;
    assert!(multivariant.text().contains("\nv1a1.ts.m3u8\n"), "{}", multivariant.text());
    let playlist = get(&sealed, "/tiny/v1a1.ts.m3u8").await;
    let tag = format!("\n#EXT-X-KEY:METHOD=AES-128,URI=\"{version}/segments.key\"\n");
    assert!(playlist.text().contains(&tag), "{}", playlist.text());
    let key = get(&sealed, &format!("/tiny/{version}/segments.key")).await;
    assert_eq!((&key.body[..], key.header("cache-control")), (&KEY[..], "private, no-store"));
    let (clear, _) = packager(memory("tiny", TINY));
    let version = self::version(&clear, "tiny").await;
    assert_eq!(get(&clear, &format!("/tiny/{version}/segments.key")).await.status, 404);
}

/// Whoever embeds the packager cannot send bytes in clear by mistake: there is no plan of them.
#[tokio::test]
async fn an_asset_with_a_key_has_no_plan_in_clear() {
    let sealed = encrypted(SegmentKey::from_bytes(&KEY).unwrap());
    let presentation = sealed.presentation("tiny").await.unwrap();
    let media = presentation.media();
    let (clear, _) = packager(memory("tiny", TINY));
    let clear = clear.presentation("tiny").await.unwrap();
    let one = std::num::NonZeroU32::MIN;
    let (video, pair) = ("v1".parse().unwrap(), "v1a1".parse().unwrap());
    let program: Program = "v1a1".parse().unwrap();
    for resource in [
        Resource::Init(video),
        Resource::Segment(video, one),
        Resource::SegmentAt(video, media.start_offset_seconds().into()),
        Resource::TrackFile(video),
        Resource::IFrameInit(video),
        Resource::IFrame(video, one),
        Resource::MuxedInit(pair),
        Resource::MuxedSegment(pair, one),
        Resource::TsSegment(program, one),
        Resource::SegmentKey,
    ] {
        assert!(presentation.plan(resource).is_none(), "{resource:?}");
        assert!(presentation.plan_part(resource, 0..1_000).is_none(), "{resource:?}");
        assert!(presentation.len_of_parts(resource).is_none(), "{resource:?}");
    }
    assert!(clear.plan(Resource::TsSegment(program, one)).is_some());
    assert!(clear.plan_part(Resource::TrackFile(video), 0..1_000).is_some());
    assert!(media.init(video).is_none() && media.segment(video, 1).is_none());
    assert!(media.ts_segment(program, one).is_none());
    let tracks = media.download_tracks(Wish::default(), Wish::default()).unwrap();
    assert!(presentation.download(tracks).is_none() && clear.download(tracks).is_some());
    assert!(presentation.plan(Resource::TsPlaylist(program)).is_some(), "it tells no secret");
}

/// An asset of which MPEG-TS carries nothing cannot be encrypted, and says so; of another, the
/// report names what is left out.
#[tokio::test]
async fn what_cannot_be_encrypted_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let sealed = |path: PathBuf| {
        let mut options = options(2);
        options.segment_key = Some(SegmentKey::from_bytes(&KEY).unwrap());
        Packager::builder(Assets::from_files([path]).unwrap()).options(options).build()
    };
    let tone = ["-f", "lavfi", "-i", "sine=frequency=440:duration=4"];
    let encode = |name: &str, arguments: &[&str]| {
        let path = dir.path().join(name);
        let target = path.to_str().unwrap();
        run("ffmpeg", &[&["-v", "error", "-y"], arguments, &["-strict", "-2", target]].concat());
        path
    };
    let path = encode("flac.mp4", &[&tone[..], &["-c:a", "flac"]].concat());
    let reply = get(&sealed(path), "/flac/main.m3u8").await;
    assert_eq!(reply.status, 422);
    assert!(reply.text().contains("only MPEG-TS is encrypted"), "{}", reply.text());

    let two = [&tone[..], &tone, &["-map", "0", "-map", "1", "-c:a:0", "aac", "-c:a:1", "flac"]];
    let path = encode("two.mp4", &two.concat());
    let packager = sealed(path);
    let report = get(&packager, "/two/report.json").await.json();
    let notes = report["notes"].as_array().unwrap();
    let skipped: Vec<_> = notes.iter().filter(|note| note["kind"] == "skipped").collect();
    assert_eq!((skipped.len(), &skipped[0]["track"]), (1, &2.into()), "{notes:?}");
    assert_eq!(get(&packager, "/two/main.m3u8").await.status, 200);
}

#[tokio::test]
async fn the_key_may_be_elsewhere() {
    let key = SegmentKey::from_bytes(&KEY).unwrap().at("https://keys.example/films/1");
    let sealed = encrypted(key);
    let version = version(&sealed, "tiny").await;
    let playlist = get(&sealed, "/tiny/a1.ts.m3u8").await;
    assert!(playlist.text().contains("URI=\"https://keys.example/films/1\""));
    assert_eq!(get(&sealed, &format!("/tiny/{version}/segments.key")).await.status, 404);
}

#[tokio::test]
async fn ffmpeg_plays_encrypted_segments() {
    let dir = tempfile::tempdir().unwrap();
    let sealed = encrypted(SegmentKey::from_bytes(&KEY).unwrap());
    let folder = shell::export(&sealed, "tiny", dir.path()).await;
    let playlist = folder.join("main.m3u8");
    assert_eq!(times(&playlist, "v:0").len(), 144);
    assert!(times(&playlist, "a:0").len() > 280);
}
