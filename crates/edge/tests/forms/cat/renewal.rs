//! Renewal (`catr`): each label of its map, by its effect and by what it refuses.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater_edge::rates::Per;
use headwater_edge::tokens::{Asked, MAX_TOKEN, Places, Refusal, TokenRules};
use headwater_edge::{Edge, Limit, RateLimitLayer, TokenLayer};
use headwater_net::{Body, Clock, ConnInfo, Protocol, Timestamp};
use http::{Method, Request, Response, header};
use tower::{Layer as _, ServiceExt as _};

use super::{
    NOW, Value, ask, asked, bytes, int, layer, list, map, of, text, token, verifier, verify,
};

#[tokio::test]
async fn catr_hands_over_a_token_with_a_later_end() {
    let clock = Clock::manual(Timestamp::from_secs(NOW));
    let layer = layer(&clock);
    let renewal = |way: i64| map([(int(0), int(way)), (int(1), int(120)), (int(2), int(30))]);
    let later = token(vec![(4, int(NOW as i64 + 31)), (323, renewal(2))]);
    let answer = ask(&layer, &later, false).await;
    assert!(!answer.headers().contains_key("cta-common-access-token"), "not yet");
    let due = |way| {
        token(vec![(4, int(NOW as i64 + 30)), (313, list([text("GET")])), (323, renewal(way))])
    };
    for way in [0, 2] {
        let answer = ask(&layer, &due(way), false).await;
        let renewed = answer.headers()["cta-common-access-token"].to_str().unwrap().to_owned();
        let after = Asked { now: Timestamp::from_secs(NOW + 124), ..asked("/") };
        assert_eq!(verify(&verifier(), &renewed, &after), Ok(()));
        let put = Asked { method: &Method::PUT, ..after };
        assert_eq!(verify(&verifier(), &renewed, &put), Err(Refusal::Method), "the same claims");
        let over = Asked { now: Timestamp::from_secs(NOW + 125), ..after };
        assert_eq!(verify(&verifier(), &renewed, &over), Err(Refusal::Expired));
    }
    let answer = ask(&layer, &due(1), false).await;
    let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap();
    assert!(cookie.starts_with("CTA-Common-Access-Token="), "{cookie}");
    assert!(cookie.ends_with("; Path=/; Max-Age=120; Secure; SameSite=None; HttpOnly"), "{cookie}");
    assert_eq!(answer.headers()["cache-control"], "private");
    assert_eq!(of(323, renewal(4), &asked("/")), Err(Refusal::Unknown));
    assert_eq!(of(323, map([(int(0), int(1))]), &asked("/")), Err(Refusal::Malformed));
}

