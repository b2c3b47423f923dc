//! Query parameters: which tell resources apart, and which tell of who asks.
//!
//! Key and upstream URL are written from the same parameters: what is not in the key upstream does
//! not see, so that no parameter can change an answer that others get. A name counts as it reads
//! once percent-decoded; `;` parts no parameters (WHATWG URL §5.1), so that one hidden behind it is
//! a piece of a value, in the key like the rest.

use headwater_net::query::{name, parameters};
use smallvec::SmallVec;

/// Parameters that no key and no upstream URL holds, unless rules say otherwise: CMCD (CTA-5004),
/// the Common Access Token (CTA-5007), and what token schemes and sessions commonly use.
pub const PERSONAL: [&str; 12] = [
    "CMCD",
    "CAT",
    "token",
    "access_token",
    "hdnea",
    "hdntl",
    "hdnts",
    "Key-Pair-Id",
    "Policy",
    "Signature",
    "session_id",
    "sid",
];

/// LL-HLS delivery directives (RFC 8216bis §6.2.5): what they ask for is another resource.
const HLS: &str = "_HLS_";

/// Which parameters of a query tell resources apart.
#[derive(Clone, Debug, Default)]
pub(super) enum Parameters {
    /// All but the personal ones.
    #[default]
    All,
    /// These, and LL-HLS directives.
    Only(Box<[Box<str>]>),
    /// All but these and the personal ones; LL-HLS directives always.
    Without(Box<[Box<str>]>),
}

/// How a query is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form<'a> {
    pub(super) parameters: &'a Parameters,
    pub(super) personal: &'a [Box<str>],
    /// In the order of their bytes; those of one name stay in theirs.
    pub(super) sorted: bool,
}

impl Form<'_> {
    /// Whether the query may be written as it is.
    pub(super) fn is_same(self, query: &str) -> bool {
        !self.sorted && parameters(query).all(|parameter| self.keeps(parameter))
    }

    /// Writes `?` and what is left of the query; nothing where nothing is.
    pub(super) fn write(self, query: &str, mut out: impl FnMut(&str)) {
        let mut separator = "?";
        let mut put = |parameter: &str| {
            out(separator);
            out(parameter);
            separator = "&";
        };
        let kept = parameters(query).filter(|parameter| self.keeps(parameter));
        if self.sorted {
            let mut all: SmallVec<[&str; 32]> = kept.filter(|one| !one.is_empty()).collect();
            all.sort_by_key(|parameter| name(parameter));
            all.into_iter().for_each(put);
        } else {
            kept.for_each(&mut put);
        }
    }

    fn keeps(self, parameter: &str) -> bool {
        let name = name(parameter);
        let is_in = |list: &[Box<str>]| list.iter().any(|one| reads(name, one));
        if name.starts_with(HLS) {
            return true;
        }
        !is_in(self.personal)
            && match self.parameters {
                Parameters::All => true,
                Parameters::Only(list) => is_in(list),
                Parameters::Without(list) => !is_in(list),
            }
    }
}

/// Whether a name reads so once percent-decoded.
fn reads(name: &str, wanted: &str) -> bool {
    let mut bytes = name.bytes();
    let mut wanted = wanted.bytes();
    loop {
        let (byte, want) = (bytes.next(), wanted.next());
        let byte = match byte {
            Some(b'%') => {
                let hex = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
                let mut ahead = bytes.clone();
                match (hex(ahead.next()), hex(ahead.next())) {
                    (Some(high), Some(low)) => {
                        bytes = ahead;
                        Some((high << 4 | low) as u8)
                    }
                    _ => Some(b'%'),
                }
            }
            byte => byte,
        };
        if byte != want {
            return false;
        }
        if byte.is_none() {
            return true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(query: &str, parameters: &Parameters, sorted: bool) -> String {
        let personal = PERSONAL.map(Into::into);
        let form = Form { parameters, personal: &personal, sorted };
        let mut out = String::new();
        form.write(query, |piece| out.push_str(piece));
        assert_eq!(form.is_same(query), !sorted && out == format!("?{query}"), "{query}");
        out
    }

    fn list(names: &[&str]) -> Box<[Box<str>]> {
        names.iter().map(|name| (*name).into()).collect()
    }

    #[test]
    fn personal_parameters_go_however_they_are_written() {
        let all = Parameters::All;
        assert_eq!(written("a=1&CMCD=x&b=2", &all, false), "?a=1&b=2");
        assert_eq!(written("%43MCD=x&tok%65n=t", &all, false), "");
        assert_eq!(written("tokens=1&%=2&CMC%4=3", &all, false), "?tokens=1&%=2&CMC%4=3");
        assert_eq!(written("", &all, false), "?");
    }

    #[test]
    fn lists_keep_or_drop_and_ll_hls_always_stays() {
        let only = Parameters::Only(list(&["v"]));
        assert_eq!(
            written("u=1&v=2&_HLS_msn=7&_HLS_part=1", &only, false),
            "?v=2&_HLS_msn=7&_HLS_part=1"
        );
        let without = Parameters::Without(list(&["u", "_HLS_msn"]));
        assert_eq!(written("u=1&v=2&_HLS_msn=7", &without, false), "?v=2&_HLS_msn=7");
        assert_eq!(written("u=1", &Parameters::Only(list(&[])), false), "");
    }

    #[test]
    fn sorting_goes_by_name_and_keeps_the_order_of_one_name() {
        assert_eq!(written("b=1&a=2&b=0&&a", &Parameters::All, true), "?a=2&a&b=1&b=0");
    }

    #[test]
    fn a_parameter_behind_a_semicolon_is_a_piece_of_a_value() {
        let only = Parameters::Only(list(&["v"]));
        assert_eq!(written("v=1;token=x&u=2", &only, false), "?v=1;token=x");
    }
}
