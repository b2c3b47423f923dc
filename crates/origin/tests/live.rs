//! Plays at the live edge: a playlist that moves on, a segment that is not there yet, an origin that
//! answers when it is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use headwater_cache::{Cache, Downstream};
use headwater_net::{Clock, Timestamp};
use headwater_origin::map::{Limits, SegmentMap, Url};
use headwater_origin::{PrefetchConfig, Shield};
use support::{Origin, eventually, get, get_with, reply, segment, settle};
use tokio::sync::Notify;

/// A playlist of three segments from number `first` on, with what its origin offers.
fn playlist(first: u32, control: &str, cached: &str) -> support::Reply {
    let segments =
        (first..first + 3).map(|i| format!("#EXTINF:4,\n{i}.mp4\n")).collect::<Vec<_>>().concat();
    reply(200)
        .header("content-type", "application/vnd.apple.mpegurl")
        .header("cache-control", cached)
        .body(format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:{first}\n{control}{segments}"
        ))
}

fn shield(origin: &Origin, clock: &Clock) -> Shield {
    let cache = Cache::builder().name("shield").clock(clock.clone());
    Shield::builder()
        .origin(origin.clone())
        .cache(cache.downstream(Downstream::Caches).build())
        .prefetch(PrefetchConfig::default().heads(0))
        .clock(clock.clone())
        .build()
}

fn clock() -> Clock {
    Clock::manual(Timestamp::from_secs(1_700_000_000))
}

/// The origin lets it be kept for a minute, and for another when it is down.
#[tokio::test]
async fn a_playlist_is_kept_for_half_of_its_target_duration_whatever_its_origin_says() {
    let clock = clock();
    let cached = "max-age=60, stale-if-error=600";
    let origin = Origin::new().on("/l.m3u8", playlist(7, "", cached));
    let shield = shield(&origin, &clock);
    let first = get(&shield, "/l.m3u8").await;
    assert_eq!(first.headers["cache-control"], "max-age=2, must-revalidate", "for edges, too");
    clock.advance(Duration::from_millis(1900));
    assert!(get(&shield, "/l.m3u8").await.is_hit());
    clock.advance(Duration::from_millis(200));
    let origin = origin.on("/l.m3u8", playlist(8, "", cached));
    assert!(get(&shield, "/l.m3u8").await.text().contains("10.mp4"));
    assert_eq!(origin.times("/l.m3u8"), 2);
    clock.advance(Duration::from_secs(3));
    let _origin = origin.on("/l.m3u8", support::Reply::refuse());
    let stale = get(&shield, "/l.m3u8").await;
    assert!(stale.status.is_server_error(), "an old playlist is no answer: {stale:?}");
    assert!(shield.metrics().live_shortened.get() >= 2);
}

/// It comes piece by piece, as from every origin over a network: the first answer says no more than
/// any other, whether it is short or has to be read on another thread.
#[tokio::test]
async fn the_first_answer_of_a_playlist_that_streams_is_kept_no_longer_than_the_others() {
    for lines in [0, 20_000] {
        let gate = Arc::new(Notify::new());
        let note = "# nothing\n".repeat(lines);
        let list =
            playlist(7, &note, "max-age=60, stale-if-error=600").unmeasured().body_after(&gate);
        let origin = Origin::new().on("/l.m3u8", list);
        let shield = shield(&origin, &clock());
        let player = tokio::spawn({
            let shield = shield.clone();
            async move { get(&shield, "/l.m3u8").await }
        });
        eventually("it is asked for", || origin.times("/l.m3u8") == 1).await;
        gate.notify_one();
        let first = player.await.unwrap();
        assert_eq!(first.headers["cache-control"], "max-age=2, must-revalidate");
        assert!(first.text().ends_with("9.mp4\n"));
    }
}

