//! Purges through the public API: by URL, prefix, host, tag and all, soft and hard, against fetches
//! that are under way, across two caches in a row.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Origin, Stand, cache_status, fed, field, ok, stand, stand_with, text, until};
use headwater_cache::{Cache, Downstream, Purge, PurgeError, PurgeSeq, TierLayer};
use headwater_net::Body;
use http::Response;
use tower::{Layer as _, ServiceExt as _};

/// An origin whose answers bear the tag of their path's first segment, and a number.
fn tagged() -> Origin {
    let count = AtomicUsize::new(0);
    Origin::new(move |parts| {
        let nth = count.fetch_add(1, Ordering::Relaxed) + 1;
        let tag = parts.uri.path().split('/').nth(1).unwrap();
        Response::builder()
            .header("cache-control", "max-age=100, stale-while-revalidate=50")
            .header("surrogate-key", format!("{tag} all-titles"))
            .header("cache-tag", "x, second tag")
            .header("etag", format!("\"{nth}\""))
            .body(Body::from(nth.to_string()))
            .unwrap()
    })
}

async fn body(stand: &Stand, path: &str) -> String {
    let fetched = stand.fetch(path, &[]).await.1;
    // Until what was fetched is stored.
    until(|| stand.cache.metrics().fill_bytes.get() <= 1 << 20).await;
    tokio::task::yield_now().await;
    fetched
}

#[tokio::test]
async fn each_scope_takes_what_it_names_and_nothing_else() {
    for (purge, gone) in [
        (Purge::url("https://example.com/a/1?q=1"), &["/a/1?q=1"][..]),
        (Purge::url("http://EXAMPLE.com/a/1"), &["/a/1"]),
        (Purge::prefix("http://example.com/a"), &["/a/1?q=1", "/a/1", "/a/2", "/ab/1"]),
        (Purge::prefix("http://example.com/a/"), &["/a/1?q=1", "/a/1", "/a/2"]),
        (Purge::tag("a"), &["/a/1?q=1", "/a/1", "/a/2"]),
        (Purge::tag("second tag"), &["/a/1?q=1", "/a/1", "/a/2", "/ab/1"]),
        (Purge::tag("A"), &[]),
        (Purge::host("example.com"), &["/a/1?q=1", "/a/1", "/a/2", "/ab/1"]),
        (Purge::host("example.co"), &[]),
        (Purge::all(), &["/a/1?q=1", "/a/1", "/a/2", "/ab/1"]),
    ] {
        let stand = stand(&tagged());
        for (nth, path) in ["/a/1?q=1", "/a/1", "/a/2", "/ab/1"].into_iter().enumerate() {
            assert_eq!(body(&stand, path).await, (nth + 1).to_string());
        }
        let seq = stand.cache.purge(purge.clone()).await.unwrap();
        assert_eq!(stand.cache.purge_seq(), seq);
        for path in ["/a/1?q=1", "/a/1", "/a/2", "/ab/1"] {
            let status = stand.fetch(path, &[]).await.2;
            assert_eq!(
                status.contains("uri-miss"),
                gone.contains(&path),
                "{purge:?} {path}: {status}"
            );
        }
        // And what came after it stays.
        for path in ["/a/1?q=1", "/a/1", "/a/2", "/ab/1"] {
            until(|| stand.cache.metrics().stored_objects.get() == 4).await;
            assert!(stand.fetch(path, &[]).await.2.contains("hit"));
        }
    }
}

#[tokio::test]
async fn a_soft_purge_makes_stale_and_stale_extensions_count_from_then() {
    let origin = tagged();
    let stand = stand(&origin);
    body(&stand, "/a/1").await;
    body(&stand, "/a/2").await;
    assert!(stand.fetch("/a/1", &[]).await.2.contains("hit; ttl=100"));
    stand.advance(10);
    stand.cache.purge(Purge::tag("a").soft()).await.unwrap();
    // Stale at once, and served so while it is revalidated.
    assert_eq!(stand.fetch("/a/1", &[]).await.2, "edge; hit; ttl=0");
    until(|| origin.asked() == 3).await;
    assert_eq!(origin.last()["if-none-match"], "\"1\"");
    until(|| stand.cache.metrics().revalidated.get() == 0 && origin.asked() == 3).await;
    // Past the window it is not served.
    stand.advance(50);
    assert!(stand.fetch("/a/2", &[]).await.2.starts_with("edge; fwd=stale; fwd-status=200"));
    // What came by a fetch after the purge is as fresh as it says.
    assert!(stand.fetch("/a/1", &[]).await.2.starts_with("edge; hit; ttl=50"));
}

