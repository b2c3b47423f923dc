//! Common Access Tokens (CTA-5007).

mod headers;
mod properties;
mod renewal;

use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PSS_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coset::cbor::value::Value;
use coset::{CborSerializable as _, CoseMac0Builder, CoseSign1Builder, HeaderBuilder, iana};
use headwater_edge::tokens::{Asked, Key, Places, Refusal, TokenRules, Verifier};
use headwater_edge::{Country, Edge, GeoDatabase, GeoRules, Subdivision, TokenLayer};
use headwater_net::{Body, Clock, ConnInfo, Protocol, Timestamp};
use http::{Method, Request, Response};
use tower::{Layer as _, ServiceExt as _};

use super::{NOW, SECRET, asked, base64url, hex, mmdb, p256_pem, pem_of, verify};

fn int(value: i64) -> Value {
    Value::Integer(value.into())
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn map<const N: usize>(entries: [(Value, Value); N]) -> Value {
    Value::Map(entries.into())
}

fn list<const N: usize>(items: [Value; N]) -> Value {
    Value::Array(items.into())
}

fn tag(tag: u64, value: Value) -> Value {
    Value::Tag(tag, Box::new(value))
}

fn bytes(value: &[u8]) -> Value {
    Value::Bytes(value.to_vec())
}

fn payload(claims: Vec<(i64, Value)>) -> Vec<u8> {
    let claims = claims.into_iter().map(|(label, value)| (int(label), value)).collect();
    let mut bytes = Vec::new();
    coset::cbor::ser::into_writer(&Value::Map(claims), &mut bytes).unwrap();
    bytes
}

fn mac0(payload: Vec<u8>) -> String {
    let mac = CoseMac0Builder::new()
        .protected(HeaderBuilder::new().algorithm(iana::Algorithm::HMAC_256_256).build())
        .unprotected(HeaderBuilder::new().key_id(b"k".to_vec()).build())
        .payload(payload)
        .create_tag(&[], |data| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), data).as_ref().to_vec()
        })
        .build();
    base64url(mac.to_vec().unwrap())
}

/// A token that ends in ten seconds, with these claims.
fn token(mut claims: Vec<(i64, Value)>) -> String {
    if claims.iter().all(|(label, _)| *label != 4) {
        claims.push((4, int(NOW as i64 + 10)));
    }
    mac0(payload(claims))
}

fn verifier() -> Verifier {
    Verifier::new([Key::cat_secret("k", SECRET).unwrap()]).unwrap()
}

/// What comes of one claim, for one request.
fn of(label: i64, value: Value, asked: &Asked<'_>) -> Result<(), Refusal> {
    verify(&verifier(), &token(vec![(label, value)]), asked)
}

#[test]
fn exp_nbf_iss_and_aud_let_in_and_refuse() {
    let strict = verifier().issuers(["us"]).audiences(["edge"]);
    let ask = |claims: &[(i64, Value)]| {
        let mut all = vec![(1, text("us")), (3, text("edge"))];
        all.retain(|(label, _)| claims.iter().all(|(one, _)| one != label));
        all.extend(claims.iter().cloned());
        verify(&strict, &token(all), &asked("/"))
    };
    let now = NOW as i64;
    assert_eq!(ask(&[]), Ok(()));
    assert_eq!(ask(&[(4, int(now - 4))]), Ok(()));
    assert_eq!(ask(&[(4, int(now - 5))]), Err(Refusal::Expired));
    assert_eq!(ask(&[(4, Value::Float(NOW as f64 + 0.5))]), Ok(()));
    assert_eq!(ask(&[(4, Value::Float(f64::NAN))]), Err(Refusal::Malformed));
    assert_eq!(ask(&[(5, int(now + 5))]), Ok(()));
    assert_eq!(ask(&[(5, int(now + 6))]), Err(Refusal::NotYet));
    assert_eq!(ask(&[(1, text("them"))]), Err(Refusal::Issuer));
    assert_eq!(ask(&[(3, list([text("x"), text("edge")]))]), Ok(()));
    assert_eq!(ask(&[(3, text("x"))]), Err(Refusal::Audience));
    assert_eq!(ask(&[(6, int(now)), (2, text("viewer")), (7, bytes(b"id"))]), Ok(()));
    let endless = mac0(payload(vec![(1, text("us"))]));
    assert_eq!(verify(&verifier(), &endless, &asked("/")), Err(Refusal::Endless));
    assert_eq!(verify(&verifier().endless(true), &endless, &asked("/")), Ok(()));
}

