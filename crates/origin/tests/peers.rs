//! Plays about shields that share titles: each asks the owner of one before it asks an origin.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod support;

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use headwater_cache::{Cache, Downstream, Purge, PurgeSeq};
use headwater_net::balance::{Balance, BalanceConfig};
use headwater_net::{Body, Clock, Timestamp};
use headwater_origin::upstream::{Origins, PEER, Peers, RetryConfig};
use headwater_origin::{PrefetchConfig, Shield, ShieldBuilder};
use http::Request;
use support::{Origin, Reply, get, get_with, playlist, reply, segment};
use tower::util::BoxCloneSyncService;
use tower::{ServiceExt, service_fn};

type Way = BoxCloneSyncService<Request<Body>, http::Response<Body>, Infallible>;

/// The way to a shield that is built when the ways to it are there.
#[derive(Clone, Default)]
struct Door(Arc<OnceLock<Shield>>);

impl Door {
    fn way(&self) -> Way {
        let door = self.clone();
        BoxCloneSyncService::new(service_fn(move |request: Request<Body>| {
            // A message between machines: nothing but what is written in it arrives.
            let (head, body) = request.into_parts();
            let mut sent = Request::new(body);
            *sent.method_mut() = head.method;
            *sent.uri_mut() = head.uri;
            *sent.headers_mut() = head.headers;
            door.0.get().expect("it is built").clone().oneshot(sent)
        }))
    }

    fn shield(&self) -> &Shield {
        self.0.get().expect("it is built")
    }
}

fn builder(name: &str, origin: &Origin) -> ShieldBuilder {
    let cache = Cache::builder().name(name).downstream(Downstream::Caches).build();
    Shield::builder().origin(origin.clone()).cache(cache).prefetch(PrefetchConfig::default())
}

const NAMES: [&str; 3] = ["one", "two", "three"];

/// Three shields that know one another, before one origin.
fn three(origin: &Origin) -> [Door; 3] {
    let doors = [(); 3].map(|()| Door::default());
    for (own, door) in NAMES.iter().zip(&doors) {
        let others = NAMES.iter().zip(&doors).filter(|(name, _)| *name != own);
        let peers =
            others.fold(Peers::of(own), |peers, (name, other)| peers.peer(*name, 1, other.way()));
        let shield = builder(own, origin).peers(peers).build();
        assert!(door.0.set(shield).is_ok());
    }
    doors
}

#[tokio::test]
async fn a_title_is_fetched_from_the_origin_once_whichever_shield_is_asked() {
    let origin = Origin::new().otherwise(segment("of the origin"));
    let doors = three(&origin);
    for title in 0..12 {
        for door in &doors {
            let answer = get(door.shield(), &format!("/title-{title}/1.m4s")).await;
            assert_eq!((answer.status.as_u16(), answer.text()), (200, "of the origin"));
        }
        assert_eq!(origin.times(&format!("/title-{title}/1.m4s")), 1);
    }
    let counted = |count: fn(&Shield) -> u64| doors.iter().map(|door| count(door.shield())).sum();
    let (asked, owned): (u64, u64) = (
        counted(|shield| shield.metrics().peer_requests.get()),
        counted(|shield| shield.metrics().origin_requests.get()),
    );
    assert_eq!((asked, owned), (24, 12), "two of three ask the owner, and that asks the origin");
    assert!(doors.iter().all(|door| door.shield().metrics().origin_requests.get() > 0));
    let headers = origin.headers_of("/title-0/1.m4s");
    assert!(!headers.contains_key(PEER), "origins are told nothing of it");
    // What it got from its peer a shield keeps.
    for door in &doors {
        assert!(get(door.shield(), "/title-0/1.m4s").await.is_hit());
    }
    assert_eq!(counted(|shield| shield.metrics().peer_requests.get()), 24);
}

