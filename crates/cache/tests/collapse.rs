//! Many requests, one fetch: what followers see, and what they never see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use bytes::Bytes;
use common::{
    Origin, cache_status, fed, field, handed, next, ok, reply, request, stand, stand_with, text,
    until,
};
use headwater_net::{Body, BodyError};
use http::Response;

fn fresh() -> http::response::Builder {
    Response::builder().header("cache-control", "max-age=60")
}

#[tokio::test]
async fn one_fetch_per_key_however_many_wait() {
    let (origin, bodies) = handed(fresh);
    let (feed, body) = fed();
    bodies.lock().unwrap().push(body);
    let stand = stand(&origin);

    let followers: Vec<_> = (0..200)
        .map(|_| {
            let edge = stand.edge.clone();
            tokio::spawn(async move {
                let response = tower::ServiceExt::oneshot(edge, request("GET", "/s", &[])).await;
                let mut response = response.unwrap();
                let first = next(response.body_mut()).await.unwrap().unwrap();
                (cache_status(&response), first, response.into_body())
            })
        })
        .collect();
    feed.send(Ok(Bytes::from_static(b"one "))).await.unwrap();
    // Everyone has its first byte while the fetch is still under way.
    let mut bodies = Vec::new();
    let mut collapsed = 0;
    for follower in followers {
        let (status, first, body) = common::within(follower).await.unwrap();
        assert_eq!(first, "one ");
        collapsed += usize::from(status.ends_with("; collapsed"));
        bodies.push(body);
    }
    assert_eq!((origin.asked(), collapsed), (1, 199));
    feed.send(Ok(Bytes::from_static(b"two"))).await.unwrap();
    drop(feed);
    for mut body in bodies {
        assert_eq!(next(&mut body).await.unwrap().unwrap(), "two");
        assert!(next(&mut body).await.is_none());
    }
    let (_, whole, status) = stand.fetch("/s", &[]).await;
    assert_eq!((whole.as_str(), status.as_str()), ("one two", "edge; hit; ttl=60"));
    assert_eq!(origin.asked(), 1);
    assert_eq!(stand.cache.metrics().collapsed.get(), 199);
}

#[tokio::test]
async fn a_body_cut_short_never_looks_complete() {
    for (name, length, end) in [
        ("reset", None, Some(BodyError::source("reset"))),
        ("short", Some("8"), None),
        ("reset at its end", Some("4"), Some(BodyError::source("reset"))),
        ("long", Some("3"), None),
    ] {
        let (origin, bodies) = handed(move || match length {
            Some(length) => fresh().header("content-length", length),
            None => fresh(),
        });
        let (feed, body) = fed();
        bodies.lock().unwrap().extend([body, Body::from("mended")]);
        let stand = stand(&origin);
        let mut leader = stand.get("/s").await.into_body();
        let mut follower = stand.get("/s").await.into_body();
        feed.send(Ok(Bytes::from_static(b"half"))).await.unwrap();
        if let Some(error) = end {
            feed.send(Err(error)).await.unwrap();
        }
        drop(feed);
        for body in [&mut leader, &mut follower] {
            let mut read = 0;
            let ended_well = loop {
                match next(body).await {
                    Some(Ok(bytes)) => read += bytes.len(),
                    Some(Err(_)) => break false,
                    None => break true,
                }
            };
            // A reader that has all it was promised may end; it never ends with less.
            let promised = length.map(|length| length.parse::<usize>().unwrap());
            assert!(!ended_well || promised == Some(read), "{name}: ended after {read}");
        }
        until(|| stand.cache.metrics().fills_failed.get() == 1).await;
        // Nothing of it was stored: the next request asks again.
        let asked = origin.asked();
        let response = stand.get("/s").await;
        assert!(cache_status(&response).starts_with("edge; fwd=uri-miss"), "{name}");
        assert_eq!(origin.asked(), asked + 1, "{name}");
    }
}