#[tokio::test]
async fn catr_sends_a_client_to_the_same_place_with_the_new_token() {
    let clock = Clock::manual(Timestamp::from_secs(NOW));
    let rules = TokenRules::new(verifier(), Places::default().path("/t/"));
    let layer = TokenLayer::new(rules).clock(clock.clone());
    let renewal = |more: &[(i64, i64)]| {
        let mut claim = vec![(int(0), int(3)), (int(1), int(120)), (int(2), int(30))];
        claim.extend(more.iter().map(|(label, value)| (int(*label), int(*value))));
        Value::Map(claim)
    };
    let due = |more: &[(i64, i64)]| token(vec![(4, int(NOW as i64 + 30)), (323, renewal(more))]);
    let ask = async |target: &str, field: Option<&str>| {
        let inner = tower::service_fn(|_: Request<Body>| async {
            Ok::<_, std::convert::Infallible>(Response::new(Body::from("in")))
        });
        let mut request = Request::builder().uri(target);
        if let Some(field) = field {
            request = request.header("cta-common-access-token", field);
        }
        let answer = layer.clone().layer(inner).oneshot(request.body(Body::empty()).unwrap());
        let answer = answer.await.unwrap();
        let location = answer.headers().get(header::LOCATION);
        let location = location.map(|to| to.to_str().unwrap().to_owned()).unwrap_or_default();
        (answer.status().as_u16(), location)
    };
    let (status, to) = ask(&format!("/a/b.mpd?x=1&CAT={}&y=2", due(&[])), None).await;
    assert_eq!(status, 302);
    let renewed = to.strip_prefix("/a/b.mpd?x=1&y=2&CAT=").unwrap_or_else(|| panic!("{to}"));
    let after = Asked { now: Timestamp::from_secs(NOW + 119), ..asked("/") };
    assert_eq!(verify(&verifier(), renewed, &after), Ok(()));
    assert_eq!(ask(&to, None).await.0, 200, "it is not due again");
    let (status, to) = ask(&format!("/t/{}/a/b.mpd?x=1", due(&[(7, 307)])), None).await;
    assert!(to.starts_with("/t/") && to.ends_with("/a/b.mpd?x=1"), "{to}");
    assert_eq!((status, ask(&to, None).await.0), (307, 200));
    let (status, to) = ask("/a/b.mpd", Some(&due(&[]))).await;
    assert!(status == 302 && to.starts_with("/a/b.mpd?CAT="), "{to}");
    // One that would be due again at once, and statuses that lead nowhere.
    for wrong in [&[(1, 30)][..], &[(7, 200)], &[(7, 304)]] {
        let claim = renewal(&[]);
        let Value::Map(mut entries) = claim else { unreachable!() };
        for (label, value) in wrong {
            entries.retain(|(one, _)| *one != int(*label));
            entries.push((int(*label), int(*value)));
        }
        assert_eq!(of(323, Value::Map(entries), &asked("/")), Err(Refusal::Malformed), "{wrong:?}");
    }
}

/// A token that is due, handed over in that way, with one more label.
fn due(way: i64, label: i64, value: Value) -> String {
    let renewal = map([(int(0), int(way)), (int(1), int(120)), (int(label), value)]);
    token(vec![(323, renewal)])
}

/// What comes of a token with that label.
fn with(label: i64, value: Value) -> Result<(), Refusal> {
    verify(&verifier(), &due(1, label, value), &asked("/"))
}

/// A layer that looks for tokens in the cookie `pass`, too.
fn passes(clock: &Clock) -> TokenLayer {
    TokenLayer::new(TokenRules::new(verifier(), Places::default().cookie("pass")))
        .clock(clock.clone())
}

/// The lines of a field of the answer to a token.
async fn lines(token: &str, field: &str) -> Vec<String> {
    let layer = passes(&Clock::manual(Timestamp::from_secs(NOW)));
    let answer = ask(&layer, token, false).await;
    assert_eq!(answer.status(), 200);
    let lines = answer.headers().get_all(field).iter();
    lines.map(|line| line.to_str().unwrap().to_owned()).collect()
}

/// That this is the token made anew.
#[track_caller]
fn is_renewed(token: &str) {
    let after = Asked { now: Timestamp::from_secs(NOW + 124), ..asked("/") };
    assert_eq!(verify(&verifier(), token, &after), Ok(()));
}

const OURS: &str = "cta-common-access-token";

#[tokio::test]
async fn label_3_names_the_cookie() {
    let cookies = lines(&due(1, 3, text("pass")), "set-cookie").await;
    let [cookie] = &cookies[..] else { panic!("{cookies:?}") };
    let (name, rest) = cookie.split_once('=').unwrap();
    let (renewed, attributes) = rest.split_once("; ").unwrap();
    assert_eq!(name, "pass");
    assert_eq!(attributes, "Path=/; Max-Age=120; Secure; SameSite=None; HttpOnly");
    is_renewed(renewed);
    // It is no field's name.
    let token = due(2, 3, text("pass"));
    assert_eq!(lines(&token, "set-cookie").await, [""; 0]);
    assert_eq!(lines(&token, OURS).await.len(), 1);
    assert_eq!(with(3, text("__Host-a.b")), Ok(()));
    for wrong in ["", "a b", "a=b", "a;b", "a\r\nb", "\u{e4}", "a,b", "a\"b"] {
        assert_eq!(with(3, text(wrong)), Err(Refusal::Malformed), "{wrong:?}");
    }
    for wrong in [int(1), bytes(b"pass"), list([text("pass")]), Value::Null] {
        assert_eq!(with(3, wrong.clone()), Err(Refusal::Malformed), "{wrong:?}");
    }
}

