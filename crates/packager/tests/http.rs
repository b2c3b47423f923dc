//! HTTP manners of every kind of answer, through the service.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod shell;

use std::io::Read;

use headwater_packager::source::AnySource;
use headwater_packager::{Assets, MemorySource, Packager};
use http::Method;
use shell::{Reply, TINY, get, memory, packager, request, segment_urls};

const EXPOSED: &str = "Content-Length, Content-Range, ETag, Date, Age, Cache-Status, Server-Timing";

fn tiny() -> Packager {
    packager(memory("tiny", TINY)).0
}

/// One URL of each kind with its media type and whether it is immutable.
async fn kinds(packager: &Packager) -> Vec<(String, &'static str, bool)> {
    let video = segment_urls(packager, "tiny", "v1").await;
    let audio = segment_urls(packager, "tiny", "a1").await;
    vec![
        ("/".to_owned(), "application/json", false),
        ("/tiny/report.json".to_owned(), "application/json", false),
        ("/tiny/main.m3u8".to_owned(), "application/vnd.apple.mpegurl", false),
        ("/tiny/v1.m3u8".to_owned(), "application/vnd.apple.mpegurl", false),
        ("/tiny/manifest.mpd".to_owned(), "application/dash+xml", false),
        (video[0].clone(), "video/mp4", true),
        (video[1].clone(), "video/mp4", true),
        (audio[0].clone(), "audio/mp4", true),
        (audio[2].clone(), "audio/mp4", true),
    ]
}

fn assert_cors(reply: &Reply) {
    assert_eq!(reply.header("access-control-allow-origin"), "*");
    assert_eq!(reply.header("access-control-expose-headers"), EXPOSED);
}

#[tokio::test]
async fn answers_are_typed_measured_tagged_and_readable_from_anywhere() {
    let packager = tiny();
    let mut tags = Vec::new();
    for (url, content_type, immutable) in kinds(&packager).await {
        let reply = get(&packager, &url).await;
        assert_eq!(reply.status, 200, "{url}");
        assert_eq!(reply.header("content-type"), content_type, "{url}");
        assert_eq!(reply.header("content-length"), reply.body.len().to_string(), "{url}");
        assert!(!reply.body.is_empty(), "{url}");
        assert_eq!(reply.header("accept-ranges"), "bytes");
        assert!(reply.header("etag").starts_with('"'), "{url} has a weak tag");
        let cache_control =
            if immutable { "public, max-age=31536000, immutable" } else { "public, max-age=2" };
        assert_eq!(reply.header("cache-control"), cache_control, "{url}");
        assert_eq!(reply.has("vary"), !immutable, "{url}");
        assert!(!reply.has("content-encoding"));
        assert_cors(&reply);
        tags.push(reply.header("etag").to_owned());
    }
    let count = tags.len();
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), count, "different resources share a tag: {tags:?}");
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let packager = tiny();
    for (url, ..) in kinds(&packager).await {
        let full = get(&packager, &url).await;
        // A range is for GET only (RFC 9110 §14.2).
        let head = request(&packager, Method::HEAD, &url, &[("range", "bytes=0-1")]).await;
        assert_eq!(head.status, 200);
        assert!(head.body.is_empty(), "{url}");
        assert_eq!(head.headers, full.headers, "{url}");
    }
    let absent = request(&packager, Method::HEAD, "/nothing/main.m3u8", &[]).await;
    assert_eq!(absent.status, 404);
    assert!(absent.body.is_empty());
}

#[tokio::test]
async fn a_client_that_has_it_gets_304_and_its_headers() {
    let packager = tiny();
    for (url, ..) in kinds(&packager).await {
        let full = get(&packager, &url).await;
        let etag = full.header("etag");
        for method in [Method::GET, Method::HEAD] {
            let reply = request(&packager, method, &url, &[("if-none-match", etag)]).await;
            assert_eq!(reply.status, 304, "{url}");
            assert!(reply.body.is_empty());
            assert_eq!(reply.header("etag"), etag);
            assert_eq!(reply.header("cache-control"), full.header("cache-control"));
            assert_eq!(reply.has("vary"), full.has("vary"));
            assert!(!reply.has("content-length") && !reply.has("content-type"));
            assert_cors(&reply);
        }
        let other = [("if-none-match", "\"another\"")];
        assert_eq!(request(&packager, Method::GET, &url, &other).await.status, 200);
        let other = [("if-match", "\"another\"")];
        assert_eq!(request(&packager, Method::GET, &url, &other).await.status, 412);
    }
}

