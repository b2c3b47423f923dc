//! Ranges (RFC 9110 §14): one and several, of what is stored and of what still grows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use bytes::Bytes;
use common::{Origin, cache_status, fed, field, handed, ok, request, stand, text};
use headwater_net::Body;
use http::Response;

const ALL: &str = "0123456789abcdefghijklmnopqrstuvwxyz\
                   0123456789abcdefghijklmnopqrstuvwxyz\
                   0123456789abcdefghijklmnopqrstuvwxyz\
                   0123456789abcdefghijklmnopqrstuvwxyz";

/// The parts of a multipart answer: `Content-Type`, `Content-Range`, bytes.
fn parts(content_type: &str, body: &str) -> Vec<(String, String, String)> {
    let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let delimiter = format!("\r\n--{boundary}");
    let mut pieces = body.split(delimiter.as_str());
    assert_eq!(pieces.next(), Some(""), "no preamble");
    let mut pieces: Vec<&str> = pieces.collect();
    assert_eq!(pieces.pop(), Some("--\r\n"), "closed");
    let value = |head: &str, name: &str| {
        let line = head.split("\r\n").find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().to_owned()
    };
    pieces
        .into_iter()
        .map(|piece| {
            let (head, bytes) = piece.split_once("\r\n\r\n").unwrap();
            (value(head, "Content-Type:"), value(head, "Content-Range:"), bytes.to_owned())
        })
        .collect()
}

#[tokio::test]
async fn rfc_9110_14_2_several_ranges_are_several_parts() {
    let origin = Origin::new(|_| {
        ok(&[("cache-control", "max-age=60"), ("content-type", "text/x"), ("etag", "\"v\"")], ALL)
    });
    let stand = stand(&origin);
    // The same from the fetch that it begins and from store.
    for status in ["edge; fwd=uri-miss; fwd-status=200; stored", "edge; hit; ttl=60"] {
        let response = stand.get_with("/s", &[("range", "bytes=-2,0-1,140-")]).await;
        assert_eq!((response.status().as_u16(), cache_status(&response)), (206, status.to_owned()));
        assert_eq!(field(&response, "etag"), "\"v\"");
        assert!(!response.headers().contains_key("content-range"), "each part has its own");
        let len: usize = field(&response, "content-length").parse().unwrap();
        let content_type = field(&response, "content-type").to_owned();
        let body = text(response).await;
        assert_eq!(body.len(), len);
        let part = |range: &str, bytes: &str| {
            ("text/x".to_owned(), format!("bytes {range}/144"), bytes.to_owned())
        };
        assert_eq!(parts(&content_type, &body), [part("140-143", "wxyz"), part("0-1", "01")]);
    }
    assert_eq!(origin.asked(), 1);
    // Two answers have no boundary in common.
    let one = stand.get_with("/s", &[("range", "bytes=-2,0-1")]).await;
    let other = stand.get_with("/s", &[("range", "bytes=-2,0-1")]).await;
    assert_ne!(field(&one, "content-type"), field(&other, "content-type"));
}

#[tokio::test]
async fn rfc_9110_14_2_ranges_that_overlap_or_are_out_of_order_or_too_many() {
    let origin = Origin::new(|_| ok(&[("cache-control", "max-age=60")], ALL));
    let stand = stand(&origin);
    stand.fetch("/s", &[]).await;
    let many = |count: usize| format!("bytes={}", vec!["0-0"; count].join(","));
    for (asked, status, content_range) in [
        ("bytes=0-9,5-19".to_owned(), 206, "bytes 0-19/144"),
        ("bytes=0-9,10-19".to_owned(), 206, "bytes 0-19/144"),
        ("bytes=30-39,20-29".to_owned(), 206, "bytes 20-39/144"),
        ("bytes=0-0,-1,1-142".to_owned(), 206, "bytes 0-143/144"),
        ("bytes=200-,0-9".to_owned(), 206, "bytes 0-9/144"),
        ("bytes=200-,144-".to_owned(), 416, "bytes */144"),
        (many(16), 206, "bytes 0-0/144"),
        // An attack is answered once, and whole.
        (many(17), 200, ""),
        (many(5000), 200, ""),
        ("bytes=0-9,x".to_owned(), 200, ""),
        ("bytes=9-0,0-9".to_owned(), 200, ""),
    ] {
        let response = stand.get_with("/s", &[("range", &asked)]).await;
        let short = &asked[..asked.len().min(40)];
        assert_eq!(response.status().as_u16(), status, "{short}");
        assert_eq!(field(&response, "content-range"), content_range, "{short}");
        assert!(text(response).await.len() <= ALL.len(), "{short}");
    }
    assert_eq!(origin.asked(), 1);
}

