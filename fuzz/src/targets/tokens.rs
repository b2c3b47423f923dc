//! Tokens, as strangers send them and as signers that went wrong do: any text, and any claims with a good
//! signature. Nobody who is let in has a token that is over, and nobody behind sees one.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use headwater_edge::TokenLayer;
use headwater_edge::tokens::{Asked, Grant, Key, Places, TokenRules, Verifier};
use headwater_net::{Body, Clock, Timestamp};
use http::{Request, Response};
use tower_layer::Layer as _;
use tower_service::Service;

use crate::seeds::Seed;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: Timestamp = Timestamp::from_secs(1_000_000);
const SKEW: Duration = Duration::from_secs(5);

/// What an input is, by its first byte.
const WHOLE: u8 = 0;
const JWT: u8 = 1;
const CAT: u8 = 2;
const SIGNED: u8 = 3;
const PLACES: u8 = 4;

/// A verifier that takes every form, without an end, too.
static VERIFIER: LazyLock<Option<Verifier>> = LazyLock::new(|| {
    let keys = [
        Key::signing("", SECRET).ok()?,
        Key::jwt_secret("", SECRET).ok()?,
        Key::cat_secret("", SECRET).ok()?,
    ];
    Some(Verifier::new(keys).ok()?.endless(true).leeway(SKEW))
});

pub(crate) fn seeds() -> Vec<Seed> {
    let jwt = br#"{"exp":1000010,"nbf":999990,"iss":"us","sub":"v","path":["/a/","/b"]}"#;
    let signed = b"1000010.L2Ev.";
    // { 4: 1000010, 308: 0, 310: 1, 313: ["GET"], 312: { 3: { 1: "/a/" } } }
    let cat =
        b"\xa5\x04\x1a\x00\x0f\x42\x4a\x19\x01\x34\x00\x19\x01\x36\x01\x19\x01\x39\x81\x63GET\
        \x19\x01\x38\xa1\x03\xa1\x01\x63/a/";
    // { 4: 1000010, 312: { 3: { 4: ["/(.*)", null] } }, 315: { "a": { 0: "b" } }, 316: ["DE-BY"] }
    let patterns = b"\xa4\x04\x1a\x00\x0f\x42\x4a\x19\x01\x38\xa1\x03\xa1\x04\x82\x65/(.*)\xf6\
        \x19\x01\x3b\xa1\x61a\xa1\x00\x61b\x19\x01\x3c\x81\x65DE-BY";
    // { 4: 1000010, 323: { 0: 3, 1: 120, 2: 30, 7: 307 }, 322: { 4: [307, { "Location": "/" }] },
    //   309: [0.5, h'00'], 311: [52([24, h'c00002'])] }
    let renewed = b"\xa5\x04\x1a\x00\x0f\x42\x4a\x19\x01\x43\xa4\x00\x03\x01\x18\x78\x02\x18\x1e\x07\x19\x01\x33\
        \x19\x01\x42\xa1\x04\x82\x19\x01\x33\xa1\x68Location\x61/\
        \x19\x01\x35\x82\xf9\x38\x00\x41\x00\x19\x01\x37\x81\xd8\x34\x82\x18\x18\x43\xc0\x00\x02";
    let places = b"/t/T/a?x=1&token=U&CAT=V\na=1; headwater-token=\xffW; b";
    let own = Key::signing("", SECRET).ok();
    let own =
        own.and_then(|key| Grant::below("/a/", NOW).ok()?.sign(&key).ok()).unwrap_or_default();
    let whole = [own.into_bytes(), with_mac(b"e30.e30"), cose(cat).into_bytes()];
    let made: [(&str, u8, &[u8]); 6] = [
        ("jwt", JWT, jwt),
        ("cat", CAT, cat),
        ("cat-patterns", CAT, patterns),
        ("cat-renewed", CAT, renewed),
        ("signed", SIGNED, signed),
        ("places", PLACES, places),
    ];
    let made = made.map(|(name, kind, bytes)| (name.to_owned(), [&[kind][..], bytes].concat()));
    let mut seeds: Vec<Seed> = made.into();
    seeds.extend(
        whole
            .into_iter()
            .enumerate()
            .map(|(number, token)| (format!("whole-{number}"), [&[WHOLE][..], &token].concat())),
    );
    seeds
}

