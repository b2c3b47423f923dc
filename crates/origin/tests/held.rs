//! Plays about requests that an origin holds until it has what they ask for, and about what is asked for ahead:
//! neither says anything of the origin, nor spends what others may need.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use headwater_net::client::Upstream;
use headwater_net::{Body, Clock, Timestamp};
use headwater_origin::prefetch::Prefetched;
use headwater_origin::upstream::{HealthConfig, HedgeConfig, OriginError, Origins, RetryConfig};
use headwater_origin::{PrefetchConfig, Shield};
use http::Request;
use support::{Origin, Reply, eventually, get, reply, segment};
use tokio::sync::Notify;
use tower::ServiceExt;

fn fetch(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

fn ahead(path: &str) -> Request<Body> {
    let mut request = fetch(path);
    request.extensions_mut().insert(Prefetched);
    request
}

/// After this, origins count as slow at once.
async fn learn(origins: &Origins, clock: &Clock) {
    for i in 0..30 {
        clock.advance(Duration::from_millis(1));
        origins.clone().oneshot(fetch(&format!("/{i}"))).await.unwrap();
    }
}

/// RFC 8216bis §6.2.5.2: with ten seconds of target duration, up to thirty.
#[tokio::test(start_paused = true)]
async fn a_playlist_may_be_held_for_three_target_durations() {
    let gate = Arc::new(Notify::new());
    let origin = Origin::new().otherwise(segment("next").head_after(&gate));
    let shield = Shield::builder().origin(origin.clone()).build();
    let player = tokio::spawn(async move { get(&shield, "/l.m3u8?_HLS_msn=9").await });
    eventually("it is asked", || origin.seen().len() == 1).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    gate.notify_one();
    assert_eq!(player.await.unwrap().text(), "next");
}

/// What the shield has read it goes by: not longer, and not shorter, but for the time that any request may take.
#[tokio::test(start_paused = true)]
async fn how_long_something_may_be_held_is_three_of_its_playlists_target_durations() {
    for (target, longest) in [(2, 10), (4, 12), (30, 90), (4_000_000, 180)] {
        let list = format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:7\n\
             #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"8.0.mp4\"\n#EXTINF:{target},\n7.mp4\n"
        );
        let list = reply(200)
            .header("content-type", "application/vnd.apple.mpegurl")
            .header("cache-control", "max-age=1")
            .body(list);
        let origin = Origin::new().on("/l.m3u8", list).otherwise(Reply::silence());
        let prefetch = PrefetchConfig::default().heads(0).waiting_live(0);
        let shield = Shield::builder()
            .origin(origin)
            .prefetch(prefetch)
            .first_byte_timeout(Duration::from_secs(10))
            .build();
        get(&shield, "/l.m3u8").await;
        for waits in ["/l.m3u8?_HLS_msn=8", "/8.0.mp4"] {
            let began = tokio::time::Instant::now();
            assert_eq!(get(&shield, waits).await.status, 504);
            assert_eq!(began.elapsed().as_secs(), longest, "{waits} of {target} s");
        }
        // What nobody holds takes what any request may.
        let began = tokio::time::Instant::now();
        assert_eq!(get(&shield, "/l.m3u8?_HLS_skip=YES").await.status, 504);
        assert_eq!(began.elapsed().as_secs(), 10);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_held_in_vain_says_nothing_of_its_origin() {
    for failing in [Reply::silence(), reply(503)] {
        let held = Origin::new().otherwise(segment("well")).on("/l.m3u8?_HLS_msn=9", failing);
        let other = Origin::new().otherwise(segment("other"));
        let origins = Origins::builder()
            .origin(held.clone())
            .origin(other.clone())
            .health(HealthConfig::default().failures(1))
            .retry(RetryConfig::new(0, 0))
            .build();
        let began = tokio::time::Instant::now();
        let answer = origins.clone().oneshot(fetch("/l.m3u8?_HLS_msn=9")).await;
        match answer {
            Ok(response) => assert_eq!(response.status(), 503),
            Err(error) => {
                assert!(matches!(error, OriginError::TimedOut(_)), "{error:?}");
                assert_eq!(began.elapsed().as_secs(), 60);
            }
        }
        assert!(origins.standing()[0].up);
        origins.oneshot(fetch("/s.m4s")).await.unwrap();
        assert_eq!((held.times("/s.m4s"), other.seen().len()), (1, 0));
    }
}

/// The client's own time-out goes with it: nobody answers at a port that takes connections.
#[tokio::test]
async fn a_client_waits_as_long_for_what_is_held() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let gate = Arc::new(Notify::new());
    let opens = Arc::clone(&gate);
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await.unwrap();
        opens.notified().await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext").await.unwrap();
        std::future::pending::<()>().await;
    });
    let short = Duration::from_millis(100);
    let upstream = Upstream::builder(base).first_byte_timeout(short).build().unwrap();
    let origins = Origins::builder().origin(upstream).first_byte_timeout(short).build();
    let mut asked = std::pin::pin!(origins.oneshot(fetch("/l.m3u8?_HLS_msn=9")));
    assert!(tokio::time::timeout(short * 5, &mut asked).await.is_err(), "it is waited for");
    gate.notify_one();
    assert_eq!(asked.await.unwrap().status(), 200);
}

