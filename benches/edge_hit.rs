//! A cache hit of 1 KiB through the layers of an edge, as the reference stack composes them.
//!
//! Measured is what is ours: from the request that a listener hands over to the last frame of the
//! body. Sockets, TLS and HTTP framing are not in it. The bar is 1.5 µs for all layers together.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "benches fail loudly")]

#[path = "../crates/edge/tests/support/mmdb.rs"]
mod mmdb;
#[path = "support/origin.rs"]
mod origin;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};
use headwater::cache::Cache;
use headwater::edge::rates::Per;
use headwater::edge::tokens::{Grant, Key, Places, TokenRules, Verifier};
use headwater::edge::{
    AccessLog, AddressRules, Addresses, CmcdLayer, CmsdLayer, Cors, CorsLayer, Countries, Edge,
    EdgeBuilder, GeoDatabase, GeoRules, HeadersLayer, Limit, MethodsLayer, Metrics, NormaliseLayer,
    PriorityLayer, RateLimitLayer, ReferrerRules, Referrers, Security, SecurityLayer, Sessions,
    ShedLayer, Steering, TokenLayer,
};
use headwater::net::{Body, Clock, ConnInfo, Protocol};
use http::{HeaderName, HeaderValue, Request, Response, Uri, header};
use origin::{Origin, drain};
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, Service};

const OBJECT_BYTES: u64 = 1 << 10;

#[expect(clippy::print_stdout, reason = "a bench reports to a person")]
fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let origin = Origin::new(OBJECT_BYTES);

    let mut group = criterion.benchmark_group("edge_hit");
    group
        .sample_size(50)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    // What the measuring itself costs: an answer that is ready, read and dropped.
    measure(&mut group, &runtime, "origin", &origin);
    let cache = || Cache::builder().name("edge").ram(64 << 20).build();
    let alone = cache();
    measure(&mut group, &runtime, "cache", &alone.layer().layer(origin.clone()));

    let (log, writer) = AccessLog::start(std::io::sink(), 8_192).unwrap();
    let edge = Edge::builder().cache(cache());
    measure(&mut group, &runtime, "edge_without_log", &edge.build(origin.clone()));
    let under = cache();
    let edge = Edge::builder().cache(under.clone()).access_log(log.clone());
    measure(&mut group, &runtime, "edge", &edge.build(origin.clone()));
    let layered = cache();
    let (edge, token) = with_every_layer();
    let edge = edge.cache(layered.clone()).access_log(log.clone());
    let target = format!("https://edge.example/t/{token}{PATH}{CMCD}");
    measure_of(&mut group, &runtime, "every_layer", &edge.build(origin.clone()), &target);
    // The layers with the origin where the cache would be.
    let layers = log.layer(Clock::system()).layer(
        Metrics::default().layer().layer(
            HeadersLayer::default()
                .layer(MethodsLayer::default().layer(NormaliseLayer::default().layer(origin))),
        ),
    );
    measure(&mut group, &runtime, "layers_without_cache", &layers);
    group.finish();

    for cache in [alone, under, layered] {
        assert!(cache.metrics().misses.get() <= 1, "what was to be a hit was none");
    }
    println!("access log: {} lines written, {} dropped", log.written(), log.dropped());
    writer.finish();
    criterion.final_summary();
}

/// Requests that are made ahead, outside of what is measured: few, so that they stay in the
/// processor's cache as one that was just parsed does.
const BATCH: u64 = 32;

fn measure<S>(group: &mut BenchmarkGroup<'_, WallTime>, runtime: &Runtime, name: &str, service: &S)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    measure_of(group, runtime, name, service, &format!("https://edge.example{PATH}"));
}

fn measure_of<S>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    runtime: &Runtime,
    name: &str,
    service: &S,
    target: &str,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    group.bench_function(name, |b| {
        b.to_async(runtime).iter_custom(|count| {
            let mut service = service.clone();
            async move {
                // The first request fills, the others hit, once the fill has been put away.
                ask(&mut service, request(target)).await;
                tokio::task::yield_now().await;
                let mut time = Duration::ZERO;
                let mut left = count;
                while left > 0 {
                    let batch = left.min(BATCH);
                    left -= batch;
                    let requests: Vec<_> = (0..batch).map(|_| request(target)).collect();
                    let start = Instant::now();
                    for request in requests {
                        ask(&mut service, request).await;
                    }
                    time += start.elapsed();
                }
                time
            }
        });
    });
}