/// Tries an input.
pub(crate) fn run(input: &[u8]) {
    let Some((&kind, bytes)) = input.split_first() else { return };
    let token = match kind % 5 {
        PLACES => return places(bytes),
        JWT => {
            let header = BASE64.encode(br#"{"alg":"HS256"}"#);
            with_mac(format!("{header}.{}", BASE64.encode(bytes)).as_bytes())
        }
        CAT => cose(bytes).into_bytes(),
        SIGNED => {
            let before = [&b"hw1.."[..], bytes].concat();
            let mac = mac(&[b"headwater token 1\n", &before]);
            [&before[..], b".", BASE64.encode(mac).as_bytes()].concat()
        }
        _ => bytes.to_vec(),
    };
    let (Ok(token), Some(verifier)) = (String::from_utf8(token), VERIFIER.as_ref()) else { return };
    let allowed = verifier.verify(&token, &Asked::get("/a/b.m4s", NOW));
    match allowed {
        Ok(allowed) => assert!(allowed.expires.is_none_or(|end| end.plus(SKEW) > NOW)),
        // What is said of it holds nothing of it.
        Err(refused) => assert!(token.len() < 40 || !refused.why.to_string().contains(&token)),
    }
}

fn mac(parts: &[&[u8]]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    hmac::sign(&key, &parts.concat()).as_ref().to_vec()
}

/// A JSON Web Token of a header and claims.
fn with_mac(before: &[u8]) -> Vec<u8> {
    [before, b".", BASE64.encode(mac(&[before])).as_bytes()].concat()
}

/// A COSE_Mac0 (RFC 9052 §6.2) of claims.
fn cose(claims: &[u8]) -> String {
    let protected = b"\x43\xa1\x01\x05";
    let length = u16::try_from(claims.len()).unwrap_or(u16::MAX);
    let claims = claims.get(..usize::from(length)).unwrap_or_default();
    let payload = [&[0x59][..], &length.to_be_bytes(), claims].concat();
    let tag = mac(&[b"\x84\x64MAC0", protected, b"\x40", &payload]);
    let token = [&b"\xd1\x84"[..], protected, b"\xa0", &payload, b"\x58\x20", &tag].concat();
    BASE64.encode(token)
}

/// Says what it is asked for.
#[derive(Clone)]
struct Inner;

impl Service<Request<()>> for Inner {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let query = request.uri().query().unwrap_or_default();
        assert!(!query.split('&').any(|one| one.starts_with("token=") || one.starts_with("CAT=")));
        let cookies = request.headers().get_all("cookie");
        for pair in cookies.iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';')) {
            assert!(!pair.trim_ascii().starts_with(b"headwater-token="), "{pair:?}");
        }
        ready(Ok(Response::new(Body::Empty)))
    }
}

/// A target and a line of cookies: whatever they hold, nobody behind sees a token.
fn places(bytes: &[u8]) {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let target = lines.next().unwrap_or_default();
    let request = Request::builder().uri(target).header("cookie", lines.next().unwrap_or_default());
    let (Ok(mut request), Some(verifier)) = (request.body(()), VERIFIER.clone()) else { return };
    let public = TokenRules::new(verifier, Places::default().path("/t/").give_cookie(true));
    let mut policy = headwater_edge::RoutePolicy::default();
    policy.tokens = Some(headwater_edge::tokens::TokensHere::Public(public.into()));
    request.extensions_mut().insert(std::sync::Arc::new(policy));
    let mut service = TokenLayer::default().clock(Clock::manual(NOW)).layer(Inner);
    let answered = pin!(service.call(request)).poll(&mut Context::from_waker(Waker::noop()));
    assert!(answered.is_ready());
}
