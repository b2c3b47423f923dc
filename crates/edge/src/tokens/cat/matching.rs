//! Match objects of Common Access Tokens (CTA-5007), for URLs and header fields.

use coset::cbor::value::Value;

use super::super::refusal::Refusal;
use super::{integer, text};

/// The most matches of one part.
const MAX_MATCHES: usize = 16;

/// One match.
#[derive(Clone, Debug)]
pub(super) enum Match {
    Exact(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    Contains(Box<str>),
    Sha256(Box<[u8]>),
    Sha512Of256(Box<[u8]>),
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
        }
    }

    /// What a path begins with where this holds.
    pub(super) fn prefix(&self) -> Option<&str> {
        match self {
            Self::Exact(text) | Self::Prefix(text) => Some(text),
            _ => None,
        }
    }
}