#[tokio::test]
async fn label_4_names_the_field() {
    let fields = lines(&due(2, 4, text("CTA-Common-Access-Token")), OURS).await;
    let [renewed] = &fields[..] else { panic!("{fields:?}") };
    is_renewed(renewed);
    // It is no cookie's name.
    let cookies = lines(&due(1, 4, text("X-Pass")), "set-cookie").await;
    assert!(cookies[0].starts_with("CTA-Common-Access-Token="), "{cookies:?}");
    // Those that say where a body ends are an answer's own.
    let framing = ["Content-Length", "transfer-encoding", "connection"];
    for wrong in ["", "x pass", "x:pass", "x\r\ny", "x\u{e4}"].into_iter().chain(framing) {
        assert_eq!(with(4, text(wrong)), Err(Refusal::Malformed), "{wrong:?}");
    }
    for wrong in [int(1), bytes(b"x-pass"), list([text("x-pass")]), Value::Null] {
        assert_eq!(with(4, wrong.clone()), Err(Refusal::Malformed), "{wrong:?}");
    }
}

#[tokio::test]
async fn label_5_has_the_attributes_of_the_cookie() {
    let given = list([text("Path=/films/"), text("Domain=video.example"), text("Secure")]);
    let cookies = lines(&due(1, 5, given), "set-cookie").await;
    let [cookie] = &cookies[..] else { panic!("{cookies:?}") };
    let renewed = cookie.strip_prefix("CTA-Common-Access-Token=").unwrap();
    let (renewed, attributes) = renewed.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/films/; Domain=video.example; Secure", "in the place of ours");
    is_renewed(renewed);
    let one = lines(&due(1, 5, text("HttpOnly")), "set-cookie").await;
    assert!(one[0].ends_with("; HttpOnly") && !one[0].contains("Path="), "{one:?}");
    for wrong in ["", "Path=/; Domain=a", "Path=/\r\nx: y", "a\tb", "Path=/\u{e4}"] {
        let all = list([text("Secure"), text(wrong)]);
        assert_eq!(with(5, all), Err(Refusal::Malformed), "{wrong:?}");
    }
    for wrong in [int(1), bytes(b"Secure"), list([int(1)]), map([]), Value::Null] {
        assert_eq!(with(5, wrong.clone()), Err(Refusal::Malformed), "{wrong:?}");
    }
}

/// Fields that the new token is to be sent with have parameters (6), which are not known here.
#[test]
fn other_labels_refuse() {
    for label in [6, 8, -1, 1000] {
        assert_eq!(with(label, text("x")), Err(Refusal::Unknown), "{label}");
    }
    let renewal = map([(int(0), int(1)), (int(1), int(120)), (text("cookie-name"), text("pass"))]);
    assert_eq!(of(323, renewal, &asked("/")), Err(Refusal::Unknown));
}

/// What is asked for.
const TARGET: &str = "/films/7/live.m3u8";

fn below(path: &str) -> (i64, Value) {
    (312, map([(int(3), map([(int(1), text(path))]))]))
}

/// Renewal that is due at once, for two minutes.
fn renewal(way: i64) -> (i64, Value) {
    (323, map([(int(0), int(way)), (int(1), int(120))]))
}

/// A layer that looks at paths, too.
fn with_paths(clock: &Clock) -> TokenLayer {
    let rules = TokenRules::new(verifier(), Places::default().path("/t/"));
    TokenLayer::new(rules).clock(clock.clone())
}

/// The status, the cookie that is given without its attributes, and what a refusal says.
async fn watch(layer: &TokenLayer, target: &str, cookie: &str) -> (u16, String, String) {
    let inner = tower::service_fn(|request: Request<Body>| async move {
        let seen = format!("{} {:?}", request.uri(), request.headers());
        Ok::<_, std::convert::Infallible>(Response::new(Body::from(seen)))
    });
    let request = Request::builder().uri(target).header("cookie", cookie);
    let answer = layer.layer(inner).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let given = answer.headers().get(header::SET_COOKIE).map(|given| given.to_str().unwrap());
    let given = given.and_then(|given| given.split(';').next()).unwrap_or_default().to_owned();
    let body = answer.into_body().collect(10_000).await.unwrap().to_bytes();
    (status, given, String::from_utf8(body.to_vec()).unwrap())
}