/// Two that disagree on whose a title is: each believes that it is the other's.
#[tokio::test]
async fn a_request_passes_one_peer_and_no_more() {
    let forgetful = |door: &Door| {
        let way = door.way();
        BoxCloneSyncService::new(service_fn(move |mut request: Request<Body>| {
            request.headers_mut().remove(PEER);
            way.clone().oneshot(request)
        }))
    };
    for forgets in [false, true] {
        let origin = Origin::new().otherwise(segment("of the origin"));
        let (one, two) = (Door::default(), Door::default());
        for (name, door, other) in [("one", &one, &two), ("two", &two, &one)] {
            let way = if forgets { forgetful(other) } else { other.way() };
            let peers = Peers::of("zero").weight(0).peer("other", 1, way);
            assert!(door.0.set(builder(name, &origin).peers(peers).build()).is_ok());
        }
        let answer = get(one.shield(), "/film/1.m4s").await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "of the origin"));
        assert_eq!(origin.times("/film/1.m4s"), 1);
        let asked = |door: &Door| door.shield().metrics().peer_requests.get();
        // Where the mark is lost, the loop is found by `CDN-Loop`.
        assert_eq!((asked(&one), asked(&two)), (1, u64::from(forgets)));
        assert_eq!(two.shield().metrics().peer_failures.get(), u64::from(forgets));
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_owner_is_ill_the_origin_is_asked_whatever_the_budget() {
    // What a stranger can bring about is no verdict on the owner.
    let (ill, unhelpful) = ([Reply::refuse(), reply(503)], [reply(508), Reply::silence()]);
    let ill = ill.map(|ill| (ill, (3, 1))).into_iter();
    for (ill, (asked, down)) in ill.chain(unhelpful.map(|reply| (reply, (5, 0)))) {
        let clock = Clock::manual(Timestamp::from_secs(1_700_000_000));
        let origin = Origin::new().otherwise(segment("of the origin"));
        let owner = Origin::new().otherwise(ill);
        let peers = Peers::of("zero").weight(0).peer("owner", 1, owner.clone());
        let shield = builder("one", &origin)
            .peers(peers.patience(Duration::from_millis(100)))
            .retry(RetryConfig::new(0, 0))
            .clock(clock.clone())
            .build();
        for number in 0..5 {
            let answer = get(&shield, &format!("/film/{number}.m4s")).await;
            assert_eq!((answer.status.as_u16(), answer.text()), (200, "of the origin"));
        }
        let metrics = shield.metrics();
        assert_eq!((owner.seen().len() as u64, metrics.peers_down.get()), (asked, down));
        assert_eq!((metrics.peer_failures.get(), metrics.origin_retries.get()), (asked, 0));
        assert_eq!((metrics.origins_down.get(), metrics.origin_failures.get()), (0, 0));

        // It is tried again by and by.
        let owner = owner.otherwise(segment("of the owner"));
        clock.advance(Duration::from_secs(3));
        assert_eq!(get(&shield, "/film/6.m4s").await.text(), "of the owner");
        assert_eq!(metrics.peers_down.get(), 0);
        // An answer of it is an answer.
        let _ = owner.otherwise(reply(404));
        assert_eq!(get(&shield, "/film/7.m4s").await.status, 404);
    }
}

/// Edges share a hot title out among two shields; the second has it from the first.
#[tokio::test]
async fn replicas_of_a_hot_title_cost_the_origin_nothing() {
    let origin = Origin::new().otherwise(segment("of the origin"));
    let doors = three(&origin);
    let edge = NAMES
        .iter()
        .zip(&doors)
        .fold(Balance::builder(), |all, (name, door)| all.member(*name, 1, door.way()));
    let edge = edge.config(BalanceConfig::default().replicas(2, 10)).build();
    let mut held = Vec::new();
    for _ in 0..40 {
        let request = Request::get("/hot/1.m4s").header("host", "video.example");
        let answer = edge.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        held.push(answer);
    }
    let asked: Vec<u64> = edge.members().iter().map(|member| member.asked).collect();
    assert_eq!(asked.iter().sum::<u64>(), 40);
    assert_eq!(origin.times("/hot/1.m4s"), 1, "{asked:?}");
    let replicas = doors.iter().filter(|door| door.shield().metrics().peer_requests.get() > 0);
    assert!(replicas.count() <= 1, "one replica beside the home: {asked:?}");
}

