//! Keys: what a token is signed by, and the one algorithm of each.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RSA_PSS_2048_8192_SHA256, VerificationAlgorithm,
};
use coset::iana;
use jsonwebtoken::{Algorithm, DecodingKey};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject as _;

use super::{MAX_KEY_ID, MAX_KEYS};

/// The shortest secret, in bytes: as long as what HMAC-SHA-256 makes (RFC 7518 §3.2).
pub(super) const MIN_SECRET: usize = 32;

/// A key with its identifier, its form of token and its algorithm. Debugged, it shows no secret.
#[derive(Clone)]
pub struct Key {
    pub(super) id: Option<Box<str>>,
    pub(super) material: Material,
}

#[derive(Clone)]
pub(super) enum Material {
    /// [Our own form](super::signed).
    Signed(Arc<hmac::Key>),
    /// JSON Web Tokens.
    Jwt(Algorithm, DecodingKey),
    /// Common Access Tokens.
    Cat(CatKey),
}

/// What a Common Access Token is signed by, and the number of its algorithm (RFC 9053).
#[derive(Clone)]
pub(super) enum CatKey {
    /// HS256, in a COSE_Mac0.
    Secret(Arc<hmac::Key>),
    /// ES256 or PS256, in a COSE_Sign1.
    Public(iana::Algorithm, ParsedPublicKey),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What cannot be used of a key, or of what is to be signed by it: one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadKey {
    /// A secret is too short.
    #[error("a secret is at least {MIN_SECRET} bytes long")]
    Short,
    /// An identifier is no identifier.
    #[error("a key's identifier is 1 to {MAX_KEY_ID} letters, digits, '_' and '-'")]
    Id,
    /// Two keys for one form have one identifier, or two have none.
    #[error("two keys for one form of token have the same identifier, or none")]
    Twice,
    /// There are too many.
    #[error("there are more than {MAX_KEYS} keys")]
    Many,
    /// There is none.
    #[error("there is no key")]
    None,
    /// A public key is none, or of a kind that has no algorithm here.
    #[error(
        "a public key is \"BEGIN PUBLIC KEY\" in PEM: P-256 or Ed25519 for JWT, P-256 or RSA of 2048 bits or more for CAT"
    )]
    Public,
    /// The key signs tokens of another form, or only verifies them.
    #[error("this key signs no tokens")]
    NoSigner,
    /// A path is no path.
    #[error("a token is for a path that begins with '/' and has no dots to go up by")]
    Path,
    /// A token would be longer than any that is read.
    #[error("the path is too long for a token")]
    Long,
}

impl Key {
    /// A key for [tokens of our own form](super::signed), of at least 32 bytes. An identifier is 1 to
    /// [`MAX_KEY_ID`](super::MAX_KEY_ID) letters, digits, `_` and `-`; empty for the one key of tokens
    /// that name none.
    ///
    /// # Errors
    /// Where the secret is too short or the identifier is none.
    pub fn signing(id: &str, secret: &[u8]) -> Result<Self, BadKey> {
        Ok(Self { id: identifier(id)?, material: Material::Signed(hmac_key(secret)?) })
    }

    /// A secret that JSON Web Tokens are signed by, with HS256. Identifiers as in [`Key::signing`].
    ///
    /// # Errors
    /// Where the secret is too short or the identifier is none.
    pub fn jwt_secret(id: &str, secret: &[u8]) -> Result<Self, BadKey> {
        hmac_key(secret)?;
        let material = Material::Jwt(Algorithm::HS256, DecodingKey::from_secret(secret));
        Ok(Self { id: identifier(id)?, material })
    }

