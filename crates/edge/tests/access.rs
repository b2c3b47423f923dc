//! Who is let in by where they come from, and whose pages may read: each layer around axum alone, and
//! all of them in a whole edge.
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

mod support;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use headwater_cache::Cache;
use headwater_edge::security::{Frames, Loads};
use headwater_edge::tokens::{Grant, Key, Places, TokenLayer, TokenRules, Verifier};
use headwater_edge::{
    AddressLayer, AddressRules, Addresses, Cors, CorsLayer, Countries, Country, Edge, GeoDatabase,
    GeoLayer, GeoRules, MethodsLayer, ReferrerLayer, ReferrerRules, Referrers, RoutePolicy,
    Security, SecurityLayer, Subdivision,
};
use headwater_net::{Body, Clock, ConnInfo, Protocol, Timestamp};
use http::{HeaderMap, Request, Response, StatusCode, header};
use support::{Origin, mmdb};
use tower::{Layer, Service, ServiceExt};

/// An axum router that says where a request comes from.
fn app() -> Router {
    Router::new().route(
        "/{file}",
        any(|request: Request<axum::body::Body>| async move {
            let extensions = request.extensions();
            let country = extensions.get::<Country>();
            let part = extensions.get::<Subdivision>();
            format!("{country:?} {part:?}")
        }),
    )
}

fn request(method: &str, address: &str, headers: &[(&str, &str)]) -> Request<axum::body::Body> {
    let mut request = Request::builder().method(method).uri("/a");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(axum::body::Body::empty()).unwrap();
    let conn = ConnInfo::new(
        (address.parse::<std::net::IpAddr>().unwrap(), 4711).into(),
        "192.0.2.1:443".parse().unwrap(),
        Protocol::H2,
    );
    request.extensions_mut().insert(conn);
    request
}

