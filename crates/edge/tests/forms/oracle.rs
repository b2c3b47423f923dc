//! Tokens of other implementations.

use common_access_token::{
    Algorithm, CborValue, KeyId, RegisteredClaims, Token, TokenBuilder, VerificationOptions,
    cat_keys, catm, catu, catv, uri_components,
};
use headwater_edge::tokens::{Asked, Key, Refusal, Verifier};
use headwater_net::Timestamp;
use std::collections::BTreeMap;

use super::{NOW, SECRET, asked, base64url, hex, verify};

/// The crate common-access-token signs, both verify, and both refuse the same requests.
#[test]
fn both_say_the_same_of_url_and_method() {
    let mut components = BTreeMap::new();
    components.insert(uri_components::PATH, catu::prefix_match("/films/7/"));
    components.insert(uri_components::HOST, catu::exact_match("video.example"));
    let token = TokenBuilder::new()
        .algorithm(Algorithm::HmacSha256)
        .unprotected_key_id(KeyId::binary(*b"k"))
        .registered_claims(RegisteredClaims::new().with_issuer("us").with_expiration(NOW + 10))
        .custom_cbor(cat_keys::CATV, catv::create())
        .custom_cbor(cat_keys::CATU, catu::create(components))
        .custom_array(cat_keys::CATM, catm::create(vec!["GET", "HEAD"]))
        .sign(SECRET)
        .unwrap();
    let text = base64url(token.to_bytes().unwrap());
    let theirs = Token::from_bytes(&token.to_bytes().unwrap()).unwrap();
    theirs.verify(SECRET).unwrap();
    assert!(matches!(theirs.get_custom_claim(cat_keys::CATU), Some(CborValue::Map(_))));
    let ours = Verifier::new([Key::cat_secret("k", SECRET).unwrap()]).unwrap().issuers(["us"]);
    for (host, path, method) in [
        ("video.example", "/films/7/a.m4s", "GET"),
        ("video.example", "/films/7/", "HEAD"),
        ("video.example", "/films/8/a.m4s", "GET"),
        ("other.example", "/films/7/a.m4s", "GET"),
        ("video.example", "/films/7/a.m4s", "POST"),
    ] {
        let options = VerificationOptions::new()
            .verify_exp(false)
            .verify_catu(true)
            .uri(format!("https://{host}{path}"))
            .verify_catm(true)
            .http_method(method);
        let method = method.parse().unwrap();
        let asked = Asked { host, method: &method, ..asked(path) };
        let (we, they) = (verify(&ours, &text, &asked), theirs.verify_claims(&options));
        assert_eq!(we.is_ok(), they.is_ok(), "{host}{path}: {we:?} {they:?}");
    }
    let other = Verifier::new([Key::cat_secret("k", &[1; 32]).unwrap()]).unwrap();
    assert_eq!(verify(&other, &text, &asked("/films/7/")), Err(Refusal::Signature));
    assert!(theirs.verify(&[1; 32]).is_err());
}

/// Tokens that another implementation in JavaScript has for its tests; two in the world speak to each
/// other by them.
#[test]
fn tokens_from_elsewhere_read_as_they_were_meant() {
    let secret = hex("403697de87af64611c1d32a05dab0fe1fcb715a86ab435f1ec99192d79569388");
    let verifier =
        || Verifier::new([Key::cat_secret("akamai_key_hs256", &secret).unwrap()]).unwrap();
    let at = |secs| Asked { now: Timestamp::from_secs(secs), ..asked("/") };
    let since = "2D3RhEOhAQWhBFBha2FtYWlfa2V5X2hzMjU2WCijAXgYY29hcDovL2pvbmFzLmV4YW1wbGUuY29tBhpn1JipBRpn1JipWCCX4nQb8SYQoa0SFLxE2Rh35DdTjoA9TzOSy1IP9O1BGQ";
    let endless = verifier().endless(true).issuers(["coap://jonas.example.com"]);
    assert_eq!(verify(&endless, since, &at(1_741_985_961)), Ok(()));
    assert_eq!(verify(&endless, since, &at(1_741_985_955)), Err(Refusal::NotYet));
    assert_eq!(
        verify(&endless.clone().issuers(["x"]), since, &at(1_741_985_961)),
        Err(Refusal::Issuer)
    );
    assert_eq!(verify(&verifier(), since, &at(1_741_985_961)), Err(Refusal::Endless));
    let expires = "2D3RhEOhAQWhBFBha2FtYWlfa2V5X2hzMjU2U6MEGmfXP_YGGmfXQAsFGmfXQAtYINTT_KlOyhaV6NaSxFXkqJWfBagSkPkem10dysoA-C0w";
    assert_eq!(verify(&verifier(), expires, &at(1_800_000_000)), Err(Refusal::Expired));
    let audience = "2D3RhEOhAQWhBFBha2FtYWlfa2V5X2hzMjU2V6MDgmNvbmVjdHdvBhpn12R8BRpn12R8WCAdnSbUN4KbIvaHLn-q4f4YRpfq6ERYotByjbIyZ-EkfQ";
    let of = |who: &str| {
        verify(&verifier().endless(true).audiences([who]), audience, &at(1_800_000_000))
    };
    assert_eq!((of("one"), of("three")), (Ok(()), Err(Refusal::Audience)));
}
