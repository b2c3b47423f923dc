//! Rules and explanations, through a cache: what a deployment says beside RFC 9111, and what an
//! operator is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::time::Duration;

use common::{
    Origin, Stand, cache_status, field, ok, reply, request, stand, stand_with, text, until,
};
use headwater_cache::{Choices, Decision, Downstream, Keep, Lifetime, Purge, Route, Rules, Worth};
use headwater_net::Secret;

fn stand_by(origin: &Origin, route: Route) -> Stand {
    let rules = Rules::builder().otherwise(route).debug_secret(Secret::new(*b"open")).build();
    stand_with(origin, |builder| builder.policy(rules.unwrap()))
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test]
async fn errors_are_kept_as_long_as_the_rules_say_and_no_longer() {
    for status in [403, 404, 500, 503] {
        let origin = Origin::new(move |_| reply(status, &[], "no"));
        let route =
            Route::on("/**").error_ttl(400..=499, seconds(10)).error_ttl(500..=599, seconds(3));
        let stand = stand_by(&origin, route);
        stand.fetch("/a", &[]).await;
        until(|| stand.cache.metrics().stored_objects.get() == 1).await;
        stand.advance(2);
        assert!(stand.fetch("/a", &[]).await.2.contains("hit"), "{status}");
        stand.advance(8);
        assert!(stand.fetch("/a", &[]).await.2.contains("fwd=stale"), "{status}");
        assert_eq!(origin.asked(), 2);
    }
    // What its origin forbids to store is not stored.
    let origin = Origin::new(|_| reply(404, &[("cache-control", "no-store")], "no"));
    let stand = stand_by(&origin, Route::on("/**").error_ttl(404..=404, seconds(10)));
    stand.fetch("/a", &[]).await;
    stand.fetch("/a", &[]).await;
    assert_eq!(origin.asked(), 2);
}

#[tokio::test]
async fn lifetimes_and_stale_extensions_are_the_operators() {
    let origin = Origin::new(|_| ok(&[("cache-control", "max-age=60, s-maxage=60")], "x"));
    let route =
        Route::on("/**").ttl(Lifetime::AtMost(seconds(5))).stale_while_revalidate(seconds(10));
    let stand = stand_by(&origin, route);
    stand.fetch("/a", &[]).await;
    stand.advance(4);
    assert_eq!(stand.fetch("/a", &[]).await.2, "edge; hit; ttl=1");
    stand.advance(2);
    assert_eq!(stand.fetch("/a", &[]).await.2, "edge; hit; ttl=-1");
    until(|| origin.asked() == 2).await;
}

#[tokio::test]
async fn a_service_behind_may_give_a_lifetime_and_give_it_again_with_a_304() {
    let origin = Origin::new(|parts| {
        let fields = [("cache-control", "max-age=60"), ("etag", "\"v\"")];
        let status = if parts.headers.contains_key("if-none-match") { 304 } else { 200 };
        let mut response = reply(status, &fields, if status == 200 { "x" } else { "" });
        response.extensions_mut().insert(Lifetime::AtMost(seconds(5)));
        response
    });
    let stand = stand_by(&origin, Route::on("/**"));
    stand.fetch("/a", &[]).await;
    for asked in 2..4 {
        stand.advance(4);
        assert_eq!(stand.fetch("/a", &[]).await.2, "edge; hit; ttl=1");
        stand.advance(2);
        assert!(stand.fetch("/a", &[]).await.2.contains("fwd=stale"));
        assert_eq!(origin.asked(), asked);
    }
}

/// So many requests a second.
struct Asked(f32);

impl Worth for Asked {
    fn worth(&self, _: bool) -> f32 {
        self.0
    }
}

/// Of ten that are fetched first, those that are left after a hundred others; the ten are confirmed
/// once, by a 304 that says nothing of it, and the service behind has told what they are worth.
async fn left_of_ten(worth: f32) -> usize {
    let body: &str = "x".repeat(10_000).leak();
    let origin = Origin::new(move |parts| {
        let fields = [("cache-control", "max-age=60"), ("etag", "\"v\"")];
        let known = parts.headers.contains_key("if-none-match");
        let mut response = if known { reply(304, &fields, "") } else { ok(&fields, body) };
        if !known {
            let worth = if parts.uri.path().starts_with("/ten/") { worth } else { 0.1 };
            response.extensions_mut().insert(Keep::by(Asked(worth)));
        }
        response
    });
    let stand = stand_with(&origin, |builder| builder.ram(250_000));
    let fetch = async |path: String| {
        let before = stand.cache.metrics().evictions.get();
        let (_, _, found) = stand.fetch(&path, &[]).await;
        let metrics = stand.cache.metrics();
        let settled = || metrics.fill_bytes.get() == 0;
        until(settled).await;
        (found, metrics.evictions.get() - before)
    };
    for nth in 0..10 {
        fetch(format!("/ten/{nth}")).await;
    }
    stand.advance(61);
    for nth in 0..10 {
        assert!(fetch(format!("/ten/{nth}")).await.0.contains("fwd=stale"));
    }
    let mut evicted = 0;
    for nth in 0..100 {
        evicted += fetch(format!("/other/{nth}")).await.1;
    }
    assert!(evicted > 80, "{evicted}");
    let mut left = 0;
    for nth in 0..10 {
        let uri = format!("/ten/{nth}");
        let answer = stand.send(request("GET", &uri, &[("cache-control", "only-if-cached")])).await;
        left += usize::from(answer.status() == 200);
    }
    left
}

