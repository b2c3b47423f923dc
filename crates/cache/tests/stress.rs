//! Many clients on many threads who come, go, wait and give up, before an origin that fails now
//! and then: whatever looks complete is whole and right, and nothing is left behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use common::{Origin, next, request, stand_with, until};
use headwater_net::{Body, BodyError};
use http::Response;
use http_body::Frame;
use tower::ServiceExt as _;

/// Splitmix64: numbers that look random and are the same in every run.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The byte of a key's body at an offset.
fn byte(key: u64, at: u64) -> u8 {
    mix(key ^ (at / 8)) as u8
}

/// Another version of a key's body, of the same length.
const OTHER: u64 = 1 << 20;

/// The version that an answer says it is of.
fn version(key: u64, headers: &http::HeaderMap) -> u64 {
    if headers.get("etag").is_some_and(|tag| tag == "\"y\"") { key + OTHER } else { key }
}

fn len(key: u64) -> u64 {
    1000 + mix(key % OTHER + 1) % 300_000
}

/// A body that hands out pieces of odd sizes, pauses, and may break off.
struct Odd {
    key: u64,
    at: u64,
    end: u64,
    fails: bool,
    seed: u64,
}

impl http_body::Body for Odd {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.seed = mix(self.seed);
        if self.seed.is_multiple_of(3) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.at == self.end {
            return Poll::Ready(self.fails.then(|| Err(BodyError::source("reset"))));
        }
        let to = self.end.min(self.at + 1 + self.seed % 40_000);
        let piece: Vec<u8> = (self.at..to).map(|at| byte(self.key, at)).collect();
        self.at = to;
        Poll::Ready(Some(Ok(Frame::data(piece.into()))))
    }
}

