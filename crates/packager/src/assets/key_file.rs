//! The file that holds the key of encrypted segments: 16 bytes as they are, or 32 hexadecimal digits
//! and at most a line break (RFC 8216bis §5.2: a key is 16 octets).
//!
//! No message says anything of what the file holds.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use crate::aes128::SegmentKey;

/// No key file is longer: 32 digits and a line break.
const MAX_BYTES: u64 = 34;

/// Reads a key.
///
/// # Errors
/// What is wrong with the file, without its name.
pub(super) fn read(path: &Path) -> Result<SegmentKey, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {}", error.kind());
    let file = fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    parse(&bytes).ok_or_else(|| "holds neither 16 bytes nor 32 hexadecimal digits".to_owned())
}

fn parse(bytes: &[u8]) -> Option<SegmentKey> {
    if let Ok(key) = SegmentKey::from_bytes(bytes) {
        return Some(key);
    }
    let digits = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let digits = digits.strip_suffix(b"\r").unwrap_or(digits);
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let digits: Vec<u8> = digits.iter().map(digit).collect::<Option<_>>()?;
    let key: Vec<u8> =
        digits.chunks(2).map(|pair| pair.iter().fold(0, |b, d| b << 4 | d)).collect();
    (digits.len() == 32).then(|| SegmentKey::from_bytes(&key).ok())?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn a_key_has_two_spellings() {
        let key = SegmentKey::from_bytes(b"0123456789abcdef").unwrap();
        for spelling in [
            &b"0123456789abcdef"[..],
            b"30313233343536373839616263646566",
            b"30313233343536373839616263646566\n",
            b"30313233343536373839616263646566\r\n",
            b"30313233343536373839616263646566".to_ascii_uppercase().as_slice(),
        ] {
            assert_eq!(parse(spelling), Some(key.clone()), "{spelling:?}");
        }
        for other in [
            &b""[..],
            b"0123456789abcdef\n",
            b"3031323334353637383961626364656",
            b"303132333435363738396162636465667",
            b"3031323334353637383961626364656g",
            b"30313233343536373839616263646566\n\n",
            b" 0313233343536373839616263646566",
        ] {
            assert_eq!(parse(other), None, "{other:?}");
        }
    }
}
