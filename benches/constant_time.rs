//! Whether the time of a refusal tells how much of a secret was guessed.
//!
//! Of each form whose check compares with something secret (the MACs of our own tokens, of JSON Web Tokens and
//! of Common Access Tokens, and the operator's token) two guesses are timed in random turns: one that is wrong
//! in its first byte, and one that is wrong in its last alone. Where a comparison ends at the first difference,
//! the second takes longer. It is the test of "dude, is my code constant time?" (Reparaz, Balasch and
//! Verbauwhede, 2017): Welch's t of both classes, without the slowest fifth, in which interrupts are. Above 10
//! the classes differ for certain.
//!
//! A comparison of bytes that does end early is timed in the same way, after the same work: what measures too
//! coarsely to see that says nothing about the others, and fails. The others fail where their classes differ for
//! certain, and by more than a quarter of what that one's do: less than that
//! a comparison without any branch shows as well on a machine that does other work. ES256,
//! EdDSA and PS256 are not here: who verifies them holds nothing secret.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "benches fail loudly")]

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::atomic::{Ordering, fence};
use std::time::Instant;

use aws_lc_rs::hmac;
use headwater::edge::tokens::{Asked, Grant, Key, Verifier};
use headwater::net::{Secret, Timestamp};

/// Guesses of both classes that are timed.
const GUESSES: usize = 400_000;
/// Of them, in percent, how many of the fastest count.
const KEPT: usize = 80;
/// Of what t on two classes differ.
const CERTAIN: f64 = 10.0;

const SECRET: &[u8; 32] = b"0123456789abcdef0123456789abcdef";
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

#[expect(clippy::print_stdout, reason = "a bench reports to a person")]
fn main() -> ExitCode {
    let (early, forms) = forms();
    let (t, seen) = early.measure();
    let sees = t > CERTAIN && seen > 0.0;
    let tell = |form: &Form, nanos: f64, t: f64, bar: &str, ok: bool| {
        let word = if ok { "ok" } else { "missed" };
        println!("{}, ns apart: {nanos:.2} (t {t:.1}), {bar}: {word}", form.name);
        ok
    };
    let mut all = tell(&early, seen, t, "more than 0 for certain", sees);
    let bar = seen / 4.0;
    for form in &forms {
        let (t, nanos) = form.measure();
        let ok = t <= CERTAIN || nanos.abs() <= bar;
        all &= tell(form, nanos, t, &format!("at most {bar:.2} or by chance"), ok);
    }
    if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether a guess is right.
type Check = Box<dyn Fn(&[u8]) -> bool>;

/// A check, and what it is given: guesses that are wrong in the first byte, and those that are wrong in the last.
struct Form {
    name: &'static str,
    guesses: [Vec<Vec<u8>>; 2],
    check: Check,
}

impl Form {
    /// Welch's t of both classes, and by how many nanoseconds their means differ.
    fn measure(&self) -> (f64, f64) {
        let mut draw = Draw(0x9e37_79b9_7f4a_7c15);
        let mut times: Vec<(u64, usize)> = Vec::with_capacity(GUESSES);
        let mut guess = Vec::with_capacity(4096);
        for round in 0..GUESSES + GUESSES / 10 {
            let (class, variant) = (draw.below(2), draw.below(8));
            // Both guesses are read, the one that is given lies where all do, and is there before the time begins:
            // neither a cache nor what is still on its way from one tells classes apart.
            let [first, last] = &self.guesses;
            let mask = black_box(0u8.wrapping_sub(u8::from(class == 1)));
            let pairs = first[variant].iter().zip(&last[variant]);
            guess.clear();
            guess.extend(pairs.map(|(first, last)| first ^ ((first ^ last) & mask)));
            fence(Ordering::SeqCst);
            let began = Instant::now();
            let taken = (self.check)(black_box(&guess));
            let time = began.elapsed();
            assert!(!taken, "{}: a wrong guess is right", self.name);
            // The first are for caches and predictors.
            if round >= GUESSES / 10 {
                times.push((u64::try_from(time.as_nanos()).unwrap(), class));
            }
        }
        times.sort_unstable();
        times.truncate(GUESSES * KEPT / 100);
        let of = |class: usize| {
            let all = || times.iter().filter(|(_, of)| *of == class).map(|(time, _)| *time as f64);
            let count = all().count() as f64;
            let mean = all().sum::<f64>() / count;
            let variance = all().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
            (mean, variance / count)
        };
        let ((first, one), (last, other)) = (of(0), of(1));
        ((last - first).abs() / (one + other).sqrt(), last - first)
    }
}

/// What ends early, and what may not.
fn forms() -> (Form, [Form; 4]) {
    let expires = NOW.as_secs() + 10;
    let mac = |data: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), data);
    let key = || Key::signing("k", SECRET).unwrap();
    let signed = Grant::below("/films/7/", Timestamp::from_secs(expires)).unwrap();
    let signed = signed.sign(&key()).unwrap();
    let claims = format!("{{\"exp\":{expires}}}");
    let jwt =
        format!("{}.{}", encode(b"{\"alg\":\"HS256\",\"kid\":\"k\"}"), encode(claims.as_bytes()));
    let jwt = format!("{jwt}.{}", encode(mac(jwt.as_bytes()).as_ref()));
    // COSE_Mac0 (RFC 9052, section 6.2) in CBOR: the algorithm, the key's identifier, `exp`, and the MAC.
    let algorithm = b"\x43\xa1\x01\x05";
    let claims =
        [&b"\x47\xa1\x04\x1a"[..], &u32::try_from(expires).unwrap().to_be_bytes()].concat();
    let tag = mac(&[&b"\x84\x64MAC0"[..], algorithm, b"\x40", &claims].concat());
    let cat =
        [&b"\x84"[..], algorithm, b"\xa1\x04\x41k", &claims, b"\x58\x20", tag.as_ref()].concat();
    let cat = encode(&cat);

    let operator = Secret::new(*SECRET);
    let early = {
        let (right, check) = (signed.clone().into_bytes(), checking(key(), &signed));
        let check = move |guess: &[u8]| check(guess) || ends_early(guess, &right);
        Form {
            name: "a comparison that ends early",
            guesses: wrong(&signed),
            check: Box::new(check),
        }
    };
    let of =
        |name, token: &str, key| Form { name, guesses: wrong(token), check: checking(key, token) };
    let forms = [
        of("a token of our own", &signed, key()),
        of("a JSON Web Token, HS256", &jwt, Key::jwt_secret("k", SECRET).unwrap()),
        of("a Common Access Token, HS256", &cat, Key::cat_secret("k", SECRET).unwrap()),
        Form {
            name: "the operator's token",
            guesses: [0, 31].map(|at| flipped(SECRET, at)),
            check: Box::new(move |guess| operator.is(guess)),
        },
    ];
    (early, forms)
}