#[tokio::test]
async fn single_ranges_are_obeyed() {
    let packager = tiny();
    for (url, ..) in kinds(&packager).await {
        let full = get(&packager, &url).await;
        let len = full.body.len();
        let last = len - 1;
        for (range, from, to) in [
            ("bytes=0-0".to_owned(), 0, 1),
            ("bytes=7-90".to_owned(), 7, 91.min(len)),
            (format!("bytes={}-", len - 3), len - 3, len),
            ("bytes=-5".to_owned(), len - 5, len),
            (format!("bytes={last}-{}", len + 100), last, len),
            ("bytes=0-".to_owned(), 0, len),
        ] {
            let part = request(&packager, Method::GET, &url, &[("range", &range)]).await;
            assert_eq!(part.status, 206, "{url} {range}");
            assert_eq!(part.body, full.body.slice(from..to), "{url} {range}");
            assert_eq!(part.header("content-length"), (to - from).to_string());
            let content_range = format!("bytes {from}-{}/{len}", to - 1);
            assert_eq!(part.header("content-range"), content_range);
            assert_eq!(part.header("etag"), full.header("etag"));
            assert_eq!(part.header("content-type"), full.header("content-type"));
            assert_cors(&part);
        }
        let beyond = format!("bytes={len}-");
        let none = request(&packager, Method::GET, &url, &[("range", &beyond)]).await;
        assert_eq!(none.status, 416, "{url}");
        assert_eq!(none.header("content-range"), format!("bytes */{len}"));
        assert_eq!(none.header("content-type"), "application/problem+json");
        assert_cors(&none);
        // Several ranges, another unit, nonsense: the whole.
        for range in ["bytes=0-1,4-5", "seconds=0-1", "bytes=5-2"] {
            let reply = request(&packager, Method::GET, &url, &[("range", range)]).await;
            assert_eq!((reply.status.as_u16(), reply.body.len()), (200, len), "{range}");
        }
    }
}

#[tokio::test]
async fn if_range_protects_against_a_mixture() {
    let packager = tiny();
    for (url, ..) in kinds(&packager).await {
        let full = get(&packager, &url).await;
        let ask = async |validator: &str| {
            let headers = [("range", "bytes=2-4"), ("if-range", validator)];
            request(&packager, Method::GET, &url, &headers).await
        };
        let same = ask(full.header("etag")).await;
        assert_eq!((same.status.as_u16(), same.body.len()), (206, 3), "{url}");
        let weak = format!("W/{}", full.header("etag"));
        for other in ["\"another\"", &weak, "Sun, 06 Nov 1994 08:49:37 GMT"] {
            let reply = ask(other).await;
            assert_eq!((reply.status.as_u16(), &reply.body), (200, &full.body), "{url} {other}");
        }
    }
}

#[tokio::test]
async fn manifests_are_compressed_for_those_who_accept_it() {
    let packager = tiny();
    for (url, _, immutable) in kinds(&packager).await {
        let plain = get(&packager, &url).await;
        let zipped =
            request(&packager, Method::GET, &url, &[("accept-encoding", "br, gzip")]).await;
        if immutable {
            assert_eq!(zipped.headers, plain.headers, "{url}");
            continue;
        }
        assert_eq!(zipped.header("content-encoding"), "gzip", "{url}");
        assert_eq!(zipped.header("vary"), "Accept-Encoding");
        assert_eq!(zipped.header("content-length"), zipped.body.len().to_string());
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(&zipped.body[..]).read_to_end(&mut text).unwrap();
        assert_eq!(text, plain.body, "{url}");
        // Each coding is a representation of its own: another tag, and its own 304.
        let (plain_tag, zipped_tag) = (plain.header("etag"), zipped.header("etag"));
        assert_ne!(plain_tag, zipped_tag);
        let ask = async |tag: &str| {
            let headers = [("accept-encoding", "gzip"), ("if-none-match", tag)];
            request(&packager, Method::GET, &url, &headers).await
        };
        let same = ask(zipped_tag).await;
        assert_eq!((same.status.as_u16(), same.header("etag")), (304, zipped_tag), "{url}");
        assert_eq!(ask(plain_tag).await.status, 200);
        let refused = [("accept-encoding", "gzip;q=0")];
        let refused = request(&packager, Method::GET, &url, &refused).await;
        assert_eq!(refused.headers, plain.headers);
    }
}