#[tokio::test]
async fn a_fetch_under_way_when_the_purge_came_brings_nothing_back() {
    for (purge, soft) in [
        (Purge::tag("t"), false),
        (Purge::url("http://example.com/a"), false),
        (Purge::all(), false),
        (Purge::tag("t").soft(), true),
    ] {
        let (origin, bodies) = common::handed(|| {
            Response::builder()
                .header("cache-control", "max-age=100")
                .header("surrogate-key", "t")
                .header("content-length", "3")
        });
        let feeds: Vec<_> = (0..2)
            .map(|_| {
                let (feed, body) = fed();
                bodies.lock().unwrap().push(body);
                feed
            })
            .collect();
        let stand = stand(&origin);
        let old = stand.get("/a").await;
        stand.cache.purge(purge.clone()).await.unwrap();
        // Who comes now does not join what was asked for before.
        let new = stand.get("/a").await;
        assert_eq!(origin.asked(), 2, "{purge:?}");
        feeds[1].send(Ok("new".into())).await.unwrap();
        drop(feeds);
        assert_eq!(text(new).await, "new");
        until(|| stand.cache.metrics().stored_objects.get() == 1).await;
        drop(old);
        assert!(stand.fetch("/a", &[]).await.1 == "new" || soft);
    }
}

#[tokio::test]
async fn an_old_fetch_that_ends_after_the_purge_is_not_stored() {
    let (origin, bodies) = common::handed(|| {
        Response::builder().header("cache-control", "max-age=100").header("surrogate-key", "t")
    });
    let (feed, body) = fed();
    bodies.lock().unwrap().push(body);
    let stand = stand(&origin);
    let old = stand.get("/a").await;
    stand.cache.purge(Purge::tag("t")).await.unwrap();
    feed.send(Ok("old".into())).await.unwrap();
    drop(feed);
    assert_eq!(text(old).await, "old", "who asked before the purge gets what was then");
    until(|| stand.cache.metrics().fill_bytes.get() == 0).await;
    assert_eq!(stand.cache.metrics().stored_objects.get(), 0);
    assert_eq!(stand.fetch("/a", &[]).await.2, "edge; fwd=uri-miss; fwd-status=200; stored");
}

#[tokio::test]
async fn tags_are_told_to_caches_and_not_to_clients() {
    let to_client = stand(&tagged());
    let to_cache = stand_with(&tagged(), |builder| builder.downstream(Downstream::Caches));
    for path in ["/a/1", "/a/1"] {
        let answer = to_client.get(path).await;
        assert_eq!((field(&answer, "surrogate-key"), field(&answer, "cache-tag")), ("", ""));
        text(answer).await;
        let answer = to_cache.get(path).await;
        assert_eq!(field(&answer, "surrogate-key"), "a all-titles");
        text(answer).await;
    }
    // Neither are those of what is not stored.
    let private = Origin::new(|_| ok(&[("cache-control", "private"), ("cache-tag", "x")], "x"));
    let to_client = stand(&private);
    assert_eq!(field(&to_client.get("/a").await, "cache-tag"), "");
    let post = common::request("POST", "/a", &[]);
    assert_eq!(field(&to_client.send(post).await, "cache-tag"), "");
}

#[tokio::test]
async fn a_304_without_tags_keeps_them() {
    let origin = Origin::new(|parts| {
        if parts.headers.contains_key("if-none-match") {
            return common::reply(304, &[("cache-control", "max-age=10"), ("etag", "\"v\"")], "");
        }
        let fields = [("cache-control", "max-age=10"), ("etag", "\"v\""), ("cache-tag", "t")];
        ok(&fields, "x")
    });
    let stand = stand(&origin);
    body(&stand, "/a").await;
    stand.advance(11);
    assert!(stand.fetch("/a", &[]).await.2.contains("fwd-status=304"));
    stand.cache.purge(Purge::tag("t")).await.unwrap();
    assert!(stand.fetch("/a", &[]).await.2.contains("uri-miss"));
}