/// A peer that fetches ahead is no viewer: its shields fetch ahead of it no further.
#[tokio::test]
async fn what_a_peer_fetches_ahead_is_no_session() {
    let names: Vec<String> = (0..30).map(|number| format!("{number}.m4s")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let origin = Origin::new().otherwise(segment("s")).on("/film/v.m3u8", playlist(&names));
    let owner = Door::default();
    assert!(owner.0.set(builder("owner", &origin).build()).is_ok());
    let peers = Peers::of("zero").weight(0).peer("owner", 1, owner.way());
    let shield = builder("one", &origin).peers(peers).build();
    get(&shield, "/film/v.m3u8").await;
    support::settle().await;
    let issued = |shield: &Shield| shield.metrics().prefetch_issued.get();
    let (here, there) = (issued(&shield), issued(owner.shield()));
    let fields = [("headwater-peer", "ahead")];
    get_with(owner.shield(), "/film/9.m4s", &fields).await;
    support::settle().await;
    assert_eq!(issued(owner.shield()), there);
    get(&shield, "/film/9.m4s").await;
    support::eventually("it fetches ahead", || issued(&shield) > here).await;
    support::settle().await;
    assert_eq!(shield.metrics().origin_requests.get(), 0, "it asks its peer for that, too");
}

/// The owner has what was purged here, and no way to know that it was.
#[tokio::test]
async fn a_purge_is_not_undone_by_a_peer() {
    let origin = Origin::new().otherwise(segment("of the origin"));
    let owner = Origin::new().otherwise(segment("of the owner"));
    let cache = Cache::builder().name("one").downstream(Downstream::Caches).build();
    let peers = Peers::of("zero").weight(0).peer("owner", 1, owner.clone());
    let shield = builder("one", &origin).cache(cache.clone()).peers(peers).build();
    assert_eq!(get(&shield, "/film/1.m4s").await.text(), "of the owner");
    // An edge has seen a purge that is still on its way.
    let told = get_with(&shield, "/film/1.m4s", &[("headwater-purge-seq", "7")]).await;
    assert_eq!(told.text(), "of the origin");
    assert_eq!(get(&shield, "/film/2.m4s").await.text(), "of the owner");
    cache.purge(Purge::all()).await.unwrap();
    assert_eq!(get(&shield, "/film/2.m4s").await.text(), "of the origin");
    assert_eq!(owner.seen().len(), 2);
}

/// Purges that somebody numbers for all leave peers of use: one that has done them answers, and one that
/// has not says so, which is no verdict on it.
#[tokio::test]
async fn a_peer_that_has_done_a_purge_of_all_answers_after_it() {
    let origin = Origin::new().otherwise(segment("first"));
    let owner = Door::default();
    let caches = ["owner", "one"]
        .map(|name| Cache::builder().name(name).downstream(Downstream::Caches).build());
    let [owners, own] = &caches;
    assert!(owner.0.set(builder("owner", &origin).cache(owners.clone()).build()).is_ok());
    let peers = Peers::of("zero").weight(0).peer("owner", 1, owner.way());
    let shield = builder("one", &origin).cache(own.clone()).peers(peers).build();
    let asked = |shield: &Shield| shield.metrics().origin_requests.get();
    assert_eq!(get(&shield, "/film/1.m4s").await.text(), "first");
    assert_eq!((asked(owner.shield()), asked(&shield)), (1, 0));

    // It reaches the owner later.
    let _ = origin.clone().otherwise(segment("second"));
    let purge =
        |number| Purge::all().at(PurgeSeq::new(number)).following(PurgeSeq::new(number - 1));
    own.purge(purge(1)).await.unwrap();
    assert_eq!(get(&shield, "/film/1.m4s").await.text(), "second");
    assert_eq!((asked(owner.shield()), asked(&shield)), (1, 1), "it has what was purged");
    assert_eq!((shield.metrics().peer_failures.get(), shield.metrics().peers_down.get()), (1, 0));
    owners.purge(purge(1)).await.unwrap();
    assert_eq!(get(&shield, "/film/2.m4s").await.text(), "second");
    assert_eq!((asked(owner.shield()), asked(&shield)), (2, 1), "it has done the same");
    let told = origin.headers_of("/film/2.m4s");
    assert!(!told.keys().any(|name| name.as_str().starts_with("headwater-peer")), "{told:?}");

    // The owner may know of more, also of its own.
    owners.purge(Purge::tag("x")).await.unwrap();
    assert_eq!(get(&shield, "/film/3.m4s").await.text(), "second");
    assert_eq!((asked(owner.shield()), asked(&shield)), (3, 1));
    // What only this shield knows of, no number tells.
    own.purge(Purge::tag("x")).await.unwrap();
    assert_eq!(get(&shield, "/film/4.m4s").await.text(), "second");
    assert_eq!((asked(owner.shield()), asked(&shield)), (3, 2));
    // A purge of all that was made after it brings them together again, once the owner has done it, too.
    let agreed = || Purge::all().at(PurgeSeq::new(2)).agreed();
    own.purge(agreed()).await.unwrap();
    assert_eq!(get(&shield, "/film/5.m4s").await.text(), "second");
    assert_eq!((asked(owner.shield()), asked(&shield)), (3, 3), "it has not done it");
    owners.purge(agreed()).await.unwrap();
    assert_eq!(get(&shield, "/film/6.m4s").await.text(), "second");
    assert_eq!((asked(owner.shield()), asked(&shield)), (4, 3));
    for wrong in [Purge::all().agreed(), Purge::tag("x").at(PurgeSeq::new(3)).agreed()] {
        assert!(own.purge(wrong).await.is_err(), "it is numbered, and of all");
    }
}

#[tokio::test]
async fn a_lone_origin_that_is_down_is_the_last_resort_behind_a_peer() {
    let origin = Origin::new().otherwise(reply(503));
    let owner = Origin::new().otherwise(reply(508));
    let peers = Peers::of("zero").weight(0).peer("owner", 1, owner);
    let clock = Clock::manual(Timestamp::from_secs(1_700_000_000));
    let shield = builder("one", &origin).peers(peers).clock(clock).build();
    for number in 0..5 {
        get(&shield, &format!("/film/{number}.m4s")).await;
    }
    assert_eq!(shield.metrics().origins_down.get(), 1);
    let _ = origin.otherwise(segment("of the origin"));
    assert_eq!(get(&shield, "/film/5.m4s").await.text(), "of the origin");
}

#[tokio::test(start_paused = true)]
async fn a_slow_peer_is_not_hedged() {
    let origin = Origin::new().otherwise(segment("of the origin"));
    let owner = Origin::new().otherwise(segment("of the owner"));
    let peers = Peers::of("zero").weight(0).peer("owner", 1, owner.clone());
    let shield = builder("one", &origin).peers(peers).build();
    for number in 0..30 {
        assert_eq!(get(&shield, &format!("/film/{number}.m4s")).await.text(), "of the owner");
    }
    let _ = owner.otherwise(Reply::silence());
    assert_eq!(get(&shield, "/film/30.m4s").await.text(), "of the origin");
    assert_eq!(shield.metrics().origin_hedges.get(), 0);
}

#[test]
fn peers_do_not_stand_among_the_origins() {
    let peers = Peers::of("one").peer("two", 1, Origin::new());
    let origins = Origins::builder().origin(Origin::new()).peers(peers).build();
    assert_eq!(origins.standing().len(), 1);
}

/// Peers come and go while requests are answered; who stays keeps what is known of it.
#[tokio::test]
async fn peers_are_replaced_and_who_stays_keeps_its_health() {
    let clock = Clock::manual(Timestamp::from_secs(1_700_000_000));
    let [origin, two, three] =
        ["of the origin", "of two", "of three"].map(|text| Origin::new().otherwise(segment(text)));
    let ill = Origin::new().otherwise(reply(502));
    let own = || Peers::of("one").weight(0);
    let origins = Origins::builder().origin(origin.clone()).clock(clock).peers(own());
    let metrics = headwater_origin::Metrics::default();
    let origins = origins.metrics(metrics.clone()).build();
    let asked = async |path: &str| {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = origins.clone().oneshot(request).await.unwrap();
        let bytes = answer.into_body().collect(100).await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    };
    assert_eq!(asked("/film/1").await, "of the origin");
    origins.put_peers(Some(own().peer("two", 1, two.clone())));
    assert_eq!(asked("/film/2").await, "of two");
    // A handle that there was before knows them, too.
    origins.put_peers(Some(own().peer("ill", 1, ill.clone())));
    for segment in 3..6 {
        assert_eq!(asked(&format!("/film/{segment}")).await, "of the origin");
    }
    assert_eq!((ill.seen().len(), metrics.peers_down.get()), (3, 1));
    // With another client and another weight it is the one that is down.
    origins.put_peers(Some(own().peer("ill", 9, two.clone()).peer("three", 1, three.clone())));
    assert_eq!(asked("/film/6").await, "of three");
    assert_eq!((two.seen().len(), metrics.peers_down.get()), (1, 1));
    origins.put_peers(Some(own().peer("three", 1, three.clone())));
    assert_eq!(metrics.peers_down.get(), 0, "who is gone is not down");
    // Who comes again is new.
    origins.put_peers(Some(own().peer("ill", 1, two.clone())));
    assert_eq!(asked("/film/7").await, "of two");
    origins.put_peers(None);
    assert_eq!(asked("/film/8").await, "of the origin");
}