#[test]
fn catv_is_one() {
    assert_eq!(of(310, int(1), &asked("/")), Ok(()));
    assert_eq!(of(310, int(2), &asked("/")), Err(Refusal::Unknown));
}

#[test]
fn catu_matches_each_part_it_names() {
    let asked =
        Asked { host: "video.example:8443", query: Some("a=1"), ..asked("/films/7/seg.1.m4s") };
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"video.example");
    let truncated = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512_256, b"video.example");
    for (part, kind, value, holds) in [
        (0, 0, text("https"), true),
        (0, 0, text("http"), false),
        (1, 0, text("video.example"), true),
        (1, 2, text(".example"), true),
        (1, 3, text("o.exa"), true),
        (1, 3, text("evil"), false),
        (1, -1, bytes(digest.as_ref()), true),
        (1, -1, bytes(&[0; 32]), false),
        (1, -2, bytes(truncated.as_ref()), true),
        (1, -2, bytes(digest.as_ref()), false),
        (2, 0, text("8443"), true),
        (2, 0, text("443"), false),
        (3, 1, text("/films/7/"), true),
        (3, 1, text("/films/8/"), false),
        (4, 0, text("a=1"), true),
        (4, 0, text(""), false),
        (5, 0, text("/films/7"), true),
        (5, 0, text("/films"), false),
        (6, 0, text("seg.1.m4s"), true),
        (6, 0, text("seg.1"), false),
        (7, 0, text("seg.1"), true),
        (7, 0, text("seg"), false),
        (8, 0, text(".m4s"), true),
        (8, 0, text("m4s"), false),
    ] {
        let claim = map([(int(part), map([(int(kind), value)]))]);
        let expected = if holds { Ok(()) } else { Err(Refusal::Path) };
        assert_eq!(of(312, claim.clone(), &asked), expected, "{claim:?}");
    }
    let both =
        |suffix: &str| map([(int(3), map([(int(1), text("/films/")), (int(2), text(suffix))]))]);
    assert_eq!(of(312, both(".m4s"), &asked), Ok(()));
    assert_eq!(of(312, both(".ts"), &asked), Err(Refusal::Path));
    for unknown in
        [map([(int(9), map([(int(0), text("x"))]))]), map([(int(3), map([(int(5), text("x"))]))])]
    {
        assert_eq!(of(312, unknown, &asked), Err(Refusal::Unknown));
    }
    for wrong in [int(1), map([(int(3), int(1))]), map([(int(3), map([]))])] {
        assert_eq!(of(312, wrong, &asked), Err(Refusal::Malformed));
    }
}

#[test]
fn catu_holds_for_every_way_to_read_the_path() {
    let below = || map([(int(3), map([(int(1), text("/films/7/"))]))]);
    assert_eq!(of(312, below(), &asked("/films/7/a.m4s")), Ok(()));
    assert_eq!(of(312, below(), &asked("/films/7/a%2Fb.m4s")), Ok(()));
    assert_eq!(of(312, below(), &asked("/films/7/..%2F8/a.m4s")), Err(Refusal::Ambiguous));
    let named = || map([(int(6), map([(int(0), text("x%2Fa.m4s"))]))]);
    assert_eq!(of(312, named(), &asked("/films/x%2Fa.m4s")), Err(Refusal::Path));
}

