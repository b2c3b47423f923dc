//! RFC 9213 (targeted cache control): `CDN-Cache-Control` governs where it is there and valid.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use common::{Origin, START, field, stand_with};
use headwater_cache::{Builder, Choices};
use headwater_net::Body;
use http::Response;

type Fields = &'static [(&'static str, &'static str)];

/// Whether the second of two requests, some seconds apart, is answered from store.
async fn is_kept(fields: Fields, seconds: u64, build: impl FnOnce(Builder) -> Builder) -> bool {
    let origin = Origin::new(move |_| {
        let mut response = Response::builder();
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        response.body(Body::from("x")).unwrap()
    });
    let stand = stand_with(&origin, build);
    let first = stand.get("/a").await;
    for (name, value) in fields {
        let kept = first.headers().get_all(*name).iter().any(|line| line == value);
        assert!(kept, "{name} goes on to caches and clients behind us");
    }
    common::text(first).await;
    stand.advance(seconds);
    stand.fetch("/a", &[]).await.2.contains("; hit")
}

async fn is_fresh(fields: Fields, seconds: u64) -> bool {
    is_kept(fields, seconds, |builder| builder).await
}

#[tokio::test]
async fn rfc_9213_2_2_a_target_stands_above_cache_control_and_expires() {
    let both = &[("cache-control", "max-age=1"), ("cdn-cache-control", "max-age=60")];
    assert!(is_fresh(both, 59).await && !is_fresh(both, 60).await);
    let both = &[("cache-control", "max-age=60"), ("cdn-cache-control", "max-age=1")];
    assert!(!is_fresh(both, 2).await);
    assert!(
        is_fresh(&[("cache-control", "no-store"), ("cdn-cache-control", "max-age=60")], 5).await
    );
    for forbids in ["no-store", "private", "no-cache", "max-age=0"] {
        let fields: Fields = match forbids {
            "no-store" => &[("cdn-cache-control", "no-store"), ("cache-control", "max-age=60")],
            "private" => &[("cdn-cache-control", "private"), ("cache-control", "max-age=60")],
            "no-cache" => &[("cdn-cache-control", "no-cache"), ("cache-control", "max-age=60")],
            _ => {
                &[("cdn-cache-control", "max-age=0"), ("expires", "Fri, 01 Jan 2038 00:00:00 GMT")]
            }
        };
        assert!(!is_fresh(fields, 1).await, "{forbids}");
    }
}

#[tokio::test]
async fn rfc_9213_2_1_what_is_malformed_or_empty_is_not_there() {
    for text in ["max-age=60, &&&&", "", "max-age=60,", "Max-Age=60", "max-age= 60"] {
        let fields: Fields = match text {
            "max-age=60, &&&&" => {
                &[("cdn-cache-control", "max-age=60, &&&&"), ("cache-control", "max-age=5")]
            }
            "" => &[("cdn-cache-control", ""), ("cache-control", "max-age=5")],
            "max-age=60," => {
                &[("cdn-cache-control", "max-age=60,"), ("cache-control", "max-age=5")]
            }
            "Max-Age=60" => &[("cdn-cache-control", "Max-Age=60"), ("cache-control", "max-age=5")],
            _ => &[("cdn-cache-control", "max-age= 60"), ("cache-control", "max-age=5")],
        };
        assert!(is_fresh(fields, 4).await && !is_fresh(fields, 5).await, "{text:?}");
    }
}

#[tokio::test]
async fn rfc_9213_2_1_a_value_of_the_wrong_type_is_not_consumed_and_unknown_members_are_ignored() {
    let wrong = &[("cdn-cache-control", "max-age=\"60\""), ("cache-control", "max-age=60")];
    assert!(!is_fresh(wrong, 1).await, "the field is there, and says nothing of freshness");
    let unknown = &[("cdn-cache-control", "foo=(1 2);a, bar=?0, max-age=60;x=\"y\"")];
    assert!(is_fresh(unknown, 59).await);
}

#[tokio::test]
async fn rfc_9213_2_2_a_target_of_one_s_own_comes_first_and_others_are_not_ours() {
    let own = |builder: Builder| {
        let fields = ["own-cache-control", "cdn-cache-control"].map(|name| name.parse().unwrap());
        builder.choices(Choices::new().targeted(fields))
    };
    let both = &[("cdn-cache-control", "max-age=1"), ("own-cache-control", "max-age=60")];
    assert!(is_kept(both, 30, own).await);
    let malformed = &[("cdn-cache-control", "max-age=60"), ("own-cache-control", "max-age=")];
    assert!(is_kept(malformed, 30, own).await, "the next in the list");
    let none = |builder: Builder| builder.choices(Choices::new().targeted([]));
    assert!(!is_kept(both, 1, none).await);
}

#[tokio::test]
async fn rfc_9213_2_2_age_still_counts() {
    let old = &[("cdn-cache-control", "max-age=60"), ("age", "55")];
    assert!(is_fresh(old, 4).await && !is_fresh(old, 5).await);
    let origin = Origin::new(|_| {
        Response::builder()
            .header("cdn-cache-control", "max-age=60, stale-while-revalidate=60")
            .header("date", START.to_http_date())
            .body(Body::from("x"))
            .unwrap()
    });
    let stand = stand_with(&origin, |builder| builder);
    stand.fetch("/a", &[]).await;
    stand.advance(70);
    let stale = stand.get("/a").await;
    assert_eq!(field(&stale, "age"), "70");
    assert!(common::cache_status(&stale).contains("hit; ttl=-10"));
}
