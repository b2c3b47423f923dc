//! Tokens, as strangers send them and as signers that went wrong do: any text, and any claims with a good
//! signature. Nobody who is let in has a token that is over, and nobody behind sees one. What a layer hands
//! over in its place lets in, too.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use headwater_edge::tokens::{
    Allowed, Asked, Grant, Key, Places, Refusal, TokenRules, Tokens, TokensHere, Verifier,
};
use headwater_edge::{RefusedBy, RoutePolicy, TokenLayer};
use headwater_net::{Body, Clock, Timestamp};
use http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use tower_layer::Layer as _;
use tower_service::Service;

use crate::at_once::at_once;
use crate::seeds::Seed;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: Timestamp = Timestamp::from_secs(1_000_000);
const SKEW: Duration = Duration::from_secs(5);

/// What is asked for.
const PATH: &str = "/a/b.m4s";

/// What an input is, by the remainder of its first byte by [`KINDS`]; by the rest of it, where a layer finds
/// the token.
const WHOLE: u8 = 0;
const JWT: u8 = 1;
const CAT: u8 = 2;
const SIGNED: u8 = 3;
const PLACES: u8 = 4;
const KINDS: u8 = 5;

/// The key and the token of RFC 8392, A.2.3 and A.3.
const PUBLIC: &[u8] = b"-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEFDMpzOeGjkFpJ1mc9lo0884v/aVafspp7YkZo5TULw9g9/GngNing7+3ot1r
J5boEo27zvnT0WjblSmXGjbnuQ==
-----END PUBLIC KEY-----
";
const BY_PUBLIC: &[u8] =
    b"0oRDoQEmoQRSQXN5bW1ldHJpY0VDRFNBMjU2WFCnAXVjb2FwOi8vYXMuZXhhbXBsZS5jb20CZWVyaWt3A3gYY29hcDovL2xp\
    Z2h0LmV4YW1wbGUuY29tBBpWEq6wBRpWENnwBhpWENnwB0ILcVhAVCfB_yjSP7rR8pxMfGpVXmAdb6KfkXm8PXQ4usrKWs0I\
    yNTU-WExaAxCmgH4WVHs7nQ6Urm2NjLFcgkSDhyeMA";