#[tokio::test]
async fn a_fetch_outlives_the_client_that_began_it_while_others_wait() {
    let (origin, bodies) = handed(fresh);
    let (feed, body) = fed();
    bodies.lock().unwrap().push(body);
    let stand = stand(&origin);
    let leader = stand.get("/s").await;
    let mut follower = stand.get("/s").await;
    feed.send(Ok(Bytes::from_static(b"a"))).await.unwrap();
    assert_eq!(next(follower.body_mut()).await.unwrap().unwrap(), "a");
    drop(leader);
    feed.send(Ok(Bytes::from_static(b"b"))).await.unwrap();
    drop(feed);
    assert_eq!(text(follower).await, "b");
    assert_eq!(origin.asked(), 1);
    assert_eq!(stand.fetch("/s", &[]).await.1, "ab");
    assert_eq!(origin.asked(), 1);
}

#[tokio::test]
async fn a_fetch_nobody_waits_for_is_finished_from_half_on_and_given_up_before() {
    for (sent, kept) in [("abcd", true), ("abc", false)] {
        let (origin, bodies) = handed(|| fresh().header("content-length", "8"));
        let (feed, body) = fed();
        bodies.lock().unwrap().extend([body, Body::from("12345678")]);
        let stand = stand(&origin);
        let mut only = stand.get("/s").await;
        feed.send(Ok(Bytes::from(sent))).await.unwrap();
        assert_eq!(next(only.body_mut()).await.unwrap().unwrap(), sent);
        drop(only);
        if kept {
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            feed.send(Ok(Bytes::from_static(b"efgh"))).await.unwrap();
            drop(feed);
            until(|| stand.cache.metrics().stored_objects.get() == 1).await;
            assert_eq!(stand.fetch("/s", &[]).await.1, "abcdefgh");
            assert_eq!(origin.asked(), 1);
        } else {
            until(|| stand.cache.metrics().fills_abandoned.get() == 1).await;
            until(|| feed.is_closed()).await;
            assert_eq!(stand.fetch("/s", &[]).await.1, "12345678");
            assert_eq!(origin.asked(), 2);
        }
        assert_eq!(stand.cache.metrics().fill_bytes.get(), 0);
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_takes_its_fetch_along() {
    let origin = Origin::new(|_| ok(&[], ""));
    let stand = stand(&origin);
    // An inner service that never answers.
    let never = tower::service_fn(|_: http::Request<Body>| {
        std::future::pending::<Result<Response<Body>, std::convert::Infallible>>()
    });
    let edge = tower::Layer::layer(&stand.cache.layer(), never);
    let waiting = tokio::spawn(tower::ServiceExt::oneshot(edge, request("GET", "/s", &[])));
    until(|| stand.cache.metrics().fills.get() == 1).await;
    waiting.abort();
    until(|| stand.cache.metrics().fills_abandoned.get() == 1).await;
}

#[tokio::test]
async fn a_slow_reader_delays_only_itself() {
    let (origin, bodies) = handed(fresh);
    let (feed, body) = fed();
    bodies.lock().unwrap().push(body);
    let stand = stand(&origin);
    let slow = stand.get("/s").await;
    let quick = stand.get("/s").await;
    let reading = tokio::spawn(text(quick));
    for _ in 0..200 {
        feed.send(Ok(Bytes::from(vec![b'x'; 50_000]))).await.unwrap();
    }
    drop(feed);
    assert_eq!(common::within(reading).await.unwrap().len(), 10_000_000);
    assert_eq!(text(slow).await.len(), 10_000_000);
    assert_eq!(origin.asked(), 1);
}

#[tokio::test]
async fn what_is_too_large_streams_by_window_and_resets_only_who_lags() {
    for length in [None, Some("10000000")] {
        let (origin, bodies) = handed(move || match length {
            Some(length) => fresh().header("content-length", length),
            None => fresh(),
        });
        let (feed, body) = fed();
        bodies.lock().unwrap().push(body);
        let stand = stand_with(&origin, |builder| builder.max_object(1_000_000).window(500_000));
        let mut slow = stand.get("/s").await.into_body();
        let quick = stand.get("/s").await;
        let reading = tokio::spawn(text(quick));
        for _ in 0..200 {
            common::within(feed.send(Ok(Bytes::from(vec![b'x'; 50_000])))).await.unwrap();
            assert!(stand.cache.metrics().fill_bytes.get() < 1_200_000);
        }
        drop(feed);
        assert_eq!(common::within(reading).await.unwrap().len(), 10_000_000);
        assert!(matches!(next(&mut slow).await, Some(Err(BodyError::Aborted))));
        assert!(next(&mut slow).await.is_none());
        drop(slow);
        assert_eq!(stand.cache.metrics().followers_reset.get(), 1);
        until(|| stand.cache.metrics().fill_bytes.get() == 0).await;
        assert_eq!(stand.cache.metrics().stored_objects.get(), 0);
    }
}

#[tokio::test]
async fn a_fetch_that_is_not_kept_goes_at_the_pace_of_its_only_reader() {
    let (origin, bodies) = handed(|| fresh().header("content-length", "3200000"));
    let (feed, body) = fed();
    bodies.lock().unwrap().push(body);
    let stand = stand_with(&origin, |builder| builder.max_object(1000).window(400_000));
    let only = stand.get("/s").await;
    let mut sent = 0;
    // The channel holds 64 pieces; the rest can only go where the fill takes them.
    for _ in 0..1000 {
        if sent < 64 && feed.try_send(Ok(Bytes::from(vec![b'x'; 50_000]))).is_ok() {
            sent += 1;
        }
        tokio::task::yield_now().await;
    }
    assert!(stand.cache.metrics().fill_bytes.get() <= 400_000);
    drop(feed);
    assert_eq!(text(only).await.len(), 3_200_000);
}

#[tokio::test]
async fn fills_past_their_common_budget_are_not_kept() {
    let (origin, bodies) = handed(fresh);
    bodies.lock().unwrap().push(Body::from(vec![b'x'; 1_000_000]));
    let stand = stand_with(&origin, |builder| builder.fill_memory(300_000).window(200_000));
    assert_eq!(stand.fetch("/s", &[]).await.1.len(), 1_000_000);
    until(|| stand.cache.metrics().fill_bytes.get() == 0).await;
    assert_eq!(stand.cache.metrics().stored_objects.get(), 0);
}

#[tokio::test]
async fn a_range_follower_waits_only_for_its_bytes() {
    for length in [Some("12"), None] {
        let (origin, bodies) = handed(move || match length {
            Some(length) => fresh().header("content-length", length),
            None => fresh(),
        });
        let (feed, body) = fed();
        bodies.lock().unwrap().push(body);
        let stand = stand(&origin);
        let leader = stand.get("/s").await;
        feed.send(Ok(Bytes::from_static(b"abcdef"))).await.unwrap();
        let part = stand.get_with("/s", &[("range", "bytes=2-4")]).await;
        assert_eq!(part.status(), 206);
        let complete = length.unwrap_or("*");
        assert_eq!(field(&part, "content-range"), format!("bytes 2-4/{complete}"));
        assert_eq!(field(&part, "content-length"), "3");
        assert_eq!(text(part).await, "cde");
        // The suffix is known only at the end.
        let edge = stand.edge.clone();
        let suffix = tokio::spawn(tower::ServiceExt::oneshot(
            edge,
            request("GET", "/s", &[("range", "bytes=-2")]),
        ));
        feed.send(Ok(Bytes::from_static(b"ghijkl"))).await.unwrap();
        drop(feed);
        let suffix = common::within(suffix).await.unwrap().unwrap();
        assert_eq!(field(&suffix, "content-range"), "bytes 10-11/12");
        assert_eq!(text(suffix).await, "kl");
        assert_eq!(text(leader).await, "abcdefghijkl");
        assert_eq!(origin.asked(), 1);
    }
}

#[tokio::test]
async fn a_fetch_begun_by_a_range_is_for_the_whole() {
    let origin = Origin::new(|_| ok(&[("cache-control", "max-age=60")], "0123456789"));
    let stand = stand(&origin);
    let fields = [("range", "bytes=3-5"), ("if-none-match", "\"x\""), ("if-range", "\"x\"")];
    let whole = stand.fetch("/s", &fields).await;
    assert_eq!((whole.0, whole.1.as_str()), (200, "0123456789"), "If-Range names another");
    for name in ["range", "if-none-match", "if-range"] {
        assert!(!origin.last().contains_key(name), "{name}");
    }
    assert_eq!(stand.fetch("/s", &fields[..1]).await.1, "345");
    assert_eq!(origin.asked(), 1);
}

#[tokio::test]
async fn private_answers_reach_only_their_asker() {
    for control in ["private, max-age=60", "no-store", "max-age=60"] {
        let origin = Origin::new(move |parts| {
            let who = parts.headers["who"].to_str().unwrap();
            let response = Response::builder()
                .header("cache-control", control)
                .header("set-cookie", format!("sid={who}"));
            response.body(Body::from(who.to_owned())).unwrap()
        });
        let stand = stand(&origin);
        let clients: Vec<_> = (0..20)
            .map(|nth| {
                let edge = stand.edge.clone();
                tokio::spawn(async move {
                    let who = nth.to_string();
                    let request = request("GET", "/s", &[("who", &who)]);
                    let response = tower::ServiceExt::oneshot(edge, request).await.unwrap();
                    assert_eq!(field(&response, "set-cookie"), format!("sid={who}"));
                    assert_eq!(text(response).await, who);
                })
            })
            .collect();
        for client in clients {
            common::within(client).await.unwrap();
        }
        assert_eq!(origin.asked(), 20);
        assert_eq!(stand.cache.metrics().stored_objects.get(), 0);
    }
}

#[tokio::test]
async fn waiters_are_matched_again_by_vary_when_the_fields_come() {
    let origin = Origin::new(|parts| {
        let language = parts.headers["accept-language"].to_str().unwrap().to_owned();
        Response::builder()
            .header("cache-control", "max-age=60")
            .header("vary", "Accept-Language")
            .body(Body::from(language))
            .unwrap()
    });
    let stand = stand(&origin);
    let clients: Vec<_> = (0..30)
        .map(|nth| {
            let edge = stand.edge.clone();
            tokio::spawn(async move {
                let language = ["de", "en", "fr"][nth % 3];
                let request = request("GET", "/s", &[("accept-language", language)]);
                let response = tower::ServiceExt::oneshot(edge, request).await.unwrap();
                assert_eq!(text(response).await, language);
            })
        })
        .collect();
    for client in clients {
        common::within(client).await.unwrap();
    }
    assert_eq!(origin.asked(), 3);
}

#[tokio::test]
async fn a_failing_upstream_is_asked_once_for_all_who_wait_and_again_for_the_next() {
    let origin = Origin::failing(|_| Err("connection refused".into()));
    let stand = stand(&origin);
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let edge = stand.edge.clone();
            tokio::spawn(tower::ServiceExt::oneshot(edge, request("GET", "/s", &[])))
        })
        .collect();
    for client in clients {
        let response = common::within(client).await.unwrap().unwrap();
        assert_eq!(response.status(), 502);
        assert_eq!(field(&response, "content-type"), "application/problem+json");
        assert!(!text(response).await.contains("refused"));
    }
    assert_eq!(origin.asked(), 1);
    assert_eq!(stand.get("/s").await.status(), 502);
    assert_eq!(origin.asked(), 2);
}

