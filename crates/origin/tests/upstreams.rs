//! Plays about which origin is asked: priority and weight, checks, all of them down.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod support;

use std::time::Duration;

use headwater_cache::{Cache, Choices, Downstream};
use headwater_net::{Body, Clock, Timestamp};
use headwater_origin::upstream::{
    CheckConfig, HealthConfig, HedgeConfig, OriginConfig, Origins, Peers, WhenDown,
};
use headwater_origin::{Metrics, Shield};
use http::{Request, Response};
use support::{Origin, Reply, get, reply, segment};
use tower::ServiceExt;

fn clock() -> Clock {
    Clock::manual(Timestamp::from_secs(1_700_000_000))
}

async fn fetch(origins: &Origins, path: &str) -> Response<Body> {
    let request = Request::get(path).body(Body::empty()).unwrap();
    origins.clone().oneshot(request).await.unwrap()
}

#[tokio::test]
async fn those_of_one_priority_share_by_weight_and_others_wait_until_they_are_down() {
    let [light, heavy, spare] = [0; 3].map(|_| Origin::new().otherwise(segment("s")));
    let origins = Origins::builder()
        .origin_with(spare.clone(), OriginConfig::new("spare", 9))
        .origin_with(light.clone(), OriginConfig::new("light", 1))
        .origin_with(heavy.clone(), OriginConfig::new("heavy", 1).weight(3))
        .clock(clock())
        .build();
    for title in 0..200 {
        for file in ["main.m3u8", "1.m4s"] {
            fetch(&origins, &format!("/title-{title}/{file}")).await;
        }
    }
    assert!(spare.seen().is_empty());
    let seen = light.seen();
    assert!((70..=130).contains(&seen.len()), "a quarter of 400: {}", seen.len());
    assert!(seen.chunks(2).all(|pair| pair[0].split('/').nth(1) == pair[1].split('/').nth(1)));

    let light = light.otherwise(Reply::refuse());
    let heavy = heavy.otherwise(Reply::refuse());
    for title in 0..20 {
        assert_eq!(fetch(&origins, &format!("/title-{title}/2.m4s")).await.status(), 200);
    }
    assert_eq!(spare.seen().len(), 20);
    assert_eq!(light.times("/title-0/2.m4s") + heavy.times("/title-0/2.m4s"), 2);
}

#[tokio::test]
async fn the_operator_says_which_statuses_are_failures() {
    let limited = Origin::new().otherwise(reply(429));
    let second = Origin::new().otherwise(segment("s"));
    let builder = || Origins::builder().origin(limited.clone()).origin(second.clone());
    assert_eq!(fetch(&builder().build(), "/a").await.status(), 429);
    let origins = builder().failover_on("429, 5xx".parse().unwrap()).build();
    assert_eq!(fetch(&origins, "/a").await.status(), 200);
    assert_eq!(fetch(&origins, "/b").await.status(), 200);
    assert_eq!((limited.seen().len(), second.seen().len()), (3, 2));
}

/// A body without a strong entity tag cannot be resumed; that it broke off counts all the same.
#[tokio::test]
async fn an_origin_whose_bodies_break_off_goes_down_whatever_its_tags() {
    let breaking = Origin::new().otherwise(segment("0123456789").cut_at(6));
    let second = Origin::new().otherwise(segment("0123456789"));
    let shield = Shield::builder().origin(breaking.clone()).origin(second.clone()).clock(clock());
    let shield = shield.build();
    for i in 0..3 {
        assert!(get(&shield, &format!("/{i}.m4s")).await.body.is_err());
    }
    assert_eq!(shield.metrics().origin_broken.get(), 3);
    assert_eq!(shield.metrics().origins_down.get(), 1);
    assert_eq!(get(&shield, "/3.m4s").await.text(), "0123456789");
    assert_eq!(second.seen(), ["/3.m4s"]);
}

/// The first is slow each time, and each time another answers before it does: that it is slow is
/// learnt, and after a while nobody hedges what takes as long as usual.
#[tokio::test(start_paused = true)]
async fn who_loses_against_a_hedge_is_known_to_be_slow() {
    let clock = clock();
    let first = Origin::new().otherwise(segment("first"));
    let second = tower::service_fn({
        let clock = clock.clone();
        move |_: Request<Body>| {
            clock.advance(Duration::from_secs(2));
            std::future::ready(Ok::<_, std::convert::Infallible>(Response::new(Body::from(
                "second",
            ))))
        }
    });
    let origins = Origins::builder()
        .origin(first.clone())
        .origin(second)
        .hedge(HedgeConfig::new(100, Duration::from_millis(50)))
        .clock(clock)
        .build();
    for i in 0..20 {
        fetch(&origins, &format!("/{i}")).await;
    }
    let _ = first.otherwise(Reply::silence());
    let wait = async |path: &str| {
        let began = tokio::time::Instant::now();
        fetch(&origins, path).await;
        began.elapsed()
    };
    assert_eq!(wait("/slow/1").await, Duration::from_millis(50));
    for i in 2..9 {
        wait(&format!("/slow/{i}")).await;
    }
    assert_eq!(wait("/slow/9").await, Duration::from_secs(2), "as long as it takes usually");
}

