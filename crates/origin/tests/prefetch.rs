//! Plays about segment sense: what the shield learns, fetches ahead, and leaves alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod support;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use headwater_net::{Clock, Timestamp};
use headwater_origin::{PrefetchConfig, Shield};
use support::{Origin, eventually, get, get_with, playlist, reply, segment, settle};
use tokio::sync::Notify;

const NAMES: [&str; 5] = ["kq.mp4", "../zz/a.mp4", "7f-3.mp4", "b.mp4?x=1", "/deep/c.mp4"];
const PATHS: [&str; 5] =
    ["/t/v1/kq.mp4", "/t/zz/a.mp4", "/t/v1/7f-3.mp4", "/t/v1/b.mp4?x=1", "/deep/c.mp4"];

fn title() -> Origin {
    let main = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv1/list.m3u8\n";
    let main = reply(200).header("content-type", "application/vnd.apple.mpegurl").body(main);
    let origin = Origin::new().on("/t/main.m3u8", main).on("/t/v1/list.m3u8", playlist(&NAMES));
    PATHS.iter().fold(origin, |origin, path| origin.on(path, segment(format!("body of {path}"))))
}

/// A shield that fetches next segments, and no beginnings.
fn shield(origin: &Origin) -> Shield {
    let config = PrefetchConfig::default().heads(0);
    Shield::builder().origin(origin.clone()).prefetch(config).build()
}

#[tokio::test]
async fn the_next_segments_are_there_before_they_are_asked_for() {
    let origin = title();
    let shield = shield(&origin);
    get(&shield, "/t/main.m3u8").await;
    get(&shield, "/t/v1/list.m3u8").await;
    settle().await;

    assert!(!get(&shield, PATHS[0]).await.is_hit());
    eventually("one segment ahead", || origin.times(PATHS[1]) == 1).await;
    settle().await;
    assert_eq!(origin.times(PATHS[2]), 0, "a prefetch does not cause another");

    let second = get(&shield, PATHS[1]).await;
    assert!(second.is_hit(), "{:?}", second.headers);
    assert_eq!(second.text(), format!("body of {}", PATHS[1]));
    eventually("the window moves on", || origin.times(PATHS[2]) == 1).await;
    settle().await;
    for path in &PATHS[2..] {
        get(&shield, path).await;
        settle().await;
    }
    for path in PATHS {
        assert_eq!(origin.times(path), 1, "{path}");
    }
    let metrics = shield.metrics();
    assert_eq!((metrics.prefetch_issued.get(), metrics.prefetch_used.get()), (4, 4));
    assert_eq!(metrics.prefetch_used_bytes.get(), metrics.prefetch_bytes.get());
    assert_eq!((metrics.prefetch_failed.get(), metrics.segment_requests.get()), (0, 5));
    assert!(metrics.prefetch_bytes.get() > 0);
}

#[tokio::test]
async fn a_real_request_joins_the_prefetch_in_flight() {
    let gate = Arc::new(Notify::new());
    let origin = title().on(PATHS[1], segment("slow segment").body_after(&gate));
    let shield = shield(&origin);
    get(&shield, "/t/v1/list.m3u8").await;
    get(&shield, PATHS[0]).await;
    eventually("the prefetch is under way", || origin.times(PATHS[1]) == 1).await;
    let client = tokio::spawn({
        let shield = shield.clone();
        async move { get(&shield, PATHS[1]).await }
    });
    settle().await;
    assert_eq!(origin.times(PATHS[3]), 1, "one ahead was not enough: then there are two");
    assert_eq!(origin.times(PATHS[4]), 0);
    gate.notify_one();
    assert_eq!(client.await.unwrap().text(), "slow segment");
    assert_eq!(origin.times(PATHS[1]), 1);
}

/// Of a known session the origin has said that there are such things.
#[tokio::test]
async fn a_session_that_goes_on_is_fetched_for_at_once() {
    let gate = Arc::new(Notify::new());
    let origin = title().on(PATHS[1], segment("slow segment").head_after(&gate));
    let shield = shield(&origin);
    get(&shield, "/t/v1/list.m3u8").await;
    get(&shield, PATHS[0]).await;
    eventually("the next is asked for", || origin.times(PATHS[1]) == 1).await;
    let client = tokio::spawn({
        let shield = shield.clone();
        async move { get(&shield, PATHS[1]).await }
    });
    eventually("and those after it", || origin.times(PATHS[2]) == 1).await;
    assert!(!client.is_finished(), "the origin has said nothing yet");
    gate.notify_one();
    assert_eq!(client.await.unwrap().text(), "slow segment");
}

