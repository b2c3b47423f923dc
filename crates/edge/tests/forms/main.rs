//! JSON Web Tokens and Common Access Tokens, claim by claim, and the standards' own examples.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

mod cat;
mod jwt;
#[path = "../support/mmdb.rs"]
mod mmdb;
mod oracle;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use headwater_edge::tokens::{Asked, Refusal, Verifier};
use headwater_net::Timestamp;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: u64 = 1_000_000;

fn asked(path: &str) -> Asked<'_> {
    Asked::get(path, Timestamp::from_secs(NOW))
}

fn verify(verifier: &Verifier, token: &str, asked: &Asked<'_>) -> Result<(), Refusal> {
    verifier.verify(token, asked).map(drop).map_err(|refused| refused.why)
}

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
}

fn pem_of<P: AsDer<aws_lc_rs::encoding::PublicKeyX509Der<'static>>>(
    key: &impl KeyPair<PublicKey = P>,
) -> String {
    pem(key.public_key().as_der().unwrap().as_ref())
}

/// The PEM of a point of P-256.
fn p256_pem(x: &[u8], y: &[u8]) -> String {
    let begins = "3059301306072a8648ce3d020106082a8648ce3d03010703420004";
    pem(&[&hex(begins), x, y].concat())
}
