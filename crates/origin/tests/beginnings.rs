//! Plays about whole sessions: how they begin, whom prefetch gives way to, and when it gives up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use headwater_net::{Body, Clock, Timestamp};
use headwater_origin::upstream::{HedgeConfig, OriginConfig, PlacesConfig};
use headwater_origin::{HintTrust, PrefetchConfig, Shield};
use http::Request;
use support::{Origin, eventually, get, get_with, reply, segment, settle};
use tokio::sync::Notify;
use tower::ServiceExt;

fn manifest(text: impl Into<String>) -> support::Reply {
    let reply = reply(200).header("content-type", "application/vnd.apple.mpegurl");
    reply.header("cache-control", "max-age=60").body(text.into())
}

/// Segments `name/0.mp4` to `name/5.mp4`, with an init segment.
fn list(name: &str) -> String {
    let segments =
        (0..6).map(|i| format!("#EXTINF:4,\n{name}/{i}.mp4\n")).collect::<Vec<_>>().concat();
    format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MAP:URI=\"{name}/init.mp4\"\n{segments}\
         #EXT-X-ENDLIST\n"
    )
}

/// A ladder of two and sound; what is asked for besides the manifests is a segment.
fn film() -> Origin {
    let main = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",URI=\"a.m3u8\"\n\
                #EXT-X-STREAM-INF:BANDWIDTH=1000000,AUDIO=\"a\"\nlow.m3u8\n\
                #EXT-X-STREAM-INF:BANDWIDTH=4000000,AUDIO=\"a\"\nhigh.m3u8\n";
    let origin = Origin::new().on("/f/main.m3u8", manifest(main)).otherwise(segment("a segment"));
    ["a", "low", "high"]
        .iter()
        .fold(origin, |origin, name| origin.on(&format!("/f/{name}.m3u8"), manifest(list(name))))
}

#[tokio::test]
async fn who_asks_for_a_manifest_finds_everything_it_begins_with() {
    let origin = film();
    let shield = Shield::builder().origin(origin.clone()).build();
    get(&shield, "/f/main.m3u8").await;
    let names = ["a", "low", "high"];
    let beginnings =
        names.map(|name| [format!("/f/{name}.m3u8"), format!("/f/{name}/init.mp4")]).concat();
    eventually("all of it is there", || shield.metrics().prefetch_issued.get() == 8).await;
    settle().await;
    assert_eq!(origin.times("/f/high/0.mp4"), 0, "players begin with what is listed first");
    for path in beginnings.iter().map(String::as_str).chain(["/f/a/0.mp4", "/f/low/0.mp4"]) {
        assert_eq!(origin.times(path), 1, "{path}");
        assert!(get(&shield, path).await.is_hit(), "{path}");
    }
    assert_eq!(shield.metrics().prefetch_used.get(), 8);
    assert_eq!(origin.times("/f/low/2.mp4"), 0, "no more than what comes next");
    get(&shield, "/f/main.m3u8").await;
    settle().await;
    assert_eq!(origin.times("/f/low.m3u8"), 1, "it begins once");

    let few = film();
    let shield = Shield::builder().prefetch(PrefetchConfig::default().heads(1));
    let shield = shield.origin(few.clone()).build();
    get_with(&shield, "/f/main.m3u8", &[("authorization", "Bearer x")]).await;
    settle().await;
    assert_eq!(few.seen().len(), 1, "what is one client's begins nothing");
}

/// Where sessions of one title begin is where those of the next will.
#[tokio::test]
async fn where_sessions_began_they_begin_again() {
    let main = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000000\nlow.m3u8\n\
                #EXT-X-STREAM-INF:BANDWIDTH=4000000\nhigh.m3u8\n";
    let other = film().on("/g/main.m3u8", manifest(main));
    let origin = ["low", "high"]
        .iter()
        .fold(other, |origin, name| origin.on(&format!("/g/{name}.m3u8"), manifest(list(name))));
    let shield = Shield::builder().origin(origin.clone()).build();
    for path in ["/f/main.m3u8", "/f/high.m3u8", "/f/high/0.mp4"] {
        get(&shield, path).await;
    }
    get(&shield, "/g/main.m3u8").await;
    eventually("it begins high", || origin.times("/g/high/0.mp4") == 1).await;
    settle().await;
    assert_eq!(origin.times("/g/low/0.mp4"), 0);
    assert_eq!(origin.times("/g/low/init.mp4"), 1);
}

