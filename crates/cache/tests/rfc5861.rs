//! RFC 5861 (stale content) and RFC 8246 (immutable): what may answer without being confirmed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use common::{Origin, ok, reply, stand, stand_with, until};
use headwater_cache::Choices;

/// An origin that answers by a status that the test sets; 0 is no answer.
fn switched(control: &'static str) -> (Origin, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let now = Arc::clone(&status);
    let origin = Origin::failing(move |_| match now.load(Ordering::Relaxed) {
        0 => Err("reset".into()),
        code => Ok(reply(code, &[("cache-control", control)], "x")),
    });
    (origin, status)
}

#[tokio::test]
async fn rfc_5861_3_the_window_ends_and_who_asks_for_fresh_gets_fresh() {
    let (origin, _) = switched("max-age=10, stale-while-revalidate=20");
    let stand = stand(&origin);
    stand.fetch("/a", &[]).await;
    stand.advance(15);
    // A bound on age or freshness is no wish for a stale answer.
    for control in ["max-age=60", "min-fresh=1", "no-cache"] {
        let asked = origin.asked();
        let member = stand.fetch("/a", &[("cache-control", control)]).await.2;
        assert!(!member.contains("; hit"), "{control}: {member}");
        assert_eq!(origin.asked(), asked + 1, "{control}");
        stand.advance(15);
    }
    stand.advance(15);
    assert!(stand.fetch("/a", &[]).await.2.starts_with("edge; fwd=stale"));
}

#[tokio::test]
async fn rfc_5861_3_one_revalidation_at_a_time_runs_behind() {
    let (origin, _) = switched("max-age=10, stale-while-revalidate=600");
    let stand = stand(&origin);
    stand.fetch("/a", &[]).await;
    stand.advance(15);
    for _ in 0..5 {
        assert!(stand.fetch("/a", &[]).await.2.starts_with("edge; hit; ttl=-5"));
    }
    until(|| origin.asked() == 2).await;
    until(|| stand.cache.metrics().stored_objects.get() == 1).await;
}

#[tokio::test]
async fn rfc_5861_4_only_some_errors_count_and_only_in_the_window() {
    for (code, stale) in [(500, true), (502, true), (503, true), (504, true), (501, false)] {
        let (origin, status) = switched("max-age=10, stale-if-error=20");
        let stand = stand(&origin);
        stand.fetch("/a", &[]).await;
        stand.advance(25);
        status.store(code, Ordering::Relaxed);
        let (answer, _, member) = stand.fetch("/a", &[]).await;
        assert_eq!(answer == 200, stale, "{code}: {member}");
        stand.advance(60);
        assert_ne!(stand.fetch("/a", &[]).await.0, 200, "{code}");
    }
    // The request may say it, too.
    let (origin, status) = switched("max-age=10");
    let stand = stand(&origin);
    stand.fetch("/a", &[]).await;
    stand.advance(25);
    status.store(503, Ordering::Relaxed);
    assert_eq!(stand.fetch("/a", &[("cache-control", "stale-if-error=60")]).await.0, 200);
    assert_eq!(stand.fetch("/b", &[("cache-control", "stale-if-error=60")]).await.0, 503);
}

#[tokio::test]
async fn rfc_9111_4_2_4_an_unreachable_upstream_is_stood_in_for_a_while_and_not_against_its_word() {
    for (control, seconds, stale) in [
        ("max-age=10", 60, true),
        ("max-age=10", 90, false),
        ("max-age=10, must-revalidate", 20, false),
        ("max-age=10, proxy-revalidate", 20, false),
        ("s-maxage=10", 20, false),
    ] {
        let (origin, status) = switched(control);
        let stand = stand(&origin);
        stand.fetch("/a", &[]).await;
        stand.advance(seconds);
        status.store(0, Ordering::Relaxed);
        let (answer, _, member) = stand.fetch("/a", &[]).await;
        assert_eq!(answer, if stale { 200 } else { 502 }, "{control} {seconds}: {member}");
        if stale {
            assert_eq!(member, "edge; fwd=stale; ttl=-50");
            // It has a rest of some seconds.
            stand.fetch("/a", &[]).await;
            assert_eq!(origin.asked(), 2);
        }
    }
    let (origin, status) = switched("max-age=10");
    let never = Choices::new().stale_if_unreachable(Duration::ZERO);
    let stand = stand_with(&origin, |builder| builder.choices(never));
    stand.fetch("/a", &[]).await;
    stand.advance(20);
    status.store(0, Ordering::Relaxed);
    assert_eq!(stand.fetch("/a", &[]).await.0, 502);
}

#[tokio::test]
async fn rfc_8246_2_a_reload_does_not_confirm_what_is_immutable_while_it_is_fresh() {
    let origin = Origin::new(|parts| {
        let control = match parts.uri.path() {
            "/immutable" => "max-age=60, immutable",
            _ => "max-age=60",
        };
        ok(&[("cache-control", control), ("etag", "\"v\"")], "x")
    });
    let stand = stand(&origin);
    let reload = [("cache-control", "max-age=0")];
    for (path, hit) in [("/immutable", true), ("/other", false)] {
        stand.fetch(path, &[]).await;
        stand.advance(5);
        assert_eq!(stand.fetch(path, &reload).await.2.contains("; hit"), hit, "{path}");
    }
    // Unless the client says that it is to be confirmed, or it is fresh no longer.
    let forced = [("cache-control", "no-cache")];
    assert!(stand.fetch("/immutable", &forced).await.2.contains("fwd=request"));
    stand.advance(61);
    assert!(!stand.fetch("/immutable", &reload).await.2.contains("; hit"));
}