#[tokio::test]
async fn a_purge_that_names_nothing_is_refused_by_the_name_of_its_field() {
    let cache = Cache::builder().build();
    for (purge, wrong) in [
        (Purge::url("/a"), "url"),
        (Purge::url("ftp://h/a"), "url"),
        (Purge::url("http://h/a b"), "url"),
        (Purge::url(format!("http://h/{}", "x".repeat(9000))), "url"),
        (Purge::prefix("http://h/a?b"), "prefix"),
        (Purge::prefix("h/a"), "prefix"),
        (Purge::host("http://h"), "host"),
        (Purge::host(""), "host"),
        (Purge::tag(" "), "tag"),
        (Purge::tag("x".repeat(2000)), "tag"),
        (Purge::all().at(PurgeSeq::default()), "sequence"),
        (Purge::all().at(PurgeSeq::new(u64::MAX)), "sequence"),
    ] {
        let error = cache.purge(purge.clone()).await.unwrap_err();
        assert!(
            matches!(error, PurgeError::Invalid { field, .. } if field == wrong),
            "{purge:?}: {error}"
        );
    }
    assert_eq!(cache.purge_seq(), PurgeSeq::default());
}

#[tokio::test]
async fn purges_sent_again_change_nothing() {
    let stand = stand(&tagged());
    body(&stand, "/a/1").await;
    let first = Purge::tag("a").at(PurgeSeq::new(1));
    stand.cache.purge(first.clone()).await.unwrap();
    assert_eq!(body(&stand, "/a/1").await, "2");
    stand.cache.purge(Purge::tag("b").at(PurgeSeq::new(2))).await.unwrap();
    for _ in 0..3 {
        stand.cache.purge(first.clone()).await.unwrap();
        assert_eq!(body(&stand, "/a/1").await, "2");
    }
    // One of our own in between takes no number away from them.
    stand.cache.purge(Purge::tag("c")).await.unwrap();
    stand.cache.purge(Purge::tag("a").at(PurgeSeq::new(3))).await.unwrap();
    assert_eq!(body(&stand, "/a/1").await, "3");
}

#[tokio::test]
async fn acknowledged_purges_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("purges.log");
    let open = || {
        let log = headwater_cache::PurgeLog::open(&path).unwrap();
        Cache::builder().purge_log(log).build()
    };
    let cache = open();
    let (one, two) = tokio::join!(
        cache.purge(Purge::tag("a")),
        cache.purge(Purge::prefix("http://h/a/").at(PurgeSeq::new(5)))
    );
    let newest = one.unwrap().max(two.unwrap());
    drop(cache);
    let cache = open();
    assert_eq!(cache.purge_seq(), newest);
    // What was done before is still known to be.
    assert_eq!(cache.purge(Purge::all().at(PurgeSeq::new(5))).await.unwrap(), newest);
}

/// An edge before a shield before an origin.
fn two_tiers(origin: &Origin) -> (Stand, Cache, impl AsyncFn(&str) -> (String, String)) {
    let shield =
        stand_with(origin, |builder| builder.name("shield").downstream(Downstream::Caches));
    let edge = Cache::builder().name("edge").clock(shield.clock.clone()).build();
    let service = edge.layer().layer(TierLayer.layer(shield.edge.clone()));
    let get = async move |path: &str| {
        let answer = service.clone().oneshot(common::request("GET", path, &[])).await.unwrap();
        let status = cache_status(&answer);
        (text(answer).await, status)
    };
    (shield, edge, get)
}

#[tokio::test]
async fn a_shield_that_has_not_seen_the_purge_does_not_answer_from_what_is_older() {
    let origin = tagged();
    let (shield, edge, get) = two_tiers(&origin);
    assert_eq!(get("/a/1").await.0, "1");
    assert_eq!(get("/a/2").await.0, "2");
    // The edge gets the purge, the shield does not, yet.
    let seq = PurgeSeq::new(9);
    edge.purge(Purge::tag("a").at(seq)).await.unwrap();
    let (body, status) = get("/a/1").await;
    assert_eq!(body, "3", "{status}");
    // The shield was told, and its origin is no tier.
    assert!(!origin.last().contains_key("headwater-purge-seq"));
    // What it fetched then is new enough.
    until(|| shield.cache.metrics().fill_bytes.get() == 0).await;
    let other = stand(&origin);
    assert_eq!(text(other.get("/a/1").await).await, "4");
    let asked = origin.asked();
    let direct = shield.get_with("/a/1", &[("headwater-purge-seq", "9")]).await;
    assert!(cache_status(&direct).contains("shield; hit"), "{}", cache_status(&direct));
    // When the purge arrives at last, it takes what is older, and not what came after it.
    shield.cache.purge(Purge::tag("a").at(seq)).await.unwrap();
    assert!(cache_status(&shield.get("/a/1").await).contains("shield; hit"));
    assert!(cache_status(&shield.get("/a/2").await).contains("shield; fwd=uri-miss"));
    assert_eq!(origin.asked(), asked + 1);
}

