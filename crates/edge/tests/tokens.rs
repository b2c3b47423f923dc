//! Tokens as a client meets them: around axum alone, and in a whole edge before its cache.
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use headwater_cache::Cache;
use headwater_edge::access_log::Masked;
use headwater_edge::rates::{Holder, Per};
use headwater_edge::tokens::{Grant, Key, Places, TokenLayer, TokenRules, TokensHere, Verifier};
use headwater_edge::{AccessLog, Edge, Limit, RateLimitLayer, RoutePolicy};
use headwater_net::{Body, Clock, Protocol, Timestamp};
use http::{Request, Response, header};
use support::{Lines, Origin};
use tower::ServiceExt;

const NOW: u64 = 1_000;

fn key(id: &str) -> Key {
    Key::signing(id, b"a secret of thirty-two bytes, or more").unwrap()
}

fn token(path: &str) -> String {
    Grant::below(path, Timestamp::from_secs(NOW + 60)).unwrap().sign(&key("k")).unwrap()
}

fn layer(clock: &Clock) -> TokenLayer {
    let places = Places::default().path("/t/").give_cookie(true);
    TokenLayer::new(TokenRules::new(Verifier::new([key("k")]).unwrap(), places))
        .clock(clock.clone())
}

async fn problem(response: Response<Body>) -> serde_json::Value {
    let body = response.into_body().collect(10_000).await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn the_layer_works_around_an_axum_router() {
    let clock = Clock::manual(Timestamp::from_secs(NOW));
    let who = |request: Request<axum::body::Body>| async move {
        let holder = request.extensions().get::<Holder>().copied();
        format!("{} {}", request.uri(), holder.is_some())
    };
    let app = Router::new().route("/films/7/{file}", get(who));
    let app = tower::Layer::layer(&layer(&clock), app);
    let ask = |uri: String| {
        let request = Request::builder().uri(uri).body(axum::body::Body::empty()).unwrap();
        app.clone().oneshot(request)
    };
    let token = token("/films/7/");
    for uri in
        [format!("/films/7/a.m4s?x=1&token={token}"), format!("/t/{token}/films/7/a.m4s?x=1")]
    {
        let response = ask(uri).await.unwrap();
        assert_eq!(response.status(), 200);
        let body = response.into_body().collect(100).await.unwrap().to_bytes();
        assert_eq!(body, "/films/7/a.m4s?x=1 true");
    }
    let response = ask("/films/7/a.m4s".to_owned()).await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
    assert_eq!(response.headers()[header::CACHE_CONTROL], "private, no-store");
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    assert_eq!(problem(response).await["detail"], "a token is needed here");
    let response = ask(format!("/films/8/a.m4s?token={token}")).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), response.headers().get(header::WWW_AUTHENTICATE)),
        (403, None)
    );
    for up in [
        "/films/7/../8/a.m4s",
        "/films/7/%2e%2e/8/a.m4s",
        "/films/7/..%2F8/a.m4s",
        "/films/7/x%2f..%2f..%2F8/a.m4s",
        "/films/7/%2E.%2f8/a.m4s",
    ] {
        assert_eq!(ask(format!("{up}?token={token}")).await.unwrap().status(), 400, "{up}");
    }
    clock.advance(Duration::from_secs(65));
    let response = ask(format!("/films/7/a.m4s?token={token}")).await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer error=\"invalid_token\"");
    let said = problem(response).await.to_string();
    assert!(said.contains("the token has expired") && !said.contains(&token), "{said}");
}

