//! Match objects of Common Access Tokens (CTA-5007), for URLs and header fields.

use coset::cbor::value::Value;
use regex::{Regex, RegexBuilder};

use super::super::refusal::Refusal;
use super::{integer, text};

/// The most matches of one part.
const MAX_MATCHES: usize = 16;

/// The longest regular expression, in bytes.
const MAX_PATTERN: usize = 512;

/// How large one may become, and how much more it may use while it runs, in bytes each. It runs in time
/// that grows as what it looks at (the crate `regex`), whatever it says.
const MAX_COMPILED: usize = 64 << 10;

/// How deep one may nest.
const MAX_NESTING: u32 = 16;

/// One match.
#[derive(Clone, Debug)]
pub(super) enum Match {
    Exact(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    Contains(Box<str>),
    Sha256(Box<[u8]>),
    Sha512Of256(Box<[u8]>),
    /// Of the whole, and what each group holds; `None` for whatever it holds.
    Pattern(Box<(Regex, Vec<Option<String>>)>),
}

impl Match {
    /// Reads a map of matches.
    pub(super) fn read(value: &Value) -> Result<Vec<Self>, Refusal> {
        let map = value.as_map().ok_or(Refusal::Malformed)?;
        if map.is_empty() || map.len() > MAX_MATCHES {
            return Err(Refusal::Malformed);
        }
        map.iter().map(|(kind, value)| Self::of(integer(kind), value)).collect()
    }

    fn of(kind: Option<i64>, value: &Value) -> Result<Self, Refusal> {
        let bytes =
            || value.as_bytes().map(|bytes| bytes.as_slice().into()).ok_or(Refusal::Malformed);
        match kind {
            Some(0) => Ok(Self::Exact(text(value)?.into())),
            Some(1) => Ok(Self::Prefix(text(value)?.into())),
            Some(2) => Ok(Self::Suffix(text(value)?.into())),
            Some(3) => Ok(Self::Contains(text(value)?.into())),
            Some(4) => pattern(value),
            Some(-1) => Ok(Self::Sha256(bytes()?)),
            Some(-2) => Ok(Self::Sha512Of256(bytes()?)),
            _ => Err(Refusal::Unknown),
        }
    }

    pub(super) fn holds(&self, of: &str) -> bool {
        let digest = |algorithm, wanted: &[u8]| {
            aws_lc_rs::digest::digest(algorithm, of.as_bytes()).as_ref() == wanted
        };
        match self {
            Self::Exact(wanted) => *of == **wanted,
            Self::Prefix(wanted) => of.starts_with(&**wanted),
            Self::Suffix(wanted) => of.ends_with(&**wanted),
            Self::Contains(wanted) => of.contains(&**wanted),
            Self::Sha256(wanted) => digest(&aws_lc_rs::digest::SHA256, wanted),
            Self::Sha512Of256(wanted) => digest(&aws_lc_rs::digest::SHA512_256, wanted),
            Self::Pattern(pattern) => {
                let (regex, groups) = &**pattern;
                let Some(found) = regex.captures(of) else { return false };
                let held = |number: usize| found.get(number + 1).map(|group| group.as_str());
                groups.iter().enumerate().all(|(number, wanted)| {
                    wanted.as_deref().is_none_or(|wanted| held(number) == Some(wanted))
                })
            }
        }
    }

    /// Whether it takes much to keep.
    pub(super) const fn is_large(&self) -> bool {
        matches!(self, Self::Pattern(_))
    }

    /// What a path begins with where this holds.
    pub(super) fn prefix(&self) -> Option<&str> {
        match self {
            Self::Exact(text) | Self::Prefix(text) => Some(text),
            _ => None,
        }
    }
}

/// `[expression, ?group …]`, in the syntax of the crate `regex`: without what takes more than linear time. It
/// is held against the whole of a part, which lets in no more than if it were looked for within.
fn pattern(value: &Value) -> Result<Match, Refusal> {
    let (expression, groups) =
        value.as_array().and_then(|items| items.split_first()).ok_or(Refusal::Malformed)?;
    let expression = text(expression)?;
    if expression.len() > MAX_PATTERN || groups.len() > MAX_MATCHES {
        return Err(Refusal::Malformed);
    }
    let compile = |expression: &str| {
        RegexBuilder::new(expression)
            .size_limit(MAX_COMPILED)
            .dfa_size_limit(MAX_COMPILED)
            .nest_limit(MAX_NESTING)
            .build()
            .map_err(|_| Refusal::Unknown)
    };
    // By itself first: brackets that do not match could close those around it.
    compile(expression)?;
    let regex = compile(&format!(r"\A(?:{expression})\z"))?;
    let group = |group: &Value| match group {
        Value::Null => Ok(None),
        group => text(group).map(|group| Some(group.to_owned())),
    };
    let groups = groups.iter().map(group).collect::<Result<Vec<_>, _>>()?;
    if groups.len() >= regex.captures_len() {
        return Err(Refusal::Malformed);
    }
    Ok(Match::Pattern(Box::new((regex, groups))))
}