#[tokio::test]
async fn dash_is_learnt_too_and_packed_manifests_are_unpacked() {
    let mpd = r#"<?xml version="1.0"?><MPD mediaPresentationDuration="PT16S"><Period>
        <AdaptationSet><SegmentTemplate duration="4" media="$RepresentationID$/$Number$.m4s"
        initialization="$RepresentationID$/init.mp4"/><Representation id="v7"/></AdaptationSet>
        </Period></MPD>"#;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(mpd.as_bytes()).unwrap();
    let packed = gzip.finish().unwrap();
    let manifest = reply(200)
        .header("content-type", "application/dash+xml")
        .header("content-encoding", "gzip")
        .header("vary", "accept-encoding")
        .body(packed.clone());
    let origin = Origin::new().on("/d/manifest.mpd", manifest).otherwise(segment("s"));
    let shield = shield(&origin);
    let answer = get_with(&shield, "/d/manifest.mpd", &[("accept-encoding", "br, gzip")]).await;
    assert_eq!(answer.body.unwrap(), packed);
    assert_eq!(origin.headers_of("/d/manifest.mpd")["accept-encoding"], "gzip");
    get(&shield, "/d/v7/2.m4s").await;
    eventually("3", || origin.times("/d/v7/3.m4s") == 1).await;
    get(&shield, "/d/v7/3.m4s").await;
    eventually("4", || origin.times("/d/v7/4.m4s") == 1).await;
    get(&shield, "/d/v7/4.m4s").await;
    settle().await;
    assert_eq!(origin.times("/d/v7/5.m4s"), 0, "the presentation ends at four");
    assert_eq!(origin.headers_of("/d/v7/3.m4s")["host"], "video.example");
}

/// A few kilobytes that unpack to a megabyte of entries: answered at once, read elsewhere, refused.
#[test]
fn a_packed_manifest_with_much_in_it_holds_nobody_up() {
    // One thread for what blocks, and it is taken until we let it go.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let (release, released) = std::sync::mpsc::channel::<()>();
    drop(runtime.spawn_blocking(move || released.recv()));

    let mut mpd = String::from("<MPD><Period><SegmentTemplate media='$Number$'><SegmentTimeline>");
    mpd.push_str(&"<S d='1'/>".repeat(19_999));
    mpd.push_str(&"<Period><S d='1'/></Period>".repeat(30_000));
    mpd.push_str("</SegmentTimeline></SegmentTemplate></Period></MPD>");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(mpd.as_bytes()).unwrap();
    let packed = gzip.finish().unwrap();
    assert!(packed.len() < 10_000);
    let manifest = reply(200)
        .header("content-type", "application/dash+xml")
        .header("content-encoding", "gzip")
        .body(packed);
    let origin = Origin::new().on("/d/manifest.mpd", manifest);
    let shield = shield(&origin);
    runtime.block_on(async {
        let gzip = [("accept-encoding", "gzip")];
        assert_eq!(get_with(&shield, "/d/manifest.mpd", &gzip).await.status, 200);
        settle().await;
        assert_eq!(shield.metrics().manifests_malformed.get(), 0, "it is not read in passing");
        release.send(()).unwrap();
        eventually("it is refused", || shield.metrics().manifests_malformed.get() == 1).await;
        assert!(shield.map().lock().is_empty());
    });
}

#[tokio::test]
async fn a_malformed_manifest_is_passed_on_as_it_is() {
    let broken = b"<MPD><Period><S t='x'</MPD>\xff\x00".to_vec();
    let manifest = reply(200).header("content-type", "application/dash+xml").body(broken.clone());
    let origin = Origin::new().on("/d/manifest.mpd", manifest);
    let shield = shield(&origin);
    let answer = get(&shield, "/d/manifest.mpd").await;
    assert_eq!((answer.status.as_u16(), answer.body.unwrap().to_vec()), (200, broken));
    eventually("it is counted", || shield.metrics().manifests_malformed.get() == 1).await;
    assert!(shield.map().lock().is_empty());
}

#[tokio::test]
async fn a_manifest_that_breaks_off_teaches_nothing() {
    let origin = Origin::new().on("/t/v1/list.m3u8", playlist(&NAMES).cut_at(60));
    let shield = shield(&origin);
    assert!(get(&shield, "/t/v1/list.m3u8").await.body.is_err());
    assert!(shield.map().lock().is_empty());
}