/// What cannot be read may be live: it is passed on byte by byte, and kept for a second.
#[tokio::test]
async fn a_playlist_that_cannot_be_read_or_breaks_off_is_passed_on() {
    let kind = |reply: support::Reply| {
        let reply = reply.header("content-type", "application/vnd.apple.mpegurl").unmeasured();
        reply.header("cache-control", "max-age=60")
    };
    let long = format!("#EXTM3U\n{}", "# nothing\n".repeat(300_000));
    let origin = Origin::new()
        .on("/bad.m3u8", kind(reply(200)).body("<html>"))
        .on("/long.m3u8", kind(reply(200)).body(long.clone()))
        .on("/cut.m3u8", kind(reply(200)).body("#EXTM3U\n#EXTINF:4,\n1.ts\n").cut_at(20));
    let shield = shield(&origin, &clock());
    for (path, body) in [("/bad.m3u8", "<html>"), ("/long.m3u8", &*long)] {
        let answer = get(&shield, path).await;
        assert_eq!(answer.headers["cache-control"], "max-age=1, must-revalidate", "{path}");
        assert_eq!(answer.text(), body);
    }
    let broken = get(&shield, "/cut.m3u8").await;
    assert!(broken.body.is_err(), "what broke off does not look whole: {broken:?}");
    assert!(shield.map().lock().is_empty());
    assert_eq!(shield.metrics().manifests_too_large.get(), 1);
}

#[tokio::test]
async fn a_segment_that_is_not_there_yet_is_missing_for_a_moment_only() {
    let clock = clock();
    let missing = || reply(404).header("cache-control", "max-age=300").body("not yet");
    let origin = Origin::new()
        .on("/l.m3u8", playlist(7, "", "max-age=1"))
        .on("/7.mp4", segment("7"))
        .on("/10.mp4", missing())
        .on("/gone.mp4", missing());
    let shield = shield(&origin, &clock);
    get(&shield, "/l.m3u8").await;
    for _ in 0..3 {
        let answer = get(&shield, "/10.mp4").await;
        assert_eq!(answer.status, 404);
        assert_eq!(answer.headers["cache-control"], "max-age=0, must-revalidate");
        get(&shield, "/gone.mp4").await;
    }
    assert_eq!(origin.times("/10.mp4"), 1, "many who ask at once are one request");
    clock.advance(Duration::from_millis(251));
    let origin = origin.on("/10.mp4", segment("ten"));
    assert_eq!(get(&shield, "/10.mp4").await.text(), "ten");
    get(&shield, "/gone.mp4").await;
    assert_eq!(origin.times("/gone.mp4"), 1, "what is missing elsewhere is as its origin says");
}

/// The next version of the playlist waits at the origin before anybody asks for it.
#[tokio::test]
async fn what_comes_next_is_asked_for_before_it_is_there() {
    let clock = clock();
    let gate = Arc::new(Notify::new());
    let control = "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=3\n\
                   #EXT-X-PART-INF:PART-TARGET=1\n";
    let hinted = format!("{control}#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"10.0.mp4\"\n");
    let next = "/l.m3u8?_HLS_msn=10&_HLS_part=0";
    let origin = Origin::new()
        .on("/l.m3u8", playlist(7, &hinted, "max-age=1"))
        .on(next, playlist(8, control, "max-age=1").head_after(&gate))
        .on("/10.0.mp4", segment("a part").head_after(&gate));
    let shield = shield(&origin, &clock);
    get(&shield, "/l.m3u8").await;
    eventually("the next version", || origin.times(next) == 1).await;
    eventually("the next part", || origin.times("/10.0.mp4") == 1).await;
    let player = tokio::spawn({
        let shield = shield.clone();
        async move { (get(&shield, next).await, get(&shield, "/10.0.mp4").await) }
    });
    settle().await;
    gate.notify_waiters();
    let (list, part) = player.await.unwrap();
    assert!(list.text().contains("10.mp4"));
    assert_eq!(part.text(), "a part");
    assert_eq!((origin.times(next), origin.times("/10.0.mp4")), (1, 1), "all in one request each");
    assert_eq!(shield.metrics().prefetch_promoted.get(), 1);
    eventually("and so on", || origin.times("/l.m3u8?_HLS_msn=11&_HLS_part=0") == 1).await;
}

