//! What holds clients to limits, turns them away, and tells them where and how to go on: each layer
//! alone, around services that are not ours.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod support;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use headwater_edge::rates::{Holder, LimitError, Per};
use headwater_edge::{
    CmcdLayer, CmsdLayer, Edge, FixedAnswer, FixedLayer, Limit, Pressure, PriorityLayer,
    RateLimitLayer, RoutePolicy, Sessions, ShedLayer, Steering,
};
use headwater_net::{Body, Chunks, Clock, ConnInfo, Protocol, Timestamp};
use http::{HeaderMap, Request, Response, StatusCode};
use prometheus_client::registry::Registry;
use support::{LARGE, Origin};
use tokio::time::Instant;
use tower::{Layer, ServiceExt};
use tower_service::Service;

fn from(peer: &str, path: &str) -> Request<Body> {
    let mut request = support::get(path, Protocol::H2);
    let peer = peer.parse().unwrap();
    let conn = ConnInfo::new(peer, "192.0.2.1:443".parse().unwrap(), Protocol::H2);
    request.extensions_mut().insert(conn);
    request
}

/// As the tokens let it in.
fn held(mut request: Request<Body>, holder: Option<u64>) -> Request<Body> {
    if let Some(holder) = holder {
        request.extensions_mut().insert(Holder(holder));
    }
    request
}

async fn status<S>(service: &S, request: Request<Body>) -> (StatusCode, HeaderMap)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    let (parts, body) = service.clone().oneshot(request).await.unwrap().into_parts();
    body.collect(1 << 24).await.unwrap();
    (parts.status, parts.headers)
}

#[tokio::test(start_paused = true)]
async fn limits_that_are_as_they_were_count_on() {
    let limit = |name: &str, requests| {
        Limit::new(name).requests(requests, Duration::from_secs(60)).on(format!("/{name}*"))
    };
    let layer = RateLimitLayer::new([limit("small", 1), limit("large", 1)]).unwrap();
    let ok = async |layer: &RateLimitLayer, path| {
        let service = layer.layer(Origin::default());
        status(&service, from("192.0.2.7:1", path)).await.0 == StatusCode::OK
    };
    assert!(ok(&layer, "/small").await && ok(&layer, "/large").await);
    // Moved, beside one that has changed; and what came later counts from where the first began.
    tokio::time::advance(Duration::from_secs(1)).await;
    let other = layer.changed([limit("large", 2), limit("small", 1)]).unwrap();
    assert!(!ok(&other, "/small").await && !ok(&layer, "/small").await);
    assert!(
        ok(&other, "/large").await && ok(&other, "/large").await && !ok(&other, "/large").await
    );
    let twice = other.changed([limit("small", 1), limit("small", 1)]).unwrap();
    assert!(!ok(&twice, "/small").await);
    tokio::time::advance(Duration::from_secs(59)).await;
    assert!(ok(&twice, "/small").await, "it is held by both");
    assert!(matches!(layer.changed([limit("small", 0)]), Err(LimitError::Nothing(_))));
}

