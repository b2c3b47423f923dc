//! Content coding of manifests: gzip for those who accept it (RFC 9110 §12.5.3).

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, header};

/// Whether the request accepts gzip.
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut any = false;
    let mut named = None;
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        let Ok(text) = value.to_str() else { continue };
        for item in text.split(',') {
            let mut pieces = item.split(';');
            let coding = pieces.next().unwrap_or_default().trim();
            let wanted = !pieces.any(|parameter| is_zero(parameter.trim()));
            if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
                named = Some(wanted);
            } else if coding == "*" {
                any = wanted;
            }
        }
    }
    named.unwrap_or(any)
}

/// Compresses; the same bytes for the same text. `None` never happens in practice, and then the text is sent plain.
pub(super) fn gzip(text: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 4), Compression::new(5));
    // Writing into a Vec never fails.
    encoder.write_all(text).ok()?;
    let packed = encoder.finish().ok()?;
    Some(Bytes::from(packed))
}

/// Whether a parameter is a weight of zero: `q=0`, `q=0.0`, …
fn is_zero(parameter: &str) -> bool {
    let weight =
        parameter.split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
    weight.is_some_and(|(_, value)| {
        let value = value.trim();
        value.starts_with('0') && value.bytes().all(|byte| matches!(byte, b'0' | b'.'))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn weights_of_zero_refuse() {
        let accepts = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, text.parse().unwrap());
            accepts_gzip(&headers)
        };
        for yes in ["gzip", "br, GZIP;q=0.5", "*", "x-gzip", "gzip;q=0.001", "*;q=0, gzip"] {
            assert!(accepts(yes), "{yes}");
        }
        for no in ["", "br", "gzip;q=0", "gzip; q=0.000", "*;q=0", "*, gzip;q=0", "identity"] {
            assert!(!accepts(no), "{no}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn compression_is_deterministic() {
        let text = b"#EXTM3U\n".repeat(100);
        assert_eq!(gzip(&text), gzip(&text));
        assert!(gzip(&text).unwrap().len() < text.len());
    }
}
