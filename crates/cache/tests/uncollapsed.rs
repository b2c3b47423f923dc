//! Answers that nobody else may have: who waits for one is let go, and the next do not wait.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{Origin, cache_status, ok, reply, request, stand, stand_with, text, until};
use headwater_net::Body;
use http::{Request, Response};
use tokio::sync::Semaphore;
use tower::{Layer as _, ServiceExt as _};

#[tokio::test]
async fn an_answer_that_was_its_askers_alone_is_remembered() {
    let private = Arc::new(AtomicBool::new(true));
    let now = Arc::clone(&private);
    let origin = Origin::new(move |_| {
        let control = if now.load(Ordering::Relaxed) { "private" } else { "max-age=60" };
        ok(&[("cache-control", control)], "x")
    });
    let stand = stand(&origin);
    let metrics = stand.cache.metrics();
    assert_eq!(stand.fetch("/s", &[]).await.1, "x");
    assert_eq!((metrics.fills.get(), metrics.passed.get()), (1, 0));
    // No fetch that others could wait for in vain.
    let (_, _, status) = stand.fetch("/s", &[]).await;
    assert_eq!(status, "edge; fwd=uri-miss; fwd-status=200");
    assert_eq!((metrics.fills.get(), metrics.passed.get()), (1, 1));
    // Another key is none of it.
    stand.fetch("/t", &[]).await;
    assert_eq!(metrics.fills.get(), 2);
    // It is tried again after a while.
    stand.advance(10);
    stand.fetch("/s", &[]).await;
    assert_eq!((metrics.fills.get(), metrics.passed.get()), (3, 1));
    // And it ends at once when an answer comes that could have been shared.
    private.store(false, Ordering::Relaxed);
    stand.fetch("/s", &[]).await;
    assert_eq!((metrics.fills.get(), metrics.passed.get()), (3, 2));
    assert_eq!(stand.fetch("/s", &[]).await.2, "edge; fwd=uri-miss; fwd-status=200; stored");
    assert_eq!(stand.fetch("/s", &[]).await.2, "edge; hit; ttl=60");
}

#[tokio::test]
async fn what_was_refused_for_its_asker_is_not_remembered() {
    let origin = Origin::new(|_| ok(&[("cache-control", "max-age=60")], "x"));
    let stand = stand(&origin);
    let with = [("authorization", "Basic eA==")];
    assert_eq!(stand.fetch("/s", &with).await.2, "edge; fwd=uri-miss; fwd-status=200");
    assert_eq!(stand.fetch("/s", &[]).await.2, "edge; fwd=uri-miss; fwd-status=200; stored");
}

#[tokio::test]
async fn requests_for_what_is_alone_do_not_wait_for_each_other() {
    let gate = Arc::new(Semaphore::new(1));
    let asked = Arc::new(AtomicUsize::new(0));
    let (open, count) = (Arc::clone(&gate), Arc::clone(&asked));
    let slow = tower::service_fn(move |_: Request<Body>| {
        count.fetch_add(1, Ordering::Relaxed);
        let open = Arc::clone(&open);
        async move {
            open.acquire().await.unwrap().forget();
            let response = Response::builder().header("cache-control", "no-store");
            Ok::<_, std::convert::Infallible>(response.body(Body::from("x")).unwrap())
        }
    });
    let cache = headwater_cache::Cache::builder().name("edge").build();
    let edge = cache.layer().layer(slow);
    let ask = || tokio::spawn(edge.clone().oneshot(request("GET", "/s", &[])));
    assert_eq!(text(common::within(ask()).await.unwrap().unwrap()).await, "x");
    let clients: Vec<_> = (0..10).map(|_| ask()).collect();
    until(|| asked.load(Ordering::Relaxed) == 11).await;
    gate.add_permits(10);
    for client in clients {
        assert_eq!(text(common::within(client).await.unwrap().unwrap()).await, "x");
    }
}

