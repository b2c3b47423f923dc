//! Plays about several origins, and about collapse through the whole shield.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use headwater_net::{Body, Clock, Timestamp};
use headwater_origin::Shield;
use headwater_origin::upstream::{HealthConfig, OriginError, Origins, PlacesConfig, RetryConfig};
use http::{Method, Request};
use support::{Origin, Reply, eventually, get, reply, segment};
use tokio::sync::Notify;
use tower::ServiceExt;

fn two(first: &Origin, second: &Origin) -> Shield {
    Shield::builder().origin(first.clone()).origin(second.clone()).build()
}

#[tokio::test]
async fn fifty_clients_cost_the_origin_one_fetch() {
    let gate = Arc::new(Notify::new());
    let body = vec![7u8; 300_000];
    let origin = Origin::new().on("/s.m4s", segment(body.clone()).body_after(&gate));
    let shield = Shield::builder().origin(origin.clone()).build();
    let clients: Vec<_> = (0..50)
        .map(|_| {
            let shield = shield.clone();
            tokio::spawn(async move { get(&shield, "/s.m4s").await })
        })
        .collect();
    eventually("the fetch is under way", || origin.times("/s.m4s") == 1).await;
    support::settle().await;
    gate.notify_one();
    for client in clients {
        assert_eq!(client.await.unwrap().body.unwrap(), body);
    }
    assert_eq!(origin.times("/s.m4s"), 1);
}

#[tokio::test]
async fn another_origin_is_asked_when_one_refuses_or_is_unavailable() {
    for failing in [Reply::refuse(), reply(502), reply(503), reply(504)] {
        let first = Origin::new().otherwise(failing);
        let second = Origin::new().on("/s.m4s", segment("from the second"));
        let shield = two(&first, &second);
        let answer = get(&shield, "/s.m4s").await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "from the second"));
        assert_eq!((first.times("/s.m4s"), second.times("/s.m4s")), (1, 1));
        assert_eq!(shield.metrics().origin_retries.get(), 1);
    }
}

#[tokio::test]
async fn a_404_and_a_500_are_answers() {
    for status in [404, 500] {
        let first = Origin::new().otherwise(reply(status).header("cache-control", "no-store"));
        let second = Origin::new().otherwise(segment("not this"));
        let shield = two(&first, &second);
        assert_eq!(get(&shield, "/s.m4s").await.status, status);
        assert!(second.seen().is_empty());
    }
}

#[tokio::test]
async fn when_all_fail_the_client_is_told_so() {
    let down = Origin::new().otherwise(Reply::refuse());
    let answer = get(&two(&down, &down), "/s.m4s").await;
    assert_eq!(answer.status, 502);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert!(!answer.text().contains("refused"), "causes stay inside: {}", answer.text());
    assert_eq!(get(&Shield::builder().build(), "/s.m4s").await.status, 502);
}

#[tokio::test(start_paused = true)]
async fn a_silent_origin_is_left_after_the_first_byte_timeout() {
    let silent = Origin::new().otherwise(Reply::silence());
    let second = Origin::new().otherwise(segment("awake"));
    assert_eq!(get(&two(&silent, &second), "/s.m4s").await.text(), "awake");
    assert_eq!(get(&two(&silent, &silent), "/s.m4s").await.status, 504);
}

#[tokio::test]
async fn a_cut_body_is_an_error_and_is_not_asked_again() {
    let first = Origin::new().on("/s.m4s", segment("0123456789").cut_at(6));
    let second = Origin::new().on("/s.m4s", segment("0123456789"));
    let shield = two(&first, &second);
    let answer = get(&shield, "/s.m4s").await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.is_err(), "{answer:?}");
    assert!(second.seen().is_empty(), "never after the response was begun");
    // And it was not stored.
    assert!(get(&shield, "/s.m4s").await.body.is_err());
    assert_eq!(first.times("/s.m4s"), 2);
}

#[tokio::test]
async fn a_request_with_effects_is_sent_once() {
    let first = Origin::new().otherwise(reply(503));
    let second = Origin::new();
    let origins = Origins::builder().origin(first.clone()).origin(second.clone()).build();
    let request = Request::builder().method(Method::POST).uri("/x").body(Body::from("a")).unwrap();
    assert_eq!(origins.oneshot(request).await.unwrap().status(), 503);
    assert!(second.seen().is_empty());
}

