//! Each layer of an edge that answers by itself is told apart in the metrics, and nothing else counts as
//! refused.
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use headwater_edge::rates::Per;
use headwater_edge::tokens::{Grant, Key, Places, TokenLayer, TokenRules, Verifier};
use headwater_edge::{
    AddressRules, Addresses, CmcdLayer, Cors, CorsLayer, Countries, Edge, EdgeBuilder, FixedAnswer,
    GeoDatabase, GeoRules, Limit, MethodsLayer, Metrics, NormaliseLayer, Pressure, RateLimitLayer,
    ReferrerRules, Referrers, RefusedBy, RoutePolicy, Sessions, ShedLayer, Steering,
};
use headwater_net::{Body, Clock, Protocol, Timestamp};
use http::{Request, Response, StatusCode};
use prometheus_client::registry::Registry;
use support::{Origin, get, mmdb, request};
use tower::{Layer as _, ServiceExt};

/// Asks the same edge for each, one after the other; the status of the last.
async fn asked(edge: EdgeBuilder, requests: impl IntoIterator<Item = Request<Body>>) -> u16 {
    let edge = edge.build(Origin::default());
    let mut last = 0;
    for request in requests {
        let Ok(response) = edge.clone().oneshot(request).await;
        last = response.status().as_u16();
    }
    last
}

