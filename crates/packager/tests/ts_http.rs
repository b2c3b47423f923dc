//! MPEG-TS over HTTP: playlists, segments, ranges, layouts that are made once, and what FFmpeg
//! reads of it all.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod kit;
mod shell;

use std::path::Path;

use headwater_packager::Packager;
use http::{Method, StatusCode};
use kit::boxes::TrackSpec;
use kit::nal::film_of_units;
use kit::ts::read;
use shell::{TINY, encode, get, memory, packager, request, run};

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
    assert_eq!(read(&all).pes.len(), 2);
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
    let (packager, _) = packager(memory("film", std::fs::read(&film).unwrap()));
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