/// The origin answers one at a time. A real request takes the place of a prefetch.
#[tokio::test]
async fn a_real_request_does_not_wait_behind_a_prefetch() {
    let never = Arc::new(Notify::new());
    // Less than half of it comes: what is further is finished.
    let origin = film().on("/f/low/1.mp4", segment(vec![0; 1001]).body_after(&never));
    let config = PrefetchConfig::default().heads(0).share(100);
    let shield = Shield::builder()
        .origin(origin.clone())
        .places(PlacesConfig::new(1, 8))
        .prefetch(config)
        .build();
    get(&shield, "/f/low.m3u8").await;
    get(&shield, "/f/low/0.mp4").await;
    eventually("the place is taken", || origin.times("/f/low/1.mp4") == 1).await;
    assert_eq!(get(&shield, "/other").await.text(), "a segment");
    assert!(shield.metrics().prefetch_cancelled.get() >= 1);
    assert_eq!(shield.metrics().origin_busy.get(), 0);
}

/// Two are fetched ahead, and the origin answers one at a time: the other waits, behind what nobody waits
/// for, until somebody waits for it.
#[tokio::test]
async fn what_waits_for_its_place_yields_until_somebody_waits_for_it() {
    let never = Arc::new(Notify::new());
    let slow = segment(vec![0; 1001]).body_after(&never);
    let origin = film().on("/f/low/3.mp4", slow).on("/f/high/5.mp4", segment("long awaited"));
    let shield = Shield::builder()
        .origin(origin.clone())
        .places(PlacesConfig::new(1, 8).patience(Duration::from_secs(60)))
        .hints(HintTrust::Everyone)
        .prefetch(PrefetchConfig::default().heads(0).share(100))
        .build();
    let hints = "headwater-hints 1\n//video.example/f/x n=low/3.mp4 n=high/5.mp4\n";
    let told = Request::post(headwater_proto::hints::PATH).body(Body::from(hints)).unwrap();
    assert_eq!(shield.clone().oneshot(told).await.unwrap().status(), 204);
    eventually("both are sent", || shield.metrics().prefetch_issued.get() == 2).await;
    eventually("one has the place", || origin.times("/f/low/3.mp4") == 1).await;
    settle().await;
    assert_eq!(origin.times("/f/high/5.mp4"), 0);
    let client = tokio::spawn({
        let shield = shield.clone();
        async move { get(&shield, "/f/high/5.mp4").await }
    });
    eventually("what is in its way is given up", || shield.metrics().prefetch_cancelled.get() == 1)
        .await;
    assert_eq!(client.await.unwrap().text(), "long awaited");
    assert_eq!(shield.metrics().prefetch_promoted.get(), 1);
    assert_eq!(origin.headers_of("/f/low/3.mp4")["priority"], "u=6");
    let fields = origin.headers_of("/f/high/5.mp4");
    assert!(!fields.contains_key("priority"), "it was sent for somebody who waits");
}

