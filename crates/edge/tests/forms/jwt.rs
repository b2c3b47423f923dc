//! JSON Web Tokens.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use headwater_edge::tokens::{BadKey, Key, Refusal, Verifier};
use headwater_net::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{NOW, SECRET, asked, base64url, hex, p256_pem, pem, pem_of, verify};

fn signed(
    header: &serde_json::Value,
    claims: &serde_json::Value,
    sign: impl Fn(&[u8]) -> Vec<u8>,
) -> String {
    let before = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
    let signature = sign(before.as_bytes());
    format!("{before}.{}", base64url(signature))
}

fn hs256(data: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), data).as_ref().to_vec()
}

fn token(claims: &serde_json::Value) -> String {
    signed(&json!({ "alg": "HS256", "kid": "k" }), claims, hs256)
}

fn verifier() -> Verifier {
    Verifier::new([Key::jwt_secret("k", SECRET).unwrap()]).unwrap()
}

#[test]
fn each_claim_lets_in_and_refuses() {
    let strict = verifier().issuers(["us"]).audiences(["edge", "cdn"]);
    let good = json!({ "exp": NOW + 10, "nbf": NOW - 10, "iss": "us", "aud": ["x", "cdn"], "path": "/a/" });
    assert_eq!(verify(&strict, &token(&good), &asked("/a/b")), Ok(()));
    assert_eq!(verify(&strict, &token(&good), &asked("/b")), Err(Refusal::Path));
    for (claim, value, expected) in [
        ("exp", json!(NOW - 4), Ok(())),
        ("exp", json!(NOW - 5), Err(Refusal::Expired)),
        ("exp", json!(NOW as f64 + 0.5), Ok(())),
        ("exp", json!(-1), Err(Refusal::Expired)),
        ("exp", json!("never"), Err(Refusal::Malformed)),
        ("exp", json!(null), Err(Refusal::Endless)),
        ("nbf", json!(NOW + 5), Ok(())),
        ("nbf", json!(NOW + 6), Err(Refusal::NotYet)),
        ("iss", json!("them"), Err(Refusal::Issuer)),
        ("iss", json!(null), Err(Refusal::Issuer)),
        ("aud", json!("edge"), Ok(())),
        ("aud", json!("x"), Err(Refusal::Audience)),
        ("aud", json!([]), Err(Refusal::Audience)),
        ("path", json!(["/b/", "/a/b"]), Ok(())),
        ("path", json!([]), Err(Refusal::Path)),
        ("whatever", json!({ "a": [1] }), Ok(())),
    ] {
        let mut claims = good.clone();
        claims[claim] = value.clone();
        assert_eq!(verify(&strict, &token(&claims), &asked("/a/b")), expected, "{claim} {value}");
    }
    let endless = token(&json!({ "sub": "viewer" }));
    assert_eq!(verify(&verifier().endless(true), &endless, &asked("/")), Ok(()));
    let for_others = token(&json!({ "exp": NOW + 10, "aud": "others" }));
    assert_eq!(verify(&verifier(), &for_others, &asked("/")), Err(Refusal::Audience));
}

/// A decision is not kept, though what the token says is.
#[test]
fn a_token_that_was_good_expires() {
    let (verifier, token) = (verifier(), token(&json!({ "exp": NOW + 10 })));
    assert_eq!(verify(&verifier, &token, &asked("/")), Ok(()));
    let later = |secs| {
        let asked =
            headwater_edge::tokens::Asked { now: Timestamp::from_secs(NOW + secs), ..asked("/") };
        verify(&verifier, &token, &asked)
    };
    assert_eq!(later(14), Ok(()));
    assert_eq!(later(15), Err(Refusal::Expired));
}