#[test]
fn a_regular_expression_is_of_the_whole_part_and_bounded() {
    let asked = asked("/films/7/seg-12.m4s");
    let pattern = |items: Value| of(312, map([(int(3), map([(int(4), items)]))]), &asked);
    let one = |expression: &str| pattern(list([text(expression)]));
    assert_eq!(one(r"/films/\d+/seg-\d+\.m4s"), Ok(()));
    assert_eq!(one(r"^/films/.*$"), Ok(()));
    assert_eq!(one(r"/films/8/.*|/films/7/.*"), Ok(()));
    assert_eq!(one(r"(?i)/FILMS/.*"), Ok(()));
    assert_eq!(one(r"/films/7/"), Err(Refusal::Path), "not within");
    assert_eq!(one(r"seg-\d+\.m4s"), Err(Refusal::Path), "nor at the end");
    let groups =
        |of_7: Value| pattern(list([text(r"/films/(\d+)/(seg|init)-.*"), of_7, text("seg")]));
    assert_eq!(groups(text("7")), Ok(()));
    assert_eq!(groups(Value::Null), Ok(()));
    assert_eq!(groups(text("8")), Err(Refusal::Path));
    // What would close the brackets around it, does not.
    assert_eq!(one(r"x)|(?:.*"), Err(Refusal::Unknown));
    // Look-around and back-references take more than linear time.
    for costly in [r"(?=.*7).*", r"/(.)\1.*", r"(\w{900}){900}", &"(".repeat(200)] {
        assert_eq!(one(costly), Err(Refusal::Unknown), "{costly}");
    }
    assert_eq!(one(&"a".repeat(513)), Err(Refusal::Malformed));
    assert_eq!(pattern(text(".*")), Err(Refusal::Malformed));
    assert_eq!(pattern(list([])), Err(Refusal::Malformed));
    assert_eq!(pattern(list([text(".*"), text("no such group")])), Err(Refusal::Malformed));
    // In fields, too.
    let request = Request::builder().header("x-device", "tv-12").body(()).unwrap();
    let sent = Asked { headers: request.headers(), ..asked };
    let device = |expression| map([(text("x-device"), map([(int(4), list([text(expression)]))]))]);
    assert_eq!(of(315, device(r"tv-\d+"), &sent), Ok(()));
    assert_eq!(of(315, device(r"tv-\d"), &sent), Err(Refusal::Header));
}

#[test]
fn catm_catalpn_and_cath_name_what_is_let_in() {
    let post = Method::POST;
    let posted = Asked { method: &post, ..asked("/") };
    let methods = list([text("GET"), text("HEAD")]);
    assert_eq!(of(313, methods.clone(), &asked("/")), Ok(()));
    assert_eq!(of(313, methods, &posted), Err(Refusal::Method));

    let by = |protocol| Asked { protocol: Some(protocol), ..asked("/") };
    let protocols = list([bytes(b"h3"), bytes(b"h2")]);
    assert_eq!(of(314, protocols.clone(), &by(Protocol::H3)), Ok(()));
    assert_eq!(of(314, protocols.clone(), &by(Protocol::H2)), Ok(()));
    assert_eq!(of(314, protocols.clone(), &by(Protocol::H1)), Err(Refusal::Protocol));
    assert_eq!(of(314, protocols, &asked("/")), Err(Refusal::Protocol), "nobody knows");
    assert_eq!(of(314, list([bytes(b"http/1.1")]), &by(Protocol::H1)), Ok(()));

    let request = Request::builder().header("x-device", "tv-1").header("x-device", "tv-2");
    let request = request.body(()).unwrap();
    let sent = Asked { headers: request.headers(), ..asked("/") };
    let device = |name: &str, prefix| map([(text(name), map([(int(1), text(prefix))]))]);
    assert_eq!(of(315, device("X-Device", "tv-"), &sent), Ok(()));
    assert_eq!(of(315, device("x-device", "tv-1"), &sent), Err(Refusal::Header), "not each line");
    assert_eq!(of(315, device("x-other", ""), &sent), Err(Refusal::Header));
}

#[test]
fn catgeoiso3166_takes_a_known_country() {
    let ask = |wanted: &[&str], country: Option<&str>, subdivision: Option<&str>| {
        let wanted = Value::Array(wanted.iter().copied().map(text).collect());
        let country = country.and_then(Country::new);
        let subdivision = subdivision.and_then(Subdivision::new);
        of(316, wanted, &Asked { country, subdivision, ..asked("/") })
    };
    assert_eq!(ask(&["FR", "DE"], Some("DE"), None), Ok(()));
    assert_eq!(ask(&["DE-BY"], Some("DE"), Some("BY")), Ok(()));
    assert_eq!(ask(&["DE-BY"], Some("DE"), None), Err(Refusal::Country));
    assert_eq!(ask(&["DE-BY"], Some("FR"), Some("BY")), Err(Refusal::Country));
    assert_eq!(ask(&["FR"], Some("DE"), Some("BY")), Err(Refusal::Country));
    assert_eq!(ask(&["DE"], None, None), Err(Refusal::Country));
}