/// A verifier that takes every form, without an end, too.
static VERIFIER: LazyLock<Option<Verifier>> = LazyLock::new(|| {
    let keys = [
        Key::signing("", SECRET).ok()?,
        Key::jwt_secret("", SECRET).ok()?,
        Key::cat_secret("", SECRET).ok()?,
        Key::cat_public("AsymmetricECDSA256", PUBLIC).ok()?,
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
    // { 4: 1000010, 323: { 0: 1, 1: 120, 5: ["Path=/", "Secure"] }, 308: 2, 7: h'01' }
    let cookie = b"\xa4\x04\x1a\x00\x0f\x42\x4a\x19\x01\x43\xa3\x00\x01\x01\x18\x78\x05\x82\x66Path=/\x66Secure\
        \x19\x01\x34\x02\x07\x41\x01";
    // { 4: 1000010, 323: { 0: 2, 1: 120, 4: "CTA-Common-Access-Token" } }
    let field = b"\xa2\x04\x1a\x00\x0f\x42\x4a\x19\x01\x43\xa3\x00\x02\x01\x18\x78\
        \x04\x77CTA-Common-Access-Token";
    // { 4: 1000010, 323: { 0: 3, 1: 120, 7: 308 } }
    let sent = b"\xa2\x04\x1a\x00\x0f\x42\x4a\x19\x01\x43\xa3\x00\x03\x01\x18\x78\x07\x19\x01\x34";
    // { 4: 1000010, 308: 1, 322: { 308: [302, { "Location": "/login?a" }] } }
    let once = b"\xa3\x04\x1a\x00\x0f\x42\x4a\x19\x01\x34\x01\
        \x19\x01\x42\xa1\x19\x01\x34\x82\x19\x01\x2e\xa1\x68Location\x68/login?a";
    // { 4: 999000, 322: { [4, 313]: [303, { "Location": "/login", "X-A": "b" }] } }
    let over = b"\xa2\x04\x1a\x00\x0f\x3e\x58\
        \x19\x01\x42\xa1\x82\x04\x19\x01\x39\x82\x19\x01\x2f\xa2\x68Location\x66/login\x63X-A\x61b";
    let places = b"/t/T/a?x=1&token=U&CAT=V\na=1; headwater-token=\xffW; b";
    let own = Key::signing("", SECRET).ok();
    let own =
        own.and_then(|key| Grant::below("/a/", NOW).ok()?.sign(&key).ok()).unwrap_or_default();
    let whole =
        [own.into_bytes(), with_mac(b"e30.e30"), cose(cat).into_bytes(), BY_PUBLIC.to_vec()];
    let made: [(&str, u8, &[u8]); 13] = [
        ("jwt", JWT, jwt),
        ("cat", CAT, cat),
        ("cat-patterns", CAT, patterns),
        ("cat-renewed", CAT, renewed),
        ("cat-cookie", CAT, cookie),
        ("cat-cookie-from-a-path", CAT + KINDS, cookie),
        ("cat-field", CAT + 2 * KINDS, field),
        ("cat-sent", CAT, sent),
        ("cat-sent-from-a-path", CAT + KINDS, sent),
        ("cat-once", CAT + 3 * KINDS, once),
        ("cat-over", CAT, over),
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
    let made = kind % KINDS;
    let token = match made {
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
    let judged = verifier.verify(&token, &Asked::get(PATH, NOW));
    match &judged {
        Ok(allowed) => assert!(allowed.expires.is_none_or(|end| end.plus(SKEW) > NOW)),
        Err(refused) => {
            // What is said of it holds nothing of it.
            assert!(token.len() < 40 || !refused.why.to_string().contains(&token));
            let is_signed = refused.why != Refusal::Signature;
            assert!(is_signed || !matches!(made, JWT | CAT), "{token} is signed");
        }
    }
    // Others may hold what stands for something else in a target.
    if matches!(made, JWT | CAT) {
        through_a_layer(verifier, &token, kind / KINDS, judged.ok().as_ref());
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
    // In as few bytes as there can be: what is signed is written anew by who verifies it.
    let head = match length.to_be_bytes() {
        [0, less @ ..24] => vec![0x40 | less],
        [0, less] => vec![0x58, less],
        [high, low] => vec![0x59, high, low],
    };
    let payload = [&head[..], claims].concat();
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

/// The answer of a service that waits for nothing.
fn ask(service: &mut Tokens<Inner>, request: Request<()>) -> Response<Body> {
    let Ok(answer) = at_once(service.call(request));
    answer
}

/// A request for [`PATH`] with a token in one of the places where it may stand; `None` where it is too long for
/// one.
fn carrying(token: &str, place: u8) -> Option<Request<()>> {
    let request = Request::builder();
    let request = match place % 4 {
        0 => request.uri(format!("{PATH}?CAT={token}")),
        1 => request.uri(format!("/t/{token}{PATH}")),
        2 => request.uri(PATH).header("cta-common-access-token", token),
        _ => request.uri(PATH).header("cookie", format!("headwater-token={token}; a=1")),
    };
    request.body(()).ok()
}

/// A token that was judged so, before what needs one: it is let in at most as far, and whatever it is given
/// in its place lets in the same.
fn through_a_layer(verifier: &Verifier, token: &str, place: u8, allowed: Option<&Allowed>) {
    let places = Places::default().path("/t/").give_cookie(true);
    let layer = TokenLayer::new(TokenRules::new(verifier.clone(), places));
    let mut service = layer.clock(Clock::manual(NOW)).layer(Inner);
    // The second time it is a replay.
    for _ in 0..2 {
        let Some(request) = carrying(token, place) else { return };
        let answer = ask(&mut service, request);
        let (status, headers) = (answer.status(), answer.headers());
        for name in [header::TRANSFER_ENCODING, header::CONNECTION] {
            assert!(!headers.contains_key(&name), "{name} is the server's");
        }
        let len = headers.get(header::CONTENT_LENGTH).map(|len| len.to_str().ok()?.parse().ok());
        assert!(len.is_none_or(|len| len == answer.body().exact_len()), "{len:?}");
        if answer.extensions().get::<RefusedBy>().is_some() {
            let is_error =
                status.is_redirection() || status.is_client_error() || status.is_server_error();
            assert!(is_error, "{status}");
            continue;
        }
        let Some(allowed) = allowed else { unreachable!("{status} for a token that is refused") };
        let handed = if status == StatusCode::OK {
            handed_over(headers)
        } else {
            assert!(status.is_redirection(), "{status}");
            Some(sent_back(&mut service, headers, allowed))
        };
        let Some(handed) = handed else { continue };
        let is_private = |line: &str| line.split(", ").any(|one| one == "private");
        let mut lines = headers.get_all(header::CACHE_CONTROL).iter();
        assert!(lines.any(|line| line.to_str().is_ok_and(is_private)), "{headers:?}");
        let good = verifier.verify(&handed, &Asked::get(PATH, NOW));
        assert!(good.is_ok(), "{:?} of {handed}, which was handed over for {token}", good.err());
    }
}

/// The token that an answer has in a cookie or in a field.
fn handed_over(headers: &HeaderMap) -> Option<String> {
    if let Some(field) = headers.get("cta-common-access-token") {
        return field.to_str().ok().map(str::to_owned);
    }
    let cookie = headers.get(header::SET_COOKIE)?;
    let cookie = cookie.to_str().ok().and_then(|cookie| cookie.split(';').next()?.split_once('='));
    let Some((_, token)) = cookie else { unreachable!("a cookie that is none") };
    Some(token.to_owned())
}

/// The token in the place that a client is sent to. There it gets what it asked for, and is sent nowhere else;
/// but for chance.
fn sent_back(service: &mut Tokens<Inner>, headers: &HeaderMap, allowed: &Allowed) -> String {
    let location = headers.get(header::LOCATION).and_then(|to| to.to_str().ok());
    let uri = location.and_then(|to| to.parse::<Uri>().ok());
    let (Some(location), Some(uri)) = (location, uri) else { unreachable!("{location:?}") };
    let in_query = location.strip_prefix(PATH).and_then(|rest| rest.strip_prefix("?CAT="));
    let in_path = || location.strip_prefix("/t/")?.strip_suffix(PATH);
    let Some(token) = in_query.or_else(in_path) else { unreachable!("{location}") };
    let mut request = Request::new(());
    *request.uri_mut() = uri;
    let answer = ask(service, request);
    let by_chance = allowed.chance.is_some() && answer.extensions().get::<RefusedBy>().is_some();
    assert!(answer.status() == StatusCode::OK || by_chance, "{} at {location}", answer.status());
    token.to_owned()
}

/// A target and a line of cookies: whatever they hold, nobody behind sees a token.
fn places(bytes: &[u8]) {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let target = lines.next().unwrap_or_default();
    let request = Request::builder().uri(target).header("cookie", lines.next().unwrap_or_default());
    let (Ok(mut request), Some(verifier)) = (request.body(()), VERIFIER.clone()) else { return };
    let public = TokenRules::new(verifier, Places::default().path("/t/").give_cookie(true));
    let mut policy = RoutePolicy::default();
    policy.tokens = Some(TokensHere::Public(public.into()));
    request.extensions_mut().insert(std::sync::Arc::new(policy));
    let mut service = TokenLayer::default().clock(Clock::manual(NOW)).layer(Inner);
    ask(&mut service, request);
}
