//! Text that is compressed once for each coding and kept so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod support;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater_cache::Cache;
use headwater_edge::compress::Level;
use headwater_edge::{CompressLayer, Edge};
use headwater_net::{Body, Clock, Protocol, Timestamp};
use http::{HeaderMap, Request, Response};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_http::decompression::Decompression;

/// A manifest of some kilobytes.
fn manifest() -> String {
    let segments = (0..200).map(|n| format!("#EXTINF:4.0,\nvideo/{n}.m4s\n"));
    format!("#EXTM3U\n{}", segments.collect::<String>())
}

struct Play<S> {
    edge: S,
    asked: Arc<Mutex<Vec<HeaderMap>>>,
    clock: Clock,
}

/// Answers by path; all may be kept for ten seconds.
fn origin(request: &Request<Body>) -> Response<Body> {
    let response =
        Response::builder().header("etag", "\"x\"").header("cache-control", "max-age=10");
    let hls = "application/vnd.apple.mpegurl";
    let held = request.headers().get("if-none-match");
    let held = held.is_some_and(|tag| tag == "W/\"x\"" || tag == "\"x\"");
    let response = match request.uri().path() {
        "/cors.m3u8" | "/film.m4s" if held => {
            response.status(304).header("vary", "Origin").body(Body::empty())
        }
        "/cors.m3u8" => {
            let cors = response.header("content-type", hls).header("vary", "Origin");
            cors.body(manifest().into())
        }
        // Made as it is sent: nobody knows how long it will be.
        "/grows.m3u8" => {
            let made = if request.method() == http::Method::HEAD {
                Body::empty()
            } else {
                Body::stream(http_body_util::Full::new(manifest().into()))
            };
            response.header("content-type", hls).body(made)
        }
        "/main.m3u8" if held => response.status(304).body(Body::empty()),
        "/main.m3u8" => response.header("content-type", hls).body(manifest().into()),
        "/small.m3u8" => response.header("content-type", hls).body("#EXTM3U\n".into()),
        "/film.m4s" => response
            .header("vary", "Origin")
            .header("content-type", "video/mp4")
            .body(manifest().into()),
        "/packed.m3u8" => {
            let packed = response.header("content-type", hls).header("content-encoding", "zstd");
            packed.body(manifest().into())
        }
        "/as-it-is.m3u8" => {
            let fixed = response.header("cache-control", "no-transform");
            fixed.header("content-type", hls).body(manifest().into())
        }
        "/part.m3u8" => {
            let part = response.status(206).header("content-range", "bytes 0-9/5000");
            part.header("content-type", hls).body("0123456789".into())
        }
        _ => response.status(404).header("content-type", "text/plain").body(manifest().into()),
    };
    response.unwrap()
}

fn play() -> Play<
    impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone,
> {
    let clock = Clock::manual(Timestamp::from_secs(1_795_446_000));
    let asked = Arc::<Mutex<Vec<HeaderMap>>>::default();
    let seen = Arc::clone(&asked);
    let origin = service_fn(move |request: Request<Body>| {
        seen.lock().unwrap().push(request.headers().clone());
        let answer = origin(&request);
        async move { Ok::<_, Infallible>(answer) }
    });
    let cache = Cache::builder().name("edge").clock(clock.clone()).build();
    let edge = Edge::builder().cache(cache).compress(CompressLayer::new()).build(origin);
    Play { edge, asked, clock }
}

fn get(path: &str, accepts: &str) -> Request<Body> {
    let mut request = support::get(path, Protocol::H2);
    request.headers_mut().insert("accept-encoding", accepts.parse().unwrap());
    request
}

