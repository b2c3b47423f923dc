//! `Accept-Encoding` made simple (RFC 9110 §12.5.3).
//!
//! Clients say it in a hundred ways, and behind a response that varies by it every way would be a
//! variant of its own in a cache. [`simplify`] makes two of them: `gzip`, which whoever packs
//! manifests can make and a shield can unpack to read, and `identity`, which every client takes.

use http::{HeaderMap, HeaderValue, header};

/// Replaces `Accept-Encoding` by `gzip` or `identity`. An answer in `identity` is always allowed
/// to a client that did not say.
///
/// ```
/// use headwater_net::encoding;
/// use http::{HeaderMap, header};
///
/// let mut headers = HeaderMap::new();
/// headers.insert(header::ACCEPT_ENCODING, "br;q=1.0, GZIP;q=0.5".parse()?);
/// encoding::simplify(&mut headers);
/// assert_eq!(headers[header::ACCEPT_ENCODING], "gzip");
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
pub fn simplify(headers: &mut HeaderMap) {
    let gzip = accepts_gzip(headers);
    let value = HeaderValue::from_static(if gzip { "gzip" } else { "identity" });
    let once = headers.get_all(header::ACCEPT_ENCODING).iter().nth(1).is_none();
    match headers.get_mut(header::ACCEPT_ENCODING) {
        // In place: an insertion may make a map larger though it puts one value for another.
        Some(said) if once => *said = value,
        _ => {
            headers.insert(header::ACCEPT_ENCODING, value);
        }
    }
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut any = false;
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        let Ok(value) = value.to_str() else { continue };
        for item in value.split(',') {
            let mut parts = item.split(';').map(str::trim);
            let name = parts.next().unwrap_or("");
            // A weight of zero means "not acceptable" (§12.4.2): all its digits are zeros.
            let weight = parts.find_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Q=")));
            let wanted = weight.is_none_or(|q| q.bytes().any(|b| (b'1'..=b'9').contains(&b)));
            if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
                return wanted;
            }
            any |= name == "*" && wanted;
        }
    }
    any
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn every_way_to_say_it_becomes_one_of_two() {
        for (said, asked) in [
            (None, "identity"),
            (Some("gzip, deflate, br, zstd"), "gzip"),
            (Some("br;q=1.0, GZIP;q=0.5"), "gzip"),
            (Some("gzip;q=0, *"), "identity"),
            (Some("gzip; q=0.000"), "identity"),
            (Some("*"), "gzip"),
            (Some("*;q=0"), "identity"),
            (Some("br"), "identity"),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(said) = said {
                headers.insert(header::ACCEPT_ENCODING, said.parse().unwrap());
            }
            simplify(&mut headers);
            assert_eq!(headers[header::ACCEPT_ENCODING], asked, "{said:?}");
        }
    }

    #[test]
    fn one_value_is_left_of_several() {
        let mut headers = HeaderMap::new();
        headers.append(header::ACCEPT_ENCODING, "br".parse().unwrap());
        headers.append(header::ACCEPT_ENCODING, "gzip".parse().unwrap());
        simplify(&mut headers);
        let left: Vec<_> = headers.get_all(header::ACCEPT_ENCODING).iter().collect();
        assert_eq!(left, ["gzip"]);
    }
}