fn origin() -> Origin {
    let count = AtomicU64::new(0);
    Origin::failing(move |parts| {
        let seed = mix(count.fetch_add(1, Ordering::Relaxed) + 77);
        let key: u64 = parts.uri.path().trim_start_matches('/').parse().unwrap();
        let whole = len(key);
        let fault = seed % 8;
        if fault == 0 {
            return Err("refused".into());
        }
        let end = if fault <= 2 { whole * (seed >> 8 & 0xff) / 256 } else { whole };
        let body = Odd { key, at: 0, end, fails: fault == 2, seed };
        let mut response = Response::builder().header("etag", "\"x\"").header(
            "cache-control",
            ["max-age=60", "max-age=0", "no-store", "max-age=60"][(seed >> 20) as usize % 4],
        );
        // Without a length only a reset tells that it broke off.
        if fault == 1 || seed & (1 << 30) != 0 {
            response = response.header("content-length", whole);
        }
        Ok(response.body(Body::Stream(Box::pin(body))).unwrap())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_looks_complete_is_whole_however_clients_come_and_go() {
    let origin = origin();
    let stand = stand_with(&origin, |builder| {
        builder.ram(1_000_000).max_object(200_000).window(131_072).fill_memory(2_000_000)
    });
    let mut clients = tokio::task::JoinSet::new();
    for nth in 0..3_000u64 {
        if clients.len() >= 64 {
            common::within(clients.join_next()).await.unwrap().unwrap();
        }
        let edge = stand.edge.clone();
        clients.spawn(client(edge, nth));
        if nth % 97 == 0 {
            stand.advance(7);
        }
    }
    while let Some(done) = common::within(clients.join_next()).await {
        done.unwrap();
    }
    let metrics = stand.cache.metrics();
    assert!(metrics.hits.get() > 100 && metrics.collapsed.get() > 100 && origin.asked() > 100);
    // Fills that nobody waits for end, and give back what they held.
    until(|| metrics.fill_bytes.get() == 0).await;
}

/// Ranges of a body: from one byte to most of it, over its end, several at once.
fn ranges(whole: u64, seed: u64) -> Vec<std::ops::Range<u64>> {
    let count = if (seed >> 8).is_multiple_of(3) { 1 + seed % 3 } else { 1 };
    (0..count)
        .map(|nth| {
            let from = mix(seed + nth) % whole;
            let len = 1 + mix(seed + nth + 9) % [3, 70_000, whole][(seed >> 13) as usize % 3];
            from..(from + len).min(whole)
        })
        .collect()
}

/// Where the bytes of an answer lie: at what place of its body begins which place of the whole.
/// Those of several ranges come between heads that are not compared here.
fn check(key: u64, content_range: &str, bytes: &[u8]) {
    let (first, rest) = content_range.strip_prefix("bytes ").unwrap().split_once('-').unwrap();
    let (last, complete) = rest.split_once('/').unwrap();
    let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
    assert!(complete == "*" || complete == len(key).to_string());
    assert_eq!(bytes.len() as u64, last + 1 - first, "key {key}");
    for (at, got) in (first..).zip(bytes) {
        assert_eq!(*got, byte(key, at), "key {key} at {at}");
    }
}

/// Asks for ranges while the body may still grow, and compares all bytes of a whole answer.
async fn ranger(edge: headwater_cache::CacheService<Origin>, nth: u64) {
    let seed = mix(nth + 5);
    let key = seed % 12;
    let whole = len(key);
    let asked: Vec<String> = ranges(whole, seed)
        .iter()
        .map(|range| format!("{}-{}", range.start, range.end - 1))
        .collect();
    let range = format!("bytes={}", asked.join(","));
    let asking = edge.oneshot(request("GET", &format!("/{key}"), &[("range", &range)]));
    let response = common::within(asking).await.unwrap();
    let (head, body) = response.into_parts();
    let Ok(body) = common::within(body.collect(1 << 20)).await else { return };
    let body = body.to_bytes();
    let key = version(key, &head.headers);
    let text = |name| head.headers.get(name).map_or("", |value| value.to_str().unwrap());
    match head.status.as_u16() {
        200 => check(key, &format!("bytes 0-{}/{whole}", whole - 1), &body),
        206 if text("content-range").is_empty() => {
            let boundary = text("content-type").split("boundary=").nth(1).unwrap();
            let delimiter = format!("\r\n--{boundary}");
            let at = |from: usize, what: &[u8]| {
                body[from..].windows(what.len()).position(|bytes| bytes == what).map(|at| from + at)
            };
            let mut place = 0;
            loop {
                let head_at = at(place, delimiter.as_bytes()).unwrap() + delimiter.len();
                if body[head_at..] == *b"--\r\n" {
                    break;
                }
                let bytes_at = at(head_at, b"\r\n\r\n").unwrap() + 4;
                let head = std::str::from_utf8(&body[head_at..bytes_at]).unwrap();
                let content_range = head.split("Content-Range: ").nth(1).unwrap().trim();
                place = at(bytes_at, delimiter.as_bytes()).unwrap();
                check(key, content_range, &body[bytes_at..place]);
            }
        }
        206 => check(key, text("content-range"), &body),
        502 => {}
        other => panic!("{other}"),
    }
}

/// The same bodies by parts where it is asked for parts, refusing and breaking off as it does.
fn parts_origin() -> Origin {
    let count = AtomicU64::new(0);
    Origin::failing(move |parts| {
        let seed = mix(count.fetch_add(1, Ordering::Relaxed) + 123);
        let key: u64 = parts.uri.path().trim_start_matches('/').parse().unwrap();
        if seed.is_multiple_of(16) {
            return Err("refused".into());
        }
        // Now and then there is another version.
        let etag = if seed % 64 < 3 { "\"y\"" } else { "\"x\"" };
        let named = parts.headers.get("if-range").is_none_or(|tag| tag == etag);
        let asked = parts.headers.get("range").filter(|_| named);
        let whole = len(key);
        let (status, part) = match headwater_net::range::select(asked, whole) {
            headwater_net::range::Selection::Part(part) => (206, part),
            _ => (200, 0..whole),
        };
        let fails = (seed >> 20).is_multiple_of(16);
        let end = if fails { part.start + (part.end - part.start) / 2 } else { part.end };
        let mut response = Response::builder()
            .status(status)
            .header("etag", etag)
            .header("cache-control", "max-age=60")
            .header("content-length", part.end - part.start);
        if status == 206 {
            let content_range = headwater_net::range::content_range(&part, Some(whole));
            response = response.header("content-range", content_range);
        }
        let key = version(key, response.headers_ref().unwrap());
        let body = Odd { key, at: part.start, end, fails, seed };
        Ok(response.body(Body::Stream(Box::pin(body))).unwrap())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ranges_of_what_grows_are_the_bytes_they_say() {
    // In one piece, and in slices.
    for (origin, max_object) in [(origin(), 1 << 20), (parts_origin(), 30_000)] {
        let stand = stand_with(&origin, |builder| {
            builder.ram(1_000_000).max_object(max_object).slice(20_000).fill_memory(4_000_000)
        });
        let mut clients = tokio::task::JoinSet::new();
        for nth in 0..1_500u64 {
            if clients.len() >= 64 {
                common::within(clients.join_next()).await.unwrap().unwrap();
            }
            let edge = stand.edge.clone();
            if nth.is_multiple_of(4) {
                clients.spawn(client(edge, nth));
            } else {
                clients.spawn(ranger(edge, nth));
            }
            if nth % 97 == 0 {
                stand.advance(13);
            }
        }
        while let Some(done) = common::within(clients.join_next()).await {
            done.unwrap();
        }
        let metrics = stand.cache.metrics();
        assert!(metrics.hits.get() > 100 && metrics.collapsed.get() > 100);
        until(|| metrics.fill_bytes.get() == 0).await;
    }
}

async fn client(edge: headwater_cache::CacheService<Origin>, nth: u64) {
    let seed = mix(nth);
    let key = seed % 12;
    let whole = len(key);
    let (from, to) = (whole / 3, whole / 2);
    let ranged = (seed >> 10).is_multiple_of(4);
    let range = format!("bytes={from}-{}", to.saturating_sub(1));
    let fields = [("range", range.as_str())];
    let fields = if ranged { &fields[..] } else { &[] };
    let asking = edge.oneshot(request("GET", &format!("/{key}"), fields));
    let asking = tokio::time::timeout(std::time::Duration::from_secs(60), asking);
    let mut response = asking.await.expect("an answer in time").unwrap();
    let start = match response.status().as_u16() {
        200 => 0,
        206 => from,
        502 => return,
        other => panic!("{other}"),
    };
    let key = version(key, response.headers());
    let expected = if start > 0 { to - from } else { whole };
    let gives_up_after =
        if (seed >> 20).is_multiple_of(4) { seed >> 30 & 0x3ffff } else { u64::MAX };
    let mut at = 0;
    loop {
        match next(response.body_mut()).await {
            Some(Ok(bytes)) => {
                for (nth, got) in bytes.iter().enumerate() {
                    let place = start + at + nth as u64;
                    assert_eq!(*got, byte(key, place), "key {key} at {place}");
                }
                at += bytes.len() as u64;
            }
            Some(Err(_)) => return,
            None => break,
        }
        if at >= gives_up_after {
            return;
        }
    }
    assert_eq!(at, expected, "a body that ended well is whole");
}