#[tokio::test]
async fn waiters_that_are_let_go_reach_upstream_no_more_at_a_time_than_they_may() {
    let most = Arc::new(AtomicUsize::new(0));
    let under_way = Arc::new(AtomicUsize::new(0));
    let asked = Arc::new(AtomicUsize::new(0));
    let counts = (Arc::clone(&most), Arc::clone(&under_way), Arc::clone(&asked));
    let origin = tower::service_fn(move |_: Request<Body>| {
        let (most, under_way, asked) = counts.clone();
        async move {
            asked.fetch_add(1, Ordering::Relaxed);
            most.fetch_max(under_way.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            under_way.fetch_sub(1, Ordering::Relaxed);
            let response = Response::builder().header("cache-control", "no-store");
            Ok::<_, std::convert::Infallible>(response.body(Body::from("x")).unwrap())
        }
    });
    let cache = headwater_cache::Cache::builder().name("edge").max_passes(4).build();
    let edge = cache.layer().layer(origin);
    let ask = || tokio::spawn(edge.clone().oneshot(request("GET", "/s", &[])));
    let clients: Vec<_> = (0..200).map(|_| ask()).collect();
    for client in clients {
        assert_eq!(text(common::within(client).await.unwrap().unwrap()).await, "x");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 200);
    assert!(most.load(Ordering::Relaxed) <= 4, "{}", most.load(Ordering::Relaxed));
}

#[tokio::test]
async fn who_reads_slowly_what_passes_holds_up_nobody() {
    let (origin, bodies) =
        common::handed(|| Response::builder().header("cache-control", "no-store"));
    let stand = stand_with(&origin, |builder| builder.max_passes(1));
    bodies.lock().unwrap().push(Body::from("first"));
    stand.fetch("/s", &[]).await;
    let (feed, body) = common::fed();
    bodies.lock().unwrap().extend([body, Body::from("last")]);
    let streaming = stand.get("/s").await;
    assert_eq!(cache_status(&streaming), "edge; fwd=uri-miss; fwd-status=200");
    assert_eq!(stand.fetch("/s", &[]).await.1, "last");
    drop((streaming, feed));
}

#[tokio::test(start_paused = true)]
async fn rfc_9209_2_3_12_the_wait_in_line_has_an_end() {
    // One request holds the only place; the gate never opens for it.
    let gate = Arc::new(Semaphore::new(1));
    let open = Arc::clone(&gate);
    let slow = tower::service_fn(move |_: Request<Body>| {
        let open = Arc::clone(&open);
        async move {
            open.acquire().await.unwrap().forget();
            let response = Response::builder().header("cache-control", "no-store");
            Ok::<_, std::convert::Infallible>(response.body(Body::from("x")).unwrap())
        }
    });
    let wait = std::time::Duration::from_secs(3);
    let cache =
        headwater_cache::Cache::builder().name("edge").max_passes(1).pass_wait(wait).build();
    let edge = cache.layer().layer(slow);
    let ask = |method| tokio::spawn(edge.clone().oneshot(request(method, "/s", &[])));
    assert_eq!(text(ask("GET").await.unwrap().unwrap()).await, "x");
    let began = tokio::time::Instant::now();
    let (held, waits) = (ask("GET"), ask("GET"));
    let refused = waits.await.unwrap().unwrap();
    assert_eq!(began.elapsed().as_secs(), 3);
    assert_eq!((refused.status().as_u16(), common::field(&refused, "retry-after")), (503, "1"));
    assert_eq!(common::field(&refused, "proxy-status"), "edge; error=connection_limit_reached");
    assert_eq!(cache_status(&refused), "edge; fwd=uri-miss");
    assert!(text(refused).await.contains("too many requests wait for the upstream"));
    let metrics = cache.metrics();
    assert_eq!((metrics.passes_queued.get(), metrics.passes_refused.get()), (1, 1));
    // What never shares a fetch does not wait for those that do.
    gate.add_permits(2);
    assert_eq!(text(ask("POST").await.unwrap().unwrap()).await, "x");
    assert_eq!(text(held.await.unwrap().unwrap()).await, "x");
}

#[tokio::test]
async fn rfc_8470_5_2_too_early_is_said_to_its_asker_alone() {
    let origin = Origin::new(|parts| {
        let early = parts.headers.contains_key("early-data");
        reply(if early { 425 } else { 200 }, &[("cache-control", "max-age=60")], "x")
    });
    let stand = stand(&origin);
    assert_eq!(stand.fetch("/s", &[("early-data", "1")]).await.0, 425);
    // It is neither stored nor remembered.
    let (status, _, cache) = stand.fetch("/s", &[]).await;
    assert_eq!((status, cache.as_str()), (200, "edge; fwd=uri-miss; fwd-status=200; stored"));
}