#[tokio::test]
async fn a_service_behind_may_say_what_is_worth_keeping() {
    let (dear, cheap) = (left_of_ten(1.0).await, left_of_ten(0.01).await);
    assert!(dear >= 8 && cheap <= 2, "{dear} {cheap}");
}

#[tokio::test]
async fn set_cookie_is_ignored_where_the_rules_say_so() {
    let origin =
        Origin::new(|_| ok(&[("cache-control", "max-age=60"), ("set-cookie", "a=b")], "x"));
    let stand = stand_by(&origin, Route::on("/**").ignore_set_cookie());
    assert_eq!(field(&stand.get("/a").await, "set-cookie"), "");
    until(|| stand.cache.metrics().stored_objects.get() == 1).await;
    assert!(stand.fetch("/a", &[]).await.2.contains("hit"));
}

#[tokio::test]
async fn what_is_in_no_key_does_not_reach_upstream_on_any_way() {
    let origin = Origin::new(|_| ok(&[("cache-control", "max-age=60")], "x"));
    let route = Route::on("/**").only_parameters(["v"]).rewrite("/site", "/origin");
    let stand = stand_by(&origin, route);
    stand.fetch("/site/a?u=1&v=2&token=t", &[]).await;
    assert_eq!(origin.last_uri(), "http://example.com/origin/a?v=2");
    assert!(stand.fetch("/site/a?v=2&u=3", &[]).await.2.contains("hit"));
    stand.send(request("POST", "/site/a?token=t", &[])).await;
    assert_eq!(origin.last_uri(), "http://example.com/origin/a");
    // By the client's URL, a purge takes it; so does an unsafe request (RFC 9111 §4.4).
    stand.fetch("/site/a?v=2", &[]).await;
    assert!(stand.fetch("/site/a?v=2", &[]).await.2.contains("hit"));
    stand.cache.purge(Purge::url("http://example.com/site/a?v=2&u=9")).await.unwrap();
    assert!(stand.fetch("/site/a?v=2", &[]).await.2.contains("uri-miss"));
}

#[tokio::test]
async fn a_purge_by_url_takes_all_classes_of_devices_and_variants() {
    let origin = Origin::new(|_| ok(&[("cache-control", "max-age=60"), ("vary", "accept")], "x"));
    let rules = Rules::builder().device("tv", ["TV"]).otherwise(Route::on("/**").by_device());
    let stand = stand_with(&origin, |builder| builder.policy(rules.build().unwrap()));
    let asks = [[("user-agent", "TV"), ("accept", "a")], [("user-agent", "x"), ("accept", "b")]];
    for fields in &asks {
        stand.fetch("/a", fields).await;
        stand.fetch("/ab", fields).await;
    }
    stand.cache.purge(Purge::url("http://example.com/a")).await.unwrap();
    for fields in &asks {
        assert!(stand.fetch("/a", fields).await.2.contains("uri-miss"));
        assert!(stand.fetch("/ab", fields).await.2.contains("hit"));
    }
}

#[tokio::test]
async fn rfc_9111_4_4_an_unsafe_method_takes_all_classes_of_devices() {
    let origin = Origin::new(|parts| match parts.method.as_str() {
        "POST" => reply(204, &[("location", "/b")], ""),
        _ => ok(&[("cache-control", "max-age=60")], "x"),
    });
    let rules = Rules::builder().device("tv", ["TV"]).otherwise(Route::on("/**").by_device());
    let stand = stand_with(&origin, |builder| builder.policy(rules.build().unwrap()));
    let agents = ["TV", "x"].map(|agent| [("user-agent", agent)]);
    for path in ["/a", "/b", "/c"] {
        for agent in &agents {
            stand.fetch(path, agent).await;
        }
    }
    stand.send(request("POST", "/a", &agents[1])).await;
    for agent in &agents {
        assert!(stand.fetch("/a", agent).await.2.contains("uri-miss"), "{agent:?}");
        assert!(stand.fetch("/b", agent).await.2.contains("uri-miss"), "{agent:?}");
        assert!(stand.fetch("/c", agent).await.2.contains("hit"), "{agent:?}");
    }
}

