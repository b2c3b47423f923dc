//! Tokens of other issuers as `[site.tokens]` asks for them: JSON Web Tokens and Common Access Tokens, by
//! each algorithm, from the keys' files to the answer.

use std::fs;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PSS_SHA256,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use coset::cbor::value::Value;
use coset::{
    CborSerializable as _, CoseMac0Builder, CoseSign1Builder, Header, HeaderBuilder, iana,
};
use headwater::net::Clock;
use serde_json::json;

use crate::process::{Answer, Edge, Files, Origin, ask, get};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// What a token says.
#[derive(Clone, Copy)]
struct Claims {
    issuer: &'static str,
    audience: &'static str,
    expires: Option<u64>,
    /// Its name, where it is good once.
    once: Option<&'static str>,
}

impl Claims {
    /// Those of a token that is let in.
    fn good() -> Self {
        let expires = Some(now() + 3_600);
        Self { issuer: "us", audience: "edge", expires, once: None }
    }
}

fn now() -> u64 {
    Clock::system().now().as_secs()
}

/// From what is signed to its signature.
type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// Who signs tokens: what the configuration calls its key, and how it signs.
struct Issuer {
    form: &'static str,
    algorithm: &'static str,
    id: &'static str,
    /// What its file holds, and the key of the configuration that names such a file.
    file: (&'static str, String),
    sign: Sign,
}

impl Issuer {
    fn of(form: &'static str, algorithm: &'static str, id: &'static str) -> Self {
        let random = SystemRandom::new();
        let public = |pem: String| ("public_key", pem);
        let (file, sign): (_, Sign) = match algorithm {
            "HS256" => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
                let sign = move |data: &[u8]| hmac::sign(&key, data).as_ref().to_vec();
                (("secret_file", SECRET.to_owned()), Box::new(sign))
            }
            "ES256" => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
                let file = public(pem(&pair));
                let sign = move |data: &[u8]| pair.sign(&random, data).unwrap().as_ref().to_vec();
                (file, Box::new(sign))
            }
            "EdDSA" => {
                let pair = Ed25519KeyPair::generate().unwrap();
                (public(pem(&pair)), Box::new(move |data| pair.sign(data).as_ref().to_vec()))
            }
            _ => {
                let pair = rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
                let file = public(pem(&pair));
                let sign = move |data: &[u8]| {
                    let mut signature = vec![0; pair.public_modulus_len()];
                    pair.sign(&RSA_PSS_SHA256, &random, data, &mut signature).unwrap();
                    signature
                };
                (file, Box::new(sign))
            }
        };
        Self { form, algorithm, id, file, sign }
    }

    /// Its key in the configuration, whose file is written.
    fn key(&self, files: &Files) -> String {
        let Self { form, id, file: (key, holds), .. } = self;
        let name = format!("{form}-{id}");
        fs::write(files.path(&name), holds).unwrap();
        format!("[[site.tokens.key]]\nform = '{form}'\nid = '{id}'\n{key} = '{name}'\n")
    }

    fn token(&self, claims: Claims) -> String {
        if self.form == "jwt" { self.jwt(claims) } else { self.cat(claims) }
    }

    /// RFC 7519.
    fn jwt(&self, claims: Claims) -> String {
        let header = json!({ "alg": self.algorithm, "kid": self.id });
        let mut payload = json!({ "iss": claims.issuer, "aud": claims.audience });
        if let Some(expires) = claims.expires {
            payload["exp"] = expires.into();
        }
        let parts = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = parts.join(".");
        let signature = URL_SAFE_NO_PAD.encode((self.sign)(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// CTA-5007: a COSE_Mac0 or COSE_Sign1 (RFC 9052) of claims by their numbers.
    fn cat(&self, claims: Claims) -> String {
        let int = |number: u64| Value::Integer(number.into());
        let mut all = vec![
            (int(1), Value::Text(claims.issuer.to_owned())),
            (int(3), Value::Text(claims.audience.to_owned())),
        ];
        all.extend(claims.expires.map(|expires| (int(4), int(expires))));
        if let Some(name) = claims.once {
            let name = Value::Bytes(name.as_bytes().to_vec());
            all.extend([(int(7), name), (int(308), int(1))]);
        }
        let mut payload = Vec::new();
        coset::cbor::ser::into_writer(&Value::Map(all), &mut payload).unwrap();
        let sign = |data: &[u8]| (self.sign)(data);
        let bytes = match self.algorithm {
            "HS256" => CoseMac0Builder::new()
                .protected(self.header(iana::Algorithm::HMAC_256_256))
                .payload(payload)
                .create_tag(&[], sign)
                .build()
                .to_vec(),
            algorithm => CoseSign1Builder::new()
                .protected(self.header(match algorithm {
                    "ES256" => iana::Algorithm::ES256,
                    _ => iana::Algorithm::PS256,
                }))
                .payload(payload)
                .create_signature(&[], sign)
                .build()
                .to_vec(),
        };
        URL_SAFE_NO_PAD.encode(bytes.unwrap())
    }

    fn header(&self, algorithm: iana::Algorithm) -> Header {
        HeaderBuilder::new().algorithm(algorithm).key_id(self.id.as_bytes().to_vec()).build()
    }
}

fn pem<P: AsDer<PublicKeyX509Der<'static>>>(pair: &impl KeyPair<PublicKey = P>) -> String {
    let der = pair.public_key().as_der().unwrap();
    let der = STANDARD.encode::<&[u8]>(der.as_ref());
    format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n")
}

/// An edge whose site has tokens of these keys and lines.
fn config(origin: &Origin, lines: &str, keys: &str) -> String {
    format!(
        "[server]\nlisten_http = '127.0.0.1:0'\n\
         [[upstream]]\nname = 'media'\norigins = '{}'\n\
         [[site]]\nhosts = '*'\nupstream = 'media'\n\
         [site.tokens]\nissuers = 'us'\naudiences = ['cdn', 'edge']\n{lines}{keys}\
         [[site.route]]\npath = '/'\nignore_set_cookie = true\n",
        origin.url
    )
}

fn told(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.field("www-authenticate"))
}