/// A live playlist of segments 7 to 9, and what its origin says of 10, which is not complete.
fn unfinished(of_ten: &str) -> String {
    let segments = (7..10).map(|i| format!("#EXTINF:4,\n{i}.mp4\n")).collect::<Vec<_>>().concat();
    format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:7\n\
         #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=3\n\
         #EXT-X-PART-INF:PART-TARGET=1\n{segments}{of_ten}"
    )
}

/// RFC 8216bis §4.4.5.3: the file of a segment grows at the origin, and each part of it is announced by
/// where it starts. In the cache that is one fetch, whoever reads which of its bytes.
#[tokio::test]
async fn a_segment_that_grows_is_fetched_once_for_all_parts_that_are_announced() {
    let clock = clock();
    let gate = Arc::new(Notify::new());
    let list = |of_ten: &str| {
        let list = reply(200).header("content-type", "application/vnd.apple.mpegurl");
        list.header("cache-control", "max-age=1").body(unfinished(of_ten))
    };
    let first = "#EXT-X-PART:DURATION=1,URI=\"10.mp4\",BYTERANGE=\"4@0\"\n\
                 #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"10.mp4\",BYTERANGE-START=4\n";
    let second = "#EXT-X-PART:DURATION=1,URI=\"10.mp4\",BYTERANGE=\"4@0\"\n\
                  #EXT-X-PART:DURATION=1,URI=\"10.mp4\",BYTERANGE=\"2\"\n\
                  #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"10.mp4\",BYTERANGE-START=6\n";
    let origin = Origin::new()
        .on("/l.m3u8", list(first))
        .on("/10.mp4", segment("0123456789ab").unmeasured().body_after(&gate))
        .otherwise(support::Reply::silence());
    let shield = shield(&origin, &clock);
    get(&shield, "/l.m3u8").await;
    eventually("the segment is asked for", || origin.times("/10.mp4") == 1).await;
    assert!(!origin.headers_of("/10.mp4").contains_key("range"));
    // Half of it is there.
    let part = get_with(&shield, "/10.mp4", &[("range", "bytes=0-3")]).await;
    assert_eq!((part.status.as_u16(), part.text()), (206, "0123"));
    clock.advance(Duration::from_secs(2));
    let origin = origin.on("/l.m3u8", list(second));
    get(&shield, "/l.m3u8").await;
    let part = get_with(&shield, "/10.mp4", &[("range", "bytes=4-5")]).await;
    assert_eq!((part.status.as_u16(), part.text()), (206, "45"));
    let open = tokio::spawn({
        let shield = shield.clone();
        async move { get_with(&shield, "/10.mp4", &[("range", "bytes=6-")]).await }
    });
    settle().await;
    assert!(!open.is_finished(), "how much it is nobody knows before its end");
    gate.notify_one();
    let rest = open.await.unwrap();
    assert_eq!((rest.status.as_u16(), rest.text()), (206, "6789ab"));
    assert_eq!(origin.times("/10.mp4"), 1);
}

/// One file a rendition, that grows for hours: for what comes at its end nobody reads it from its beginning.
#[tokio::test]
async fn what_grows_in_a_file_of_several_segments_is_not_asked_for_ahead() {
    let clock = clock();
    let of_ten = |range| format!("#EXT-X-PART:DURATION=1,URI=\"all.mp4\",BYTERANGE=\"{range}\"\n");
    for (part, number, start, whole) in [
        (of_ten("4@0"), 1, 4, 1),
        (of_ten("4@4999999996"), 1, 5_000_000_000_u64, 0),
        (String::new(), 0, 5_000_000_000, 0),
    ] {
        let hint = "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"all.mp4\",BYTERANGE-START";
        let list = reply(200).header("content-type", "application/vnd.apple.mpegurl");
        let list = list.body(unfinished(&format!("{part}{hint}={start}\n")));
        let origin = Origin::new().on("/l.m3u8", list).otherwise(support::Reply::silence());
        let shield = shield(&origin, &clock);
        get(&shield, "/l.m3u8").await;
        let next = format!("/l.m3u8?_HLS_msn=10&_HLS_part={number}");
        eventually("the next version is", || origin.times(&next) == 1).await;
        eventually("so is a file of its own", || origin.times("/all.mp4") >= whole).await;
        settle().await;
        assert_eq!(origin.times("/all.mp4"), whole, "{part}");
        let url = Url::new("video.example", "/all.mp4").unwrap();
        let target = shield.map().lock().announced(&url);
        assert_eq!(target, Some(Duration::from_secs(4)), "an origin may hold who asks for it");
    }
}