#[tokio::test]
async fn rfc_9110_14_2_a_range_means_nothing_to_head() {
    let origin = Origin::new(|_| ok(&[("cache-control", "max-age=60")], ALL));
    let stand = stand(&origin);
    stand.fetch("/s", &[]).await;
    for range in ["bytes=0-1", "bytes=0-1,140-"] {
        let response = stand.send(request("HEAD", "/s", &[("range", range)])).await;
        assert_eq!((response.status().as_u16(), field(&response, "content-length")), (200, "144"));
        assert!(!response.headers().contains_key("content-range"));
        assert_eq!(text(response).await, "");
    }
}

#[tokio::test]
async fn several_ranges_of_a_growing_body_come_as_their_bytes_do() {
    let (origin, bodies) = handed(|| {
        Response::builder().header("cache-control", "max-age=60").header("content-length", "144")
    });
    let (feed, body) = fed();
    bodies.lock().unwrap().push(body);
    let stand = stand(&origin);
    let leader = stand.get("/s").await;
    let mut several = stand.get_with("/s", &[("range", "bytes=0-1,100-101")]).await;
    assert_eq!(several.status(), 206);
    let len: usize = field(&several, "content-length").parse().unwrap();
    feed.send(Ok(Bytes::from_static(&ALL.as_bytes()[..10]))).await.unwrap();
    let content_type = field(&several, "content-type").to_owned();
    let mut body = String::new();
    // The first part is there before the second has come.
    while !body.ends_with("\r\n\r\n01") {
        let piece = common::next(several.body_mut()).await.unwrap().unwrap();
        body.push_str(std::str::from_utf8(&piece).unwrap());
    }
    feed.send(Ok(Bytes::from_static(&ALL.as_bytes()[10..]))).await.unwrap();
    drop(feed);
    body.push_str(&text(several).await);
    assert_eq!(body.len(), len);
    let found = parts(&content_type, &body);
    assert_eq!(found[0].1, "bytes 0-1/144");
    assert_eq!((found[1].1.as_str(), found[1].2.as_str()), ("bytes 100-101/144", "st"));
    assert_eq!(text(leader).await, ALL);
    assert_eq!(origin.asked(), 1);
}

#[tokio::test]
async fn a_part_that_breaks_off_ends_several_ranges_in_an_error() {
    let (origin, bodies) = handed(|| {
        Response::builder().header("cache-control", "max-age=60").header("content-length", "144")
    });
    let (feed, body) = fed();
    bodies.lock().unwrap().push(body);
    let stand = stand(&origin);
    let several = stand.get_with("/s", &[("range", "bytes=0-1,100-101")]).await;
    feed.send(Ok(Bytes::from_static(&ALL.as_bytes()[..100]))).await.unwrap();
    drop(feed);
    assert!(common::within(several.into_body().collect(1000)).await.is_err());
}

#[tokio::test]
async fn rfc_9110_13_1_5_if_range_guards_several_ranges() {
    let origin = Origin::new(|_| {
        let fields = [
            ("cache-control", "max-age=60"),
            ("etag", "\"v\""),
            ("date", "Tue, 14 Nov 2023 22:13:20 GMT"),
            ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ];
        ok(&fields, ALL)
    });
    let stand = stand(&origin);
    stand.fetch("/s", &[]).await;
    for (if_range, status) in [
        ("\"v\"", 206),
        ("\"w\"", 200),
        ("W/\"v\"", 200),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 206),
        ("Sun, 06 Nov 1994 08:49:38 GMT", 200),
        ("Tue, 14 Nov 2023 22:13:20 GMT", 200),
        ("nonsense", 200),
    ] {
        for range in ["bytes=0-1", "bytes=0-1,140-"] {
            let response = stand.get_with("/s", &[("range", range), ("if-range", if_range)]).await;
            assert_eq!(response.status().as_u16(), status, "{if_range} {range}");
        }
    }
}

#[tokio::test]
async fn rfc_9111_4_3_a_range_of_a_stale_response_is_confirmed_first() {
    let origin = Origin::new(|parts| {
        let fields = [("cache-control", "max-age=10"), ("etag", "\"v\"")];
        if parts.headers.contains_key("if-none-match") {
            return Response::builder()
                .status(304)
                .header("etag", "\"v\"")
                .header("cache-control", "max-age=10")
                .body(Body::empty())
                .unwrap();
        }
        ok(&fields, ALL)
    });
    let stand = stand(&origin);
    stand.fetch("/s", &[]).await;
    stand.advance(11);
    let fields = [("range", "bytes=2-4"), ("if-none-match", "\"other\"")];
    let (status, body, cache) = stand.fetch("/s", &fields).await;
    assert_eq!((status, body.as_str()), (206, "234"));
    assert_eq!(cache, "edge; fwd=stale; fwd-status=304; ttl=10; stored");
    assert!(!origin.last().contains_key("range"));
    assert_eq!(origin.last()["if-none-match"], "\"v\"");
}