#[test]
fn the_key_says_the_algorithm_whatever_the_token_says() {
    let claims = json!({ "exp": NOW + 10 });
    let random = SystemRandom::new();
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let ed = Ed25519KeyPair::generate().unwrap();
    let (ec_pem, ed_pem) = (pem_of(&ec), pem_of(&ed));
    let keys = [
        Key::jwt_secret("hs", SECRET).unwrap(),
        Key::jwt_public("es", ec_pem.as_bytes()).unwrap(),
        Key::jwt_public("ed", ed_pem.as_bytes()).unwrap(),
    ];
    let verifier = Verifier::new(keys).unwrap();
    let es256 = |data: &[u8]| ec.sign(&random, data).unwrap().as_ref().to_vec();
    let eddsa = |data: &[u8]| ed.sign(data).as_ref().to_vec();
    let ask = |alg: &str, kid: &str, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
        let token = signed(&json!({ "alg": alg, "kid": kid }), &claims, sign);
        verify(&verifier, &token, &asked("/"))
    };
    assert_eq!(ask("HS256", "hs", &hs256), Ok(()));
    assert_eq!(ask("ES256", "es", &es256), Ok(()));
    assert_eq!(ask("EdDSA", "ed", &eddsa), Ok(()));
    // The public key as a secret: what a verifier that listens to the token falls for.
    let confused = |data: &[u8]| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, ec_pem.as_bytes());
        hmac::sign(&key, data).as_ref().to_vec()
    };
    assert_eq!(ask("HS256", "es", &confused), Err(Refusal::Signature));
    assert_eq!(ask("HS512", "hs", &hs256), Err(Refusal::Signature));
    assert_eq!(ask("ES256", "ed", &eddsa), Err(Refusal::Signature));
    assert_eq!(ask("none", "hs", &|_| Vec::new()), Err(Refusal::Malformed));
    assert_eq!(ask("HS256", "other", &hs256), Err(Refusal::UnknownKey));
    let nameless = signed(&json!({ "alg": "HS256" }), &claims, hs256);
    assert_eq!(verify(&verifier, &nameless, &asked("/")), Err(Refusal::UnknownKey));
    let critical = json!({ "alg": "HS256", "kid": "hs", "crit": ["b64"], "b64": true });
    let critical = signed(&critical, &claims, hs256);
    assert_eq!(verify(&verifier, &critical, &asked("/")), Err(Refusal::Unknown));
    for pem in ["", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
        assert_eq!(Key::jwt_public("", pem.as_bytes()).unwrap_err(), BadKey::Public);
    }
}

