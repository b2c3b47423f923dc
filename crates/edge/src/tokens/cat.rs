//! Common Access Tokens (CTA-5007): a CWT (RFC 8392) in a COSE_Mac0 or a COSE_Sign1 (RFC 9052), with
//! the tags 61, 17 and 18 or without, in base64url.
//!
//! | claim | what is made of it |
//! |---|---|
//! | `iss` 1, `aud` 3, `exp` 4, `nbf` 5 | as of any token |
//! | `sub` 2, `cti` 7 | say who holds it; `iat` 6 is read |
//! | `catreplay` 308 | 0: nothing; 1: one request; 2: no more than [`MAX_SHARED`](super::MAX_SHARED) networks |
//! | `catpor` 309 | `[probability, identifier, ?until]`: so likely is a request refused, by chance |
//! | `catv` 310 | 1 |
//! | `catnip` 311 | addresses and prefixes (RFC 9164) of which the client is in one; no number of an autonomous system is ever known |
//! | `catu` 312 | each part of the URL that it names matches |
//! | `catm` 313, `catalpn` 314 | one of these |
//! | `cath` 315 | each field is there, and every line of it matches |
//! | `catgeoiso3166` 316 | the country, or its subdivision, is one of these, where a [`Country`] is known |
//! | `catif` 322 | a token that one of these claims refuses is answered so |
//! | `catr` 323 | a token with a secret for key is made anew near its end; a layer refuses one that would stand where it does not look |
//!
//! A match is `exact` 0, `prefix` 1, `suffix` 2, `contains` 3, `regex` 4, `sha256` -1 or `sha512-256` -2;
//! where several are named, all have to hold. A token with any other claim, part or match is refused.

mod matching;
mod nets;
mod renewal;
mod rules;

use std::sync::Arc;

use coset::cbor::value::Value;
use coset::iana;
use coset::{
    AsCborValue as _, CoseMac0, CoseMac0Builder, CoseSign1, Header, HeaderBuilder,
    RegisteredLabelWithPrivate,
};

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::NO_PAD;
use headwater_net::Timestamp;
use http::{HeaderName, header};

use super::MAX_TOKEN;
use super::claims::{Claims, holder};
use super::jwt;
use super::key::{CatKey, Key, Material};
use super::refusal::Refusal;
use super::verifier::Verifier;
#[cfg(doc)]
use crate::Country;

pub(super) use renewal::{Renewed, Way};
pub(super) use rules::{Instead, Replay, Rules};

/// With padding and without: issuers differ.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    NO_PAD.with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
);

/// The most claims of a token.
const MAX_CLAIMS: usize = 64;

const CWT: u64 = 61;
const MAC0: u64 = 17;
const SIGN1: u64 = 18;

/// The claims of a token that one of the verifier's keys signed.
pub(super) fn read(verifier: &Verifier, token: &str) -> Result<Claims, Refusal> {
    let bytes = BASE64.decode(token).map_err(|_| Refusal::Malformed)?;
    let mut value: Value = coset::cbor::de::from_reader(&*bytes).map_err(|_| Refusal::Malformed)?;
    let mut tagged = None;
    for _ in 0..2 {
        value = match value {
            Value::Tag(CWT, inner) if tagged.is_none() => *inner,
            Value::Tag(tag @ (MAC0 | SIGN1), inner) => {
                tagged = Some(tag);
                *inner
            }
            other => other,
        };
    }
    plain(&value)?;
    let (payload, signer) = match tagged {
        Some(MAC0) => mac0(verifier, value)?,
        Some(_) => sign1(verifier, value)?,
        // The same four items: the key says which.
        None => match mac0(verifier, value.clone()) {
            Err(Refusal::UnknownKey) => sign1(verifier, value)?,
            done => done?,
        },
    };
    let claims: Value = coset::cbor::de::from_reader(&*payload).map_err(|_| Refusal::Malformed)?;
    let Value::Map(claims) = claims else { return Err(Refusal::Malformed) };
    of(claims, signer)
}