const EXPIRED: &str = "the token has expired";

#[tokio::test]
async fn an_old_token_in_the_url_gives_way_to_the_cookie_that_it_was_renewed_into() {
    for (way, target) in [
        (0, "/t/OLD/films/7/live.m3u8"),
        (1, "/t/OLD/films/7/live.m3u8"),
        (0, "/films/7/live.m3u8?CAT=OLD"),
        (1, "/films/7/live.m3u8?token=OLD"),
    ] {
        let clock = Clock::manual(Timestamp::from_secs(NOW));
        let layer = with_paths(&clock);
        let target = target.replace("OLD", &token(vec![below("/films/7/"), renewal(way)]));
        let (status, cookie, _) = watch(&layer, &target, "a=1").await;
        assert!(status == 200 && cookie.starts_with("CTA-Common-Access-Token="), "{cookie}");
        clock.advance(Duration::from_secs(15));
        let (status, _, said) = watch(&layer, &target, "a=1").await;
        assert!(status == 401 && said.contains(EXPIRED), "{target}: {said}");
        let (status, again, seen) = watch(&layer, &target, &format!("a=1; {cookie}")).await;
        assert_eq!((status, again.as_str()), (200, ""), "{target}: {seen}");
        assert_eq!(seen, format!("{TARGET} {{\"cookie\": \"a=1\"}}"));
        // It is renewed in its turn, and by itself.
        clock.advance(Duration::from_secs(60));
        let (status, later, _) = watch(&layer, &target, &cookie).await;
        assert!(status == 200 && later != cookie, "{later}");
        clock.advance(Duration::from_secs(60));
        let (status, _, said) = watch(&layer, &target, &cookie).await;
        assert!(status == 401 && said.contains(EXPIRED), "both have expired: {said}");
        assert_eq!(watch(&layer, &target, &later).await.0, 200);
    }
}

#[tokio::test]
async fn nothing_but_an_end_gives_way_and_to_one_other_alone() {
    let clock = Clock::manual(Timestamp::from_secs(NOW));
    let layer = with_paths(&clock);
    let end = |secs: i64| (4, int(NOW as i64 + secs));
    let old = token(vec![below("/films/7/")]);
    let older = token(vec![end(-60)]);
    let good = token(vec![below("/films/7/"), end(1_000)]);
    let elsewhere = token(vec![below("/films/8/"), end(1_000)]);
    let early = token(vec![(5, int(NOW as i64 + 500)), end(1_000)]);
    let at = old.len() - 8;
    let flipped = if &old[at..=at] == "A" { "B" } else { "A" };
    let forged = format!("{}{flipped}{}", &old[..at], &old[at + 1..]);
    let cookie = |token: &str| format!("CTA-Common-Access-Token={token}");
    let ask = async |first: &str, query: &str, cookie: String| {
        let (status, _, said) = watch(&layer, &format!("/t/{first}{TARGET}{query}"), &cookie).await;
        (status, said)
    };
    clock.advance(Duration::from_secs(15));
    for (first, status, why) in [
        (&forged, 401, "signature"),
        (&"x".to_owned(), 401, "cannot be read"),
        (&elsewhere, 403, "something else"),
        (&early, 401, "not valid yet"),
    ] {
        let (was, said) = ask(first, "", cookie(&good)).await;
        assert!(was == status && said.contains(why), "{was}: {said}");
    }
    // What is told is why the first is refused: nobody learns of the other.
    for second in [&older, &elsewhere, &forged, &early] {
        let (status, said) = ask(&old, "", cookie(second)).await;
        assert!(status == 401 && said.contains(EXPIRED), "{status}: {said}");
    }
    let (status, said) = ask(&old, &format!("?CAT={older}"), cookie(&good)).await;
    assert!(status == 401 && said.contains(EXPIRED), "no third: {said}");
    assert_eq!(ask(&old, &format!("?CAT={old}"), cookie(&good)).await.0, 200, "it is the same");
    let both = format!("headwater-token={old}; {}", cookie(&good));
    assert_eq!(watch(&layer, TARGET, &both).await.0, 200);
}

