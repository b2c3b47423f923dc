//! Requests in early data (RFC 8470) over real handshakes, which are held up: what is answered
//! meanwhile, and what has not reached the origin before they end.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use common_access_token::{Algorithm, KeyId, RegisteredClaims, TokenBuilder, cat_keys, catreplay};
use headwater_edge::tokens::{Key, Places, TokenLayer, TokenRules, Verifier};
use headwater_edge::{EarlyDataLayer, Edge, EdgeBuilder, Metrics, RefusedBy};
use headwater_net::server::{ConnLimits, Tls};
use headwater_net::{Body, Clock, Protocol, Timestamp};
use http::{Method, Request, Response};
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

use crate::h3_client::{Answer, H3, visited};
use crate::unfinished::Unfinished;
use crate::{Running, listening, start, until};

/// Time in which what is wrongly sent upstream would be there.
const MOMENT: Duration = Duration::from_millis(300);

/// What the origin was asked, and whether it was told that it was early. It says 425 to that below
/// `/once`.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<(String, bool)>>>);

impl Asked {
    fn all(&self) -> Vec<(String, bool)> {
        self.0.lock().unwrap().clone()
    }

    fn answer(&self, request: &Request<Body>) -> Ready<Result<Response<Body>, Infallible>> {
        let early = request.headers().get("early-data").is_some_and(|value| value == "1");
        let path = request.uri().path().to_owned();
        let too_early = early && path.starts_with("/once");
        self.0.lock().unwrap().push((path.clone(), early));
        let response = Response::builder()
            .status(if too_early { 425 } else { 200 })
            .header("cache-control", if too_early { "no-store" } else { "max-age=60" });
        ready(Ok(response.body(Body::from(path)).unwrap()))
    }
}

fn serve(tune: impl FnOnce(EdgeBuilder) -> EdgeBuilder) -> (Running, Asked) {
    let asked = Asked::default();
    let origin = asked.clone();
    let origin = tower::service_fn(move |request: Request<Body>| origin.answer(&request));
    (start(tune, origin), asked)
}

fn paths(asked: &[(&str, bool)]) -> Vec<(String, bool)> {
    asked.iter().map(|(path, early)| ((*path).to_owned(), *early)).collect()
}

async fn whole(asking: JoinHandle<Answer>) -> Answer {
    let answer = tokio::time::timeout(Duration::from_secs(60), asking).await;
    answer.expect("an answer within a minute").unwrap()
}

#[tokio::test]
async fn rfc_8470_a_hit_does_not_wait_for_the_handshake_and_a_miss_asks_nobody_before() {
    let (edge, asked) = serve(|edge| edge);
    let known = visited(edge.addr(), &edge.tls, "/stored").await;
    let mut client = Unfinished::return_to(edge.addr(), &known).await;
    let (miss, hit) = (client.get("/missed"), client.get("/stored"));
    let metrics = edge.server.metrics();
    until("both are there", || metrics.early_requests() == 2).await;
    client.hears();
    let hit = whole(hit).await;
    assert_eq!((hit.status.as_u16(), &*hit.body), (200, &b"/stored"[..]));
    assert!(hit.headers["cache-status"].to_str().unwrap().contains("; hit"), "{:?}", hit.headers);
    tokio::time::sleep(MOMENT).await;
    assert_eq!(asked.all(), paths(&[("/stored", false)]), "the handshake is not done");
    assert!(!miss.is_finished());
    assert!(client.finish().await, "taken as early data");
    let miss = whole(miss).await;
    assert_eq!((miss.status.as_u16(), &*miss.body), (200, &b"/missed"[..]));
    assert_eq!(asked.all(), paths(&[("/stored", false), ("/missed", false)]));
    assert_eq!(metrics.handshakes_failed(Protocol::H3), 0);
}