    /// A public key in PEM for JSON Web Tokens: ES256 where it is of P-256, EdDSA where it is of
    /// Ed25519.
    ///
    /// # Errors
    /// Where it is neither, or the identifier is none.
    pub fn jwt_public(id: &str, pem: &[u8]) -> Result<Self, BadKey> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| BadKey::Public)?;
        let (algorithm, key) = if let Some(point) = der.strip_prefix(P256) {
            (Algorithm::ES256, DecodingKey::from_ec_der(point))
        } else if let Some(point) = der.strip_prefix(ED25519) {
            (Algorithm::EdDSA, DecodingKey::from_ed_der(point))
        } else {
            return Err(BadKey::Public);
        };
        Ok(Self { id: identifier(id)?, material: Material::Jwt(algorithm, key) })
    }

    /// A secret that Common Access Tokens are signed by, with HS256.
    ///
    /// # Errors
    /// Where the secret is too short or the identifier is none.
    pub fn cat_secret(id: &str, secret: &[u8]) -> Result<Self, BadKey> {
        let material = Material::Cat(CatKey::Secret(hmac_key(secret)?));
        Ok(Self { id: identifier(id)?, material })
    }

    /// A public key in PEM for Common Access Tokens: ES256 where it is of P-256, PS256 where it is of
    /// RSA.
    ///
    /// # Errors
    /// Where it is neither, or the identifier is none.
    pub fn cat_public(id: &str, pem: &[u8]) -> Result<Self, BadKey> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| BadKey::Public)?;
        let (name, algorithm): (_, &'static dyn VerificationAlgorithm) = if der.starts_with(P256) {
            (iana::Algorithm::ES256, &ECDSA_P256_SHA256_FIXED)
        } else if der.starts_with(ED25519) {
            return Err(BadKey::Public);
        } else {
            (iana::Algorithm::PS256, &RSA_PSS_2048_8192_SHA256)
        };
        let key = ParsedPublicKey::new(algorithm, &der).map_err(|_| BadKey::Public)?;
        Ok(Self { id: identifier(id)?, material: Material::Cat(CatKey::Public(name, key)) })
    }

    /// Its identifier; `None` where it is for tokens that name none.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Whether two keys would be taken for the same token.
    pub(super) fn clashes(&self, other: &Self) -> bool {
        let same =
            std::mem::discriminant(&self.material) == std::mem::discriminant(&other.material);
        same && self.id == other.id
    }
}

/// What a SubjectPublicKeyInfo (RFC 5480) of an uncompressed point of P-256 begins with.
const P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// What that of a key of Ed25519 begins with (RFC 8410).
const ED25519: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

fn hmac_key(secret: &[u8]) -> Result<Arc<hmac::Key>, BadKey> {
    let secret = Some(secret).filter(|secret| secret.len() >= MIN_SECRET);
    Ok(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret.ok_or(BadKey::Short)?)))
}