#[tokio::test]
async fn waiters_on_a_5xx_get_a_problem_of_that_status() {
    let origin = Origin::new(|_| reply(503, &[("retry-after", "7")], "the origin's own words"));
    let stand = stand(&origin);
    let ask = || {
        let edge = stand.edge.clone();
        tokio::spawn(tower::ServiceExt::oneshot(edge, request("GET", "/s", &[])))
    };
    let (leader, follower) = (ask(), ask());
    let leader = common::within(leader).await.unwrap().unwrap();
    let follower = common::within(follower).await.unwrap().unwrap();
    assert_eq!(origin.asked(), 1);
    assert_eq!(text(leader).await, "the origin's own words");
    assert_eq!((follower.status().as_u16(), field(&follower, "retry-after")), (503, "7"));
    assert_eq!(cache_status(&follower), "edge; fwd=uri-miss; fwd-status=503; collapsed");
}

#[tokio::test]
async fn fetches_end_with_their_cache() {
    let (origin, bodies) = handed(fresh);
    let (feed, body) = fed();
    bodies.lock().unwrap().push(body);
    let stand = stand(&origin);
    let mut only = stand.get("/s").await;
    let metrics = stand.cache.metrics();
    drop(stand);
    // A body being read keeps its fetch alive.
    feed.send(Ok(Bytes::from_static(b"a"))).await.unwrap();
    assert_eq!(next(only.body_mut()).await.unwrap().unwrap(), "a");
    drop(only);
    until(|| feed.is_closed()).await;
    assert_eq!(metrics.fill_bytes.get(), 0);
}

