//! The names of assets in URLs (RFC 3986 §2.1, §3.3), strictly.

use std::fmt::Write as _;

/// Reads an asset's name from a path segment; `None` for what can name none: a bad percent
/// sequence, bytes that are no UTF-8, a hidden name (so also `.` and `..`), a slash or backslash, a
/// control character, more than 255 bytes.
pub fn decode_name(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let (high, low) = (hex(rest.next()?)?, hex(rest.next()?)?);
            bytes.push(high << 4 | low);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok().filter(|name| is_usable(name))
}

/// Writes a name as one path segment: all but unreserved characters are percent-encoded.
pub fn encode_name(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing into a String never fails.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Whether a name can stand in a URL: 1 to 255 bytes, not hidden (so neither `.` nor `..`), no
/// slash or backslash, no control characters.
pub(super) fn is_usable(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && !name.starts_with('.')
        && !name.contains(|c: char| matches!(c, '/' | '\\') || c.is_control())
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_climbs_or_hides() {
        for bad in [
            "", ".", "..", "%2e%2e", "%2E", "a%2fb", "a%2Fb", "a%5cb", ".a", "a%00", "a%0a", "%",
            "%4", "%zz", "%+1", "%ff", "a%C0%AF",
        ] {
            assert_eq!(decode_name(bad), None, "{bad}");
        }
        assert_eq!(decode_name(&"a".repeat(256)), None);
        assert_eq!(decode_name("%E4%BD%A0%20b.c").as_deref(), Some("你 b.c"));
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(name in "\\PC{1,40}") {
            let round = decode_name(&encode_name(&name));
            prop_assert_eq!(round, is_usable(&name).then_some(name));
        }
    }
}
