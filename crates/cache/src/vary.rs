//! Which stored response of a key a request selects (RFC 9111 §4.1).

use http::{HeaderMap, HeaderName, HeaderValue, header};
use smallvec::SmallVec;

use crate::key::KeyBuf;
use crate::policy::preferences;

/// The most names of a `Vary` that are looked at; a response that names more is not stored.
pub(crate) const MAX_NAMES: usize = 16;

/// The request fields a response varies by, with what the request had that it answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vary(SmallVec<[(HeaderName, SmallVec<[HeaderValue; 1]>); 2]>);

impl Vary {
    /// Takes down what `response` varies by; `None` where that is `*`, more than [`MAX_NAMES`]
    /// names, or not readable.
    pub(crate) fn of(response: &HeaderMap, request: &HeaderMap) -> Option<Self> {
        let mut all = Self::default();
        for line in response.get_all(header::VARY) {
            for name in line.to_str().ok()?.split(',').map(str::trim).filter(|one| !one.is_empty())
            {
                let name = name.parse::<HeaderName>().ok()?;
                if name.as_str() == "*" || all.0.len() == MAX_NAMES {
                    return None;
                }
                let values = request.get_all(&name).iter().cloned().collect();
                all.0.push((name, values));
            }
        }
        Some(all)
    }

    /// Whether it goes by any field.
    pub(crate) fn varies(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether it goes by a field.
    pub(crate) fn has(&self, name: &HeaderName) -> bool {
        self.0.iter().any(|(one, _)| one == name)
    }

    /// The fields it goes by, in order, with what the request had.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&HeaderName, &[HeaderValue])> {
        self.0.iter().map(|(name, values)| (name, values.as_slice()))
    }

    /// Writes, beside a key, what tells the response from others of the key: the same for all
    /// requests that [match](Self::matches), and for no other.
    pub(crate) fn write_beside(&self, key: &mut KeyBuf) {
        let mut fields: SmallVec<[_; 4]> = self.0.iter().collect();
        fields.sort_unstable_by_key(|(name, _)| name.as_str());
        for (name, values) in fields {
            key.push_beside(name.as_str().as_bytes());
            let weighed = || preferences::normal(members(values.iter()));
            if values.is_empty() {
                continue;
            }
            // No name has a colon or an equals sign in it, and no value a line feed.
            if let Some(text) = preferences::is_weighed(name).then(weighed).flatten() {
                key.push(b":");
                key.push(text.as_bytes());
            } else {
                key.push(b"=");
                for member in members(values.iter()) {
                    key.push(member);
                    key.push(b",");
                }
            }
        }
    }

    /// Goes by one more field.
    pub(crate) fn push(&mut self, name: HeaderName, values: SmallVec<[HeaderValue; 1]>) {
        self.0.push((name, values));
    }

    /// Whether `request` selects the same response: each field is absent from both, or has the
    /// same members in the same order, however they are spread over lines and spaces; where their
    /// order says nothing, in any.
    pub(crate) fn matches(&self, request: &HeaderMap) -> bool {
        self.0.iter().all(|(name, values)| {
            values.is_empty() != request.contains_key(name)
                && same(name, || values.iter(), || request.get_all(name).iter())
        })
    }

    /// Whether a request selects the response though it says something else of languages: the
    /// response has the one that it likes best.
    pub(crate) fn matches_by_language(&self, request: &HeaderMap, response: &HeaderMap) -> bool {
        let (language, others): (SmallVec<[_; 2]>, SmallVec<[_; 2]>) =
            self.0.iter().cloned().partition(|(name, _)| *name == header::ACCEPT_LANGUAGE);
        !language.is_empty()
            && preferences::likes_best(request, response)
            && Self(others).matches(request)
    }

    /// Whether two requests are the same in the fields that count here.
    pub(crate) fn agree(&self, one: &HeaderMap, other: &HeaderMap) -> bool {
        self.0.iter().all(|(name, _)| {
            one.contains_key(name) == other.contains_key(name)
                && same(name, || one.get_all(name).iter(), || other.get_all(name).iter())
        })
    }
}

/// Whether lines of a field have the same members.
fn same<'a, A, B>(name: &HeaderName, one: impl Fn() -> A, other: impl Fn() -> B) -> bool
where
    A: Iterator<Item = &'a HeaderValue>,
    B: Iterator<Item = &'a HeaderValue>,
{
    members(one()).eq(members(other()))
        || preferences::is_weighed(name) && preferences::agree(members(one()), members(other()))
}