#[tokio::test]
async fn other_methods_are_refused_and_preflights_answered() {
    let packager = tiny();
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::TRACE] {
        let reply = request(&packager, method, "/tiny/main.m3u8", &[]).await;
        assert_eq!(reply.status, 405);
        assert_eq!(reply.header("allow"), "GET, HEAD, OPTIONS");
        assert_cors(&reply);
    }
    let headers = [
        ("origin", "https://player.example"),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "range"),
    ];
    let reply = request(&packager, Method::OPTIONS, "/tiny/main.m3u8", &headers).await;
    assert_eq!(reply.status, 204);
    assert!(reply.body.is_empty() && !reply.has("content-length"));
    assert_eq!(reply.header("access-control-allow-methods"), "GET, HEAD, OPTIONS");
    assert!(reply.header("access-control-allow-headers").contains("Range"));
    assert_cors(&reply);
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_document() {
    let packager = tiny();
    let segment = segment_urls(&packager, "tiny", "v1").await[1].clone();
    let count = segment_urls(&packager, "tiny", "v1").await.len() - 1;
    let folder = segment.strip_suffix("/1.m4s").unwrap();
    for url in [
        "/nothing/main.m3u8".to_owned(),
        "/tiny".to_owned(),
        "/tiny/".to_owned(),
        "/tiny/main.m3u8/".to_owned(),
        "//main.m3u8".to_owned(),
        "/tiny/v2.m3u8".to_owned(),
        "/tiny/a2.m3u8".to_owned(),
        "/tiny/v01.m3u8".to_owned(),
        "/%2e%2e/main.m3u8".to_owned(),
        "/..%2ftiny/main.m3u8".to_owned(),
        format!("{folder}/0.m4s"),
        format!("{folder}/01.m4s"),
        format!("{folder}/{}.m4s", count + 1),
        format!("{folder}/4294967295.m4s"),
        segment.replace("/v1/", "/v2/"),
    ] {
        let reply = get(&packager, &url).await;
        assert_eq!(reply.status, 404, "{url}");
        assert_eq!(reply.header("content-type"), "application/problem+json");
        assert_eq!(reply.json()["status"], 404);
        assert_eq!(reply.header("content-length"), reply.body.len().to_string());
        assert_cors(&reply);
    }
    assert_eq!(get(&packager, &format!("{folder}/{count}.m4s")).await.status, 200);
    // Another version of an asset that is there.
    let version = segment.split('/').nth(2).unwrap();
    for other in ["0000000000000000", "ffffffffffffffff"] {
        let reply = get(&packager, &segment.replace(version, other)).await;
        assert_eq!(reply.status, 410);
        assert_eq!(reply.header("content-type"), "application/problem+json");
    }
}

#[tokio::test]
async fn a_long_list_is_complete() {
    let asset = |n: usize| {
        let source = AnySource::new(MemorySource::new("x.mp4", "no film at all"));
        (format!("film {n}"), vec![source])
    };
    let (packager, _) = packager(Assets::from_sources((0..1_500).map(asset)).unwrap());
    let list = get(&packager, "/").await;
    assert_eq!(list.json()["assets"].as_array().unwrap().len(), 1_500);
    let etag = list.header("etag").to_owned();
    let again = request(&packager, Method::GET, "/", &[("if-none-match", &etag)]).await;
    assert_eq!(again.status, 304);
}

#[tokio::test]
async fn the_list_names_what_can_be_played() {
    let packager = packager(memory("a b%c", TINY)).0;
    let list = get(&packager, "/").await.json();
    let asset = &list["assets"][0];
    assert_eq!(asset["name"], "a b%c");
    for format in ["hls", "dash"] {
        let url = format!("/{}", asset[format].as_str().unwrap());
        assert_eq!(get(&packager, &url).await.status, 200, "{url}");
    }
}

#[tokio::test]
async fn the_counters_count() {
    let packager = tiny();
    let urls = segment_urls(&packager, "tiny", "v1").await;
    let metrics = packager.metrics().clone();
    let sent_before = metrics.sent_bytes.get();
    assert_eq!((metrics.index_builds.get(), metrics.segments.get()), (1, 0));
    let reply = get(&packager, &urls[1]).await;
    assert_eq!(metrics.segments.get(), 1);
    assert_eq!(metrics.sent_bytes.get() - sent_before, reply.body.len() as u64);
    let read = metrics.source_read_bytes.get();
    assert!(read > 0 && read < TINY.len() as u64, "{read}");
    assert!(metrics.index_cache_bytes.get() > 0);
    get(&packager, "/tiny/main.m3u8").await;
    assert_eq!(metrics.index_builds.get(), 1, "an index is built once");
    let mut registry = prometheus_client::registry::Registry::default();
    metrics.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    assert!(text.contains("headwater_packager_segments_total 1"), "{text}");
}

#[test]
fn any_path_is_answered() {
    use proptest::prelude::*;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let packager = tiny();
    let piece = prop_oneof![
        Just("tiny".to_owned()),
        Just("v1".to_owned()),
        Just("0123456789abcdef".to_owned()),
        Just("init.mp4".to_owned()),
        Just("main.m3u8".to_owned()),
        Just("%2e%2e".to_owned()),
        "[0-9]{1,12}\\.m4s",
        "[a-z0-9%.?~+-]{0,12}",
    ];
    let paths = proptest::collection::vec(piece, 0..6);
    proptest!(|(pieces in paths)| {
        let path = format!("/{}", pieces.join("/"));
        if path.parse::<http::Uri>().is_ok() {
            let reply = runtime.block_on(get(&packager, &path));
            let status = reply.status.as_u16();
            prop_assert!(matches!(status, 200 | 404 | 410), "{path}: {status}");
        }
    });
}