#[tokio::test]
async fn the_secret_that_explains_goes_no_further() {
    let origin = Origin::new(|_| ok(&[("cache-control", "no-store")], "x"));
    let stand = stand_by(&origin, Route::on("/**"));
    for method in ["GET", "GET", "HEAD", "POST"] {
        stand.send(request(method, "/a", &[("headwater-debug", "open")])).await;
        assert!(!origin.last().contains_key("headwater-debug"), "{method}");
    }
    assert_eq!(origin.asked(), 4);
}

#[tokio::test]
async fn an_explanation_changes_nothing() {
    let origin = Origin::new(|_| ok(&[("cache-control", "max-age=60")], "x"));
    let stand = stand_with(&origin, |builder| builder.downstream(Downstream::Caches));
    let soon = (common::START.as_millis() + 9000).to_string();
    let ask = request("GET", "/a", &[("headwater-purge-seq", &soon)]);
    stand.cache.explain(&ask.into_parts().0).await;
    let seq = stand.cache.purge(Purge::all()).await.unwrap();
    assert_eq!(seq.get(), common::START.as_millis());
    // Who asks in earnest has seen what it says.
    stand.fetch("/a", &[("headwater-purge-seq", &soon)]).await;
    let seq = stand.cache.purge(Purge::all()).await.unwrap();
    assert_eq!(seq.get(), common::START.as_millis() + 9001);
}

#[tokio::test]
async fn explanations_say_what_a_request_then_meets() {
    let origin = Origin::new(|parts| {
        let control = if parts.uri.path() == "/nc" { "max-age=9, no-cache" } else { "max-age=9" };
        let fields =
            [("cache-control", control), ("vary", "accept"), ("etag", "\"v\""), ("cache-tag", "t")];
        if parts.headers.contains_key("if-none-match") {
            reply(304, &fields, "")
        } else {
            ok(&fields, "body")
        }
    });
    let stand = stand(&origin);
    let explain = async |method: &str, path: &str, fields: &[(&str, &str)]| {
        stand.cache.explain(&request(method, path, fields).into_parts().0).await
    };
    let told = explain("GET", "/a", &[]).await;
    assert_eq!(
        (told.decision, &*told.because),
        (Decision::Miss, "nothing is stored under its key")
    );
    assert_eq!(explain("POST", "/a", &[]).await.decision, Decision::Pass);
    for path in ["/a", "/nc"] {
        stand.fetch(path, &[]).await;
    }
    until(|| stand.cache.metrics().stored_objects.get() == 2).await;
    stand.advance(4);
    let told = explain("GET", "/a", &[]).await;
    assert_eq!((told.decision, &*told.because), (Decision::Hit, "it is fresh for 5 s"));
    let json = serde_json::to_value(&told).unwrap();
    assert_eq!(json["key"], "example.com/a");
    assert_eq!(json["decision"], "hit");
    let variant = &json["variants"][0];
    assert_eq!(
        (&variant["age"], &variant["lifetime"], &variant["ttl"]),
        (&4.into(), &9.into(), &5.into())
    );
    assert_eq!(
        (&variant["bytes"], &variant["tier"], &variant["tags"]),
        (&4.into(), &"ram".into(), &1.into())
    );
    assert_eq!(variant["vary"], serde_json::json!({"accept": null}));
    assert_eq!(variant["slices"], serde_json::Value::Null);
    let told = explain("GET", "/a", &[("accept", "x")]).await;
    let no_match = "no stored variant matches it: they vary by accept";
    assert_eq!(told.because, no_match);
    let told = explain("GET", "/a", &[("cache-control", "no-cache")]).await;
    assert_eq!(told.because, "the request wants a fresher one");
    let told = explain("GET", "/nc", &[]).await;
    assert_eq!(told.because, "its origin wants it confirmed each time");
    // What the request itself says, and its method.
    let told = explain("GET", "/b", &[("cache-control", "only-if-cached")]).await;
    let only = "nothing is stored under its key; and the request takes stored answers only: 504";
    assert_eq!((told.decision, &*told.because), (Decision::Miss, only));
    for (method, fields, why) in [
        (
            "GET",
            &[("cache-control", "no-store")][..],
            "the request wants nothing of its answer stored",
        ),
        ("HEAD", &[], "a HEAD starts no fetch of a body"),
    ] {
        let told = explain(method, "/b", fields).await;
        let because = format!("nothing is stored under its key; and {why}");
        assert_eq!((told.decision, told.because), (Decision::Pass, because));
    }
    assert_eq!(explain("HEAD", "/a", &[]).await.decision, Decision::Hit);
    assert_eq!(explain("HEAD", "/nc", &[]).await.decision, Decision::Revalidate);
    // Of what was asked for with secrets, not what they were.
    for (name, value) in [("accept", "x"), ("cookie", "user=1")] {
        let origin = Origin::new(move |_| {
            ok(&[("cache-control", "public, max-age=9"), ("vary", name)], "body")
        });
        let stand = common::stand(&origin);
        stand.fetch("/a", &[(name, value)]).await;
        until(|| stand.cache.metrics().stored_objects.get() == 1).await;
        let told = stand.cache.explain(&request("GET", "/a", &[]).into_parts().0).await;
        let shown = if name == "cookie" { "…" } else { value };
        assert_eq!(told.variants[0].vary[name].as_deref(), Some(shown));
    }

    let soft = stand.cache.purge(Purge::tag("t").soft()).await.unwrap();
    stand.advance(1);
    let told = explain("GET", "/a", &[]).await;
    assert_eq!((told.decision, &*told.because), (Decision::Revalidate, "it is stale for 1 s"));
    let purge = told.variants[0].purge.unwrap();
    assert_eq!((purge.sequence, purge.soft), (soft.get(), true));
    let hard = stand.cache.purge(Purge::all()).await.unwrap();
    let told = explain("GET", "/a", &[]).await;
    assert_eq!((told.decision, told.because), (Decision::Miss, format!("purge {hard} took it")));
    assert_eq!((purge.scope, told.variants[0].purge.unwrap().scope), ("tag", "all"));
    for (purge, scope) in [
        (Purge::url("http://example.com/a"), "url"),
        (Purge::prefix("http://example.com/"), "prefix"),
        (Purge::host("example.com"), "prefix"),
    ] {
        stand.cache.purge(purge).await.unwrap();
        let told = explain("GET", "/a", &[]).await;
        assert_eq!(told.variants[0].purge.unwrap().scope, scope);
    }
    // To explain is not to use.
    assert_eq!((stand.cache.metrics().hits.get(), origin.asked()), (0, 2));
}