/// An edge with every layer on that a request can meet, and a token that lets in. Nothing is refused.
fn with_every_layer() -> (EdgeBuilder, String) {
    let key = Key::signing("", b"a secret of tokens that is long enough").unwrap();
    let expires = Clock::system().now().plus(DAY);
    let token = Grant::below("/title/", expires).unwrap().sign(&key).unwrap();
    let rules = TokenRules::new(Verifier::new([key]).unwrap(), Places::default().path("/t/"));
    let many = |name: &str| Limit::new(name).requests(1_000_000_000, Duration::from_secs(1));
    let limits = [
        many("address"),
        many("token").per(Per::Token),
        Limit::new("rate").per(Per::Token).bytes_per_second(1 << 40),
    ];
    let addresses = Addresses::builder().deny("198.51.100.0/24\n2001:db8::/32").unwrap().build();
    let geo = GeoDatabase::read(mmdb::database(&[("192.0.2.0/24", "DE")])).unwrap();
    let countries = Countries::but(["FR", "JP"]).unwrap();
    let pages = ["*.example"];
    let sessions = Sessions::builder().build();
    let steering = Steering::at("/steering", ["here".to_owned(), "there".to_owned()]);
    let edge = Edge::builder()
        .tokens(TokenLayer::new(rules))
        .rates(RateLimitLayer::new(limits).unwrap())
        .addresses(AddressRules::new(addresses.unwrap()))
        .geo(GeoRules::new(geo).countries(countries))
        .referrers(ReferrerRules(Some(Referrers::new(pages).or_missing(true))))
        .cors(CorsLayer::new(Cors::of(["https://player.example"]).expose(["cmsd-dynamic"])))
        .security(SecurityLayer::new(Security::default().hsts(DAY, false, false)))
        .cmcd(CmcdLayer::new(sessions.clone()))
        .cmsd(CmsdLayer::new("edge"))
        .shed(ShedLayer::new(Duration::from_secs(1), Duration::from_secs(1)).sessions(sessions))
        .steering(steering.here("here").build().unwrap())
        .priority(PriorityLayer::by_kind());
    (edge, token)
}

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn ask<S>(service: &mut S, request: Request<Body>)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let Ok(response) = service.call(request).await;
    assert_eq!(drain(response).await, OBJECT_BYTES);
}

/// What a browser's player sends, in one shared buffer as a listener's parser leaves it.
fn request(target: &str) -> Request<Body> {
    let peer = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 7), 50_123));
    let local = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 443));
    let mut conn = ConnInfo::new(peer, local, Protocol::H2);
    conn.tls = true;
    let mut text = String::from(target);
    text.extend(FIELDS.iter().map(|(_, value)| *value));
    let mut text = Bytes::from(text);

    let mut request = Request::new(Body::empty());
    *request.uri_mut() = Uri::from_maybe_shared(text.split_to(target.len())).unwrap();
    for (name, value) in FIELDS {
        let value = HeaderValue::from_maybe_shared(text.split_to(value.len())).unwrap();
        request.headers_mut().append(name, value);
    }
    request.extensions_mut().insert(conn);
    request
}

const PATH: &str = "/title/00abcdef01234567/v1/42.m4s";
const CMCD: &str = "?CMCD=bl%3D12000%2Cbr%3D4000%2Cd%3D4000%2Cmtp%3D25000%2Cot%3Dv%2Csf%3Dh%2C\
                    sid%3D%226e2fb550-c457-11e9-bb97-0800200c9a66%22%2Cst%3Dv";

const FIELDS: [(HeaderName, &str); 6] = [
    (header::HOST, "edge.example"),
    (
        header::USER_AGENT,
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/142.0.0.0 Safari/537.36",
    ),
    (header::ACCEPT, "*/*"),
    (header::ACCEPT_ENCODING, "gzip, deflate, br, zstd"),
    (header::ACCEPT_LANGUAGE, "en-GB,en;q=0.9"),
    (header::ORIGIN, "https://player.example"),
];
