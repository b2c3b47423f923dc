//! How a stale response is confirmed when its upstream fails, and when a client has credentials.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use common::{Origin, ok, reply, stand, until};

#[tokio::test]
async fn a_background_revalidation_that_failed_is_not_tried_again_at_once() {
    let status = Arc::new(AtomicU16::new(200));
    let now = Arc::clone(&status);
    let origin = Origin::failing(move |_| match now.load(Ordering::Relaxed) {
        0 => Err("reset".into()),
        503 => Ok(reply(503, &[("retry-after", "20")], "")),
        504 => Ok(reply(503, &[("retry-after", "86400")], "")),
        1 => Ok(ok(&[("cache-control", "max-age=10"), ("content-length", "9")], "short")),
        code => {
            Ok(reply(code, &[("cache-control", "max-age=10, stale-while-revalidate=600")], "x"))
        }
    });
    let stand = stand(&origin);
    stand.fetch("/a", &[]).await;
    stand.advance(20);
    for (code, pause) in [(0, 5), (503, 20), (504, 60), (1, 5)] {
        status.store(code, Ordering::Relaxed);
        let asked = origin.asked();
        for _ in 0..2 {
            for _ in 0..10 {
                let (_, body, member) = stand.fetch("/a", &[]).await;
                assert!(body == "x" && member.starts_with("edge; hit; ttl=-"), "{member}");
                until(|| origin.asked() > asked).await;
                for _ in 0..50 {
                    tokio::task::yield_now().await;
                }
            }
            assert_eq!(origin.asked(), asked + 1, "{code}");
            stand.advance(pause - 1);
        }
        stand.advance(1);
    }
    status.store(200, Ordering::Relaxed);
    stand.fetch("/a", &[]).await;
    until(|| origin.asked() == 6).await;
}

#[tokio::test]
async fn rfc_9111_3_5_what_anyone_got_is_confirmed_without_credentials() {
    let locked = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&locked);
    let origin = Origin::new(move |parts| {
        let known = parts.headers.contains_key("if-none-match");
        match parts.headers.get("authorization") {
            None if now.load(Ordering::Relaxed) => reply(401, &[], "who are you?"),
            Some(_) => ok(&[("cache-control", "max-age=10")], "welcome"),
            None if known => reply(304, &[("cache-control", "max-age=10")], ""),
            None => ok(&[("cache-control", "max-age=10"), ("etag", "\"v\"")], "x"),
        }
    });
    let stand = stand(&origin);
    let fields = [("authorization", "Bearer x")];
    stand.fetch("/a", &[]).await;
    stand.advance(11);
    assert_eq!(stand.fetch("/a", &fields).await.1, "x");
    assert!(!origin.last().contains_key("authorization"));
    assert_eq!(stand.fetch("/a", &[]).await.2, "edge; hit; ttl=10");
    // Where that is not enough, the client is asked for by its own name.
    stand.advance(11);
    locked.store(true, Ordering::Relaxed);
    let (status, body, _) = stand.fetch("/a", &fields).await;
    assert_eq!((status, body.as_str()), (200, "welcome"));
    assert_eq!(stand.fetch("/a", &[]).await.0, 401);
}

#[tokio::test]
async fn rfc_9111_3_5_an_authorised_304_that_may_not_be_stored_leaves_the_store_alone() {
    let origin = Origin::new(|parts| {
        if parts.headers.contains_key("if-none-match") {
            return reply(304, &[("cache-control", "max-age=10"), ("etag", "\"v\"")], "");
        }
        ok(&[("cache-control", "public, max-age=10"), ("etag", "\"v\"")], "x")
    });
    let stand = stand(&origin);
    let fields = [("authorization", "Bearer x")];
    stand.fetch("/a", &fields).await;
    stand.advance(11);
    assert_eq!(stand.fetch("/a", &fields).await.1, "x");
    assert_eq!(origin.last()["authorization"], "Bearer x");
    assert_eq!(stand.cache.metrics().stored_objects.get(), 1);
    // And anyone's confirmation lets it live on.
    let status = stand.fetch("/a", &[]).await.2;
    assert_eq!(status, "edge; fwd=stale; fwd-status=304; ttl=10; stored");
}
