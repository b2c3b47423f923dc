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

fn len(key: u64) -> u64 {
    1000 + mix(key + 1) % 300_000
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
    let asking = tokio::time::timeout(std::time::Duration::from_secs(20), asking);
    let mut response = asking.await.expect("an answer in time").unwrap();
    let start = match response.status().as_u16() {
        200 => 0,
        206 => from,
        502 => return,
        other => panic!("{other}"),
    };
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
