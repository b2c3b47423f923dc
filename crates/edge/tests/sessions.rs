//! Sessions as an operator sees them, made of what clients ask and players tell: around axum, and in
//! the whole edge.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod support;

use axum::Router;
use axum::routing::get;
use headwater_cache::Cache;
use headwater_edge::cmcd::{CmcdLayer, MAX_MESSAGE, Told};
use headwater_edge::operator::{Caches, Operator};
use headwater_edge::{Edge, Sessions};
use headwater_net::{Body, ConnInfo, Protocol};
use headwater_proto::session::What;
use http::{Request, Response, StatusCode};
use prometheus_client::registry::Registry;
use tower::ServiceExt;

const MEDIA: &[u8] = &[7; 300_000];

/// Manifests, segments, and nothing else.
fn media() -> Router {
    let typed = |media: &'static str, body: &'static [u8]| {
        move || async move { ([("content-type", media), ("cache-control", "max-age=60")], body) }
    };
    Router::new()
        .route("/vod/a/main.m3u8", get(typed("application/vnd.apple.mpegurl", b"#EXTM3U")))
        .route("/vod/a/v1/1.m4s", get(typed("video/mp4", MEDIA)))
        .route("/vod/a/v1/2.m4s", get(typed("video/mp4", b"short")))
        .route("/vod/b/main.mpd", get(typed("application/dash+xml", b"<MPD/>")))
        .route("/page", get(typed("text/html", b"hello")))
        .route(
            "/told",
            get(|request: axum::extract::Request| async move {
                let told = request.extensions().get::<Told>();
                told.and_then(|told| told.0.session.clone()).unwrap_or_default()
            }),
        )
}

fn request(uri: &str, fields: &[(&str, &str)]) -> Request<axum::body::Body> {
    let mut request = Request::get(uri).header("host", "video.example");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let peer = "192.0.2.7:4711".parse().unwrap();
    let conn = ConnInfo::new(peer, "192.0.2.1:443".parse().unwrap(), Protocol::H3);
    request.extension(conn).body(axum::body::Body::empty()).unwrap()
}

fn post(body: impl Into<axum::body::Body>, media: &str) -> Request<axum::body::Body> {
    let request = Request::post("/cmcd").header("origin", "https://page.example");
    request.header("content-type", media).body(body.into()).unwrap()
}

async fn ask(app: &Router, request: Request<axum::body::Body>) -> (StatusCode, http::HeaderMap) {
    let (parts, body) = app.clone().oneshot(request).await.unwrap().into_parts();
    axum::body::to_bytes(body, 1 << 20).await.unwrap();
    (parts.status, parts.headers)
}