/// Verifies tokens; has seen none.
fn checking(key: Key, right: &str) -> Check {
    let asked = || Asked::get("/films/7/a.m4s", NOW);
    let seen = Verifier::new([key.clone()]).unwrap();
    assert!(seen.verify(right, &asked()).is_ok(), "what guesses are made of is right: {right}");
    let verifier = Verifier::new([key]).unwrap();
    Box::new(move |guess| verifier.verify(std::str::from_utf8(guess).unwrap(), &asked()).is_ok())
}

/// Tokens whose MAC, their last 32 bytes, is wrong in its first byte, and in its last.
fn wrong(token: &str) -> [Vec<Vec<u8>>; 2] {
    let at = token.rfind('.').map_or(0, |dot| dot + 1);
    let (before, bytes) = (&token[..at], decode(&token[at..]));
    [bytes.len() - 32, bytes.len() - 1].map(|at| {
        let all = flipped(&bytes, at).into_iter();
        all.map(|bytes| format!("{before}{}", encode(&bytes)).into_bytes()).collect()
    })
}

/// The same with one bit of a byte turned, for each of them.
fn flipped(bytes: &[u8], at: usize) -> Vec<Vec<u8>> {
    let turned = |bit: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1 << bit;
        bytes
    };
    (0..8).map(turned).collect()
}

/// What no check may do.
fn ends_early(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| black_box(one) == other)
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base64url without padding (RFC 4648, section 5).
fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let mut bits = [0; 4];
        bits[1..=three.len()].copy_from_slice(three);
        let bits = u32::from_be_bytes(bits);
        for digit in 0..=three.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize]));
        }
    }
    text
}

fn decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for digit in text.bytes() {
        let value = DIGITS.iter().position(|one| *one == digit).unwrap();
        (bits, count) = (bits << 6 | u32::try_from(value).unwrap(), count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 255) as u8);
        }
    }
    bytes
}

/// Random turns, the same in each run (xorshift64).
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 20) % bound).unwrap()
    }
}
