//! `Cache-Status` (RFC 9211): what became of a request, for all to see.

use std::fmt::Write as _;

use http::{HeaderName, HeaderValue, StatusCode};

use crate::structured;

/// The most bytes of a key that are told.
const MAX_KEY: usize = 256;

/// `Cache-Status`.
pub(crate) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Why a request went forward (RFC 9211 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fwd {
    /// The cache was not to be asked.
    Bypass,
    /// The method is not one that is answered from store.
    Method,
    /// Nothing is stored under the key.
    UriMiss,
    /// Something is stored under the key, but this request selects another response.
    VaryMiss,
    /// The request wanted more than what is stored.
    Request,
    /// What is stored is stale.
    Stale,
    /// Of what is stored, the bytes that the request wants first are not there.
    Partial,
}

impl Fwd {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

/// One member of `Cache-Status`, without the cache's name.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Member<'a> {
    /// It was answered without going forward (§2.1).
    pub(crate) hit: bool,
    /// Why it went forward.
    pub(crate) fwd: Option<Fwd>,
    /// The status upstream answered with (§2.3).
    pub(crate) fwd_status: Option<StatusCode>,
    /// The response's remaining freshness in seconds; negative when stale (§2.4).
    pub(crate) ttl: Option<i64>,
    /// The response is being stored (§2.5).
    pub(crate) stored: bool,
    /// The request waited for another's fetch (§2.6).
    pub(crate) collapsed: bool,
    /// The key that the request has here (§2.7).
    pub(crate) key: Option<&'a [u8]>,
    /// What else there is to say (§2.8), as a token.
    pub(crate) detail: Option<&'static str>,
}

/// A cache's name as it signs (RFC 9211 §2: a token or a string, RFC 8941 §3.3).
#[derive(Clone, Debug)]
pub(crate) struct Signature(Box<str>);

impl Signature {
    pub(crate) fn new(name: &str) -> Self {
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~:/".contains(c);
        let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '*');
        if begins && name.chars().all(token) {
            return Self(name.into());
        }
        Self(structured::quoted(name).into())
    }

    /// The name as a structured field has it.
    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// The member as a field value.
    pub(crate) fn sign(&self, member: &Member<'_>) -> HeaderValue {
        let mut text = Text(smallvec::SmallVec::new());
        text.0.extend_from_slice(self.0.as_bytes());
        let _ = text.parameters(member);
        HeaderValue::from_bytes(&text.0).unwrap_or(HeaderValue::from_static("headwater"))
    }
}

/// The member being written, on the stack.
struct Text(smallvec::SmallVec<[u8; 128]>);

impl Text {
    fn parameters(&mut self, member: &Member<'_>) -> std::fmt::Result {
        if member.hit {
            self.write_str("; hit")?;
        }
        if let Some(fwd) = member.fwd {
            self.write_str("; fwd=")?;
            self.write_str(fwd.as_str())?;
        }
        if let Some(code) = member.fwd_status {
            self.write_str("; fwd-status=")?;
            self.write_str(code.as_str())?;
        }
        if let Some(ttl) = member.ttl {
            write!(self, "; ttl={ttl}")?;
        }
        if member.stored {
            self.write_str("; stored")?;
        }
        if member.collapsed {
            self.write_str("; collapsed")?;
        }
        if let Some(key) = member.key {
            let most = key.get(..MAX_KEY).unwrap_or(key);
            self.write_str("; key=")?;
            self.write_str(&structured::quoted(&String::from_utf8_lossy(most)))?;
        }
        if let Some(detail) = member.detail {
            self.write_str("; detail=")?;
            self.write_str(detail)?;
        }
        Ok(())
    }
}

impl std::fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_9211_members() {
        let edge = Signature::new("edge");
        let hit = Member { hit: true, ttl: Some(376), ..Member::default() };
        assert_eq!(edge.sign(&hit), "edge; hit; ttl=376");
        let miss = Member {
            fwd: Some(Fwd::UriMiss),
            fwd_status: Some(StatusCode::OK),
            stored: true,
            collapsed: true,
            ..Member::default()
        };
        assert_eq!(edge.sign(&miss), "edge; fwd=uri-miss; fwd-status=200; stored; collapsed");
        let stale = Member {
            fwd: Some(Fwd::Stale),
            fwd_status: Some(StatusCode::NOT_MODIFIED),
            ttl: Some(-5),
            ..Member::default()
        };
        assert_eq!(edge.sign(&stale), "edge; fwd=stale; fwd-status=304; ttl=-5");
    }

    #[test]
    fn rfc_8941_names_that_are_no_token_are_quoted() {
        let hit = Member { hit: true, ..Member::default() };
        assert_eq!(Signature::new("edge 1").sign(&hit), "\"edge 1\"; hit");
        assert_eq!(Signature::new("1").sign(&hit), "\"1\"; hit");
        assert_eq!(Signature::new("a\"\\\u{e9}\n").sign(&hit), "\"a\\\"\\\\\"; hit");
        assert_eq!(Signature::new("").sign(&hit), "\"\"; hit");
    }
}