/// What a database says of an address is what the claim is held against.
#[tokio::test]
async fn catgeoiso3166_goes_by_the_operators_database() {
    let clock = Clock::manual(Timestamp::from_secs(NOW));
    let database = mmdb::database(&[("192.0.2.0/24", "DE-BY"), ("198.51.100.0/24", "FR")]);
    let geo = GeoRules::new(GeoDatabase::read(database).unwrap());
    let upstream = tower::service_fn(|_: Request<Body>| {
        std::future::ready(Ok::<_, std::convert::Infallible>(Response::new(Body::from("in"))))
    });
    let edge = Edge::builder().geo(geo).tokens(layer(&clock)).build(upstream);
    let status = async |countries: Value, address: &str| {
        let token = token(vec![(316, countries)]);
        let address = address.parse().unwrap();
        let request = Request::builder().uri(format!("/a?CAT={token}")).header("host", "h");
        let request = request.extension(ConnInfo::new(address, address, Protocol::H2));
        edge.clone().oneshot(request.body(Body::Empty).unwrap()).await.unwrap().status()
    };
    let de = || list([text("DE"), text("AT")]);
    assert_eq!(status(de(), "192.0.2.1:1").await, 200);
    assert_eq!(status(de(), "198.51.100.1:1").await, 403);
    assert_eq!(status(de(), "203.0.113.1:1").await, 403, "nobody knows where that is");
    assert_eq!(status(list([text("DE-BY")]), "192.0.2.1:1").await, 200);
    assert_eq!(status(list([text("DE-BE")]), "192.0.2.1:1").await, 403);
}

#[test]
fn catnip_takes_addresses_and_networks() {
    let ask = |networks: Value, address: &str| {
        of(311, networks, &Asked { address: address.parse().ok(), ..asked("/") })
    };
    let four = || tag(52, list([int(24), bytes(&[192, 0, 2])]));
    let six = tag(54, list([int(32), bytes(&[0x20, 0x01, 0x0d, 0xb8])]));
    let networks = list([int(64_496), four(), six]);
    assert_eq!(ask(networks.clone(), "192.0.2.7"), Ok(()));
    assert_eq!(ask(networks.clone(), "2001:db8::7"), Ok(()));
    assert_eq!(ask(networks.clone(), "192.0.3.7"), Err(Refusal::Network));
    assert_eq!(ask(networks, "unknown"), Err(Refusal::Network));
    let one = list([tag(52, bytes(&[192, 0, 2, 7]))]);
    assert_eq!(ask(one.clone(), "192.0.2.7"), Ok(()));
    assert_eq!(ask(one, "192.0.2.8"), Err(Refusal::Network));
    for wrong in [
        list([tag(52, bytes(&[1, 2, 3]))]),
        list([tag(52, list([int(33), bytes(&[1])]))]),
        list([tag(52, list([int(8), bytes(&[1; 5])]))]),
        list([int(-1)]),
    ] {
        assert_eq!(ask(wrong, "1.2.3.4"), Err(Refusal::Malformed));
    }
    assert_eq!(ask(list([text("192.0.2.7")]), "192.0.2.7"), Err(Refusal::Unknown));
}

#[test]
fn a_claim_that_is_not_known_refuses() {
    for label in [8, 41, 42, 43, 44, 45, 282, 317, 318, 319, 320, 321, 324, 1000, -1] {
        assert_eq!(of(label, int(1), &asked("/")), Err(Refusal::Unknown), "{label}");
    }
    let named = Value::Map(vec![(text("mine"), int(1)), (int(4), int(NOW as i64 + 10))]);
    let mut bytes = Vec::new();
    coset::cbor::ser::into_writer(&named, &mut bytes).unwrap();
    assert_eq!(verify(&verifier(), &mac0(bytes), &asked("/")), Err(Refusal::Unknown));
    let twice = vec![(310, int(1)), (310, int(1))];
    assert_eq!(verify(&verifier(), &token(twice), &asked("/")), Err(Refusal::Malformed));
}