#[tokio::test]
async fn a_purge_of_the_shield_and_then_of_the_edge_by_its_number_fetches_once() {
    let origin = tagged();
    let (shield, edge, get) = two_tiers(&origin);
    get("/a/1").await;
    get("/b/1").await;
    let seq = shield.cache.purge(Purge::tag("a")).await.unwrap();
    assert_eq!(edge.purge(Purge::tag("a").after_shield(seq)).await.unwrap(), seq);
    assert_eq!(get("/a/1").await.0, "3");
    // What was not purged is still good in both, also after the edge lost it.
    assert_eq!(get("/b/1").await.0, "2");
    edge.purge(Purge::url("http://example.com/b/1").at(seq.next())).await.unwrap();
    shield.cache.purge(Purge::tag("none").at(seq.next())).await.unwrap();
    let (body, status) = get("/b/1").await;
    assert!(body == "2" && status.contains("shield; hit"), "{status}");
}

#[tokio::test]
async fn an_upstream_is_told_of_purges_where_it_is_a_tier_and_nowhere_else() {
    let origins = [tagged(), tagged()];
    let cache = Cache::builder().name("edge").build();
    let other = cache.layer().layer(origins[0].clone());
    let tier = cache.layer().layer(TierLayer.layer(origins[1].clone()));
    let last = |of: usize| origins[of].last().get("headwater-purge-seq").cloned();
    cache.purge(Purge::tag("none").at(PurgeSeq::new(9))).await.unwrap();
    // By a fetch, by what passes the store, and by what passes the cache.
    for (nth, method) in ["GET", "POST"].into_iter().enumerate() {
        let ask = |side: &str| common::request(method, &format!("/a/{side}/{nth}"), &[]);
        other.clone().oneshot(ask("other")).await.unwrap();
        tier.clone().oneshot(ask("tier")).await.unwrap();
        assert_eq!((last(0), last(1)), (None, Some("9".parse().unwrap())), "{method}");
    }
    let mut socket = common::request("GET", "/s", &[("headwater-purge-seq", "5")]).into_parts().0;
    cache.pass_by(&mut socket).unwrap();
    let request = || http::Request::from_parts(socket.clone(), Body::empty());
    origins[0].clone().oneshot(request()).await.unwrap();
    TierLayer.layer(origins[1].clone()).oneshot(request()).await.unwrap();
    assert_eq!((last(0), last(1)), (None, Some("9".parse().unwrap())));
}

#[tokio::test]
async fn what_clients_say_of_purges_is_not_believed() {
    let origin = tagged();
    let stand = stand(&origin);
    body(&stand, "/a/1").await;
    let answer = stand.get_with("/a/1", &[("headwater-purge-seq", "99")]).await;
    assert!(cache_status(&answer).contains("hit"));
    stand.fetch("/a/2", &[("headwater-purge-seq", "99")]).await;
    assert!(!origin.last().contains_key("headwater-purge-seq"));
    let post = common::request("POST", "/a", &[("headwater-purge-seq", "99")]);
    stand.send(post).await;
    assert!(!origin.last().contains_key("headwater-purge-seq"));
}