/// An origin that undoes escaped slashes, or takes several for one, must not find what the token is not for.
#[tokio::test]
async fn a_token_is_for_every_way_to_read_the_path() {
    let clock = Clock::manual(Timestamp::from_secs(NOW));
    let inner = tower::service_fn(|_: Request<Body>| async {
        Ok::<_, std::convert::Infallible>(Response::new(Body::Empty))
    });
    let service = tower::Layer::layer(&layer(&clock), inner);
    for (of, path, status) in [
        ("/films/7/", "/films/7/a%2Fb.m4s", 200),
        ("/films/7/", "/films/7//a.m4s", 200),
        ("/films/7/", "/films/7/a%3Ab.m4s", 200),
        ("/films//7/", "/films//7/a.m4s", 200),
        ("/films//7/", "/films//8/a.m4s", 403),
        ("/films/7%2F8/", "/films/7%2F8/a.m4s", 200),
        ("/films/7%2F8/", "/films/7/8/a.m4s", 403),
        ("/films/a%3Ab/", "/films/a%3Ab/c.m4s", 200),
        ("/films/a%2Fb", "/films/a%2Fb", 200),
        ("/films/a%2Fb", "/films/a/b", 403),
    ] {
        let request = Request::builder().uri(format!("{path}?token={}", token(of)));
        let response = service.clone().oneshot(request.body(Body::Empty).unwrap()).await.unwrap();
        assert_eq!(response.status(), status, "{of}: {path}");
    }
}

#[tokio::test]
async fn viewers_with_different_tokens_share_what_is_cached_and_nobody_behind_sees_one() {
    let clock = Clock::manual(Timestamp::from_secs(NOW));
    let lines = Lines::default();
    let (log, writer) = AccessLog::start(lines.clone(), 100).unwrap();
    let origin = Origin::default();
    let cache = Cache::builder().clock(clock.clone()).build();
    let edge =
        Edge::builder().cache(cache).access_log(log).tokens(layer(&clock)).clock(clock.clone());
    let edge = edge.build(origin.clone());
    let ask = |path: String, cookie: Option<String>| {
        let mut request = support::get(&path, Protocol::H2);
        if let Some(cookie) = cookie {
            request.headers_mut().insert(header::COOKIE, cookie.parse().unwrap());
        }
        edge.clone().oneshot(request)
    };
    let (one, other) = (token("/small"), token("/"));
    let first = ask(format!("/small?token={one}"), None).await.unwrap();
    assert_eq!(first.status(), 200);
    let cookie = first.headers()[header::SET_COOKIE].to_str().unwrap();
    assert!(cookie.starts_with(&format!("headwater-token={one}; Path=/small; Max-Age=60;")));
    let cookie = cookie.split(';').next().unwrap().to_owned();
    for (path, cookie) in
        [(format!("/t/{other}/small"), None), ("/small".to_owned(), Some(format!("a=1; {cookie}")))]
    {
        let response = ask(path, cookie).await.unwrap();
        assert_eq!(response.status(), 200);
        let status = response.headers()["cache-status"].to_str().unwrap().to_owned();
        assert!(status.contains("hit"), "{status}");
        assert!(!response.headers().contains_key(header::SET_COOKIE));
    }
    assert_eq!(
        ask("/small".to_owned(), None).await.unwrap().status(),
        401,
        "a hit, but not for all"
    );
    assert_eq!(ask("/large".to_owned(), Some(cookie)).await.unwrap().status(), 403);
    assert_eq!(*origin.seen.lock().unwrap(), ["/small"]);
    assert!(!format!("{:?}", origin.headers.lock().unwrap()).contains("hw1"));
    clock.advance(Duration::from_secs(66));
    assert_eq!(
        ask(format!("/t/{other}/small"), None).await.unwrap().status(),
        401,
        "once it was good"
    );
    drop((edge, first));
    writer.finish();
    let lines = lines.json();
    assert_eq!(lines.len(), 6);
    for line in lines {
        assert!(!line.to_string().contains("hw1"), "{line}");
    }
}

#[tokio::test]
async fn who_tries_token_after_token_is_held_by_its_address_and_a_holder_by_its_token() {
    let clock = Clock::manual(Timestamp::from_secs(NOW));
    let limit = |name: &str, per, requests| {
        Limit::new(name).per(per).requests(requests, Duration::from_secs(3600))
    };
    let ask = async |rates: [Limit; 1], tokens: &[&str]| {
        let rates = RateLimitLayer::new(rates).unwrap();
        let edge = Edge::builder().tokens(layer(&clock)).rates(rates).build(Origin::default());
        let mut answers = Vec::new();
        for token in tokens {
            let request = support::get(&format!("/small?token={token}"), Protocol::H2);
            answers.push(edge.clone().oneshot(request).await.unwrap().status().as_u16());
        }
        answers
    };
    let (good, other) = (token("/small"), token("/"));
    let bad = ["hw1.bad"; 4];
    for per in [Per::Address, Per::Route] {
        assert_eq!(ask([limit("all", per, 3)], &bad).await, [401, 401, 401, 429], "{per:?}");
    }
    let asked = [&*good, "hw1.bad", &good, &other, "hw1.bad"];
    assert_eq!(ask([limit("each", Per::Token, 1)], &asked).await, [200, 401, 429, 200, 401]);
}

