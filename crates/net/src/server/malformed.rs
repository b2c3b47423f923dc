//! What hyper and h3 let pass and no service may see: requests that the next program could read
//! otherwise.

use http::{HeaderMap, header};

/// Whether an HTTP/1.1 request has a transfer coding other than `chunked`, said once (RFC 9112
/// §6.1). hyper looks at the last one only.
pub(super) fn has_odd_coding(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => false,
        (Some(coding), None) => !coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => true,
    }
}

/// Whether an HTTP/3 request is malformed (RFC 9114 §4.2): it has a field of an HTTP/1.1
/// connection, a `TE` that says more than `trailers`, or a length that is none (§4.1.2). One pass
/// over the names that there are.
pub(super) fn is_malformed(headers: &HeaderMap) -> bool {
    let mut has_length = false;
    let wrong = headers.iter().any(|(name, value)| match name.as_str() {
        "connection" | "transfer-encoding" | "upgrade" | "keep-alive" | "proxy-connection" => true,
        "te" => value != "trailers",
        "content-length" => {
            has_length = true;
            false
        }
        _ => false,
    });
    wrong || has_length && content_length(headers).is_err()
}

/// The one length that the headers promise, if they do (RFC 9110 §8.6): digits and nothing else.
///
/// # Errors
/// When it is no length, or there are several.
pub(super) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, ()> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return Ok(None) };
    let digits = length.as_bytes();
    let length = digits.iter().try_fold(0u64, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    });
    match (length, lengths.next()) {
        (Some(length), None) if !digits.is_empty() => Ok(Some(length)),
        _ => Err(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use http::HeaderName;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let named = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), value.parse().unwrap())
        };
        let mut all = HeaderMap::new();
        for (name, value) in list.iter().map(named) {
            all.append(name, value);
        }
        all
    }

    #[test]
    fn rfc_9112_6_1_chunked_once_is_the_only_coding() {
        const TE: &str = "transfer-encoding";
        assert!(!has_odd_coding(&headers(&[])));
        assert!(!has_odd_coding(&headers(&[(TE, "Chunked")])));
        for odd in ["gzip, chunked", "identity", "chunked, chunked", ",chunked", ""] {
            assert!(has_odd_coding(&headers(&[(TE, odd)])), "{odd}");
        }
        assert!(has_odd_coding(&headers(&[(TE, "chunked"), (TE, "chunked")])));
    }

    #[test]
    fn rfc_9114_4_2_no_field_of_another_connection() {
        for fine in [&[][..], &[("te", "trailers")], &[("content-length", "0005")]] {
            assert!(!is_malformed(&headers(fine)), "{fine:?}");
        }
        for bad in [
            &[("connection", "close")][..],
            &[("transfer-encoding", "chunked")],
            &[("te", "gzip")],
            &[("content-length", "+5")],
            &[("content-length", "")],
            &[("content-length", "5, 5")],
            &[("content-length", "5"), ("content-length", "5")],
        ] {
            assert!(is_malformed(&headers(bad)), "{bad:?}");
        }
    }
}