async fn ask<L>(layer: &L, request: Request<axum::body::Body>) -> (StatusCode, HeaderMap, String)
where
    L: Layer<Router>,
    L::Service: Service<Request<axum::body::Body>, Response = Response<Body>, Error = Infallible>,
{
    let response = layer.layer(app()).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect(10_000).await.unwrap().to_bytes();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn addresses_are_let_in_by_the_longest_prefix_and_lists_change_while_they_hold() {
    let list = |allow: &str, deny: &str| {
        Addresses::builder().allow(allow).unwrap().deny(deny).unwrap().build().unwrap()
    };
    let rules = AddressRules::new(list("10.0.0.0/8\n2001:db8::/32", "10.1.0.0/16"));
    let layer = AddressLayer::new(rules.clone());
    let status = async |address: &str| ask(&layer, request("GET", address, &[])).await.0;
    assert_eq!(status("10.2.0.1").await, 200);
    assert_eq!(status("2001:db8::1").await, 200);
    assert_eq!(status("10.1.0.1").await, 403);
    assert_eq!(status("192.0.2.1").await, 403);
    let (_, headers, said) = ask(&layer, request("GET", "10.1.0.1", &[])).await;
    assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
    assert!(said.contains("this address is not let in") && !said.contains("10.1"), "{said}");

    // A list that cannot be used changes nothing; one that can, all at once.
    assert!(Addresses::builder().allow("10.1.0.0/16\nnonsense").is_err());
    assert_eq!(status("10.1.0.1").await, 403);
    rules.put(list("10.1.0.0/16", "10.1.2.0/24"));
    assert_eq!(status("10.1.0.1").await, 200);
    assert_eq!(status("10.1.2.1").await, 403);
    assert_eq!(status("10.2.0.1").await, 403);

    // What a route wants counts before what the layer was made with.
    let mut policy = RoutePolicy::default();
    policy.addresses = Some(list("192.0.2.0/24", ""));
    let mut here = request("GET", "192.0.2.1", &[]);
    here.extensions_mut().insert(Arc::new(policy));
    assert_eq!(ask(&layer, here).await.0, 200);
}

#[tokio::test]
async fn countries_are_found_in_the_operators_database() {
    let database = mmdb::database(&[
        ("192.0.2.0/24", "DE-BY"),
        ("198.51.100.0/25", "FR"),
        ("2001:db8::/32", "AT-9"),
    ]);
    let database = GeoDatabase::read(database).unwrap();
    let only = Countries::only(["DE", "AT"]).unwrap();
    let layer = GeoLayer::new(GeoRules::new(database.clone()).countries(only));
    for (address, status, said) in [
        ("192.0.2.7", 200, "Some(DE) Some(BY)"),
        ("::ffff:192.0.2.7", 200, "Some(DE) Some(BY)"),
        ("2001:db8::1", 200, "Some(AT) Some(9)"),
        ("198.51.100.1", 403, "this is not served in this country"),
        ("198.51.100.200", 403, "this is not served in this country"),
    ] {
        let (is, _, body) = ask(&layer, request("GET", address, &[])).await;
        assert_eq!(is, status, "{address}");
        assert!(body.contains(said), "{address}: {body}");
    }
    let but = GeoRules::new(database).countries(Countries::but(["FR"]).unwrap());
    let layer = GeoLayer::new(but);
    assert_eq!(ask(&layer, request("GET", "198.51.100.1", &[])).await.0, 403);
    assert_eq!(ask(&layer, request("GET", "203.0.113.1", &[])).await.2, "None None");
    // Who put a country there knew better.
    let mut told = request("GET", "198.51.100.1", &[]);
    told.extensions_mut().insert(Country::new("CH").unwrap());
    assert_eq!(ask(&layer, told).await.2, "Some(CH) None");
}

#[tokio::test]
async fn pages_of_others_show_nothing() {
    let layer = ReferrerLayer::new(ReferrerRules(Some(Referrers::new(["*.video.example"]))));
    let from = |page: &'static str| request("GET", "192.0.2.1", &[("referer", page)]);
    assert_eq!(ask(&layer, from("https://www.video.example/watch?v=1")).await.0, 200);
    assert_eq!(ask(&layer, from("https://thief.example/video.example")).await.0, 403);
    assert_eq!(ask(&layer, request("GET", "192.0.2.1", &[])).await.0, 403);
}

#[tokio::test]
async fn pages_that_may_read_are_told_so_and_no_others() {
    let cors = Cors::of(["https://video.example"])
        .credentials(true)
        .expose(["cmsd-dynamic"])
        .headers(["authorization"])
        .max_age(Duration::from_secs(60));
    let layer = CorsLayer::new(cors);
    let ours = ("origin", "https://video.example");
    let (status, headers, _) = ask(&layer, request("GET", "192.0.2.1", &[ours])).await;
    assert_eq!(status, 200);
    assert_eq!(headers["access-control-allow-origin"], "https://video.example");
    assert_eq!(headers["access-control-allow-credentials"], "true");
    assert_eq!(headers["access-control-expose-headers"], "cmsd-dynamic");
    assert_eq!(headers["vary"], "Origin");
    // Other pages, and none, get the answer without a word that they may read it.
    for other in [&[("origin", "https://other.example")][..], &[]] {
        let (status, headers, _) = ask(&layer, request("GET", "192.0.2.1", other)).await;
        assert_eq!(status, 200);
        assert!(!headers.contains_key("access-control-allow-origin"));
        assert_eq!(headers["vary"], "Origin");
    }
    let question = ("access-control-request-method", "GET");
    let names = ("access-control-request-headers", "authorization");
    let asked = request("OPTIONS", "192.0.2.1", &[ours, question, names]);
    let (status, headers, body) = ask(&layer, asked).await;
    assert_eq!((status.as_u16(), body.as_str()), (204, ""));
    assert_eq!(headers["access-control-allow-origin"], "https://video.example");
    assert_eq!(headers["access-control-allow-methods"], "GET, HEAD");
    assert_eq!(headers["access-control-allow-headers"], "authorization");
    assert_eq!(headers["access-control-max-age"], "60");
    let others = ("origin", "https://other.example");
    let (status, headers, _) =
        ask(&layer, request("OPTIONS", "192.0.2.1", &[others, question])).await;
    assert_eq!(status, 403);
    assert!(!headers.contains_key("access-control-allow-origin"));
    // OPTIONS that are no browser's question go on.
    assert_eq!(ask(&layer, request("OPTIONS", "192.0.2.1", &[ours])).await.0, 200);

    let open = CorsLayer::new(Cors::any());
    let (_, headers, _) = ask(&open, request("GET", "192.0.2.1", &[others])).await;
    assert_eq!(headers["access-control-allow-origin"], "*");
    assert!(
        !headers.contains_key("vary") && !headers.contains_key("access-control-allow-credentials")
    );
    let (_, headers, _) =
        ask(&open, request("OPTIONS", "192.0.2.1", &[others, question, names])).await;
    assert_eq!(headers["access-control-allow-headers"], "authorization", "whichever are asked for");
}

#[tokio::test]
async fn what_an_upstream_says_of_pages_is_not_passed_on() {
    let inner = tower::service_fn(async |_: Request<()>| {
        let response = Response::builder()
            .header("access-control-allow-origin", "*")
            .header("access-control-allow-credentials", "true")
            .header("vary", "accept-encoding");
        Ok::<_, Infallible>(response.body(Body::Empty).unwrap())
    });
    let layer = CorsLayer::new(Cors::of(["https://video.example"]));
    let request = Request::builder().header("origin", "https://other.example").body(()).unwrap();
    let headers = layer.layer(inner).oneshot(request).await.unwrap().into_parts().0.headers;
    assert!(!headers.contains_key("access-control-allow-origin"));
    assert!(!headers.contains_key("access-control-allow-credentials"));
    let vary: Vec<_> = headers.get_all("vary").iter().collect();
    assert_eq!(vary, ["accept-encoding", "Origin"]);
}

/// A stranger who makes up origins must not have each request fetched and stored.
#[tokio::test]
async fn an_upstream_that_answers_by_page_is_asked_once_for_all_pages() {
    let clock = Clock::manual(Timestamp::from_secs(1_000));
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let upstream = {
        let seen = Arc::clone(&seen);
        tower::service_fn(move |request: Request<Body>| {
            let page = request.headers().get("origin").cloned();
            seen.lock().unwrap().push((request.method().clone(), page.is_some()));
            let response = Response::builder()
                .header("cache-control", "max-age=60")
                .header("access-control-allow-origin", page.unwrap_or("none".parse().unwrap()))
                .header("vary", "Accept-Encoding, Origin");
            std::future::ready(Ok::<_, Infallible>(response.body(Body::from("same")).unwrap()))
        })
    };
    for (cors, vary) in [
        (Cors::any(), &["Accept-Encoding"][..]),
        (Cors::of(["https://video.example"]), &["Accept-Encoding, Origin", "Origin"]),
    ] {
        seen.lock().unwrap().clear();
        let edge = Edge::builder()
            .cache(Cache::builder().clock(clock.clone()).build())
            .methods(MethodsLayer::new([http::Method::GET, http::Method::POST]))
            .cors(CorsLayer::new(cors))
            .build(upstream.clone());
        let ask = async |method: &str, page: String| {
            let mut request = support::request(method, "/a", Protocol::H2);
            request.headers_mut().insert(header::ORIGIN, page.parse().unwrap());
            edge.clone().oneshot(request).await.unwrap().into_parts().0.headers
        };
        for page in 0..3 {
            let headers = ask("GET", format!("https://{page}.example")).await;
            let hit = headers["cache-status"].to_str().unwrap().contains("hit");
            assert_eq!(hit, page > 0, "{headers:?}");
            let said: Vec<_> = headers.get_all("vary").iter().collect();
            assert_eq!(said, vary);
        }
        ask("POST", "https://video.example".to_owned()).await;
        let expected = [(http::Method::GET, false), (http::Method::POST, true)];
        assert_eq!(*seen.lock().unwrap(), expected);
    }
}

#[tokio::test]
async fn browsers_are_told_to_be_careful() {
    let security = Security::default()
        .hsts(Duration::from_secs(31_536_000), true, false)
        .frames(Frames::Deny)
        .loads(Loads::CrossOrigin)
        .referrer_policy("strict-origin".parse().unwrap())
        .content_policy("default-src 'none'".parse().unwrap());
    let inner = tower::service_fn(async |_: Request<()>| {
        let response = Response::builder().header("referrer-policy", "no-referrer");
        Ok::<_, Infallible>(response.body(Body::Empty).unwrap())
    });
    let layer = SecurityLayer::new(security);
    let ask = async |tls: bool| {
        let mut request = Request::new(());
        let address = "192.0.2.1:1".parse().unwrap();
        let mut conn = ConnInfo::new(address, address, Protocol::H2);
        conn.tls = tls;
        request.extensions_mut().insert(conn);
        layer.layer(inner).oneshot(request).await.unwrap().into_parts().0.headers
    };
    let headers = ask(true).await;
    assert_eq!(headers["strict-transport-security"], "max-age=31536000; includeSubDomains");
    assert_eq!(headers["x-frame-options"], "DENY");
    assert_eq!(headers["cross-origin-resource-policy"], "cross-origin");
    assert_eq!(headers["content-security-policy"], "default-src 'none'");
    assert_eq!(headers["referrer-policy"], "no-referrer", "who said it first");
    assert!(!ask(false).await.contains_key("strict-transport-security"), "RFC 6797 §7.2");
}

#[tokio::test]
async fn a_route_has_methods_of_its_own() {
    let mut policy = RoutePolicy::default();
    policy.methods = Some(MethodsLayer::new([http::Method::POST]));
    let policy = Arc::new(policy);
    let status = async |method: &str, here: bool| {
        let mut request = request(method, "192.0.2.1", &[]);
        if here {
            request.extensions_mut().insert(Arc::clone(&policy));
        }
        ask(&MethodsLayer::default(), request).await.0
    };
    assert_eq!(status("POST", true).await, 200);
    assert_eq!(status("GET", true).await, 405);
    assert_eq!(status("POST", false).await, 405);
    assert_eq!(status("GET", false).await, 200);
}

/// A token layer that takes `access` for a parameter, and a token for all.
fn tokens(clock: &Clock) -> (TokenLayer, String) {
    let key = Key::signing("k", b"a secret of thirty-two bytes, or more").unwrap();
    let token = Grant::below("/", Timestamp::from_secs(2_000)).unwrap().sign(&key).unwrap();
    let rules =
        TokenRules::new(Verifier::new([key]).unwrap(), Places::default().parameter("access"));
    (TokenLayer::new(rules).clock(clock.clone()), token)
}

#[tokio::test]
async fn an_edge_answers_preflights_before_it_asks_for_tokens_and_its_refusals_may_be_read() {
    let clock = Clock::manual(Timestamp::from_secs(1_000));
    let (layer, token) = tokens(&clock);
    let database = GeoDatabase::read(mmdb::database(&[("192.0.2.0/25", "DE")])).unwrap();
    let denied = Addresses::builder().deny("192.0.2.128/25").unwrap().build().unwrap();
    let origin = Origin::default();
    let edge = Edge::builder()
        .cache(Cache::builder().clock(clock.clone()).build())
        .cors(CorsLayer::new(Cors::of(["https://video.example"]).credentials(true)))
        .security(SecurityLayer::new(Security::default().frames(Frames::SameOrigin)))
        .addresses(AddressRules::new(denied))
        .geo(GeoRules::new(database).countries(Countries::only(["DE"]).unwrap()))
        .referrers(ReferrerRules(Some(Referrers::new(["video.example"]).or_missing(true))))
        .tokens(layer)
        .clock(clock)
        .build(origin.clone());
    let ask = async |method: &str, path: &str, headers: &[(&'static str, &'static str)]| {
        let mut request = support::request(method, path, Protocol::H2);
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        edge.clone().oneshot(request).await.unwrap()
    };
    let ours = ("origin", "https://video.example");
    let question = ("access-control-request-method", "GET");
    let names = ("access-control-request-headers", "authorization");
    let preflight = ask("OPTIONS", "/small", &[ours, question, names]).await;
    assert_eq!(preflight.status(), 204, "a preflight has no token");
    assert_eq!(preflight.headers()["access-control-allow-headers"], "authorization");
    assert!(origin.seen.lock().unwrap().is_empty());

    let refused = ask("GET", "/small", &[ours]).await;
    assert_eq!(refused.status(), 401);
    assert_eq!(refused.headers()["access-control-allow-origin"], "https://video.example");
    assert_eq!(refused.headers()["x-frame-options"], "SAMEORIGIN");
    let with_token = format!("/small?access={token}");
    let first = ask("GET", &with_token, &[ours]).await;
    assert_eq!(first.status(), 200);
    // What is stored is the same for all pages.
    let second = ask("GET", &with_token, &[("origin", "https://other.example")]).await;
    assert!(second.headers()["cache-status"].to_str().unwrap().contains("hit"));
    assert!(!second.headers().contains_key("access-control-allow-origin"));
    assert_eq!(second.headers()["vary"], "Origin");
    let thief = ask("GET", &with_token, &[("referer", "https://thief.example/")]).await;
    assert_eq!(thief.status(), 403);
    let from = async |address: &str| {
        let mut request = support::get(&with_token, Protocol::H2);
        let conn = request.extensions_mut().get_mut::<ConnInfo>().unwrap();
        conn.peer = address.parse().unwrap();
        edge.clone().oneshot(request).await.unwrap().status()
    };
    assert_eq!(from("192.0.2.7:1").await, 200);
    assert_eq!(from("192.0.2.200:1").await, 403, "its address");
    assert_eq!(from("198.51.100.1:1").await, 403, "its country");
}