/// A hint that says its length is asked for as that range; one of the whole file as the file.
#[test]
fn what_is_announced_with_its_length_is_asked_for_as_a_range() {
    let mut map = SegmentMap::new(Limits::default());
    let at = |path| Url::new("h", path).unwrap();
    for (hint, range) in [
        ("", None),
        (",BYTERANGE-START=0", None),
        (",BYTERANGE-START=4", Some(4..u64::MAX)),
        (",BYTERANGE-START=4,BYTERANGE-LENGTH=6", Some(4..10)),
        (",BYTERANGE-LENGTH=6", Some(0..6)),
    ] {
        let list = unfinished(&format!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"10.mp4\"{hint}\n"));
        let learnt = map.learn(&at("/l.m3u8"), None, list.as_bytes()).unwrap().unwrap();
        let live = map.live(learnt.presentation, 0).unwrap();
        assert_eq!(live.preloads.len(), 1, "{hint}");
        assert_eq!((live.preloads[0].url.path(), &live.preloads[0].range), ("/10.mp4", &range));
    }
}

/// Whether it has come or is coming, what is fetched as a range is known when that range is asked for.
#[tokio::test]
async fn what_was_announced_with_its_length_is_used_by_who_asks_for_it() {
    for here in [true, false] {
        let clock = clock();
        let gate = Arc::new(Notify::new());
        let hint = "#EXT-X-PART:DURATION=1,URI=\"10.mp4\",BYTERANGE=\"4@0\"\n\
                    #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"10.mp4\",BYTERANGE-START=4,BYTERANGE-LENGTH=6\n";
        let list = reply(200).header("content-type", "application/vnd.apple.mpegurl");
        let list = list.header("cache-control", "max-age=1").body(unfinished(hint));
        let file = segment("0123456789ab").header("etag", "\"v1\"");
        let file = if here { file } else { file.head_after(&gate) };
        let origin = Origin::new()
            .on("/l.m3u8", list)
            .on("/10.mp4", file)
            .otherwise(support::Reply::silence());
        let shield = shield(&origin, &clock);
        get(&shield, "/l.m3u8").await;
        eventually("the part is asked for", || origin.times("/10.mp4") == 1).await;
        settle().await;
        let player = tokio::spawn({
            let shield = shield.clone();
            async move { get_with(&shield, "/10.mp4", &[("range", "bytes=4-9")]).await }
        });
        let metrics = shield.metrics();
        eventually("it is known", || metrics.prefetch_used.get() == 1).await;
        gate.notify_one();
        let part = player.await.unwrap();
        assert_eq!((part.status.as_u16(), part.text()), (206, "456789"));
        assert_eq!(metrics.prefetch_promoted.get(), u64::from(!here));
        clock.advance(Duration::from_secs(61));
        get(&shield, "/l.m3u8").await;
        assert_eq!(metrics.prefetch_wasted.get(), 0);
    }
}