fn members<'a>(lines: impl Iterator<Item = &'a HeaderValue>) -> impl Iterator<Item = &'a [u8]> {
    lines
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn headers(list: &[(&str, &str)]) -> HeaderMap {
        let mut all = HeaderMap::new();
        for (name, value) in list {
            all.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        all
    }

    #[test]
    fn rfc_9111_4_1_absent_matches_absent_only() {
        let vary = Vary::of(&headers(&[("vary", "Accept")]), &headers(&[])).unwrap();
        assert!(vary.matches(&headers(&[("other", "x")])));
        assert!(!vary.matches(&headers(&[("accept", "x")])));
        assert!(!vary.matches(&headers(&[("accept", "")])));
        let vary = Vary::of(&headers(&[("vary", "Accept")]), &headers(&[("accept", "x")])).unwrap();
        assert!(!vary.matches(&headers(&[])));
    }

    #[test]
    fn rfc_9111_4_1_spaces_and_lines_do_not_tell_requests_apart() {
        let request = headers(&[("accept", "a,b"), ("accept", "c")]);
        let vary = Vary::of(&headers(&[("vary", "accept, Origin")]), &request).unwrap();
        assert!(vary.matches(&headers(&[("accept", " a , b,c ")])));
        assert!(!vary.matches(&headers(&[("accept", "a,b")])));
        assert!(!vary.matches(&headers(&[("accept", "a,c,b")])));
        assert!(!vary.matches(&headers(&[("accept", "a,b,c"), ("origin", "x")])));
    }

    #[test]
    fn rfc_9111_4_1_what_is_known_to_mean_the_same_selects_the_same() {
        let vary = headers(&[("vary", "accept-language, accept")]);
        let request = headers(&[("accept-language", "en, de;q=0.5"), ("accept", "a, b")]);
        let vary = Vary::of(&vary, &request).unwrap();
        let asks = |language, accept| headers(&[("accept-language", language), ("accept", accept)]);
        assert!(vary.matches(&asks("DE;q=0.5, en", "a,b")));
        assert!(!vary.matches(&asks("de, en", "a,b")));
        assert!(!vary.matches(&asks("en, de;q=0.5", "b, a")));
        let german = headers(&[("content-language", "de")]);
        assert!(vary.matches_by_language(&asks("de, fr;q=0.5", "a, b"), &german));
        assert!(!vary.matches_by_language(&asks("de, fr;q=0.5", "b, a"), &german));
        assert!(!vary.matches_by_language(&asks("fr", "a, b"), &german));
    }

    #[test]
    fn what_is_written_beside_a_key_is_equal_for_those_who_match_and_for_no_others() {
        let names = headers(&[("vary", "accept-language, x")]);
        let other_way = headers(&[("vary", "X"), ("vary", "Accept-Language")]);
        let lists: [&[(&str, &str)]; 9] = [
            &[],
            &[("x", "")],
            &[("x", "a,b")],
            &[("x", "a"), ("x", "b ,")],
            &[("accept-language", "de, en;q=0.5")],
            &[("accept-language", "en;q=0.5"), ("accept-language", "DE")],
            // No weight, and as it is written for one.
            &[("accept-language", "de;1000,en;500")],
            &[("accept-language", "de;1000,en;500,")],
            &[("accept-language", "")],
        ];
        let beside = |names: &HeaderMap, request: &HeaderMap| {
            let mut key = KeyBuf::new();
            Vary::of(names, request).unwrap().write_beside(&mut key);
            key.as_bytes().to_vec()
        };
        for one in lists.map(headers) {
            for other in lists.map(headers) {
                let matches = Vary::of(&names, &one).unwrap().matches(&other);
                assert_eq!(
                    beside(&names, &one) == beside(&other_way, &other),
                    matches,
                    "{one:?} {other:?}"
                );
            }
        }
    }

    #[test]
    fn star_and_endless_lists_match_nobody() {
        assert!(Vary::of(&headers(&[("vary", "a, *")]), &headers(&[])).is_none());
        let many = vec!["x"; MAX_NAMES + 1].join(",");
        assert!(Vary::of(&headers(&[("vary", &many)]), &headers(&[])).is_none());
        let none = Vary::of(&headers(&[]), &headers(&[])).unwrap();
        assert!(none.matches(&headers(&[("accept", "x")])));
    }
}
