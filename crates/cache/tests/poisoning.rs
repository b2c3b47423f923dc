//! What one client sends never changes what another gets: cache poisoning and cache deception.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use common::{Origin, field, ok, reply, request, stand};
use headwater_net::Body;
use http::{Request, Response};

/// An origin that puts what it was sent into its answer, as careless ones do.
fn echoing() -> Origin {
    Origin::new(|parts| {
        let mut text = parts.uri.to_string();
        for name in ["x-forwarded-host", "x-original-url", "x-hop", "range", "if-none-match"] {
            if let Some(value) = parts.headers.get(name) {
                text.extend([" ", name, "=", value.to_str().unwrap()]);
            }
        }
        let mut response = Response::builder().header("cache-control", "max-age=60");
        if parts.headers.contains_key("x-forwarded-host") {
            response = response.header("vary", "x-forwarded-host");
        }
        response.body(Body::from(text)).unwrap()
    })
}

#[tokio::test]
async fn a_field_that_the_answer_varies_by_is_not_shared() {
    let origin = echoing();
    let stand = stand(&origin);
    let evil = [("x-forwarded-host", "evil.example")];
    assert!(stand.fetch("/a", &evil).await.1.contains("evil.example"));
    assert!(!stand.fetch("/a", &[]).await.1.contains("evil.example"));
}

#[tokio::test]
async fn what_connection_lists_reaches_no_origin_and_selects_nothing() {
    let origin = echoing();
    let stand = stand(&origin);
    let sent = [("x-hop", "evil"), ("connection", "x-hop, host, content-length, cdn-loop")];
    assert!(!stand.fetch("/a", &sent).await.1.contains("evil"));
    assert!(stand.fetch("/a", &[]).await.2.contains("; hit"), "and it is shared");
}

#[tokio::test]
async fn the_fetch_for_all_has_no_conditions_of_one() {
    let origin = echoing();
    let stand = stand(&origin);
    let sent = [("if-none-match", "\"x\""), ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")];
    let (status, body, _) = stand.fetch("/a", &sent).await;
    assert_eq!((status, body.as_str()), (200, "http://example.com/a"));
    for name in ["if-none-match", "if-modified-since", "range", "if-range"] {
        assert!(!origin.last().contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn every_parameter_that_reaches_the_origin_is_in_the_key() {
    let origin = echoing();
    let stand = stand(&origin);
    // Two parsers may split these otherwise than the cache does: none of them is shared.
    let targets =
        ["/a?b=1&b=2", "/a?b=2&b=1", "/a?b=1;b=2", "/a?b=1%26b=2", "/a?b=1", "/a?B=1", "/a?b[]=1"];
    for target in targets {
        let (_, body, member) = stand.fetch(target, &[]).await;
        assert!(member.contains("uri-miss"), "{target}: {member}");
        assert_eq!(body, format!("http://example.com{target}"));
    }
    for target in targets {
        let (_, body, _) = stand.fetch(target, &[]).await;
        assert_eq!(body, format!("http://example.com{target}"), "kept apart");
    }
    // What is in no key reaches no origin, in whatever it is cloaked.
    for target in ["/c?CMCD=evil", "/c?CMCD=x&CMCD=evil"] {
        assert_eq!(stand.fetch(target, &[]).await.1, "http://example.com/c", "{target}");
    }
    for target in ["/c?a=1;CMCD=evil", "/c?%43MCD=evil", "/c?cmcd=evil"] {
        let (_, body, member) = stand.fetch(target, &[]).await;
        assert!(member.contains("uri-miss") && body.contains("evil"), "{target}: {body}");
    }
}

#[tokio::test]
async fn one_path_written_in_two_ways_is_two_keys_or_the_same_answer() {
    let origin = echoing();
    let stand = stand(&origin);
    // The cache guesses nothing: an edge's normalisation comes before it.
    for target in ["/a/b", "/a/./b", "/a/x/../b", "/a//b", "/a/%62", "/a%2fb", "/a/b/", "/A/b"] {
        let (_, body, _) = stand.fetch(target, &[]).await;
        assert_eq!(body, format!("http://example.com{target}"));
    }
    assert_eq!(origin.asked(), 8);
}

#[tokio::test]
async fn a_personal_page_with_the_name_of_a_file_is_still_personal() {
    let origin = Origin::new(|parts| {
        if parts.headers.contains_key("cookie") {
            return ok(&[("cache-control", "private"), ("set-cookie", "s=1")], "secret");
        }
        ok(&[("cache-control", "max-age=60")], "sign in")
    });
    let stand = stand(&origin);
    let own = [("cookie", "s=1")];
    for target in ["/account/x.css", "/account%2f..%2fx.m4s", "/account;x.m3u8"] {
        assert_eq!(stand.fetch(target, &own).await.1, "secret");
        assert_eq!(stand.fetch(target, &[]).await.1, "sign in", "{target}");
    }
}

#[tokio::test]
async fn a_method_or_content_smuggled_into_a_get_is_not_shared() {
    let origin = echoing();
    let stand = stand(&origin);
    let (parts, ()) = http::Request::get("http://example.com/a").body(()).unwrap().into_parts();
    let fat = http::Request::from_parts(parts, Body::from("b=evil"));
    assert!(common::cache_status(&stand.send(fat).await).contains("fwd=bypass"));
    assert!(stand.fetch("/a", &[]).await.2.contains("uri-miss"));
    let overridden = [("x-http-method-override", "DELETE"), ("x-original-url", "/admin")];
    let head = stand.send(request("HEAD", "/b", &overridden)).await;
    assert!(common::cache_status(&head).contains("fwd=uri-miss"), "stores nothing");
    assert!(!stand.fetch("/b", &[]).await.1.contains("admin"));
}

#[tokio::test]
async fn rfc_9110_4_2_3_upstream_is_asked_for_the_host_that_the_key_names() {
    let origin = Origin::new(|parts| {
        let host = parts.headers.get("host").map_or("", |host| host.to_str().unwrap());
        let to = format!("https://{host}/b");
        reply(301, &[("cache-control", "max-age=60"), ("location", &to)], "")
    });
    let stand = stand(&origin);
    let ask = |host: &str| {
        let request = Request::get("/a").header("host", host).body(Body::empty()).unwrap();
        stand.send(request)
    };
    let first = ask("example.com:80").await;
    assert_eq!(field(&first, "location"), "https://example.com/b");
    let next = ask("example.com").await;
    assert_eq!(field(&next, "location"), "https://example.com/b");
    assert_eq!(origin.asked(), 1);
    // A target that names it says the same.
    let request = Request::get("http://example.com:80/c").body(Body::empty()).unwrap();
    stand.send(request).await;
    assert_eq!(origin.last_uri(), "http://example.com/c");
}