/// RFC 8216bis §4.4.4.9: parts are of the segment that follows them; without an offset, one begins where
/// the one before it ended.
#[test]
fn a_part_is_of_its_segment_whether_that_is_complete_or_not() {
    let mut map = SegmentMap::new(Limits::default());
    let at = |path| Url::new("h", path).unwrap();
    let parts = "#EXT-X-PART:DURATION=1,URI=\"10.mp4\",BYTERANGE=\"4@0\"\n\
                 #EXT-X-PART:DURATION=1,URI=\"10.mp4\",BYTERANGE=\"5\"\n\
                 #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"10.mp4\",BYTERANGE-START=9\n\
                 #EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"init.mp4\"\n";
    let of_nine =
        "#EXT-X-PART:DURATION=2,URI=\"9.0.mp4\"\n#EXT-X-PART:DURATION=2,URI=\"9.1.mp4\"\n";
    let list =
        unfinished(parts).replace("#EXTINF:4,\n9.mp4", &format!("{of_nine}#EXTINF:4,\n9.mp4"));
    map.learn(&at("/l.m3u8"), None, list.as_bytes()).unwrap();
    for (path, byte, number, part) in [
        ("/9.0.mp4", None, 9, 0),
        ("/9.1.mp4", Some(70), 9, 1),
        ("/10.mp4", None, 10, 0),
        ("/10.mp4", Some(3), 10, 0),
        ("/10.mp4", Some(4), 10, 1),
        ("/10.mp4", Some(8), 10, 1),
        ("/10.mp4", Some(9), 10, 2),
        ("/10.mp4", Some(9000), 10, 2),
    ] {
        let (position, found, target) = map.part(&at(path), byte).unwrap();
        assert_eq!((map.number(position), found), (Some(number), part), "{path} {byte:?}");
        assert!(byte.zip(target.range).is_none_or(|(byte, range)| range.contains(&byte)), "{path}");
    }
    let (growing, ..) = map.part(&at("/10.mp4"), None).unwrap();
    assert_eq!((growing.index, map.target(growing), map.next(growing, 2).len()), (3, None, 0));
    for path in ["/9.mp4", "/init.mp4", "/11.mp4"] {
        assert_eq!(map.part(&at(path), None), None, "{path}");
    }
    // The next version has other parts, and these are forgotten.
    map.learn(&at("/l.m3u8"), None, unfinished("").as_bytes()).unwrap();
    assert_eq!((map.part(&at("/9.0.mp4"), None), map.part(&at("/10.mp4"), None)), (None, None));
    // However many are listed, the newest are kept.
    let many: Vec<_> =
        (0..400).map(|i| format!("#EXT-X-PART:DURATION=1,URI=\"10.{i}.mp4\"\n")).collect();
    map.learn(&at("/l.m3u8"), None, unfinished(&many.concat()).as_bytes()).unwrap();
    assert_eq!(map.part(&at("/10.0.mp4"), None), None);
    assert_eq!(map.part(&at("/10.399.mp4"), None).unwrap().1, 399);
}

/// Who plays parts does not want the segments that they make, and who plays segments still does.
#[tokio::test]
async fn for_who_asks_for_parts_no_segment_is_fetched() {
    let kind = |text: &str| {
        let list = reply(200).header("content-type", "application/vnd.apple.mpegurl");
        list.header("cache-control", "max-age=1").body(text.to_owned())
    };
    let parts =
        "#EXT-X-PART:DURATION=2,URI=\"10.0.mp4\"\n#EXT-X-PART:DURATION=2,URI=\"10.1.mp4\"\n";
    let plain = "#EXT-X-SERVER-CONTROL:PART-HOLD-BACK=3";
    let before = unfinished(parts)
        .replace("#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=3", plain);
    let after = format!("{before}#EXTINF:4,\n10.mp4\n#EXTINF:4,\n11.mp4\n");
    for whole in [false, true] {
        let clock = clock();
        let origin = Origin::new().on("/l.m3u8", kind(&before)).otherwise(segment("media"));
        let shield = shield(&origin, &clock);
        let own =
            if whole { &["/l.m3u8", "/9.mp4", "/10.0.mp4"][..] } else { &["/l.m3u8", "/10.0.mp4"] };
        for path in own {
            get(&shield, path).await;
            settle().await;
        }
        clock.advance(Duration::from_secs(4));
        let origin = origin.on("/l.m3u8", kind(&after));
        get(&shield, "/l.m3u8").await;
        if whole {
            eventually("10 is fetched for who is at 9", || origin.times("/10.mp4") == 1).await;
        }
        settle().await;
        assert_eq!(origin.times("/10.mp4"), usize::from(whole));
        assert_eq!(origin.times("/11.mp4"), 0);
    }
}