#[tokio::test]
async fn what_was_fetched_for_nobody_is_counted_as_wasted() {
    let origin = title();
    let clock = Clock::manual(Timestamp::from_secs(1_700_000_000));
    let config = PrefetchConfig::default().heads(0);
    let shield = Shield::builder().origin(origin.clone()).prefetch(config).clock(clock.clone());
    let shield = shield.build();
    get(&shield, "/t/v1/list.m3u8").await;
    get(&shield, PATHS[0]).await;
    eventually("one ahead", || shield.metrics().prefetch_issued.get() == 1).await;
    settle().await;
    clock.advance(Duration::from_secs(61));
    get(&shield, PATHS[4]).await;
    assert_eq!(shield.metrics().prefetch_wasted.get(), 1);
    let bytes = format!("body of {}", PATHS[1]).len() as u64;
    assert_eq!(shield.metrics().prefetch_wasted_bytes.get(), bytes);
    assert_eq!(shield.metrics().prefetch_used.get(), 0);
}

#[tokio::test]
async fn a_failed_prefetch_harms_nobody() {
    let origin = title().on(PATHS[1], reply(500)).on(PATHS[2], segment("0123456789").cut_at(4));
    let shield = shield(&origin);
    get(&shield, "/t/v1/list.m3u8").await;
    assert_eq!(get(&shield, PATHS[0]).await.status, 200);
    eventually("one failed", || shield.metrics().prefetch_failed.get() == 1).await;
    assert_eq!(get(&shield, PATHS[1]).await.status, 500);
    eventually("both failed", || shield.metrics().prefetch_failed.get() == 2).await;
    let cut = get(&shield, PATHS[2]).await;
    assert!(cut.body.is_err(), "what was cut is never stored as whole: {cut:?}");
}

/// Five things to fetch at once: the playlists of a ladder.
fn ladder() -> Origin {
    let entry = |n| format!("#EXT-X-STREAM-INF:BANDWIDTH={n}\nv{n}.m3u8\n");
    let main = (1..6).map(entry).collect::<Vec<_>>().concat();
    let main = reply(200)
        .header("content-type", "application/vnd.apple.mpegurl")
        .body(format!("#EXTM3U\n{main}"));
    Origin::new().on("/l/main.m3u8", main)
}

/// Of five, two or three are under way at one time, and one begins when one ends.
#[tokio::test]
async fn so_many_are_in_flight_as_there_may_be() {
    for most in [2, 3] {
        let gate = Arc::new(Notify::new());
        let origin = ladder().otherwise(segment("no playlist at all").head_after(&gate));
        let config = PrefetchConfig::default().concurrency(most);
        let shield = Shield::builder().origin(origin.clone()).prefetch(config).build();
        get(&shield, "/l/main.m3u8").await;
        for done in 0..=5 - most {
            let asked = 1 + most + done;
            eventually("as many as there may be", || origin.seen().len() == asked).await;
            settle().await;
            assert_eq!(origin.seen().len(), asked, "{most} at a time, {done} of them done");
            gate.notify_one();
        }
        for _ in 1..most {
            settle().await;
            gate.notify_one();
        }
        let metrics = shield.metrics();
        eventually("all of it comes", || metrics.prefetch_issued.get() == 5).await;
        settle().await;
        assert_eq!((origin.seen().len(), metrics.prefetch_dropped.get()), (6, 0));
    }
}

/// It has failed, and its place is another's.
#[tokio::test(start_paused = true)]
async fn what_takes_too_long_is_given_up() {
    let origin = ladder().on("/l/v1.m3u8", support::Reply::silence());
    let origin = origin.otherwise(segment("no playlist at all"));
    let config = PrefetchConfig::default().concurrency(1).timeout(Duration::from_secs(3));
    let shield = Shield::builder().origin(origin.clone()).prefetch(config).build();
    get(&shield, "/l/main.m3u8").await;
    eventually("the first is asked for", || origin.times("/l/v1.m3u8") == 1).await;
    tokio::time::sleep(Duration::from_millis(2_900)).await;
    settle().await;
    assert_eq!((origin.seen().len(), shield.metrics().prefetch_failed.get()), (2, 0));
    tokio::time::sleep(Duration::from_millis(200)).await;
    eventually("the others are", || origin.seen().len() == 6).await;
    settle().await;
    assert_eq!(shield.metrics().prefetch_failed.get(), 1);
    assert_eq!(origin.times("/l/v1.m3u8"), 1, "it is not asked for again");
}

