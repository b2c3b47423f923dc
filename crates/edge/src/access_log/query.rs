//! What of a query may be written down: the values of names that hold secrets are masked.
//!
//! A name is compared as a program reads it, decoded and in whatever case, and a query is taken
//! apart at `;` as well as at `&`: what anybody's parser could take for a token is masked.

use std::sync::Arc;

use headwater_cache::PERSONAL;

/// What stands for a value that is not told.
const MASK: &[u8] = b"***";

/// What holds secrets by common use, beside what tells of one viewer.
const SECRETS: [&str; 14] = [
    "auth",
    "authorization",
    "code",
    "hmac",
    "jwt",
    "key",
    "pass",
    "password",
    "secret",
    "session",
    "sig",
    "sign",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
];

/// Names of query parameters whose values are masked. Clones are of the same list.
#[derive(Clone, Debug)]
pub struct Masked(Arc<[Box<str>]>);

impl Default for Masked {
    /// The names that hold secrets by common use: `sig`, `key`, `password` and their like; and all of
    /// [`PERSONAL`] but CMCD, such as `token` and `CAT`.
    fn default() -> Self {
        let personal = PERSONAL.into_iter().filter(|name| *name != "CMCD");
        Self::new(personal.chain(SECRETS))
    }
}

impl Masked {
    /// These names, in whatever case, and no others.
    pub fn new(names: impl IntoIterator<Item = impl Into<Box<str>>>) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|name| &**name)
    }

    /// Gives `query` to `piece` in pieces that may be told, until that has had enough and says
    /// false. Values of the names in `also` are masked, too.
    pub(super) fn apply(
        &self,
        query: &[u8],
        also: Option<[&str; 2]>,
        mut piece: impl FnMut(&[u8]) -> bool,
    ) {
        for (at, pair) in query.split(|byte| *byte == b'&').enumerate() {
            let told = (at == 0 || piece(b"&"))
                && match self.secret_in(pair, also) {
                    Some(from) => piece(pair.get(..from).unwrap_or_default()) && piece(MASK),
                    None => piece(pair),
                };
            if !told {
                return;
            }
        }
    }

    /// Where in a pair the value of a masked name begins, which goes to the pair's end: that has no
    /// `&`, and may have `;`.
    fn secret_in(&self, pair: &[u8], also: Option<[&str; 2]>) -> Option<usize> {
        let mut start = 0;
        for part in pair.split(|byte| *byte == b';') {
            let equals = part.iter().position(|byte| *byte == b'=');
            let name = |at: &usize| part.get(..*at).unwrap_or_default();
            if let Some(equals) = equals.filter(|at| self.has(name(at), also)) {
                return Some(start + equals + 1);
            }
            start += part.len() + 1;
        }
        None
    }

    fn has(&self, name: &[u8], also: Option<[&str; 2]>) -> bool {
        self.names().chain(also.into_iter().flatten()).any(|masked| {
            let decoded = Decoded(name).map(|byte| byte.to_ascii_lowercase());
            decoded.eq(masked.bytes().map(|byte| byte.to_ascii_lowercase()))
        })
    }
}

/// The bytes of a name, without `%` and two digits for one; what is no escape stays.
struct Decoded<'a>(&'a [u8]);

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        let escaped = match (first, rest) {
            (b'%', [high, low, rest @ ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                digit(high).zip(digit(low)).map(|(high, low)| ((high * 16 + low) as u8, rest))
            }
            _ => None,
        };
        let (byte, rest) = escaped.unwrap_or((*first, rest));
        self.0 = rest;
        Some(byte)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use proptest::prelude::*;

    use super::*;

    fn told(masked: &Masked, query: &str) -> String {
        let mut out = Vec::new();
        masked.apply(query.as_bytes(), None, |piece| {
            out.extend_from_slice(piece);
            true
        });
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_of_named_parameters_are_masked_however_the_name_is_written() {
        let masked = Masked::default();
        for (query, said) in [
            ("a=1&token=abc&b=2", "a=1&token=***&b=2"),
            ("TOKEN=abc", "TOKEN=***"),
            ("%74oken=abc", "%74oken=***"),
            ("%54%6F%6b%65%6E=abc&x", "%54%6F%6b%65%6E=***&x"),
            ("a=1;sig=abc", "a=1;sig=***"),
            ("sig=abc;def&b", "sig=***&b"),
            ("token=a=b==&token=", "token=***&token=***"),
            ("tokens=abc&atoken=abc", "tokens=abc&atoken=abc"),
            ("token", "token"),
            ("%74oke%6=abc", "%74oke%6=abc"),
            ("&&=x&%", "&&=x&%"),
            ("", ""),
        ] {
            assert_eq!(told(&masked, query), said);
        }
        let only = Masked::new(["viewer"]);
        assert_eq!(told(&only, "viewer=me&token=abc"), "viewer=***&token=abc");
    }

    proptest! {
        #[test]
        fn a_secret_is_never_told(before in "[a-z=&;%0-9]{0,20}", after in "[a-z=&;%0-9]{0,20}") {
            let said = told(&Masked::default(), &format!("{before}&token=SECRET&{after}"));
            prop_assert!(!said.contains("SECRET"), "{}", said);
        }

        #[test]
        fn what_is_not_named_is_told_as_it_is(query in "[b-z=&;0-9]{0,40}") {
            prop_assert_eq!(told(&Masked::new(["a"]), &query), query);
        }
    }
}