fn fetch(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_failing_origin_is_left_alone_then_tried_with_one_request() {
    let clock = Clock::manual(Timestamp::from_secs(1_700_000_000));
    let first = Origin::new().otherwise(reply(503));
    let second = Origin::new().otherwise(segment("s"));
    let config = HealthConfig::default().failures(2);
    let origins = Origins::builder()
        .origin(first.clone())
        .origin(second.clone())
        .health(config)
        .clock(clock.clone())
        .build();
    for i in 0..5 {
        assert_eq!(origins.clone().oneshot(fetch(&format!("/{i}"))).await.unwrap().status(), 200);
    }
    assert_eq!(first.seen().len(), 2, "after two failures it is left alone");
    clock.advance(Duration::from_secs(2));
    let first = first.otherwise(segment("well again"));
    for i in 5..8 {
        origins.clone().oneshot(fetch(&format!("/{i}"))).await.unwrap();
    }
    assert_eq!(first.seen().len(), 5, "the trial succeeded and it leads again");
}

#[tokio::test]
async fn retries_stay_within_their_budget() {
    let clock = Clock::manual(Timestamp::from_secs(1_700_000_000));
    let flapping = Origin::new().otherwise(reply(503));
    let second = Origin::new().otherwise(segment("s"));
    let never_down = HealthConfig::default().failures(u32::MAX);
    let origins = Origins::builder()
        .origin(flapping.clone())
        .origin(second.clone())
        .health(never_down)
        .retry(RetryConfig::new(20, 3))
        .clock(clock)
        .build();
    for i in 0..50 {
        let _ = origins.clone().oneshot(fetch(&format!("/{i}"))).await;
    }
    assert_eq!(second.seen().len(), 3 + 10);
}

#[tokio::test]
async fn without_origins_there_is_an_error_and_no_panic() {
    let error = Origins::builder().build().oneshot(fetch("/")).await.unwrap_err();
    assert!(matches!(error, OriginError::NoOrigin));
}

/// What may not be stored passes uncollapsed; the origin is still given no more than its places.
#[tokio::test]
async fn passes_beyond_the_places_wait_and_beyond_those_are_told_to_come_again() {
    let gate = Arc::new(Notify::new());
    let private = segment("for one").header("cache-control", "no-store").body_after(&gate);
    let origin = Origin::new().otherwise(private);
    let places = PlacesConfig::new(2, 3);
    let shield = Shield::builder().origin(origin.clone()).places(places).build();
    let ask = |i: usize| {
        let shield = shield.clone();
        tokio::spawn(async move { get(&shield, &format!("/{i}")).await })
    };
    let clients: Vec<_> = (0..5).map(ask).collect();
    eventually("two are answered", || origin.seen().len() == 2).await;
    support::settle().await;
    assert_eq!(origin.seen().len(), 2, "a place is held until the last byte");
    for i in 5..8 {
        let refused = get(&shield, &format!("/{i}")).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.headers["retry-after"]),
            (503, &"1".parse().unwrap())
        );
        assert_eq!(refused.headers["content-type"], "application/problem+json");
    }
    assert_eq!(shield.metrics().origin_busy.get(), 3);
    assert_eq!(shield.metrics().origins_down.get(), 0, "being busy is not being down");
    for n in 2..=5 {
        gate.notify_one();
        eventually("the next is let in", || origin.seen().len() == (n + 1).min(5)).await;
    }
    gate.notify_one();
    for client in clients {
        assert_eq!(client.await.unwrap().text(), "for one");
    }
    assert_eq!(shield.metrics().origin_requests.get(), 5);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_place_for_ever_and_places_come_back() {
    let silent = Origin::new().otherwise(Reply::silence());
    let second = Origin::new().otherwise(segment("has a place"));
    let build = |origins: &[&Origin]| {
        let builder = Origins::builder().places(PlacesConfig::new(1, 1));
        origins.iter().fold(builder, |b, &origin| b.origin(origin.clone())).build()
    };
    let alone = build(&[&silent]);
    let first = tokio::spawn(alone.clone().oneshot(fetch("/1")));
    eventually("the place is taken", || silent.seen().len() == 1).await;
    let began = tokio::time::Instant::now();
    assert_eq!(alone.clone().oneshot(fetch("/2")).await.unwrap().status(), 503);
    assert_eq!(began.elapsed().as_secs(), 5);
    // Who goes away gives his place back.
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let third = tokio::spawn(alone.oneshot(fetch("/3")));
    eventually("the next is asked", || silent.seen().len() == 2).await;
    third.abort();

    let both = build(&[&silent, &second]);
    let holds = tokio::spawn(both.clone().oneshot(fetch("/4")));
    eventually("the first is full", || silent.times("/4") == 1).await;
    let waits = tokio::spawn(both.clone().oneshot(fetch("/5")));
    support::settle().await;
    assert_eq!(both.oneshot(fetch("/6")).await.unwrap().status(), 200, "the other has a place");
    assert_eq!(second.seen(), ["/6"]);
    holds.abort();
    waits.abort();
}
