//! What a client accepts, so that two who say the same in other words get the same response (RFC
//! 9111 §4.1: a cache may normalise fields in ways known to be equivalent).
//!
//! Known are `Accept-Encoding` and `Accept-Language` (RFC 9110 §12.5.3 and §12.5.4): their members
//! have weights, so that neither their order nor their case says anything. Pure and bounded: a list
//! that is long or malformed is not understood, and equals only itself.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use smallvec::SmallVec;

/// The most members that are understood.
const MAX_MEMBERS: usize = 32;

/// Members in lower case with their weights in thousandths, in order of name.
type Weights = SmallVec<[(String, u16); 4]>;

/// Whether the members of a field are weighed, not ordered.
pub(crate) fn is_weighed(name: &HeaderName) -> bool {
    *name == header::ACCEPT_LANGUAGE || *name == header::ACCEPT_ENCODING
}

/// Whether two values of a weighed field want the same, member by member.
pub(crate) fn agree<'a>(
    one: impl Iterator<Item = &'a [u8]>,
    other: impl Iterator<Item = &'a [u8]>,
) -> bool {
    match (weights(one), weights(other)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

/// The members of a weighed field in the one way that all lists which [`agree`] have in common;
/// `None` where they are not understood.
pub(crate) fn normal<'a>(members: impl Iterator<Item = &'a [u8]>) -> Option<String> {
    let mut text = String::new();
    for (name, weight) in weights(members)? {
        let _ = write!(text, "{name};{weight},");
    }
    Some(text)
}

/// Whether the language of a response is the one that a request likes best: no negotiation would
/// have chosen another (RFC 9110 §12.5.4).
pub(crate) fn likes_best(request: &HeaderMap, response: &HeaderMap) -> bool {
    let mut languages = response.get_all(header::CONTENT_LANGUAGE).iter();
    let (Some(language), None) = (languages.next(), languages.next()) else { return false };
    let language = language.as_bytes().trim_ascii();
    let lines = request.get_all(header::ACCEPT_LANGUAGE).iter().map(HeaderValue::as_bytes);
    let members = lines.flat_map(|line| line.split(|byte| *byte == b','));
    let Some(all) = weights(members) else { return false };
    let Some(best) = all.iter().map(|(_, weight)| *weight).max() else { return false };
    let mut liked = all.iter().filter(|(_, weight)| *weight == best);
    best > 0
        && liked.next().is_some_and(|(name, _)| name.as_bytes().eq_ignore_ascii_case(language))
        && liked.next().is_none()
}

fn weights<'a>(members: impl Iterator<Item = &'a [u8]>) -> Option<Weights> {
    let mut all = Weights::new();
    for member in members {
        let text = std::str::from_utf8(member).ok()?.trim();
        if text.is_empty() {
            continue;
        }
        if all.len() == MAX_MEMBERS {
            return None;
        }
        let (name, weight) = match text.split_once(';') {
            Some((name, weight)) => (name.trim_end(), weight_of(weight.trim_start())?),
            None => (text, 1000),
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'*' | b'_');
        if name.is_empty() || !name.bytes().all(plain) {
            return None;
        }
        all.push((name.to_ascii_lowercase(), weight));
    }
    all.sort_unstable();
    all.dedup();
    Some(all)
}

/// `q=` and a weight (RFC 9110 §12.4.2), in thousandths.
fn weight_of(text: &str) -> Option<u16> {
    let value = text.strip_prefix("q=").or_else(|| text.strip_prefix("Q="))?;
    let (whole, part) = value.split_once('.').unwrap_or((value, ""));
    if part.len() > 3 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths: u16 = format!("{part:0<3}").parse().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(text: &str) -> impl Iterator<Item = &[u8]> {
        text.as_bytes().split(|byte| *byte == b',')
    }

    fn likes(accepts: &'static str, language: &'static str) -> bool {
        let one = |name, value| [(name, HeaderValue::from_static(value))].into_iter().collect();
        let request: HeaderMap = one(header::ACCEPT_LANGUAGE, accepts);
        likes_best(&request, &one(header::CONTENT_LANGUAGE, language))
    }

    #[test]
    fn rfc_9110_12_5_4_order_case_and_spaces_say_nothing_and_weights_do() {
        for (one, other) in [
            ("en, de", "de, en"),
            ("en, de", "eN,De"),
            ("en;q=0.5, de", "de;q=1.0 , en; q=0.50"),
            ("en, en", "en"),
        ] {
            assert!(agree(split(one), split(other)), "{one} | {other}");
        }
        for (one, other) in [
            ("en", "de"),
            ("en;q=0.5, de", "en, de;q=0.5"),
            ("en;q=0", ""),
            ("en;q=2", "en;q=2"),
            ("en;q=0.1234", "en;q=0.123"),
            ("e n", "e n"),
        ] {
            assert!(!agree(split(one), split(other)), "{one} | {other}");
        }
    }

    #[test]
    fn rfc_9110_12_5_4_only_the_one_best_language_is_as_good_as_negotiated() {
        assert!(likes("fr;q=0.5, de;q=1.0", "de"));
        assert!(likes("DE, en;q=0.9", "de"));
        assert!(!likes("fr, de", "de"), "either could be sent");
        assert!(!likes("fr, de;q=0.5", "de"));
        assert!(!likes("de;q=0", "de"));
        assert!(!likes("de", "de, en"));
        assert!(!likes("", "de"));
    }

    proptest! {
        #[test]
        fn any_list_is_read_without_panic(text in "[ -~]{0,60}") {
            let _ = agree(split(&text), split(&text));
        }
    }
}