fn with(name: &'static str, value: &'static str, mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

fn small() -> Request<Body> {
    get("/small", Protocol::H2)
}

fn on_a_route(answer: FixedAnswer) -> Request<Body> {
    let mut policy = RoutePolicy::default();
    policy.answer = Some(answer);
    let mut request = small();
    request.extensions_mut().insert(Arc::new(policy));
    request
}

fn posted(kind: &'static str) -> Request<Body> {
    with("content-type", kind, request("POST", "/cmcd", Protocol::H2))
}

fn tokens() -> (TokenLayer, Key) {
    let key = Key::signing("k", b"a secret of thirty-two bytes, or more").unwrap();
    let rules = TokenRules::new(Verifier::new([key.clone()]).unwrap(), Places::default());
    (TokenLayer::new(rules).clock(Clock::manual(Timestamp::from_secs(1_000))), key)
}

fn limited(per: Per) -> EdgeBuilder {
    let limit = Limit::new("l").per(per).requests(1, Duration::from_secs(3_600));
    Edge::builder().rates(RateLimitLayer::new([limit]).unwrap())
}

#[tokio::test]
async fn each_layer_that_refuses_is_counted_by_its_name() {
    let deny = Addresses::builder().deny("192.0.2.0/24").unwrap().build().unwrap();
    let database = GeoDatabase::read(mmdb::database(&[("192.0.2.0/24", "DE")])).unwrap();
    let geo = GeoRules::new(database).countries(Countries::but(["DE"]).unwrap());
    let preflight = || {
        let asked = request("OPTIONS", "/small", Protocol::H2);
        with("access-control-request-method", "GET", with("origin", "https://thief", asked))
    };
    let (layer, key) = tokens();
    let grant = Grant::below("/", Timestamp::from_secs(1_060)).unwrap().sign(&key).unwrap();
    let holder = || get(&format!("/small?token={grant}"), Protocol::H2);
    let reports =
        || Edge::builder().cmcd(CmcdLayer::new(Sessions::builder().build()).reports_at("/cmcd"));
    let steering = Steering::at("/steer", ["a".to_owned()]).build().unwrap();
    let gone = || FixedAnswer::new(StatusCode::GONE);
    let edge = Edge::builder;
    let cases = [
        (edge().addresses(AddressRules::new(deny)), vec![small()], 403, RefusedBy::Addresses),
        (edge(), vec![on_a_route(gone())], 410, RefusedBy::Answer),
        (edge(), vec![on_a_route(gone().refused_by(RefusedBy::Target))], 410, RefusedBy::Target),
        (
            edge().cors(CorsLayer::new(Cors::of(["https://ours"]))),
            vec![preflight()],
            403,
            RefusedBy::Cors,
        ),
        (edge().geo(geo), vec![small()], 403, RefusedBy::Countries),
        (
            edge().normalise(NormaliseLayer::new().hosts(["other.example"])),
            vec![small()],
            421,
            RefusedBy::Host,
        ),
        (limited(Per::Address), vec![small(), small()], 429, RefusedBy::Limit(Per::Address)),
        (limited(Per::Network), vec![small(), small()], 429, RefusedBy::Limit(Per::Network)),
        (limited(Per::Route), vec![small(), small()], 429, RefusedBy::Limit(Per::Route)),
        (
            limited(Per::Token).tokens(layer.clone()),
            vec![holder(), holder()],
            429,
            RefusedBy::Limit(Per::Token),
        ),
        (
            edge().methods(MethodsLayer::default()),
            vec![request("DELETE", "/small", Protocol::H2)],
            405,
            RefusedBy::Methods,
        ),
        (
            edge().steering(steering),
            vec![request("POST", "/steer", Protocol::H2)],
            405,
            RefusedBy::Methods,
        ),
        (
            edge().referrers(ReferrerRules(Some(Referrers::new(["ours.example"])))),
            vec![small()],
            403,
            RefusedBy::Referrers,
        ),
        (reports(), vec![posted("text/html")], 415, RefusedBy::Reports),
        (reports(), vec![posted("application/cmcd")], 400, RefusedBy::Reports),
        (edge(), vec![get("/a/%2e%2e/small", Protocol::H2)], 400, RefusedBy::Target),
        (
            edge().normalise(NormaliseLayer::new().max_target(3)),
            vec![small()],
            414,
            RefusedBy::Target,
        ),
        (edge().tokens(layer), vec![small()], 401, RefusedBy::Tokens),
    ];
    for (edge, requests, status, by) in cases {
        let metrics = Metrics::default();
        assert_eq!(asked(edge.metrics(metrics.clone()), requests).await, status, "{by:?}");
        for one in RefusedBy::ALL {
            assert_eq!(metrics.refused(one), u64::from(one == by), "{one:?} by {by:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_turned_away_by_a_busy_worker_is_counted() {
    let (metrics, pressure) = (Metrics::default(), Pressure::default());
    let shed = ShedLayer::new(Duration::from_millis(20), Duration::from_millis(100));
    let edge = Edge::builder().metrics(metrics.clone()).shed(shed.pressure(pressure.clone()));
    let edge = edge.build(Origin::default());
    // The task that each request leaves behind comes to its turn 50 ms later.
    for _ in 0..12 {
        let Ok(_) = edge.clone().oneshot(small()).await;
        tokio::time::advance(Duration::from_millis(50)).await;
        tokio::task::yield_now().await;
    }
    assert!(pressure.shed() > 0);
    assert_eq!(metrics.refused(RefusedBy::Shed), pressure.shed());
}

#[tokio::test]
async fn what_is_let_in_counts_for_nothing_whatever_is_answered() {
    let metrics = Metrics::default();
    let requests = [
        small(),
        small(),
        get("/missing", Protocol::H2),
        on_a_route(FixedAnswer::new(StatusCode::OK)),
        on_a_route(FixedAnswer::new(StatusCode::PERMANENT_REDIRECT).location("/small")),
    ];
    asked(Edge::builder().metrics(metrics.clone()), requests).await;
    assert!(RefusedBy::ALL.iter().all(|by| metrics.refused(*by) == 0));
    assert_eq!(metrics.requests(None, None), 5);
}

#[tokio::test]
async fn a_refusal_is_counted_once_and_is_on_the_page_from_the_beginning() {
    let (inner, outer) = (Metrics::default(), Metrics::default());
    let edge = Edge::builder().metrics(inner.clone()).build(Origin::default());
    let edge = outer.layer().layer(edge);
    let Ok(response) = edge.oneshot(request("DELETE", "/small", Protocol::H2)).await;
    assert_eq!(RefusedBy::of(&response), None, "it is nobody's concern any more");
    assert_eq!(inner.refused(RefusedBy::Methods), 1);
    assert_eq!(outer.refused(RefusedBy::Methods), 0);

    let mut registry = Registry::default();
    inner.register(&mut registry);
    let mut page = String::new();
    prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
    for by in RefusedBy::ALL {
        let count = u64::from(by == RefusedBy::Methods);
        let line = format!("headwater_edge_refused_total{{by=\"{}\"}} {count}", by.as_str());
        assert!(page.lines().any(|one| one == line), "{line}\n{page}");
    }
}

/// What somebody behind the layers refuses, and says so.
#[tokio::test]
async fn what_passes_the_cache_may_be_refused_behind_it() {
    let metrics = Metrics::default();
    let behind = tower::service_fn(async |_: Request<Body>| {
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = StatusCode::MISDIRECTED_REQUEST;
        RefusedBy::Host.mark(&mut response);
        Ok::<_, std::convert::Infallible>(response)
    });
    let edge = Edge::builder().metrics(metrics.clone()).build(behind);
    // A HEAD that nothing is stored for passes the cache.
    let Ok(response) = edge.oneshot(request("HEAD", "/small", Protocol::H2)).await;
    assert_eq!((response.status().as_u16(), metrics.refused(RefusedBy::Host)), (421, 1));
}