#[tokio::test(start_paused = true)]
async fn checks_take_an_origin_down_and_bring_it_up_while_nobody_asks() {
    let health = |status| reply(status).body("state");
    let first = Origin::new().otherwise(segment("first")).on("/health", health(200));
    let second = Origin::new().otherwise(segment("second")).on("/health", health(200));
    let shield = Shield::builder().origin(first.clone()).origin(second.clone()).build();
    let checks = CheckConfig::new("/health".parse().unwrap()).hysteresis(2, 3);
    let watching = tokio::spawn(shield.watch(checks));
    let checked = async |n: usize| {
        // The clock is driven: it stands still while anybody is busy.
        while first.times("/health") < n {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        support::settle().await;
    };
    checked(1).await;
    assert_eq!(get(&shield, "/1").await.text(), "first");

    let _ = first.clone().on("/health", health(500));
    checked(2).await;
    assert_eq!(shield.metrics().origins_down.get(), 0, "once is not twice");
    checked(3).await;
    assert_eq!(shield.metrics().origins_down.get(), 1);
    assert_eq!(get(&shield, "/2").await.text(), "second");

    let _ = first.clone().on("/health", health(204));
    checked(5).await;
    assert_eq!(get(&shield, "/3").await.text(), "second", "twice is not three times");
    checked(6).await;
    assert_eq!(get(&shield, "/4").await.text(), "first");
    assert_eq!(shield.metrics().origin_requests.get(), 4, "checks are no requests");

    // One that says nothing is not well.
    let _ = first.clone().on("/health", Reply::silence());
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(shield.metrics().origins_down.get(), 1);
    drop((second, shield));
    tokio::time::timeout(Duration::from_secs(30), watching).await.expect("it ends").unwrap();
}

#[tokio::test]
async fn who_is_asked_no_more_is_not_down() {
    let [ill, peer] =
        [Reply::refuse(), Reply::refuse()].map(|reply| Origin::new().otherwise(reply));
    let metrics = Metrics::default();
    let group = || {
        let peers = Peers::of("own").weight(0).peer("other", 1, peer.clone());
        let origins = Origins::builder().origin(ill.clone()).peers(peers).clock(clock());
        origins.health(HealthConfig::default().failures(1)).metrics(metrics.clone()).build()
    };
    let down = || (metrics.origins_down.get(), metrics.peers_down.get());
    let ask = async |origins: &Origins| {
        origins.clone().oneshot(Request::new(Body::Empty)).await.unwrap_err();
    };
    for retired in [true, false] {
        let (one, other) = (group(), group());
        ask(&one).await;
        ask(&other).await;
        assert_eq!(down(), (2, 2));
        if retired {
            one.retire();
            assert_eq!(down(), (1, 1));
            // What is under way there says nothing any more.
            ask(&one).await;
            one.retire();
        }
        drop(one);
        assert_eq!(down(), (1, 1), "the other group is as it was");
        drop(other);
        assert_eq!(down(), (0, 0));
    }
}

#[tokio::test]
async fn while_all_are_down_what_is_there_is_served_at_once_and_said_to_be_stale() {
    let clock = clock();
    let day = Duration::from_secs(86_400);
    let cache = Cache::builder()
        .name("shield")
        .clock(clock.clone())
        .downstream(Downstream::Caches)
        .choices(Choices::new().stale_if_unreachable(day))
        .build();
    let fresh = || segment("seen before").header("etag", "\"1\"");
    let origin = Origin::new().otherwise(fresh());
    let shield = Shield::builder()
        .origin(origin.clone())
        .cache(cache)
        .clock(clock.clone())
        .health(HealthConfig::default().failures(2).successes(2))
        .when_down(WhenDown::Refuse)
        .build();
    assert_eq!(get(&shield, "/a.m4s").await.text(), "seen before");
    clock.advance(Duration::from_secs(7200));

    // The origin dies. Two requests find out.
    let origin = origin.otherwise(Reply::refuse());
    assert_eq!(get(&shield, "/unknown.m4s").await.status, 502);
    assert_eq!(get(&shield, "/a.m4s").await.text(), "seen before");
    assert_eq!(shield.metrics().origins_down.get(), 1);
    // From now on nobody asks it, and who asks for something else is told so at once.
    let asked = origin.seen().len();
    for _ in 0..5 {
        let stale = get(&shield, "/a.m4s").await;
        assert_eq!((stale.status.as_u16(), stale.text()), (200, "seen before"));
        let said = stale.headers["cache-status"].to_str().unwrap();
        assert_eq!(said, "shield; hit; ttl=-3600");
        assert_eq!(get(&shield, "/unknown.m4s").await.status, 502);
    }
    assert_eq!(origin.seen().len(), asked);

    // It is back: two trials in a row have to succeed before all are asked of it again.
    let origin = origin.otherwise(fresh());
    clock.advance(Duration::from_secs(2));
    assert_eq!(get(&shield, "/b.m4s").await.text(), "seen before");
    assert_eq!(shield.metrics().origins_down.get(), 1, "one success is not two");
    assert_eq!(get(&shield, "/c.m4s").await.text(), "seen before");
    assert_eq!(shield.metrics().origins_down.get(), 0);
    clock.advance(Duration::from_secs(60));
    let asked = origin.times("/a.m4s");
    assert_eq!(get(&shield, "/a.m4s").await.text(), "seen before");
    assert_eq!(origin.times("/a.m4s"), asked + 1, "it is asked again");
}