/// Two origins that share titles, each of which answers one request at a time.
#[tokio::test]
async fn who_waits_at_one_origin_ends_and_keeps_back_nothing_at_another() {
    let (never, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let full = Origin::new().otherwise(segment("a segment"));
    let free = Origin::new().otherwise(segment("a segment"));
    let shield = Shield::builder()
        .origin_with(full.clone(), OriginConfig::new("full", 0))
        .origin_with(free.clone(), OriginConfig::new("free", 0))
        .places(PlacesConfig::new(1, 8).patience(Duration::from_secs(60)))
        .hedge(HedgeConfig::new(0, Duration::from_secs(60)))
        .prefetch(PrefetchConfig::default().heads(0).ahead(1).share(100))
        .build();
    let titles: Vec<String> = (0..64).map(|n| format!("/{n}")).collect();
    for title in &titles {
        get(&shield, &format!("{title}/which")).await;
    }
    let of = |origin: &Origin| {
        let mut its = titles.iter().filter(|title| origin.times(&format!("{title}/which")) == 1);
        its.next().unwrap().clone()
    };
    let (there, here) = (of(&full), of(&free));
    let at = |name: &str| format!("{here}/low{name}");
    let free = free
        .on(&at(".m3u8"), manifest(list("low")))
        .on(&at("/1.mp4"), segment(vec![0; 1001]).body_after(&gate));
    get(&shield, &at(".m3u8")).await;
    get(&shield, &at("/0.mp4")).await;
    eventually("a prefetch is under way", || free.times(&at("/1.mp4")) == 1).await;

    let ask = |path: String| {
        let shield = shield.clone();
        tokio::spawn(async move { get(&shield, &path).await })
    };
    let busy = format!("{there}/busy");
    let full = full.on(&busy, segment("long awaited").body_after(&never));
    let first = ask(busy.clone());
    eventually("the one place is taken", || full.times(&busy) == 1).await;
    let second = ask(format!("{there}/waits"));
    settle().await;
    let metrics = shield.metrics();
    assert_eq!((full.times(&format!("{there}/waits")), metrics.prefetch_cancelled.get()), (0, 0));
    gate.notify_one();
    assert_eq!(get(&shield, &at("/1.mp4")).await.status, 200);
    eventually("and the next is begun", || free.times(&at("/2.mp4")) == 1).await;
    assert_eq!((metrics.prefetch_cancelled.get(), metrics.prefetch_refused.get()), (0, 0));
    assert!(!second.is_finished(), "all the while");
    never.notify_one();
    assert_eq!(first.await.unwrap().text(), "long awaited");
    assert_eq!(second.await.unwrap().status, 200);
}

#[tokio::test]
async fn one_that_a_real_request_joined_keeps_its_place() {
    let gate = Arc::new(Notify::new());
    let origin = film().on("/f/low/1.mp4", segment("long awaited").body_after(&gate));
    let config = PrefetchConfig::default().heads(0).ahead(1).share(100);
    let shield = Shield::builder()
        .origin(origin.clone())
        .places(PlacesConfig::new(1, 8))
        .prefetch(config)
        .build();
    get(&shield, "/f/low.m3u8").await;
    get(&shield, "/f/low/0.mp4").await;
    eventually("the prefetch is under way", || origin.times("/f/low/1.mp4") == 1).await;
    let ask = |path: &'static str| {
        let shield = shield.clone();
        tokio::spawn(async move { get(&shield, path).await })
    };
    let joined = ask("/f/low/1.mp4");
    eventually("it is promoted", || shield.metrics().prefetch_promoted.get() == 1).await;
    let other = ask("/other");
    settle().await;
    gate.notify_one();
    assert_eq!(joined.await.unwrap().text(), "long awaited");
    assert_eq!(other.await.unwrap().text(), "a segment");
    assert_eq!(origin.times("/f/low/1.mp4"), 1);
    let metrics = shield.metrics();
    assert_eq!((metrics.prefetch_used.get(), metrics.prefetch_cancelled.get()), (1, 0));
    eventually("its bytes were of use", || metrics.prefetch_used_bytes.get() == 12).await;
}

#[tokio::test]
async fn beyond_the_share_of_the_origin_nothing_is_fetched_ahead() {
    let gate = Arc::new(Notify::new());
    let origin = film().on("/busy", segment("x".repeat(10)).body_after(&gate));
    let shield = Shield::builder()
        .origin(origin.clone())
        .places(PlacesConfig::new(2, 8))
        .prefetch(PrefetchConfig::default().heads(0))
        .build();
    get(&shield, "/f/low.m3u8").await;
    let busy = tokio::spawn({
        let shield = shield.clone();
        async move { get(&shield, "/busy").await }
    });
    eventually("one of two places is taken", || origin.times("/busy") == 1).await;
    get(&shield, "/f/low/0.mp4").await;
    eventually("it is refused", || shield.metrics().prefetch_refused.get() == 1).await;
    gate.notify_one();
    busy.await.unwrap();
    get(&shield, "/f/low/1.mp4").await;
    eventually("now there is room", || origin.times("/f/low/2.mp4") == 1).await;
}

