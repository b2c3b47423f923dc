//! Plays about what edges tell: sessions that the shield does not see, and what players announce.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use headwater_net::{Body, Clock, Secret, Timestamp};
use headwater_origin::learn::{LearnLayer, SharedMap};
use headwater_origin::map::Limits;
use headwater_origin::{HintTrust, Metrics, PrefetchConfig, Sense, Shield};
use headwater_proto::hints::{PATH, SameProcess};
use http::{Method, Request};
use support::{Origin, eventually, get, reply, segment, settle};
use tokio::sync::Notify;
use tower::{Layer, ServiceExt};

/// Two renditions of six segments, and one file of three.
fn film() -> Origin {
    let manifest = |text: String| {
        reply(200)
            .header("content-type", "application/vnd.apple.mpegurl")
            .header("cache-control", "max-age=60")
            .body(text)
    };
    let list = |name: &str| {
        let segments =
            (0..6).map(|i| format!("#EXTINF:4,\n{name}/{i}.mp4\n")).collect::<Vec<_>>().concat();
        manifest(format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MAP:URI=\"{name}/init.mp4\"\n{segments}\
             #EXT-X-ENDLIST\n"
        ))
    };
    let main = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000000\nlow.m3u8\n\
                #EXT-X-STREAM-INF:BANDWIDTH=4000000\nhigh.m3u8\n";
    Origin::new()
        .on("/f/main.m3u8", manifest(main.to_owned()))
        .on("/f/low.m3u8", list("low"))
        .on("/f/high.m3u8", list("high"))
        .otherwise(segment("a segment"))
}

async fn shield(origin: &Origin, trust: HintTrust) -> Shield {
    shield_by(Clock::system(), origin, trust).await
}

async fn shield_by(clock: Clock, origin: &Origin, trust: HintTrust) -> Shield {
    let config = PrefetchConfig::default().heads(0).ahead(1);
    let shield = Shield::builder().origin(origin.clone()).prefetch(config).hints(trust);
    let shield = shield.clock(clock).build();
    for path in ["/f/main.m3u8", "/f/low.m3u8", "/f/high.m3u8"] {
        get(&shield, path).await;
    }
    shield
}

/// An edge, or somebody who would like to be one.
async fn tell(shield: &Shield, link: Option<&str>, same_process: bool, lines: &str) -> u16 {
    let mut request = Request::builder().method(Method::POST).uri(PATH);
    if let Some(link) = link {
        request = request.header("headwater-link", link);
    }
    if same_process {
        request = request.extension(SameProcess);
    }
    let request = request.body(Body::from(format!("headwater-hints 1\n{lines}"))).unwrap();
    let answer = shield.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
    answer.status().as_u16()
}

#[tokio::test]
async fn a_session_that_an_edge_serves_is_fetched_for() {
    let origin = film();
    let shield = shield(&origin, HintTrust::Nobody).await;
    let told = tell(&shield, None, true, "//video.example/f/low/2.mp4 k=7\n").await;
    assert_eq!(told, 204);
    eventually("3 of low is fetched", || origin.times("/f/low/3.mp4") == 1).await;
    settle().await;
    assert_eq!(origin.times("/f/low/2.mp4"), 0, "the edge has it");
    assert!(get(&shield, "/f/low/3.mp4").await.is_hit(), "under the key that edges ask for");
    let metrics = shield.metrics();
    assert_eq!((metrics.hint_messages.get(), metrics.hints_taken.get()), (1, 1));
    assert_eq!(metrics.segment_requests.get(), 1, "a hint is no request");
}