#[tokio::test]
async fn rfc_9111_5_2_2_4_who_waited_for_a_no_cache_answer_asks_for_itself() {
    let origin = Origin::new(|_| ok(&[("cache-control", "no-cache"), ("etag", "\"v\"")], "x"));
    let stand = stand(&origin);
    let clients: Vec<_> = (0..5)
        .map(|_| {
            let edge = stand.edge.clone();
            tokio::spawn(tower::ServiceExt::oneshot(edge, request("GET", "/s", &[])))
        })
        .collect();
    for client in clients {
        assert_eq!(text(common::within(client).await.unwrap().unwrap()).await, "x");
    }
    assert_eq!(origin.asked(), 5);
    assert_eq!(stand.cache.metrics().stored_objects.get(), 1, "the leader's is stored");
}

#[tokio::test]
async fn a_leader_that_leaves_before_the_answer_leaves_the_fetch_to_those_who_wait() {
    let origin = Origin::new(|_| ok(&[], ""));
    let stand = stand(&origin);
    let gate = std::sync::Arc::new(tokio::sync::Notify::new());
    let opened = std::sync::Arc::clone(&gate);
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&asked);
    let slow = tower::service_fn(move |_: http::Request<Body>| {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let opened = std::sync::Arc::clone(&opened);
        async move {
            opened.notified().await;
            Ok::<_, std::convert::Infallible>(fresh().body(Body::from("late")).unwrap())
        }
    });
    let edge = tower::Layer::layer(&stand.cache.layer(), slow);
    let ask = || tokio::spawn(tower::ServiceExt::oneshot(edge.clone(), request("GET", "/s", &[])));
    let metrics = stand.cache.metrics();
    let leader = ask();
    until(|| metrics.fills.get() == 1).await;
    let follower = ask();
    until(|| metrics.collapsed.get() == 1).await;
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    gate.notify_one();
    assert_eq!(text(common::within(follower).await.unwrap().unwrap()).await, "late");
    assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert_eq!(metrics.fills_abandoned.get(), 0);
}

