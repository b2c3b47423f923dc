//! I-frames as MPEG-TS: the same pictures at the same times as in fragmented MP4, read by FFmpeg.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod kit;
mod shell;

use std::collections::BTreeMap;

use headwater_packager::{Assets, Packager, SegmentKey};
use kit::boxes::TrackSpec;
use kit::nal::film_of_units;
use kit::ts::{ClockRules, Pes, read};
use shell::{TINY, encode, get, memory, options, packager, run};

/// The lines of a playlist that name segments, and those that tell their durations.
async fn listed(packager: &Packager, asset: &str, path: &str) -> (Vec<String>, Vec<String>) {
    let reply = get(packager, &format!("/{asset}/{path}")).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    let lines = || reply.text().lines().map(str::to_owned);
    let urls = lines().filter(|line| !line.starts_with('#'));
    (
        urls.map(|url| format!("/{asset}/{url}")).collect(),
        lines().filter(|line| line.starts_with("#EXTINF:")).collect(),
    )
}

/// The one picture of each segment, which is a stream by itself; the counters of all run on.
fn apart(segments: &[Vec<u8>]) -> Vec<Pes> {
    let mut counters = BTreeMap::new();
    for packet in segments.iter().flat_map(|segment| segment.chunks(188)) {
        let (pid, counter) = ((packet[1] & 0x1f, packet[2]), packet[3] & 15);
        if let Some(before) = counters.insert(pid, counter) {
            assert_eq!(counter, (before + 1) & 15, "{pid:x?}");
        }
    }
    let pictures = segments.iter().map(|segment| {
        let mut lists = read(std::slice::from_ref(segment), ClockRules::All).pes.into_values();
        let (mut list, others) = (lists.next().unwrap(), lists.next());
        assert!(list.len() == 1 && others.is_none());
        list.remove(0)
    });
    pictures.collect()
}