fn said<'r>(response: &'r Response<Body>, name: &str) -> &'r str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn one_fill_serves_each_coding_and_a_hit_compresses_nothing() {
    let Play { edge, asked, .. } = play();
    let mut fills = 0;
    for (accepts, coding) in [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, zstd", "zstd"),
        ("gzip", "gzip"),
        ("identity", ""),
    ] {
        let first = edge.clone().oneshot(get("/main.m3u8", accepts)).await.unwrap();
        assert_eq!(said(&first, "content-encoding"), coding);
        assert!(said(&first, "vary").eq_ignore_ascii_case("accept-encoding"), "{coding}");
        // RFC 9110 §8.8.1: other bytes, no strong tag.
        assert_eq!(said(&first, "etag"), if coding.is_empty() { "\"x\"" } else { "W/\"x\"" });
        let bytes = first.into_body().collect(100_000).await.unwrap().to_bytes();
        if !coding.is_empty() {
            assert!(bytes.len() * 4 < manifest().len(), "{coding}: {} bytes", bytes.len());
        }
        fills += 1;
        assert_eq!(asked.lock().unwrap().len(), fills, "{coding}");
        let hit = edge.clone().oneshot(get("/main.m3u8", accepts)).await.unwrap();
        assert!(said(&hit, "cache-status").starts_with("edge; hit"), "{coding}");
        assert!(matches!(hit.body(), Body::Full(_)), "{coding}: what is stored is sent");
        assert_eq!(hit.into_body().collect(100_000).await.unwrap().to_bytes(), bytes);
        assert_eq!(asked.lock().unwrap().len(), fills, "{coding}");

        let unpacked = Decompression::new(edge.clone()).oneshot(get("/main.m3u8", accepts));
        let body = Body::stream(unpacked.await.unwrap().into_body());
        assert_eq!(body.collect(100_000).await.unwrap().to_bytes(), manifest(), "{coding}");
    }
    // Other words for the same are no other variant, and the origin is asked for what it can do.
    edge.clone().oneshot(get("/main.m3u8", "zstd;q=0.9, BR")).await.unwrap();
    let asked: Vec<_> =
        asked.lock().unwrap().iter().map(|headers| headers["accept-encoding"].clone()).collect();
    assert_eq!(asked, ["identity", "identity", "gzip", "identity"]);
}

#[tokio::test]
async fn more_time_makes_it_smaller_in_each_coding() {
    // What is in it is hard to guess.
    let ranges = (0..1000u64).scan(0, |at, n| {
        let length = 600_000 + n * 7919 % 800_000;
        *at += length;
        Some(format!("#EXTINF:4.0,\n#EXT-X-BYTERANGE:{length}@{}\nvideo.mp4\n", *at - length))
    });
    let playlist = format!("#EXTM3U\n{}", ranges.collect::<String>());
    for coding in ["br", "zstd", "gzip"] {
        let mut lengths = Vec::new();
        for level in [Level::Fast, Level::Balanced, Level::Small] {
            let text = playlist.clone();
            let origin = service_fn(move |_: Request<Body>| {
                let answer = Response::builder().header("content-type", "audio/mpegurl");
                let answer = answer.body(text.clone().into()).unwrap();
                async move { Ok::<_, Infallible>(answer) }
            });
            let layer = CompressLayer::new().level(level);
            let answer = layer.layer(origin).oneshot(get("/main.m3u8", coding)).await.unwrap();
            assert_eq!(said(&answer, "content-encoding"), coding);
            let body = answer.into_body().collect(100_000).await.unwrap().to_bytes();
            lengths.push(body.len());
        }
        assert!(lengths[0] > lengths[2], "{coding}: {lengths:?}");
    }
}

#[tokio::test]
async fn what_is_no_text_or_not_worth_it_passes_as_it_is() {
    let Play { edge, .. } = play();
    for (path, coding) in [
        ("/small.m3u8", ""),
        ("/film.m4s", ""),
        ("/packed.m3u8", "zstd"),
        ("/as-it-is.m3u8", ""),
        ("/gone.m3u8", ""),
    ] {
        let answer = edge.clone().oneshot(get(path, "br, gzip")).await.unwrap();
        assert_eq!(
            (said(&answer, "content-encoding"), said(&answer, "etag")),
            (coding, "\"x\""),
            "{path}"
        );
    }
    let mut part = get("/part.m3u8", "br");
    part.headers_mut().insert("range", "bytes=0-9".parse().unwrap());
    let answer = edge.clone().oneshot(part).await.unwrap();
    assert_eq!(said(&answer, "content-encoding"), "");
    // Of a compressed variant that is stored, a range is one of its bytes.
    let whole = edge.clone().oneshot(get("/main.m3u8", "br")).await.unwrap();
    let whole = whole.into_body().collect(100_000).await.unwrap().to_bytes();
    let mut part = get("/main.m3u8", "br");
    part.headers_mut().insert("range", "bytes=10-19".parse().unwrap());
    let answer = edge.clone().oneshot(part).await.unwrap();
    assert_eq!((answer.status().as_u16(), said(&answer, "content-encoding")), (206, "br"));
    assert_eq!(answer.into_body().collect(100).await.unwrap().to_bytes(), whole[10..20]);
}

