//! Renewal (`catr`): each label of its map, by its effect and by what it refuses.

use headwater_edge::TokenLayer;
use headwater_edge::tokens::{Asked, Places, Refusal, TokenRules};
use headwater_net::{Body, Clock, Timestamp};
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

/// The lines of a field of the answer to a token.
async fn lines(token: &str, field: &str) -> Vec<String> {
    let layer = layer(&Clock::manual(Timestamp::from_secs(NOW)));
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
    let token = due(2, 4, text("X-Pass"));
    let fields = lines(&token, "x-pass").await;
    let [renewed] = &fields[..] else { panic!("{fields:?}") };
    is_renewed(renewed);
    assert_eq!(lines(&token, OURS).await, [""; 0]);
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