/// Rules with names of their own for the parameter and the cookie.
fn named_rules() -> Arc<TokenRules> {
    let places = Places::default().path("/t/").parameter("access").cookie("pass");
    Arc::new(TokenRules::new(Verifier::new([key("k")]).unwrap(), places))
}

fn on_a_route(here: TokensHere) -> Arc<RoutePolicy> {
    let mut policy = RoutePolicy::default();
    policy.tokens = Some(here);
    Arc::new(policy)
}

#[tokio::test]
async fn where_no_token_is_needed_one_that_is_there_is_taken_off_all_the_same() {
    let origin = Origin::default();
    let service = tower::Layer::layer(&TokenLayer::default(), origin.clone());
    let ask = async |here: TokensHere| {
        let mut request = support::get("/t/SECRET/small?access=SECRET&x=1", Protocol::H2);
        let headers = request.headers_mut();
        headers.insert(header::COOKIE, "a=1; pass=SECRET".parse().unwrap());
        headers.insert(header::AUTHORIZATION, "Bearer SECRET".parse().unwrap());
        headers.insert("cta-common-access-token", "SECRET".parse().unwrap());
        request.extensions_mut().insert(on_a_route(here));
        service.clone().oneshot(request).await.unwrap().status()
    };
    assert_eq!(ask(TokensHere::Public(named_rules())).await, 200);
    assert_eq!(*origin.seen.lock().unwrap(), ["/small"]);
    let headers = origin.headers.lock().unwrap().pop().unwrap();
    assert!(!format!("{headers:?}").contains("SECRET"), "{headers:?}");
    assert_eq!(headers[header::COOKIE], "a=1");
    assert_eq!(ask(TokensHere::Needed(named_rules())).await, 401);
    // What is sent elsewhere keeps what it has.
    ask(TokensHere::Elsewhere(named_rules())).await;
    assert_eq!(origin.seen.lock().unwrap().last().unwrap(), "/t/SECRET/small");
}

#[tokio::test]
async fn the_log_shows_no_token_whatever_its_parameter_is_called() {
    let lines = Lines::default();
    // The operator's own list has neither name.
    let log = AccessLog::builder().query(Masked::new(["other"]));
    let (log, writer) = log.start(lines.clone(), 100).unwrap();
    let clock = Clock::manual(Timestamp::from_secs(NOW));
    let places = Places::default().parameter("access");
    let rules = TokenRules::new(Verifier::new([key("k")]).unwrap(), places);
    let edge = |tokens: TokenLayer| {
        Edge::builder()
            .cache(Cache::builder().clock(clock.clone()).build())
            .access_log(log.clone())
            .tokens(tokens.clock(clock.clone()))
            .clock(clock.clone())
            .build(Origin::default())
    };
    let by_the_edge = edge(TokenLayer::new(rules));
    let by_the_request = edge(TokenLayer::default());
    for path in ["/small?access=SECRET&x=1", "/small?%61ccess=SECRET", "/small?CAT=SECRET"] {
        let request = support::get(path, Protocol::H2);
        by_the_edge.clone().oneshot(request).await.unwrap();
        let here = [TokensHere::Needed, TokensHere::Public, TokensHere::Elsewhere];
        for here in here.map(|here: fn(_) -> _| here(named_rules())) {
            let mut request = support::get(path, Protocol::H2);
            request.extensions_mut().insert(on_a_route(here));
            by_the_request.clone().oneshot(request).await.unwrap();
        }
    }
    drop((by_the_edge, by_the_request, log));
    writer.finish();
    let lines = lines.json();
    assert_eq!(lines.len(), 12);
    for line in &lines {
        assert!(!line.to_string().contains("SECRET"), "{line}");
    }
    assert_eq!(lines[0]["query"], "access=***&x=1");
}
