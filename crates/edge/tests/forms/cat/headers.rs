//! What the headers of a COSE_Mac0 may say beside how it is signed and by whom.

use aws_lc_rs::hmac;
use headwater_edge::tokens::Refusal;

use super::{NOW, SECRET, Value, asked, base64url, bytes, int, list, map, text, verifier, verify};

fn written(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    coset::cbor::ser::into_writer(value, &mut bytes).unwrap();
    bytes
}

/// What comes of a token with these headers, whose claims let in and whose tag is good (RFC 9052 §6.3).
fn with(protected: &Value, unprotected: Value) -> Result<(), Refusal> {
    let protected = bytes(&written(protected));
    let payload = bytes(&written(&map([(int(4), int(NOW as i64 + 10))])));
    let signed = list([text("MAC0"), protected.clone(), bytes(b""), payload.clone()]);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), &written(&signed));
    let mac = list([protected, unprotected, payload, bytes(tag.as_ref())]);
    verify(&verifier(), &base64url(written(&mac)), &asked("/"))
}

/// RFC 9052 §3.1: whoever reads a token understands each of its critical parameters.
#[test]
fn critical_parameters_are_those_that_are_understood() {
    let known = || map([(int(4), bytes(b"k"))]);
    let critical = |labels: Value| with(&map([(int(1), int(5)), (int(2), labels)]), known());
    assert_eq!(with(&map([(int(1), int(5))]), known()), Ok(()));
    for labels in [list([int(1)]), list([int(4)]), list([int(1), int(4)])] {
        assert_eq!(critical(labels.clone()), Ok(()), "{labels:?}");
    }
    // The content type, the type, a counter signature, one of somebody's own by number, and by name.
    for label in [int(3), int(16), int(11), int(-70_000), text("mine")] {
        assert_eq!(critical(list([label.clone()])), Err(Refusal::Unknown), "{label:?}");
        let among = list([int(1), label.clone(), int(4)]);
        assert_eq!(critical(among), Err(Refusal::Unknown), "{label:?}");
    }
    for labels in [list([int(99)]), list([]), int(1), list([bytes(b"k")])] {
        assert_eq!(critical(labels.clone()), Err(Refusal::Malformed), "{labels:?}");
    }
    // Where nobody has signed it, it may only be made stricter.
    let open = map([(int(2), list([text("mine")])), (int(4), bytes(b"k"))]);
    assert_eq!(with(&map([(int(1), int(5))]), open), Err(Refusal::Unknown));
}