#[tokio::test]
async fn what_was_purged_is_not_found_on_disk_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let origin = tagged();
    let open = || {
        let disk = headwater_cache::Disk::open(folder.path(), 64 << 20).unwrap();
        stand_with(&origin, |builder| builder.disk(disk))
    };
    let first = open();
    for path in ["/a/1", "/a/2", "/b/1", "/c/1"] {
        body(&first, path).await;
    }
    first.cache.purge(Purge::tag("a")).await.unwrap();
    let soft = first.cache.purge(Purge::tag("c").soft()).await.unwrap();
    // Fetched again after the purge: that one is good.
    assert_eq!(body(&first, "/a/2").await, "5");
    first.cache.close().await;
    // The file is another's from here on.
    first.cache.purge(Purge::tag("b")).await.unwrap();
    drop(first);
    let second = open();
    assert_eq!(second.cache.purge_seq(), soft);
    let explained = async |path: &str| {
        let told = second.cache.explain(&common::request("GET", path, &[]).into_parts().0).await;
        (told.because, told.variants.first().map(|one| one.tier))
    };
    let (because, tier) = explained("/a/1").await;
    assert!(because.ends_with("took it") && tier == Some("disk"), "{because}");
    assert_eq!(explained("/b/1").await, ("it is fresh for 100 s".to_owned(), Some("disk")));
    assert!(second.fetch("/a/1", &[]).await.2.contains("uri-miss"));
    let (_, body, status) = second.fetch("/a/2", &[]).await;
    assert_eq!((body.as_str(), status.as_str()), ("5", "edge; hit; ttl=100; detail=disk"));
    assert_eq!(second.fetch("/b/1", &[]).await.2, "edge; hit; ttl=100; detail=disk");
    assert_eq!(second.fetch("/c/1", &[]).await.2, "edge; hit; ttl=0; detail=disk");
}

#[tokio::test]
async fn a_number_that_an_edge_named_does_not_outlive_the_process_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let origin = tagged();
    let open = || {
        let disk = headwater_cache::Disk::open(folder.path(), 64 << 20).unwrap();
        stand_with(&origin, |builder| builder.disk(disk).downstream(Downstream::Caches))
    };
    let first = open();
    // The edge's clock is far ahead, and its purge never came here.
    let ahead = (1_u64 << 50).to_string();
    first.fetch("/a/1", &[("headwater-purge-seq", &ahead)]).await;
    first.cache.close().await;
    drop(first);
    let second = open();
    assert!(second.cache.purge(Purge::tag("a")).await.unwrap().get() < 1 << 50);
    assert!(second.fetch("/a/1", &[]).await.2.contains("uri-miss"));
}

/// A purge that was acknowledged is never undone by an older fill: whoever asks after it gets what
/// upstream had when it came, or newer, however many fetches were under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_acknowledged_purge_is_never_undone_by_an_older_fill() {
    const KEYS: usize = 4;
    let version = Arc::new(AtomicUsize::new(0));
    let origin = tower::service_fn({
        let version = Arc::clone(&version);
        move |_: http::Request<Body>| {
            let version = Arc::clone(&version);
            async move {
                let seen = version.load(Ordering::SeqCst);
                // What was read is on its way while purges come.
                for _ in 0..seen % 7 {
                    tokio::task::yield_now().await;
                }
                let response = Response::builder()
                    .header("cache-control", "max-age=100")
                    .header("surrogate-key", "t");
                let body = Body::from(seen.to_string());
                Ok::<_, std::convert::Infallible>(response.body(body).unwrap())
            }
        }
    });
    let cache = Cache::builder().build();
    let service = cache.layer().layer(origin);
    let get = {
        move |key: usize| {
            let request = common::request("GET", &format!("/{key}"), &[]);
            let answer = service.clone().oneshot(request);
            async move { text(answer.await.unwrap()).await.parse::<usize>().unwrap() }
        }
    };
    let done = Arc::new(AtomicUsize::new(0));
    let readers: Vec<_> = (0..3)
        .map(|nth| {
            let (get, done) = (get.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut at = nth;
                while done.load(Ordering::Relaxed) == 0 {
                    get(at % KEYS).await;
                    at += 1;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for nth in 1..=1000 {
        version.store(nth, Ordering::SeqCst);
        let purge = match nth % 4 {
            0 => Purge::tag("t"),
            1 => Purge::prefix("http://example.com/"),
            2 => Purge::host("example.com"),
            _ => Purge::all(),
        };
        cache.purge(purge).await.unwrap();
        for key in 0..KEYS {
            let seen = get(key).await;
            assert!(seen >= nth, "version {seen} was served after purge {nth}");
        }
    }
    done.store(1, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
}