/// Refuses headers that say more than what was signed, how and by whom (RFC 9052 §3.1). A counter signature
/// holds headers again, each in bytes of its own, and the parser of those follows them as deep as they
/// go, before any key is looked at.
fn plain(value: &Value) -> Result<(), Refusal> {
    /// `alg`, `crit`, `content type`, `kid`, and `typ` (RFC 9596).
    const KNOWN: [u8; 5] = [1, 2, 3, 4, 16];
    let Some([Value::Bytes(protected), Value::Map(open), ..]) = value.as_array().map(Vec::as_slice)
    else {
        return Err(Refusal::Malformed);
    };
    let protected = match protected.as_slice() {
        [] => Vec::new(),
        bytes => match coset::cbor::de::from_reader(bytes) {
            Ok(Value::Map(header)) => header,
            _ => return Err(Refusal::Malformed),
        },
    };
    let known = KNOWN.map(Value::from);
    if protected.iter().chain(open).all(|(label, _)| known.contains(label)) {
        Ok(())
    } else {
        Err(Refusal::Unknown)
    }
}

/// A payload, and what signs it anew.
type Signed = (Vec<u8>, Option<Signer>);

/// A secret, and its identifier.
#[derive(Clone)]
struct Signer {
    secret: Arc<aws_lc_rs::hmac::Key>,
    id: Option<Box<str>>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

fn mac0(verifier: &Verifier, value: Value) -> Result<Signed, Refusal> {
    let mac = CoseMac0::from_cbor_value(value).map_err(|_| Refusal::Malformed)?;
    let (id, key) = find(verifier, &mac.protected.header, &mac.unprotected, |key| match key {
        CatKey::Secret(secret) => Some((iana::Algorithm::HMAC_256_256, secret)),
        CatKey::Public(..) => None,
    })?;
    let holds = |tag: &[u8], data: &[u8]| {
        aws_lc_rs::hmac::verify(key, data, tag).map_err(|_| Refusal::Signature)
    };
    mac.verify_payload_tag(&[], || Refusal::Malformed, holds)?;
    let payload = mac.payload.ok_or(Refusal::Malformed)?;
    Ok((payload, Some(Signer { secret: Arc::clone(key), id: id.map(Into::into) })))
}

fn sign1(verifier: &Verifier, value: Value) -> Result<Signed, Refusal> {
    let sign = CoseSign1::from_cbor_value(value).map_err(|_| Refusal::Malformed)?;
    let (_, key) = find(verifier, &sign.protected.header, &sign.unprotected, |key| match key {
        CatKey::Public(algorithm, key) => Some((*algorithm, key)),
        CatKey::Secret(_) => None,
    })?;
    let payload = sign.payload.clone().ok_or(Refusal::Malformed)?;
    sign.verify_signature(&[], |signature, data| key.verify_sig(data, signature))
        .map_err(|_| Refusal::Signature)?;
    Ok((payload, None))
}

/// The key that a token names, where it is of the kind that is wanted and the token says no other
/// algorithm.
fn find<'v, K>(
    verifier: &'v Verifier,
    protected: &Header,
    unprotected: &Header,
    of: impl Fn(&'v CatKey) -> Option<(iana::Algorithm, &'v K)>,
) -> Result<(Option<&'v str>, &'v K), Refusal> {
    let critical = protected.crit.iter().chain(&unprotected.crit);
    let known = [iana::HeaderParameter::Alg, iana::HeaderParameter::Kid];
    let known = known.map(RegisteredLabelWithPrivate::Assigned);
    if critical.into_iter().any(|label| !known.contains(label)) {
        return Err(Refusal::Unknown);
    }
    let id = [&protected.key_id, &unprotected.key_id].into_iter().find(|id| !id.is_empty());
    let named = |key: &Key| key.id().map(str::as_bytes) == id.map(Vec::as_slice);
    let key = verifier.keys().find_map(|key| match &key.material {
        Material::Cat(material) if named(key) => Some((key.id(), of(material)?)),
        _ => None,
    });
    let (id, (algorithm, key)) = key.ok_or(Refusal::UnknownKey)?;
    let said = protected.alg.as_ref().or(unprotected.alg.as_ref());
    let same = RegisteredLabelWithPrivate::Assigned(algorithm);
    if said.is_some_and(|said| *said != same) { Err(Refusal::Signature) } else { Ok((id, key)) }
}

