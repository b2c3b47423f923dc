//! JSON Web Tokens (RFC 7519): EdDSA, ES256 and HS256, whichever the key is for.
//!
//! `exp`, `nbf`, `iss`, `aud` mean what they mean; `sub`, or else `jti`, says who holds the token.
//! A claim of our own, `path`, is a text or a list of texts: a path, or with a `/` at its end all below
//! it. Other claims are its issuer's, and let in nothing more. A token with critical extensions
//! (RFC 7515 §4.1.11) is refused, for none is known here.

use headwater_net::Timestamp;
use jsonwebtoken::Validation;
use serde::Deserialize;

use super::claims::{Claims, holder};
use super::key::Material;
use super::refusal::Refusal;
use super::verifier::Verifier;

#[derive(Deserialize)]
struct Payload {
    iss: Option<String>,
    sub: Option<String>,
    jti: Option<String>,
    #[serde(default)]
    aud: Some,
    exp: Option<f64>,
    nbf: Option<f64>,
    path: Option<Some>,
}

/// One text or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Some {
    One(String),
    All(Vec<String>),
}

impl Default for Some {
    fn default() -> Self {
        Self::All(Vec::new())
    }
}

impl From<Some> for Vec<String> {
    fn from(some: Some) -> Self {
        match some {
            Some::One(one) => vec![one],
            Some::All(all) => all,
        }
    }
}

/// The claims of a token that one of the verifier's keys signed.
pub(super) fn read(verifier: &Verifier, token: &str) -> Result<Claims, Refusal> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::Malformed)?;
    if header.crit.is_some() {
        return Err(Refusal::Unknown);
    }
    let key = verifier.keys().find_map(|key| match &key.material {
        Material::Jwt(algorithm, material) if key.id() == header.kid.as_deref() => {
            Option::Some((*algorithm, material))
        }
        _ => None,
    });
    let (algorithm, key) = key.ok_or(Refusal::UnknownKey)?;
    // The signature alone: times are judged by our clock, at every request.
    let mut only_signature = Validation::new(algorithm);
    only_signature.required_spec_claims.clear();
    only_signature.validate_exp = false;
    only_signature.validate_nbf = false;
    only_signature.validate_aud = false;
    let payload: Payload = jsonwebtoken::decode(token, key, &only_signature)
        .map_err(|error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::InvalidSignature
            | jsonwebtoken::errors::ErrorKind::InvalidAlgorithm => Refusal::Signature,
            _ => Refusal::Malformed,
        })?
        .claims;
    let holder = match payload.sub.as_ref().or(payload.jti.as_ref()) {
        Option::Some(who) => {
            holder(&[payload.iss.as_deref().unwrap_or_default().as_bytes(), who.as_bytes()])
        }
        None => holder(&[token.as_bytes()]),
    };
    Ok(Claims {
        issuer: payload.iss,
        audience: payload.aud.into(),
        expires: payload.exp.map(seconds),
        not_before: payload.nbf.map(seconds),
        paths: payload.path.map(Into::into),
        holder,
        rules: None,
    })
}

/// A NumericDate (RFC 7519 §2), which may have a fraction: it is left out. What is before 1970 is
/// long over, and what is after all time is the end of it.
pub(super) const fn seconds(date: f64) -> Timestamp {
    Timestamp::from_secs(date as u64)
}