const BAD: &str = "Bearer error=\"invalid_token\"";

#[test]
fn tokens_of_each_form_and_algorithm_let_in_by_their_claims_and_keys_rotate() {
    let origin = Origin::start("one");
    let issuers = [
        Issuer::of("jwt", "EdDSA", "ed"),
        Issuer::of("jwt", "ES256", "es"),
        Issuer::of("jwt", "HS256", "hs"),
        Issuer::of("cat", "HS256", "hs"),
        Issuer::of("cat", "ES256", "es"),
        Issuer::of("cat", "PS256", "ps"),
    ];
    let files = Files::new("");
    let keys: Vec<String> = issuers.iter().map(|one| one.key(&files)).collect();
    let keys = keys.concat();
    files.write(&config(&origin, "", &keys));
    let edge = Edge::start(&files);
    let addr = edge.addr("http");
    let ask_with =
        |token: &str| ask(addr, "GET", "h", "/a", &format!("authorization: Bearer {token}\r\n"));
    assert_eq!(told(&get(addr, "h", "/a")), (401, "Bearer"));
    let good = Claims::good();
    for issuer in &issuers {
        let Issuer { form, algorithm, .. } = issuer;
        let by_claims = [
            (good, 200),
            (Claims { audience: "cdn", ..good }, 200),
            (Claims { issuer: "them", ..good }, 401),
            (Claims { audience: "another", ..good }, 401),
            (Claims { expires: None, ..good }, 401),
            (Claims { expires: Some(now() - 100), ..good }, 401),
        ];
        for (claims, status) in by_claims {
            let token = issuer.token(claims);
            let answer = ask_with(&token);
            let expected = (status, if status == 200 { "" } else { BAD });
            let Claims { issuer, audience, expires, .. } = claims;
            let of = format!("{form} {algorithm}: {issuer}, {audience}, {expires:?}");
            assert_eq!(told(&answer), expected, "{of}");
            assert!(!answer.body.contains(&token), "{of}");
        }
        let mut forged = issuer.token(good).into_bytes();
        let last = forged.len() - 10;
        forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(forged).unwrap();
        assert_eq!(told(&ask_with(&forged)), (401, BAD), "{form} {algorithm}, another signature");
    }
    assert_eq!(origin.asked(), 1, "they share what is cached");

    // Other rules, and keys that come and go by their names.
    let new = Issuer::of("jwt", "ES256", "new");
    let late = Claims { expires: Some(now() - 60), ..good };
    let endless = Claims { expires: None, ..good };
    let rules = "leeway = '5 min'\nendless = true\n";
    files.write(&config(&origin, rules, &format!("{keys}{}", new.key(&files))));
    edge.signal("HUP");
    edge.hears("  site[0].tokens.key: 6 entries became 7 entries\n");
    for issuer in issuers.iter().chain([&new]) {
        for claims in [good, late, endless] {
            let Issuer { form, algorithm, .. } = issuer;
            assert_eq!(ask_with(&issuer.token(claims)).status, 200, "{form} {algorithm}");
        }
    }
    let old = issuers[1].key(&files);
    files.write(&config(&origin, rules, &format!("{}{}", keys.replace(&old, ""), new.key(&files))));
    edge.signal("HUP");
    edge.hears("  site[0].tokens.key: 7 entries became 6 entries\n");
    assert_eq!(told(&ask_with(&issuers[1].token(good))), (401, BAD), "its key is gone");
    for issuer in [&issuers[0], &issuers[4], &new] {
        assert_eq!(ask_with(&issuer.token(good)).status, 200, "{} {}", issuer.form, issuer.id);
    }
}

