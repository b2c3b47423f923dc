//! `Accept-Encoding` made simple (RFC 9110 §12.5.3).
//!
//! Clients say it in a hundred ways, and behind a response that varies by it every way would be a
//! variant of its own in a cache. [`simplify`] makes two of them: `gzip`, which whoever packs
//! manifests can make and a shield can unpack to read, and `identity`, which every client takes.
//! [`simplify_to`] makes one of each coding that somebody behind can make.

use http::{HeaderMap, HeaderValue, header};

/// A content coding (RFC 9110 §8.4.1, RFC 7932, RFC 8878).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Coding {
    /// `br`: the smallest text.
    Brotli,
    /// `zstd`.
    Zstd,
    /// `gzip`, or `x-gzip`.
    Gzip,
}

impl Coding {
    /// All of them, the one that makes text smallest first.
    pub const ALL: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// Its name in `Accept-Encoding` and `Content-Encoding`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    fn is_called(self, name: &str) -> bool {
        name.eq_ignore_ascii_case(self.as_str())
            || self == Self::Gzip && name.eq_ignore_ascii_case("x-gzip")
    }
}

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
    simplify_to(&[Coding::Gzip], headers);
}

/// Replaces `Accept-Encoding` by the one of `ours` that [`choose`] chooses, or `identity`.
pub fn simplify_to(ours: &[Coding], headers: &mut HeaderMap) {
    let mut lines = headers.get_all(header::ACCEPT_ENCODING).iter();
    if lines.next().is_none() {
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        return;
    }
    let once = lines.next().is_none();
    let value = HeaderValue::from_static(choose(ours, headers).map_or("identity", Coding::as_str));
    match headers.get_mut(header::ACCEPT_ENCODING) {
        // In place: an insertion may make a map larger though it puts one value for another.
        Some(said) if once => *said = value,
        _ => {
            headers.insert(header::ACCEPT_ENCODING, value);
        }
    }
}

/// The one of `ours` that the client gives the most weight, of several the first; `None` where it
/// takes none of them. What weight it gives `identity` is not looked at.
pub fn choose(ours: &[Coding], headers: &HeaderMap) -> Option<Coding> {
    let mut best: Option<(Coding, u16)> = None;
    for &coding in ours {
        let weight = weight(coding, headers);
        if weight > best.map_or(0, |(_, weight)| weight) {
            best = Some((coding, weight));
        }
    }
    best.map(|(coding, _)| coding)
}

/// In thousandths (RFC 9110 §12.4.2): what is said of the coding, or else of `*`, or else nothing.
fn weight(coding: Coding, headers: &HeaderMap) -> u16 {
    let mut any = 0;
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        let Ok(value) = value.to_str() else { continue };
        for item in value.split(',') {
            let mut parts = item.split(';').map(str::trim);
            let name = parts.next().unwrap_or("");
            if !coding.is_called(name) && name != "*" {
                continue;
            }
            let said = parts.find_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Q=")));
            let weight = said.map_or(1000, thousandths);
            if name != "*" {
                return weight;
            }
            any = weight;
        }
    }
    any
}

/// What is no weight counts as none at all.
fn thousandths(weight: &str) -> u16 {
    let (whole, part) = weight.split_once('.').unwrap_or((weight, ""));
    if whole != "0" {
        return if whole == "1" { 1000 } else { 0 };
    }
    let digits = part.bytes().chain([b'0'; 3]).take(3);
    digits.fold(0, |sum, digit| sum * 10 + u16::from(digit.saturating_sub(b'0').min(9)))
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
    fn rfc_9110_12_5_3_the_one_with_the_most_weight_is_chosen() {
        for (said, asked) in [
            ("gzip, deflate, br, zstd", Some(Coding::Brotli)),
            ("gzip, zstd", Some(Coding::Zstd)),
            ("gzip;q=0.8, br;q=0.799", Some(Coding::Gzip)),
            ("br;q=0, *;q=0.5", Some(Coding::Zstd)),
            ("x-gzip", Some(Coding::Gzip)),
            ("BR;Q=0.001", Some(Coding::Brotli)),
            ("br;q=nonsense, gzip;q=1", Some(Coding::Gzip)),
            ("identity", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, said.parse().unwrap());
            assert_eq!(choose(&Coding::ALL, &headers), asked, "{said}");
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