/// Where it came from, and not the old one, says how the next is handed over.
#[tokio::test]
async fn what_lets_in_in_the_place_of_an_old_token_is_what_is_renewed() {
    let clock = Clock::manual(Timestamp::from_secs(NOW));
    let places = Places::default().path("/t/").give_cookie(true);
    let layer = TokenLayer::new(TokenRules::new(verifier(), places)).clock(clock.clone());
    let old = token(vec![below("/films/7/")]);
    clock.advance(Duration::from_secs(15));
    let ask = async |target: String, way: i64, end: i64| {
        let good = token(vec![(4, int(NOW as i64 + end)), renewal(way)]);
        let request = Request::builder().uri(target).header(OURS, good);
        let inner = tower::service_fn(|_: Request<Body>| async {
            Ok::<_, std::convert::Infallible>(Response::new(Body::Empty))
        });
        let request = request.body(Body::empty()).unwrap();
        let answer = layer.layer(inner).oneshot(request).await.unwrap();
        let has = |name: &str| answer.headers().contains_key(name);
        (answer.status().as_u16(), has(OURS), has("set-cookie"))
    };
    let (path, query) = (format!("/t/{old}{TARGET}"), format!("{TARGET}?CAT={old}"));
    assert_eq!(ask(path.clone(), 0, 60).await, (200, true, false));
    assert_eq!(ask(path, 1, 60).await, (200, false, true));
    assert_eq!(ask(query, 0, 1_000).await, (200, false, false), "the old one is no cookie");
}

/// The whole edge: what is counted is the token that let in, and the origin sees neither.
#[tokio::test]
async fn what_lets_in_in_the_place_of_an_old_token_is_what_counts() {
    let clock = Clock::manual(Timestamp::from_secs(NOW));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let upstream = {
        let seen = Arc::clone(&seen);
        tower::service_fn(move |request: Request<Body>| {
            seen.lock().unwrap().push(format!("{} {:?}", request.uri(), request.headers()));
            std::future::ready(Ok::<_, std::convert::Infallible>(Response::new(Body::from("in"))))
        })
    };
    let limit = Limit::new("each").per(Per::Token).requests(2, Duration::from_secs(3600));
    let rates = RateLimitLayer::new([limit]).unwrap();
    let edge = Edge::builder().tokens(with_paths(&clock)).rates(rates).clock(clock.clone());
    let edge = edge.build(upstream);
    let ask = async |target: &str, cookie: &str| {
        let address = "192.0.2.7:4711".parse().unwrap();
        let request = Request::builder().uri(target).header("host", "h").header("cookie", cookie);
        let request = request.extension(ConnInfo::new(address, address, Protocol::H2));
        let answer = edge.clone().oneshot(request.body(Body::Empty).unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        let given = answer.headers().get(header::SET_COOKIE);
        (status, given.map(|given| given.to_str().unwrap().to_owned()).unwrap_or_default())
    };
    let named = |name: &[u8], end: i64, more: (i64, Value)| {
        token(vec![(7, bytes(name)), (4, int(NOW as i64 + end)), more])
    };
    let old = named(b"old", 10, renewal(1));
    let target = format!("{TARGET}?CAT={old}");
    let (status, given) = ask(&target, "a=1").await;
    assert_eq!(status, 200);
    let renewed = given.split(';').next().unwrap().to_owned();
    clock.advance(Duration::from_secs(15));
    assert_eq!(ask(&target, &renewed).await.0, 200);
    assert_eq!(ask(&target, &renewed).await.0, 429, "the same holder goes on");
    let other = named(b"other", 1_000, below("/films/7/"));
    let other = format!("CTA-Common-Access-Token={other}");
    assert_eq!(ask(&target, &other).await.0, 200);
    assert_eq!(ask(TARGET, &other).await.0, 200);
    assert_eq!(ask(&target, &other).await.0, 429);
    let once = named(b"once", 1_000, (308, int(1)));
    let once = format!("CTA-Common-Access-Token={once}");
    assert_eq!(ask(&target, &once).await.0, 200);
    assert_eq!(ask(&target, &once).await.0, 401);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 5);
    assert!(seen.iter().all(|line| !line.contains("CTA") && !line.contains("CAT")), "{seen:?}");
}