/// Two things come next: a part, and the version of the playlist that has it. One that ends makes room.
#[tokio::test]
async fn so_many_wait_at_origins_as_may_wait() {
    let control = "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=3\n\
                   #EXT-X-PART-INF:PART-TARGET=1\n";
    let hinted = format!("{control}#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"10.0.mp4\"\n");
    let announced = ["/10.0.mp4", "/l.m3u8?_HLS_msn=10&_HLS_part=0"];
    for most in 0..3 {
        let gate = Arc::new(Notify::new());
        let origin = Origin::new()
            .on("/l.m3u8", playlist(7, &hinted, "max-age=1"))
            .on(announced[0], segment("a part").head_after(&gate))
            .on(announced[1], support::Reply::silence());
        let clock = clock();
        let cache = Cache::builder().clock(clock.clone()).downstream(Downstream::Caches);
        let shield = Shield::builder()
            .origin(origin.clone())
            .cache(cache.build())
            .prefetch(PrefetchConfig::default().heads(0).waiting_live(most))
            .clock(clock.clone())
            .build();
        get(&shield, "/l.m3u8").await;
        let waiting = || announced.map(|path| origin.times(path)).iter().sum::<usize>();
        eventually("as many as may wait", || waiting() == most).await;
        settle().await;
        assert_eq!(waiting(), most);
        if most == 1 {
            gate.notify_one();
            settle().await;
            clock.advance(Duration::from_secs(2));
            // Another version with the same announcement: the part has come, and its place is free.
            let list = playlist(7, &format!("{hinted}# again\n"), "max-age=1");
            let origin = origin.clone().on("/l.m3u8", list);
            get(&shield, "/l.m3u8").await;
            eventually("the playlist's turn", || origin.times(announced[1]) == 1).await;
        }
    }
}

#[tokio::test]
async fn nobody_waits_where_the_origin_does_not_offer_it_or_nobody_watches() {
    let clock = clock();
    let origin = Origin::new().on("/l.m3u8", playlist(7, "", "max-age=1"));
    let plain = shield(&origin, &clock);
    get(&plain, "/l.m3u8").await;
    settle().await;
    assert_eq!(origin.seen(), ["/l.m3u8"]);

    let gate = Arc::new(Notify::new());
    let control = "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n";
    let origin = Origin::new()
        .on("/l.m3u8", playlist(7, control, "max-age=1"))
        .on("/l.m3u8?_HLS_msn=10", playlist(8, control, "max-age=1").head_after(&gate));
    let shield = shield(&origin, &clock);
    get(&shield, "/l.m3u8").await;
    eventually("one waits", || origin.times("/l.m3u8?_HLS_msn=10") == 1).await;
    clock.advance(Duration::from_secs(30));
    gate.notify_waiters();
    settle().await;
    assert_eq!(origin.seen().len(), 2, "the last viewer has left");
}