#[tokio::test]
async fn rfc_8470_5_1_a_425_of_the_upstream_is_asked_again_after_the_handshake_and_not_before() {
    let (edge, asked) = serve(|edge| edge.early_data(EarlyDataLayer::new().forward(true)));
    let known = visited(edge.addr(), &edge.tls, "/stored").await;
    let mut client = Unfinished::return_to(edge.addr(), &known).await;
    let (once, often) = (client.get("/once"), client.get("/often"));
    until("both are upstream", || asked.all().len() == 3).await;
    client.hears();
    let often = whole(often).await;
    assert_eq!((often.status.as_u16(), &*often.body), (200, &b"/often"[..]));
    tokio::time::sleep(MOMENT).await;
    let mut seen = asked.all().split_off(1);
    seen.sort();
    assert_eq!(seen, paths(&[("/often", true), ("/once", true)]), "the handshake is not done");
    assert!(!once.is_finished());
    assert!(client.finish().await, "taken as early data");
    let once = whole(once).await;
    assert_eq!((once.status.as_u16(), &*once.body), (200, &b"/once"[..]));
    assert_eq!(asked.all().split_off(3), paths(&[("/once", false)]));
}

/// Answered in a task of its own, which is not given up with its connection: by whatever asks for it in the
/// end, it is refused, and nothing was fetched for its sake.
#[tokio::test]
async fn rfc_8470_5_2_early_data_whose_handshake_never_ends_is_refused_and_counted() {
    let (metrics, asked) = (Metrics::default(), Asked::default());
    let origin = asked.clone();
    let origin = tower::service_fn(move |request: Request<Body>| origin.answer(&request));
    let edge = Edge::builder().metrics(metrics.clone());
    let tls = Tls::self_signed(["localhost"], None, &Clock::system()).unwrap();
    let serving = listening(&tls).serve(move |_| {
        let edge = edge.build(origin.clone());
        tower::service_fn(move |request: Request<Body>| {
            let answer = tokio::spawn(edge.clone().oneshot(request));
            async move { answer.await.unwrap() }
        })
    });
    let server = serving.unwrap();
    let addr = server.https_addrs()[0];
    let known = visited(addr, &tls, "/stored").await;
    let mut limits = ConnLimits::default();
    limits.handshake_timeout = Duration::from_secs(2);
    server.set_limits(&limits);
    let client = Unfinished::return_to(addr, &known).await;
    let missed = client.get("/missed");
    until("its handshake failed", || server.metrics().handshakes_failed(Protocol::H3) == 1).await;
    until("it is answered", || metrics.in_flight() == 0 && metrics.requests(None, None) == 2).await;
    assert_eq!(server.metrics().early_requests(), 1);
    for by in RefusedBy::ALL {
        assert_eq!(metrics.refused(by), u64::from(by == RefusedBy::EarlyData), "{by:?}");
    }
    assert_eq!(asked.all(), paths(&[("/stored", false)]));
    missed.abort();
}

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: u64 = 1_000_000;

/// A token that is good for one request (`catreplay` 1).
fn for_once() -> String {
    let token = TokenBuilder::new()
        .algorithm(Algorithm::HmacSha256)
        .unprotected_key_id(KeyId::binary(*b"k"))
        .registered_claims(RegisteredClaims::new().with_expiration(NOW + 60).with_cti(*b"one"))
        .custom_cbor(cat_keys::CATREPLAY, catreplay::prohibited());
    URL_SAFE_NO_PAD.encode(token.sign(SECRET).unwrap().to_bytes().unwrap())
}

#[tokio::test]
async fn a_token_for_one_request_is_told_425_in_early_data_and_is_good_after_the_handshake() {
    let clock = Clock::manual(Timestamp::from_secs(NOW));
    let verifier = Verifier::new([Key::cat_secret("k", SECRET).unwrap()]).unwrap();
    let tokens = TokenLayer::new(TokenRules::new(verifier, Places::default())).clock(clock);
    let (edge, asked) = serve(|edge| edge.tokens(tokens));
    let known = visited(edge.addr(), &edge.tls, "/nobody").await;
    let path = format!("/film?token={}", for_once());
    let mut client = Unfinished::return_to(edge.addr(), &known).await;
    let early = client.get(&path);
    until("it is there", || edge.server.metrics().early_requests() == 1).await;
    client.hears();
    let early = whole(early).await;
    assert_eq!(early.status, 425);
    assert!(asked.all().is_empty());
    assert!(client.finish().await, "taken as early data");
    let late = H3::connect(edge.addr(), "localhost", &edge.tls).await;
    for (status, why) in [(200, "not used up by what was early"), (401, "for once")] {
        let answer = late.send(Method::GET, &path, Bytes::new()).await.unwrap();
        assert_eq!(answer.status.as_u16(), status, "{why}");
    }
    assert_eq!(asked.all(), paths(&[("/film", false)]));
}