#[tokio::test]
async fn a_name_that_nobody_looks_for_refuses_and_one_that_is_looked_for_comes_back() {
    let clock = Clock::manual(Timestamp::from_secs(NOW));
    let refused = "renewed into a cookie or a field that is not read";
    let ask = async |layer: &TokenLayer, token: &str| {
        let answer = ask(layer, token, false).await;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect(10_000).await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    };
    for (way, label, name, lets_in) in [
        (0, 3, "pass", false),
        (1, 3, "pass", false),
        (2, 3, "pass", true),
        (1, 3, "headwater-token", true),
        (1, 3, "CTA-Common-Access-Token", true),
        // Names of cookies have a case, those of fields have none.
        (1, 3, "cta-common-access-token", false),
        (0, 4, "X-Pass", false),
        (1, 4, "X-Pass", true),
        (2, 4, "X-Pass", false),
        (0, 4, "cta-common-access-token", true),
        // It holds `Bearer`, too, and the new token stands alone.
        (2, 4, "Authorization", false),
    ] {
        let (status, said) = ask(&layer(&clock), &due(way, label, text(name))).await;
        assert_eq!(status, if lets_in { 200 } else { 401 }, "{way} {label} {name}: {said}");
        assert_eq!(said.contains(refused), !lets_in, "{said}");
    }
    let named = || map([(int(0), int(1)), (int(1), int(120)), (int(3), text("pass"))]);
    // Also when it is not due, and when it has expired: `catif` answers for it.
    let now = NOW as i64;
    let status = async |claims: Vec<(i64, Value)>| ask(&layer(&clock), &token(claims)).await.0;
    assert_eq!(status(vec![(4, int(now + 1_000)), (323, named())]).await, 401);
    let instead = || map([(int(323), list([int(451), map([])]))]);
    assert_eq!(status(vec![(4, int(now - 60)), (323, named()), (322, instead())]).await, 451);
    // One that is never renewed is held to nothing that it says of that.
    assert_eq!(status(vec![(308, int(1)), (323, named())]).await, 200);
    let (_, cookie, _) =
        watch(&passes(&clock), &format!("/a?CAT={}", due(1, 3, text("pass"))), "a=1").await;
    assert!(cookie.starts_with("pass="), "{cookie}");
    clock.advance(Duration::from_secs(15));
    let (status, _, seen) = watch(&passes(&clock), "/a", &cookie).await;
    assert_eq!((status, seen.as_str()), (200, "/a {}"), "and nobody behind sees it");
}

/// What is handed over is a token that lets in: it has an end that is a number, and is no longer than those that
/// are read.
#[tokio::test]
async fn what_is_made_anew_is_a_token_that_is_read() {
    let lasting = |way: i64, lasts: i64, deadline: i64| {
        map([(int(0), int(way)), (int(1), int(lasts)), (int(2), int(deadline))])
    };
    for lasts in [i64::MAX, i64::MAX - NOW as i64, 1 << 60] {
        let fields = lines(&token(vec![(323, lasting(2, lasts, 60))]), OURS).await;
        let [renewed] = &fields[..] else { panic!("{fields:?}") };
        is_renewed(renewed);
    }
    // It would be due at once, whatever comes after.
    let endless = lasting(3, i64::MAX, i64::MAX - 1);
    assert_eq!(of(323, endless, &asked("/")), Err(Refusal::Malformed));

    let named = |len: usize| token(vec![(2, text(&"v".repeat(len))), (323, lasting(2, 120, 60))]);
    let long = (2_900..3_100).map(named).take_while(|token| token.len() <= MAX_TOKEN).last();
    assert_eq!(lines(&long.unwrap(), OURS).await, [""; 0], "it is good until its end");
    assert_eq!(lines(&named(2_900), OURS).await.len(), 1);
}
