//! Fetches of one key that end in another order than they began, and what is remembered of a key.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{Origin, ok, request, stand, text, until};
use headwater_cache::{Cache, Decision, Purge};
use headwater_net::{Body, Clock};
use http::Request;
use http::request::Parts;
use tokio::sync::Semaphore;
use tower::{Layer as _, ServiceExt as _};

fn parts(path: &str) -> Parts {
    request("GET", path, &[]).into_parts().0
}

#[tokio::test]
async fn rfc_9111_4_1_an_older_answer_that_comes_later_takes_no_newer_ones_place() {
    // The first request is answered when the gate opens, those after it at once.
    let (gate, asked) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (open, count) = (Arc::clone(&gate), Arc::clone(&asked));
    let origin = tower::service_fn(move |_: Request<Body>| {
        let (open, nth) = (Arc::clone(&open), count.fetch_add(1, Ordering::Relaxed));
        async move {
            if nth == 0 {
                open.acquire().await.unwrap().forget();
            }
            let fields = [("cache-control", "max-age=60")];
            Ok::<_, std::convert::Infallible>(ok(&fields, ["old", "new", "newest"][nth]))
        }
    });
    let clock = Clock::manual(common::START);
    let cache = Cache::builder().name("edge").clock(clock.clone()).build();
    let edge = cache.layer().layer(origin);
    let ask = || tokio::spawn(edge.clone().oneshot(request("GET", "/s", &[])));
    let first = ask();
    until(|| asked.load(Ordering::Relaxed) == 1).await;
    // A purge of something else: what is under way may be of it, so that the next does not join.
    clock.advance(Duration::from_secs(1));
    cache.purge(Purge::tag("other")).await.unwrap();
    assert_eq!(text(ask().await.unwrap().unwrap()).await, "new");
    until(|| cache.metrics().stored_objects.get() == 1).await;
    // Who began the older one gets it, and it changes nothing.
    gate.add_permits(1);
    assert_eq!(text(first.await.unwrap().unwrap()).await, "old");
    assert_eq!(text(ask().await.unwrap().unwrap()).await, "new");
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn what_was_asked_for_later_is_newer_whatever_its_date_says() {
    let dates = ["Tue, 14 Nov 2023 22:13:20 GMT", "Tue, 14 Nov 2023 22:13:10 GMT"];
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let origin = Origin::new(move |_| {
        let nth = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let body = ["first", "second"][nth.min(1)];
        ok(&[("cache-control", "max-age=60"), ("date", dates[nth.min(1)])], body)
    });
    let stand = stand(&origin);
    assert_eq!(stand.fetch("/s", &[]).await.1, "first");
    until(|| stand.cache.metrics().stored_objects.get() == 1).await;
    // The second comes from a server whose clock is behind.
    let (_, text, _) = stand.fetch("/s", &[("cache-control", "no-cache")]).await;
    assert_eq!(text, "second");
    until(|| stand.cache.metrics().fill_bytes.get() == 0).await;
    assert_eq!(stand.fetch("/s", &[]).await.1, "second");
}

#[tokio::test]
async fn explain_tells_of_keys_that_nobody_waits_for() {
    let origin = Origin::new(|_| ok(&[("cache-control", "private")], "x"));
    let stand = stand(&origin);
    assert_eq!(stand.cache.explain(&parts("/s")).await.uncollapsed, None);
    stand.fetch("/s", &[]).await;
    stand.advance(3);
    let told = stand.cache.explain(&parts("/s")).await;
    assert_eq!((told.decision, told.uncollapsed), (Decision::Pass, Some(7)));
    assert_eq!(
        told.because,
        "nothing is stored under its key; and its answers are for their askers alone, for 7 s more"
    );
    stand.advance(7);
    let told = stand.cache.explain(&parts("/s")).await;
    assert_eq!((told.decision, told.uncollapsed), (Decision::Miss, None));
}