fn identifier(id: &str) -> Result<Option<Box<str>>, BadKey> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    match id {
        "" => Ok(None),
        id if id.len() <= MAX_KEY_ID && id.bytes().all(plain) => Ok(Some(id.into())),
        _ => Err(BadKey::Id),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::*;

    /// Whether a public key takes a signature by PS256.
    fn takes(pem: &str, data: &[u8], signature: &str) -> bool {
        let key = Key::cat_public("", pem.as_bytes()).unwrap();
        let Material::Cat(CatKey::Public(iana::Algorithm::PS256, key)) = key.material else {
            panic!("it is no key for PS256");
        };
        key.verify_sig(data, &URL_SAFE_NO_PAD.decode(signature).unwrap()).is_ok()
    }

    /// What jwt.io shows of PS256: a JSON Web Signature, which no token here is in that algorithm; so the
    /// signature alone.
    #[test]
    fn ps256_takes_a_signature_of_others() {
        let pem = "-----BEGIN PUBLIC KEY-----\n\
            MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAu1SU1LfVLPHCozMxH2Mo\n\
            4lgOEePzNm0tRgeLezV6ffAt0gunVTLw7onLRnrq0/IzW7yWR7QkrmBL7jTKEn5u\n\
            +qKhbwKfBstIs+bMY2Zkp18gnTxKLxoS2tFczGkPLPgizskuemMghRniWaoLcyeh\n\
            kd3qqGElvW/VDL5AaWTg0nLVkjRo9z+40RQzuVaE8AkAFmxZzow3x+VJYKdjykkJ\n\
            0iT9wCS0DRTXu269V264Vf/3jvredZiKRkgwlL9xNAwxXFg0x/XFw005UWVRIkdg\n\
            cKWTjpBP2dPwVZ4WWC+9aGVd+Gyn1o0CLelf4rEjGoXbAAEgAqeGUxrcIlbjXfbc\n\
            mwIDAQAB\n\
            -----END PUBLIC KEY-----\n";
        let signed = "eyJhbGciOiJQUzI1NiIsInR5cCI6IkpXVCJ9.\
            eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWUsImlhdCI6MTUxNjIzOTAyMn0";
        let signature = "iOeNU4dAFFeBwNj6qdhdvm-IvDQrTa6R22lQVJVuWJxorJfeQww5Nwsra0PjaOYhAMj9jNMO5YLmud8U7iQ5gJK2zYyepeSuXhfSi8yjFZfRiSkelqSkU19I-Ja8aQBDbqXf2SAWA8mHF8VS3F08rgEaLCyv98fLLH4vSvsJGf6ueZSLKDVXz24rZRXGWtYYk_OYYTVgR1cg0BLCsuCvqZvHleImJKiWmtS0-CymMO4MMjCy_FIl6I56NqLE9C87tUVpo1mT-kbg5cHDD8I7MjCW5Iii5dethB4Vid3mZ6emKjVYgXrtkOQ-JyGMh6fnQxEFN1ft33GX2eRHluK9eg";
        assert!(takes(pem, signed.as_bytes(), signature));
        assert!(!takes(pem, signed.as_bytes(), &signature.replacen('i', "j", 1)));
        assert!(!takes(pem, signed.replacen('e', "f", 1).as_bytes(), signature));
    }

    /// rsa-pss-01 of cose-wg/Examples: PS256 with a salt of 64 bytes, where RFC 8230 §2 has it as long as
    /// the hash. Python's `cryptography` takes it for a salt of any length, and not for one of 32 bytes.
    #[test]
    fn ps256_has_a_salt_as_long_as_its_hash() {
        let modulus = "vH4p0N9-IMydyNUJ4PaIlZIq8O9FIZDUAsYbVUM0p7-RyaVwJA-ZT64baQNbz61PfiSesmCHwmZefJWMlnsVF0E9w_l6QxaRpZmbJXzGzTVrrRaNkpuLrpAgdQ50z2D2_TXWuz_JP8KJAEeGlPUIsz58AOJPkO3zdFf8Po78_S9CMGMBqCBat0BRUzHVwY8MZNSkO-UvxEBAD2v8VYpuMohMKvVvKeXFJ4DOpyhfXAV_wN_aIy0K2mgbAUldnQ4yGWYzWI4onlkDX_Zk8FYYny8Q_gWCe3lsMm4-dI_6fFie0nPJxDQ2zdtKaiJSPvi8siIWFbeZlm8aulvIS3onzw";
        let begins = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA";
        let mut der = STANDARD.decode(begins).unwrap();
        der.extend(URL_SAFE_NO_PAD.decode(modulus).unwrap());
        der.extend([2, 3, 1, 0, 1]);
        let pem = STANDARD.encode(der);
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{pem}\n-----END PUBLIC KEY-----\n");
        let signed =
            b"\x85\x69Signature\x43\xa1\x03\x00\x44\xa1\x01\x38\x24\x40\x54This is the content.";
        let signature = "URq3wHpMnxY5_ZVc3xfbX8nXNg4H6N6Pg1puRD9WuBaoQvWHhwfp5EUfPq7Dm7yzDJLuB6ww8shWpkDVulhX8KlhNUR_Gj_SBykK_ECgM_ystsAxKF4B_kydTlKMpjwAxVEJ6k9uWCMrXZt8VEjMRjfI7q1wN8xx_aTR6D-x_6cpTHREVXhbm528c0GCam-QYiUzuapRmYvtu9bRVYaeGJxAl7bm67oqWmqn4Iq47atwIaVn82xxXeNMv5BIYJUDt_cNoF6mpsffEwH7V1q-b02oqqk7X6YmfKSQ8DvJC7VwW7M5hGbAr-hK-RwLdSxuHKwUmwfCN5iPR5gPEwFmnA";
        assert!(!takes(&pem, signed, signature));
    }
}