/// The session switches up: what was being fetched for it in its old rendition is given up.
#[tokio::test]
async fn what_a_session_left_behind_is_given_up() {
    let never = Arc::new(Notify::new());
    let origin = film().on("/f/low/2.mp4", segment(vec![0; 1000]).body_after(&never));
    let shield = Shield::builder()
        .origin(origin.clone())
        .prefetch(PrefetchConfig::default().heads(0).ahead(1))
        .build();
    for path in ["/f/main.m3u8", "/f/low.m3u8", "/f/high.m3u8", "/f/low/1.mp4"] {
        get(&shield, path).await;
    }
    eventually("2 of low is under way", || origin.times("/f/low/2.mp4") == 1).await;
    get(&shield, "/f/high/2.mp4").await;
    eventually("it is given up", || shield.metrics().prefetch_cancelled.get() == 1).await;
    eventually("its bytes are wasted", || shield.metrics().prefetch_wasted_bytes.get() == 500)
        .await;
    eventually("3 of high is there", || origin.times("/f/high/3.mp4") == 1).await;
}

/// The viewer seeks: what was being fetched for where it was is given up, and what comes after the place
/// where it landed is fetched.
#[tokio::test]
async fn after_a_seek_is_fetched_what_comes_next_there() {
    let never = Arc::new(Notify::new());
    let origin = film().on("/f/low/2.mp4", segment(vec![0; 1000]).body_after(&never));
    let shield = Shield::builder()
        .origin(origin.clone())
        .prefetch(PrefetchConfig::default().heads(0).ahead(1))
        .build();
    for path in ["/f/low.m3u8", "/f/low/0.mp4", "/f/low/1.mp4"] {
        get(&shield, path).await;
    }
    eventually("2 is under way", || origin.times("/f/low/2.mp4") == 1).await;
    get(&shield, "/f/low/4.mp4").await;
    eventually("it is given up", || shield.metrics().prefetch_cancelled.get() == 1).await;
    eventually("5 is there", || origin.times("/f/low/5.mp4") == 1).await;
    settle().await;
    assert!(get(&shield, "/f/low/5.mp4").await.is_hit());
}

#[tokio::test]
async fn what_is_fetched_for_one_who_fell_silent_is_given_up() {
    let never = Arc::new(Notify::new());
    let origin = film().on("/f/low/1.mp4", segment(vec![0; 1000]).body_after(&never));
    let clock = Clock::manual(Timestamp::from_secs(1_700_000_000));
    let shield = Shield::builder()
        .origin(origin.clone())
        .prefetch(PrefetchConfig::default().heads(0).ahead(1))
        .clock(clock.clone())
        .build();
    get(&shield, "/f/low.m3u8").await;
    get(&shield, "/f/low/0.mp4").await;
    eventually("1 is under way", || origin.times("/f/low/1.mp4") == 1).await;
    clock.advance(Duration::from_secs(21));
    eventually("it is given up", || shield.metrics().prefetch_cancelled.get() == 1).await;
}

#[test]
fn what_is_counted_is_registered() {
    let mut registry = prometheus_client::registry::Registry::default();
    Shield::builder().build().metrics().register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for name in [
        "issued",
        "redundant",
        "used",
        "used_bytes",
        "promoted",
        "wasted",
        "wasted_bytes",
        "cancelled",
        "failed",
        "too_large",
        "dropped",
        "refused",
        "bytes",
    ] {
        assert!(text.contains(&format!("headwater_origin_prefetch_{name}_total 0")), "{name}");
    }
    for name in ["hint_messages", "hints_taken", "hints_refused", "live_shortened"] {
        assert!(text.contains(&format!("headwater_origin_{name}_total 0")), "{name}");
    }
}