/// What the layer does beside the verifier.
async fn ask(layer: &TokenLayer, token: &str, early: bool) -> Response<Body> {
    let inner = tower::service_fn(|_: Request<Body>| async {
        Ok::<_, std::convert::Infallible>(Response::new(Body::from("in")))
    });
    let address = "192.0.2.7:4711".parse().unwrap();
    let mut conn = ConnInfo::new(address, address, Protocol::H3);
    conn.early_data = early;
    conn.tls = true;
    let request = Request::builder().uri("/a").header("cta-common-access-token", token);
    let request = request.extension(conn).body(Body::empty()).unwrap();
    layer.layer(inner).oneshot(request).await.unwrap()
}

fn layer(clock: &Clock) -> TokenLayer {
    TokenLayer::new(TokenRules::new(verifier(), Places::default())).clock(clock.clone())
}

#[tokio::test]
async fn catreplay_lets_one_request_in() {
    let clock = Clock::manual(Timestamp::from_secs(NOW));
    let layer = layer(&clock);
    let once = token(vec![(308, int(1)), (7, bytes(b"one"))]);
    assert_eq!(ask(&layer, &once, true).await.status(), 425, "it may be a replay");
    assert_eq!(ask(&layer, &once, false).await.status(), 200);
    assert_eq!(ask(&layer.clone(), &once, false).await.status(), 401);
    let nameless = token(vec![(308, int(1))]);
    assert_eq!(ask(&layer, &nameless, false).await.status(), 200);
    assert_eq!(ask(&layer, &nameless, false).await.status(), 401);
    let often = token(vec![(308, int(0)), (7, bytes(b"one"))]);
    for _ in 0..3 {
        assert_eq!(ask(&layer, &often, true).await.status(), 200);
    }
    assert_eq!(of(308, int(3), &asked("/")), Err(Refusal::Unknown));
    let endless = mac0(payload(vec![(308, int(1))]));
    assert_eq!(verify(&verifier().endless(true), &endless, &asked("/")), Err(Refusal::Endless));
    clock.advance(Duration::from_secs(15));
    assert_eq!(
        ask(&layer, &once, false).await.status(),
        401,
        "it has expired by the time it is forgotten"
    );
}

#[tokio::test]
async fn catreplay_2_lets_in_from_as_many_networks_as_one_viewer_has() {
    let clock = Clock::manual(Timestamp::from_secs(NOW));
    let layer = layer(&clock);
    let watched = token(vec![(308, int(2)), (7, bytes(b"one"))]);
    let other = token(vec![(308, int(2)), (7, bytes(b"other"))]);
    let from = async |token: &str, address: &str| {
        let inner = tower::service_fn(|_: Request<Body>| async {
            Ok::<_, std::convert::Infallible>(Response::new(Body::from("in")))
        });
        let address = address.parse().unwrap();
        let request = Request::builder().uri(format!("/a?CAT={token}"));
        let request = request.extension(ConnInfo::new(address, address, Protocol::H2));
        layer
            .clone()
            .layer(inner)
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap()
            .status()
    };
    for host in 1..=4 {
        assert_eq!(from(&watched, &format!("192.0.2.{host}:1")).await, 200);
        assert_eq!(from(&watched, &format!("192.0.2.{host}:2")).await, 200);
    }
    assert_eq!(from(&watched, "192.0.2.5:1").await, 401);
    assert_eq!(from(&other, "192.0.2.5:1").await, 200);
    assert_eq!(from(&watched, "192.0.2.1:1").await, 200);
    let endless = mac0(payload(vec![(308, int(2))]));
    assert_eq!(verify(&verifier().endless(true), &endless, &asked("/")), Err(Refusal::Endless));
}

