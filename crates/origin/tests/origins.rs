//! Plays about several origins, and about collapse through the whole shield.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use headwater_net::balance::BalanceConfig;
use headwater_net::{Body, Clock, Timestamp};
use headwater_origin::Shield;
use headwater_origin::prefetch::Prefetched;
use headwater_origin::upstream::{
    HealthConfig, OriginConfig, OriginError, Origins, OriginsBuilder, PlacesConfig, RetryConfig,
};
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

/// One request at one time, and so many that may wait a minute for it; answers end when they are dropped.
fn narrow(waiting: usize) -> (Origin, Origins) {
    let origin = Origin::new().otherwise(segment("x").body_after(&Arc::new(Notify::new())));
    let places = PlacesConfig::new(1, waiting).patience(Duration::from_secs(60));
    let origins = Origins::builder().origin(origin.clone()).places(places).build();
    (origin, origins)
}

/// Sends a request, ahead of need where its path says so, and lets it come to where it waits.
async fn send(origins: &Origins, path: &str) -> tokio::task::JoinHandle<http::Response<Body>> {
    let mut request = fetch(path);
    if path.starts_with("/ahead") {
        request.extensions_mut().insert(Prefetched);
    }
    let origins = origins.clone();
    let sent = tokio::spawn(async move { origins.oneshot(request).await.unwrap() });
    support::settle().await;
    sent
}

#[tokio::test]
async fn a_real_request_overtakes_what_is_sent_ahead() {
    let (origin, origins) = narrow(8);
    let mut waiting = Vec::new();
    for path in ["/first", "/ahead-1", "/ahead-2", "/real-1", "/ahead-3", "/gone", "/real-2"] {
        waiting.push((path, send(&origins, path).await));
    }
    assert_eq!(origin.seen(), ["/first"]);
    assert!(!origins.has_room(&"/".parse().unwrap(), 100));
    for (path, sent) in waiting {
        if path == "/gone" {
            sent.abort();
        }
    }
    support::settle().await;
    // Nobody keeps an answer: each gives its place to the next.
    let order = ["/first", "/real-1", "/real-2", "/ahead-1", "/ahead-2", "/ahead-3"];
    eventually("all are answered", || origin.seen().len() == order.len()).await;
    assert_eq!(origin.seen(), order);
    assert!(origins.has_room(&"/".parse().unwrap(), 100), "the place came back");
}

#[tokio::test]
async fn a_real_request_that_finds_no_room_gets_that_of_one_sent_ahead() {
    let (origin, origins) = narrow(3);
    let held = ask(&origins, "/held".to_owned()).await;
    let mut ahead = Vec::new();
    for n in 1..=3 {
        ahead.push(send(&origins, &format!("/ahead-{n}")).await);
    }
    let mut real = Vec::new();
    for n in 1..=2 {
        real.push(send(&origins, &format!("/real-{n}")).await);
        let refused = ahead.pop().unwrap().await.unwrap();
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()["retry-after"]),
            (503, &"1".parse().unwrap())
        );
    }
    let late = send(&origins, "/ahead-4").await;
    assert_eq!(late.await.unwrap().status(), 503, "what is sent ahead takes nobody's room");
    assert!(!ahead[0].is_finished());
    real.push(send(&origins, "/real-3").await);
    assert_eq!(ahead.remove(0).await.unwrap().status(), 503);
    let late = send(&origins, "/real-4").await;
    assert_eq!(late.await.unwrap().status(), 503, "there are no more than so many");
    drop(held);
    for sent in real {
        assert_eq!(sent.await.unwrap().status(), 200);
    }
    assert_eq!(origin.seen(), ["/held", "/real-1", "/real-2", "/real-3"]);
}

/// Two origins of one priority.
fn alike() -> ([Origin; 2], OriginsBuilder) {
    let both = [Origin::new(), Origin::new()]
        .map(|origin| origin.otherwise(segment("x").body_after(&Arc::new(Notify::new()))));
    let [one, two] = &both;
    let origins = Origins::builder()
        .origin_with(one.clone(), OriginConfig::new("one", 0))
        .origin_with(two.clone(), OriginConfig::new("two", 0));
    (both, origins)
}

/// Asks for something, and has its body still to come.
async fn ask(origins: &Origins, target: String) -> http::Response<Body> {
    origins.clone().oneshot(Request::get(target).body(Body::Empty).unwrap()).await.unwrap()
}

#[tokio::test]
async fn what_names_a_title_may_lie_deeper() {
    for (depth, shared) in [(1, false), (2, true)] {
        let ([one, two], origins) = alike();
        let origins = origins.title_depth(depth).build();
        for title in 0..20 {
            let before = (one.seen().len(), two.seen().len());
            for name in ["main.m3u8", "v/1.m4s"] {
                drop(ask(&origins, format!("/vod/title-{title}/{name}")).await);
            }
            let after = (one.seen().len(), two.seen().len());
            assert!(after == (before.0 + 2, before.1) || after == (before.0, before.1 + 2));
        }
        assert_eq!(!one.seen().is_empty() && !two.seen().is_empty(), shared, "of {depth}");
    }
}

#[tokio::test]
async fn a_hot_title_has_a_second_member_and_a_full_one_is_passed_over() {
    let counts = |both: &[Origin; 2]| {
        let counts = both.each_ref().map(|origin| origin.seen().len());
        (counts[0].max(counts[1]), counts[0].min(counts[1]))
    };
    let seven = async |origins: Origins| {
        let mut under_way = Vec::new();
        for number in 0..7 {
            under_way.push(ask(&origins, format!("/film/{number}.m4s")).await);
        }
    };
    let ([one, two], origins) = alike();
    seven(origins.build()).await;
    assert_eq!(counts(&[one, two]), (7, 0), "as it is by itself");
    let ([one, two], origins) = alike();
    seven(origins.balance(BalanceConfig::default()).build()).await;
    assert_eq!(counts(&[one, two]), (7, 0), "neither hot nor full");
    let ([one, two], origins) = alike();
    seven(origins.balance(BalanceConfig::default().replicas(2, 4)).build()).await;
    assert_eq!(counts(&[one, two]), (4, 3), "three by themselves, then the less loaded of two");
    let ([one, two], origins) = alike();
    seven(origins.balance(BalanceConfig::default().slack(1).factor(150)).build()).await;
    // (7 + 1) × 1.5 / 2 = 6
    let counts = counts(&[one, two]);
    assert!(counts.1 > 0 && counts.0 <= 6, "{counts:?}");
}

#[tokio::test]
async fn room_is_that_of_the_origin_that_would_be_asked() {
    let ([one, two], origins) = alike();
    let origins = origins.places(PlacesConfig::new(2, 0)).build();
    let of_two: Vec<String> = (0..40)
        .map(|title| format!("/title-{title}/1.m4s"))
        .filter(|target| origins.home(&target.parse().unwrap()).unwrap() == "two")
        .collect();
    let mut all = (0..40).map(|title| format!("/title-{title}/1.m4s"));
    let of_one = all.find(|target| !of_two.contains(target)).unwrap();
    let has_room = |target: &str| origins.has_room(&target.parse().unwrap(), 50);
    assert!(has_room(&of_one) && has_room(&of_two[0]));
    let under_way = ask(&origins, of_two[0].clone()).await;
    assert_eq!((one.seen().len(), two.seen().len()), (0, 1));
    assert!(has_room(&of_one) && !has_room(&of_two[1]), "half of its places are taken");
    drop(under_way);
    assert!(has_room(&of_two[1]));
}