#[tokio::test(start_paused = true)]
async fn who_asks_too_often_is_told_when_to_ask_again() {
    let limit = Limit::new("clients").requests(2, Duration::from_secs(10)).on("/s*");
    let service = RateLimitLayer::new([limit]).unwrap().layer(Origin::default());
    for _ in 0..2 {
        assert_eq!(status(&service, from("192.0.2.7:1", "/small")).await.0, StatusCode::OK);
    }
    let (refused, headers) = status(&service, from("192.0.2.7:2", "/small")).await;
    assert_eq!(refused, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(headers["retry-after"], "5");
    assert_eq!(headers["ratelimit-policy"], "\"clients\";q=2;w=10");
    assert_eq!(headers["ratelimit"], "\"clients\";r=0;t=10");
    assert_eq!(headers["content-type"], "application/problem+json");
    assert_eq!(status(&service, from("192.0.2.8:1", "/small")).await.0, StatusCode::OK);
    assert_eq!(status(&service, from("192.0.2.7:1", "/large")).await.0, StatusCode::OK);
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(status(&service, from("192.0.2.7:1", "/small")).await.0, StatusCode::OK);
    assert_eq!(status(&service, from("192.0.2.7:1", "/small")).await.0.as_u16(), 429);
}

/// All of them around a framework's router, in the order in which an edge has them.
#[tokio::test(start_paused = true)]
async fn each_layer_works_around_an_axum_router() {
    let sessions = Sessions::builder().build();
    let steering = Steering::at("/steer", ["a", "b"].map(str::to_owned)).build().unwrap();
    let limit = Limit::new("clients").requests(2, Duration::from_secs(10)).on("/v/*");
    let app = Router::new()
        .route(
            "/v/main.m3u8",
            get(|| async { ([("content-type", "application/vnd.apple.mpegurl")], "#EXTM3U") }),
        )
        .layer(PriorityLayer::by_kind())
        .layer(CmcdLayer::new(sessions.clone()))
        .layer(steering)
        .layer(FixedLayer)
        .layer(RateLimitLayer::new([limit]).unwrap())
        .layer(CmsdLayer::new("edge"))
        .layer(ShedLayer::new(Duration::from_millis(20), Duration::from_millis(100)));
    let ask = |request: Request<Body>| app.clone().oneshot(request);
    let manifest = || {
        let mut request = from("192.0.2.7:1", "/v/main.m3u8?CMCD=sid%3D%22one%22");
        let conn = request.extensions_mut().get_mut::<ConnInfo>().unwrap();
        conn.protocol = Protocol::H3;
        request
    };
    let answer = ask(manifest()).await.unwrap();
    assert_eq!(answer.headers()["priority"], "u=1");
    assert!(answer.headers()["cmsd-dynamic"].to_str().unwrap().starts_with("\"edge\";"));
    assert_eq!(axum::body::to_bytes(answer.into_body(), 100).await.unwrap(), "#EXTM3U");
    assert_eq!(sessions.known(), 1);
    assert_eq!(ask(manifest()).await.unwrap().status(), 200);
    assert_eq!(ask(manifest()).await.unwrap().status(), 429);
    let steered = ask(from("192.0.2.7:1", "/steer")).await.unwrap();
    let told = axum::body::to_bytes(steered.into_body(), 1_000).await.unwrap();
    assert!(told.ends_with(b"[\"a\",\"b\"]}"), "{told:?}");
    let mut fixed = from("192.0.2.7:1", "/gone");
    let mut policy = RoutePolicy::default();
    policy.answer = Some(FixedAnswer::new(StatusCode::GONE));
    fixed.extensions_mut().insert(Arc::new(policy));
    assert_eq!(ask(fixed).await.unwrap().status(), 410);
}

#[tokio::test(start_paused = true)]
async fn an_ipv6_network_is_one_client_and_so_is_who_holds_a_token() {
    let once = |name: &str, per| Limit::new(name).per(per).requests(1, Duration::from_secs(60));
    let service = RateLimitLayer::new([once("a", Per::Address)]).unwrap().layer(Origin::default());
    for (peer, expected) in [
        ("[2001:db8:1:2::1]:1", 200),
        ("[2001:db8:1:2:ffff::9]:1", 429),
        ("[2001:db8:1:3::1]:1", 200),
        ("[::ffff:192.0.2.7]:1", 200),
        ("192.0.2.7:1", 429),
    ] {
        assert_eq!(status(&service, from(peer, "/small")).await.0.as_u16(), expected, "{peer}");
    }
    let service = RateLimitLayer::new([once("n", Per::Network)]).unwrap().layer(Origin::default());
    for (peer, expected) in [
        ("192.0.2.7:1", 200),
        ("192.0.2.200:1", 429),
        ("192.0.3.7:1", 200),
        ("[2001:db8:1:2::1]:1", 200),
        ("[2001:db8:1:9::1]:1", 429),
        ("[2001:db8:2::1]:1", 200),
    ] {
        assert_eq!(status(&service, from(peer, "/small")).await.0.as_u16(), expected, "{peer}");
    }
    let service = RateLimitLayer::new([once("t", Per::Token)]).unwrap().layer(Origin::default());
    for (holder, expected) in
        [(Some(1), 200), (Some(1), 429), (Some(2), 200), (None, 200), (None, 200)]
    {
        let request = held(from("192.0.2.7:1", "/small"), holder);
        assert_eq!(status(&service, request).await.0.as_u16(), expected, "{holder:?}");
    }
    let service = RateLimitLayer::new([once("r", Per::Route)]).unwrap().layer(Origin::default());
    assert_eq!(status(&service, from("192.0.2.7:1", "/small")).await.0.as_u16(), 200);
    assert_eq!(status(&service, from("192.0.2.8:1", "/small")).await.0.as_u16(), 429);
}

#[tokio::test(start_paused = true)]
async fn a_path_that_may_be_read_as_one_of_a_limit_is_one_of_it() {
    for (on, path) in [
        ("/search", "/%2Fsearch"),
        ("/api/**", "/api%2Fme"),
        ("/api/**", "//api/me"),
        ("/api/**", "/%61pi/me"),
        ("/api/**", "/x%2F..%2Fapi/me"),
    ] {
        let limit = Limit::new("a").on(on).requests(1, Duration::from_secs(60));
        let service = RateLimitLayer::new([limit]).unwrap().layer(Origin::default());
        let first = status(&service, from("192.0.2.7:1", path)).await.0;
        assert_ne!(first, StatusCode::TOO_MANY_REQUESTS, "{on} {path}");
        let second = status(&service, from("192.0.2.7:1", path)).await.0;
        assert_eq!(second, StatusCode::TOO_MANY_REQUESTS, "{on} {path}");
    }
    let limit = Limit::new("a").on("/api/**").requests(1, Duration::from_secs(60));
    let service = RateLimitLayer::new([limit]).unwrap().layer(Origin::default());
    for _ in 0..3 {
        for path in ["/films%2Fme", "/films//me", "/apis"] {
            let status = status(&service, from("192.0.2.7:1", path)).await.0;
            assert_ne!(status, StatusCode::TOO_MANY_REQUESTS, "{path}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_is_for_its_hosts_and_for_routes_that_name_it() {
    let minute = Duration::from_secs(60);
    let limits = [
        Limit::new("host").hosts(["a.example", "*.b.example"]).requests(1, minute),
        Limit::new("named").where_named(true).requests(2, minute),
    ];
    let service = RateLimitLayer::new(limits).unwrap().layer(Origin::default());
    let ask = async |host: &str, names: &[&str]| {
        let mut request = from("192.0.2.7:1", "/small");
        *request.uri_mut() = "/small".parse().unwrap();
        request.headers_mut().insert("host", host.parse().unwrap());
        let mut policy = RoutePolicy::default();
        policy.limits = names.iter().map(|name| (*name).into()).collect();
        request.extensions_mut().insert(Arc::new(policy));
        status(&service, request).await.0.as_u16()
    };
    assert_eq!(ask("c.example", &[]).await, 200);
    assert_eq!(ask("c.example", &[]).await, 200, "no limit is for it");
    assert_eq!(ask("a.example", &[]).await, 200);
    for same in ["a.example", "A.example:8443", "a.example.", "x.b.example"] {
        assert_eq!(ask(same, &[]).await, 429, "{same}");
    }
    assert_eq!(ask("c.example", &["other", "named"]).await, 200);
    assert_eq!(ask("c.example", &["named"]).await, 200);
    assert_eq!(ask("c.example", &["named"]).await, 429);
    assert_eq!(ask("c.example", &["other"]).await, 200);
    let without = status(&service, from("192.0.2.7:1", "/small")).await.0;
    assert_eq!(without, 200, "no policy names it");
}

/// Ten chunks of a hundred thousand bytes, as one body or as a stream.
fn chunks() -> Chunks {
    static CHUNK: [u8; 100_000] = [7; 100_000];
    Chunks::from(vec![Bytes::from_static(&CHUNK); 10])
}

#[tokio::test(start_paused = true)]
async fn bytes_go_out_no_faster_than_a_limit_allows_and_uncopied() {
    let limit = Limit::new("bytes").bytes_per_second(100_000).byte_burst(200_000);
    let inner = tower::service_fn(async |_: Request<Body>| {
        Ok::<_, Infallible>(Response::new(Body::from(chunks())))
    });
    let service = RateLimitLayer::new([limit]).unwrap().layer(inner);
    let begun = Instant::now();
    let answer = service.clone().oneshot(from("192.0.2.7:1", "/a")).await.unwrap();
    assert_eq!(http_body::Body::size_hint(answer.body()).exact(), Some(1_000_000));
    let mut sent = answer.into_body().collect(1 << 24).await.unwrap();
    // A million at a hundred thousand a second; the burst and the last chunk are not waited for.
    let took = begun.elapsed();
    assert!((Duration::from_secs(7)..Duration::from_millis(7_200)).contains(&took), "{took:?}");
    let first = sent.next().unwrap();
    let same = chunks().next().unwrap();
    assert_eq!(first.as_ptr(), same.as_ptr(), "a chunk was copied");
    // Another client is not held up, and this one's debt is over in time.
    let begun = Instant::now();
    let answer = service.clone().oneshot(from("192.0.2.9:1", "/a")).await.unwrap();
    drop(answer);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn holders_of_tokens_have_each_their_bytes_whatever_their_address() {
    let limit = Limit::new("bytes").per(Per::Token).bytes_per_second(100_000).byte_burst(200_000);
    let inner = tower::service_fn(async |_: Request<Body>| {
        Ok::<_, Infallible>(Response::new(Body::from(chunks())))
    });
    let service = RateLimitLayer::new([limit]).unwrap().layer(inner);
    let take = async |peer, holder| {
        let begun = Instant::now();
        status(&service, held(from(peer, "/a"), holder)).await;
        begun.elapsed().as_secs()
    };
    assert_eq!(take("192.0.2.7:1", Some(1)).await, 7);
    assert_eq!(take("192.0.2.7:1", Some(2)).await, 7, "one address, another token");
    assert!(take("192.0.2.9:1", Some(2)).await > 8, "another address, the same token: no burst");
    assert_eq!(take("192.0.2.7:1", None).await, 0, "no token, no limit");
}

#[tokio::test(start_paused = true)]
async fn what_fits_into_the_burst_is_not_even_watched() {
    let limit = Limit::new("bytes").bytes_per_second(10).byte_burst(LARGE as u64 + 5);
    let service = RateLimitLayer::new([limit]).unwrap().layer(Origin::default());
    for path in ["/small", "/large"] {
        let answer = service.clone().oneshot(from("192.0.2.7:1", path)).await.unwrap();
        assert!(matches!(answer.body(), Body::Full(_)), "{path}");
    }
    let answer = service.clone().oneshot(from("192.0.2.7:1", "/small")).await.unwrap();
    assert!(matches!(answer.body(), Body::Stream(_)), "there is nothing left");
    let mut head = from("192.0.2.7:1", "/small");
    *head.method_mut() = http::Method::HEAD;
    let answer = service.oneshot(head).await.unwrap();
    assert!(matches!(answer.body(), Body::Full(_)), "no byte of it is sent");
}

#[test]
fn a_limit_that_cannot_be_is_told() {
    let error = |limit| RateLimitLayer::new([limit]).unwrap_err();
    let second = Duration::from_secs(1);
    assert!(matches!(error(Limit::new("a b").requests(1, second)), LimitError::Name(_)));
    assert!(matches!(error(Limit::new("a")), LimitError::Nothing(_)));
    assert!(matches!(error(Limit::new("a").requests(0, second)), LimitError::Nothing(_)));
    assert!(matches!(error(Limit::new("a").bytes_per_second(0)), LimitError::Nothing(_)));
    let pattern = Limit::new("a").requests(1, second).on("nowhere");
    assert!(matches!(error(pattern), LimitError::Pattern(_)));
    let many = (0..65).map(|number| Limit::new(format!("l{number}")).requests(1, second));
    assert_eq!(RateLimitLayer::new(many).unwrap_err(), LimitError::TooMany);
}

/// Media of a type that goes by its name, answered at once.
fn media()
-> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone
{
    tower::service_fn(async |request: Request<Body>| {
        let kind = match request.uri().path().rsplit('.').next() {
            Some("m3u8") => "application/vnd.apple.mpegurl",
            Some("m4a") => "audio/mp4",
            _ => "video/mp4",
        };
        let response = Response::builder().header("content-type", kind);
        Ok::<_, Infallible>(response.body(Body::from("media")).unwrap())
    })
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_late_turns_new_sessions_away_first() {
    let sessions = Sessions::builder().clock(Clock::manual(Timestamp::from_secs(9))).build();
    let pressure = Pressure::default();
    let shed = ShedLayer::new(Duration::from_millis(20), Duration::from_millis(100));
    let shed =
        shed.sessions(sessions.clone()).pressure(pressure.clone()).spare(["/steer", "/cmcd"]);
    let service = shed.layer(CmcdLayer::new(sessions).layer(media()));
    let ask = async |path: &str, id: &str| {
        let path = format!("{path}?CMCD=sid%3D%22{id}%22");
        status(&service, from("192.0.2.7:1", &path)).await
    };
    assert_eq!(ask("/v/main.m3u8", "runs").await.0, StatusCode::OK);
    assert_eq!((pressure.level(), pressure.shed()), (0, 0));
    // The task that each request leaves behind comes to its turn 50 ms later.
    let late = async || {
        let _ = ask("/v/1.m4s", "runs").await;
        tokio::time::advance(Duration::from_millis(50)).await;
        tokio::task::yield_now().await;
    };
    let mut seen = Vec::new();
    for _ in 0..12 {
        late().await;
        let level = pressure.level();
        if level > 0 && seen.last() != Some(&level) {
            seen.push(level);
            // One that was let in at a lower level runs by now.
            let new = format!("new{level}");
            let (refused, headers) = ask("/v/main.m3u8", &new).await;
            assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(headers["retry-after"], (2 * level).to_string());
            for path in ["/steer", "/cmcd"] {
                let (answered, _) = status(&service, from("192.0.2.7:1", path)).await;
                assert_eq!(answered, StatusCode::OK, "{path} is spared");
            }
            if level < 3 {
                assert_eq!(ask("/v/main.m3u8", "runs").await.0, StatusCode::OK, "it runs");
                let unknown = ask("/v/1.m4s", &new).await.0;
                assert_eq!(unknown.is_success(), level == 1);
            }
        }
    }
    assert_eq!(seen, [1, 2, 3]);
    let running = async || ask("/v/1.m4s", "runs").await.0.is_success();
    // Players are told, and sent elsewhere.
    let told = CmsdLayer::new("e").duress(pressure.clone()).layer(media());
    let (_, headers) = status(&told, from("192.0.2.7:1", "/v/1.m4s")).await;
    assert_eq!(headers["cmsd-dynamic"], "\"e\";rd=0;du");
    let clock = Clock::manual(Timestamp::from_secs(9));
    let steering = Steering::at("/steer", ["a", "b"].map(str::to_owned)).here("a");
    let steering = steering.pressure(pressure.clone()).clock(clock.clone()).build().unwrap();
    let steered = steering.layer(media());
    for _ in 0..4 {
        clock.advance(Duration::from_secs(30));
        status(&steered, from("192.0.2.7:1", "/steer")).await;
    }
    let answer = steered.clone().oneshot(from("192.0.2.7:1", "/steer")).await.unwrap();
    let order = answer.into_body().collect(1_000).await.unwrap().to_bytes();
    assert!(order.ends_with(b"[\"b\",\"a\"]}"), "{order:?}");
    let let_in = [running().await, running().await, running().await, running().await];
    assert_eq!(let_in.iter().filter(|one| **one).count(), 3);
    assert!(pressure.shed() >= 4);
    // A worker without work is in time again.
    tokio::task::yield_now().await;
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(pressure.level(), 0);
    assert_eq!(ask("/v/main.m3u8", "another").await.0, StatusCode::OK);
}

/// Nobody but the scrape asks: players are told nothing, and sent nowhere.
#[tokio::test(start_paused = true)]
async fn a_scrape_tells_how_busy_workers_are_where_nobody_else_asks() {
    let pressure = Pressure::default();
    let mut registry = Registry::default();
    pressure.register(&mut registry);
    let shed = ShedLayer::new(Duration::from_millis(20), Duration::from_millis(100));
    let service = shed.pressure(pressure).layer(media());
    let told = |level: u8| {
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
        page.lines().any(|line| line == format!("headwater_edge_shed_level {level}"))
    };
    assert!(told(0));
    // The task that each request leaves behind comes to its turn 50 ms later.
    for _ in 0..12 {
        let _ = status(&service, from("192.0.2.7:1", "/v/1.m4s")).await;
        tokio::time::advance(Duration::from_millis(50)).await;
        tokio::task::yield_now().await;
    }
    assert!(told(3));
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(told(0), "a worker without work is in time again");
}

#[tokio::test]
async fn players_are_told_of_the_server_and_origins_say_what_is_static() {
    let origin = tower::service_fn(async |_: Request<Body>| {
        let response = Response::builder()
            .header("content-type", "video/mp4")
            .header("cmsd-static", "ht=1200,at=1700000000000,ot=v")
            .header("cmsd-dynamic", "\"origin\";rd=7");
        Ok::<_, Infallible>(response.body(Body::from("media")).unwrap())
    });
    let service = CmsdLayer::new("edge-1").max_bitrate(4_000).layer(origin);
    let (_, headers) = status(&service, from("192.0.2.7:1", "/1.m4s")).await;
    let said: Vec<_> = headers.get_all("cmsd-dynamic").iter().collect();
    assert_eq!(said[0], "\"origin\";rd=7");
    let ours = said[1].to_str().unwrap();
    assert!(ours.starts_with("\"edge-1\";rd=") && ours.ends_with(";mb=4000"), "{ours}");
    assert_eq!(headers["cmsd-static"], "ht=1200,at=1700000000000,ot=v");
    let page = CmsdLayer::new("edge-1").layer(Origin::default());
    assert!(!status(&page, from("192.0.2.7:1", "/small")).await.1.contains_key("cmsd-dynamic"));
    let off = CmsdLayer::default().layer(media());
    assert!(!status(&off, from("192.0.2.7:1", "/1.m4s")).await.1.contains_key("cmsd-dynamic"));
}

#[tokio::test]
async fn what_an_origin_says_of_an_object_is_kept_with_it_and_what_it_said_of_an_answer_is_not() {
    let origin = tower::service_fn(async |_: Request<Body>| {
        let response = Response::builder()
            .header("content-type", "video/mp4")
            .header("cache-control", "max-age=60")
            .header("cmsd-static", "ht=1200,at=1700000000000")
            .header("cmsd-dynamic", "\"origin\";rd=7");
        Ok::<_, Infallible>(response.body(Body::from("media")).unwrap())
    });
    let edge = Edge::builder().cmsd(CmsdLayer::new("e")).build(origin);
    let mut seen = Vec::new();
    for _ in 0..2 {
        let (_, headers) = status(&edge, from("192.0.2.7:1", "/1.m4s")).await;
        assert_eq!(headers["cmsd-static"], "ht=1200,at=1700000000000");
        seen.push((
            headers.get_all("cmsd-dynamic").iter().count(),
            headers["cache-status"].clone(),
        ));
    }
    assert!(seen[1].1.to_str().unwrap().contains("; hit"), "{seen:?}");
    assert_eq!((seen[0].0, seen[1].0), (2, 1), "{seen:?}");
}

#[tokio::test]
async fn players_are_steered_away_from_an_edge_with_too_many_sessions() {
    let clock = Clock::manual(Timestamp::from_secs(1_000));
    let sessions = Sessions::builder().clock(clock.clone()).build();
    let pathways = ["a", "b", "c"].map(str::to_owned);
    let steering = Steering::at("/steer", pathways)
        .ttl(Duration::from_secs(10))
        .here("a")
        .most_sessions(sessions.clone(), 1)
        .clock(clock.clone());
    let steering = steering.build().unwrap();
    let service = steering.layer(CmcdLayer::new(sessions).layer(media()));
    let asked = async |peer: &str| {
        let request = from(peer, "/steer?_HLS_pathway=a&_HLS_throughput=5000");
        let answer = service.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.headers()["access-control-allow-origin"], "*");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        let text = answer.into_body().collect(1_000).await.unwrap().to_bytes();
        serde_json::from_slice::<serde_json::Value>(&text).unwrap()
    };
    let usual = serde_json::json!({"VERSION": 1, "TTL": 10, "PATHWAY-PRIORITY": ["a", "b", "c"]});
    let away = serde_json::json!({"VERSION": 1, "TTL": 10, "PATHWAY-PRIORITY": ["b", "c", "a"]});
    assert_eq!(asked("192.0.2.1:1").await, usual);
    for id in ["one", "two"] {
        status(&service, from("192.0.2.7:1", &format!("/1.m4s?CMCD=sid%3D%22{id}%22"))).await;
    }
    let mut shares = Vec::new();
    for _ in 0..4 {
        clock.advance(Duration::from_secs(10));
        let mut gone = 0;
        for client in 0..200 {
            let answer = asked(&format!("198.51.100.{client}:1")).await;
            assert!(answer == usual || answer == away, "{answer}");
            gone += usize::from(answer == away);
        }
        shares.push(gone);
    }
    assert!(shares[0] > 10 && shares[0] < 100, "{shares:?}");
    assert!(shares.is_sorted() && shares[3] == 200, "{shares:?}");
    let mut post = from("192.0.2.1:1", "/steer");
    *post.method_mut() = http::Method::POST;
    assert_eq!(status(&service, post).await.0, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn what_is_urgent_goes_first_unless_somebody_says_otherwise() {
    // As an edge has it: what players say is read further out.
    let service = PriorityLayer::by_kind().layer(media());
    let service = CmcdLayer::new(Sessions::builder().build()).layer(service);
    let urgency = async |path: &str, protocol, said: Option<(&'static str, &'static str)>| {
        let mut request = support::get(path, protocol);
        if let Some((name, value)) = said {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let (_, headers) = status(&service, request).await;
        headers.get("priority").map(|field| field.to_str().unwrap().to_owned())
    };
    let h3 = Protocol::H3;
    assert_eq!(urgency("/a/main.m3u8", h3, None).await.as_deref(), Some("u=1"));
    assert_eq!(urgency("/a/init.mp4", h3, None).await.as_deref(), Some("u=2"));
    assert_eq!(urgency("/a/1.m4s", h3, None).await, None, "the usual one");
    assert_eq!(urgency("/a/1.m4a", h3, None).await.as_deref(), Some("u=2"), "by its type");
    for (object, urgent) in [
        ("ot=a", Some("u=2")),
        ("ot=av", None),
        ("ot=v", None),
        ("ot=i", Some("u=2")),
        ("ot=m", Some("u=1")),
        ("bl=2000", None),
    ] {
        let said = Some(("cmcd-object", object));
        assert_eq!(urgency("/a/1.m4s", h3, said).await.as_deref(), urgent, "{object}");
    }
    let in_query = urgency("/a/1.m4s?CMCD=ot%3Da", h3, None).await;
    assert_eq!(in_query.as_deref(), Some("u=2"));
    let ahead = Some(("sec-purpose", "prefetch"));
    assert_eq!(urgency("/a/1.m4s", h3, ahead).await.as_deref(), Some("u=6"));
    assert_eq!(urgency("/a/main.m3u8", h3, Some(("priority", "u=5"))).await, None);
    assert_eq!(urgency("/a/main.m3u8", Protocol::H2, None).await, None, "nobody heeds it");
    let off = PriorityLayer::default().layer(media());
    let (_, headers) = status(&off, support::get("/a/main.m3u8", h3)).await;
    assert!(!headers.contains_key("priority"));
}
