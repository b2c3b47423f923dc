//! The disk tier behind the engine: what a restart finds, what is confirmed, what is taken back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use common::{Origin, Stand, cache_status, ok, reply, request, stand_with, text};
use headwater_cache::{Disk, Error, Metrics, Purge};
use headwater_net::Body;
use http::Response;

/// A cache over a folder, with next to no RAM, so that what is found is found on disk.
fn stand(origin: &Origin, dir: &Path) -> Stand {
    let disk = Disk::builder(dir, 64 << 20).region(1 << 20).promote(100_000).open().unwrap();
    stand_with(origin, |builder| builder.disk(disk).ram(1))
}

fn disk_hits(metrics: &Metrics) -> u64 {
    metrics.disk.as_ref().unwrap().hits.get()
}

fn long() -> Vec<u8> {
    (0..500_000u32).map(|at| (at % 251 + at / 7) as u8).collect()
}

#[tokio::test]
async fn a_restart_is_warm() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::new(|parts| match parts.uri.path() {
        "/long" => Response::builder()
            .header("cache-control", "max-age=60")
            .body(Body::from(Bytes::from(long())))
            .unwrap(),
        _ => ok(&[("cache-control", "max-age=60"), ("etag", "\"v\"")], "a segment"),
    });
    let first = stand(&origin, dir.path());
    first.fetch("/short", &[]).await;
    first.get("/long").await.into_body().collect(1 << 20).await.unwrap();
    first.cache.close().await;
    drop(first);
    let second = stand(&origin, dir.path());
    second.advance(10);
    let (_, body, status) = second.fetch("/short", &[]).await;
    assert_eq!((body.as_str(), status.as_str()), ("a segment", "edge; hit; ttl=50; detail=disk"));
    let part = second.get_with("/long", &[("range", "bytes=70000-400000")]).await;
    assert_eq!(part.status(), 206);
    assert_eq!(cache_status(&part), "edge; hit; ttl=50; detail=disk");
    let read = part.into_body().collect(1 << 20).await.unwrap().to_bytes();
    assert!(read == long()[70_000..=400_000]);
    let head = second.send(request("HEAD", "/long", &[])).await;
    assert_eq!(head.headers()["content-length"], "500000");
    let known = second.get_with("/short", &[("if-none-match", "\"v\"")]).await;
    assert_eq!(known.status(), 304);
    assert_eq!(origin.asked(), 2);
    assert_eq!(disk_hits(&second.cache.metrics()), 4);
}

#[tokio::test]
async fn what_is_small_and_asked_for_goes_into_ram() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::new(|_| ok(&[("cache-control", "max-age=60")], "x"));
    let first = stand(&origin, dir.path());
    first.fetch("/a", &[]).await;
    first.cache.close().await;
    drop(first);
    let disk = Disk::open(dir.path(), 64 << 20).unwrap();
    let second = stand_with(&origin, |builder| builder.disk(disk));
    assert!(second.fetch("/a", &[]).await.2.ends_with("detail=disk"));
    assert_eq!(second.fetch("/a", &[]).await.2, "edge; hit; ttl=60");
    assert_eq!(origin.asked(), 1);
}

#[tokio::test]
async fn a_stale_response_on_disk_is_confirmed_and_lives_on() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::new(|parts| {
        if parts.headers.contains_key("if-none-match") {
            return reply(304, &[("cache-control", "max-age=60"), ("x-new", "1")], "");
        }
        let head = [("cache-control", "max-age=60"), ("etag", "\"v\"")];
        match parts.uri.path() {
            "/long" => {
                let mut response = ok(&head, "");
                *response.body_mut() = Body::from(Bytes::from(long()));
                response
            }
            _ => ok(&head, "short"),
        }
    });
    let first = stand(&origin, dir.path());
    for path in ["/short", "/long"] {
        first.get(path).await.into_body().collect(1 << 20).await.unwrap();
    }
    first.cache.flush().await;
    first.advance(100);
    for path in ["/short", "/long"] {
        let response = first.get(path).await;
        let status = cache_status(&response);
        assert_eq!(status, "edge; fwd=stale; fwd-status=304; ttl=60; stored", "{path}");
        let body = response.into_body().collect(1 << 20).await.unwrap().to_bytes();
        assert!(body == if path == "/long" { long() } else { b"short".to_vec() });
    }
    first.cache.close().await;
    drop(first);
    let second = stand(&origin, dir.path());
    second.advance(110);
    for path in ["/short", "/long"] {
        let response = second.get(path).await;
        assert_eq!(cache_status(&response), "edge; hit; ttl=50; detail=disk", "{path}");
        assert_eq!(response.headers()["x-new"], "1");
        let body = response.into_body().collect(1 << 20).await.unwrap().to_bytes();
        assert!(body == if path == "/long" { long() } else { b"short".to_vec() });
    }
    assert_eq!(origin.asked(), 4);
}

#[tokio::test]
async fn rfc_9111_4_4_what_an_unsafe_request_took_back_no_restart_brings_back() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::new(|parts| match parts.method.as_str() {
        "POST" => reply(200, &[], ""),
        _ => ok(&[("cache-control", "max-age=600")], "x"),
    });
    let first = stand(&origin, dir.path());
    first.fetch("/a", &[]).await;
    first.fetch("/b", &[]).await;
    first.cache.flush().await;
    text(first.send(request("POST", "/a", &[])).await).await;
    // Killed now: the folder as it is, in another place.
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    for stand in [first, stand(&origin, copy.path())] {
        assert!(stand.fetch("/a", &[]).await.2.starts_with("edge; fwd=uri-miss"));
        assert!(stand.fetch("/b", &[]).await.2.starts_with("edge; hit"));
    }
}