#[test]
fn a_token_in_a_query_comes_back_as_the_cookie_that_is_configured() {
    let origin = Origin::start("one");
    let files = Files::new("");
    let (jwt, cat) = (Issuer::of("jwt", "EdDSA", "ed"), Issuer::of("cat", "ES256", "es"));
    let keys = format!("{}{}", jwt.key(&files), cat.key(&files));
    let lines = "parameter = 'ticket'\ncookie = 'pass'\ngive_cookie = true\n";
    files.write(&config(&origin, lines, &keys));
    let edge = Edge::start(&files);
    let addr = edge.addr("http");
    for issuer in [&jwt, &cat] {
        let token = issuer.token(Claims::good());
        let first = get(addr, "h", &format!("/a?ticket={token}"));
        assert_eq!(first.status, 200);
        assert!(first.body.ends_with(" /a\n"), "the origin saw no token: {}", first.body);
        let given = first.field("set-cookie").split(';').next().unwrap_or_default();
        assert_eq!(given, format!("pass={token}"));
        assert_eq!(ask(addr, "GET", "h", "/a", &format!("cookie: {given}\r\n")).status, 200);
        let other = format!("cookie: headwater-token={token}\r\n");
        assert_eq!(told(&ask(addr, "GET", "h", "/a", &other)), (401, "Bearer"));
        assert_eq!(told(&get(addr, "h", &format!("/a?token={token}"))), (401, "Bearer"));
    }
}

#[test]
fn a_token_that_is_good_once_stays_used_across_a_reload() {
    let origin = Origin::start("one");
    let files = Files::new("");
    let issuer = Issuer::of("cat", "PS256", "ps");
    let key = issuer.key(&files);
    files.write(&config(&origin, "", &key));
    let edge = Edge::start(&files);
    let addr = edge.addr("http");
    let once = |name| issuer.token(Claims { once: Some(name), ..Claims::good() });
    let (first, second) = (once("first"), once("second"));
    let ask_with = |token: &str| get(addr, "h", &format!("/a?CAT={token}"));
    assert_eq!(ask_with(&first).status, 200);
    assert_eq!(told(&ask_with(&first)), (401, BAD));
    files.write(&config(&origin, "leeway = '10 s'\n", &key));
    edge.signal("HUP");
    edge.hears("  site[0].tokens.leeway: \"5 s\" became \"10 s\"\n");
    assert_eq!(told(&ask_with(&first)), (401, BAD), "it is remembered");
    assert_eq!(ask_with(&second).status, 200);
    assert_eq!(told(&ask_with(&second)), (401, BAD));
}