/// Hints of what was noted here already bring what players told, and are no requests once more.
#[tokio::test]
async fn what_was_noted_here_is_not_counted_again() {
    let origin = film();
    let map = SharedMap::new(Limits::default(), Metrics::default());
    let behind = LearnLayer::new(map.clone()).layer(origin.clone());
    let config = PrefetchConfig::default().heads(0).ahead(1);
    let sense = Sense::builder().prefetch(config).build(map, behind.clone());
    let request = |path: &str| {
        Request::get(path).header("host", "video.example").body(Body::empty()).unwrap()
    };
    for path in ["/f/main.m3u8", "/f/low.m3u8", "/f/high.m3u8"] {
        let answer = behind.clone().oneshot(request(path)).await.unwrap();
        answer.into_body().collect(1 << 16).await.unwrap();
    }
    let tell = async |line: &str| {
        let message = format!("headwater-hints 1\n//video.example/f/low/{line}\n");
        let request = Request::post(PATH).extension(SameProcess).body(Body::from(message)).unwrap();
        assert_eq!(sense.clone().take_told(request).await.status(), 204);
    };
    let asked = async |path: &str| {
        let noted = sense.note(&request(path));
        if let Some(noted) = noted {
            noted.answered(http::StatusCode::OK);
        }
    };
    // Of nobody who is there, what was named is all that is fetched.
    tell("3.mp4 k=1 t=9000-9000 n=named.mp4").await;
    eventually("it is fetched", || origin.times("/f/low/named.mp4") == 1).await;
    settle().await;
    assert_eq!((origin.times("/f/low/4.mp4"), origin.times("/f/high/4.mp4")), (0, 0));
    // Of who is, what is about to come, too.
    asked("/f/low/1.mp4").await;
    eventually("2 of low is fetched", || origin.times("/f/low/2.mp4") == 1).await;
    tell("1.mp4 k=1 t=9000-9000").await;
    eventually("2 of high is fetched", || origin.times("/f/high/2.mp4") == 1).await;
    // Who has gone on has not jumped back.
    asked("/f/low/2.mp4").await;
    eventually("3 of low is fetched", || origin.times("/f/low/3.mp4") == 1).await;
    tell("1.mp4 k=1 t=9000-9000 n=other.mp4").await;
    eventually("what was named", || origin.times("/f/low/other.mp4") == 1).await;
    settle().await;
    assert_eq!(origin.times("/f/low/2.mp4"), 1);
    assert_eq!((sense.metrics().hints_taken.get(), sense.metrics().segment_requests.get()), (3, 2));
}

/// A hint comes later than parts do: by then its session has left the part that it names, and a session for
/// each would drive out those that are there.
#[tokio::test]
async fn of_parts_that_were_noted_here_no_session_is_made() {
    let segment_of = |i| format!("#EXT-X-PART:DURATION=4,URI=\"{i}.0.mp4\"\n#EXTINF:4,\n{i}.mp4\n");
    let segments = (0..75).map(segment_of).collect::<Vec<_>>().concat();
    let list =
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-PART-INF:PART-TARGET=4\n{segments}");
    let list = reply(200).header("content-type", "application/vnd.apple.mpegurl").body(list);
    let origin = film().on("/p/l.m3u8", list);
    let map = SharedMap::new(Limits::default(), Metrics::default());
    let behind = LearnLayer::new(map.clone()).layer(origin.clone());
    let config = PrefetchConfig::default().heads(0).ahead(1);
    let sense = Sense::builder().prefetch(config).build(map, behind.clone());
    let request = |path: &str| {
        Request::get(path).header("host", "video.example").body(Body::empty()).unwrap()
    };
    let answer = behind.clone().oneshot(request("/p/l.m3u8")).await.unwrap();
    answer.into_body().collect(1 << 16).await.unwrap();
    let tell = async |lines: String| {
        let message = format!("headwater-hints 1\n{lines}");
        let request = Request::post(PATH).extension(SameProcess).body(Body::from(message)).unwrap();
        assert_eq!(sense.clone().take_told(request).await.status(), 204);
    };
    assert!(sense.note(&request("/p/72.mp4")).is_some(), "a session begins, and has no answer yet");
    let late = (0..70).rev().map(|i| format!("//video.example/p/{i}.0.mp4 k=1\n"));
    tell(late.collect::<Vec<_>>().concat()).await;
    tell("//video.example/p/72.mp4 k=1\n".to_owned()).await;
    eventually("it is still there", || origin.times("/p/73.mp4") == 1).await;
}