#[tokio::test]
async fn they_are_those_of_fragmented_mp4() {
    let (packager, _) = packager(memory("tiny", TINY));
    let playlist = get(&packager, "/tiny/v1.iframes.ts.m3u8").await;
    let head: Vec<&str> = playlist.text().lines().take(7).collect();
    assert_eq!(
        head,
        [
            "#EXTM3U",
            "#EXT-X-VERSION:4",
            "#EXT-X-TARGETDURATION:1",
            "#EXT-X-MEDIA-SEQUENCE:1",
            "#EXT-X-PLAYLIST-TYPE:VOD",
            "#EXT-X-INDEPENDENT-SEGMENTS",
            "#EXT-X-I-FRAMES-ONLY",
        ]
    );
    let (urls, durations) = listed(&packager, "tiny", "v1.iframes.ts.m3u8").await;
    assert_eq!(durations, listed(&packager, "tiny", "v1.iframes.m3u8").await.1);
    let mut all = Vec::new();
    for url in &urls {
        let reply = get(&packager, url).await;
        assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, "video/mp2t"));
        assert_eq!(reply.header("content-length"), reply.body.len().to_string());
        all.push(reply.body.to_vec());
    }
    let pictures = apart(&all);
    assert_eq!((pictures.len(), all.len()), (6, 6));
    for pair in pictures.windows(2) {
        assert_eq!(pair[1].pts - pair[0].pts, 90_000);
    }
    assert!(pictures.iter().all(|picture| picture.random_access && picture.pts == picture.dts));

    // They are pictures of the ordinary segments, at their times.
    let mut whole = Vec::new();
    for url in listed(&packager, "tiny", "v1.ts.m3u8").await.0 {
        whole.push(get(&packager, &url).await.body.to_vec());
    }
    let whole = read(&whole, ClockRules::All);
    for picture in &pictures {
        let same = |other: &&Pes| other.pts == picture.pts;
        let ordinary = whole.pes.values().flatten().find(same).unwrap();
        assert!(ordinary.payload == picture.payload);
    }
    let version = packager.presentation("tiny").await.unwrap().version();
    for (path, status) in [("v1.iframes/7.ts", 404), ("v1.iframes/6.ts", 200)] {
        let url = format!("/tiny/{version}/{path}");
        assert_eq!(get(&packager, &url).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn the_multivariant_playlist_names_them_unless_told_not_to() {
    let (packager, _) = packager(memory("tiny", TINY));
    let main = get(&packager, "/tiny/main.m3u8?container=ts").await;
    let line = main.text().lines().find(|line| line.starts_with("#EXT-X-I-FRAME-STREAM-INF"));
    assert!(line.unwrap().ends_with("URI=\"v1.iframes.ts.m3u8\""), "{}", main.text());
    assert!(main.text().contains("#EXT-X-VERSION:4\n"));
    let rate = line.unwrap().split_once("BANDWIDTH=").unwrap().1.split(',').next().unwrap();
    let (urls, _) = listed(&packager, "tiny", "v1.iframes.ts.m3u8").await;
    let mut largest = 0;
    for url in urls {
        largest = largest.max(get(&packager, &url).await.body.len() * 8);
    }
    assert_eq!(rate.parse::<usize>().unwrap(), largest, "one a second");
    let without = get(&packager, "/tiny/main.m3u8?container=ts&iframes=0").await;
    assert!(!without.text().contains("I-FRAME"));
    assert!(without.text().contains("#EXT-X-VERSION:3\n"));
}

/// What ffprobe says of each frame of a playlist.
fn pictures(playlist: &std::path::Path) -> Vec<String> {
    let path = playlist.to_str().unwrap();
    let mut arguments = vec!["-v", "error", "-allowed_extensions", "ALL", "-of", "csv=p=0"];
    arguments.extend(["-show_entries", "frame=pict_type", path]);
    let said = run("ffprobe", &arguments);
    let lines = said.lines().map(|line| line.trim_end_matches(','));
    // FFmpeg ends the line of a frame with side data twice.
    lines.filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[tokio::test]
async fn ffprobe_reads_a_picture_each_encrypted_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("film.mp4");
    encode(&film, "320x180", 8, 25, "400k");
    for key in [None, SegmentKey::from_bytes(b"0123456789abcdef").ok()] {
        let mut options = options(2);
        options.segment_key = key;
        let assets = Assets::from_files([film.clone()]).unwrap();
        let packager = Packager::builder(assets).options(options).build();
        let folder = dir.path().join("out");
        let mut paths = vec!["/film/v1.iframes.ts.m3u8".to_owned()];
        paths.extend(listed(&packager, "film", "v1.iframes.ts.m3u8").await.0);
        let version = packager.presentation("film").await.unwrap().version();
        paths.push(format!("/film/{version}/segments.key"));
        for path in paths {
            let reply = get(&packager, &path).await;
            let file = folder.join(path.strip_prefix("/film/").unwrap());
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, reply.body).unwrap();
        }
        assert_eq!(pictures(&folder.join("v1.iframes.ts.m3u8")), vec!["I"; 8]);
    }
}

/// Where lengths of NAL units are shorter than start codes, a picture is read before it is sent.
#[tokio::test]
async fn lengths_of_other_than_four_bytes_are_laid_out() {
    let film = film_of_units(2, TrackSpec::video(100, 5_000, 50), None);
    let (packager, _) = packager(memory("film", film));
    let (urls, _) = listed(&packager, "film", "v1.iframes.ts.m3u8").await;
    assert!(urls.len() > 1);
    let mut all = Vec::new();
    for url in &urls {
        let reply = get(&packager, url).await;
        assert_eq!(reply.header("content-length"), reply.body.len().to_string());
        all.push(reply.body.to_vec());
    }
    assert_eq!(apart(&all).len(), urls.len());
    assert_eq!(packager.metrics().layouts.get(), urls.len() as u64);
}