#[tokio::test]
async fn those_who_may_are_told_in_the_answer_and_nobody_else() {
    let origin = Origin::new(|_| ok(&[("cache-control", "max-age=9")], "x"));
    let stand = stand_by(&origin, Route::on("/**"));
    let debug = [("headwater-debug", "open")];
    let answer = stand.get_with("/a\"", &debug).await;
    assert_eq!(
        field(&answer, "headwater-explain"),
        "miss; because=\"nothing is stored under its key\"; key=\"example.com/a\\\"\"; variants=0; \
         fetching=0; purge-sequence=0"
    );
    assert!(cache_status(&answer).contains("uri-miss"));
    text(answer).await;
    assert!(!origin.last().contains_key("headwater-debug"));
    let answer = stand.get_with("/a\"", &debug).await;
    assert_eq!(
        field(&answer, "headwater-explain"),
        "hit; because=\"it is fresh for 9 s\"; key=\"example.com/a\\\"\"; variants=1; fetching=0; \
         purge-sequence=0; tier=ram; status=200; bytes=1; age=0; lifetime=9; ttl=9; \
         fetched-at-purge=0"
    );
    for fields in [&[][..], &[("headwater-debug", "1")]] {
        assert_eq!(field(&stand.get_with("/a\"", fields).await, "headwater-explain"), "");
    }
    let long = format!("/{}", "x".repeat(5000));
    let answer = stand.get_with(&long, &debug).await;
    assert!(field(&answer, "headwater-explain").len() < 1024);
}

#[tokio::test]
async fn an_error_longer_than_errors_may_be_passes_and_is_not_kept() {
    let origin =
        Origin::new(|_| reply(404, &[("cache-control", "max-age=60")], "a page as long as this"));
    let choices = Choices::new().max_error_body(10);
    let stand = stand_with(&origin, |builder| builder.choices(choices));
    for asked in 1..=2 {
        let (status, text, _) = stand.fetch("/no", &[]).await;
        assert_eq!((status, text.as_str()), (404, "a page as long as this"));
        assert_eq!(origin.asked(), asked);
    }
    assert_eq!(stand.cache.metrics().stored_objects.get(), 0);
    let stand = stand_with(&origin, |builder| builder);
    stand.fetch("/no", &[]).await;
    until(|| stand.cache.metrics().stored_objects.get() == 1).await;
    assert_eq!(stand.fetch("/no", &[]).await.2, "edge; hit; ttl=60");
}