#[tokio::test]
async fn what_nobody_reads_is_counted_until_it_is_gone_and_bounded() {
    const OBJECT: usize = 4 << 20;
    const MEMORY: i64 = 24 << 20;
    let origin = Origin::new(|_| fresh().body(Body::from(vec![b'x'; OBJECT])).unwrap());
    let stand = stand_with(&origin, |builder| builder.ram(9 << 20).fill_memory(MEMORY as u64));
    let metrics = stand.cache.metrics();
    let mut unread = Vec::new();
    for nth in 0..40 {
        unread.push(stand.get(&format!("/{nth}")).await);
        // The fill takes in all that it may: it stops at a bound, or at its end.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    // Each fill past the budget holds one batch beyond the least lead at most.
    let slack = 40 * (256 << 10) + OBJECT as i64;
    let held = metrics.fill_bytes.get();
    assert!((MEMORY..MEMORY + slack).contains(&held), "{held}");
    // What they can read is what is counted: stored bodies by the store, others here.
    let mut whole = 0;
    for response in unread.drain(..10) {
        whole += text(response).await.len() as i64;
    }
    assert_eq!(whole, 10 * OBJECT as i64);
    drop(unread);
    until(|| metrics.fill_bytes.get() == 0).await;
    assert!((1..=9 << 20).contains(&metrics.stored_bytes.get()));
    // The budget is free again: the next fill is not cut down to a window.
    let next = stand.get("/next").await;
    until(|| metrics.fill_bytes.get() >= 1 << 20).await;
    assert_eq!(text(next).await.len(), OBJECT);
}

#[tokio::test]
async fn past_the_budget_each_fill_has_the_least_lead_and_their_number_is_capped() {
    let origin = Origin::new(|_| fresh().body(Body::from(vec![b'x'; 8 << 20])).unwrap());
    let stand = stand_with(&origin, |builder| builder.fill_memory(0).max_fills(20));
    let metrics = stand.cache.metrics();
    let mut unread = Vec::new();
    for nth in 0..20 {
        let response = stand.get(&format!("/{nth}")).await;
        assert_eq!(response.status(), 200);
        unread.push(response);
    }
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    let held = metrics.fill_bytes.get();
    assert!(held > 0 && held <= 20 * (192 << 10), "{held}");
    let refused = stand.get("/20").await;
    assert_eq!((refused.status().as_u16(), field(&refused, "retry-after")), (503, "1"));
    assert_eq!(field(&refused, "content-type"), "application/problem+json");
    assert_eq!((origin.asked(), metrics.fills_refused.get()), (20, 1));
    // Who joins a fetch that is there begins none; and one that ends makes room.
    assert_eq!(stand.get("/0").await.status(), 200);
    assert_eq!(text(unread.remove(0)).await.len(), 8 << 20);
    until(|| metrics.fill_bytes.get() < held).await;
    assert_eq!(stand.get("/20").await.status(), 200);
}

#[tokio::test]
async fn a_reader_far_ahead_resets_nobody_and_gets_its_part_when_it_comes() {
    let (origin, bodies) = handed(|| fresh().header("content-length", "6400000"));
    let (feed, body) = fed();
    bodies.lock().unwrap().push(body);
    let stand = stand_with(&origin, |builder| builder.fill_memory(1_000_000).window(400_000));
    let mut first = stand.get("/s").await.into_body();
    let part = stand.get_with("/s", &[("range", "bytes=5000000-5000999")]).await;
    assert_eq!(part.status(), 206);
    let part = tokio::spawn(text(part));
    let feeding = tokio::spawn(async move {
        for _ in 0..128 {
            common::within(feed.send(Ok(Bytes::from(vec![b'x'; 50_000])))).await.unwrap();
        }
    });
    // Past the budget it goes on by window, at the pace of the first, which lets others run.
    let mut read = 0;
    while let Some(bytes) = next(&mut first).await {
        read += bytes.expect("the only one that reads is not reset").len();
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
    feeding.await.unwrap();
    assert_eq!(read, 6_400_000);
    assert_eq!(common::within(part).await.unwrap().len(), 1000);
    assert_eq!(stand.cache.metrics().followers_reset.get(), 0);
}

#[tokio::test]
async fn readers_that_all_wait_for_what_has_not_come_are_not_left_waiting() {
    let (origin, bodies) = handed(|| fresh().header("content-length", "6400000"));
    let (feed, body) = fed();
    bodies.lock().unwrap().push(body);
    let stand = stand_with(&origin, |builder| builder.fill_memory(1_000_000).window(400_000));
    let leader = stand.get("/s").await;
    let near = stand.get_with("/s", &[("range", "bytes=5000000-5000999")]).await;
    let far = stand.get_with("/s", &[("range", "bytes=6000000-6000999")]).await;
    drop(leader);
    let reading = [near, far].map(|part| tokio::spawn(text(part)));
    for _ in 0..128 {
        common::within(feed.send(Ok(Bytes::from(vec![b'x'; 50_000])))).await.unwrap();
        assert!(stand.cache.metrics().fill_bytes.get() < 2_000_000);
    }
    drop(feed);
    for part in reading {
        assert_eq!(common::within(part).await.unwrap().len(), 1000);
    }
    assert_eq!(origin.asked(), 1);
}