/// RFC 7515, A.1 and A.3: the same claims, by HS256 and by ES256.
#[test]
fn rfc_7515_examples() {
    let claims = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let a1 = format!(
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{claims}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
    let a3 = format!(
        "eyJhbGciOiJFUzI1NiJ9.{claims}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    );
    let of = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let secret = of(
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
    );
    let pem = p256_pem(
        &of("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
        &of("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
    );
    for (token, key) in [
        (a1, Key::jwt_secret("", &secret).unwrap()),
        (a3, Key::jwt_public("", pem.as_bytes()).unwrap()),
    ] {
        let verifier = Verifier::new([key]).unwrap().issuers(["joe"]);
        let at =
            |secs| headwater_edge::tokens::Asked { now: Timestamp::from_secs(secs), ..asked("/") };
        assert_eq!(verify(&verifier, &token, &at(1_300_819_379)), Ok(()));
        assert_eq!(verify(&verifier, &token, &at(1_300_819_385)), Err(Refusal::Expired));
        let changed = token.replace(".eyJpc3MiOiJqb2Ui", ".eyJpc3MiOiJqb2Ei");
        assert_eq!(verify(&verifier, &changed, &at(1)), Err(Refusal::Signature));
    }
}

/// RFC 8037, A.4 and A.5: a signature by Ed25519 of what is no claim set, and so no token. It is read
/// after the signature holds, and not before.
#[test]
fn rfc_8037_example() {
    let signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature =
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    // A.2: the public key.
    let point = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
    let pem = pem(&[&hex("302a300506032b6570032100")[..], &point].concat());
    let verifier = Verifier::new([Key::jwt_public("", pem.as_bytes()).unwrap()]).unwrap();
    let ask = |signed: &str, signature: &str| {
        verify(&verifier, &format!("{signed}.{signature}"), &asked("/"))
    };
    assert_eq!(ask(signed, signature), Err(Refusal::Malformed), "the signature holds");
    assert_eq!(ask(signed, &signature.replacen('h', "i", 1)), Err(Refusal::Signature));
    assert_eq!(ask(&signed.replace("RXhh", "RXhi"), signature), Err(Refusal::Signature));
}

/// Any value of JSON, in a few levels.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[ -~é]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-z]{0,3}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Claims as issuers write them, of which each may be missing or be anything.
fn claims() -> impl Strategy<Value = Value> {
    let claim = |name: &'static str, values: Vec<Value>| {
        let plausible = prop::sample::select(values);
        let value = prop_oneof![12 => plausible, 1 => any_value()];
        prop::option::weighted(0.8, value).prop_map(move |value| Some((name.to_owned(), value?)))
    };
    let at = |secs: i64| json!(NOW as i64 + secs);
    let claims = (
        claim("exp", vec![at(10), at(-4), at(-5), json!(NOW as f64 - 4.5), json!(null)]),
        claim("nbf", vec![at(-10), at(5), at(6), json!(null)]),
        claim("iss", vec![json!("us"), json!("us"), json!("us"), json!("them")]),
        claim("aud", vec![json!("edge"), json!(["x", "edge"]), json!("x")]),
        claim("path", vec![json!("/a/"), json!(["/b", "/a/b"]), json!("/b"), json!(null)]),
        claim("sub", vec![json!("viewer")]),
        claim("jti", vec![json!("1")]),
        claim("whatever", vec![json!({ "path": "/" })]),
    );
    claims.prop_map(|(a, b, c, d, e, f, g, h)| {
        Value::Object([a, b, c, d, e, f, g, h].into_iter().flatten().collect())
    })
}

/// What is to come of claims (RFC 7519 §4.1) for `/a/b`: by us, for the edge, with an end.
fn expected(claims: &Value) -> Result<(), Refusal> {
    let said = |name: &str| claims.get(name).filter(|value| !value.is_null());
    let are_texts = |value: &Value| {
        let items = value.as_array();
        value.is_string() || items.is_some_and(|items| items.iter().all(Value::is_string))
    };
    let texts = ["iss", "sub", "jti"].map(|name| said(name).is_none_or(Value::is_string));
    let dates = ["exp", "nbf"].map(|name| said(name).is_none_or(Value::is_number));
    // Unlike the others, an audience that is null is not left out.
    let lists = [said("path"), claims.get("aud")].map(|value| value.is_none_or(are_texts));
    if [&texts[..], &dates, &lists].concat().contains(&false) {
        return Err(Refusal::Malformed);
    }
    let date = |name: &str| said(name).and_then(Value::as_f64);
    let now = NOW as f64;
    // Fractions of a second are left out.
    match date("exp") {
        None => return Err(Refusal::Endless),
        Some(end) if end < now - 4.0 => return Err(Refusal::Expired),
        Some(_) => {}
    }
    if date("nbf").is_some_and(|since| since >= now + 6.0) {
        return Err(Refusal::NotYet);
    }
    if said("iss") != Some(&json!("us")) {
        return Err(Refusal::Issuer);
    }
    let names = |name: &str, wanted: &str| {
        let one = |value: &Value| value.as_str() == Some(wanted);
        said(name).is_some_and(|value| {
            one(value) || value.as_array().is_some_and(|items| items.iter().any(one))
        })
    };
    if !names("aud", "edge") {
        return Err(Refusal::Audience);
    }
    let takes_in =
        said("path").is_none() || ["/a/b", "/a/", "/"].iter().any(|path| names("path", path));
    if takes_in { Ok(()) } else { Err(Refusal::Path) }
}

proptest! {
    #[test]
    fn claims_are_read_as_the_standard_says_or_refused(claims in claims()) {
        let strict = verifier().issuers(["us"]).audiences(["edge"]);
        let judged = verify(&strict, &token(&claims), &asked("/a/b"));
        prop_assert_eq!(judged, expected(&claims), "{}", claims);
    }

    /// RFC 7519 §7.2: a claim set is an object, and an array of what it would hold is none.
    #[test]
    fn what_is_no_claim_set_is_refused(value in any_value()) {
        let value = if value.is_object() { Value::Array(vec![value]) } else { value };
        let judged = verify(&verifier().endless(true), &token(&value), &asked("/"));
        prop_assert_eq!(judged, Err(Refusal::Malformed));
    }
}

/// RFC 7519 §7.2: one that a reader of records by their order would take for claims that let in.
#[test]
fn a_list_is_no_claim_set() {
    for list in [json!([]), json!([null, null, null, [], NOW + 10, null, null])] {
        let judged = verify(&verifier(), &token(&list), &asked("/"));
        assert_eq!(judged, Err(Refusal::Malformed), "{list}");
    }
}