#[tokio::test]
async fn catpor_refuses_by_chance() {
    let clock = Clock::manual(Timestamp::from_secs(NOW));
    let layer = layer(&clock).seed(7);
    let chance = |likely: f64, until: Option<i64>| {
        let mut claim = vec![Value::Float(likely), bytes(b"id")];
        claim.extend(until.map(int));
        token(vec![(309, Value::Array(claim))])
    };
    let mut refused = 0;
    let half = chance(0.5, None);
    for _ in 0..1000 {
        refused += usize::from(ask(&layer, &half, false).await.status() == 403);
    }
    assert!((400..600).contains(&refused), "{refused}");
    assert_eq!(ask(&layer, &chance(0.0, None), false).await.status(), 200);
    assert_eq!(ask(&layer, &chance(1.0, None), false).await.status(), 403);
    assert_eq!(ask(&layer, &chance(1.0, Some(NOW as i64)), false).await.status(), 200);
    for wrong in [Value::Float(1.5), Value::Float(f64::NAN), int(-1), text("often")] {
        assert_eq!(of(309, list([wrong, bytes(b"id")]), &asked("/")), Err(Refusal::Malformed));
    }
}

#[tokio::test]
async fn catif_answers_for_the_claim_that_refuses() {
    let clock = Clock::manual(Timestamp::from_secs(NOW));
    let layer = layer(&clock);
    let login = list([int(307), map([(text("Location"), text("https://login.example/"))])]);
    let condition =
        || map([(int(4), login.clone()), (list([int(313), int(314)]), list([int(451), map([])]))]);
    let now = NOW as i64;
    let good = token(vec![(322, condition())]);
    assert_eq!(ask(&layer, &good, false).await.status(), 200);
    let expired = ask(&layer, &token(vec![(4, int(now - 10)), (322, condition())]), false).await;
    assert_eq!(
        (expired.status().as_u16(), &expired.headers()["location"]),
        (307, &"https://login.example/".parse().unwrap())
    );
    assert_eq!(expired.headers()["cache-control"], "private, no-store");
    let method = token(vec![(313, list([text("PUT")])), (322, condition())]);
    assert_eq!(ask(&layer, &method, false).await.status(), 451);
    let other = token(vec![(311, list([])), (322, condition())]);
    assert_eq!(ask(&layer, &other, false).await.status(), 403);
    let minted =
        list([int(307), map([(text("Location"), list([text("https://x/?CAT="), map([])]))])]);
    assert_eq!(of(322, map([(int(4), minted)]), &asked("/")), Err(Refusal::Unknown));
    for wrong in [
        list([int(200), map([])]),
        // It is where the answer ends, and the answer's own.
        list([int(307), map([(text("Content-Length"), text("5"))])]),
    ] {
        assert_eq!(of(322, map([(int(4), wrong)]), &asked("/")), Err(Refusal::Malformed));
    }
}

#[tokio::test]
async fn catif_answers_for_a_second_use_and_for_chance() {
    let clock = Clock::manual(Timestamp::from_secs(NOW));
    let layer = layer(&clock);
    let elsewhere = |label: i64, to: &str| {
        (322, map([(int(label), list([int(307), map([(text("Location"), text(to))])]))]))
    };
    let location = async |token: &str| {
        let answer = ask(&layer, token, false).await;
        let location = answer.headers().get("location");
        let location = location.map(|at| at.to_str().unwrap().to_owned()).unwrap_or_default();
        (answer.status().as_u16(), location)
    };
    let used = "https://used.example/";
    let once = token(vec![(308, int(1)), (7, bytes(b"one")), elsewhere(308, used)]);
    assert_eq!(location(&once).await.0, 200);
    assert_eq!(location(&once).await, (307, used.to_owned()));
    let chance = list([Value::Float(1.0), bytes(&[0])]);
    let refused = token(vec![(309, chance.clone()), elsewhere(309, "https://later.example/")]);
    assert_eq!(location(&refused).await, (307, "https://later.example/".to_owned()));
    let other = token(vec![(309, chance), elsewhere(308, used)]);
    assert_eq!(location(&other).await, (403, String::new()), "another claim's answer");
}

