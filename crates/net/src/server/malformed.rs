//! What hyper lets pass and no service may see: requests that the next program could read
//! otherwise.

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::{Body, Problem};

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

/// The answer to such a request. Where the next one begins is not agreed on: the connection ends with
/// this one.
pub(super) fn odd_coding() -> Response<Body> {
    let problem = Problem::new(StatusCode::BAD_REQUEST);
    let problem = problem.detail("the only transfer coding that is taken is chunked, once");
    let mut response = problem.into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
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

/// The same, where several that are equal are made one: upstreams may give them (RFC 9110 §8.6), and h2 lets
/// clients.
///
/// # Errors
/// When they are not equal, or are no lengths.
pub(super) fn one_length(headers: &mut HeaderMap) -> Result<Option<u64>, ()> {
    content_length(headers).or_else(|()| {
        let mut all = headers
            .get_all(header::CONTENT_LENGTH)
            .iter()
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii));
        let first = all.next().ok_or(())?;
        if all.any(|length| length != first) {
            return Err(());
        }
        let first = HeaderValue::from_bytes(first).map_err(drop)?;
        headers.insert(header::CONTENT_LENGTH, first);
        content_length(headers)
    })
}

/// The answer to a request whose lengths are not one.
pub(super) fn odd_length() -> Response<Body> {
    let problem = Problem::new(StatusCode::BAD_REQUEST);
    problem.detail("Content-Length is one number, in digits").into_response()
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
    fn rfc_9110_8_6_a_length_is_one_number() {
        assert_eq!(content_length(&headers(&[])), Ok(None));
        assert_eq!(content_length(&headers(&[("content-length", "0005")])), Ok(Some(5)));
        for bad in [
            &[("content-length", "+5")][..],
            &[("content-length", "")],
            &[("content-length", "5, 5")],
            &[("content-length", "5"), ("content-length", "5")],
            &[("content-length", "99999999999999999999")],
        ] {
            assert_eq!(content_length(&headers(bad)), Err(()), "{bad:?}");
        }
        let mut equal = headers(&[("content-length", "5, 5"), ("content-length", "5")]);
        assert_eq!(one_length(&mut equal), Ok(Some(5)));
        assert_eq!(equal, headers(&[("content-length", "5")]));
        for bad in [&[("content-length", "5, 6")][..], &[("content-length", "+5")]] {
            assert_eq!(one_length(&mut headers(bad)), Err(()), "{bad:?}");
        }
    }
}
