//! What hyper and h3 let pass and no service may see: requests that the next program could read
//! otherwise.

use http::{HeaderMap, HeaderName, header};

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

/// Fields that speak about an HTTP/1.1 connection.
const OF_A_CONNECTION: [HeaderName; 5] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Whether an HTTP/3 request is malformed (RFC 9114 §4.2): it has a field of an HTTP/1.1
/// connection, a `TE` that says more than `trailers`, or a length that is none (§4.1.2).
pub(super) fn is_malformed(headers: &HeaderMap) -> bool {
    let te = headers.get(header::TE);
    te.is_some_and(|te| te != "trailers")
        || OF_A_CONNECTION.iter().any(|name| headers.contains_key(name))
        || content_length(headers).is_err()
}

/// The one length that the headers promise, if they do (RFC 9110 §8.6): digits and nothing else.
///
/// # Errors
/// When it is no length, or there are several.
pub(super) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, ()> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return Ok(None) };
    let digits = length.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match (digits.and_then(|digits| digits.parse().ok()), lengths.next()) {
        (Some(length), None) => Ok(Some(length)),
        _ => Err(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

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