#[tokio::test]
async fn variants_are_chosen_on_disk_as_in_ram() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::new(|parts| {
        let german = parts.headers.get("accept-language").is_some_and(|value| value == "de");
        let head = [("cache-control", "max-age=60"), ("vary", "accept-language")];
        ok(&head, if german { "ja" } else { "yes" })
    });
    let first = stand(&origin, dir.path());
    for language in ["de", "en"] {
        first.fetch("/a", &[("accept-language", language)]).await;
    }
    first.cache.close().await;
    drop(first);
    let second = stand(&origin, dir.path());
    for (language, body) in [("de", "ja"), ("en", "yes")] {
        let (_, got, status) = second.fetch("/a", &[("accept-language", language)]).await;
        assert_eq!((got.as_str(), status.ends_with("detail=disk")), (body, true));
    }
    let other = second.fetch("/a", &[("accept-language", "fr")]).await;
    assert!(other.2.starts_with("edge; fwd=uri-miss"), "{}", other.2);
    assert_eq!(origin.asked(), 3);
}

#[tokio::test]
async fn a_tier_that_cannot_write_down_purges_is_not_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::new(|_| ok(&[("cache-control", "max-age=600")], "x"));
    let first = stand(&origin, dir.path());
    first.fetch("/a", &[]).await;
    first.cache.close().await;
    let (log, away) = (dir.path().join("purges.log"), dir.path().join("away"));
    std::fs::rename(&log, &away).unwrap();
    std::fs::create_dir(&log).unwrap();
    for _ in 0..2 {
        assert!(matches!(first.cache.reopen().await, Err(Error::Folder { .. })));
    }
    std::fs::remove_dir(&log).unwrap();
    std::fs::rename(&away, &log).unwrap();
    // It has let go of the folder.
    let other = stand(&origin, dir.path());
    assert!(other.fetch("/a", &[]).await.2.ends_with("detail=disk"));
}

#[tokio::test]
async fn a_folder_that_another_had_for_a_while_is_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::new(|parts| match parts.method.as_str() {
        "POST" => reply(200, &[], ""),
        _ => ok(&[("cache-control", "max-age=600"), ("surrogate-key", "t")], "x"),
    });
    let first = stand(&origin, dir.path());
    let was = async |path: &str| first.fetch(path, &[]).await.2;
    for path in ["/kept", "/taken", "/replaced", "/purged"] {
        first.fetch(path, &[]).await;
    }
    first.cache.reopen().await.unwrap();
    first.cache.close().await;

    // The other one has it, adds to it, and is told of a purge.
    let other = stand(&origin, dir.path());
    assert!(matches!(first.cache.reopen().await, Err(Error::InUse { .. })));
    other.fetch("/others", &[]).await;
    other.cache.purge(Purge::url("http://example.com/purged")).await.unwrap();
    other.cache.close().await;
    drop(other);
    // Meanwhile an answer to an unsafe request takes one back here, and a purge another.
    text(first.send(request("POST", "/taken", &[])).await).await;
    first.cache.purge(Purge::url("http://example.com/replaced")).await.unwrap();
    first.fetch("/replaced", &[]).await;

    first.cache.reopen().await.unwrap();
    for path in ["/kept", "/others"] {
        assert!(was(path).await.ends_with("detail=disk"), "{path}");
    }
    for path in ["/taken", "/purged", "/replaced"] {
        assert!(was(path).await.starts_with("edge; fwd="), "{path}");
        first.cache.flush().await;
        assert!(was(path).await.ends_with("detail=disk"), "{path} is stored again");
    }
    first.cache.close().await;
    first.cache.reopen().await.unwrap();
    first.cache.purge(Purge::url("http://example.com/kept")).await.unwrap();
    first.cache.close().await;
    drop(first);
    let last = stand(&origin, dir.path());
    assert!(last.fetch("/kept", &[]).await.2.starts_with("edge; fwd="));
    assert!(last.fetch("/taken", &[]).await.2.ends_with("detail=disk"));
}

#[tokio::test]
async fn what_one_that_does_not_vary_replaced_on_disk_does_not_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let version = Arc::new(AtomicUsize::new(1));
    let now = Arc::clone(&version);
    let origin = Origin::new(move |_| {
        let (vary, body) = match now.load(Ordering::Relaxed) {
            1 => ("accept", "1"),
            2 => ("", "2"),
            _ => ("accept", "3"),
        };
        ok(&[("cache-control", "max-age=60"), ("vary", vary)], body)
    });
    // The first is on disk only; what took its place does not vary, and was itself replaced by what
    // another request got.
    let first = stand(&origin, dir.path());
    assert_eq!(first.fetch("/a", &[("accept", "y")]).await.1, "1");
    first.cache.flush().await;
    for (nth, fields) in [(2, [("accept", "y")]), (3, [("accept", "z")])] {
        version.store(nth, Ordering::Relaxed);
        let anew = [fields[0], ("cache-control", "no-cache")];
        assert_eq!(first.fetch("/a", &anew).await.1, nth.to_string());
        first.cache.flush().await;
    }
    assert_eq!(first.fetch("/a", &[("accept", "y")]).await.1, "3", "not the first again");
    first.cache.close().await;
    drop(first);
    let second = stand(&origin, dir.path());
    assert_eq!(second.fetch("/a", &[("accept", "y")]).await.1, "3");
}