#[tokio::test]
async fn players_with_and_without_cmcd_are_seen_around_an_axum_router() {
    let (builder, mut events) = Sessions::builder().events(100);
    let sessions = builder.build();
    let app = media().layer(CmcdLayer::new(sessions.clone()).reports_at("/cmcd"));
    for uri in ["/vod/a/main.m3u8", "/vod/a/v1/1.m4s", "/page", "/vod/a/none.m4s"] {
        ask(&app, request(uri, &[])).await;
    }
    let query =
        "/vod/a/v1/2.m4s?CMCD=br%3D3000%2Cot%3Dv%2Csid%3D%22q%22%2Cbl%3D4000%2Ccid%3D%22film%22";
    ask(&app, request(query, &[])).await;
    let fields = [
        ("cmcd-session", "sid=\"f\",v=2,st=l"),
        ("cmcd-object", "br=(2000),ot=v"),
        ("cmcd-request", "mtp=(9000),msd=700"),
    ];
    ask(&app, request("/vod/a/v1/1.m4s", &fields)).await;
    ask(&app, request("/vod/a/v1/1.m4s?CMCD=br%3D", &[("user-agent", "broken")])).await;
    let (status, _) = ask(&app, request("/vod/a/none.m4s?CMCD=sid%3D%22stranger%22", &[])).await;
    assert_eq!(status, StatusCode::NOT_FOUND);

    let view = sessions.view(10);
    assert_eq!(view.known, 3, "{view:#?}");
    let by_id = |id: &str| view.sessions.iter().find(|one| one.id == id);
    let q = by_id("q").unwrap();
    assert_eq!((&*q.title, q.bitrate_kbps, q.buffer_ms), ("/vod/a/v1", Some(3000), Some(4000)));
    assert_eq!((q.content.as_deref(), q.protocol, q.bytes), (Some("film"), Some("h3"), 5));
    let f = by_id("f").unwrap();
    assert_eq!((f.measured_kbps, f.startup_ms, f.live), (Some(9000), Some(700), Some(true)));
    assert_eq!(f.bytes, MEDIA.len() as u64);
    assert!(f.delivered_kbps.is_some());
    let plain = view.sessions.iter().find(|one| one.title == "/vod/a").unwrap();
    assert_eq!((plain.requests, plain.bytes), (3, 2 * MEDIA.len() as u64 + 7));
    assert_eq!(plain.tiers["origin"], 3);
    assert_eq!(plain.address.unwrap().to_string(), "192.0.2.0");

    let text = "v=2,e=ps,sta=p,sid=\"q\",ts=1000\nv=2,e=ps,sta=r,sid=\"q\",ts=3000\nnonsense==\n\
                v=2,e=ps,sta=p,sid=\"q\",ts=3400\nv=2,e=t,sid=\"elsewhere\",ts=1\n";
    let (status, headers) = ask(&app, post(text, "application/cmcd")).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(headers["access-control-allow-origin"], "*");
    let view = sessions.view(10);
    let q = view.sessions.iter().find(|one| one.id == "q").unwrap();
    assert_eq!((q.state, q.rebuffers, q.stalled_ms), (Some("playing"), 1, 400));
    assert_eq!(view.known, 3, "a report makes no session");
    let mut told = Vec::new();
    while let Ok(event) = events.try_recv() {
        told.push((event.session, event.what));
    }
    for what in [
        ("q", What::Begun),
        ("q", What::Bitrate { kbps: 3000 }),
        ("q", What::Rebuffer),
        ("q", What::Stalled { millis: 400 }),
        ("f", What::Startup { millis: 700 }),
    ] {
        assert!(told.contains(&(what.0.to_owned(), what.1.clone())), "{what:?} in {told:?}");
    }
    let mut registry = Registry::default();
    sessions.register(&mut registry);
    let page = headwater_edge::metrics::scrape(&registry, &http::HeaderMap::new()).into_body();
    let page = page.collect(1 << 20).await.unwrap().to_bytes();
    let page = std::str::from_utf8(&page).unwrap();
    for line in [
        "headwater_edge_sessions 3",
        "headwater_edge_cmcd_total{by=\"query\",read=\"yes\"} 2",
        "headwater_edge_cmcd_total{by=\"query\",read=\"no\"} 1",
        "headwater_edge_cmcd_total{by=\"fields\",read=\"yes\"} 1",
        "headwater_edge_cmcd_total{by=\"report\",read=\"yes\"} 3",
        "headwater_edge_cmcd_total{by=\"report\",read=\"no\"} 1",
        "headwater_edge_cmcd_total{by=\"report\",read=\"unknown\"} 1",
        "headwater_edge_playback_rebuffers_total{title=\"/vod/a/v1\",country=\"\",edge=\"edge\"} 1",
        "headwater_edge_playback_startup_seconds_bucket{le=\"1.0\",title=\"/vod/a/v1\",country=\"\",edge=\"edge\"} 1",
    ] {
        assert!(page.lines().any(|one| one == line), "{line}\n{page}");
    }
}

#[tokio::test]
async fn what_was_told_is_read_once_and_handed_on() {
    let app = media().layer(CmcdLayer::new(Sessions::builder().build()));
    let asked = request("/told?CMCD=sid%3D%22mine%22", &[]);
    let answer = app.oneshot(asked).await.unwrap();
    assert_eq!(axum::body::to_bytes(answer.into_body(), 100).await.unwrap(), "mine");
}