#[tokio::test]
async fn what_is_refused_by_chance_has_not_been_used() {
    let clock = Clock::manual(Timestamp::from_secs(NOW));
    let layer = layer(&clock).seed(7);
    let half = || list([Value::Float(0.5), bytes(&[0])]);
    for number in 0..64u8 {
        let once = token(vec![(308, int(1)), (7, bytes(&[number])), (309, half())]);
        // As often as chance has it, and then it is let in.
        let mut tries = 0;
        loop {
            match ask(&layer, &once, false).await.status().as_u16() {
                200 => break,
                status => assert_eq!(status, 403),
            }
            tries += 1;
            assert!(tries < 64);
        }
    }
}

#[test]
fn es256_and_ps256_are_verified_and_the_key_says_which() {
    let random = SystemRandom::new();
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let rsa = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
    let keys = [
        Key::cat_public("es", pem_of(&ec).as_bytes()).unwrap(),
        Key::cat_public("ps", pem_of(&rsa).as_bytes()).unwrap(),
    ];
    let verifier = Verifier::new(keys).unwrap();
    let es256 = |data: &[u8]| ec.sign(&random, data).unwrap().as_ref().to_vec();
    let ps256 = |data: &[u8]| {
        let mut signature = vec![0; rsa.public_modulus_len()];
        rsa.sign(&RSA_PSS_SHA256, &random, data, &mut signature).unwrap();
        signature
    };
    let ask = |algorithm, id: &str, tags: &[u64], sign: &dyn Fn(&[u8]) -> Vec<u8>| {
        let sign1 = CoseSign1Builder::new()
            .protected(
                HeaderBuilder::new().algorithm(algorithm).key_id(id.as_bytes().to_vec()).build(),
            )
            .payload(payload(vec![(4, int(NOW as i64 + 10))]))
            .create_signature(&[], sign)
            .build();
        let value = coset::AsCborValue::to_cbor_value(sign1).unwrap();
        let value = tags.iter().fold(value, |value, number| tag(*number, value));
        let mut bytes = Vec::new();
        coset::cbor::ser::into_writer(&value, &mut bytes).unwrap();
        verify(&verifier, &base64url(bytes), &asked("/"))
    };
    for tags in [&[][..], &[18], &[18, 61]] {
        assert_eq!(ask(iana::Algorithm::ES256, "es", tags, &es256), Ok(()));
        assert_eq!(ask(iana::Algorithm::PS256, "ps", tags, &ps256), Ok(()));
    }
    assert_eq!(ask(iana::Algorithm::ES256, "es", &[17, 61], &es256), Err(Refusal::UnknownKey));
    assert_eq!(ask(iana::Algorithm::PS256, "es", &[18], &es256), Err(Refusal::Signature));
    assert_eq!(ask(iana::Algorithm::ES256, "es", &[18], &ps256), Err(Refusal::Signature));
    assert_eq!(ask(iana::Algorithm::ES256, "other", &[18], &es256), Err(Refusal::UnknownKey));
}

/// Counter signatures within counter signatures (RFC 8152 §4.5): as deep as a token is long, and
/// refused before anything follows them down.
#[test]
fn headers_within_headers_are_refused() {
    let mut header = vec![0xa0];
    while header.len() < 2_000 {
        header = match u8::try_from(header.len()) {
            Ok(_) if header.len() < 600 => {
                [&[0xa1, 0x07, 0x83, 0x40][..], &header, &[0x40]].concat()
            }
            _ => {
                let length = u16::try_from(header.len()).unwrap().to_be_bytes();
                [&[0xa1, 0x07, 0x83, 0x59], &length[..], &header, &[0xa0, 0x40]].concat()
            }
        };
    }
    let bytes = [&[0x84, 0x40][..], &header, &[0xf6, 0x40]].concat();
    assert_eq!(verify(&verifier(), &base64url(&bytes), &asked("/")), Err(Refusal::Unknown));
}

