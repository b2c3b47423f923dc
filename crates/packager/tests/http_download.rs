//! `download.mp4` over HTTP: ranges, validators, which tracks, what it is called.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod shell;

use std::fs;

use headwater_packager::Assets;
use http::Method;
use shell::{TINY, get, memory, packager, request};

#[tokio::test]
async fn a_download_has_a_length_a_name_and_any_range() {
    let (packager, _) = packager(memory("A film", TINY));
    let url = "/A%20film/download.mp4";
    let whole = get(&packager, url).await;
    assert_eq!((whole.status.as_u16(), whole.header("content-type")), (200, "video/mp4"));
    assert_eq!(whole.header("content-length"), whole.body.len().to_string());
    assert_eq!(
        whole.header("content-disposition"),
        "attachment; filename=\"A film.mp4\"; filename*=UTF-8''A%20film.mp4"
    );
    assert_eq!(whole.header("accept-ranges"), "bytes");
    assert_eq!(whole.header("cache-control"), "public, max-age=2");
    let tag = whole.header("etag").to_owned();

    let head = request(&packager, Method::HEAD, url, &[]).await;
    assert_eq!(head.header("content-length"), whole.header("content-length"));
    assert!(head.body.is_empty());
    let known = request(&packager, Method::GET, url, &[("if-none-match", &tag)]).await;
    assert_eq!(known.status, 304);

    // In pieces, with the tag, it is the same.
    let mut joined = Vec::new();
    while joined.len() < whole.body.len() {
        let range = format!("bytes={}-{}", joined.len(), joined.len() + 9_999);
        let piece =
            request(&packager, Method::GET, url, &[("range", &range), ("if-range", &tag)]).await;
        assert_eq!(piece.status, 206);
        joined.extend_from_slice(&piece.body);
    }
    assert!(whole.body == joined);
    let other = [("range", "bytes=0-9"), ("if-range", "\"another\"")];
    assert_eq!(request(&packager, Method::GET, url, &other).await.status, 200);
    let beyond = request(&packager, Method::GET, url, &[("range", "bytes=99999999-")]).await;
    assert_eq!(beyond.status, 416);
    assert!(!beyond.has("content-disposition"));
}

#[tokio::test]
async fn tracks_are_chosen_by_the_query() {
    let (packager, _) = packager(memory("film", TINY));
    let ask = async |query: &str| get(&packager, &format!("/film/download.mp4?{query}")).await;
    let best = ask("").await;
    assert!(ask("video=v1&audio=a1&utm=x").await.body == best.body);
    let (silent, sound) = (ask("audio=none").await, ask("video=none").await);
    assert_eq!((silent.status.as_u16(), sound.status.as_u16()), (200, 200));
    assert!(silent.body.len() < best.body.len() && sound.body.len() < best.body.len());
    assert_ne!(silent.header("etag"), sound.header("etag"));
    for (query, status, words) in [
        ("video=v9", 404, "the asset has no such resource"),
        ("video=a1", 400, "the parameter video must be v1, v2, … or none, not \"a1\""),
        ("audio=", 400, "the parameter audio must be a1, a2, … or none, not empty"),
        ("audio=a1&audio=a1", 400, "the parameter audio must be given once"),
        ("video=none&audio=none", 400, "the parameter audio must be a track where video is none"),
    ] {
        let reply = ask(query).await;
        assert_eq!(reply.status.as_u16(), status, "{query}");
        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with(words), "{query}: {detail}");
    }
}

#[tokio::test]
async fn a_source_that_was_replaced_is_another_download() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("film.mp4");
    fs::write(&path, TINY).unwrap();
    let (packager, clock) = packager(Assets::from_dir(dir.path()).unwrap());
    let first = get(&packager, "/film/download.mp4").await;
    // Another file of the same bytes: the size and the name agree, the time does not.
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000);
    let other = dir.path().join("other");
    fs::write(&other, TINY).unwrap();
    fs::OpenOptions::new().write(true).open(&other).unwrap().set_modified(time).unwrap();
    fs::rename(&other, &path).unwrap();
    clock.advance(std::time::Duration::from_secs(2));
    let second = get(&packager, "/film/download.mp4").await;
    assert_eq!(second.status, 200);
    assert_ne!(first.header("etag"), second.header("etag"));
    assert!(first.body == second.body);
}

#[tokio::test]
async fn the_list_names_downloads_and_reports() {
    let (packager, _) = packager(memory("A film", TINY));
    let list = get(&packager, "/").await.json();
    assert_eq!(list["assets"][0]["download"], "A%20film/download.mp4");
    assert_eq!(list["assets"][0]["report"], "A%20film/report.json");
}