#[tokio::test]
async fn reports_are_bounded_and_come_from_where_they_may() {
    let layer = CmcdLayer::new(Sessions::builder().build()).reports_at("/cmcd");
    let layer = layer.reports_from(["https://page.example".parse().unwrap()]);
    let app = media().layer(layer);
    let (status, headers) = ask(&app, post("e=t", "application/cmcd")).await;
    assert_eq!((status, &headers["vary"]), (StatusCode::NO_CONTENT, &"Origin".parse().unwrap()));
    assert_eq!(headers["access-control-allow-origin"], "https://page.example");
    for (body, media, status) in [
        (vec![b'\n'; MAX_MESSAGE as usize + 1], "application/cmcd", StatusCode::PAYLOAD_TOO_LARGE),
        (b"br=1".to_vec(), "application/cmcd", StatusCode::BAD_REQUEST),
        (b"e=t,x=\xff".to_vec(), "application/cmcd", StatusCode::BAD_REQUEST),
        (b"e=t".to_vec(), "application/json", StatusCode::UNSUPPORTED_MEDIA_TYPE),
    ] {
        assert_eq!(ask(&app, post(body, media)).await.0, status);
    }
    let (status, headers) =
        ask(&app, request("/cmcd", &[("origin", "https://other.example")])).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(!headers.contains_key("access-control-allow-origin"));
    let mut preflight = post("", "text/plain");
    *preflight.method_mut() = http::Method::OPTIONS;
    let (status, headers) = ask(&app, preflight).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(headers["access-control-allow-methods"], "POST");
    assert_eq!(headers["access-control-allow-headers"], "content-type");
}

#[tokio::test]
async fn the_operator_sees_which_tier_serves_whom() {
    let sessions = Sessions::builder().addresses(true).build();
    let edge = Edge::builder().cache(Cache::builder().name("edge").build());
    let edge = edge.cmcd(CmcdLayer::new(sessions.clone()));
    let origin = tower::util::MapRequest::new(media(), |request: Request<Body>| {
        request.map(axum::body::Body::new)
    });
    let origin = tower::util::MapResponse::new(origin, |answer: Response<axum::body::Body>| {
        answer.map(Body::stream)
    });
    let edge = edge.build(origin);
    for _ in 0..3 {
        let asked = request("/vod/a/v1/2.m4s?CMCD=sid%3D%22one%22", &[]);
        let answer = edge.clone().oneshot(asked.map(Body::stream)).await.unwrap();
        assert_eq!(answer.into_body().collect(100).await.unwrap().to_bytes(), "short");
    }
    let operator = Operator::new(Registry::default(), Caches::default(), None);
    let operator = operator.with_sessions(sessions);
    let seen = async |query: &str, origin: bool| {
        let mut asked = Request::get(format!("/sessions{query}")).header("host", "localhost");
        if origin {
            asked = asked.header("origin", "https://page.example");
        }
        let answer = operator.answer(asked.body(Body::empty()).unwrap()).await;
        let status = answer.status();
        let text = answer.into_body().collect(1 << 20).await.unwrap().to_bytes();
        (status, serde_json::from_slice::<serde_json::Value>(&text).unwrap())
    };
    let (status, view) = seen("", false).await;
    assert_eq!((status, &view["known"]), (StatusCode::OK, &1.into()));
    let one = &view["sessions"][0];
    assert_eq!((&one["id"], &one["requests"]), (&"one".into(), &3.into()));
    assert_eq!((&one["tiers"]["origin"], &one["tiers"]["memory"]), (&1.into(), &2.into()));
    assert_eq!((&one["tier"], &one["address"]), (&"memory".into(), &"192.0.2.7".into()));
    assert_eq!(seen("?most=0", false).await.1["sessions"], serde_json::json!([]));
    assert_eq!(seen("?most=many", false).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(seen("", true).await.0, StatusCode::FORBIDDEN, "it tells of viewers");
}
