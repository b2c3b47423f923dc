//! What query parameters make of playlists and MPDs.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod shell;

use headwater_packager::{Assets, Packager};
use shell::{Reply, TINY, encode, get, memory, packager};

/// The text with the version taken out, which every change to the layout changes.
async fn text(packager: &Packager, path: &str) -> String {
    let reply = get(packager, path).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    let asset = path.split('/').nth(1).unwrap();
    let presentation = packager.presentation(asset).await.ok().unwrap();
    reply.text().replace(&presentation.version().to_string(), "VERSION")
}

fn ladder() -> (tempfile::TempDir, Packager) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("show");
    std::fs::create_dir(&folder).unwrap();
    for (name, size, rate) in
        [("1.mp4", "160x90", "100k"), ("2.mp4", "320x180", "300k"), ("3.mp4", "640x360", "900k")]
    {
        encode(&folder.join(name), size, 6, 25, rate);
    }
    let (packager, _) = packager(Assets::from_dir(dir.path()).unwrap());
    (dir, packager)
}

/// Widths and heights that a multivariant playlist and an MPD offer.
async fn offered(packager: &Packager, query: &str) -> (Vec<u64>, Vec<u64>) {
    let reply = get(packager, &format!("/show/main.m3u8?iframes=0&{query}")).await;
    let master = m3u8_rs::parse_master_playlist_res(&reply.body).unwrap();
    let hls = master.variants.iter().map(|v| v.resolution.unwrap().height).collect();
    let mpd = text(packager, &format!("/show/manifest.mpd?iframes=0&{query}")).await;
    let heights = mpd.split(" height=\"").skip(1);
    (hls, heights.map(|rest| rest.split('"').next().unwrap().parse().unwrap()).collect())
}

#[tokio::test]
async fn parameters_choose_pictures() {
    let (_dir, packager) = ladder();
    let presentation = packager.presentation("show").await.ok().unwrap();
    let peak = |reply: Reply| {
        let report = reply.json();
        let tracks = report["tracks"].as_array().unwrap().clone();
        tracks.iter().map(|track| track["peak_bits_per_s"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let peaks = peak(get(&packager, "/show/report.json").await);
    for (query, heights) in [
        (String::new(), vec![90, 180, 360]),
        ("max_height=180".to_owned(), vec![90, 180]),
        ("min_height=91&max_height=300&utm=x".to_owned(), vec![180]),
        (format!("max_bitrate={}", peaks[1]), vec![90, 180]),
        (format!("max_bitrate={}", peaks[1] - 1), vec![90]),
        (format!("min_bitrate={}", peaks[1] + 1), vec![360]),
        ("codecs=avc".to_owned(), vec![90, 180, 360]),
        ("codecs=aac,avc,hevc".to_owned(), vec![90, 180, 360]),
    ] {
        assert_eq!(offered(&packager, &query).await, (heights.clone(), heights), "{query}");
    }
    assert_eq!(presentation.media().tracks().len(), 4);
}

#[tokio::test]
async fn what_leaves_nothing_is_not_found_and_says_so() {
    let (packager, _) = packager(memory("tiny", TINY));
    for (query, words) in [
        ("min_height=1000", "no picture of the asset fits the parameters"),
        ("codecs=hevc", "no picture of the asset fits the parameters"),
        ("codecs=opus", "no sound of the asset fits the parameters"),
    ] {
        for manifest in ["main.m3u8", "manifest.mpd"] {
            let reply = get(&packager, &format!("/tiny/{manifest}?{query}")).await;
            assert_eq!(reply.status, 404);
            assert!(reply.text().contains(words), "{}", reply.text());
        }
    }
}

#[tokio::test]
async fn bad_values_are_named_and_unknown_names_passed_over() {
    let (packager, _) = packager(memory("tiny", TINY));
    let plain = get(&packager, "/tiny/main.m3u8").await;
    let tagged = get(&packager, "/tiny/main.m3u8?token=a&_=%zz").await;
    assert_eq!((tagged.status, &tagged.body), (plain.status, &plain.body));
    assert_eq!(tagged.header("etag"), plain.header("etag"));
    for path in ["main.m3u8", "manifest.mpd", "v1.m3u8"] {
        let reply = get(&packager, &format!("/tiny/{path}?max_height=tall")).await;
        assert_eq!(reply.status, 400);
        assert_eq!(reply.header("content-type"), "application/problem+json");
        let expected = "the parameter max_height must be a whole number of pixels from 1 to 65535, \
                        not \"tall\"";
        assert_eq!(reply.json()["detail"], expected);
    }
    // Segments take none: their URLs may carry anything.
    let segment = shell::segment_urls(&packager, "tiny", "v1").await[1].clone();
    assert_eq!(get(&packager, &format!("{segment}?max_height=tall")).await.status, 200);
}

#[tokio::test]
async fn equal_selections_have_equal_tags_and_others_have_others() {
    let (packager, _) = packager(memory("tiny", TINY));
    let mut tags = Vec::new();
    for (query, same) in [
        ("start=1", "start=1.0&x=y"),
        ("max_height=72", "max_height=072"),
        ("codecs=avc,aac", "codecs=aac%2cavc"),
        ("", "container=cmaf"),
    ] {
        let a = get(&packager, &format!("/tiny/main.m3u8?{query}")).await;
        let b = get(&packager, &format!("/tiny/main.m3u8?{same}")).await;
        assert_eq!((a.header("etag"), &a.body), (b.header("etag"), &b.body));
        tags.push(a.header("etag").to_owned());
    }
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 4);
}

#[tokio::test]
async fn a_start_and_variables_are_said_in_playlists() {
    let (packager, _) = packager(memory("tiny", TINY));
    let started = text(&packager, "/tiny/main.m3u8?start=-2.5").await;
    assert!(started.contains("\n#EXT-X-START:TIME-OFFSET=-2.5,PRECISE=YES\n"), "{started}");
    let far = text(&packager, "/tiny/v1.m3u8?start=9000").await;
    assert!(far.contains("\n#EXT-X-START:TIME-OFFSET=6,PRECISE=YES\n"), "{far}");
    let query = "iframes=0&token=secret&define=token";
    insta::assert_snapshot!(
        "defined_multivariant",
        text(&packager, &format!("/tiny/main.m3u8?{query}")).await
    );
    insta::assert_snapshot!(
        "defined_audio",
        text(&packager, "/tiny/a1.m3u8?define=token&token=secret").await
    );
}