#[tokio::test]
async fn a_stored_variant_is_confirmed_by_its_weak_tag() {
    let Play { edge, asked, clock } = play();
    let first = edge.clone().oneshot(get("/main.m3u8", "br")).await.unwrap();
    let bytes = first.into_body().collect(100_000).await.unwrap().to_bytes();
    clock.advance(Duration::from_secs(11));
    let again = edge.clone().oneshot(get("/main.m3u8", "br")).await.unwrap();
    assert_eq!((said(&again, "content-encoding"), said(&again, "etag")), ("br", "W/\"x\""));
    assert_eq!(again.into_body().collect(100_000).await.unwrap().to_bytes(), bytes);
    assert_eq!(asked.lock().unwrap()[1]["if-none-match"], "W/\"x\"");
    let hit = edge.clone().oneshot(get("/main.m3u8", "br")).await.unwrap();
    assert!(said(&hit, "cache-status").starts_with("edge; hit"));
    assert_eq!(asked.lock().unwrap().len(), 2);
    // A client that holds it is told so.
    let mut held = get("/main.m3u8", "br");
    held.headers_mut().insert("if-none-match", "W/\"x\"".parse().unwrap());
    assert_eq!(edge.oneshot(held).await.unwrap().status(), 304);
}

#[tokio::test]
async fn rfc_9111_3_2_a_confirmed_variant_still_varies_by_its_coding() {
    let Play { edge, asked, clock } = play();
    let first = edge.clone().oneshot(get("/cors.m3u8", "br")).await.unwrap();
    first.into_body().collect(100_000).await.unwrap();
    clock.advance(Duration::from_secs(11));
    let again = edge.clone().oneshot(get("/cors.m3u8", "br")).await.unwrap();
    assert_eq!(said(&again, "content-encoding"), "br");
    assert_eq!(asked.lock().unwrap()[1]["if-none-match"], "W/\"x\"");
    // Who takes no coding gets none.
    let plain = edge.oneshot(get("/cors.m3u8", "identity")).await.unwrap();
    assert_eq!(said(&plain, "content-encoding"), "");
    assert_eq!(plain.into_body().collect(100_000).await.unwrap().to_bytes(), manifest());
}

#[tokio::test]
async fn rfc_9111_3_2_a_confirmed_plain_variant_is_not_given_to_who_takes_a_coding() {
    let Play { edge, asked, clock } = play();
    let plain = edge.clone().oneshot(get("/cors.m3u8", "identity")).await.unwrap();
    plain.into_body().collect(100_000).await.unwrap();
    clock.advance(Duration::from_secs(11));
    // The origin's 304 says that it varies by `Origin`, and of codings it knows nothing.
    let again = edge.clone().oneshot(get("/cors.m3u8", "identity")).await.unwrap();
    assert_eq!(said(&again, "etag"), "\"x\"");
    assert_eq!(asked.lock().unwrap()[1]["if-none-match"], "\"x\"");
    let packed = edge.clone().oneshot(get("/cors.m3u8", "br")).await.unwrap();
    assert_eq!(said(&packed, "content-encoding"), "br");
    // What is never compressed does not vary by codings because of a 304.
    let film = edge.clone().oneshot(get("/film.m4s", "identity")).await.unwrap();
    assert_eq!(said(&film, "vary"), "Origin");
    film.into_body().collect(100_000).await.unwrap();
    clock.advance(Duration::from_secs(11));
    let again = edge.clone().oneshot(get("/film.m4s", "br")).await.unwrap();
    assert_eq!(said(&again, "vary"), "Origin");
    let asked = asked.lock().unwrap();
    assert_eq!(asked.last().unwrap()["if-none-match"], "\"x\"");
}

#[tokio::test]
async fn rfc_9110_9_3_2_head_tells_what_get_would() {
    let Play { edge, .. } = play();
    for path in ["/main.m3u8", "/grows.m3u8"] {
        let mut head = get(path, "br");
        *head.method_mut() = http::Method::HEAD;
        let answer = edge.clone().oneshot(head).await.unwrap();
        let full = edge.clone().oneshot(get(path, "br")).await.unwrap();
        for name in ["content-encoding", "etag", "vary", "content-type"] {
            assert_eq!(said(&answer, name), said(&full, name), "{path}: {name}");
        }
        assert_eq!((said(&full, "content-encoding"), said(&full, "etag")), ("br", "W/\"x\""));
        assert_eq!(said(&answer, "content-length"), "", "unknown before it is compressed");
        assert!(matches!(answer.body(), Body::Empty));
    }
}