#[test]
fn what_is_no_token_is_refused() {
    let deep = vec![0x81; 3000];
    for bytes in [&b""[..], &[0xa0], &[0x84, 0x40, 0xa0, 0xf6, 0x40], &[0x9b; 9], &deep] {
        let refused = verify(&verifier(), &base64url(bytes), &asked("/")).unwrap_err();
        assert!(matches!(refused, Refusal::Malformed | Refusal::UnknownKey), "{bytes:?}");
    }
    let good = token(vec![]);
    let mut bytes = URL_SAFE_NO_PAD.decode(&good).unwrap();
    for at in 0..bytes.len() {
        bytes[at] ^= 1;
        assert!(verify(&verifier(), &base64url(&bytes), &asked("/")).is_err(), "{at}");
        bytes[at] ^= 1;
    }
}

/// RFC 8392 A.3, which is signed by ES256, and A.4, whose tag of 64 bits is none of ours.
#[test]
fn rfc_8392_examples() {
    let a3 = hex("d28443a10126a104524173796d6d657472696345434453413235365850a7017563
        6f61703a2f2f61732e6578616d706c652e636f6d02656572696b77037818636f61703a2f2f6c696768742e65
        78616d706c652e636f6d041a5612aeb0051a5610d9f0061a5610d9f007420b7158405427c1ff28d23fbad1f2
        9c4c7c6a555e601d6fa29f9179bc3d7438bacaca5acd08c8d4d4f96131680c429a01f85951ecee743a52b9b6
        3632c57209120e1c9e30");
    let pem = p256_pem(
        &hex("143329cce7868e416927599cf65a34f3ce2ffda55a7eca69ed8919a394d42f0f"),
        &hex("60f7f1a780d8a783bfb7a2dd6b2796e8128dbbcef9d3d168db9529971a36e7b9"),
    );
    let verifier = Verifier::new([Key::cat_public("AsymmetricECDSA256", pem.as_bytes()).unwrap()]);
    let verifier = verifier
        .unwrap()
        .issuers(["coap://as.example.com"])
        .audiences(["coap://light.example.com"]);
    let at = |secs| Asked { now: Timestamp::from_secs(secs), ..asked("/") };
    assert_eq!(verify(&verifier, &base64url(&a3), &at(1_443_944_944)), Ok(()));
    assert_eq!(verify(&verifier, &base64url(&a3), &at(1_443_944_938)), Err(Refusal::NotYet));
    assert_eq!(verify(&verifier, &base64url(&a3), &at(1_444_064_949)), Err(Refusal::Expired));

    let a4 =
        hex("d83dd18443a10104a1044c53796d6d65747269633235365850a10175636f61703a2f2f61732e657861
        6d706c652e636f6d02656572696b77037818636f61703a2f2f6c696768742e6578616d706c652e636f6d041a
        5612aeb0051a5610d9f0061a5610d9f007420b7148093101ef6d789200");
    let secret = hex("403697de87af64611c1d32a05dab0fe1fcb715a86ab435f1ec99192d79569388");
    let verifier = Verifier::new([Key::cat_secret("Symmetric256", &secret).unwrap()]).unwrap();
    let refused = verify(&verifier, &base64url(&a4), &at(1_443_944_944)).unwrap_err();
    assert!(matches!(refused, Refusal::Malformed | Refusal::Signature), "{refused:?}");
}

/// mac0-tests/HMac-01 of cose-wg/Examples: HS256 in a COSE_Mac0 (RFC 9052 §6.2), of what is no claim set
/// and so no token. It is read after the tag holds, and not before.
#[test]
fn a_mac0_of_the_working_group_holds() {
    let key = URL_SAFE_NO_PAD.decode("hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg").unwrap();
    let verifier = Verifier::new([Key::cat_secret("", &key).unwrap()]).unwrap();
    let mac = hex("d18443a10105a054546869732069732074686520636f6e74656e742e5820
        a1a848d3471f9d61ee49018d244c824772f223ad4f935293f1789fc3a08d8c58");
    assert_eq!(verify(&verifier, &base64url(&mac), &asked("/")), Err(Refusal::Malformed));
    // Its content, and its tag.
    for at in [8..28, 30..62].into_iter().flatten() {
        let mut changed = mac.clone();
        changed[at] ^= 1;
        let refused = verify(&verifier, &base64url(&changed), &asked("/"));
        assert_eq!(refused, Err(Refusal::Signature), "{at}");
    }
}