/// A plain live playlist: nobody can wait for what it will list, and who plays the newest segment is not
/// there to ask for the next one until the list has it.
#[tokio::test]
async fn what_a_new_list_names_is_fetched_for_who_waits_at_the_end_of_the_old_one() {
    let clock = clock();
    let origin =
        Origin::new().on("/l.m3u8", playlist(7, "", "max-age=1")).otherwise(segment("a segment"));
    let shield = shield(&origin, &clock);
    for path in ["/l.m3u8", "/8.mp4", "/9.mp4"] {
        get(&shield, path).await;
        settle().await;
    }
    assert_eq!(shield.metrics().prefetch_issued.get(), 1, "9; what comes next is not listed");
    clock.advance(Duration::from_secs(4));
    let origin = origin.on("/l.m3u8", playlist(8, "", "max-age=1"));
    get(&shield, "/l.m3u8").await;
    eventually("10 is fetched", || origin.times("/10.mp4") == 1).await;
    settle().await;
    assert_eq!(shield.metrics().prefetch_issued.get(), 2, "and nothing else");
    assert!(get(&shield, "/10.mp4").await.is_hit());
    assert_eq!(shield.metrics().prefetch_used.get(), 2);

    // It stays at 10, and is gone when the next list comes.
    clock.advance(Duration::from_secs(21));
    let origin = origin.on("/l.m3u8", playlist(9, "", "max-age=1"));
    get(&shield, "/l.m3u8").await;
    settle().await;
    assert_eq!(origin.times("/11.mp4"), 0);
}

/// Two who watch two renditions: a new list of the one is news for who is in it.
#[tokio::test]
async fn a_new_list_is_news_for_who_is_in_its_rendition() {
    let clock = clock();
    let main = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na/l.m3u8\n\
                #EXT-X-STREAM-INF:BANDWIDTH=2\nb/l.m3u8\n";
    let main = reply(200).header("content-type", "application/vnd.apple.mpegurl").body(main);
    let origin = Origin::new()
        .on("/main.m3u8", main)
        .on("/a/l.m3u8", playlist(7, "", "max-age=1"))
        .on("/b/l.m3u8", playlist(7, "", "max-age=1"))
        .otherwise(segment("a segment"));
    let shield = shield(&origin, &clock);
    for path in ["/main.m3u8", "/a/l.m3u8", "/b/l.m3u8", "/a/9.mp4", "/b/8.mp4"] {
        get(&shield, path).await;
    }
    eventually("what was listed is fetched", || origin.times("/b/9.mp4") == 1).await;
    clock.advance(Duration::from_secs(4));
    let origin = origin.on("/b/l.m3u8", playlist(8, "", "max-age=1"));
    get(&shield, "/b/l.m3u8").await;
    settle().await;
    assert_eq!(origin.times("/b/10.mp4"), 0, "who is at 8 comes to 9 first");
    assert_eq!(origin.times("/a/10.mp4"), 0, "of this one there is no new list");
    let origin = origin.on("/a/l.m3u8", playlist(8, "", "max-age=1"));
    get(&shield, "/a/l.m3u8").await;
    eventually("and now there is", || origin.times("/a/10.mp4") == 1).await;
}

/// A timeline that grows: all renditions are in one manifest.
#[tokio::test]
async fn what_a_timeline_grows_by_is_fetched_for_who_waits_at_its_end() {
    let clock = clock();
    let mpd = |segments: u32| {
        let text = format!(
            "<MPD type='dynamic' minimumUpdatePeriod='PT2S'><Period><AdaptationSet>\
             <SegmentTemplate timescale='1' media='$RepresentationID$/$Time$.m4s'>\
             <SegmentTimeline><S t='0' d='4' r='{}'/></SegmentTimeline></SegmentTemplate>\
             <Representation id='a' bandwidth='1'/><Representation id='b' bandwidth='2'/>\
             </AdaptationSet></Period></MPD>",
            segments - 1
        );
        reply(200).header("content-type", "application/dash+xml").body(text)
    };
    let origin = Origin::new().on("/l.mpd", mpd(3)).otherwise(segment("a segment"));
    let shield = shield(&origin, &clock);
    for path in ["/l.mpd", "/b/4.m4s", "/b/8.m4s"] {
        get(&shield, path).await;
        settle().await;
    }
    assert_eq!(origin.times("/b/12.m4s"), 0, "it is not listed");
    clock.advance(Duration::from_secs(4));
    let origin = origin.on("/l.mpd", mpd(4));
    get(&shield, "/l.mpd").await;
    eventually("it is fetched", || origin.times("/b/12.m4s") == 1).await;
    settle().await;
    assert_eq!(origin.times("/a/12.m4s"), 0, "nobody is there");
    assert!(get(&shield, "/b/12.m4s").await.is_hit());
}