/// The live edge is asked for before it is there: by the shield itself, without a query that says so.
#[tokio::test(start_paused = true)]
async fn what_a_live_rendition_announces_is_held_too() {
    let clock = Clock::manual(Timestamp::from_secs(1_700_000_000));
    let gate = Arc::new(Notify::new());
    let list = reply(200)
        .header("content-type", "application/vnd.apple.mpegurl")
        .header("cache-control", "max-age=1")
        .body(
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:7\n\
             #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=3\n\
             #EXT-X-PART-INF:PART-TARGET=1\n\
             #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"8.0.mp4\"\n#EXTINF:4,\n7.mp4\n",
        );
    let origin = Origin::new()
        .on("/l.m3u8", list)
        .on("/8.0.mp4", segment("a part").head_after(&gate))
        .otherwise(Reply::silence());
    let shield = Shield::builder()
        .origin(origin.clone())
        .prefetch(PrefetchConfig::default().heads(0))
        .clock(clock)
        .build();
    get(&shield, "/l.m3u8").await;
    eventually("the next part", || origin.times("/8.0.mp4") == 1).await;
    let player = tokio::spawn({
        let shield = shield.clone();
        async move { get(&shield, "/8.0.mp4").await }
    });
    tokio::time::sleep(Duration::from_secs(11)).await;
    gate.notify_one();
    assert_eq!(player.await.unwrap().text(), "a part");
    assert_eq!(origin.times("/8.0.mp4"), 1);
    assert_eq!(origin.headers_of("/8.0.mp4")["priority"], "u=6");
}

#[tokio::test(start_paused = true)]
async fn neither_what_is_held_nor_what_is_ahead_is_hedged() {
    for (request, held) in
        [(fetch as fn(&str) -> Request<Body>, "/l.m3u8?_HLS_msn=9"), (ahead, "/next.m4s")]
    {
        let clock = Clock::manual(Timestamp::from_secs(1_700_000_000));
        let gate = Arc::new(Notify::new());
        let first = Origin::new().otherwise(segment("first"));
        let first = first.on(held, segment("held").head_after(&gate));
        let second = Origin::new().otherwise(segment("second"));
        let origins = Origins::builder()
            .origin(first.clone())
            .origin(second.clone())
            .hedge(HedgeConfig::new(100, Duration::from_millis(50)))
            .clock(clock.clone())
            .build();
        learn(&origins, &clock).await;
        let asked = tokio::spawn(origins.clone().oneshot(request(held)));
        eventually("it is asked", || first.times(held) == 1).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        gate.notify_one();
        assert_eq!(asked.await.unwrap().unwrap().status(), 200);
        assert!(second.seen().is_empty(), "{held} was hedged");
    }
}

#[tokio::test]
async fn what_nobody_waits_for_is_not_asked_again_and_earns_no_retries() {
    let first = Origin::new().otherwise(Reply::refuse());
    let second = Origin::new().otherwise(segment("second"));
    let origins = Origins::builder()
        .origin(first.clone())
        .origin(second.clone())
        .health(HealthConfig::default().failures(u32::MAX))
        .retry(RetryConfig::new(20, 1))
        .clock(Clock::manual(Timestamp::from_secs(1_700_000_000)))
        .build();
    for i in 0..50 {
        assert!(origins.clone().oneshot(ahead(&format!("/{i}"))).await.is_err());
    }
    assert!(second.seen().is_empty());
    // The one that there is in any case, and none for fifty prefetches.
    assert_eq!(origins.clone().oneshot(fetch("/a")).await.unwrap().status(), 200);
    assert!(origins.oneshot(fetch("/b")).await.is_err());
    assert_eq!(first.headers_of("/0")["priority"], "u=6");
    assert!(!first.headers_of("/a").contains_key("priority"));
}