/// Reads a claim set.
fn of(set: Vec<(Value, Value)>, signer: Option<Signer>) -> Result<Claims, Refusal> {
    if set.len() > MAX_CLAIMS {
        return Err(Refusal::Malformed);
    }
    let mut claims = Claims::default();
    let mut rules = Rules::default();
    let (mut subject, mut identifier) = (None, None);
    let mut seen: Vec<i64> = Vec::new();
    for (label, value) in &set {
        let label = integer(label).ok_or(Refusal::Unknown)?;
        if seen.contains(&label) {
            return Err(Refusal::Malformed);
        }
        seen.push(label);
        match label {
            1 => claims.issuer = Some(text(value)?.to_owned()),
            2 => subject = Some(text(value)?),
            3 => claims.audience = texts(value)?,
            4 => claims.expires = Some(time(value)?),
            5 => claims.not_before = Some(time(value)?),
            6 => drop(time(value)?),
            7 => identifier = Some(value.as_bytes().ok_or(Refusal::Malformed)?),
            label => rules.read(label, value)?,
        }
    }
    let issuer = claims.issuer.as_deref().unwrap_or_default().as_bytes();
    let remembered = rules.replay() != Replay::Permitted;
    claims.holder = match (identifier, subject) {
        (Some(identifier), _) if remembered => holder(&[issuer, identifier]),
        (_, Some(subject)) if !remembered => holder(&[issuer, subject.as_bytes()]),
        (Some(identifier), _) => holder(&[issuer, identifier]),
        // Not of the token: a signature may be written in two ways.
        _ => holder(&[format!("{set:?}").as_bytes()]),
    };
    // What is remembered is so until its end, which it has to have.
    if remembered && claims.expires.is_none() {
        return Err(Refusal::Endless);
    }
    rules.keep(set, signer);
    claims.rules = Some(Box::new(rules));
    Ok(claims)
}

impl Signer {
    /// Signs a claim set anew (RFC 9052 §6.2); `None` where that would be longer than what is read.
    fn sign(&self, claims: Vec<(Value, Value)>) -> Option<String> {
        let mut payload = Vec::new();
        coset::cbor::ser::into_writer(&Value::Map(claims), &mut payload).ok()?;
        let protected = HeaderBuilder::new().algorithm(iana::Algorithm::HMAC_256_256).build();
        let unprotected = match &self.id {
            Some(id) => HeaderBuilder::new().key_id(id.as_bytes().to_vec()).build(),
            None => Header::default(),
        };
        let mac = CoseMac0Builder::new()
            .protected(protected)
            .unprotected(unprotected)
            .payload(payload)
            .create_tag(&[], |data| aws_lc_rs::hmac::sign(&self.secret, data).as_ref().to_vec())
            .build();
        let mac = Value::Tag(MAC0, Box::new(mac.to_cbor_value().ok()?));
        let mut bytes = Vec::new();
        coset::cbor::ser::into_writer(&Value::Tag(CWT, Box::new(mac)), &mut bytes).ok()?;
        Some(BASE64.encode(bytes)).filter(|token| token.len() <= MAX_TOKEN)
    }
}

fn integer(value: &Value) -> Option<i64> {
    i64::try_from(value.as_integer()?).ok()
}

fn text(value: &Value) -> Result<&str, Refusal> {
    value.as_text().ok_or(Refusal::Malformed)
}

/// The name of a field that an answer is to have: none of those that say where its body ends (RFC 9112
/// §6), nor what is for one connection (RFC 9110 §7.6.1).
fn field(value: &Value) -> Result<HeaderName, Refusal> {
    const OWN: [HeaderName; 3] =
        [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
    let name = text(value)?.parse().ok().filter(|name| !OWN.contains(name));
    name.ok_or(Refusal::Malformed)
}

/// A text, or an array of texts.
fn texts(value: &Value) -> Result<Vec<String>, Refusal> {
    match value {
        Value::Text(one) => Ok(vec![one.clone()]),
        Value::Array(all) => all.iter().map(|one| text(one).map(str::to_owned)).collect(),
        _ => Err(Refusal::Malformed),
    }
}

/// A NumericDate (RFC 8392 §2): an integer or a float, without the tag 1.
fn time(value: &Value) -> Result<Timestamp, Refusal> {
    match value {
        Value::Integer(_) => {
            let seconds = integer(value).ok_or(Refusal::Malformed)?;
            Ok(Timestamp::from_secs(u64::try_from(seconds).unwrap_or(0)))
        }
        Value::Float(seconds) if seconds.is_finite() => Ok(jwt::seconds(*seconds)),
        _ => Err(Refusal::Malformed),
    }
}