/// An MPD that lists nothing: by the clock there are five segments, and the sixth in three seconds.
#[tokio::test(start_paused = true)]
async fn what_comes_by_the_clock_is_fetched_when_it_is_there() {
    let clock = Clock::manual(Timestamp::from_secs(1_709_208_021));
    let mpd = "<MPD type='dynamic' availabilityStartTime='2024-02-29T12:00:00Z'><Period start='PT0S'>\
               <AdaptationSet><SegmentTemplate duration='4' media='$Number$.m4s'/>\
               <Representation id='v'/></AdaptationSet></Period></MPD>";
    let mpd = reply(200).header("content-type", "application/dash+xml").body(mpd);
    let gone = reply(404).header("cache-control", "max-age=60");
    let origin = (1..6).fold(Origin::new().on("/l.mpd", mpd).otherwise(gone), |origin, number| {
        origin.on(&format!("/{number}.m4s"), segment("a segment"))
    });
    let shield = shield(&origin, &clock);
    get(&shield, "/l.mpd").await;
    get(&shield, "/4.m4s").await;
    settle().await;
    assert_eq!(origin.times("/5.m4s"), 1, "the next one");
    assert!(get(&shield, "/5.m4s").await.is_hit());
    settle().await;
    assert_eq!(origin.times("/6.m4s"), 0, "it is not there yet");
    let origin = origin.on("/6.m4s", segment("a segment"));
    for (millis, times) in [(2900, 0), (100, 1)] {
        clock.advance(Duration::from_millis(millis));
        tokio::time::sleep(Duration::from_millis(millis)).await;
        settle().await;
        assert_eq!(origin.times("/6.m4s"), times, "nobody has asked for it yet");
    }
    assert!(get(&shield, "/6.m4s").await.is_hit());
    for (path, said) in [("/7.m4s", "max-age=0, must-revalidate"), ("/1.m3s", "max-age=60")] {
        let answer = get(&shield, path).await;
        let said_here = answer.headers["cache-control"].to_str().unwrap();
        assert_eq!((answer.status.as_u16(), said_here), (404, said), "{path}");
    }
}

#[tokio::test]
async fn parts_of_one_file_are_fetched_as_they_come() {
    let clock = clock();
    let file: Vec<u8> = (0..3000u32).map(|i| i as u8).collect();
    let list = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MAP:URI=\"all.mp4\",BYTERANGE=\"100@0\"\n\
                #EXTINF:4,\n#EXT-X-BYTERANGE:900@100\nall.mp4\n#EXTINF:4,\n#EXT-X-BYTERANGE:1000\n\
                all.mp4\n#EXTINF:4,\n#EXT-X-BYTERANGE:1000\nall.mp4\n#EXT-X-ENDLIST\n";
    let list = reply(200).header("content-type", "application/vnd.apple.mpegurl").body(list);
    let origin = Origin::new()
        .on("/l.m3u8", list)
        .on("/all.mp4", segment(file.clone()).header("etag", "\"v1\""));
    let shield = shield(&origin, &clock);
    get(&shield, "/l.m3u8").await;
    let ranges = ["bytes=100-999", "bytes=1000-1999", "bytes=2000-2999"];
    for (i, range) in ranges.into_iter().enumerate() {
        let answer = support::get_with(&shield, "/all.mp4", &[("range", range)]).await;
        assert_eq!(answer.status, 206);
        assert_eq!(answer.headers["content-range"], format!("{}/3000", range.replace('=', " ")));
        assert_eq!(answer.is_hit(), i > 0);
        settle().await;
    }
    // One fetch of the file, which all of them read from.
    assert_eq!(origin.times("/all.mp4"), 1);
    assert_eq!(shield.metrics().segment_requests.get(), 3);
    assert_eq!(shield.metrics().prefetch_issued.get(), 2, "one for each part that came next");
}