#[tokio::test]
async fn queue_budget_and_switch_hold() {
    let origin = title();
    let off = Shield::builder().origin(origin.clone()).prefetch(PrefetchConfig::off()).build();
    get(&off, "/t/v1/list.m3u8").await;
    get(&off, PATHS[0]).await;
    settle().await;
    assert_eq!(origin.seen().len(), 2);

    let ladder = || ladder().otherwise(segment("no playlist at all"));
    let narrow = PrefetchConfig::default().queue(1).concurrency(1);
    let narrow = Shield::builder().origin(ladder()).prefetch(narrow).build();
    get(&narrow, "/l/main.m3u8").await;
    settle().await;
    assert_eq!(narrow.metrics().prefetch_dropped.get(), 4);
    assert_eq!(narrow.metrics().prefetch_issued.get(), 1);

    let poor = PrefetchConfig::default().concurrency(1).bytes_per_second(1);
    let clock = Clock::manual(Timestamp::from_secs(1_700_000_000));
    let poor = Shield::builder().origin(ladder()).prefetch(poor).clock(clock).build();
    get(&poor, "/l/main.m3u8").await;
    settle().await;
    assert_eq!(
        (poor.metrics().prefetch_issued.get(), poor.metrics().prefetch_refused.get()),
        (1, 4)
    );
}

#[tokio::test]
async fn nothing_is_fetched_ahead_before_the_answer_or_after_a_failure() {
    for failing in [reply(404), reply(500), reply(302).header("location", "/x")] {
        let origin = title().on(PATHS[0], failing);
        let shield = shield(&origin);
        get(&shield, "/t/v1/list.m3u8").await;
        get(&shield, PATHS[0]).await;
        settle().await;
        assert_eq!(origin.seen(), ["/t/v1/list.m3u8", PATHS[0]]);
    }
    let origin = title().on(PATHS[0], support::Reply::silence());
    let shield = shield(&origin);
    get(&shield, "/t/v1/list.m3u8").await;
    let client = tokio::spawn({
        let shield = shield.clone();
        async move { get(&shield, PATHS[0]).await }
    });
    eventually("it was asked", || origin.times(PATHS[0]) == 1).await;
    settle().await;
    assert_eq!(origin.times(PATHS[1]), 0, "the origin has not said that there is such a thing");
    client.abort();
}

#[tokio::test]
async fn the_next_segments_are_fetched_from_the_headers_on() {
    let gate = Arc::new(Notify::new());
    let origin = title().on(PATHS[0], segment("slow segment").body_after(&gate));
    let shield = shield(&origin);
    get(&shield, "/t/v1/list.m3u8").await;
    let client = tokio::spawn({
        let shield = shield.clone();
        async move { get(&shield, PATHS[0]).await }
    });
    eventually("the next is asked for", || origin.times(PATHS[1]) == 1).await;
    assert!(!client.is_finished(), "its body is still to come");
    gate.notify_one();
    assert_eq!(client.await.unwrap().text(), "slow segment");
}

#[tokio::test]
async fn what_is_larger_than_a_segment_is_given_up() {
    let never = Arc::new(Notify::new());
    let origin = title()
        .on(PATHS[1], segment(vec![0; 3000]).body_after(&never))
        .on(PATHS[2], segment(vec![0; 3000]).unmeasured().body_after(&never));
    let config = PrefetchConfig::default().heads(0).max_object(1000);
    let shield = Shield::builder().origin(origin.clone()).prefetch(config).build();
    get(&shield, "/t/v1/list.m3u8").await;
    get(&shield, PATHS[0]).await;
    eventually("one is given up", || shield.metrics().prefetch_too_large.get() == 1).await;
    let client = tokio::spawn({
        let shield = shield.clone();
        async move { get(&shield, PATHS[1]).await }
    });
    eventually("both are given up", || shield.metrics().prefetch_too_large.get() == 2).await;
    // Of the second, which did not tell, what came before it was too much.
    assert_eq!(shield.metrics().prefetch_bytes.get(), 1500);
    assert_eq!(shield.metrics().prefetch_failed.get(), 0);
    client.abort();
}

#[test]
fn bytes_are_bounded_by_default() {
    let config = PrefetchConfig::default();
    assert_eq!((config.bytes_per_second, config.max_object), (Some(64 << 20), 64 << 20));
}

#[tokio::test]
async fn prefetch_ends_with_the_shield() {
    let origin = title().on(PATHS[1], support::Reply::silence());
    let shield = shield(&origin);
    let metrics = shield.metrics().clone();
    get(&shield, "/t/v1/list.m3u8").await;
    get(&shield, PATHS[0]).await;
    eventually("one hangs", || metrics.prefetch_issued.get() == 1).await;
    let alive = tokio::runtime::Handle::current().metrics();
    let before = alive.num_alive_tasks();
    drop(shield);
    eventually("its tasks are gone", || alive.num_alive_tasks() < before).await;
}

#[tokio::test]
async fn requests_with_credentials_fetch_nothing_ahead() {
    let origin = title();
    let shield = shield(&origin);
    get(&shield, "/t/v1/list.m3u8").await;
    get_with(&shield, PATHS[0], &[("authorization", "Bearer x")]).await;
    settle().await;
    assert_eq!(origin.times(PATHS[1]), 0);
}