/// Players of another site: what is fetched ahead for them is what they will ask for.
#[tokio::test]
async fn what_is_fetched_for_those_edges_serve_is_the_variant_that_browsers_ask_for() {
    let vary = |name| segment(name).header("vary", "Origin");
    let origin = film().on("/f/low/0.mp4", vary("0")).on("/f/low/4.mp4", vary("4"));
    let shield = shield(&origin, HintTrust::Everyone).await;
    let fields = [("origin", "https://site.example")];
    support::get_with(&shield, "/f/low/0.mp4", &fields).await;
    tell(&shield, None, false, "//video.example/f/low/3.mp4 k=7 n=9.mp4\n").await;
    for path in ["/f/low/4.mp4", "/f/low/9.mp4"] {
        eventually("it is fetched", || origin.times(path) == 1).await;
        assert_eq!(origin.headers_of(path)["origin"], "https://site.example", "{path}");
    }
    settle().await;
    assert!(support::get_with(&shield, "/f/low/4.mp4", &fields).await.is_hit());
    assert_eq!(origin.times("/f/low/4.mp4"), 1);
}

#[tokio::test]
async fn what_only_edges_tell_of_is_forgotten_as_well() {
    let clock = Clock::manual(Timestamp::from_secs(1_700_000_000));
    let origin = film();
    let shield = shield_by(clock.clone(), &origin, HintTrust::Everyone).await;
    let metrics = shield.metrics();
    assert_eq!(tell(&shield, None, false, "//video.example/f/low/2.mp4 k=7\n").await, 204);
    eventually("3 of low is fetched", || origin.times("/f/low/3.mp4") == 1).await;
    settle().await;
    assert_eq!(metrics.prefetch_wasted.get(), 0);
    clock.advance(Duration::from_secs(61));
    assert_eq!(tell(&shield, None, false, "//video.example/f/low/4.mp4 k=7\n").await, 204);
    eventually("3 was for nobody", || metrics.prefetch_wasted.get() > 0).await;
}

#[tokio::test]
async fn neighbours_are_fetched_where_throughput_says_so() {
    for (rates, low, high) in [("1100-1100", 1, 0), ("5000-9000", 1, 1), ("2000-3000", 1, 0)] {
        let origin = film();
        let shield = shield(&origin, HintTrust::Everyone).await;
        let line = format!("//video.example/f/low/1.mp4 k=2 t={rates}\n");
        assert_eq!(tell(&shield, None, false, &line).await, 204);
        eventually("2 of low", || origin.times("/f/low/2.mp4") == low).await;
        eventually("2 of high", || origin.times("/f/high/2.mp4") == high).await;
        settle().await;
        assert_eq!(origin.times("/f/high/2.mp4"), high, "{rates}");
        assert_eq!(origin.times("/f/high/init.mp4"), high, "{rates}: with what it needs");
    }
    let origin = film();
    let shield = shield(&origin, HintTrust::Everyone).await;
    let line = "//video.example/f/high/1.mp4 k=1 t=4100-4100\n";
    assert_eq!(tell(&shield, None, false, line).await, 204);
    eventually("a way down is kept open", || origin.times("/f/low/2.mp4") == 1).await;
}

/// What an edge knows of a path is more than a player gets of it: less than is needed says that it goes
/// down, and more says nothing. What a player has measured counts alone.
#[tokio::test]
async fn of_who_has_not_measured_the_path_says_who_goes_down() {
    for (at, told, low, high) in [
        ("high", "p=4100", 1, 1),
        ("high", "p=4700", 0, 1),
        ("high", "p=100 t=9000-9000", 0, 1),
        ("low", "p=9000", 1, 0),
        ("low", "p=100", 1, 0),
    ] {
        let origin = film();
        let shield = shield(&origin, HintTrust::Everyone).await;
        let line = format!("//video.example/f/{at}/1.mp4 k=1 {told}\n");
        assert_eq!(tell(&shield, None, false, &line).await, 204);
        let times = || (origin.times("/f/low/2.mp4"), origin.times("/f/high/2.mp4"));
        eventually("what it needs is fetched", || times() == (low, high)).await;
        settle().await;
        assert_eq!(times(), (low, high), "{told} at {at}");
    }
}

/// One fetch at a time: whose player has less to play than it has just asked for goes first, whether it
/// waits already or comes last.
#[tokio::test]
async fn who_runs_dry_is_fetched_for_first() {
    let gate = Arc::new(Notify::new());
    let list =
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n0.mp4\n#EXTINF:4,\n1.mp4\n#EXT-X-ENDLIST\n";
    let list = reply(200).header("content-type", "application/vnd.apple.mpegurl").body(list);
    let titles = ["a", "b", "c", "d"];
    let origin = titles
        .iter()
        .fold(film(), |origin, title| origin.on(&format!("/{title}/l.m3u8"), list.clone()));
    let origin = origin.on("/a/1.mp4", segment("slow").body_after(&gate));
    let config = PrefetchConfig::default().heads(0).ahead(1).concurrency(1);
    let shield = Shield::builder().origin(origin.clone()).prefetch(config);
    let shield = shield.hints(HintTrust::Everyone).build();
    for title in titles {
        get(&shield, &format!("/{title}/l.m3u8")).await;
    }
    let at = |title: &str, more: &str| format!("//video.example/{title}/0.mp4 k=1{more}\n");
    assert_eq!(tell(&shield, None, false, &at("a", "")).await, 204);
    eventually("one is under way", || origin.times("/a/1.mp4") == 1).await;
    let waiting = [at("b", " d=9000"), at("c", ""), at("c", " d=3999"), at("d", " d=0")].concat();
    assert_eq!(tell(&shield, None, false, &waiting).await, 204);
    gate.notify_one();
    eventually("all are fetched", || shield.metrics().prefetch_issued.get() == 4).await;
    settle().await;
    assert_eq!(origin.seen()[4..], ["/a/1.mp4", "/c/1.mp4", "/d/1.mp4", "/b/1.mp4"]);
    for (title, yields) in [("a", true), ("b", true), ("c", false), ("d", false)] {
        let fields = origin.headers_of(&format!("/{title}/1.mp4"));
        assert_eq!(fields.contains_key("priority"), yields, "{title}");
    }
}

#[tokio::test]
async fn what_a_player_announces_is_fetched_here_and_nowhere_else() {
    let origin = film();
    let shield = shield(&origin, HintTrust::Everyone).await;
    let before = origin.seen().len();
    let lines = "//video.example/f/unknown/9.mp4?x=1 k=1 n=../high/5.mp4 n=//169.254.169.254/latest \
                 n=https://elsewhere/5.mp4 n=all.mp4 r=100-199\n";
    assert_eq!(tell(&shield, None, false, lines).await, 204);
    eventually("both are fetched", || origin.seen().len() == before + 2).await;
    settle().await;
    assert_eq!(origin.times("/f/high/5.mp4"), 1);
    assert_eq!(origin.times("/f/unknown/all.mp4"), 1);
    assert_eq!(origin.seen().len(), before + 2, "no other place is asked");
    assert_eq!(origin.headers_of("/f/high/5.mp4")["host"], "video.example");
    get(&shield, "/f/high/5.mp4").await;
    assert_eq!(shield.metrics().prefetch_used.get(), 1);
}

#[tokio::test]
async fn strangers_are_not_believed() {
    let line = "//video.example/f/low/2.mp4 k=7\n";
    let secret = || HintTrust::Secret(Secret::new(*b"open"));
    for (trust, link, status) in [
        (HintTrust::Nobody, None, 403),
        (HintTrust::Nobody, Some("open"), 403),
        (secret(), None, 403),
        (secret(), Some("opem"), 403),
        (secret(), Some("open"), 204),
        (HintTrust::Everyone, None, 204),
    ] {
        let origin = film();
        let shield = shield(&origin, trust).await;
        assert_eq!(tell(&shield, link, false, line).await, status);
        let fetched = usize::from(status == 204);
        eventually("it is fetched", || origin.times("/f/low/3.mp4") == fetched).await;
        settle().await;
        assert_eq!(origin.times("/f/low/3.mp4"), fetched);
        assert_eq!(origin.times(PATH), 0, "it is no request for an origin");
        assert_eq!(shield.metrics().hints_refused.get(), 1 - fetched as u64);
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_whole() {
    let origin = film();
    let shield = shield(&origin, HintTrust::Everyone).await;
    let good = "//video.example/f/low/2.mp4 k=1\n";
    assert_eq!(tell(&shield, None, false, &format!("{good}nonsense\n")).await, 400);
    assert_eq!(tell(&shield, None, false, &"x".repeat(70_000)).await, 413);
    settle().await;
    assert_eq!(origin.times("/f/low/3.mp4"), 0);
    assert_eq!(shield.metrics().hints_refused.get(), 2);
}
